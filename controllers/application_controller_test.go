package controllers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/failpoint"
)

func TestApplicationSyncs(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	app, message := f.waitReady("test", "NothingPromoted")
	if want := fmt.Sprintf("nothing was promoted yet: branch %q of %s does not exist", "stage/test", f.repoURL); message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	if app.Status.Health != nil || app.Status.Sync.Status != v1alpha1.SyncUnknown {
		t.Errorf("nothing promoted: %s", describe(app))
	}

	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 2))
	app = f.waitSynced("test", first)
	if n := len(app.Status.Inventory); n != 3 {
		t.Errorf("inventory has %d entries, want 3: %+v", n, app.Status.Inventory)
	}
	var d appsv1.Deployment
	f.get(&d, "web")
	if got := d.Annotations[v1alpha1.AnnotationOwner]; got != "in-cluster/"+f.project+"/test" {
		t.Errorf("owner %q", got)
	}
	if _, marked := d.Spec.Template.Labels[v1alpha1.LabelManagedBy]; marked {
		t.Error("the pod template carries our label")
	}
	var ns corev1.Namespace
	if err := f.client.Get(t.Context(), types.NamespacedName{Name: f.project + "-test"}, &ns); err != nil || ns.Labels[v1alpha1.LabelNamespaceOf] != f.project {
		t.Errorf("namespace made by CreateNamespace: %v, labels %v", err, ns.Labels)
	}

	t.Run("an image update is one PATCH", func(t *testing.T) {
		f.counter.take()
		second := f.commit("stage/test", web("registry.example.com/web:1.1.0", 2))
		f.waitSynced("test", second)
		want := []string{"PATCH /apis/apps/v1/namespaces/" + ns.Name + "/deployments/web"}
		if got := writesOnly(f.counter.take()); !slices.Equal(got, want) {
			t.Errorf("requests %v, want %v", got, want)
		}
	})

	t.Run("a commit elsewhere costs nothing", func(t *testing.T) {
		f.counter.take()
		third := f.commit("stage/test", map[string]string{"docs/x": "y"})
		f.waitSynced("test", third)
		if got := f.counter.take(); len(got) > 0 {
			t.Errorf("requests %v, want none", got)
		}
	})

	t.Run("a refresh asks Git and nobody else", func(t *testing.T) {
		f.counter.take()
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "one")
		f.waitFor("test", "the echo", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "one" })
		if got := f.counter.take(); len(got) > 0 {
			t.Errorf("requests %v, want none", got)
		}
	})

	t.Run("a push by a person is found by a refresh", func(t *testing.T) {
		head := f.git.Commit("app", "stage/test", "by hand", map[string]string{"app/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: hand}\n"})
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "two")
		app := f.waitFor("test", "the echo", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "two" })
		if app.Status.Sync.Revision != head {
			t.Errorf("the echo came before the sync: %s", describe(app))
		}
	})

	t.Run("a restart writes nothing", func(t *testing.T) {
		before := f.waitSynced("test", f.git.Branch("app", "stage/test"))
		f.stop()
		f.counter.take()
		f.start()
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "three")
		after := f.waitFor("test", "the echo", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "three" })
		if got := writesOnly(f.counter.take()); len(got) > 0 {
			t.Errorf("writes %v, want none", got)
		}
		before.Status.LastHandledRequest = "three"
		if got, want := describe(after), describe(before); got != want {
			t.Errorf("the status changed:\n%s\nwant\n%s", got, want)
		}
	})
}

