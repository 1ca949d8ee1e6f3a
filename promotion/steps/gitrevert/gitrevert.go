// Package gitrevert is the step git-revert: it gives the files that a
// promotion changed the content they had at an earlier commit.
package gitrevert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Config of git-revert.
type Config struct {
	// Path of the working tree; its head is the branch as it is now.
	Path string `json:"path"`
	// Undo is the commit whose content is taken back.
	Undo string `json:"undo"`
	// To is the commit whose content is restored.
	To string `json:"to"`
	// Paths limits the change to these folders; empty: everywhere.
	Paths []string `json:"paths,omitempty"`
}

// Step is git-revert.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run restores the files. A file that others changed since Undo is a conflict:
// a terminal error that names it, and nothing is written.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil || rel != "" {
		return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("path %q is not a working tree", c.Path))
	}
	undo, err := git.ParseHash(c.Undo)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	to, err := git.ParseHash(c.To)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	changed, err := paths(tree, to, undo)
	if err != nil {
		return step.Result{}, err
	}
	since, err := paths(tree, undo, tree.Head)
	if err != nil {
		return step.Result{}, err
	}
	left, err := paths(tree, to, tree.Head)
	if err != nil {
		return step.Result{}, err
	}
	// What holds again already what it held then is done: by an earlier try, or by
	// a person.
	changed = slices.DeleteFunc(changed, func(p string) bool { return !slices.Contains(left, p) })
	restore, conflicts := promotion.RevertPaths(changed, since, c.Paths)
	if len(conflicts) > 0 {
		return step.Result{}, step.Terminal("RevertConflict", fmt.Errorf(
			"revert of %s: others changed %s since; restore it by hand, or commit a fix and promote that",
			undo.Short(), strings.Join(conflicts, ", ")))
	}
	edits, err := restoring(tree.Mirror, to, restore)
	if err != nil {
		return step.Result{}, err
	}
	message := fmt.Sprintf("restored %d files as of %s", len(restore), to.Short())
	return step.Result{Message: message}, tree.Edit(edits...)
}

func paths(t *workspace.Tree, from, to git.Hash) ([]string, error) {
	changes, err := t.Mirror.ChangedPaths(from, to)
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", from.Short(), to.Short(), err)
	}
	out := make([]string, len(changes))
	for i, ch := range changes {
		out[i] = ch.Path
	}
	return out, nil
}

// restoring returns the edits that give each path what it is at commit.
func restoring(m *git.Mirror, commit git.Hash, restore []string) ([]git.Edit, error) {
	edits := make([]git.Edit, 0, len(restore))
	for _, p := range restore {
		_, err := m.TreeHash(commit, p)
		switch {
		case err == nil:
			edits = append(edits, git.Graft(p, commit, p))
		case errors.Is(err, fs.ErrNotExist):
			edits = append(edits, git.Remove(p))
		default:
			return nil, fmt.Errorf("look up %q at %s: %w", p, commit.Short(), err)
		}
	}
	return edits, nil
}
