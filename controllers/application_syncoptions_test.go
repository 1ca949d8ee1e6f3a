package controllers_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// A misspelt option must not delete or leave out anything: nothing of such a
// revision is applied, and the message names it.
func TestMisspeltOptionStopsTheRevision(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{
		"app/web.yaml": configMap("web"),
		"app/pre.yaml": job("migrate", `argocd.argoproj.io/hook: Presync`),
	})
	app, message := f.waitReady("test", "InvalidOption")
	if !strings.Contains(message, "migrate") || !strings.Contains(message, `hook "Presync" is no phase`) {
		t.Errorf("message %q", message)
	}
	if app.Status.Sync.Revision != "" {
		t.Errorf("%s", describe(app))
	}
	f.gone(&corev1.ConfigMap{}, "web")
	next := f.commit("stage/test", map[string]string{"app/pre.yaml": job("migrate", `argocd.argoproj.io/hook: PreSync`)})
	app = f.waitSynced("test", next)
	if op := app.Status.Operation; op == nil || len(op.Hooks) != 1 || op.Hooks[0].Phase != v1alpha1.OperationSucceeded {
		t.Errorf("operation %+v", op)
	}
	f.get(&corev1.ConfigMap{}, "web")
}

// A hook that cannot run stops the revision too.
func TestHookOfAnUnknownKindStopsTheRevision(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{
		"app/web.yaml": configMap("web"),
		"app/pre.yaml": "apiVersion: none.example.com/v1\nkind: Migration\nmetadata: {name: first, annotations: {argocd.argoproj.io/hook: PreSync}}\n",
	})
	if app, message := f.waitReady("test", "KindUnknown"); !strings.Contains(message, "first") || app.Status.Sync.Revision != "" {
		t.Errorf("message %q, %s", message, describe(app))
	}
	f.gone(&corev1.ConfigMap{}, "web")
	f.waitSynced("test", f.commit("stage/test", map[string]string{"app/pre.yaml": strings.Replace(job("", `argocd.argoproj.io/hook: PreSync`), "name: ,", "generateName: first-,", 1)}))
	f.get(&corev1.ConfigMap{}, "web")
}

// What the new objects replace is there until they are well.
func TestPruneLastWaitsForHealth(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	annotated := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old, annotations: {argocd.argoproj.io/sync-options: PruneLast=true}}\n"
	f.waitSynced("test", f.commit("stage/test", map[string]string{"app/old.yaml": annotated, "app/soon.yaml": configMap("soon"), "app/stay.yaml": configMap("stay")}))
	f.commit("stage/test", map[string]string{
		"app/new.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: new, annotations: {demo.waybill.dev/run: CrashLoopBackOff}}\nspec: {containers: [{name: c, image: 'registry.example.com/none:1'}]}\n",
	})
	f.remove("stage/test", "app/old.yaml", "app/soon.yaml")
	if _, message := f.waitReady("test", "WaveFailed"); !strings.Contains(message, "new of wave 0 is Degraded") {
		t.Errorf("message %q", message)
	}
	f.gone(&corev1.ConfigMap{}, "soon") // all is applied
	f.get(&corev1.ConfigMap{}, "old")   // and not well
	f.waitSynced("test", f.commit("stage/test", map[string]string{"app/new.yaml": configMap("new")}))
	f.gone(&corev1.ConfigMap{}, "old")
	f.get(&corev1.ConfigMap{}, "stay")
}

// An object that the API server refuses ends the operation, also where no wave and
// no PostSync hook waits for it.
func TestSyncFailHookOfARefusedObject(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{
		"app/web.yaml":  configMap("web"),
		"app/bad.yaml":  "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n",
		"app/fail.yaml": job("cry", `argocd.argoproj.io/hook: SyncFail`),
	})
	app := f.waitFor("test", "the failed operation", func(a *v1alpha1.Application) bool {
		op := a.Status.Operation
		return op != nil && op.Phase == v1alpha1.OperationFailed && len(op.Hooks) == 1 && op.Hooks[0].Phase == v1alpha1.OperationSucceeded
	})
	if op := app.Status.Operation; op.Hooks[0].Hook != "SyncFail" || !strings.Contains(op.Message, "bad") {
		t.Errorf("operation %+v", op)
	}
	next := f.remove("stage/test", "app/bad.yaml")
	f.waitSynced("test", next)
}