func TestApplicationPrunes(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	files := web("registry.example.com/web:1.0.0", 1)
	for i := range 12 {
		files[fmt.Sprintf("app/m%02d.yaml", i)] = configMap(fmt.Sprintf("m%02d", i))
	}
	first := f.commit("stage/test", files)
	f.waitSynced("test", first)

	second := f.remove("stage/test", "app/m00.yaml")
	app := f.waitSynced("test", second)
	if n := len(app.Status.Inventory); n != 14 {
		t.Errorf("%d entries after one deletion, want 14", n)
	}
	f.gone(&corev1.ConfigMap{}, "m00")

	// More than half, and more than ten: a person decides.
	third := f.remove("stage/test", "app/m01.yaml", "app/m02.yaml", "app/m03.yaml", "app/m04.yaml", "app/m05.yaml",
		"app/m06.yaml", "app/m07.yaml", "app/m08.yaml", "app/m09.yaml", "app/m10.yaml", "app/m11.yaml")
	app, message := f.waitReady("test", "PruneGuard")
	if want := "11 of 14 objects left the source; nothing is deleted until a person agrees; to agree, set the annotation waybill.dev/confirm-prune=" + third + " on the Application"; message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	if app.Status.Sync.Revision != second {
		t.Errorf("revision %s counts as reached while its deletions wait", app.Status.Sync.Revision)
	}
	f.get(&corev1.ConfigMap{}, "m11")
	f.annotate("test", v1alpha1.AnnotationConfirmPrune, third)
	f.waitSynced("test", third)
	f.gone(&corev1.ConfigMap{}, "m11")
}

