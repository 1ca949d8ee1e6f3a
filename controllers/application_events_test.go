package controllers

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// eventCounter counts Events by their reason.
type eventCounter map[string]int

func (c eventCounter) Eventf(_, _ runtime.Object, _, reason, _, _ string, _ ...any) { c[reason]++ }

// TestEventsOfAStorm: where hundreds of Applications move at once, what goes well gets a bounded number of Events, and
// warnings and answers get all of theirs.
func TestEventsOfAStorm(t *testing.T) {
	told, clk := eventCounter{}, clocktesting.NewFakeClock(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC))
	r := &ApplicationReconciler{opts: ApplicationOptions{Events: told, Clock: clk}, calmEvents: rate.NewLimiter(calmEventsASecond, calmEventBurst)}
	move := func(i int) {
		before := &v1alpha1.Application{}
		after := before.DeepCopy()
		after.Status.Sync.Revision = fmt.Sprintf("%040d", i+1)
		after.Status.LastSync = &v1alpha1.SyncResult{ID: fmt.Sprint(i), Phase: v1alpha1.OperationSucceeded}
		after.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "ApplyFailed"}}
		r.tell(before, after)
	}
	for i := range 200 {
		move(i)
	}
	if told[reasonSynced] != calmEventBurst || told["SyncSucceeded"] != 200 || told["ApplyFailed"] != 200 {
		t.Errorf("at once: %v", told)
	}
	clk.Step(3 * time.Second)
	for i := range 200 {
		move(i)
	}
	if want := calmEventBurst + 3*calmEventsASecond; told[reasonSynced] != want {
		t.Errorf("three seconds later: %v, want %d", told, want)
	}
}
