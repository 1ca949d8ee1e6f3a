package rest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion"
)

// Approve approves the plan of a Promotion that waits, as the person.
func (s *Server) Approve(ctx context.Context, request ApproveRequestObject) (ApproveResponseObject, error) {
	m, err := s.decide(ctx, request.Project, request.Promotion, v1alpha1.DecisionApprove, request.Body)
	return Approve200JSONResponse(m), err
}

// RejectPromotion rejects the plan of a Promotion that waits, as the person.
func (s *Server) RejectPromotion(ctx context.Context, request RejectPromotionRequestObject) (RejectPromotionResponseObject, error) {
	m, err := s.decide(ctx, request.Project, request.Promotion, v1alpha1.DecisionReject, request.Body)
	return RejectPromotion200JSONResponse(m), err
}

func (s *Server) decide(ctx context.Context, project, name string, decision v1alpha1.ApprovalDecision, body *model.DecisionRequest) (model.Promotion, error) {
	var none model.Promotion
	v, p, st, err := s.loadPending(ctx, project, name)
	if err != nil {
		return none, err
	}
	wanted := promotion.AskedOf(st, p)
	if wanted == nil {
		return none, refuse(model.Conflict, "%q asks for no approval", st.Name).withHint("waybill why %s %s/%s shows what it waits for", p.Spec.Freight, project, st.Name)
	}
	if decision == v1alpha1.DecisionReject && strings.TrimSpace(body.Reason) == "" {
		return none, refuse(model.InvalidRequest, "a rejection needs a reason").withHint("--reason, which is kept in the history")
	}
	until, err := s.until(body.Until)
	if err != nil {
		return none, err
	}
	if err := s.samePlan(ctx, v, st, p, body.PlanHash); err != nil {
		return none, err
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return none, err
	}
	if refused := mayNotDecide(wanted.Policy, p, person); refused != "" && decision == v1alpha1.DecisionApprove {
		return none, refuse(model.Forbidden, "%s", refused)
	}
	for i := range v.approvals {
		a := &v.approvals[i]
		standing, _ := promotion.JudgeApproval(*wanted, p, a, v.now)
		if a.Spec.Actor == person.User && a.Spec.Decision == decision && standing == promotion.StandingCounts && until == nil {
			return v.promotionModel(p), nil // decided already
		}
	}
	a := &v1alpha1.Approval{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: st.Name + "-" + strings.ToLower(string(decision)) + "-", Namespace: project, Labels: map[string]string{v1alpha1.LabelStage: st.Name},
		},
		Spec: v1alpha1.ApprovalSpec{
			Stage: st.Name, Promotion: p.Name, PlanHash: body.PlanHash, Actor: person.User, Groups: countedGroups(wanted.Policy, person),
			Step:     wanted.Step,
			Decision: decision, Reason: body.Reason, Until: until,
		},
	}
	isMine := func(there *v1alpha1.Approval) bool { return there.Spec.Actor == person.User }
	if err := createOnce(ctx, c, a, isMine); err != nil {
		return none, fromKube(fmt.Sprintf("decide about Promotion %q", p.Name), err)
	}
	v.approvals = append(slices.Clone(v.approvals), *a)
	delete(v.observations, st.Name)
	return v.promotionModel(p), nil
}

// mayNotDecide says why the person's approval would not count; "" when it would.
func mayNotDecide(policy *v1alpha1.ApprovalPolicy, p *v1alpha1.Promotion, person identity.Person) string {
	switch {
	case !promotion.IsAsked(policy, person.User, person.Groups):
		return fmt.Sprintf("%q asks others for approval: %s", p.Spec.Stage, strings.Join(slices.Concat(policy.Groups, policy.Users), ", "))
	case policy.AllowSelfApproval:
		return ""
	case p.Spec.RequestedBy == person.User:
		return "you requested it, and somebody else has to approve it"
	case p.Spec.RequestedBy == "":
		return "nobody knows who requested it (spec.requestedBy is absent), so nobody can approve it; promote again"
	default:
		return ""
	}
}

