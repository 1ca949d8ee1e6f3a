// Package waitforapproval is the step wait-for-approval: it waits until as many
// people as are asked for have approved, or somebody rejects.
//
// It has the rules of a Stage's approval (guides/approvals): people decide with
// `waybill approve`, in their inbox or on the page of the promotion; an approval
// is for the plan that they saw and for this step alone; who requested the
// promotion does not approve it unless that is allowed; approvals expire, and
// can be revoked while the step waits. A rejection fails the step. To approve
// needs the verb approve on the Stage.
//
// While it waits nothing runs but the Stage's turn is held: newer Freight comes
// behind it. With retry.timeout it does not wait for ever. Output: approvals, the
// names of those who approved.
package waitforapproval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// lastLook is when it looks again though nobody has decided. A decision wakes it.
const lastLook = 24 * time.Hour

// Config of wait-for-approval.
type Config struct {
	// Required is how many different people have to approve; default 1, at most 16.
	Required int64 `json:"required,omitempty"`
	// Groups whose members count. Without groups and users everybody counts who may
	// approve for the Stage. k8s:NAME is a group of the cluster's own.
	Groups []string `json:"groups,omitempty"`
	// Users who count, beside the members of groups.
	Users []string `json:"users,omitempty"`
	// AllowSelfApproval lets the person who requested the promotion approve it.
	AllowSelfApproval bool `json:"allowSelfApproval,omitempty"`
	// ExpireAfter is how long an approval counts; default 720h.
	ExpireAfter string `json:"expireAfter,omitempty"`
}

// Approvals are what people have decided.
type Approvals interface {
	// Approvals returns those of a Stage, as the API server has them.
	Approvals(ctx context.Context, project, stage string) ([]v1alpha1.Approval, error)
}

// Step is wait-for-approval.
type Step struct {
	// Approvals of the Project.
	Approvals Approvals
	// Clock says which have expired.
	Clock clock.PassiveClock
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run looks at what has been decided.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	policy, err := promotion.StepApprovalPolicy(c.Required, c.Groups, c.Users, c.AllowSelfApproval, c.ExpireAfter)
	if err != nil {
		return step.Result{}, step.Terminal(promotion.ReasonInvalidConfig, err)
	}
	p := in.Promotion
	if p.Status.Plan.Hash == "" {
		return step.Result{}, step.Terminal("PlanUnknown", errors.New("the plan has no hash that people could approve; promote again"))
	}
	given, err := s.Approvals.Approvals(ctx, p.Namespace, p.Spec.Stage)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // says what was read
	}
	now := s.Clock.Now()
	o := &promotion.Observation{Now: now, Stage: &v1alpha1.Stage{}, Approvals: given}
	o.Stage.Namespace, o.Stage.Name = p.Namespace, p.Spec.Stage
	v, rejected := promotion.JudgeStep(o, p, promotion.Asked{Policy: policy, Step: in.As})
	switch {
	case rejected != nil:
		return step.Result{}, step.Terminal(promotion.ReasonRejected, fmt.Errorf("rejected by %s: %s", promotion.Person(rejected.Spec.Actor), rejected.Spec.Reason))
	case v.Open:
		return step.Result{Message: v.Reason, Output: map[string]any{"approvals": v.From}}, nil
	}
	wait := lastLook
	if v.ClosesAt != nil { // one of them expires
		wait = max(time.Millisecond, min(wait, v.ClosesAt.Sub(now)))
	}
	return step.Result{
		Wait: wait, Message: fmt.Sprintf("%s; %s", v.Reason, v.OpensBy),
		Output: map[string]any{"approval": policy},
	}, nil
}
