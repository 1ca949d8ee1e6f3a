package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gitserver"
)

// outsider commits to a branch in the moment in which the next push of waybilld
// has arrived at the server and is not carried out yet.
func (w *world) outsider(branch string, files map[string]string) (commit func() string) {
	var once sync.Once
	var made string
	done := make(chan struct{})
	w.git.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
				once.Do(func() {
					c := gitserver.Commit{
						Branch: branch, Author: "Olga <olga@example.com>", Message: "by hand",
						When: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Files: map[string]gitserver.File{},
					}
					for name, content := range files {
						c.Files[name] = gitserver.File{Content: content}
					}
					hash, err := w.git.Server.Commit(context.Background(), "guestbook", c)
					if err != nil {
						w.t.Errorf("commit of the outsider: %v", err)
					}
					made = hash
					close(done)
				})
			}
			next.ServeHTTP(answer, r)
		})
	})
	return func() string {
		w.t.Helper()
		select {
		case <-done:
			return made
		case <-time.After(patience):
			w.t.Fatal("waybilld did not push")
			return ""
		}
	}
}

// isOn returns nil when a commit is on a branch: nobody forced it away.
func (w *world) isOn(branch, commit string) error {
	out := w.git.Git("guestbook", "log", "--format=%H", "refs/heads/"+branch)
	if !strings.Contains(out, commit) {
		return fmt.Errorf("commit %s is not on %s any more:\n%s", commit, branch, out)
	}
	return nil
}

func TestOutsiderOnASharedBranch(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "shared-branch")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) {
		s.Spec.PromotionMechanisms.GitRepoUpdates[0].WriteBranch = "main"
	})
	file := "stages/test/kustomization.yaml"
	theirs := w.git.Show("guestbook", "main:"+file) + "# looked after by Olga\n"
	made := w.outsider("main", map[string]string{file: theirs, "NOTES.md": "by hand\n"})
	w.push("1.26.0")
	p := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.0")

	if p.Status.Commit.Parent != made() {
		t.Errorf("the commit's parent is %s, want the outsider's %s", p.Status.Commit.Parent, made())
	}
	ours := w.git.Show("guestbook", p.Status.Commit.Commit+":"+file)
	if !strings.Contains(ours, "# looked after by Olga\n") || !strings.Contains(ours, "newTag: 1.26.0 ") {
		t.Errorf("an edit was lost:\n%s", ours)
	}
	if notes := w.git.Show("guestbook", p.Status.Commit.Commit+":NOTES.md"); notes != "by hand\n" {
		t.Errorf("NOTES.md is %q", notes)
	}
	if n := w.commitsOn("refs/heads/main")[string(p.UID)]; n != 1 {
		t.Errorf("%d commits of %s, want 1", n, p.Name)
	}
}

// A commit by somebody else on the Stage's own branch would be replaced: the
// automatic flow waits for a person, and says so.
func TestOutsiderOnTheStagesBranch(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "own-branch")
	w.guestbook()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	deployed := w.deployed("test")

	made := w.outsider("stage/test", map[string]string{"HOTFIX.md": "by hand\n"})
	w.push("1.26.1")
	theirs := made()
	p := w.promotionOf("test", "1.26.1")
	p = w.waits(p, "GateClosed")
	for _, want := range []string{theirs[:7], "Olga", "ForeignCommits"} {
		if !strings.Contains(p.Status.Message, want) {
			t.Errorf("the message lacks %q: %s", want, p.Status.Message)
		}
	}
	if head := w.git.Branch("guestbook", "stage/test"); head != theirs {
		t.Errorf("the branch is at %s, want the outsider's %s", head, theirs)
	}
	if err := w.hasCommits(p, 0); err != nil {
		t.Error(err)
	}
	deployed.untouched()

	w.editStage("test", func(s *v1alpha1.StageSpec) {
		s.PromotionMechanisms.GitRepoUpdates[0].ForeignCommits = "Overwrite"
	})
	w.within(recovery, "the promotion goes on", func() error { return w.isRunning("test", "1.26.1") })
	w.ends(p, v1alpha1.PhaseSucceeded)
	w.oneCommitEach()
	if err := w.isOn("stage/test", theirs); err != nil {
		t.Error(err)
	}
}

