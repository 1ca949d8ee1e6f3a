package controllers_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func TestApplicationSyncs(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	_, message := f.waitReady("test", "NothingPromoted")
	t.Log(message)

	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 2))
	app := f.waitSynced("test", first)
	if n := len(app.Status.Inventory); n != 3 {
		t.Errorf("inventory has %d entries, want 3: %+v", n, app.Status.Inventory)
	}
	var d appsv1.Deployment
	if err := f.client.Get(t.Context(), types.NamespacedName{Namespace: f.project + "-test", Name: "web"}, &d); err != nil {
		t.Fatal(err)
	}
	if got := d.Labels[v1alpha1.LabelManagedBy]; got == "" {
		t.Error("the Deployment carries no ownership label")
	}
	if _, marked := d.Spec.Template.Labels[v1alpha1.LabelManagedBy]; marked {
		t.Error("the pod template carries our label")
	}

	f.counter.take()
	second := f.commit("stage/test", web("registry.example.com/web:1.1.0", 2))
	f.waitSynced("test", second)
	t.Logf("requests of an image update: %v", f.counter.take())
}
