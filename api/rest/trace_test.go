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
)

// traceTo asks until the answer is as wanted: the caches and RBAC may be behind.
func traceTo(t *testing.T, who person, query string, isWanted func(*model.Trace) bool) model.Trace {
	t.Helper()
	var trace model.Trace
	eventually(t, func() error {
		a := who.do(t, "GET", "/api/v1/trace?"+query, nil)
		if a.status != http.StatusOK {
			return errors.New(string(a.body))
		}
		trace = model.Trace{}
		a.into(t, &trace)
		if !isWanted(&trace) {
			return fmt.Errorf("%s: %s", query, a.body)
		}
		return nil
	})
	return trace
}

// TestTrace goes from an object to commit, Promotion and Freight, for those who may
// see the Project; for others a hidden object and a missing one are the same.
func TestTrace(t *testing.T) {
	f := newProject(t)
	server := f.drifting(t)
	readWorkloads(t)
	ns, head := f.name+"-test", server.Branch("app", "stage/test")
	app := &v1alpha1.Application{}
	read := func() {
		t.Helper()
		if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: "test"}, app); err != nil {
			t.Fatal(err)
		}
	}
	read()
	app.Status.Sync = v1alpha1.SyncStatus{Status: v1alpha1.SyncSynced, Revision: head}
	updateStatus(t, app)
	// A Pod of the inventory owns a ConfigMap, and that another one.
	pod := &corev1.Pod{}
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "web"}, pod); err != nil {
		t.Fatal(err)
	}
	child := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "child", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web", UID: pod.UID}}}}
	create(t, child)
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "grandchild", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}, {APIVersion: "v1", Kind: "ConfigMap", Name: "child", UID: child.UID}}}})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "nobodys"}})
	// Two Promotions went into the Stage; the second found the branch as it should be.
	wrote := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "test.2." + nameOf(2)[:8]},
		Spec: v1alpha1.PromotionSpec{Stage: "test", Kind: v1alpha1.KindPromote, Freight: nameOf(2), Reason: "release"}}
	create(t, wrote)
	wrote.Status.Phase, wrote.Status.Commit = v1alpha1.PhaseSucceeded, &v1alpha1.PromotionCommit{RepoURL: app.Spec.Source.RepoURL, Branch: "stage/test", Commit: head}
	updateStatus(t, wrote)
	again := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "test.3." + nameOf(3)[:8]},
		Spec: v1alpha1.PromotionSpec{Stage: "test", Kind: v1alpha1.KindPromote, Freight: nameOf(3)}}
	create(t, again)
	again.Status.Phase, again.Status.Commit = v1alpha1.PhaseSucceeded, &v1alpha1.PromotionCommit{RepoURL: app.Spec.Source.RepoURL, Branch: "stage/test", Commit: head, Unchanged: true}
	updateStatus(t, again)

	victor := shared.as(t, "victor")
	in := "&namespace=" + ns
	direct := traceTo(t, victor, "kind=cm&name=settings"+in, func(tr *model.Trace) bool { return tr.Items[0].Wrote })
	item := direct.Items[0]
	if len(direct.Items) != 1 || len(item.Path) != 1 || item.Path[0].Kind != "ConfigMap" || item.Path[0].UID == "" || item.Application.Name != "test" ||
		item.File != "app/all.yaml" || item.Commit.ID != head || item.Commit.Author == "" || item.Commit.Date.IsZero() ||
		item.Promotion.Name != wrote.Name || item.Promotion.RequestReason != "release" || len(item.Missing) > 0 ||
		len(item.Freight) != 1 || item.Freight[0].Version != "1.27.0" || item.Freight[0].Origin != "main" || len(item.Freight[0].Images) != 1 {
		t.Errorf("%+v", item)
	}
	owned := traceTo(t, victor, "kind=configmaps&name=grandchild", func(tr *model.Trace) bool { return len(tr.Items) == 1 })
	var way []string
	for _, n := range owned.Items[0].Path {
		way = append(way, n.Kind+"/"+n.Name)
	}
	if got := strings.Join(way, " "); got != "ConfigMap/grandchild ConfigMap/child Pod/web" || owned.Items[0].Path[2].Health == "" || owned.Items[0].File != "" {
		t.Errorf("%s: %+v", got, owned.Items[0])
	}
	if gone := traceTo(t, victor, "kind=Secret&name=gone"+in, func(*model.Trace) bool { return true }); gone.Items[0].Path[0].Health != "Missing" || gone.Items[0].File != "app/all.yaml" {
		t.Errorf("%+v", gone.Items[0])
	}

	// A commit of a person on top: the last Promotion is told of as that.
	byHand := server.Commit("app", "stage/test", "by hand", map[string]string{"app/more.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n"})
	read()
	app.Status.Sync.Revision = byHand
	updateStatus(t, app)
	f.setStage(t, "test", 2, v1alpha1.HealthHealthy)
	hand := traceTo(t, victor, "kind=cm&name=settings"+in, func(tr *model.Trace) bool { return tr.Items[0].Commit.ID == byHand })
	if i := hand.Items[0]; i.Wrote || i.Promotion.Name != wrote.Name || i.Commit.Message != "by hand" {
		t.Errorf("%+v", i)
	}
	// Without Git the rest is told.
	open := shared.openGit.Swap(nil)
	blind := traceTo(t, victor, "kind=cm&name=settings"+in, func(*model.Trace) bool { return true })
	if i := blind.Items[0]; len(i.Missing) != 1 || strings.Contains(i.Missing[0], "no Git here") || i.Promotion.Name == "" || i.Commit.ID != "" {
		t.Errorf("%+v", i)
	}
	shared.openGit.Store(open)

	for query, want := range map[string]int{
		"kind=cm&name=nobodys" + in:                      http.StatusNotFound,
		"kind=cm&name=nothing" + in:                      http.StatusNotFound,
		"kind=cm&name=settings&namespace=default":        http.StatusNotFound,
		"kind=cm&name=settings&cluster=west":             http.StatusNotFound,
		"kind=deploi&name=settings":                      http.StatusNotFound,
		"kind=cm":                                        http.StatusBadRequest,
		"kind=cm&name=" + strings.Repeat("a", 300):       http.StatusBadRequest,
		"kind=" + strings.Repeat("a", 400) + "&name=web": http.StatusBadRequest,
	} {
		if a := victor.do(t, "GET", "/api/v1/trace?"+query, nil); a.status != want {
			t.Errorf("%.80s: %d, want %d: %s", query, a.status, want, a.body)
		}
	}
	mallory := shared.as(t, "mallory")
	hidden, missing := mallory.do(t, "GET", "/api/v1/trace?kind=cm&name=settings"+in, nil), mallory.do(t, "GET", "/api/v1/trace?kind=cm&name=settingz"+in, nil)
	h, m := hidden.problem(t), missing.problem(t)
	if hidden.status != http.StatusNotFound || missing.status != http.StatusNotFound || h.Hint != m.Hint || h.Detail != strings.Replace(m.Detail, "settingz", "settings", 1) {
		t.Errorf("hidden %d %s, missing %d %s", hidden.status, hidden.body, missing.status, missing.body)
	}
}
