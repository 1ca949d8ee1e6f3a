package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/test/provider"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// isPaused returns nil when a process is stopped by SIGSTOP.
func (s *server) isPaused() error {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	if !strings.HasPrefix(rest, "T") {
		return fmt.Errorf("its state is %.1s", rest)
	}
	return nil
}

// TestPausedInAStep pauses the leader in the middle of a push, of the opening of
// a pull request, and of a Job, each between its decision and its request. The
// other takes over and ends the promotion; then the first goes on with what it
// had decided. There is one commit, one pull request and one Job.
func TestPausedInAStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "paused", "--leader-elect")
	w.guestbook()
	hub := provider.Start(t, w.git)
	w.gitURL = strings.Replace(w.gitURL, "/guestbook.git", "/"+provider.Owner+"/guestbook.git", 1)
	w.startServer()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	w.editStage("test", func(s *v1alpha1.StageSpec) {
		stage := &v1alpha1.Stage{Spec: *s}
		w.asksByPull(stage)
		*s = stage.Spec
		w.migrates(s, 5, nil)
	})
	b, err := w.newServer(t.Name()+"-b", t.TempDir(), "--leader-elect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.stop()
		_ = b.log.Close()
	})
	for i, point := range []string{
		engine.FailAfterIntent + "=pause@1", // before the push
		engine.FailAfterIntent + "=pause@2", // before the pull request
		engine.FailAfterIntent + "=pause@4", // before the Job is created
		engine.FailAfterIntent + "=pause@5", // before it is released
		engine.FailAfterEffect + "=pause@4", // behind its creation
	} {
		t.Run(point, func(t *testing.T) { w.in(t).pausedAt(b, hub, point, fmt.Sprintf("1.27.%d", i), i+1) })
	}
}

// TestPausedBetweenRepositories: the leader of a Stage that writes two repositories
// is paused before the first push and between the two. The other ends what it
// began, in both; then the first goes on with what it had decided. There is one
// commit in each.
func TestPausedBetweenRepositories(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "paused-several", "--leader-elect")
	w.guestbook()
	infra := w.infra()
	w.startServer()
	git, _, _ := strings.Cut(w.credentialsYAML(gittest.Password, registrytest.Password), "---")
	w.cluster.Apply(t, w.projectYAML(), strings.NewReplacer(w.gitURL, infra, "name: git,", "name: infra,").Replace(git))
	w.pipeline([]string{"test"}, w.writesBoth(infra))
	w.push("1.26.0")
	w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	b, err := w.newServer(t.Name()+"-b", t.TempDir(), "--leader-elect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.stop()
		_ = b.log.Close()
	})
	for i, point := range []string{engine.FailAfterIntent + "=pause@1", engine.FailAfterEffect + "=pause@1", engine.FailAfterIntent + "=pause@2"} {
		t.Run(point, func(t *testing.T) {
			w := w.in(t)
			p := w.pausedLeader(b, point, fmt.Sprintf("1.27.%d", i))
			p = w.ends(p, v1alpha1.PhaseSucceeded)
			w.formerLeaderEnds()
			w.ends(p, v1alpha1.PhaseSucceeded)
			for _, repo := range []string{"infra", "guestbook"} {
				if n := strings.Count(w.git.Git(repo, "log", "--format=%(trailers:key="+promotion.TrailerPromotionUID+",valueonly)", "--branches"), string(p.UID)); n != 1 {
					t.Errorf("%d commits in %s, want 1", n, repo)
				}
			}
			w.bothRun("test", p.Status.Commits)
		})
	}
}

// pausedLeader starts two waybilld, the first of which pauses at a point of the
// promotion of tag, and returns that promotion when the other has taken over.
func (w *world) pausedLeader(b *server, point, tag string) *v1alpha1.Promotion {
	w.t.Helper()
	a := w.server
	a.stop()
	b.stop()
	w.eventually("nobody leads", func() error {
		if name := w.leaderName(); name != "" {
			return fmt.Errorf("the leader is %q", name)
		}
		return nil
	})
	w.startServer(failpoint.Env + "=" + point)
	w.eventually("the first leads", func() error { return w.leader("") })
	first := w.leaderName()
	if err := b.start(); err != nil {
		w.t.Fatal(err)
	}
	w.push(tag)
	w.eventually("the leader is paused", a.isPaused)
	p := w.promotionOf("test", tag)
	w.eventually("the other takes over", func() error { return w.leader(first) })
	return p
}

// formerLeaderEnds lets it go on, and waits until it has seen that it leads no more.
func (w *world) formerLeaderEnds() {
	w.t.Helper()
	if err := w.server.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		w.t.Fatal(err)
	}
	w.wait("the former leader ends", w.server.done)
}

func (w *world) pausedAt(b *server, hub *provider.Server, point, tag string, pull int) {
	p := w.pausedLeader(b, point, tag)
	w.eventually("there is a pull request", func() error {
		if n := len(hub.Pulls()); n < pull {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	hub.Merge(pull)
	w.eventually("it has ended", func() error {
		w.get(p.Name, p)
		if p.Status.Phase == v1alpha1.PhaseRunning {
			w.wakes(p)
		}
		if p.Status.Phase != v1alpha1.PhaseSucceeded {
			return fmt.Errorf("it is %s: %s", p.Status.Phase, p.Status.Message)
		}
		return nil
	})
	w.formerLeaderEnds()
	if n := len(hub.Pulls()); n != pull {
		w.t.Errorf("%d pull requests, want %d", n, pull)
	}
	if n := w.commitsOn("--branches")[string(p.UID)]; n != 1 {
		w.t.Errorf("%d commits, want 1", n)
	}
	w.oneJob(p)
	w.ends(p, v1alpha1.PhaseSucceeded)
	w.runs("test", tag)
}
