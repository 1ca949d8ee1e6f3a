package watch

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
)

// Sink is told what happens. Its methods are called from the watch's own
// goroutine and have to return at once.
type Sink interface {
	// ObjectChanged reports a new or changed object. obj is metadata only when
	// hasValues is false; it must not be changed.
	ObjectChanged(cluster string, key gitops.Key, live gitops.Live, obj *unstructured.Unstructured, hasValues bool)
	// ObjectGone reports that an object was deleted or lost our label; live is
	// its last record.
	ObjectGone(cluster string, key gitops.Key, live gitops.Live)
	// KindChanged reports that a kind became readable (its first list arrived)
	// or that its watch went down or came back.
	KindChanged(cluster string, kind schema.GroupKind)
}

// Options configure a Hub. Every field is required.
type Options struct {
	Cluster *cluster.Cluster
	Sink    Sink
	// Assess judges the health of an object by itself. A verdict without a
	// status is taken as: it exists, and that is all there is to say.
	Assess func(obj *unstructured.Unstructured, now time.Time) gitops.Verdict
	Tools  gitops.HumanTools
	Clock  clock.WithTicker
}

// downGrace is how long a watch may fail before its objects count as unknown:
// a restart of the API server is no news.
const downGrace = 10 * time.Second

// maxGone bounds what is remembered of deleted objects. It is needed only while
// the answer to a write that went before the deletion may still arrive.
const maxGone = 4096

// Hub watches one cluster. It is safe for concurrent use.
type Hub struct {
	opts Options

	mu    sync.RWMutex
	ctx   context.Context //nolint:containedctx // Set by Run, nil before and after: the life of the watches that Use starts.
	wg    sync.WaitGroup
	kinds map[schema.GroupKind]*kindWatch
	users map[string]map[schema.GroupKind]schema.GroupVersionKind
	live  map[gitops.Key]record
	owned map[string]map[gitops.Key]struct{} // by label value
	gone  map[gitops.Key]uint64              // version of the deletion
}

type record struct {
	gitops.Live
	apiVersion string // version of the kind, for requests
	// obj is kept while time alone may change the verdict on it.
	obj *unstructured.Unstructured
}

// NewHub returns a hub that watches nothing yet.
func NewHub(opts Options) (*Hub, error) {
	if opts.Cluster == nil || opts.Sink == nil || opts.Assess == nil || opts.Clock == nil {
		return nil, errors.New("watch: Cluster, Sink, Assess and Clock are required")
	}
	return &Hub{
		opts:  opts,
		kinds: map[schema.GroupKind]*kindWatch{},
		users: map[string]map[schema.GroupKind]schema.GroupVersionKind{},
		live:  map[gitops.Key]record{},
		owned: map[string]map[gitops.Key]struct{}{},
		gone:  map[gitops.Key]uint64{},
	}, nil
}

// Run watches until ctx ends and every watch has stopped.
func (h *Hub) Run(ctx context.Context) {
	h.mu.Lock()
	h.ctx = ctx
	for _, k := range h.kinds {
		h.start(k)
	}
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	h.ctx = nil
	h.mu.Unlock()
	h.wg.Wait()
}

// Use says which kinds user needs, in place of what it needed before. A kind
// that nobody needs any more is no longer watched. unserved are the kinds that
// the cluster does not have; an error is for a cluster that does not answer.
// Everything else is watched in either case.
func (h *Hub) Use(ctx context.Context, user string, kinds []schema.GroupVersionKind) (unserved []schema.GroupVersionKind, err error) {
	resolved := map[schema.GroupKind]cluster.Kind{}
	wanted := map[schema.GroupKind]schema.GroupVersionKind{}
	for _, gvk := range kinds {
		gk := gvk.GroupKind()
		if _, twice := wanted[gk]; twice {
			continue
		}
		h.mu.RLock()
		_, running := h.kinds[gk]
		h.mu.RUnlock()
		if !running {
			kind, served, kindErr := h.opts.Cluster.Kind(ctx, gvk)
			switch {
			case kindErr != nil:
				err = kindErr
				continue
			case !served:
				unserved = append(unserved, gvk)
				continue
			}
			resolved[gk] = kind
		}
		wanted[gk] = gvk
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for gk, gvk := range wanted {
		if _, running := h.kinds[gk]; running {
			continue
		}
		kind, ok := resolved[gk]
		if !ok {
			continue // stopped in between; the next Use starts it
		}
		k := newKindWatch(h, gvk, kind)
		h.kinds[gk] = k
		h.start(k)
	}
	h.users[user] = wanted
	h.stopUnused()
	return unserved, err
}

// Release forgets user.
func (h *Hub) Release(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users, user)
	h.stopUnused()
}

