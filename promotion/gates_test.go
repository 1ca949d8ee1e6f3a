package promotion_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func TestGates(t *testing.T) {
	automatic := promotion.Ask{Automatic: true, Kind: v1alpha1.KindPromote}
	manual := promotion.Ask{Kind: v1alpha1.KindPromote}
	f := freight(2, "1.27.0")
	soaking := func(since time.Duration) v1alpha1.Soak { return v1alpha1.Soak{RunningSince: at(since)} }

	for _, c := range []struct {
		name, why string
		o         *promotion.Observation
		freight   *v1alpha1.Freight
		ask       promotion.Ask
		closed    map[v1alpha1.Gate]string
		opensAt   *metav1.Time
	}{
		{
			name: "direct Freight passes every gate", why: "a first Stage takes what the Warehouse makes",
			o: observe(stage("test"), f), freight: f, ask: automatic,
		},
		{
			name: "an origin that is not requested", why: "the verdict says which is",
			o:       observe(stage("test")),
			freight: &v1alpha1.Freight{Origin: v1alpha1.Origin{Name: "other"}}, ask: manual,
			closed: map[v1alpha1.Gate]string{
				v1alpha1.GateOrigin:   `Freight of Warehouse "other" is not requested by "test", which requests "guestbook"`,
				v1alpha1.GateUpstream: "no upstream is named for this Warehouse",
			},
		},
		{
			name: "OneOf wants one", why: "uat has not verified it, qa has",
			o: observe(stage("prod").after("uat", "qa"), f), freight: verified(freight(2, "1.27.0"), "qa", v1alpha1.Soak{}), ask: automatic,
		},
		{
			name: "All wants every one", why: "the verdict names the one that is missing",
			o: observe(stage("prod").after("uat", "qa").all(), f), freight: verified(freight(2, "1.27.0"), "qa", v1alpha1.Soak{}), ask: automatic,
			closed: map[v1alpha1.Gate]string{v1alpha1.GateUpstream: `not verified in "uat"`},
		},
		{
			name: "All ignores a Stage that is not upstream", why: "an extra verified Stage neither helps nor hinders",
			o:       observe(stage("prod").after("uat").all().soak(time.Hour), f),
			freight: verified(verified(freight(2, "1.27.0"), "dev", v1alpha1.Soak{}), "uat", soaking(-2*time.Hour)), ask: automatic,
		},
		{
			name: "OneOf soaked elsewhere only", why: "soak in a Stage that is not upstream does not count",
			o:       observe(stage("prod").after("uat").soak(time.Hour), f),
			freight: verified(freight(2, "1.27.0"), "dev", soaking(-2*time.Hour)), ask: automatic,
			closed: map[v1alpha1.Gate]string{
				v1alpha1.GateUpstream: `not verified in "uat"`,
				v1alpha1.GateSoak:     `has to run healthy for 1h in "uat"; the clock is not running there`,
			},
		},
		{
			name: "soak names an instant", why: "the text may not change while the facts stay",
			o:       observe(stage("prod").after("uat").soak(time.Hour), f),
			freight: verified(freight(2, "1.27.0"), "uat", soaking(-20*time.Minute)), ask: automatic,
			closed:  map[v1alpha1.Gate]string{v1alpha1.GateSoak: `soaking in "uat" until 2026-11-20 12:40:00Z`},
			opensAt: at(40 * time.Minute),
		},
		{
			name: "soak opens to the second", why: "at the instant it names the gate is open",
			o:       observe(stage("prod").after("uat").soak(time.Hour), f),
			freight: verified(freight(2, "1.27.0"), "uat", soaking(-time.Hour)), ask: automatic,
		},
		{
			name: "All soaks until the last", why: "two clocks run, the later one decides",
			o:       observe(stage("prod").after("eu", "us").all().soak(time.Hour), f),
			freight: verified(verified(freight(2, "1.27.0"), "eu", soaking(-50*time.Minute)), "us", soaking(-10*time.Minute)), ask: automatic,
			closed:  map[v1alpha1.Gate]string{v1alpha1.GateSoak: `soaking in "us" until 2026-11-20 12:50:00Z`},
			opensAt: at(50 * time.Minute),
		},
		{
			name: "four closed gates show four", why: "none hides another",
			o: func() *promotion.Observation {
				o := observe(stage("prod").after("uat").soak(time.Hour), f)
				o.Freezes = []v1alpha1.Freeze{
					freeze("r", v1alpha1.FreezeSpec{Stage: "prod", Freight: []string{"f1270"}, By: "ann", Reason: "slow"}),
					freeze("z", v1alpha1.FreezeSpec{Stage: "*", Scope: v1alpha1.FreezeAll, By: "bob", Reason: "Black Friday", Until: at(24 * time.Hour)}),
				}
				return o
			}(),
			freight: f, ask: manual,
			closed: map[v1alpha1.Gate]string{
				v1alpha1.GateUpstream: `not verified in "uat"`,
				v1alpha1.GateSoak:     `has to run healthy for 1h in "uat"; the clock is not running there`,
				v1alpha1.GateRejected: "rejected by ann: slow",
				v1alpha1.GateFreeze:   "frozen by bob until 2026-11-21 12:00:00Z: Black Friday",
			},
			opensAt: at(24 * time.Hour),
		},
		{
			name: "a Freeze that has ended", why: "until is the first instant it does not hold",
			o: func() *promotion.Observation {
				o := observe(stage("prod"), f)
				o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", By: "bob", Reason: "x", Until: at(0)})}
				return o
			}(),
			freight: f, ask: manual,
		},
		{
			name: "a pause of healing stops no promotion", why: "it is about drift",
			o: func() *promotion.Observation {
				o := observe(stage("prod"), f)
				o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeHealing, By: "bob", Reason: "x", Until: at(time.Hour)})}
				return o
			}(),
			freight: f, ask: promotion.Ask{Automatic: true},
		},
		{
			name: "a hold stops the automatic flow", why: "and says how to resume",
			o: func() *promotion.Observation {
				o := observe(stage("test"), f)
				o.Freezes = []v1alpha1.Freeze{freeze("h", v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAutomatic, By: "ann", Reason: "looking"})}
				return o
			}(),
			freight: f, ask: automatic,
			closed: map[v1alpha1.Gate]string{v1alpha1.GateHold: "the automatic flow is held by ann: looking"},
		},
		{
			name: "a hold does not stop a person", why: "manual promotions have no hold gate",
			o: func() *promotion.Observation {
				o := observe(stage("test"), f)
				o.Freezes = []v1alpha1.Freeze{freeze("h", v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAutomatic, By: "ann", Reason: "looking"})}
				return o
			}(),
			freight: f, ask: manual,
		},
		{
			name: "busy", why: "another Promotion is under way",
			o: func() *promotion.Observation {
				o := observe(stage("test"), f)
				o.Promotions = []v1alpha1.Promotion{*promo("test", 1, freight(1, "1.26.0"), v1alpha1.PhaseSyncing)}
				return o
			}(),
			freight: f, ask: manual,
			closed: map[v1alpha1.Gate]string{v1alpha1.GateBusy: `Promotion "test.1.f1260" is syncing`},
		},
		{
			name: "a rollback is never busy", why: "it aborts what is in its way",
			o: func() *promotion.Observation {
				o := observe(stage("test"), f)
				o.Promotions = []v1alpha1.Promotion{*promo("test", 1, freight(1, "1.26.0"), v1alpha1.PhaseSyncing)}
				return o
			}(),
			freight: f, ask: promotion.Ask{Kind: v1alpha1.KindRollback},
		},
		{
			name: "a bypass opens only what it may", why: "busy cannot be bypassed",
			o: func() *promotion.Observation {
				o := observe(stage("prod").after("uat"), f)
				o.Promotions = []v1alpha1.Promotion{*promo("prod", 1, freight(1, "1.26.0"), v1alpha1.PhaseRunning)}
				return o
			}(),
			freight: f, ask: promotion.Ask{Kind: v1alpha1.KindPromote, Bypass: []v1alpha1.Gate{v1alpha1.GateUpstream, v1alpha1.GateBusy}},
			closed: map[v1alpha1.Gate]string{v1alpha1.GateBusy: `Promotion "prod.1.f1260" is running`},
		},
		{
			name: "commits by others hold the automatic flow", why: "a hotfix is not silently replaced",
			o: observe(stage("test"), f), freight: f,
			ask:    promotion.Ask{Automatic: true, Kind: v1alpha1.KindPromote, Plan: &v1alpha1.PromotionPlan{Overwrites: []v1alpha1.ForeignCommit{{Commit: "1a2b3c4d5e6f", Author: "Ann"}, {Commit: "2"}}}},
			closed: map[v1alpha1.Gate]string{v1alpha1.GateHealth: "would overwrite commit 1a2b3c4d by Ann and 1 more on the Stage's branch (ForeignCommits)"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdicts := promotion.Gates(c.o, c.freight, c.ask)
			got := map[v1alpha1.Gate]string{}
			for _, v := range promotion.Blocking(verdicts, "") {
				got[v.Gate] = v.Reason
				if v.OpensBy == "" {
					t.Errorf("gate %s is closed and says not what opens it", v.Gate)
				}
			}
			if c.closed == nil {
				c.closed = map[v1alpha1.Gate]string{}
			}
			if d := cmp.Diff(c.closed, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, d)
			}
			var want time.Time
			if c.opensAt != nil {
				want = c.opensAt.Time
			}
			if at := promotion.EarliestOpening(verdicts); !at.Equal(want) {
				t.Errorf("opens at %v, want %v", at, want)
			}
		})
	}
}
