package rest

import (
	"context"
	"errors"
	"slices"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/planner"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Planner works out what a promotion would change, as Git is now, by what the
// Promotion controller asks too.
type Planner interface {
	// Preview returns what p, a Promotion of freight or one that is only asked
	// about, would do.
	Preview(ctx context.Context, p *v1alpha1.Promotion, freight *v1alpha1.Freight) (*planner.Preview, error)
}

// PlanPromotion returns what promoting a Freight would change.
func (s *Server) PlanPromotion(ctx context.Context, request PlanPromotionRequestObject) (PlanPromotionResponseObject, error) {
	plan, err := s.planOf(ctx, request.Project, request.Stage, request.Params.Freight)
	return PlanPromotion200JSONResponse(plan), err
}

// PreviewPromotion is PlanPromotion for programs.
func (s *Server) PreviewPromotion(ctx context.Context, request PreviewPromotionRequestObject) (PreviewPromotionResponseObject, error) {
	plan, err := s.planOf(ctx, request.Project, request.Stage, request.Body.Freight)
	return PreviewPromotion200JSONResponse(plan), err
}

func (s *Server) planOf(ctx context.Context, project, stage, freight string) (model.Plan, error) {
	v, st, err := s.loadStage(ctx, project, stage)
	if err != nil {
		return model.Plan{}, err
	}
	r, err := v.resolveForWhy(st, freight)
	if err != nil {
		return model.Plan{}, err
	}
	plan := s.plan(ctx, v, st, asked(st, r.freight), r.freight)
	plan.Newer = v.shutOut(r)
	return plan, nil
}

// asked is a Promotion that nobody has made, to ask what it would do.
func asked(st *v1alpha1.Stage, f *v1alpha1.Freight) *v1alpha1.Promotion {
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: st.Name, Kind: v1alpha1.KindPromote, Freight: f.Name}}
	p.Namespace, p.Name = st.Namespace, "preview"
	return p
}

// PlanOfPromotion returns what a Promotion that waits is going to change.
func (s *Server) PlanOfPromotion(ctx context.Context, request PlanOfPromotionRequestObject) (PlanOfPromotionResponseObject, error) {
	v, p, st, err := s.loadPending(ctx, request.Project, request.Promotion)
	if err != nil {
		return nil, err
	}
	f, err := v.freightOfPromotion(st, p)
	if err != nil {
		return nil, err
	}
	out := s.plan(ctx, v, st, p, f)
	out.Promotion = v.promotionModel(p)
	if a := promotion.AskedOf(st, p); a != nil && a.Step != "" {
		out.PlanHash = p.Status.Plan.Hash // frozen: what is shown beside it is what is left to do
	}
	if p.Status.Plan != nil && p.Status.Plan.Hash != "" && out.PlanHash != "" {
		out.Changed = p.Status.Plan.Hash != out.PlanHash
	}
	return PlanOfPromotion200JSONResponse(out), nil
}

// loadPending returns a Promotion that has not started, or that waits for an
// approval in one of its steps.
func (s *Server) loadPending(ctx context.Context, project, name string) (*projectView, *v1alpha1.Promotion, *v1alpha1.Stage, error) {
	v, p, err := s.loadPromotion(ctx, project, name)
	if err != nil {
		return nil, nil, nil, err
	}
	if p == nil {
		return nil, nil, nil, noPromotion(project, name)
	}
	if !promotion.IsPending(p) && promotion.AskedByStep(p) == nil {
		return nil, nil, nil, refuse(model.Conflict, "Promotion %q does not wait any more: %s", name, phaseOf(p)).
			withHint("waybill history %s/%s", project, p.Spec.Stage)
	}
	st, err := v.stage(p.Spec.Stage)
	return v, p, st, err
}

