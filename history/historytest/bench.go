package historytest

import (
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/history"
)

// benchRows is how many records a benchmark has.
const benchRows = 10_000

// BenchmarkPage fills a store and measures a page of 50 from its middle; it
// reports the median besides the mean.
func BenchmarkPage(b *testing.B, s history.Store) {
	b.Helper()
	stages := []string{"test", "uat", "prod", "prod-eu"}
	for n := range benchRows {
		if err := s.PutPromotion(b.Context(), Promotion("guestbook", stages[n%len(stages)], n)); err != nil {
			b.Fatal(err)
		}
	}
	middle := Promotion("guestbook", "test", benchRows/2)
	for name, f := range map[string]history.Filter{
		"project": {Project: "guestbook"}, "stage": {Project: "guestbook", Stage: "prod"}, "who": {Project: "guestbook", Who: "ada", Kinds: []string{"Promote"}},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now() //nolint:forbidigo // a benchmark measures
				ps, _, err := s.ListPromotions(b.Context(), f, history.Page{After: middle.Cursor().String(), Limit: 50})
				if err != nil || len(ps) != 50 {
					b.Fatalf("%d rows, %v", len(ps), err)
				}
				took = append(took, time.Since(start)) //nolint:forbidigo // a benchmark measures
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
		})
	}
}

// BenchmarkPutEntry measures what keeping an entry costs, chain and all.
func BenchmarkPutEntry(b *testing.B, s history.Store) {
	b.Helper()
	n := 0
	for b.Loop() {
		n++
		if err := s.PutEntry(b.Context(), Entry("guestbook", "prod", n)); err != nil {
			b.Fatal(err)
		}
	}
}
