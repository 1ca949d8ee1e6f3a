package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// chartTimeout bounds one question about the versions of a chart, and one download.
const chartTimeout = 2 * time.Minute

// errNoCharts: this server was not given what downloads charts.
var errNoCharts = errors.New("charts of Helm repositories are not deployed here")

// chartVersions knows which version of a chart is the newest one that is wanted.
// Questions about one repository share its answers.
type chartVersions struct {
	*polls[chartQuestion, v1alpha1.Chart]
	charts *chart.Fetcher
}

// chartQuestion is what is asked again and again: each Project asks with credentials
// of its own.
type chartQuestion struct{ project, repoURL, name, constraint string }

func newChartVersions(o ApplicationOptions, changed func([]types.NamespacedName)) *chartVersions {
	v := &chartVersions{charts: o.Charts}
	v.polls = &polls[chartQuestion, v1alpha1.Chart]{
		clock: o.Clock, interval: o.ChartPollInterval, changed: changed, look: v.look,
		isNews: func(_ types.NamespacedName, before, after v1alpha1.Chart) bool { return before != after },
		afterError: func(err error) (bool, time.Duration) {
			at, isLimited := registry.RetryAt(err)
			if isLimited {
				return true, at.Sub(o.Clock.Now())
			}
			return !errors.Is(err, chart.ErrNoVersion), 0
		},
		all: map[chartQuestion]*poll[v1alpha1.Chart]{}, users: map[types.NamespacedName]pollUse[chartQuestion]{},
	}
	return v
}

// newest returns the newest version that source allows, and remembers that app wants
// to know when it is another one. answered is false until it was asked for the first
// time; app is told then. When the last question failed, err says why, and the
// version is what was known before.
func (v *chartVersions) newest(app types.NamespacedName, source v1alpha1.ApplicationSource) (c v1alpha1.Chart, answered bool, err error) {
	if v.charts == nil {
		return v1alpha1.Chart{}, true, errNoCharts
	}
	at := chart.At(source.RepoURL, source.Chart)
	v.mu.Lock()
	defer v.mu.Unlock()
	one := v.want(app, chartQuestion{app.Namespace, at.RepoURL, at.Name, source.TargetRevision})
	return one.answer, one.answered, one.err
}

// retry asks again what failed: a credential may be right now.
func (v *chartVersions) retry(projects func(project string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for q, one := range v.all {
		if one.err != nil && projects(q.project) {
			one.wake()
		}
	}
}

func (v *chartVersions) look(ctx context.Context, q chartQuestion, _ []types.NamespacedName, notBefore time.Time) (v1alpha1.Chart, time.Time, error) {
	bounded, cancel := context.WithTimeout(ctx, chartTimeout)
	defer cancel()
	newest, err := v.charts.Newest(bounded, q.project, v1alpha1.Chart{RepoURL: q.repoURL, Name: q.name}, q.constraint, notBefore)
	return newest, v.clock.Now(), err //nolint:wrapcheck // names the chart already
}
