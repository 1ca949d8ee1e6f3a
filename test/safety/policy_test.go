package safety

import (
	"context"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/promotion"
)

// TestWeakenedPolicyIsPutBackWhole: a policy with a condition more is a policy
// less, and is not called in force.
func TestWeakenedPolicyIsPutBackWhole(t *testing.T) {
	admin := clientFor(t, shared.Config)
	server := clientFor(t, shared.ConfigFor(t, "system:serviceaccount:"+systemNamespace+":waybill", "system:serviceaccounts"))
	keeper, err := controllers.NewPolicyReconciler(server)
	if err != nil {
		t.Fatal(err)
	}
	keep := func() {
		t.Helper()
		if _, err := keeper.Reconcile(context.WithoutCancel(t.Context()), ctrl.Request{}); err != nil {
			t.Fatal(err)
		}
		if missing, isKnown := keeper.Missing(); len(missing) > 0 || !isKnown {
			t.Fatalf("not in force: %v; known: %v", missing, isKnown)
		}
	}
	keep()
	t.Cleanup(keep)
	for _, c := range []struct {
		why, kind, name, patch string
		path                   []string
		want                   any
	}{
		{
			"a condition that never holds", "ValidatingAdmissionPolicy", "promotions.waybill.dev",
			`[{"op":"add","path":"/spec/matchConditions/-","value":{"name":"never","expression":"false"}}]`,
			[]string{"spec", "matchConditions"}, nil,
		},
		{
			"a Namespace left out", "ValidatingAdmissionPolicyBinding", "promotions.waybill.dev",
			`[{"op":"add","path":"/spec/matchResources","value":{"namespaceSelector":{"matchLabels":{"a":"b"}}}}]`,
			[]string{"spec", "matchResources"}, nil,
		},
		{
			"a resource left out", "ValidatingAdmissionPolicy", "freezes.waybill.dev",
			`[{"op":"add","path":"/spec/matchConstraints/excludeResourceRules","value":[{"apiGroups":["*"],"apiVersions":["*"],"operations":["*"],"resources":["*"]}]}]`,
			[]string{"spec", "matchConstraints", "excludeResourceRules"}, nil,
		},
	} {
		t.Run(c.why, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: c.kind})
			key := client.ObjectKey{Name: c.name}
			if err := admin.Get(t.Context(), key, u); err != nil {
				t.Fatal(err)
			}
			before, _, _ := unstructured.NestedFieldCopy(u.Object, c.path...)
			if err := admin.Patch(t.Context(), u, client.RawPatch(types.JSONPatchType, []byte(c.patch)), client.FieldOwner("somebody")); err != nil {
				t.Fatal(err)
			}
			keep()
			if err := admin.Get(t.Context(), key, u); err != nil {
				t.Fatal(err)
			}
			after, _, _ := unstructured.NestedFieldCopy(u.Object, c.path...)
			if !slices.Equal(listOf(before), listOf(after)) || (before == nil) != (after == nil) {
				t.Errorf("%v is %v afterwards, was %v", c.path, after, before)
			}
		})
	}
}

// listOf returns the names of a list's entries, to compare.
func listOf(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			name, _ := m["name"].(string)
			out = append(out, name)
		}
	}
	return out
}

// TestNothingIsSaidOfPoliciesUnseen: a waybilld that has not looked at the
// admission policies yet changes nothing and starts nothing; once it has looked,
// it says what is missing.
func TestNothingIsSaidOfPoliciesUnseen(t *testing.T) {
	r := newRig(t, "p-unseen")
	r.stage("test")
	st := r.stepStage("test")
	p := r.promotion("test.1.x", r.freight(1, "1.26.0").Name)

	r.policies.isUnknown = true
	if now := r.stepStage("test"); now.ResourceVersion != st.ResourceVersion {
		t.Errorf("the Stage was written: %+v", now.Status.Conditions)
	}
	if now := r.step(p); now.ResourceVersion != p.ResourceVersion {
		t.Errorf("the Promotion was written: %+v", now.Status)
	}

	r.policies = policies{missing: []string{"ValidatingAdmissionPolicy/promotions.waybill.dev"}}
	c := meta.FindStatusCondition(r.stepStage("test").Status.Conditions, "Ready")
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != promotion.ReasonPolicyMissing || !strings.Contains(c.Message, "promotions.waybill.dev") {
		t.Errorf("the Stage says %+v", c)
	}
	if now := r.step(p); now.Status.Phase != v1alpha1.PhasePending || now.Status.Reason != promotion.ReasonPolicyMissing {
		t.Errorf("the Promotion says %q, %q", now.Status.Phase, now.Status.Reason)
	}

	r.policies = policies{}
	if now := r.step(p); now.Status.Reason == promotion.ReasonPolicyMissing {
		t.Errorf("the Promotion still says %q", now.Status.Message)
	}
}
