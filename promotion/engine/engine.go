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
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
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
}

// Outcome is how far Run came.
type Outcome struct {
	// Done: every step ended well.
	Done bool
	// Failed: a step ended with an error that no retry mends.
	Failed *step.TerminalError
	// RetryAt is when to call Run again after an error; zero otherwise.
	RetryAt time.Time
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
		result, found, err := effect.Probe(ctx, r.input(i))
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
			out = *r.failed(next.Index, err)
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

// attempt replays what needs no intent and goes on from there.
func (e *Engine) attempt(ctx context.Context, p *v1alpha1.Promotion, persist func(context.Context) error) Outcome {
	r := &run{Engine: e, promotion: p, workspace: workspace.New(), persist: persist}
	next := promotion.Advance(p.Status.Steps, e.Clock.Now())
	if next.Done {
		return Outcome{Done: true}
	}
	if !next.WaitUntil.IsZero() {
		return Outcome{RetryAt: next.WaitUntil}
	}
	if out := r.resume(ctx, next.Index); out != nil {
		return *out
	}
	if promotion.Advance(p.Status.Steps, e.Clock.Now()).Done {
		return Outcome{Done: true} // the effect that was announced last has happened: nothing is left to replay for
	}
	for i := range p.Status.Plan.Steps {
		if ctx.Err() != nil {
			return Outcome{StopErr: ctx.Err()}
		}
		if out := r.do(ctx, i); out != nil {
			return *out
		}
	}
	return Outcome{Done: true}
}

// run is one attempt.
type run struct {
	*Engine
	promotion *v1alpha1.Promotion
	workspace *workspace.Workspace
	persist   func(context.Context) error
}

func (r *run) input(i int) step.Input {
	var config []byte
	if c := r.promotion.Status.Plan.Steps[i].Config; c != nil {
		config = c.Raw
	}
	return step.Input{
		Promotion: r.promotion, Config: config, Workspace: r.workspace, Repositories: r.Repositories,
		Date: r.promotion.Status.StartedAt.UTC().Truncate(time.Second), Intent: r.promotion.Status.Steps[i].Intent,
	}
}

// resume asks the world about an intent that was recorded before an
// interruption. It returns nil when the run can go on.
func (r *run) resume(ctx context.Context, i int) *Outcome {
	st := &r.promotion.Status.Steps[i]
	if st.Intent == nil {
		return nil
	}
	effect, ok := r.Steps[st.Uses].(step.Effect)
	if !ok {
		return nil
	}
	result, found, err := effect.Probe(ctx, r.input(i))
	if err != nil {
		return r.failed(i, err)
	}
	if found {
		r.succeeded(i, result)
		return nil
	}
	// It has not happened: the run is replayed on the branch as it is now.
	return nil
}

// do runs one step, or replays it. It returns nil to go on.
func (r *run) do(ctx context.Context, i int) *Outcome {
	st := &r.promotion.Status.Steps[i]
	impl, known := r.Steps[st.Uses]
	if !known {
		return r.failed(i, step.Terminal("UnknownStep", fmt.Errorf("there is no step %q", st.Uses)))
	}
	if effect, ok := impl.(step.Effect); ok {
		if st.State == v1alpha1.StepSucceeded {
			return nil
		}
		return r.effect(ctx, i, effect)
	}
	if st.State != v1alpha1.StepSucceeded {
		r.started(i)
	}
	result, err := impl.Run(ctx, r.input(i))
	if err != nil {
		return r.failed(i, err)
	}
	if st.State != v1alpha1.StepSucceeded {
		r.succeeded(i, result)
	}
	return nil
}

// effect records the intent, makes it durable, and only then acts.
func (r *run) effect(ctx context.Context, i int, impl step.Effect) *Outcome {
	st := &r.promotion.Status.Steps[i]
	intent, err := impl.Prepare(ctx, r.input(i))
	if err != nil {
		return r.failed(i, err)
	}
	if err := r.Failpoints.Hit(ctx, FailBeforeIntent); err != nil {
		return &Outcome{StopErr: err}
	}
	r.started(i)
	st.Intent = intent
	if intent != nil {
		if err := r.persist(ctx); err != nil {
			return &Outcome{StopErr: err}
		}
	}
	if err := r.Failpoints.Hit(ctx, FailAfterIntent); err != nil {
		return &Outcome{StopErr: err}
	}
	result, err := impl.Run(ctx, r.input(i))
	if err != nil {
		return r.failed(i, err)
	}
	if err := r.Failpoints.Hit(ctx, FailAfterEffect); err != nil {
		return &Outcome{StopErr: err}
	}
	r.succeeded(i, result)
	return nil
}

func (r *run) started(i int) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	if st.StartedAt == nil {
		st.StartedAt = &now
	}
	st.State, st.RetryAt = v1alpha1.StepRunning, nil
}

func (r *run) succeeded(i int, result step.Result) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	st.State, st.FinishedAt, st.RetryAt, st.Message = v1alpha1.StepSucceeded, &now, nil, fit(result.Message)
	st.Attempts++
	if st.StartedAt == nil {
		st.StartedAt = &now
	}
	if result.Output != nil {
		if raw, err := json.Marshal(result.Output); err == nil {
			st.Output = &runtime.RawExtension{Raw: raw}
		}
	}
	if result.Commit != nil {
		r.promotion.Status.Commit = result.Commit
	}
}

// failed records an error: terminal ones end the step, others set when to try
// again.
func (r *run) failed(i int, err error) *Outcome {
	st := &r.promotion.Status.Steps[i]
	now := r.Clock.Now()
	st.Attempts++
	st.Message = fit(err.Error())
	var terminal *step.TerminalError
	if errors.As(err, &terminal) {
		st.State, st.FinishedAt = v1alpha1.StepFailed, &metav1.MicroTime{Time: now}
		return &Outcome{Failed: terminal, Err: err}
	}
	if errors.Is(err, step.ErrRetryNow) {
		return &Outcome{Err: err}
	}
	if errors.Is(err, step.ErrStale) {
		return &Outcome{Stale: err}
	}
	retry := now.Add(promotion.RetryDelay(st.Attempts))
	st.State, st.RetryAt = v1alpha1.StepWaiting, &metav1.MicroTime{Time: retry}
	return &Outcome{RetryAt: retry, Err: err}
}

// maxMessage is what the CRD takes for the message of a step. One that is
// refused would leave the Promotion as it was, for ever.
const maxMessage = 2048

func fit(message string) string {
	return promotion.Shorten(strings.ToValidUTF8(message, "?"), maxMessage)
}
