// Package engine runs the steps of a promotion.
//
// State lives in Promotion.status and in Git, never only in memory. Steps
// without effect are replayed from the frozen plan; a step with effect follows
// intent -> effect -> probe -> result: its intent is recorded under the
// object's resourceVersion before anything leaves the process, and after an
// interruption the remote is asked whether it happened before it is done again.
package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// maxRaces is how often in a row a push may lose the race for its branch
// before the step waits like after any other error.
const maxRaces = 5

// Points where a crash test can stop the process.
const (
	FailBeforeIntent = "promotion.before-intent"
	FailAfterIntent  = "promotion.after-intent"
	FailAfterEffect  = "promotion.after-effect"
)

// Failpoints returns the names of this package's failpoints.
func Failpoints() []string { return []string{FailBeforeIntent, FailAfterIntent, FailAfterEffect} }

// Engine runs promotions. It is safe for concurrent use on different
// Promotions.
type Engine struct {
	// Steps by name.
	Steps map[string]step.Step
	// Repositories of all Projects.
	Repositories step.Repositories
	// Clock stamps the progress.
	Clock clock.PassiveClock
	// Failpoints are nil in production.
	Failpoints *failpoint.Set
	// Lookups are what expressions may read outside of the Promotion; nil:
	// nothing.
	Lookups Lookups
}

// Lookups makes the functions of expressions that read something outside of the
// Promotion (promotion.LookupFunctions).
type Lookups interface {
	// Functions returns them for one run of p. Every secret that one of them
	// reads is given to reveal before it is returned.
	Functions(ctx context.Context, p *v1alpha1.Promotion, reveal func(secret.Text)) map[string]expression.Function
}

// AllLookups are several in one.
type AllLookups []Lookups

// Functions returns the functions of all of them.
func (l AllLookups) Functions(ctx context.Context, p *v1alpha1.Promotion, reveal func(secret.Text)) map[string]expression.Function {
	out := map[string]expression.Function{}
	for _, one := range l {
		maps.Copy(out, one.Functions(ctx, p, reveal))
	}
	return out
}

// Outcome is how far Run came.
type Outcome struct {
	// Done: every step ended well.
	Done bool
	// Failed: a step ended with an error that no retry mends, and what runs after
	// a failure has run.
	Failed *step.TerminalError
	// RetryAt is when to call Run again after an error, or when a step waits for
	// something; zero otherwise.
	RetryAt time.Time
	// Waiting says what a step waits for since this call of Run.
	Waiting string
	// Err is that error.
	Err error
	// Panic says what a step panicked with and where, for the log; empty when
	// none did.
	Panic string
	// Stale says why a new plan is needed; what was intended has not happened,
	// and cannot happen any more.
	Stale error
	// StopErr is an error of persist or of the context: the run stopped where
	// it was, and nothing in the status says otherwise.
	StopErr error
}

// Run goes on with p's steps from its status until they are done or an error
// has to wait. It writes progress into p.Status, and calls persist before every
// effect: persist makes the status durable and makes sure that p was not out of
// date, also when the intent is the one that was recorded before. After an error
// of persist the run stops without any effect.
func (e *Engine) Run(ctx context.Context, p *v1alpha1.Promotion, persist func(context.Context) error) Outcome {
	for races := 0; ; races++ {
		out := e.attemptSafely(ctx, p, persist)
		if out.Err == nil || !errors.Is(out.Err, step.ErrRetryNow) {
			return out
		}
		if races >= maxRaces {
			return e.postpone(p, out.Err)
		}
	}
}

// Resolve finds out whether an effect that p announced has happened, and writes
// that into p.Status: the commit, or that there is none. With an error nobody
// can know before retryAt, and the question stays open.
func (e *Engine) Resolve(ctx context.Context, p *v1alpha1.Promotion) (retryAt time.Time, err error) {
	if !promotion.IsInDoubt(p) {
		return time.Time{}, nil
	}
	r := &run{Engine: e, promotion: p}
	for i := range p.Status.Steps {
		st := &p.Status.Steps[i]
		effect, ok := e.Steps[st.Uses].(step.Effect)
		if st.Intent == nil || st.State == v1alpha1.StepSucceeded || !ok {
			continue
		}
		result, found, err := effect.Probe(ctx, r.bareInput(i))
		if err != nil {
			st.Attempts++
			return e.Clock.Now().Add(promotion.RetryDelay(st.Attempts)), err //nolint:wrapcheck // names the repository already
		}
		if found {
			r.succeeded(i, result)
			continue
		}
		st.Intent = nil
	}
	return time.Time{}, nil
}

// Stop ends what the steps of p left running while they wait, for a Promotion
// that is not going to be run any more.
func (e *Engine) Stop(ctx context.Context, p *v1alpha1.Promotion) error {
	r := &run{Engine: e, promotion: p}
	var all error
	for i := range p.Status.Steps {
		all = errors.Join(all, r.stop(ctx, i))
	}
	return all
}

// attemptSafely is attempt with a panic turned into the failure of this one
// Promotion. What was going to be pushed is looked for first, so then it is
// tried again; the text of a panic may hold anything and stays out of the status.
func (e *Engine) attemptSafely(ctx context.Context, p *v1alpha1.Promotion, persist func(context.Context) error) (out Outcome) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		r := &run{Engine: e, promotion: p}
		err := errors.New("the step failed inside Waybill; see the log")
		if !promotion.HasTouchedGit(p) {
			err = step.Terminal("InternalError", err)
		}
		if next := promotion.Advance(p.Status.Steps, e.Clock.Now()); !next.Done {
			if o := r.failed(next.Index, err); o != nil {
				out = *o
			} else {
				out = r.finish()
			}
		}
		out.Panic = fmt.Sprintf("%v\n%s", cause, debug.Stack())
	}()
	return e.attempt(ctx, p, persist)
}

// postpone makes a step that keeps losing races wait like after any error.
func (e *Engine) postpone(p *v1alpha1.Promotion, err error) Outcome {
	next := promotion.Advance(p.Status.Steps, e.Clock.Now())
	if next.Done {
		return Outcome{Done: true}
	}
	st := &p.Status.Steps[next.Index]
	retry := e.Clock.Now().Add(promotion.RetryDelay(st.Attempts))
	st.State, st.RetryAt = v1alpha1.StepWaiting, &metav1.MicroTime{Time: retry}
	return Outcome{RetryAt: retry, Err: err}
}

// attempt goes on after the last recorded step. What the workspace holds is made
// again from the recorded steps when a step needs it.
func (e *Engine) attempt(ctx context.Context, p *v1alpha1.Promotion, persist func(context.Context) error) Outcome {
	r := e.newRun(ctx, p, persist)
	next := promotion.Advance(p.Status.Steps, e.Clock.Now())
	if next.Done {
		return r.finish()
	}
	if !next.WaitUntil.IsZero() {
		return Outcome{RetryAt: next.WaitUntil}
	}
	if out := r.resume(ctx, next.Index); out != nil {
		return *out
	}
	for i := next.Index; i < len(p.Status.Plan.Steps); i++ {
		if ctx.Err() != nil {
			return Outcome{StopErr: ctx.Err()}
		}
		if promotion.HasEnded(p.Status.Steps[i].State) {
			continue
		}
		if out := r.do(ctx, i); out != nil {
			return *out
		}
	}
	return r.finish()
}
