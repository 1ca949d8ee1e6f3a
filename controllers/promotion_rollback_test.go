package controllers

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestRollbackOfWhatChangedSince: a verdict on an old copy makes no Rollback. It
// would abort the Promotion before its record says which check failed.
func TestRollbackOfWhatChangedSince(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	bad := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: "test", Kind: v1alpha1.KindPromote, Freight: "f1"}}
	bad.Namespace, bad.Name = "demo", "test.1.f1"
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(bad).Build()
	r := NewPromotionReconciler(PromotionOptions{Client: c, Live: c, Clock: clock.RealClock{}})
	judged := &v1alpha1.Promotion{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(bad), judged); err != nil {
		t.Fatal(err)
	}
	changed := judged.DeepCopy()
	changed.Annotations = map[string]string{"by": "somebody"}
	if err := c.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	create := func(p *v1alpha1.Promotion) error {
		o := &promotion.Observation{Stage: &v1alpha1.Stage{}, Promotions: []v1alpha1.Promotion{*p}}
		o.Stage.Namespace, o.Stage.Name = "demo", "test"
		return r.createRollback(t.Context(), o, p, "check failed")
	}
	promotions := func() int {
		var all v1alpha1.PromotionList
		if err := c.List(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		return len(all.Items)
	}
	if err := create(judged); !apierrors.IsConflict(err) || promotions() != 1 {
		t.Errorf("judged on an old copy: %v, %d Promotions; want a conflict and no Rollback", err, promotions())
	}
	for range 2 {
		if err := create(changed); err != nil || promotions() != 2 {
			t.Errorf("judged on the copy there is: %v, %d Promotions; want one Rollback", err, promotions())
		}
	}
}
