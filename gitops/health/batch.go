package health

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func job(obj *unstructured.Unstructured) Result {
	conditions := conditionsOf(obj)
	for _, kind := range []string{"Failed", "FailureTarget"} { // FailureTarget: failed, its pods are still ending
		if failed := find(conditions, kind); failed.is("True") {
			return degraded(or(failed.Reason, "Failed"), "failed: "+or(quote(failed.Message), "no message"))
		}
	}
	for _, kind := range []string{"Complete", "SuccessCriteriaMet"} {
		if done := find(conditions, kind); done.is("True") {
			return healthy("Complete", "is complete")
		}
	}
	if flag(obj, "spec", "suspend") || find(conditions, "Suspended").is("True") {
		return suspended("Suspended", "is suspended and runs no pods")
	}
	return progressing("Running", "is not complete yet")
}

func cronJob(obj *unstructured.Unstructured) Result {
	if flag(obj, "spec", "suspend") {
		return healthy("Suspended", "is suspended and starts no Jobs")
	}
	scheduled := instant(obj, "status", "lastScheduleTime")
	if scheduled.IsZero() {
		return healthy("Waiting", "has not been due yet")
	}
	if len(list(obj, "status", "active")) > 0 {
		return healthy("Running", "a Job is running")
	}
	// A Job that is removed the moment it ends is gone before the controller has seen it succeed.
	ttl := number(obj, -1, "spec", "jobTemplate", "spec", "ttlSecondsAfterFinished")
	if success := instant(obj, "status", "lastSuccessfulTime"); success.Before(scheduled) && ttl != 0 {
		return degraded("LastRunFailed", "the last Job did not succeed")
	}
	return healthy("LastRunSucceeded", "the last Job succeeded")
}
