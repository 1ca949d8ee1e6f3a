// Package engine runs the steps of a promotion.
//
// State lives in Promotion.status and in Git, never only in memory. Steps
// without effect are replayed from the frozen plan; a step with effect follows
// intent -> effect -> probe -> result: its intent is recorded under the
// object's resourceVersion before anything leaves the process, and after an
// interruption the remote is asked whether it happened before it is done again.
package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/secret"
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

// run is one attempt.
type run struct {
	*Engine
	promotion *v1alpha1.Promotion
	workspace *workspace.Workspace
	persist   func(context.Context) error
	// lookups are the functions of expressions that read the cluster, and secrets
	// what they revealed: that is masked in all that is recorded.
	lookups map[string]expression.Function
	secrets []secret.Text
	// replayed is how many steps the workspace holds.
	replayed int
	// savedAt is when the status was last made durable in this attempt.
	savedAt time.Time
}

func (e *Engine) newRun(ctx context.Context, p *v1alpha1.Promotion, persist func(context.Context) error) *run {
	r := &run{Engine: e, promotion: p, workspace: workspace.New(), persist: persist, savedAt: e.Clock.Now()}
	if e.Lookups != nil {
		r.lookups = e.Lookups.Functions(ctx, p, func(t secret.Text) { r.secrets = append(r.secrets, t) })
	}
	return r
}

// finish says how a run ended of which no step is left.
func (r *run) finish() Outcome {
	i := promotion.FirstFailure(r.promotion, len(r.promotion.Status.Steps))
	if i < 0 {
		return Outcome{Done: true}
	}
	st := &r.promotion.Status.Steps[i]
	reason := st.Reason
	if reason == "" {
		reason = "StepFailed"
	}
	failed := &step.TerminalError{Reason: reason, Err: errors.New(st.Message)}
	return Outcome{Failed: failed, Err: failed}
}

