package promotion_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func TestDecide(t *testing.T) {
	old, mid, newest := freight(1, "1.26.0"), freight(2, "1.27.0"), freight(3, "1.28.0")
	for _, c := range []struct {
		name, why string
		o         func() *promotion.Observation
		want      promotion.Decision
	}{
		{
			"the newest goes", "of three, the highest order",
			func() *promotion.Observation { return observe(stage("test").auto(), old, newest, mid) },
			promotion.Decision{Create: &promotion.Candidate{Name: "test.1.f1280", Seq: 1, Freight: "f1280"}},
		},
		{
			"nothing moves by itself without autoPromotion", "a person promotes",
			func() *promotion.Observation { return observe(stage("test"), newest) },
			promotion.Decision{},
		},
		{
			"what is current stays", "promoting it again would change nothing",
			func() *promotion.Observation {
				return observe(stage("test").auto().running(newest, "test.1.x"), newest)
			},
			promotion.Decision{},
		},
		{
			"never backwards", "a person rolled forward to 1.27, 1.26 is older",
			func() *promotion.Observation { return observe(stage("test").auto().running(mid, "test.1.x"), old, mid) },
			promotion.Decision{},
		},
		{
			"never backwards, even when the current Freight is deleted", "the Stage's own record says how new it was",
			func() *promotion.Observation {
				s := stage("test").auto().running(newest, "test.1.x")
				s.Status.Current[0].Order = newest.Order
				return observe(s, old, mid)
			},
			promotion.Decision{},
		},
		{
			"once is enough", "its Promotion is on the way",
			func() *promotion.Observation {
				o := observe(stage("test").auto(), newest)
				o.Promotions = []v1alpha1.Promotion{*promo("test", 4, newest, v1alpha1.PhasePending)}
				return o
			},
			promotion.Decision{},
		},
		{
			"a failed one is not tried again", "and the one before it is",
			func() *promotion.Observation {
				o := observe(stage("test").auto().running(old, "test.1.x"), old, mid, newest)
				o.Promotions = []v1alpha1.Promotion{*promo("test", 4, newest, v1alpha1.PhaseRolledBack)}
				return o
			},
			promotion.Decision{Create: &promotion.Candidate{Name: "test.5.f1270", Seq: 5, Freight: "f1270"}},
		},
		{
			"a newer one supersedes what has not started", "and both are named",
			func() *promotion.Observation {
				o := observe(stage("test").auto(), mid, newest)
				o.Promotions = []v1alpha1.Promotion{*promo("test", 4, mid, v1alpha1.PhasePending), *promo("test", 5, newest, v1alpha1.PhasePending)}
				return o
			},
			promotion.Decision{Supersede: []promotion.Superseded{{Name: "test.4.f1270", By: "test.5.f1280"}}},
		},
		{
			"nothing supersedes what touched Git", "its commit may be on the branch",
			func() *promotion.Observation {
				o := observe(stage("test").auto(), mid, newest)
				running := promo("test", 4, mid, v1alpha1.PhaseRunning)
				running.Status.Steps = []v1alpha1.StepStatus{{Intent: &v1alpha1.CommitIntent{}}}
				o.Promotions = []v1alpha1.Promotion{*running, *promo("test", 5, newest, v1alpha1.PhasePending)}
				return o
			},
			promotion.Decision{},
		},
		{
			"soak wakes when it ends", "not a moment later",
			func() *promotion.Observation {
				return observe(stage("prod").auto().after("uat").soak(time.Hour),
					verified(freight(3, "1.28.0"), "uat", v1alpha1.Soak{RunningSince: at(-15 * time.Minute)}))
			},
			promotion.Decision{Recheck: noon.Add(45 * time.Minute)},
		},
		{
			"numbers are never used twice", "lastSeq survives deleted Promotions",
			func() *promotion.Observation {
				s := stage("test").auto()
				s.Status.LastSeq = 41
				return observe(s, newest)
			},
			promotion.Decision{Create: &promotion.Candidate{Name: "test.42.f1280", Seq: 42, Freight: "f1280"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, promotion.Decide(c.o())); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, d)
			}
		})
	}
}

// BenchmarkDecide decides about one Stage with 1,000 Freight that all soak
// upstream: the slowest case. 200 such Stages are to take less than 20 ms.
func BenchmarkDecide(b *testing.B) {
	s := stage("prod").auto().after("uat").soak(time.Hour)
	o := observe(s)
	for i := range int64(1000) {
		o.Freight = append(o.Freight, *verified(freight(i+1, "1.0."+time.Duration(i).String()), "uat", v1alpha1.Soak{RunningSince: at(-time.Minute)}))
	}
	b.ReportAllocs()
	for b.Loop() {
		promotion.Decide(o)
	}
}
