package controllers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
	"github.com/waybill-dev/waybill/gitops/render"
)

// observation is all that one pass found out, and later what it did.
type observation struct {
	app *v1alpha1.Application
	now time.Time
	t   *target
	// problem keeps the pass from syncing; nil when there is none.
	problem *problem
	// waiting says that an answer is on its way and will wake us: nothing is
	// said about the state yet.
	waiting bool
	// superseded is the error of a context that ended.
	superseded error

	// request is the sync that somebody asked for; nil: none.
	request *v1alpha1.SyncRequest
	// handled is the value of waybill.dev/requested-at that this pass answers.
	handled string
	// head of the branch, "" when unknown; revision is what has to run, which
	// is not the head when nobody asked for that yet.
	head, revision string
	tree           string
	// chart is the newest version in the range, for an Application of a chart.
	chart   v1alpha1.Chart
	desired []gitops.Desired
	refused []*gitops.ObjectError
	kinds   []schema.GroupVersionKind
	plan    *gitops.Plan
	// hooks of the revision, by wave; defines are the kinds its definitions make.
	hooks   []gitops.Desired
	defines map[schema.GroupKind]bool
	// operation is the sync with hooks that this pass works on; nil: none.
	operation *v1alpha1.Operation
	// held is what the sync waits for, in one sentence; heldReason its word.
	held, heldReason string
	// lost says that what is held has failed, and trying again is of no use.
	lost bool

	lane apply.Lane
	// applied: every object of revision is applied.
	applied bool
	// recheck is the earliest instant at which time changes something.
	recheck time.Time
}

// look names an instant at which something changes by itself.
func (o *observation) look(at time.Time) {
	if !at.IsZero() && (o.recheck.IsZero() || at.Before(o.recheck)) {
		o.recheck = at
	}
}

// observe reads everything a pass needs. Requests go out only when something is
// new: a head, a content, a kind.
func (r *ApplicationReconciler) observe(ctx context.Context, s *appState, app *v1alpha1.Application) observation {
	o := observation{app: app, now: r.opts.Clock.Now(), request: requestedSync(app)}
	var err error
	if o.t, err = r.target(s.cluster); err != nil {
		o.problem = &problem{reason: reasonClusterUnknown, message: err.Error() + "; correct spec.destination.cluster", unknown: true}
		return o
	}
	if err := s.policyNow().invalid; err != nil {
		o.problem = &problem{reason: reasonInvalidSpec, message: err.Error() + "; correct the spec"}
		r.observeInventory(ctx, s, &o)
		return o
	}
	limits, project, err := projectLimits(ctx, r.opts.Client, app.Namespace, r.opts.SystemNamespace)
	if err != nil {
		o.superseded = err
		return o
	}
	if project.Name == "" {
		o.problem = &problem{reason: reasonForbidden, message: fmt.Sprintf("namespace %q is not that of a Project, so nothing says what may be deployed; create the Project", app.Namespace)}
		r.observeInventory(ctx, s, &o)
		return o
	}
	if o.problem = r.actAs(s, &o, project); o.problem != nil {
		r.observeInventory(ctx, s, &o)
		return o
	}
	pauseEnds, err := r.observePause(ctx, s, o.now)
	if err != nil {
		o.superseded = err
		return o
	}
	o.look(pauseEnds)
	r.observeHead(ctx, s, &o)
	if o.waiting || o.superseded != nil {
		return o
	}
	r.observeDependencies(ctx, &o)
	// A forbidden destination says so before the branch says anything.
	if err := limits.Namespace(s.cluster, app.Spec.Destination.Namespace); err != nil {
		o.problem = &problem{reason: reasonForbidden, message: err.Error()}
	}
	if o.revision == "" || (o.problem != nil && o.problem.reason == reasonForbidden) {
		r.observeInventory(ctx, s, &o)
		return o
	}
	objects := r.observeContent(ctx, &o)
	if o.superseded != nil {
		return o
	}
	if objects == nil {
		r.observeInventory(ctx, s, &o)
		return o
	}
	r.observeObjects(ctx, s, limits, objects, &o)
	return o
}

// observeHead finds the head of the branch and decides which revision has to
// run: the head when syncs are automatic or one was asked for, else what runs.
func (r *ApplicationReconciler) observeHead(ctx context.Context, s *appState, o *observation) {
	app := o.app
	o.revision = app.Status.Sync.Revision
	head, answered, err := r.headOf(ctx, s, o)
	if o.problem != nil {
		return
	}
	isAsked, waits := r.isHeadAsked(s, o, answered)
	if waits {
		o.waiting = true
		return
	}
	request := app.Annotations[v1alpha1.AnnotationRequestedAt]
	if request == app.Status.LastHandledRequest {
		request = ""
	}
	if request != "" && answered {
		if s.askedFor(request) {
			r.lookups(app).ask(s.name)
		}
		if !r.lookups(app).isFresh(s.name) {
			o.waiting = true // for the answer to the question asked above
			return
		}
		o.handled = request
	}
	switch {
	case !answered:
		o.waiting = true
		return
	case errors.Is(err, git.ErrBranchNotFound):
		o.problem = branchMissing(app, err)
		return
	case err != nil:
		// What runs goes on running, and is still healed if its content is
		// here; the poller asks again.
		o.problem = lookupProblem(app, err)
		o.head = head
		return
	}
	o.head = head
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case app.Spec.Suspend:
	case isAutomated(app):
		o.revision = head
	case request != "" || isAsked:
		// Kept until it is reached, so that a sync that needs a second try
		// does not go back in between.
		s.manual = head
		o.revision = head
	case s.manual != "":
		o.revision = s.manual
	}
}