// input returns what step i gets, with its expressions evaluated.
func (r *run) input(i int) (step.Input, error) {
	plan := r.promotion.Status.Plan
	in := step.Input{
		Promotion: r.promotion, As: plan.Steps[i].As, Workspace: r.workspace, Repositories: r.Repositories,
		Date: r.promotion.Status.StartedAt.UTC().Truncate(time.Second), Intent: r.promotion.Status.Steps[i].Intent,
		Recorded: r.promotion.Status.Steps[i].Output,
	}
	config := plan.Steps[i].Config
	if config != nil && expression.Has(string(config.Raw)) {
		s, err := promotion.Scope(r.promotion, i, r.lookups)
		if err != nil {
			return in, step.Terminal(promotion.ReasonInvalidExpression, err)
		}
		if config, err = promotion.Resolve(&plan.Steps[i], s); err != nil {
			return in, step.Terminal(promotion.ReasonInvalidConfig, err)
		}
	}
	in.Config = []byte("{}")
	if config != nil {
		in.Config = config.Raw
	}
	return in, nil
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
	result, found, err := effect.Probe(ctx, r.bareInput(i))
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

// bareInput is input for a probe, which needs the intent alone.
func (r *run) bareInput(i int) step.Input {
	return step.Input{
		Promotion: r.promotion, As: r.promotion.Status.Plan.Steps[i].As, Workspace: r.workspace, Repositories: r.Repositories,
		Date: r.promotion.Status.StartedAt.UTC().Truncate(time.Second), Intent: r.promotion.Status.Steps[i].Intent,
	}
}

// do runs one step that has not ended. It returns nil to go on.
func (r *run) do(ctx context.Context, i int) *Outcome {
	st := &r.promotion.Status.Steps[i]
	impl, known := r.Steps[st.Uses]
	if !known {
		return r.failed(i, step.Terminal(promotion.ReasonUnknownStep, fmt.Errorf("there is no step %q", st.Uses)))
	}
	if st.State == v1alpha1.StepPending || st.State == "" {
		if wanted, err := r.isWanted(i); err != nil {
			return r.failed(i, step.Terminal(promotion.ReasonInvalidExpression, fmt.Errorf("if: %w", err)))
		} else if !wanted {
			r.skipped(i)
			return nil
		}
	}
	if r.expire(i) {
		return nil
	}
	once, isOnce := impl.(step.Once)
	if !isOnce || once.NeedsWorkspace() {
		if j, err := r.restore(ctx, i); err != nil {
			return r.failed(j, err)
		}
	}
	in, err := r.input(i)
	if err != nil {
		return r.failed(i, err)
	}
	if effect, ok := impl.(step.Effect); ok {
		return r.effect(ctx, i, effect, in)
	}
	isPolled := st.State == v1alpha1.StepWaiting && st.Attempts == 0
	r.started(i)
	if err := r.announce(ctx, i, isOnce, isPolled); err != nil {
		return &Outcome{StopErr: err}
	}
	result, err := impl.Run(ctx, in)
	switch {
	case err != nil:
		return r.failed(i, err)
	case result.Wait > 0:
		return r.waiting(i, result)
	}
	if isOnce {
		if err := r.Failpoints.Hit(ctx, FailAfterEffect); err != nil {
			return &Outcome{StopErr: err}
		}
	} else {
		r.replayed = i + 1
	}
	r.succeeded(i, result)
	return nil
}

// isWanted evaluates the condition of a step.
func (r *run) isWanted(i int) (bool, error) {
	condition := r.promotion.Status.Plan.Steps[i].If
	if condition == "" {
		return promotion.FirstFailure(r.promotion, i) < 0, nil
	}
	s, err := promotion.Scope(r.promotion, i, r.lookups)
	if err != nil {
		return false, err //nolint:wrapcheck // names the variable already
	}
	return expression.Bool(condition, s) //nolint:wrapcheck // names the expression already
}

// announce makes the status durable before a step that is not begun twice, and
// now and then before others, so that people see how far the run is. A step that
// is only asked again what it waits for has been announced.
func (r *run) announce(ctx context.Context, i int, isOnce, isPolled bool) error {
	st := &r.promotion.Status.Steps[i]
	if isOnce && !isPolled {
		if err := r.Failpoints.Hit(ctx, FailBeforeIntent); err != nil {
			return err //nolint:wrapcheck // only in crash tests
		}
		st.Once = true
		if err := r.save(ctx); err != nil {
			return err
		}
		return r.Failpoints.Hit(ctx, FailAfterIntent) //nolint:wrapcheck // only in crash tests
	}
	if !isOnce && r.Clock.Now().Sub(r.savedAt) > progressEvery {
		return r.save(ctx)
	}
	return nil
}

func (r *run) save(ctx context.Context) error {
	if err := r.persist(ctx); err != nil {
		return err
	}
	r.savedAt = r.Clock.Now()
	return nil
}

// restore makes the workspace what it was after the steps before i. It returns
// the step that could not be repeated.
func (r *run) restore(ctx context.Context, i int) (int, error) {
	for j := r.replayed; j < i; j++ {
		st := &r.promotion.Status.Steps[j]
		impl := r.Steps[st.Uses]
		_, isOnce := impl.(step.Once)
		_, isEffect := impl.(step.Effect)
		if st.State != v1alpha1.StepSucceeded || isOnce || isEffect || impl == nil {
			continue
		}
		in, err := r.input(j)
		if err != nil {
			return j, err
		}
		result, err := impl.Run(ctx, in)
		if err != nil {
			return j, err //nolint:wrapcheck // names what it is about already
		}
		if !r.hasEffectAfter(j) {
			r.record(st, result) // on a branch that moved, later steps see what is true now
		}
	}
	r.replayed = max(r.replayed, i)
	return i, nil
}

// hasEffectAfter reports whether a step after j has changed the world: then what
// j found out is what that was based on.
func (r *run) hasEffectAfter(j int) bool {
	for k := j + 1; k < len(r.promotion.Status.Steps); k++ {
		st := &r.promotion.Status.Steps[k]
		if st.Once || st.Intent != nil && st.State == v1alpha1.StepSucceeded {
			return true
		}
	}
	return false
}

// effect records the intent, makes it durable, and only then acts.
func (r *run) effect(ctx context.Context, i int, impl step.Effect, in step.Input) *Outcome {
	st := &r.promotion.Status.Steps[i]
	intent, err := impl.Prepare(ctx, in)
	if err != nil {
		return r.failed(i, err)
	}
	if err := r.Failpoints.Hit(ctx, FailBeforeIntent); err != nil {
		return &Outcome{StopErr: err}
	}
	r.started(i)
	st.Intent = intent
	if intent != nil {
		if err := r.save(ctx); err != nil {
			return &Outcome{StopErr: err}
		}
	}
	if err := r.Failpoints.Hit(ctx, FailAfterIntent); err != nil {
		return &Outcome{StopErr: err}
	}
	in.Intent = st.Intent
	result, err := impl.Run(ctx, in)
	if err != nil {
		return r.failed(i, err)
	}
	if err := r.Failpoints.Hit(ctx, FailAfterEffect); err != nil {
		return &Outcome{StopErr: err}
	}
	r.replayed = i + 1 // the tree knows that it was pushed
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

func (r *run) skipped(i int) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	st.State, st.FinishedAt = v1alpha1.StepSkipped, &now
}

func (r *run) succeeded(i int, result step.Result) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	st.State, st.FinishedAt, st.RetryAt, st.Message, st.Reason = v1alpha1.StepSucceeded, &now, nil, r.fit(result.Message), ""
	if result.Skipped {
		st.State = v1alpha1.StepSkipped
	}
	st.Attempts++
	if st.StartedAt == nil {
		st.StartedAt = &now
	}
	r.record(st, result)
	if result.Commit != nil {
		r.promotion.Status.Commit = result.Commit
	}
}

