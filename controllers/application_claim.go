package controllers

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/internal/fence"
)

// Of several replicas that share the Applications (docs/adr/0010-sharding.md) each
// remembers those alone that it holds: an appState is what every path that starts work
// has to have, be it Reconcile, the heal queue, an event of a watch or a branch that
// moved. So there is one gate: hold, which Reconcile passes before it makes a state.
//
// Work goes on under a claim, which ends when another replica is to have the
// Application or may have it: claim.enter begins work and fences its requests.

// Shares are the replicas that Applications are shared out among, as this one sees
// them.
type Shares interface {
	// Self is this replica as it can hold something; false while it cannot.
	Self() (v1alpha1.Holder, bool)
	// Owner is the replica that a key belongs to.
	Owner(key string) string
	// IsGone says that a holder works on nothing any more.
	IsGone(v1alpha1.Holder) bool
	// OnChange asks to be told when one of these answers otherwise.
	OnChange(func())
}

// errNotHeld ends work on an Application that is not this replica's any more.
var errNotHeld = errors.New("this replica does not hold the Application any more")

// claim is the right of this replica to work on one Application. Nil, where nothing is
// shared, is the right to everything.
type claim struct {
	holder v1alpha1.Holder
	shares Shares
	over   context.Context //nolint:containedctx // Done when the claim has ended.
	cancel context.CancelFunc

	mu   sync.Mutex // between the last to enter and who waits for all to leave
	work sync.WaitGroup
}

// newClaim returns the claim of a holder, nil where nothing is shared.
func newClaim(shares Shares, holder *v1alpha1.Holder) *claim {
	if shares == nil || holder == nil {
		return nil
	}
	c := &claim{holder: *holder, shares: shares}
	c.over, c.cancel = context.WithCancel(context.Background())
	return c
}

