package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// DecisionReconciler writes entries, Project by Project: of freezes, holds,
// rejections, approvals and Freight when they are made and when they are gone,
// and of definitions when their content changes.
//
// Who made a Freeze or an Approval, admission has proved. Who deleted something,
// or changed a definition, only the API knows, which writes the same entry with
// the name; what came past the API says by which client.
type DecisionReconciler struct {
	HistoryOptions
	debts debts

	mu sync.Mutex
	// written are the keys of entries the store has, and open the newest entry
	// of each object that has not ended; by Project.
	written map[string]map[string]bool
	open    map[string]map[string]history.Entry
	// gone is what is owed of deleted objects, by Project.
	gone map[string][]history.Entry
}

// NewDecisionReconciler returns a recorder of what people decide and define.
// Keep is not used.
func NewDecisionReconciler(o HistoryOptions) *DecisionReconciler {
	return &DecisionReconciler{
		HistoryOptions: o, debts: newDebts("entry"),
		written: map[string]map[string]bool{}, open: map[string]map[string]history.Entry{}, gone: map[string][]history.Entry{},
	}
}

// Collectors returns the recorder's metrics.
func (r *DecisionReconciler) Collectors() []prometheus.Collector { return r.debts.collectors() }

// SetupWithManager registers the controller: each object wakes its Project.
func (r *DecisionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	b := ctrl.NewControllerManagedBy(mgr).Named("decisions")
	for _, kind := range recordedKinds() {
		wake := func(o client.Object, q queue) {
			if project := kind.of(o).Project; project != "" {
				q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: project}})
			}
		}
		b = b.Watches(kind.empty(), handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wake(e.Object, q) },
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
				if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
					wake(e.ObjectNew, q)
				}
			},
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
				r.remember(kind.of(e.Object))
				wake(e.Object, q)
			},
		})
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the decisions controller: %w", err)
	}
	return nil
}

// remember keeps what a deleted object was, until it is written that it was and
// that it is gone.
func (r *DecisionReconciler) remember(e history.Entry) {
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Project != "" && len(r.gone[e.Project]) < maxRemembered {
		r.gone[e.Project] = append(r.gone[e.Project], e, e.End(now, ""))
	}
}

// maxRemembered bounds what is kept of a Project's deleted objects while the
// store does not answer.
const maxRemembered = 1000

// recordedKind is a kind whose objects people make.
type recordedKind struct {
	kind  string
	empty func() client.Object
	list  func() client.ObjectList
	// of returns an entry without a Project for an object that nobody made.
	of func(client.Object) history.Entry
}

func recordedKinds() []recordedKind {
	definition := func(kind string) func(client.Object) history.Entry {
		return func(o client.Object) history.Entry { return history.OfDefinition(kind, o) }
	}
	return []recordedKind{
		{"Project", func() client.Object { return &v1alpha1.Project{} }, func() client.ObjectList { return &v1alpha1.ProjectList{} }, definition("Project")},
		{"Warehouse", func() client.Object { return &v1alpha1.Warehouse{} }, func() client.ObjectList { return &v1alpha1.WarehouseList{} }, definition("Warehouse")},
		{"Stage", func() client.Object { return &v1alpha1.Stage{} }, func() client.ObjectList { return &v1alpha1.StageList{} }, definition("Stage")},
		{"PromotionTask", func() client.Object { return &v1alpha1.PromotionTask{} }, func() client.ObjectList { return &v1alpha1.PromotionTaskList{} }, definition("PromotionTask")},
		{"Application", func() client.Object { return &v1alpha1.Application{} }, func() client.ObjectList { return &v1alpha1.ApplicationList{} },
			func(o client.Object) history.Entry {
				if o.GetLabels()[v1alpha1.LabelStage] != "" {
					return history.Entry{} // its Stage made it, and says what it is
				}
				return history.OfDefinition("Application", o)
			}},
		{"Freight", func() client.Object { return &v1alpha1.Freight{} }, func() client.ObjectList { return &v1alpha1.FreightList{} },
			func(o client.Object) history.Entry { return history.OfFreight(o.(*v1alpha1.Freight)) }},
		{"Freeze", func() client.Object { return &v1alpha1.Freeze{} }, func() client.ObjectList { return &v1alpha1.FreezeList{} },
			func(o client.Object) history.Entry { return history.OfFreeze(o.(*v1alpha1.Freeze)) }},
		{"Approval", func() client.Object { return &v1alpha1.Approval{} }, func() client.ObjectList { return &v1alpha1.ApprovalList{} },
			func(o client.Object) history.Entry { return history.OfApproval(o.(*v1alpha1.Approval)) }},
	}
}

