package gitops_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

func TestOptionsOf(t *testing.T) {
	before := []gitops.HookDelete{gitops.DeleteBeforeCreation}
	for _, c := range []struct {
		why         string
		annotations map[string]string
		app         []string
		want        gitops.ObjectOptions
	}{
		{why: "nothing said", want: gitops.ObjectOptions{}},
		{why: "of the Application", app: []string{"Prune=false", "Replace=true", "CreateNamespace=true"}, want: gitops.ObjectOptions{KeepOnPrune: true, Replace: true}},
		{why: "the object's own wins", app: []string{"Prune=false", "Force=true"}, annotations: map[string]string{"waybill.dev/sync-options": "Prune=true, Force=false"}, want: gitops.ObjectOptions{SaysPrune: true}},
		{why: "Argo CD's names", annotations: map[string]string{"argocd.argoproj.io/sync-options": "Delete=false,Validate=false", "argocd.argoproj.io/sync-wave": "-3", "argocd.argoproj.io/compare-options": "IgnoreExtraneous"},
			want: gitops.ObjectOptions{KeepOnDelete: true, SaysDelete: true, LooseFields: true, Wave: -3, IgnoreExtraneous: true}},
		{why: "ours before Argo CD's", annotations: map[string]string{"argocd.argoproj.io/sync-wave": "1", "waybill.dev/sync-wave": "2"}, want: gitops.ObjectOptions{Wave: 2}},
		{why: "a wave that is no number is 0", annotations: map[string]string{"waybill.dev/sync-wave": "first"}, want: gitops.ObjectOptions{}},
		{why: "hook", annotations: map[string]string{"waybill.dev/hook": "PreSync, PostSync", "waybill.dev/hook-delete-policy": "HookSucceeded"},
			want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookPreSync, gitops.HookPostSync}, HookDelete: []gitops.HookDelete{gitops.DeleteSucceeded}}},
		{why: "a hook of no phase never runs", annotations: map[string]string{"argocd.argoproj.io/hook": "Later"}, want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookSkip}, HookDelete: before}},
		{why: "Helm's hooks", annotations: map[string]string{"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-5", "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"},
			want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookPreSync}, Wave: -5, HookDelete: []gitops.HookDelete{gitops.DeleteBeforeCreation, gitops.DeleteSucceeded}}},
		{why: "Helm's tests are not run", annotations: map[string]string{"helm.sh/hook": "test"}, want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookSkip}, HookDelete: before}},
		{why: "a hook of ours hides Helm's", annotations: map[string]string{"helm.sh/hook": "pre-install", "argocd.argoproj.io/hook": "PostSync"}, want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookPostSync}, HookDelete: before}},
		{why: "a hook that Argo CD deletes and Helm made", annotations: map[string]string{"helm.sh/hook": "post-install", "helm.sh/hook-delete-policy": "hook-failed", "argocd.argoproj.io/hook-delete-policy": "HookSucceeded"},
			want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookPostSync}, HookDelete: []gitops.HookDelete{gitops.DeleteSucceeded, gitops.DeleteFailed}}},
		{why: "a hook of Argo CD with Helm's weight", annotations: map[string]string{"argocd.argoproj.io/hook": "Sync,Sync", "helm.sh/hook-weight": "3"},
			want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookSync}, HookDelete: before, Wave: 3}},
		{why: "one of several phases is enough", annotations: map[string]string{"argocd.argoproj.io/hook": "Skip,PreSync"}, want: gitops.ObjectOptions{Hooks: []gitops.HookPhase{gitops.HookPreSync}, HookDelete: before}},
		{why: "what is to be asked for stays", annotations: map[string]string{"argocd.argoproj.io/sync-options": "Delete=confirm,PruneLast=true"}, want: gitops.ObjectOptions{KeepOnDelete: true, SaysDelete: true, PruneLast: true}},
		{why: "Helm's keep", annotations: map[string]string{"helm.sh/resource-policy": "keep"}, want: gitops.ObjectOptions{KeepOnDelete: true, KeepOnPrune: true}},
	} {
		if diff := cmp.Diff(c.want, gitops.OptionsOf(c.annotations, c.app)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, diff)
		}
	}
}

