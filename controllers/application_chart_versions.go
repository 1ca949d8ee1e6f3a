package controllers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// chartTimeout bounds one question about the versions of a chart, and one download.
const chartTimeout = 2 * time.Minute

// errNoCharts: this server was not given what downloads charts.
var errNoCharts = errors.New("charts of Helm repositories are not deployed here")

// chartVersions knows which version of a chart is the newest one that is wanted, as
// branchHeads knows where branches are. One poller for a Project's question serves
// all its Applications; questions about one repository share its answers.
type chartVersions struct {
	charts   *chart.Fetcher
	clock    clock.WithTicker
	interval time.Duration
	// changed is called with the Applications whose answer is another one now.
	changed func(apps []types.NamespacedName)

	mu        sync.Mutex
	ctx       context.Context //nolint:containedctx // The life of the pollers that newest starts.
	wg        sync.WaitGroup
	questions map[chartQuestion]*chartAnswer
	users     map[types.NamespacedName]chartUse
}

// chartQuestion is what is asked again and again.
type chartQuestion struct{ project, repoURL, name, constraint string }

type chartUse struct {
	question chartQuestion
	// asked is the number of the poll that answers the last ask; 0: none.
	asked int
}

// chartAnswer is guarded by chartVersions.mu.
type chartAnswer struct {
	newest   v1alpha1.Chart
	err      error
	answered bool
	kick     chan struct{}
	// started and done number the polls.
	started, done int
	cancel        context.CancelFunc
}

func newChartVersions(o ApplicationOptions, changed func([]types.NamespacedName)) *chartVersions {
	return &chartVersions{
		charts: o.Charts, clock: o.Clock, interval: o.ChartPollInterval, changed: changed,
		questions: map[chartQuestion]*chartAnswer{}, users: map[types.NamespacedName]chartUse{},
	}
}

// run polls until ctx ends.
func (v *chartVersions) run(ctx context.Context) {
	v.mu.Lock()
	v.ctx = ctx
	for q, a := range v.questions {
		v.start(q, a)
	}
	v.mu.Unlock()
	<-ctx.Done()
	v.mu.Lock()
	v.ctx = nil
	v.mu.Unlock()
	v.wg.Wait()
}

// start begins to ask q. v.mu is held.
func (v *chartVersions) start(q chartQuestion, a *chartAnswer) {
	if v.ctx == nil || a.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(v.ctx)
	a.cancel = cancel
	v.wg.Go(func() { v.poll(ctx, q, a) })
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
	q := chartQuestion{app.Namespace, at.RepoURL, at.Name, source.TargetRevision}
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.questions[q]
	if a == nil {
		a = &chartAnswer{kick: make(chan struct{}, 1)}
		v.questions[q] = a
	}
	v.start(q, a)
	if old := v.users[app]; old.question != q {
		v.users[app] = chartUse{question: q}
		v.stopUnused(old.question)
	}
	return a.newest, a.answered, a.err
}

// forget ends app's interest.
func (v *chartVersions) forget(app types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, isKnown := v.users[app]
	delete(v.users, app)
	if isKnown {
		v.stopUnused(old.question)
	}
}

// stopUnused ends the poller of q when nobody needs it. v.mu is held.
func (v *chartVersions) stopUnused(q chartQuestion) {
	a := v.questions[q]
	if a == nil {
		return
	}
	for _, use := range v.users {
		if use.question == q {
			return
		}
	}
	if a.cancel != nil {
		a.cancel()
	}
	delete(v.questions, q)
}

// ask asks app's question now. app is told of the answer, whatever it is.
func (v *chartVersions) ask(app types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	use := v.users[app]
	if a := v.questions[use.question]; a != nil {
		use.asked = a.started + 1
		v.users[app] = use
		a.wake()
	}
}

// retry asks again what failed: a credential may be right now.
func (v *chartVersions) retry(projects func(project string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for q, a := range v.questions {
		if a.err != nil && projects(q.project) {
			a.wake()
		}
	}
}

func (a *chartAnswer) wake() {
	select {
	case a.kick <- struct{}{}:
	default: // one is waiting already
	}
}

// isFresh reports whether what newest returns was true after the last ask.
func (v *chartVersions) isFresh(app types.NamespacedName) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	use := v.users[app]
	a := v.questions[use.question]
	return a != nil && a.done >= use.asked
}

// poll asks at once, then at every interval, sooner when kicked, and after failures
// with growing pauses.
func (v *chartVersions) poll(ctx context.Context, q chartQuestion, a *chartAnswer) {
	failures, isKicked := 0, true
	for {
		v.mu.Lock()
		a.started++
		v.mu.Unlock()
		notBefore := v.clock.Now()
		if !isKicked {
			notBefore = notBefore.Add(-v.interval * 9 / 10)
		}
		bounded, cancel := context.WithTimeout(ctx, chartTimeout)
		newest, err := v.charts.Newest(bounded, q.project, v1alpha1.Chart{RepoURL: q.repoURL, Name: q.name}, q.constraint, notBefore)
		cancel()
		if ctx.Err() != nil {
			return
		}
		v.settle(q, a, newest, err)
		pause := v.interval*9/10 + rand.N(v.interval/5+1) //nolint:gosec // Jitter.
		failures++
		if err == nil || errors.Is(err, chart.ErrNoVersion) {
			failures = 0
		} else if at, isLimited := registry.RetryAt(err); isLimited {
			pause = max(at.Sub(v.clock.Now()), time.Second)
		} else {
			pause = min(pause, retryPause(failures))
		}
		isKicked = err != nil // a failure that is remembered answers nothing
		timer := v.clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.kick:
			timer.Stop()
			isKicked = true
		case <-timer.C():
		}
	}
}

// settle stores an answer and tells whom it concerns.
func (v *chartVersions) settle(q chartQuestion, a *chartAnswer, newest v1alpha1.Chart, err error) {
	v.mu.Lock()
	isNews := !a.answered || !sameText(a.err, err) || err == nil && newest != a.newest
	done := a.done
	a.done, a.answered, a.err = a.started, true, err
	if err == nil {
		a.newest = newest
	}
	var wake []types.NamespacedName
	for app, use := range v.users {
		if use.question == q && (isNews || use.asked > done && use.asked <= a.done) {
			wake = append(wake, app)
		}
	}
	v.mu.Unlock()
	if len(wake) > 0 {
		v.changed(wake)
	}
}
