package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/observe"
)

// HistoryStore is where records are written.
type HistoryStore interface {
	PutPromotion(ctx context.Context, p history.Promotion) error
	Recorded(ctx context.Context, uids []string) (map[string]string, error)
	PutEntry(ctx context.Context, e history.Entry) error
	Written(ctx context.Context, keys []string) (map[string]bool, error)
	Unended(ctx context.Context, project string) ([]history.Entry, error)
}

// HistoryOptions are what a HistoryReconciler needs.
type HistoryOptions struct {
	// Client reads from the cache, and deletes what is recorded.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Store is written to.
	Store HistoryStore
	// Clock tells the time; never nil.
	Clock clock.PassiveClock
	// Keep is how many finished Promotions of a Stage stay as objects; 0 keeps
	// all.
	Keep int
}

// Times and sizes of the recorder.
const (
	// storeRetry is how long a store that failed is left alone.
	storeRetry = 10 * time.Second
	// prunedAtOnce bounds how many objects one pass deletes.
	prunedAtOnce = 50
)

// HistoryReconciler writes records of finished Promotions, Stage by Stage, and
// deletes the objects of the oldest once their records are confirmed.
//
// What it owes is read from the objects each time, so that a restart loses
// nothing. A store that does not answer is asked again every storeRetry; nothing
// else waits for it.
type HistoryReconciler struct {
	HistoryOptions
	debts debts

	mu sync.Mutex
	// confirmed is the digest of each record the store is known to have, by the
	// UID of an object that exists.
	confirmed map[types.NamespacedName]map[string]string
	// gone are Promotions that were deleted before their record was confirmed.
	gone map[types.NamespacedName]map[string]*v1alpha1.Promotion
}

// NewHistoryReconciler returns a recorder of Promotions.
func NewHistoryReconciler(o HistoryOptions) *HistoryReconciler {
	return &HistoryReconciler{
		HistoryOptions: o, debts: newDebts("promotion"),
		confirmed: map[types.NamespacedName]map[string]string{}, gone: map[types.NamespacedName]map[string]*v1alpha1.Promotion{},
	}
}

// Collectors returns the recorder's metrics.
func (r *HistoryReconciler) Collectors() []prometheus.Collector { return r.debts.collectors() }

// SetupWithManager registers the controller: what ends a Promotion, or deletes
// one, wakes its Stage.
func (r *HistoryReconciler) SetupWithManager(mgr ctrl.Manager) error {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	wake := func(o client.Object, q queue) {
		for _, req := range stageOfPromotion(context.Background(), o) {
			q.Add(req)
		}
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("history").
		Watches(&v1alpha1.Promotion{}, handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wake(e.Object, q) },
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
				if e.ObjectNew.(*v1alpha1.Promotion).Status.Phase.IsFinished() {
					wake(e.ObjectNew, q)
				}
			},
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
				r.Remember(e.Object.(*v1alpha1.Promotion))
				wake(e.Object, q)
			},
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the history controller: %w", err)
	}
	return nil
}

// Remember keeps a deleted Promotion until its record is confirmed.
func (r *HistoryReconciler) Remember(p *v1alpha1.Promotion) {
	if !p.Status.Phase.IsFinished() {
		return
	}
	key := types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.Stage}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone[key] == nil {
		r.gone[key] = map[string]*v1alpha1.Promotion{}
	}
	r.gone[key][string(p.UID)] = p
}

// Reconcile writes what is owed of one Stage, then prunes.
func (r *HistoryReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now()
	if at := r.debts.closedUntil(now); !at.IsZero() {
		return lookAgain(now, at), nil
	}
	owed, records, err := r.owed(ctx, req.NamespacedName)
	if err == nil {
		r.debts.owe(req.NamespacedName, len(owed))
		for i, record := range owed {
			if err = r.put(ctx, req.NamespacedName, record); err != nil {
				break
			}
			r.debts.owe(req.NamespacedName, len(owed)-i-1)
		}
	}
	if err != nil {
		return r.debts.settle(ctx, now, err)
	}
	r.debts.worked()
	return settle(r.prune(ctx, req.NamespacedName, records, now))
}

