package promotion_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestMatchUpstream: the Stage takes what its upstream Stage runs, and nothing
// newer that has only been there.
func TestMatchUpstream(t *testing.T) {
	older := verified(freight(1, "1.26.0"), "uat", v1alpha1.Soak{})
	newer := verified(freight(2, "1.27.0"), "uat", v1alpha1.Soak{})
	s := stage("prod").after("uat").auto()
	s.Spec.AutoPromotion.SelectionPolicy = v1alpha1.SelectUpstream
	uat := stage("uat").running(older, "uat.1.x")
	o := observe(s, older, newer)
	o.Stages = []v1alpha1.Stage{uat.Stage, s.Stage}
	if d := promotion.Decide(o); d.Create == nil || d.Create.Freight != older.Name {
		t.Errorf("takes %+v, uat runs %s", d.Create, older.Name)
	}
	v := verdictOf(t, promotion.Gates(o, newer, promotion.Ask{Automatic: true, Kind: v1alpha1.KindPromote}), v1alpha1.GateHold)
	if want := `selectionPolicy MatchUpstream: only what "uat" runs is taken`; v.Open || v.Reason != want {
		t.Errorf("why not the newer: %+v", v)
	}
	pending := promo("prod", 1, newer, v1alpha1.PhasePending)
	if v := verdictOf(t, promotion.Gates(o, newer, promotion.AskOf(pending)), v1alpha1.GateHold); !v.Open {
		t.Errorf("a Promotion that exists is ended: %s", v.Reason)
	}
	s.running(newer, "prod.1.x").Status.Current[0].Order = 2
	if d := promotion.Decide(o); d.Create != nil {
		t.Errorf("goes back by itself: %+v", d.Create)
	}
}

// TestFinishSoakFollowsTheClock: a build every ten minutes against a soak of half
// an hour. Without finishSoak prod never gets any; with it every version that is
// taken gets through, and uat goes on the moment prod has taken it.
func TestFinishSoakFollowsTheClock(t *testing.T) {
	const soak, builds, length = 30 * time.Minute, 10 * time.Minute, 4 * time.Hour
	run := func(finish bool) (reached []string) {
		uat, prod := stage("uat").auto(), stage("prod").after("uat").soak(soak).auto()
		uat.Spec.AutoPromotion.FinishSoak = finish
		freights := map[string]*v1alpha1.Freight{}
		var all []*v1alpha1.Freight
		for minute := time.Duration(0); minute < length; minute += time.Minute {
			now := noon.Add(minute)
			if minute%builds == 0 {
				f := freight(int64(len(all)+1), "1."+string(rune('a'+len(all)))+".0")
				freights[f.Name], all = f, append(all, f)
			}
			for _, s := range []*stageBuilder{uat, prod} {
				o := observe(s, all...)
				o.Now, o.Stages = now, []v1alpha1.Stage{uat.Stage, prod.Stage}
				o.Stage = &s.Stage
				d := promotion.Decide(o)
				if d.Create == nil {
					continue
				}
				f := freights[d.Create.Freight]
				s.running(f, d.Create.Name).Status.Current[0].Order = f.Order
				s.Status.LastSeq = d.Create.Seq
				if s == prod {
					reached = append(reached, f.Name)
				}
				for _, other := range all {
					rec := other.Status.Stages[s.Name]
					rec = promotion.NextRecord(rec, other == f, other == f, v1alpha1.HealthHealthy, now)
					if rec.EnteredAt == nil && rec.VerifiedAt == nil {
						continue
					}
					if other.Status.Stages == nil {
						other.Status.Stages = map[string]v1alpha1.FreightInStage{}
					}
					other.Status.Stages[s.Name] = rec
				}
			}
		}
		return reached
	}
	if got := run(false); len(got) != 0 {
		t.Errorf("without finishSoak prod got %v: the test shows nothing", got)
	}
	if got := run(true); len(got) < 5 {
		t.Errorf("with finishSoak prod got %v in four hours", got)
	}
}