// record keeps what a step found out, without what it knows of secrets.
func (r *run) record(st *v1alpha1.StepStatus, result step.Result) {
	if result.Output == nil {
		return
	}
	raw, err := json.Marshal(result.Output)
	if err != nil {
		return
	}
	if len(raw) > maxOutput {
		raw, _ = json.Marshal(map[string]any{"truncated": fmt.Sprintf("the output has %d bytes, more than %d", len(raw), maxOutput)})
	}
	st.Output = &runtime.RawExtension{Raw: []byte(r.masked(string(raw)))}
}

// waiting leaves the step until it is time to look again.
func (r *run) waiting(i int, result step.Result) *Outcome {
	st := &r.promotion.Status.Steps[i]
	at := r.Clock.Now().Add(result.Wait)
	if end := deadline(r.promotion, i); !end.IsZero() && end.Before(at) {
		at = end
	}
	st.State, st.RetryAt, st.Attempts = v1alpha1.StepWaiting, &metav1.MicroTime{Time: at}, 0
	st.Message, st.Reason = r.fit(result.Message), ""
	r.record(st, result)
	return &Outcome{RetryAt: at, Waiting: cmp.Or(st.Message, "waiting")}
}

// deadline is when a step has to be done; zero: it has no timeout.
func deadline(p *v1alpha1.Promotion, i int) time.Time {
	retry, st := p.Status.Plan.Steps[i].Retry, &p.Status.Steps[i]
	if retry == nil || retry.Timeout == nil || retry.Timeout.Duration <= 0 || st.StartedAt == nil {
		return time.Time{}
	}
	return st.StartedAt.Add(retry.Timeout.Duration)
}

// expire fails a step whose time is over, and reports whether it was.
func (r *run) expire(i int) bool {
	end, st := deadline(r.promotion, i), &r.promotion.Status.Steps[i]
	if end.IsZero() || r.Clock.Now().Before(end) || st.Intent != nil {
		return false
	}
	err := fmt.Errorf("not done %s after it began", r.promotion.Status.Plan.Steps[i].Retry.Timeout.Duration)
	if st.Message != "" {
		err = fmt.Errorf("%w: %s", err, st.Message)
	}
	return r.failed(i, step.Terminal("StepTimeout", err)) == nil
}

// failed records an error: terminal ones end the step and return nil, others set
// when to try again.
func (r *run) failed(i int, err error) *Outcome {
	st := &r.promotion.Status.Steps[i]
	now := r.Clock.Now()
	st.Attempts++
	st.Message = r.fit(err.Error())
	if st.StartedAt == nil {
		st.StartedAt = &metav1.MicroTime{Time: now}
	}
	if errors.Is(err, step.ErrRetryNow) {
		return &Outcome{Err: err}
	}
	if errors.Is(err, step.ErrStale) {
		return &Outcome{Stale: err}
	}
	var terminal *step.TerminalError
	retry := r.promotion.Status.Plan.Steps[i].Retry
	if !errors.As(err, &terminal) && retry != nil && retry.ErrorThreshold > 0 && st.Attempts >= retry.ErrorThreshold {
		terminal = &step.TerminalError{Reason: "ErrorThreshold", Err: err}
	}
	if terminal != nil {
		st.State, st.FinishedAt, st.RetryAt, st.Reason = v1alpha1.StepFailed, &metav1.MicroTime{Time: now}, nil, terminal.Reason
		return nil
	}
	at := now.Add(promotion.RetryDelay(st.Attempts))
	if end := deadline(r.promotion, i); !end.IsZero() && end.Before(at) {
		at = end
	}
	st.State, st.RetryAt = v1alpha1.StepWaiting, &metav1.MicroTime{Time: at}
	return &Outcome{RetryAt: at, Err: err}
}

const (
	// progressEvery is how old the recorded progress may be when a step begins.
	progressEvery = time.Second
	// maxOutput bounds what one step may leave for others, in bytes: it is part
	// of the object.
	maxOutput = 32 << 10
)

// maxMessage is what the CRD takes for the message of a step. One that is
// refused would leave the Promotion as it was, for ever.
const maxMessage = 2048

func (r *run) fit(message string) string {
	return promotion.Shorten(strings.ToValidUTF8(r.masked(message), "?"), maxMessage)
}

// masked returns text without the secrets that this run has seen.
func (r *run) masked(text string) string {
	if len(r.secrets) == 0 {
		return text
	}
	return secret.Redact(text, r.secrets...)
}
