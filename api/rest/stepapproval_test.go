package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestApproveInAStep: a promotion that runs and waits for approval in one of its
// steps is decided about as one that has not started, and the decision is for
// that step.
func TestApproveInAStep(t *testing.T) {
	f := newProject(t)
	var m model.Promotion
	shared.as(t, "alice").do(t, "POST", f.path("/stages/test/promotions"), promote("1.28.0")).into(t, &m)
	p := f.promotion(t, m.Name)
	now := metav1.NowMicro()
	p.Status.Phase, p.Status.Reason, p.Status.Message, p.Status.StartedAt = v1alpha1.PhaseRunning, "Waiting", "0 of 2 approvals", &now
	p.Status.Plan = &v1alpha1.PromotionPlan{Hash: hashOf(1), Collection: []v1alpha1.StageFreight{}, Steps: []v1alpha1.PlanStep{{Uses: "wait-for-approval", As: "agree"}}}
	p.Status.Steps = []v1alpha1.StepStatus{{
		As: "agree", Uses: "wait-for-approval", State: v1alpha1.StepWaiting, Once: true, StartedAt: &now,
		Output: &runtime.RawExtension{Raw: []byte(`{"approval": {"required": 2, "groups": ["release-managers"]}}`)},
	}}
	updateStatus(t, p)
	path := f.path("/promotions/" + p.Name)
	eventually(t, func() error {
		shared.as(t, "ann").get(t, path, &m)
		if m.ApprovalNeed.Need != 2 || m.ApprovalNeed.Step != "agree" || m.PlanHash != hashOf(1) {
			return fmt.Errorf("it asks for %+v of plan %q", m.ApprovalNeed, m.PlanHash)
		}
		if in := f.inbox(t, "ann"); len(in.Approvals) != 1 || !in.Approvals[0].MayDecide {
			return fmt.Errorf("the inbox of one who is asked: %+v", in)
		}
		return nil
	})
	for _, who := range []string{"alice", "cat"} {
		if in := f.inbox(t, who); len(in.Approvals) != 0 {
			t.Errorf("the inbox of %s, who is not asked: %+v", who, in.Approvals)
		}
	}
	decide := func(who string, hash int) answer {
		return shared.as(t, who).do(t, "POST", path+"/approve", model.DecisionRequest{PlanHash: hashOf(hash), Reason: "seen"})
	}
	if a := decide("cat", 1); a.status != http.StatusForbidden || !strings.Contains(a.problem(t).Detail, "asks others") {
		t.Errorf("one who is not asked: %d %s", a.status, a.problem(t).Detail)
	}
	if a := decide("ann", 2); a.status != http.StatusConflict {
		t.Errorf("for another plan: %d", a.status)
	}
	decide("ann", 1).into(t, &m)
	if m.ApprovalNeed.Have != 1 || len(m.Approvals) != 1 || m.Approvals[0].Standing != model.Counts {
		t.Errorf("after one: %+v, %+v", m.ApprovalNeed, m.Approvals)
	}
	var all v1alpha1.ApprovalList
	if err := shared.admin.List(t.Context(), &all, client.InNamespace(f.name)); err != nil || len(all.Items) != 1 || all.Items[0].Spec.Step != "agree" {
		t.Errorf("%v, %+v", err, all.Items)
	}
	eventually(t, func() error {
		if in := f.inbox(t, "ann"); len(in.Approvals) != 0 || len(in.Done) != 1 {
			return fmt.Errorf("the inbox of one who has approved: %+v", in)
		}
		return nil
	})
	if a := shared.as(t, "ann").do(t, "POST", path+"/revoke", nil); a.status != http.StatusOK {
		t.Errorf("revoke: %d", a.status)
	}
	// When it goes on, nobody is asked any more.
	p = f.promotion(t, p.Name)
	p.Status.Steps[0].State = v1alpha1.StepSucceeded
	updateStatus(t, p)
	eventually(t, func() error {
		if a := decide("bob", 1); a.status != http.StatusConflict {
			return fmt.Errorf("a decision too late: %d", a.status)
		}
		return nil
	})
}
