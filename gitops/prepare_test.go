package gitops_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/gitops"
)

// A wave without quotes hides the hook beside it, and a skipped object may be of any kind.
func TestPrepareReadsOptionsFirst(t *testing.T) {
	wave := configMap("wave")
	wave.Object["metadata"].(map[string]any)["annotations"] = map[string]any{"argocd.argoproj.io/hook": "PreSync", "argocd.argoproj.io/sync-wave": int64(-1)}
	null := configMap("null")
	null.Object["metadata"].(map[string]any)["annotations"] = map[string]any{"note": nil}
	skipped := object("example.com/v1", "Unknown", "skipped")
	skipped.SetAnnotations(map[string]string{"helm.sh/hook": "test"})
	desired, errs := gitops.Prepare([]*unstructured.Unstructured{wave, null, skipped, configMap("good")}, gitops.Preparation{
		Owner: me, Namespace: "shop-test", Scope: func(gvk schema.GroupVersionKind) (bool, bool) { return true, gvk.Kind != "Unknown" },
	})
	var got []string
	for _, e := range errs {
		got = append(got, e.Key.Name+" "+e.Reason)
	}
	if diff := cmp.Diff([]string{"wave InvalidOption", "null Invalid"}, got); diff != "" || len(desired) != 1 {
		t.Errorf("%d objects (-want +got):\n%s", len(desired), diff)
	}
}

func TestPrepare(t *testing.T) {
	secret := object("v1", "Secret", "s")
	secret.Object["stringData"] = map[string]any{"password": "hunter2"}
	secret.Object["data"] = map[string]any{"user": "bWU="}
	exported := configMap("exported")
	exported.Object["status"] = map[string]any{"x": "y"}
	exported.SetUID("u")
	exported.SetResourceVersion("7")
	exported.SetNamespace("shop-other")
	aggregated := object("rbac.authorization.k8s.io/v1", "ClusterRole", "agg")
	aggregated.SetNamespace("stray")
	aggregated.Object["aggregationRule"] = map[string]any{}
	aggregated.Object["rules"] = []any{}

	desired := prepare(t, secret, exported, aggregated)
	marks := func(extra map[string]any) map[string]any {
		m := map[string]any{
			"labels":      map[string]any{"waybill.dev/managed-by": me.Label()},
			"annotations": map[string]any{"waybill.dev/owner": "in-cluster/shop/test"},
		}
		for k, v := range extra {
			m[k] = v
		}
		return m
	}
	want := []map[string]any{
		{"apiVersion": "v1", "kind": "Secret", "metadata": marks(map[string]any{"name": "s", "namespace": "shop-test"}),
			"data": map[string]any{"user": "bWU=", "password": "aHVudGVyMg=="}},
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": marks(map[string]any{"name": "exported", "namespace": "shop-other"})},
		{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": marks(map[string]any{"name": "agg"}), "aggregationRule": map[string]any{}},
	}
	for i, w := range want {
		if diff := cmp.Diff(w, desired[i].Object.Object); diff != "" {
			t.Errorf("object %d (-want +got):\n%s", i, diff)
		}
	}
	if _, untouched := secret.Object["stringData"]; !untouched {
		t.Error("the rendered object was changed")
	}
	if again := prepare(t, secret); again[0].Hash != desired[0].Hash {
		t.Error("the hash of equal objects differs")
	}
	if len(me.Label()) != 8 {
		t.Errorf("label %q", me.Label())
	}
}

func TestPrepareRefuses(t *testing.T) {
	unnamed := object("v1", "ConfigMap", "")
	unknown := object("example.com/v1", "Gadget", "g")
	badLabel := configMap("l")
	badLabel.Object["metadata"] = map[string]any{"name": "l", "labels": map[string]any{"version": int64(1)}}
	badSecret := object("v1", "Secret", "s")
	badSecret.Object["stringData"] = map[string]any{"n": int64(1)}
	badMaps := configMap("m")
	badMaps.Object["metadata"] = map[string]any{"name": "m", "labels": "x"}
	objs := []*unstructured.Unstructured{unnamed, unknown, configMap("twice"), configMap("twice"), badLabel, badSecret, badMaps}
	desired, errs := gitops.Prepare(objs, gitops.Preparation{Owner: me, Namespace: "shop-test", Scope: func(gvk schema.GroupVersionKind) (bool, bool) { return true, gvk.Kind != "Gadget" }})
	if len(desired) != 1 {
		t.Errorf("%d good objects, want 1", len(desired))
	}
	want := []string{
		"NameMissing give it a metadata.name",
		`KindUnknown the cluster serves no kind "Gadget" in "example.com/v1"`,
		"Duplicate it is rendered twice",
		`Invalid metadata.labels "version" is not a string; put it in quotes`,
		`Invalid stringData "n" is not a string; put it in quotes`,
		"Invalid metadata.labels is not a map",
	}
	if len(errs) != len(want) {
		t.Fatalf("%d errors, want %d: %v", len(errs), len(want), errs)
	}
	for i, e := range errs {
		if got := e.Reason + " " + e.Message; !strings.HasPrefix(got, want[i]) {
			t.Errorf("error %d is %q, want %q", i, got, want[i])
		}
	}
}

// TestPrepareSharesButDoesNotChange: what is rendered is shared among all who
// render it, and a thousand Applications hold it: Prepare copies what it writes to
// and nothing else.
func TestPrepareSharesButDoesNotChange(t *testing.T) {
	secret := object("v1", "Secret", "s")
	secret.Object["stringData"] = map[string]any{"password": "hunter2"}
	secret.Object["data"] = map[string]any{"user": "bWU="}
	secret.SetUID("1")
	role := object("rbac.authorization.k8s.io/v1", "ClusterRole", "r")
	role.Object["aggregationRule"], role.Object["rules"] = map[string]any{}, []any{"x"}
	plain := object("apps/v1", "Deployment", "d")
	plain.SetLabels(map[string]string{"app": "d"})
	plain.SetAnnotations(map[string]string{"note": "n"})
	plain.Object["spec"] = map[string]any{"replicas": int64(1)}
	objects := []*unstructured.Unstructured{secret, role, plain}
	var before []*unstructured.Unstructured
	for _, o := range objects {
		before = append(before, o.DeepCopy())
	}
	out, errs := gitops.Prepare(objects, gitops.Preparation{
		Owner: gitops.Owner{Cluster: "in-cluster", Namespace: "guestbook", Application: "test", UID: "u"}, Namespace: "guestbook-test",
		Scope: func(gvk schema.GroupVersionKind) (bool, bool) { return gvk.Kind != "ClusterRole", true },
	})
	if len(errs) > 0 || len(out) != len(objects) {
		t.Fatalf("%d objects, %v", len(out), errs)
	}
	if diff := cmp.Diff(before, objects); diff != "" {
		t.Errorf("what was rendered has changed:\n%s", diff)
	}
	out[2].Object.Object["spec"].(map[string]any)["replicas"] = int64(2)
	if plain.Object["spec"].(map[string]any)["replicas"] != int64(2) {
		t.Error("the spec was copied")
	}
}
