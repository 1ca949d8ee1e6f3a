package promotion_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestCycleAgreesWithANaiveModel: in any graph, with loops, diamonds and names
// that lead nowhere, a Stage is on a cycle when it can be reached from itself, and
// the cycle that is shown is one.
func TestCycleAgreesWithANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "stages")
		stages := make([]v1alpha1.Stage, n)
		reaches := map[[2]string]bool{}
		for i := range stages {
			ups := rapid.SliceOfN(rapid.IntRange(0, n), 0, 3).Draw(t, fmt.Sprintf("upstream of s%d", i)) // sN does not exist
			names := make([]string, len(ups))
			for j, up := range ups {
				names[j] = fmt.Sprintf("s%d", up)
				reaches[[2]string{fmt.Sprintf("s%d", i), names[j]}] = true
			}
			stages[i] = stage(fmt.Sprintf("s%d", i)).after(names...).Stage
		}
		for k := range n {
			for i := range n {
				for j := range n {
					from, over, to := fmt.Sprintf("s%d", i), fmt.Sprintf("s%d", k), fmt.Sprintf("s%d", j)
					if reaches[[2]string{from, over}] && reaches[[2]string{over, to}] {
						reaches[[2]string{from, to}] = true
					}
				}
			}
		}
		for i := range stages {
			name := stages[i].Name
			cycle := promotion.Cycle(name, stages)
			if want := reaches[[2]string{name, name}]; (cycle != nil) != want {
				t.Fatalf("%s is on a cycle: %v, want %v", name, cycle, want)
			}
			if cycle == nil {
				continue
			}
			if cycle[0] != name || cycle[len(cycle)-1] != name {
				t.Fatalf("%v does not lead from %s to itself", cycle, name)
			}
			for at := range cycle[1:] {
				here := slices.IndexFunc(stages, func(s v1alpha1.Stage) bool { return s.Name == cycle[at] })
				if !slices.Contains(promotion.UpstreamOf(&stages[here]), cycle[at+1]) {
					t.Fatalf("%v: %s is not upstream of %s", cycle, cycle[at+1], cycle[at])
				}
			}
		}
	})
}

// TestCycleInALongPipeline: five thousand Stages in a row, and each beside two
// others, are looked through once.
func TestCycleInALongPipeline(t *testing.T) {
	const n = 5000
	stages := []v1alpha1.Stage{stage("s0").after(fmt.Sprintf("s%d", n-1)).Stage}
	for i := 1; i < n; i++ {
		stages = append(stages, stage(fmt.Sprintf("s%d", i)).after(fmt.Sprintf("s%d", i-1), fmt.Sprintf("s%d", i/2)).Stage)
	}
	if cycle := promotion.Cycle("s0", stages); len(cycle) < 3 || cycle[len(cycle)-1] != "s0" {
		t.Errorf("%d Stages on the cycle", len(cycle))
	}
	stages[0] = stage("s0").Stage
	if cycle := promotion.Cycle("s4999", stages); cycle != nil {
		t.Errorf("a cycle of %d Stages", len(cycle))
	}
}
