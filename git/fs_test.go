package git_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
)

func countFiles(files fs.FS) (int, error) {
	n := 0
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		_, err = fs.ReadFile(files, path)
		return err
	})
	return n, err
}

func readFile(files fs.FS, name string) (string, error) {
	content, err := fs.ReadFile(files, name)
	return string(content), err
}

func TestFS(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1", "dir/b.yaml": "x: 1\r\n", "dir/deep/c": "", "dir.d": "sorts between"})
	m, refs := r.fetched(url, "main")
	files, err := m.FS(refs.Branches["main"])
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "a", "dir/b.yaml", "dir/deep/c", "dir.d"); err != nil {
		t.Error(err)
	}
	if got, err := readFile(files, "dir/b.yaml"); err != nil || got != "x: 1\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	sub, err := fs.Sub(files, "dir/deep")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "c"); err != nil {
		t.Error(err)
	}
	if _, err := files.Open("nope/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := files.Open("a/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below a file: %v", err)
	}
	if _, err := files.Open("dir/../a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("not clean: %v", err)
	}
	if _, err := m.FS(git.Hash{1}); !errors.Is(err, git.ErrUnknownObject) {
		t.Errorf("unknown commit: %v", err)
	}
}

func TestLinksAreNeverFollowed(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"real/file": "1"})
	somewhere := r.server.Branch("app", "main")
	r.server.CommitFiles("app", gitserver.Commit{Branch: "main", Message: "links", Files: map[string]gitserver.File{
		"etc": {Content: "/etc", Mode: "120000"}, "out": {Content: "../../secret", Mode: "120000"},
		"alias": {Content: "real", Mode: "120000"}, "module": {Content: somewhere, Mode: "160000"},
	}})
	m, refs := r.fetched(url, "main")
	head := refs.Branches["main"]
	files, err := m.FS(head)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"etc": git.ErrSymlink, "etc/passwd": git.ErrSymlink, "out": git.ErrSymlink, "alias": git.ErrSymlink, "alias/file": git.ErrSymlink,
		"module": git.ErrSubmodule, "module/x": git.ErrSubmodule,
	} {
		_, openErr := files.Open(path)
		_, readErr := fs.ReadFile(files, path)
		_, statErr := fs.Stat(files, path)
		_, dirErr := fs.ReadDir(files, path)
		_, subErr := fs.Sub(files, path)
		_, editErr := m.WriteTree(head, []git.Edit{git.SetFile(path, []byte("x"))})
		for op, err := range map[string]error{"open": openErr, "read": readErr, "stat": statErr, "readdir": dirErr, "sub": subErr, "edit": editErr} {
			if !errors.Is(err, want) {
				t.Errorf("%s %s: %v, want %v", op, path, err, want)
			}
		}
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name()+" "+e.Type().String())
	}
	if diff := cmp.Diff([]string{"alias L---------", "etc L---------", "module ?---------", "out L---------", "real d---------"}, got); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	// They stay as they are around an edit, are not followed when removed, and
	// are pushed on.
	commit := write(t, m, head, "x", []git.Edit{git.SetFile("real/file", []byte("2")), git.Remove("out")}, head)
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: head, New: commit}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"120000 alias", "120000 etc", "160000 module", "100644 real/file"}, r.server.Files("app", "main")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestHostileTreeNames(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"ok/file": "1"})
	// Such trees are not made by git; a hostile server has them all the same.
	blob := strings.TrimSpace(r.server.Git("app", "rev-parse", "main:ok/file"))
	for _, name := range []string{"..", ".", ".git", ".GIT", "a/b"} {
		raw := "100644 " + name + "\x00" + string(mustHex(t, blob))
		path := t.TempDir() + "/tree"
		must(t, os.WriteFile(path, []byte(raw), 0o600))
		tree := strings.TrimSpace(r.server.Git("app", "hash-object", "-t", "tree", "-w", "--literally", path))
		commit := strings.TrimSpace(r.server.Git("app", "-c", "user.name=x", "-c", "user.email=x@example.com", "commit-tree", "-m", "bad", tree))
		r.server.SetBranch("app", "bad", commit)
		m, refs := r.fetched(url, "bad")
		files, err := m.FS(refs.Branches["bad"])
		must(t, err)
		if _, err := fs.ReadDir(files, "."); !errors.Is(err, git.ErrUnsafePath) {
			t.Errorf("listing %q: %v", name, err)
		}
		if _, err := m.WriteTree(refs.Branches["bad"], []git.Edit{git.SetFile("x", nil)}); !errors.Is(err, git.ErrUnsafePath) {
			t.Errorf("editing %q: %v", name, err)
		}
		r.server.SetBranch("app", "bad", "")
		r.server.Git("app", "prune", "--expire=now")
	}
}

func mustHex(t *testing.T, text string) []byte {
	t.Helper()
	h := hash(t, text)
	return slices.Clone(h[:])
}
