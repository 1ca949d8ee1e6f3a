package planner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Application is what one Application of a Stage is told by Git, before a
// promotion and after.
type Application struct {
	// Name of the Application.
	Name string
	// Source it reads.
	Source v1alpha1.ApplicationSource
	// Before and After are the rendered objects, shared: they are never changed.
	// None when nothing is there yet.
	Before, After []*unstructured.Unstructured
	// Broken says why the manifests afterwards cannot be rendered; "" when they
	// can. WasBroken says it of those before.
	Broken, WasBroken string
	// Project and Decryption say where the keys for encrypted files are.
	Project    string
	Decryption *v1alpha1.Decryption
	// Files that the manifests are made from, before and after.
	Files map[string]bool
	// Destination they go to.
	Destination v1alpha1.Destination

	beforeTree, afterTree string
}

// Rehearsal is a plan with what it comes to, worked out on throw-away trees by
// the steps themselves.
type Rehearsal struct {
	Plan *v1alpha1.PromotionPlan
	// Trees that would be pushed.
	Trees []*workspace.Tree
	// Applications whose branch is written, in the order of spec.deploy.
	Applications []Application

	// merges are the branches that pull requests are merged into.
	merges []promotion.Write
}

// Rehearse makes the plan of p, runs its steps without any effect, and renders
// what the Stage's Applications are told before and after. The plan has its
// hash. With an error after the plan was made, the answer holds the plan alone.
func (l *Planner) Rehearse(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight) (*Rehearsal, error) {
	ctx = git.OneLook(ctx)
	plan, err := l.Plan(ctx, o, p, freight)
	if err != nil {
		return nil, err
	}
	r := &Rehearsal{Plan: plan}
	if err := l.rehearse(ctx, o, p, freight, r); err != nil {
		return &Rehearsal{Plan: plan}, err
	}
	return r, nil
}

// rehearse completes a rehearsal that has a plan.
func (l *Planner) rehearse(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight, r *Rehearsal) error {
	work := p.DeepCopy()
	work.Status.Plan = r.Plan
	for _, w := range promotion.PlannedWrites(work) {
		if w.ByPullRequest {
			r.merges = append(r.merges, w)
		}
	}
	trees, err := l.Engine.Rehearse(ctx, work, o.Now)
	if err != nil {
		return err //nolint:wrapcheck // names the step already
	}
	r.Trees = trees
	if err := l.renderAll(ctx, o.Stage, r); err != nil {
		return err
	}
	if p.Spec.Kind != v1alpha1.KindRollback {
		if r.Plan.RidingAlong, err = l.ridesAlong(ctx, o, r, freight); err != nil {
			return err
		}
	}
	rendered := make([]promotion.Rendered, 0, len(r.Applications))
	for i := range r.Applications {
		d, err := r.Applications[i].digests()
		if err != nil {
			return err
		}
		rendered = append(rendered, d)
	}
	r.Plan.Hash, err = promotion.PlanHash(o.Stage, r.Plan, rendered)
	return err //nolint:wrapcheck // names the step already
}

// digests returns what of the Application goes into the hash. Manifests that
// cannot be rendered count by the tree they are in.
func (a *Application) digests() (promotion.Rendered, error) {
	out := promotion.Rendered{Application: a.Name}
	for _, side := range []struct {
		into    *string
		objects []*unstructured.Unstructured
		broken  string
		tree    string
	}{{&out.Before, a.Before, a.WasBroken, a.beforeTree}, {&out.After, a.After, a.Broken, a.afterTree}} {
		if side.broken != "" {
			*side.into = "tree " + side.tree
			continue
		}
		d, err := promotion.ObjectsDigest(side.objects)
		if err != nil {
			return out, fmt.Errorf("application %q: %w", a.Name, err)
		}
		*side.into = d
	}
	return out, nil
}

// renderAll renders every Application whose branch one of the trees is.
func (l *Planner) renderAll(ctx context.Context, stage *v1alpha1.Stage, r *Rehearsal) error {
	for i := range stage.Spec.Deploy {
		d := &stage.Spec.Deploy[i]
		app := Application{
			Name: promotion.ApplicationName(stage, d), Source: promotion.ApplicationSource(stage, d), Destination: d.Destination,
			Project: stage.Namespace, Decryption: d.Decryption, Files: map[string]bool{},
		}
		tree := r.treeOf(app.Source)
		if tree == nil {
			continue
		}
		var err error
		if app.Before, app.WasBroken, app.beforeTree, err = l.renderTree(ctx, tree.Mirror, tree.Head, &app, d.Destination.Namespace); err != nil {
			return err
		}
		if app.After, app.Broken, app.afterTree, err = l.renderTree(ctx, tree.Mirror, tree.Root, &app, d.Destination.Namespace); err != nil {
			return err
		}
		r.Applications = append(r.Applications, app)
	}
	return nil
}

func treeOf(trees []*workspace.Tree, source v1alpha1.ApplicationSource) *workspace.Tree {
	for _, t := range trees {
		if t != nil && t.Branch == source.TargetRevision && promotion.IsSameRepository(t.RepoURL, source.RepoURL) {
			return t
		}
	}
	return nil
}

// treeOf returns the tree that the source is going to be: that of its branch, or
// where a pull request is to be merged into that, the one which is pushed for it.
func (r *Rehearsal) treeOf(source v1alpha1.ApplicationSource) *workspace.Tree {
	if t := treeOf(r.Trees, source); t != nil {
		return t
	}
	for _, w := range r.merges {
		if w.Branch != source.TargetRevision || !promotion.IsSameRepository(w.RepoURL, source.RepoURL) {
			continue
		}
		for _, t := range r.Trees {
			if t != nil && promotion.IsSameRepository(t.RepoURL, source.RepoURL) {
				return t
			}
		}
	}
	return nil
}

// renderTree renders what a commit or tree says to the Application, and adds the
// files it read. broken says why it cannot be; err is of
// the context or the mirror.
func (l *Planner) renderTree(ctx context.Context, m *git.Mirror, at git.Hash, app *Application, namespace string) (objects []*unstructured.Unstructured, broken, tree string, err error) {
	if at.IsZero() {
		return nil, "", "", nil
	}
	source := app.Source
	root, err := m.TreeHash(at, "")
	if err != nil {
		return nil, "", "", fmt.Errorf("read %s: %w", source.RepoURL, err)
	}
	within := path.Clean(source.Path)
	if within == "." {
		within = ""
	}
	if folder, err := m.TreeHash(at, within); err == nil {
		tree = folder.String()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", "", fmt.Errorf("read %s: %w", source.RepoURL, err)
	}
	files, err := m.FS(at)
	if err != nil {
		return nil, "", "", fmt.Errorf("read %s: %w", source.RepoURL, err)
	}
	result, _, err := l.Renders.Render(ctx, render.SourceOf(files, source, app.Name, namespace).Encrypted(app.Project, app.Decryption), tree, root.String(), l.Limits)
	switch {
	case err == nil:
		for _, name := range result.Files {
			app.Files[name] = true
		}
		for _, o := range result.Objects { // shared with everybody who renders
			objects = append(objects, o.DeepCopy())
		}
		return objects, "", tree, nil
	case ctx.Err() != nil:
		return nil, "", "", ctx.Err()
	case errors.Is(err, render.ErrTimeout):
		return nil, "", "", err //nolint:wrapcheck // names the path already; the next try may be faster
	default:
		return nil, promotion.Shorten(err.Error(), maxBroken), tree, nil
	}
}

// maxBroken bounds why manifests cannot be rendered, in bytes.
const maxBroken = 1024
