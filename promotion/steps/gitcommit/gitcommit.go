// Package gitcommit is the step git-commit: it makes a commit of a working
// tree, with the trailers that let it be found again.
package gitcommit

import (
	"cmp"
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Config of git-commit.
type Config struct {
	// Path of the working tree.
	Path string `json:"path"`
	// Message without trailers.
	Message string `json:"message"`
	// Author of this commit, before that of git-clone.
	Author *Author `json:"author,omitempty"`
	// Reverts is the commit a rollback takes back.
	Reverts string `json:"reverts,omitempty"`
}

// Author of a commit.
type Author struct {
	// Name of the author.
	Name string `json:"name,omitempty"`
	// Email address of the author.
	Email string `json:"email,omitempty"`
}

// Step is git-commit.
type Step struct {
	// Author of every commit.
	Author git.Identity
}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run writes the commit into the mirror. When the tree is that of the head
// there is nothing to commit, which is said and is no error.
func (s Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil || rel != "" {
		return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("path %q is not a working tree", c.Path))
	}
	if !tree.Head.IsZero() {
		head, err := tree.Mirror.Commit(tree.Head)
		if err != nil {
			return step.Result{}, err //nolint:wrapcheck // names the commit already
		}
		if head.Tree == tree.Root {
			return step.Result{Message: "the branch holds this content already", Output: map[string]any{"commit": tree.Head.String()}}, nil
		}
	}
	spec := git.CommitSpec{
		Tree: tree.Root, Author: s.author(tree, c), Committer: s.author(tree, c), When: in.Date,
		Message: c.Message, Trailers: trailers(in, c), Signer: tree.Signer,
	}
	if !tree.Head.IsZero() {
		spec.Parents = []git.Hash{tree.Head}
	}
	commit, err := tree.Mirror.WriteCommit(spec)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the object already
	}
	written, err := tree.Mirror.Commit(commit)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the commit already
	}
	tree.Commit, tree.Message = commit, written.Message
	return step.Result{Message: c.Message, Output: map[string]any{"commit": commit.String()}}, nil
}

// author is who the commit names: its configuration, else that of git-clone,
// else Waybill.
func (s Step) author(tree *workspace.Tree, c Config) git.Identity {
	id := git.Identity{Name: cmp.Or(tree.Author.Name, s.Author.Name), Email: cmp.Or(tree.Author.Email, s.Author.Email)}
	if c.Author != nil {
		id = git.Identity{Name: cmp.Or(c.Author.Name, id.Name), Email: cmp.Or(c.Author.Email, id.Email)}
	}
	return id
}

func trailers(in step.Input, c Config) []git.Trailer {
	var out []git.Trailer
	for _, t := range promotion.Trailers(in.Promotion, in.Promotion.Status.Plan.Collection) {
		out = append(out, git.Trailer{Key: t.Key, Value: t.Value})
	}
	if c.Reverts != "" {
		out = append(out, git.Trailer{Key: promotion.TrailerReverts, Value: c.Reverts})
	}
	return out
}
