package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels and annotations. Their keys never change meaning.
const (
	// LabelProject marks the Namespace of a Project: "true".
	LabelProject = "waybill.dev/project"
	// LabelStage names the Stage an Application or Promotion belongs to.
	LabelStage = "waybill.dev/stage"
	// LabelWarehouse names the Warehouse a Freight comes from.
	LabelWarehouse = "waybill.dev/warehouse"
	// LabelAlias carries the alias of a Freight.
	LabelAlias = "waybill.dev/alias"
	// LabelCredentialType marks a Secret as a credential: git, image or chart; or as
	// that of a webhook receiver: webhook.
	LabelCredentialType = "waybill.dev/cred-type"
	// LabelManagedBy marks every object the reconciler applied; its value is
	// the first 8 hex digits of the SHA-256 of the Application's UID.
	LabelManagedBy = "waybill.dev/managed-by"
	// AnnotationOwner names the owner of an applied object:
	// <cluster>/<namespace>/<application>.
	AnnotationOwner = "waybill.dev/owner"
	// AnnotationSharedWith lists the Projects (comma-separated) that may use a
	// credential Secret in Waybill's own namespace.
	AnnotationSharedWith = "waybill.dev/shared-with"
	// AnnotationRequestedAt asks for a poll or sync; any new value is a new
	// request and is echoed in status.lastHandledRequest.
	AnnotationRequestedAt = "waybill.dev/requested-at"
	// AnnotationHookPrefix begins the annotations of a Warehouse that say when a
	// webhook named the repository of a subscription; each is echoed in the
	// subscription's status.lastHandledHook.
	AnnotationHookPrefix = "hook.waybill.dev/"
	// AnnotationKeepNamespace on a Project keeps its Namespace when the
	// Project is deleted.
	AnnotationKeepNamespace = "waybill.dev/keep-namespace"
)

// PolicyUser is the author of what Waybill does by itself.
const PolicyUser = "waybill:policy"

// Principal returns the name under which Kubernetes knows a user or group that a
// definition names: NAME is one of Waybill's own, k8s:NAME one of the cluster's
// (01-architecture, access).
func Principal(name string) string {
	if own, ok := strings.CutPrefix(name, "k8s:"); ok {
		return own
	}
	return "waybill:" + strings.TrimPrefix(name, "waybill:")
}

// Condition types. Ready is on every kind; Stalled is true while only a person
// can help (no retry before the spec changes).
const (
	ConditionReady   = "Ready"
	ConditionStalled = "Stalled"
)

// HealthStatus is what is known about running software. Unknown is never
// shown as anything else.
// +kubebuilder:validation:Enum=Healthy;Progressing;Degraded;Suspended;Missing;Unknown
type HealthStatus string

// The six words of health.
const (
	HealthHealthy     HealthStatus = "Healthy"
	HealthProgressing HealthStatus = "Progressing"
	HealthDegraded    HealthStatus = "Degraded"
	HealthSuspended   HealthStatus = "Suspended"
	HealthMissing     HealthStatus = "Missing"
	HealthUnknown     HealthStatus = "Unknown"
)

// Health is a health status with its cause in one sentence.
type Health struct {
	// status is one of the six words.
	// +required
	Status HealthStatus `json:"status"`
	// reason is a CamelCase word for programs: CrashLoopBackOff, RolledOut.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// message names the object at fault and what is wrong with it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// since is when the status last changed.
	// +optional
	Since *metav1.MicroTime `json:"since,omitempty"`
}

// Origin names where Freight comes from.
type Origin struct {
	// kind of the origin; Warehouse is the only one.
	// +kubebuilder:validation:Enum=Warehouse
	// +kubebuilder:default=Warehouse
	// +optional
	Kind string `json:"kind,omitempty"`
	// name of the Warehouse in the same Project.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// DriftPolicy says what happens to a change made in the cluster by hand.
// +kubebuilder:validation:Enum=heal;report;off
type DriftPolicy string

// The drift policies.
const (
	DriftHeal   DriftPolicy = "heal"
	DriftReport DriftPolicy = "report"
	DriftOff    DriftPolicy = "off"
)
