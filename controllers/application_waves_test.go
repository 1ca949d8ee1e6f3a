package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// job is a hook Job whose pod kwok completes at once.
func job(name, annotations string) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %s, annotations: {%s}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: run, image: registry.example.com/run:1}]
`, name, annotations)
}

// deployment is a Deployment of one replica in a wave.
func waveDeployment(name, wave, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, annotations: {argocd.argoproj.io/sync-wave: "%[2]s"}}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: web, image: "%[3]s"}]}
`, name, wave, image)
}

// created returns the names of the creations in order, of what the counter saw.
func created(lines []string) []string {
	var out []string
	for _, l := range writesOnly(lines) {
		method, path, _ := strings.Cut(l, " ")
		if method == "PATCH" {
			out = append(out, path[strings.LastIndex(path, "/")+1:])
		}
		if method == "POST" && strings.HasSuffix(path, "/jobs") {
			out = append(out, "job")
		}
	}
	return out
}

func TestWavesAndHooksRunInOrder(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.counter.take()
	first := f.commit("stage/test", map[string]string{
		"app/a.yaml":    waveDeployment("second", "1", "registry.example.com/web:1"),
		"app/b.yaml":    waveDeployment("first", "-1", "registry.example.com/web:1"),
		"app/pre.yaml":  job("migrate", `helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"`),
		"app/post.yaml": job("smoke", `argocd.argoproj.io/hook: PostSync`),
		"app/fail.yaml": job("cry", `waybill.dev/hook: SyncFail`),
		"app/none.yaml": job("test", `helm.sh/hook: test`),
	})
	app := f.waitSynced("test", first)
	if got, want := created(f.counter.take()), []string{"job", "first", "second", "job"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	op := app.Status.Operation
	if op == nil || op.Phase != v1alpha1.OperationSucceeded || len(op.Hooks) != 2 || op.Hooks[0].Name != "migrate" || op.Hooks[1].Name != "smoke" {
		t.Errorf("operation %+v", op)
	}
	var d [2]appsv1.Deployment
	f.get(&d[0], "first")
	f.get(&d[1], "second")
	if d[1].CreationTimestamp.Before(&d[0].CreationTimestamp) {
		t.Error("wave 1 came before wave -1")
	}
	if len(app.Status.Inventory) != 2 {
		t.Errorf("hooks are in the inventory: %+v", app.Status.Inventory)
	}
	f.gone(&batchv1.Job{}, "migrate") // HookSucceeded
	var smoke batchv1.Job
	f.get(&smoke, "smoke") // BeforeHookCreation
	f.gone(&batchv1.Job{}, "test")

	t.Run("a heal runs no hook", func(t *testing.T) {
		f.counter.take()
		f.kubectl("-n", f.project+"-test", "scale", "deployment/first", "--replicas=3")
		f.waitFor("test", "the heal", func(a *v1alpha1.Application) bool { return len(a.Status.Drifts) > 0 })
		f.waitSynced("test", first)
		if got := created(f.counter.take()); !slices.Equal(got, []string{"first"}) {
			t.Errorf("%v", got)
		}
	})

	t.Run("a commit elsewhere runs no hook", func(t *testing.T) {
		f.counter.take()
		elsewhere := f.commit("stage/test", map[string]string{"docs/x": "y"})
		f.waitSynced("test", elsewhere)
		if got := writesOnly(f.counter.take()); len(got) > 0 {
			t.Errorf("%v", got)
		}
	})

	t.Run("the next revision runs them again", func(t *testing.T) {
		next := f.commit("stage/test", map[string]string{"app/a.yaml": waveDeployment("second", "1", "registry.example.com/web:2")})
		f.waitSynced("test", next)
		var again batchv1.Job
		f.get(&again, "smoke")
		if again.UID == smoke.UID {
			t.Error("smoke did not run again")
		}
	})

	t.Run("a restart runs no hook", func(t *testing.T) {
		head := f.git.Branch("app", "stage/test")
		f.stop()
		f.counter.take()
		f.start()
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "restart")
		f.waitFor("test", "the echo", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "restart" })
		f.waitSynced("test", head)
		if got := writesOnly(f.counter.take()); len(got) > 0 {
			t.Errorf("%v", got)
		}
	})
}

