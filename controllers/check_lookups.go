package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	// checksAtATime is how many checks look at something at a time, and
	// checksPerStage how many of them may be one Stage's: a server that answers
	// nothing delays the checks of its own Stage at most.
	checksAtATime  = 128
	checksPerStage = 8
	// checkTime bounds one look, whatever its check says.
	checkTime = 90 * time.Second
	// A Job that runs is looked at after firstLook, then less and less often.
	firstLook = 250 * time.Millisecond
	lastLook  = 5 * time.Second
)

// checkLookups looks at what checks ask for beside the reconciles: a reconcile
// begins a look and returns, and is woken when the answer is there. What has
// been answered and not been recorded yet is lost with the process; then it is
// looked at again.
type checkLookups struct {
	wake  chan event.GenericEvent
	turns turns

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // Set by Start: the life of the looks.
	running sync.WaitGroup
	looks   map[string]*look
}

// look is one attempt of one check; guarded by checkLookups.mu.
type look struct {
	cancel context.CancelFunc // nil while nothing is asked
	// answer of the last look, not taken yet.
	answer *promotion.Measurement
	// notBefore the next look; often counts looks at a Job that runs.
	notBefore time.Time
	often     int
}

func newCheckLookups() *checkLookups {
	return &checkLookups{wake: make(chan event.GenericEvent, 16), looks: map[string]*look{}}
}

// Start implements manager.Runnable: looks live until ctx ends.
func (l *checkLookups) Start(ctx context.Context) error {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	<-ctx.Done()
	l.running.Wait()
	return nil
}

// take returns the answer of the look called key, or begins the look and says
// when to come back; the zero instant means that the Promotion is woken.
func (l *checkLookups) take(key string, p types.NamespacedName, stage string, now time.Time, ask func(context.Context) promotion.Measurement) (m *promotion.Measurement, comeBack time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.looks[key]
	if at == nil {
		at = &look{}
		l.looks[key] = at
	}
	switch {
	case at.answer != nil:
		m, at.answer = at.answer, nil
		if m.Outcome == promotion.OutcomeRunning && !m.IsRecordedFirst {
			at.notBefore = now.Add(min(firstLook<<min(at.often, 10), lastLook))
			at.often++
		}
		return m, at.notBefore
	case at.cancel != nil:
		return nil, time.Time{}
	case now.Before(at.notBefore):
		return nil, at.notBefore
	case l.ctx == nil:
		return nil, now.Add(firstLook)
	}
	endShare, later := l.turns.take(p.Namespace+"/"+stage, checksPerStage)
	if endShare == nil {
		return nil, now.Add(later.RequeueAfter)
	}
	endTurn, later := l.turns.take("", checksAtATime)
	if endTurn == nil {
		endShare()
		return nil, now.Add(later.RequeueAfter)
	}
	ctx, cancel := context.WithTimeout(l.ctx, checkTime)
	at.cancel = cancel
	l.running.Go(func() {
		defer cancel()
		defer endShare()
		defer endTurn()
		answer := guarded(ctx, ask)
		l.mu.Lock()
		at.answer, at.cancel = &answer, nil
		l.mu.Unlock()
		l.tell(p)
	})
	return nil, time.Time{}
}

// tell wakes a Promotion.
func (l *checkLookups) tell(p types.NamespacedName) {
	woken := &v1alpha1.Promotion{}
	woken.Namespace, woken.Name = p.Namespace, p.Name
	l.mu.Lock()
	ctx := l.ctx
	l.mu.Unlock()
	if ctx == nil {
		return
	}
	select {
	case l.wake <- event.GenericEvent{Object: woken}:
	case <-ctx.Done():
	}
}

// guarded asks, and turns a panic into an answer: one bad check stops nobody
// else.
func guarded(ctx context.Context, ask func(context.Context) promotion.Measurement) (m promotion.Measurement) {
	defer func() {
		if r := recover(); r != nil {
			m = promotion.Measurement{Outcome: promotion.OutcomeError, IsFinal: true, Message: "internal error while checking"}
		}
	}()
	return ask(ctx)
}

// forget ends what is asked for a key and drops what is known of it.
func (l *checkLookups) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.looks[key]; at != nil {
		if at.cancel != nil {
			at.cancel()
		}
		delete(l.looks, key)
	}
}
