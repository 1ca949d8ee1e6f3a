package controllers

import (
	"context"
	"net/http"
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
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
	"github.com/waybill-dev/waybill/warehouse/signature/signaturetest"
)

// TestUnsignedIsNeverFreight: a Warehouse that begins to ask for signatures uses
// nothing that it found before, also while the registry does not answer; then only
// what is signed becomes Freight, by the controller or by a person's choice.
func TestUnsignedIsNeverFreight(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	reg := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	signed := reg.Push("app", "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	reg.Push("app", "1.1.0", demoregistry.ImageOptions{Salt: "2"})
	key := signaturetest.NewKey(t)
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	registryClient, err := registry.New(registry.Options{Transport: transport, Now: clk.Now, AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registryClient.Close() })
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "app", Generation: 1}}
	w.Spec.Interval.Duration = time.Minute
	w.Spec.FreightCreationPolicy = v1alpha1.FreightManual // so far, nothing is Freight
	w.Spec.Subscriptions = []v1alpha1.Subscription{{Image: &v1alpha1.ImageSubscription{RepoURL: reg.Name("app")}}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Warehouse{}).WithObjects(w).Build()
	r := NewWarehouseReconciler(WarehouseOptions{
		Client: c, Clock: clk, Registry: registryClient,
		Credentials: func(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
			return credentials.Credential{}, nil
		},
	})
	poll := func() v1alpha1.SubscriptionStatus {
		t.Helper()
		clk.SetTime(clk.Now().Add(10 * time.Minute))
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w)}); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(w), w); err != nil {
			t.Fatal(err)
		}
		return w.Status.Subscriptions[0]
	}
	freight := func() (tags []string) {
		t.Helper()
		var list v1alpha1.FreightList
		if err := c.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		for _, f := range list.Items {
			tags = append(tags, f.Images[0].Tag)
		}
		return tags
	}
	if s := poll(); len(s.Candidates) != 2 {
		t.Fatalf("without a signature: %+v", s)
	}
	w.Spec.Subscriptions[0].Image.Signature = &v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}}
	w.Spec.FreightCreationPolicy, w.Generation = v1alpha1.FreightAutomatic, 2
	if err := c.Update(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := warehouse.Pick(w, nil); err == nil {
		t.Error("a person could choose what was found before signatures were asked for")
	}
	reg.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		return &demoregistry.Fault{Status: http.StatusBadGateway}
	})
	if s := poll(); len(s.Candidates) != 0 || s.Reason != "RegistryFailed" || len(freight()) != 0 {
		t.Errorf("while the registry fails: %+v, Freight %v", s, freight())
	}
	reg.SetFault(nil)
	if s := poll(); len(s.Candidates) != 0 || s.Reason != warehouse.ReasonSignatureMissing || len(s.Refused) != 2 || len(freight()) != 0 {
		t.Errorf("nothing is signed: %+v, Freight %v", s, freight())
	}
	signaturetest.PushSimple(t, reg.Server, "app", signed, key.Sign(signed))
	s := poll()
	if len(s.Candidates) != 1 || s.Candidates[0].Tag != "1.0.0" || s.Reason != warehouse.ReasonSignatureMissing || len(s.Refused) != 1 {
		t.Errorf("an older one is signed: %+v", s)
	}
	if got := freight(); len(got) != 1 || got[0] != "1.0.0" {
		t.Errorf("Freight of %v, want 1.0.0", got)
	}
	if _, err := warehouse.Pick(w, []warehouse.Choice{{RepoURL: reg.Name("app"), Version: "1.1.0"}}); err == nil {
		t.Error("a person could choose what nobody signed")
	}
}
