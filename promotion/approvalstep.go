package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
)

// StepWaitForApproval is the step that asks for an approval while a promotion
// runs.
const StepWaitForApproval = "wait-for-approval"

// Limits of the policy of a step, those of a Stage's.
const (
	maxRequiredApprovals = 16
	maxApprovalNames     = 64
)

// StepApprovalOutput is what the step records while it waits: who is asked.
type StepApprovalOutput struct {
	// Approval is the policy, with the expressions of its configuration evaluated.
	Approval *v1alpha1.ApprovalPolicy `json:"approval,omitempty"`
}

// AsksInSteps reports whether a step of the plan waits for an approval, so that
// the plan needs its hash.
func AsksInSteps(plan *v1alpha1.PromotionPlan) bool {
	return plan != nil && slices.ContainsFunc(plan.Steps, func(s v1alpha1.PlanStep) bool { return s.Uses == StepWaitForApproval })
}

// AskedByStep returns the approval that p waits for in one of its steps, or nil.
func AskedByStep(p *v1alpha1.Promotion) *Asked {
	if p.Status.Phase != v1alpha1.PhaseRunning || p.Spec.Abort != nil {
		return nil
	}
	next := Advance(p.Status.Steps, time.Time{})
	if next.Done {
		return nil
	}
	st := &p.Status.Steps[next.Index]
	if st.Uses != StepWaitForApproval || st.State != v1alpha1.StepWaiting || st.Output == nil {
		return nil
	}
	var o StepApprovalOutput
	if json.Unmarshal(st.Output.Raw, &o) != nil || o.Approval == nil {
		return nil
	}
	return &Asked{Policy: o.Approval, Step: st.As}
}

// JudgeStep says what is missing of the approvals that a step of p waits for,
// and who rejected it; o needs its Stage's name, its Approvals and now.
func JudgeStep(o *Observation, p *v1alpha1.Promotion, asked Asked) (v v1alpha1.GateVerdict, rejected *v1alpha1.Approval) {
	return approvalVerdict(o, p, asked), countApprovals(o, p, asked).rejected
}

// StepApprovalPolicy checks what the configuration of a step asks for.
func StepApprovalPolicy(required int64, groups, users []string, allowSelf bool, expireAfter string) (*v1alpha1.ApprovalPolicy, error) {
	if required < 0 || required > maxRequiredApprovals {
		return nil, fmt.Errorf("required %d is not between 1 and %d", required, maxRequiredApprovals)
	}
	if len(groups) > maxApprovalNames || len(users) > maxApprovalNames {
		return nil, fmt.Errorf("more than %d groups or users", maxApprovalNames)
	}
	for _, name := range slices.Concat(groups, users) {
		if strings.TrimSpace(name) == "" {
			return nil, errors.New("groups and users: a name is empty")
		}
	}
	policy := &v1alpha1.ApprovalPolicy{Required: int32(max(required, 1)), Groups: groups, Users: users, AllowSelfApproval: allowSelf} //nolint:gosec // at most 16
	if expireAfter != "" {
		d, err := time.ParseDuration(expireAfter)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("expireAfter %q is no duration such as 8h", expireAfter)
		}
		policy.ExpireAfter = &metav1.Duration{Duration: d}
	}
	return policy, nil
}

// checkWaitForApproval returns what would fail when the step runs.
func checkWaitForApproval(config map[string]any) []string {
	texts := func(name string) []string {
		var out []string
		list, _ := config[name].([]any)
		for _, v := range list {
			text, _ := v.(string)
			out = append(out, text)
		}
		return out
	}
	required, _ := config["required"].(float64)
	expireAfter, _ := config["expireAfter"].(string)
	if expression.Has(expireAfter) {
		expireAfter = ""
	}
	users := texts("users")
	if _, err := StepApprovalPolicy(int64(required), texts("groups"), users, false, expireAfter); err != nil {
		return []string{err.Error()}
	}
	if len(users) > 0 && len(texts("groups")) == 0 && int64(required) > int64(len(users)) {
		return []string{fmt.Sprintf("required %v is more than the %d users who are asked", required, len(users))}
	}
	return nil
}
