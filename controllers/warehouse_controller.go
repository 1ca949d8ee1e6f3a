package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/gitsource"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

const (
	// pollsAtATime bounds the subscriptions of one Warehouse polled at once.
	pollsAtATime = 8
	// defaultInterval is the interval of a Warehouse that the API server did not
	// fill in.
	defaultInterval = 5 * time.Minute
	// newSpecMaxAge is how old an answer may be that a changed Warehouse takes
	// over from another: 50 that are applied together cost one poll.
	newSpecMaxAge = time.Minute
)

// WarehouseOptions are what a WarehouseReconciler needs.
type WarehouseOptions struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Registry asks image registries; shared by all Warehouses.
	Registry *registry.Client
	// Git asks Git repositories, and Charts chart repositories.
	Git    *gitsource.Source
	Charts *chart.Source
	// Remote finds a Git repository with the credential of a Project.
	Remote func(ctx context.Context, project, repoURL string) (git.Remote, error)
	// Credentials finds the credential of a repository for a Project.
	Credentials func(ctx context.Context, kind credentials.Type, project, repoURL string) (credentials.Credential, error)
	// SystemNamespace is where credentials of several Projects are.
	SystemNamespace string
	// Clock tells the time; never nil.
	Clock clock.PassiveClock
	// Concurrency is how many Warehouses are reconciled at a time.
	Concurrency int
}

// WarehouseReconciler polls what a Warehouse subscribes to and makes Freight.
type WarehouseReconciler struct {
	WarehouseOptions
	turns turns
	// pollNow are Warehouses whose wait after a failure is over, because a
	// credential changed. It only makes things faster: what a restart forgets
	// is polled when it is due.
	pollNow nudges
}

// NewWarehouseReconciler returns a reconciler for Warehouses.
func NewWarehouseReconciler(o WarehouseOptions) *WarehouseReconciler {
	return &WarehouseReconciler{WarehouseOptions: o}
}

// SetupWithManager registers the controller and what wakes it.
func (r *WarehouseReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("warehouse").
		For(&v1alpha1.Warehouse{}, builder.WithPredicates(predicate.Or(specOrRequestChanged(), hookChanged()))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.failingWarehouses), builder.WithPredicates(credentialSecret())).
		Watches(&v1alpha1.Stage{}, handler.EnqueueRequestsFromMapFunc(r.ofRecord), builder.WithPredicates(recordChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(r.Concurrency, networkWorkers)}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the Warehouse controller: %w", err)
	}
	return nil
}

// Reconcile polls when a poll is due and creates Freight when there is news.
func (r *WarehouseReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var w v1alpha1.Warehouse
	if err := r.Client.Get(ctx, req.NamespacedName, &w); err != nil || w.DeletionTimestamp != nil {
		return settle(ctrl.Result{}, err)
	}
	now := r.Clock.Now()
	subscriptions, criteria, err := r.compile(&w)
	if err != nil {
		return r.invalid(ctx, &w, err)
	}
	asked := r.pollNow.take(req.NamespacedName)
	if due := nextPoll(&w, now); !asked && now.Before(due) && !awaitedRecords(&w) {
		return lookAgain(now, due), nil
	}
	end, later := r.turns.take(w.Namespace, projectShare)
	if end == nil {
		if asked {
			r.pollNow.put(req.NamespacedName)
		}
		return later, nil
	}
	defer end()
	after := w.DeepCopy()
	r.poll(ctx, after, subscriptions, now, asked)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	made, freight, err := r.makeFreight(ctx, after, criteria)
	var records *recordsError
	if errors.As(err, &records) {
		after.Status.ObservedGeneration, after.Status.LastHandledRequest = w.Generation, requestOf(&w)
		setReady(&after.Status.Conditions, w.Generation, false, reasonReadingRecord, err.Error())
		return settle(lookAgain(r.Clock.Now(), sooner(records.until, nextPoll(after, now))), patchStatus(ctx, r.Client, &w, after))
	}
	if err != nil && !errors.Is(err, warehouse.ErrInvalid) {
		return settle(ctrl.Result{}, err)
	}
	unproven := r.proveFreight(ctx, after, freight, subscriptions, oldest(&w, v1alpha1.SubscriptionStatus{}, now, asked))
	after.Status.ObservedGeneration = w.Generation
	after.Status.LastHandledRequest = requestOf(&w)
	warehouseConditions(after, made, err)
	if unproven != nil && meta.IsStatusConditionTrue(after.Status.Conditions, v1alpha1.ConditionReady) {
		setReady(&after.Status.Conditions, w.Generation, false, reasonSignaturesUnknown, unproven.Error())
	}
	return settle(lookAgain(r.Clock.Now(), nextPoll(after, now)), patchStatus(ctx, r.Client, &w, after))
}

