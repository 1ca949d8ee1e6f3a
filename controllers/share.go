package controllers

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// networkWorkers is how many reconciles may wait for registries or Git
	// servers at a time, and projectShare how many of them may be one Project's:
	// servers that answer nothing hold up nobody else.
	networkWorkers = 64
	projectShare   = 16
	// One that finds its turn taken comes back after firstTurn, and after up to
	// lastTurn the more often others found the same.
	firstTurn = 20 * time.Millisecond
	lastTurn  = time.Second
)

// turns lets a bounded number of reconciles of one key run at a time. It never
// blocks: a worker that waited would be one worker less for everybody. The zero
// value is ready for use.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	running int
	// missed counts those who found no turn since one last ended.
	missed int
}

// take returns what ends the turn, or nil and when to come back because limit
// are running.
func (t *turns) take(key string, limit int) (end func(), comeBack ctrl.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys = map[string]*turn{}
	}
	k := t.keys[key]
	if k == nil {
		k = &turn{}
		t.keys[key] = k
	}
	if k.running >= limit {
		pause := min(firstTurn<<min(k.missed, 10), lastTurn)
		k.missed++
		return nil, ctrl.Result{RequeueAfter: pause/2 + rand.N(pause)} //nolint:gosec // only spreads load
	}
	k.running++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		k.missed = 0
		if k.running--; k.running == 0 {
			delete(t.keys, key)
		}
	}, ctrl.Result{}
}

// stoppable remembers how to stop what runs for an object. The zero value is
// ready for use.
type stoppable struct {
	mu    sync.Mutex
	stops map[types.NamespacedName]context.CancelFunc
}

// start returns a context that stop ends; call end when the work is over.
func (s *stoppable) start(ctx context.Context, key types.NamespacedName) (running context.Context, end func()) {
	running, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stops == nil {
		s.stops = map[types.NamespacedName]context.CancelFunc{}
	}
	s.stops[key] = cancel
	return running, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.stops, key)
		cancel()
	}
}

// stop ends what runs for key, if anything does.
func (s *stoppable) stop(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.stops[key]; cancel != nil {
		cancel()
	}
}
