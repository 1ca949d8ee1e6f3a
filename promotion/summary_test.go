package promotion_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func TestSummarize(t *testing.T) {
	f := freight(1, "1.26.0")
	running := func() *promotion.Observation { return observe(stage("prod").running(f, "prod.1.x"), f) }
	for _, c := range []struct {
		name, why string
		o         func() *promotion.Observation
		status    promotion.Status
		sentence  string
	}{
		{"healthy", "nothing else is true", running, promotion.StatusHealthy, "runs 1.26.0"},
		{"never promoted", "waiting is not failing", func() *promotion.Observation {
			s := stage("prod")
			s.Status.Health, s.Status.Synced = &v1alpha1.Health{Status: v1alpha1.HealthUnknown}, false
			return observe(s, f)
		}, promotion.StatusWaiting, "nothing was promoted yet"},
		{"unobserved", "Unknown is never shown as anything else", func() *promotion.Observation {
			o := running()
			o.Stage.Status.Health = nil
			return o
		}, promotion.StatusUnknown, "nothing has been observed yet"},
		{"degraded", "before frozen: what is broken comes first", func() *promotion.Observation {
			o := running()
			o.Stage.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "Deployment guestbook: CrashLoopBackOff"}
			o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", By: "waybill:bob", Reason: "x"})}
			return o
		}, promotion.StatusFailed, "Deployment guestbook: CrashLoopBackOff"},
		{"drifted while healing is paused", "and says by whom and until when", func() *promotion.Observation {
			o := running()
			o.Stage.Status.Drifting = true
			o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeHealing, By: "waybill:bob", Reason: "a leak", Until: at(time.Hour)})}
			return o
		}, promotion.StatusDrifted, "the cluster differs from Git; healing is paused by bob until 2026-11-20 13:00:00Z: a leak"},
		{"degraded, and kept", "a person is called, who is told why", func() *promotion.Observation {
			o := running()
			o.Stage.Spec.Rollback.OnUnhealthy = "Revert"
			o.Stage.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "Deployment guestbook: CrashLoopBackOff"}
			p := promo("prod", 1, f, v1alpha1.PhaseFailed)
			p.Status.Reason, p.Spec.Kind = promotion.ReasonUnhealthy, v1alpha1.KindRollback
			o.Promotions = []v1alpha1.Promotion{*p}
			o.Stage.Status.LastPromotion = &v1alpha1.PromotionReference{Name: p.Name, Phase: v1alpha1.PhaseFailed}
			return o
		}, promotion.StatusFailed, "Deployment guestbook: CrashLoopBackOff; this was already a rollback, so a person is needed"},
		{"degraded, and the rollback asks", "it says whom", func() *promotion.Observation {
			o := running()
			o.Stage.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "Deployment guestbook: CrashLoopBackOff"}
			p := promo("prod", 2, f, v1alpha1.PhasePending)
			p.Spec.Kind, p.Status.Message = v1alpha1.KindRollback, "approval: 0 of 1 approval"
			o.Promotions = []v1alpha1.Promotion{*p}
			return o
		}, promotion.StatusFailed, "Deployment guestbook: CrashLoopBackOff; the rollback waits: approval: 0 of 1 approval"},
		{"a definition that cannot run", "it would wait for ever without a word", func() *promotion.Observation {
			s := stage("prod")
			s.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: promotion.ReasonUnknownWarehouse, Message: "no Warehouse \"x\""}}
			return observe(s, f)
		}, promotion.StatusFailed, `no Warehouse "x"`},
		{"drifted", "and not being healed", func() *promotion.Observation {
			o := running()
			o.Stage.Status.Drifting = true
			return o
		}, promotion.StatusDrifted, "the cluster differs from Git and is not being healed"},
		{"on its way", "with what", func() *promotion.Observation {
			o := running()
			p := promo("prod", 2, freight(2, "1.27.0"), v1alpha1.PhaseRunning)
			p.Status.Message = "running its steps"
			o.Promotions = []v1alpha1.Promotion{*p}
			return o
		}, promotion.StatusProgressing, "promoting (running): running its steps"},
		{"frozen", "by whom and why, without the prefix of the user name", func() *promotion.Observation {
			o := running()
			o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "*", By: "waybill:bob", Reason: "Black Friday"})}
			return o
		}, promotion.StatusFrozen, "frozen by bob: Black Friday"},
		{"the last one failed", "and nothing replaced it", func() *promotion.Observation {
			o := running()
			o.Stage.Status.LastPromotion = &v1alpha1.PromotionReference{Name: "prod.2.x", Phase: v1alpha1.PhaseFailed, Message: "push rejected"}
			return o
		}, promotion.StatusFailed, `Promotion "prod.2.x" failed: push rejected`},
		{"the last one was rejected", "which is somebody's decision, and no failure", func() *promotion.Observation {
			o := running()
			o.Stage.Status.LastPromotion = &v1alpha1.PromotionReference{Name: "prod.2.x", Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonRejected}
			return o
		}, promotion.StatusHealthy, "runs 1.26.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := promotion.Summarize(c.o())
			if got.Status != c.status || got.Sentence != c.sentence {
				t.Errorf("%s: got %s %q, want %s %q", c.why, got.Status, got.Sentence, c.status, c.sentence)
			}
		})
	}
}

// TestSummaryOfWhatWaitsForPeople: the next action is to look at the plan.
func TestSummaryOfWhatWaitsForPeople(t *testing.T) {
	f := freight(1, "1.27.0")
	p := promo("prod", 1, f, v1alpha1.PhasePending)
	p.Status.Message = "approval: 1 of 2 approvals, by ann"
	p.Status.Gates = []v1alpha1.GateVerdict{{Gate: v1alpha1.GateApproval}}
	o := observe(stage("prod").running(freight(0, "1.26.0"), "prod.0.x"), f)
	o.Promotions = []v1alpha1.Promotion{*p}
	got := promotion.Summarize(o)
	if got.Status != promotion.StatusWaiting || got.Sentence != p.Status.Message || got.Next != "waybill diff guestbook/"+p.Name {
		t.Errorf("%+v", got)
	}
}
