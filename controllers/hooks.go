package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/hook"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse/chart"
)

const (
	// hookWindow is how often one object is woken by webhooks at most. What comes
	// within it is one wake-up at its end.
	hookWindow = 5 * time.Second
	// indexRepository finds Warehouses and Applications by the repositories they
	// follow.
	indexRepository = "hook.repository"
)

// HookOptions are what Hooks need.
type HookOptions struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Clock tells the time.
	Clock clock.WithTicker
	// Window is how often one object is woken at most; 5 s when 0.
	Window time.Duration
}

// Hooks wake what follows the repositories that a webhook names, by an
// annotation, so that it works whichever replica was told and whichever polls.
type Hooks struct {
	HookOptions
	kick chan struct{}

	mu      sync.Mutex
	pending map[hookTarget]map[string]string // annotations to set
	last    map[hookTarget]time.Time         // when it was last woken
}

// hookTarget is an object to wake.
type hookTarget struct {
	kind string
	key  types.NamespacedName
}

func (t hookTarget) String() string { return t.kind + "/" + t.key.Name }

// NewHooks returns Hooks that work once they are started.
func NewHooks(o HookOptions) *Hooks {
	if o.Window == 0 {
		o.Window = hookWindow
	}
	return &Hooks{HookOptions: o, kick: make(chan struct{}, 1), pending: map[hookTarget]map[string]string{}, last: map[hookTarget]time.Time{}}
}

