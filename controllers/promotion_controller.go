package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/observe"
	"github.com/waybill-dev/waybill/promotion/planner"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// FailAfterResult is where a crash test can stop the process: the result of a
// run is known and not yet recorded.
const FailAfterResult = "promotion.before-result"

// branchRecheck is how often a Promotion that waits for commits by others to go
// away looks at the branch.
const branchRecheck = 30 * time.Second

// PromotionOptions are what a PromotionReconciler needs.
type PromotionOptions struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads from the API server; a start decision is made on it.
	Live client.Reader
	// SystemNamespace is where credentials of several Projects are.
	SystemNamespace string
	// Clock tells the time; never nil.
	Clock clock.PassiveClock
	// Policies says which admission policies are missing.
	Policies PolicyWatch
	// Repositories opens Git repositories.
	Repositories step.Repositories
	// Planner resolves what a Promotion is going to do.
	Planner *planner.Planner
	// Engine runs the steps.
	Engine *engine.Engine
	// Clusters are where the Jobs of checks run.
	Clusters *cluster.Registry
	// CheckTransports is the way out for checks.
	CheckTransports CheckTransports
	// Failpoints are nil in production.
	Failpoints *failpoint.Set
	// Concurrency is how many Promotions are reconciled at a time.
	Concurrency int
}

// PromotionReconciler carries Promotions from Pending to their end.
type PromotionReconciler struct {
	PromotionOptions
	// Checks looks at what checks ask for.
	Checks   *checkLookups
	turns    turns
	inFlight stoppable
	writes   lazyWrites
	nudges   nudges
}

// NewPromotionReconciler returns a reconciler for Promotions.
func NewPromotionReconciler(o PromotionOptions) *PromotionReconciler {
	return &PromotionReconciler{PromotionOptions: o, Checks: newCheckLookups()}
}

// SetupWithManager registers the controller and what wakes it.
func (r *PromotionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(r.Checks); err != nil {
		return fmt.Errorf("set up the checks: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("promotion").
		For(&v1alpha1.Promotion{}).
		Watches(&v1alpha1.Promotion{}, handler.EnqueueRequestsFromMapFunc(r.siblings)).
		Watches(&v1alpha1.Promotion{}, handler.Funcs{UpdateFunc: r.stopAborted}).
		Watches(&v1alpha1.Application{}, handler.EnqueueRequestsFromMapFunc(r.ofApplication)).
		Watches(&v1alpha1.Stage{}, handler.EnqueueRequestsFromMapFunc(r.ofStage), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Freeze{}, handler.EnqueueRequestsFromMapFunc(r.ofFreeze)).
		Watches(&v1alpha1.Approval{}, handler.EnqueueRequestsFromMapFunc(r.ofApproval)).
		Watches(&v1alpha1.Project{}, handler.EnqueueRequestsFromMapFunc(r.ofProject), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.PromotionTask{}, handler.EnqueueRequestsFromMapFunc(r.ofTask)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret)).
		WatchesRawSource(source.Channel(r.Checks.wake, &handler.EnqueueRequestForObject{})).
		WatchesRawSource(source.Channel(r.Policies.Changed(), handler.EnqueueRequestsFromMapFunc(r.everyUnsettled))).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(r.Concurrency, networkWorkers)}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the Promotion controller: %w", err)
	}
	return nil
}

// Reconcile takes one Promotion as far as it can go now.
func (r *PromotionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.Promotion
	if err := r.Client.Get(ctx, req.NamespacedName, &p); err != nil {
		r.writes.forget(req.NamespacedName)
		return settle(ctrl.Result{}, err)
	}
	if p.DeletionTimestamp != nil || isSettled(&p) {
		return ctrl.Result{}, nil
	}
	// One Promotion of a Stage at a time: the cache may lag behind what another
	// worker just wrote.
	endTurn, later := r.turns.take(p.Namespace+"/"+p.Spec.Stage, 1)
	if endTurn == nil {
		return later, nil
	}
	defer endTurn()
	endShare, later := r.turns.take(p.Namespace, projectShare)
	if endShare == nil {
		return later, nil
	}
	defer endShare()
	if err := r.Client.Get(ctx, req.NamespacedName, &p); err != nil {
		return settle(ctrl.Result{}, err)
	}
	whole := ctx
	if p.Spec.Abort == nil {
		stoppable, end := r.inFlight.start(ctx, req.NamespacedName)
		defer end()
		ctx = stoppable
	}
	o, err := observe.Stage(ctx, r.Client, types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.Stage}, r.Clock.Now())
	if apierrors.IsNotFound(err) {
		return r.finish(ctx, &p, v1alpha1.PhaseFailed, "StageNotFound", fmt.Sprintf("there is no Stage %q in Project %q", p.Spec.Stage, p.Namespace))
	}
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	o.PoliciesMissing = r.Policies.Missing()
	result, err := r.advance(ctx, o, &p)
	if ctx.Err() != nil && whole.Err() == nil {
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil // stopped, to be aborted
	}
	return settle(result, err)
}

