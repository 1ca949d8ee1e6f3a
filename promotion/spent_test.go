package promotion_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func TestSpent(t *testing.T) {
	old, current, newer := freight(1, "1.0"), freight(5, "5.0"), freight(9, "9.0")
	const succeeded = v1alpha1.PhaseSucceeded
	// 1 to 6 have ended, 7 runs; 6 brought what is current.
	build := func(edit func(s *stageBuilder, ps []*v1alpha1.Promotion)) *promotion.Observation {
		s := stage("prod").running(current, "prod.6.f50")
		s.Status.Current[0].Order = 5
		s.Status.LastSeq = 7
		ps := []*v1alpha1.Promotion{
			promo("prod", 1, old, succeeded), promo("prod", 2, old, v1alpha1.PhaseFailed), promo("prod", 3, old, v1alpha1.PhaseSuperseded),
			promo("prod", 4, old, succeeded), promo("prod", 5, old, v1alpha1.PhaseRolledBack), promo("prod", 6, current, succeeded),
			promo("prod", 7, newer, v1alpha1.PhaseRunning),
		}
		if edit != nil {
			edit(s, ps)
		}
		o := observe(s, old, current, newer)
		for _, p := range ps {
			o.Promotions = append(o.Promotions, *p)
		}
		return o
	}
	for _, c := range []struct {
		why  string
		keep int
		edit func(*stageBuilder, []*v1alpha1.Promotion)
		want []int64
	}{
		{"the newest stay", 2, nil, []int64{1, 2, 3, 4}},
		{"all stay when asked to", 0, nil, nil},
		{"all stay when there are no more", 6, nil, nil},
		{"what is current stays, however old", 1, func(s *stageBuilder, _ []*v1alpha1.Promotion) { s.Status.Current[0].Promotion = "prod.1.f10" }, []int64{2, 3, 4, 5}},
		{"what can be gone back to stays", 2, func(s *stageBuilder, _ []*v1alpha1.Promotion) {
			s.Status.Good = []v1alpha1.StageFreight{{Promotion: "prod.4.f10"}}
		}, []int64{1, 2, 3}},
		{"what the Stage shows as its last stays", 1, func(s *stageBuilder, _ []*v1alpha1.Promotion) {
			s.Status.LastPromotion = &v1alpha1.PromotionReference{Name: "prod.2.f10"}
		}, []int64{1, 3, 4, 5}},
		{"what is being undone stays", 2, func(_ *stageBuilder, ps []*v1alpha1.Promotion) {
			ps[6].Status.Plan = &v1alpha1.PromotionPlan{Undoes: "prod.3.f10"}
		}, []int64{1, 2, 4}},
		{"what failed and could flow again stays", 1, func(_ *stageBuilder, ps []*v1alpha1.Promotion) { ps[1].Spec.Freight = newer.Name }, []int64{1, 3, 4, 5}},
		{"a rollback by policy stays: it happens once", 1, func(_ *stageBuilder, ps []*v1alpha1.Promotion) { ps[2].Spec.Kind = v1alpha1.KindRollback }, []int64{1, 2, 4, 5}},
		{"one by a person does not", 1, func(_ *stageBuilder, ps []*v1alpha1.Promotion) {
			ps[2].Spec.Kind, ps[2].Spec.Automatic = v1alpha1.KindRollback, false
		}, []int64{1, 2, 3, 4, 5}},
		{"a number that the Stage has not noted stays", 2, func(s *stageBuilder, _ []*v1alpha1.Promotion) { s.Status.LastSeq = 3 }, []int64{1, 2}},
		{"another Stage's are none of ours", 2, func(_ *stageBuilder, ps []*v1alpha1.Promotion) { ps[0].Spec.Stage = "uat" }, []int64{2, 3, 4}},
	} {
		o := build(c.edit)
		var got []int64
		for _, p := range promotion.Spent(o, c.keep) {
			got = append(got, promotion.Seq(p.Name))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.why, d)
		}
		// Without them everything is decided as before.
		before := promotion.Decide(o)
		after := *o
		after.Promotions = nil
		for i := range o.Promotions {
			if n := promotion.Seq(o.Promotions[i].Name); !contains(got, n) {
				after.Promotions = append(after.Promotions, o.Promotions[i])
			}
		}
		if d := cmp.Diff(before, promotion.Decide(&after)); d != "" {
			t.Errorf("%s: decided otherwise without them: -before +after\n%s", c.why, d)
		}
	}
}

func contains(all []int64, n int64) bool {
	for _, x := range all {
		if x == n {
			return true
		}
	}
	return false
}
