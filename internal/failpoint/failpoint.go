// Package failpoint lets a crash test stop the process at a named point.
//
// Code on the path of an effect says where it is: fp.Hit(ctx, "git.push.sent").
// In production the set is nil and Hit does nothing. A test starts the real
// binary with WAYBILL_FAILPOINTS="git.push.sent=kill" and finds out what a
// restart makes of it. The text is parsed once, by the command, and the Set is
// handed down: there is no registry and no package state.
package failpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Env names the environment variable the command parses.
const Env = "WAYBILL_FAILPOINTS"

// ErrInjected is what a point set to "error" returns.
var ErrInjected = errors.New("injected by a failpoint")

// action says what happens at a point.
type action struct {
	verb  string        // kill, error, sleep, hang or pause
	pause time.Duration // of sleep
	onHit int           // 0: at every hit; n: at the n-th hit only
}

// Set holds the enabled points. A nil Set is inert; every method accepts it.
type Set struct {
	mu      sync.Mutex
	actions map[string]action
	hits    map[string]int
}

// Parse reads a comma-separated list of "name=action". An action is
//
//	kill          SIGKILL to the own process: nothing is flushed, nothing deferred runs
//	error         Hit returns ErrInjected
//	sleep(150ms)  Hit waits that long, or until its context ends
//	hang          Hit waits until its context ends
//	pause         SIGSTOP to the own process; it goes on, whatever has happened
//	              meanwhile, when somebody sends SIGCONT
//
// and may end in "@n", which limits it to the n-th hit of that point (counted
// from 1). Empty text gives a nil Set. A name that is not in known is an error,
// so that a misspelt point cannot make a crash test pass by never firing.
func Parse(text string, known []string) (*Set, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil //nolint:nilnil // A nil Set is the inert one.
	}
	s := &Set{actions: map[string]action{}, hits: map[string]int{}}
	for _, item := range strings.Split(text, ",") {
		name, verb, found := strings.Cut(strings.TrimSpace(item), "=")
		if !found {
			return nil, fmt.Errorf("failpoint %q: want name=action", item)
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("failpoint %q is unknown; known: %s", name, strings.Join(known, ", "))
		}
		if _, twice := s.actions[name]; twice {
			return nil, fmt.Errorf("failpoint %q is set twice", name)
		}
		a, err := parseAction(verb)
		if err != nil {
			return nil, fmt.Errorf("failpoint %q: %w", name, err)
		}
		s.actions[name] = a
	}
	return s, nil
}

func parseAction(text string) (action, error) {
	var a action
	verb, nth, limited := strings.Cut(text, "@")
	if limited {
		n, err := strconv.Atoi(nth)
		if err != nil || n < 1 {
			return a, fmt.Errorf("%q is not a hit number", nth)
		}
		a.onHit = n
	}
	verb, arg, hasArg := strings.Cut(verb, "(")
	a.verb = verb
	switch verb {
	case "sleep":
		pause, err := time.ParseDuration(strings.TrimSuffix(arg, ")"))
		if err != nil || pause < 0 || !hasArg {
			return a, fmt.Errorf("%q: want sleep(duration)", text)
		}
		a.pause = pause
	case "kill", "error", "hang", "pause":
		if hasArg {
			return a, fmt.Errorf("%q takes no argument", verb)
		}
	default:
		return a, fmt.Errorf("unknown action %q; want kill, error, sleep(duration), hang or pause", text)
	}
	return a, nil
}

// Hit marks that the point was reached and does what was asked for it: nothing
// (nil) unless the point is enabled. It returns ErrInjected wrapped with the
// name, or the context's error when a sleep or hang was cut short.
func (s *Set) Hit(ctx context.Context, name string) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	a, enabled := s.actions[name]
	s.hits[name]++
	hit := s.hits[name]
	s.mu.Unlock()
	if !enabled || (a.onHit != 0 && a.onHit != hit) {
		return nil
	}
	switch a.verb {
	case "kill":
		killSelf()
		return nil
	case "pause":
		pauseSelf()
		return nil
	case "error":
		return fmt.Errorf("failpoint %q: %w", name, ErrInjected)
	case "sleep":
		return wait(ctx, time.After(a.pause))
	default:
		return wait(ctx, nil)
	}
}

// Names returns the enabled points in order, for one log line at start: a
// server that can be made to fail must say so.
func (s *Set) Names() []string {
	if s == nil {
		return nil
	}
	names := make([]string, 0, len(s.actions))
	for name := range s.actions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func wait(ctx context.Context, until <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-until:
		return nil
	}
}

// killSelf ends the process the way the kernel would. The signal is
// asynchronous, so the goroutine must not go on after it.
func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// pauseSelf stops the process. The signal is asynchronous; that the goroutine
// does not go on before it is what the wait is for, which is over when the
// process is continued.
func pauseSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-time.After(200 * time.Millisecond)
}
