package watch

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/health"
)

// settleTime is how long the pods of a workload are still watched after it
// became Healthy (10-contracts, Names and ownership): long enough to see a
// container that starts and then crashes.
const settleTime = 30 * time.Second

// Pods watches the pods of workloads that are not well. Pods carry no label of
// ours, so each such workload gets one watch with its own selector (and, for a
// Deployment, one of its ReplicaSets' metadata), which ends 30 seconds after
// the workload settled. It is safe for concurrent use.
type Pods struct {
	cluster *cluster.Cluster
	clock   clock.WithTicker
	// changed is called when the verdict on a workload changed.
	changed func(cluster string, key gitops.Key)

	mu        sync.Mutex
	ctx       context.Context //nolint:containedctx // Set by Run: the life of the watches that Observe starts.
	wg        sync.WaitGroup
	workloads map[gitops.Key]*workload
}

// workload is one watched workload; guarded by Pods.mu.
type workload struct {
	key         gitops.Key
	obj         *unstructured.Unstructured // as last seen
	selector    string
	pods        map[types.UID]health.PodState
	replicaSets map[types.UID]health.ReplicaSetState
	last        health.Result
	// settledAt is since when it has been Healthy; zero while it is not.
	settledAt time.Time
	cancel    context.CancelFunc
}

// NewPods returns Pods that watches nothing yet. changed has to return at once.
func NewPods(c *cluster.Cluster, clk clock.WithTicker, changed func(cluster string, key gitops.Key)) *Pods {
	return &Pods{cluster: c, clock: clk, changed: changed, workloads: map[gitops.Key]*workload{}}
}

// Run watches until ctx ends and every watch has stopped.
func (p *Pods) Run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.ctx = nil
	for key, w := range p.workloads {
		p.stop(key, w)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Observe takes a new state of obj, an object with all its values. A workload
// that is not Healthy by its own status is watched from now on, unless its
// controller has not looked at it: before that its pods say nothing about it, and
// most changes of many objects at once make no new pods. It reports whether the verdict on a watched workload changed.
func (p *Pods) Observe(obj *unstructured.Unstructured) (isNews bool) {
	if !health.HasPods(obj) {
		return false
	}
	key := gitops.KeyOf(obj)
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[key]
	if w != nil && w.obj.GetUID() == obj.GetUID() && versionOf(obj.GetResourceVersion()) < versionOf(w.obj.GetResourceVersion()) {
		return false
	}
	selector, hasPods, err := health.PodSelector(obj)
	if err != nil || !hasPods {
		return false
	}
	if w != nil && (w.obj.GetUID() != obj.GetUID() || w.selector != selector.String()) {
		p.stop(key, w)
		w = nil
	}
	own := health.Assess(obj, p.clock.Now())
	if w == nil {
		if own.Status == v1alpha1.HealthHealthy || own.IsUnobserved() || p.ctx == nil {
			return false
		}
		w = &workload{
			key: key, selector: selector.String(), obj: obj,
			pods: map[types.UID]health.PodState{}, replicaSets: map[types.UID]health.ReplicaSetState{},
		}
		p.workloads[key] = w
		p.start(w)
	}
	before := w.last
	w.obj = obj
	w.last = p.assess(w)
	p.settle(w)
	return before != w.last
}

// Forget ends the watch of a workload.
func (p *Pods) Forget(key gitops.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workloads[key]; w != nil {
		p.stop(key, w)
	}
}

// Verdict returns the health of a workload that is being watched, its pods
// considered. ok is false for one that is not: its own status says it all.
func (p *Pods) Verdict(key gitops.Key) (v gitops.Verdict, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workloads[key]
	if w == nil {
		return gitops.Verdict{}, false
	}
	r := p.assess(w)
	w.last = r
	p.settle(w)
	return gitops.Verdict{Health: r.Health(), Recheck: r.Recheck}, true
}

// Count returns the number of workloads being watched.
func (p *Pods) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.workloads)
}

// assess judges w with its pods. p.mu is held.
func (p *Pods) assess(w *workload) health.Result {
	pods := make([]health.PodState, 0, len(w.pods))
	for _, s := range w.pods {
		pods = append(pods, s)
	}
	sets := make([]health.ReplicaSetState, 0, len(w.replicaSets))
	for _, s := range w.replicaSets {
		sets = append(sets, s)
	}
	return health.AssessWorkload(w.obj, sets, pods, p.clock.Now())
}

// settle starts the countdown of a workload that became Healthy, and ends that
// of one that is not any more. p.mu is held.
func (p *Pods) settle(w *workload) {
	if w.last.Status != v1alpha1.HealthHealthy {
		w.settledAt = time.Time{}
		return
	}
	if !w.settledAt.IsZero() || p.ctx == nil {
		return
	}
	since := p.clock.Now()
	w.settledAt = since
	ctx := p.ctx
	p.wg.Go(func() {
		timer := p.clock.NewTimer(settleTime)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C():
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.workloads[w.key] == w && w.settledAt.Equal(since) {
				p.stop(w.key, w)
			}
		}
	})
}

