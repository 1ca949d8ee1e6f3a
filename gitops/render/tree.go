package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/internal/sops"
	"github.com/waybill-dev/waybill/internal/yamledit"
)

// tree reads the repository within limits and remembers what was read. Names are slash-separated, relative to the
// root of the repository, "." being the root. It is safe for use by the goroutine that kustomize runs in and by the
// one that gave up waiting for it.
type tree struct {
	ctx    context.Context //nolint:containedctx // the library that reads through this has no context of its own
	files  fs.FS
	limits Limits
	keys   *sops.Keys // nil: encrypted files are refused
	opened *opened

	mu      sync.Mutex
	reads   int
	bytes   int64
	names   map[string]bool
	refusal error // the first limit that was exceeded; kustomize turns errors of ReadFile into text
}

func newTree(ctx context.Context, files fs.FS, limits Limits) *tree {
	return &tree{ctx: ctx, files: files, limits: limits, names: map[string]bool{}, opened: &opened{files: map[string]string{}}}
}

// over returns a tree of other files with the limits and keys of t, and what was decrypted.
func (t *tree) over(files fs.FS) *tree {
	other := newTree(t.ctx, files, t.limits)
	other.keys, other.opened = t.keys, t.opened
	return other
}

// isDir says whether name is a folder that can be read.
func (t *tree) isDir(name string) bool {
	info, err := t.stat(name)
	return err == nil && info.IsDir()
}

// isFile says whether name is a regular file.
func (t *tree) isFile(name string) bool {
	info, err := t.stat(name)
	return err == nil && info.Mode().IsRegular()
}

// stat looks at name without following a link, where the file system can tell.
func (t *tree) stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	if _, hasLinks := t.files.(fs.ReadLinkFS); hasLinks {
		// A link among the parents would be followed by the file system, possibly out of it.
		for i, c := range name {
			if c != '/' {
				continue
			}
			if info, err := fs.Lstat(t.files, name[:i]); err == nil && info.Mode()&fs.ModeSymlink != 0 {
				return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
			}
		}
	}
	return fs.Lstat(t.files, name)
}

// list returns the entries of a folder by name.
func (t *tree) list(name string) ([]fs.DirEntry, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(t.files, name)
	if err != nil {
		return nil, &Error{File: name, Err: fmt.Errorf("%w: folder cannot be read: %s", ErrUnsupported, cause(err))}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// read returns the content of a regular file, decrypted, and counts it.
func (t *tree) read(name string) ([]byte, error) {
	content, err := t.readRaw(name)
	if err != nil || !sops.IsEncrypted(name, content) {
		return content, err
	}
	return t.decrypt(name, content)
}

// readRaw is read without decryption.
func (t *tree) readRaw(name string) ([]byte, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	info, err := t.stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err // kustomize probes for files; not a refusal
	case err != nil:
		return nil, t.refuse(name, fmt.Errorf("%w: file cannot be read: %s", ErrUnsupported, cause(err)))
	case info.IsDir():
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	case !info.Mode().IsRegular():
		return nil, t.refuse(name, fmt.Errorf("%w: symbolic links and special files are not followed", ErrUnsupported))
	case info.Size() > t.limits.FileBytes:
		return nil, t.refuse(name, fmt.Errorf("%w: file has %d bytes, at most %d are read", ErrTooLarge, info.Size(), t.limits.FileBytes))
	}
	content, err := fs.ReadFile(t.files, name)
	if err != nil {
		return nil, t.refuse(name, fmt.Errorf("%w: file cannot be read: %s", ErrUnsupported, cause(err)))
	}
	t.mu.Lock()
	t.reads++
	t.bytes += int64(len(content))
	t.names[name] = true
	reads, size := t.reads, t.bytes
	t.mu.Unlock()
	switch {
	case reads > t.limits.Files:
		return nil, t.refuse(name, fmt.Errorf("%w: more than %d files are read", ErrTooLarge, t.limits.Files))
	case size > t.limits.Bytes:
		return nil, t.refuse(name, fmt.Errorf("%w: more than %d bytes are read", ErrTooLarge, t.limits.Bytes))
	}
	return content, nil
}

// checkYAML holds a file against the limits on nesting and aliases. A file that is not YAML passes: whoever decodes
// it says so, and generators may include files of any kind.
func (t *tree) checkYAML(name string, content []byte) error {
	err := yamledit.Check(content, yamledit.Limits{Bytes: len(content), Depth: t.limits.Depth, Expanded: t.limits.Expanded})
	if errors.Is(err, yamledit.ErrTooLarge) {
		return t.refuse(name, fmt.Errorf("%w: %w", ErrTooLarge, err))
	}
	return nil
}

// refuse records the first refusal and returns it.
func (t *tree) refuse(name string, err error) error {
	e := &Error{File: name, Err: err}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusal == nil {
		t.refusal = e
	}
	return e
}

// refused returns the first refusal, or nil.
func (t *tree) refused() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refusal
}

// inputs returns the names of all files read, in order.
func (t *tree) inputs() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.names))
	for name := range t.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cause is the text of a file system error without the path, which the caller names already.
func cause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return oneLine(err.Error())
}

// maxCause bounds the text of another library that is repeated.
const maxCause = 600

// oneLine makes one bounded line of a text.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")
	if runes := []rune(s); len(runes) > maxCause {
		s = string(runes[:maxCause]) + "…"
	}
	return s
}

// clean returns a repository path in the form fs.FS wants, or "" when it leaves the repository.
func clean(name string) string {
	name = path.Clean(name)
	if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || !fs.ValidPath(name) {
		return ""
	}
	return name
}

// under says whether name is folder or lies in it.
func under(name, folder string) bool {
	return folder == "." || name == folder || strings.HasPrefix(name, folder+"/")
}
