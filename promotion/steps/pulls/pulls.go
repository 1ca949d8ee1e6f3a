// Package pulls is what the steps about pull requests share.
package pulls

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Clients speaks with the providers of repositories.
type Clients interface {
	// Client returns who to speak with about a repository of a Project.
	Client(ctx context.Context, project, repoURL string, provider pullrequest.Provider) (pullrequest.Client, error)
}

// Get returns the pull request that a step is told of, and whom to speak with
// about it. The error is what it means for the step.
func Get(ctx context.Context, clients Clients, project, repoURL, provider string, number int64) (pullrequest.Client, pullrequest.PullRequest, error) {
	client, err := clients.Client(ctx, project, repoURL, pullrequest.Provider(provider))
	if err != nil {
		return nil, pullrequest.PullRequest{}, Failed(err)
	}
	p, err := client.Get(ctx, number)
	if err != nil {
		return nil, pullrequest.PullRequest{}, Failed(err)
	}
	return client, p, nil
}

// MinPoll is the shortest time between two looks at a pull request.
const MinPoll = time.Second

// Failed says what the error of a provider means for the step.
func Failed(err error) error {
	for _, k := range []struct {
		kind       error
		reason     string
		isTerminal bool
	}{
		{pullrequest.ErrProvider, "InvalidConfig", true},
		{pullrequest.ErrNoToken, "ProviderTokenMissing", false},
		{pullrequest.ErrAuthentication, "AuthenticationFailed", false},
		{pullrequest.ErrNotFound, "PullRequestNotFound", false},
		{pullrequest.ErrExists, "PullRequestRefused", true},
		{pullrequest.ErrNotMergeable, "NotMergeable", true},
		{pullrequest.ErrUnavailable, "ProviderUnavailable", false},
	} {
		switch {
		case errors.Is(err, k.kind) && k.isTerminal:
			return step.Terminal(k.reason, err)
		case errors.Is(err, k.kind):
			return step.Reasoned(k.reason, err)
		}
	}
	return err
}

// Closed is the error of a pull request that was closed without being merged.
func Closed(p pullrequest.PullRequest) error {
	return step.Terminal("PullRequestClosed", fmt.Errorf("pull request %d (%s) was closed without being merged", p.Number, p.URL))
}

// Output is what steps say of a pull request.
func Output(p pullrequest.PullRequest) map[string]any {
	return map[string]any{"id": p.Number, "url": p.URL, "open": p.State == pullrequest.Open, "merged": p.State == pullrequest.Merged}
}

// Landed is the result of a step whose pull request was merged: its commit is
// what the Stage runs.
func Landed(ctx context.Context, in step.Input, repoURL string, p pullrequest.PullRequest) (step.Result, error) {
	hash, err := git.ParseHash(p.MergeCommit)
	if err != nil {
		return step.Result{}, step.Reasoned("ProviderUnavailable", fmt.Errorf("pull request %d is merged, and the provider does not say yet by which commit", p.Number))
	}
	mirror, err := in.Repositories.Open(ctx, in.Promotion.Namespace, repoURL)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the repository already
	}
	if !mirror.Has(hash) {
		if _, err := mirror.Fetch(ctx, p.Target); err != nil {
			return step.Result{}, err //nolint:wrapcheck // names the repository already
		}
	}
	c, err := mirror.Commit(hash)
	if err != nil {
		return step.Result{}, fmt.Errorf("pull request %d was merged as %s: %w", p.Number, hash.Short(), err)
	}
	commit := &v1alpha1.PromotionCommit{RepoURL: repoURL, Branch: p.Target, Commit: hash.String(), Tree: c.Tree.String()}
	if len(c.Parents) > 0 {
		commit.Parent = c.Parents[0].String()
	}
	return step.Result{
		Commit: commit, Message: fmt.Sprintf("pull request %d was merged into %q as %s", p.Number, p.Target, hash.Short()),
		Output: map[string]any{"commit": commit.Commit, "pr": Output(p)},
	}, nil
}

// Nothing is the result of a step that is told of no pull request: git-open-pr
// found nothing to change.
func Nothing() step.Result {
	return step.Result{Skipped: true, Message: "there is no pull request: nothing changes"}
}
