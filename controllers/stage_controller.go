package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/observe"
)

// StageOptions are what a StageReconciler needs.
type StageOptions struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Clock tells the time; never nil.
	Clock clock.PassiveClock
	// Policies says which admission policies are missing; while any is, no
	// Promotion is created.
	Policies PolicyWatch
	// Concurrency is how many Stages are reconciled at a time.
	Concurrency int
}

// PolicyWatch says which of Waybill's admission policies are not in force.
type PolicyWatch interface {
	// Missing returns the names of policies and bindings that are absent or
	// were changed, sorted; nil when all are in force. Nothing is known of them
	// before the first look at them: then nothing starts, and nobody is told that
	// they are missing.
	Missing() (names []string, isKnown bool)
	// Changed returns a channel that gets an event when all are in force, at first
	// or again, and when one is missing that cannot be put back.
	Changed() <-chan event.GenericEvent
}

// StageReconciler keeps a Stage's Applications, its record of Freight, and
// starts what moves in by itself.
type StageReconciler struct {
	StageOptions
	writes  lazyWrites
	numbers usedNumbers
	own     ownWrites
	held    heldEntries
}

// staleRecheck is how soon a Stage is looked at again whose cached copy is older than
// what was just written; the write itself wakes nobody.
const staleRecheck = 20 * time.Millisecond

// NewStageReconciler returns a reconciler for Stages.
func NewStageReconciler(o StageOptions) *StageReconciler { return &StageReconciler{StageOptions: o} }

// SetupWithManager registers the controller and what wakes it
// (10-contracts, Who wakes whom).
func (r *StageReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("stage").
		For(&v1alpha1.Stage{}, builder.WithPredicates(predicate.Or(specOrRequestChanged(), recordChanged()))).
		Watches(&v1alpha1.Promotion{}, handler.EnqueueRequestsFromMapFunc(stageOfPromotion)).
		Watches(&v1alpha1.Application{}, handler.EnqueueRequestsFromMapFunc(stageOfApplication)).
		Watches(&v1alpha1.Freight{}, handler.EnqueueRequestsFromMapFunc(r.stagesOfFreight)).
		Watches(&v1alpha1.Stage{}, handler.EnqueueRequestsFromMapFunc(r.neighbours), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Freeze{}, handler.EnqueueRequestsFromMapFunc(r.stagesOfFreeze)).
		Watches(&v1alpha1.Project{}, handler.EnqueueRequestsFromMapFunc(r.stagesOfProject), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.PromotionTask{}, handler.EnqueueRequestsFromMapFunc(r.stagesOfTask)).
		Watches(&v1alpha1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.stagesOfClusters), builder.WithPredicates(predicate.Or(existenceOnly(), predicate.LabelChangedPredicate{}))).
		Watches(&v1alpha1.Warehouse{}, handler.EnqueueRequestsFromMapFunc(r.stagesOfWarehouse), builder.WithPredicates(predicate.Or(existenceOnly(), predicate.GenerationChangedPredicate{}))).
		WatchesRawSource(source.Channel(r.Policies.Changed(), handler.EnqueueRequestsFromMapFunc(r.everyStage))).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(r.Concurrency, 1)}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the Stage controller: %w", err)
	}
	return nil
}

