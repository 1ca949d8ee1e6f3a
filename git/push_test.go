package git_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
)

func TestPromoteCommitEndToEnd(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"stages/test/kustomization.yaml": "tag: 1.26.0\r\n# keep\r\n", "other.yaml": "x\n"})
	m, refs := r.fetched(url, "main", "stage/test")
	if refs.DefaultBranch != "main" {
		t.Errorf("default branch is %q", refs.DefaultBranch)
	}
	main, err := refs.Head("")
	if err != nil {
		t.Fatal(err)
	}
	before := r.server.Requests()
	edits := []git.Edit{git.SetFile("stages/test/kustomization.yaml", []byte("tag: 1.27.0\r\n# keep\r\n"))}
	commit := write(t, m, main, "uid-1", edits, main)
	if err := m.Push(t.Context(), git.Update{Branch: "stage/test", New: commit}); err != nil {
		t.Fatal(err)
	}
	after := r.server.Requests()
	if diff := cmp.Diff(gitserver.Requests{ListForFetch: before.ListForFetch, Fetch: before.Fetch, ListForPush: 1, Push: 1}, after); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if got := r.server.Branch("app", "stage/test"); got != commit.String() {
		t.Errorf("branch is at %s, want %s", got, commit)
	}
	want := []string{"test: 1.27.0\n\nWaybill-Promotion-UID: uid-1\nWaybill-Stage: guestbook/test", "initial content"}
	if diff := cmp.Diff(want, r.server.Log("app", "stage/test")); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if got := r.server.Show("app", "stage/test:stages/test/kustomization.yaml"); got != "tag: 1.27.0\r\n# keep\r\n" {
		t.Errorf("file is %q", got)
	}
	// The pack held the new objects only: commit, three trees, one file.
	if got := strings.Fields(r.server.Git("app", "rev-list", "--objects", "--count", "stage/test", "^main")); got[0] != "5" {
		t.Errorf("%s new objects", got[0])
	}
	// What was pushed needs no fetching.
	if _, err := m.Fetch(t.Context(), "main", "stage/test"); err != nil {
		t.Fatal(err)
	}
	if now := r.server.Requests(); now.Fetch != after.Fetch || now.ListForFetch != after.ListForFetch+1 {
		t.Errorf("a fetch with nothing new took %+v after %+v", now, after)
	}
}

