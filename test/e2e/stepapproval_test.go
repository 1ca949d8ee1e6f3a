package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestApprovalInAStep: a template that asks in its middle waits for a person,
// costs nothing meanwhile, survives the death of waybilld, and goes on when
// somebody approves; who rejects ends it, and nothing is pushed.
func TestApprovalInAStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "agree")
	w.guestbook()
	w.startServer()
	w.cluster.Apply(t, w.projectYAML(), w.credentialsYAML(gittest.Password, registrytest.Password), w.warehouseYAML(), fmt.Sprintf(renderTask, w.project))
	s := w.stage("test", "", true)
	w.renders(s)
	steps := s.Spec.PromotionTemplate.Spec.Steps
	agree := v1alpha1.PromotionStep{Uses: "wait-for-approval", As: "agree", Config: config(t, map[string]any{"groups": []string{"administrators"}})}
	s.Spec.PromotionTemplate.Spec.Steps = append(steps[:4:4], append([]v1alpha1.PromotionStep{agree}, steps[4:]...)...)
	if err := w.client.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.push("1.26.0")
	asks := func(p *v1alpha1.Promotion) {
		t.Helper()
		w.eventually("it asks", func() error {
			w.get(p.Name, p)
			if a := promotion.AskedByStep(p); p.Status.Phase != v1alpha1.PhaseRunning || a == nil || a.Step != "agree" {
				return fmt.Errorf("it is %s (%s): %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
			}
			return nil
		})
	}
	p := w.promotionOf("test", "1.26.0")
	asks(p)
	if want := "0 of 1 approval; 1 of group administrators: waybill approve agree/test"; p.Status.Message != want || p.Status.Plan.Hash == "" {
		t.Errorf("it says %q with plan %q, want %q", p.Status.Message, p.Status.Plan.Hash, want)
	}
	w.server.kill()
	w.startServer()
	if s := w.cli("", "inbox"); !strings.Contains(s.text(), "test") || s.code != 0 {
		t.Errorf("the inbox ended with %d:\n%s", s.code, s.text())
	}
	// The start of a server is one look; after that nothing is written.
	versions := map[string]bool{}
	w.always(3*time.Second, "nothing is written", func() error {
		w.get(p.Name, p)
		if versions[p.ResourceVersion] = true; len(versions) > 2 {
			return fmt.Errorf("it was written to %d times", len(versions))
		}
		return nil
	})
	if s := w.cli("", "approve", w.project+"/test"); s.code != 0 {
		t.Fatalf("approve ended with %d:\n%s", s.code, s.text())
	}
	p = w.ends(p, v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.0")
	w.oneCommitEach()

	head := w.git.Branch("guestbook", "stage/test")
	w.push("1.26.1")
	p = w.promotionOf("test", "1.26.1")
	asks(p)
	if s := w.cli("", "reject", w.project+"/"+p.Name, "--reason", "not on a Friday"); s.code != 0 {
		t.Fatalf("reject ended with %d:\n%s", s.code, s.text())
	}
	p = w.ends(p, v1alpha1.PhaseFailed)
	if p.Status.Reason != promotion.ReasonRejected || !strings.Contains(p.Status.Message, "rejected by ada: not on a Friday") {
		t.Errorf("it ended with %s: %s", p.Status.Reason, p.Status.Message)
	}
	if now := w.git.Branch("guestbook", "stage/test"); now != head {
		t.Errorf("the branch moved to %s", now)
	}
}
