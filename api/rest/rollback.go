package rest

import (
	"context"
	"errors"
	"slices"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// rollbackAsk is a rollback that was looked at.
type rollbackAsk struct {
	from   string // name of the Freight that is taken back
	to     string // name asked for; empty for the last good one
	ref    model.FreightRef
	held   v1alpha1.Artifacts // of ref
	reason string             // why it cannot be done; empty when it can
	gates  []v1alpha1.GateVerdict
}

// lookAtRollback finds out what a rollback of the Stage would do. An error
// means that the question makes no sense.
func (v *projectView) lookAtRollback(st *v1alpha1.Stage, to string) (rollbackAsk, error) {
	var ask rollbackAsk
	o := v.observe(st)
	if to != "" && to != "prev" {
		f, err := v.find(to, originsOf(st))
		if err != nil {
			return ask, err
		}
		ask.to = f.Name
	}
	bad := promotion.CurrentPromotion(o, "")
	for _, c := range st.Status.Current {
		if bad != nil && c.Promotion == bad.Name {
			ask.from = c.Freight
		}
	}
	if ask.from == "" && len(st.Status.Current) > 0 {
		ask.from = st.Status.Current[0].Freight
	}
	t, err := promotion.FindRollbackTarget(o, bad, ask.to)
	switch {
	case errors.Is(err, promotion.ErrNothingToRestore):
		ask.reason = err.Error()
	case err != nil:
		return ask, err
	default:
		if ask.ref, err = v.rollbackTarget(st, ask.to); err != nil {
			return ask, err
		}
		for _, c := range t.Collection {
			if c.Freight == ask.ref.Name {
				ask.held = v.artifactsOf(c)
			}
		}
	}
	// The gates of a rollback ask about the Freight that comes back.
	target := v.freightByName[ask.ref.Name]
	if target == nil {
		target = v.freightByName[ask.from]
	}
	if target != nil {
		ask.gates = promotion.Gates(unfinished(o), target, promotion.Ask{Kind: v1alpha1.KindRollback})
	}
	return ask, nil
}

// PreviewRollback returns where a Stage can go back to and what would change.
func (s *Server) PreviewRollback(ctx context.Context, request PreviewRollbackRequestObject) (PreviewRollbackResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	ask, err := v.lookAtRollback(st, request.Params.To)
	if err != nil {
		return nil, err
	}
	out := PreviewRollback200JSONResponse{
		Project: st.Namespace, Stage: st.Name, From: v.freightRef(ask.from), To: ask.ref,
		MayRollback: ask.reason == "" && len(promotion.Blocking(ask.gates, promotion.GroupEntry)) == 0, Reason: ask.reason,
		Targets: v.rollbackTargets(st, ask), Holds: true, Gates: gateModels(ask.gates),
	}
	if r := st.Status.Rollback; r != nil && r.IsPossible && (ask.to == "" || ask.to == r.Freight) {
		out.Rehearsal = r.Summary
	}
	if ask.reason == "" {
		var before []v1alpha1.Image
		for _, c := range st.Status.Current {
			if c.Freight == ask.from {
				before = v.imagesOf(c)
			}
		}
		out.Images = imageChanges(before, ask.held.Images)
		s.addRollbackPlan(ctx, v, st, ask, (*model.RollbackPreview)(&out))
	}
	if p := v.observe(st).Active(); p != nil {
		out.Aborts = v.shortPromotion(p)
	}
	return out, nil
}

// addRollbackPlan adds what the destinations would be told, as Git is now.
func (s *Server) addRollbackPlan(ctx context.Context, v *projectView, st *v1alpha1.Stage, ask rollbackAsk, out *model.RollbackPreview) {
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: st.Name, Kind: v1alpha1.KindRollback, Freight: ask.from, To: ask.to}}
	p.Namespace, p.Name = st.Namespace, "preview"
	f, err := v.freightOfPromotion(st, p)
	if err != nil {
		out.FilesMissing = err.Error()
		return
	}
	plan := s.plan(ctx, v, st, p, f)
	out.Applications, out.Risks, out.FilesMissing = plan.Applications, plan.Risks, plan.FilesMissing
}

