package identity

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestAttempts(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	wait := func(err error) time.Duration {
		var e *TooManyError
		if errors.As(err, &e) {
			return e.RetryAfter
		}
		return 0
	}

	t.Run("five failures are free, then the wait doubles", func(t *testing.T) {
		a, now := newAttempts(), start
		for i := range freePerPair {
			if err := a.begin("alice", "10.0.0.1", now); err != nil {
				t.Fatalf("attempt %d: %v", i+1, err)
			}
		}
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			got := wait(a.begin("alice", "10.0.0.1:4711", now))
			if got != want {
				t.Fatalf("wait %v, want %v", got, want)
			}
			now = now.Add(got)
			if err := a.begin("ALICE", "10.0.0.1", now); err != nil {
				t.Fatalf("refused after the wait: %v", err)
			}
		}
	})

	t.Run("another account at another place is not touched", func(t *testing.T) {
		a := newAttempts()
		for range freePerPair {
			_ = a.begin("alice", "10.0.0.1", start)
		}
		if err := a.begin("bob", "10.0.0.2", start); err != nil {
			t.Fatal(err)
		}
		if err := a.begin("alice", "10.0.0.2", start); err != nil {
			t.Fatalf("alice is locked out everywhere by one place: %v", err)
		}
	})

	t.Run("one place guessing many accounts is slowed down", func(t *testing.T) {
		a := newAttempts()
		var refused int
		for i := range 2 * freePerAddress {
			if wait(a.begin(fmt.Sprintf("user%d", i), "2001:db8::1", start)) > 0 {
				refused++
			}
		}
		if refused == 0 {
			t.Fatal("never refused")
		}
		if wait(a.begin("another", "2001:db8::2", start)) == 0 {
			t.Fatal("the next address of the same /64 is another place")
		}
	})

	t.Run("guessing from many places cannot lock an account for long", func(t *testing.T) {
		a := newAttempts()
		var longest time.Duration
		for i := range 500 {
			longest = max(longest, wait(a.begin("alice", fmt.Sprintf("10.1.%d.%d", i/250, i%250), start)))
		}
		if longest == 0 || longest > maxAccountDelay {
			t.Fatalf("longest wait %v, want more than 0 and at most %v", longest, maxAccountDelay)
		}
	})

	t.Run("success forgives the pair", func(t *testing.T) {
		a := newAttempts()
		for range freePerPair - 1 {
			_ = a.begin("alice", "10.0.0.1", start)
		}
		_ = a.begin("alice", "10.0.0.1", start)
		a.succeed("alice", "10.0.0.1")
		for i := range freePerPair {
			if err := a.begin("alice", "10.0.0.1", start); err != nil {
				t.Fatalf("attempt %d after success: %v", i+1, err)
			}
		}
	})

	t.Run("own successes do not wash away guesses from the same place", func(t *testing.T) {
		a := newAttempts()
		refused := false
		for i := range 4 * freePerAddress {
			if a.begin("mallory", "10.0.0.9", start) == nil {
				a.succeed("mallory", "10.0.0.9")
			}
			refused = refused || a.begin(fmt.Sprintf("victim%d", i), "10.0.0.9", start) != nil
		}
		if !refused {
			t.Fatal("never refused")
		}
	})

	t.Run("a full table refuses", func(t *testing.T) {
		a := newAttempts()
		for i := range maxKeys {
			a.keys[fmt.Sprint(i)] = &failures{count: 1, last: start}
		}
		if wait(a.begin("alice", "10.0.0.1", start)) == 0 {
			t.Fatal("accepted")
		}
		if err := a.begin("alice", "10.0.0.1", start.Add(forgetAfter+time.Second)); err != nil {
			t.Fatalf("still refused when all is forgotten: %v", err)
		}
	})
}
