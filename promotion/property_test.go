package promotion_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestNothingSkipsAnUpstream runs random pipelines and checks every automatic
// promotion against a naive reading of the rule: Freight that enters a Stage
// was verified in one (OneOf) or every (All) upstream Stage, and soaked there.
func TestNothingSkipsAnUpstream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(t, "stages")
		stages := make([]*stageBuilder, n)
		for i := range stages {
			stages[i] = stage(fmt.Sprintf("s%d", i)).auto()
			if i == 0 {
				continue
			}
			var ups []string
			for j := range i {
				if rapid.Bool().Draw(t, fmt.Sprintf("s%d after s%d", i, j)) {
					ups = append(ups, stages[j].Name)
				}
			}
			if len(ups) == 0 {
				ups = []string{stages[0].Name}
			}
			stages[i].after(ups...)
			if rapid.Bool().Draw(t, "all") {
				stages[i].all()
			}
			stages[i].soak(time.Duration(rapid.IntRange(0, 3).Draw(t, "soak")) * time.Hour)
		}
		var fs []*v1alpha1.Freight
		for i := range rapid.IntRange(1, 5).Draw(t, "freight") {
			f := freight(int64(i+1), fmt.Sprintf("1.%d.0", i))
			for _, s := range stages {
				if rapid.Bool().Draw(t, "verified") {
					soak := v1alpha1.Soak{}
					if rapid.Bool().Draw(t, "soaking") {
						soak.RunningSince = at(-time.Duration(rapid.IntRange(0, 240).Draw(t, "minutes")) * time.Minute)
					}
					verified(f, s.Name, soak)
				}
			}
			fs = append(fs, f)
		}
		for _, s := range stages {
			o := observe(s, fs...)
			d := promotion.Decide(o)
			if again := promotion.Decide(o); !reflect.DeepEqual(d, again) {
				t.Fatalf("Decide is not deterministic: %+v, then %+v", d, again)
			}
			if d.Create == nil {
				continue
			}
			if !mayEnter(s, o.FreightByName(d.Create.Freight)) {
				t.Fatalf("%s enters %s too early", d.Create.Freight, s.Name)
			}
			// Idempotent: once created, nothing more is decided.
			o.Promotions = append(o.Promotions, *promo(s.Name, d.Create.Seq, o.FreightByName(d.Create.Freight), v1alpha1.PhasePending))
			if next := promotion.Decide(o); next.Create != nil {
				t.Fatalf("decided twice: %+v", next.Create)
			}
		}
	})
}

// mayEnter is the rule, read naively.
func mayEnter(s *stageBuilder, f *v1alpha1.Freight) bool {
	src := s.Spec.RequestedFreight[0].Sources
	if src.Direct {
		return true
	}
	good := 0
	for _, up := range src.Stages {
		rec, ok := f.Status.Stages[up]
		if !ok || rec.VerifiedAt == nil {
			continue
		}
		var ran time.Duration
		if rec.Soak.RunningSince != nil {
			ran = noon.Sub(rec.Soak.RunningSince.Time)
		}
		if src.RequiredSoakTime == nil || ran >= src.RequiredSoakTime.Duration {
			good++
		}
	}
	if src.AvailabilityStrategy == v1alpha1.AvailableFromAll {
		return good == len(src.Stages)
	}
	return good > 0
}

// TestSoakNeverExceedsTime feeds random health into NextRecord: soak is never
// longer than the time since verification, and never shrinks.
func TestSoakNeverExceedsTime(t *testing.T) {
	words := []v1alpha1.HealthStatus{v1alpha1.HealthHealthy, v1alpha1.HealthProgressing, v1alpha1.HealthDegraded, v1alpha1.HealthUnknown}
	rapid.Check(t, func(t *rapid.T) {
		var rec v1alpha1.FreightInStage
		now, best := noon, time.Duration(0)
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			h := rapid.SampledFrom(words).Draw(t, "health")
			rec = promotion.NextRecord(rec, rapid.IntRange(0, 9).Draw(t, "current") > 0, h == v1alpha1.HealthHealthy, h, now)
			soaked := promotion.Soaked(rec.Soak, now)
			if soaked < best {
				t.Fatalf("soak shrank from %s to %s", best, soaked)
			}
			best = soaked
			if rec.VerifiedAt == nil && soaked > 0 {
				t.Fatalf("soaked %s without verification", soaked)
			}
			if rec.VerifiedAt != nil && soaked > now.Sub(rec.VerifiedAt.Time) {
				t.Fatalf("soaked %s in %s", soaked, now.Sub(rec.VerifiedAt.Time))
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second)
		}
	})
}