// rollbackTargets lists what ran in the Stage before, newest first: those that
// ran well can be gone back to.
func (v *projectView) rollbackTargets(st *v1alpha1.Stage, ask rollbackAsk) []model.RollbackTarget {
	out := []model.RollbackTarget{}
	seen := map[string]bool{}
	lastGood := ""
	if ref, err := v.rollbackTarget(st, ""); err == nil {
		lastGood = ref.Name
	}
	add := func(name string, held v1alpha1.Artifacts, good bool) {
		if seen[name] || slices.Contains(v.runningIn[name], st.Name) {
			return
		}
		seen[name] = true
		t := model.RollbackTarget{Freight: v.freightRef(name), Good: good, LastGood: name == lastGood, Images: imageModels(held.Images)}
		if t.Freight.Version == "" {
			t.Freight.Version = held.Version()
		}
		if f := v.freightByName[name]; f != nil {
			rec := f.Status.Stages[st.Name]
			setTime(&t.EnteredAt, rec.EnteredAt)
			setTime(&t.LeftAt, rec.LeftAt)
		}
		for _, z := range v.rejections[name] {
			if z.Spec.Stage == st.Name || z.Spec.Stage == "*" {
				t.Rejected = z.Spec.Reason
			}
		}
		out = append(out, t)
	}
	for _, g := range st.Status.Good {
		add(g.Freight, v.artifactsOf(g), true)
	}
	for i := range v.freight {
		f := &v.freight[i]
		if rec, ok := f.Status.Stages[st.Name]; ok && rec.EnteredAt != nil {
			add(f.Name, f.Artifacts(), false)
		}
	}
	if ask.ref.Name != "" {
		add(ask.ref.Name, ask.held, true)
	}
	return out
}

// Rollback makes a Promotion of kind Rollback as the person.
func (s *Server) Rollback(ctx context.Context, request RollbackRequestObject) (RollbackResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	m, err := s.once(ctx, v, func() (model.Promotion, error) { return s.rollback(ctx, v, st, *request.Body, "") })
	if err != nil {
		return nil, err
	}
	return Rollback202JSONResponse{Body: m, Headers: Rollback202ResponseHeaders{Location: locationOf(m)}}, nil
}

// rollback makes a Promotion of kind Rollback as the person, unless one to the
// same target is on its way. retryOf, when set, is the one that is tried again.
func (s *Server) rollback(ctx context.Context, v *projectView, st *v1alpha1.Stage, body model.RollbackRequest, retryOf string) (model.Promotion, error) {
	var none model.Promotion
	ask, err := v.lookAtRollback(st, body.To)
	if err != nil {
		return none, err
	}
	for _, p := range v.promotionsOf[st.Name] {
		if kindOf(p) == v1alpha1.KindRollback && p.Spec.To == ask.to && p.Spec.Abort == nil && !phaseOf(p).IsFinished() {
			return v.promotionModel(p), nil
		}
	}
	if ask.reason != "" {
		return none, refuse(model.Conflict, "%q cannot be rolled back: %s", st.Name, ask.reason).
			withHint("waybill promote VERSION %s/%s puts another version there", st.Namespace, st.Name)
	}
	if blocking := promotion.Blocking(ask.gates, promotion.GroupEntry); len(blocking) > 0 {
		r := refuse(model.GateClosed, "%q cannot be rolled back now: %s", st.Name, joinReasons(blocking))
		r.blockedBy = blocking
		return none, r
	}
	spec := v1alpha1.PromotionSpec{
		Stage: st.Name, Kind: v1alpha1.KindRollback, Freight: ask.from, To: ask.to, Reason: body.Reason, RetryOf: retryOf,
	}
	p, err := s.createPromotion(ctx, v, st, spec, ask.from)
	if err != nil {
		return none, err
	}
	return v.promotionModel(p), nil
}