// A promotion by a person replaces what the person was shown, and nothing that
// came in between.
func TestOutsiderWhileAPersonPromotes(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "person")
	w.guestbook()
	w.pipeline([]string{"prod"})
	w.push("1.26.0")
	w.ends(w.promote("prod", "1.26.0"), v1alpha1.PhaseSucceeded)

	made := w.outsider("stage/prod", map[string]string{"HOTFIX.md": "by hand\n"})
	w.push("1.26.1")
	p := w.ends(w.promote("prod", "1.26.1"), v1alpha1.PhaseFailed)
	if p.Status.Reason != "ForeignCommits" || !strings.Contains(p.Status.Message, made()[:7]) {
		t.Errorf("it ended with %s: %s", p.Status.Reason, p.Status.Message)
	}
	if head := w.git.Branch("guestbook", "stage/prod"); head != made() {
		t.Errorf("the branch is at %s, want the outsider's %s", head, made())
	}
	again := w.ends(w.promote("prod", "1.26.1"), v1alpha1.PhaseSucceeded)
	if len(again.Status.Plan.Overwrites) != 1 || again.Status.Plan.Overwrites[0].Commit != made() {
		t.Errorf("the plan shows %+v, want the outsider's commit", again.Status.Plan.Overwrites)
	}
	w.runs("prod", "1.26.1")
	w.oneCommitEach()
	if err := w.isOn("stage/prod", made()); err != nil {
		t.Error(err)
	}
}

func TestPushRejectedByAHook(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "hook")
	w.guestbook()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	deployed := w.deployed("test")
	head := w.git.Branch("guestbook", "stage/test")

	hook := "#!/bin/sh\necho 'the change window is closed' >&2\nexit 1\n"
	if err := w.git.SetHook("guestbook", "pre-receive", hook); err != nil {
		t.Fatal(err)
	}
	w.push("1.26.1")
	p := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseFailed)
	if p.Status.Reason != "PushRejected" || !strings.Contains(p.Status.Message, "the change window is closed") {
		t.Errorf("it ended with %s: %s", p.Status.Reason, p.Status.Message)
	}
	if got := w.git.Branch("guestbook", "stage/test"); got != head {
		t.Errorf("the branch moved to %s", got)
	}
	deployed.untouched()

	if err := w.git.SetHook("guestbook", "pre-receive", ""); err != nil {
		t.Fatal(err)
	}
	w.ends(w.promote("test", "1.26.1"), v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.1")
	w.oneCommitEach()
}

// TestTwoServers pauses the leader when its push has arrived at the Git server
// and before it is carried out. The other takes over and pushes; then the first
// push is carried out after all, and the former leader wakes up.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "leader", "--leader-elect")
	w.guestbook()
	a := w.server
	w.startServer()
	w.eventually("the first waybilld leads", func() error { return w.leader("") })
	first := w.leaderName()
	w.anotherServer("b", "--leader-elect")
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")

	held := w.holdPush()
	w.push("1.26.1")
	p := w.promotionOf("test", "1.26.1")
	w.wait("the leader pushes", held.arrived)
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.eventually("the other takes over", func() error { return w.leader(first) })
	w.ends(p, v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.1")
	if err := w.hasCommits(p, 1); err != nil {
		t.Error(err)
	}
	head := w.git.Branch("guestbook", "stage/test")
	close(held.release)
	w.wait("the first push is carried out", held.done)
	if now := w.git.Branch("guestbook", "stage/test"); now != head {
		t.Errorf("the late push moved the branch from %s to %s", head, now)
	}
	if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.wait("the former leader ends", a.done)
	w.oneCommitEach()
	w.push("1.26.2")
	w.runs("test", "1.26.2")
	w.settled()
	w.oneCommitEach()
}

// heldPush is a push that the Git server has read and not carried out.
type heldPush struct{ arrived, release, done chan struct{} }

// holdPush holds the next push back.
func (w *world) holdPush() heldPush {
	h := heldPush{arrived: make(chan struct{}), release: make(chan struct{}), done: make(chan struct{})}
	var once sync.Once
	w.git.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
				next.ServeHTTP(answer, r)
				return
			}
			isFirst := false
			once.Do(func() { isFirst = true })
			if !isFirst {
				next.ServeHTTP(answer, r)
				return
			}
			defer close(h.done)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				w.t.Errorf("read the push: %v", err)
			}
			close(h.arrived)
			select {
			case <-h.release:
			case <-time.After(patience):
			}
			// Also when the client has given up, as a server does that is slow.
			late := r.WithContext(context.WithoutCancel(r.Context()))
			late.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(answer, late)
		})
	})
	return h
}

// wait waits for a channel to be closed.
func (w *world) wait(what string, closed <-chan struct{}) {
	w.t.Helper()
	select {
	case <-closed:
	case <-time.After(patience):
		w.t.Fatalf("%s: not within %s", what, patience)
	}
}

func (w *world) leaderName() string {
	w.t.Helper()
	var lease coordination.Lease
	key := client.ObjectKey{Namespace: systemNamespace, Name: "waybill.dev"}
	if err := w.client.Get(w.t.Context(), key, &lease); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// leader returns nil when somebody leads who is not the one named.
func (w *world) leader(not string) error {
	if name := w.leaderName(); name == "" || name == not {
		return fmt.Errorf("the leader is %q", name)
	}
	return nil
}