// freightOfPromotion returns what p promotes, or takes back.
func (v *projectView) freightOfPromotion(st *v1alpha1.Stage, p *v1alpha1.Promotion) (*v1alpha1.Freight, error) {
	if f := v.freightByName[p.Spec.Freight]; f != nil {
		return f, nil
	}
	for _, c := range st.Status.Current {
		if kindOf(p) == v1alpha1.KindRollback && (p.Spec.Freight == "" || c.Freight == p.Spec.Freight) {
			f := &v1alpha1.Freight{Origin: v1alpha1.Origin{Name: c.Origin}, Images: c.Images}
			f.Namespace, f.Name = p.Namespace, c.Freight
			return f, nil
		}
	}
	return nil, refuse(model.NotFound, "the Freight of Promotion %q is gone", p.Name)
}

// plan is everything people see before they agree to p.
func (s *Server) plan(ctx context.Context, v *projectView, st *v1alpha1.Stage, p *v1alpha1.Promotion, f *v1alpha1.Freight) model.Plan {
	o := v.observe(st)
	preview, err := s.preview(ctx, st, p, f)
	var j verdicts
	if preview != nil {
		j = judgePlan(o, f, preview.Plan)
	} else {
		j = judge(o, f)
	}
	if kindOf(p) == v1alpha1.KindRollback {
		j.all = promotion.Gates(o, f, promotion.AskOf(p))
		j.mayPromote = len(promotion.Blocking(j.all, promotion.GroupEntry)) == 0
	}
	collection := promotion.Collection(st, f)
	after := f.Images
	var before []v1alpha1.Image
	if cur := promotion.Current(st, f.Origin.Name); cur != nil {
		before = v.imagesOf(*cur)
	}
	out := model.Plan{
		Project: st.Namespace, Stage: st.Name, Freight: v.freightRef(f.Name), MayPromote: j.mayPromote, Gates: gateModels(j.all),
	}
	if active := o.Active(); active != nil {
		out.BusyWith = v.shortPromotion(active)
	}
	var terminal *step.TerminalError
	switch {
	case errors.As(err, &terminal):
		out.FilesMissing = terminal.Error() // what the Promotion would end with
	case err != nil:
		s.log.Warn("a plan could not be worked out", "stage", st.Namespace+"/"+st.Name, "requestId", requestID(ctx), "error", err)
		out.FilesMissing = "Git could not be read; request " + requestID(ctx)
	case preview == nil:
		out.FilesMissing = "this server plans from definitions only"
	default:
		addPreview(&out, preview)
		s.addLive(ctx, v, preview, out.Applications)
		if kindOf(p) == v1alpha1.KindRollback {
			collection = preview.Plan.Collection
			if c := slices.IndexFunc(collection, func(c v1alpha1.StageFreight) bool { return c.Origin == f.Origin.Name }); c >= 0 {
				after = v.imagesOf(collection[c])
			}
		}
	}
	out.Images, out.Writes = imageChanges(before, after), v.writes(st, collection)
	return out
}

