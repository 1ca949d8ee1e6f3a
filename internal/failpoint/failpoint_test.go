package failpoint_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/failpoint"
)

func known() []string { return []string{"a", "b"} }

func TestEmptyTextIsInert(t *testing.T) {
	s, err := failpoint.Parse("  ", known())
	if err != nil || s != nil {
		t.Fatalf("got %v, %v; want a nil Set", s, err)
	}
	if err := s.Hit(t.Context(), "a"); err != nil {
		t.Fatalf("a nil Set must do nothing, got %v", err)
	}
	if names := s.Names(); names != nil {
		t.Fatalf("a nil Set has names %v", names)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"a misspelt point would never fire", "c=kill", `"c" is unknown`},
		{"no action", "a", "want name=action"},
		{"unknown action", "a=explode", `unknown action "explode"`},
		{"twice", "a=kill,a=error", "set twice"},
		{"sleep without duration", "a=sleep", "want sleep(duration)"},
		{"kill takes nothing", "a=kill(3)", "takes no argument"},
		{"hits count from 1", "a=kill@0", "not a hit number"},
	} {
		if _, err := failpoint.Parse(c.in, known()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q gives %v, want %q in it", c.why, c.in, err, c.want)
		}
	}
}

func TestHit(t *testing.T) {
	s, err := failpoint.Parse("a=error@2, b=sleep(1h)", known())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, failpoint.ErrInjected, nil} {
		if err := s.Hit(t.Context(), "a"); !errors.Is(err, want) {
			t.Errorf("hit %d: got %v, want %v", i+1, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Hit(ctx, "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("a sleep must end with its context, got %v", err)
	}
	if got := strings.Join(s.Names(), " "); got != "a b" {
		t.Errorf("names: %q", got)
	}
}

// TestKill re-runs this test binary as a child that hits a kill point.
func TestKill(t *testing.T) {
	const child = "WAYBILL_FAILPOINT_TEST_CHILD"
	if os.Getenv(child) != "" {
		s, err := failpoint.Parse(os.Getenv(failpoint.Env), known())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Hit(t.Context(), "a")
		t.Fatal("survived its own SIGKILL")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), child+"=1", failpoint.Env+"=a=kill")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("child ended with %v: %s", err, out)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("child ended with %v, want SIGKILL: %s", exit, out)
	}
}