// isSettled reports whether nothing can happen to the Promotion any more.
func isSettled(p *v1alpha1.Promotion) bool {
	switch p.Status.Phase {
	case v1alpha1.PhaseSuperseded, v1alpha1.PhaseRolledBack:
		return true
	case v1alpha1.PhaseAborted:
		return p.Status.Commit == nil && !promotion.IsInDoubt(p)
	case v1alpha1.PhaseFailed:
		return p.Status.Commit == nil
	default:
		return false
	}
}

// advance is the state machine of package promotion's doc.go.
func (r *PromotionReconciler) advance(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	if by := rolledBackBy(o, p); by != "" {
		after := p.DeepCopy()
		after.Status.RolledBackBy = by
		r.stopRunning(ctx, p)
		return r.end(ctx, p, after, v1alpha1.PhaseRolledBack, promotion.ReasonRolledBack, fmt.Sprintf("taken back by %q", by))
	}
	if p.Spec.Abort != nil && (!p.Status.Phase.IsFinished() || promotion.IsInDoubt(p)) {
		return r.abort(ctx, p)
	}
	if !p.Status.Phase.IsFinished() && !promotion.HasTouchedGit(p) {
		for _, s := range promotion.Decide(o).Supersede {
			if s.Name == p.Name {
				after := p.DeepCopy()
				after.Status.SupersededBy = s.By
				return r.end(ctx, p, after, v1alpha1.PhaseSuperseded, promotion.ReasonSuperseded, fmt.Sprintf("%q brings newer Freight", s.By))
			}
		}
	}
	if promotion.RerunDue(o, p) {
		return r.verifyAgain(ctx, o, p)
	}
	switch p.Status.Phase {
	case "", v1alpha1.PhasePending:
		return r.pending(ctx, o, p)
	case v1alpha1.PhaseRunning:
		return r.running(ctx, o, p)
	case v1alpha1.PhaseSyncing, v1alpha1.PhaseVerifying, v1alpha1.PhaseSucceeded:
		return r.judge(ctx, o, p)
	default:
		return ctrl.Result{}, nil
	}
}

// abort ends the Promotion. A push that was announced may have arrived: then
// its commit is what the Stage runs, and that is recorded first. While the
// repository cannot be asked the Promotion has ended all the same, and the
// question stays open.
func (r *PromotionReconciler) abort(ctx context.Context, p *v1alpha1.Promotion) (ctrl.Result, error) {
	after := p.DeepCopy()
	r.stopRunning(ctx, p)
	retryAt, err := r.Engine.Resolve(ctx, after)
	message := abortText(p.Spec.Abort)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctrl.Result{}, ctx.Err()
	case err != nil:
		message += fmt.Sprintf("; whether its commit arrived is not known yet: %v", err)
	case after.Status.Commit != nil:
		message += fmt.Sprintf("; its commit %s had arrived and stays: waybill rollback %s/%s takes it back",
			shortCommit(after.Status.Commit.Commit), p.Namespace, p.Spec.Stage)
	}
	if after.Status.Commit != nil && after.Status.PushedAt == nil {
		now := metav1.MicroTime{Time: r.Clock.Now()}
		after.Status.PushedAt = &now
	}
	_, err = r.end(ctx, p, after, v1alpha1.PhaseAborted, promotion.ReasonAborted, message)
	return lookAgain(r.Clock.Now(), retryAt), err
}

// rolledBackBy returns the Rollback that pushed a commit taking p's back.
func rolledBackBy(o *promotion.Observation, p *v1alpha1.Promotion) string {
	if p.Status.Commit == nil || p.Spec.Kind == v1alpha1.KindRollback {
		return ""
	}
	for i := range o.Promotions {
		q := &o.Promotions[i]
		if q.Spec.Kind != v1alpha1.KindRollback || q.Status.PushedAt == nil || promotion.Seq(q.Name) < promotion.Seq(p.Name) {
			continue
		}
		if q.Status.Plan != nil && q.Status.Plan.Undoes == p.Name {
			return q.Name
		}
	}
	return ""
}

