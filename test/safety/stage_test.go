package safety

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
