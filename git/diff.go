package git

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// ChangeKind says what happened to a file.
type ChangeKind string

// Kinds of change.
const (
	Added    ChangeKind = "added"
	Modified ChangeKind = "modified" // contents, mode or type
	Removed  ChangeKind = "removed"
)

// Change is one file (or symlink or submodule) that differs.
type Change struct {
	Path string
	Kind ChangeKind
	// Old and New are the hashes of the contents; zero where there is none.
	Old, New Hash
}

// ChangedPaths returns what leads from a to b, each a commit, a tree, or zero
// for the empty tree: one Change per file, in the order of paths. Renames show
// as removed and added. It returns ErrTooLarge above Limits.Changes.
func (m *Mirror) ChangedPaths(a, b Hash) ([]Change, error) {
	var changes []Change
	err := m.store.read(func(r *reader) error {
		rootA, err := r.root(a)
		if err != nil {
			return err
		}
		rootB, err := r.root(b)
		if err != nil {
			return err
		}
		return r.diff(rootA, rootB, "", 0, &changes)
	})
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", a.Short(), b.Short(), err)
	}
	slices.SortFunc(changes, func(x, y Change) int { return strings.Compare(x.Path, y.Path) })
	return changes, nil
}

// diff adds the changes between two trees, looking only into those that differ.
func (r *reader) diff(a, b Hash, dir string, depth int, changes *[]Change) error {
	if a == b {
		return nil
	}
	if depth >= r.limits.Depth {
		return fmt.Errorf("%w: %q is deeper than %d directories", ErrTooLarge, dir, r.limits.Depth)
	}
	left, err := r.tree(a)
	if err != nil {
		return err
	}
	right, err := r.tree(b)
	if err != nil {
		return err
	}
	inRight := byName(right)
	for _, old := range left {
		now := inRight[old.name]
		delete(inRight, old.name)
		if err := r.diffEntry(old, now, path.Join(dir, old.name), depth, changes); err != nil {
			return err
		}
	}
	for name, now := range inRight {
		if err := r.diffEntry(entry{}, now, path.Join(dir, name), depth, changes); err != nil {
			return err
		}
	}
	return nil
}

// diffEntry compares what one name means on both sides; a zero entry means
// nothing there. A file that became a directory is removed, and the files in
// the directory are added.
func (r *reader) diffEntry(old, now entry, name string, depth int, changes *[]Change) error {
	if old.mode == now.mode && old.hash == now.hash {
		return nil
	}
	var oldDir, nowDir Hash
	if old.isDir() {
		oldDir, old = old.hash, entry{}
	}
	if now.isDir() {
		nowDir, now = now.hash, entry{}
	}
	if err := r.diff(oldDir, nowDir, name, depth+1, changes); err != nil {
		return err
	}
	change := Change{Path: name, Old: old.hash, New: now.hash}
	switch {
	case old.mode == 0 && now.mode == 0:
		return nil
	case old.mode == 0:
		change.Kind = Added
	case now.mode == 0:
		change.Kind = Removed
	default:
		change.Kind = Modified
	}
	if len(*changes) >= r.limits.Changes {
		return fmt.Errorf("%w: more than %d files differ", ErrTooLarge, r.limits.Changes)
	}
	*changes = append(*changes, change)
	return nil
}

func byName(entries []entry) map[string]entry {
	m := make(map[string]entry, len(entries))
	for _, e := range entries {
		m[e.name] = e
	}
	return m
}