// pending starts the Promotion when every gate is open.
func (r *PromotionReconciler) pending(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	after := p.DeepCopy()
	if at := p.Status.PlanRetryAt; at != nil && r.Clock.Now().Before(at.Time) && !r.nudges.take(client.ObjectKeyFromObject(p)) {
		return lookAgain(r.Clock.Now(), at.Time), nil
	}
	if len(o.PoliciesMissing) > 0 {
		return r.wait(ctx, p, after, time.Time{}, promotion.ReasonPolicyMissing,
			fmt.Sprintf("admission policy %q is missing or changed; nothing starts before it is back", o.PoliciesMissing[0]))
	}
	freight, err := r.freightOf(ctx, r.Client, o, p)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	// The cache may keep the Promotion waiting, since what changes it wakes us.
	// To start or to end it, the API server is asked: a Freeze that was answered
	// for holds from that moment on.
	isPlanDue := err == nil && r.isPlanDue(o, p, freight)
	if err == nil && len(closedEntry(o, freight, p)) == 0 && promotion.RejectedBy(o, p) == nil && !isPlanDue {
		if start := closedStart(o, freight, p); len(start) > 0 {
			return r.gateClosed(ctx, o, p, after, freight, start)
		}
	}
	if err := observe.Live(ctx, r.Live, o); apierrors.IsNotFound(err) || err == nil && o.Stage.DeletionTimestamp != nil {
		return r.finish(ctx, p, v1alpha1.PhaseFailed, "StageNotFound", fmt.Sprintf("Stage %q of Project %q is gone", p.Spec.Stage, p.Namespace))
	} else if err != nil {
		return ctrl.Result{}, err
	}
	o.Stage.Status.Current = currentFreight(o)
	if err != nil || len(closedEntry(o, freight, p)) > 0 {
		freight, err = r.freightOf(ctx, r.Live, o, p)
	}
	if apierrors.IsNotFound(err) {
		return r.finish(ctx, p, v1alpha1.PhaseFailed, "FreightNotFound", fmt.Sprintf("there is no Freight %q in Project %q", p.Spec.Freight, p.Namespace))
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if entry := closedEntry(o, freight, p); len(entry) > 0 {
		after.Status.Gates = entry
		return r.end(ctx, p, after, v1alpha1.PhaseFailed, promotion.ReasonGateClosed, gateText(entry))
	}
	if by := promotion.RejectedBy(o, p); by != nil {
		return r.end(ctx, p, after, v1alpha1.PhaseFailed, promotion.ReasonRejected, fmt.Sprintf("rejected by %s: %s", by.Spec.Actor, by.Spec.Reason))
	}
	if isPlanDue {
		return r.present(ctx, o, p, after, freight)
	}
	if start := closedStart(o, freight, p); len(start) > 0 {
		return r.gateClosed(ctx, o, p, after, freight, start)
	}
	if check := outdated(o, p); check.Reason != "" {
		phase := v1alpha1.PhaseFailed
		if p.Spec.Automatic && check.By != "" {
			phase, after.Status.SupersededBy = v1alpha1.PhaseSuperseded, check.By
		}
		return r.end(ctx, p, after, phase, check.Reason, check.Message)
	}
	ready, err := r.clearTheWay(ctx, o, p)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !ready {
		return r.wait(ctx, p, after, time.Time{}, "Aborting", "the Promotions in the way of this rollback are being aborted")
	}
	plan, err := r.plan(ctx, o, p, freight)
	if err != nil {
		return r.planFailed(ctx, o, p, after, err)
	}
	after.Status.Plan, after.Status.PlanAttempts, after.Status.PlanRetryAt = plan, 0, nil
	if hasChanged(p.Status.Plan, plan) {
		return r.planChanged(ctx, o, p, after, freight)
	}
	if blocked := promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(after)), promotion.GroupStart); len(blocked) > 0 {
		after.Status.Gates = blocked
		at := nextLook(o, freight, after)
		if at.IsZero() && len(plan.Overwrites) > 0 {
			at = o.Now.Add(branchRecheck) // nobody tells us when the commits are gone
		}
		return r.wait(ctx, p, after, at, promotion.ReasonGateClosed, gateText(blocked))
	}
	now := metav1.MicroTime{Time: r.Clock.Now()}
	after.Status.Gates, after.Status.StartedAt = nil, &now
	after.Status.Approvals = promotion.CountedApprovals(o, after)
	setPlan(after, plan)
	r.phase(after, v1alpha1.PhaseRunning, "Running", "running its steps")
	// Nothing has happened before the first intent is written, so the start is
	// written together with it; until then a crash leaves the Promotion Pending.
	return r.runSteps(ctx, o, p, after)
}

