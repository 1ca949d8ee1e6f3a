package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestAliasLabelFollows an alias that was changed by kubectl, of the Warehouse's
// own Freight only.
func TestAliasLabelFollows(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	freight := func(name, origin, alias, label string) *v1alpha1.Freight {
		return &v1alpha1.Freight{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Labels: map[string]string{v1alpha1.LabelAlias: label, "team": "a"}},
			Alias:      alias, Origin: v1alpha1.Origin{Kind: "Warehouse", Name: origin}, Order: 1,
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		freight("f1", "app", "spring-release", "amber-heron"), freight("f2", "app", "bold-otter", "bold-otter"), freight("f3", "other", "new", "old"),
	).Build()
	r := NewWarehouseReconciler(WarehouseOptions{Client: c})
	var all v1alpha1.FreightList
	if err := c.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "app"}}
	if err := r.labelAliases(t.Context(), w, all.Items); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"f1": "spring-release", "f2": "bold-otter", "f3": "old"} {
		var f v1alpha1.Freight
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "demo", Name: name}, &f); err != nil {
			t.Fatal(err)
		}
		if f.Labels[v1alpha1.LabelAlias] != want || f.Labels["team"] != "a" {
			t.Errorf("%s is labelled %v, want %q", name, f.Labels, want)
		}
	}
}
