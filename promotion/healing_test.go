package promotion_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func TestHealingPause(t *testing.T) {
	pause := func(name, stage string, until time.Duration) v1alpha1.Freeze {
		return freeze(name, v1alpha1.FreezeSpec{Stage: stage, Scope: v1alpha1.FreezeHealing, By: "bob", Reason: "x", Until: at(until)})
	}
	for _, c := range []struct {
		name, why string
		freezes   []v1alpha1.Freeze
		stage     string
		want      string
	}{
		{"none", "healing goes on", nil, "prod", ""},
		{"one", "until its end", []v1alpha1.Freeze{pause("a", "prod", time.Hour)}, "prod", "a"},
		{"at its end", "until is the first instant at which healing goes on", []v1alpha1.Freeze{pause("a", "prod", 0)}, "prod", ""},
		{"of another Stage", "is not meant", []v1alpha1.Freeze{pause("a", "uat", time.Hour)}, "prod", ""},
		{"of every Stage", "is meant as well", []v1alpha1.Freeze{pause("a", "*", time.Hour)}, "prod", "a"},
		{"of every Stage, for an Application of none", "it is in no Stage", []v1alpha1.Freeze{pause("a", "*", time.Hour)}, "", ""},
		{"two", "the one that ends last", []v1alpha1.Freeze{pause("a", "prod", time.Hour), pause("b", "prod", 2*time.Hour)}, "prod", "b"},
		{"two that end together", "the first by name", []v1alpha1.Freeze{pause("b", "prod", time.Hour), pause("a", "*", time.Hour)}, "prod", "a"},
		{"a freeze", "stops promotions, not healing", []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeAll, Until: at(time.Hour)})}, "prod", ""},
		{"without end", "admission refuses it; here it counts for nothing", []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeHealing})}, "prod", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if z := promotion.HealingPause(c.freezes, c.stage, noon); z != nil {
				got = z.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q: %s", got, c.want, c.why)
			}
		})
	}
}
