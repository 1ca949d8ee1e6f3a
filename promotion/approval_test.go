package promotion_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	thisPlan  = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	otherPlan = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// decided is an Approval of prod.1 by an actor in release-managers, an hour ago.
func decided(actor string, edit ...func(*v1alpha1.Approval)) v1alpha1.Approval {
	a := v1alpha1.Approval{Spec: v1alpha1.ApprovalSpec{
		Stage: "prod", Promotion: "prod.1.f1270", PlanHash: thisPlan, Actor: "waybill:" + actor,
		Groups: []string{"waybill:release-managers"}, Decision: v1alpha1.DecisionApprove,
	}}
	a.Namespace, a.Name, a.CreationTimestamp = "guestbook", actor, *at(-time.Hour)
	for _, e := range edit {
		e(&a)
	}
	return a
}

func TestApprovalGate(t *testing.T) {
	policy := func(edit ...func(*v1alpha1.ApprovalPolicy)) *v1alpha1.ApprovalPolicy {
		p := &v1alpha1.ApprovalPolicy{Required: 2, Groups: []string{"release-managers"}, ExpireAfter: &metav1.Duration{Duration: 24 * time.Hour}}
		for _, e := range edit {
			e(p)
		}
		return p
	}
	for _, c := range []struct {
		name, why string
		policy    *v1alpha1.ApprovalPolicy
		requested string
		given     []v1alpha1.Approval
		open      bool
		reason    string
		have      int32
		closesAt  *metav1.Time
	}{
		{name: "nobody has decided", why: "the verdict says how many are asked for", policy: policy(), reason: "0 of 2 approvals"},
		{name: "one of two", why: "and who", policy: policy(), given: []v1alpha1.Approval{decided("ann")},
			reason: "1 of 2 approvals, by ann", have: 1, closesAt: at(23 * time.Hour)},
		{name: "two of two", why: "different people", policy: policy(), given: []v1alpha1.Approval{decided("ann"), decided("bob")},
			open: true, reason: "approved by ann, bob", have: 2, closesAt: at(23 * time.Hour)},
		{name: "one person twice", why: "is one voice", policy: policy(),
			given:  []v1alpha1.Approval{decided("ann"), decided("ann", func(a *v1alpha1.Approval) { a.Name = "again" })},
			reason: "1 of 2 approvals, by ann", have: 1, closesAt: at(23 * time.Hour)},
		{name: "three of two", why: "it closes when the second of them ends", policy: policy(),
			given: []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.Spec.Until = at(time.Hour) }), decided("bob"), decided("cat")},
			open:  true, reason: "approved by ann, bob, cat", have: 3, closesAt: at(23 * time.Hour)},
		{name: "the requester approves", why: "four eyes", policy: policy(), given: []v1alpha1.Approval{decided("rita"), decided("ann")},
			reason: "1 of 2 approvals, by ann; rita requested it, and may not approve it too", have: 1, closesAt: at(23 * time.Hour)},
		{name: "the requester approves, and may", why: "allowSelfApproval", policy: policy(func(p *v1alpha1.ApprovalPolicy) { p.AllowSelfApproval = true }),
			given: []v1alpha1.Approval{decided("rita"), decided("ann")}, open: true, reason: "approved by ann, rita", have: 2, closesAt: at(23 * time.Hour)},
		{name: "nobody knows who requested it", why: "then anybody might have", policy: policy(), requested: "-", given: []v1alpha1.Approval{decided("ann"), decided("bob")},
			reason: "0 of 2 approvals; ann approved, and nobody knows who requested it (spec.requestedBy is absent); bob approved, and nobody knows who requested it (spec.requestedBy is absent)"},
		{name: "another plan", why: "what was approved is not what would be done", policy: policy(),
			given:  []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.Spec.PlanHash = otherPlan }), decided("bob")},
			reason: "1 of 2 approvals, by bob; ann approved another plan", have: 1, closesAt: at(23 * time.Hour)},
		{name: "expired to the second", why: "at its instant it does not count any more", policy: policy(),
			given:  []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.CreationTimestamp = *at(-24 * time.Hour) }), decided("bob")},
			reason: "1 of 2 approvals, by bob; what ann approved has expired", have: 1, closesAt: at(23 * time.Hour)},
		{name: "its own end comes first", why: "until is earlier than expireAfter", policy: policy(func(p *v1alpha1.ApprovalPolicy) { p.Required = 1 }),
			given: []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.Spec.Until = at(time.Minute) })}, open: true, reason: "approved by ann", have: 1, closesAt: at(time.Minute)},
		{name: "not in the group", why: "the verb alone is not enough", policy: policy(),
			given:  []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.Spec.Groups = []string{"waybill:devs"} })},
			reason: "0 of 2 approvals; ann approved and is not asked"},
		{name: "the cluster's own group of that name", why: "a name without prefix is Waybill's", policy: policy(),
			given:  []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.Spec.Groups = []string{"release-managers"} })},
			reason: "0 of 2 approvals; ann approved and is not asked"},
		{name: "a user who is named", why: "beside the groups", policy: policy(func(p *v1alpha1.ApprovalPolicy) { p.Required, p.Users = 1, []string{"k8s:eve@example.com"} }),
			given: []v1alpha1.Approval{decided("eve", func(a *v1alpha1.Approval) { a.Spec.Actor, a.Spec.Groups = "eve@example.com", nil })},
			open:  true, reason: "approved by eve@example.com", have: 1, closesAt: at(23 * time.Hour)},
		{name: "given for another Stage", why: "admission only saw the Stage that the Approval names", policy: policy(),
			given: []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.Spec.Stage = "test" })}, reason: "0 of 2 approvals"},
		{name: "given for one of that name that is gone", why: "it is older than this Promotion", policy: policy(),
			given: []v1alpha1.Approval{decided("ann", func(a *v1alpha1.Approval) { a.CreationTimestamp = *at(-3 * time.Hour) })}, reason: "0 of 2 approvals"},
		{name: "rejected", why: "one is enough", policy: policy(),
			given:  []v1alpha1.Approval{decided("ann"), decided("bob"), decided("cat", func(a *v1alpha1.Approval) { a.Spec.Decision, a.Spec.Reason = v1alpha1.DecisionReject, "leaks" })},
			reason: "rejected by cat: leaks", have: 2, closesAt: at(23 * time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stage("prod")
			s.Spec.Approval = c.policy
			f := freight(1, "1.27.0")
			p := promo("prod", 1, f, v1alpha1.PhasePending)
			p.Spec.Automatic, p.Spec.RequestedBy, p.CreationTimestamp = false, "waybill:rita", *at(-24 * time.Hour)
			if c.name == "given for one of that name that is gone" {
				p.CreationTimestamp = *at(-2 * time.Hour)
			}
			if c.requested == "-" {
				p.Spec.RequestedBy = ""
			}
			p.Status.Plan = &v1alpha1.PromotionPlan{Hash: thisPlan}
			o := observe(s, f)
			o.Promotions, o.Approvals = []v1alpha1.Promotion{*p}, c.given
			v := verdictOf(t, promotion.Gates(o, f, promotion.AskOf(p)), v1alpha1.GateApproval)
			type seen struct {
				Open   bool
				Reason string
				Have   int32
				Closes *metav1.Time
			}
			if d := cmp.Diff(seen{c.open, c.reason, c.have, c.closesAt}, seen{v.Open, v.Reason, v.Have, v.ClosesAt}); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, d)
			}
		})
	}
}

