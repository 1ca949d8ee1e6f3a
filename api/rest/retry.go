package rest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
)

// RetryPromotion makes a new Promotion of what one that failed or was aborted was
// to do, as the person and by the rules of promote and rollback.
func (s *Server) RetryPromotion(ctx context.Context, request RetryPromotionRequestObject) (RetryPromotionResponseObject, error) {
	v, p, err := s.loadPromotion(ctx, request.Project, request.Promotion)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, s.noRetry(ctx, request.Project, request.Promotion)
	}
	st, err := v.stage(p.Spec.Stage)
	if err != nil {
		return nil, err
	}
	if err := s.mayRetry(ctx, p); err != nil {
		return nil, err
	}
	m, err := s.once(ctx, v, func() (model.Promotion, error) { return s.retry(ctx, v, st, p, *request.Body) })
	if err != nil {
		return nil, err
	}
	return RetryPromotion202JSONResponse{Body: m, Headers: RetryPromotion202ResponseHeaders{Location: locationOf(m)}}, nil
}

// retry tries p again, unless it is being tried again already.
func (s *Server) retry(ctx context.Context, v *projectView, st *v1alpha1.Stage, p *v1alpha1.Promotion, body model.RetryRequest) (model.Promotion, error) {
	if body.Freight != "" && body.Freight != p.Spec.Freight {
		return model.Promotion{}, planChanged(p.Namespace, p.Spec.Stage)
	}
	if again := v.retries[p.Name]; again != nil && !phaseOf(again).IsFinished() {
		return v.promotionModel(again), nil
	}
	if r := v.refusesRetry(p); r != nil {
		return model.Promotion{}, r
	}
	reason := body.Reason
	if reason == "" {
		reason = p.Spec.Reason
	}
	if kindOf(p) == v1alpha1.KindRollback {
		if len(body.Bypass) > 0 || body.PlanHash != "" {
			return model.Promotion{}, refuse(model.InvalidRequest, "%q is a rollback: it passes the gates it may pass by itself and has no plan to name", p.Name)
		}
		return s.rollback(ctx, v, st, model.RollbackRequest{To: p.Spec.To, Reason: reason}, p.Name)
	}
	again := model.PromoteRequest{Freight: p.Spec.Freight, Reason: reason, PlanHash: body.PlanHash, Bypass: body.Bypass}
	if len(body.Bypass) > 0 {
		again.Reason = body.Reason // passing a gate is a decision of its own
	}
	m, err := s.promote(ctx, v, st, again, p.Name)
	var r *refusal
	if missed := passedBefore(p, body); missed != "" && errors.As(err, &r) && r.code == model.GateClosed {
		err = r.withHint("%q passed %s; to pass again: waybill retry %s/%s --bypass %s --reason TEXT", p.Name, missed, p.Namespace, p.Name, missed)
	}
	return m, err
}

// passedBefore lists the gates that p passed and body does not pass.
func passedBefore(p *v1alpha1.Promotion, body model.RetryRequest) string {
	var out []string
	for _, gate := range p.Spec.Bypass {
		if !slices.Contains(body.Bypass, model.PassableGate(gate)) {
			out = append(out, string(gate))
		}
	}
	return strings.Join(out, ",")
}

// mayRetry asks for the verb that admission is going to ask for: promote, or for
// a Rollback rollback.
func (s *Server) mayRetry(ctx context.Context, p *v1alpha1.Promotion) error {
	verb := "promote"
	if kindOf(p) == v1alpha1.KindRollback {
		verb = "rollback"
	}
	action := identity.Action{Verb: verb, Group: v1alpha1.Group, Resource: "stages", Namespace: p.Namespace, Name: p.Spec.Stage}
	allowed, err := s.may(ctx, action)
	if err != nil || allowed {
		return err
	}
	return forbidden(action)
}

// noRetry is the answer for a Promotion that the cluster does not have: of one
// that is only remembered, the line to type instead.
func (s *Server) noRetry(ctx context.Context, project, name string) error {
	m, err := s.recorded(ctx, project, name)
	if err != nil {
		return err
	}
	return refuse(model.Conflict, "Promotion %q is too long ago to be tried again: it is only a record by now", name).
		withHint("waybill promote %s %s/%s", m.Freight.Name, project, m.Stage)
}

// refusesRetry says why p is not one to try again, with what to type instead; nil
// when it is one.
func (v *projectView) refusesRetry(p *v1alpha1.Promotion) *refusal {
	stage := p.Namespace + "/" + p.Spec.Stage
	switch phase := phaseOf(p); phase {
	case v1alpha1.PhaseFailed, v1alpha1.PhaseAborted:
	case v1alpha1.PhaseSucceeded:
		return refuse(model.Conflict, "Promotion %q succeeded: there is nothing to try again", p.Name).
			withHint("waybill promote FREIGHT %s promotes again, waybill verify %s runs the checks again", stage, stage)
	case v1alpha1.PhaseRolledBack:
		return refuse(model.Conflict, "Promotion %q was taken back by %q", p.Name, p.Status.RolledBackBy).
			withHint("waybill why %s %s says whether it may go there again", p.Spec.Freight, stage)
	case v1alpha1.PhaseSuperseded:
		return refuse(model.Conflict, "Promotion %q never started: %q came in its place", p.Name, p.Status.SupersededBy).
			withHint("waybill promote %s %s", p.Spec.Freight, stage)
	default:
		return refuse(model.Conflict, "Promotion %q has not ended: %s", p.Name, phase).
			withHint("waybill watch %s/%s follows it, waybill abort %s/%s stops it", p.Namespace, p.Name, p.Namespace, p.Name)
	}
	again := v.retries[p.Name]
	if again == nil {
		return nil
	}
	switch phase := phaseOf(again); {
	case !phase.IsFinished():
		return refuse(model.Conflict, "Promotion %q is tried again by %q: %s", p.Name, again.Name, phase).
			withHint("waybill watch %s/%s", p.Namespace, again.Name)
	case phase == v1alpha1.PhaseSucceeded:
		return refuse(model.Conflict, "Promotion %q was tried again by %q, which succeeded", p.Name, again.Name).
			withHint("waybill promote FREIGHT %s promotes again", stage)
	}
	return nil
}
