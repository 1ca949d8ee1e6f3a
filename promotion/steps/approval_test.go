package steps_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/waitforapproval"
)

// approves records what a release manager decides about a step of p.
func (b *bench) approves(p *v1alpha1.Promotion, who, step string, decision v1alpha1.ApprovalDecision) *v1alpha1.Approval {
	b.t.Helper()
	a := &v1alpha1.Approval{Spec: v1alpha1.ApprovalSpec{
		Stage: p.Spec.Stage, Promotion: p.Name, Step: step, PlanHash: p.Status.Plan.Hash, Decision: decision,
		Actor: "waybill:" + who, Groups: []string{"waybill:release-managers"}, Reason: "as agreed",
	}}
	a.Namespace, a.Name, a.CreationTimestamp = p.Namespace, p.Name+"."+who+"."+step, metav1.Now()
	if err := b.store.Client.Create(b.t.Context(), a); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// TestWaitForApproval: the rules of the step are those of a Stage's approval.
func TestWaitForApproval(t *testing.T) {
	const template = `
- {uses: wait-for-approval, as: agree, config: {required: 2, groups: [release-managers], expireAfter: 1h}}
- {uses: compose-output, config: {ok: true}}
`
	type decide func(b *bench, p *v1alpha1.Promotion, now *clocktesting.FakePassiveClock)
	yes := v1alpha1.DecisionApprove
	for name, c := range map[string]struct {
		decide decide
		// waits and fails are words of the message; both empty: it goes on.
		waits, fails string
	}{
		"nobody": {func(*bench, *v1alpha1.Promotion, *clocktesting.FakePassiveClock) {}, "0 of 2 approvals; 2 of group release-managers: waybill approve guestbook/test", ""},
		"one": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "agree", yes)
		}, "1 of 2 approvals, by bob", ""},
		"two": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "agree", yes)
			b.approves(p, "carol", "agree", yes)
		}, "", ""},
		"oneself": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "agree", yes)
			b.approves(p, "alice", "agree", yes)
		}, "1 of 2 approvals, by bob; ", ""},
		"for the start": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "", yes)
			b.approves(p, "carol", "", yes)
		}, "0 of 2 approvals", ""},
		"for another plan": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			q := p.DeepCopy()
			q.Status.Plan.Hash = "sha256:" + strings.Repeat("c", 64)
			b.approves(q, "bob", "agree", yes)
		}, "bob approved another plan", ""},
		"expired": {func(b *bench, p *v1alpha1.Promotion, now *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "agree", yes)
			b.approves(p, "carol", "agree", yes)
			now.SetTime(now.Now().Add(2 * time.Hour))
		}, "0 of 2 approvals", ""},
		"rejected": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "agree", v1alpha1.DecisionReject)
		}, "", "rejected by bob: as agreed"},
		"revoked": {func(b *bench, p *v1alpha1.Promotion, _ *clocktesting.FakePassiveClock) {
			b.approves(p, "bob", "agree", yes)
			if err := b.store.Client.Delete(b.t.Context(), b.approves(p, "carol", "agree", yes)); err != nil {
				b.t.Fatal(err)
			}
		}, "1 of 2 approvals, by bob", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, exampleRepo(t))
			now := clocktesting.NewFakePassiveClock(time.Now())
			b.engine.Clock, b.engine.Steps["wait-for-approval"] = now, waitforapproval.Step{Approvals: b.store, Clock: now}
			p := promote(t, stageWith(readSteps(t, []byte(template))))
			persist := func(context.Context) error { return nil }
			if out := b.engine.Run(t.Context(), p, persist); out.Waiting == "" {
				t.Fatalf("it does not wait: %+v", out)
			}
			if asked := promotion.AskedByStep(p); asked == nil || asked.Step != "agree" || asked.Policy.Required != 2 {
				t.Fatalf("what it asks is %+v", asked)
			}
			c.decide(b, p, now)
			lookNow(p)
			out := b.engine.Run(t.Context(), p, persist)
			switch {
			case c.fails != "":
				if out.Failed == nil || out.Failed.Reason != promotion.ReasonRejected || out.Failed.Error() != c.fails {
					t.Errorf("it ended with %+v", out)
				}
			case c.waits != "":
				if !strings.Contains(out.Waiting, c.waits) {
					t.Errorf("it says %q, want %q", out.Waiting, c.waits)
				}
			case !out.Done:
				t.Errorf("it ended with %+v", out)
			}
			if out.Waiting == "" && promotion.AskedByStep(p) != nil {
				t.Error("it still asks")
			}
		})
	}
}
