// Package gitpush is the step git-push: it moves a Stage's branch to the
// commit that was made, if the branch is still where it was read. It never
// forces; a lost race starts the run anew on the new head.
package gitpush

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// probeDepth is how many commits back a probe looks for the promotion's own: to
// the beginning of any branch, since without an answer nothing goes on.
const probeDepth = 1_000_000

// Config of git-push.
type Config struct {
	// Path of the working tree.
	Path string `json:"path"`
	// TargetBranch to move.
	TargetBranch string `json:"targetBranch"`
}

// Step is git-push.
type Step struct{}

var _ step.Effect = Step{}

// Prepare returns the push that is about to happen, or nil when the branch
// holds the content already.
func (Step) Prepare(_ context.Context, in step.Input) (*v1alpha1.CommitIntent, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return nil, err
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil || rel != "" {
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("path %q is not a working tree", c.Path))
	}
	if tree.Commit.IsZero() {
		return nil, nil
	}
	intent := &v1alpha1.CommitIntent{
		RepoURL: tree.RepoURL, Branch: c.TargetBranch, Tree: tree.Root.String(), Commit: tree.Commit.String(),
		Date: metav1.Time{Time: in.Date}, Message: tree.Message,
	}
	if !tree.Head.IsZero() {
		intent.Parent = tree.Head.String()
	}
	return intent, nil
}

// Probe fetches the branch and looks for the promotion's UID among the commits
// since the intent's parent.
func (Step) Probe(ctx context.Context, in step.Input) (step.Result, bool, error) {
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
	return done(in.Intent.RepoURL, in.Intent.Branch, commit, "found on the branch after an interruption"), true, nil
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
	if in.Intent == nil {
		return step.Result{
			Message: fmt.Sprintf("branch %q holds this content already; nothing was pushed", c.TargetBranch),
			Commit: &v1alpha1.PromotionCommit{
				RepoURL: tree.RepoURL, Branch: c.TargetBranch, Commit: tree.Head.String(), Tree: tree.Root.String(), Unchanged: true,
			},
		}, nil
	}
	err = tree.Mirror.Push(ctx, git.Update{Branch: c.TargetBranch, Old: tree.Head, New: tree.Commit, Bases: bases(tree.Head)})
	switch {
	case err == nil:
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
	return done(tree.RepoURL, c.TargetBranch, commit, ""), nil
}

func done(repoURL, branch string, c git.Commit, how string) step.Result {
	commit := &v1alpha1.PromotionCommit{RepoURL: repoURL, Branch: branch, Commit: c.Hash.String(), Tree: c.Tree.String()}
	if len(c.Parents) > 0 {
		commit.Parent = c.Parents[0].String()
	}
	message := fmt.Sprintf("pushed %s to %q", c.Hash.Short(), branch)
	if how != "" {
		message = fmt.Sprintf("commit %s %s", c.Hash.Short(), how)
	}
	return step.Result{Commit: commit, Message: message, Output: map[string]any{"branch": branch, "commit": commit.Commit}}
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
