package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/accept"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion"
)

// reviewFanOut is how many questions to RBAC one request has under way.
const reviewFanOut = 16

// Trace returns where an object in a cluster came from.
func (s *Server) Trace(ctx context.Context, request TraceRequestObject) (TraceResponseObject, error) {
	if s.opts.Inspector == nil {
		return nil, refuse(model.Unavailable, "this server does not look into clusters")
	}
	q := request.Params
	apps, err := s.visibleApplications(ctx, q.Cluster)
	if err != nil {
		return nil, err
	}
	asked := live.Asked{Kind: gitops.ParseKindName(q.Kind), Namespace: q.Namespace, Name: q.Name}
	found, err := s.opts.Inspector.Trace(ctx, apps, asked)
	if err != nil {
		return nil, err
	}
	if len(found.Trails) == 0 {
		return nil, untraced(q, found, len(apps))
	}
	out := Trace200JSONResponse{Items: []model.TraceItem{}, Unreachable: found.Unreachable, Cut: found.IsCut}
	views := map[string]*projectView{}
	for _, t := range found.Trails {
		v := views[t.App.Namespace]
		if v == nil {
			if v, err = s.loadProject(ctx, t.App.Namespace); err != nil {
				return nil, err
			}
			views[t.App.Namespace] = v
		}
		item, err := s.traceItem(ctx, v, t)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// visibleApplications returns the Applications that the person may list and that
// deploy to a cluster; "" means any. They must not be changed.
func (s *Server) visibleApplications(ctx context.Context, cluster string) ([]*v1alpha1.Application, error) {
	var all v1alpha1.ApplicationList
	if err := s.opts.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Applications: %w", err)
	}
	byProject := map[string][]*v1alpha1.Application{}
	for i := range all.Items {
		app := &all.Items[i]
		if cluster == "" || gitops.OwnerOf(app).Cluster == cluster {
			byProject[app.Namespace] = append(byProject[app.Namespace], app)
		}
	}
	var mu sync.Mutex
	var out []*v1alpha1.Application
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reviewFanOut)
	for project, apps := range byProject {
		group.Go(func() error {
			allowed, err := s.may(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "applications", Namespace: project})
			if err == nil && allowed {
				mu.Lock()
				defer mu.Unlock()
				out = append(out, apps...)
			}
			return err
		})
	}
	err := group.Wait()
	slices.SortFunc(out, func(a, b *v1alpha1.Application) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out, err
}

// untraced says that nothing manages an object: that it is not there, is nobody's,
// and is hidden are one answer.
func untraced(q model.TraceParams, found live.Traced, apps int) *refusal {
	where := ""
	if q.Namespace != "" {
		where = fmt.Sprintf(" in Namespace %q", q.Namespace)
	}
	if q.Cluster != "" {
		where += fmt.Sprintf(" of cluster %q", q.Cluster)
	}
	r := refuse(model.NotFound, "no Application that you may see manages %s %q%s, or what owns it", q.Kind, q.Name, where)
	switch {
	case apps == 0:
		return r.withHint("waybill status lists what you may see")
	case len(found.Unreachable) > 0:
		return r.withHint("cluster %s does not answer: there only what was applied is known, by the whole name of its kind", strings.Join(found.Unreachable, ", "))
	case !found.IsKind:
		return r.withHint("no cluster of these Applications has a kind %q: kubectl api-resources lists them", q.Kind)
	case found.IsCut:
		return r.withHint("not every Namespace was looked into: name one with --namespace")
	default:
		return r.withHint("kubectl shows whether it exists, and its managedFields who wrote it")
	}
}

// traceItem goes on from the Application to the commit, the Promotion and the
// Freight.
func (s *Server) traceItem(ctx context.Context, v *projectView, t live.Trail) (model.TraceItem, error) {
	app := t.App
	out := model.TraceItem{Application: v.applicationModel(app)}
	for _, n := range t.Nodes {
		out.Path = append(out.Path, nodeModel(n))
	}
	origin, err := s.opts.Inspector.Origin(ctx, app, t.Nodes[len(t.Nodes)-1].Key)
	switch {
	case errors.Is(err, live.ErrNoRevision):
		out.Missing = append(out.Missing, "commit: no revision was applied yet")
	case err != nil && ctx.Err() != nil:
		return out, ctx.Err()
	case err != nil: // what a Git server says may name addresses
		s.log.Warn("a revision could not be read", "application", app.Namespace+"/"+app.Name, "requestId", requestID(ctx), "error", err)
		out.Missing = append(out.Missing, "file and commit: the repository cannot be read now")
	default:
		out.File = origin.File
		out.Commit, out.AcceptedBy = revisionModel(app, origin.Commit)
	}
	st := v.stageByName[app.Labels[v1alpha1.LabelStage]]
	if st == nil {
		return out, nil
	}
	allowed, err := s.may(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "promotions", Namespace: app.Namespace})
	if err != nil || !allowed {
		return out, err
	}
	if out.Promotion, out.Wrote, err = s.promotionBehind(ctx, v, st, out.Application.Revision, origin.Commit); err != nil {
		out.Missing = append(out.Missing, "promotion: "+refusalOf(err).detail)
	}
	out.Freight = v.freightBehind(st, &out.Promotion)
	return out, nil
}

