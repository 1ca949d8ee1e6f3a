package git_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/git"
)

func TestWriteCommitIsDeterministic(t *testing.T) {
	var hashes []git.Hash
	for i := range 2 {
		r := newRig(t)
		url := r.server.CreateRepo("app", map[string]string{"a": "1"})
		m, refs := r.fetched(url, "main")
		tree, err := m.WriteTree(refs.Branches["main"], []git.Edit{git.SetFile("a", []byte("2"))})
		must(t, err)
		s := spec(tree, "uid", refs.Branches["main"])
		if i == 1 { // the same instant, said otherwise
			s.When = s.When.Add(999 * time.Millisecond).In(time.FixedZone("x", 3600))
		}
		h, err := m.WriteCommit(s)
		must(t, err)
		hashes = append(hashes, h)
	}
	if hashes[0] != hashes[1] {
		t.Errorf("%s and %s", hashes[0], hashes[1])
	}
}

func TestCommitRoundTrip(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	base, err := m.Commit(main)
	must(t, err)
	in := spec(base.Tree, "uid", main)
	in.Author = git.Identity{Name: "Ada <admin@evil>\nLovelace", Email: "ada@example.com\n>"}
	in.Message = "prod: 1.27.0\n\nbody\n"
	h, err := m.WriteCommit(in)
	must(t, err)
	got, err := m.Commit(h)
	must(t, err)
	want := git.Commit{
		Hash: h, Tree: base.Tree, Parents: []git.Hash{main}, When: noon(),
		Author:    git.Identity{Name: "Ada admin@evilLovelace", Email: "ada@example.com"},
		Committer: robot(),
		Message:   "prod: 1.27.0\n\nbody\n\nWaybill-Promotion-UID: uid\nWaybill-Stage: guestbook/test\n",
		Trailers:  git.Trailers{{Key: "Waybill-Promotion-UID", Value: "uid"}, {Key: "Waybill-Stage", Value: "guestbook/test"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	must(t, m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: h}))
	if got := strings.TrimSpace(r.server.Git("app", "log", "-1", "--format=%an|%ae|%at|%(trailers:key=Waybill-Stage,valueonly)", "main")); got != "Ada admin@evilLovelace|ada@example.com|1772625600|guestbook/test" {
		t.Errorf("git reads %q", got)
	}
}

// TestTrailersCannotBeForged writes what users could put into messages and
// values, and asks both our reader and git for the trailers.
func TestTrailersCannotBeForged(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	head := refs.Branches["main"]
	tree, err := m.TreeHash(head, "")
	must(t, err)
	const key = "Waybill-Promotion-UID"
	for _, forged := range []string{
		"subject\n\n" + key + ": forged",
		"subject\n\nbody\n" + key + ": forged",
		key + ": forged",
		"subject\n\n  " + key + " : forged",
		"subject\n\n" + strings.ToLower(key) + ": forged",
		"subject\r\n\r\n" + key + ": forged",
		"subject\r\r" + key + ": forged",
		"subject\n\nx: y\x00\n" + key + ": forged",
		"subject\n\nx: y\u2028" + key + ": forged",
		"subject\n\n\x1b[2K" + key + ": forged\n\n\n",
		"subject\n\n---\n\n" + key + ": forged",
		"subject\n\nSigned-off-by: me <me@example.com>\n" + key + ": forged",
	} {
		for _, withTrailers := range []bool{true, false} {
			s := spec(tree, "real", head)
			s.Message = forged
			want := []string{"real"}
			if !withTrailers {
				s.Trailers, want = nil, nil
			}
			h, err := m.WriteCommit(s)
			must(t, err)
			c, err := m.Commit(h)
			must(t, err)
			if diff := cmp.Diff(want, c.Trailers.Values(key)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", forged, diff)
			}
			must(t, m.Push(t.Context(), git.Update{Branch: "main", Old: head, New: h}))
			head = h
			if got := strings.TrimSpace(r.server.Git("app", "log", "-1", "--format=%(trailers:key="+key+",valueonly)", "main")); got != strings.Join(want, "") {
				t.Errorf("%q: git reads %q, want %q in\n%s", forged, got, want, c.Message)
			}
		}
	}
	// A value cannot begin another trailer either.
	s := spec(tree, "real\n"+key+": forged\r\nWaybill-Stage: prod", head)
	h, err := m.WriteCommit(s)
	must(t, err)
	c, err := m.Commit(h)
	must(t, err)
	if got := c.Trailers.Values(key); len(got) != 1 || len(c.Trailers) != 2 {
		t.Errorf("trailers %v", c.Trailers)
	}
}

func TestWriteCommitRefuses(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	tree, err := m.TreeHash(main, "")
	must(t, err)
	for why, change := range map[string]func(*git.CommitSpec){
		"no message":      func(s *git.CommitSpec) { s.Message = " \n" },
		"no date":         func(s *git.CommitSpec) { s.When = time.Time{} },
		"no author":       func(s *git.CommitSpec) { s.Author = git.Identity{Name: "<>", Email: "x"} },
		"a bad key":       func(s *git.CommitSpec) { s.Trailers = []git.Trailer{{Key: "a b", Value: "c"}} },
		"unknown tree":    func(s *git.CommitSpec) { s.Tree = git.Hash{1} },
		"unknown parent":  func(s *git.CommitSpec) { s.Parents = []git.Hash{{1}} },
		"endless message": func(s *git.CommitSpec) { s.Message = strings.Repeat("x", 1<<20) },
	} {
		s := spec(tree, "x", main)
		change(&s)
		if h, err := m.WriteCommit(s); err == nil {
			t.Errorf("%s: wrote %s", why, h)
		}
	}
}

func TestFindTrailer(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	base := refs.Branches["main"]
	head := base
	for i := range 10 {
		head = write(t, m, head, fmt.Sprint("uid-", i), []git.Edit{git.SetFile("a", fmt.Append(nil, i))}, head)
	}
	const key = "Waybill-Promotion-UID"
	c, ok, err := m.FindTrailer(head, base, key, "uid-3", 100)
	if err != nil || !ok || c.Trailers.Get(strings.ToLower(key)) != "uid-3" {
		t.Errorf("uid-3: %v %v %v", c, ok, err)
	}
	if _, ok, err := m.FindTrailer(head, base, key, "uid", 100); ok || err != nil {
		t.Errorf("a prefix: %v %v", ok, err)
	}
	if _, ok, err := m.FindTrailer(head, git.Hash{}, key, "nope", 100); ok || err != nil {
		t.Errorf("to the beginning: %v %v", ok, err)
	}
	if _, ok, err := m.FindTrailer(head, base, key, "nope", 5); ok || !errors.Is(err, git.ErrTooLarge) {
		t.Errorf("not found must not be claimed of what was not seen: %v %v", ok, err)
	}
	if _, ok, err := m.FindTrailer(base, head, key, "nope", 100); ok || !errors.Is(err, git.ErrNotAncestor) {
		t.Errorf("the wrong way round: %v %v", ok, err)
	}
	if _, ok, err := m.FindTrailer(base, base, key, "nope", 100); ok || err != nil {
		t.Errorf("nothing between: %v %v", ok, err)
	}
}