// TestBadInput is what people get wrong: nothing deployed is touched, the
// reason is stable, the message says what to do, and it recovers by itself.
func TestBadInput(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	good := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", good)
	before := f.workload(f.project + "-test")

	clusterRole := "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: root}\nrules: []\n"
	for _, c := range []struct {
		name    string
		break_  func()
		reason  string
		message []string
		repair  func()
	}{
		{
			"a manifest that is no YAML",
			func() { f.commit("stage/test", map[string]string{"app/x.yaml": "a: [b\n"}) },
			"RenderFailed", []string{"app/x.yaml", "What runs stays as it is"},
			func() { f.remove("stage/test", "app/x.yaml") },
		},
		{
			"a path that is not there",
			func() { f.edit("test", func(a *v1alpha1.Application) { a.Spec.Source.Path = "nowhere" }) },
			"PathMissing", []string{`path "nowhere"`, "spec.source.path"},
			func() { f.edit("test", func(a *v1alpha1.Application) { a.Spec.Source.Path = "app" }) },
		},
		{
			"a path that renders nothing",
			func() {
				f.commit("stage/test", map[string]string{"empty/README": "x"})
				f.edit("test", func(a *v1alpha1.Application) { a.Spec.Source.Path = "empty" })
			},
			"NothingRendered", []string{"empty", "What runs stays as it is"},
			func() { f.edit("test", func(a *v1alpha1.Application) { a.Spec.Source.Path = "app" }) },
		},
		{
			"a branch that was deleted",
			func() {
				f.git.SetBranch("app", "stage/test", "")
				f.annotate("test", v1alpha1.AnnotationRequestedAt, "deleted")
			},
			"BranchMissing", []string{`no branch "stage/test"`, "spec.source.targetRevision"},
			func() {
				f.git.SetBranch("app", "stage/test", good)
				f.annotate("test", v1alpha1.AnnotationRequestedAt, "restored")
			},
		},
		{
			"a kind that is not allowed",
			func() { f.commit("stage/test", map[string]string{"app/role.yaml": clusterRole}) },
			"DestinationForbidden", []string{"ClusterRole root", "spec.kinds of Project"},
			func() { f.remove("stage/test", "app/role.yaml") },
		},
		{
			"a namespace of the system",
			func() {
				f.commit("stage/test", map[string]string{"app/far.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: kube-system}\n"})
			},
			"DestinationForbidden", []string{"ConfigMap kube-system/x", "never a destination"},
			func() { f.remove("stage/test", "app/far.yaml") },
		},
		{
			"a destination of nobody",
			func() { f.edit("test", func(a *v1alpha1.Application) { a.Spec.Destination.Namespace = "elsewhere" }) },
			"DestinationForbidden", []string{`namespace "elsewhere"`, "spec.destinations"},
			func() {
				f.edit("test", func(a *v1alpha1.Application) { a.Spec.Destination.Namespace = f.project + "-test" })
			},
		},
		{
			"a cluster that is not known",
			func() { f.edit("test", func(a *v1alpha1.Application) { a.Spec.Destination.Cluster = "mars" }) },
			"ClusterUnknown", []string{`unknown cluster "mars"`, "in-cluster"},
			func() { f.edit("test", func(a *v1alpha1.Application) { a.Spec.Destination.Cluster = "in-cluster" }) },
		},
		{
			"a namespace that is no Project's",
			func() {
				if err := f.client.Delete(f.t.Context(), &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: f.project}}); err != nil {
					f.t.Fatal(err)
				}
				f.annotate("test", v1alpha1.AnnotationRequestedAt, "no project")
			},
			"DestinationForbidden", []string{f.project, "create the Project"},
			func() {
				if err := f.client.Create(f.t.Context(), &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: f.project}}); err != nil {
					f.t.Fatal(err)
				}
			},
		},
		{
			"an unknown field",
			func() {
				f.commit("stage/test", map[string]string{"app/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\nnonsense: 1\n"})
			},
			"Invalid", []string{"ConfigMap " + f.project + "-test/web", "nonsense"},
			func() { f.commit("stage/test", web("registry.example.com/web:1.0.0", 1)) },
		},
		{
			"a kind that is not served",
			func() {
				f.commit("stage/test", map[string]string{"app/w.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n"})
			},
			"KindUnknown", []string{"Widget", "CustomResourceDefinition"},
			func() { f.remove("stage/test", "app/w.yaml") },
		},
		{
			"wrong credentials",
			func() {
				f.password.Store("not it")
				f.annotate("test", v1alpha1.AnnotationRequestedAt, "401")
			},
			"CredentialsInvalid", []string{"authentication failed", f.project + "/git"},
			func() {
				f.password.Store(gittest.Password)
				wake := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.project, Name: "git", Labels: map[string]string{v1alpha1.LabelCredentialType: "git"}}}
				if err := f.client.Create(f.t.Context(), wake); err != nil {
					f.t.Fatal(err)
				}
			},
		},
		{
			"a Git server that is down",
			func() {
				f.git.Intercept(func(http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
				})
				f.annotate("test", v1alpha1.AnnotationRequestedAt, "down")
			},
			"GitUnreachable", []string{strings.TrimSuffix(f.repoURL, ".git")},
			func() { f.git.Intercept(nil) }, // found by itself
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			c.break_()
			app, message := f.waitReady("test", c.reason)
			for _, part := range c.message {
				if !strings.Contains(message, part) {
					t.Errorf("message %q does not say %q", message, part)
				}
			}
			if got := f.workload(f.project + "-test"); got != before {
				t.Errorf("what ran was touched:\n%s\nwant\n%s", got, before)
			}
			if app.Status.Sync.Revision == "" {
				t.Error("the revision that runs was forgotten")
			}
			c.repair()
			f.waitSynced("test", f.git.Branch("app", "stage/test"))
		})
	}
}

// TestBrokenImage: three old replicas are available and the new pod crashes;
// the Deployment says Progressing, we say Degraded and why.
func TestBrokenImage(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	good := f.commit("stage/test", web("registry.example.com/web:1.0.0", 3))
	f.waitSynced("test", good)
	f.installCrashes()

	bad := f.commit("stage/test", web("registry.example.com/web:2.0.0-broken", 3))
	app := f.waitFor("test", "Degraded", func(a *v1alpha1.Application) bool {
		return a.Status.Sync.Revision == bad && a.Status.Health.Status == v1alpha1.HealthDegraded
	})
	if h := app.Status.Health; h.Reason != "CrashLoopBackOff" || !strings.Contains(h.Message, "Deployment "+f.project+"-test/web") {
		t.Errorf("health %+v", h)
	}
	var d appsv1.Deployment
	f.get(&d, "web")
	if d.Status.AvailableReplicas < 3 {
		t.Errorf("%d available replicas, want the old three", d.Status.AvailableReplicas)
	}
	// Back to the good content: Healthy again, without a render.
	fixed := f.commit("stage/test", web("registry.example.com/web:1.0.0", 3))
	f.waitSynced("test", fixed)
}

