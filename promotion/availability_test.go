package promotion_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestOneAnswerAboutAvailability: what is listed for the automatic flow and what
// the gates let in are the same, in the two situations in which Kargo's two
// functions disagree.
func TestOneAnswerAboutAvailability(t *testing.T) {
	long := v1alpha1.Soak{RunningSince: at(-2 * time.Hour)}
	for _, c := range []struct {
		why   string
		into  *stageBuilder
		f     *v1alpha1.Freight
		flows bool
	}{
		{"All, verified in one Stage more than is asked", stage("prod").auto().after("eu", "us").all().soak(time.Hour),
			verified(verified(verified(freight(1, "1.27.0"), "eu", long), "us", long), "dev", v1alpha1.Soak{}), true},
		{"OneOf uat, soaked only in dev", stage("prod").auto().after("uat").soak(time.Hour),
			verified(verified(freight(1, "1.27.0"), "dev", long), "uat", v1alpha1.Soak{}), false},
		{"OneOf uat, verified only in dev", stage("prod").auto().after("uat"),
			verified(freight(1, "1.27.0"), "dev", long), false},
	} {
		o := observe(c.into, c.f)
		decided := promotion.Decide(o).Create != nil
		for _, ask := range []promotion.Ask{{Kind: v1alpha1.KindPromote, Automatic: true}, {Kind: v1alpha1.KindPromote}} {
			let := len(promotion.Blocking(promotion.Gates(o, c.f, ask), promotion.GroupEntry)) == 0
			if decided != c.flows || let != c.flows {
				t.Errorf("%s: the flow says %v, the gates (automatic %v) say %v, the table says %v", c.why, decided, ask.Automatic, let, c.flows)
			}
		}
	}
}

// TestNothingReplacesWhatIsNotVerifiedYet: a newer automatic Promotion waits for
// one that rolls out, whatever the Stage's health is called meanwhile.
func TestNothingReplacesWhatIsNotVerifiedYet(t *testing.T) {
	older, newer := freight(1, "1.27.0"), freight(2, "1.28.0")
	for _, health := range []v1alpha1.HealthStatus{v1alpha1.HealthProgressing, v1alpha1.HealthUnknown, v1alpha1.HealthHealthy} {
		for _, phase := range []v1alpha1.PromotionPhase{v1alpha1.PhaseRunning, v1alpha1.PhaseSyncing, v1alpha1.PhaseVerifying} {
			s := stage("uat").auto()
			s.Status.Health = &v1alpha1.Health{Status: health}
			first, second := promo("uat", 1, older, phase), promo("uat", 2, newer, v1alpha1.PhasePending)
			first.Status.Commit = &v1alpha1.PromotionCommit{Commit: "c1"}
			o := observe(s, older, newer)
			o.Promotions = []v1alpha1.Promotion{*first, *second}
			if d := promotion.Decide(o); len(d.Supersede) > 0 {
				t.Errorf("%s while %s: superseded %+v", phase, health, d.Supersede)
			}
			if v := verdictOf(t, promotion.Gates(o, newer, promotion.AskOf(second)), v1alpha1.GateBusy); v.Open {
				t.Errorf("%s while %s: the newer one starts", phase, health)
			}
		}
	}
}
