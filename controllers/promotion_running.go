package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// running runs the steps.
func (r *PromotionReconciler) running(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	before, work := p, p.DeepCopy()
	if r.nudges.take(client.ObjectKeyFromObject(p)) {
		if next := promotion.Advance(work.Status.Steps, r.Clock.Now()); !next.Done {
			work.Status.Steps[next.Index].RetryAt = nil
		}
	}
	if needsNewPlan(work, r.Clock.Now()) {
		freight, err := r.freightOf(ctx, r.Client, o, p)
		if err != nil {
			return ctrl.Result{}, err
		}
		plan, err := r.plan(ctx, o, p, freight)
		if err != nil {
			return r.replanFailed(ctx, before, work, err)
		}
		if hasChanged(o, p, plan) {
			work.Status.Plan, work.Status.Steps, work.Status.StartedAt, work.Status.Approvals = plan, nil, nil, nil
			return r.planChanged(ctx, o, before, work, freight)
		}
		if work.Spec.Kind == v1alpha1.KindPromote && promotion.NeedsSameBase(o.Stage, freight) && plan.RidingAlong != nil {
			work.Status.Plan, work.Status.Steps, work.Status.StartedAt, work.Status.Approvals = nil, nil, nil, nil
			r.phase(work, v1alpha1.PhasePending, reasonPlanChanged, "the base has changed; it is planned again")
			return ctrl.Result{}, patchStatus(ctx, r.Client, before, work)
		}
		attempts, tried := maxAttempts(work.Status.Steps), work.Status.Steps
		setPlan(work, plan)
		work.Status.Steps[0].Attempts = attempts
		keepClocks(work.Status.Steps, tried)
	}
	return r.runSteps(ctx, o, before, work)
}

// runSteps runs the steps of work. before is what the API server has.
func (r *PromotionReconciler) runSteps(ctx context.Context, o *promotion.Observation, before, work *v1alpha1.Promotion) (ctrl.Result, error) {
	persist := func(ctx context.Context) error {
		if err := r.claim(ctx, before, work); err != nil {
			return err
		}
		before = work.DeepCopy()
		return nil
	}
	out := r.Engine.Run(ctx, work, persist)
	if out.Panic != "" {
		logf.FromContext(ctx).Error(errors.New("panic"), "a step panicked", "promotion", work.Name, "panic", out.Panic)
	}
	if out.StopErr != nil {
		return ctrl.Result{}, out.StopErr
	}
	if err := r.Failpoints.Hit(ctx, FailAfterResult); err != nil {
		return ctrl.Result{}, err //nolint:wrapcheck // only in crash tests
	}
	switch {
	case out.Stale != nil:
		return r.planAgain(ctx, o, before, work, out.Stale)
	case out.Failed != nil:
		r.stopsHere(work)
		return r.end(ctx, before, work, v1alpha1.PhaseFailed, out.Failed.Reason, out.Failed.Error()+halfWritten(work))
	case out.Done:
		now := metav1.MicroTime{Time: r.Clock.Now()}
		work.Status.PushedAt = &now
		r.phase(work, v1alpha1.PhaseSyncing, "WaitingForHealth", "pushed; the reconciler is on its way")
		if err := patchStatus(ctx, r.Client, before, work); err != nil {
			return ctrl.Result{}, err
		}
		r.writes.wrote(client.ObjectKeyFromObject(work), r.Clock.Now())
		if work.Spec.Kind == v1alpha1.KindPromote && len(o.Stage.Spec.Deploy) > 0 && promotion.HasChangedGit(work) {
			// The Applications see status.commit and wake us when they reached it.
			return lookAgain(r.Clock.Now(), now.Add(promotion.HealthTimeout(o.Stage))), nil
		}
		return r.judge(ctx, o, work)
	case out.Waiting != "":
		work.Status.Reason, work.Status.Message = "Waiting", truncate(out.Waiting, 2048)
		setReady(&work.Status.Conditions, work.Generation, false, work.Status.Reason, work.Status.Message)
		return lookAgain(r.Clock.Now(), out.RetryAt), patchStatus(ctx, r.Client, before, work)
	case out.Err == nil:
		// It is too early to try again; what went wrong stays to be read.
		return lookAgain(r.Clock.Now(), out.RetryAt), nil
	default:
		work.Status.Reason, work.Status.Message = reasonOf(out.Err), truncate(out.Err.Error(), 2048)
		setReady(&work.Status.Conditions, work.Generation, false, work.Status.Reason, work.Status.Message)
		return lookAgain(r.Clock.Now(), out.RetryAt), patchStatus(ctx, r.Client, before, work)
	}
}

// stopsHere says that no more is going to be pushed: what was is what the Stage
// runs. A rollback that has not reached every branch is none, so that it can be
// asked for again.
func (r *PromotionReconciler) stopsHere(p *v1alpha1.Promotion) {
	if p.Status.Commit != nil && (p.Spec.Kind != v1alpha1.KindRollback || promotion.HasPushedAll(p)) {
		now := metav1.MicroTime{Time: r.Clock.Now()}
		p.Status.PushedAt = &now
	}
}

// halfWritten says what a promotion that ends early has written already, and how
// that is taken back; "" when it has written nothing, or all.
func halfWritten(p *v1alpha1.Promotion) string {
	if !promotion.HasChangedGit(p) || promotion.HasPushedAll(p) {
		return ""
	}
	var where []string
	for _, c := range p.Status.Written() {
		if !c.Unchanged {
			where = append(where, fmt.Sprintf("%q of %s", c.Branch, c.RepoURL))
		}
	}
	text := "; written by then: " + strings.Join(where, ", ")
	if p.Spec.Kind == v1alpha1.KindRollback {
		return text + "; a rollback that is asked for again goes on with the rest"
	}
	return fmt.Sprintf("%s; waybill rollback %s/%s takes that back", text, p.Namespace, p.Spec.Stage)
}

