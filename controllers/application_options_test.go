package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func TestIgnoredDifferences(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.IgnoreDifferences = []v1alpha1.IgnoreDifference{
			{Group: "apps", Kind: "Deployment", JSONPointers: []string{"/spec/replicas"}},
			{Kind: "ConfigMap", Paths: []string{"data.theirs"}},
		}
	})
	files := web("registry.example.com/web:1.0.0", 2)
	files["app/config.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {ours: git, theirs: git}\n"
	first := f.commit("stage/test", files)
	f.waitSynced("test", first)
	ns := f.project + "-test"

	f.counter.take()
	f.kubectl("-n", ns, "scale", "deployment/web", "--replicas=3")
	f.kubectl("-n", ns, "patch", "configmap/web", "--type=merge", "-p", `{"data":{"theirs":"changed"}}`)
	// Something that is not ignored, so that we know when the others were judged.
	f.kubectl("-n", ns, "label", "service/web", "app=other", "--overwrite")
	f.kubectl("-n", ns, "patch", "configmap/web", "--type=merge", "-p", `{"data":{"ours":"changed"}}`)
	f.waitFor("test", "the heal of what is ours", func(a *v1alpha1.Application) bool {
		return slices.ContainsFunc(a.Status.Drifts, func(d v1alpha1.Drift) bool { return d.Field == "data.ours" })
	})
	app := f.waitSynced("test", first)
	for _, d := range app.Status.Drifts {
		if d.Field == "spec.replicas" || d.Field == "data.theirs" {
			t.Errorf("an ignored field is recorded as drift: %+v", d)
		}
	}
	var config corev1.ConfigMap
	f.get(&config, "web")
	if config.Data["theirs"] != "changed" || config.Data["ours"] != "git" {
		t.Errorf("data %v", config.Data)
	}

	// A new revision leaves them alone as well.
	next := f.commit("stage/test", map[string]string{"app/web.yaml": web("registry.example.com/web:1.1.0", 5)["app/web.yaml"]})
	f.waitSynced("test", next)
	var d appsv1.Deployment
	f.get(&d, "web")
	if *d.Spec.Replicas != 3 || d.Spec.Template.Spec.Containers[0].Image != "registry.example.com/web:1.1.0" {
		t.Errorf("replicas %d, image %s", *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image)
	}
}

func TestAutoscalerOwnsReplicas(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	files := web("registry.example.com/web:1.0.0", 2)
	files["app/hpa.yaml"] = `apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, annotations: {waybill.dev/ignore-healthcheck: "true"}}
spec: {minReplicas: 1, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
`
	first := f.commit("stage/test", files)
	f.waitSynced("test", first)
	f.kubectl("-n", f.project+"-test", "scale", "deployment/web", "--replicas=4") // as the autoscaler does
	next := f.commit("stage/test", map[string]string{"app/web.yaml": web("registry.example.com/web:1.1.0", 2)["app/web.yaml"]})
	app := f.waitSynced("test", next)
	var d appsv1.Deployment
	f.get(&d, "web")
	if *d.Spec.Replicas != 4 || len(app.Status.Drifts) > 0 {
		t.Errorf("replicas %d, drifts %+v", *d.Spec.Replicas, app.Status.Drifts)
	}
}

func TestRewrittenFieldsAreNamedAndDoNotLoop(t *testing.T) {
	f := newAppFixture(t)
	ns := f.project + "-test"
	f.kubectl("create", "namespace", ns)
	// A policy that rewrites what Git says in every request, as webhooks do.
	f.Apply(t, fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s-rewrite}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: 'Object{data: {"color": "blue"}}'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s-rewrite}
spec: {policyName: %[1]s-rewrite}
`, ns))
	defer f.kubectl("delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", ns+"-rewrite")
	if !eventually(func() bool {
		out := f.kubectl("-n", ns, "create", "configmap", "probe", "--from-literal=color=red", "--dry-run=server", "-o", "jsonpath={.data.color}")
		return out == "blue"
	}) {
		t.Fatal("the policy is not in force")
	}
	f.application("test", "stage/test", "app")
	f.counter.take()
	first := f.commit("stage/test", map[string]string{"app/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: paint}\ndata: {color: red, size: big}\n"})
	app := f.waitSynced("test", first)
	want := v1alpha1.FieldDifference{Kind: "ConfigMap", Namespace: ns, Name: "paint", Field: "data.color", Want: "red", Got: "blue"}
	if len(app.Status.NonConvergent) != 1 || app.Status.NonConvergent[0] != want {
		t.Errorf("%+v", app.Status.NonConvergent)
	}
	if got := created(f.counter.take()); !slices.Equal(got, []string{"paint"}) {
		t.Errorf("requests %v", got)
	}
}

func TestForceRecreatesOnlyForARealImmutableField(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	workload := func(label, options string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: s, annotations: {argocd.argoproj.io/sync-options: '%[2]s'}}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: c, image: registry.example.com/web:1}]}}
`, label, options)
	}
	first := f.commit("stage/test", map[string]string{"app/s.yaml": workload("one", "")})
	f.waitSynced("test", first)
	var before appsv1.Deployment
	f.get(&before, "s")

	f.commit("stage/test", map[string]string{"app/s.yaml": workload("two", "")})
	app := f.waitFor("test", "the error", func(a *v1alpha1.Application) bool {
		return len(a.Status.Objects) > 0 && a.Status.Objects[0].Reason == "ImmutableField"
	})
	if app.Status.Sync.Revision != first {
		t.Errorf("%s", describe(app))
	}
	next := f.commit("stage/test", map[string]string{"app/s.yaml": workload("two", "Force=true")})
	f.waitSynced("test", next)
	var after appsv1.Deployment
	f.get(&after, "s")
	if after.UID == before.UID || after.Spec.Selector.MatchLabels["app"] != "two" {
		t.Errorf("uid %s, selector %v", after.UID, after.Spec.Selector)
	}
}