// TestFinishSoakLetsGo: what is kept, and what is not.
func TestFinishSoakLetsGo(t *testing.T) {
	newer := freight(2, "1.27.0")
	for _, c := range []struct {
		why    string
		edit   func(uat, prod *stageBuilder, f *v1alpha1.Freight, o *promotion.Observation)
		closed string // the reason; "" when newer may enter
		opens  time.Duration
	}{
		{"it soaks", func(_, _ *stageBuilder, _ *v1alpha1.Freight, _ *promotion.Observation) {},
			`finishSoak: 1.26.0 soaks for "prod" until 2026-11-20 12:40:00Z`, 40 * time.Minute},
		{"it is Degraded, and the fix has to get in", func(uat, _ *stageBuilder, _ *v1alpha1.Freight, _ *promotion.Observation) {
			uat.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthDegraded}
		}, "", 0},
		{"a Pod restarts", func(uat, _ *stageBuilder, f *v1alpha1.Freight, _ *promotion.Observation) {
			uat.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthProgressing}
			verified(f, "uat", v1alpha1.Soak{})
		}, `finishSoak: 1.26.0 is to soak for "prod", and the clock is not running`, 0},
		{"it has soaked, and prod is about to take it", func(_, _ *stageBuilder, f *v1alpha1.Freight, _ *promotion.Observation) {
			verified(f, "uat", v1alpha1.Soak{RunningSince: at(-2 * time.Hour)})
		}, `finishSoak: 1.26.0 has soaked, and "prod" is about to take it`, 0},
		{"it has soaked, and people promote into prod", func(_, prod *stageBuilder, f *v1alpha1.Freight, _ *promotion.Observation) {
			verified(f, "uat", v1alpha1.Soak{RunningSince: at(-2 * time.Hour)})
			prod.Spec.AutoPromotion.Enabled = false
		}, "", 0},
		{"it has soaked, and prod is frozen", func(_, _ *stageBuilder, f *v1alpha1.Freight, o *promotion.Observation) {
			verified(f, "uat", v1alpha1.Soak{RunningSince: at(-2 * time.Hour)})
			o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeAll})}
		}, "", 0},
		{"prod has it", func(_, _ *stageBuilder, f *v1alpha1.Freight, _ *promotion.Observation) {
			verified(f, "prod", v1alpha1.Soak{})
		}, "", 0},
		{"prod runs something newer", func(_, prod *stageBuilder, _ *v1alpha1.Freight, _ *promotion.Observation) {
			prod.running(newer, "prod.1.x").Status.Current[0].Order = 2
		}, "", 0},
		{"prod tried it", func(_, prod *stageBuilder, f *v1alpha1.Freight, _ *promotion.Observation) {
			prod.Status.LastPromotion = &v1alpha1.PromotionReference{Freight: f.Name, Phase: v1alpha1.PhaseFailed}
		}, "", 0},
		{"it is rejected for prod", func(_, _ *stageBuilder, f *v1alpha1.Freight, o *promotion.Observation) {
			o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", Freight: []string{f.Name}})}
		}, "", 0},
		{"it is only on its way", func(uat, _ *stageBuilder, f *v1alpha1.Freight, o *promotion.Observation) {
			uat.Status.Current = nil
			o.Promotions = []v1alpha1.Promotion{*promo("uat", 1, f, v1alpha1.PhaseSyncing)}
		}, "finishSoak: 1.26.0 is on its way, and is to soak first", 0},
	} {
		t.Run(c.why, func(t *testing.T) {
			f := verified(freight(1, "1.26.0"), "uat", v1alpha1.Soak{RunningSince: at(-20 * time.Minute)})
			uat, prod := stage("uat").auto().running(f, "uat.1.x"), stage("prod").after("uat").soak(time.Hour).auto()
			uat.Spec.AutoPromotion.FinishSoak = true
			o := observe(uat)
			c.edit(uat, prod, f, o)
			o.Stages, o.Freight = []v1alpha1.Stage{uat.Stage, prod.Stage}, []v1alpha1.Freight{*f, *newer}
			v := verdictOf(t, promotion.Gates(o, newer, promotion.Ask{Automatic: true, Kind: v1alpha1.KindPromote}), v1alpha1.GateHold)
			if c.closed == "" {
				c.closed = "the automatic flow is not held"
			}
			if v.Reason != c.closed || (c.opens == 0) != (v.OpensAt == nil) || v.OpensAt != nil && !v.OpensAt.Time.Equal(noon.Add(c.opens)) {
				t.Errorf("%s at %v, want %s", v.Reason, v.OpensAt, c.closed)
			}
			if d := promotion.Decide(o); (d.Create == nil) == v.Open || v.OpensAt != nil && !d.Recheck.Equal(v.OpensAt.Time) {
				t.Errorf("the gate says open %v, Decide %+v", v.Open, d)
			}
		})
	}
}
