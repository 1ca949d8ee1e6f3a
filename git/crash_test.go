package git_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/faultproxy"
)

const (
	childURL = "WAYBILL_GIT_TEST_URL"
	childDir = "WAYBILL_GIT_TEST_DIR"
)

// TestKilledInsideAPush runs the push in a child process that is killed before
// the push, after it, and with the answer on its way. A second process with
// the same mirrors finds out what happened and makes it exactly one commit.
func TestKilledInsideAPush(t *testing.T) {
	if os.Getenv(childURL) != "" {
		pushAsChild(t)
		return
	}
	for _, c := range []struct {
		why   string
		point string
		fault faultproxy.Fault
	}{
		{why: "before", point: git.FailBeforePush},
		{why: "after", point: git.FailAfterPush},
		{why: "answer on its way", fault: faultproxy.Fault{After: []byte("POST /app.git/git-receive-pack"), Delay: time.Hour}},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := newRig(t)
			must(t, r.mirrors.Close())
			r.server.CreateRepo("app", gittest.ManyFiles(500))
			proxy, url := throughProxy(t, r, "app")
			proxy.Set(c.fault)
			runChild(t, r.dir, url, c.point, func() bool { return proxy.Acted() > 0 && r.server.Branch("app", "stage/test") != "" })
			proxy.Set(faultproxy.Fault{})

			r.mirrors = r.openMirrors()
			m, refs := r.fetched(url, "main", "stage/test")
			main, head := refs.Branches["main"], refs.Branches["stage/test"]
			pushed := c.point != git.FailBeforePush
			if head.IsZero() == pushed {
				t.Fatalf("the branch is at %s", head)
			}
			if pushed {
				if _, found, err := m.FindTrailer(head, main, "Waybill-Promotion-UID", "uid", 100); !found || err != nil {
					t.Fatalf("found %v, %v", found, err)
				}
			}
			again := write(t, m, main, "uid", childEdits(), main)
			must(t, m.Push(t.Context(), git.Update{Branch: "stage/test", New: again}))
			if pushed && again != head {
				t.Errorf("the same work gave %s after %s", again, head)
			}
			if got := len(r.server.Log("app", "stage/test")); got != 2 {
				t.Errorf("%d commits, want 2", got)
			}
		})
	}
}

func childEdits() []git.Edit {
	return []git.Edit{git.SetFile("apps/team-001/app-001.yaml", []byte("x"))}
}

// pushAsChild is what the child does.
func pushAsChild(t *testing.T) {
	points, err := failpoint.Parse(os.Getenv(failpoint.Env), git.Failpoints())
	must(t, err)
	r := &rig{t: t, dir: os.Getenv(childDir)}
	r.mirrors = r.openMirrors(func(o *git.Options) { o.Failpoints = points })
	m, refs := r.fetched(os.Getenv(childURL), "main")
	main := refs.Branches["main"]
	err = m.Push(t.Context(), git.Update{Branch: "stage/test", New: write(t, m, main, "uid", childEdits(), main)})
	t.Fatalf("the child should be dead by now: %v", err)
}

// runChild starts this test as a child and returns when SIGKILL has ended it:
// at the failpoint, or without one as soon as ready.
func runChild(t *testing.T, dir, url, point string, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledInsideAPush$")
	cmd.Env = append(os.Environ(), childURL+"="+url, childDir+"="+dir)
	if point != "" {
		cmd.Env = append(cmd.Env, failpoint.Env+"="+point+"=kill")
	}
	out, err := os.CreateTemp(t.TempDir(), "child")
	must(t, err)
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	if point == "" {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for !ready() && ctx.Err() == nil {
			<-tick.C
		}
		must(t, cmd.Process.Kill())
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signal() == syscall.SIGKILL && ctx.Err() == nil {
			return
		}
	}
	printed, _ := os.ReadFile(out.Name())
	t.Fatalf("the child ended with %v: %s", err, printed)
}