// revisionModel shows the commit that an Application runs, and who accepted drift
// with it.
func revisionModel(app *v1alpha1.Application, c git.Commit) (shown model.GitCommit, acceptedBy string) {
	if c.Hash == (git.Hash{}) {
		return model.GitCommit{}, "" // a chart
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	if r, ok := accept.RecordOf(c, app.Namespace); ok {
		acceptedBy = r.By
	}
	return model.GitCommit{
		RepoURL: app.Spec.Source.RepoURL, ID: c.Hash.String(), Branch: app.Spec.Source.TargetRevision, Message: subject, Author: c.Author.Name, Date: c.When,
	}, acceptedBy
}

// promotionBehind returns the Promotion that wrote what an Application runs, or,
// when a person did, the last into the Stage. What a commit says of itself only
// leads to a Promotion: its own record decides.
func (s *Server) promotionBehind(ctx context.Context, v *projectView, st *v1alpha1.Stage, revision string, c git.Commit) (last model.Promotion, isWriter bool, err error) {
	for _, p := range v.promotionsOf[st.Name] {
		if one, all := commitsOf(p); wrote(one, all, revision) {
			return v.shortPromotion(p), true, nil
		}
	}
	var names []string
	if named, isOurs := strings.CutPrefix(c.Trailers.Get(promotion.TrailerPromotion), v.project.Name+"/"); isOurs {
		names = append(names, named)
	}
	current := map[string]bool{}
	for _, f := range st.Status.Current {
		names, current[f.Promotion] = append(names, f.Promotion), f.Promotion != ""
	}
	for _, name := range names {
		p, known, found := s.promotionNamed(ctx, v, name)
		if found != nil {
			err = found
		}
		switch {
		case !known || p.Stage != st.Name:
		case wrote(p.Commit, p.Commits, revision):
			return p, true, nil
		case last.Name == "" && current[name]:
			last = p
		}
	}
	return last, false, err
}

// promotionNamed returns a Promotion of the cluster, or of the history.
func (s *Server) promotionNamed(ctx context.Context, v *projectView, name string) (p model.Promotion, isKnown bool, err error) {
	for i := range v.promotions {
		if v.promotions[i].Name == name {
			return v.shortPromotion(&v.promotions[i]), true, nil
		}
	}
	if name == "" {
		return p, false, nil
	}
	if p, err = s.recorded(ctx, v.project.Name, name); err == nil {
		return p, true, nil
	}
	if refusalOf(err).code == model.NotFound {
		err = nil
	}
	return p, false, err
}

// wrote reports whether a revision is among the commits that a Promotion made.
func wrote(last model.Commit, all []model.Commit, revision string) bool {
	is := func(c model.Commit) bool { return revision != "" && c.Commit == revision && !c.Unchanged }
	return is(last) || slices.ContainsFunc(all, is)
}

// freightBehind is what a Stage runs, what p brought first.
func (v *projectView) freightBehind(st *v1alpha1.Stage, p *model.Promotion) []model.StageFreight {
	brought := p.Freight.Name
	if p.Kind == model.PromotionKindRollback {
		brought = p.To.Name
	}
	out := v.stageFreightModels(st.Status.Current)
	at := slices.IndexFunc(out, func(f model.StageFreight) bool { return f.Name == brought })
	switch f := v.freightByName[brought]; {
	case at > 0:
		out[0], out[at] = out[at], out[0]
	case at < 0 && f != nil: // not the Stage's yet, or no more
		out = slices.Insert(out, 0, v.stageFreightModel(v1alpha1.StageFreight{Freight: f.Name, Origin: f.Origin.Name, Promotion: p.Name}))
	}
	return out
}
