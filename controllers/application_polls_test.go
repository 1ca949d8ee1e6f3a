package controllers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

var errBusy = errors.New("busy")

// pollWorld is what polls look at in a test.
type pollWorld struct {
	*polls[string, int]
	answer atomic.Int64
	isDown atomic.Bool
	// slow is how long a look takes.
	slow  atomic.Int64
	looks atomic.Int64
	woken chan []types.NamespacedName
	end   func()
}

func newPollWorld(t *testing.T) *pollWorld {
	w := &pollWorld{woken: make(chan []types.NamespacedName, 1000)}
	w.polls = &polls[string, int]{
		clock: clock.RealClock{}, interval: time.Minute,
		changed: func(apps []types.NamespacedName) { w.woken <- apps },
		look: func(context.Context, string, []types.NamespacedName, time.Time) (int, time.Time, error) {
			w.looks.Add(1)
			answer := int(w.answer.Load())
			time.Sleep(time.Duration(w.slow.Load()))
			if w.isDown.Load() {
				return 0, time.Now(), errBusy
			}
			return answer, time.Now(), nil
		},
		isNews:     func(_ types.NamespacedName, before, after int) bool { return before != after },
		afterError: func(error) (bool, time.Duration) { return true, 0 },
		all:        map[string]*poll[int]{}, users: map[types.NamespacedName]pollUse[string]{},
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(ctx)
	}()
	w.end = func() { stop(); <-ended }
	synctest.Wait()
	return w
}

// wants is what an Application learns when it asks what is known.
func (w *pollWorld) wants(app types.NamespacedName, q string) (answer int, answered bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.want(app, q)
	return one.answer, one.answered, one.err
}

// wakes is who was woken since it was asked last, call by call.
func (w *pollWorld) wakes() (out [][]types.NamespacedName) {
	synctest.Wait()
	for len(w.woken) > 0 {
		out = append(out, <-w.woken)
	}
	return out
}

func TestPolls(t *testing.T) {
	a, b := types.NamespacedName{Namespace: "p", Name: "a"}, types.NamespacedName{Namespace: "p", Name: "b"}
	everybody := func(apps ...types.NamespacedName) [][]types.NamespacedName { return [][]types.NamespacedName{apps} }
	run := func(name string, test func(t *testing.T, w *pollWorld)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPollWorld(t)
				defer w.end()
				test(t, w)
			})
		})
	}
	expect := func(t *testing.T, what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}

	run("who wants to know is told, and again when it changes", func(t *testing.T, w *pollWorld) {
		w.answer.Store(1)
		_, answered, _ := w.wants(a, "q")
		expect(t, "before the first look", answered, false)
		expect(t, "told", w.wakes(), everybody(a))
		answer, answered, err := w.wants(a, "q")
		if answer != 1 || !answered || err != nil {
			t.Errorf("%d, %v, %v", answer, answered, err)
		}
		time.Sleep(10 * time.Minute)
		expect(t, "while nothing changes", len(w.wakes()), 0)
		if n := w.looks.Load(); n < 8 || n > 13 {
			t.Errorf("%d looks in ten intervals", n)
		}
		w.answer.Store(2)
		time.Sleep(2 * time.Minute)
		expect(t, "told of the change", w.wakes(), everybody(a))
	})

	run("one look serves all", func(t *testing.T, w *pollWorld) {
		w.slow.Store(int64(time.Second))
		w.wants(a, "q")
		w.wants(b, "q")
		time.Sleep(2 * time.Second)
		expect(t, "looks", w.looks.Load(), int64(1))
		expect(t, "told", len(w.wakes()[0]), 2)
	})

	run("who asks is told, whatever the answer is", func(t *testing.T, w *pollWorld) {
		w.wants(a, "q")
		w.wants(b, "q")
		w.wakes()
		w.slow.Store(int64(time.Second))
		w.ask(a)
		expect(t, "fresh before the answer", w.isFresh(a), false)
		expect(t, "of another", w.isFresh(b), true)
		time.Sleep(2 * time.Second)
		expect(t, "fresh after it", w.isFresh(a), true)
		expect(t, "told", w.wakes(), everybody(a))
	})

	run("a failure is told once, tried again with growing pauses, and over", func(t *testing.T, w *pollWorld) {
		w.answer.Store(1)
		w.wants(a, "q")
		w.wakes()
		w.isDown.Store(true)
		w.ask(a)
		expect(t, "told", w.wakes(), everybody(a))
		before := w.looks.Load()
		time.Sleep(20 * time.Second) // after 1, 2, 4 and 8 s
		expect(t, "tries", w.looks.Load()-before, int64(4))
		expect(t, "told again", len(w.wakes()), 0)
		answer, _, err := w.wants(a, "q")
		if answer != 1 || !errors.Is(err, errBusy) {
			t.Errorf("%d, %v", answer, err)
		}
		w.isDown.Store(false)
		time.Sleep(time.Minute)
		expect(t, "told that it is over", w.wakes(), everybody(a))
	})

	run("a look that began before we were told is repeated", func(t *testing.T, w *pollWorld) {
		w.slow.Store(int64(time.Second))
		w.wants(a, "q")
		time.Sleep(time.Second / 2)
		w.mu.Lock()
		w.all["q"].told++
		w.mu.Unlock()
		w.answer.Store(2)
		time.Sleep(3 * time.Second)
		answer, _, _ := w.wants(a, "q")
		expect(t, "answer", answer, 2)
		expect(t, "looks", w.looks.Load(), int64(2))
		expect(t, "told", w.wakes(), everybody(a))
	})

	run("what nobody wants to know is not looked at", func(t *testing.T, w *pollWorld) {
		w.wants(a, "q")
		w.wants(b, "q")
		w.wants(a, "other")
		w.forget(b)
		w.wakes()
		expect(t, "questions", len(w.all), 1)
		w.forget(a)
		w.forget(a)
		expect(t, "questions", len(w.all), 0)
		before := w.looks.Load()
		time.Sleep(time.Hour)
		expect(t, "looks", w.looks.Load(), before)
		expect(t, "fresh", w.isFresh(a), false)
	})
}
