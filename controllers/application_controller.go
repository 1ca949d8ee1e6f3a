package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/watch"
)

// ApplicationReconciler keeps a namespace of a cluster equal to a path of a
// branch: it syncs new revisions, heals drift and watches health.
//
// Reconcile observes (spec, limits, head, content, what lives), asks
// gitops.MakePlan what to do, does it, and writes one status patch, two when
// the inventory grows. Single drifted objects are healed beside it, straight
// from the watch event (application_heal.go).
type ApplicationReconciler struct {
	opts  ApplicationOptions
	heads *branchHeads
	// versions are what heads are for charts.
	versions *chartVersions
	heals    workqueue.TypedDelayingInterface[healItem]
	// calmEvents bounds the Events about what goes well.
	calmEvents *rate.Limiter

	mu      sync.Mutex
	states  map[types.NamespacedName]*appState
	objects map[objectID][]*appState // who applies an object, or wants to
	targets map[string]*target       // by cluster
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]
	ctx     context.Context //nolint:containedctx // The life of the watches that Reconcile starts.
	wg      sync.WaitGroup
	// reshared is told when the shares of the replicas changed.
	reshared chan struct{}
}

// objectID names an object of a cluster.
type objectID struct {
	cluster string
	key     gitops.Key
}

// target is what the reconciler has for one cluster.
type target struct {
	cluster *cluster.Cluster
	hub     *watch.Hub
	applier *apply.Applier
	pods    *watch.Pods
	// cancel ends the watches; nil until they run.
	cancel context.CancelFunc

	// accounts are the same target for those who write as a ServiceAccount, by
	// NAMESPACE/NAME. Guarded by ApplicationReconciler.mu.
	accounts map[string]*target
}

// NewApplicationReconciler returns a reconciler for Applications.
func NewApplicationReconciler(o ApplicationOptions) (*ApplicationReconciler, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &ApplicationReconciler{
		opts: o,
		heals: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[healItem]{
			Name: "application-heal", Clock: o.Clock,
		}),
		calmEvents: rate.NewLimiter(calmEventsASecond, calmEventBurst),

		states:  map[types.NamespacedName]*appState{},
		objects: map[objectID][]*appState{},
		targets: map[string]*target{},

		reshared: make(chan struct{}, 1),
	}
	if o.Shares != nil {
		o.Shares.OnChange(r.sharesChanged)
	}
	o.Clusters.OnChange(r.clusterChanged)
	r.heads = newBranchHeads(o, r.headsChanged)
	r.versions = newChartVersions(o, r.headsChanged)
	return r, nil
}

// SetupWithManager registers the controller, what wakes it (10-contracts, Who
// wakes whom) and its background work.
func (r *ApplicationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	options, run := controller.Options{MaxConcurrentReconciles: r.opts.Concurrency}, manager.Runnable(manager.RunnableFunc(r.run))
	b := ctrl.NewControllerManagedBy(mgr)
	if r.opts.Shares != nil {
		leads := false
		options.NeedLeaderElection, run = &leads, everywhere{r.run}
		b = b.Watches(&v1alpha1.Application{}, handler.Funcs{UpdateFunc: r.holderChanged})
	}
	err := b.Named("application").
		For(&v1alpha1.Application{}, builder.WithPredicates(applicationChanged())).
		Watches(&v1alpha1.Application{}, handler.EnqueueRequestsFromMapFunc(r.dependents), builder.WithPredicates(readyChanged())).
		Watches(&v1alpha1.Promotion{}, handler.Funcs{UpdateFunc: r.promotionChanged}).
		Watches(&v1alpha1.Project{}, handler.EnqueueRequestsFromMapFunc(r.applicationsOfProject), builder.WithPredicates(projectChanged())).
		Watches(&v1alpha1.Freeze{}, handler.EnqueueRequestsFromMapFunc(r.applicationsOfPause)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.applicationsOfSecret), builder.WithPredicates(credentialSecret())).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.queue = q
			return nil
		})).
		WithOptions(options).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the Application controller: %w", err)
	}
	if err := mgr.Add(run); err != nil {
		return fmt.Errorf("set up the Application controller: %w", err)
	}
	return nil
}