// owed returns the records of a Stage that the store is not known to have, the
// oldest first, and all of those whose objects exist, by UID.
func (r *HistoryReconciler) owed(ctx context.Context, stage types.NamespacedName) (owed, all []history.Promotion, err error) {
	var list v1alpha1.PromotionList
	if err := r.Client.List(ctx, &list, client.InNamespace(stage.Namespace), client.MatchingFields{observe.PromotionByStage: stage.Name}); err != nil {
		return nil, nil, fmt.Errorf("list Promotions of %q: %w", stage, err)
	}
	var freight v1alpha1.FreightList
	if err := r.Client.List(ctx, &freight, client.InNamespace(stage.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("list Freight of %q: %w", stage.Namespace, err)
	}
	byName := make(map[string]*v1alpha1.Freight, len(freight.Items))
	for i := range freight.Items {
		byName[freight.Items[i].Name] = &freight.Items[i]
	}
	find := func(name string) *v1alpha1.Freight { return byName[name] }

	exists := map[string]bool{}
	for i := range list.Items {
		p := &list.Items[i]
		exists[string(p.UID)] = true
		if p.Status.Phase.IsFinished() {
			all = append(all, history.OfPromotion(p, promotion.Seq(p.Name), find))
		}
	}
	r.mu.Lock()
	for uid, p := range r.gone[stage] {
		if !exists[uid] {
			owed = append(owed, history.OfPromotion(p, promotion.Seq(p.Name), find))
		}
	}
	r.mu.Unlock()
	known, err := r.known(ctx, stage, append(owed, all...))
	if err != nil {
		return nil, nil, err
	}
	both := append(owed, all...)
	owed = nil
	for i := range both {
		digest, err := both[i].Digest()
		if err != nil {
			return nil, nil, err //nolint:wrapcheck // names the record
		}
		if known[both[i].UID] != digest {
			owed = append(owed, both[i])
		} else if !exists[both[i].UID] {
			r.settled(stage, both[i].UID)
		}
	}
	r.forgetOthers(stage, exists)
	return owed, all, nil
}

// known returns the digests of records by UID; the store is asked for those it
// was not asked for before.
func (r *HistoryReconciler) known(ctx context.Context, stage types.NamespacedName, records []history.Promotion) (map[string]string, error) {
	known := map[string]string{}
	var unknown []string
	r.mu.Lock()
	for i := range records {
		uid := records[i].UID
		if digest, ok := r.confirmed[stage][uid]; ok {
			known[uid] = digest
		} else {
			unknown = append(unknown, uid)
		}
	}
	r.mu.Unlock()
	if len(unknown) == 0 {
		return known, nil
	}
	found, err := r.Store.Recorded(ctx, unknown)
	if err != nil {
		return nil, err //nolint:wrapcheck // one of history's own
	}
	for uid, digest := range found {
		r.confirm(stage, uid, digest)
		known[uid] = digest
	}
	return known, nil
}

// put writes one record.
func (r *HistoryReconciler) put(ctx context.Context, stage types.NamespacedName, p history.Promotion) error {
	digest, err := p.Digest()
	if err != nil {
		return err //nolint:wrapcheck // names the record
	}
	if err := r.Store.PutPromotion(ctx, p); err != nil {
		return err //nolint:wrapcheck // one of history's own
	}
	r.debts.wrote()
	r.confirm(stage, p.UID, digest)
	r.settled(stage, p.UID)
	return nil
}

func (r *HistoryReconciler) confirm(stage types.NamespacedName, uid, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.confirmed[stage] == nil {
		r.confirmed[stage] = map[string]string{}
	}
	r.confirmed[stage][uid] = digest
}

// settled forgets a deleted Promotion whose record is confirmed.
func (r *HistoryReconciler) settled(stage types.NamespacedName, uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gone[stage], uid)
	if len(r.gone[stage]) == 0 {
		delete(r.gone, stage)
	}
}

// forgetOthers drops what is known of objects that are gone.
func (r *HistoryReconciler) forgetOthers(stage types.NamespacedName, exists map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid := range r.confirmed[stage] {
		if !exists[uid] && r.gone[stage][uid] == nil {
			delete(r.confirmed[stage], uid)
		}
	}
	if len(r.confirmed[stage]) == 0 {
		delete(r.confirmed, stage)
	}
}

// prune deletes the objects of Promotions that nothing looks at any more, once
// the store says again that it has their records. The object must be the one
// that was recorded: a change in between saves it.
func (r *HistoryReconciler) prune(ctx context.Context, stage types.NamespacedName, records []history.Promotion, now time.Time) (ctrl.Result, error) {
	if r.Keep <= 0 || len(records) <= r.Keep {
		return ctrl.Result{}, nil
	}
	o, err := observe.Stage(ctx, r.Client, stage, now)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil // with its Stage gone, a Promotion is all there is of it
	}
	if err != nil {
		return ctrl.Result{}, err //nolint:wrapcheck // names the Stage
	}
	spent := promotion.Spent(o, r.Keep)
	more := len(spent) > prunedAtOnce
	spent = spent[:min(len(spent), prunedAtOnce)]
	if len(spent) == 0 {
		return ctrl.Result{}, nil
	}
	digests, uids := map[string]string{}, make([]string, 0, len(spent))
	for i := range records {
		if digests[records[i].UID], err = records[i].Digest(); err != nil {
			return ctrl.Result{}, err //nolint:wrapcheck // names the record
		}
	}
	for _, p := range spent {
		uids = append(uids, string(p.UID))
	}
	confirmed, err := r.Store.Recorded(ctx, uids)
	if err != nil {
		return lookAgain(now, r.debts.failed(now)), nil //nolint:nilerr // nothing is lost: it stays an object
	}
	for _, p := range spent {
		uid := string(p.UID)
		if digests[uid] == "" || confirmed[uid] != digests[uid] {
			r.mu.Lock()
			delete(r.confirmed[stage], uid) // the store has lost it: write it again
			r.mu.Unlock()
			more = true
			continue
		}
		err := r.Client.Delete(ctx, p, client.Preconditions{UID: &p.UID, ResourceVersion: &p.ResourceVersion})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return ctrl.Result{}, fmt.Errorf("delete Promotion %q, which is in the history: %w", p.Name, err)
		}
		r.debts.prunedOne()
	}
	if more {
		return lookAgain(now, now.Add(time.Second)), nil
	}
	return ctrl.Result{}, nil
}
