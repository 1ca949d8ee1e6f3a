package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestWaitingCostsNothing: a Promotion that cannot be planned is tried again
// after growing pauses. What is written about a failure wakes its controller;
// it must not be taken for news, or the failure is repeated as fast as the
// machine allows.
func TestWaitingCostsNothing(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "waiting")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) {
		s.Spec.PromotionMechanisms.GitRepoUpdates[0].ReadBranch = "nope"
	})
	w.push("1.26.0")
	p := w.waits(w.promotionOf("test", "1.26.0"), "BranchNotFound")
	first := p.Status.PlanAttempts
	// Pauses of 1, 2 and 4 seconds allow two more attempts in five seconds.
	w.always(5*time.Second, "few attempts", func() error {
		if n := w.promotionOf("test", "1.26.0").Status.PlanAttempts; n > first+3 {
			return fmt.Errorf("%d attempts after %d", n, first)
		}
		return nil
	})
	w.git.Git("guestbook", "branch", "nope", "main")
	w.runs("test", "1.26.0")
	if p := w.promotionOf("test", "1.26.0"); p.Status.PlanRetryAt != nil {
		t.Errorf("a plan that was made is still to be tried again at %s", p.Status.PlanRetryAt)
	}
}