// TestCrashDuringApplyLeavesNoOrphan stops the process after the first object
// and moves the branch on before the next one starts.
func TestCrashDuringApplyLeavesNoOrphan(t *testing.T) {
	f := newAppFixture(t, withFailpoint("application.apply.object=hang@1"))
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{"app/a.yaml": configMap("a"), "app/b.yaml": configMap("b")})
	var found corev1.ConfigMapList
	if !eventually(func() bool {
		return f.client.List(t.Context(), &found, client.InNamespace(f.project+"-test"), client.HasLabels{v1alpha1.LabelManagedBy}) == nil && len(found.Items) > 0
	}) {
		t.Fatal("nothing was applied")
	}
	f.stop()
	f.fail = nil
	f.remove("stage/test", "app/a.yaml", "app/b.yaml")
	head := f.git.Commit("app", "stage/test", "other", map[string]string{"app/c.yaml": configMap("c")})
	f.start()
	f.waitSynced("test", head)
	f.gone(&corev1.ConfigMap{}, "a")
	f.gone(&corev1.ConfigMap{}, "b")
}

func TestApplicationsDoNotFight(t *testing.T) {
	f := newAppFixture(t)
	shared := func(a *v1alpha1.Application) { a.Spec.Destination.Namespace = f.project + "-shared" }
	f.application("one", "stage/one", "app", shared)
	one := f.commit("stage/one", map[string]string{"app/a.yaml": configMap("a")})
	f.waitSynced("one", one)

	f.application("two", "stage/two", "app", shared)
	two := f.commit("stage/two", map[string]string{"app/a.yaml": configMap("a"), "app/b.yaml": configMap("b")})
	_, message := f.waitReady("two", "OwnedByAnother")
	if want := fmt.Sprintf("ConfigMap %s-shared/a: it belongs to Application %q; remove it from one of the two", f.project, "in-cluster/"+f.project+"/one"); message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	// The rest goes on.
	var b corev1.ConfigMap
	if err := f.client.Get(t.Context(), types.NamespacedName{Namespace: f.project + "-shared", Name: "b"}, &b); err != nil {
		t.Error(err)
	}
	// What happens to the object is still its owner's business.
	f.kubectl("-n", f.project+"-shared", "label", "configmap/a", "mine=1")
	f.waitFor("one", "a heal", func(a *v1alpha1.Application) bool { return len(a.Status.Drifts) == 1 })
	// The owner goes and leaves its objects: they are adopted.
	if err := f.client.Delete(t.Context(), &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: f.project, Name: "one"}}); err != nil {
		t.Fatal(err)
	}
	f.waitSynced("two", two)
	var a corev1.ConfigMap
	if err := f.client.Get(t.Context(), types.NamespacedName{Namespace: f.project + "-shared", Name: "a"}, &a); err != nil || a.Annotations[v1alpha1.AnnotationOwner] != "in-cluster/"+f.project+"/two" {
		t.Errorf("after adoption: %v, owner %q", err, a.Annotations[v1alpha1.AnnotationOwner])
	}
}

func TestApplicationDeletion(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.DeletionPolicy = "Delete" })
	f.waitSynced("test", f.commit("stage/test", web("registry.example.com/web:1.0.0", 1)))
	app := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: f.project, Name: "test"}}
	if err := f.client.Delete(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool {
		return apierrors.IsNotFound(f.client.Get(t.Context(), client.ObjectKeyFromObject(app), app))
	}) {
		t.Fatalf("the Application stays: %s", describe(app))
	}
	f.gone(&appsv1.Deployment{}, "web")
	f.gone(&corev1.Service{}, "web")
	f.gone(&corev1.ConfigMap{}, "web")
}