func TestCheckOptions(t *testing.T) {
	for _, annotations := range []map[string]string{
		nil,
		{"argocd.argoproj.io/sync-options": "Prune=false, ServerSideApply=true,SkipDryRunOnMissingResource=true,ClientSideApplyMigration=false", "argocd.argoproj.io/sync-wave": " -3 "},
		{"argocd.argoproj.io/hook": "PreSync,PostSync", "argocd.argoproj.io/hook-delete-policy": "HookSucceeded,HookFailed", "argocd.argoproj.io/compare-options": "IgnoreExtraneous,ServerSideDiff=true"},
		{"helm.sh/hook": "whatever", "helm.sh/hook-weight": "x"}, // Helm passes over it
	} {
		if err := gitops.CheckOptions(annotations); err != nil {
			t.Errorf("%v: %v", annotations, err)
		}
	}
	for want, annotations := range map[string]map[string]string{
		`"Prune=flase" is none`:            {"argocd.argoproj.io/sync-options": "Force=true,Prune=flase"},
		"option of the Application":        {"waybill.dev/sync-options": "CreateNamespace=true"},
		`compare-options "Ignore" is none`: {"argocd.argoproj.io/compare-options": "Ignore"},
		`hook "Presync" is no phase`:       {"argocd.argoproj.io/hook": "Presync"},
		`hook-delete-policy "Later"`:       {"argocd.argoproj.io/hook": "Sync", "waybill.dev/hook-delete-policy": "Later"},
		`sync-wave "first"`:                {"argocd.argoproj.io/sync-wave": "first"},
	} {
		if err := gitops.CheckOptions(annotations); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", annotations, err, want)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, text := range []string{
		"spec.replicas", `metadata.annotations["a/b"]`, "spec.template.spec.containers[name=web].image", "webhooks[*].clientConfig.caBundle",
		"spec.ports[containerPort=80,protocol=TCP].name", "items[3]", `["a.b"].c`,
	} {
		p, err := gitops.ParsePath(text)
		if err != nil || p.String() != text {
			t.Errorf("%q: %q, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "a..b", "a.", ".a", "a[", "a[x]", `a["b`, "a.[0]"} {
		if p, err := gitops.ParsePath(text); err == nil {
			t.Errorf("%q is read as %q", text, p)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add(`spec.template.spec.containers[name=web].image`)
	f.Add(`a["b/c"][*][0].d`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := gitops.ParsePath(text); err == nil && p.String() == "" {
			t.Errorf("%q is a path without steps", text)
		}
		_, _ = gitops.ParsePointer(text)
	})
}

// ignoring prepares one object with rules.
func ignoring(t *testing.T, obj *unstructured.Unstructured, rule v1alpha1.IgnoreDifference) gitops.Desired {
	t.Helper()
	rules, err := gitops.ParseIgnores([]v1alpha1.IgnoreDifference{rule})
	if err != nil {
		t.Fatal(err)
	}
	desired, errs := gitops.Prepare([]*unstructured.Unstructured{obj}, gitops.Preparation{Owner: me, Namespace: "shop-test", Scope: everythingNamespaced, Ignore: rules})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return desired[0]
}

func TestIgnoredFieldsAreLeftToOthers(t *testing.T) {
	git := deployment("web:1", map[string]any{})
	git.Object["spec"].(map[string]any)["replicas"] = int64(2)
	other := git.DeepCopy()
	other.Object["spec"].(map[string]any)["replicas"] = int64(3)
	rule := v1alpha1.IgnoreDifference{Group: "apps", Kind: "Deployment", JSONPointers: []string{"/spec/replicas"}}
	d := ignoring(t, git, rule)
	if d.Hash != ignoring(t, other, rule).Hash {
		t.Error("a change of an ignored field in Git is a change")
	}
	if n, _, _ := unstructured.NestedInt64(d.Object.Object, "spec", "replicas"); n != 2 {
		t.Error("an object that does not exist yet is created without Git's value")
	}

	live := deployment("web:1", map[string]any{})
	live.Object["metadata"] = d.Object.DeepCopy().Object["metadata"]
	live.Object["spec"].(map[string]any)["replicas"] = int64(7)
	live.SetManagedFields([]metav1.ManagedFieldsEntry{entry("waybill", applied, "", `{"f:spec":{}}`, 1), entry("kube-controller-manager", updated, "scale", `{"f:spec":{"f:replicas":{}}}`, 2)})
	if _, sent, _ := unstructured.NestedInt64(d.Ignored.Payload(d.Object, live).Object, "spec", "replicas"); sent {
		t.Error("a field that somebody else owns is sent")
	}
	live.SetManagedFields([]metav1.ManagedFieldsEntry{entry("waybill", applied, "", `{"f:spec":{"f:replicas":{}}}`, 1)})
	if n, _, _ := unstructured.NestedInt64(d.Ignored.Payload(d.Object, live).Object, "spec", "replicas"); n != 7 {
		t.Errorf("a field that we own is sent as %d: leaving it out, or Git's value, would change it", n)
	}
	if got := gitops.Changes(d, live, true); len(got) > 0 {
		t.Errorf("an ignored field is drift: %+v", got)
	}
}

func TestIgnoredByPathWithKeysAndByManager(t *testing.T) {
	d := ignoring(t, deployment("web:1", map[string]any{}), v1alpha1.IgnoreDifference{Group: "*", Kind: "*", Paths: []string{"spec.template.spec.containers[name=web].image"}})
	live := deployment("web:2", map[string]any{})
	live.Object["metadata"] = d.Object.DeepCopy().Object["metadata"]
	live.SetManagedFields([]metav1.ManagedFieldsEntry{
		entry("waybill", applied, "", `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{}}}}}}}`, 1),
		entry("image-updater", updated, "", `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:image":{}}}}}}}`, 2),
	})
	if got := gitops.Changes(d, live, true); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	sent := func(d gitops.Desired) bool {
		list, _, _ := unstructured.NestedSlice(d.Ignored.Payload(d.Object, live).Object, "spec", "template", "spec", "containers")
		_, there := list[0].(map[string]any)["image"]
		return there
	}
	if sent(d) {
		t.Error("the image is sent")
	}
	byManager := ignoring(t, deployment("web:1", map[string]any{}), v1alpha1.IgnoreDifference{Kind: "Deployment", Group: "apps", ManagedFieldsManagers: []string{"image-updater"}})
	if got := gitops.Changes(byManager, live, true); len(got) > 0 || sent(byManager) {
		t.Errorf("by manager: %+v", got)
	}
}