func (r *WarehouseReconciler) invalid(ctx context.Context, w *v1alpha1.Warehouse, cause error) (ctrl.Result, error) {
	after := w.DeepCopy()
	after.Status.ObservedGeneration = w.Generation
	after.Status.LastHandledRequest = requestOf(w)
	setReady(&after.Status.Conditions, w.Generation, false, "InvalidSubscription", cause.Error())
	setStalled(&after.Status.Conditions, w.Generation, "InvalidSubscription", cause.Error())
	return settle(ctrl.Result{}, patchStatus(ctx, r.Client, w, after))
}

// nextPoll returns when the Warehouse is due: at once after a change of its
// spec or a request, else when the first of its subscriptions is.
func nextPoll(w *v1alpha1.Warehouse, now time.Time) time.Time {
	s := &w.Status
	if s.ObservedGeneration != w.Generation || s.LastHandledRequest != requestOf(w) || len(s.Subscriptions) != len(w.Spec.Subscriptions) {
		return now
	}
	var next time.Time
	for i, sub := range s.Subscriptions {
		if sub.NextPoll == nil || isHooked(w, w.Spec.Subscriptions[i], sub) {
			return now
		}
		next = sooner(next, sub.NextPoll.Time)
	}
	return next
}

// oldest returns how old the answer to a subscription may be: what another
// Warehouse asked within the interval with the same credential is taken over,
// unless somebody wants to know now. Its own last answer is never good enough
// for an unchanged subscription that is due.
func oldest(w *v1alpha1.Warehouse, s v1alpha1.SubscriptionStatus, start time.Time, asked bool) time.Time {
	switch {
	case asked, w.Status.LastHandledRequest != requestOf(w):
		return start
	case w.Status.ObservedGeneration != w.Generation:
		return start.Add(-min(interval(w), newSpecMaxAge))
	}
	at := start.Add(-interval(w))
	if s.LastPoll != nil { // which was cut to whole seconds
		if own := s.LastPoll.Add(time.Second); own.After(at) {
			return own
		}
	}
	return at
}

func interval(w *v1alpha1.Warehouse) time.Duration {
	if d := w.Spec.Interval.Duration; d > 0 {
		return d
	}
	return defaultInterval
}

// hookedAt is when a webhook woke the subscription: all that it woke share what
// was asked after that. What is no instant of the past means now.
func hookedAt(told string, now time.Time) time.Time {
	at, err := time.Parse(time.RFC3339Nano, told)
	if err != nil || at.After(now) {
		return now
	}
	return at
}

// later returns the later of two instants.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// isFailing reports whether the last poll learned nothing. One that succeeded
// may carry an error too: no tag matched, or the newest could not be read.
func isFailing(s v1alpha1.SubscriptionStatus) bool {
	return s.Error != "" && (s.LastSuccess == nil || !s.LastSuccess.Equal(s.LastPoll))
}

