// Package copytree is the step copy: it puts a file or folder of one working
// tree in the place of another.
package copytree

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Config of copy.
type Config struct {
	// InPath is what is copied.
	InPath string `json:"inPath"`
	// OutPath is where it goes; what is there is replaced.
	OutPath string `json:"outPath"`
	// Ignore are globs of files and folders that are left out, from inPath: *
	// matches within one name, ** any folders.
	Ignore []string `json:"ignore,omitempty"`
}

// Step is copy.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run grafts one tree into the other: no file is read.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	from, fromRel, err := in.Workspace.Locate(c.InPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	to, toRel, err := in.Workspace.Locate(c.OutPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	if from.Mirror == to.Mirror && len(c.Ignore) == 0 {
		if from.Root.IsZero() {
			return step.Result{}, step.Reasoned("FileMissing", fmt.Errorf("copy %q: there is nothing", c.InPath))
		}
		return step.Result{}, step.FileError(to.Edit(git.Graft(toRel, from.Root, fromRel)))
	}
	edits, err := files(from, fromRel, toRel, c.Ignore)
	if err != nil {
		return step.Result{}, step.FileError(err)
	}
	return step.Result{Message: fmt.Sprintf("copied %d files", len(edits)-1)}, step.FileError(to.Edit(edits...))
}

// files returns the edits that put what from has at a path in the place of what
// is at another, file by file.
func files(from *workspace.Tree, fromRel, toRel string, ignore []string) ([]git.Edit, error) {
	all, err := from.FS()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the tree already
	}
	root := path.Join(".", fromRel)
	info, err := fs.Stat(all, root)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the path already
	}
	if !info.IsDir() {
		raw, err := fs.ReadFile(all, root)
		return []git.Edit{git.Remove(toRel), git.SetFile(toRel, raw)}, err //nolint:wrapcheck // names the path already
	}
	var edits []git.Edit
	if toRel != "" {
		edits = append(edits, git.Remove(toRel))
	}
	size := 0
	err = fs.WalkDir(all, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		switch isIgnored, err := step.Ignored(ignore, rel); {
		case err != nil:
			return step.Terminal("InvalidConfig", err)
		case isIgnored && d.IsDir():
			return fs.SkipDir
		case isIgnored || d.IsDir():
			return nil
		}
		raw, err := fs.ReadFile(all, name)
		if err != nil {
			return err //nolint:wrapcheck // names the path already
		}
		if size += len(raw); size > step.MaxTreeBytes || len(edits) > step.MaxTreeFiles {
			return step.ErrTreeTooLarge
		}
		to := path.Join(toRel, rel)
		if i, err := d.Info(); err == nil && i.Mode()&0o111 != 0 {
			edits = append(edits, git.SetExecutable(to, raw))
		} else {
			edits = append(edits, git.SetFile(to, raw))
		}
		return nil
	})
	return edits, err //nolint:wrapcheck // names the path already
}
