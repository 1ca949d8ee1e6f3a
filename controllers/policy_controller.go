package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/waybill-dev/waybill/internal/install"
)

// policyRetry is how often policies are tried again while we have no right to
// write them.
const policyRetry = 10 * time.Second

// PolicyReconciler keeps Waybill's admission policies in force and says which
// are not: while one is missing or changed, nobody's authority is proven, and
// nothing is promoted (01-architecture, admission without webhooks).
type PolicyReconciler struct {
	client client.Client
	wanted []*unstructured.Unstructured

	mu sync.Mutex
	// inForce maps "Kind/name" to the generation our apply gave it.
	inForce map[string]int64
	// skipped are optional ones that the API server does not serve.
	skipped map[string]bool
	// told is what was missing when those who wait were told; they were when
	// hasLooked.
	told      []string
	hasLooked bool
	// waiting are told when what is missing changes.
	waiting []chan event.GenericEvent
}

// NewPolicyReconciler returns a keeper of the policies in the Helm chart.
func NewPolicyReconciler(c client.Client) (*PolicyReconciler, error) {
	wanted, err := install.Policies()
	if err != nil {
		return nil, fmt.Errorf("read admission policies: %w", err)
	}
	return &PolicyReconciler{
		client: c, wanted: wanted, inForce: map[string]int64{}, skipped: map[string]bool{},
	}, nil
}

// SetupWithManager registers the controller, which also runs once at start.
func (r *PolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	start := make(chan event.GenericEvent, 1)
	start <- event.GenericEvent{Object: r.wanted[0]}
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []ctrl.Request {
		return []ctrl.Request{{NamespacedName: client.ObjectKey{Name: "policies"}}}
	})
	b := ctrl.NewControllerManagedBy(mgr).Named("policy").WatchesRawSource(source.Channel(start, all))
	watched := map[string]bool{}
	for _, u := range r.wanted {
		kind := u.GetKind()
		if watched[kind] {
			continue
		}
		watched[kind] = true
		if _, err := mgr.GetRESTMapper().RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version); err != nil {
			if meta.IsNoMatchError(err) && install.IsOptional(u) {
				continue
			}
			return fmt.Errorf("look up %s: %w", kind, err)
		}
		like := &unstructured.Unstructured{}
		like.SetGroupVersionKind(u.GroupVersionKind())
		b = b.Watches(like, all, builder.WithPredicates(strays(r.isStray)))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the policy controller: %w", err)
	}
	return nil
}

// isStray reports whether o is one of ours and not as we applied it.
func (r *PolicyReconciler) isStray(o client.Object, deleted bool) bool {
	key := policyKey(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.wanted {
		if policyKey(u) != key {
			continue
		}
		if deleted || r.inForce[key] != o.GetGeneration() {
			delete(r.inForce, key)
			return true
		}
	}
	return false
}

func policyKey(o client.Object) string {
	return o.GetObjectKind().GroupVersionKind().Kind + "/" + o.GetName()
}

// Changed returns a channel that gets an event whenever all policies are in
// force, and when others than before are missing and could not be put back.
// Call it before the manager starts.
func (r *PolicyReconciler) Changed() <-chan event.GenericEvent {
	ch := make(chan event.GenericEvent, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, ch)
	return ch
}

// Reconcile applies every policy and binding.
func (r *PolicyReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	result, err := r.applyAll(ctx)
	if ctx.Err() == nil {
		r.tell()
	}
	return result, err
}

// applyAll tries every one, so that what is missing afterwards is what could not
// be put into force.
func (r *PolicyReconciler) applyAll(ctx context.Context) (ctrl.Result, error) {
	var result ctrl.Result
	var errs []error
	for _, u := range r.wanted {
		live := u.DeepCopy()
		err := r.restore(ctx, live)
		r.mu.Lock()
		switch {
		case err == nil:
			r.inForce[policyKey(u)] = live.GetGeneration()
		case meta.IsNoMatchError(err) && install.IsOptional(u):
			r.skipped[policyKey(u)] = true
		default:
			delete(r.inForce, policyKey(u))
		}
		r.mu.Unlock()
		switch {
		case apierrors.IsForbidden(err):
			// Somebody took our right away; look again in a while.
			result.RequeueAfter = policyRetry
		case err != nil && !meta.IsNoMatchError(err):
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return ctrl.Result{}, errors.Join(errs...)
	}
	return result, nil
}

// tell wakes those who wait for a change of what is missing.
func (r *PolicyReconciler) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := r.missing()
	if r.hasLooked && len(missing) > 0 && slices.Equal(missing, r.told) {
		return
	}
	r.told, r.hasLooked = missing, true
	for _, ch := range r.waiting {
		select {
		case ch <- event.GenericEvent{Object: r.wanted[0]}:
		default: // an event is waiting there already
		}
	}
}

// restore makes a policy or binding exactly what the chart says. An apply alone
// leaves what somebody added, and one condition more can switch a policy off.
func (r *PolicyReconciler) restore(ctx context.Context, u *unstructured.Unstructured) error {
	whole, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": u.Object["spec"]}})
	if err != nil {
		return fmt.Errorf("encode %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	if err := install.Apply(ctx, r.client, u); err != nil {
		return err //nolint:wrapcheck // names the object already
	}
	if err := r.client.Patch(ctx, u, client.RawPatch(types.JSONPatchType, whole), client.FieldOwner(install.Manager)); err != nil {
		return fmt.Errorf("restore %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// Missing returns the names of policies and bindings that are not in force, once
// it has tried to put each of them into force.
func (r *PolicyReconciler) Missing() (names []string, isKnown bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missing(), r.hasLooked
}

// missing needs the lock.
func (r *PolicyReconciler) missing() []string {
	var out []string
	for _, u := range r.wanted {
		if _, ok := r.inForce[policyKey(u)]; !ok && !r.skipped[policyKey(u)] {
			out = append(out, policyKey(u))
		}
	}
	sort.Strings(out)
	return out
}

// strays lets through what is not as we applied it.
func strays(isStray func(o client.Object, deleted bool) bool) predicate.Funcs {
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return isStray(e.Object, false) },
		UpdateFunc:  func(e event.UpdateEvent) bool { return isStray(e.ObjectNew, false) },
		DeleteFunc:  func(e event.DeleteEvent) bool { return isStray(e.Object, true) },
		GenericFunc: func(event.GenericEvent) bool { return true },
	}
}
