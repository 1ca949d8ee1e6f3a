package render

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// readOnly shows a tree to kustomize as a file system whose root is the root of the repository. Nothing outside the
// repository has a name in it, and nothing can be written.
type readOnly struct {
	tree *tree
}

var _ filesys.FileSystem = (*readOnly)(nil)

// inTree turns a path of kustomize into one of the tree: "/a/b" and "a/b" are both "a/b", and ".." ends at the root.
func inTree(p string) string {
	cleaned := strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(p)), "/")
	if cleaned == "" {
		return "."
	}
	return cleaned
}

// IsDir says whether p is a folder.
func (r *readOnly) IsDir(p string) bool { return r.tree.isDir(inTree(p)) }

// Exists says whether p is a folder or a regular file.
func (r *readOnly) Exists(p string) bool { return r.IsDir(p) || r.tree.isFile(inTree(p)) }

// ReadFile returns the content of p. Text that expands or nests too far is refused here, because kustomize has no
// limits of its own.
func (r *readOnly) ReadFile(p string) ([]byte, error) {
	content, err := r.tree.read(inTree(p))
	if err != nil {
		return nil, err
	}
	if err := r.tree.checkYAML(inTree(p), content); err != nil {
		return nil, err
	}
	return content, nil
}

// CleanedAbs returns the folder of p and the file in it; the file is empty when p is a folder.
func (r *readOnly) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	n := inTree(p)
	if r.tree.isDir(n) {
		return filesys.ConfirmedDir("/" + strings.TrimPrefix(n, ".")), "", nil
	}
	if _, err := r.tree.stat(n); err != nil {
		return "", "", &fs.PathError{Op: "open", Path: n, Err: fs.ErrNotExist}
	}
	dir, file := path.Split("/" + n)
	if dir != "/" {
		dir = strings.TrimSuffix(dir, "/")
	}
	return filesys.ConfirmedDir(dir), file, nil
}

// ReadDir returns the names in a folder.
func (r *readOnly) ReadDir(p string) ([]string, error) {
	entries, err := r.tree.list(inTree(p))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// What follows is not used by a build; it is refused rather than imitated.

func refused(op, p string) error { return &fs.PathError{Op: op, Path: p, Err: fs.ErrPermission} }

// Create is refused.
func (r *readOnly) Create(p string) (filesys.File, error) { return nil, refused("create", p) }

// Open is refused.
func (r *readOnly) Open(p string) (filesys.File, error) { return nil, refused("open", p) }

// Mkdir is refused.
func (r *readOnly) Mkdir(p string) error { return refused("mkdir", p) }

// MkdirAll is refused.
func (r *readOnly) MkdirAll(p string) error { return refused("mkdir", p) }

// RemoveAll is refused.
func (r *readOnly) RemoveAll(p string) error { return refused("remove", p) }

// WriteFile is refused.
func (r *readOnly) WriteFile(p string, _ []byte) error { return refused("write", p) }

// Glob is refused.
func (r *readOnly) Glob(p string) ([]string, error) { return nil, refused("glob", p) }

// Walk is refused.
func (r *readOnly) Walk(p string, _ filepath.WalkFunc) error { return refused("walk", p) }
