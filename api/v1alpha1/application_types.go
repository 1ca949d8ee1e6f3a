package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Application is one unit of reconciliation: a path of a Git repository kept
// equal to a namespace of a cluster. A Stage makes its own.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=wbapp,categories=waybill
// +kubebuilder:printcolumn:name="Sync",type=string,JSONPath=`.status.sync.status`
// +kubebuilder:printcolumn:name="Health",type=string,JSONPath=`.status.health.status`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.sync.revision`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ApplicationSpec `json:"spec"`
	// +optional
	Status ApplicationStatus `json:"status,omitempty"`
}

// ApplicationSpec says what runs where.
type ApplicationSpec struct {
	// +required
	Source ApplicationSource `json:"source"`
	// +required
	Destination Destination `json:"destination"`
	// +optional
	SyncPolicy SyncPolicy `json:"syncPolicy,omitempty"`
	// driftPolicy: heal, report or off. Default: heal when
	// syncPolicy.automated.selfHeal, else report.
	// +optional
	DriftPolicy DriftPolicy `json:"driftPolicy,omitempty"`
	// additions made by hand to applied objects (a sidecar, a label): heal
	// removes those of human tools, report shows them, ignore leaves them.
	// +optional
	// +kubebuilder:validation:Enum=heal;report;ignore
	// +kubebuilder:default=heal
	Additions string `json:"additions,omitempty"`
	// suspend stops syncing and healing; health is still observed.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
	// deletionPolicy: Orphan leaves the objects when the Application is
	// deleted, Delete removes them first.
	// +optional
	// +kubebuilder:validation:Enum=Orphan;Delete
	// +kubebuilder:default=Delete
	DeletionPolicy string `json:"deletionPolicy,omitempty"`
}

// ApplicationSource is a path of a Git repository.
type ApplicationSource struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^(https?://[^@\s]+|ssh://([^@:/\s]+@)?[^@\s]+|[^@:/\s]+@[^@:/\s]+:[^@\s]+)$`
	RepoURL string `json:"repoURL"`
	// targetRevision is a branch; the default branch when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=244
	TargetRevision string `json:"targetRevision,omitempty"`
	// path of the folder to render; . is the root.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path is relative to the root of the repository and may not leave it"
	Path string `json:"path"`
	// +optional
	Directory *DirectoryOptions `json:"directory,omitempty"`
}

// DirectoryOptions select files of a folder of plain YAML.
type DirectoryOptions struct {
	// recurse into sub-folders.
	// +optional
	Recurse bool `json:"recurse,omitempty"`
	// include only files that match this glob.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Include string `json:"include,omitempty"`
	// exclude files that match this glob.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Exclude string `json:"exclude,omitempty"`
}

// Destination is a namespace of a cluster.
type Destination struct {
	// cluster: in-cluster is the one Waybill runs in.
	// +optional
	// +kubebuilder:default=in-cluster
	// +kubebuilder:validation:MaxLength=253
	Cluster string `json:"cluster,omitempty"`
	// namespace for objects that name none.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
}

// Marks that the reconciler understands or leaves.
const (
	// LabelNamespaceOf names the Project a Namespace was created for by the
	// sync option CreateNamespace.
	LabelNamespaceOf = "waybill.dev/namespace-of"
	// AnnotationConfirmPrune on an Application agrees to the deletions of one
	// revision, whose commit is its value: what the prune guard waits for.
	AnnotationConfirmPrune = "waybill.dev/confirm-prune"
	// FinalizerResources holds a deleted Application until what it applied is
	// deleted or left behind, as spec.deletionPolicy says.
	FinalizerResources = "waybill.dev/resources"
)

// InCluster is the name of the cluster Waybill runs in.
const InCluster = "in-cluster"

