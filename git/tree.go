package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// entry is one name in a tree.
type entry struct {
	name string
	mode filemode.FileMode // canonical: regular, executable, symlink, dir or submodule
	hash Hash
}

func (e entry) isDir() bool { return e.mode == filemode.Dir }

// refuse returns why an entry cannot be opened, or nil.
func (e entry) refuse() error {
	switch e.mode {
	case filemode.Symlink:
		return ErrSymlink
	case filemode.Submodule:
		return ErrSubmodule
	}
	return nil
}

// safeName reports whether a tree entry's name can be shown as a path element:
// one that no file system takes for another place.
func safeName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.EqualFold(name, ".git") && !strings.ContainsAny(name, "/\x00")
}

// tree loads a tree's entries in Git's order. The zero Hash is the empty tree.
// A name that is not safe, or stands there twice, fails the whole tree with
// ErrUnsafePath: there is no honest way to show it.
func (r *reader) tree(h Hash) ([]entry, error) {
	if h.IsZero() {
		return nil, nil
	}
	o, err := r.object(plumbing.TreeObject, h)
	if err != nil {
		return nil, err
	}
	decoded, err := object.DecodeTree(r, o)
	if err != nil {
		return nil, damage("tree "+h.Short(), err)
	}
	entries := make([]entry, 0, len(decoded.Entries))
	seen := make(map[string]struct{}, len(decoded.Entries))
	for _, e := range decoded.Entries {
		if _, twice := seen[e.Name]; twice || !safeName(e.Name) {
			return nil, fmt.Errorf("%w: tree %s holds the name %q", ErrUnsafePath, h.Short(), e.Name)
		}
		seen[e.Name] = struct{}{}
		entries = append(entries, entry{name: e.Name, mode: e.Mode, hash: Hash(e.Hash)})
	}
	return entries, nil
}

// root returns the root tree of a commit, or the tree itself when h names one.
// The zero Hash is the empty tree.
func (r *reader) root(h Hash) (Hash, error) {
	if h.IsZero() {
		return h, nil
	}
	if stored, err := r.has(h); err != nil || !stored {
		return Hash{}, orUnknown(err, "read", h)
	}
	o, err := r.object(plumbing.AnyObject, h)
	if err != nil {
		return Hash{}, err
	}
	switch o.Type() {
	case plumbing.TreeObject:
		return h, nil
	case plumbing.CommitObject:
		c, err := r.commit(h)
		return c.Tree, err
	default:
		return Hash{}, fmt.Errorf("%w: %s is a %s, not a commit or tree", ErrUnknownObject, h.Short(), o.Type())
	}
}

// treeLister is how lookup reads trees: a reader, or a cache before one.
type treeLister func(Hash) ([]entry, error)

// lookup walks from a root tree to a clean path ("." is the root itself). It
// returns fs.ErrNotExist, or ErrSymlink or ErrSubmodule when the way leads
// through one; a final one is returned as it is.
func lookup(list treeLister, root Hash, path string) (entry, error) {
	at := entry{name: ".", mode: filemode.Dir, hash: root}
	if path == "." {
		return at, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := at.refuse(); err != nil {
			return entry{}, err
		}
		if !at.isDir() {
			return entry{}, fs.ErrNotExist
		}
		entries, err := list(at.hash)
		if err != nil {
			return entry{}, err
		}
		found := false
		for _, e := range entries {
			if e.name == name {
				at, found = e, true
				break
			}
		}
		if !found {
			return entry{}, fs.ErrNotExist
		}
	}
	return at, nil
}

// checkPath returns the path in the form lookup takes: slashes, no ".." and no
// leading slash. "" and "." are the root.
func checkPath(path string, depth int) (string, error) {
	if path == "" || path == "." {
		return ".", nil
	}
	if !fs.ValidPath(path) {
		return "", fmt.Errorf("%w: %q is not a clean relative path", ErrUnsafePath, path)
	}
	for name := range strings.SplitSeq(path, "/") {
		if !safeName(name) {
			return "", fmt.Errorf("%w: %q", ErrUnsafePath, path)
		}
	}
	if strings.Count(path, "/") >= depth {
		return "", fmt.Errorf("%w: %q is deeper than %d directories", ErrTooLarge, path, depth)
	}
	return path, nil
}

// TreeHash returns the hash of what a commit (or tree) has at path: of the
// directory, or of the file's contents. "" is the root. Equal hashes mean equal
// contents. It returns an error that matches fs.ErrNotExist when there is
// nothing.
func (m *Mirror) TreeHash(commit Hash, path string) (Hash, error) {
	clean, err := checkPath(path, m.store.limits.Depth)
	if err != nil {
		return Hash{}, err
	}
	var found entry
	err = m.store.read(func(r *reader) error {
		root, err := r.root(commit)
		if err != nil {
			return err
		}
		found, err = lookup(r.tree, root, clean)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return Hash{}, fmt.Errorf("path %q at %s: %w", path, commit.Short(), fs.ErrNotExist)
	}
	return found.hash, err
}

// blob returns a file's contents, or ErrTooLarge.
func (r *reader) blob(h Hash, maxBytes int64) ([]byte, error) {
	size, err := r.blobSize(h)
	if err != nil {
		return nil, err
	}
	if size > maxBytes {
		return nil, fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, size, maxBytes)
	}
	o, err := r.object(plumbing.BlobObject, h)
	if err != nil {
		return nil, err
	}
	content, err := readObject(o)
	if err != nil {
		return nil, damage("file "+h.Short(), err)
	}
	return content, nil
}

func (r *reader) blobSize(h Hash) (int64, error) {
	size, err := r.EncodedObjectSize(h.plumbing())
	if err != nil {
		return 0, damage("file "+h.Short(), err)
	}
	return size, nil
}

// readObject returns an object's bytes in memory of their own.
func readObject(o plumbing.EncodedObject) (_ []byte, err error) {
	in, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	content := make([]byte, o.Size())
	_, err = io.ReadFull(in, content)
	return content, err
}