// closedEntry returns the entry gates that shut the Promotion out.
func closedEntry(o *promotion.Observation, freight *v1alpha1.Freight, p *v1alpha1.Promotion) []v1alpha1.GateVerdict {
	return promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(p)), promotion.GroupEntry)
}

// closedStart returns the start gates that keep the Promotion waiting. Commits
// by others are those of the last plan: whether they are still in the way, only
// a new plan says, so they alone keep nothing waiting here.
func closedStart(o *promotion.Observation, freight *v1alpha1.Freight, p *v1alpha1.Promotion) []v1alpha1.GateVerdict {
	start := promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(p)), promotion.GroupStart)
	if slices.ContainsFunc(start, func(v v1alpha1.GateVerdict) bool { return v.Gate != v1alpha1.GateHealth }) {
		return start
	}
	return nil
}

// nextLook returns when time alone changes what the gates say of p.
func nextLook(o *promotion.Observation, freight *v1alpha1.Freight, p *v1alpha1.Promotion) time.Time {
	return promotion.EarliestChange(promotion.Gates(o, freight, promotion.AskOf(p)))
}

// gateClosed leaves the Promotion Pending until a gate opens.
func (r *PromotionReconciler) gateClosed(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, freight *v1alpha1.Freight, start []v1alpha1.GateVerdict) (ctrl.Result, error) {
	after.Status.Gates = start
	reason, message := promotion.ReasonGateClosed, gateText(start)
	if p.Status.Reason == reasonPlanChanged && slices.ContainsFunc(start, func(v v1alpha1.GateVerdict) bool { return v.Gate == v1alpha1.GateApproval }) {
		reason, message = reasonPlanChanged, planChangedText+"; "+message
	}
	return r.wait(ctx, p, after, nextLook(o, freight, after), reason, message)
}

// outdated says why the Promotion is not what is wanted any more: one with a
// higher number has started, or a Rollback names Freight that the Stage does
// not run.
func outdated(o *promotion.Observation, p *v1alpha1.Promotion) promotion.NumberCheck {
	if p.Spec.Kind == v1alpha1.KindRollback && p.Spec.Freight != "" && len(o.Stage.Status.Current) > 0 {
		current := o.Stage.Status.Current
		if !slices.ContainsFunc(current, func(c v1alpha1.StageFreight) bool { return c.Freight == p.Spec.Freight }) {
			return promotion.NumberCheck{
				Reason: "NotCurrent", By: current[0].Promotion,
				Message: fmt.Sprintf("Freight %q does not run in %q any more, Freight %q does; to take that back: waybill rollback %s/%s", p.Spec.Freight, p.Spec.Stage, current[0].Freight, p.Namespace, p.Spec.Stage),
			}
		}
	}
	return promotion.CheckNumber(o, p)
}

// setPlan freezes a plan and resets the progress.
func setPlan(p *v1alpha1.Promotion, plan *v1alpha1.PromotionPlan) {
	p.Status.Plan = plan
	steps := make([]v1alpha1.StepStatus, len(plan.Steps))
	for i, s := range plan.Steps {
		steps[i] = v1alpha1.StepStatus{As: s.As, Uses: s.Uses, State: v1alpha1.StepPending}
	}
	p.Status.Steps = steps
}

// planFailed tells errors that a person must mend (terminal) from those that
// go away by themselves; both say what was wrong.
func (r *PromotionReconciler) planFailed(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, err error) (ctrl.Result, error) {
	var terminal *step.TerminalError
	if errors.As(err, &terminal) {
		return r.planImpossible(ctx, p, after, terminal)
	}
	// The instant is recorded: the patch that says why wakes us at once, and
	// must not be taken for news.
	after.Status.PlanAttempts++
	at := r.Clock.Now().Add(promotion.RetryDelay(after.Status.PlanAttempts))
	after.Status.PlanRetryAt = &metav1.MicroTime{Time: at}
	return r.wait(ctx, p, after, at, reasonOf(err), err.Error())
}

