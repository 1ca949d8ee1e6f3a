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

// signedRig is a Warehouse of one image in a real registry, with a key that may
// sign it.
type signedRig struct {
	t   *testing.T
	reg *registrytest.Registry
	key *signaturetest.Key
	clk *clocktesting.FakePassiveClock
	c   client.Client
	r   *WarehouseReconciler
	w   *v1alpha1.Warehouse
}

// newSignedRig begins with a Warehouse that asks for no signature.
func newSignedRig(t *testing.T, policy v1alpha1.FreightCreationPolicy) *signedRig {
	t.Helper()
	rig := &signedRig{
		t: t, clk: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)),
		reg: registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone }),
		key: signaturetest.NewKey(t),
	}
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	registryClient, err := registry.New(registry.Options{Transport: transport, Now: rig.clk.Now, AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registryClient.Close() })
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	rig.w = &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "app", Generation: 1}}
	rig.w.Spec.Interval.Duration = time.Minute
	rig.w.Spec.FreightCreationPolicy = policy
	rig.w.Spec.Subscriptions = []v1alpha1.Subscription{{Image: &v1alpha1.ImageSubscription{RepoURL: rig.reg.Name("app")}}}
	rig.c = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Warehouse{}, &v1alpha1.Freight{}).WithObjects(rig.w).Build()
	rig.r = NewWarehouseReconciler(WarehouseOptions{
		Client: rig.c, Clock: rig.clk, Registry: registryClient,
		Credentials: func(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
			return credentials.Credential{}, nil
		},
	})
	return rig
}

// poll lets ten minutes pass and returns what the Warehouse says then.
func (g *signedRig) poll() v1alpha1.SubscriptionStatus {
	g.t.Helper()
	g.clk.SetTime(g.clk.Now().Add(10 * time.Minute))
	if _, err := g.r.Reconcile(g.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(g.w)}); err != nil {
		g.t.Fatal(err)
	}
	if err := g.c.Get(g.t.Context(), client.ObjectKeyFromObject(g.w), g.w); err != nil {
		g.t.Fatal(err)
	}
	return g.w.Status.Subscriptions[0]
}

// askFor makes the Warehouse ask for the signature of key.
func (g *signedRig) askFor(key *signaturetest.Key) {
	g.t.Helper()
	g.w.Spec.Subscriptions[0].Image.Signature = &v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}}
	g.w.Generation++
	if err := g.c.Update(g.t.Context(), g.w); err != nil {
		g.t.Fatal(err)
	}
}

// freight returns all there is.
func (g *signedRig) freight() []v1alpha1.Freight {
	g.t.Helper()
	var list v1alpha1.FreightList
	if err := g.c.List(g.t.Context(), &list); err != nil {
		g.t.Fatal(err)
	}
	return list.Items
}

// TestUnsignedIsNeverFreight: a Warehouse that begins to ask for signatures uses
// nothing that it found before, also while the registry does not answer; then only
// what is signed becomes Freight, by the controller or by a person's choice.
func TestUnsignedIsNeverFreight(t *testing.T) {
	g := newSignedRig(t, v1alpha1.FreightManual) // so far, nothing is Freight
	reg, w, key, poll := g.reg, g.w, g.key, g.poll
	signed := reg.Push("app", "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	reg.Push("app", "1.1.0", demoregistry.ImageOptions{Salt: "2"})
	freight := func() (tags []string) {
		t.Helper()
		for _, f := range g.freight() {
			tags = append(tags, f.Images[0].Tag)
		}
		return tags
	}
	if s := poll(); len(s.Candidates) != 2 {
		t.Fatalf("without a signature: %+v", s)
	}
	w.Spec.FreightCreationPolicy = v1alpha1.FreightAutomatic
	g.askFor(key)
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

// TestOlderFreightIsLookedAt: Freight from before the Warehouse asked for
// signatures says whether its image is signed by whom it asks for now, and
// nothing about it is known while the registry does not answer.
func TestOlderFreightIsLookedAt(t *testing.T) {
	g := newSignedRig(t, v1alpha1.FreightAutomatic)
	digest := g.reg.Push("app", "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	state := func() string {
		t.Helper()
		all := g.freight()
		if len(all) != 1 {
			t.Fatalf("%d Freight, want the one that was there", len(all))
		}
		s := all[0].Signature(g.reg.Name("app"), g.w.Spec.Subscriptions[0].Image.Signature.Digest())
		switch {
		case s == nil:
			return "unknown"
		case s.VerifiedAt != nil:
			return "signed"
		}
		return s.Reason
	}
	g.poll()
	if state() != "unknown" {
		t.Errorf("nobody asks for a signature: %s", state())
	}
	g.askFor(g.key)
	g.reg.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		return &demoregistry.Fault{Status: http.StatusBadGateway}
	})
	if g.poll(); state() != "unknown" {
		t.Errorf("while the registry fails: %s", state())
	}
	g.reg.SetFault(nil)
	if g.poll(); state() != warehouse.ReasonSignatureMissing {
		t.Errorf("nobody signed it: %s", state())
	}
	signaturetest.PushSimple(t, g.reg.Server, "app", digest, g.key.Sign(digest))
	g.reg.Push("app", "2.0.0", demoregistry.ImageOptions{Salt: "2"}) // unsigned: the old one stays the only Freight
	if g.poll(); state() != "signed" {
		t.Errorf("it is signed: %s", state())
	}
	g.askFor(signaturetest.NewKey(t))
	if state() != "unknown" {
		t.Errorf("another key is asked for, before the poll: %s", state())
	}
	if g.poll(); state() != warehouse.ReasonSignatureInvalid {
		t.Errorf("signed with another key: %s", state())
	}
}
