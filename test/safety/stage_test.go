package safety

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func deployTo(names ...string) func(*v1alpha1.Stage) {
	return func(s *v1alpha1.Stage) {
		for _, n := range names {
			s.Spec.Deploy = append(s.Spec.Deploy, v1alpha1.Deployment{
				Name: n, Destination: v1alpha1.Destination{Namespace: s.Namespace + "-" + s.Name}, Source: v1alpha1.DeploymentSource{Path: "stages/test"},
			})
		}
	}
}

// TestStageTakesNobodysApplication: an Application that changes hands is sent
// elsewhere, and what it deployed is pruned.
func TestStageTakesNobodysApplication(t *testing.T) {
	r := newRig(t, "taken")
	get := func(name string) *v1alpha1.Application {
		t.Helper()
		var a v1alpha1.Application
		if err := r.admin.Get(t.Context(), client.ObjectKey{Namespace: r.project, Name: name}, &a); err != nil {
			t.Fatal(err)
		}
		r.seen(&a)
		return &a
	}
	mine := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: "infra"}, Spec: v1alpha1.ApplicationSpec{
		Source: v1alpha1.ApplicationSource{RepoURL: r.url, Path: "infra"}, Destination: v1alpha1.Destination{Namespace: "taken-infra"},
	}}
	r.create(mine)

	r.stage("infra", deployTo(""))
	s := r.stepStage("infra")
	if got := get("infra"); metav1.GetControllerOf(got) != nil || got.Spec.Source.Path != "infra" {
		t.Errorf("a Stage took a person's Application over: %+v", got.Spec)
	}
	if c := s.Status.Conditions[0]; c.Status != metav1.ConditionFalse || c.Reason != "ApplicationNameTaken" {
		t.Errorf("the Stage says %+v", c)
	}

	one := r.stage("a", deployTo("b", "c"))
	r.stepStage("a")
	r.stage("a-b", deployTo("")) // its Application would have the name of a's first
	s = r.stepStage("a-b")
	if got := get("a-b"); !metav1.IsControlledBy(got, one) {
		t.Errorf("one Stage took another's Application over: %+v", got.OwnerReferences)
	}
	if c := s.Status.Conditions[0]; c.Status != metav1.ConditionFalse || c.Reason != "ApplicationNameTaken" {
		t.Errorf("the Stage says %+v", c)
	}
	if s = r.stepStage("a"); s.Status.Conditions[0].Reason == "ApplicationNameTaken" {
		t.Errorf("the first says %+v", s.Status.Conditions[0])
	}

	if err := r.admin.Delete(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cache sees the deletion", func() error {
		return must(r.cached.Get(t.Context(), client.ObjectKeyFromObject(mine), &v1alpha1.Application{}), "not found")
	})
	s = r.stepStage("infra")
	if s.Status.Conditions[0].Reason == "ApplicationNameTaken" || get("infra").Labels[v1alpha1.LabelStage] != "infra" {
		t.Errorf("the name is free and the Stage says %+v", s.Status.Conditions[0])
	}
}

// TestAbortVerifiesNothing: between the push and the sync a Stage still looks
// Healthy, with what it ran before. What was aborted then has not been tried.
func TestAbortVerifiesNothing(t *testing.T) {
	r := newRig(t, "unproven")
	r.stage("test", deployTo(""))
	good, next := r.freight(1, "1.26.0"), r.freight(2, "1.27.0")
	r.stepStage("test") // makes the Application
	healthyAt := func(commit string) {
		t.Helper()
		var app v1alpha1.Application
		if err := r.admin.Get(t.Context(), client.ObjectKey{Namespace: r.project, Name: "test"}, &app); err != nil {
			t.Fatal(err)
		}
		app.Status.ObservedGeneration = app.Generation
		app.Status.Sync = v1alpha1.SyncStatus{Status: v1alpha1.SyncSynced, Revision: commit, Target: commit, Tree: r.tree(commit, "stages/test")}
		app.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthHealthy}
		if err := r.admin.Status().Update(t.Context(), &app); err != nil {
			t.Fatal(err)
		}
		r.seen(&app)
	}
	verified := func(f *v1alpha1.Freight) bool {
		t.Helper()
		r.stepStage("test")
		var live v1alpha1.Freight
		if err := r.admin.Get(t.Context(), client.ObjectKeyFromObject(f), &live); err != nil {
			t.Fatal(err)
		}
		r.seen(&live)
		return live.Status.Stages["test"].VerifiedAt != nil
	}
	p := r.step(r.promotion("test.1.f", good.Name))
	healthyAt(p.Status.Commit.Commit)
	r.runs("test", p)
	if !verified(good) {
		t.Fatal("what runs Healthy is not verified")
	}

	p = r.step(r.promotion("test.2.f", next.Name))
	if p.Status.Phase != v1alpha1.PhaseSyncing {
		t.Fatalf("it is %s: %s", p.Status.Phase, p.Status.Message)
	}
	if err := r.admin.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"abort":{"by":"waybill:policy"}}}`))); err != nil {
		t.Fatal(err)
	}
	r.seen(p)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhaseAborted {
		t.Fatalf("it is %s", p.Status.Phase)
	}
	if verified(next) {
		t.Error("Freight is verified that has not run yet; the next Stage would take it")
	}
	healthyAt(p.Status.Commit.Commit)
	if !verified(next) {
		t.Error("once it runs Healthy it is not verified")
	}
}

// TestShapeOfSources: what makes no sense is refused when it is applied.
func TestShapeOfSources(t *testing.T) {
	api := clientFor(t, shared.Config)
	for _, c := range []struct {
		why     string
		sources v1alpha1.FreightSources
		says    string // empty: accepted
	}{
		{"the same base as upstream", v1alpha1.FreightSources{Stages: []string{"uat"}, RequireSameBase: true}, ""},
		{"the same base as nobody", v1alpha1.FreightSources{Direct: true, RequireSameBase: true}, "requireSameBase compares with upstream Stages"},
		{"from nowhere", v1alpha1.FreightSources{}, "set direct: true or name at least one upstream Stage"},
	} {
		s := newStage("default", "shape")
		s.Spec.RequestedFreight[0].Sources = c.sources
		switch err := api.Create(t.Context(), s, client.DryRunAll); {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.says != "":
			if err := must(err, c.says); err != nil {
				t.Errorf("%s: %v", c.why, err)
			}
		}
	}
}
