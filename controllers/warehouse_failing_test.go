package controllers

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// TestFailingSubscriptionHidesNoOther: while one registry fails, what the other
// has becomes Freight with the last candidate of the one that fails; only its own
// line says so.
func TestFailingSubscriptionHidesNoOther(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	open := func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone }
	failing, well := registrytest.New(t, open), registrytest.New(t, open)
	failing.Push("api", "1.0.0", demoregistry.ImageOptions{})
	well.Push("web", "1.0.0", demoregistry.ImageOptions{})
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	registryClient, err := registry.New(registry.Options{Transport: transport, Now: clk.Now, AllowLoopbackHTTP: true, RequestTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registryClient.Close() })
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "app", Generation: 1, CreationTimestamp: metav1.NewTime(clk.Now())}}
	w.Spec.Interval.Duration = time.Minute
	for _, name := range []string{failing.Name("api"), well.Name("web")} {
		w.Spec.Subscriptions = append(w.Spec.Subscriptions, v1alpha1.Subscription{Image: &v1alpha1.ImageSubscription{RepoURL: name}})
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Warehouse{}).WithObjects(w).Build()
	r := NewWarehouseReconciler(WarehouseOptions{
		Client: c, Clock: clk, Registry: registryClient,
		Credentials: func(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
			return credentials.Credential{}, nil
		},
	})
	poll := func() (freight []string) {
		t.Helper()
		clk.SetTime(clk.Now().Add(10 * time.Minute))
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w)}); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(w), w); err != nil {
			t.Fatal(err)
		}
		var list v1alpha1.FreightList
		if err := c.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		for _, f := range list.Items {
			freight = append(freight, f.Images[0].Tag+"+"+f.Images[1].Tag)
		}
		return freight
	}
	if got := poll(); strings.Join(got, " ") != "1.0.0+1.0.0" {
		t.Fatalf("Freight %v", got)
	}
	for _, fault := range []demoregistry.Fault{{Status: http.StatusInternalServerError}, {Status: http.StatusForbidden}, {Body: "<html>"}} {
		failing.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault { return &fault })
		poll()
		a, b := w.Status.Subscriptions[0], w.Status.Subscriptions[1]
		if a.Error == "" || a.Reason == "" || len(a.Candidates) != 1 || b.Error != "" || !b.LastSuccess.Equal(b.LastPoll) {
			t.Errorf("fault %+v: %+v and %+v", fault, a, b)
		}
	}
	well.Push("web", "1.1.0", demoregistry.ImageOptions{Salt: "2"})
	if got := poll(); len(got) != 2 || !strings.Contains(strings.Join(got, " "), "1.0.0+1.1.0") {
		t.Errorf("while one fails: Freight %v", got)
	}
}
