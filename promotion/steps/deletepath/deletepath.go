// Package deletepath is the step delete: it removes files and folders.
package deletepath

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of delete.
type Config struct {
	// Path that is removed.
	Path string `json:"path,omitempty" oneof:"what"`
	// Paths that are removed.
	Paths []string `json:"paths,omitempty" oneof:"what"`
	// PathsAreGlobs reads the paths as globs: * matches within one name, ** any
	// folders.
	PathsAreGlobs bool `json:"pathsAreGlobs,omitempty"`
	// Strict makes it an error when there is nothing to remove.
	Strict bool `json:"strict,omitempty"`
}

// Step is delete.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run removes the paths.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	removed := 0
	for _, p := range append([]string{}, append(c.Paths, c.Path)...) {
		if p == "" {
			continue
		}
		n, err := remove(in, p, c.PathsAreGlobs)
		if err != nil {
			return step.Result{}, err
		}
		if n == 0 && c.Strict {
			return step.Result{}, step.Reasoned("FileMissing", fmt.Errorf("delete %q: there is nothing", p))
		}
		removed += n
	}
	return step.Result{Message: fmt.Sprintf("removed %d", removed)}, nil
}

// remove takes away what p names, and returns how many things that were.
func remove(in step.Input, p string, isGlob bool) (int, error) {
	at, pattern := p, ""
	if isGlob {
		if i := strings.IndexAny(p, "*?["); i >= 0 {
			at, pattern = path.Dir(p[:i]+"x"), p
		}
	}
	tree, rel, err := in.Workspace.Locate(at)
	if err != nil {
		return 0, step.Terminal("InvalidConfig", err)
	}
	files, err := tree.FS()
	if err != nil {
		return 0, err //nolint:wrapcheck // names the tree already
	}
	if pattern == "" {
		if rel == "" {
			return 1, tree.Clear("")
		}
		if _, err := fs.Stat(files, path.Clean(rel)); errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 1, step.FileError(tree.Edit(git.Remove(rel)))
	}
	inside := path.Join(rel, strings.TrimPrefix(strings.TrimPrefix(path.Clean(pattern), path.Clean(at)), "/"))
	var found []string
	err = fs.WalkDir(files, path.Join(".", rel), func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		matches, err := step.Ignored([]string{"/" + inside}, "/"+name)
		if err != nil {
			return step.Terminal("InvalidConfig", err)
		}
		if matches {
			found = append(found, name)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, step.FileError(err)
	}
	sort.Strings(found)
	edits := make([]git.Edit, len(found))
	for i, name := range found {
		edits[i] = git.Remove(name)
	}
	return len(found), step.FileError(tree.Edit(edits...))
}
