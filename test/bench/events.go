package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// event is something this process saw: a change of an object, or a push that
// the Git server accepted.
type event struct {
	// At is when it arrived here.
	At time.Time
	// Type says what became of Object.
	Type   watch.EventType
	Object client.Object
	// Push is set instead of Object.
	Push *push
}

// push is a branch moved on the Git server.
type push struct{ Branch, Commit string }

// observer keeps what was seen, in order. Nothing is missed between two calls
// of await: it looks at the past first.
type observer struct {
	mu     sync.Mutex
	events []event
	last   time.Time
	more   chan struct{} // closed and replaced at every event
	failed error
}

func newObserver() *observer { return &observer{more: make(chan struct{})} }

func (o *observer) add(e event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
	o.last = e.At
	o.wake()
}

// wake tells everybody who waits. o.mu is held.
func (o *observer) wake() {
	close(o.more)
	o.more = make(chan struct{})
}

func (o *observer) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
	}
	o.wake()
}

// forget drops what was seen so far: a measurement begins.
func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = nil
}

// await returns the first event since forget that match accepts, waiting for it
// until ctx ends. what is for the error.
func (o *observer) await(ctx context.Context, what string, match func(event) bool) (event, error) {
	next := 0
	for {
		o.mu.Lock()
		for ; next < len(o.events); next++ {
			if e := o.events[next]; match(e) {
				o.mu.Unlock()
				return e, nil
			}
		}
		more, err := o.more, o.failed
		o.mu.Unlock()
		if err != nil {
			return event{}, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return event{}, fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}

// quiet waits until nothing was seen for a while.
func (o *observer) quiet(ctx context.Context, pause time.Duration) error {
	for {
		o.mu.Lock()
		left, more := pause-time.Since(o.last), o.more
		o.mu.Unlock()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-more:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for quiet: %w", ctx.Err())
		}
	}
}

// since returns what was seen since forget.
func (o *observer) since() []event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]event(nil), o.events...)
}

// watchAll follows the kinds that the measurements look at until ctx ends.
func (o *observer) watchAll(ctx context.Context, wg *sync.WaitGroup, c client.WithWatch) error {
	for _, list := range []client.ObjectList{
		&v1alpha1.WarehouseList{}, &v1alpha1.FreightList{}, &v1alpha1.StageList{}, &v1alpha1.PromotionList{},
		&v1alpha1.ApplicationList{}, &appsv1.DeploymentList{},
	} {
		w, err := c.Watch(ctx, list)
		if err != nil {
			return fmt.Errorf("watch %T: %w", list, err)
		}
		wg.Go(func() {
			for w != nil {
				version := o.follow(w, list)
				if ctx.Err() != nil || version == "" {
					return
				}
				// The API server ends a watch whose reader is slow. What came meanwhile
				// is sent from where it ended.
				if w, err = c.Watch(ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}}); err != nil {
					o.fail(fmt.Errorf("watch %T again: %w", list, err))
				}
			}
		})
	}
	return nil
}

// follow keeps what a watch tells until it ends, and returns the version it came to;
// "" when it cannot be gone on with.
func (o *observer) follow(w watch.Interface, list client.ObjectList) (version string) {
	defer w.Stop()
	for e := range w.ResultChan() {
		at := time.Now()
		object, ok := e.Object.(client.Object)
		if !ok || e.Type == watch.Error {
			o.fail(fmt.Errorf("watch %T: %v", list, e.Object))
			return ""
		}
		version = object.GetResourceVersion()
		o.add(event{At: at, Type: e.Type, Object: object})
	}
	if version == "" {
		o.fail(fmt.Errorf("watch %T: the API server ended it before it told anything", list))
	}
	return version
}
