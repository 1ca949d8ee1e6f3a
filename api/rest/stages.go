package rest

import (
	"context"
	"errors"
	"slices"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// latestPromotions is how many a Stage page and the pipeline's activity show.
const latestPromotions = 20

// ListStages returns the Stages of a Project, upstream first.
func (s *Server) ListStages(ctx context.Context, request ListStagesRequestObject) (ListStagesResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	out := ListStages200JSONResponse{Items: make([]model.Stage, 0, len(v.stages))}
	for i := range v.stages {
		out.Items = append(out.Items, v.stageModel(&v.stages[i]))
	}
	return out, nil
}

// GetStage returns one Stage with its Applications and latest Promotions.
func (s *Server) GetStage(ctx context.Context, request GetStageRequestObject) (GetStageResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	out := GetStage200JSONResponse{Stage: v.stageModel(st), Promotions: []model.Promotion{}, Conditions: conditionModels(st.Status.Conditions)}
	for i, p := range v.promotionsOf[st.Name] {
		if i == latestPromotions {
			break
		}
		out.Promotions = append(out.Promotions, v.promotionModel(p))
	}
	out.Applications = v.applicationsOf(st)
	return out, nil
}

func (s *Server) loadStage(ctx context.Context, project, stage string) (*projectView, *v1alpha1.Stage, error) {
	v, err := s.loadProject(ctx, project)
	if err != nil {
		return nil, nil, err
	}
	st, err := v.stage(stage)
	return v, st, err
}

func (v *projectView) applicationsOf(st *v1alpha1.Stage) []model.Application {
	out := []model.Application{}
	for i := range v.apps {
		if v.apps[i].Labels[v1alpha1.LabelStage] == st.Name {
			out = append(out, v.applicationModel(&v.apps[i]))
		}
	}
	return out
}

// stageModel is everything a card of the pipeline shows.
func (v *projectView) stageModel(st *v1alpha1.Stage) model.Stage {
	o := v.observe(st)
	health := healthOf(st)
	out := model.Stage{
		Name: st.Name, Project: st.Namespace, Rank: v.ranks[st.Name],
		Auto: st.Spec.AutoPromotion.Enabled, ControlFlow: promotion.IsControlFlow(st),
		Status: statusModel(promotion.Summarize(o)), Health: model.Health(health.Status), HealthReason: health.Reason, HealthMessage: health.Message,
		Synced: st.Status.Synced, Upstream: promotion.UpstreamOf(st), Origins: v.stageFreightModels(st.Status.Current),
		Destinations: v.applicationsOf(st), Behind: len(v.newerThanCurrent(st)),
	}
	if out.Upstream == nil {
		out.Upstream = []string{}
	}
	out.Freight = together(out.Origins)
	if m := st.Spec.PromotionMechanisms; m != nil {
		for _, u := range m.GitRepoUpdates {
			out.Branches = append(out.Branches, model.Branch{RepoURL: u.RepoURL, ReadBranch: u.ReadBranch, WriteBranch: u.WriteBranch})
		}
	}
	if f, j := v.next(st, ""); f != nil {
		out.Next = model.NextFreight{Freight: v.freightRef(f.Name), MayPromote: j.mayPromote, Closed: closedGates(j.all)}
	}
	if t, err := v.rollbackTarget(st, ""); err == nil {
		out.RollbackTo = t
	}
	if r := st.Status.Rollback; r != nil {
		out.Rollback = r.Summary
	}
	if p := o.Active(); p != nil {
		out.ActivePromotion = v.shortPromotion(p)
	}
	if promotion.HasChecks(st) {
		out.Checks = len(st.Spec.Verification.Checks)
	}
	out.Verification = v.lastVerification(st)
	for _, p := range v.promotionsOf[st.Name] {
		if promotion.IsPending(p) {
			out.PendingPromotions = append(out.PendingPromotions, v.shortPromotion(p))
		}
	}
	for _, p := range v.promotionsOf[st.Name] {
		if phaseOf(p).IsFinished() {
			out.LastPromotion = v.activityModel(p)
			break
		}
	}
	for i := range v.freezes {
		z := &v.freezes[i]
		if (z.Spec.Stage != st.Name && z.Spec.Stage != "*") || len(z.Spec.Freight) > 0 {
			continue
		}
		out.Freezes = append(out.Freezes, v.freezeModel(z))
		switch scopeOf(z) {
		case v1alpha1.FreezeAutomatic:
			out.Held = true
		case v1alpha1.FreezeAll:
			out.Frozen = true
		}
	}
	return out
}

// shortPromotion leaves out the status of the Stage it stands in.
func (v *projectView) shortPromotion(p *v1alpha1.Promotion) model.Promotion {
	m := v.promotionModel(p)
	m.StageStatus, m.StageHealth, m.Verified = model.Status{}, "", false
	for i := range m.Verification.Checks {
		m.Verification.Checks[i].Log = ""
	}
	for i := range m.Steps {
		m.Steps[i].Log = ""
	}
	return m
}

// together shows what runs in a Stage as one: the Freight of the first origin
// and the images of all.
func together(origins []model.StageFreight) model.StageFreight {
	if len(origins) == 0 {
		return model.StageFreight{}
	}
	out := origins[0]
	out.Images, out.Commits, out.Charts = slices.Clone(out.Images), slices.Clone(out.Commits), slices.Clone(out.Charts)
	for _, o := range origins[1:] {
		out.Images, out.Commits, out.Charts = append(out.Images, o.Images...), append(out.Commits, o.Commits...), append(out.Charts, o.Charts...)
	}
	return out
}

// rollbackTarget returns the Freight a rollback would lead to.
func (v *projectView) rollbackTarget(st *v1alpha1.Stage, to string) (model.FreightRef, error) {
	o := v.observe(st)
	t, err := promotion.FindRollbackTarget(o, promotion.CurrentPromotion(o, ""), to)
	if err != nil {
		return model.FreightRef{}, err
	}
	if len(t.Collection) == 0 {
		return model.FreightRef{}, promotion.ErrNothingToRestore
	}
	name := t.Collection[0].Freight
	for _, c := range t.Collection {
		if !slices.Contains(v.runningIn[c.Freight], st.Name) {
			name = c.Freight // the one that changes
			break
		}
	}
	ref := v.freightRef(name)
	if ref.Version == "" {
		for _, c := range t.Collection {
			if c.Freight == name {
				ref.Version, ref.Origin = c.Artifacts().Version(), c.Origin
			}
		}
	}
	return ref, nil
}

// Why returns every gate's verdict for one Freight and one Stage.
func (s *Server) Why(ctx context.Context, request WhyRequestObject) (WhyResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	r, err := v.resolveForWhy(st, request.Params.Freight)
	if err != nil {
		return nil, err
	}
	j := judgePlan(v.observe(st), r.freight, s.planForBase(ctx, st, r.freight))
	return Why200JSONResponse{
		Project: st.Namespace, Stage: st.Name, Freight: v.freightRef(r.freight.Name), Newer: v.shutOut(r),
		State: model.WhyState(v.stateOf(st, r.freight, j.mayPromote)), MayPromote: j.mayPromote, MayFlow: j.mayFlow,
		Gates: gateModels(j.all), Verifications: v.verificationsFor(st, r.freight),
	}, nil
}

// resolveForWhy is resolveFor, save that latest is the newest Freight when none
// may enter: why is asked exactly then.
func (v *projectView) resolveForWhy(st *v1alpha1.Stage, text string) (resolved, error) {
	r, err := v.resolveFor(st, text)
	var refused *refusal
	if text == "latest" && r.newer != nil && errors.As(err, &refused) && refused.code == model.GateClosed {
		return resolved{freight: r.newer}, nil
	}
	return r, err
}

func (v *projectView) shutOut(r resolved) model.ShutOut {
	if r.newer == nil {
		return model.ShutOut{}
	}
	return model.ShutOut{Freight: v.freightRef(r.newer.Name), Closed: gateModels(r.newerClosed)}
}

func (v *projectView) imagesOf(f v1alpha1.StageFreight) []v1alpha1.Image {
	return v.artifactsOf(f).Images
}

// artifactsOf is what a Freight in a Stage holds, as the Stage remembers it, or
// as the Freight itself says.
func (v *projectView) artifactsOf(f v1alpha1.StageFreight) v1alpha1.Artifacts {
	held := f.Artifacts()
	if known := v.freightByName[f.Freight]; held.IsEmpty() && known != nil {
		return known.Artifacts()
	}
	return held
}

// writes lists what the Stage's mechanisms set, before and after.
func (v *projectView) writes(st *v1alpha1.Stage, collection []v1alpha1.StageFreight) []model.Write {
	out := []model.Write{}
	if st.Spec.PromotionMechanisms == nil {
		return out
	}
	find := func(fs []v1alpha1.StageFreight, repo string) (v1alpha1.Image, bool) {
		for _, f := range fs {
			for _, img := range v.imagesOf(f) {
				if img.RepoURL == repo {
					return img, true
				}
			}
		}
		return v1alpha1.Image{}, false
	}
	for _, u := range st.Spec.PromotionMechanisms.GitRepoUpdates {
		for _, k := range u.Kustomize.Images {
			w := model.Write{RepoURL: u.RepoURL, ReadBranch: u.ReadBranch, Branch: u.WriteBranch, Path: k.Path, Image: k.Image}
			if img, ok := find(st.Status.Current, k.Image); ok {
				w.Before = written(img, k.PinMode())
			}
			if img, ok := find(collection, k.Image); ok {
				w.After = written(img, k.PinMode())
			}
			w.Changed = w.Before != w.After
			out = append(out, w)
		}
		for _, h := range u.Helm.Images {
			w := model.Write{RepoURL: u.RepoURL, ReadBranch: u.ReadBranch, Branch: u.WriteBranch, Path: h.ValuesFilePath, Image: h.Image}
			if img, ok := find(st.Status.Current, h.Image); ok {
				w.Before = promotion.HelmValueOf(h.Value, img)
			}
			if img, ok := find(collection, h.Image); ok {
				w.After = promotion.HelmValueOf(h.Value, img)
			}
			w.Changed = w.Before != w.After
			out = append(out, w)
		}
	}
	return out
}