// Reconcile observes one Stage, decides, and enacts.
func (r *StageReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now()
	o, err := observe.Stage(ctx, r.Client, req.NamespacedName, now)
	if apierrors.IsNotFound(err) {
		r.writes.forget(req.NamespacedName)
		r.numbers.forget(req.NamespacedName)
		r.held.keep(req.NamespacedName, nil)
	}
	if err != nil || o.Stage.DeletionTimestamp != nil {
		return settle(ctrl.Result{}, err)
	}
	if r.own.isOutdated(o.Stage, now) {
		return ctrl.Result{RequeueAfter: staleRecheck}, nil // a write on it would be refused
	}
	isKnown := false
	if o.PoliciesMissing, isKnown = r.Policies.Missing(); !isKnown {
		return ctrl.Result{}, nil // woken when it is
	}
	apps, err := r.applications(ctx, o.Stage)
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	warehouses, err := r.warehouseNames(ctx, req.Namespace)
	if err != nil {
		return settle(ctrl.Result{}, err)
	}

	before := o.Stage.DeepCopy()
	problems := promotion.CheckStage(o.Stage, o.Stages, warehouses, o.Tasks)
	taken, err := r.ensureApplications(ctx, o.Stage, apps)
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	problems = append(problems, taken...)
	stageStatus(o, apps)
	o.Stage.Status.LastSeq = max(o.Stage.Status.LastSeq, r.numbers.get(req.NamespacedName))
	decision := promotion.Decide(o)
	recordUntil := awaitsRecord(o.Stage, now)
	if len(problems) > 0 || len(o.PoliciesMissing) > 0 || !recordUntil.IsZero() {
		decision.Create = nil
	}

	recordDue, err := r.recordFreight(ctx, o, apps)
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	if decision.Create != nil {
		c := r.numbers.known(req.NamespacedName, *decision.Create, o.Promotions)
		if err := r.createPromotion(ctx, o.Stage, &c); err != nil {
			return settle(ctrl.Result{}, err)
		}
		r.numbers.put(req.NamespacedName, c)
		r.writes.wrote(req.NamespacedName, now) // the new Promotion wakes us: its number goes along with what it does
		o.Stage.Status.LastSeq = max(o.Stage.Status.LastSeq, c.Seq)
	}
	stageConditions(o, problems)
	due, err := r.writes.patch(ctx, r.Client, before, o.Stage, onlyWordsOfStage(&before.Status, &o.Stage.Status), now)
	if err == nil && o.Stage.ResourceVersion != before.ResourceVersion {
		r.own.wrote(o.Stage, o.Stage.Name, now)
	}
	due = sooner(due, recordDue)
	if len(taken) > 0 {
		due = sooner(due, now.Add(takenRecheck))
	}
	return settle(lookAgain(now, sooner(sooner(decision.Recheck, promotion.SummaryChanges(o)), due)), err)
}

func (r *StageReconciler) warehouseNames(ctx context.Context, namespace string) ([]string, error) {
	var list v1alpha1.WarehouseList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list Warehouses of %q: %w", namespace, err)
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names, nil
}

// createPromotion creates the automatic Promotion under its deterministic
// name; one that exists is the same decision, made before.
func (r *StageReconciler) createPromotion(ctx context.Context, stage *v1alpha1.Stage, c *promotion.Candidate) error {
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{
		Stage: stage.Name, Kind: v1alpha1.KindPromote, Freight: c.Freight, Automatic: true,
		RequestedBy: v1alpha1.PolicyUser,
	}}
	p.Namespace, p.Name = stage.Namespace, c.Name
	p.Labels = map[string]string{v1alpha1.LabelStage: stage.Name}
	if err := r.Client.Create(ctx, p); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Promotion %q: %w", c.Name, err)
	}
	return nil
}

// recordFreight writes what this Stage knows about each Freight into the
// Freight's status, under the Stage's own key. It returns when to write what it
// held back; zero: nothing was.
func (r *StageReconciler) recordFreight(ctx context.Context, o *promotion.Observation, apps []v1alpha1.Application) (due time.Time, err error) {
	isSettled, active := promotion.Settled(o.Stage), o.Active()
	health := v1alpha1.HealthHealthy
	if len(o.Stage.Spec.Deploy) > 0 {
		health = v1alpha1.HealthUnknown
		if o.Stage.Status.Health != nil {
			health = o.Stage.Status.Health.Status
		}
	}
	stage := client.ObjectKeyFromObject(o.Stage)
	before, held := r.held.of(stage), map[string]v1alpha1.FreightInStage{}
	for i := range o.Freight {
		f := &o.Freight[i]
		stored, known := f.Status.Stages[o.Stage.Name]
		rec := stored
		if entered, isHeld := before[f.Name]; isHeld && !known {
			rec, known = entered, true
		}
		next := rec
		switch {
		case promotion.IsControlFlow(o.Stage):
			next = passThrough(o, f, rec)
		case isCurrent(o.Stage, f) || known:
			// Until a Promotion has pushed, what is here soaks on. It is not
			// verified for the first time while something else is on its way in.
			settled := isSettled && (active == nil || active.Status.PushedAt == nil && rec.VerifiedAt != nil) && isProven(o, apps, f)
			next = promotion.NextRecord(rec, isCurrent(o.Stage, f), settled, health, o.Now)
			if settled && isCurrent(o.Stage, f) {
				next.Bases = provenBases(o, rec.Bases)
			}
		}
		if next.VerifiedAt != nil && promotion.HasFailedChecks(o, f) {
			next = promotion.Unverified(next, o.Now)
		}
		if sameRecord(stored, next) {
			continue
		}
		if at := entryDue(o, stored, next); o.Now.Before(at) {
			due, held[f.Name] = sooner(due, at), next
			continue
		}
		changed := f.DeepCopy()
		if changed.Status.Stages == nil {
			changed.Status.Stages = map[string]v1alpha1.FreightInStage{}
		}
		changed.Status.Stages[o.Stage.Name] = next
		if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(f)); err != nil {
			return time.Time{}, fmt.Errorf("record Stage %q in Freight %q: %w", o.Stage.Name, f.Name, err)
		}
	}
	r.held.keep(stage, held)
	return due, nil
}

