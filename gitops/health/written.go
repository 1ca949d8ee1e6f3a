package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Rules of operators that one word or one condition is not enough for.

// cephCluster is Degraded when Ceph says HEALTH_ERR. A warning, which Ceph gives for a clock that is off as for a lost
// disk, is for a person to read: it serves.
func cephCluster(obj *unstructured.Unstructured) Result {
	message := quote(text(obj, "status", "message"))
	if text(obj, "status", "state") == "Error" {
		return degraded("Error", message)
	}
	switch state := text(obj, "status", "ceph", "health"); state {
	case "HEALTH_OK":
		return healthy("HealthOK", message)
	case "HEALTH_WARN":
		return healthy("HealthWarning", or(message, "Ceph warns"))
	case "HEALTH_ERR":
		return degraded("HealthError", message)
	default:
		return progressing(or(text(obj, "status", "phase"), reasonNotObserved), message)
	}
}

// virtualMachines are the words of KubeVirt.
var virtualMachines = wordRule{
	at: "printableStatus", healthy: "Running", suspended: "Paused Stopped",
	degraded: "CrashLoopBackOff ErrorUnschedulable ErrImagePull ImagePullBackOff ErrorPvcNotFound DataVolumeError DataVolumeNotFound",
}

// virtualMachine judges a machine of KubeVirt, and its instance. One that is to stand still is Suspended.
func virtualMachine(obj *unstructured.Unstructured) Result {
	words := virtualMachines
	if obj.GetKind() == "VirtualMachineInstance" {
		words = wordRule{at: "phase", healthy: "Running", suspended: "Succeeded"}
	}
	if find(conditionsOf(obj), "Paused").is("True") {
		return suspended("Paused", "is paused by a person")
	}
	running, told, err := unstructured.NestedBool(obj.Object, "spec", "running")
	halted := err == nil && told && !running || text(obj, "spec", "runStrategy") == "Halted"
	if halted && text(obj, "status", "printableStatus") == "" {
		return suspended("Stopped", "is stopped, as its spec asks")
	}
	return words.assess(obj)
}

func flinkDeployment(obj *unstructured.Unstructured) Result {
	message := quote(text(obj, "status", "error"))
	job := strings.ToUpper(text(obj, "status", "jobStatus", "state"))
	switch state := text(obj, "status", "jobManagerDeploymentStatus"); {
	case state == "ERROR", job == "FAILED", job == "FAILING":
		return degraded("Failed", message)
	case text(obj, "spec", "job", "state") == "suspended":
		return suspended("Suspended", "its job is suspended")
	case state == "READY" && (job == "" || job == "RUNNING" || job == "FINISHED"):
		return healthy("Ready", message)
	case state == "":
		return unreported()
	default:
		return progressing(camelCase(strings.ToLower(state)), message)
	}
}

// subscription judges the Subscription of the Operator Lifecycle Manager.
func subscription(obj *unstructured.Unstructured) Result {
	conditions := conditionsOf(obj)
	for _, kind := range []string{"ResolutionFailed", "InstallPlanFailed", "BundleUnpackFailed"} {
		if c := find(conditions, kind); c.is("True") {
			return degraded(or(c.Reason, kind), quote(c.Message))
		}
	}
	if c := find(conditions, "InstallPlanPending"); c.is("True") && c.Reason == "RequiresApproval" {
		return suspended("RequiresApproval", "its install plan waits for a person to approve it")
	}
	switch state := text(obj, "status", "state"); {
	case state == "AtLatestKnown":
		return healthy(state, "")
	case state == "UpgradeAvailable", state == "" && text(obj, "status", "installedCSV") != "":
		return healthy("Installed", "")
	case find(conditions, "CatalogSourcesUnhealthy").is("True"):
		return degraded("CatalogSourcesUnhealthy", quote(find(conditions, "CatalogSourcesUnhealthy").Message))
	default:
		return progressing(or(state, reasonNotObserved), "")
	}
}

