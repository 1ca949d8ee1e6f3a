package controllers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
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
	"github.com/waybill-dev/waybill/gitops/health"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/gitops/watch"
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

	// handled is the value of waybill.dev/requested-at that this pass answers.
	handled string
	// head of the branch, "" when unknown; revision is what has to run, which
	// is not the head when nobody asked for that yet.
	head, revision string
	tree           string
	desired        []gitops.Desired
	refused        []*gitops.ObjectError
	kinds          []schema.GroupVersionKind
	plan           *gitops.Plan
	// hooks of the revision, by wave; defines are the kinds its definitions make.
	hooks   []gitops.Desired
	defines map[schema.GroupKind]bool
	// operation is the sync with hooks that this pass works on; nil: none.
	operation *v1alpha1.Operation
	// held is what the sync waits for, in one sentence; heldReason its word.
	held, heldReason string

	lane apply.Lane
	// applied: every object of revision is applied.
	applied bool
	// recheck is the earliest instant at which time changes something.
	recheck time.Time
}

// problem is what a condition says: a stable reason, one sentence, and whether
// only a change of spec, Git or credentials can help.
type problem struct {
	reason, message string
	// retry is when to look again; zero: when something changes.
	retry time.Time
	// unknown: what runs cannot be seen.
	unknown bool
	// calm: not an error, only nothing to do yet.
	calm bool
}

// Reasons of the Ready condition of an Application.
const (
	reasonSynced             = "Synced"
	reasonNothingPromoted    = "NothingPromoted"
	reasonSuspended          = "Suspended"
	reasonClusterUnknown     = "ClusterUnknown"
	reasonClusterUnreachable = "ClusterUnreachable"
	reasonForbidden          = gitops.ReasonForbidden
	reasonBranchMissing      = "BranchMissing"
	reasonPathMissing        = "PathMissing"
	reasonRenderFailed       = "RenderFailed"
	reasonNothingRendered    = "NothingRendered"
	reasonTooManyObjects     = "TooManyObjects"
	reasonPruneGuard         = "PruneGuard"
	reasonApplyFailed        = "ApplyFailed"
	reasonOutOfSync          = "OutOfSync"
	reasonDrifting           = "Drifting"
	reasonContested          = "Contested"
	reasonHealingPaused      = "HealingPaused"
	reasonDeleting           = "Deleting"
	reasonInvalidSpec        = "InvalidSpec"
	reasonDependency         = "DependencyNotReady"
	reasonWaiting            = "WaitingForWave"
	reasonWaveFailed         = "WaveFailed"
	reasonHooksRunning       = "HooksRunning"
	reasonHookFailed         = "HookFailed"
)

// look names an instant at which something changes by itself.
func (o *observation) look(at time.Time) {
	if !at.IsZero() && (o.recheck.IsZero() || at.Before(o.recheck)) {
		o.recheck = at
	}
}

