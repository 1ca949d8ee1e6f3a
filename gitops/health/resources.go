package health

import (
	"encoding/json"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func service(obj *unstructured.Unstructured) Result {
	if text(obj, "spec", "type") == "LoadBalancer" && len(list(obj, "status", "loadBalancer", "ingress")) == 0 {
		return progressing("NoAddress", "no load balancer address has been assigned yet")
	}
	return healthy("Ready", "")
}

// ingress counts only once it has an address: many controllers never write one, so its absence says nothing.
func ingress(obj *unstructured.Unstructured) Result {
	if len(list(obj, "status", "loadBalancer", "ingress")) == 0 {
		return Result{}
	}
	return healthy("Ready", "has an address")
}

// Annotations the volume controllers set (k8s.io/component-helpers/storage/volume).
const (
	annotationProvisioner  = "volume.kubernetes.io/storage-provisioner"
	annotationSelectedNode = "volume.kubernetes.io/selected-node"
)

func claim(obj *unstructured.Unstructured) Result {
	switch phase := text(obj, "status", "phase"); phase {
	case "Bound":
		return healthy("Bound", "is bound to a volume")
	case "Lost":
		return degraded("Lost", "its volume is gone")
	default: // Pending, or not seen yet
		annotations := obj.GetAnnotations()
		if text(obj, "spec", "volumeName") != "" || annotations[annotationProvisioner] != "" || annotations[annotationSelectedNode] != "" {
			return progressing("Provisioning", "its volume is being prepared")
		}
		// Nobody works on it: the storage class waits for the first pod (WaitForFirstConsumer), or no volume fits. If a
		// pod needs it, that pod says so; if none does, nothing is wrong.
		return Result{}
	}
}

// volume counts once it is provisioned: a released one keeps its data for a person to decide.
func volume(obj *unstructured.Unstructured) Result {
	switch phase := text(obj, "status", "phase"); phase {
	case "Bound", "Available":
		return healthy(phase, "")
	case "Failed":
		return degraded("Failed", "could not be reclaimed: "+quote(text(obj, "status", "message")))
	default:
		return Result{}
	}
}

// signingRequest is Healthy once its certificate is there.
func signingRequest(obj *unstructured.Unstructured) Result {
	conditions := conditionsOf(obj)
	for _, kind := range []string{"Denied", "Failed"} {
		if c := find(conditions, kind); c.is("True") {
			return degraded(or(c.Reason, kind), quote(c.Message))
		}
	}
	if text(obj, "status", "certificate") == "" {
		return progressing("NotIssued", "its certificate has not been issued yet")
	}
	return healthy("Issued", "")
}

func namespace(obj *unstructured.Unstructured) Result {
	if text(obj, "status", "phase") == "Terminating" {
		return progressing("Terminating", "is being deleted")
	}
	return healthy("Active", "")
}

// metricsGrace is how long an autoscaler may be without metrics: those of new pods take minutes to appear.
const metricsGrace = 5 * time.Minute

func autoscaler(obj *unstructured.Unstructured, now time.Time) Result {
	if observed := number(obj, -1, "status", "observedGeneration"); observed >= 0 && observed < obj.GetGeneration() {
		return notObserved()
	}
	conditions := conditionsOf(obj)
	if len(conditions) == 0 { // autoscaling/v1 keeps them in an annotation
		conditions = annotatedConditions(obj)
	}
	if able := find(conditions, "AbleToScale"); able.is("False") && strings.HasPrefix(able.Reason, "Failed") {
		return degraded(able.Reason, "cannot scale: "+quote(able.Message))
	}
	if active := find(conditions, "ScalingActive"); active.is("False") {
		if active.Reason == "ScalingDisabled" {
			return healthy("ScalingDisabled", "is off while its target has no replicas")
		}
		if active.Reason == "InvalidSelector" {
			return degraded(active.Reason, quote(active.Message))
		}
		result := progressing(or(active.Reason, "NoMetrics"), "cannot read its metrics: "+quote(active.Message))
		if !active.Since.IsZero() {
			result = result.degradedFrom(active.Since.Add(metricsGrace), now, result.Reason)
		}
		return result
	}
	if find(conditions, "AbleToScale").is("True") {
		return healthy("Ready", "")
	}
	return progressing(reasonNotObserved, "its controller has not looked at it yet")
}

func annotatedConditions(obj *unstructured.Unstructured) []condition {
	var items []any
	if json.Unmarshal([]byte(obj.GetAnnotations()["autoscaling.alpha.kubernetes.io/conditions"]), &items) != nil {
		return nil
	}
	return conditionsOf(&unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": items}}})
}

func disruptionBudget(obj *unstructured.Unstructured) Result {
	if !isObserved(obj) {
		return notObserved()
	}
	// DisruptionAllowed=False with InsufficientPods is a budget at work, not a fault.
	for _, c := range conditionsOf(obj) {
		if c.is("False") && c.Reason == "SyncFailed" {
			return degraded("SyncFailed", quote(c.Message))
		}
	}
	return healthy("Ready", "")
}

func customResourceDefinition(obj *unstructured.Unstructured) Result {
	conditions := conditionsOf(obj)
	if find(conditions, "Terminating").is("True") {
		return progressing("Terminating", "is being deleted")
	}
	if c := find(conditions, "NamesAccepted"); c.is("False") {
		return degraded(or(c.Reason, "NamesNotAccepted"), "its names are not accepted: "+quote(c.Message))
	}
	if c := find(conditions, "NonStructuralSchema"); c.is("True") {
		return degraded("NonStructuralSchema", quote(c.Message))
	}
	// An unusable bundle of the conversion webhook is told by the reason, True or False.
	if c := find(conditions, "Established"); c.Reason == "InvalidCABundle" {
		return degraded(c.Reason, quote(c.Message))
	}
	if !find(conditions, "Established").is("True") {
		return progressing("NotEstablished", "is not served yet")
	}
	return healthy("Established", "")
}

// apiServiceGrace is how long an aggregated API may be unavailable while the pods behind it start.
const apiServiceGrace = 10 * time.Minute

func apiService(obj *unstructured.Unstructured, now time.Time) Result {
	available := find(conditionsOf(obj), "Available")
	switch {
	case available.is("True"):
		return healthy("Available", "")
	case available.is("False"):
		result := progressing(or(available.Reason, "Unavailable"), "is not available: "+quote(available.Message))
		if !available.Since.IsZero() {
			result = result.degradedFrom(available.Since.Add(apiServiceGrace), now, result.Reason)
		}
		return result
	default:
		return progressing(reasonNotObserved, "nobody has checked it yet")
	}
}
