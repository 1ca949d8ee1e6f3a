package e2e

import (
	"fmt"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestNothingUntestedRidesAlong: main goes on after uat has verified a version.
// What prod would render of that is named in the plan; with requireSameBase it
// keeps the version out, for the automatic flow, for kubectl and for the API,
// until uat has run it.
func TestNothingUntestedRidesAlong(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "samebase")
	w.guestbook()
	w.pipeline(nil, func(s *v1alpha1.Stage) {
		if s.Name == "prod" {
			s.Spec.AutoPromotion.Enabled = true
			s.Spec.RequestedFreight[0].Sources.RequireSameBase = true
		}
	})
	w.push("1.26.0")
	w.runs("prod", "1.26.0") // on the base that test and uat have run

	if s := w.cli("", "hold", w.project+"/prod", "--reason", "the test says so"); s.code != 0 {
		t.Fatal(s.text())
	}
	w.push("1.27.0")
	w.runs("uat", "1.27.0")
	f := w.freight("1.27.0")
	w.git.Commit("guestbook", "main", "words", map[string]string{"README.md": "nobody renders this\n"})
	if s := w.cli("", "diff", "1.27.0", w.project+"/prod"); strings.Contains(s.text(), "rides along") {
		t.Errorf("a file that is not rendered rides along:\n%s", s.text())
	}
	service := w.git.Show("guestbook", "main:base/service.yaml")
	w.git.Commit("guestbook", "main", "another port", map[string]string{"base/service.yaml": strings.Replace(service, "port: 80,", "port: 81,", 1)})
	untested := w.git.Branch("guestbook", "main")

	s := w.cli("", "diff", "1.27.0", w.project+"/prod")
	if want := "rides along, not tested in uat: " + untested[:7]; !strings.Contains(s.out, want) || !strings.Contains(s.out, "another port") || strings.Contains(s.out, "words") {
		t.Errorf("the plan does not say %q alone:\n%s", want, s.text())
	}
	s = w.cli("", "promote", "1.27.0", w.project+"/prod")
	if s.code != 7 || !strings.Contains(s.err, "another port") || !strings.Contains(s.err, "requireSameBase") {
		t.Errorf("the API let it in, or did not say why: %d\n%s", s.code, s.text())
	}
	if s = w.cli("", "why", "1.27.0", w.project+"/prod"); !strings.Contains(s.out, "another port") || !strings.Contains(s.out, "waybill promote") {
		t.Errorf("why does not say it:\n%s", s.text())
	}
	head := w.git.Branch("guestbook", "stage/prod")
	refused := w.ends(w.promote("prod", "1.27.0"), v1alpha1.PhaseFailed)
	if refused.Status.Reason != "GateClosed" || len(refused.Status.Gates) != 1 || refused.Status.Gates[0].Gate != v1alpha1.GateBase ||
		refused.Status.Plan == nil || refused.Status.Plan.RidingAlong.Commits[0].Commit != untested {
		t.Errorf("%+v", refused.Status)
	}

	// The automatic flow tries once for what it does not know yet, and no more.
	w.push("1.28.0")
	w.runs("uat", "1.28.0") // with the port
	w.git.Commit("guestbook", "main", "a third port", map[string]string{"base/service.yaml": strings.Replace(service, "port: 80,", "port: 82,", 1)})
	if s := w.cli("", "resume", w.project+"/prod"); s.code != 0 {
		t.Fatal(s.text())
	}
	auto := w.ends(w.promotionOf("prod", "1.28.0"), v1alpha1.PhaseFailed)
	if !auto.Spec.Automatic || auto.Status.Reason != "GateClosed" {
		t.Errorf("%+v", auto.Status)
	}
	tries := len(w.promotions("prod"))
	w.touchStage("prod")
	if now := len(w.promotions("prod")); now != tries {
		t.Errorf("%d promotions into prod, then %d", tries, now)
	}
	if now := w.git.Branch("guestbook", "stage/prod"); now != head {
		t.Errorf("the branch of prod moved to %s", now)
	}
	if err := w.isRunning("prod", "1.26.0"); err != nil {
		t.Error(err)
	}

	// uat runs it, and that opens the gate: nobody has to promote into prod.
	w.ends(w.promote("uat", "1.28.0"), v1alpha1.PhaseSucceeded)
	w.runs("prod", "1.28.0")
	if got := w.git.Show("guestbook", "stage/prod:base/service.yaml"); !strings.Contains(got, "port: 82") {
		t.Errorf("prod does not have what uat has tested:\n%s", got)
	}
	var base []v1alpha1.PlanBase
	w.eventually("uat's record names the base", func() error {
		w.get(f.Name, f)
		if base = f.Status.Stages["uat"].Bases; len(base) != 1 || base[0].Branch != "main" {
			return fmt.Errorf("%+v", base)
		}
		return nil
	})
}

// touchStage makes the Stage controller look at a Stage, and waits until it has.
func (w *world) touchStage(name string) {
	w.t.Helper()
	s := &v1alpha1.Stage{}
	w.get(name, s)
	at := apimeta.Now().String()
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[v1alpha1.AnnotationRequestedAt] = at
	if err := w.client.Update(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(name+" was looked at", func() error {
		if w.get(name, s); s.Status.LastHandledRequest != at {
			return fmt.Errorf("handled %q", s.Status.LastHandledRequest)
		}
		return nil
	})
}
