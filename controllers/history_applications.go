package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// SyncRecorder writes entries about what the reconciler did, Project by Project:
// revisions that run, requested syncs that ended, drift and healing.
//
// It reads what the status of Applications says, from the cache alone. After a
// restart the status says the last of it again, and what the store has is not
// written again. An Application that drifts without end has entries for its first
// drifts and then for a few an hour, each of which says how many were left out.
type SyncRecorder struct {
	HistoryOptions
	debts   debts
	skipped prometheus.Counter

	mu sync.Mutex
	// seen are the keys that the status of each Application made last.
	seen map[types.UID][]string
	// budgets bound the drifts of each Application that drifted.
	budgets map[types.UID]*driftBudget
	// owed is what is not written, by Project.
	owed map[string][]history.Entry
}

// NewSyncRecorder returns a recorder of what the reconciler does. Client, Live
// and Keep are not used.
func NewSyncRecorder(o HistoryOptions) *SyncRecorder {
	return &SyncRecorder{
		HistoryOptions: o, debts: newDebts("application"),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waybill_history_skipped_total", Help: "Drifts without an entry of their own, because their Application had too many.",
		}),
		seen: map[types.UID][]string{}, budgets: map[types.UID]*driftBudget{}, owed: map[string][]history.Entry{},
	}
}

// Collectors returns the recorder's metrics.
func (r *SyncRecorder) Collectors() []prometheus.Collector {
	return append(r.debts.collectors(), r.skipped)
}

// SetupWithManager registers the controller: a status that says something new
// wakes the Application's Project.
func (r *SyncRecorder) SetupWithManager(mgr ctrl.Manager) error {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	take := func(app *v1alpha1.Application, q queue) {
		if r.Take(app) {
			q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: app.Namespace}})
		}
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("syncs").
		Watches(&v1alpha1.Application{}, handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { take(e.Object.(*v1alpha1.Application), q) },
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
				if before, after := e.ObjectOld.(*v1alpha1.Application), e.ObjectNew.(*v1alpha1.Application); saysMore(&before.Status, &after.Status) {
					take(after, q)
				}
			},
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
				take(e.Object.(*v1alpha1.Application), q) // what it said last
				r.forget(e.Object.GetUID())
			},
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the recorder of syncs: %w", err)
	}
	return nil
}

// saysMore reports whether a status makes other entries than the one before.
func saysMore(before, after *v1alpha1.ApplicationStatus) bool {
	if before.Sync.Revision != after.Sync.Revision || !slices.Equal(before.Drifts, after.Drifts) {
		return true
	}
	l := after.LastSync
	return l != nil && l.FinishedAt != nil && (before.LastSync == nil || before.LastSync.ID != l.ID || before.LastSync.FinishedAt == nil)
}

// Take remembers what the status of an Application says for the first time, and
// reports whether there is anything.
func (r *SyncRecorder) Take(app *v1alpha1.Application) bool {
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.seen[app.UID]
	var keys []string
	isNew := false
	for _, e := range history.OfApplication(app) {
		keys = append(keys, e.Key)
		if slices.Contains(before, e.Key) {
			continue
		}
		if isDrift := e.Action == history.ActionDrift || e.Action == history.ActionHeal; isDrift && known && !r.budget(app.UID).allows(now, &e) {
			r.skipped.Inc()
			continue
		}
		if len(r.owed[app.Namespace]) < maxRemembered {
			r.owed[app.Namespace] = append(r.owed[app.Namespace], e)
			isNew = true
		}
	}
	r.seen[app.UID] = keys
	return isNew
}

func (r *SyncRecorder) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, uid)
	delete(r.budgets, uid)
}

// budget returns the budget of an Application; r.mu is held.
func (r *SyncRecorder) budget(uid types.UID) *driftBudget {
	if r.budgets[uid] == nil {
		r.budgets[uid] = &driftBudget{left: driftBurst}
	}
	return r.budgets[uid]
}

// How many drifts of an Application have an entry each: so many at once, and one
// more whenever so much time has passed.
const (
	driftBurst = 40
	driftEvery = 2 * time.Minute
)

// driftBudget bounds the drifts of one Application.
type driftBudget struct {
	left    int
	since   time.Time // when left was true
	skipped int
}

// allows takes one off what is left at now; e says how many were left out before
// it. It reports false when nothing is left.
func (b *driftBudget) allows(now time.Time, e *history.Entry) bool {
	if b.since.IsZero() {
		b.since = now
	}
	if more := int(now.Sub(b.since) / driftEvery); more > 0 {
		b.left = min(b.left+more, driftBurst)
		b.since = b.since.Add(time.Duration(more) * driftEvery)
	}
	if b.left == 0 {
		b.skipped++
		return false
	}
	b.left--
	if b.skipped > 0 {
		e.Reason = fmt.Sprintf("%s; %d drifts before it have no entry: there were too many", e.Reason, b.skipped)
		b.skipped = 0
	}
	return true
}

// Reconcile writes what is owed of one Project.
func (r *SyncRecorder) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now()
	if at := r.debts.closedUntil(now); !at.IsZero() {
		return lookAgain(now, at), nil
	}
	err := r.write(ctx, req.Name)
	return r.debts.settle(ctx, now, err)
}

func (r *SyncRecorder) write(ctx context.Context, project string) error {
	r.mu.Lock()
	owed := slices.Clone(r.owed[project])
	r.mu.Unlock()
	of := types.NamespacedName{Name: project}
	r.debts.owe(of, len(owed))
	keys := make([]string, len(owed))
	for i := range owed {
		keys[i] = owed[i].Key
	}
	written, err := r.Store.Written(ctx, keys)
	if err != nil {
		return err //nolint:wrapcheck // one of history's own
	}
	for i, e := range owed {
		if !written[e.Key] {
			if err := r.Store.PutEntry(ctx, e); err != nil {
				return err //nolint:wrapcheck // one of history's own
			}
			r.debts.wrote()
		}
		r.debts.owe(of, len(owed)-i-1)
		r.mu.Lock() // what Take added meanwhile is behind it
		if r.owed[project] = r.owed[project][1:]; len(r.owed[project]) == 0 {
			delete(r.owed, project)
		}
		r.mu.Unlock()
	}
	return nil
}
