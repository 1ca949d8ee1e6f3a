package git_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/secret"
)

// rig is a real Git server and a directory of mirrors.
type rig struct {
	t       testing.TB
	server  *gittest.Server
	dir     string
	mirrors *git.Mirrors
}

func newRig(t testing.TB, options ...func(*git.Options)) *rig {
	t.Helper()
	r := &rig{t: t, server: gittest.NewServer(t), dir: t.TempDir()}
	r.mirrors = r.openMirrors(options...)
	return r
}

func (r *rig) openMirrors(options ...func(*git.Options)) *git.Mirrors {
	r.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	opts := git.Options{Dir: r.dir, Transport: transport, AllowPlainHTTP: true}
	for _, o := range options {
		o(&opts)
	}
	m, err := git.NewMirrors(opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = m.Close()
		transport.CloseIdleConnections()
	})
	return m
}

func remote(url string) git.Remote {
	return git.Remote{URL: url, Username: gittest.Username, Password: secret.New(gittest.Password), CredentialName: "guestbook/git"}
}

func (r *rig) open(url string) *git.Mirror {
	r.t.Helper()
	m, err := r.mirrors.Open(remote(url))
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// fetched opens a mirror and fetches the branches.
func (r *rig) fetched(url string, branches ...string) (*git.Mirror, git.Refs) {
	r.t.Helper()
	m := r.open(url)
	refs, err := m.Fetch(r.t.Context(), branches...)
	if err != nil {
		r.t.Fatal(err)
	}
	return m, refs
}

func robot() git.Identity { return git.Identity{Name: "Waybill", Email: "waybill@example.com"} }

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// spec is a commit of a tree on parents with our trailers.
func spec(tree git.Hash, uid string, parents ...git.Hash) git.CommitSpec {
	return git.CommitSpec{
		Tree: tree, Parents: parents, Author: robot(), Committer: robot(), When: noon(), Message: "test: 1.27.0",
		Trailers: []git.Trailer{{Key: "Waybill-Promotion-UID", Value: uid}, {Key: "Waybill-Stage", Value: "guestbook/test"}},
	}
}

// write makes a commit of base's tree with edits on the parents.
func write(t testing.TB, m *git.Mirror, base git.Hash, uid string, edits []git.Edit, parents ...git.Hash) git.Hash {
	t.Helper()
	tree, err := m.WriteTree(base, edits)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := m.WriteCommit(spec(tree, uid, parents...))
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

func hash(t testing.TB, text string) git.Hash {
	t.Helper()
	h, err := git.ParseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
