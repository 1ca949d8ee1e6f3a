package git_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
)

func TestLsRemoteIsOneRequest(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	r.server.Git("app", "branch", "stage/test", "main")
	r.server.Git("app", "tag", "v1", "main")
	r.server.Git("app", "symbolic-ref", "HEAD", "refs/heads/stage/test")
	refs, err := r.mirrors.LsRemote(t.Context(), remote(url))
	if err != nil {
		t.Fatal(err)
	}
	if len(refs.Branches) != 2 || refs.DefaultBranch != "stage/test" || r.server.Requests().Total() != 1 {
		t.Errorf("got %+v after %+v", refs, r.server.Requests())
	}
	if _, err := refs.Head("nope"); !errors.Is(err, git.ErrBranchNotFound) || !strings.Contains(err.Error(), `no branch "nope"`) {
		t.Errorf("missing branch: %v", err)
	}
}

func TestEmptyRepository(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", nil)
	m, refs := r.fetched(url, "", "main")
	if len(refs.Branches) != 0 {
		t.Errorf("branches %v", refs.Branches)
	}
	if _, err := refs.Head(""); !errors.Is(err, git.ErrBranchNotFound) {
		t.Errorf("default branch: %v", err)
	}
	first := write(t, m, git.Hash{}, "x", []git.Edit{git.SetFile("a", []byte("1"))})
	if err := m.Push(t.Context(), git.Update{Branch: "main", New: first}); err != nil {
		t.Fatal(err)
	}
	if got := r.server.Show("app", "main:a"); got != "1" {
		t.Errorf("a is %q", got)
	}
}

func TestFetchSharesRequests(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	const callers = 30
	for i := range callers {
		r.server.Commit("app", fmt.Sprintf("stage/%d", i), "x", map[string]string{"b": fmt.Sprint(i)})
	}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			m := r.open(url)
			<-start
			refs, err := m.Fetch(t.Context(), "main", fmt.Sprintf("stage/%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			h, err := refs.Head(fmt.Sprintf("stage/%d", i))
			if err != nil || !m.Has(h) {
				t.Errorf("caller %d has nothing: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if got := r.server.Requests().Total(); got > callers/2 {
		t.Errorf("%d requests for %d concurrent callers", got, callers)
	}
}

// TestFetchOutlivesACanceledLeader has one caller give up while others wait
// for the same fetch.
func TestFetchOutlivesACanceledLeader(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m := r.open(url)
	ctx, cancel := context.WithCancel(t.Context())
	arrived := make(chan struct{}, 100)
	r.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			arrived <- struct{}{}
			if ctx.Err() == nil {
				<-req.Context().Done() // hold the leader's request until it gives up
				return
			}
			next.ServeHTTP(w, req)
		})
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.Fetch(ctx, "main"); !errors.Is(err, context.Canceled) {
			t.Errorf("leader: %v", err)
		}
	})
	<-arrived
	for range 5 {
		wg.Go(func() {
			if refs, err := m.Fetch(t.Context(), "main"); err != nil || !m.Has(refs.Branches["main"]) {
				t.Errorf("follower: %v", err)
			}
		})
	}
	cancel()
	wg.Wait()
}