func TestAutoscaledReplicasAreNotOurs(t *testing.T) {
	git := deployment("web:1", map[string]any{})
	git.Object["spec"].(map[string]any)["replicas"] = int64(2)
	hpa := object("autoscaling/v2", "HorizontalPodAutoscaler", "web")
	hpa.Object["spec"] = map[string]any{"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": git.GetName()}}
	desired, errs := gitops.Prepare([]*unstructured.Unstructured{git, hpa}, gitops.Preparation{Owner: me, Namespace: "shop-test", Scope: everythingNamespaced})
	if len(errs) > 0 || desired[0].Ignored.IsEmpty() {
		t.Errorf("%v, %+v", errs, desired[0].Ignored)
	}
}

func TestNonConvergentNamesWhatTheServerChanged(t *testing.T) {
	git := deployment("web:1", map[string]any{"app": "web"})
	spec := git.Object["spec"].(map[string]any)
	spec["replicas"], spec["paused"] = int64(2), false
	spec["memory"] = "1024Mi"
	d := gitops.Desired{Key: gitops.KeyOf(git), Object: git}
	answer := git.DeepCopy()
	is := answer.Object["spec"].(map[string]any)
	is["memory"], is["strategy"] = "1Gi", map[string]any{"type": "RollingUpdate"} // another spelling, a default
	delete(is, "paused")                                                          // its zero value
	if got := gitops.NonConvergent(d, answer); len(got) > 0 {
		t.Errorf("spelling and defaults: %+v", got)
	}
	is["replicas"] = int64(1)
	want := []gitops.FieldChange{{Field: "spec.replicas", Want: "2", Got: "1"}}
	if diff := cmp.Diff(want, gitops.NonConvergent(d, answer)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func everythingNamespaced(schema.GroupVersionKind) (namespaced, known bool) { return true, true }
