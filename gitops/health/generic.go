package health

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// byConditions judges a kind this package has no rule for, by the conventions kstatus reads: observedGeneration and
// the conditions Ready, Reconciling and Stalled.
//
// kstatus calls an object without any of them Current, by assumption. Here that is the zero Result: Healthy is
// only said of what was observed.
func byConditions(obj *unstructured.Unstructured) (result Result) {
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
		// Some controllers say Available where others say Ready.
		if available := find(conditions, "Available"); available.Type != "" {
			return byAvailable(obj, available)
		}
		return Result{}
	}
	// A condition may be older than the status around it, which kstatus does not look at.
	if ready.ObservedGeneration > 0 && ready.ObservedGeneration < obj.GetGeneration() {
		return notObserved()
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
		return progressing(or(reason, "NotReady"), message)
	case status.TerminatingStatus:
		return terminating(obj)
	default:
		return Result{Status: v1alpha1.HealthUnknown, Reason: "StatusUnreadable", Message: message}
	}
}

func byAvailable(obj *unstructured.Unstructured, available condition) Result {
	if available.ObservedGeneration > 0 && available.ObservedGeneration < obj.GetGeneration() {
		return notObserved()
	}
	if available.is("True") {
		return healthy(or(available.Reason, "Available"), quote(available.Message))
	}
	return progressing(or(available.Reason, "NotAvailable"), quote(available.Message))
}