// openShiftRoute is as well as the worst router that has looked at it.
func openShiftRoute(obj *unstructured.Unstructured) Result {
	verdict := unreported()
	for _, item := range list(obj, "status", "ingress") {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		u := &unstructured.Unstructured{Object: fields}
		switch c := find(conditionsIn(list(u, "conditions")), "Admitted"); {
		case c.is("False"):
			return degraded(or(c.Reason, "NotAdmitted"), text(u, "routerName")+": "+quote(c.Message))
		case c.is("True") && verdict.Reason != "NotAdmitted":
			verdict = healthy("Admitted", "")
		default:
			verdict = progressing("NotAdmitted", text(u, "routerName")+" has not admitted it yet")
		}
	}
	return verdict
}

func kyvernoPolicy(obj *unstructured.Unstructured) Result {
	ready, found, err := unstructured.NestedBool(obj.Object, "status", "conditionStatus", "ready")
	switch {
	case err != nil || !found:
		return unreported()
	case ready:
		return healthy("Ready", "")
	}
	for _, c := range conditionsIn(list(obj, "status", "conditionStatus", "conditions")) {
		if c.is("False") {
			return degraded(or(c.Reason, "Not"+c.Type), quote(c.Message))
		}
	}
	return degraded("NotReady", quote(text(obj, "status", "conditionStatus", "message")))
}

// numaKind judges Numaflow and Numaplane: a phase, and conditions that are all to be True.
func numaKind(obj *unstructured.Unstructured) Result {
	if isBehind(obj) {
		return notObserved()
	}
	message := quote(text(obj, "status", "message"))
	phase := text(obj, "status", "phase")
	if phase == "Failed" {
		return degraded(phase, message)
	}
	if phase == "Paused" || text(obj, "spec", "lifecycle", "desiredPhase") == "Paused" {
		return suspended("Paused", or(message, "is paused"))
	}
	for _, c := range conditionsOf(obj) {
		switch {
		case !c.is("False") || !strings.HasSuffix(c.Type, "Healthy") && !strings.HasSuffix(c.Type, "Succeeded"):
		case c.Reason == "Progressing":
			return progressing("Progressing", quote(c.Message))
		default:
			return degraded(or(c.Reason, "Not"+c.Type), quote(c.Message))
		}
	}
	switch phase {
	case "Running", "Deployed", "Succeeded":
		return healthy(phase, message)
	case "":
		return unreported()
	default:
		return progressing(phase, message)
	}
}

// glooKind judges the kinds of Gloo: every namespace in which it runs writes a state, by name or, before 1.12, one by
// number.
func glooKind(obj *unstructured.Unstructured) Result {
	states := []map[string]any{}
	if found, ok, _ := unstructured.NestedMap(obj.Object, "status", "statuses"); ok {
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if fields, ok := found[name].(map[string]any); ok {
				states = append(states, fields)
			}
		}
	} else if found, ok, _ := unstructured.NestedMap(obj.Object, "status"); ok && found["state"] != nil {
		states = append(states, found)
	}
	verdict := unreported()
	for _, fields := range states {
		u := &unstructured.Unstructured{Object: fields}
		message := quote(text(u, "reason"))
		switch state := or(text(u, "state"), fmt.Sprint(number(u, -1, "state"))); state {
		case "Rejected", "2":
			return degraded("Rejected", message)
		case "Warning", "3": // a part of it does not work
			verdict = degraded("Warning", message)
		case "Accepted", "1":
			if verdict.Status != v1alpha1.HealthDegraded {
				verdict = healthy("Accepted", message)
			}
		}
	}
	return verdict
}

