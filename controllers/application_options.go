package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/warehouse/chart"
)

// ApplicationOptions are what an ApplicationReconciler needs. Client, Clusters,
// Mirrors, Remote and Clock are required.
type ApplicationOptions struct {
	// Client reads Applications and Projects from the cache and writes
	// Applications.
	Client client.Client
	// Clusters finds destinations by name.
	Clusters *cluster.Registry
	// Mirrors holds the repositories. It is the one the promotions push
	// through, so that what they made need not be fetched.
	Mirrors *git.Mirrors
	// Remote returns the address of a repository with the credentials that a
	// Project (its namespace) has for it. It is called often: it reads from a
	// cache.
	Remote func(ctx context.Context, project, repoURL string) (git.Remote, error)
	// Renders renders, and keeps what it rendered. It is the one the promotions
	// plan with. Default: one of its own, without Helm.
	Renders *render.Cache
	// Limits bound what a repository can make us render; the zero value means
	// the defaults.
	Limits render.Limits
	// Charts downloads charts; nil: Applications of charts are refused.
	Charts *chart.Fetcher
	// ChartPollInterval is how often a chart repository is asked for versions,
	// once for all Applications of a chart with the same targetRevision. Default
	// 3 minutes.
	ChartPollInterval time.Duration
	// Clock tells the time.
	Clock clock.WithTicker
	// PollInterval is how often a repository is asked where its branches are,
	// once for all Applications that read it with the same credentials.
	// Default 30 s.
	PollInterval time.Duration
	// SystemNamespace is where Waybill runs; never a destination.
	SystemNamespace string
	// Wake tells of branches that Waybill itself just moved. Nil: such moves
	// are seen when the Promotion's status names its commit.
	Wake <-chan BranchMoved
	// Concurrency is how many Applications are synced at a time. Default 8.
	Concurrency int
	// ApplyConcurrency is how many objects are applied at a time, per cluster.
	// Default 16.
	ApplyConcurrency int
	// HealConcurrency is how many objects are healed at a time. Default 8.
	HealConcurrency int
	// Impersonates says that the server may write as ServiceAccounts. Without it
	// Applications that name one are refused.
	Impersonates bool
	// Shares are the replicas that share the Applications; nil: all of them are ours.
	Shares Shares
	// Events tells of what happens to Applications; nil: nobody.
	Events EventRecorder
	// Failpoints stop a sync where crash tests want it; nil in production.
	Failpoints *failpoint.Set
}

// BranchMoved says that a branch was moved by an own push.
type BranchMoved struct {
	RepoURL, Branch string
	// Parent is the head before, "" when the branch did not exist. Commit is
	// the head now.
	Parent, Commit string
}

// Points where ApplicationOptions.Failpoints can act.
const (
	// FailBeforeApply is reached when the inventory is stored and nothing was
	// applied yet.
	FailBeforeApply = "application.apply.before"
	// FailDuringApply is reached after each object that was applied.
	FailDuringApply = "application.apply.object"
	// FailAfterApply is reached when everything was applied and the status does
	// not say so yet.
	FailAfterApply = "application.apply.after"
	// FailAfterHook is reached when the object of a hook was made and the status
	// does not say so yet.
	FailAfterHook = "application.hook.after"
)

// ApplicationFailpoints returns the names of the Application controller's
// failpoints.
func ApplicationFailpoints() []string {
	return []string{FailBeforeApply, FailDuringApply, FailAfterApply}
}

// HookFailpoints returns the names of those that only a sync with hooks reaches.
func HookFailpoints() []string { return []string{FailAfterHook} }

// defaultRenderBytes bounds a cache of rendered objects.
const defaultRenderBytes = 16 << 20

func (o ApplicationOptions) withDefaults() (ApplicationOptions, error) {
	if o.Client == nil || o.Clusters == nil || o.Mirrors == nil || o.Remote == nil || o.Clock == nil {
		return o, errors.New("application controller: Client, Clusters, Mirrors, Remote and Clock are required")
	}
	if o.Renders == nil {
		o.Renders = render.NewCache(defaultRenderBytes, nil)
	}
	if o.PollInterval <= 0 {
		o.PollInterval = 30 * time.Second
	}
	if o.ChartPollInterval <= 0 {
		o.ChartPollInterval = 3 * time.Minute
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.ApplyConcurrency <= 0 {
		o.ApplyConcurrency = 16
	}
	if o.HealConcurrency <= 0 {
		o.HealConcurrency = 8
	}
	return o, nil
}