// preview works the plan out; nil when this server cannot, or nothing is
// promoted into the Stage.
func (s *Server) preview(ctx context.Context, st *v1alpha1.Stage, p *v1alpha1.Promotion, f *v1alpha1.Freight) (*planner.Preview, error) {
	if s.opts.Planner == nil || promotion.IsControlFlow(st) {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	preview, err := s.opts.Planner.Preview(ctx, p.DeepCopy(), f)
	if err == nil && preview == nil {
		err = errors.New("the planner has no answer")
	}
	return preview, err //nolint:wrapcheck // names the repository already
}

// planForBase returns the plan of promoting f where only a plan knows whether f
// may enter (requireSameBase); nil elsewhere, and when it cannot be made.
func (s *Server) planForBase(ctx context.Context, st *v1alpha1.Stage, f *v1alpha1.Freight) *v1alpha1.PromotionPlan {
	if !promotion.NeedsSameBase(st, f) {
		return nil
	}
	preview, err := s.preview(ctx, st, asked(st, f), f)
	if err != nil {
		s.log.Warn("a plan could not be worked out", "stage", st.Namespace+"/"+st.Name, "requestId", requestID(ctx), "error", err)
	}
	if err != nil || preview == nil {
		return nil
	}
	return preview.Plan
}

func addPreview(out *model.Plan, p *planner.Preview) {
	out.PlanHash = p.Plan.Hash
	out.Files = []model.FileChange{}
	for _, f := range p.Files {
		m := model.FileChange{RepoURL: f.RepoURL, Path: f.Path, Scalars: []model.ScalarChange{}}
		for _, sc := range f.Scalars {
			m.Scalars = append(m.Scalars, model.ScalarChange{Field: sc.Field, Before: sc.Before, After: sc.After})
		}
		out.Files = append(out.Files, m)
	}
	for _, c := range p.Commits {
		out.Commits = append(out.Commits, model.PlannedCommit{RepoURL: c.RepoURL, Commit: c.Commit, Author: c.Author, Subject: c.Subject, At: c.When.UTC()})
	}
	for _, c := range p.Plan.Overwrites {
		out.Overwrites = append(out.Overwrites, model.PlannedCommit{Commit: c.Commit, Author: c.Author, Subject: c.Subject})
	}
	for _, c := range p.Plan.Accepted {
		out.Accepted = append(out.Accepted, model.AcceptedCommit{Commit: c.Commit, By: c.By, Fields: slices.Clone(c.Fields)})
	}
	if r := p.Plan.RidingAlong; r != nil {
		out.RidingAlong = model.RidingAlong{Stage: r.Stage, Unknown: r.Unknown, Commits: []model.PlannedCommit{}}
		for _, c := range r.Commits {
			m := model.PlannedCommit{RepoURL: c.RepoURL, Commit: c.Commit, Author: c.Author, Subject: c.Subject}
			if c.At != nil {
				m.At = c.At.UTC()
			}
			out.RidingAlong.Commits = append(out.RidingAlong.Commits, m)
		}
	}
	for _, r := range p.Risks {
		out.Risks = append(out.Risks, model.Risk{Flag: model.RiskFlag(r.Flag), Sentence: r.Sentence})
	}
	out.Applications = []model.PlannedApplication{}
	for i := range p.Applications {
		app := plannedApplicationModel(&p.Applications[i])
		for _, o := range app.Objects {
			out.Risks = append(out.Risks, o.Risks...)
		}
		out.Applications = append(out.Applications, app)
	}
}

func plannedApplicationModel(a *planner.Application) model.PlannedApplication {
	out := model.PlannedApplication{
		Name: a.Name, Cluster: a.Destination.Cluster, Namespace: a.Destination.Namespace, Path: a.Source.Path, Broken: a.Broken,
		Objects: []model.ObjectChange{},
	}
	if out.Cluster == "" {
		out.Cluster = v1alpha1.InCluster
	}
	changes := gitops.Compare(a.Before, a.After)
	if a.Broken != "" {
		changes = nil // nothing is applied then, and nothing deleted
	}
	stays := len(a.After)
	for i := range changes {
		c := &changes[i]
		if c.Kind != gitops.ObjectDeleted {
			stays--
		}
		out.Added, out.Removed = out.Added+c.Added, out.Removed+c.Removed
		out.Objects = append(out.Objects, objectChange(c))
	}
	out.Unchanged = stays
	return out
}

// objectChange is how one object differs, as the API says it.
func objectChange(c *gitops.ObjectChange) model.ObjectChange {
	m := model.ObjectChange{
		Group: c.Key.Group, Kind: c.Key.Kind, Namespace: c.Key.Namespace, Name: c.Key.Name, Change: model.ObjectChangeChange(c.Kind),
		Diff: c.Diff, Cut: c.IsCut, Added: c.Added, Removed: c.Removed,
	}
	for _, f := range c.Fields {
		m.Fields = append(m.Fields, model.ScalarChange{Field: f.Field, Before: f.Before, After: f.After})
	}
	for _, r := range c.Risks {
		m.Risks = append(m.Risks, model.Risk{Flag: model.RiskFlag(r.Flag), Sentence: r.Sentence})
	}
	return m
}
