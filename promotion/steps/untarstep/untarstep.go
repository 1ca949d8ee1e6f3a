// Package untarstep is the step untar: it unpacks an archive, compressed by gzip
// or not. An archive with links, with names that lead out of the folder, or that
// is larger than steps may handle is refused, and nothing of it is written.
package untarstep

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of untar.
type Config struct {
	// InPath is the archive.
	InPath string `json:"inPath"`
	// OutPath is the folder that its files go to.
	OutPath string `json:"outPath"`
	// StripComponents is how many leading folders of each name are left out.
	StripComponents int `json:"stripComponents,omitempty"`
	// Ignore are globs of files and folders that are left out.
	Ignore []string `json:"ignore,omitempty"`
}

// Step is untar.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run unpacks the archive.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	raw, err := in.ReadFile(c.InPath)
	if err != nil {
		return step.Result{}, err
	}
	tree, rel, err := in.Workspace.Locate(c.OutPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	edits, err := Unpack(raw, rel, c.StripComponents, c.Ignore)
	if err != nil {
		return step.Result{}, step.FileError(fmt.Errorf("unpack %q: %w", c.InPath, err))
	}
	return step.Result{Message: fmt.Sprintf("unpacked %d files", len(edits))}, step.FileError(tree.Edit(edits...))
}

// Unpack returns the edits that write the files of an archive below folder.
func Unpack(raw []byte, folder string, strip int, ignore []string) ([]git.Edit, error) {
	var from io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		zip, err := gzip.NewReader(from)
		if err != nil {
			return nil, step.Reasoned("FileInvalid", err)
		}
		from = zip
	}
	// Headers and padding count as well: a bomb need not hold a file.
	limited := &io.LimitedReader{R: from, N: 2*step.MaxTreeBytes + 1}
	archive := tar.NewReader(limited)
	var edits []git.Edit
	size := int64(0)
	for {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			if limited.N <= 0 {
				return nil, step.ErrTreeTooLarge
			}
			return edits, nil
		case err != nil && limited.N <= 0:
			return nil, step.ErrTreeTooLarge
		case err != nil:
			return nil, step.Reasoned("FileInvalid", err)
		}
		name, err := safe(h, strip)
		if err != nil {
			return nil, err
		}
		if name == "" || h.Typeflag == tar.TypeDir {
			continue
		}
		if isIgnored, err := step.Ignored(ignore, name); err != nil {
			return nil, step.Terminal("InvalidConfig", err)
		} else if isIgnored {
			continue
		}
		if size += h.Size; h.Size < 0 || h.Size > step.MaxFileBytes || size > step.MaxTreeBytes || len(edits) >= step.MaxTreeFiles {
			return nil, step.ErrTreeTooLarge
		}
		content, err := io.ReadAll(io.LimitReader(archive, h.Size+1))
		if err != nil {
			return nil, step.Reasoned("FileInvalid", err)
		}
		edit := git.SetFile(path.Join(folder, name), content)
		if h.Mode&0o100 != 0 {
			edit = git.SetExecutable(path.Join(folder, name), content)
		}
		edits = append(edits, edit)
	}
}

// safe returns the name of an entry without its first folders; "" for one that
// holds nothing.
func safe(h *tar.Header, strip int) (string, error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeXGlobalHeader:
	default:
		return "", step.Terminal("UnsafePath", fmt.Errorf("entry %.200q is a link or device; only files and folders are unpacked", h.Name))
	}
	name := path.Clean(h.Name)
	if path.IsAbs(h.Name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(h.Name, "\x00\\") {
		return "", step.Terminal("UnsafePath", fmt.Errorf("entry %.200q leads out of the folder", h.Name))
	}
	parts := strings.Split(name, "/")
	if h.Typeflag == tar.TypeXGlobalHeader || name == "." || len(parts) <= strip {
		return "", nil
	}
	return path.Join(parts[max(strip, 0):]...), nil
}