// run does the background work until ctx ends: polls, watches, heals.
func (r *ApplicationReconciler) run(ctx context.Context) error {
	r.mu.Lock()
	r.ctx = ctx
	for _, t := range r.targets {
		r.startTarget(t)
	}
	r.mu.Unlock()
	r.wg.Go(func() { r.heads.run(ctx) })
	r.wg.Go(func() { r.versions.run(ctx) })
	if r.opts.Shares != nil {
		r.wg.Go(func() { r.reshare(ctx) })
	}
	for range r.opts.HealConcurrency {
		r.wg.Go(func() { r.healWorker(ctx) })
	}
	if r.opts.Wake != nil {
		r.wg.Go(func() {
			for {
				select {
				case m, open := <-r.opts.Wake:
					if !open {
						return
					}
					r.heads.moved(m)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	<-ctx.Done()
	r.heals.ShutDown()
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// Reconcile brings one Application forward.
func (r *ApplicationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var app v1alpha1.Application
	if err := r.opts.Client.Get(ctx, req.NamespacedName, &app); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("read Application %q: %w", req.NamespacedName, err)
	}
	held, err := r.hold(ctx, &app)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	if held == nil || err != nil {
		return settle(ctrl.Result{}, err)
	}
	s := r.state(held)
	work, leave, ok := s.claim.enter(ctx)
	if !ok {
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	defer leave()
	result, err := r.pass(work, s, s.adopt(held))
	if err != nil && ctx.Err() == nil && work.Err() != nil {
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil // not ours any more
	}
	return result, err
}

// conflictPause is how long the cache may be behind what was written.
const conflictPause = 20 * time.Millisecond

// pass brings one Application forward that this process works on.
func (r *ApplicationReconciler) pass(ctx context.Context, s *appState, newest *v1alpha1.Application) (ctrl.Result, error) {
	var result ctrl.Result
	var err error
	if newest.DeletionTimestamp != nil {
		result, err = r.finalize(ctx, s, newest)
	} else {
		result, err = r.reconcile(ctx, s, newest)
	}
	if apierrors.IsConflict(err) {
		// The cache is behind; what it brings next wakes us, and the short
		// pause covers the case that it has arrived already.
		s.mu.Lock()
		s.app = nil
		s.mu.Unlock()
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil // superseded
	}
	return settle(result, err)
}

// reconcile observes, decides, enacts and writes the status.
func (r *ApplicationReconciler) reconcile(ctx context.Context, s *appState, app *v1alpha1.Application) (ctrl.Result, error) {
	if held := app.DeepCopy(); controllerutil.AddFinalizer(held, v1alpha1.FinalizerResources) {
		if err := r.patchFinalizers(ctx, s, held); err != nil {
			return ctrl.Result{}, err
		}
		app = s.adopt(app)
	}
	o := r.observe(ctx, s, app)
	if o.superseded != nil {
		return ctrl.Result{}, o.superseded
	}
	if o.plan != nil {
		if err := r.enact(ctx, s, app, &o); err != nil {
			return ctrl.Result{}, err
		}
	}
	return r.writeStatus(ctx, s, &o)
}

// state returns what is remembered of app, and makes it.
func (r *ApplicationReconciler) state(app *v1alpha1.Application) *appState {
	name := client.ObjectKeyFromObject(app)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[name]
	if s == nil || s.owner != gitops.OwnerOf(app) {
		if s != nil { // made anew, or sent to another cluster
			r.release(s)
		}
		s = newAppState(app)
		s.claim = newClaim(r.opts.Shares, app.Status.Holder)
		r.states[name] = s
		for key := range s.entries {
			r.claimLocked(s, key)
		}
	}
	return s
}

// allStates returns what is remembered of every Application.
func (r *ApplicationReconciler) allStates() []*appState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.states))
}

// claim notes that s applies these objects, or wants to, and no others.
func (r *ApplicationReconciler) claim(s *appState, keys map[gitops.Key]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range s.claimed {
		if !keys[k] {
			r.disclaimLocked(s, objectID{s.cluster, k})
		}
	}
	for k := range keys {
		r.claimLocked(s, k)
	}
}

func (r *ApplicationReconciler) claimLocked(s *appState, key gitops.Key) {
	id := objectID{s.cluster, key}
	if !slices.Contains(r.objects[id], s) {
		r.objects[id] = append(r.objects[id], s)
		s.claimed[key] = true
	}
}

// disclaim notes that s does not apply key any more.
func (r *ApplicationReconciler) disclaim(s *appState, key gitops.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disclaimLocked(s, objectID{s.cluster, key})
}

func (r *ApplicationReconciler) disclaimLocked(s *appState, id objectID) {
	delete(s.claimed, id.key)
	left := slices.DeleteFunc(r.objects[id], func(o *appState) bool { return o == s })
	if len(left) == 0 {
		delete(r.objects, id)
		return
	}
	r.objects[id] = left
}

// claimants returns who applies an object, or wants to: one, unless two
// Applications have the same object in Git.
func (r *ApplicationReconciler) claimants(cluster string, key gitops.Key) []*appState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.objects[objectID{cluster, key}])
}

// existingTarget returns what there is for a cluster, nil when nothing is.
func (r *ApplicationReconciler) existingTarget(cluster string) *target {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.targets[cluster]
}

// forget drops everything that is remembered of an Application.
func (r *ApplicationReconciler) forget(name types.NamespacedName) {
	r.heads.forget(name)
	r.versions.forget(name)
	r.mu.Lock()
	if s := r.states[name]; s != nil {
		delete(r.states, name)
		r.release(s)
	}
	r.mu.Unlock()
	// Who waits for an object of its may have it now.
	for _, s := range r.allStates() {
		if s.hasConflict() {
			r.enqueue(routine, s.name)
		}
	}
}

// release drops what belongs to s. r.mu is held.
func (r *ApplicationReconciler) release(s *appState) {
	s.claim.end()
	t := r.targets[s.cluster]
	for key := range s.claimed {
		id := objectID{s.cluster, key}
		if t != nil && len(r.objects[id]) == 1 {
			t.pods.Forget(key)
		}
		r.disclaimLocked(s, id)
	}
	if t != nil {
		t.hub.Release(s.name.String())
	}
}

// target returns what there is for a cluster, and makes it.
func (r *ApplicationReconciler) target(name string) (*target, error) {
	c, err := r.opts.Clusters.Get(name)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.targets[name]; t != nil && t.cluster == c {
		return t, nil
	}
	hub, err := watch.NewHub(watch.Options{
		Cluster: c, Sink: r, Assess: func(obj *unstructured.Unstructured, now time.Time) gitops.Verdict { return r.assess(name, obj, now) }, Tools: gitops.DefaultHumanTools(), Clock: r.opts.Clock,
	})
	if err != nil {
		return nil, err
	}
	t := &target{cluster: c, hub: hub, applier: apply.New(c, r.opts.ApplyConcurrency), pods: watch.NewPods(c, r.opts.Clock, r.podsChanged)}
	r.targets[name] = t
	r.startTarget(t)
	return t, nil
}

// startTarget runs t's watches. r.mu is held.
func (r *ApplicationReconciler) startTarget(t *target) {
	if r.ctx == nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	t.cancel = cancel
	r.wg.Go(func() { t.hub.Run(ctx) })
	r.wg.Go(func() { t.pods.Run(ctx) })
}

// clusterChanged is told by the registry: a cluster was added, has another address
// or other credentials, or is gone. Its watches end, and those who deploy there
// look again, with new ones.
func (r *ApplicationReconciler) clusterChanged(name string) {
	r.mu.Lock()
	if t := r.targets[name]; t != nil {
		delete(r.targets, name)
		if t.cancel != nil {
			t.cancel()
		}
	}
	r.mu.Unlock()
	var wake []types.NamespacedName
	for _, s := range r.allStates() {
		if s.cluster != name {
			continue
		}
		s.supersede(false)
		wake = append(wake, s.name)
	}
	r.enqueue(routine, wake...)
}

// Priorities in the queue: what a person or a promotion waits for goes before
// what merely has to be written down, and both before a mass resync.
const (
	urgent  = 100
	routine = 10
)

// enqueue wakes Applications.
func (r *ApplicationReconciler) enqueue(priority int, names ...types.NamespacedName) {
	r.mu.Lock()
	q := r.queue
	r.mu.Unlock()
	if q == nil {
		return
	}
	for _, n := range names {
		request := reconcile.Request{NamespacedName: n}
		if pq, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
			pq.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
		} else {
			q.Add(request)
		}
	}
}

