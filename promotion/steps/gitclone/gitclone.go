// Package gitclone is the step git-clone: it makes commits and branches of a
// repository available as working trees. Nothing is written to disk: later steps
// edit the trees themselves, so a repository of any size costs what is read of
// it.
//
// A branch that no later step pushes is read at the commit where it was when the
// promotion was planned. Output: commits, the commit of each checkout by its
// path, and by its name if as is set.
package gitclone

import (
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Config of git-clone.
type Config struct {
	// RepoURL of the repository.
	RepoURL string `json:"repoURL"`
	// Checkout lists what to make available.
	Checkout []Checkout `json:"checkout"`
	// Author of the commits that are made of these trees.
	Author *Author `json:"author,omitempty"`
	// Blobless is accepted for templates of Kargo and has no effect: what is
	// fetched is kept and shared.
	Blobless bool `json:"blobless,omitempty"`
}

// Author of commits.
type Author struct {
	// Name of the author.
	Name string `json:"name,omitempty"`
	// Email address of the author.
	Email string `json:"email,omitempty"`
	// SigningKey signs the commits: an OpenSSH or an armored OpenPGP private key
	// without passphrase, from a Secret: ${{ secret('signing').key }}.
	SigningKey string `json:"signingKey,omitempty"`
}

// Checkout is one working tree.
type Checkout struct {
	// Branch to check out at its head. Without branch, commit and tag: the
	// default branch.
	Branch string `json:"branch,omitempty" oneof:"?"`
	// Commit to check out instead of a branch's head.
	Commit string `json:"commit,omitempty" oneof:"?"`
	// Create starts an empty tree when the branch does not exist.
	Create bool `json:"create,omitempty"`
	// Head is where the branch was when the promotion was planned: a commit, or
	// empty when it did not exist. Elsewhere the plan is stale: the branch has
	// commits that nobody was shown. Absent: the branch may be anywhere. The
	// planner sets it for branches whose content is replaced.
	Head *string `json:"head,omitempty"`
	// ForeignCommits: Overwrite lets an automatic promotion replace commits that
	// others made on a branch whose content is replaced; else it waits for a
	// person.
	ForeignCommits string `json:"foreignCommits,omitempty" enum:"Wait,Overwrite"`
	// As names the commit in the output.
	As string `json:"as,omitempty"`
	// Sparse is accepted for templates of Kargo and has no effect: nothing is
	// written to disk.
	Sparse []string `json:"sparse,omitempty"`
	// Path of the working tree in the workspace.
	Path string `json:"path"`
}

// Step is git-clone.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run fetches the branches in one request and mounts the trees.
func (Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	mirror, err := in.Repositories.Open(ctx, in.Promotion.Namespace, c.RepoURL)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the repository already
	}
	refs, err := fetch(ctx, mirror, c.Checkout)
	if err != nil {
		return step.Result{}, err
	}
	signer, err := c.signer()
	if err != nil {
		return step.Result{}, err
	}
	commits := map[string]any{}
	for _, co := range c.Checkout {
		tree, err := checkOut(mirror, refs, c.RepoURL, string(in.Promotion.UID), co)
		if err != nil {
			return step.Result{}, err
		}
		if err := in.Workspace.Mount(co.Path, tree); err != nil {
			return step.Result{}, step.Terminal("InvalidConfig", err)
		}
		if c.Author != nil {
			tree.Author, tree.Signer = git.Identity{Name: c.Author.Name, Email: c.Author.Email}, signer
		}
		if tree.Head.IsZero() {
			continue // a branch that is going to be made
		}
		commits[co.Path] = tree.Head.String()
		if co.As != "" {
			commits[co.As] = tree.Head.String()
		}
	}
	return step.Result{Output: map[string]any{"commits": commits}}, nil
}

// signer reads the signing key; nil when there is none.
func (c Config) signer() (*git.Signer, error) {
	if c.Author == nil || c.Author.SigningKey == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	s, err := git.NewSigner(secret.New(c.Author.SigningKey))
	if err != nil {
		return nil, step.Terminal("SigningKeyInvalid", fmt.Errorf("author.signingKey: %w", err))
	}
	return s, nil
}

// fetch brings the branches in; when a commit that is asked for is not among
// what they reach, the default branch is fetched too, then it must be there.
func fetch(ctx context.Context, m *git.Mirror, checkouts []Checkout) (git.Refs, error) {
	var branches []string
	missing := false
	for _, co := range checkouts {
		if co.Commit == "" {
			branches = append(branches, co.Branch)
			continue
		}
		hash, err := git.ParseHash(co.Commit)
		if err != nil {
			return git.Refs{}, step.Terminal("InvalidConfig", fmt.Errorf("commit %q: %w", co.Commit, err))
		}
		missing = missing || !m.Has(hash)
	}
	refs, err := m.Fetch(ctx, branches...)
	if err != nil || !missing {
		return refs, err //nolint:wrapcheck // names the repository already
	}
	// A fresh mirror knows only the branches just fetched: bring in all of
	// them, as the commit was the head of one when the plan was made.
	all := make([]string, 0, len(refs.Branches))
	for name := range refs.Branches {
		all = append(all, name)
	}
	return m.Fetch(ctx, all...) //nolint:wrapcheck // names the repository already
}

func checkOut(m *git.Mirror, refs git.Refs, repoURL, uid string, co Checkout) (*workspace.Tree, error) {
	t := &workspace.Tree{Mirror: m, RepoURL: repoURL, Branch: co.Branch}
	if co.Commit != "" {
		hash, err := git.ParseHash(co.Commit)
		if err != nil {
			return nil, step.Terminal("InvalidConfig", err)
		}
		t.Head = hash
	} else {
		head, err := refs.Head(co.Branch)
		if co.Head != nil && (err == nil || co.Create) {
			if err := isAt(co.Branch, *co.Head, head); err != nil && !isOwn(m, head, *co.Head, uid) {
				return nil, err
			}
		}
		switch {
		case err == nil:
			t.Head = head
		case co.Create:
			return t, nil
		default:
			return nil, err //nolint:wrapcheck // names branch and repository already
		}
	}
	commit, err := m.Commit(t.Head)
	if err != nil {
		return nil, fmt.Errorf("check out %s: %w", t.Head.Short(), err)
	}
	t.Root = commit.Tree
	return t, nil
}

// isAt compares where a branch is with where it was planned to be; both are
// empty for one that does not exist.
func isAt(branch, planned string, head git.Hash) error {
	found := ""
	if !head.IsZero() {
		found = head.String()
	}
	if found == planned {
		return nil
	}
	where := "does not exist any more"
	if found != "" {
		where = "is at " + head.Short()
	}
	return fmt.Errorf("%w: branch %q moved since, it %s", step.ErrStale, branch, where)
}

// isOwn reports whether the promotion itself has moved the branch from where it
// was planned to be: an earlier step pushed it, and now the run is replayed for a
// later one.
func isOwn(m *git.Mirror, head git.Hash, planned, uid string) bool {
	if head.IsZero() || uid == "" {
		return false
	}
	stop := git.Hash{}
	if planned != "" {
		var err error
		if stop, err = git.ParseHash(planned); err != nil {
			return false
		}
	}
	_, found, err := m.FindTrailer(head, stop, promotion.TrailerPromotionUID, uid, ownDepth)
	return err == nil && found
}

// ownDepth is how many commits back a branch is searched for the promotion's own.
const ownDepth = 500
