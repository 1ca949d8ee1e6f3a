package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion/notify"
	"github.com/waybill-dev/waybill/promotion/notify/delivery"
)

// NotificationOptions are what a NotificationReconciler needs.
type NotificationOptions struct {
	// Client reads from the cache and writes how telling people goes.
	Client client.Client
	// Store keeps the outbox. Sender sends what is in it.
	Store  history.Notices
	Sender delivery.Sender
	// PublicURL is where people reach the dashboard; empty: messages link nowhere.
	PublicURL string
	// Clock tells the time; never nil.
	Clock clock.WithTicker
	// Failpoints are where a test may stop it; may be nil.
	Failpoints *failpoint.Set
}

const (
	// maxFound bounds what of a Project is kept in memory while the store does not
	// answer.
	maxFound = 10_000
	// definedWithin is how long before it is first seen a notification may have been
	// defined: what happened meanwhile it tells.
	definedWithin = time.Minute
	// statusInterval is how often the status says that messages went out.
	statusInterval = time.Minute
	// ofCluster marks the request of a Cluster; those of Projects have no Namespace.
	ofCluster = "Cluster"
)

// NotificationReconciler finds out what the notifications of a Project tell, and
// gives it to the outbox.
//
// What happened is read from objects as they change, and again from all of them
// after a restart: whatever has no row in the outbox yet and is not older than the
// notification gets one. Nothing is asked of the API server for that, and nobody
// waits for it.
type NotificationReconciler struct {
	NotificationOptions
	delivery *delivery.Delivery
	changed  chan event.GenericEvent

	mu sync.Mutex
	// projects are those with notifications, and those nobody has looked at yet.
	projects map[string]*told
	// idle are Projects without notifications.
	idle map[string]bool
}

// told is what is known of one Project.
type told struct {
	// found is what happened and is not in the outbox, by its key; topics are the
	// last states of what goes up and down.
	found, topics map[string]notify.Occurrence
	// isLoaded: what follows has been read from the store.
	isLoaded bool
	// rows are the IDs in the outbox with when they happened.
	rows map[string]time.Time
	// states are those that people know, by notification and topic.
	states map[string]map[string]notify.State
	// marks say since when each notification is there, by the ID of their row.
	marks map[string]time.Time
	// statusAt is when its status was written last.
	statusAt time.Time
}

// NewNotificationReconciler returns a controller of notifications.
func NewNotificationReconciler(o NotificationOptions) *NotificationReconciler {
	r := &NotificationReconciler{
		NotificationOptions: o, changed: make(chan event.GenericEvent, 256), projects: map[string]*told{}, idle: map[string]bool{},
	}
	r.delivery = delivery.New(delivery.Options{Store: o.Store, Sender: o.Sender, Clock: o.Clock, Failpoints: o.Failpoints, Changed: r.wake})
	return r
}

// Delivery sends what is found; it has to run on the replica that is elected.
func (r *NotificationReconciler) Delivery() *delivery.Delivery { return r.delivery }

// wake has a Project looked at again.
func (r *NotificationReconciler) wake(project string) {
	p := &v1alpha1.Project{}
	p.Name = project
	select {
	case r.changed <- event.GenericEvent{Object: p}:
	default: // its status is written a little later
	}
}

// SetupWithManager registers the controller: every object that may show something
// is looked at when it changes.
func (r *NotificationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).Named("notification").
		Watches(&v1alpha1.Project{}, handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q eventQueue) { q.Add(projectRequest(e.Object.GetName())) },
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q eventQueue) {
				if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
					q.Add(projectRequest(e.ObjectNew.GetName()))
				}
			},
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q eventQueue) { q.Add(projectRequest(e.Object.GetName())) },
		}).
		WatchesRawSource(source.Channel(r.changed, &handler.EnqueueRequestForObject{})).
		Watches(&v1alpha1.Cluster{}, handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q eventQueue) { q.Add(clusterRequest(e.Object)) },
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q eventQueue) { q.Add(clusterRequest(e.ObjectNew)) },
		})
	for _, kind := range toldKinds(r.Clock) {
		note := func(o client.Object, isGone bool, q eventQueue) {
			if r.isIdle(o.GetNamespace()) {
				return
			}
			if r.note(kind.of(o, isGone)) {
				q.Add(projectRequest(o.GetNamespace()))
			}
		}
		b = b.Watches(kind.empty(), handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q eventQueue) { note(e.Object, false, q) },
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q eventQueue) { note(e.ObjectNew, false, q) },
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, q eventQueue) { note(e.Object, true, q) },
		})
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the notification controller: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(r.delivery.Run)); err != nil {
		return fmt.Errorf("set up the delivery of notifications: %w", err)
	}
	return nil
}

type eventQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func projectRequest(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: name}}
}

func clusterRequest(o client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: ofCluster, Name: o.GetName()}}
}

// toldKind is a kind whose objects show what happens.
type toldKind struct {
	empty func() client.Object
	of    func(o client.Object, isGone bool) []notify.Occurrence
}

func toldKinds(clk clock.PassiveClock) []toldKind {
	existing := func(of func(client.Object) []notify.Occurrence) func(client.Object, bool) []notify.Occurrence {
		return func(o client.Object, isGone bool) []notify.Occurrence {
			if isGone {
				return nil
			}
			return of(o)
		}
	}
	return []toldKind{
		{func() client.Object { return &v1alpha1.Promotion{} }, existing(func(o client.Object) []notify.Occurrence { return notify.OfPromotion(o.(*v1alpha1.Promotion)) })},
		{func() client.Object { return &v1alpha1.Stage{} }, existing(func(o client.Object) []notify.Occurrence { return notify.OfStage(o.(*v1alpha1.Stage)) })},
		{func() client.Object { return &v1alpha1.Application{} }, existing(func(o client.Object) []notify.Occurrence { return notify.OfApplication(o.(*v1alpha1.Application)) })},
		{func() client.Object { return &v1alpha1.Freight{} }, existing(func(o client.Object) []notify.Occurrence { return notify.OfFreight(o.(*v1alpha1.Freight)) })},
		{func() client.Object { return &v1alpha1.Warehouse{} }, existing(func(o client.Object) []notify.Occurrence { return notify.OfWarehouse(o.(*v1alpha1.Warehouse)) })},
		{func() client.Object { return &v1alpha1.Freeze{} }, func(o client.Object, isGone bool) []notify.Occurrence {
			return notify.OfFreeze(o.(*v1alpha1.Freeze), isGone, clk.Now())
		}},
	}
}

func (r *NotificationReconciler) isIdle(project string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle[project]
}

// of returns what is known of a Project. r.mu is held.
func (r *NotificationReconciler) of(project string) *told {
	if r.projects[project] == nil {
		r.projects[project] = &told{
			found: map[string]notify.Occurrence{}, topics: map[string]notify.Occurrence{}, rows: map[string]time.Time{}, states: map[string]map[string]notify.State{}, marks: map[string]time.Time{},
		}
	}
	return r.projects[project]
}

// note keeps what an object shows until it is in the outbox, and reports whether
// there is something to do about it.
func (r *NotificationReconciler) note(all []notify.Occurrence) bool {
	now := r.Clock.Now()
	isNews := false
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range all {
		t := r.of(o.Project)
		switch {
		case o.Topic != "":
			if o.State == notify.StateWell && t.isWell(o.Topic) {
				continue
			}
			if last, isKnown := t.topics[o.Topic]; isKnown && last.State == o.State && last.Key == o.Key || !isKnown && o.State == notify.StateUnsettled {
				continue
			}
			t.topics[o.Topic], isNews = o, true
		case !notify.IsTooOld(o.At, now) && len(t.found) < maxFound:
			t.found[o.Key], isNews = o, true
		}
	}
	return isNews
}

// isWell reports whether nobody knows of anything bad of a topic.
func (t *told) isWell(topic string) bool {
	if _, isKnown := t.topics[topic]; isKnown || !t.isLoaded {
		return false
	}
	for _, states := range t.states {
		if states[topic] == notify.StateBad {
			return false
		}
	}
	return true
}

