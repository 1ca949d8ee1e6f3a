package controllers_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestUnreachableCluster: what cannot be seen is Unknown, never Healthy, and
// one relist later everything is as it should be.
func TestUnreachableCluster(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", first)
	f.cable.cut()
	app, message := f.waitReady("test", "ClusterUnreachable")
	if h := app.Status.Health; h.Status != v1alpha1.HealthUnknown || app.Status.Sync.Status != v1alpha1.SyncUnknown || app.Status.Sync.Revision != first {
		t.Errorf("%s", describe(app))
	}
	if !strings.Contains(message, `cluster "in-cluster" does not answer since `) || !strings.Contains(message, "the cable is cut") {
		t.Errorf("message %q", message)
	}
	// What happens meanwhile is caught up with: a commit, a drift, a deletion.
	second := f.commit("stage/test", web("registry.example.com/web:1.1.0", 1))
	f.kubectl("-n", f.project+"-test", "label", "service/web", "mine=1")
	f.kubectl("-n", f.project+"-test", "delete", "configmap/web")
	f.cable.mend()
	f.waitSynced("test", second)
	var s corev1.Service
	if !eventually(func() bool {
		f.get(&s, "web")
		return s.Labels["mine"] == ""
	}) {
		t.Errorf("the label that came in the meantime stays: %v", s.Labels)
	}
	f.get(&corev1.ConfigMap{}, "web")
}

// TestManualSync: without automated, a revision runs when somebody asks for it.
func TestManualSync(t *testing.T) {
	f := newAppFixture(t)
	f.commit("main", web("registry.example.com/web:1.0.0", 1))
	f.application("test", "main", "app", func(a *v1alpha1.Application) {
		a.Labels, a.Spec.SyncPolicy.Automated = nil, nil
	})
	app, message := f.waitReady("test", "OutOfSync")
	first := f.git.Branch("app", "main")
	if app.Status.Sync.Revision != "" || app.Status.Sync.Target != first || app.Status.Health != nil {
		t.Errorf("nobody asked for a sync: %s", describe(app))
	}
	if want := "runs nothing; the head of the branch is " + first[:7] + "; set the annotation waybill.dev/requested-at to sync it"; message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	f.annotate("test", v1alpha1.AnnotationRequestedAt, "1")
	f.waitSynced("test", first)
	second := f.commit("main", web("registry.example.com/web:1.1.0", 1))
	f.waitFor("test", "the new head", func(a *v1alpha1.Application) bool {
		return a.Status.Sync.Target == second && a.Status.Sync.Revision == first && a.Status.Sync.Status == v1alpha1.SyncOutOfSync
	})
	var d appsv1.Deployment
	f.get(&d, "web")
	if image := d.Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/web:1.0.0" {
		t.Errorf("image %s was synced by itself", image)
	}
	f.annotate("test", v1alpha1.AnnotationRequestedAt, "2")
	f.waitSynced("test", second)
}

// TestSuspend: nothing is written, everything is seen.
func TestSuspend(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", first)
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.Suspend = true })
	f.waitReady("test", "Suspended")
	f.counter.take()
	second := f.commit("stage/test", web("registry.example.com/web:1.1.0", 1))
	f.kubectl("-n", f.project+"-test", "scale", "deployment/web", "--replicas=2")
	app := f.waitFor("test", "the head and the drift", func(a *v1alpha1.Application) bool {
		return a.Status.Sync.Target == second && a.Status.Drifting
	})
	if app.Status.Sync.Revision != first {
		t.Errorf("synced while suspended: %s", describe(app))
	}
	if got := writesOnly(f.counter.take()); len(got) > 0 {
		t.Errorf("writes while suspended: %v", got)
	}
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.Suspend = false })
	f.waitSynced("test", second)
	var d appsv1.Deployment
	f.get(&d, "web")
	if *d.Spec.Replicas != 1 {
		t.Errorf("%d replicas after resuming, want 1", *d.Spec.Replicas)
	}
}

// TestForeignNamespace: CreateNamespace uses a namespace that exists and takes
// none that was made for another Project.
func TestForeignNamespace(t *testing.T) {
	f := newAppFixture(t)
	ns := &corev1.Namespace{}
	ns.Name, ns.Labels = f.project+"-test", map[string]string{v1alpha1.LabelNamespaceOf: "somebody"}
	if err := f.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	_, message := f.waitReady("test", "NamespaceTaken")
	if !strings.Contains(message, `it belongs to Project "somebody"`) {
		t.Errorf("message %q", message)
	}
	var d appsv1.Deployment
	if err := f.client.Get(t.Context(), types.NamespacedName{Namespace: ns.Name, Name: "web"}, &d); err == nil {
		t.Error("the Deployment was applied there")
	}
	delete(ns.Labels, v1alpha1.LabelNamespaceOf)
	if err := f.client.Update(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	f.waitSynced("test", commit)
}
