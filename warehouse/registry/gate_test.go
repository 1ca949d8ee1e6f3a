package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestGateHalvesAndRecovers(t *testing.T) {
	g := newGate(8)
	enter := func() int {
		t.Helper()
		round, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return round
	}
	rounds := make([]int, 8)
	for i := range rounds {
		rounds[i] = enter()
	}
	for _, r := range rounds { // eight refusals of one burst count once
		g.leave(r, outcomeTooMuch)
	}
	if g.limit != 4 {
		t.Fatalf("limit %d after one burst of refusals, want 4", g.limit)
	}
	g.leave(enter(), outcomeTooMuch)
	g.leave(enter(), outcomeTooMuch)
	g.leave(enter(), outcomeTooMuch)
	if g.limit != 1 {
		t.Fatalf("limit %d, want 1: never none", g.limit)
	}
	answers := 0
	for g.limit < 8 {
		g.leave(enter(), outcomeGood)
		answers++
	}
	if answers != 1+2+3+4+5+6+7 {
		t.Errorf("back to 8 after %d answers, want one more place for each full round: 28", answers)
	}
	g.leave(enter(), outcomeUnknown)
	if g.limit != 8 || g.running != 0 {
		t.Errorf("limit %d, %d running", g.limit, g.running)
	}
}

func TestGateNeverExceedsItsLimit(t *testing.T) {
	g := newGate(3)
	var mu sync.Mutex
	running, peak := 0, 0
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%7 == 0 {
				cancel() // may or may not get its place: none may leak
			}
			round, err := g.enter(ctx)
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			running++
			peak = max(peak, running)
			mu.Unlock()
			mu.Lock()
			running--
			mu.Unlock()
			g.leave(round, outcomeGood)
		})
	}
	wg.Wait()
	if peak > 3 || g.running != 0 || len(g.waiting) != 0 {
		t.Errorf("peak %d, %d running, %d waiting at the end", peak, g.running, len(g.waiting))
	}
}

func TestSpread(t *testing.T) {
	g := newGate(8)
	var got []int
	for _, isLimited := range []bool{false, true, true, true, true, false, false, false, false, false, false, false, false} {
		got = append(got, g.spread(isLimited))
	}
	want := []int{1, 2, 4, 8, 8, 7, 6, 5, 4, 3, 2, 1, 1}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
