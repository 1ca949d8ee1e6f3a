package promotion

import (
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Backoff of a step after consecutive errors.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// RetryDelay returns how long to wait after the given number of consecutive
// failed attempts (1 or more): 1s, 2s, 4s ... at most one minute.
func RetryDelay(attempts int32) time.Duration {
	d := firstRetry
	for range max(attempts-1, 0) {
		d *= 2
		if d >= lastRetry {
			return lastRetry
		}
	}
	return d
}

// Next is what the engine does next with a run.
type Next struct {
	// Index of the step to run; meaningless when Done.
	Index int
	// Done: every step has ended.
	Done bool
	// WaitUntil: the step may not be tried before; zero means now.
	WaitUntil time.Time
}

// HasEnded reports whether a step in the state is not going to run any more.
func HasEnded(s v1alpha1.StepState) bool {
	switch s {
	case v1alpha1.StepSucceeded, v1alpha1.StepSkipped, v1alpha1.StepFailed, v1alpha1.StepAborted:
		return true
	default:
		return false
	}
}

// Advance returns the first step that has not ended, or Done. It looks at
// nothing but the recorded states, so that a restarted engine goes on after the
// last recorded step.
func Advance(steps []v1alpha1.StepStatus, now time.Time) Next {
	for i := range steps {
		if HasEnded(steps[i].State) {
			continue
		}
		n := Next{Index: i}
		if steps[i].RetryAt != nil && now.Before(steps[i].RetryAt.Time) {
			n.WaitUntil = steps[i].RetryAt.Time
		}
		return n
	}
	return Next{Done: true}
}
