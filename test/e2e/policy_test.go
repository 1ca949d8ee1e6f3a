package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestPolicyDeleted takes an admission policy away. While it is missing nobody's
// authority is proven, and nothing is promoted; it is put back, and promotions
// go on by themselves.
func TestPolicyDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "policy")
	w.guestbook()
	w.startServer()
	w.pipeline(nil)
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	w.runs("uat", "1.26.0")
	w.settled()

	policies := []*unstructured.Unstructured{
		object("ValidatingAdmissionPolicy", "promotions.waybill.dev"),
		object("ValidatingAdmissionPolicyBinding", "promotions.waybill.dev"),
		object("ValidatingAdmissionPolicy", "freezes.waybill.dev"),
	}
	for _, u := range policies {
		w.deletePolicy(u)
		w.within(patience, u.GetKind()+" "+u.GetName()+" is put back", func() error {
			return w.client.Get(t.Context(), client.ObjectKeyFromObject(u), u)
		})
	}
	w.push("1.26.1")
	w.runs("test", "1.26.1")
	w.runs("uat", "1.26.1")
	w.settled()

	// Without the right to write policies waybilld cannot put it back.
	giveBack := w.takeRight("admissionregistration.k8s.io", "create", "patch")
	t.Cleanup(giveBack)
	w.deletePolicy(policies[0])
	test, uat := w.deployed("test"), w.deployed("uat")
	message := w.condition(&v1alpha1.Stage{}, "test", "PolicyMissing")
	if want := "ValidatingAdmissionPolicy/promotions.waybill.dev"; !strings.Contains(message, want) {
		t.Errorf("the Stage's message lacks %q: %s", want, message)
	}
	before := len(w.promotions(""))
	w.push("1.26.2")
	byPerson := w.promote("prod", "1.26.1")
	w.waits(byPerson, "PolicyMissing")
	w.always(2*time.Second, "nothing is promoted", func() error {
		if n := len(w.promotions("")); n != before+1 {
			return fmt.Errorf("%d Promotions, were %d and one of a person", n, before)
		}
		return w.hasCommits(byPerson, 0)
	})
	test.untouched()
	uat.untouched()

	giveBack()
	w.within(patience, "the policy is put back", func() error {
		return w.client.Get(t.Context(), client.ObjectKeyFromObject(policies[0]), policies[0])
	})
	w.ends(byPerson, v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.2")
	w.runs("uat", "1.26.2")
	w.settled()
	w.oneCommitEach()
}

func object(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind})
	u.SetName(name)
	return u
}

func (w *world) deletePolicy(u *unstructured.Unstructured) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), u); err != nil {
		w.t.Fatal(err)
	}
}

// takeRight takes verbs on an API group away from waybilld's role. The returned
// function gives them back; it may be called twice.
func (w *world) takeRight(group string, verbs ...string) (giveBack func()) {
	w.t.Helper()
	role := &unstructured.Unstructured{}
	role.SetGroupVersionKind(schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"})
	role.SetName("waybill-server")
	if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		w.t.Fatal(err)
	}
	original, _, err := unstructured.NestedSlice(role.Object, "rules")
	if err != nil {
		w.t.Fatal(err)
	}
	set := func(rules []any) error {
		patch := client.MergeFrom(role.DeepCopy())
		if err := unstructured.SetNestedSlice(role.Object, rules, "rules"); err != nil {
			return err
		}
		return w.client.Patch(context.Background(), role, patch) // also when the test has ended
	}
	var fewer []any
	for _, r := range original {
		rule := (&unstructured.Unstructured{Object: r.(map[string]any)}).DeepCopy().Object
		if groups, _, _ := unstructured.NestedStringSlice(rule, "apiGroups"); slices.Contains(groups, group) {
			have, _, _ := unstructured.NestedStringSlice(rule, "verbs")
			have = slices.DeleteFunc(have, func(v string) bool { return slices.Contains(verbs, v) })
			if err := unstructured.SetNestedStringSlice(rule, have, "verbs"); err != nil {
				w.t.Fatal(err)
			}
		}
		fewer = append(fewer, rule)
	}
	if err := set(fewer); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		if err := set(original); err != nil {
			w.t.Error(err)
		}
	}
}
