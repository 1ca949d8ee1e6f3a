package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func hashOf(n int) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%x", n), 64) }

// waiting makes test ask for two release managers and a Promotion by alice wait
// for them, as the controller would.
func (f fixture) waiting(t *testing.T) *v1alpha1.Promotion {
	t.Helper()
	st := &v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "test"}}
	patch := `{"spec":{"approval":{"required":2,"groups":["release-managers"]}}}`
	if err := shared.admin.Patch(t.Context(), st, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	var m model.Promotion
	shared.as(t, "alice").do(t, "POST", f.path("/stages/test/promotions"), promote("1.28.0")).into(t, &m)
	p := f.promotion(t, m.Name)
	f.plans(t, p, 1)
	return p
}

// plans sets the plan that the controller has worked out.
func (f fixture) plans(t *testing.T, p *v1alpha1.Promotion, hash int) {
	t.Helper()
	p.Status.Phase, p.Status.Plan = v1alpha1.PhasePending, &v1alpha1.PromotionPlan{Hash: hashOf(hash), Collection: []v1alpha1.StageFreight{}, Steps: []v1alpha1.PlanStep{}}
	updateStatus(t, p)
	eventually(t, func() error {
		var m model.Promotion
		shared.as(t, "ann").get(t, f.path("/promotions/"+p.Name), &m)
		if m.PlanHash != hashOf(hash) || m.ApprovalNeed.Need != 2 {
			return fmt.Errorf("plan %q, need %+v", m.PlanHash, m.ApprovalNeed)
		}
		return nil
	})
}

func (f fixture) inbox(t *testing.T, who string) model.Inbox {
	t.Helper()
	var in model.Inbox
	shared.as(t, who).get(t, "/api/v1/inbox", &in)
	mine := func(items []model.InboxApproval) (out []model.InboxApproval) {
		for _, i := range items {
			if i.Project == f.name {
				out = append(out, i)
			}
		}
		return out
	}
	in.Approvals, in.Done = mine(in.Approvals), mine(in.Done)
	return in
}