// start runs k when the hub runs. h.mu is held.
func (h *Hub) start(k *kindWatch) {
	if h.ctx == nil || k.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(h.ctx)
	k.cancel = cancel
	h.wg.Go(func() { k.run(ctx) })
}

// stopUnused ends the watches nobody needs. h.mu is held.
func (h *Hub) stopUnused() {
	used := map[schema.GroupKind]bool{}
	for _, kinds := range h.users {
		for gk := range kinds {
			used[gk] = true
		}
	}
	for gk, k := range h.kinds {
		if used[gk] {
			continue
		}
		if k.cancel != nil {
			k.cancel()
		}
		delete(h.kinds, gk)
		for key := range h.live {
			if key.GroupKind() == gk {
				h.drop(key)
			}
		}
		maps.DeleteFunc(h.gone, func(key gitops.Key, _ uint64) bool { return key.GroupKind() == gk })
	}
}

// IsReady reports whether the first list of every kind has arrived.
func (h *Hub) IsReady(kinds []schema.GroupVersionKind) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, gvk := range kinds {
		if k, ok := h.kinds[gvk.GroupKind()]; !ok || !k.ready {
			return false
		}
	}
	return true
}

// Outage is a kind that cannot be watched.
type Outage struct {
	Kind  schema.GroupKind
	Since time.Time
	Cause error
}

// Down returns the longest outage among kinds, nil when all are watched or were
// until a moment ago.
func (h *Hub) Down(kinds []schema.GroupVersionKind) *Outage {
	now := h.opts.Clock.Now()
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out *Outage
	for _, gvk := range kinds {
		k, ok := h.kinds[gvk.GroupKind()]
		if !ok || k.downSince.IsZero() || now.Sub(k.downSince) < downGrace {
			continue
		}
		if out == nil || k.downSince.Before(out.Since) {
			out = &Outage{Kind: gvk.GroupKind(), Since: k.downSince, Cause: k.downCause}
		}
	}
	return out
}

// Get returns the record of an object that carries the label of any Application.
func (h *Hub) Get(key gitops.Key) (gitops.Live, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	r, ok := h.live[key]
	return r.Live, ok
}

// Verdict returns the health of an object by itself as it is now: a verdict
// whose time has come is made again.
func (h *Hub) Verdict(key gitops.Key) (gitops.Verdict, bool) {
	h.mu.RLock()
	r, ok := h.live[key]
	h.mu.RUnlock()
	if !ok || r.obj == nil || h.opts.Clock.Now().Before(r.Verdict.Recheck) {
		return r.Verdict, ok
	}
	v := h.assess(r.obj)
	h.mu.Lock()
	defer h.mu.Unlock()
	if now, still := h.live[key]; still && now.Version == r.Version {
		now.Verdict = v
		if v.Recheck.IsZero() {
			now.obj = nil
		}
		h.live[key] = now
	}
	return v, true
}

// Owned lists the objects that carry the label value ownerLabel and that were
// applied by us (a copy that somebody made, label included, was not).
func (h *Hub) Owned(ownerLabel string) []gitops.Deletion {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []gitops.Deletion
	for key := range h.owned[ownerLabel] {
		if r := h.live[key]; r.Fingerprint != "" && !gitops.IsOfContent(r.Fingerprint) && !r.Terminating && r.HookRun == "" {
			out = append(out, gitops.Deletion{Key: key, Version: r.apiVersion, UID: r.UID})
		}
	}
	return out
}

// Hooks lists the objects of hooks that carry the label value ownerLabel.
func (h *Hub) Hooks(ownerLabel string) []gitops.Deletion {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []gitops.Deletion
	for key := range h.owned[ownerLabel] {
		if r := h.live[key]; r.HookRun != "" && !r.Terminating {
			out = append(out, gitops.Deletion{Key: key, Version: r.apiVersion, UID: r.UID})
		}
	}
	return out
}

// Count returns the number of objects in the index.
func (h *Hub) Count() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.live)
}