// observe reads everything a pass needs. Requests go out only when something is
// new: a head, a content, a kind.
func (r *ApplicationReconciler) observe(ctx context.Context, s *appState, app *v1alpha1.Application) observation {
	o := observation{app: app, now: r.opts.Clock.Now()}
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
	limits, isProject, err := r.limits(ctx, app)
	if err != nil {
		o.superseded = err
		return o
	}
	if !isProject {
		o.problem = &problem{reason: reasonForbidden, message: fmt.Sprintf("namespace %q is not that of a Project, so nothing says what may be deployed; create the Project", app.Namespace)}
		r.observeInventory(ctx, s, &o)
		return o
	}
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

// limits returns what the Project of app may touch. exists is false when there
// is no such Project.
func (r *ApplicationReconciler) limits(ctx context.Context, app *v1alpha1.Application) (l gitops.Limits, exists bool, err error) {
	l, project, err := projectLimits(ctx, r.opts.Client, app.Namespace, r.opts.SystemNamespace)
	return l, err == nil && project.Name != "", err
}

// observeHead finds the head of the branch and decides which revision has to
// run: the head when syncs are automatic or one was asked for, else what runs.
func (r *ApplicationReconciler) observeHead(ctx context.Context, s *appState, o *observation) {
	app := o.app
	source := app.Spec.Source
	o.revision = app.Status.Sync.Revision
	remote, err := r.opts.Remote(ctx, app.Namespace, source.RepoURL)
	if err != nil {
		o.problem = &problem{reason: "CredentialsInvalid", message: err.Error()}
		return
	}
	head, answered, err := r.heads.head(s.name, remote, source.TargetRevision)
	request := app.Annotations[v1alpha1.AnnotationRequestedAt]
	if request == app.Status.LastHandledRequest {
		request = ""
	}
	if request != "" && answered {
		if s.askedFor(request) {
			r.heads.ask(s.name)
		}
		if !r.heads.isFresh(s.name) {
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
		o.problem = gitProblem(err)
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
	case request != "":
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

func branchMissing(app *v1alpha1.Application, err error) *problem {
	if app.Status.Sync.Revision == "" && app.Labels[v1alpha1.LabelStage] != "" {
		return &problem{
			reason: reasonNothingPromoted, calm: true,
			message: fmt.Sprintf("nothing was promoted yet: branch %q of %s does not exist", app.Spec.Source.TargetRevision, app.Spec.Source.RepoURL),
		}
	}
	return &problem{reason: reasonBranchMissing, message: err.Error() + "; create it or correct spec.source.targetRevision. What runs stays as it is"}
}

// gitProblem gives the kinds of Git failures their reasons.
func gitProblem(err error) *problem {
	reason := "GitUnreachable"
	for kind, name := range map[error]string{
		git.ErrAuthentication: "CredentialsInvalid", git.ErrNotFound: "RepositoryNotFound", git.ErrInvalidRemote: "RepositoryInvalid",
		git.ErrInvalidBranch: reasonBranchMissing, git.ErrRedirected: "RepositoryRedirected", git.ErrNotGit: "NotAGitServer",
		git.ErrTooLarge: "RepositoryTooLarge", git.ErrHostKey: "HostKeyNotTrusted",
	} {
		if errors.Is(err, kind) {
			reason = name
		}
	}
	return &problem{reason: reason, message: err.Error()}
}

// observeContent renders o.revision. It returns nil and sets a problem when
// there is nothing to apply.
func (r *ApplicationReconciler) observeContent(ctx context.Context, o *observation) []*unstructured.Unstructured {
	app := o.app
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
	source := render.SourceOf(repository, app.Spec.Source, app.Name, app.Spec.Destination.Namespace)
	out, tree, err := r.opts.Renders.Render(ctx, source, pathTree.String(), rootTree.String(), r.opts.Limits)
	if err != nil {
		if ctx.Err() != nil {
			o.superseded = ctx.Err()
			return nil
		}
		if a := app.Spec.SyncPolicy.Automated; a != nil && a.AllowEmpty && errors.Is(err, render.ErrNothingRendered) {
			o.tree = pathTree.String()
			return []*unstructured.Unstructured{}
		}
		o.problem = renderProblem(o, err)
		return nil
	}
	o.tree = tree
	return out.Objects
}

// renderProblem says which file of which revision is at fault and that nothing
// was touched.
func renderProblem(o *observation, err error) *problem {
	p := &problem{
		reason:  reasonRenderFailed,
		message: fmt.Sprintf("render %q at %.7s: %v; correct it in Git. What runs stays as it is", o.app.Spec.Source.Path, o.revision, err),
	}
	switch {
	case errors.Is(err, render.ErrPathNotFound):
		p.reason = reasonPathMissing
	case errors.Is(err, render.ErrNothingRendered):
		p.reason = reasonNothingRendered
	case errors.Is(err, render.ErrTimeout):
		p.retry = o.now.Add(maxApplyPause)
	}
	return p
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

func (r *ApplicationReconciler) stateOf(name types.NamespacedName) *appState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[name]
}

// observeInventory watches what was applied before, so that health is known
// although nothing can be synced.
func (r *ApplicationReconciler) observeInventory(ctx context.Context, s *appState, o *observation) {
	o.kinds = kindsOf(nil, s.inventory())
	r.watch(ctx, s, o)
}

// watch makes sure that all kinds are watched and listed once.
func (r *ApplicationReconciler) watch(ctx context.Context, s *appState, o *observation) {
	s.mu.Lock()
	same := s.asked == o.t.hub && slices.Equal(s.kinds, o.kinds)
	s.mu.Unlock()
	if !same {
		unserved, err := o.t.hub.Use(ctx, s.name.String(), o.kinds)
		if err != nil {
			if ctx.Err() != nil {
				o.superseded = ctx.Err()
				return
			}
			o.problem = &problem{reason: reasonClusterUnreachable, unknown: true, retry: o.now.Add(r.pause(o)), message: err.Error()}
			return
		}
		// A kind of the inventory that is not served any more: its objects went
		// with its definition.
		o.kinds = slices.DeleteFunc(o.kinds, func(gvk schema.GroupVersionKind) bool { return slices.Contains(unserved, gvk) })
		s.mu.Lock()
		s.kinds, s.asked = o.kinds, o.t.hub
		s.mu.Unlock()
	}
	if out := o.t.hub.Down(o.kinds); out != nil {
		o.problem = outage(s.cluster, out)
	} else if !o.t.hub.IsReady(o.kinds) {
		o.waiting = true
	}
}

// outage tells a cluster that does not answer from one that refuses a kind.
func outage(cluster string, out *watch.Outage) *problem {
	since := out.Since.UTC().Format(time.RFC3339)
	var answer apierrors.APIStatus
	if errors.As(out.Cause, &answer) {
		return &problem{reason: reasonClusterUnreachable, unknown: true,
			message: fmt.Sprintf("cluster %q does not let kind %q be watched since %s: %v", cluster, out.Kind, since, out.Cause)}
	}
	return &problem{reason: reasonClusterUnreachable, unknown: true,
		message: fmt.Sprintf("cluster %q does not answer since %s: %v", cluster, since, out.Cause)}
}

// observeObjects checks what was rendered against the cluster's kinds and the
// Project's limits, and plans.
func (r *ApplicationReconciler) observeObjects(ctx context.Context, s *appState, limits gitops.Limits, objects []*unstructured.Unstructured, o *observation) {
	app := o.app
	var unreachable error
	policy := s.policyNow()
	all, refused := gitops.Prepare(objects, gitops.Preparation{
		Owner: s.owner, Namespace: app.Spec.Destination.Namespace,
		SyncOptions: app.Spec.SyncPolicy.SyncOptions, Ignore: policy.ignore,
		Scope: func(gvk schema.GroupVersionKind) (bool, bool) {
			kind, served, err := o.t.clusterKind(ctx, gvk)
			if err != nil {
				unreachable = err
			}
			return kind, served
		},
	})
	desired := make([]gitops.Desired, 0, len(all))
	for _, d := range all {
		if d.Options.IsHook() {
			o.hooks = append(o.hooks, d)
		} else {
			desired = append(desired, d)
		}
	}
	o.defines = gitops.Definitions(objects)
	if unreachable != nil {
		o.problem = &problem{reason: reasonClusterUnreachable, unknown: true, retry: o.now.Add(r.pause(o)), message: unreachable.Error()}
		return
	}
	forbidden := gitops.CheckLimits(limits, s.cluster, all)
	if len(forbidden) > 0 {
		// Nothing of such a revision is applied: half of what was approved is
		// not what was approved.
		o.problem = &problem{reason: reasonForbidden, message: firstError(forbidden)}
		o.refused = forbidden
	}
	o.desired, o.refused = desired, append(o.refused, refused...)
	entries := s.inventory()
	o.kinds = kindsOf(all, entries)
	had := o.problem
	r.watch(ctx, s, o)
	if o.waiting || o.superseded != nil || o.problem != had {
		return
	}
	if len(forbidden) > 0 {
		return
	}
	r.judgeAnew(ctx, s, policy, o)
	s.setDesired(desired, o.hooks, o.revision)
	keys := make(map[gitops.Key]bool, len(all))
	for _, d := range all {
		keys[d.Key] = true
	}
	for _, e := range entries {
		keys[gitops.EntryKey(e)] = true
	}
	r.claim(s, keys)
	if app.Spec.Suspend {
		o.problem = &problem{reason: reasonSuspended, calm: true, message: "syncing and healing are suspended; set spec.suspend to false to go on"}
	}
	plan := r.makePlan(ctx, s, o, entries)
	if len(plan.Inventory) > maxInventory {
		o.problem = &problem{reason: reasonTooManyObjects, message: fmt.Sprintf("the revision has %d objects and the limit of an Application is %d; split it", len(plan.Inventory), maxInventory)}
		return
	}
	o.plan = &plan
}

// maxInventory is the number of objects an Application may have (10-contracts).
const maxInventory = 1000

// clusterKind tells whether a kind is namespaced in the cluster.
func (t *target) clusterKind(ctx context.Context, gvk schema.GroupVersionKind) (namespaced, served bool, err error) {
	kind, served, err := t.cluster.Kind(ctx, gvk)
	return kind.Namespaced, served, err
}

// makePlan compares the revision with the inventory and the watches.
func (r *ApplicationReconciler) makePlan(ctx context.Context, s *appState, o *observation, entries []v1alpha1.InventoryEntry) gitops.Plan {
	app := o.app
	refused := make([]gitops.Key, 0, len(o.refused))
	for _, e := range o.refused {
		refused = append(refused, e.Key)
	}
	in := gitops.PlanInput{
		Owner: s.owner, Desired: o.desired, Inventory: entries, Refused: refused,
		Live: o.t.hub.Get, Owned: o.t.hub.Owned(s.owner.Label()),
		IsOwnerGone:    func(annotation string) bool { return r.isOwnerGone(ctx, annotation) },
		PruneConfirmed: app.Annotations[v1alpha1.AnnotationConfirmPrune] == o.revision,
		Additions:      s.policy.additions,
		Options:        s.policy.options,
		Values: func(k gitops.Key) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.values[k]
		},
	}
	if a := app.Spec.SyncPolicy.Automated; a != nil {
		in.Prune, in.AllowEmpty = a.Prune, a.AllowEmpty
	}
	s.mu.Lock()
	// Single drifts are the business of the heal queue, which keeps their
	// pauses; only after a pause of everything is it done here, in order.
	in.Heal = s.ordered && !s.breaker.IsOpen(o.now) && s.policy.drift == v1alpha1.DriftHeal
	s.mu.Unlock()
	return gitops.MakePlan(in)
}

// isOwnerGone reports whether the Application of an owner annotation does not
// exist. When that cannot be told, it does.
func (r *ApplicationReconciler) isOwnerGone(ctx context.Context, annotation string) bool {
	owner, ok := gitops.ParseOwner(annotation)
	if !ok {
		return false
	}
	var app v1alpha1.Application
	err := r.opts.Client.Get(ctx, types.NamespacedName{Namespace: owner.Namespace, Name: owner.Application}, &app)
	return client.IgnoreNotFound(err) == nil && err != nil
}

// setDesired replaces what the cluster is held to.
func (s *appState) setDesired(desired, hooks []gitops.Desired, commit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = make(map[gitops.Key]gitops.Desired, len(hooks))
	for _, d := range hooks {
		s.hooks[d.Key] = d
	}
	s.desired = make(map[gitops.Key]gitops.Desired, len(desired))
	for _, d := range desired {
		s.desired[d.Key] = d
	}
	s.commit = commit
}

// enact does what the plan says: grows the stored inventory, applies rank by
// rank, deletes. Failures of single objects are kept in s.trouble; the error is
// for failures of the pass.
func (r *ApplicationReconciler) enact(ctx context.Context, s *appState, app *v1alpha1.Application, o *observation) error {
	s.mu.Lock()
	s.failures = 0
	s.mu.Unlock()
	for _, e := range o.refused {
		s.failed(o.now, e.Key, "", e, e.Reason == "KindUnknown")
	}
	for _, e := range o.plan.Conflicts {
		s.failed(o.now, e.Key, "", e, false)
	}
	s.keepTrouble(o)
	if app.Spec.Suspend {
		o.applied = app.Status.Sync.Revision == o.revision
		return nil
	}
	waves := r.dueWaves(s, o)
	begins := s.beginOperation(o)
	if len(waves) > 0 || o.plan.Grows || begins {
		if err := r.writeAhead(ctx, s, o, begins); err != nil {
			return err
		}
	}
	o.lane = s.takeLane()
	syncCtx, done := s.begin(ctx, o.revision)
	defer done()
	if len(waves) > 0 {
		if err := r.opts.Failpoints.Hit(syncCtx, FailBeforeApply); err != nil {
			return err
		}
	}
	if err := r.enactWaves(syncCtx, s, o, waves); err != nil {
		return err
	}
	if len(waves) > 0 {
		if err := r.opts.Failpoints.Hit(syncCtx, FailAfterApply); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.ordered = s.ordered && s.breaker.IsOpen(o.now)
	s.mu.Unlock()
	o.applied = s.allApplied(o)
	if o.applied && len(o.plan.Prune) > 0 {
		r.prune(syncCtx, s, o)
	}
	r.finishOperation(syncCtx, s, o)
	r.cleanHooks(syncCtx, s, o)
	s.keepReported(o.plan.Drifted)
	// Drift that the plan found and nobody was woken for, for instance after a
	// restart.
	for _, key := range o.plan.Drifted {
		r.heals.Add(healItem{app: s.name, key: key})
	}
	return syncCtx.Err()
}

// keepTrouble drops the errors of objects that are not part of the revision any
// more, and conflicts that ended.
func (s *appState) keepTrouble(o *observation) {
	current := map[gitops.Key]bool{}
	for _, e := range o.refused {
		current[e.Key] = true
	}
	for _, e := range o.plan.Conflicts {
		current[e.Key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, t := range s.trouble {
		d, wanted := s.desired[key]
		if !current[key] && (!wanted || t.hash != d.Hash) {
			delete(s.trouble, key)
		}
	}
}

// keepReported drops the marks of drifts that are none any more.
func (s *appState) keepReported(drifted []gitops.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.reported, func(key gitops.Key, _ string) bool { return !slices.Contains(drifted, key) })
}

// dueWaves leaves out what failed and is not to be tried again yet.
func (r *ApplicationReconciler) dueWaves(s *appState, o *observation) []gitops.Wave {
	var out []gitops.Wave
	for _, wave := range o.plan.Waves {
		due := slices.DeleteFunc(slices.Clone(wave), func(a gitops.Action) bool {
			return !s.mayTry(o.now, a.Desired)
		})
		if len(due) > 0 {
			out = append(out, due)
		}
	}
	return out
}

// writeAhead stores the grown inventory before the first object is created.
func (r *ApplicationReconciler) writeAhead(ctx context.Context, s *appState, o *observation, begins bool) error {
	if !o.plan.Grows && !begins {
		return nil
	}
	s.mu.Lock()
	for _, e := range o.plan.Inventory {
		if _, known := s.entries[gitops.EntryKey(e)]; !known {
			s.entries[gitops.EntryKey(e)] = e
		}
	}
	before := s.app
	s.mu.Unlock()
	after := before.DeepCopy()
	after.Status.Inventory = s.inventory()
	after.Status.Sync.Status = v1alpha1.SyncSyncing
	after.Status.Sync.Target = o.head
	if o.operation != nil {
		after.Status.Operation = o.operation.DeepCopy()
	}
	return r.patchApplication(ctx, s, before, after)
}

// applyWave applies the objects of one wave side by side.
func (r *ApplicationReconciler) applyWave(ctx context.Context, s *appState, o *observation, wave gitops.Wave) {
	var wg sync.WaitGroup
	next := make(chan gitops.Action)
	for range min(len(wave), r.opts.ApplyConcurrency) {
		wg.Go(func() {
			for a := range next {
				r.applyOne(ctx, s, o, a)
			}
		})
	}
	for _, a := range wave {
		select {
		case next <- a:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
}

// applyOne sends one object and records the answer or the error.
func (r *ApplicationReconciler) applyOne(ctx context.Context, s *appState, o *observation, a gitops.Action) {
	if ctx.Err() != nil {
		return
	}
	unlock := s.locks.lock(a.Desired.Key)
	defer unlock()
	err := r.ensureNamespace(ctx, s, o.t, a)
	var answer *unstructured.Unstructured
	if err == nil {
		answer, err = o.t.applier.Apply(ctx, o.lane, a.Desired)
		if namespaceMissing(err) && s.forgetNamespace(a.Desired.Key.Namespace) {
			if err = r.ensureNamespace(ctx, s, o.t, a); err == nil {
				answer, err = o.t.applier.Apply(ctx, o.lane, a.Desired)
			}
		}
	}
	if ctx.Err() != nil && err != nil {
		return
	}
	if err != nil {
		if a.Desired.Options.Force && r.recreate(ctx, s, o.t, a.Desired, err) {
			return
		}
		r.applyFailed(s, a.Desired, err)
		return
	}
	r.answered(s, o.t, a.Desired, answer)
	if a.Kind == gitops.ActionHeal {
		s.record(driftRecords(healing{key: a.Desired.Key, changes: []gitops.FieldChange{{}}}, driftHealed, r.opts.Clock.Now())...)
	}
	_ = r.opts.Failpoints.Hit(ctx, FailDuringApply) // an injected error has no meaning here
}

// answered takes in the server's answer to an apply.
func (r *ApplicationReconciler) answered(s *appState, t *target, d gitops.Desired, answer *unstructured.Unstructured) {
	live := t.hub.Observe(answer)
	t.pods.Observe(answer)
	s.applied(d, live)
	changed := gitops.NonConvergent(d, answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(changed) > 0 {
		s.nonConvergent[d.Key] = changed
	} else {
		delete(s.nonConvergent, d.Key)
	}
}

// recreate deletes an object one of whose fields cannot be changed, when that is
// the error and the object's options ask for it; the end of the deletion wakes
// us, and the object is made anew. What holds data is never deleted for that, and
// what the API server would not accept as a new object is not either.
func (r *ApplicationReconciler) recreate(ctx context.Context, s *appState, t *target, d gitops.Desired, err error) bool {
	var failed *apply.Error
	if !errors.As(err, &failed) || failed.Reason != apply.Immutable || gitops.HoldsData(d.Key) {
		return false
	}
	live, seen := t.hub.Get(d.Key)
	if !seen || live.UID == "" || live.Terminating {
		return false
	}
	if err := t.applier.CheckNew(ctx, d); err != nil {
		r.applyFailed(s, d, err)
		return true
	}
	how := metav1.DeletePropagationForeground
	if d.Key.Kind == "StatefulSet" {
		how = metav1.DeletePropagationOrphan // its pods go on
	}
	if _, _, err := t.applier.Delete(ctx, gitops.Deletion{Key: d.Key, Version: d.Version, UID: live.UID}, true, how); err != nil {
		r.applyFailed(s, d, err)
	}
	return true
}

// judgeAnew looks again at the objects of the kinds that have a health check, or
// had one, when the spec changed: the watches keep verdicts, not objects.
func (r *ApplicationReconciler) judgeAnew(ctx context.Context, s *appState, policy driftPolicy, o *observation) {
	s.mu.Lock()
	was := s.judged
	before := s.judgedBy
	s.judged, s.judgedBy = policy.generation, policy.checks
	s.mu.Unlock()
	if was == 0 || was == policy.generation {
		return
	}
	for _, e := range s.inventory() {
		if !before.Has(e.Group, e.Kind) && !policy.checks.Has(e.Group, e.Kind) {
			continue
		}
		if obj, err := o.t.applier.ReadWhole(ctx, gitops.EntryKey(e), e.Version); err == nil && obj != nil {
			o.t.hub.Observe(obj)
		}
	}
}

// policyNow returns how the Application is treated.
func (s *appState) policyNow() driftPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy
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

// applyFailed records why d could not be applied, and when it is tried again.
func (r *ApplicationReconciler) applyFailed(s *appState, d gitops.Desired, err error) {
	now := r.opts.Clock.Now()
	var failed *apply.Error
	if !errors.As(err, &failed) {
		s.failed(now, d.Key, d.Hash, &gitops.ObjectError{Key: d.Key, Reason: reasonApplyFailed, Message: err.Error()}, true)
		return
	}
	s.failed(now, d.Key, d.Hash, &gitops.ObjectError{Key: d.Key, Reason: string(failed.Reason), Message: failed.Message}, true)
}

// ensureNamespace makes the destination namespace once, before the first object
// goes into it, when the Application asks for that.
func (r *ApplicationReconciler) ensureNamespace(ctx context.Context, s *appState, t *target, a gitops.Action) error {
	ns := a.Desired.Key.Namespace
	s.mu.Lock()
	_, inSource := s.desired[gitops.Key{Kind: "Namespace", Name: ns}]
	needed := a.Kind != gitops.ActionPatch && s.policy.createNamespace && ns != "" && !inSource && !s.namespaces[ns]
	s.mu.Unlock()
	if !needed {
		return nil
	}
	unlock := s.locks.lock(gitops.Key{Kind: "Namespace", Name: ns})
	defer unlock()
	s.mu.Lock()
	done := s.namespaces[ns]
	var metadata *v1alpha1.NamespaceMetadata
	if s.app != nil {
		metadata = s.app.Spec.SyncPolicy.ManagedNamespaceMetadata
	}
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := t.applier.CreateNamespace(ctx, ns, s.owner, metadata); err != nil {
		return err
	}
	s.mu.Lock()
	s.namespaces[ns] = true
	s.mu.Unlock()
	return nil
}

func namespaceMissing(err error) bool {
	var failed *apply.Error
	return errors.As(err, &failed) && failed.Reason == apply.NamespaceMissing
}

// forgetNamespace lets a namespace that vanished be created again. It reports
// whether the Application creates namespaces.
func (s *appState) forgetNamespace(ns string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.namespaces, ns)
	return s.policy.createNamespace
}

// allApplied reports whether every object of the revision is applied with its
// content, none was refused, and the deletions do not wait for a person.
func (s *appState) allApplied(o *observation) bool {
	if len(o.refused) > 0 || len(o.plan.Conflicts) > 0 || o.plan.Guard != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range o.desired {
		if e, ok := s.entries[d.Key]; !ok || e.Hash != d.Hash || e.UID == "" {
			return false
		}
	}
	return true
}

// prune deletes what left the source. An object that is still being finalised
// stays in the inventory; its end wakes us.
func (r *ApplicationReconciler) prune(ctx context.Context, s *appState, o *observation) {
	for _, wave := range o.plan.Prune {
		for _, d := range wave {
			if ctx.Err() != nil {
				return
			}
			if !s.mayTry(o.now, gitops.Desired{Key: d.Key}) {
				continue
			}
			how := metav1.DeletePropagationBackground
			if p := s.policyNow().propagation; p != "" {
				how = p
			}
			r.deleteOne(ctx, s, o.t, d, how)
		}
	}
}

// deleteOne deletes d unless it is not ours any more, and drops its entry when
// it is gone. It reports whether it is.
func (r *ApplicationReconciler) deleteOne(ctx context.Context, s *appState, t *target, d gitops.Deletion, how metav1.DeletionPropagation) bool {
	unlock := s.locks.lock(d.Key)
	defer unlock()
	live, seen := t.hub.Get(d.Key)
	if seen && live.OwnerLabel != s.owner.Label() {
		d.UID = "" // another Application took it over
	}
	if seen && live.Terminating && live.UID == d.UID {
		s.failed(r.opts.Clock.Now(), d.Key, "", terminating(d.Key, nil), false)
		return false
	}
	gone, finalizers, err := t.applier.Delete(ctx, d, seen, how)
	switch {
	case err != nil:
		var failed *apply.Error
		e := &gitops.ObjectError{Key: d.Key, Reason: string(apply.Failed), Message: err.Error()}
		if errors.As(err, &failed) {
			e.Reason, e.Message = string(failed.Reason), failed.Message
		}
		s.failed(r.opts.Clock.Now(), d.Key, "", e, true)
		return false
	case !gone:
		s.failed(r.opts.Clock.Now(), d.Key, "", terminating(d.Key, finalizers), false)
		return false
	}
	s.mu.Lock()
	delete(s.entries, d.Key)
	delete(s.trouble, d.Key)
	delete(s.values, d.Key)
	delete(s.health, d.Key)
	delete(s.nonConvergent, d.Key)
	s.mu.Unlock()
	t.pods.Forget(d.Key)
	r.disclaim(s, d.Key)
	return true
}

func terminating(key gitops.Key, finalizers []string) *gitops.ObjectError {
	message := "it is being deleted"
	if len(finalizers) > 0 {
		message = "it is being deleted and waits for its finalizers: " + strings.Join(finalizers, ", ")
	}
	return &gitops.ObjectError{Key: key, Reason: "Terminating", Message: message}
}

func firstError(errs []*gitops.ObjectError) string {
	if len(errs) == 1 {
		return errs[0].Error()
	}
	return fmt.Sprintf("%s (and %d more objects)", errs[0].Error(), len(errs)-1)
}

// assess is the health of one object by itself, for the watches: as the health
// check of an Application that applies it says, or as its kind says.
func (r *ApplicationReconciler) assess(cluster string, obj *unstructured.Unstructured, now time.Time) gitops.Verdict {
	for _, s := range r.claimants(cluster, gitops.KeyOf(obj)) {
		if res, ok := s.policyNow().checks.Assess(obj); ok {
			return gitops.Verdict{Health: res.Health(), Recheck: res.Recheck}
		}
	}
	res := health.Assess(obj, now)
	return gitops.Verdict{Health: res.Health(), Recheck: res.Recheck}
}

// podsChanged is told when the pods of a workload changed the verdict on it.
func (r *ApplicationReconciler) podsChanged(cluster string, key gitops.Key) {
	for _, s := range r.claimants(cluster, key) {
		r.enqueue(urgent, s.name)
	}
}