// SyncPolicy says when and how to sync. Names and meaning as in Argo CD.
type SyncPolicy struct {
	// automated syncs a new revision by itself. A Stage's Application is
	// always automated: the promotion is the decision.
	// +optional
	Automated *AutomatedSync `json:"automated,omitempty"`
	// syncOptions as NAME=VALUE.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=CreateNamespace=true;CreateNamespace=false;PruneLast=true;PruneLast=false
	SyncOptions []string `json:"syncOptions,omitempty"`
}

// AutomatedSync is the automatic part of a SyncPolicy.
type AutomatedSync struct {
	// prune deletes objects that left the source.
	// +optional
	Prune bool `json:"prune,omitempty"`
	// selfHeal takes back changes made in the cluster.
	// +optional
	SelfHeal bool `json:"selfHeal,omitempty"`
	// allowEmpty lets a source that renders nothing delete everything.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`
}

// SyncStatusCode compares Git with the cluster.
// +kubebuilder:validation:Enum=Synced;OutOfSync;Syncing;Unknown
type SyncStatusCode string

// The sync states.
const (
	SyncSynced    SyncStatusCode = "Synced"
	SyncOutOfSync SyncStatusCode = "OutOfSync"
	SyncSyncing   SyncStatusCode = "Syncing"
	SyncUnknown   SyncStatusCode = "Unknown"
)

// ApplicationStatus is written by the Application controller.
type ApplicationStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// lastHandledRequest echoes the annotation waybill.dev/requested-at.
	// +optional
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`
	// +optional
	Sync SyncStatus `json:"sync,omitempty"`
	// health of all objects together, computed after the last sync.
	// +optional
	Health *Health `json:"health,omitempty"`
	// inventory of what was applied or is about to be, written before apply.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Inventory []InventoryEntry `json:"inventory,omitempty"`
	// objects with an error or not Healthy, worst first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Objects []ObjectStatus `json:"objects,omitempty"`
	// drifts: the last 20, newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Drifts []Drift `json:"drifts,omitempty"`
	// drifting says that live differs from Git and is not being healed.
	// +optional
	Drifting bool `json:"drifting,omitempty"`
}

// SyncStatus says which revision runs.
type SyncStatus struct {
	// +optional
	Status SyncStatusCode `json:"status,omitempty"`
	// revision (commit) whose every object was applied last.
	// +optional
	Revision string `json:"revision,omitempty"`
	// tree hash of the path at that revision.
	// +optional
	Tree string `json:"tree,omitempty"`
	// target is the commit at the head of the branch as last seen.
	// +optional
	Target string `json:"target,omitempty"`
	// syncedAt is when the last object of the revision was applied.
	// +optional
	SyncedAt *metav1.MicroTime `json:"syncedAt,omitempty"`
	// message names the first error.
	// +optional
	Message string `json:"message,omitempty"`
}

// InventoryEntry is one object under management.
type InventoryEntry struct {
	// +optional
	Group   string `json:"group,omitempty"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// uid of the object; empty while the entry is only an intent.
	// +optional
	UID string `json:"uid,omitempty"`
	// hash of what was applied.
	// +optional
	Hash string `json:"hash,omitempty"`
	// fingerprint of our field ownership in the server's answer.
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
}

// ObjectStatus is the state of one object that needs a look.
type ObjectStatus struct {
	// +optional
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// +optional
	Health HealthStatus `json:"health,omitempty"`
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
}

// Drift is one change of a managed object by somebody else.
type Drift struct {
	// +optional
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// field that differs; empty when the object was deleted.
	// +optional
	Field string `json:"field,omitempty"`
	// want is the value in Git, masked for Secrets.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Want string `json:"want,omitempty"`
	// got is the value found, masked for Secrets.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Got string `json:"got,omitempty"`
	// manager that made the change, as the API server recorded it.
	// +optional
	Manager string `json:"manager,omitempty"`
	// action: Healed, Reported, Contested.
	Action string           `json:"action"`
	At     metav1.MicroTime `json:"at"`
}

// ApplicationList is a list of Applications.
// +kubebuilder:object:root=true
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Application `json:"items"`
}
