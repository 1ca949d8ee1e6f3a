package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Edge cases that bite other reconcilers, and where each is a test:
//
//	defaulted fields (Service clusterIP, Pod defaults)    TestAtRestWhateverTheServerAdds
//	defaults of a CRD's schema                            TestDefinitionAndItsObjectInOneSync
//	quantities in another notation                        TestAtRestWhateverTheServerAdds
//	Secret stringData                                     TestAtRestWhateverTheServerAdds
//	status and server fields in a manifest                TestAtRestWhateverTheServerAdds
//	a port of a Pod template without protocol             TestAtRestWhateverTheServerAdds
//	very large objects                                    TestAtRestWhateverTheServerAdds
//	another version of the same kind                      TestAnotherVersionIsTheSameObject
//	rules of an aggregated ClusterRole                    TestPrepare (package gitops)
//	atomic lists that somebody appends to                 TestAtomicListIsHealedAndNamed
//	duplicate keys of a list                              TestDuplicateKeysAreOneObjectsError
//	last-applied and co-management by kubectl             TestAdoptedFromKubectl
//	an object that moves between Applications             TestObjectMovesBetweenApplications
//	an object in two Applications                         TestApplicationsDoNotFight
//	a webhook that is down (failurePolicy Fail)           TestWebhookDown
//	a webhook or policy that rewrites fields              TestRewrittenFieldsAreNamedAndDoNotLoop
//	replicas of an autoscaler                             TestAutoscalerOwnsReplicas
//	a namespace deleted by hand                           TestNamespaceDeletedByHand
//	immutable fields                                      TestForceRecreatesOnlyForARealImmutableField
//	somebody who writes again and again                   TestContest, TestBotAgainstFiftyObjects
//	an aggregated API without apply and managedFields     TestAggregatedAPIWithoutApply
//
// Not tested: clocks that differ, because times of two machines are never
// compared (managedFields times are compared for equality, TestFingerprint).

// TestAtRestWhateverTheServerAdds: objects that the API server completes or writes
// in another way are applied once; a restart and a refresh write nothing.
func TestAtRestWhateverTheServerAdds(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", map[string]string{
		"app/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}\n",
		"app/secret.yaml":  "apiVersion: v1\nkind: Secret\nmetadata: {name: s, creationTimestamp: null, resourceVersion: '7', uid: x, generation: 3}\nstringData: {password: hunter2}\n",
		"app/large.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\ndata: {text: " + strings.Repeat("x", 700<<10) + "}\n",
		"app/web.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example.com/web:1
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 0.1, memory: 1024Ki}, limits: {cpu: 1000m}}
        env: [{name: MODE, value: "1"}]
`,
		"app/quota.yaml": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}\n",
	})
	app := f.waitSynced("test", commit)
	if len(app.Status.NonConvergent)+len(app.Status.Drifts) > 0 {
		t.Errorf("non-convergent %+v, drifts %+v", app.Status.NonConvergent, app.Status.Drifts)
	}
	f.counter.take()
	f.stop()
	f.start()
	f.annotate("test", v1alpha1.AnnotationRequestedAt, "again")
	f.waitFor("test", "the refresh", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "again" })
	elsewhere := f.commit("stage/test", map[string]string{"docs/x": "y"})
	f.waitSynced("test", elsewhere)
	if got := writesOnly(f.counter.take()); len(got) > 0 {
		t.Errorf("writes: %v", got)
	}
}

// TestAnotherVersionIsTheSameObject: a manifest that moves to another version of
// its kind is a change of the object, not a new one.
func TestAnotherVersionIsTheSameObject(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	scaler := func(version, metrics string) map[string]string {
		return map[string]string{"app/hpa.yaml": "apiVersion: autoscaling/" + version + "\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}" + metrics + "}\n"}
	}
	uid := func() types.UID {
		m := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"}}
		f.get(m, "web")
		return m.UID
	}
	applied := func(commit string) {
		t.Helper()
		f.waitFor("test", "the sync", func(a *v1alpha1.Application) bool { return a.Status.Sync.Revision == commit })
	}
	applied(f.commit("stage/test", scaler("v1", ", targetCPUUtilizationPercentage: 80")))
	first := uid()
	applied(f.commit("stage/test", scaler("v2", ", metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]")))
	if uid() != first {
		t.Error("it was made anew")
	}
	f.counter.take()
	applied(f.commit("stage/test", map[string]string{"docs/x": "y"}))
	if got := writesOnly(f.counter.take()); len(got) > 0 {
		t.Errorf("writes at rest: %v", got)
	}
}

func TestAtomicListIsHealedAndNamed(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	files := web("registry.example.com/web:1.0.0", 1)
	files["app/web.yaml"] = strings.Replace(files["app/web.yaml"], "env:", "args: [serve]\n        env:", 1)
	commit := f.commit("stage/test", files)
	f.waitSynced("test", commit)
	f.kubectl("-n", f.project+"-test", "patch", "deployment/web", "--type=json", "-p", `[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--debug"}]`)
	app := f.waitFor("test", "the heal", func(a *v1alpha1.Application) bool { return len(a.Status.Drifts) > 0 })
	if d := app.Status.Drifts[0]; !strings.HasSuffix(d.Field, "args") || d.Action != "Healed" || !strings.HasPrefix(d.Manager, "kubectl") {
		t.Errorf("%+v", d)
	}
	f.waitSynced("test", commit)
	var d appsv1.Deployment
	if f.get(&d, "web"); !slices.Equal(d.Spec.Template.Spec.Containers[0].Args, []string{"serve"}) {
		t.Errorf("args %v", d.Spec.Template.Spec.Containers[0].Args)
	}
}

