package registry

import (
	"context"
	"sync"
)

// maxStretch is how many times its interval a subscription of a registry that
// limits us may wait.
const maxStretch = 8

// gate bounds how many requests to one registry run at a time, for all accounts
// together: as many as wanted while it answers, half as many after each sign that
// it is too much, and one more after every full round of answers (additive
// increase, multiplicative decrease).
type gate struct {
	mu      sync.Mutex // guards what follows
	most    int        // never more than this
	limit   int
	running int
	waiting []chan struct{} // first come, first served
	// answered counts good answers since limit last changed; round counts
	// decreases, so that the requests that were under way at one count once.
	answered, round int
	// stretch is by how much polls of this registry are spread: 1 is the
	// interval of the Warehouse. Doubled by a poll that was limited, lowered by
	// one that was not.
	stretch int
}

func newGate(most int) *gate { return &gate{most: most, limit: most, stretch: 1} }

// enter waits for a place and returns the round it was taken in.
func (g *gate) enter(ctx context.Context) (round int, err error) {
	g.mu.Lock()
	if g.running < g.limit && len(g.waiting) == 0 {
		g.running++
		round = g.round
		g.mu.Unlock()
		return round, nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	select {
	case <-turn: // whoever woke us took the place for us
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.round, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == turn {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return 0, ctx.Err()
		}
	}
	g.running-- // the place came together with the end
	g.wake()
	return 0, ctx.Err()
}

// outcome of a request, as far as load is concerned.
type outcome int

const (
	outcomeUnknown outcome = iota // no answer, or one that says nothing about load
	outcomeGood
	outcomeTooMuch // 429, or a failure of the registry's own
)

// leave gives the place back.
func (g *gate) leave(round int, o outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	switch {
	case o == outcomeTooMuch && round == g.round:
		g.limit, g.answered = max(1, g.limit/2), 0
		g.round++
	case o == outcomeGood && g.limit < g.most:
		if g.answered++; g.answered >= g.limit {
			g.limit, g.answered = g.limit+1, 0
		}
	}
	g.wake()
}

// wake lets in whom there is room for. Called with mu held.
func (g *gate) wake() {
	for len(g.waiting) > 0 && g.running < g.limit {
		g.running++
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
	}
}

// spread takes in how a poll went and returns by how much to spread the next.
func (g *gate) spread(isLimited bool) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if isLimited {
		g.stretch = min(2*g.stretch, maxStretch)
	} else {
		g.stretch = max(1, g.stretch-1)
	}
	return g.stretch
}

// atMost returns how many requests may run at a time now.
func (g *gate) atMost() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}

// spreadNow returns by how much polls are spread without a change.
func (g *gate) spreadNow() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stretch
}