// SetupWithManager registers the indexes and the goroutine that writes, which
// runs on every replica.
func (h *Hooks) SetupWithManager(mgr ctrl.Manager) error {
	if err := RegisterHookIndexes(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := mgr.Add(h); err != nil {
		return fmt.Errorf("set up webhooks: %w", err)
	}
	return nil
}

// RegisterHookIndexes adds the field indexes that Wake reads.
func RegisterHookIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1alpha1.Warehouse{}, indexRepository, func(o client.Object) []string {
		var keys []string
		for _, s := range o.(*v1alpha1.Warehouse).Spec.Subscriptions {
			if key := hook.SubscriptionKey(s); key != "" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		return keys
	})
	if err != nil {
		return fmt.Errorf("index Warehouses by repository: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.Application{}, indexRepository, func(o client.Object) []string {
		source := o.(*v1alpha1.Application).Spec.Source
		key := hook.Key(hook.Git, source.RepoURL)
		if source.Chart != "" {
			at := chart.At(source.RepoURL, source.Chart)
			key = hook.SubscriptionKey(v1alpha1.Subscription{Chart: &v1alpha1.ChartSubscription{RepoURL: at.RepoURL, Name: at.Name}})
		}
		if key == "" {
			return nil
		}
		return []string{key}
	})
	if err != nil {
		return fmt.Errorf("index Applications by repository: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.Promotion{}, indexRepository, func(o client.Object) []string {
		var keys []string
		for _, repoURL := range promotion.AwaitedPulls(o.(*v1alpha1.Promotion)) {
			if key := hook.Key(hook.Git, repoURL); key != "" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		return keys
	})
	if err != nil {
		return fmt.Errorf("index Promotions by repository: %w", err)
	}
	return nil
}

// Wake wakes the Warehouses and Applications of a Project that follow one of
// the repositories, and the Promotions that wait for a pull request of it, and
// returns their names: warehouse/NAME. It writes nothing
// itself, and remembers at most one wake-up for each object that exists.
func (h *Hooks) Wake(ctx context.Context, project string, repositories []hook.Repository) ([]string, error) {
	now := h.Clock.Now().UTC().Format(time.RFC3339Nano)
	found := map[hookTarget]map[string]string{}
	add := func(t hookTarget, annotation string) {
		if found[t] == nil {
			found[t] = map[string]string{}
		}
		found[t][annotation] = now
	}
	for _, r := range repositories {
		key := hook.Key(r.Kind, r.URL)
		if key == "" {
			continue
		}
		in := []client.ListOption{client.InNamespace(project), client.MatchingFields{indexRepository: key}}
		var houses v1alpha1.WarehouseList
		if err := h.Client.List(ctx, &houses, in...); err != nil {
			return nil, fmt.Errorf("list Warehouses of %q: %w", project, err)
		}
		for i := range houses.Items {
			for _, s := range houses.Items[i].Spec.Subscriptions {
				if hook.SubscriptionKey(s) == key && r.ConcernsSubscription(s) {
					add(hookTarget{"warehouse", client.ObjectKeyFromObject(&houses.Items[i])}, hook.AnnotationOf(key))
				}
			}
		}
		var apps v1alpha1.ApplicationList
		if err := h.Client.List(ctx, &apps, in...); err != nil {
			return nil, fmt.Errorf("list Applications of %q: %w", project, err)
		}
		for i := range apps.Items {
			if source := apps.Items[i].Spec.Source; source.Chart != "" || r.Concerns(source.TargetRevision) {
				add(hookTarget{"application", client.ObjectKeyFromObject(&apps.Items[i])}, v1alpha1.AnnotationRequestedAt)
			}
		}
	}
	for _, r := range repositories {
		if err := h.findWaiting(ctx, project, r, add); err != nil {
			return nil, err
		}
	}
	woken := make([]string, 0, len(found))
	h.mu.Lock()
	for t, annotations := range found {
		woken = append(woken, t.String())
		if h.pending[t] == nil {
			h.pending[t] = annotations
			continue
		}
		for name, value := range annotations {
			h.pending[t][name] = value
		}
	}
	h.mu.Unlock()
	if len(found) > 0 {
		select {
		case h.kick <- struct{}{}:
		default: // one is waiting already
		}
	}
	slices.Sort(woken)
	return woken, nil
}

// findWaiting adds the Promotions that wait for a pull request of a repository.
func (h *Hooks) findWaiting(ctx context.Context, project string, r hook.Repository, add func(hookTarget, string)) error {
	key := hook.Key(r.Kind, r.URL)
	if key == "" {
		return nil
	}
	var waiting v1alpha1.PromotionList
	if err := h.Client.List(ctx, &waiting, client.InNamespace(project), client.MatchingFields{indexRepository: key}); err != nil {
		return fmt.Errorf("list Promotions of %q: %w", project, err)
	}
	for i := range waiting.Items {
		add(hookTarget{"promotion", client.ObjectKeyFromObject(&waiting.Items[i])}, v1alpha1.AnnotationRequestedAt)
	}
	return nil
}

// NeedLeaderElection is false: every replica is told things.
func (h *Hooks) NeedLeaderElection() bool { return false }

// Start writes what Wake found until ctx ends.
func (h *Hooks) Start(ctx context.Context) error {
	for {
		next := h.flush(ctx)
		if next.IsZero() {
			select {
			case <-ctx.Done():
				return nil
			case <-h.kick:
			}
			continue
		}
		timer := h.Clock.NewTimer(next.Sub(h.Clock.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		case <-h.kick:
			timer.Stop()
		}
	}
}

// flush wakes what may be woken now, and returns when to look again; zero when
// nothing waits.
func (h *Hooks) flush(ctx context.Context) (next time.Time) {
	now := h.Clock.Now()
	due := map[hookTarget]map[string]string{}
	h.mu.Lock()
	for t, at := range h.last {
		if now.Sub(at) >= h.Window {
			delete(h.last, t)
		}
	}
	for t, annotations := range h.pending {
		if at, isRecent := h.last[t]; isRecent {
			next = sooner(next, at.Add(h.Window))
			continue
		}
		due[t] = annotations
		delete(h.pending, t)
		h.last[t] = now
	}
	h.mu.Unlock()
	for t, annotations := range due {
		err := h.annotate(ctx, t, annotations)
		if err == nil || apierrors.IsNotFound(err) || errors.Is(err, context.Canceled) {
			continue
		}
		log.FromContext(ctx).Error(err, "wake after a webhook", "object", t.String(), "project", t.key.Namespace)
		h.mu.Lock()
		if h.pending[t] == nil { // again at the end of the window, unless there is newer news
			h.pending[t] = annotations
		}
		h.mu.Unlock()
		next = sooner(next, now.Add(h.Window))
	}
	return next
}

// annotate is a write with the server's own rights: nothing of the sender's is
// in it but that something may have changed.
func (h *Hooks) annotate(ctx context.Context, t hookTarget, annotations map[string]string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	var o client.Object = &v1alpha1.Warehouse{}
	switch t.kind {
	case "application":
		o = &v1alpha1.Application{}
	case "promotion":
		o = &v1alpha1.Promotion{}
	}
	o.SetName(t.key.Name)
	o.SetNamespace(t.key.Namespace)
	return h.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)) //nolint:wrapcheck // the caller tests for not found and names it
}

// hookOf returns the last webhook that named the repository of a subscription,
// "" when there was none.
func hookOf(w *v1alpha1.Warehouse, s v1alpha1.Subscription) string {
	if len(w.Annotations) == 0 {
		return ""
	}
	key := hook.SubscriptionKey(s)
	if key == "" {
		return ""
	}
	return w.Annotations[hook.AnnotationOf(key)]
}

// isHooked reports whether a webhook named the repository since it was polled.
func isHooked(w *v1alpha1.Warehouse, s v1alpha1.Subscription, status v1alpha1.SubscriptionStatus) bool {
	told := hookOf(w, s)
	return told != "" && told != status.LastHandledHook
}

// hookChanged lets through a Warehouse that a webhook woke.
func hookChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.(*v1alpha1.Warehouse), e.ObjectNew.(*v1alpha1.Warehouse)
			return slices.ContainsFunc(after.Spec.Subscriptions, func(s v1alpha1.Subscription) bool { return hookOf(before, s) != hookOf(after, s) })
		},
	}
}