// enter begins work. ok is false when there is no right to it any more; else leave has
// to be called. The context ends with the claim, and no request under it is sent once
// others may count this replica out.
func (c *claim) enter(ctx context.Context) (work context.Context, leave func(), ok bool) {
	if c == nil {
		return ctx, func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.check() != nil {
		return ctx, func() {}, false
	}
	c.work.Add(1)
	work, stop := context.WithCancel(fence.With(ctx, c.check))
	forget := context.AfterFunc(c.over, stop)
	return work, func() {
		forget()
		stop()
		c.work.Done()
	}, true
}

// check is the fence: it looks at the clock, so that a process which was paused finds
// out before it sends anything.
func (c *claim) check() error {
	if self, isCurrent := c.shares.Self(); !isCurrent || self != c.holder {
		c.cancel()
	}
	if c.over.Err() != nil {
		return errNotHeld
	}
	return nil
}

// end takes the right away and cancels what is under way.
func (c *claim) end() {
	if c != nil {
		c.cancel()
	}
}

// wait returns when all work has ended, requests included.
func (c *claim) wait() {
	c.mu.Lock() // whoever enters now is refused
	defer c.mu.Unlock()
	c.work.Wait()
}

// hold makes sure that this replica and no other works on app: that the object names it
// as its holder. It returns the newest version, nil when the Application is not ours
// now; whatever may change that wakes us.
func (r *ApplicationReconciler) hold(ctx context.Context, app *v1alpha1.Application) (*v1alpha1.Application, error) {
	if r.opts.Shares == nil {
		return app, nil
	}
	name := client.ObjectKeyFromObject(app)
	s := r.stateOf(name)
	if s != nil {
		app = s.newer(app)
	}
	self, isCurrent := r.opts.Shares.Self()
	if !isCurrent {
		return nil, nil
	}
	holder := app.Status.Holder
	isOurs, isHeld := r.opts.Shares.Owner(shareKey(app)) == self.Replica, holder != nil && *holder == self
	if s != nil && !(isOurs && isHeld && s.claim.check() == nil) {
		s.claim.end()
		s.claim.wait() // for our own requests
		r.forget(name)
	}
	switch {
	case isHeld && isOurs:
		return app, nil
	case isHeld:
		logf.FromContext(ctx).Info("handed over", "application", name.String())
		_, err := r.setHolder(ctx, app, nil)
		return nil, err
	case !isOurs, holder != nil && !r.opts.Shares.IsGone(*holder):
		return nil, nil
	case app.DeletionTimestamp != nil && !controllerutil.ContainsFinalizer(app, v1alpha1.FinalizerResources):
		return nil, nil // nothing to do
	}
	return r.setHolder(ctx, app, &self)
}

// setHolder writes who holds app, unless it changed meanwhile.
func (r *ApplicationReconciler) setHolder(ctx context.Context, app *v1alpha1.Application, holder *v1alpha1.Holder) (*v1alpha1.Application, error) {
	after := app.DeepCopy()
	after.Status.Holder = holder
	if err := patchStatus(ctx, r.opts.Client, app, after); err != nil {
		return nil, err
	}
	return after, nil
}

// newer returns app, or what is known if that is newer: our own writes come back with
// a delay.
func (s *appState) newer(app *v1alpha1.Application) *v1alpha1.Application {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app != nil && versionNumber(s.app) > versionNumber(app) {
		return s.app
	}
	return app
}

// shareKey is what decides whose app is. The cluster is part of it, not all of it: one
// large cluster is the usual case.
func shareKey(app *v1alpha1.Application) string { return gitops.OwnerOf(app).Annotation() }

// sharesChanged ends at once what this replica must not do any more, and has
// everything looked at that it gained or lost.
func (r *ApplicationReconciler) sharesChanged() {
	self, isCurrent := r.opts.Shares.Self()
	for _, s := range r.allStates() {
		if !isCurrent || s.claim.holder != self || r.opts.Shares.Owner(s.owner.Annotation()) != self.Replica {
			s.claim.end()
		}
	}
	select {
	case r.reshared <- struct{}{}:
	default: // one is waiting already
	}
}

// reshare looks at all Applications after the shares changed, until ctx ends.
func (r *ApplicationReconciler) reshare(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.reshared:
		}
		var all v1alpha1.ApplicationList
		if err := r.opts.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
			continue // the cache does not run yet: it brings all of them
		}
		var concerned []types.NamespacedName
		for i := range all.Items {
			if r.concerns(&all.Items[i]) {
				concerned = append(concerned, client.ObjectKeyFromObject(&all.Items[i]))
			}
		}
		r.enqueue(routine, concerned...)
	}
}

// concerns reports whether there is something to do about who holds app: it is ours and
// we do not work on it, or the other way round.
func (r *ApplicationReconciler) concerns(app *v1alpha1.Application) bool {
	self, _ := r.opts.Shares.Self()
	s := r.stateOf(client.ObjectKeyFromObject(app))
	if r.opts.Shares.Owner(shareKey(app)) == self.Replica {
		return s == nil || s.claim.check() != nil
	}
	return s != nil || app.Status.Holder != nil && app.Status.Holder.Replica == self.Replica
}

// holderChanged is told of every change of an Application, whoever wrote it: who sees
// that another holds what it works on stops at once.
func (r *ApplicationReconciler) holderChanged(_ context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	was, isOld := e.ObjectOld.(*v1alpha1.Application)
	is, isNew := e.ObjectNew.(*v1alpha1.Application)
	if !isOld || !isNew || same(was.Status.Holder, is.Status.Holder) {
		return
	}
	name := client.ObjectKeyFromObject(is)
	if s := r.stateOf(name); s != nil && !same(s.newer(is).Status.Holder, &s.claim.holder) {
		s.claim.end()
	}
	if r.concerns(is) {
		r.enqueue(routine, name)
	}
}

func same(a, b *v1alpha1.Holder) bool { return a == b || a != nil && b != nil && *a == *b }

// everywhere runs in every replica, whoever leads.
type everywhere struct{ manager.RunnableFunc }

// NeedLeaderElection is manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }
