// Package gitpush is the step git-push: it moves a Stage's branch to the
// commit that was made, if the branch is still where it was read. It never
// forces; a lost race starts the run anew on the new head: what the steps before
// it edit is edited again there, so no commit of others is lost. Output: branch
// and commit.
package gitpush

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// probeDepth is how many commits back a probe looks for the promotion's own: to
// the beginning of any branch, since without an answer nothing goes on.
const probeDepth = 1_000_000

// Config of git-push.
type Config struct {
	// Path of the working tree.
	Path string `json:"path"`
	// TargetBranch to move; default: the branch that was checked out.
	TargetBranch string `json:"targetBranch,omitempty" oneof:"?"`
	// GenerateTargetBranch pushes to a new branch of this promotion alone, for a
	// pull request: waybill/<stage>/<promotion>.
	GenerateTargetBranch bool `json:"generateTargetBranch,omitempty" oneof:"?"`
	// Tag to put out, which git-tag has made, in place of a branch.
	Tag string `json:"tag,omitempty" oneof:"?"`
	// MaxAttempts is accepted for templates of Kargo and has no effect: a push
	// that lost a race is repeated on the new head.
	MaxAttempts int `json:"maxAttempts,omitempty"`
	// Provider is accepted for templates of Kargo and has no effect: every
	// provider is pushed to by the Git protocol.
	Provider string `json:"provider,omitempty"`
}

// target returns the branch to move, and the commit it has to be at: zero for a
// branch that this push makes.
func (c Config) target(in step.Input, tree *workspace.Tree) (branch string, expected git.Hash, err error) {
	switch {
	case c.GenerateTargetBranch:
		return fmt.Sprintf("waybill/%s/%s", in.Promotion.Spec.Stage, in.Promotion.Name), git.Hash{}, nil
	case c.TargetBranch == "" && tree.Branch == "":
		return "", git.Hash{}, step.Terminal("InvalidConfig", fmt.Errorf("path %q is not the working tree of a branch; set targetBranch", c.Path))
	case c.TargetBranch == "" || c.TargetBranch == tree.Branch:
		return tree.Branch, tree.Head, nil
	default:
		return c.TargetBranch, git.Hash{}, nil
	}
}

// Step is git-push.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

var _ step.Effect = Step{}

// Prepare returns the push that is about to happen, or nil when the branch
// holds the content already.
func (Step) Prepare(_ context.Context, in step.Input) (*v1alpha1.CommitIntent, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return nil, err
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil || rel != "" || !tree.IsRepository() {
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("path %q is not a working tree", c.Path))
	}
	if c.Tag != "" {
		return c.prepareTag(in, tree)
	}
	branch, expected, err := c.target(in, tree)
	if err != nil {
		return nil, err
	}
	if tree.Commit.IsZero() {
		return nil, nil
	}
	intent := &v1alpha1.CommitIntent{
		RepoURL: tree.RepoURL, Branch: branch, Tree: tree.Root.String(), Commit: tree.Commit.String(),
		Date: metav1.Time{Time: in.Date}, Message: tree.Message,
	}
	if !expected.IsZero() {
		intent.Parent = expected.String()
	}
	return intent, nil
}

// Probe fetches the branch and looks for the promotion's UID among the commits
// since the intent's parent.
func (Step) Probe(ctx context.Context, in step.Input) (step.Result, bool, error) {
	if strings.HasPrefix(in.Intent.Branch, tagRef) {
		return probeTag(ctx, in)
	}
	mirror, err := in.Repositories.Open(ctx, in.Promotion.Namespace, in.Intent.RepoURL)
	if err != nil {
		return step.Result{}, false, err //nolint:wrapcheck // names the repository already
	}
	refs, err := mirror.Fetch(ctx, in.Intent.Branch)
	if err != nil {
		return step.Result{}, false, err //nolint:wrapcheck // names the repository already
	}
	head, exists := refs.Branches[in.Intent.Branch]
	if !exists {
		return step.Result{}, false, nil
	}
	stop, err := parseOptional(in.Intent.Parent)
	if err != nil {
		return step.Result{}, false, err
	}
	uid := string(in.Promotion.UID)
	commit, found, err := mirror.FindTrailer(head, stop, promotion.TrailerPromotionUID, uid, probeDepth)
	if errors.Is(err, git.ErrNotAncestor) {
		// The branch was rewritten since: our commit may still be on it.
		commit, found, err = mirror.FindTrailer(head, git.Hash{}, promotion.TrailerPromotionUID, uid, probeDepth)
	}
	if err != nil || !found {
		return step.Result{}, false, err //nolint:wrapcheck // names the commits already
	}
	return done(in, in.Intent.RepoURL, in.Intent.Branch, commit, "found on the branch after an interruption"), true, nil
}

