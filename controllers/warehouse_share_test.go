package controllers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestFiftyWarehousesCostOnePoll: Warehouses of ten Projects watch one
// repository with one credential. Applied together, and at every interval, they
// cost what one costs; a person's request is answered by a look of its own.
func TestFiftyWarehousesCostOnePoll(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	// Two readings of a real clock are never equal.
	var mu sync.Mutex
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clk.SetTime(clk.Now().Add(time.Microsecond))
		return clk.Now()
	}
	reg := registrytest.New(t, func(o *demoregistry.Options) { o.Auth, o.Now = demoregistry.AuthNone, now })
	reg.Push("app", "1.0.0", demoregistry.ImageOptions{Created: clk.Now()})
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	registryClient, err := registry.New(registry.Options{Transport: transport, Now: now, AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registryClient.Close() })

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var keys []types.NamespacedName
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Warehouse{})
	for i := range 50 {
		w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("project-%d", i%10), Name: fmt.Sprintf("app-%d", i), Generation: 1}}
		w.Spec.Interval.Duration = time.Minute
		w.Spec.Subscriptions = []v1alpha1.Subscription{{Image: &v1alpha1.ImageSubscription{RepoURL: reg.Name("app")}}}
		builder = builder.WithObjects(w)
		keys = append(keys, client.ObjectKeyFromObject(w))
	}
	c := builder.Build()
	r := NewWarehouseReconciler(WarehouseOptions{
		Client: c, Clock: clk, Registry: registryClient,
		Credentials: func(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
			return credentials.Credential{}, nil
		},
	})
	reconcileAll := func() {
		t.Helper()
		var wg sync.WaitGroup
		for _, key := range keys {
			wg.Go(func() {
				for { // a Project's share of workers may be taken
					result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
					if err != nil {
						t.Error(err)
						return
					}
					if result.RequeueAfter > 2*lastTurn {
						return
					}
					time.Sleep(result.RequeueAfter / 10)
				}
			})
		}
		wg.Wait()
	}
	expect := func(why string, want int) {
		t.Helper()
		if n := reg.Total(); n != want {
			t.Errorf("%s: %v, want %d requests", why, reg.Requests(), want)
		}
		reg.ResetRequests()
	}
	reg.ResetRequests()
	reconcileAll()
	expect("the first poll", 2) // the list, the one tag
	for range 3 {
		clk.SetTime(clk.Now().Add(61 * time.Second))
		reconcileAll()
		expect("one interval later", 1)
	}
	var list v1alpha1.WarehouseList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	for _, w := range list.Items {
		s := w.Status.Subscriptions[0]
		if w.Status.LatestFreight == "" || s.NextPoll == nil || !s.NextPoll.Equal(list.Items[0].Status.Subscriptions[0].NextPoll) {
			t.Fatalf("%s/%s: %+v", w.Namespace, w.Name, s)
		}
	}
	asks := list.Items[0].DeepCopy()
	asks.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	if err := c.Update(t.Context(), asks); err != nil {
		t.Fatal(err)
	}
	reconcileAll()
	expect("a person asks", 1)
}
