package health

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Reasons and defaults of the Deployment controller (k8s.io/kubernetes, pkg/controller/deployment/util).
const (
	progressDeadlineExceeded = "ProgressDeadlineExceeded"
	newReplicaSetAvailable   = "NewReplicaSetAvailable"
	defaultProgressDeadline  = 600 // seconds
)

// pausedRollout is the verdict on a workload that a person has paused.
func pausedRollout() Result {
	return suspended("Paused", "is paused: changes of its pod template do not roll out until it is resumed")
}

func deployment(obj *unstructured.Unstructured, now time.Time) Result {
	if flag(obj, "spec", "paused") {
		return pausedRollout()
	}
	if !isObserved(obj) {
		return notObserved()
	}
	conditions := conditionsOf(obj)
	want := number(obj, 1, "spec", "replicas")
	updated := number(obj, 0, "status", "updatedReplicas")
	available := number(obj, 0, "status", "availableReplicas")
	deadline := number(obj, defaultProgressDeadline, "spec", "progressDeadlineSeconds")

	progress := find(conditions, "Progressing")
	if progress.is("False") && progress.Reason == progressDeadlineExceeded {
		return degraded(progressDeadlineExceeded, fmt.Sprintf("made no progress for %d s: %d of %d pods updated, %d available", deadline, updated, want, available))
	}
	if failure := find(conditions, "ReplicaFailure"); failure.is("True") {
		return degraded(or(failure.Reason, "ReplicaFailure"), "pods cannot be created: "+quote(failure.Message))
	}
	if updated < want {
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods run the new revision", updated, want))
	}
	if old := number(obj, 0, "status", "replicas") - updated; old > 0 {
		return progressing("RollingOut", fmt.Sprintf("pods of the old revision still run: %d", old))
	}
	if available < want {
		message := fmt.Sprintf("%d of %d pods are available", available, want)
		if progress.Reason != newReplicaSetAvailable {
			return progressing("RollingOut", message)
		}
		// The rollout was finished once, so the controller's own deadline no longer runs. The same time without
		// enough available pods is as bad after a rollout as in it.
		result := progressing("Unavailable", message)
		if served := find(conditions, "Available"); served.is("False") && !served.Since.IsZero() {
			result = result.degradedFrom(served.Since.Add(time.Duration(deadline)*time.Second), now, "Unavailable")
		}
		return result
	}
	return rolledOut(want)
}

func rolledOut(want int64) Result {
	if want == 0 {
		return healthy("ScaledToZero", "is scaled to zero")
	}
	return healthy("RolledOut", fmt.Sprintf("%d of %d pods are available", want, want))
}

func replicaSet(obj *unstructured.Unstructured) Result {
	if !isObserved(obj) {
		return notObserved()
	}
	if failure := find(conditionsOf(obj), "ReplicaFailure"); failure.is("True") {
		return degraded(or(failure.Reason, "ReplicaFailure"), "pods cannot be created: "+quote(failure.Message))
	}
	want := number(obj, 1, "spec", "replicas")
	if available := number(obj, 0, "status", "availableReplicas"); available < want {
		return progressing("Unavailable", fmt.Sprintf("%d of %d pods are available", available, want))
	}
	return rolledOut(want)
}

func statefulSet(obj *unstructured.Unstructured) Result {
	if !isObserved(obj) {
		return notObserved()
	}
	want := number(obj, 1, "spec", "replicas")
	ready := number(obj, 0, "status", "readyReplicas")
	updated := number(obj, 0, "status", "updatedReplicas")
	if ready < want {
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods are ready", ready, want))
	}
	if extra := number(obj, 0, "status", "replicas") - want; extra > 0 {
		return progressing("ScalingDown", fmt.Sprintf("pods that are still to end: %d", extra))
	}
	if text(obj, "spec", "updateStrategy", "type") == "OnDelete" {
		if current := text(obj, "status", "currentRevision"); current != "" && current == text(obj, "status", "updateRevision") {
			updated = max(updated, number(obj, 0, "status", "currentReplicas")) // there is no other revision
		}
		return onDelete(updated, want)
	}
	partition := number(obj, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	if target := max(0, want-partition); updated < target {
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods run the new revision", updated, target))
	}
	if number(obj, 0, "spec", "minReadySeconds") > 0 {
		if available := number(obj, 0, "status", "availableReplicas"); available < want {
			return progressing("RollingOut", fmt.Sprintf("%d of %d pods are available", available, want))
		}
	}
	if partition > 0 && updated < want {
		return healthy("Partitioned", fmt.Sprintf("%d of %d pods run the new revision, as partition %d asks", updated, want, partition))
	}
	return rolledOut(want)
}

// onDelete is the verdict on a workload whose pods only a person replaces. Until they are replaced what runs is not
// what the spec says, so it is not Healthy.
func onDelete(updated, want int64) Result {
	if updated < want {
		return suspended("OnDelete", fmt.Sprintf("%d of %d pods run the new revision; the others wait to be deleted by a person", updated, want))
	}
	return rolledOut(want)
}

func daemonSet(obj *unstructured.Unstructured) Result {
	if !isObserved(obj) {
		return notObserved()
	}
	want := number(obj, 0, "status", "desiredNumberScheduled")
	updated := number(obj, 0, "status", "updatedNumberScheduled")
	available := number(obj, 0, "status", "numberAvailable")
	if text(obj, "spec", "updateStrategy", "type") == "OnDelete" {
		if available < want {
			return progressing("RollingOut", fmt.Sprintf("%d of %d pods are available", available, want))
		}
		return onDelete(updated, want)
	}
	if updated < want {
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods run the new revision", updated, want))
	}
	if available < want {
		return progressing("RollingOut", fmt.Sprintf("%d of %d pods are available", available, want))
	}
	if want == 0 {
		return healthy("NoNodes", "no node is to run it")
	}
	return rolledOut(want)
}
