// Package tarstep is the step tar: it packs a file or folder into an archive. The
// same files always give the same archive.
package tarstep

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/internal/tarball"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of tar.
type Config struct {
	// InPath is what is packed.
	InPath string `json:"inPath"`
	// OutPath is the archive.
	OutPath string `json:"outPath"`
	// Gzip compresses it; by default when outPath ends in gz.
	Gzip *bool `json:"gzip,omitempty"`
	// Ignore are globs of files and folders that are left out.
	Ignore []string `json:"ignore,omitempty"`
}

// Step is tar.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run packs the files.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, rel, err := in.Workspace.Locate(c.InPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	files, err := tree.FS()
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the tree already
	}
	isCompressed := strings.HasSuffix(c.OutPath, "gz")
	if c.Gzip != nil {
		isCompressed = *c.Gzip
	}
	packed, err := collect(files, path.Join(".", rel), c.Ignore)
	if err != nil {
		return step.Result{}, step.FileError(fmt.Errorf("pack %q: %w", c.InPath, err))
	}
	var out []byte
	if isCompressed {
		out, err = tarball.Write(packed)
	} else {
		var plain bytes.Buffer
		err = tarball.WriteTo(&plain, packed)
		out = plain.Bytes()
	}
	if err != nil {
		return step.Result{}, fmt.Errorf("pack %q: %w", c.InPath, err)
	}
	return step.Result{Message: fmt.Sprintf("packed %d files", len(packed))}, in.WriteFile(c.OutPath, out)
}

// collect returns the files below root, in the order of their names.
func collect(files fs.FS, root string, ignore []string) ([]tarball.File, error) {
	var out []tarball.File
	size := 0
	err := fs.WalkDir(files, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		short := path.Base(name)
		if name != root {
			short = strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		}
		isIgnored, err := step.Ignored(ignore, short)
		switch {
		case err != nil:
			return step.Terminal("InvalidConfig", err)
		case isIgnored && d.IsDir() && name != root:
			return fs.SkipDir
		case isIgnored || d.IsDir():
			return nil
		}
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return err //nolint:wrapcheck // names the path already
		}
		if size += len(raw); size > step.MaxTreeBytes || len(out) >= step.MaxTreeFiles {
			return step.ErrTreeTooLarge
		}
		i, err := d.Info()
		out = append(out, tarball.File{Name: short, Content: raw, IsExecutable: err == nil && i.Mode()&0o111 != 0})
		return nil
	})
	return out, err //nolint:wrapcheck // named by the caller
}