// live returns the entries of a Project's objects, as the cache has them.
func (r *DecisionReconciler) live(ctx context.Context, project string) ([]history.Entry, error) {
	var out []history.Entry
	for _, kind := range recordedKinds() {
		list := kind.list()
		opts := []client.ListOption{client.UnsafeDisableDeepCopy}
		if kind.kind != "Project" {
			opts = append(opts, client.InNamespace(project))
		}
		if err := r.Client.List(ctx, list, opts...); err != nil {
			return nil, fmt.Errorf("list %ss of %q: %w", kind.kind, project, err)
		}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			if e := kind.of(o.(client.Object)); e.Project == project {
				out = append(out, e)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list %ss of %q: %w", kind.kind, project, err)
		}
	}
	return out, nil
}

// Reconcile writes what is owed of one Project.
func (r *DecisionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now()
	if at := r.debts.closedUntil(now); !at.IsZero() {
		return lookAgain(now, at), nil
	}
	err := r.record(ctx, req.Name, now)
	return r.debts.settle(ctx, now, err)
}

func (r *DecisionReconciler) record(ctx context.Context, project string, now time.Time) error {
	live, err := r.live(ctx, project)
	if err != nil {
		return err
	}
	written, open, err := r.of(ctx, project)
	if err != nil {
		return err
	}
	exists := map[string]bool{}
	r.mu.Lock()
	gone := len(r.gone[project])
	owed := slices.Clone(r.gone[project])
	r.mu.Unlock()
	for _, e := range live {
		exists[e.Object.UID] = true
		if !written[e.Key] {
			owed = append(owed, e)
		}
	}
	for _, e := range owed[:gone] {
		exists[e.Object.UID] = true // its end is among what is owed
	}
	for uid, e := range open {
		if exists[uid] {
			continue
		}
		gone, err := r.isGone(ctx, project, e.Object)
		if err != nil {
			return err
		}
		if gone {
			owed = append(owed, e.End(now, ""))
		}
	}
	of := types.NamespacedName{Name: project}
	r.debts.owe(of, len(owed))
	for i, e := range owed {
		if err := r.Store.PutEntry(ctx, e); err != nil {
			return err //nolint:wrapcheck // one of history's own
		}
		r.debts.wrote()
		r.debts.owe(of, len(owed)-i-1)
		r.mu.Lock()
		if i < gone {
			r.gone[project] = r.gone[project][1:]
		}
		if e.Ends {
			delete(open, e.Object.UID)
		} else {
			open[e.Object.UID] = e
			written[e.Key] = true
		}
		r.mu.Unlock()
	}
	if len(exists) == 0 && len(open) == 0 { // the Project is gone
		r.mu.Lock()
		delete(r.gone, project)
		delete(r.written, project)
		delete(r.open, project)
		r.mu.Unlock()
	}
	return nil
}

// of returns what is known of a Project; the store is asked once.
func (r *DecisionReconciler) of(ctx context.Context, project string) (written map[string]bool, open map[string]history.Entry, err error) {
	r.mu.Lock()
	written, open = r.written[project], r.open[project]
	r.mu.Unlock()
	if written != nil {
		return written, open, nil
	}
	unended, err := r.Store.Unended(ctx, project)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // one of history's own
	}
	written, open = map[string]bool{}, map[string]history.Entry{}
	for _, e := range unended {
		written[e.Key], open[e.Object.UID] = true, e
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[project], r.open[project] = written, open
	return written, open, nil
}

// isGone asks the API server itself: the cache may not have heard of an object
// that the API has just written an entry about.
func (r *DecisionReconciler) isGone(ctx context.Context, project string, o history.Object) (bool, error) {
	for _, kind := range recordedKinds() {
		if kind.kind != o.Kind {
			continue
		}
		key := client.ObjectKey{Namespace: project, Name: o.Name}
		if o.Kind == "Project" {
			key.Namespace = ""
		}
		there := kind.empty()
		err := r.Live.Get(ctx, key, there)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s %q: %w", o.Kind, o.Name, err)
		}
		return string(there.GetUID()) != o.UID, nil
	}
	return false, nil // of a kind that this version does not watch
}
