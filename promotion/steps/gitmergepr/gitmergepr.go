// Package gitmergepr is the step git-merge-pr: it merges a pull request, as the
// owner of the Project's token.
//
// One that is merged already, by a person or by this step before the server was
// stopped, is done; one that is closed fails. Output: commit, what the target
// branch got, and pr.id, pr.url, pr.open and pr.merged.
package gitmergepr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps/pulls"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/web"
)

// Config of git-merge-pr.
type Config struct {
	// RepoURL of the repository.
	RepoURL string `json:"repoURL"`
	// Provider of the repository; default: as its host says.
	Provider string `json:"provider,omitempty" enum:"github,gitlab,gitea,bitbucket,azure"`
	// PRNumber of the pull request: ${{ outputs.STEP.pr.id }} of git-open-pr. With
	// 0 there is nothing to merge, and the step is skipped.
	PRNumber int64 `json:"prNumber"`
	// MergeMethod to use; default: a commit that merges. GitLab merges as the
	// repository's settings say, unless squash is asked for.
	MergeMethod string `json:"mergeMethod,omitempty" enum:"merge,squash,rebase"`
	// Wait until it can be merged, when checks or approvals are still missing;
	// without that such a pull request fails the step.
	Wait bool `json:"wait,omitempty"`
	// PollInterval is how often to try; default 10s.
	PollInterval string `json:"pollInterval,omitempty"`
}

const defaultPoll = 10 * time.Second

// Step is git-merge-pr.
type Step struct {
	// Clients speak with providers.
	Clients pulls.Clients
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run merges the pull request, unless that has been done.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	poll, err := web.Duration("pollInterval", c.PollInterval, defaultPoll)
	if err != nil {
		return step.Result{}, err
	}
	if c.PRNumber == 0 {
		return pulls.Nothing(), nil
	}
	client, p, err := pulls.Get(ctx, s.Clients, in.Promotion.Namespace, c.RepoURL, c.Provider, c.PRNumber)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // one of the steps' own
	}
	if p.State == pullrequest.Open {
		err := client.Merge(ctx, c.PRNumber, pullrequest.Merge{Method: pullrequest.Method(c.MergeMethod), Head: p.Head, Title: title(in, p), Message: trailers(in)})
		switch {
		case errors.Is(err, pullrequest.ErrNotMergeable) && c.Wait:
			return step.Result{
				Wait: max(poll, pulls.MinPoll), Message: fmt.Sprintf("pull request %d cannot be merged yet: %v", p.Number, err),
				Output: map[string]any{"pr": pulls.Output(p)},
			}, nil
		case err != nil:
			return step.Result{}, pulls.Failed(err)
		}
		if p, err = client.Get(ctx, c.PRNumber); err != nil {
			return step.Result{}, pulls.Failed(err)
		}
	}
	switch p.State {
	case pullrequest.Merged:
		return pulls.Landed(ctx, in, c.RepoURL, p)
	case pullrequest.Closed:
		return step.Result{}, pulls.Closed(p)
	default: // the provider merges it by and by
		return step.Result{Wait: pulls.MinPoll, Message: fmt.Sprintf("pull request %d is being merged", p.Number)}, nil
	}
}

func title(in step.Input, p pullrequest.PullRequest) string {
	return fmt.Sprintf("%s: merge pull request %d", in.Promotion.Spec.Stage, p.Number)
}

// trailers let the commit be found from Git alone.
func trailers(in step.Input) string {
	var lines []string
	for _, t := range promotion.Trailers(in.Promotion, in.Promotion.Status.Plan.Collection) {
		lines = append(lines, t.Key+": "+t.Value)
	}
	return strings.Join(lines, "\n")
}