// claim makes the status durable before an effect. The patch carries the
// resourceVersion of what we read; when there is nothing to write, because an
// interrupted run goes on with the intent it recorded, the API server is asked
// whether what we read is still true: a cache that lags behind must not push
// for a Promotion that has ended.
func (r *PromotionReconciler) claim(ctx context.Context, before, work *v1alpha1.Promotion) error {
	if err := patchStatus(ctx, r.Client, before, work); err != nil || work.ResourceVersion != before.ResourceVersion {
		return err
	}
	var live v1alpha1.Promotion
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(work), &live); err != nil {
		return err //nolint:wrapcheck // names the Promotion already
	}
	if live.UID != work.UID || live.ResourceVersion != work.ResourceVersion {
		return apierrors.NewConflict(v1alpha1.GroupVersion().WithResource("promotions").GroupResource(), work.Name, errOutOfDate)
	}
	return nil
}

var errOutOfDate = errors.New("it was changed since it was read")

// planAgain gives up a plan whose branch has moved since. What a person asked
// for replaces what the person could see: commits that came in between end it.
// Everything else is planned anew, and the gates decide.
func (r *PromotionReconciler) planAgain(ctx context.Context, o *promotion.Observation, before, work *v1alpha1.Promotion, stale error) (ctrl.Result, error) {
	if promotion.HasChangedGit(work) {
		r.stopsHere(work)
		return r.end(ctx, before, work, v1alpha1.PhaseFailed, "ForeignCommits", stale.Error()+halfWritten(work))
	}
	if !work.Spec.Automatic {
		freight, err := r.freightOf(ctx, r.Client, o, work)
		if err != nil {
			return ctrl.Result{}, err
		}
		plan, err := r.Planner.Plan(ctx, o, work, freight)
		if err != nil {
			return r.replanFailed(ctx, before, work, err)
		}
		if c := newForeign(work.Status.Plan.Overwrites, plan.Overwrites); c != nil {
			return r.end(ctx, before, work, v1alpha1.PhaseFailed, "ForeignCommits", fmt.Sprintf(
				"commit %s by %s (%s) arrived on the Stage's branch meanwhile and would be lost; promote again to replace it, or bring it to readBranch first",
				shortCommit(c.Commit), c.Author, c.Subject))
		}
	}
	work.Status.Plan, work.Status.Steps, work.Status.StartedAt, work.Status.Approvals = nil, nil, nil, nil
	r.phase(work, v1alpha1.PhasePending, reasonPlanChanged, stale.Error())
	return ctrl.Result{}, patchStatus(ctx, r.Client, before, work)
}

// newForeign returns a commit of now that is not among those shown, or nil.
func newForeign(shown, now []v1alpha1.ForeignCommit) *v1alpha1.ForeignCommit {
	for i := range now {
		if !slices.ContainsFunc(shown, func(c v1alpha1.ForeignCommit) bool { return c.Commit == now[i].Commit }) {
			return &now[i]
		}
	}
	return nil
}

func shortCommit(hash string) string { return hash[:min(len(hash), 8)] }

// needsNewPlan reports whether the run failed before it touched Git and is due
// again: then what it reads may have been mended, so it is planned anew.
func needsNewPlan(p *v1alpha1.Promotion, now time.Time) bool {
	if promotion.HasTouchedGit(p) || maxAttempts(p.Status.Steps) == 0 {
		return false
	}
	next := promotion.Advance(p.Status.Steps, now)
	return !next.Done && next.WaitUntil.IsZero() && p.Status.Steps[next.Index].State == v1alpha1.StepWaiting
}

// keepClocks carries over when steps began and how often they were tried, for
// their timeouts and error thresholds.
func keepClocks(steps, tried []v1alpha1.StepStatus) {
	for i := range steps {
		if i < len(tried) && tried[i].As == steps[i].As && tried[i].State == v1alpha1.StepWaiting {
			steps[i].StartedAt, steps[i].Attempts = tried[i].StartedAt, tried[i].Attempts
		}
	}
}

func maxAttempts(steps []v1alpha1.StepStatus) int32 {
	var n int32
	for _, s := range steps {
		if s.State != v1alpha1.StepSucceeded {
			n = max(n, s.Attempts)
		}
	}
	return n
}

// replanFailed waits like after a failed step.
func (r *PromotionReconciler) replanFailed(ctx context.Context, before, work *v1alpha1.Promotion, err error) (ctrl.Result, error) {
	var terminal *step.TerminalError
	if errors.As(err, &terminal) {
		return r.planImpossible(ctx, before, work, terminal)
	}
	next := promotion.Advance(work.Status.Steps, r.Clock.Now())
	st := &work.Status.Steps[next.Index]
	st.Attempts++
	retry := r.Clock.Now().Add(promotion.RetryDelay(st.Attempts))
	st.RetryAt, st.Message = &metav1.MicroTime{Time: retry}, truncate(err.Error(), 2048)
	work.Status.Reason, work.Status.Message = reasonOf(err), truncate(err.Error(), 2048)
	setReady(&work.Status.Conditions, work.Generation, false, work.Status.Reason, work.Status.Message)
	return lookAgain(r.Clock.Now(), retry), patchStatus(ctx, r.Client, before, work)
}
