package v1alpha1_test

import (
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func TestExchange(t *testing.T) {
	in := func(names ...string) (out []v1alpha1.StageFreight) {
		for i, n := range names {
			out = append(out, v1alpha1.StageFreight{Origin: string(rune('a' + i)), Freight: n})
		}
		return out
	}
	for _, c := range []struct {
		name          string
		kind          v1alpha1.PromotionKind
		from, to      string
		before, after []v1alpha1.StageFreight
		wantFrom      string
		wantTo        string
	}{
		{name: "a promotion returns to nothing", kind: v1alpha1.KindPromote, from: "new", before: in("old"), after: in("new"), wantFrom: "new"},
		{name: "nothing is planned yet", kind: v1alpha1.KindRollback, from: "bad", wantFrom: "bad"},
		{name: "the plan knows", kind: v1alpha1.KindRollback, before: in("bad"), after: in("good"), wantFrom: "bad", wantTo: "good"},
		{name: "of two origins, the one that changes", kind: v1alpha1.KindRollback, before: in("same", "bad"), after: in("same", "good"), wantFrom: "bad", wantTo: "good"},
		{name: "the request names what goes", kind: v1alpha1.KindRollback, from: "b2", before: in("b1", "b2"), after: in("g1", "g2"), wantFrom: "b2", wantTo: "g2"},
		{name: "the request names what comes", kind: v1alpha1.KindRollback, to: "g2", before: in("b1", "b2"), after: in("g1", "g2"), wantFrom: "b2", wantTo: "g2"},
		{name: "the plan changes nothing", kind: v1alpha1.KindRollback, from: "x", to: "y", before: in("x"), after: in("x"), wantFrom: "x", wantTo: "y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Kind: c.kind, Freight: c.from, To: c.to}}
			if c.before != nil {
				p.Status.Plan = &v1alpha1.PromotionPlan{Collection: c.after, Before: &v1alpha1.StageBefore{Current: c.before}}
			}
			if from, to := p.Exchange(); from != c.wantFrom || to != c.wantTo {
				t.Errorf("from %q to %q, want from %q to %q", from, to, c.wantFrom, c.wantTo)
			}
		})
	}
}
