// Package filewrite is the step file-write: it writes a file with the given
// content.
package filewrite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of file-write.
type Config struct {
	// Path of the file; folders are made as needed.
	Path string `json:"path"`
	// Contents of the file.
	Contents string `json:"contents"`
	// Permissions in octal. Git keeps one bit of them: whether the owner may
	// execute the file.
	Permissions string `json:"permissions,omitempty"`
	// Overwrite a file that is there; true when it is left out. With false a file
	// that is there is an error.
	Overwrite *bool `json:"overwrite,omitempty"`
}

// Step is file-write.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run writes the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	if c.Overwrite != nil && !*c.Overwrite {
		_, err := in.ReadFile(c.Path)
		switch {
		case err == nil:
			return step.Result{}, step.Terminal("FileExists", fmt.Errorf("file %q is there already; remove overwrite: false to replace it", c.Path))
		case !errors.Is(err, fs.ErrNotExist):
			return step.Result{}, err
		}
	}
	mode := uint64(0o644)
	if c.Permissions != "" {
		var err error
		if mode, err = strconv.ParseUint(c.Permissions, 8, 12); err != nil {
			return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("permissions %q are not octal, as 0755 is", c.Permissions))
		}
	}
	if mode&0o100 == 0 {
		return step.Result{}, in.WriteFile(c.Path, []byte(c.Contents))
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil || rel == "" {
		return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("path %q is no place for a file", c.Path))
	}
	return step.Result{}, step.FileError(tree.Edit(git.SetExecutable(path.Clean(rel), []byte(c.Contents))))
}