// poll asks for the subscriptions that are due, for all when asked, and writes
// the results into the status. One that fails hides no other.
func (r *WarehouseReconciler) poll(ctx context.Context, w *v1alpha1.Warehouse, subscriptions []subscription, start time.Time, asked bool) {
	old := w.Status.Subscriptions
	isChanged := w.Status.ObservedGeneration != w.Generation || w.Status.LastHandledRequest != requestOf(w)
	results := make([]v1alpha1.SubscriptionStatus, len(subscriptions))
	var group errgroup.Group
	group.SetLimit(pollsAtATime)
	for i, sub := range subscriptions {
		before := sub.identity().Find(old)
		told, hooked := hookOf(w, w.Spec.Subscriptions[i]), isHooked(w, w.Spec.Subscriptions[i], before)
		notBefore := oldest(w, before, start, asked)
		if hooked {
			notBefore = later(notBefore, hookedAt(told, start))
		}
		if !asked && !hooked && !isChanged && before.NextPoll != nil && start.Before(before.NextPoll.Time) {
			results[i] = before
			continue
		}
		group.Go(func() error {
			result := sub.poll(ctx, w.Namespace, before, notBefore)
			s := sub.merge(before, result)
			next := warehouse.NextPoll(s, result, interval(w), w.CreationTimestamp.Time)
			s.NextPoll, s.LastHandledHook = &next, told
			results[i] = s
			return nil
		})
	}
	_ = group.Wait() // every error is in its result
	w.Status.Subscriptions = results
}

// warehouseConditions says whether every subscription answers and Freight can
// be made.
func warehouseConditions(w *v1alpha1.Warehouse, made warehouse.Assembly, invalid error) {
	g := w.Generation
	setStalled(&w.Status.Conditions, g, "", "")
	if invalid != nil {
		setReady(&w.Status.Conditions, g, false, "InvalidSubscription", invalid.Error())
		setStalled(&w.Status.Conditions, g, "InvalidSubscription", invalid.Error())
		return
	}
	var reason string
	var messages []string
	for _, s := range w.Status.Subscriptions {
		if s.Error != "" {
			if reason == "" {
				reason = s.Reason
			}
			messages = append(messages, s.Error)
		}
	}
	switch {
	case len(messages) > 0:
		if reason == "" {
			reason = "PollFailed"
		}
		setReady(&w.Status.Conditions, g, false, reason, truncate(strings.Join(messages, "; "), 4096))
	case len(made.Missing) > 0:
		setReady(&w.Status.Conditions, g, false, "NoFreight", "no candidate yet for "+strings.Join(made.Missing, ", "))
	case made.IsHeldBack:
		setReady(&w.Status.Conditions, g, true, "CriteriaNotMet", "the newest candidates do not meet freightCreationCriteria: no Freight is made of them")
	default:
		setReady(&w.Status.Conditions, g, true, "Watching", fmt.Sprintf("watching %d repositories", len(w.Status.Subscriptions)))
	}
}

// concernedBy returns the Namespace whose objects a change of a credential
// Secret concerns: its own, or all for one in Waybill's, which may be shared.
// Nobody else's Secret wakes another Project.
func concernedBy(o client.Object, systemNamespace string) string {
	if systemNamespace != "" && o.GetNamespace() == systemNamespace {
		return metav1.NamespaceAll
	}
	return o.GetNamespace()
}

// failingWarehouses wakes, after a change of a credential Secret, the
// Warehouses that may have waited for it: those with an error, in its Project
// or, for a shared Secret, in any.
func (r *WarehouseReconciler) failingWarehouses(ctx context.Context, o client.Object) []ctrl.Request {
	var list v1alpha1.WarehouseList
	if err := r.Client.List(ctx, &list, client.InNamespace(concernedBy(o, r.SystemNamespace))); err != nil {
		return nil // the cache is not started yet; its first sync wakes them anyway
	}
	var out []ctrl.Request
	for i := range list.Items {
		for _, s := range list.Items[i].Status.Subscriptions {
			if isFailing(s) {
				r.pollNow.put(client.ObjectKeyFromObject(&list.Items[i]))
				out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
				break
			}
		}
	}
	return out
}