// expressLimit: a branch that moves under more Applications than this is a mass
// sync, which makes way for the others.
const expressLimit = 8

// headsChanged is told by branchHeads. A sync of the old head is stopped.
func (r *ApplicationReconciler) headsChanged(apps []types.NamespacedName) {
	express := len(apps) <= expressLimit
	for _, name := range apps {
		r.mu.Lock()
		s := r.states[name]
		r.mu.Unlock()
		if s != nil {
			s.supersede(express)
		}
	}
	if !express {
		r.enqueue(routine, apps...)
		return
	}
	r.enqueue(urgent, apps...)
}

// promotionChanged hears of commits that a promotion made, on whichever replica
// it ran.
func (r *ApplicationReconciler) promotionChanged(_ context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	was, okOld := e.ObjectOld.(*v1alpha1.Promotion)
	is, okNew := e.ObjectNew.(*v1alpha1.Promotion)
	if !okOld || !okNew {
		return
	}
	known := was.Status.Written()
	for _, c := range is.Status.Written() {
		if !slices.Contains(known, c) {
			r.heads.moved(BranchMoved{RepoURL: c.RepoURL, Branch: c.Branch, Parent: c.Parent, Commit: c.Commit})
		}
	}
}

// applicationsOfProject lists the Applications of a Project, and those of the
// others when one appeared or went: the limits of all depend on the names.
func (r *ApplicationReconciler) applicationsOfProject(_ context.Context, _ client.Object) []reconcile.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]reconcile.Request, 0, len(r.states))
	for name := range r.states {
		out = append(out, reconcile.Request{NamespacedName: name})
	}
	return out
}

