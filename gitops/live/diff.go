package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/warehouse/chart"
)

// Difference is what a sync of an Application would change.
type Difference struct {
	// Revision that was compared with.
	Revision string
	// Before and After are the objects that differ or not, as the cluster has
	// them and as the API server says they would be, without what only a server
	// writes. An object that is only in one of them is created or deleted.
	Before, After []*unstructured.Unstructured
	// Broken says why the revision cannot be rendered; nothing would change then.
	Broken string
	// Failed are objects that the API server would refuse, or that cannot be
	// compared.
	Failed []*gitops.ObjectError
}

// Diff compares what lives with what Git says at the head of the Application's
// branch as last seen, by asking the API server to try (a server-side apply as a
// dry run), so that defaults, webhooks and conversion are part of the answer.
// Hooks are no part of it. Objects that left the source are among those deleted
// when the Application prunes.
func (i *Inspector) Diff(ctx context.Context, app *v1alpha1.Application) (Difference, error) {
	return i.diff(ctx, app, func(gitops.Key) bool { return true })
}

// DiffOf is Diff of some objects, named as they are rendered: one without a
// namespace may be in that of the Application.
func (i *Inspector) DiffOf(ctx context.Context, app *v1alpha1.Application, keys []gitops.Key) (Difference, error) {
	wanted := make(map[gitops.Key]bool, len(keys))
	for _, k := range keys {
		wanted[k] = true
	}
	return i.diff(ctx, app, func(k gitops.Key) bool {
		bare := k
		bare.Namespace = ""
		return wanted[k] || k.Namespace == app.Spec.Destination.Namespace && wanted[bare]
	})
}

// diff is Diff of the objects that are wanted.
func (i *Inspector) diff(ctx context.Context, app *v1alpha1.Application, isWanted func(gitops.Key) bool) (Difference, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out := Difference{Revision: app.Status.Sync.Target}
	if out.Revision == "" {
		out.Revision = app.Status.Sync.Revision
	}
	if out.Revision == "" {
		return out, fmt.Errorf("%w: the branch was not seen yet", ErrNoRevision)
	}
	c, limits, err := i.clusterOf(ctx, app)
	if err != nil {
		return out, err
	}
	objects, broken, err := i.Render(ctx, app, out.Revision)
	if err != nil || broken != "" {
		out.Broken = broken
		return out, err
	}
	ignore, err := gitops.ParseIgnores(app.Spec.IgnoreDifferences)
	if err != nil {
		out.Broken = err.Error()
		return out, nil
	}
	var unreachable error
	desired, failed := gitops.Prepare(objects, gitops.Preparation{
		Owner: gitops.OwnerOf(app), Namespace: app.Spec.Destination.Namespace, SyncOptions: app.Spec.SyncPolicy.SyncOptions, Ignore: ignore,
		Scope: func(gvk schema.GroupVersionKind) (bool, bool) {
			kind, served, err := c.Kind(ctx, gvk)
			if err != nil {
				unreachable = err
			}
			return kind.Namespaced, served
		},
	})
	if unreachable != nil {
		return out, fmt.Errorf("%w: %w", ErrUnreachable, unreachable)
	}
	if forbidden := gitops.CheckLimits(limits, gitops.OwnerOf(app).Cluster, desired); len(forbidden) > 0 {
		out.Failed = forbidden // nothing of such a revision is applied
		return out, nil
	}
	out.Failed = failed
	desired = slices.DeleteFunc(desired, func(d gitops.Desired) bool { return d.Options.IsHook() })
	return out, i.compare(ctx, c, app, desired, isWanted, &out)
}

// compare fills in what the cluster has, and would have.
func (i *Inspector) compare(ctx context.Context, c *cluster.Cluster, app *v1alpha1.Application, desired []gitops.Desired, isWanted func(gitops.Key) bool, out *Difference) error {
	applier := apply.New(c, fanOut)
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fanOut)
	try := func(key gitops.Key, ask func() (before, after *unstructured.Unstructured, err error)) {
		group.Go(func() error {
			before, after, err := ask()
			if err != nil && ctx.Err() != nil {
				return fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				e := &gitops.ObjectError{Key: key, Reason: string(apply.Failed), Message: err.Error()}
				var named *apply.Error
				if errors.As(err, &named) {
					e.Reason, e.Message = string(named.Reason), named.Message
				}
				out.Failed = append(out.Failed, e)
				return nil
			}
			if before != nil {
				out.Before = append(out.Before, comparable(before))
			}
			if after != nil {
				out.After = append(out.After, comparable(after))
			}
			return nil
		})
	}
	wanted := make(map[gitops.Key]bool, len(desired))
	for _, d := range desired {
		wanted[d.Key] = true
		if !isWanted(d.Key) {
			continue
		}
		try(d.Key, func() (*unstructured.Unstructured, *unstructured.Unstructured, error) {
			return applier.Rehearse(ctx, d)
		})
	}
	prunes := app.Spec.SyncPolicy.Automated != nil && app.Spec.SyncPolicy.Automated.Prune
	for _, e := range app.Status.Inventory {
		if key := gitops.EntryKey(e); prunes && !wanted[key] && isWanted(key) && e.UID != "" {
			try(key, func() (*unstructured.Unstructured, *unstructured.Unstructured, error) {
				return leaves(ctx, applier, app, e)
			})
		}
	}
	err := group.Wait()
	slices.SortFunc(out.Failed, func(a, b *gitops.ObjectError) int { return a.Key.Compare(b.Key) })
	return err
}

