package cli

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestWaitsForWhatComesAfter: who is told that a promotion is done may promote
// into the next Stage, so the Stage's health and the Freight's record have to be
// there. A rollback verifies nothing.
func TestWaitsForWhatComesAfter(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(*model.Promotion)
		deployed bool
		isEnd    bool
	}{
		{"healthy and verified", func(*model.Promotion) {}, true, true},
		{"not verified yet", func(p *model.Promotion) { p.Verified = false }, true, false},
		{"not healthy yet", func(p *model.Promotion) { p.StageHealth = model.HealthProgressing }, true, false},
		{"nothing is deployed", func(p *model.Promotion) { p.StageHealth = "" }, false, true},
		{"nothing is deployed, not verified yet", func(p *model.Promotion) { p.StageHealth, p.Verified = "", false }, false, false},
		{"a rollback", func(p *model.Promotion) { p.Kind, p.Verified = model.PromotionKindRollback, false }, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := promotion(model.PhaseSucceeded)
			tt.change(&p)
			if isEnd, err := verdict(&p, tt.deployed, time.Now()); isEnd != tt.isEnd || err != nil {
				t.Errorf("%v, %v; want %v", isEnd, err, tt.isEnd)
			}
		})
	}
}
