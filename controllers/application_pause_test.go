package controllers_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// pauseHealing pauses the healing of a Stage for an hour of the fixture's clock.
func (f *appFixture) pauseHealing(name, stage string) *v1alpha1.Freeze {
	f.t.Helper()
	until := metav1.NewTime(f.clock.Now().Add(time.Hour).Truncate(time.Second))
	z := &v1alpha1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.project, Name: name},
		Spec:       v1alpha1.FreezeSpec{Stage: stage, Scope: v1alpha1.FreezeHealing, Reason: "load test", By: "waybill:ada", Until: &until},
	}
	if err := f.client.Create(f.t.Context(), z); err != nil {
		f.t.Fatal(err)
	}
	return z
}

// drift scales the Deployment until the change is left alone: the pause may have
// come a moment later than the first change.
func (f *appFixture) drift(name string) *v1alpha1.Application {
	f.t.Helper()
	app := &v1alpha1.Application{}
	if !eventually(func() bool {
		f.kubectl("-n", f.project+"-"+name, "scale", "deployment/web", "--replicas=3")
		err := f.client.Get(f.t.Context(), key(f.project, name), app)
		return err == nil && app.Status.Drifting && len(app.Status.Drifts) > 0
	}) {
		f.t.Fatalf("no drift is left alone: %s", describe(app))
	}
	return app
}

// TestHealingIsPaused: a person pauses healing until an instant. What drifts
// meanwhile is shown, revisions are synced, and at the instant everything is healed
// without anybody asking.
func TestHealingIsPaused(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	f := newAppFixture(t, func(f *appFixture) { f.clock = clk })
	f.application("test", "stage/test", "app")
	f.application("other", "stage/test", "app")
	// Both follow the same branch.
	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", first)
	f.waitSynced("other", first)

	f.pauseHealing("pause", "test")
	app := f.drift("test")
	if d := app.Status.Drifts[0]; d.Action != "Paused" || d.Field != "spec.replicas" || d.Manager != "kubectl" {
		t.Errorf("recorded %+v", d)
	}
	if _, message := f.waitReady("test", "HealingHeld"); !strings.Contains(message, "paused by ada until ") || !strings.Contains(message, "load test") {
		t.Errorf("message %q", message)
	}
	// A new revision is synced; what is drifted and not part of the change stays.
	files := web("registry.example.com/web:1.0.0", 1)
	files["app/more.yaml"] = configMap("more")
	second := f.commit("stage/test", files)
	f.waitFor("test", "the new revision", func(a *v1alpha1.Application) bool { return a.Status.Sync.Revision == second && a.Status.Drifting })
	// Another Stage is healed meanwhile.
	f.waitSynced("other", second)
	f.kubectl("-n", f.project+"-other", "label", "service/web", "mine=1")
	var service corev1.Service
	if !eventually(func() bool {
		err := f.client.Get(t.Context(), key(f.project+"-other", "web"), &service)
		return err == nil && service.Labels["mine"] == ""
	}) {
		t.Error("the healing of another Stage is paused as well")
	}
	// What is deleted by hand stays deleted.
	f.kubectl("-n", f.project+"-test", "delete", "service/web")
	clk.Step(2 * time.Second) // details are written once a second
	f.waitFor("test", "the second drift", func(a *v1alpha1.Application) bool {
		return a.Status.Drifts[0].Action == "Paused" && a.Status.Drifts[0].Kind == "Service"
	})
	clk.Step(time.Hour + time.Second)
	f.waitSynced("test", second)
	if f.get(&service, "web"); service.Name == "" || !strings.Contains(f.workload(f.project+"-test"), `"replicas": 1`) {
		t.Errorf("not healed when the pause ended:\n%s", f.workload(f.project+"-test"))
	}
}

// TestPauseOfHealingIsLifted: a pause that is taken back ends at once, and a sync that
// somebody asks for takes drift back during one.
func TestPauseOfHealingIsLifted(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", commit)

	z := f.pauseHealing("pause", "*")
	f.drift("test")
	f.edit("test", func(a *v1alpha1.Application) { a.Operation = &v1alpha1.SyncRequest{ID: "r1", By: "waybill:ada"} })
	f.waitFor("test", "the sync", func(a *v1alpha1.Application) bool {
		return a.Status.LastSync != nil && a.Status.LastSync.Phase == v1alpha1.OperationSucceeded && !a.Status.Drifting
	})
	f.drift("test")
	if err := f.client.Delete(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	f.waitSynced("test", commit)
}