func TestDuplicateKeysAreOneObjectsError(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	files := web("registry.example.com/web:1.0.0", 1)
	files["app/web.yaml"] = strings.Replace(files["app/web.yaml"], "env: [", "env: [{name: MODE, value: slow}, ", 1)
	f.commit("stage/test", files)
	app := f.waitFor("test", "the error", func(a *v1alpha1.Application) bool {
		return slices.ContainsFunc(a.Status.Objects, func(o v1alpha1.ObjectStatus) bool {
			return o.Kind == "Deployment" && strings.Contains(o.Message, "duplicate entries for key")
		})
	})
	f.get(&corev1.ConfigMap{}, "web") // the rest goes on
	f.get(&corev1.Service{}, "web")
	if app.Status.Sync.Status == v1alpha1.SyncSynced {
		t.Errorf("%s", describe(app))
	}
	f.waitSynced("test", f.commit("stage/test", web("registry.example.com/web:1.0.0", 1)))
}

// TestAdoptedFromKubectl: what kubectl apply made becomes Git's, fields that only
// kubectl had included.
func TestAdoptedFromKubectl(t *testing.T) {
	f := newAppFixture(t)
	ns := f.project + "-test"
	f.kubectl("create", "namespace", ns)
	f.kubectl("-n", ns, "create", "configmap", "web", "--from-literal=a=old", "--from-literal=left=over", "--save-config")
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", map[string]string{"app/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n"})
	f.waitSynced("test", commit)
	var c corev1.ConfigMap
	if !eventually(func() bool {
		f.get(&c, "web")
		return c.Data["a"] == "b" && c.Data["left"] == ""
	}) {
		t.Errorf("data %v", c.Data)
	}
	f.waitSynced("test", commit)
}

func TestObjectMovesBetweenApplications(t *testing.T) {
	f := newAppFixture(t)
	shared := func(a *v1alpha1.Application) { a.Spec.Destination.Namespace = f.project + "-shared" }
	f.application("one", "stage/one", "app", shared)
	f.application("two", "stage/two", "app", shared)
	f.waitSynced("one", f.commit("stage/one", map[string]string{"app/a.yaml": configMap("a"), "app/b.yaml": configMap("b")}))
	f.waitSynced("two", f.commit("stage/two", map[string]string{"app/c.yaml": configMap("c")}))
	two := f.commit("stage/two", map[string]string{"app/a.yaml": configMap("a")})
	f.waitReady("two", "OwnedByAnother")
	one := f.remove("stage/one", "app/a.yaml")
	f.waitSynced("one", one)
	f.waitSynced("two", two)
	var a corev1.ConfigMap
	if err := f.client.Get(t.Context(), key(f.project+"-shared", "a"), &a); err != nil || a.DeletionTimestamp != nil || a.Annotations[v1alpha1.AnnotationOwner] != "in-cluster/"+f.project+"/two" {
		t.Errorf("%v, owner %q", err, a.Annotations[v1alpha1.AnnotationOwner])
	}
}

func TestWebhookDown(t *testing.T) {
	f := newAppFixture(t)
	ns := f.project + "-test"
	f.kubectl("create", "namespace", ns)
	f.Apply(t, fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: %[1]s}
webhooks:
- name: down.example.com
  clientConfig: {url: "https://127.0.0.1:1/x"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 1
  admissionReviewVersions: [v1]
`, ns))
	isThere := true
	remove := func() {
		if isThere {
			isThere = false
			f.kubectl("delete", "validatingwebhookconfiguration", ns)
		}
	}
	defer remove()
	if !eventually(func() bool { // it is in force a moment later
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"}}
		return f.client.Create(t.Context(), probe, client.DryRunAll) != nil
	}) {
		t.Fatal("the webhook is not asked")
	}
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	app, message := f.waitReady("test", "WebhookUnavailable")
	if !strings.Contains(message, "down.example.com") {
		t.Errorf("message %q", message)
	}
	f.get(&corev1.Service{}, "web") // the rest goes on
	if meta.IsStatusConditionTrue(app.Status.Conditions, "Contested") {
		t.Error("nobody fights")
	}
	remove()
	f.waitSynced("test", commit) // by itself
}
