package promotion_test

import (
	"fmt"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestDecideSaysWhatTheGatesSay decides about random Stages and compares with
// the rule read slowly: the newest Freight above what is there whose entry gates
// are all open, and the first instant at which a gate of something newer opens.
func TestDecideSaysWhatTheGatesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stage("prod").auto()
		if rapid.IntRange(0, 5).Draw(t, "direct") > 0 {
			s.after([]string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "upstreams")]...)
			if rapid.Bool().Draw(t, "all") {
				s.all()
			}
			s.soak(time.Duration(rapid.IntRange(0, 2).Draw(t, "soak")) * time.Hour)
			s.Spec.RequestedFreight[0].Sources.RequireSameBase = rapid.Bool().Draw(t, "same base")
		}
		o := observe(s)
		for i := range rapid.IntRange(0, 6).Draw(t, "freight") {
			f := freight(int64(rapid.IntRange(1, 6).Draw(t, "order")), fmt.Sprintf("1.%d.0", i))
			for _, up := range []string{"a", "b", "c"} {
				if !rapid.Bool().Draw(t, "entered "+up) {
					continue
				}
				soak := v1alpha1.Soak{}
				soak.Accumulated.Duration = time.Duration(rapid.IntRange(0, 90).Draw(t, "accumulated")) * time.Minute
				if rapid.Bool().Draw(t, "soaking") {
					soak.RunningSince = at(-time.Duration(rapid.IntRange(0, 180).Draw(t, "minutes")) * time.Minute)
				}
				verified(f, up, soak)
				if rapid.IntRange(0, 3).Draw(t, "unverified") == 0 {
					rec := f.Status.Stages[up]
					rec.VerifiedAt = nil
					f.Status.Stages[up] = rec
				}
			}
			switch rapid.IntRange(0, 3).Draw(t, "signature") {
			case 0:
				signed(f, "old key")
			case 1:
				f.Status.Signatures = []v1alpha1.FreightSignature{{RepoURL: f.Images[0].RepoURL, Wanted: "key", Message: "nobody signed it"}}
			default:
				signed(f, "key")
			}
			o.Freight = append(o.Freight, *f)
			for _, phase := range rapid.SliceOfN(rapid.SampledFrom([]v1alpha1.PromotionPhase{
				v1alpha1.PhaseFailed, v1alpha1.PhaseRolledBack, v1alpha1.PhaseSucceeded, v1alpha1.PhaseAborted, v1alpha1.PhasePending,
			}), 0, 2).Draw(t, "tries") {
				o.Promotions = append(o.Promotions, *promo("prod", int64(len(o.Promotions)+1), f, phase))
			}
			if rapid.Bool().Draw(t, "refused for its base") {
				o.Promotions = append(o.Promotions, *refusedForBase(int64(len(o.Promotions)+1), f, s))
				if rapid.Bool().Draw(t, "verified again") {
					verifiedWith(&o.Freight[len(o.Freight)-1], "a", "newer")
				}
			}
		}
		if rapid.Bool().Draw(t, "signatures are asked for") {
			o.Signatures = wantedByKey()
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "freezes") {
			z := v1alpha1.Freeze{}
			z.Name = fmt.Sprintf("z%d", i)
			z.Spec.Stage = rapid.SampledFrom([]string{"prod", "*", "other"}).Draw(t, "frozen")
			z.Spec.Scope = rapid.SampledFrom([]v1alpha1.FreezeScope{v1alpha1.FreezeAll, v1alpha1.FreezeAutomatic}).Draw(t, "scope")
			if n := len(o.Freight); n > 0 && rapid.Bool().Draw(t, "of freight") {
				z.Spec.Freight = []string{o.Freight[rapid.IntRange(0, n-1).Draw(t, "which")].Name}
			}
			if rapid.Bool().Draw(t, "ends") {
				z.Spec.Until = at(time.Duration(rapid.IntRange(-60, 180).Draw(t, "until")) * time.Minute)
			}
			o.Freezes = append(o.Freezes, z)
		}

		got := promotion.Decide(o)
		candidate, recheck := slowly(o)
		name := ""
		if got.Create != nil {
			name = got.Create.Freight
		}
		if name != candidate || !got.Recheck.Equal(recheck) {
			t.Fatalf("Decide chose %q, recheck %v; the gates say %q, %v", name, got.Recheck, candidate, recheck)
		}
	})
}

// slowly is the rule by way of the gates.
func slowly(o *promotion.Observation) (candidate string, recheck time.Time) {
	floor := int64(0)
	for _, p := range o.Promotions {
		if f := o.FreightByName(p.Spec.Freight); !p.Status.Phase.IsFinished() && f != nil {
			floor = max(floor, f.Order)
		}
	}
	newest := append([]v1alpha1.Freight(nil), o.Freight...)
	sort.Slice(newest, func(i, j int) bool {
		if newest[i].Order != newest[j].Order {
			return newest[i].Order > newest[j].Order
		}
		return newest[i].Name < newest[j].Name
	})
	for i := range newest {
		f := &newest[i]
		if f.Order <= floor {
			break
		}
		entry := promotion.Blocking(promotion.Gates(o, f, promotion.Ask{Automatic: true, Kind: v1alpha1.KindPromote}), promotion.GroupEntry)
		if len(entry) > 0 {
			if at := promotion.EarliestOpening(entry); !at.IsZero() && (recheck.IsZero() || at.Before(recheck)) {
				recheck = at
			}
			continue
		}
		failed := false
		for _, p := range o.Promotions { // in the order of their numbers
			if p.Spec.Freight == f.Name && p.Status.Reason != promotion.ReasonGateClosed {
				failed = p.Status.Phase != v1alpha1.PhaseSucceeded && (failed || p.Status.Phase.IsFinished())
			}
		}
		if !failed {
			return f.Name, recheck
		}
	}
	return "", recheck
}
