package controllers

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// polls asks questions again and again for Applications: where branches are, which
// version of a chart is the newest. One poller for each question serves all that
// want its answer: it asks once per interval, and at once when somebody wants to
// know what is true now.
type polls[Q comparable, A any] struct {
	clock    clock.WithTicker
	interval time.Duration
	// changed is called with the Applications whose answer is another one now, or
	// who asked for it.
	changed func(apps []types.NamespacedName)
	// look asks a question once, for users, of whom there is at least one. It may
	// answer with what was seen notBefore, and says when it was.
	look func(ctx context.Context, q Q, users []types.NamespacedName, notBefore time.Time) (answer A, at time.Time, err error)
	// isNews says whether an answer is another one for app. mu is held.
	isNews func(app types.NamespacedName, before, after A) bool
	// afterError says whether an error is a failure, which is tried again with
	// growing pauses, and for how long the one that was asked wants to be left alone.
	afterError func(err error) (isFailure bool, alone time.Duration)

	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // The life of the pollers that want starts.
	wg    sync.WaitGroup
	all   map[Q]*poll[A]
	users map[types.NamespacedName]pollUse[Q]
}

// pollUse is what an Application wants to know.
type pollUse[Q comparable] struct {
	question Q
	// asked is the number of the look that answers the last ask; 0: none.
	asked int
}

// poll is one question. Its fields are guarded by polls.mu.
type poll[A any] struct {
	answer   A
	err      error
	answered bool
	kick     chan struct{}
	// told counts what we were told of the answer; a look that began before that may
	// know less than we do and is repeated.
	told int
	// started and done number the looks.
	started, done int
	cancel        context.CancelFunc
}

// run polls until ctx ends.
func (p *polls[Q, A]) run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	for q, one := range p.all {
		p.start(q, one)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.ctx = nil
	p.mu.Unlock()
	p.wg.Wait()
}

// start begins to poll q. mu is held.
func (p *polls[Q, A]) start(q Q, one *poll[A]) {
	if p.ctx == nil || one.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	one.cancel = cancel
	p.wg.Go(func() { p.poll(ctx, q, one) })
}

// want returns the poll of q, and remembers that app wants to know when its answer
// is another one. mu is held.
func (p *polls[Q, A]) want(app types.NamespacedName, q Q) *poll[A] {
	one := p.all[q]
	if one == nil {
		one = &poll[A]{kick: make(chan struct{}, 1)}
		p.all[q] = one
	}
	old, isUser := p.users[app]
	if !isUser || old.question != q {
		p.users[app] = pollUse[Q]{question: q}
		p.stopUnused(old.question)
	}
	p.start(q, one)
	return one
}

// forget ends app's interest.
func (p *polls[Q, A]) forget(app types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.users[app]
	delete(p.users, app)
	p.stopUnused(old.question)
}

// stopUnused ends the poller of q when nobody needs it. mu is held.
func (p *polls[Q, A]) stopUnused(q Q) {
	one := p.all[q]
	if one == nil || len(p.usersOf(q)) > 0 {
		return
	}
	if one.cancel != nil {
		one.cancel()
	}
	delete(p.all, q)
}

// usersOf lists the Applications that want to know about q. mu is held.
func (p *polls[Q, A]) usersOf(q Q) []types.NamespacedName {
	var out []types.NamespacedName
	for app, use := range p.users {
		if use.question == q {
			out = append(out, app)
		}
	}
	return out
}

// ask looks now at what app wants to know. app is told of the answer, whatever it is.
func (p *polls[Q, A]) ask(app types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	use := p.users[app]
	if one := p.all[use.question]; one != nil {
		use.asked = one.started + 1
		p.users[app] = use
		one.wake()
	}
}

// isFresh reports whether the answer that app gets was true after its last ask.
func (p *polls[Q, A]) isFresh(app types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	use := p.users[app]
	one := p.all[use.question]
	return one != nil && one.done >= use.asked
}

// wake looks again at once.
func (one *poll[A]) wake() {
	select {
	case one.kick <- struct{}{}:
	default: // one is waiting already
	}
}

// poll looks at once, then at every interval, sooner when woken, and after failures
// with growing pauses.
func (p *polls[Q, A]) poll(ctx context.Context, q Q, one *poll[A]) {
	failures, isWoken := 0, true
	for {
		p.mu.Lock()
		told := one.told
		one.started++
		users := p.usersOf(q)
		p.mu.Unlock()
		if len(users) == 0 {
			return // ended at this moment
		}
		// What somebody else asked meanwhile is as good as our own question, unless
		// somebody wants to know what is true now.
		now := p.clock.Now()
		notBefore := now
		if !isWoken {
			notBefore = now.Add(-p.interval * 9 / 10)
		}
		answer, at, err := p.look(ctx, q, users, notBefore)
		if ctx.Err() != nil {
			return
		}
		if again := p.settle(q, one, told, answer, err); again {
			isWoken = true
			continue
		}
		pause := p.interval*9/10 + rand.N(p.interval/5+1) //nolint:gosec // Jitter.
		isFailure, alone := err != nil, time.Duration(0)
		if err != nil {
			isFailure, alone = p.afterError(err)
		}
		switch {
		case isFailure:
			failures++
			pause = max(min(pause, retryPause(failures)), alone)
		case err == nil:
			pause -= min(max(now.Sub(at), 0), pause)
			fallthrough
		default:
			failures = 0
		}
		isWoken = err != nil // a failure that is remembered answers nothing
		timer := p.clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-one.kick:
			timer.Stop()
			isWoken = true
		case <-timer.C():
		}
	}
}

// retryPause is 1 s, doubling, at most 5 minutes, for the n-th failure in a row.
func retryPause(n int) time.Duration {
	return min(time.Second<<min(n-1, 10), 5*time.Minute)
}

// settle stores an answer and tells whom it concerns. again is true when we were
// told of another answer while the look was under way.
func (p *polls[Q, A]) settle(q Q, one *poll[A], told int, answer A, err error) (again bool) {
	p.mu.Lock()
	if err == nil && one.told != told {
		p.mu.Unlock()
		return true
	}
	before, isNewToAll, done := one.answer, !one.answered || !sameText(one.err, err), one.done
	one.done, one.answered, one.err = one.started, true, err
	if err == nil {
		one.answer = answer
	}
	wake := slices.DeleteFunc(p.usersOf(q), func(app types.NamespacedName) bool {
		asked := p.users[app].asked
		isAsked := asked > done && asked <= one.done
		return !isNewToAll && !isAsked && !p.isNews(app, before, one.answer)
	})
	p.mu.Unlock()
	if len(wake) > 0 {
		p.changed(wake)
	}
	return false
}

func sameText(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}
