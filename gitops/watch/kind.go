package watch

import (
	"context"
	"errors"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
)

// metadataOnly says of which kinds only metadata is read: those with secrets,
// and those whose health is that they exist.
func metadataOnly(gk schema.GroupKind) bool {
	switch gk.Group {
	case "":
		return gk.Kind == "Secret" || gk.Kind == "ConfigMap" || gk.Kind == "ServiceAccount" || gk.Kind == "LimitRange"
	case "rbac.authorization.k8s.io":
		return true
	case "networking.k8s.io":
		return gk.Kind == "NetworkPolicy"
	default:
		return false
	}
}

// kindWatch is the watch of one kind. It is the store its reflector fills.
// The fields below hub are guarded by hub.mu.
type kindWatch struct {
	hub       *Hub
	gvk       schema.GroupVersionKind
	kind      cluster.Kind
	hasValues bool

	cancel    context.CancelFunc
	ready     bool
	downSince time.Time
	downCause error
}

func newKindWatch(h *Hub, gvk schema.GroupVersionKind, kind cluster.Kind) *kindWatch {
	return &kindWatch{hub: h, gvk: gvk, kind: kind, hasValues: !metadataOnly(gvk.GroupKind())}
}

// run lists and watches until ctx ends.
func (k *kindWatch) run(ctx context.Context) {
	client := k.hub.opts.Cluster
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = v1alpha1.LabelManagedBy
			var list runtime.Object
			var err error
			if k.hasValues {
				list, err = client.Dynamic.Resource(k.kind.Resource).List(ctx, o)
			} else {
				list, err = client.Metadata.Resource(k.kind.Resource).List(ctx, o)
			}
			k.note(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = v1alpha1.LabelManagedBy
			var w apiwatch.Interface
			var err error
			if k.hasValues {
				w, err = client.Dynamic.Resource(k.kind.Resource).Watch(ctx, o)
			} else {
				w, err = client.Metadata.Resource(k.kind.Resource).Watch(ctx, o)
			}
			k.note(ctx, err)
			return w, err
		},
	}
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client.Dynamic), nil, k,
		cache.ReflectorOptions{Name: client.Name + "/" + k.gvk.GroupKind().String(), Clock: k.hub.opts.Clock})
	reflector.RunWithContext(ctx)
}

// note keeps since when the kind cannot be read.
func (k *kindWatch) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	h := k.hub
	h.mu.Lock()
	wasDown := !k.downSince.IsZero()
	if err == nil {
		k.downSince, k.downCause = time.Time{}, nil
	} else {
		if !wasDown {
			// The first cause stays: a message that changes with every try
			// would be news each time.
			k.downCause, k.downSince = plainCause(err), h.opts.Clock.Now()
			// Told again when the grace is over, if it is still down then.
			h.wg.Go(func() {
				select {
				case <-h.opts.Clock.After(downGrace):
					h.opts.Sink.KindChanged(h.opts.Cluster.Name, k.gvk.GroupKind())
				case <-ctx.Done():
				}
			})
		}
	}
	h.mu.Unlock()
	if err == nil && wasDown {
		h.opts.Sink.KindChanged(h.opts.Cluster.Name, k.gvk.GroupKind())
	}
}

// plainCause drops the URL with its changing parameters from a transport error.
func plainCause(err error) error {
	var transport *url.Error
	if errors.As(err, &transport) {
		return transport.Err
	}
	return err
}

var errNoObject = errors.New("watch event without an object")

// objectOf returns what the API server sent as an unstructured object; for
// metadata only, with its kind filled in.
func (k *kindWatch) objectOf(item any) (*unstructured.Unstructured, error) {
	switch o := item.(type) {
	case *unstructured.Unstructured:
		return o, nil
	case *metav1.PartialObjectMetadata:
		meta, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&o.ObjectMeta)
		if err != nil {
			return nil, err
		}
		obj := &unstructured.Unstructured{Object: map[string]any{"metadata": meta}}
		obj.SetGroupVersionKind(k.gvk)
		return obj, nil
	default:
		return nil, errNoObject
	}
}

// Add is part of cache.ReflectorStore.
func (k *kindWatch) Add(item any) error { return k.changed(item) }

// Update is part of cache.ReflectorStore.
func (k *kindWatch) Update(item any) error { return k.changed(item) }

func (k *kindWatch) changed(item any) error {
	obj, err := k.objectOf(item)
	if err != nil {
		return err
	}
	h := k.hub
	key := gitops.KeyOf(obj)
	h.mu.RLock()
	old, had := h.live[key]
	h.mu.RUnlock()
	version := versionOf(obj.GetResourceVersion())
	if had && version != 0 && version <= old.Version && old.UID == string(obj.GetUID()) {
		return nil // the echo of an own write, or older than it
	}
	r := h.recordOf(obj, k.hasValues, old, had)
	if h.put(key, r) {
		h.opts.Sink.ObjectChanged(h.opts.Cluster.Name, key, r.Live, obj, k.hasValues)
	}
	return nil
}

// Delete is part of cache.ReflectorStore. The event also comes when an object
// only lost our label.
func (k *kindWatch) Delete(item any) error {
	obj, err := k.objectOf(item)
	if err != nil {
		return err
	}
	key := gitops.KeyOf(obj)
	if last, removed := k.hub.remove(key, versionOf(obj.GetResourceVersion())); removed {
		k.hub.opts.Sink.ObjectGone(k.hub.opts.Cluster.Name, key, last)
	}
	return nil
}

// Replace is part of cache.ReflectorStore: a complete list arrived, at start or
// after an outage. What it does not have any more is gone.
func (k *kindWatch) Replace(items []any, listVersion string) error {
	h := k.hub
	at := versionOf(listVersion)
	present := make(map[gitops.Key]bool, len(items))
	for _, item := range items {
		obj, err := k.objectOf(item)
		if err != nil {
			return err
		}
		present[gitops.KeyOf(obj)] = true
		if err := k.changed(obj); err != nil {
			return err
		}
	}
	gk := k.gvk.GroupKind()
	h.mu.Lock()
	var lost []gitops.Key
	for key, r := range h.live {
		// A record newer than the list is an own write since.
		if key.GroupKind() == gk && !present[key] && (at == 0 || r.Version <= at) {
			lost = append(lost, key)
		}
	}
	for key, version := range h.gone {
		if key.GroupKind() == gk && version <= at {
			delete(h.gone, key)
		}
	}
	first := !k.ready
	k.ready = true
	h.mu.Unlock()
	for _, key := range lost {
		if last, removed := h.remove(key, at); removed {
			h.opts.Sink.ObjectGone(h.opts.Cluster.Name, key, last)
		}
	}
	if first {
		h.opts.Sink.KindChanged(h.opts.Cluster.Name, gk)
	}
	return nil
}

// Resync is part of cache.ReflectorStore; nothing is resynced.
func (k *kindWatch) Resync() error { return nil }
