package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ownWrites knows the newest version of each object of a kind that this process
// wrote, so that a cache that does not show it yet can be told from one that does:
// what was just done is neither done again nor asked for again.
//
// The zero value is ready for use, by any number of goroutines.
type ownWrites struct {
	mu     sync.Mutex
	newest map[types.NamespacedName]ownWrite
}

type ownWrite struct {
	stage   string
	version uint64
	at      time.Time
}

// ownWritePatience is how long a write is waited for: by then a cache shows it, or
// never will, because the object is gone or the versions begin anew.
const ownWritePatience = time.Minute

// wrote notes a version that the API server answered with, of an object of a Stage.
func (w *ownWrites) wrote(obj client.Object, stage string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.newest == nil {
		w.newest = map[types.NamespacedName]ownWrite{}
	}
	for key, o := range w.newest {
		if now.Sub(o.at) > ownWritePatience {
			delete(w.newest, key)
		}
	}
	w.newest[client.ObjectKeyFromObject(obj)] = ownWrite{stage: stage, version: versionNumber(obj), at: now}
}

// isOutdated reports whether obj is older than what this process wrote.
func (w *ownWrites) isOutdated(obj client.Object, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, known := w.newest[client.ObjectKeyFromObject(obj)]
	return known && now.Sub(o.at) <= ownWritePatience && versionNumber(obj) < o.version
}

// areIn reports whether the Promotions of a Stage that were read show all that this
// process wrote of them.
func (w *ownWrites) areIn(read []v1alpha1.Promotion, stage types.NamespacedName, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, o := range w.newest {
		if o.stage != stage.Name || key.Namespace != stage.Namespace || now.Sub(o.at) > ownWritePatience {
			continue
		}
		isShown := slices.ContainsFunc(read, func(p v1alpha1.Promotion) bool { return p.Name == key.Name && versionNumber(&p) >= o.version })
		if !isShown {
			return false
		}
	}
	return true
}

// notingClient is a Client that tells of every version of a Promotion it wrote.
type notingClient struct {
	client.Client
	note func(p *v1alpha1.Promotion)
}

// Create is part of client.Client.
func (c *notingClient) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return c.noted(obj, c.Client.Create(ctx, obj, opts...))
}

// Patch is part of client.Client.
func (c *notingClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return c.noted(obj, c.Client.Patch(ctx, obj, patch, opts...))
}

// Status is part of client.Client.
func (c *notingClient) Status() client.SubResourceWriter {
	return &notingStatus{SubResourceWriter: c.Client.Status(), client: c}
}

// noted returns err, and tells of obj when there is none.
func (c *notingClient) noted(obj client.Object, err error) error {
	if err != nil {
		return err //nolint:wrapcheck // Callers ask what kind of error of the API server it is.
	}
	if p, ok := obj.(*v1alpha1.Promotion); ok {
		c.note(p)
	}
	return nil
}

type notingStatus struct {
	client.SubResourceWriter
	client *notingClient
}

// Patch is part of client.SubResourceWriter.
func (s *notingStatus) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.client.noted(obj, s.SubResourceWriter.Patch(ctx, obj, patch, opts...))
}
