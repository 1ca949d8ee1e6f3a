package health

import (
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// waybillKind judges Waybill's own kinds: an Application of Applications is as well as they are.
func waybillKind(kind string) rule {
	switch kind {
	case "Application", "Stage":
		return timeless(nested)
	case "Freight", "Approval", "Freeze", "PromotionTask":
		return silent
	default:
		return nil
	}
}

// nested takes over the health that an object reports of what it deploys.
func nested(obj *unstructured.Unstructured) Result {
	if isBehind(obj) {
		return notObserved()
	}
	message := quote(text(obj, "status", "health", "message"))
	switch status := v1alpha1.HealthStatus(text(obj, "status", "health", "status")); status {
	case v1alpha1.HealthHealthy, v1alpha1.HealthProgressing, v1alpha1.HealthDegraded, v1alpha1.HealthSuspended, v1alpha1.HealthMissing:
		return Result{Status: status, Reason: or(text(obj, "status", "health", "reason"), string(status)), Message: message}
	case v1alpha1.HealthUnknown:
		return Result{Status: status, Reason: "Unknown", Message: or(message, "its health is not known")}
	default:
		return unreported()
	}
}

func argoKind(kind string) rule {
	switch kind {
	case "Rollout":
		return timeless(rollout)
	case "Application":
		return timeless(nested)
	case "ApplicationSet":
		return applicationSet
	case "AnalysisRun", "Experiment", "Workflow":
		return timeless(argoRun)
	case "CronWorkflow":
		return conditionRule{bad: []string{"SubmissionError", "SpecError"}, fine: true}.assess
	case "EventBus", "EventSource", "Sensor":
		return conditionRule{alsoBad: []string{"Deployed", "Configured", "SourcesProvided", "DependenciesProvided", "TriggersProvided"}}.assess
	default: // templates and projects
		return silent
	}
}

// applicationSet is Progressing while it rolls its Applications out step by step.
func applicationSet(obj *unstructured.Unstructured, now time.Time) Result {
	verdict := conditionRule{ready: "ResourcesUpToDate", bad: []string{"ErrorOccurred"}}.assess(obj, now)
	if c := find(conditionsOf(obj), "RolloutProgressing"); c.is("True") && verdict.Status == v1alpha1.HealthHealthy {
		return progressing(or(c.Reason, c.Type), quote(c.Message))
	}
	return verdict
}

// rollout judges an Argo Rollout. Its controller writes observedGeneration as text, and before v1.0 as a hash, which
// says nothing about order.
func rollout(obj *unstructured.Unstructured) Result {
	seen := number(obj, -1, "status", "observedGeneration")
	if n, err := strconv.ParseInt(text(obj, "status", "observedGeneration"), 10, 64); err == nil {
		seen = n
	}
	if seen >= 0 && seen < obj.GetGeneration() {
		return notObserved()
	}
	if wanted := obj.GetAnnotations()["rollout.argoproj.io/workload-generation"]; wanted != "" && text(obj, "status", "workloadObservedGeneration") != wanted {
		return progressing(reasonNotObserved, "its controller has not seen the latest change of its workload yet")
	}
	conditions := conditionsOf(obj)
	if c := find(conditions, "InvalidSpec"); c.is("True") {
		return degraded("InvalidSpec", quote(c.Message))
	}
	message := quote(text(obj, "status", "message"))
	switch text(obj, "status", "phase") {
	case "Healthy":
		return healthy("Healthy", message)
	case "Degraded":
		return degraded(or(abortReason(obj), "Degraded"), message)
	case "Paused":
		return suspended("Paused", or(message, "is paused"))
	case "Progressing":
		if flag(obj, "spec", "paused") {
			return suspended("Paused", "is paused: nothing rolls out until it is resumed")
		}
		return progressing("RollingOut", message)
	}
	progress := find(conditions, "Progressing")
	switch {
	case flag(obj, "status", "abort"), progress.Reason == "RolloutAborted":
		return degraded("RolloutAborted", or(quote(progress.Message), message))
	case progress.is("False") && progress.Reason == progressDeadlineExceeded:
		return degraded(progressDeadlineExceeded, quote(progress.Message))
	case flag(obj, "spec", "paused"), len(list(obj, "status", "pauseConditions")) > 0:
		return suspended("Paused", "is paused")
	case find(conditions, "Healthy").is("True"), find(conditions, "Available").is("True") && (find(conditions, "Completed").is("True") || servesNewest(obj)):
		return healthy("Healthy", "")
	case len(conditions) == 0:
		return unreported()
	default:
		return progressing("RollingOut", quote(progress.Message))
	}
}

// servesNewest says of a Rollout of a version before 1.0, which writes no phase, that all its pods are of the newest
// revision, and that this is the one in use.
func servesNewest(obj *unstructured.Unstructured) bool {
	newest, want := text(obj, "status", "currentPodHash"), number(obj, 1, "spec", "replicas")
	inUse := or(text(obj, "status", "stableRS"), text(obj, "status", "blueGreen", "activeSelector"), text(obj, "status", "canary", "stableRS"))
	return newest != "" && newest == inUse && number(obj, 0, "status", "updatedReplicas") >= want && number(obj, 0, "status", "availableReplicas") >= want
}

func abortReason(obj *unstructured.Unstructured) string {
	if flag(obj, "status", "abort") {
		return "RolloutAborted"
	}
	return ""
}

// argoRun judges what runs to an end: AnalysisRun, Experiment and Workflow.
func argoRun(obj *unstructured.Unstructured) Result {
	message := quote(text(obj, "status", "message"))
	switch phase := text(obj, "status", "phase"); phase {
	case "Successful", "Succeeded":
		return healthy(phase, message)
	case "Failed", "Error":
		return degraded(phase, message)
	case "Inconclusive":
		return Result{Status: v1alpha1.HealthUnknown, Reason: phase, Message: or(message, "its measurements decide nothing; a person has to")}
	default:
		if flag(obj, "spec", "suspend") {
			return suspended("Suspended", "is suspended")
		}
		return progressing(or(phase, reasonNotObserved), message)
	}
}

func certificateKind(kind string) rule {
	switch kind {
	case "Certificate":
		// Issuing comes first: a certificate that is issued for the first time is not ready, and not broken.
		return conditionRule{ready: "Ready", busy: []string{"Issuing"}, grace: startGrace}.assess
	case "Issuer", "ClusterIssuer":
		return conditionRule{ready: "Ready", grace: startGrace}.assess
	case "CertificateRequest":
		return conditionRule{ready: "Ready", moving: []string{"Pending"}, bad: []string{"InvalidRequest", "Denied"}}.assess
	case "Order", "Challenge":
		return timeless(acmeKind)
	default:
		return nil
	}
}

// acmeKind judges by the states of RFC 8555.
func acmeKind(obj *unstructured.Unstructured) Result {
	message := quote(text(obj, "status", "reason"))
	switch state := text(obj, "status", "state"); state {
	case "valid":
		return healthy("Valid", message)
	case "invalid", "expired", "errored":
		return degraded("Invalid", or(message, "its state is "+state))
	default:
		return progressing("Pending", message)
	}
}

// fluxKind judges the kinds of Flux, which say Ready, Reconciling and Stalled as kstatus reads them, and are
// suspended by their spec. A failed reconciliation that is tried again is Degraded all the same.
func fluxKind(obj *unstructured.Unstructured, now time.Time) Result {
	if flag(obj, "spec", "suspend") {
		return suspended("Suspended", "is suspended: its controller leaves it alone")
	}
	if obj.GetKind() == "HelmRepository" && text(obj, "spec", "type") == "oci" {
		return Result{} // only an address: Flux never writes a status of it
	}
	if obj.GetKind() == "Alert" || obj.GetKind() == "Provider" {
		if len(conditionsOf(obj)) == 0 {
			return Result{} // has no status since Flux 2.3
		}
	}
	return conditionRule{
		ready: "Ready", bad: []string{"Stalled"}, grace: startGrace,
		moving: []string{"Progressing", "ProgressingWithRetry", "DependencyNotReady"},
	}.assess(obj, now)
}

// externalSecret judges External Secrets. Its cluster-wide kind said NotReady and PartiallyReady before it had Ready.
func externalSecret(obj *unstructured.Unstructured, now time.Time) Result {
	rule := conditionRule{ready: "Ready", grace: startGrace}
	if find(conditionsOf(obj), "Ready").Type == "" {
		rule.bad = []string{"NotReady", "PartiallyReady"}
	}
	return rule.assess(obj, now)
}

// strimziKind judges the kinds of Strimzi, which say NotReady beside Ready.
func strimziKind(obj *unstructured.Unstructured, now time.Time) Result {
	if obj.GetAnnotations()["strimzi.io/pause-reconciliation"] == "true" || find(conditionsOf(obj), "ReconciliationPaused").is("True") {
		return suspended("ReconciliationPaused", "is paused: its operator leaves it alone")
	}
	r := conditionRule{ready: "Ready", bad: []string{"NotReady"}}
	if c := find(conditionsOf(obj), "NotReady"); c.is("True") && c.Reason == "Creating" {
		r.bad, r.busy = nil, []string{"NotReady"}
	}
	return r.assess(obj, now)
}

// databaseCluster judges the Cluster of CloudNativePG; its other kinds follow the conventions.
func databaseCluster(obj *unstructured.Unstructured, now time.Time) Result {
	switch obj.GetKind() {
	case "Cluster":
		if obj.GetAnnotations()["cnpg.io/hibernation"] == "on" {
			return suspended("Hibernated", "is hibernated")
		}
		if obj.GetAnnotations()["cnpg.io/reconciliationLoop"] == "disabled" {
			return suspended("ReconciliationDisabled", "its operator leaves it alone")
		}
		return conditionRule{ready: "Ready", alsoBad: []string{"ContinuousArchiving"}, grace: operatorGrace}.assess(obj, now)
	case "Database", "Publication", "Subscription":
		return declaredInDatabase(obj)
	case "Backup":
		switch phase := text(obj, "status", "phase"); phase {
		case "completed":
			return healthy("Completed", "")
		case "failed", "walArchivingFailing":
			return degraded("Failed", quote(text(obj, "status", "error")))
		default:
			return progressing("Running", "")
		}
	case "ScheduledBackup":
		return Result{}
	default:
		return byConditions(obj, now)
	}
}

// declaredInDatabase judges what CloudNativePG makes inside a database: it says whether it could.
func declaredInDatabase(obj *unstructured.Unstructured) Result {
	if !isObserved(obj) {
		return notObserved()
	}
	applied, found, err := unstructured.NestedBool(obj.Object, "status", "applied")
	switch {
	case err != nil || !found:
		return unreported()
	case applied:
		return healthy("Applied", "")
	default:
		return degraded("NotApplied", quote(text(obj, "status", "message")))
	}
}

// machineKind judges the kinds of Cluster API: their conditions, and a phase that names a failure for good.
func machineKind(obj *unstructured.Unstructured, now time.Time) Result {
	if flag(obj, "spec", "paused") {
		return suspended("Paused", "is paused: its controllers leave it alone")
	}
	if text(obj, "status", "phase") == "Failed" {
		return degraded(or(text(obj, "status", "failureReason"), "Failed"), quote(text(obj, "status", "failureMessage")))
	}
	if message := text(obj, "status", "failureMessage"); message != "" { // for good, says its contract
		return degraded(or(text(obj, "status", "failureReason"), "Failed"), quote(message))
	}
	switch obj.GetKind() {
	case "ClusterClass", "MachineHealthCheck", "IPAddressClaim", "IPAddress":
		return machineCheck(obj)
	}
	// The first contract says in the condition how bad it is: an error does not pass by itself.
	if c := severeCondition(conditionsOf(obj)); c.Type != "" && !isBehind(obj) {
		return conditionRule{grace: startGrace}.failed(c, now)
	}
	switch phase := text(obj, "status", "phase"); phase {
	case "Pending", "Provisioning", "ScalingUp", "ScalingDown", "Deleting", "Updating":
		return progressing(phase, quote(find(conditionsOf(obj), "Ready").Message))
	case "Running":
		if len(conditionsOf(obj)) == 0 && !isBehind(obj) {
			return healthy(phase, "")
		}
	}
	return byConditions(obj, now)
}

// severeCondition returns the first False condition with the severity Error: of Ready, or of a part of it.
func severeCondition(conditions []condition) condition {
	for _, c := range conditions {
		if c.is("False") && c.Severity == "Error" {
			return c
		}
	}
	return condition{}
}

// machineCheck judges by its counts: a MachineHealthCheck whose machines are not all healthy. The other kinds have no
// health.
func machineCheck(obj *unstructured.Unstructured) Result {
	expected := number(obj, -1, "status", "expectedMachines")
	if obj.GetKind() != "MachineHealthCheck" || expected < 0 {
		return Result{}
	}
	if well := number(obj, 0, "status", "currentHealthy"); well < expected {
		return degraded("MachinesUnhealthy", fmt.Sprintf("%d of %d machines are healthy", well, expected))
	}
	return healthy("MachinesHealthy", "")
}

// elasticKind judges the kinds of Elastic Cloud on Kubernetes by phase and colour.
func elasticKind(obj *unstructured.Unstructured) Result {
	if isBehind(obj) {
		return notObserved()
	}
	if phase := text(obj, "status", "phase"); phase == "Invalid" {
		return degraded("Invalid", "its operator does not accept the spec")
	}
	switch text(obj, "status", "health") {
	case "green":
		if phase := text(obj, "status", "phase"); phase != "" && phase != "Ready" {
			return progressing(phase, "")
		}
		if there, want := number(obj, -1, "status", "availableNodes"), nodesWanted(obj); there >= 0 && there < want {
			return progressing("Scaling", fmt.Sprintf("%d of %d nodes are available", there, want))
		}
		return healthy("Green", "")
	case "yellow":
		return progressing("Yellow", "some of it is not available")
	case "red":
		return degraded("Red", "it is not available")
	default:
		return unreported()
	}
}

// nodesWanted counts the nodes that an Elasticsearch is to have; 0 for the other kinds, which have none.
func nodesWanted(obj *unstructured.Unstructured) int64 {
	var want int64
	for _, item := range list(obj, "spec", "nodeSets") {
		if fields, ok := item.(map[string]any); ok {
			want += number(&unstructured.Unstructured{Object: fields}, 0, "count")
		}
	}
	return want
}

func snapshot(obj *unstructured.Unstructured) Result {
	switch {
	case text(obj, "status", "error", "message") != "":
		return degraded("SnapshotFailed", quote(text(obj, "status", "error", "message")))
	case flag(obj, "status", "readyToUse"):
		return healthy("ReadyToUse", "")
	default:
		return progressing("NotReady", "is being made")
	}
}
