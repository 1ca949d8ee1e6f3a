package controllers_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// managedObjects is how many objects TestRestartWritesNothing has: 1,000, or what
// WAYBILL_TEST_OBJECTS says (10,000 takes minutes).
func managedObjects(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WAYBILL_TEST_OBJECTS")
	if text == "" {
		return 1000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("WAYBILL_TEST_OBJECTS=%q is no number of objects", text)
	}
	return n
}

// TestRestartWritesNothing: another process finds everything as it should be, and
// says so without a write to the cluster.
func TestRestartWritesNothing(t *testing.T) {
	f := newAppFixture(t)
	const perApplication = 500
	total := managedObjects(t)
	commits := map[string]string{}
	for n, left := 0, total; left > 0; n, left = n+1, left-perApplication {
		files := map[string]string{}
		for i := range min(left, perApplication) {
			name := fmt.Sprintf("c%03d", i)
			files["app/"+name+".yaml"] = configMap(name)
		}
		name := fmt.Sprintf("a%02d", n)
		f.application(name, "stage/"+name, "app")
		commits[name] = f.commit("stage/"+name, files)
	}
	for name, commit := range commits {
		f.waitSynced(name, commit)
	}
	f.stop()
	f.counter.take()
	f.start()
	for name := range commits {
		f.annotate(name, v1alpha1.AnnotationRequestedAt, "after the restart")
	}
	for name, commit := range commits {
		f.waitFor(name, "the answer", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "after the restart" })
		app := f.waitSynced(name, commit)
		if len(app.Status.Drifts) > 0 {
			t.Errorf("%s: drifts %+v", name, app.Status.Drifts)
		}
	}
	if got := writesOnly(f.counter.take()); len(got) > 0 {
		t.Errorf("%d objects, and after a restart %d writes: %v", total, len(got), got[:min(len(got), 5)])
	}
}

// TestCrashDuringApplyRunsNoHookTwice stops a sync with hooks between two objects,
// and lets another process finish it.
func TestCrashDuringApplyRunsNoHookTwice(t *testing.T) {
	f := newAppFixture(t, withFailpoint("application.apply.object=hang@1"))
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", map[string]string{
		"app/a.yaml": configMap("a"), "app/b.yaml": configMap("b"),
		"app/pre.yaml":  job("migrate", `argocd.argoproj.io/hook: PreSync`),
		"app/post.yaml": job("smoke", `argocd.argoproj.io/hook: PostSync`),
	})
	var before batchv1.Job
	if !eventually(func() bool { // the hook is done, and the first object applied
		return f.client.Get(t.Context(), key(f.project+"-test", "migrate"), &before) == nil && before.Status.Succeeded > 0 &&
			strings.Contains(f.kubectl("-n", f.project+"-test", "get", "configmaps", "-l", v1alpha1.LabelManagedBy, "-o", "name"), "configmap/")
	}) {
		t.Fatal("the sync has not come as far")
	}
	f.stop()
	f.fail = nil
	f.counter.take()
	f.start()
	app := f.waitSynced("test", commit)
	jobs := 0
	for _, line := range writesOnly(f.counter.take()) {
		if strings.HasPrefix(line, "POST ") && strings.HasSuffix(line, "/jobs") {
			jobs++
		}
	}
	var after batchv1.Job
	if f.get(&after, "migrate"); jobs != 1 || after.UID != before.UID {
		t.Errorf("%d Jobs were made after the crash, PreSync ran again: %v", jobs, after.UID != before.UID)
	}
	if op := app.Status.Operation; op == nil || op.Phase != v1alpha1.OperationSucceeded || len(op.Hooks) != 2 {
		t.Errorf("operation %+v", op)
	}
}
