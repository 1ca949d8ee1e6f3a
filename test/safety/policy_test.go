package safety

import (
	"context"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/controllers"
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
		if missing := keeper.Missing(); len(missing) > 0 {
			t.Fatalf("not in force: %v", missing)
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