// planImpossible ends a Promotion that the Stage's definition makes impossible,
// unless it came by itself: nobody would start that one again, so it waits for
// another definition.
func (r *PromotionReconciler) planImpossible(ctx context.Context, before, after *v1alpha1.Promotion, cause *step.TerminalError) (ctrl.Result, error) {
	if !after.Spec.Automatic || after.Spec.Kind == v1alpha1.KindRollback {
		return r.end(ctx, before, after, v1alpha1.PhaseFailed, cause.Reason, cause.Error())
	}
	after.Status.Plan, after.Status.Steps, after.Status.StartedAt, after.Status.PlanRetryAt = nil, nil, nil, nil
	r.phase(after, v1alpha1.PhasePending, cause.Reason, cause.Error())
	setStalled(&after.Status.Conditions, after.Generation, cause.Reason, after.Status.Message)
	return ctrl.Result{}, patchStatus(ctx, r.Client, before, after)
}

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
		if hasChanged(p.Status.Plan, plan) {
			work.Status.Plan, work.Status.Steps, work.Status.StartedAt, work.Status.Approvals = plan, nil, nil, nil
			return r.planChanged(ctx, o, before, work, freight)
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
		if work.Status.Commit != nil { // what was pushed is what the Stage runs
			now := metav1.MicroTime{Time: r.Clock.Now()}
			work.Status.PushedAt = &now
		}
		return r.end(ctx, before, work, v1alpha1.PhaseFailed, out.Failed.Reason, out.Failed.Error())
	case out.Done:
		now := metav1.MicroTime{Time: r.Clock.Now()}
		work.Status.PushedAt = &now
		r.phase(work, v1alpha1.PhaseSyncing, "WaitingForHealth", "pushed; the reconciler is on its way")
		if err := patchStatus(ctx, r.Client, before, work); err != nil {
			return ctrl.Result{}, err
		}
		r.writes.wrote(client.ObjectKeyFromObject(work), r.Clock.Now())
		if work.Spec.Kind == v1alpha1.KindPromote && len(o.Stage.Spec.Deploy) > 0 && work.Status.Commit != nil && !work.Status.Commit.Unchanged {
			// The Applications see status.commit and wake us when they reached it.
			return lookAgain(r.Clock.Now(), now.Add(healthTimeout(o.Stage))), nil
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

// judge concludes from health, and reverts by policy.
func (r *PromotionReconciler) judge(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	if p.Status.Phase == v1alpha1.PhaseSucceeded && !isCurrentPromotion(o, p) {
		return ctrl.Result{}, nil
	}
	reach, err := r.reach(ctx, o, p)
	if err != nil {
		return ctrl.Result{}, err
	}
	after := p.DeepCopy()
	var look time.Time
	if p.Status.Phase == v1alpha1.PhaseVerifying {
		if look, err = r.verify(ctx, o, p, after, reach); err != nil {
			return ctrl.Result{}, err
		}
	}
	v := promotion.JudgeHealth(o, after, reach)
	if v.Revert {
		if err := r.createRollback(ctx, o, p, v.Cause); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.rehearseRollback(ctx, o, after, v); err != nil {
		return ctrl.Result{}, err
	}
	after.Status.UnhealthySince = nil
	if !v.UnhealthySince.IsZero() {
		after.Status.UnhealthySince = &metav1.MicroTime{Time: v.UnhealthySince}
	}
	if v.Phase == v1alpha1.PhaseVerifying && p.Status.Phase != v.Phase {
		return r.beginVerifying(ctx, o, p, after, v)
	}
	if v.Phase.IsFinished() && !p.Status.Phase.IsFinished() || v.Phase != p.Status.Phase {
		r.stopRunning(ctx, after)
		return r.end(ctx, p, after, v.Phase, v.Reason, v.Message)
	}
	r.phase(after, v.Phase, v.Reason, v.Message)
	onlyWords := p.Status.Reason == after.Status.Reason && (p.Status.Rollback == nil) == (after.Status.Rollback == nil) && p.Status.UnhealthySince.Equal(after.Status.UnhealthySince) &&
		!hasProgressed(p.Status.Verification, after.Status.Verification)
	due, err := r.writes.patch(ctx, r.Client, p, after, onlyWords, o.Now)
	return lookAgain(o.Now, sooner(sooner(v.Recheck, look), due)), err
}

// isCurrentPromotion reports whether the Stage runs what p brought.
func isCurrentPromotion(o *promotion.Observation, p *v1alpha1.Promotion) bool {
	for _, c := range o.Stage.Status.Current {
		if c.Promotion == p.Name {
			return true
		}
	}
	return false
}

// phase writes the phase with its reason and the Ready condition.
func (r *PromotionReconciler) phase(p *v1alpha1.Promotion, phase v1alpha1.PromotionPhase, reason, message string) {
	p.Status.Phase, p.Status.Reason, p.Status.Message = phase, reason, truncate(message, 2048)
	setReady(&p.Status.Conditions, p.Generation, phase == v1alpha1.PhaseSucceeded, reason, p.Status.Message)
	setStalled(&p.Status.Conditions, p.Generation, "", "")
}

// wait leaves the Promotion Pending with its reason.
func (r *PromotionReconciler) wait(ctx context.Context, before, after *v1alpha1.Promotion, at time.Time, reason, message string) (ctrl.Result, error) {
	r.phase(after, v1alpha1.PhasePending, reason, message)
	return lookAgain(r.Clock.Now(), at), patchStatus(ctx, r.Client, before, after)
}

// finish ends the Promotion.
func (r *PromotionReconciler) finish(ctx context.Context, p *v1alpha1.Promotion, phase v1alpha1.PromotionPhase, reason, message string) (ctrl.Result, error) {
	return r.end(ctx, p, p.DeepCopy(), phase, reason, message)
}

func (r *PromotionReconciler) end(ctx context.Context, before, after *v1alpha1.Promotion, phase v1alpha1.PromotionPhase, reason, message string) (ctrl.Result, error) {
	if after.Status.FinishedAt == nil {
		now := metav1.MicroTime{Time: r.Clock.Now()}
		after.Status.FinishedAt = &now
	}
	for i := range after.Status.Steps {
		if st := &after.Status.Steps[i]; phase == v1alpha1.PhaseAborted && !promotion.HasEnded(st.State) {
			st.State = v1alpha1.StepAborted
		}
	}
	if v := after.Status.Verification; v != nil && !v.Phase.IsFinished() {
		promotion.EndVerification(v, v1alpha1.CheckAborted, message, r.Clock.Now())
	}
	if phase != v1alpha1.PhaseFailed || reason != promotion.ReasonGateClosed {
		after.Status.Gates = nil
	}
	r.phase(after, phase, reason, message)
	r.writes.forget(client.ObjectKeyFromObject(after))
	return ctrl.Result{}, patchStatus(ctx, r.Client, before, after)
}

func healthTimeout(s *v1alpha1.Stage) time.Duration {
	if s.Spec.Rollback.HealthTimeout == nil {
		return 5 * time.Minute
	}
	return s.Spec.Rollback.HealthTimeout.Duration
}

func abortText(a *v1alpha1.Abort) string {
	if a.Reason == "" {
		return "aborted by " + a.By
	}
	return fmt.Sprintf("aborted by %s: %s", a.By, a.Reason)
}

func gateText(closed []v1alpha1.GateVerdict) string {
	text := ""
	for i, v := range closed {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s: %s", v.Gate, v.Reason)
	}
	return text
}

// siblings wakes the other Promotions of a Stage that have not come to rest:
// one of them may be next, superseded, or rolled back.
func (r *PromotionReconciler) siblings(ctx context.Context, o client.Object) []ctrl.Request {
	p := o.(*v1alpha1.Promotion)
	out := r.unsettled(ctx, p.Namespace, p.Spec.Stage, p.Name)
	if p.Status.Plan != nil && p.Status.Plan.Undoes != "" && p.Status.PushedAt != nil {
		out = append(out, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Status.Plan.Undoes}})
	}
	return out
}

func (r *PromotionReconciler) ofApplication(ctx context.Context, o client.Object) []ctrl.Request {
	stage := o.GetLabels()[v1alpha1.LabelStage]
	if stage == "" {
		return nil
	}
	return r.unsettled(ctx, o.GetNamespace(), stage, "")
}

// ofStage wakes what waits for a change of the Stage's definition.
func (r *PromotionReconciler) ofStage(ctx context.Context, o client.Object) []ctrl.Request {
	return r.nudged(r.unsettled(ctx, o.GetNamespace(), o.GetName(), ""))
}

func (r *PromotionReconciler) ofFreeze(ctx context.Context, o client.Object) []ctrl.Request {
	stage := o.(*v1alpha1.Freeze).Spec.Stage
	if stage == "*" {
		stage = ""
	}
	return r.unsettled(ctx, o.GetNamespace(), stage, "")
}

// ofApproval wakes the Promotion that was decided about, and the others of its
// Stage: newer ones may have to wait behind it.
func (r *PromotionReconciler) ofApproval(ctx context.Context, o client.Object) []ctrl.Request {
	return r.unsettled(ctx, o.GetNamespace(), o.(*v1alpha1.Approval).Spec.Stage, "")
}

// ofProject wakes what may have waited for a window.
func (r *PromotionReconciler) ofProject(ctx context.Context, o client.Object) []ctrl.Request {
	return r.unsettled(ctx, o.GetName(), "", "")
}

// ofTask wakes what waits for a definition that can run.
func (r *PromotionReconciler) ofTask(ctx context.Context, o client.Object) []ctrl.Request {
	return r.nudged(r.unsettled(ctx, o.GetNamespace(), "", ""))
}

// everyUnsettled wakes all Promotions that have not come to rest.
func (r *PromotionReconciler) everyUnsettled(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.unsettled(ctx, metav1.NamespaceAll, "", "")
}

func (r *PromotionReconciler) unsettled(ctx context.Context, namespace, stage, except string) []ctrl.Request {
	opts := []client.ListOption{client.InNamespace(namespace)}
	if stage != "" {
		opts = append(opts, client.MatchingFields{observe.PromotionByStage: stage})
	}
	var list v1alpha1.PromotionList
	if err := r.Client.List(ctx, &list, opts...); err != nil {
		return nil // the cache is not started yet; its first sync wakes them anyway
	}
	newest := newestFinished(list.Items)
	var out []ctrl.Request
	for i := range list.Items {
		q := &list.Items[i]
		// Of those that ended, only the newest of a Stage can still change: it
		// may turn bad, or be rolled back.
		if q.Name == except || isSettled(q) || (q.Status.Phase.IsFinished() && newest[q.Spec.Stage] != q.Name) {
			continue
		}
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(q)})
	}
	return out
}

