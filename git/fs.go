package git

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// maxCachedEntries bounds the directory entries one FS keeps decoded.
const maxCachedEntries = 100_000

// FS returns a commit's files (or a tree's), read-only. It implements
// fs.ReadFileFS, fs.ReadDirFS, fs.StatFS and fs.SubFS, and may be used from any
// goroutine for as long as the Mirrors is open.
//
// Symlinks and submodules are listed, with their types, and cannot be opened or
// passed through: ErrSymlink, ErrSubmodule. Files larger than Limits.FileBytes
// give ErrTooLarge. Modification times are zero. It returns ErrUnknownObject
// when the commit is not in the mirror.
func (m *Mirror) FS(commit Hash) (fs.FS, error) {
	var root Hash
	err := m.store.read(func(r *reader) (err error) {
		root, err = r.root(commit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &commitFS{store: m.store, root: root, cache: &treeCache{trees: map[Hash][]entry{}}}, nil
}

// commitFS shows one tree.
type commitFS struct {
	store *store
	root  Hash
	cache *treeCache // shared with those made by Sub
}

// treeCache keeps decoded directories: walking a tree looks at each of them
// once per file.
type treeCache struct {
	mu      sync.Mutex
	trees   map[Hash][]entry
	entries int
}

// list returns a directory's entries, by way of the cache.
func (f *commitFS) list(r *reader) treeLister {
	return func(h Hash) ([]entry, error) {
		f.cache.mu.Lock()
		entries, cached := f.cache.trees[h]
		f.cache.mu.Unlock()
		if cached {
			return entries, nil
		}
		entries, err := r.tree(h)
		if err != nil {
			return nil, err
		}
		f.cache.mu.Lock()
		defer f.cache.mu.Unlock()
		if f.cache.entries += len(entries); f.cache.entries > maxCachedEntries {
			f.cache.trees, f.cache.entries = map[Hash][]entry{}, len(entries)
		}
		f.cache.trees[h] = entries
		return entries, nil
	}
}

// at runs use with the entry at name, refusing what cannot be opened.
func (f *commitFS) at(op, name string, use func(*reader, entry) error) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	clean, err := checkPath(name, f.store.limits.Depth)
	if err == nil {
		err = f.store.read(func(r *reader) error {
			e, err := lookup(f.list(r), f.root, clean)
			if err != nil {
				return err
			}
			if err := e.refuse(); err != nil {
				return err
			}
			return use(r, e)
		})
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// Open implements fs.FS.
func (f *commitFS) Open(name string) (fs.File, error) {
	var file fs.File
	err := f.at("open", name, func(r *reader, e entry) error {
		if e.isDir() {
			entries, err := f.dirEntries(r, e)
			file = &openDir{info: e.info(0), entries: entries}
			return err
		}
		content, err := r.blob(e.hash, f.store.limits.FileBytes)
		file = &openFile{info: e.info(int64(len(content))), Reader: bytes.NewReader(content)}
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// ReadFile implements fs.ReadFileFS.
func (f *commitFS) ReadFile(name string) ([]byte, error) {
	var content []byte
	err := f.at("read", name, func(r *reader, e entry) (err error) {
		if e.isDir() {
			return errIsDir
		}
		content, err = r.blob(e.hash, f.store.limits.FileBytes)
		return err
	})
	return content, err
}

// ReadDir implements fs.ReadDirFS; entries are in the order of their names.
func (f *commitFS) ReadDir(name string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := f.at("readdir", name, func(r *reader, e entry) (err error) {
		if !e.isDir() {
			return errNotDir
		}
		entries, err = f.dirEntries(r, e)
		return err
	})
	return entries, err
}

// Stat implements fs.StatFS.
func (f *commitFS) Stat(name string) (fs.FileInfo, error) {
	var info fs.FileInfo
	err := f.at("stat", name, func(r *reader, e entry) error {
		if e.isDir() {
			info = e.info(0)
			return nil
		}
		size, err := r.blobSize(e.hash)
		info = e.info(size)
		return err
	})
	return info, err
}

// Sub implements fs.SubFS; dir must be a directory.
func (f *commitFS) Sub(dir string) (fs.FS, error) {
	sub := *f
	err := f.at("sub", dir, func(_ *reader, e entry) error {
		if !e.isDir() {
			return errNotDir
		}
		sub.root = e.hash
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sub, nil
}

func (f *commitFS) dirEntries(r *reader, dir entry) ([]fs.DirEntry, error) {
	entries, err := f.list(r)(dir.hash)
	if err != nil {
		return nil, err
	}
	list := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		list = append(list, &dirEntry{fs: f, entry: e})
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// What io/fs calls these has no name there.
const (
	errIsDir  = constError("is a directory")
	errNotDir = constError("is not a directory")
)

type constError string

func (e constError) Error() string { return string(e) }

// fileInfo implements fs.FileInfo.
type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
}

func (e entry) info(size int64) *fileInfo {
	i := &fileInfo{name: path.Base(e.name), size: size}
	switch e.mode {
	case filemode.Dir:
		i.mode = fs.ModeDir | 0o755
	case filemode.Executable:
		i.mode = 0o755
	case filemode.Symlink:
		i.mode = fs.ModeSymlink | 0o777
	case filemode.Submodule:
		i.mode = fs.ModeIrregular
	default:
		i.mode = 0o644
	}
	return i
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.mode }
func (i *fileInfo) ModTime() time.Time { return time.Time{} }
func (i *fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i *fileInfo) Sys() any           { return nil }

// dirEntry implements fs.DirEntry; the size is looked up when asked for.
type dirEntry struct {
	fs *commitFS
	entry
}

func (d *dirEntry) Name() string      { return d.name }
func (d *dirEntry) IsDir() bool       { return d.isDir() }
func (d *dirEntry) Type() fs.FileMode { return d.info(0).mode.Type() }

func (d *dirEntry) Info() (fs.FileInfo, error) {
	if d.isDir() || d.mode == filemode.Submodule {
		return d.info(0), nil
	}
	var size int64
	err := d.fs.store.read(func(r *reader) (err error) {
		size, err = r.blobSize(d.hash)
		return err
	})
	return d.info(size), err
}

// openFile implements fs.File, io.Seeker and io.ReaderAt.
type openFile struct {
	*bytes.Reader
	info *fileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir implements fs.ReadDirFile.
type openDir struct {
	info    *fileInfo
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errIsDir}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		all := d.entries
		d.entries = nil
		return all, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	part := d.entries[:n]
	d.entries = d.entries[n:]
	return part, nil
}