func TestBrokenWaveHoldsTheNext(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{
		"app/a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: early, annotations: {waybill.dev/sync-wave: \"0\", demo.waybill.dev/run: CrashLoopBackOff}}\nspec: {containers: [{name: c, image: 'registry.example.com/none:1'}]}\n",
		"app/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, annotations: {waybill.dev/sync-wave: \"5\"}}\n",
		"app/f.yaml": job("cry", `waybill.dev/hook: SyncFail`),
	})
	app := f.waitFor("test", "the failed operation", func(a *v1alpha1.Application) bool {
		return a.Status.Operation != nil && a.Status.Operation.Phase == v1alpha1.OperationFailed && len(a.Status.Operation.Hooks) == 1 &&
			a.Status.Operation.Hooks[0].Phase == v1alpha1.OperationSucceeded
	})
	if app.Status.Operation.Hooks[0].Hook != "SyncFail" || app.Status.Sync.Revision != "" {
		t.Errorf("%+v, %s", app.Status.Operation, describe(app))
	}
	f.gone(&corev1.ConfigMap{}, "late")
	// A new revision supersedes.
	next := f.remove("stage/test", "app/a.yaml")
	f.waitSynced("test", next)
	f.get(&corev1.ConfigMap{}, "late")
}

func TestFailedPreSyncHookStopsTheSync(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{
		"app/web.yaml": configMap("web"),
		"app/pre.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: migrate, annotations: {waybill.dev/hook: PreSync, demo.waybill.dev/run: CrashLoopBackOff}}\nspec: {containers: [{name: c, image: 'registry.example.com/none:1'}]}\n",
	})
	app, message := f.waitReady("test", "HookFailed")
	if !strings.Contains(message, "PreSync hook Pod "+f.project+"-test/migrate failed") {
		t.Errorf("message %q", message)
	}
	if app.Status.Health == nil || app.Status.Health.Status != v1alpha1.HealthProgressing || app.Status.Sync.Revision != "" {
		t.Errorf("%s", describe(app))
	}
	f.gone(&corev1.ConfigMap{}, "web")
	if why := gitops.Failed(app, f.git.Branch("app", "stage/test")); !strings.Contains(why, "migrate failed") {
		t.Errorf("a Promotion of the commit is told %q", why)
	}
	if got := f.sync("test", v1alpha1.SyncRequest{}); got.Phase != v1alpha1.OperationFailed || !strings.Contains(got.Message, "migrate failed") {
		t.Errorf("the sync that was asked for: %+v", got)
	}
	app, _ = f.waitReady("test", "HookFailed")

	t.Run("a person asks again", func(t *testing.T) {
		id := app.Status.Operation.ID
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "again")
		f.waitFor("test", "another operation", func(a *v1alpha1.Application) bool {
			return a.Status.Operation.ID != id && a.Status.Operation.Phase == v1alpha1.OperationFailed
		})
	})
}

func TestDefinitionAndItsObjectInOneSync(t *testing.T) {
	f := newAppFixture(t)
	group := f.project + ".example.com"
	project := &v1alpha1.Project{}
	if err := f.client.Get(t.Context(), key("", f.project), project); err != nil {
		t.Fatal(err)
	}
	project.Spec.Kinds = []v1alpha1.ProjectKind{{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}}
	if err := f.client.Update(t.Context(), project); err != nil {
		t.Fatal(err)
	}
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.HealthChecks = []v1alpha1.HealthCheck{{Group: group, Kind: "Thing", Current: `spec.size > 2`, Failed: `spec.size < 0`}}
	})
	thing := func(size int) string {
		return fmt.Sprintf("apiVersion: %s/v1\nkind: Thing\nmetadata: {name: one}\nspec: {size: %d}\n", group, size)
	}
	first := f.commit("stage/test", map[string]string{
		"app/a-thing.yaml": thing(3),
		"app/crd.yaml": fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer}, color: {type: string, default: red}}}}
