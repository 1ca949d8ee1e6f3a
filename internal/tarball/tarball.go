// Package tarball reads archives that strangers made: within limits, and only
// those that hold plain files and folders whose names stay inside.
package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// The kinds of errors; test with errors.Is.
var (
	// ErrTooLarge: it unpacks to more than the limits.
	ErrTooLarge = errors.New("archive is too large")
	// ErrUnsafe: an entry is a link or a device, or leads out of the folder.
	ErrUnsafe = errors.New("archive is unsafe")
	// ErrInvalid: it is no archive, or it is damaged.
	ErrInvalid = errors.New("not a readable archive")
)

// Limits of what an archive may unpack to.
type Limits struct {
	Files     int
	FileBytes int64
	Bytes     int64
}

// File is one file of an archive.
type File struct {
	// Name is clean and relative, with slashes.
	Name         string
	IsExecutable bool
	Content      []byte
}

// Read returns the files of an archive, compressed by gzip or not, in their
// order. All of it is refused or none.
func Read(raw []byte, limits Limits) ([]File, error) {
	var from io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		zip, err := gzip.NewReader(from)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		from = zip
	}
	// Headers and padding count as well: a bomb need not hold a file.
	limited := &io.LimitedReader{R: from, N: 2*limits.Bytes + 1}
	tooLarge := fmt.Errorf("%w: more than %d files, or %d MiB", ErrTooLarge, limits.Files, limits.Bytes>>20)
	archive := tar.NewReader(limited)
	var out []File
	size := int64(0)
	for {
		h, err := archive.Next()
		switch {
		case err != nil && limited.N <= 0:
			return nil, tooLarge
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		name, err := safe(h)
		if err != nil {
			return nil, err
		}
		if name == "" || h.Typeflag == tar.TypeDir {
			continue
		}
		switch size += h.Size; {
		case h.Size > limits.FileBytes:
			return nil, fmt.Errorf("%w: %.200q has more than %d MiB", ErrTooLarge, name, limits.FileBytes>>20)
		case h.Size < 0, size > limits.Bytes, len(out) >= limits.Files:
			return nil, tooLarge
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, fmt.Errorf("%w: %.200q: %w", ErrInvalid, name, err)
		}
		out = append(out, File{Name: name, IsExecutable: h.Mode&0o100 != 0, Content: content})
	}
}

// safe returns the name of an entry; "" for one that holds nothing.
func safe(h *tar.Header) (string, error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeXGlobalHeader:
		return "", nil
	default:
		return "", fmt.Errorf("%w: entry %.200q is a link or device; only files and folders are unpacked", ErrUnsafe, h.Name)
	}
	name := path.Clean(h.Name)
	if path.IsAbs(h.Name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(h.Name, "\x00\\") {
		return "", fmt.Errorf("%w: entry %.200q leads out of the folder", ErrUnsafe, h.Name)
	}
	if name == "." {
		return "", nil
	}
	return name, nil
}

// Write packs files into an archive compressed by gzip, in the order given. The
// same files always give the same bytes.
func Write(files []File) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := WriteTo(zip, files); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err //nolint:wrapcheck // into memory
	}
	return out.Bytes(), nil
}

// WriteTo packs files into an archive that is not compressed.
func WriteTo(w io.Writer, files []File) error {
	archive := tar.NewWriter(w)
	for _, f := range files {
		mode := int64(0o644)
		if f.IsExecutable {
			mode = 0o755
		}
		if err := archive.WriteHeader(&tar.Header{Name: f.Name, Mode: mode, Size: int64(len(f.Content)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
			return fmt.Errorf("pack %q: %w", f.Name, err)
		}
		if _, err := archive.Write(f.Content); err != nil {
			return fmt.Errorf("pack %q: %w", f.Name, err)
		}
	}
	return archive.Close() //nolint:wrapcheck // names itself
}
