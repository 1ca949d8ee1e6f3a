package rest

import (
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestARejectionIsNoFailure: what somebody decided has a word of its own, and its
// sentence names the person.
func TestARejectionIsNoFailure(t *testing.T) {
	v := &projectView{}
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: "prod", Freight: "f1", Kind: v1alpha1.KindPromote}}
	p.Status.Phase, p.Status.Reason, p.Status.Message = v1alpha1.PhaseFailed, promotion.ReasonRejected, "rejected by ann: not before Monday"
	got := v.activityModel(p)
	if want := "promotion of f1 to prod was rejected by ann: not before Monday"; got.Phase != model.PhaseRejected || got.Sentence != want {
		t.Errorf("%s: %s", got.Phase, got.Sentence)
	}
	if m := v.promotionModel(p); m.Phase != model.PhaseRejected || !m.Finished {
		t.Errorf("%s, finished %v", m.Phase, m.Finished)
	}
	p.Status.Reason, p.Status.Message = "PushRejected", "push: refused"
	if got := v.activityModel(p); got.Phase != model.PhaseFailed {
		t.Errorf("what the Git server refused is %s", got.Phase)
	}
}
