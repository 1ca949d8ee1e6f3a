// Package untarstep is the step untar: it unpacks an archive, compressed by gzip
// or not. An archive with links, with names that lead out of the folder, or that
// is larger than steps may handle is refused, and nothing of it is written.
package untarstep

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/tarball"
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
	files, err := tarball.Read(raw, tarball.Limits{Files: step.MaxTreeFiles, FileBytes: step.MaxFileBytes, Bytes: step.MaxTreeBytes})
	switch {
	case errors.Is(err, tarball.ErrTooLarge):
		return nil, step.ErrTreeTooLarge
	case errors.Is(err, tarball.ErrUnsafe):
		return nil, step.Terminal("UnsafePath", err)
	case err != nil:
		return nil, step.Reasoned("FileInvalid", err)
	}
	var edits []git.Edit
	for _, f := range files {
		parts := strings.Split(f.Name, "/")
		if len(parts) <= strip {
			continue
		}
		name := path.Join(parts[max(strip, 0):]...)
		if isIgnored, err := step.Ignored(ignore, name); err != nil {
			return nil, step.Terminal("InvalidConfig", err)
		} else if isIgnored {
			continue
		}
		edit := git.SetFile(path.Join(folder, name), f.Content)
		if f.IsExecutable {
			edit = git.SetExecutable(path.Join(folder, name), f.Content)
		}
		edits = append(edits, edit)
	}
	return edits, nil
}