func verdictOf(t *testing.T, vs []v1alpha1.GateVerdict, gate v1alpha1.Gate) v1alpha1.GateVerdict {
	t.Helper()
	for _, v := range vs {
		if v.Gate == gate {
			return v
		}
	}
	t.Fatalf("no verdict of gate %q", gate)
	return v1alpha1.GateVerdict{}
}

// TestApprovalGateOfARollback: what a promotion needs, a rollback does not,
// unless rollback.approval says so.
func TestApprovalGateOfARollback(t *testing.T) {
	f := freight(1, "1.27.0")
	s := stage("prod")
	s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 2}
	ask := promotion.Ask{Kind: v1alpha1.KindRollback}
	if v := verdictOf(t, promotion.Gates(observe(s, f), f, ask), v1alpha1.GateApproval); !v.Open {
		t.Errorf("a rollback waits for %s", v.Reason)
	}
	s.Spec.Rollback.Approval = &v1alpha1.ApprovalPolicy{Required: 1, Groups: []string{"on-call"}}
	v := verdictOf(t, promotion.Gates(observe(s, f), f, ask), v1alpha1.GateApproval)
	if want := "1 of group on-call: waybill approve guestbook/prod, once it is promoted"; v.Open || v.OpensBy != want {
		t.Errorf("opens by %q, want %q", v.OpensBy, want)
	}
	ask.Bypass = []v1alpha1.Gate{v1alpha1.GateApproval}
	if v := verdictOf(t, promotion.Gates(observe(s, f), f, ask), v1alpha1.GateApproval); v.Bypassed {
		t.Error("a rollback bypasses nothing")
	}
}