`, group),
	})
	app := f.waitSynced("test", first)
	if len(app.Status.NonConvergent) > 0 {
		t.Errorf("a default of the schema is no difference: %+v", app.Status.NonConvergent)
	}
	t.Run("its health is what the expression says", func(t *testing.T) {
		f.commit("stage/test", map[string]string{"app/a-thing.yaml": thing(-1)})
		f.waitFor("test", "Degraded", func(a *v1alpha1.Application) bool {
			return a.Status.Health != nil && a.Status.Health.Status == v1alpha1.HealthDegraded
		})
		f.edit("test", func(a *v1alpha1.Application) {
			a.Spec.HealthChecks[0].Failed = `spec.size < -5`
			a.Spec.HealthChecks[0].Current = `spec.size > -5`
		})
		f.waitSynced("test", f.git.Branch("app", "stage/test"))
	})
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.HealthChecks[0].Current = `spec.size +` })
	if _, message := f.waitReady("test", "InvalidSpec"); !strings.Contains(message, "healthChecks[0].current") {
		t.Errorf("message %q", message)
	}
	_ = f.client.Delete(t.Context(), &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}, ObjectMeta: metav1.ObjectMeta{Name: "things." + group}})
}

// TestDeletionHooks: PreDelete before the first object goes, PostDelete after the
// last, also when another process does it; a failed one keeps the objects.
func TestDeletionHooks(t *testing.T) {
	f := newAppFixture(t)
	deleted := func(a *v1alpha1.Application) { a.Spec.DeletionPolicy = "Delete" }
	f.application("test", "stage/test", "app", deleted)
	files := map[string]string{
		"app/web.yaml":  configMap("web"),
		"app/pre.yaml":  job("backup", `argocd.argoproj.io/hook: PreDelete`),
		"app/post.yaml": job("bye", `helm.sh/hook: post-delete`),
	}
	commit := f.commit("stage/test", files)
	app := f.waitSynced("test", commit)
	if !app.Status.Sync.DeleteHooks || app.Status.Operation != nil {
		t.Errorf("%s", describe(app))
	}
	f.gone(&batchv1.Job{}, "backup") // not yet
	f.stop()
	f.start()
	f.waitSynced("test", commit)
	f.counter.take()
	if err := f.client.Delete(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool {
		return apierrors.IsNotFound(f.client.Get(t.Context(), key(f.project, "test"), &v1alpha1.Application{}))
	}) {
		t.Fatal("it is not gone")
	}
	var order []string
	for _, line := range writesOnly(f.counter.take()) {
		method, path, _ := strings.Cut(line, " ")
		if what := path[strings.LastIndex(path, "/")+1:]; what != "namespaces" {
			order = append(order, method+" "+what)
		}
	}
	want := []string{"POST jobs", "DELETE web", "POST jobs", "DELETE backup", "DELETE bye"}
	slices.Sort(order[min(3, len(order)):]) // the last two in any order
	if !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	for _, name := range []string{"backup", "bye"} {
		if !eventually(func() bool {
			return apierrors.IsNotFound(f.client.Get(t.Context(), key(f.project+"-test", name), &batchv1.Job{}))
		}) {
			t.Errorf("Job %q is left behind", name)
		}
	}

	t.Run("a failed hook keeps the objects", func(t *testing.T) {
		f.application("kept", "stage/kept", "app", deleted)
		commit := f.commit("stage/kept", map[string]string{
			"app/web.yaml": configMap("web"),
			"app/pre.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: backup, annotations: {waybill.dev/hook: PreDelete, demo.waybill.dev/run: CrashLoopBackOff}}\nspec: {containers: [{name: c, image: 'registry.example.com/none:1'}]}\n",
		})
		app := f.waitSynced("kept", commit)
		if err := f.client.Delete(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		if _, message := f.waitReady("kept", "HookFailed"); !strings.Contains(message, "PreDelete hook Pod "+f.project+"-kept/backup failed") || !strings.Contains(message, "Orphan") {
			t.Errorf("message %q", message)
		}
		if err := f.client.Get(t.Context(), key(f.project+"-kept", "web"), &corev1.ConfigMap{}); err != nil {
			t.Error(err)
		}
		f.edit("kept", func(a *v1alpha1.Application) { a.Spec.DeletionPolicy = "Orphan" })
		if !eventually(func() bool {
			return apierrors.IsNotFound(f.client.Get(t.Context(), key(f.project, "kept"), &v1alpha1.Application{}))
		}) {
			t.Error("it is not let go")
		}
	})
}