// TestDeletionWithoutCluster: an Application whose cluster does not answer says
// so, and lets go when it is told to.
func TestDeletionWithoutCluster(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.DeletionPolicy = "Delete" })
	f.waitSynced("test", f.commit("stage/test", web("registry.example.com/web:1.0.0", 1)))
	f.cable.cut()
	app, _ := f.waitReady("test", "ClusterUnreachable")
	if err := f.client.Delete(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	f.waitFor("test", "what happens next", func(a *v1alpha1.Application) bool {
		c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
		return strings.Contains(c.Message, "its objects are left behind at ") && strings.Contains(c.Message, "spec.deletionPolicy is Orphan")
	})
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.DeletionPolicy = "Orphan" })
	if !eventually(func() bool {
		return apierrors.IsNotFound(f.client.Get(t.Context(), client.ObjectKeyFromObject(app), app))
	}) {
		t.Fatalf("the Application stays: %s", describe(app))
	}
	f.get(&appsv1.Deployment{}, "web")
}

// TestNewerRevisionSupersedes: a sync that hangs is ended by the next commit.
func TestNewerRevisionSupersedes(t *testing.T) {
	f := newAppFixture(t, withFailpoint("application.apply.before=hang@1"))
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{"app/a.yaml": configMap("a")})
	f.waitFor("test", "the intent", func(a *v1alpha1.Application) bool { return len(a.Status.Inventory) == 1 })
	parent := f.git.Branch("app", "stage/test")
	second := f.git.CommitFiles("app", gitserver.Commit{
		Branch: "stage/test", Message: "newer", Remove: []string{"app/a.yaml"},
		Files: map[string]gitserver.File{"app/b.yaml": {Content: configMap("b")}},
	})
	f.wake <- controllers.BranchMoved{RepoURL: f.repoURL, Branch: "stage/test", Parent: parent, Commit: second}
	app := f.waitSynced("test", second)
	if len(app.Status.Inventory) != 1 || app.Status.Inventory[0].Name != "b" {
		t.Errorf("inventory %+v", app.Status.Inventory)
	}
	f.gone(&corev1.ConfigMap{}, "a")
}

