// Package gittag is the step git-tag: it makes an annotated tag of the commit that
// git-commit made, or of the branch's head when there was nothing to commit.
// git-push with tag puts it out. A tag is never moved: one that another commit has
// already fails that push. Output: tag and commit.
package gittag

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Config of git-tag.
type Config struct {
	// Path of the working tree.
	Path string `json:"path"`
	// Tag to make: its name.
	Tag string `json:"tag"`
	// Message of the tag.
	Message string `json:"message"`
}

// Step is git-tag.
type Step struct {
	// Tagger of every tag, unless git-clone names an author.
	Tagger git.Identity
}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run writes the tag into the mirror.
func (s Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil || rel != "" || !tree.IsRepository() {
		return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("path %q is not a working tree", c.Path))
	}
	commit := tree.Commit
	if commit.IsZero() {
		commit = tree.Head
	}
	if commit.IsZero() {
		return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("the working tree %q has no commit to tag; commit first", c.Path))
	}
	tag, err := tree.Mirror.WriteTag(git.TagSpec{
		Name: c.Tag, Commit: commit, When: in.Date, Message: c.Message,
		Tagger: git.Identity{Name: cmp.Or(tree.Author.Name, s.Tagger.Name), Email: cmp.Or(tree.Author.Email, s.Tagger.Email)},
	})
	if errors.Is(err, git.ErrInvalidBranch) {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the object already
	}
	if tree.Tags == nil {
		tree.Tags = map[string]workspace.Tag{}
	}
	tree.Tags[c.Tag] = workspace.Tag{Object: tag, Commit: commit, Message: c.Message}
	return step.Result{
		Message: fmt.Sprintf("tagged %s %q", commit.Short(), c.Tag),
		Output:  map[string]any{"tag": c.Tag, "commit": commit.String()},
	}, nil
}
