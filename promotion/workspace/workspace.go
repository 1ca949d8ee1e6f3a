// Package workspace gives the steps of one promotion a confined place to work.
//
// Nothing is checked out: a workspace maps paths to Git trees, and steps edit
// those trees. What is read and written never leaves the tree it belongs to,
// symbolic links are never followed, and a run that is thrown away leaves only
// unreferenced objects in a mirror.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/git"
)

// ErrNoTree is returned for a path that no git-clone has filled.
var ErrNoTree = errors.New("no working tree at this path")

// Tree is a working tree: a branch of a repository and what is to become of it.
type Tree struct {
	// Mirror holds the objects.
	Mirror *git.Mirror
	// RepoURL as the step names it, for records.
	RepoURL string
	// Branch that was checked out; empty for a commit.
	Branch string
	// Head is the commit that was checked out; zero for a branch to be created.
	Head git.Hash
	// Root is the tree as edited so far; zero is the empty tree.
	Root git.Hash
	// Commit is what git-commit made of Root; zero before, or when Root is the
	// tree of Head.
	Commit git.Hash
	// Message of that commit, with trailers; for the record of the intent.
	Message string
	// Tags that git-tag made of it and nobody has pushed, by name.
	Tags map[string]Tag
	// Author of its commits; what is empty is Waybill's own.
	Author git.Identity
	// Signer signs its commits; nil: they are not signed.
	Signer *git.Signer
}

// Tag is an annotated tag.
type Tag struct {
	// Object is the tag itself, Commit what it leads to.
	Object, Commit git.Hash
	Message        string
}

// Workspace maps paths to trees. It belongs to one run and one goroutine.
type Workspace struct {
	trees map[string]*Tree
	// scratch holds the files that lie in no working tree.
	scratch *Tree
}

// New returns an empty workspace.
func New() *Workspace { return &Workspace{trees: map[string]*Tree{}} }

// Mount puts a tree at a path. A path inside another tree, or the same twice,
// is an error.
func (w *Workspace) Mount(at string, t *Tree) error {
	at, err := clean(at)
	if err != nil {
		return err
	}
	if _, taken := w.trees[at]; taken {
		return fmt.Errorf("path %q is already a working tree", at)
	}
	w.trees[at] = t
	if w.scratch == nil {
		w.scratch = &Tree{Mirror: t.Mirror}
	}
	return nil
}

// Locate returns the tree a path lies in and the path inside it; "" is the
// tree's root. What lies in no working tree is in a scratch tree, which is never
// pushed; its objects are kept where those of the first working tree are, so
// there has to be one, else ErrNoTree. A path that leaves the workspace is an
// error.
func (w *Workspace) Locate(p string) (*Tree, string, error) {
	p, err := clean(p)
	if err != nil {
		return nil, "", err
	}
	for at := p; ; at = path.Dir(at) {
		if t, ok := w.trees[at]; ok {
			return t, strings.TrimPrefix(strings.TrimPrefix(p, at), "/"), nil
		}
		if (at == "." || at == "/") && w.scratch != nil {
			return w.scratch, strings.TrimPrefix(p, "."), nil
		}
		if at == "." || at == "/" {
			return nil, "", fmt.Errorf("%w: %q; a git-clone step has to check something out there first", ErrNoTree, p)
		}
	}
}

// clean returns p without "./" and refuses to leave the workspace.
func clean(p string) (string, error) {
	c := path.Clean(p)
	if p == "" || path.IsAbs(c) || c == ".." || strings.HasPrefix(c, "../") || strings.Contains(p, "\x00") {
		return "", fmt.Errorf("path %q is not inside the workspace", p)
	}
	return c, nil
}

// ReadFile returns a file of the tree. It returns fs.ErrNotExist when there is
// none, and an error for a symbolic link.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	if t.Root.IsZero() {
		return nil, fmt.Errorf("read %q: %w", name, fs.ErrNotExist)
	}
	files, err := t.Mirror.FS(t.Root)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the object already
	}
	return fs.ReadFile(files, name) //nolint:wrapcheck // names the path already
}

// Edit applies edits to the tree, in order.
func (t *Tree) Edit(edits ...git.Edit) error {
	root, err := t.Mirror.WriteTree(t.Root, edits)
	if err != nil {
		return err //nolint:wrapcheck // names the path already
	}
	t.Root = root
	return nil
}

// Clear empties the tree, or one directory of it.
func (t *Tree) Clear(dir string) error {
	if dir == "" {
		t.Root = git.Hash{}
		return nil
	}
	return t.Edit(git.Remove(dir))
}

// IsRepository reports whether the tree is a working tree of a repository, and
// not scratch.
func (t *Tree) IsRepository() bool { return t.RepoURL != "" }

// FS returns the files of the tree as edited so far, read-only. Symbolic links
// in it cannot be opened.
func (t *Tree) FS() (fs.FS, error) {
	return t.Mirror.FS(t.Root) //nolint:wrapcheck // names the object already
}

// Pushed returns the tree whose commit is hash (in hex), or nil.
func (w *Workspace) Pushed(hash string) *Tree {
	for _, t := range w.trees {
		if t.Commit.String() == hash {
			return t
		}
	}
	return nil
}