func TestPruneOptionsOfObjects(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.DeletionPolicy = "Delete" })
	annotated := func(name, annotation string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", annotations: {" + annotation + "}}\n"
	}
	first := f.commit("stage/test", map[string]string{
		"app/keep.yaml": annotated("keep", "argocd.argoproj.io/sync-options: Prune=false"), "app/ask.yaml": annotated("ask", "waybill.dev/sync-options: Prune=confirm"),
		"app/stay.yaml": annotated("stay", "waybill.dev/sync-options: Delete=false"), "app/go.yaml": annotated("go", "a: b"), "app/last.yaml": configMap("last"),
	})
	f.waitSynced("test", first)
	second := f.remove("stage/test", "app/keep.yaml", "app/go.yaml")
	app := f.waitSynced("test", second)
	f.gone(&corev1.ConfigMap{}, "go")
	f.get(&corev1.ConfigMap{}, "keep")
	if !strings.Contains(app.Status.Sync.Message, "keep left the source and is kept") {
		t.Errorf("message %q", app.Status.Sync.Message)
	}
	third := f.remove("stage/test", "app/ask.yaml")
	if _, message := f.waitReady("test", "PruneGuard"); !strings.Contains(message, "Prune=confirm") {
		t.Errorf("message %q", message)
	}
	f.get(&corev1.ConfigMap{}, "ask")
	f.annotate("test", v1alpha1.AnnotationConfirmPrune, third)
	f.waitSynced("test", third)
	f.gone(&corev1.ConfigMap{}, "ask")

	if err := f.client.Delete(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	f.gone(&corev1.ConfigMap{}, "last")
	f.get(&corev1.ConfigMap{}, "stay")
}

func TestDependsOn(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.DependsOn = []string{"base"} })
	first := f.commit("stage/test", map[string]string{"app/c.yaml": configMap("web")})
	if _, message := f.waitReady("test", "DependencyNotReady"); !strings.Contains(message, `"base", which does not exist`) {
		t.Errorf("message %q", message)
	}
	f.application("base", "stage/base", "app")
	f.waitFor("test", "the word of the dependency", func(a *v1alpha1.Application) bool { return a.Status.Sync.Revision == "" })
	base := f.commit("stage/base", map[string]string{"app/c.yaml": configMap("base")})
	f.waitSynced("base", base)
	f.waitSynced("test", first)
}

func TestChangesByPeopleHaveTheirGrace(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.HumanGrace = &metav1.Duration{Duration: time.Hour}
	})
	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", first)
	f.kubectl("-n", f.project+"-test", "scale", "deployment/web", "--replicas=3")
	app := f.waitFor("test", "the announcement", func(a *v1alpha1.Application) bool { return a.Status.Drifting && len(a.Status.Drifts) > 0 })
	if d := app.Status.Drifts[0]; d.Action != "Announced" || d.Field != "spec.replicas" {
		t.Errorf("%+v", d)
	}
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.HumanGrace = nil })
	f.annotate("test", v1alpha1.AnnotationRequestedAt, "now")
	f.waitFor("test", "the heal", func(a *v1alpha1.Application) bool {
		return !a.Status.Drifting && a.Status.Drifts[0].Action == "Healed"
	})
}

func TestNamespaceMetadata(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.SyncPolicy.ManagedNamespaceMetadata = &v1alpha1.NamespaceMetadata{Labels: map[string]string{"team": "shop"}}
	})
	f.waitSynced("test", f.commit("stage/test", map[string]string{"app/c.yaml": configMap("web")}))
	var ns corev1.Namespace
	if err := f.client.Get(t.Context(), key("", f.project+"-test"), &ns); err != nil || ns.Labels["team"] != "shop" {
		t.Errorf("%v %v", err, ns.Labels)
	}
	// Another text needs no object to be applied.
	f.edit("test", func(a *v1alpha1.Application) {
		a.Spec.SyncPolicy.ManagedNamespaceMetadata = &v1alpha1.NamespaceMetadata{Labels: map[string]string{"crew": "shop"}, Annotations: map[string]string{"note": "x"}}
	})
	if !eventually(func() bool {
		err := f.client.Get(t.Context(), key("", f.project+"-test"), &ns)
		_, stays := ns.Labels["team"]
		return err == nil && ns.Labels["crew"] == "shop" && ns.Annotations["note"] == "x" && !stays
	}) {
		t.Errorf("labels %v, annotations %v", ns.Labels, ns.Annotations)
	}
}