// grafanaKind judges the kinds of the Grafana operator: the instance by its stage, what is put into it by whether it is
// there.
func grafanaKind(obj *unstructured.Unstructured, now time.Time) Result {
	if obj.GetKind() == "Grafana" {
		switch text(obj, "status", "stageStatus") {
		case "":
			return unreported()
		case "failed":
			return degraded("Failed", quote(text(obj, "status", "lastMessage")))
		case "success":
			if stage := text(obj, "status", "stage"); stage == "complete" {
				return healthy("Complete", "")
			}
		}
		return progressing("InProgress", quote(text(obj, "status", "stage")))
	}
	if flag(obj, "status", "NoMatchingInstances") {
		return degraded("NoMatchingInstance", "no Grafana instance is the one it is for")
	}
	verdict := unreported()
	if text(obj, "status", "hash") != "" { // before it had conditions
		verdict = healthy("Applied", "")
	}
	for _, c := range conditionsOf(obj) {
		switch {
		case isStale(c, obj):
			return notObserved()
		case c.is("True") && (strings.HasPrefix(c.Type, "Invalid") || c.Type == "NoMatchingInstance"),
			c.is("False") && strings.HasSuffix(c.Type, "Synchronized"):
			return conditionRule{grace: startGrace}.failed(c, now)
		case c.is("True"):
			verdict = healthy(or(c.Reason, c.Type), quote(c.Message))
		}
	}
	return verdict
}

// confluentConnector is Degraded when one of its tasks has failed: the connector itself goes on running.
func confluentConnector(obj *unstructured.Unstructured) Result {
	if failed := number(obj, 0, "status", "failedTasksCount"); failed > 0 && !isBehind(obj) {
		return degraded("TasksFailed", fmt.Sprintf("tasks that failed: %d", failed))
	}
	return wordRule{at: "connectorState", healthy: "RUNNING"}.assess(obj)
}

// clusterPolicy judges the Policy of Open Cluster Management. One that is for no cluster has nothing to break it.
func clusterPolicy(obj *unstructured.Unstructured) Result {
	switch compliant := text(obj, "status", "compliant"); {
	case flag(obj, "spec", "disabled"):
		return suspended("Disabled", "is switched off by its spec")
	case compliant == "" && len(list(obj, "status", "placement")) > 0:
		return healthy("NoClusters", "no cluster matches it")
	default:
		return wordRule{at: "compliant", healthy: "Compliant", degraded: "NonCompliant"}.assess(obj)
	}
}

// karmadaBinding is as well as what it sent to clusters says there.
func karmadaBinding(obj *unstructured.Unstructured, now time.Time) Result {
	verdict := conditionRule{ready: "FullyApplied", bad: []string{"Failed"}, grace: startGrace}.assess(obj, now)
	if verdict.Status != v1alpha1.HealthHealthy {
		return verdict
	}
	for _, item := range list(obj, "status", "aggregatedStatus") {
		fields, _ := item.(map[string]any)
		u := &unstructured.Unstructured{Object: fields}
		if text(u, "health") == "Unhealthy" {
			return degraded("Unhealthy", "is unhealthy in the cluster "+quote(text(u, "clusterName")))
		}
	}
	return verdict
}

// kserveKind adds to Ready what an InferenceService says of the model it was last told to load: the one before goes on
// serving while that fails.
func kserveKind(obj *unstructured.Unstructured, now time.Time) Result {
	verdict := conditionRule{ready: "Ready", paused: []string{"Stopped"}, stopped: []string{"Stopped"}, grace: operatorGrace}.assess(obj, now)
	if verdict.Status != v1alpha1.HealthHealthy {
		return verdict
	}
	switch state := text(obj, "status", "modelStatus", "transitionStatus"); state {
	case "", "UpToDate":
		return verdict
	case "InProgress":
		return progressing(state, "its model is being loaded")
	default:
		return degraded(camelCase(state), quote(text(obj, "status", "modelStatus", "lastFailureInfo", "message")))
	}
}

// kruiseRollout is Suspended while a step waits for a person, and Degraded when it was switched off half-way.
func kruiseRollout(obj *unstructured.Unstructured) Result {
	waits := text(obj, "status", "canaryStatus", "currentStepState") == "StepPaused" || text(obj, "status", "blueGreenStatus", "currentStepState") == "StepPaused"
	message := quote(text(obj, "status", "message"))
	switch phase := text(obj, "status", "phase"); {
	case isBehind(obj) || !waits:
	case phase == "Progressing":
		return suspended("StepPaused", or(message, "a step waits for a person"))
	case phase == "Disabled":
		return degraded("Disabled", or(message, "was switched off half-way"))
	}
	return wordRule{at: "phase", healthy: "Healthy Initial Disabled", message: "message"}.assess(obj)
}