func TestContest(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.waitSynced("test", f.commit("stage/test", web("registry.example.com/web:1.0.0", 1)))
	key := types.NamespacedName{Namespace: f.project + "-test", Name: "web"}
	for i := range 5 {
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"tier":"rival-%d"}}}`, i))
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		if err := f.client.Patch(t.Context(), d, patch, client.FieldOwner("rival-controller")); err != nil {
			t.Fatal(err)
		}
		if !eventually(func() bool { return f.client.Get(t.Context(), key, d) == nil && d.Labels["tier"] == "front" }) {
			t.Fatalf("drift %d is not healed", i)
		}
	}
	app := f.waitFor("test", "Contested", func(a *v1alpha1.Application) bool {
		return slices.ContainsFunc(a.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Contested" && c.Status == metav1.ConditionTrue })
	})
	_, message := f.waitReady("test", "Contested")
	if want := fmt.Sprintf("Deployment %s/web is changed again and again by field manager %q (5 or more heals in ten minutes). Let go of the field in Git, or stop the other writer", key.Namespace, "rival-controller"); message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	if app.Status.Drifts[0].Action != "Contested" || app.Status.Drifts[0].Got != "rival-4" {
		t.Errorf("last drift %+v", app.Status.Drifts[0])
	}
}

func TestReportOnly(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.SyncPolicy.Automated.SelfHeal = false })
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", commit)
	f.kubectl("-n", f.project+"-test", "scale", "deployment/web", "--replicas=2")
	app, _ := f.waitReady("test", "Drifting")
	if !app.Status.Drifting || app.Status.Sync.Status != v1alpha1.SyncOutOfSync || app.Status.Drifts[0].Action != "Reported" {
		t.Errorf("%s", describe(app))
	}
	var d appsv1.Deployment
	f.get(&d, "web")
	if *d.Spec.Replicas != 2 {
		t.Errorf("%d replicas: it was healed", *d.Spec.Replicas)
	}
	// Healing is switched on: no new commit is needed.
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.SyncPolicy.Automated.SelfHeal = true })
	f.waitSynced("test", commit)
	if f.get(&d, "web"); *d.Spec.Replicas != 1 {
		t.Errorf("%d replicas, want 1", *d.Spec.Replicas)
	}
}

// TestNamespaceDeletedByHand: everything of an Application goes at once and
// comes back, the namespace first.
func TestNamespaceDeletedByHand(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", commit)
	var before corev1.Namespace
	name := types.NamespacedName{Name: f.project + "-test"}
	if err := f.client.Get(t.Context(), name, &before); err != nil {
		t.Fatal(err)
	}
	f.kubectl("delete", "namespace", name.Name)
	var d appsv1.Deployment
	if !eventually(func() bool {
		return f.client.Get(t.Context(), types.NamespacedName{Namespace: name.Name, Name: "web"}, &d) == nil && d.Status.AvailableReplicas == 1
	}) {
		app := f.waitFor("test", "anything", func(*v1alpha1.Application) bool { return true })
		t.Fatalf("the workload is not back: %s", describe(app))
	}
	f.waitSynced("test", commit)
}

// writesOnly leaves out reads.
func writesOnly(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "GET ") })
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {k: v}\n"
}

// get reads an object of the Application test.
func (f *appFixture) get(o client.Object, name string) {
	f.t.Helper()
	if err := f.client.Get(f.t.Context(), types.NamespacedName{Namespace: f.project + "-test", Name: name}, o); err != nil {
		f.t.Fatal(err)
	}
}

// gone waits until an object of the Application test does not exist.
func (f *appFixture) gone(o client.Object, name string) {
	f.t.Helper()
	key := types.NamespacedName{Namespace: f.project + "-test", Name: name}
	if !eventually(func() bool { return apierrors.IsNotFound(f.client.Get(f.t.Context(), key, o)) }) {
		f.t.Errorf("%T %s still exists", o, name)
	}
}

// remove deletes files from a branch and tells the reconciler.
func (f *appFixture) remove(branch string, paths ...string) string {
	f.t.Helper()
	parent := f.git.Branch("app", branch)
	hash := f.git.CommitFiles("app", gitserver.Commit{Branch: branch, Message: "remove", Remove: paths})
	f.wake <- controllers.BranchMoved{RepoURL: f.repoURL, Branch: branch, Parent: parent, Commit: hash}
	return hash
}

// edit changes an Application's spec.
func (f *appFixture) edit(name string, change func(*v1alpha1.Application)) {
	f.t.Helper()
	app := &v1alpha1.Application{}
	if err := f.client.Get(f.t.Context(), types.NamespacedName{Namespace: f.project, Name: name}, app); err != nil {
		f.t.Fatal(err)
	}
	before := app.DeepCopy()
	change(app)
	if err := f.client.Patch(f.t.Context(), app, client.MergeFrom(before)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *appFixture) annotate(name, key, value string) {
	f.t.Helper()
	f.edit(name, func(a *v1alpha1.Application) {
		if a.Annotations == nil {
			a.Annotations = map[string]string{}
		}
		a.Annotations[key] = value
	})
}

// withFailpoint stops a sync at a named point.
func withFailpoint(text string) func(*appFixture) {
	return func(f *appFixture) {
		set, err := failpoint.Parse(text, controllers.ApplicationFailpoints())
		if err != nil {
			f.t.Fatal(err)
		}
		f.fail = set
	}
}

// installCrashes makes pods whose image is broken crash, as the demo does.
func (f *appFixture) installCrashes() {
	f.t.Helper()
	f.Apply(f.t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: demo-images, namespace: default}\ndata: {CrashLoopBackOff: 'registry.example.com/web:2.0.0-broken'}\n")
}