// Run pushes with the expected parent.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, _, err := in.Workspace.Locate(c.Path)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	if c.Tag != "" {
		return c.runTag(ctx, tree)
	}
	branch, expected, err := c.target(in, tree)
	if err != nil {
		return step.Result{}, err
	}
	if in.Intent == nil {
		result := step.Result{
			Message: fmt.Sprintf("branch %q holds this content already; nothing was pushed", branch),
			Output:  map[string]any{"branch": cmp.Or(tree.Branch, branch), "commit": tree.Head.String()},
		}
		if !opensPullRequest(in, tree.RepoURL) {
			result.Commit = &v1alpha1.PromotionCommit{
				RepoURL: tree.RepoURL, Branch: branch, Commit: tree.Head.String(), Tree: tree.Root.String(), Unchanged: true,
			}
		}
		return result, nil
	}
	err = tree.Mirror.Push(ctx, git.Update{Branch: branch, Old: expected, New: tree.Commit, Bases: bases(tree.Head)})
	switch {
	case err == nil:
	case errors.Is(err, git.ErrMoved) && branch != tree.Branch:
		return step.Result{}, step.Terminal("TargetBranchExists", fmt.Errorf("%w; check the branch out in git-clone, or set generateTargetBranch", err))
	case errors.Is(err, git.ErrMoved):
		return step.Result{}, fmt.Errorf("%w: %w", step.ErrRetryNow, err)
	case errors.Is(err, git.ErrRejected):
		return step.Result{}, step.Terminal("PushRejected", err)
	default:
		return step.Result{}, err //nolint:wrapcheck // names branch and repository already
	}
	commit, err := tree.Mirror.Commit(tree.Commit)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the commit already
	}
	tree.Head, tree.Commit = tree.Commit, git.Hash{}
	return done(in, tree.RepoURL, branch, commit, ""), nil
}

func done(in step.Input, repoURL, branch string, c git.Commit, how string) step.Result {
	commit := &v1alpha1.PromotionCommit{RepoURL: repoURL, Branch: branch, Commit: c.Hash.String(), Tree: c.Tree.String()}
	if len(c.Parents) > 0 {
		commit.Parent = c.Parents[0].String()
	}
	message := fmt.Sprintf("pushed %s to %q", c.Hash.Short(), branch)
	if how != "" {
		message = fmt.Sprintf("commit %s %s", c.Hash.Short(), how)
	}
	result := step.Result{Commit: commit, Message: message, Output: map[string]any{"branch": branch, "commit": commit.Commit}}
	if opensPullRequest(in, repoURL) {
		result.Commit = nil // what the Stage runs is what the pull request is merged to
	}
	return result
}

// opensPullRequest reports whether the promotion changes the Stage's branch of a
// repository by a pull request.
func opensPullRequest(in step.Input, repoURL string) bool {
	for i := range in.Promotion.Status.Plan.Steps {
		if in.Promotion.Status.Plan.Steps[i].Uses != "git-open-pr" {
			continue
		}
		var c struct {
			RepoURL string `json:"repoURL"`
		}
		if !promotion.Static(in.Promotion, i, &c, "repoURL") || promotion.IsSameRepository(c.RepoURL, repoURL) {
			return true
		}
	}
	return false
}

func bases(head git.Hash) []git.Hash {
	if head.IsZero() {
		return nil
	}
	return []git.Hash{head}
}

func parseOptional(hash string) (git.Hash, error) {
	if hash == "" {
		return git.Hash{}, nil
	}
	return git.ParseHash(hash) //nolint:wrapcheck // names the text already
}