// countedGroups returns those of the person's groups that the Stage asks.
func countedGroups(policy *v1alpha1.ApprovalPolicy, person identity.Person) []string {
	var out []string
	for _, name := range policy.Groups {
		if g := v1alpha1.Principal(name); slices.Contains(person.Groups, g) && !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

// samePlan refuses a decision about another plan than the Promotion's: the one
// it has recorded, or what it has become since in Git.
func (s *Server) samePlan(ctx context.Context, v *projectView, st *v1alpha1.Stage, p *v1alpha1.Promotion, hash string) error {
	if p.Status.Plan != nil && p.Status.Plan.Hash == hash {
		return nil
	}
	if f, err := v.freightOfPromotion(st, p); err == nil {
		if preview, err := s.preview(ctx, st, p, f); err == nil && preview != nil && preview.Plan.Hash == hash {
			return nil // the controller records it when it sees the decision
		}
	}
	return planChanged(p.Namespace, p.Spec.Stage)
}

func planChanged(project, stage string) *refusal {
	return refuse(model.PlanChanged, "the plan is another one than you saw; look at it, then decide again").
		withHint("waybill diff %s/%s", project, stage)
}

// Revoke takes back what the person decided about a Promotion that waits.
func (s *Server) Revoke(ctx context.Context, request RevokeRequestObject) (RevokeResponseObject, error) {
	v, p, st, err := s.loadPending(ctx, request.Project, request.Promotion)
	if err != nil {
		return nil, err
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	var left []v1alpha1.Approval
	revoked := 0
	for i := range v.approvals {
		a := &v.approvals[i]
		if a.Spec.Promotion != p.Name || a.Spec.Actor != person.User {
			left = append(left, *a)
			continue
		}
		if err := c.Delete(ctx, a.DeepCopy(), client.Preconditions{UID: &a.UID}); err != nil && !apierrors.IsNotFound(err) {
			return nil, fromKube(fmt.Sprintf("revoke Approval %q", a.Name), err)
		}
		s.note(ctx, history.OfApproval(a).End(v.now, person.User))
		revoked++
	}
	if revoked == 0 {
		return nil, refuse(model.NotFound, "you have decided nothing about Promotion %q", p.Name)
	}
	v.approvals = left
	delete(v.observations, st.Name)
	return Revoke200JSONResponse(v.promotionModel(p)), nil
}

// approvalModels returns the decisions about p, oldest first; those about an
// earlier Promotion of its name are left out.
func (v *projectView) approvalModels(p *v1alpha1.Promotion, wanted promotion.Asked) []model.Approval {
	var out []model.Approval
	for i := range v.approvals {
		a := &v.approvals[i]
		standing, until := promotion.JudgeApproval(wanted, p, a, v.now)
		words := map[promotion.Standing]model.ApprovalStanding{
			promotion.StandingCounts: model.Counts, promotion.StandingOtherPlan: model.OtherPlan, promotion.StandingExpired: model.Expired,
			promotion.StandingNotAsked: model.NotAsked, promotion.StandingSelf: model.Self,
		}
		word, isShown := words[standing]
		if !isShown {
			continue
		}
		m := model.Approval{
			Name: a.Name, Promotion: a.Spec.Promotion, Stage: a.Spec.Stage, Actor: a.Spec.Actor, Decision: model.ApprovalDecision(a.Spec.Decision),
			PlanHash: a.Spec.PlanHash, Reason: a.Spec.Reason, Standing: word, CreatedAt: a.CreationTimestamp.UTC(),
		}
		if !until.IsZero() {
			m.Until = until.UTC()
		}
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].CreatedAt.Equal(out[j].CreatedAt) {
			return out[i].CreatedAt.Before(out[j].CreatedAt)
		}
		return out[i].Name < out[j].Name
	})
	return out
}

// addApprovals fills in what has been decided about p, or with whom it started.
func (v *projectView) addApprovals(out *model.Promotion, p *v1alpha1.Promotion) {
	if p.Status.Plan != nil {
		out.PlanHash = p.Status.Plan.Hash
	}
	st := v.stageByName[p.Spec.Stage]
	var wanted *promotion.Asked
	if st != nil {
		wanted = promotion.AskedOf(st, p)
	}
	if st == nil || !promotion.IsPending(p) && wanted == nil {
		for _, a := range p.Status.Approvals {
			out.Approvals = append(out.Approvals, model.Approval{
				Promotion: p.Name, Stage: p.Spec.Stage, Actor: a.Actor, Decision: model.Approve, PlanHash: out.PlanHash, Reason: a.Reason,
				Standing: model.Counts, CreatedAt: a.At.UTC(),
			})
		}
		return
	}
	if wanted == nil {
		return
	}
	verdict, _ := promotion.JudgeStep(v.observe(st), p, *wanted)
	out.Approvals = v.approvalModels(p, *wanted)
	out.ApprovalNeed = model.ApprovalNeed{
		Need: int(verdict.Need), Have: int(verdict.Have), Step: wanted.Step,
		Groups: wanted.Policy.Groups, Users: wanted.Policy.Users, SelfApproval: wanted.Policy.AllowSelfApproval,
	}
}
