package health

import (
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// byConditions judges a kind this package has no rule for, by the conventions kstatus reads: observedGeneration and
// the conditions Ready, Reconciling and Stalled. A kind that has none of them is read by the other words controllers
// use: first their conditions, then their phase.
//
// kstatus calls an object without any of them Current, by assumption. Here that is the zero Result: Healthy is
// only said of what was observed. kstatus calls a Ready that is False work in progress, whatever its reason says; here
// a reason that names a failure is one.
func byConditions(obj *unstructured.Unstructured, now time.Time) (result Result) {
	defer func() {
		// The object is of any shape; a library that stumbles over it says nothing about the software.
		if r := recover(); r != nil {
			result = Result{Status: v1alpha1.HealthUnknown, Reason: "StatusUnreadable", Message: "its status has an unexpected form"}
		}
	}()
	conditions := conditionsOf(obj)
	_, reportsGeneration, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	ready := find(conditions, "Ready")
	speaks := ready.Type != "" || find(conditions, "Reconciling").Type != "" || find(conditions, "Stalled").Type != ""
	if !speaks && (!reportsGeneration || isObserved(obj)) {
		return byOtherWords(obj, conditions, now)
	}
	// A condition may be older than the status around it, which kstatus does not look at.
	if isStale(ready, obj) {
		return notObserved()
	}
	if c := find(conditions, "Stalled"); c.is("True") && !isStale(c, obj) && (!reportsGeneration || isObserved(obj)) {
		return degraded(or(c.Reason, "Stalled"), quote(c.Message)) // whatever stands before it
	}
	computed, err := status.Compute(obj)
	if err != nil {
		return Result{Status: v1alpha1.HealthUnknown, Reason: "StatusUnreadable", Message: "its status has an unexpected form"}
	}
	reason, message := ready.Reason, quote(computed.Message)
	for _, c := range computed.Conditions {
		reason = or(c.Reason, reason)
	}
	switch computed.Status {
	case status.CurrentStatus:
		return healthy(or(ready.Reason, "Ready"), quote(ready.Message))
	case status.FailedStatus:
		return degraded(or(reason, "Stalled"), message)
	case status.InProgressStatus:
		if !isObserved(obj) && reportsGeneration {
			return notObserved()
		}
		if ready.is("False") && namesFailure(ready.Reason) && !find(conditions, "Reconciling").is("True") {
			return conditionRule{grace: startGrace}.failed(ready, now)
		}
		return progressing(or(reason, "NotReady"), message)
	case status.TerminatingStatus:
		return terminating(obj)
	default:
		return Result{Status: v1alpha1.HealthUnknown, Reason: "StatusUnreadable", Message: message}
	}
}
