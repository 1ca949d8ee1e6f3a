package render

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// memory is a file system of files that are known already. It has no links.
type memory struct {
	files   map[string][]byte
	folders map[string][]fs.DirEntry
}

// Files returns a file system with these files, by clean relative path: what was in an archive, for instance. The
// contents must not be changed. A name that is no such path is left out.
func Files(files map[string][]byte) fs.FS {
	m := &memory{files: make(map[string][]byte, len(files)), folders: map[string][]fs.DirEntry{".": nil}}
	for name, content := range files {
		if !fs.ValidPath(name) || name == "." {
			continue
		}
		m.files[name] = content
		m.add(name, memoryInfo{name: path.Base(name), size: int64(len(content))})
	}
	for _, entries := range m.folders {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return m
}

// add puts an entry into its folder, and folders that are new into theirs.
func (m *memory) add(name string, info memoryInfo) {
	folder := path.Dir(name)
	_, isKnown := m.folders[folder]
	m.folders[folder] = append(m.folders[folder], fs.FileInfoToDirEntry(info))
	if !isKnown {
		m.add(folder, memoryInfo{name: path.Base(folder), isDir: true})
	}
}

// Open is part of fs.FS.
func (m *memory) Open(name string) (fs.File, error) {
	if content, ok := m.files[name]; ok {
		return &memoryFile{Reader: bytes.NewReader(content), info: memoryInfo{name: path.Base(name), size: int64(len(content))}}, nil
	}
	if entries, ok := m.folders[name]; ok {
		return &memoryFolder{memoryFile{Reader: bytes.NewReader(nil), info: memoryInfo{name: path.Base(name), isDir: true}}, entries}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir is part of fs.ReadDirFS.
func (m *memory) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, ok := m.folders[name]
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return slices.Clone(entries), nil
}

// memoryFolder is an open folder; left is what was not read of it.
type memoryFolder struct {
	memoryFile
	left []fs.DirEntry
}

// ReadDir is part of fs.ReadDirFile.
func (f *memoryFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.left)
	} else if len(f.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.left))
	out := slices.Clone(f.left[:n])
	f.left = f.left[n:]
	return out, nil
}

// memoryFile is a file of which only the content is known.
type memoryFile struct {
	io.Reader
	info memoryInfo
}

// Stat is part of fs.File.
func (f *memoryFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close is part of fs.File.
func (f *memoryFile) Close() error { return nil }

type memoryInfo struct {
	name  string
	size  int64
	isDir bool
}

// Name is part of fs.FileInfo, as the methods below are.
func (i memoryInfo) Name() string { return i.name }

// Size is the length of the file.
func (i memoryInfo) Size() int64 { return i.size }

// Mode is that of a file or folder that can only be read.
func (i memoryInfo) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// ModTime is not known.
func (i memoryInfo) ModTime() time.Time { return time.Time{} }

// IsDir says whether it is a folder.
func (i memoryInfo) IsDir() bool { return i.isDir }

// Sys is nil.
func (i memoryInfo) Sys() any { return nil }