// applicationsOfSecret lists the Applications that may wait for a credential.
func (r *ApplicationReconciler) applicationsOfSecret(_ context.Context, o client.Object) []reconcile.Request {
	concerns := func(project string) bool {
		return o.GetNamespace() == project || o.GetNamespace() == r.opts.SystemNamespace
	}
	r.versions.retry(concerns)
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []reconcile.Request
	for name := range r.states {
		if concerns(name.Namespace) {
			out = append(out, reconcile.Request{NamespacedName: name})
		}
	}
	return out
}

// applicationChanged lets through what a person or a Stage changed.
func applicationChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		confirmed := func(o client.Object) string { return o.GetAnnotations()[v1alpha1.AnnotationConfirmPrune] }
		return specOrRequestChanged().Update(e) || confirmed(e.ObjectOld) != confirmed(e.ObjectNew)
	}}
}

// dependents lists the Applications whose spec.dependsOn names o.
func (r *ApplicationReconciler) dependents(_ context.Context, o client.Object) []reconcile.Request {
	var out []reconcile.Request
	for _, s := range r.allStates() {
		s.mu.Lock()
		waits := s.app != nil && s.name.Namespace == o.GetNamespace() && slices.Contains(s.app.Spec.DependsOn, o.GetName())
		s.mu.Unlock()
		if waits {
			out = append(out, reconcile.Request{NamespacedName: s.name})
		}
	}
	return out
}

// readyChanged lets through Applications that became ready or stopped being it.
func readyChanged() predicate.Predicate {
	isReady := func(o client.Object) bool {
		app, ok := o.(*v1alpha1.Application)
		return ok && meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionReady)
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return isReady(e.ObjectOld) != isReady(e.ObjectNew) }}
}

func projectChanged() predicate.Predicate {
	return predicate.GenerationChangedPredicate{}
}

// kindsOf lists the kinds of desired objects and of the inventory.
func kindsOf(desired []gitops.Desired, entries []v1alpha1.InventoryEntry) []schema.GroupVersionKind {
	seen := map[schema.GroupKind]schema.GroupVersionKind{}
	for _, e := range entries {
		gvk := schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: e.Kind}
		seen[gvk.GroupKind()] = gvk
	}
	for _, d := range desired {
		seen[d.Key.GroupKind()] = d.GVK()
	}
	out := make([]schema.GroupVersionKind, 0, len(seen))
	for _, gvk := range seen {
		out = append(out, gvk)
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionKind) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	return out
}

func (r *ApplicationReconciler) stateOf(name types.NamespacedName) *appState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[name]
}
