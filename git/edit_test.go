package git_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
)

func TestWriteTree(t *testing.T) {
	r := newRig(t)
	r.server.CreateRepo("app", nil)
	r.server.CommitFiles("app", gitserver.Commit{Branch: "main", Message: "x", Files: map[string]gitserver.File{
		"run.sh": {Content: "#!/bin/sh\r\n", Mode: "100755"}, "a-file": {Content: "1"}, "a/x": {Content: "2"}, "a/y/z": {Content: "3"}, "k": {Content: "4"},
	}})
	r.server.CommitFiles("app", gitserver.Commit{Branch: "other", Message: "x", Files: map[string]gitserver.File{
		"stages/prod/k.yaml": {Content: "prod"}, "stages/prod/bin": {Content: "b", Mode: "100755"}, "top": {Content: "t"},
	}})
	m, refs := r.fetched(r.server.URL("app"), "main", "other")
	main, other := refs.Branches["main"], refs.Branches["other"]
	all := []string{"100644 a-file", "100644 a/x", "100644 a/y/z", "100644 k", "100755 run.sh"}
	for _, c := range []struct {
		why   string
		base  git.Hash
		edits []git.Edit
		want  []string
	}{
		{"nothing", main, nil, all},
		{"a set file keeps its mode", main, []git.Edit{git.SetFile("run.sh", []byte("new"))}, all},
		{"a new file is plain, directories are made", main, []git.Edit{git.SetFile("n/e/w", nil)}, []string{"100644 a-file", "100644 a/x", "100644 a/y/z", "100644 k", "100644 n/e/w", "100755 run.sh"}},
		{"an executable", main, []git.Edit{git.SetExecutable("k", []byte("4"))}, []string{"100644 a-file", "100644 a/x", "100644 a/y/z", "100755 k", "100755 run.sh"}},
		{"removing", main, []git.Edit{git.Remove("a/y/z"), git.Remove("nope/at/all"), git.Remove("k/below-a-file")}, []string{"100644 a-file", "100644 a/x", "100644 k", "100755 run.sh"}},
		{"removing a directory", main, []git.Edit{git.Remove("a")}, []string{"100644 a-file", "100644 k", "100755 run.sh"}},
		{"empty directories go", main, []git.Edit{git.Remove("a/x"), git.Remove("a/y/z")}, []string{"100644 a-file", "100644 k", "100755 run.sh"}},
		{"in order: the last wins", main, []git.Edit{git.Remove("a"), git.SetFile("a", nil)}, []string{"100644 a", "100644 a-file", "100644 k", "100755 run.sh"}},
		{"a directory grafted over another", main, []git.Edit{git.Graft("a", other, "stages/prod")}, []string{"100644 a-file", "100755 a/bin", "100644 a/k.yaml", "100644 k", "100755 run.sh"}},
		{"and edited", main, []git.Edit{git.Graft("a", other, "stages/prod"), git.SetFile("a/k.yaml", nil), git.Remove("a/bin")}, []string{"100644 a-file", "100644 a/k.yaml", "100644 k", "100755 run.sh"}},
		{"a file grafted, with its mode", main, []git.Edit{git.Graft("k", other, "stages/prod/bin")}, []string{"100644 a-file", "100644 a/x", "100644 a/y/z", "100755 k", "100755 run.sh"}},
		{"a whole tree, and back one directory", main, []git.Edit{git.Graft("", other, ""), git.Graft("a", main, "a")}, []string{"100644 a/x", "100644 a/y/z", "100755 stages/prod/bin", "100644 stages/prod/k.yaml", "100644 top"}},
		{"everything removed", main, []git.Edit{git.Remove(""), git.SetFile("x", nil)}, []string{"100644 x"}},
		{"from nothing", git.Hash{}, []git.Edit{git.SetFile("x/y", nil)}, []string{"100644 x/y"}},
	} {
		tree, err := m.WriteTree(c.base, c.edits)
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		commit, err := m.WriteCommit(spec(tree, c.why, main))
		must(t, err)
		must(t, m.Push(t.Context(), git.Update{Branch: "result", Old: parse(t, r.server.Branch("app", "result")), New: onto(t, m, r, commit, c.why)}))
		if diff := cmp.Diff(c.want, r.server.Files("app", "result")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, diff)
		}
	}
	if got := r.server.Show("app", "main:run.sh"); got != "#!/bin/sh\r\n" {
		t.Errorf("run.sh is %q", got)
	}
	same, err := m.WriteTree(main, []git.Edit{git.SetFile("k", []byte("4"))})
	c, cerr := m.Commit(main)
	if err != nil || cerr != nil || same != c.Tree {
		t.Errorf("an edit that changes nothing gives tree %s: %v, %v", same, err, cerr)
	}
}

