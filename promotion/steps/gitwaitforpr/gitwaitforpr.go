// Package gitwaitforpr is the step git-wait-for-pr: it waits until a pull request
// is merged, and fails when it is closed without that.
//
// A webhook of the repository wakes it at once; without one it looks every
// pollInterval. While it waits nothing is held but the Stage's turn. Output:
// commit, what the target branch got, and pr.id, pr.url, pr.open and pr.merged.
package gitwaitforpr

import (
	"context"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps/pulls"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/web"
)

// Config of git-wait-for-pr.
type Config struct {
	// RepoURL of the repository.
	RepoURL string `json:"repoURL"`
	// Provider of the repository; default: as its host says.
	Provider string `json:"provider,omitempty" enum:"github,gitlab,gitea,bitbucket,azure"`
	// PRNumber of the pull request: ${{ outputs.STEP.pr.id }} of git-open-pr. With
	// 0 there is nothing to wait for, and the step is skipped.
	PRNumber int64 `json:"prNumber"`
	// PollInterval is how often to look; default 30s.
	PollInterval string `json:"pollInterval,omitempty"`
}

const defaultPoll = 30 * time.Second

// Step is git-wait-for-pr.
type Step struct {
	// Clients speak with providers.
	Clients pulls.Clients
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run looks at the pull request.
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
	_, p, err := pulls.Get(ctx, s.Clients, in.Promotion.Namespace, c.RepoURL, c.Provider, c.PRNumber)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // one of the steps' own
	}
	switch p.State {
	case pullrequest.Merged:
		return pulls.Landed(ctx, in, c.RepoURL, p)
	case pullrequest.Closed:
		return step.Result{}, pulls.Closed(p)
	default:
		return step.Result{
			Wait: max(poll, pulls.MinPoll), Message: fmt.Sprintf("pull request %d waits to be merged: %s", p.Number, p.URL),
			Output: map[string]any{"pr": pulls.Output(p)},
		}, nil
	}
}
