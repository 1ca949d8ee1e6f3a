package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/jobs"
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
	// Jobs of steps; nil: there are none.
	Jobs *jobs.Runner
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
	own      ownWrites
}

// NewPromotionReconciler returns a reconciler for Promotions.
func NewPromotionReconciler(o PromotionOptions) *PromotionReconciler {
	r := &PromotionReconciler{PromotionOptions: o, Checks: newCheckLookups()}
	r.Client = &notingClient{Client: o.Client, note: func(p *v1alpha1.Promotion) { r.own.wrote(p, p.Spec.Stage, r.Clock.Now()) }}
	return r
}

// SetupWithManager registers the controller and what wakes it.
func (r *PromotionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(r.Checks); err != nil {
		return fmt.Errorf("set up the checks: %w", err)
	}
	if r.Jobs != nil {
		r.Jobs.OnEnd(r.jobEnded)
		if err := mgr.Add(r.Jobs); err != nil {
			return fmt.Errorf("set up the Jobs of steps: %w", err)
		}
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("promotion").
		For(&v1alpha1.Promotion{}).
		Watches(&v1alpha1.Promotion{}, handler.EnqueueRequestsFromMapFunc(r.siblings)).
		Watches(&v1alpha1.Promotion{}, handler.Funcs{UpdateFunc: r.stopAborted}).
		Watches(&v1alpha1.Promotion{}, handler.Funcs{UpdateFunc: r.wakeRequested}).
		Watches(&v1alpha1.Application{}, handler.EnqueueRequestsFromMapFunc(r.ofApplication)).
		Watches(&v1alpha1.Stage{}, handler.EnqueueRequestsFromMapFunc(r.ofStage), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Freeze{}, handler.EnqueueRequestsFromMapFunc(r.ofFreeze)).
		Watches(&v1alpha1.Approval{}, handler.EnqueueRequestsFromMapFunc(r.ofApproval)).
		Watches(&v1alpha1.Project{}, handler.EnqueueRequestsFromMapFunc(r.ofProject), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.PromotionTask{}, handler.EnqueueRequestsFromMapFunc(r.ofTask)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret), builder.WithPredicates(credentialSecret())).
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
	if r.own.isOutdated(&p, r.Clock.Now()) {
		return ctrl.Result{RequeueAfter: time.Second}, nil // what it is now wakes us, usually before that
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
	isKnown := false
	if o.PoliciesMissing, isKnown = r.Policies.Missing(); !isKnown {
		return ctrl.Result{}, nil // woken when it is
	}
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
	if by := rolledBackBy(o, p); by != nil {
		after := p.DeepCopy()
		after.Status.RolledBackBy = by.Name
		r.stopRunning(ctx, p)
		return r.end(ctx, p, after, v1alpha1.PhaseRolledBack, promotion.ReasonRolledBack, takenBackText(by))
	}
	if p.Spec.Abort != nil && (!p.Status.Phase.IsFinished() || promotion.IsInDoubt(p) && p.Status.Phase != v1alpha1.PhaseSucceeded) {
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
	if after.Status.PushedAt == nil {
		r.stopsHere(after)
	}
	_, err = r.end(ctx, p, after, v1alpha1.PhaseAborted, promotion.ReasonAborted, message)
	return lookAgain(r.Clock.Now(), retryAt), err
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

func abortText(a *v1alpha1.Abort) string {
	if a.Reason == "" {
		return "aborted by " + promotion.Person(a.By)
	}
	return fmt.Sprintf("aborted by %s: %s", promotion.Person(a.By), a.Reason)
}