// stop ends the watch of w. p.mu is held.
func (p *Pods) stop(key gitops.Key, w *workload) {
	if w.cancel != nil {
		w.cancel()
	}
	delete(p.workloads, key)
}

// start runs the watches of w. p.mu is held.
func (p *Pods) start(w *workload) {
	ctx, cancel := context.WithCancel(p.ctx)
	w.cancel = cancel
	namespace, selector := w.obj.GetNamespace(), w.selector
	pods := p.cluster.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace)
	p.reflect(ctx, "pods of "+w.key.String(), &podStore{p, w}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = selector
			return pods.Watch(ctx, o)
		},
	})
	if w.key.Kind != "Deployment" {
		return
	}
	sets := p.cluster.Metadata.Resource(appsv1.SchemeGroupVersion.WithResource("replicasets")).Namespace(namespace)
	p.reflect(ctx, "replica sets of "+w.key.String(), &replicaSetStore{p, w}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return sets.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = selector
			return sets.Watch(ctx, o)
		},
	})
}

func (p *Pods) reflect(ctx context.Context, name string, store cache.ReflectorStore, lw *cache.ListWatch) {
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, p.cluster.Dynamic), nil, store,
		cache.ReflectorOptions{Name: p.cluster.Name + "/" + name, Clock: p.clock})
	p.wg.Go(func() { r.RunWithContext(ctx) })
}

// update changes w and tells when the verdict on it changed.
func (p *Pods) update(w *workload, change func()) {
	p.mu.Lock()
	if p.workloads[w.key] != w {
		p.mu.Unlock()
		return
	}
	change()
	before := w.last
	w.last = p.assess(w)
	isNews := before != w.last
	p.settle(w)
	p.mu.Unlock()
	if isNews {
		p.changed(p.cluster.Name, w.key)
	}
}

// podStore is what the reflector of a workload's pods fills.
type podStore struct {
	pods *Pods
	w    *workload
}

func podStateOf(item any) (health.PodState, error) {
	obj, isObject := item.(*unstructured.Unstructured)
	if !isObject {
		return health.PodState{}, errNoObject
	}
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &pod); err != nil {
		return health.PodState{}, fmt.Errorf("read pod %q: %w", obj.GetName(), err)
	}
	return health.PodStateOf(&pod), nil
}

// Add is part of cache.ReflectorStore.
func (s *podStore) Add(item any) error {
	state, err := podStateOf(item)
	if err != nil {
		return err
	}
	s.pods.update(s.w, func() { s.w.pods[state.UID] = state })
	return nil
}

// Update is part of cache.ReflectorStore.
func (s *podStore) Update(item any) error { return s.Add(item) }

// Delete is part of cache.ReflectorStore.
func (s *podStore) Delete(item any) error {
	obj, isObject := item.(*unstructured.Unstructured)
	if !isObject {
		return errNoObject
	}
	s.pods.update(s.w, func() { delete(s.w.pods, obj.GetUID()) })
	return nil
}

// Replace is part of cache.ReflectorStore.
func (s *podStore) Replace(items []any, _ string) error {
	fresh := make(map[types.UID]health.PodState, len(items))
	for _, item := range items {
		state, err := podStateOf(item)
		if err != nil {
			return err
		}
		fresh[state.UID] = state
	}
	s.pods.update(s.w, func() { s.w.pods = fresh })
	return nil
}

// Resync is part of cache.ReflectorStore; nothing is resynced.
func (s *podStore) Resync() error { return nil }

// replicaSetStore is what the reflector of a Deployment's ReplicaSets fills.
type replicaSetStore struct {
	pods *Pods
	w    *workload
}

// Add is part of cache.ReflectorStore.
func (s *replicaSetStore) Add(item any) error {
	obj, isObject := item.(metav1.Object)
	if !isObject {
		return errNoObject
	}
	state := health.ReplicaSetStateOf(obj)
	s.pods.update(s.w, func() { s.w.replicaSets[state.UID] = state })
	return nil
}

// Update is part of cache.ReflectorStore.
func (s *replicaSetStore) Update(item any) error { return s.Add(item) }

// Delete is part of cache.ReflectorStore.
func (s *replicaSetStore) Delete(item any) error {
	obj, isObject := item.(metav1.Object)
	if !isObject {
		return errNoObject
	}
	s.pods.update(s.w, func() { delete(s.w.replicaSets, obj.GetUID()) })
	return nil
}

// Replace is part of cache.ReflectorStore.
func (s *replicaSetStore) Replace(items []any, _ string) error {
	fresh := make(map[types.UID]health.ReplicaSetState, len(items))
	for _, item := range items {
		obj, isObject := item.(metav1.Object)
		if !isObject {
			return errNoObject
		}
		state := health.ReplicaSetStateOf(obj)
		fresh[state.UID] = state
	}
	s.pods.update(s.w, func() { s.w.replicaSets = fresh })
	return nil
}

// Resync is part of cache.ReflectorStore; nothing is resynced.
func (s *replicaSetStore) Resync() error { return nil }
