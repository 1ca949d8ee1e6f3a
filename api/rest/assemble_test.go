package rest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
)

// TestAssembleFreight: who holds the verb assemble puts candidates together, as
// themselves; nobody makes Freight of anything else, by whatever way.
func TestAssembleFreight(t *testing.T) {
	f := newProject(t)
	ctx := context.Background()
	admin := shared.as(t, "admin")
	path := "/api/v1/projects/" + f.name + "/warehouses/main/freight"
	choose := func(version string) model.AssembleRequest {
		return model.AssembleRequest{Choices: []model.ArtifactChoice{{RepoURL: image, Version: version}}}
	}
	if got := admin.do(t, "POST", path, choose("1.29.0")).problem(t); got.Code != model.Conflict {
		t.Errorf("a Warehouse that never looked: %+v", got)
	}
	var w v1alpha1.Warehouse
	if err := shared.admin.Get(ctx, client.ObjectKey{Namespace: f.name, Name: "main"}, &w); err != nil {
		t.Fatal(err)
	}
	at := metav1.Now()
	w.Status.ObservedGeneration = w.Generation
	w.Status.Subscriptions = []v1alpha1.SubscriptionStatus{{RepoURL: image, LastPoll: &at, Candidates: []v1alpha1.Image{
		{RepoURL: image, Tag: "1.30.0", Digest: digestOf(6)}, {RepoURL: image, Tag: "1.29.0", Digest: digestOf(5)},
	}}}
	if err := shared.admin.Status().Update(ctx, &w); err != nil {
		t.Fatal(err)
	}
	var made model.Freight
	eventually(t, func() error {
		a := admin.do(t, "POST", path, choose("1.29.0"))
		if a.status != 201 {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		}
		a.into(t, &made)
		return nil
	})
	var stored v1alpha1.Freight
	if err := shared.admin.Get(ctx, client.ObjectKey{Namespace: f.name, Name: made.Name}, &stored); err != nil {
		t.Fatal(err)
	}
	if stored.Images[0].Digest != digestOf(5) || stored.Order != 4 || stored.Alias == "" {
		t.Errorf("made %+v", stored)
	}
	eventually(t, func() error {
		again := admin.do(t, "POST", path, choose("1.29.0"))
		if again.status != 200 || !strings.Contains(string(again.body), made.Name) {
			return fmt.Errorf("the same again: %d %s", again.status, again.body)
		}
		return nil
	})
	for _, c := range []struct {
		why  string
		as   string
		body model.AssembleRequest
		code model.ProblemCode
	}{
		{"what the Warehouse has not found", "admin", choose("9.9.9"), model.InvalidRequest},
		{"what it does not watch", "admin", model.AssembleRequest{Choices: []model.ArtifactChoice{{RepoURL: "registry.example/evil", Version: "1"}}}, model.InvalidRequest},
		{"a promoter", "alice", choose("1.30.0"), model.Forbidden},
		{"a viewer", "victor", choose("1.30.0"), model.Forbidden},
		{"a stranger", "mallory", choose("1.30.0"), model.NotFound},
	} {
		if got := shared.as(t, c.as).do(t, "POST", path, c.body).problem(t); got.Code != c.code {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	// Around the API the same person is refused: whatever it holds, and with a
	// proof that is about other content.
	person, err := identity.NewPerson("admin", []string{"administrators"})
	if err != nil {
		t.Fatal(err)
	}
	forged := stored.DeepCopy()
	forged.ObjectMeta = metav1.ObjectMeta{Namespace: f.name, Name: "f" + strings.Repeat("1", 39)}
	for why, proofs := range map[string][]identity.Proof{"no proof": nil, "a proof of another Freight": {identity.FreightProof(made.Name)}} {
		c, err := shared.server.people.as(person, proofs...)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Create(ctx, forged.DeepCopy()); err == nil || !strings.Contains(err.Error(), "Freight is made by its Warehouse") {
			t.Errorf("%s: %v", why, err)
		}
	}
	// A proof without the verb is worth nothing either.
	alice, err := identity.NewPerson("alice", []string{"devs"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := shared.server.people.as(alice, identity.FreightProof(forged.Name))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(ctx, forged.DeepCopy()); err == nil {
		t.Error("a promoter made Freight")
	}
}