// leaves returns an object that left the source, and what is left of it: all,
// when its options keep it or it is not the Application's any more.
func leaves(ctx context.Context, applier *apply.Applier, app *v1alpha1.Application, e v1alpha1.InventoryEntry) (before, after *unstructured.Unstructured, err error) {
	obj, err := applier.ReadWhole(ctx, gitops.EntryKey(e), e.Version)
	if err != nil || obj == nil || string(obj.GetUID()) != e.UID || obj.GetLabels()[v1alpha1.LabelManagedBy] != gitops.OwnerOf(app).Label() {
		return nil, nil, err
	}
	if gitops.OptionsOf(obj.GetAnnotations(), app.Spec.SyncPolicy.SyncOptions).KeepOnPrune {
		return obj, obj, nil
	}
	return obj, nil, nil
}

// comparable returns obj without what only a server writes.
func comparable(obj *unstructured.Unstructured) *unstructured.Unstructured {
	out := obj.DeepCopy()
	delete(out.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		unstructured.RemoveNestedField(out.Object, "metadata", field)
	}
	return out
}

// Render returns what a revision of the Application says. broken says why it cannot be rendered.
func (i *Inspector) Render(ctx context.Context, app *v1alpha1.Application, name string) (objects []*unstructured.Unstructured, broken string, err error) {
	r, err := i.revision(ctx, app, name)
	return r.result.Objects, r.broken, err
}

// revision is what a revision of an Application consists of.
type revision struct {
	// commit is zero for a chart of a Helm repository, whose files are its own.
	commit git.Commit
	files  fs.FS
	result render.Result
	// broken says why it cannot be rendered.
	broken string
}

func (i *Inspector) revision(ctx context.Context, app *v1alpha1.Application, name string) (revision, error) {
	if app.Spec.Source.Chart != "" {
		return i.chartRevision(ctx, app, name)
	}
	hash, err := git.ParseHash(name)
	if err != nil {
		return revision{}, fmt.Errorf("%w: %w", ErrNoRevision, err)
	}
	source := app.Spec.Source
	mirror, err := i.o.Open(ctx, app.Namespace, source.RepoURL)
	if err != nil {
		return revision{}, err
	}
	commit, err := mirror.Commit(hash)
	if errors.Is(err, git.ErrUnknownObject) {
		if _, err = mirror.Fetch(ctx, source.TargetRevision); err == nil {
			commit, err = mirror.Commit(hash)
		}
	}
	if err != nil {
		return revision{}, fmt.Errorf("read %s: %w", source.RepoURL, err)
	}
	within := path.Clean(source.Path)
	if within == "." {
		within = ""
	}
	tree, err := mirror.TreeHash(hash, within)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return revision{}, fmt.Errorf("read %s: %w", source.RepoURL, err)
	}
	r := revision{commit: commit}
	if r.files, err = mirror.FS(hash); err != nil {
		return revision{}, fmt.Errorf("read %s: %w", source.RepoURL, err)
	}
	return i.rendered(ctx, app, r, tree.String(), commit.Tree.String())
}

// chartRevision is revision for an Application of a chart.
func (i *Inspector) chartRevision(ctx context.Context, app *v1alpha1.Application, version string) (revision, error) {
	if i.o.Charts == nil {
		return revision{}, fmt.Errorf("%w: charts of Helm repositories are not deployed here", ErrNoRevision)
	}
	wanted := chart.At(app.Spec.Source.RepoURL, app.Spec.Source.Chart)
	wanted.Version = version
	if app.Status.Sync.Revision == version {
		wanted.Digest = app.Status.Sync.Tree
	}
	archive, err := i.o.Charts.Fetch(ctx, app.Namespace, wanted)
	if err != nil {
		return revision{}, err //nolint:wrapcheck // names the chart already
	}
	return i.rendered(ctx, app, revision{files: render.Files(archive.Files)}, archive.Digest, archive.Digest)
}

// rendered fills in what the files of r say.
func (i *Inspector) rendered(ctx context.Context, app *v1alpha1.Application, r revision, tree, root string) (revision, error) {
	var err error
	r.result, _, err = i.o.Renders.Render(ctx, render.SourceOf(r.files, app.Spec.Source, app.Name, app.Spec.Destination.Namespace).Encrypted(app.Namespace, app.Spec.Decryption), tree, root, i.o.RenderLimits)
	if err != nil {
		if ctx.Err() != nil {
			return revision{}, ctx.Err()
		}
		r.broken = err.Error()
	}
	return r, nil
}