// TestApproveAndReject: who may decide, what is refused and why, and what the
// pages say of it.
func TestApproveAndReject(t *testing.T) {
	f := newProject(t)
	p := f.waiting(t)
	path := f.path("/promotions/" + p.Name)
	decide := func(who, verb string, hash int, reason string) answer {
		t.Helper()
		return shared.as(t, who).do(t, "POST", path+"/"+verb, model.DecisionRequest{PlanHash: hashOf(hash), Reason: reason})
	}
	refused := func(a answer, status int, code model.ProblemCode, text string) {
		t.Helper()
		if got := a.problem(t); a.status != status || got.Code != code || !strings.Contains(got.Detail, text) {
			t.Errorf("%d %s: %s; want %d %s: %s", a.status, got.Code, got.Detail, status, code, text)
		}
	}
	if in := f.inbox(t, "ann"); len(in.Approvals) != 1 || !in.Approvals[0].MayDecide || in.Approvals[0].Promotion.PlanHash != hashOf(1) {
		t.Fatalf("the inbox of one who is asked: %+v", in)
	}
	for _, who := range []string{"alice", "victor", "cat", "mallory"} {
		if in := f.inbox(t, who); len(in.Approvals) != 0 {
			t.Errorf("the inbox of %s, who is not asked: %+v", who, in.Approvals)
		}
	}
	refused(decide("alice", "approve", 1, ""), http.StatusForbidden, model.Forbidden, "may not create approvals")
	refused(decide("victor", "approve", 1, ""), http.StatusForbidden, model.Forbidden, "may not create approvals")
	refused(decide("mallory", "approve", 1, ""), http.StatusNotFound, model.NotFound, "or you may not see it")
	refused(decide("cat", "approve", 1, ""), http.StatusForbidden, model.Forbidden, `"test" asks others for approval: release-managers`)
	refused(decide("ann", "approve", 2, ""), http.StatusConflict, model.PlanChanged, "the plan is another one than you saw")
	refused(decide("ann", "reject", 1, ""), http.StatusBadRequest, model.InvalidRequest, "a rejection needs a reason")
	refused(shared.as(t, "ann").do(t, "POST", f.path("/promotions/test.99.x/approve"), model.DecisionRequest{PlanHash: hashOf(1)}), http.StatusNotFound, model.NotFound, "no Promotion")
	refused(shared.as(t, "ann").do(t, "POST", path+"/revoke", nil), http.StatusNotFound, model.NotFound, "decided nothing")
	refused(shared.as(t, "ann").do(t, "POST", path+"/approve", `{"planHash":"short"}`), http.StatusBadRequest, model.InvalidRequest, "")

	var m model.Promotion
	decide("ann", "approve", 1, "looks good").into(t, &m)
	if len(m.Approvals) != 1 || m.Approvals[0].Standing != model.Counts || m.Approvals[0].Reason != "looks good" || m.ApprovalNeed.Have != 1 {
		t.Fatalf("after one approval: %+v, %+v", m.Approvals, m.ApprovalNeed)
	}
	eventually(t, func() error {
		in := f.inbox(t, "ann")
		if len(in.Approvals) != 0 || len(in.Done) != 1 || in.Done[0].Decision.Decision != model.Approve {
			return fmt.Errorf("the inbox of one who has approved: %+v", in)
		}
		return nil
	})
	decide("ann", "approve", 1, "again").into(t, &m)
	if len(m.Approvals) != 1 {
		t.Errorf("approved twice: %+v", m.Approvals)
	}
	decide("bob", "approve", 1, "").into(t, &m)
	if m.ApprovalNeed.Have != 2 {
		t.Errorf("after two: %+v", m.ApprovalNeed)
	}
	// Admission proves who wrote them.
	var all v1alpha1.ApprovalList
	if err := shared.admin.List(t.Context(), &all, client.InNamespace(f.name)); err != nil || len(all.Items) != 2 {
		t.Fatalf("%v, %+v", err, all.Items)
	}
	for _, a := range all.Items {
		if fmt.Sprint(a.Spec.Groups) != "[waybill:release-managers]" || !strings.HasPrefix(a.Spec.Actor, "waybill:") || a.Spec.Stage != "test" {
			t.Errorf("spec %+v", a.Spec)
		}
	}
	// The plan changes: what was approved is shown as given for another.
	f.plans(t, f.promotion(t, p.Name), 3)
	shared.as(t, "ann").get(t, path, &m)
	if len(m.Approvals) != 2 || m.Approvals[0].Standing != model.OtherPlan || m.ApprovalNeed.Have != 0 {
		t.Errorf("after the plan changed: %+v, %+v", m.Approvals, m.ApprovalNeed)
	}
	if in := f.inbox(t, "ann"); len(in.Approvals) != 1 || in.Approvals[0].Decision.Standing != model.OtherPlan {
		t.Errorf("the inbox of one whose approval does not count any more: %+v", in)
	}
	refused(decide("ann", "approve", 1, ""), http.StatusConflict, model.PlanChanged, "the plan is another one than you saw")
	shared.as(t, "ann").do(t, "POST", path+"/revoke", nil).into(t, &m)
	if len(m.Approvals) != 1 || m.Approvals[0].Actor != "waybill:bob" {
		t.Errorf("after ann revoked: %+v", m.Approvals)
	}
	decide("bob", "reject", 3, "leaks memory").into(t, &m)
	var why model.Why
	eventually(t, func() error {
		shared.as(t, "alice").get(t, f.path("/stages/test/why?freight=1.28.0"), &why)
		for _, g := range why.Gates {
			if g.Gate == model.GateNameApproval && strings.Contains(g.Reason, "rejected by bob: leaks memory") {
				return nil
			}
		}
		return fmt.Errorf("why says %+v", why.Gates)
	})
	// What has ended is not decided about any more.
	ended := f.promotion(t, p.Name)
	ended.Status.Phase = v1alpha1.PhaseFailed
	updateStatus(t, ended)
	eventually(t, func() error {
		if a := decide("ann", "approve", 3, ""); a.status != http.StatusConflict || !strings.Contains(string(a.body), "does not wait any more") {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
}

// TestInboxIsLive: the topic inbox shows each person their own, and tells only
// those for whom something has changed.
func TestInboxIsLive(t *testing.T) {
	f := newProject(t)
	ann := shared.as(t, "ann").open(t, "inbox", "")
	until := func(s *sse, what string, want func(in, done []model.InboxApproval) bool) model.Inbox {
		t.Helper()
		for {
			e := s.next(t)
			var in model.Inbox
			if err := json.Unmarshal([]byte(e.data), &in); err != nil || e.name != "inbox" || in.Cursor != e.id {
				t.Fatalf("%s: event %q, id %q, cursor %q: %v", what, e.name, e.id, in.Cursor, err)
			}
			mine := func(items []model.InboxApproval) (out []model.InboxApproval) {
				for _, i := range items {
					if i.Project == f.name {
						out = append(out, i)
					}
				}
				return out
			}
			if want(mine(in.Approvals), mine(in.Done)) {
				return in
			}
		}
	}
	until(ann, "at first", func(in, _ []model.InboxApproval) bool { return len(in) == 0 })
	p := f.waiting(t)
	until(ann, "when she is asked", func(in, _ []model.InboxApproval) bool {
		return len(in) == 1 && in[0].MayDecide && in[0].Promotion.PlanHash == hashOf(1)
	})
	shared.as(t, "ann").do(t, "POST", f.path("/promotions/"+p.Name+"/approve"), model.DecisionRequest{PlanHash: hashOf(1)})
	in := until(ann, "when she has approved", func(in, done []model.InboxApproval) bool { return len(in) == 0 && len(done) == 1 })

	// One who comes back hears what happened since, and not what was before.
	again := shared.as(t, "ann").open(t, "inbox", in.Cursor)
	f.plans(t, f.promotion(t, p.Name), 2)
	until(again, "when the plan has changed", func(in, _ []model.InboxApproval) bool {
		return len(in) == 1 && in[0].Decision.Standing == model.OtherPlan
	})

	// Who is not asked hears nothing of it, whatever changes.
	victor := shared.as(t, "victor").open(t, "inbox", "")
	until(victor, "of one who is not asked", func(in, done []model.InboxApproval) bool { return len(in)+len(done) == 0 })
}

// TestInboxDigest: what may change an inbox changes the digest, and what
// passes by does not.
func TestInboxDigest(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 4, 0, 0, time.UTC)
	stage := v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "prod", UID: "s", Generation: 1}}
	p := v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "prod.1.f", UID: "1"}, Spec: v1alpha1.PromotionSpec{Stage: "prod"}}
	p.Status.Phase = v1alpha1.PhaseRunning
	base := inboxDigest([]v1alpha1.Stage{stage}, []v1alpha1.Promotion{p}, nil, now)
	for name, c := range map[string]struct {
		change func(st *v1alpha1.Stage, p *v1alpha1.Promotion, a *[]v1alpha1.Approval)
		isNews bool
	}{
		"it succeeds": {func(_ *v1alpha1.Stage, p *v1alpha1.Promotion, _ *[]v1alpha1.Approval) {
			p.Status.Phase = v1alpha1.PhaseSucceeded
		}, false},
		"the Stage changes": {func(st *v1alpha1.Stage, _ *v1alpha1.Promotion, _ *[]v1alpha1.Approval) { st.ResourceVersion = "2" }, false},
		"it waits for approval": {func(_ *v1alpha1.Stage, p *v1alpha1.Promotion, _ *[]v1alpha1.Approval) {
			p.Status.Phase, p.Status.Plan = v1alpha1.PhasePending, &v1alpha1.PromotionPlan{Hash: hashOf(1)}
		}, true},
		"it fails": {func(_ *v1alpha1.Stage, p *v1alpha1.Promotion, _ *[]v1alpha1.Approval) {
			p.Status.Phase, p.Status.FinishedAt = v1alpha1.PhaseFailed, &metav1.MicroTime{Time: now}
		}, true},
		"it failed long ago": {func(_ *v1alpha1.Stage, p *v1alpha1.Promotion, _ *[]v1alpha1.Approval) {
			p.Status.Phase, p.Status.FinishedAt = v1alpha1.PhaseFailed, &metav1.MicroTime{Time: now.Add(-failedFor - time.Second)}
		}, false},
		"somebody decides": {func(_ *v1alpha1.Stage, _ *v1alpha1.Promotion, a *[]v1alpha1.Approval) {
			*a = make([]v1alpha1.Approval, 1)
		}, true},
		"the Stage drifts": {func(st *v1alpha1.Stage, _ *v1alpha1.Promotion, _ *[]v1alpha1.Approval) { st.Status.Drifting = true }, true},
		"the Stage asks for some": {func(st *v1alpha1.Stage, _ *v1alpha1.Promotion, _ *[]v1alpha1.Approval) {
			st.Spec.Approval = &v1alpha1.ApprovalPolicy{}
		}, true},
	} {
		st, q, as := *stage.DeepCopy(), *p.DeepCopy(), []v1alpha1.Approval(nil)
		c.change(&st, &q, &as)
		if got := inboxDigest([]v1alpha1.Stage{st}, []v1alpha1.Promotion{q}, as, now); (got != base) != c.isNews {
			t.Errorf("%s: changed %t, want %t", name, got != base, c.isNews)
		}
	}
}

// TestApprovalOfAStageThatAsksForNone: there is nothing to approve.
func TestApprovalOfAStageThatAsksForNone(t *testing.T) {
	f := newProject(t)
	var m model.Promotion
	shared.as(t, "alice").do(t, "POST", f.path("/stages/test/promotions"), promote("1.28.0")).into(t, &m)
	eventually(t, func() error {
		a := shared.as(t, "ann").do(t, "POST", f.path("/promotions/"+m.Name+"/approve"), model.DecisionRequest{PlanHash: hashOf(1)})
		if a.status != http.StatusConflict || !strings.Contains(string(a.body), "asks for no approval") {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
}