// stageOfPromotion wakes the Stage a Promotion belongs to.
func stageOfPromotion(_ context.Context, o client.Object) []ctrl.Request {
	p := o.(*v1alpha1.Promotion)
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.Stage}}}
}

// stageOfApplication wakes the Stage that owns an Application.
func stageOfApplication(_ context.Context, o client.Object) []ctrl.Request {
	name := o.GetLabels()[v1alpha1.LabelStage]
	if name == "" {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// stagesOfFreight wakes every Stage that requests the Freight's origin:
// those directly behind the Warehouse and those downstream of any other.
func (r *StageReconciler) stagesOfFreight(ctx context.Context, o client.Object) []ctrl.Request {
	return r.stagesThat(ctx, o.GetNamespace(), func(s *v1alpha1.Stage) bool {
		return promotion.Request(s, o.(*v1alpha1.Freight).Origin.Name) != nil
	})
}

// neighbours wakes the other Stages of the Project after a Stage was made,
// changed or deleted: a cycle, a missing upstream or a shared branch of theirs
// may have come or gone.
func (r *StageReconciler) neighbours(ctx context.Context, o client.Object) []ctrl.Request {
	return r.stagesThat(ctx, o.GetNamespace(), func(s *v1alpha1.Stage) bool { return s.Name != o.GetName() })
}

func (r *StageReconciler) stagesOfFreeze(ctx context.Context, o client.Object) []ctrl.Request {
	stage := o.(*v1alpha1.Freeze).Spec.Stage
	return r.stagesThat(ctx, o.GetNamespace(), func(s *v1alpha1.Stage) bool { return stage == "*" || s.Name == stage })
}

// stagesOfProject wakes the Stages that pass Freight on: a window may have been
// in its way. What is promoted is the Promotions' concern.
func (r *StageReconciler) stagesOfProject(ctx context.Context, o client.Object) []ctrl.Request {
	return r.stagesThat(ctx, o.GetName(), promotion.IsControlFlow)
}

func (r *StageReconciler) stagesOfWarehouse(ctx context.Context, o client.Object) []ctrl.Request {
	return r.stagesThat(ctx, o.GetNamespace(), func(s *v1alpha1.Stage) bool {
		return promotion.Request(s, o.GetName()) != nil
	})
}

// stagesOfTask wakes the Stages whose template calls the task.
func (r *StageReconciler) stagesOfTask(ctx context.Context, o client.Object) []ctrl.Request {
	return r.stagesThat(ctx, o.GetNamespace(), func(s *v1alpha1.Stage) bool { return promotion.CallsTask(s, o.GetName()) })
}

func (r *StageReconciler) stagesThat(ctx context.Context, namespace string, match func(*v1alpha1.Stage) bool) []ctrl.Request {
	var stages v1alpha1.StageList
	if err := r.Client.List(ctx, &stages, client.InNamespace(namespace)); err != nil {
		return nil // the cache is not started yet; its first sync wakes every Stage anyway
	}
	var out []ctrl.Request
	for i := range stages.Items {
		if match(&stages.Items[i]) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&stages.Items[i])})
		}
	}
	return out
}

// stagesOfClusters wakes the Stages that deploy to Clusters by their labels.
func (r *StageReconciler) stagesOfClusters(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.stagesThat(ctx, metav1.NamespaceAll, promotion.SelectsClusters)
}

// everyStage wakes all Stages.
func (r *StageReconciler) everyStage(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.stagesThat(ctx, metav1.NamespaceAll, func(*v1alpha1.Stage) bool { return true })
}