// parse is hash for text that may be empty.
func parse(t *testing.T, text string) git.Hash {
	t.Helper()
	if text == "" {
		return git.Hash{}
	}
	return hash(t, text)
}

// onto returns a commit of the same tree on top of the branch "result".
func onto(t *testing.T, m *git.Mirror, r *rig, commit git.Hash, uid string) git.Hash {
	t.Helper()
	head := parse(t, r.server.Branch("app", "result"))
	if head.IsZero() {
		return commit
	}
	c, err := m.Commit(commit)
	must(t, err)
	next, err := m.WriteCommit(spec(c.Tree, uid, head))
	must(t, err)
	return next
}

func TestWriteTreeRefuses(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a/x": "1", "k": "2"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	for _, c := range []struct {
		why  string
		edit git.Edit
		want error
	}{
		{"up", git.SetFile("../x", nil), git.ErrUnsafePath},
		{"absolute", git.SetFile("/etc/x", nil), git.ErrUnsafePath},
		{"not clean", git.SetFile("a//x", nil), git.ErrUnsafePath},
		{"git's own", git.SetFile("a/.Git/hooks/x", nil), git.ErrUnsafePath},
		{"removing git's own", git.Remove(".git"), git.ErrUnsafePath},
		{"too deep", git.SetFile(deep(100), nil), git.ErrTooLarge},
		{"over a directory", git.SetFile("a", nil), nil},
		{"below a file", git.SetFile("k/x", nil), nil},
		{"the root is no file", git.SetFile("", nil), nil},
		{"graft of nothing", git.Graft("a", main, "nope"), fs.ErrNotExist},
		{"graft of an unknown commit", git.Graft("a", git.Hash{1}, "a"), git.ErrUnknownObject},
		{"a file as root", git.Graft("", main, "k"), nil},
		{"no edit at all", git.Edit{}, nil},
	} {
		_, err := m.WriteTree(main, []git.Edit{c.edit})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.why, err, c.want)
		}
	}
	if _, err := m.WriteTree(git.Hash{1}, nil); !errors.Is(err, git.ErrUnknownObject) {
		t.Errorf("unknown base: %v", err)
	}
}

func deep(n int) string {
	path := "x"
	for range n {
		path += "/x"
	}
	return path
}

func TestTreeHash(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"stages/a/k": "1", "stages/b/k": "1", "top": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	root, err := m.TreeHash(main, "")
	must(t, err)
	c, err := m.Commit(main)
	must(t, err)
	a, err := m.TreeHash(main, "stages/a")
	must(t, err)
	b, err := m.TreeHash(main, "stages/b")
	must(t, err)
	if root != c.Tree || a != b || a.String() != r.server.Git("app", "rev-parse", "main:stages/a")[:40] {
		t.Errorf("root %s of %s, a %s, b %s", root, c.Tree, a, b)
	}
	for _, missing := range []string{"nope", "stages/a/k/x", "stages/c"} {
		if _, err := m.TreeHash(main, missing); !git.IsNotExist(err) {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

func TestChangedPaths(t *testing.T) {
	r := newRig(t)
	r.server.CreateRepo("app", map[string]string{"same/x": "1", "mod": "1", "gone/y": "1", "file-to-dir": "1", "dir-to-file/z": "1", "mode": "1"})
	m, refs := r.fetched(r.server.URL("app"), "main")
	a := refs.Branches["main"]
	b, err := m.WriteTree(a, []git.Edit{
		git.SetFile("mod", []byte("2")), git.Remove("gone"), git.Remove("file-to-dir"), git.SetFile("file-to-dir/q", nil),
		git.Remove("dir-to-file"), git.SetFile("dir-to-file", nil), git.SetExecutable("mode", []byte("1")), git.SetFile("new/n", nil),
	})
	must(t, err)
	changes, err := m.ChangedPaths(a, b)
	must(t, err)
	var got []string
	for _, c := range changes {
		got = append(got, string(c.Kind)+" "+c.Path)
	}
	want := []string{"added dir-to-file", "removed dir-to-file/z", "removed file-to-dir", "added file-to-dir/q", "removed gone/y", "modified mod", "modified mode", "added new/n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if none, err := m.ChangedPaths(b, b); err != nil || len(none) != 0 {
		t.Errorf("equal trees: %v, %v", none, err)
	}
	if all, err := m.ChangedPaths(git.Hash{}, a); err != nil || len(all) != 6 {
		t.Errorf("from nothing: %v, %v", all, err)
	}
}
