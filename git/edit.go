package git

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Edit is one change of a tree, made by SetFile, Remove or Graft.
type Edit struct {
	kind       editKind
	path       string
	content    []byte
	executable bool
	source     Hash
	sourcePath string
}

type editKind int

const (
	setFile editKind = iota + 1
	removePath
	graft
)

// SetFile writes a file. A file that exists keeps its mode, executable bit
// included; a new one is a plain file. Directories are made as needed. It is
// an error where a directory, symlink or submodule is.
func SetFile(path string, content []byte) Edit {
	return Edit{kind: setFile, path: path, content: content}
}

// SetExecutable is SetFile for a file that is to be executable.
func SetExecutable(path string, content []byte) Edit {
	return Edit{kind: setFile, path: path, content: content, executable: true}
}

// Remove takes a file or a whole directory away, and directories that become
// empty. What is not there is no error: the result is the same.
func Remove(path string) Edit { return Edit{kind: removePath, path: path} }

// Graft puts what source (a commit or tree) has at sourcePath in the place of
// what is at path: a directory or a file, modes included. "" is the root, on
// either side. It returns an error that matches fs.ErrNotExist when the source
// has nothing there; Remove is the edit for that.
func Graft(path string, source Hash, sourcePath string) Edit {
	return Edit{kind: graft, path: path, source: source, sourcePath: sourcePath}
}

// WriteTree applies edits, in order, to a tree (or a commit's; zero: the empty
// tree) and stores the result. It returns the new root tree's hash, which is
// the old one when nothing changed.
func (m *Mirror) WriteTree(base Hash, edits []Edit) (Hash, error) {
	var result Hash
	err := m.store.read(func(r *reader) error {
		rootHash, err := r.root(base)
		if err != nil {
			return err
		}
		root := &node{hash: rootHash}
		for _, e := range edits {
			if root, err = r.apply(root, e); err != nil {
				return fmt.Errorf("edit %q of %s: %w", e.path, base.Short(), err)
			}
		}
		result, err = r.writeNode(root)
		return err
	})
	return result, err
}

// node is a directory being edited. Until it is loaded only its hash counts.
type node struct {
	hash    Hash
	entries map[string]*child // nil: not loaded
	dirty   bool
}

// child is an entry of a loaded node; dir is set when it is a loaded directory.
type child struct {
	entry
	dir *node
}

func (r *reader) load(n *node) error {
	if n.entries != nil {
		return nil
	}
	entries, err := r.tree(n.hash)
	if err != nil {
		return err
	}
	n.entries = make(map[string]*child, len(entries))
	for _, e := range entries {
		n.entries[e.name] = &child{entry: e}
	}
	return nil
}

// apply makes one edit and returns the root, which only a graft of the whole
// tree replaces.
func (r *reader) apply(root *node, e Edit) (*node, error) {
	path, err := checkPath(e.path, r.limits.Depth)
	if err != nil {
		return nil, err
	}
	switch e.kind {
	case setFile:
		return root, r.setFile(root, path, e)
	case removePath:
		if path == "." {
			return &node{entries: map[string]*child{}, dirty: true}, nil
		}
		_, err := r.remove(root, strings.Split(path, "/"))
		return root, err
	case graft:
		return r.graft(root, path, e)
	default:
		return nil, errors.New("edit was not made by SetFile, Remove or Graft")
	}
}

func (r *reader) setFile(root *node, path string, e Edit) error {
	if path == "." {
		return errIsDir
	}
	if int64(len(e.content)) > r.limits.FileBytes {
		return fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, len(e.content), r.limits.FileBytes)
	}
	parents, name := splitPath(path)
	dir, err := r.descend(root, parents)
	if err != nil {
		return err
	}
	file := entry{name: name, mode: filemode.Regular}
	if existing := dir.entries[name]; existing != nil {
		if err := existing.refuse(); err != nil {
			return err
		}
		if existing.isDir() {
			return errIsDir
		}
		file.mode = existing.mode
	}
	if e.executable {
		file.mode = filemode.Executable
	}
	blob := &plumbing.MemoryObject{}
	blob.SetType(plumbing.BlobObject)
	if _, err := blob.Write(e.content); err != nil {
		return err
	}
	if err := r.write(blob); err != nil {
		return err
	}
	file.hash = Hash(blob.Hash())
	dir.entries[name] = &child{entry: file}
	return nil
}

