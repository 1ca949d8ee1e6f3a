package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// sync asks for one, as the API does, and waits for its end.
func (f *appFixture) sync(name string, q v1alpha1.SyncRequest) *v1alpha1.SyncResult {
	f.t.Helper()
	q.ID = fmt.Sprintf("t-%d", time.Now().UnixNano())
	f.edit(name, func(a *v1alpha1.Application) { a.Operation = &q })
	return f.waitFor(name, "the end of sync "+q.ID, func(a *v1alpha1.Application) bool {
		l := a.Status.LastSync
		return l != nil && l.ID == q.ID && l.Phase != v1alpha1.OperationRunning && l.FinishedAt != nil
	}).Status.LastSync
}

// TestRequestedSync: an Application that does nothing by itself does what is
// asked for, and only that.
func TestRequestedSync(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Labels = nil
		a.Spec.SyncPolicy.Automated = nil
	})
	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitReady("test", "OutOfSync")
	if got := f.sync("test", v1alpha1.SyncRequest{By: "waybill:alice"}); got.Phase != v1alpha1.OperationSucceeded || got.Revision != first || got.By != "waybill:alice" {
		t.Fatalf("%+v", got)
	}
	f.waitSynced("test", first)
	ns := f.project + "-test"

	// Drift stays until somebody asks; then only that of what is named goes.
	f.kubectl("-n", ns, "scale", "deployment/web", "--replicas=3")
	f.kubectl("-n", ns, "label", "service/web", "by-hand=yes")
	f.kubectl("-n", ns, "patch", "service/web", "--type=merge", "-p", `{"spec":{"ports":[{"port":81}]}}`)
	f.waitFor("test", "the drift", func(a *v1alpha1.Application) bool { return a.Status.Drifting && len(a.Status.Drifts) > 1 })
	if got := f.sync("test", v1alpha1.SyncRequest{Resources: []v1alpha1.SyncResource{{Kind: "deployment", Name: "web"}}}); got.Phase != v1alpha1.OperationSucceeded {
		t.Fatalf("%+v", got)
	}
	if got := f.kubectl("-n", ns, "get", "deployment/web", "-o", "jsonpath={.spec.replicas}"); got != "1" {
		t.Errorf("replicas %q", got)
	}
	if got := f.kubectl("-n", ns, "get", "service/web", "-o", "jsonpath={.spec.ports[*].port}"); !strings.Contains(got, "81") {
		t.Errorf("what was not named was synced: ports %q", got)
	}
	if got := f.sync("test", v1alpha1.SyncRequest{}); got.Phase != v1alpha1.OperationSucceeded {
		t.Fatalf("%+v", got)
	}
	f.waitSynced("test", first)
	if got := f.kubectl("-n", ns, "get", "service/web", "-o", "jsonpath={.spec.ports[*].port}{.metadata.labels.by-hand}"); strings.Contains(got, "81") || strings.Contains(got, "yes") {
		t.Errorf("after a sync of all: %q", got)
	}

	// A name that means nothing.
	if got := f.sync("test", v1alpha1.SyncRequest{Resources: []v1alpha1.SyncResource{{Kind: "Deployment", Name: "other"}}}); got.Phase != v1alpha1.OperationFailed || !strings.Contains(got.Message, "other is not part") {
		t.Errorf("%+v", got)
	}

	// What left the source stays, until a sync with prune.
	files := web("registry.example.com/web:1.1.0", 1)
	for name := range files {
		if strings.Contains(files[name], "kind: Service\n") {
			files[name] = ""
		}
	}
	second := f.commit("stage/test", files)
	got := f.sync("test", v1alpha1.SyncRequest{})
	if got.Phase != v1alpha1.OperationSucceeded || got.Revision != second || !strings.Contains(got.Message, "is kept") {
		t.Errorf("%+v", got)
	}
	if got := f.sync("test", v1alpha1.SyncRequest{Prune: true, Resources: []v1alpha1.SyncResource{{Kind: "Service", Name: "web"}}}); got.Phase != v1alpha1.OperationSucceeded || got.Message != "" {
		t.Errorf("%+v", got)
	}
	if err := f.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "web"}, &corev1.Service{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Service is there: %v", err)
	}

	// One that cannot succeed says why, and a request is worked on once.
	third := f.commit("stage/test", map[string]string{"app/bad.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n"})
	got = f.sync("test", v1alpha1.SyncRequest{})
	if got.Phase != v1alpha1.OperationFailed || got.Revision != third || !strings.Contains(got.Message, "99999") {
		t.Errorf("%+v", got)
	}
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.Suspend = true })
	if got := f.sync("test", v1alpha1.SyncRequest{}); got.Phase != v1alpha1.OperationFailed || !strings.Contains(got.Message, "suspended") {
		t.Errorf("%+v", got)
	}

	// All of it is told.
	seen := map[string]string{}
	if !eventually(func() bool {
		var list eventsv1.EventList
		if err := f.client.List(t.Context(), &list, client.InNamespace(f.project)); err != nil {
			return false
		}
		for _, e := range list.Items {
			if e.Regarding.Kind == "Application" && e.Regarding.Name == "test" {
				seen[e.Reason] = e.Note
			}
		}
		return seen["Synced"] != "" && seen["SyncSucceeded"] != "" && seen["SyncFailed"] != "" && seen["DriftReported"] != "" && seen["DriftHealed"] != ""
	}) {
		t.Errorf("Events: %v", seen)
	}
}
