package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// application makes an Application that has applied a ConfigMap and a Pod into
// <project>-test, as the controller would have left it.
func (f fixture) application(t *testing.T, name string) *v1alpha1.Application {
	t.Helper()
	ns := f.name + "-test"
	create(t, &corev1.Namespace{ObjectMeta: metaOf(ns)})
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}}) // nobody else makes it here
	app := &v1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: name, Labels: map[string]string{v1alpha1.LabelStage: "test"}},
		Spec: v1alpha1.ApplicationSpec{
			Source:      v1alpha1.ApplicationSource{RepoURL: "https://git.example.com/app.git", TargetRevision: "stage/test", Path: "."},
			Destination: v1alpha1.Destination{Namespace: ns},
		},
	}
	create(t, app)
	labels := map[string]string{v1alpha1.LabelManagedBy: gitops.OwnerOf(app).Label()}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "settings", Labels: labels}, Data: map[string]string{"k": "canary-in-config"}}
	create(t, settings)
	web := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web", Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "x"}}}}
	create(t, web)
	create(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "stranger"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "x"}}}})
	create(t, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web.1"}, Type: "Warning", Reason: "BackOff", Message: "m",
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "web", UID: web.UID}})
	create(t, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "stranger.1"}, Type: "Warning", Reason: "BackOff", Message: "m",
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "stranger", UID: "other"}})
	app.Status.Inventory = []v1alpha1.InventoryEntry{
		{Version: "v1", Kind: "ConfigMap", Namespace: ns, Name: "settings", UID: string(settings.UID)},
		{Version: "v1", Kind: "Pod", Namespace: ns, Name: "web", UID: string(web.UID)},
		{Version: "v1", Kind: "Secret", Namespace: ns, Name: "gone", UID: "gone"},
	}
	updateStatus(t, app)
	return app
}

// readWorkloads fills the role admin, which the server's account is bound to, as
// kube-controller-manager would, which does not run here.
func readWorkloads(t *testing.T) {
	t.Helper()
	shared.env.Apply(t, `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-admin}
rules:
- {apiGroups: ["", apps, batch, discovery.k8s.io], resources: ["*"], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-admin}
subjects: [{kind: ServiceAccount, name: waybill, namespace: waybill-system}]
`)
}

// TestWhatAnApplicationHas reads tree, events and logs with the rights of the
// server's own account, and asks what the person may see.
func TestWhatAnApplicationHas(t *testing.T) {
	f := newProject(t)
	f.application(t, "test")
	readWorkloads(t)
	victor, alice := shared.as(t, "victor"), shared.as(t, "alice")
	eventually(t, func() error { // the cache and RBAC may be behind, and of one kind more than of another
		a := victor.do(t, "GET", f.path("/applications/test/tree"), nil)
		if a.status != http.StatusOK {
			return errors.New(string(a.body))
		}
		var tree model.ResourceTree
		a.into(t, &tree)
		seen := map[string]string{}
		for _, n := range tree.Items {
			seen[n.Kind+"/"+n.Name] = n.Health
		}
		if len(seen) != 3 || seen["Secret/gone"] != "Missing" || seen["Pod/web"] == "" || seen["ConfigMap/settings"] != "" || tree.Items[0].UID == "" {
			return fmt.Errorf("%v", seen)
		}
		return nil
	})
	var events model.ObjectEventList
	victor.get(t, f.path("/applications/test/events"), &events)
	if len(events.Items) != 1 || events.Items[0].Name != "web" || !events.Items[0].Warning || events.Items[0].LastAt.IsZero() {
		t.Errorf("%+v", events.Items)
	}
	if a := victor.do(t, "GET", f.path("/applications/test/logs"), nil); a.status != http.StatusForbidden || a.problem(t).Code != model.Forbidden {
		t.Errorf("logs for a viewer: %d %s", a.status, a.body)
	}
	var logs model.ContainerLogList
	alice.get(t, f.path("/applications/test/logs?lines=5"), &logs)
	if len(logs.Items) != 1 || !strings.HasSuffix(logs.Items[0].Pod, "-test/web") || logs.Items[0].Text != "" { // no node runs it
		t.Errorf("%+v", logs.Items)
	}
	for path, want := range map[string]int{
		"/applications/test/logs?kind=Pod&name=stranger": http.StatusNotFound,
		"/applications/test/logs?kind=Pod":               http.StatusBadRequest,
		"/applications/test/logs?lines=1000000":          http.StatusBadRequest,
		"/applications/other/tree":                       http.StatusNotFound,
		"/applications/test/diff":                        http.StatusConflict, // it has no revision
	} {
		if a := alice.do(t, "GET", f.path(path), nil); a.status != want {
			t.Errorf("%s: %d, want %d: %s", path, a.status, want, a.body)
		}
	}
}

// TestSyncIsAskedFor writes the wish and whose it is, for those with the verb.
func TestSyncIsAskedFor(t *testing.T) {
	f := newProject(t)
	f.application(t, "test")
	alice := shared.as(t, "alice")
	var first, second model.RefreshResult
	eventually(t, func() error {
		a := alice.do(t, "POST", f.path("/applications/test/sync"), model.SyncRequest{Prune: true, Resources: []model.SyncResource{{Kind: "Pod", Name: "web"}}})
		if a.status != http.StatusAccepted {
			return errors.New(string(a.body))
		}
		a.into(t, &first)
		return nil
	})
	var app v1alpha1.Application
	read := func() *v1alpha1.SyncRequest {
		t.Helper()
		if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: "test"}, &app); err != nil {
			t.Fatal(err)
		}
		return app.Operation
	}
	if q := read(); q == nil || q.ID != first.Request || q.By != "waybill:alice" || !q.Prune || len(q.Resources) != 1 {
		t.Fatalf("%+v", q)
	}
	alice.do(t, "POST", f.path("/applications/test/sync"), model.SyncRequest{}).into(t, &second)
	if q := read(); q.ID != second.Request || second.Request == first.Request || q.Prune || len(q.Resources) != 0 {
		t.Errorf("the request before shines through: %+v", q)
	}
	if a := shared.as(t, "victor").do(t, "POST", f.path("/applications/test/sync"), model.SyncRequest{}); a.status != http.StatusForbidden {
		t.Errorf("a viewer: %d %s", a.status, a.body)
	}
	if a := alice.do(t, "POST", f.path("/applications/nothing/sync"), model.SyncRequest{}); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.body)
	}
	var audit model.AuditList
	alice.get(t, f.path("/audit"), &audit)
	n := 0
	for _, e := range audit.Items {
		if e.Action == model.AuditSync && e.Actor == "waybill:alice" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d syncs in the audit: %+v", n, audit.Items)
	}
}