func (r *reader) graft(root *node, path string, e Edit) (*node, error) {
	sourcePath, err := checkPath(e.sourcePath, r.limits.Depth)
	if err != nil {
		return nil, err
	}
	sourceRoot, err := r.root(e.source)
	if err != nil {
		return nil, err
	}
	from, err := lookup(r.tree, sourceRoot, sourcePath)
	if err != nil {
		return nil, fmt.Errorf("graft %q of %s: %w", e.sourcePath, e.source.Short(), err)
	}
	if err := from.refuse(); err != nil {
		return nil, fmt.Errorf("graft %q of %s: %w", e.sourcePath, e.source.Short(), err)
	}
	if path == "." {
		if !from.isDir() {
			return nil, errNotDir
		}
		return &node{hash: from.hash}, nil
	}
	parents, name := splitPath(path)
	dir, err := r.descend(root, parents)
	if err != nil {
		return nil, err
	}
	from.name = name
	dir.entries[name] = &child{entry: from}
	return root, nil
}

// splitPath returns the directories of a path and its last element.
func splitPath(path string) (parents []string, name string) {
	parts := strings.Split(path, "/")
	return parts[:len(parts)-1], parts[len(parts)-1]
}

// descend returns the directory at the path, loaded, making what is missing.
// Everything on the way is marked dirty: the caller changes the end of it.
func (r *reader) descend(n *node, parents []string) (*node, error) {
	if err := r.load(n); err != nil {
		return nil, err
	}
	n.dirty = true
	for _, name := range parents {
		next := n.entries[name]
		if next == nil {
			next = &child{entry: entry{name: name, mode: filemode.Dir}, dir: &node{entries: map[string]*child{}}}
			n.entries[name] = next
		}
		if err := next.refuse(); err != nil {
			return nil, err
		}
		if !next.isDir() {
			return nil, errNotDir
		}
		if next.dir == nil {
			next.dir = &node{hash: next.hash}
		}
		n = next.dir
		if err := r.load(n); err != nil {
			return nil, err
		}
		n.dirty = true
	}
	return n, nil
}

// remove takes the path out below n and reports whether anything was there.
func (r *reader) remove(n *node, path []string) (bool, error) {
	if err := r.load(n); err != nil {
		return false, err
	}
	at := n.entries[path[0]]
	if at == nil {
		return false, nil
	}
	if len(path) == 1 {
		delete(n.entries, path[0])
		n.dirty = true
		return true, nil
	}
	if err := at.refuse(); err != nil {
		return false, err
	}
	if !at.isDir() {
		return false, nil
	}
	if at.dir == nil {
		at.dir = &node{hash: at.hash}
	}
	removed, err := r.remove(at.dir, path[1:])
	if removed {
		n.dirty = true
		if len(at.dir.entries) == 0 {
			delete(n.entries, path[0])
		}
	}
	return removed, err
}

// writeNode stores a directory and those below it that changed, deepest first.
func (r *reader) writeNode(n *node) (Hash, error) {
	if !n.dirty {
		if n.hash.IsZero() {
			return r.writeEntries(nil)
		}
		return n.hash, nil
	}
	entries := make([]object.TreeEntry, 0, len(n.entries))
	for name, c := range n.entries {
		if c.dir != nil {
			h, err := r.writeNode(c.dir)
			if err != nil {
				return Hash{}, err
			}
			c.hash = h
		}
		entries = append(entries, object.TreeEntry{Name: name, Mode: c.mode, Hash: c.hash.plumbing()})
	}
	return r.writeEntries(entries)
}

func (r *reader) writeEntries(entries []object.TreeEntry) (Hash, error) {
	slices.SortFunc(entries, func(a, b object.TreeEntry) int {
		return strings.Compare(sortName(a), sortName(b))
	})
	o := &plumbing.MemoryObject{}
	if err := (&object.Tree{Entries: entries}).Encode(o); err != nil {
		return Hash{}, fmt.Errorf("encode tree: %w", err)
	}
	return Hash(o.Hash()), r.write(o)
}

// sortName is how Git orders names: a directory as if it ended in a slash.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// IsNotExist reports whether an error of this package says that a path is not
// there.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
