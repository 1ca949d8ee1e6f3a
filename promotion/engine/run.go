package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

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

// bareInput is input for a probe or a stop, which need what is recorded alone.
func (r *run) bareInput(i int) step.Input {
	return step.Input{
		Promotion: r.promotion, As: r.promotion.Status.Plan.Steps[i].As, Workspace: r.workspace, Repositories: r.Repositories,
		Date: r.promotion.Status.StartedAt.UTC().Truncate(time.Second), Intent: r.promotion.Status.Steps[i].Intent,
		Recorded: r.promotion.Status.Steps[i].Output,
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
	if r.expire(ctx, i) {
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
		r.record(st, result)
		return r.failed(i, err)
	case isOnce:
		if err := r.Failpoints.Hit(ctx, FailAfterEffect); err != nil {
			return &Outcome{StopErr: err}
		}
	case result.Wait == 0:
		r.replayed = i + 1
	}
	if result.Wait > 0 {
		return r.waiting(i, result)
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
	switch {
	case isOnce && !isPolled:
		if err := r.Failpoints.Hit(ctx, FailBeforeIntent); err != nil {
			return err //nolint:wrapcheck // only in crash tests
		}
		r.promotion.Status.Steps[i].Once = true
		if err := r.save(ctx); err != nil {
			return err
		}
	case !isOnce && r.Clock.Now().Sub(r.savedAt) > progressEvery:
		return r.save(ctx)
	}
	if isOnce {
		return r.Failpoints.Hit(ctx, FailAfterIntent) //nolint:wrapcheck // only in crash tests
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