// TestApprovedGoesFirst: newer Freight that comes by itself does not push out
// what somebody has approved; it waits behind it.
func TestApprovedGoesFirst(t *testing.T) {
	older, newer := freight(1, "1.27.0"), freight(2, "1.28.0")
	s := stage("prod").auto()
	s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 2, Groups: []string{"release-managers"}}
	first, second := promo("prod", 1, older, v1alpha1.PhasePending), promo("prod", 2, newer, v1alpha1.PhasePending)
	for _, p := range []*v1alpha1.Promotion{first, second} {
		p.Spec.RequestedBy, p.Status.Plan = v1alpha1.PolicyUser, &v1alpha1.PromotionPlan{Hash: thisPlan}
		p.CreationTimestamp = *at(-2 * time.Hour)
	}
	o := observe(s, older, newer)
	o.Promotions = []v1alpha1.Promotion{*first, *second}
	if d := promotion.Decide(o); len(d.Supersede) != 1 || d.Supersede[0].Name != first.Name {
		t.Fatalf("nobody has approved it, and it stays: %+v", d.Supersede)
	}
	o.Approvals = []v1alpha1.Approval{decided("ann")}
	if d := promotion.Decide(o); len(d.Supersede) != 0 {
		t.Fatalf("superseded although somebody approved it: %+v", d.Supersede)
	}
	v := verdictOf(t, promotion.Gates(o, newer, promotion.AskOf(second)), v1alpha1.GateBusy)
	if want := `Promotion "prod.1.f1270" has been approved, and goes first`; v.Open || v.Reason != want {
		t.Errorf("the newer one: %+v, want %q", v, want)
	}
	if v := verdictOf(t, promotion.Gates(o, older, promotion.AskOf(first)), v1alpha1.GateBusy); !v.Open {
		t.Errorf("the older one waits for %s", v.Reason)
	}
	o.Now = noon.Add(1000 * time.Hour)
	if d := promotion.Decide(o); len(d.Supersede) != 1 {
		t.Error("an approval that has expired holds up the newer one for ever")
	}
}

// TestPlanHash: what counts and what does not.
func TestPlanHash(t *testing.T) {
	s := stage("prod").Stage
	step := func(config string) *v1alpha1.PromotionPlan {
		p := &v1alpha1.PromotionPlan{Collection: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f1"}}}
		p.Steps = []v1alpha1.PlanStep{{Uses: "git-clone", As: "git-clone-1", Config: raw(config)}}
		return p
	}
	hash := func(p *v1alpha1.PromotionPlan, rendered ...promotion.Rendered) string {
		t.Helper()
		h, err := promotion.PlanHash(&s, p, rendered)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	const base = `{"repoURL":"https://git.example/x","checkout":[{"commit":"0123456789012345678901234567890123456789"}]}`
	a, b := promotion.Rendered{Application: "a", Before: "1", After: "2"}, promotion.Rendered{Application: "b", Before: "1", After: "1"}
	want := hash(step(base), a, b)
	same := step(`{"checkout":[{"commit":"9999999999999999999999999999999999999999"}],"repoURL":"https://git.example/x"}`)
	same.StageGeneration, same.Bases = 7, []v1alpha1.PlanBase{{Commit: "x"}}
	if got := hash(same, b, a); got != want {
		t.Error("the commit that was read, the order of keys and of Applications are no other plan")
	}
	other := step(base)
	other.Collection[0].Freight = "f2"
	for why, got := range map[string]string{
		"other Freight":         hash(other, a, b),
		"another repository":    hash(step(`{"repoURL":"https://git.example/y","checkout":[{"commit":"0123456789012345678901234567890123456789"}]}`), a, b),
		"rendered otherwise":    hash(step(base), promotion.Rendered{Application: "a", Before: "1", After: "3"}, b),
		"something else before": hash(step(base), promotion.Rendered{Application: "a", Before: "0", After: "2"}, b),
		"one Application less":  hash(step(base), a),
	} {
		if got == want {
			t.Errorf("%s has the same hash", why)
		}
	}
	s.UID = "made-again"
	if hash(step(base), a, b) == want {
		t.Error("a Stage of the same name made again has the same hash")
	}
}