// Reconcile gives to the outbox what is found of one Project.
func (r *NotificationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if req.Namespace == ofCluster {
		return settle(ctrl.Result{}, r.cluster(ctx, req.Name))
	}
	var p v1alpha1.Project
	err := r.Client.Get(ctx, req.NamespacedName, &p)
	if apierrors.IsNotFound(err) {
		r.forget(req.Name, false)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	if len(p.Spec.Notifications) == 0 {
		if err := r.rest(ctx, p.Name); err != nil {
			return lookAgain(r.Clock.Now(), r.Clock.Now().Add(storeRetry)), nil //nolint:nilerr // the store's trouble shows elsewhere
		}
		after := p.DeepCopy()
		after.Status.Notifications = nil
		return settle(ctrl.Result{}, patchStatus(ctx, r.Client, &p, after))
	}
	now := r.Clock.Now()
	next, err := r.tell(ctx, &p, now)
	if errors.Is(err, history.ErrUnavailable) {
		log.FromContext(ctx).Info("notifications wait for the history's store", "error", err.Error())
		return lookAgain(now, now.Add(storeRetry)), nil
	}
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	due, err := r.status(ctx, &p, now)
	return settle(lookAgain(now, sooner(next, due)), err)
}

// rest leaves a Project alone that has no notifications; those it had begin anew
// when they come back.
func (r *NotificationReconciler) rest(ctx context.Context, project string) error {
	if r.isIdle(project) {
		return nil
	}
	if err := r.load(ctx, project); err != nil {
		return err
	}
	r.mu.Lock()
	t := r.of(project)
	r.mu.Unlock()
	if err := r.retire(ctx, t, nil); err != nil {
		return err
	}
	r.forget(project, true)
	return nil
}

func (r *NotificationReconciler) forget(project string, isIdle bool) {
	r.delivery.Forget(project)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.projects, project)
	delete(r.idle, project)
	if isIdle {
		r.idle[project] = true
	}
}

// cluster notes whether a Cluster answers, for the Projects that deploy to it.
func (r *NotificationReconciler) cluster(ctx context.Context, name string) error {
	var c v1alpha1.Cluster
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, &c); err != nil {
		return err //nolint:wrapcheck // settle asks what kind of error it is
	}
	var apps v1alpha1.ApplicationList
	if err := r.Client.List(ctx, &apps, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Applications: %w", err)
	}
	stages := map[string][]string{}
	for i := range apps.Items {
		a := &apps.Items[i]
		if a.Spec.Destination.Cluster != name || r.isIdle(a.Namespace) {
			continue
		}
		stages[a.Namespace] = append(stages[a.Namespace], a.Labels[v1alpha1.LabelStage])
	}
	for project, names := range stages {
		slices.Sort(names)
		if r.note(notify.OfCluster(&c, project, slices.Compact(names))) {
			r.wake(project)
		}
	}
	return nil
}

// status writes how telling people goes: a failure that begins or ends at once,
// that messages went out every statusInterval. It returns when there is more to
// write.
func (r *NotificationReconciler) status(ctx context.Context, p *v1alpha1.Project, now time.Time) (time.Time, error) {
	before := map[string]v1alpha1.NotificationStatus{}
	for _, s := range p.Status.Notifications {
		before[s.Name] = s
	}
	after := p.DeepCopy()
	after.Status.Notifications = nil
	isUrgent := false
	for i := range p.Spec.Notifications {
		was, wasThere := before[p.Spec.Notifications[i].Name]
		is := r.standing(p.Name, p.Spec.Notifications[i].Name, was)
		isUrgent = isUrgent || (was.Failure == nil) != (is.Failure == nil) || was.Failure != nil && was.Failure.Reason != is.Failure.Reason || was.LastSentAt == nil && is.LastSentAt != nil
		if wasThere || is.LastSentAt != nil || is.Failure != nil {
			is.Name = p.Spec.Notifications[i].Name
			after.Status.Notifications = append(after.Status.Notifications, is)
		}
	}
	r.mu.Lock()
	at := r.of(p.Name).statusAt.Add(statusInterval)
	r.mu.Unlock()
	same := slices.EqualFunc(p.Status.Notifications, after.Status.Notifications, func(a, b v1alpha1.NotificationStatus) bool {
		return a.Name == b.Name && sameTime(a.LastSentAt, b.LastSentAt) && (a.Failure == nil) == (b.Failure == nil) && (a.Failure == nil || *a.Failure == *b.Failure)
	})
	switch {
	case same:
		return time.Time{}, nil
	case !isUrgent && now.Before(at):
		return at, nil
	}
	if err := patchStatus(ctx, r.Client, p, after); err != nil {
		return time.Time{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(p.Name).statusAt = now
	return time.Time{}, nil
}