// newestFinished returns, by Stage, the ended promotion with a commit that has
// the highest number.
func newestFinished(all []v1alpha1.Promotion) map[string]string {
	newest := map[string]string{}
	for i := range all {
		p := &all[i]
		if !p.Status.Phase.IsFinished() || p.Status.Commit == nil || p.Spec.Kind == v1alpha1.KindRollback {
			continue
		}
		if best, ok := newest[p.Spec.Stage]; !ok || promotion.Seq(p.Name) > promotion.Seq(best) {
			newest[p.Spec.Stage] = p.Name
		}
	}
	return newest
}

// ofSecret wakes, after a change of a credential Secret, the Promotions that
// wait after an error: what they lacked may be there now.
func (r *PromotionReconciler) ofSecret(ctx context.Context, o client.Object) []ctrl.Request {
	return r.nudged(r.unsettled(ctx, concernedBy(o, r.SystemNamespace), "", ""))
}

// stopAborted ends what is under way for a Promotion that was just aborted, so
// that a server that does not answer holds nobody up.
func (r *PromotionReconciler) stopAborted(_ context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	was, isOld := e.ObjectOld.(*v1alpha1.Promotion)
	is, isNew := e.ObjectNew.(*v1alpha1.Promotion)
	if isOld && isNew && was.Spec.Abort == nil && is.Spec.Abort != nil {
		r.inFlight.stop(client.ObjectKeyFromObject(is))
	}
}

// nudged makes requests be tried now, whenever they are due.
func (r *PromotionReconciler) nudged(all []ctrl.Request) []ctrl.Request {
	for _, req := range all {
		r.nudges.put(req.NamespacedName)
	}
	return all
}

// nudges remembers objects that are to be tried now although their time to
// retry has not come.
type nudges struct {
	mu   sync.Mutex
	keys map[types.NamespacedName]bool
}

func (n *nudges) put(key types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keys == nil {
		n.keys = map[types.NamespacedName]bool{}
	}
	n.keys[key] = true
}

// take reports whether key was put since it was last taken.
func (n *nudges) take(key types.NamespacedName) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.keys[key]
	delete(n.keys, key)
	return was
}