func TestRewrittenBranch(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	first := r.server.Branch("app", "main")
	r.server.Commit("app", "main", "second", map[string]string{"a": "2"})
	m, refs := r.fetched(url, "main")
	base := refs.Branches["main"]
	// A person throws "second" away and forgets it for good.
	r.server.SetBranch("app", "main", first)
	r.server.Git("app", "gc", "--quiet", "--prune=now")
	r.server.Commit("app", "main", "other second", map[string]string{"a": "3"})
	refs, err := m.Fetch(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := m.FindTrailer(refs.Branches["main"], base, "Waybill-Promotion-UID", "x", 100); ok || !errors.Is(err, git.ErrNotAncestor) {
		t.Errorf("found %v, %v", ok, err)
	}
}

func TestMirrorSurvivesARestartAndIsLocked(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	_, refs := r.fetched(url, "main")
	if _, err := git.NewMirrors(git.Options{Dir: r.dir, Transport: http.DefaultTransport}); !errors.Is(err, git.ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	if err := r.mirrors.Close(); err != nil {
		t.Fatal(err)
	}
	r.mirrors = r.openMirrors()
	m := r.open(url + "/") // another spelling of the same repository
	if !m.Has(refs.Branches["main"]) {
		t.Error("the mirror is gone")
	}
	before := r.server.Requests().Fetch
	if _, err := m.Fetch(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	if r.server.Requests().Fetch != before {
		t.Error("it was fetched again")
	}
}

func TestCredentialsKeepMirrorsApart(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	_, refs := r.fetched(url, "main")
	foreign := remote(url)
	foreign.CredentialName = "other/git"
	m, err := r.mirrors.Open(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if m.Has(refs.Branches["main"]) {
		t.Error("another credential sees what this one fetched")
	}
}

// TestDamage spoils a mirror in every way a disk or a person can, and expects
// the next fetch to heal it without help.
func TestDamage(t *testing.T) {
	big := gittest.ManyFiles(600) // more than is unpacked: a pack file
	for _, c := range []struct {
		why   string
		spoil func(t *testing.T, mirror string)
	}{
		{"all gone", func(t *testing.T, mirror string) { must(t, os.RemoveAll(mirror)) }},
		{"objects gone", func(t *testing.T, mirror string) { must(t, os.RemoveAll(filepath.Join(mirror, "objects"))) }},
		{"packs gone", func(t *testing.T, mirror string) { each(t, mirror, "objects/pack/*", os.Remove) }},
		{"packs empty", func(t *testing.T, mirror string) { each(t, mirror, "objects/pack/*.pack", truncate) }},
		{"indexes gone", func(t *testing.T, mirror string) { each(t, mirror, "objects/pack/*.idx", os.Remove) }},
		{"indexes empty", func(t *testing.T, mirror string) { each(t, mirror, "objects/pack/*.idx", truncate) }},
		{"pack overwritten", func(t *testing.T, mirror string) { each(t, mirror, "objects/pack/*.pack", scribble) }},
		{"loose objects empty", func(t *testing.T, mirror string) { each(t, mirror, "objects/??/*", truncate) }},
		{"loose objects overwritten", func(t *testing.T, mirror string) { each(t, mirror, "objects/??/*", scribble) }},
		{"tips are nonsense", func(t *testing.T, mirror string) { each(t, mirror, "waybill-tips.json", scribble) }},
		{"marker gone", func(t *testing.T, mirror string) { each(t, mirror, "waybill-mirror", os.Remove) }},
		{"it is a file", func(t *testing.T, mirror string) {
			must(t, os.RemoveAll(mirror))
			must(t, os.WriteFile(mirror, []byte("x"), 0o600))
		}},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%v", c.why, restart), func(t *testing.T) {
				r := newRig(t)
				url := r.server.CreateRepo("app", big)
				m, _ := r.fetched(url, "main")
				r.server.Commit("app", "main", "small", map[string]string{"z": "1"})
				_, refs := r.fetched(url, "main")
				head := refs.Branches["main"]
				if err := readAll(m, head); err != nil {
					t.Fatal(err)
				}
				if restart {
					must(t, r.mirrors.Close())
				}
				c.spoil(t, mirrorDir(t, r.dir))
				if restart {
					r.mirrors = r.openMirrors()
					m = r.open(url)
				}
				// Reading may fail now, or work from what is open; twice fetching
				// and reading must end well.
				for attempt := 0; ; attempt++ {
					if _, err := m.Fetch(t.Context(), "main"); err != nil {
						t.Fatalf("fetch: %v", err)
					}
					err := readAll(m, head)
					if err == nil {
						break
					}
					if !errors.Is(err, git.ErrDamaged) || attempt == 2 {
						t.Fatalf("attempt %d: %v", attempt, err)
					}
				}
				commit := write(t, m, head, "x", []git.Edit{git.SetFile("apps/team-000/app-000.yaml", []byte("new"))}, head)
				if err := m.Push(t.Context(), git.Update{Branch: "main", Old: head, New: commit}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func readAll(m *git.Mirror, h git.Hash) error {
	files, err := m.FS(h)
	if err != nil {
		return err
	}
	n, err := countFiles(files)
	if err == nil && n != 601 {
		err = fmt.Errorf("%d files", n)
	}
	return err
}

func mirrorDir(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "waybill-mirror"))
	if err != nil || len(found) != 1 {
		t.Fatalf("mirrors %v, %v", found, err)
	}
	return filepath.Dir(found[0])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func each(t *testing.T, dir, pattern string, do func(string) error) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	for _, path := range paths {
		must(t, do(path))
	}
}

func truncate(path string) error {
	return errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 0))
}

// scribble overwrites a file in place, from its 30th byte on if it has that
// many.
func scribble(path string) error {
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at := min(30, info.Size()/2)
	_, err = f.WriteAt([]byte(strings.Repeat("\xde\xad", int(info.Size()-at)/2+1)), at)
	return err
}

func TestLimits(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"big": strings.Repeat("0123456789", 200_000), "small": "1"})
	for i := range 50 {
		r.server.Git("app", "branch", fmt.Sprint("branch-", i), "main")
	}
	for _, c := range []struct {
		why    string
		limits git.Limits
	}{
		{"listing", git.Limits{ListBytes: 500}},
		{"pack", git.Limits{PackBytes: 300}},
		{"objects", git.Limits{PackObjects: 2}},
		// The file is small in the pack and claims two megabytes.
		{"object", git.Limits{ObjectBytes: 1 << 20}},
	} {
		must(t, r.mirrors.Close())
		r.mirrors = r.openMirrors(func(o *git.Options) { o.Limits = c.limits })
		if _, err := r.open(url).Fetch(t.Context(), "main"); !errors.Is(err, git.ErrTooLarge) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	must(t, r.mirrors.Close())
	r.mirrors = r.openMirrors(func(o *git.Options) { o.Limits = git.Limits{FileBytes: 1 << 20, PushBytes: 200} })
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	files, err := m.FS(main)
	must(t, err)
	if _, err := readFile(files, "big"); !errors.Is(err, git.ErrTooLarge) {
		t.Errorf("file: %v", err)
	}
	if got, err := readFile(files, "small"); err != nil || got != "1" {
		t.Errorf("small file: %q, %v", got, err)
	}
	if _, err := m.WriteTree(main, []git.Edit{git.SetFile("x", make([]byte, 1<<20+1))}); !errors.Is(err, git.ErrTooLarge) {
		t.Errorf("writing: %v", err)
	}
	commit := write(t, m, main, "x", []git.Edit{git.SetFile("x", []byte("not much"))}, main)
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}); !errors.Is(err, git.ErrTooLarge) {
		t.Errorf("push: %v", err)
	}
}

// TestDeltaBomb fetches an object that is a few bytes in the pack, as a delta,
// and larger than allowed when resolved.
func TestDeltaBomb(t *testing.T) {
	r := newRig(t)
	zeros := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	url := r.server.CreateRepo("app", map[string]string{"a": zeros})
	r.server.CommitFiles("app", gitserver.Commit{Branch: "main", Message: "append", Files: map[string]gitserver.File{"a": {Content: zeros + "one more line"}}})
	r.server.Git("app", "repack", "-adfq")
	must(t, r.mirrors.Close())
	r.mirrors = r.openMirrors(func(o *git.Options) { o.Limits.ObjectBytes = 1 << 20 })
	if _, err := r.open(url).Fetch(t.Context(), "main"); !errors.Is(err, git.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestUninstallUnsafeTransports(t *testing.T) {
	git.UninstallUnsafeTransports()
	for _, url := range []string{"/etc", "file:///etc", "git://127.0.0.1/x"} {
		endpoint, err := transport.NewEndpoint(url)
		must(t, err)
		if c, err := client.NewClient(endpoint); err == nil {
			t.Errorf("%s has client %v", url, c)
		}
	}
}