func TestPushComparesAndSwaps(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	mine := write(t, m, main, "mine", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	theirs := hash(t, r.server.Commit("app", "main", "somebody else", map[string]string{"b": "1"}))

	err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: mine})
	var moved *git.MovedError
	if !errors.Is(err, git.ErrMoved) || !errors.As(err, &moved) || moved.Expected != main || moved.Found != theirs {
		t.Fatalf("lost race: %v", err)
	}
	want := fmt.Sprintf("push branch %q of %s: remote moved: expected %s, found %s", "main", strings.TrimSuffix(url, ".git"), main.Short(), theirs.Short())
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}

	// A branch that must not exist, and does.
	err = m.Push(t.Context(), git.Update{Branch: "main", New: mine})
	if !errors.As(err, &moved) || !moved.Expected.IsZero() || moved.Found != theirs {
		t.Errorf("create over an existing branch: %v", err)
	}
	// A branch that must exist, and does not.
	err = m.Push(t.Context(), git.Update{Branch: "gone", Old: main, New: mine})
	if !errors.As(err, &moved) || !moved.Found.IsZero() || !strings.Contains(err.Error(), "found no branch") {
		t.Errorf("update of a missing branch: %v", err)
	}
	if got := r.server.Branch("app", "main"); got != theirs.String() {
		t.Errorf("main is at %s", got)
	}

	// Fetched and done again it wins; said twice it is still one commit.
	if _, err := m.Fetch(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	again := write(t, m, theirs, "mine", []git.Edit{git.SetFile("a", []byte("2"))}, theirs)
	for range 2 {
		if err := m.Push(t.Context(), git.Update{Branch: "main", Old: theirs, New: again}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(r.server.Log("app", "main")); got != 3 {
		t.Errorf("%d commits, want 3", got)
	}
}

func TestPushNeverForces(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	r.server.Commit("app", "main", "second", map[string]string{"a": "2"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	c, err := m.Commit(main)
	if err != nil {
		t.Fatal(err)
	}
	sideways := write(t, m, main, "x", []git.Edit{git.SetFile("a", []byte("3"))}, c.Parents[0])
	for _, bad := range []git.Update{
		{Branch: "main", Old: main, New: sideways},
		{Branch: "main", Old: main, New: c.Parents[0]},
		{Branch: "main", Old: main},
	} {
		if err := m.Push(t.Context(), bad); !errors.Is(err, git.ErrNotDescendant) {
			t.Errorf("push of %s over %s: %v", bad.New.Short(), bad.Old.Short(), err)
		}
	}
	if r.server.Requests().Push != 0 {
		t.Error("something was sent")
	}
	if got := r.server.Branch("app", "main"); got != main.String() {
		t.Errorf("main is at %s", got)
	}
}

// TestPushOneBranchConcurrently has many writers on one branch: each replays
// its edit until it is in, and none is lost.
func TestPushOneBranchConcurrently(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	const writers = 6
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			m := r.open(url)
			for {
				refs, err := m.Fetch(t.Context(), "main")
				if err != nil {
					t.Error(err)
					return
				}
				head := refs.Branches["main"]
				tree, err := m.WriteTree(head, []git.Edit{git.SetFile(fmt.Sprintf("file-%d", i), []byte("x"))})
				if err != nil {
					t.Error(err)
					return
				}
				commit, err := m.WriteCommit(spec(tree, fmt.Sprint(i), head))
				if err != nil {
					t.Error(err)
					return
				}
				err = m.Push(t.Context(), git.Update{Branch: "main", Old: head, New: commit})
				if err == nil {
					return
				}
				if !errors.Is(err, git.ErrMoved) {
					t.Errorf("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := len(r.server.Log("app", "main")); got != writers+1 {
		t.Errorf("%d commits, want %d", got, writers+1)
	}
	if got := len(r.server.Files("app", "main")); got != writers+1 {
		t.Errorf("%d files, want %d: an edit was lost", got, writers+1)
	}
}

func TestPushRejectedByHook(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	commit := write(t, m, main, "x", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	if err := r.server.SetHook("app", "pre-receive", "#!/bin/sh\necho 'no deploys on Friday'\nexit 1\n"); err != nil {
		t.Fatal(err)
	}
	err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit})
	if !errors.Is(err, git.ErrRejected) || !strings.Contains(err.Error(), "no deploys on Friday") {
		t.Fatalf("got %v", err)
	}
	if n := r.server.Requests().Push; n > 2 {
		t.Errorf("the hook ran %d times", n)
	}
	if err := r.server.SetHook("app", "pre-receive", ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}); err != nil {
		t.Errorf("after the hook is gone: %v", err)
	}
}

// TestFirstPushFromAnOldCommit makes a branch on a commit deep in history: the
// remote must not be sent that history again.
func TestFirstPushFromAnOldCommit(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "0", "dir/b": "0"})
	old := hash(t, r.server.Branch("app", "main"))
	for i := range 40 {
		r.server.Commit("app", "main", fmt.Sprint("commit ", i), map[string]string{"a": fmt.Sprint(i)})
		if i == 3 {
			old = hash(t, r.server.Branch("app", "main"))
		}
	}
	m, _ := r.fetched(url, "main")
	commit := write(t, m, old, "x", []git.Edit{git.SetFile("dir/b", []byte("1"))}, old)
	r.server.Git("app", "config", "receive.unpackLimit", "1") // keep the pack, to count it
	before := packCount(t, r, "app")
	if err := m.Push(t.Context(), git.Update{Branch: "stage/test", New: commit}); err != nil {
		t.Fatal(err)
	}
	if got := packCount(t, r, "app") - before; got != 4 {
		t.Errorf("%d objects were sent, want 4: commit, two trees, one file", got)
	}
}

// TestBaseTreePromotion takes the tree of one branch to another with a
// different history, as a promotion does.
func TestBaseTreePromotion(t *testing.T) {
	r := newRig(t)
	files := map[string]string{"k.yaml": "tag: 1\n"}
	for i := range 20 {
		files[fmt.Sprintf("apps/%d/x", i)] = fmt.Sprint(i)
	}
	url := r.server.CreateRepo("app", files)
	r.server.CommitFiles("app", gitserver.Commit{Branch: "stage/test", Message: "orphan", Files: map[string]gitserver.File{"old": {Content: "1"}}})
	m, refs := r.fetched(url, "main", "stage/test")
	main, stage := refs.Branches["main"], refs.Branches["stage/test"]
	commit := write(t, m, main, "x", []git.Edit{git.SetFile("k.yaml", []byte("tag: 2\n"))}, stage)
	r.server.Git("app", "config", "receive.unpackLimit", "1")
	before := packCount(t, r, "app")
	if err := m.Push(t.Context(), git.Update{Branch: "stage/test", Old: stage, New: commit, Bases: []git.Hash{main}}); err != nil {
		t.Fatal(err)
	}
	if got := packCount(t, r, "app") - before; got != 3 {
		t.Errorf("%d objects were sent, want 3: commit, root tree, one file", got)
	}
	if got := len(r.server.Files("app", "stage/test")); got != 21 {
		t.Errorf("%d files", got)
	}
}

// TestPushWithABaseTheRemoteLost sends everything on the second attempt.
func TestPushWithABaseTheRemoteLost(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	r.server.Commit("app", "side", "unrelated", map[string]string{"b/c": "2", "d": "3"})
	m, refs := r.fetched(url, "main", "side")
	main, side := refs.Branches["main"], refs.Branches["side"]
	r.server.SetBranch("app", "side", "")
	r.server.Git("app", "gc", "--quiet", "--prune=now")
	commit := write(t, m, side, "x", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit, Bases: []git.Hash{side}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"100644 a", "100644 b/c", "100644 d"}, r.server.Files("app", "main")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPushRefusesBranchNames(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	for _, name := range []string{"", "-x", "a..b", "a b", "refs/heads/x", "a.lock", "x/", "/x", "a@{1}", "HEAD", "a\nb", "a:b", strings.Repeat("x", 300), "a\xff"} {
		if err := m.Push(t.Context(), git.Update{Branch: name, New: refs.Branches["main"]}); !errors.Is(err, git.ErrInvalidBranch) {
			t.Errorf("%q: %v", name, err)
		}
		if name == "" {
			continue // the default branch
		}
		if _, err := m.Fetch(t.Context(), name); !errors.Is(err, git.ErrInvalidBranch) {
			t.Errorf("fetch %q: %v", name, err)
		}
	}
}

// packCount returns how many objects lie in the server's packs.
func packCount(t *testing.T, r *rig, repo string) int {
	t.Helper()
	for line := range strings.Lines(r.server.Git(repo, "count-objects", "-v")) {
		var n int
		if _, err := fmt.Sscanf(line, "in-pack: %d", &n); err == nil {
			return n
		}
	}
	t.Fatal("git count-objects says nothing about packs")
	return 0
}