// askedFor reports whether request is a new one, once.
func (s *appState) askedFor(request string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	isNew := s.request != request
	s.request = request
	return isNew
}

// isAutomated says whether new revisions are synced without asking. Those of a
// Stage are: the promotion was the decision.
func isAutomated(app *v1alpha1.Application) bool {
	return (app.Spec.SyncPolicy.Automated != nil || app.Labels[v1alpha1.LabelStage] != "")
}

// observeContent renders o.revision. It returns nil and sets a problem when
// there is nothing to apply.
func (r *ApplicationReconciler) observeContent(ctx context.Context, o *observation) []*unstructured.Unstructured {
	app := o.app
	if app.Spec.Source.Chart != "" {
		return r.observeChart(ctx, o)
	}
	commit, err := git.ParseHash(o.revision)
	if err != nil {
		o.problem = &problem{reason: reasonRenderFailed, message: err.Error()}
		return nil
	}
	mirror, err := r.mirror(ctx, app)
	if err != nil {
		o.problem = gitProblem(err)
		return nil
	}
	rootTree, err := r.content(ctx, mirror, app, commit)
	if err != nil {
		if ctx.Err() != nil {
			o.superseded = ctx.Err()
			return nil
		}
		p := gitProblem(err)
		p.retry = o.now.Add(r.pause(o))
		if o.problem == nil {
			o.problem = p
		}
		return nil
	}
	pathTree, err := mirror.TreeHash(commit, path.Clean(app.Spec.Source.Path))
	if err != nil {
		p := &problem{reason: reasonPathMissing, message: fmt.Sprintf("%s: %v; correct spec.source.path or add it to the branch. What runs stays as it is", mirror.URL(), err)}
		if !errors.Is(err, fs.ErrNotExist) {
			p = gitProblem(err)
		}
		o.problem = p
		return nil
	}
	repository, err := mirror.FS(commit)
	if err != nil {
		o.problem = gitProblem(err)
		return nil
	}
	return r.renderFiles(ctx, o, repository, pathTree.String(), rootTree.String())
}

// renderFiles renders what the source of the Application says of files.
func (r *ApplicationReconciler) renderFiles(ctx context.Context, o *observation, files fs.FS, pathTree, rootTree string) []*unstructured.Unstructured {
	app := o.app
	source := render.SourceOf(files, app.Spec.Source, app.Name, app.Spec.Destination.Namespace).Encrypted(app.Namespace, app.Spec.Decryption)
	out, tree, err := r.opts.Renders.Render(ctx, source, pathTree, rootTree, r.opts.Limits)
	if err != nil {
		if ctx.Err() != nil {
			o.superseded = ctx.Err()
			return nil
		}
		if a := app.Spec.SyncPolicy.Automated; a != nil && a.AllowEmpty && errors.Is(err, render.ErrNothingRendered) {
			o.tree = pathTree
			return []*unstructured.Unstructured{}
		}
		o.problem = renderProblem(o, err)
		return nil
	}
	o.tree = tree
	return out.Objects
}

func (r *ApplicationReconciler) mirror(ctx context.Context, app *v1alpha1.Application) (*git.Mirror, error) {
	remote, err := r.opts.Remote(ctx, app.Namespace, app.Spec.Source.RepoURL)
	if err != nil {
		return nil, err
	}
	return r.opts.Mirrors.Open(remote)
}

// content makes sure that commit is in the mirror and returns the hash of its
// root tree. What an own push made, or another Application fetched, is there.
func (r *ApplicationReconciler) content(ctx context.Context, mirror *git.Mirror, app *v1alpha1.Application, commit git.Hash) (git.Hash, error) {
	tree, err := mirror.TreeHash(commit, "")
	if err == nil || !errors.Is(err, git.ErrUnknownObject) && !errors.Is(err, git.ErrDamaged) {
		return tree, err
	}
	bounded, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	if _, err := mirror.Fetch(bounded, app.Spec.Source.TargetRevision); err != nil {
		return git.Hash{}, err
	}
	return mirror.TreeHash(commit, "")
}

// fetchTimeout bounds one fetch.
const fetchTimeout = 5 * time.Minute

// pause grows with every failed pass in a row.
func (r *ApplicationReconciler) pause(o *observation) time.Duration {
	s := r.stateOf(client.ObjectKeyFromObject(o.app))
	if s == nil {
		return time.Second
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	return min(retryPause(s.failures), time.Minute)
}

// observeDependencies keeps a new revision back until the Applications it depends
// on run theirs and are well. What runs goes on running.
func (r *ApplicationReconciler) observeDependencies(ctx context.Context, o *observation) {
	runs := o.app.Status.Sync.Revision
	if len(o.app.Spec.DependsOn) == 0 || o.revision == runs && runs != "" || o.problem != nil {
		return
	}
	for _, name := range o.app.Spec.DependsOn {
		var other v1alpha1.Application
		err := r.opts.Client.Get(ctx, types.NamespacedName{Namespace: o.app.Namespace, Name: name}, &other)
		why := ""
		switch {
		case name == o.app.Name:
			why = "is itself; correct spec.dependsOn"
		case apierrors.IsNotFound(err):
			why = "does not exist"
		case err != nil:
			o.superseded = err
			return
		default:
			c := meta.FindStatusCondition(other.Status.Conditions, v1alpha1.ConditionReady)
			if c == nil || other.Status.ObservedGeneration != other.Generation {
				why = "has not been looked at yet"
			} else if c.Status != metav1.ConditionTrue {
				why = "is not ready: " + c.Reason
			}
		}
		if why != "" {
			o.problem = &problem{reason: reasonDependency, calm: true, message: fmt.Sprintf("waits for Application %q, which %s", name, why)}
			o.revision = runs
			return
		}
	}
}