// Observe records the answer to an own write, so that its echo in the watch and
// events older than it are recognised. It returns the record.
func (h *Hub) Observe(obj *unstructured.Unstructured) gitops.Live {
	key := gitops.KeyOf(obj)
	h.mu.RLock()
	k := h.kinds[key.GroupKind()]
	old, had := h.live[key]
	h.mu.RUnlock()
	hasValues := k == nil || k.hasValues
	r := h.recordOf(obj, hasValues, old, had)
	h.put(key, r)
	return r.Live
}

// put stores r unless something newer is known. It reports whether it did.
func (h *Hub) put(key gitops.Key, r record) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, watched := h.kinds[key.GroupKind()]; !watched {
		return false
	}
	if old, ok := h.live[key]; ok && r.Version != 0 && r.Version < old.Version {
		return false
	}
	if deleted, ok := h.gone[key]; ok {
		if r.Version != 0 && r.Version <= deleted {
			return false
		}
		delete(h.gone, key)
	}
	h.drop(key)
	h.live[key] = r
	if h.owned[r.OwnerLabel] == nil {
		h.owned[r.OwnerLabel] = map[gitops.Key]struct{}{}
	}
	h.owned[r.OwnerLabel][key] = struct{}{}
	return true
}

// drop removes key from the index. h.mu is held.
func (h *Hub) drop(key gitops.Key) {
	old, ok := h.live[key]
	if !ok {
		return
	}
	delete(h.live, key)
	delete(h.owned[old.OwnerLabel], key)
	if len(h.owned[old.OwnerLabel]) == 0 {
		delete(h.owned, old.OwnerLabel)
	}
}

// remove takes key out because of an event at version. It returns the last
// record, and false when the index knows something newer.
func (h *Hub) remove(key gitops.Key, version uint64) (gitops.Live, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, ok := h.live[key]
	if !ok || version != 0 && version < old.Version {
		return gitops.Live{}, false
	}
	h.drop(key)
	if version != 0 {
		if len(h.gone) >= maxGone {
			clear(h.gone)
		}
		h.gone[key] = version
	}
	return old.Live, true
}

// recordOf reduces obj. What is costly is kept from the previous record when
// neither ownership nor content moved.
func (h *Hub) recordOf(obj *unstructured.Unstructured, hasValues bool, old record, had bool) record {
	managed := obj.GetManagedFields()
	labels, annotations := obj.GetLabels(), obj.GetAnnotations()
	r := record{apiVersion: obj.GroupVersionKind().Version, Live: gitops.Live{
		UID:         string(obj.GetUID()),
		Version:     versionOf(obj.GetResourceVersion()),
		Fingerprint: gitops.FingerprintOf(obj),
		OwnerLabel:  labels[v1alpha1.LabelManagedBy],
		Owner:       annotations[v1alpha1.AnnotationOwner],
		Terminating: obj.GetDeletionTimestamp() != nil,
		Generation:  obj.GetGeneration(),
		Additions:   gitops.Additions(managed, h.opts.Tools),
		HookRun:     annotations[v1alpha1.AnnotationHookRun],
	}}
	if options := gitops.OptionsOf(annotations, nil); !reflect.DeepEqual(options, gitops.ObjectOptions{}) {
		r.Options = &options
	}
	if !hasValues {
		r.Verdict = exists()
		return r
	}
	if had && r.Generation != 0 && old.UID == r.UID && old.Generation == r.Generation && old.Fingerprint == r.Fingerprint {
		r.Values = old.Values
	} else {
		r.Values = gitops.OwnedValues(obj)
	}
	r.Verdict = h.assess(obj)
	if !r.Verdict.Recheck.IsZero() {
		r.obj = obj
	}
	return r
}

func (h *Hub) assess(obj *unstructured.Unstructured) gitops.Verdict {
	v := h.opts.Assess(obj, h.opts.Clock.Now())
	if v.Health.Status == "" {
		v.Health = exists().Health
	}
	return v
}

// exists is the verdict on an object whose kind knows no health.
func exists() gitops.Verdict {
	return gitops.Verdict{Health: v1alpha1.Health{Status: v1alpha1.HealthHealthy, Reason: "Exists"}}
}

// versionOf reads a resourceVersion. They are decimal numbers that grow
// (Kubernetes API concepts, "resource versions"); 0 stands for one that is not
// and switches ordering off for the object.
func versionOf(rv string) uint64 {
	n, err := strconv.ParseUint(rv, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
