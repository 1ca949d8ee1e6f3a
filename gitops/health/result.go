package health

import (
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Result is the health of one object.
type Result struct {
	// Status is one of the six words of health, or empty: the kind says nothing about its health.
	Status v1alpha1.HealthStatus
	// Reason is a CamelCase word for programs: CrashLoopBackOff, RollingOut.
	Reason string
	// Message is one sentence for people, without the object's own name. It stays equal while the facts do.
	Message string
	// Recheck is when time alone may change the verdict; zero when only an event can.
	Recheck time.Time
}

// Counts says whether the object has health at all.
func (r Result) Counts() bool { return r.Status != "" }

// Health returns the result in the API's form, without since.
func (r Result) Health() v1alpha1.Health {
	return v1alpha1.Health{Status: r.Status, Reason: r.Reason, Message: r.Message}
}

// IsUnobserved says that the object's controller has not caught up with it, so that
// nothing has begun to change yet.
func (r Result) IsUnobserved() bool { return r.Reason == reasonNotObserved }

const reasonNotObserved = "NotObserved"

func healthy(reason, message string) Result {
	return Result{Status: v1alpha1.HealthHealthy, Reason: reason, Message: message}
}

func progressing(reason, message string) Result {
	return Result{Status: v1alpha1.HealthProgressing, Reason: reason, Message: message}
}

func degraded(reason, message string) Result {
	return Result{Status: v1alpha1.HealthDegraded, Reason: reason, Message: message}
}

func suspended(reason, message string) Result {
	return Result{Status: v1alpha1.HealthSuspended, Reason: reason, Message: message}
}

// unknown is the verdict on an object that says itself that it does not know.
func unknown(reason, message string) Result {
	return Result{Status: v1alpha1.HealthUnknown, Reason: reason, Message: or(message, "says that it does not know")}
}

// notObserved is the verdict on an object whose controller has not caught up: its status speaks of the past.
func notObserved() Result {
	return progressing(reasonNotObserved, "its controller has not seen the latest change yet")
}

// degradedFrom makes the verdict Degraded from the instant at on. A zero instant, one the object does not tell,
// leaves it as it is.
func (r Result) degradedFrom(at, now time.Time, reason string) Result {
	switch {
	case at.IsZero():
	case now.Before(at):
		r.Recheck = at
	default:
		r.Status, r.Reason = v1alpha1.HealthDegraded, reason
	}
	return r
}

// earliest returns the first of two instants, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
