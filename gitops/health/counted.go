package health

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// likeDeployment judges the workloads of others that count pods as a Deployment or a StatefulSet does: OpenShift's
// DeploymentConfig, the CloneSet and StatefulSet of OpenKruise.
func likeDeployment(obj *unstructured.Unstructured) Result {
	if flag(obj, "spec", "paused") || flag(obj, "spec", "updateStrategy", "paused") || flag(obj, "spec", "updateStrategy", "rollingUpdate", "paused") {
		return pausedRollout()
	}
	if !isObserved(obj) {
		return notObserved()
	}
	if moving := find(conditionsOf(obj), "Progressing"); moving.is("False") {
		return degraded(or(moving.Reason, progressDeadlineExceeded), quote(moving.Message))
	}
	want := number(obj, 1, "spec", "replicas")
	target := want
	for _, path := range [][]string{{"partition"}, {"rollingUpdate", "partition"}} {
		target = min(target, max(0, want-number(obj, 0, append([]string{"spec", "updateStrategy"}, path...)...)))
	}
	total := number(obj, 0, "status", "replicas")
	available := number(obj, number(obj, 0, "status", "updatedAvailableReplicas"), "status", "availableReplicas")
	updated := number(obj, number(obj, available, "status", "updatedReadyReplicas"), "status", "updatedReplicas")
	switch {
	case updated < target:
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods run the new revision", updated, target))
	case total > want:
		return progressing("ScalingDown", fmt.Sprintf("pods that are still to end: %d", total-want))
	case available < want:
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods are available", available, want))
	case target < want && updated < want:
		return healthy("Partitioned", fmt.Sprintf("%d of %d pods run the new revision, as its partition asks", updated, want))
	default:
		return rolledOut(want)
	}
}

// kruiseDaemonSet adds to a DaemonSet what OpenKruise's can: to be paused, and to leave nodes at the old revision.
func kruiseDaemonSet(obj *unstructured.Unstructured) Result {
	if flag(obj, "spec", "updateStrategy", "rollingUpdate", "paused") {
		return pausedRollout()
	}
	want := number(obj, 0, "status", "desiredNumberScheduled")
	updated := number(obj, 0, "status", "updatedNumberScheduled")
	partition := number(obj, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	if isObserved(obj) && updated < want && updated >= want-partition && number(obj, 0, "status", "numberAvailable") >= want {
		return healthy("Partitioned", fmt.Sprintf("%d of %d pods run the new revision, as its partition asks", updated, want))
	}
	return daemonSet(obj)
}

// byReplicas judges kinds that only count: as many ready as wanted.
func byReplicas(obj *unstructured.Unstructured) Result {
	if isBehind(obj) {
		return notObserved()
	}
	ready := number(obj, -1, "status", "readyReplicas")
	want := number(obj, 0, "status", "replicas")
	if ready < 0 { // as text, "2/3": OpenTelemetry
		if _, err := fmt.Sscanf(text(obj, "status", "scale", "statusReplicas"), "%d/%d", &ready, &want); err != nil {
			if text(obj, "status", "version") != "" { // a collector that is a sidecar has no pods of its own
				return Result{}
			}
			return unreported()
		}
	}
	if ready < want {
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods are ready", ready, want))
	}
	return rolledOut(want)
}
