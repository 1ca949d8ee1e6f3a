package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

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
// +kubebuilder:printcolumn:name="Holder",type=string,JSONPath=`.status.holder.replica`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ApplicationSpec `json:"spec"`
	// operation asks for one sync, as in Argo CD. It is no part of spec, which
	// for an Application of a Stage is the Stage's.
	// +optional
	Operation *SyncRequest `json:"operation,omitempty"`
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

	ReconcileOptions `json:",inline"`

	// dependsOn names Applications of the same Project that have to run what
	// their branch says, and be Healthy, before a new revision of this one is
	// synced.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	DependsOn []string `json:"dependsOn,omitempty"`
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

// ReconcileOptions say how objects are compared, judged and healed. An
// Application and an entry of a Stage's deploy have the same.
type ReconcileOptions struct {
	// ignoreDifferences leaves fields to others: a change of such a field is no
	// drift, and once somebody else has set it, Waybill does not send it any
	// more. Names and meaning as in Argo CD, with RespectIgnoreDifferences.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	IgnoreDifferences []IgnoreDifference `json:"ignoreDifferences,omitempty"`
	// healthChecks judge kinds that Waybill has no rule for, by CEL.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	HealthChecks []HealthCheck `json:"healthChecks,omitempty"`
	// decryption says how files that SOPS encrypted are read. Without it such a file
	// is refused.
	// +optional
	Decryption *Decryption `json:"decryption,omitempty"`
	// serviceAccountName is whom everything is written as: a ServiceAccount of the
	// Project's Namespace in the destination cluster. Empty: the Project's, else
	// Waybill's own account. It needs the server to impersonate accounts, which
	// is off unless the installation switches it on.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// humanGrace is how long a change made with a human tool (kubectl) stays
	// before it is healed. It is recorded at once. Default 0.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	HumanGrace *metav1.Duration `json:"humanGrace,omitempty"`
}

// Decryption names the keys for encrypted files. Names as in Flux.
type Decryption struct {
	// provider: sops.
	// +optional
	// +kubebuilder:validation:Enum=sops
	// +kubebuilder:default=sops
	Provider string `json:"provider,omitempty"`
	// secretRef names a Secret of the Project's Namespace with the label
	// waybill.dev/cred-type: sops. Its keys that end in .agekey hold age
	// identities, those that end in .asc armored OpenPGP private keys without a
	// passphrase.
	// +required
	SecretRef DecryptionSecret `json:"secretRef"`
}

// DecryptionSecret is a Secret of the Project's Namespace.
type DecryptionSecret struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// IgnoreDifference names fields of objects that belong to others. An object is
// meant when group, kind and, if set, namespace and name fit; * fits all.
// +kubebuilder:validation:XValidation:rule="has(self.jsonPointers) || has(self.paths) || has(self.managedFieldsManagers)",message="say which fields: set jsonPointers, paths or managedFieldsManagers"
type IgnoreDifference struct {
	// group of the kind; empty is the core group, * is any.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// kind, or * for any.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// jsonPointers (RFC 6901): /spec/replicas.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^/`
	JSONPointers []string `json:"jsonPointers,omitempty"`
	// paths with list keys: spec.template.spec.containers[name=web].image,
	// metadata.annotations["a/b"], webhooks[*].clientConfig.caBundle.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Paths []string `json:"paths,omitempty"`
	// managedFieldsManagers: every field that one of these field managers
	// owns, for instance kube-controller-manager.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	ManagedFieldsManagers []string `json:"managedFieldsManagers,omitempty"`
}

// HealthCheck judges the objects of one kind by CEL expressions over their
// fields: self is the object; metadata, spec, status and data are its fields.
// The first that is true decides, in the order failed, inProgress, suspended,
// current; none: Progressing. An expression that reads a field that is not
// there yet says Progressing as well.
type HealthCheck struct {
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// current is true of a Healthy object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Current string `json:"current"`
	// failed is true of a Degraded object.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Failed string `json:"failed,omitempty"`
	// inProgress is true of a Progressing object.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	InProgress string `json:"inProgress,omitempty"`
	// suspended is true of an object that was stopped on purpose.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Suspended string `json:"suspended,omitempty"`
}

// ApplicationSource is a path of a Git repository, or a chart of a Helm
// repository.
//
// +kubebuilder:validation:XValidation:rule="has(self.path) != has(self.chart)",message="set path for a Git repository, or chart for a Helm repository"
// +kubebuilder:validation:XValidation:rule="!has(self.chart) || self.repoURL.matches('^(https?|oci)://')",message="a chart repository begins with https:// or oci://"
// +kubebuilder:validation:XValidation:rule="has(self.chart) || !self.repoURL.startsWith('oci://')",message="an oci:// repository needs chart: the last part of the address goes there"
// +kubebuilder:validation:XValidation:rule="!has(self.chart) || !has(self.kustomize) && !has(self.directory)",message="a chart is rendered by Helm: leave kustomize and directory out"
type ApplicationSource struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^((https?|oci)://[^@\s]+|ssh://([^@:/\s]+@)?[^@\s]+|[^@:/\s]+@[^@:/\s]+:[^@\s]+)$`
	RepoURL string `json:"repoURL"`
	// targetRevision is a branch, the default branch when empty; of a chart it is
	// a version or a range such as ^1.2.0, the newest release when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=244
	TargetRevision string `json:"targetRevision,omitempty"`
	// path of the folder to render; . is the root.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path is relative to the root of the repository and may not leave it"
	Path string `json:"path,omitempty"`
	// chart of the Helm repository at repoURL.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`
	Chart string `json:"chart,omitempty"`
	// +optional
	Directory *DirectoryOptions `json:"directory,omitempty"`
	// kustomize changes what the kustomization of the path renders.
	// +optional
	Kustomize *KustomizeOptions `json:"kustomize,omitempty"`
	// helm says how the chart of the path is rendered.
	// +optional
	Helm *HelmOptions `json:"helm,omitempty"`
}

// KustomizeOptions are what Argo CD lets an Application add to a kustomization.
type KustomizeOptions struct {
	// +optional
	// +kubebuilder:validation:MaxLength=63
	NamePrefix string `json:"namePrefix,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	NameSuffix string `json:"nameSuffix,omitempty"`
	// namespace of every namespaced object.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// images as [OLD=]NEW[:TAG][@DIGEST].
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Images []string `json:"images,omitempty"`
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Replicas []KustomizeReplicas `json:"replicas,omitempty"`
	// commonLabels of every object, its selectors and templates included unless
	// labelWithoutSelector.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	CommonLabels map[string]string `json:"commonLabels,omitempty"`
	// labelWithoutSelector leaves selectors and templates as they are.
	// +optional
	LabelWithoutSelector bool `json:"labelWithoutSelector,omitempty"`
	// labelIncludeTemplates labels templates, with labelWithoutSelector.
	// +optional
	LabelIncludeTemplates bool `json:"labelIncludeTemplates,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	CommonAnnotations map[string]string `json:"commonAnnotations,omitempty"`
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Patches []KustomizePatch `json:"patches,omitempty"`
	// components by their folders, relative to path.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Components []string `json:"components,omitempty"`
	// ignoreMissingComponents leaves out components whose folder does not exist.
	// +optional
	IgnoreMissingComponents bool `json:"ignoreMissingComponents,omitempty"`
}

// KustomizeReplicas sets the number of replicas of a workload.
type KustomizeReplicas struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +required
	// +kubebuilder:validation:Minimum=0
	Count int32 `json:"count"`
}

// KustomizePatch is one patch: a file or a text.
// +kubebuilder:validation:XValidation:rule="has(self.path) != has(self.patch)",message="set path or patch, not both"
type KustomizePatch struct {
	// path of a file, relative to the path of the source.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Patch string `json:"patch,omitempty"`
	// +optional
	Target *KustomizeTarget `json:"target,omitempty"`
	// options: allowNameChange, allowKindChange.
	// +optional
	// +kubebuilder:validation:MaxProperties=4
	Options map[string]bool `json:"options,omitempty"`
}

// KustomizeTarget selects what a patch changes.
type KustomizeTarget struct {
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	LabelSelector string `json:"labelSelector,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	AnnotationSelector string `json:"annotationSelector,omitempty"`
}

// HelmOptions say how a chart is rendered. Later values win: the chart's own,
// valueFiles, values, valuesObject, parameters.
type HelmOptions struct {
	// releaseName; the Application's name when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=53
	ReleaseName string `json:"releaseName,omitempty"`
	// namespace that .Release.Namespace says; the destination's when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// valueFiles of the repository, relative to the chart's folder; a leading
	// slash is the root of the repository.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	ValueFiles []string `json:"valueFiles,omitempty"`
	// ignoreMissingValueFiles leaves out files that do not exist.
	// +optional
	IgnoreMissingValueFiles bool `json:"ignoreMissingValueFiles,omitempty"`
	// values as YAML.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Values string `json:"values,omitempty"`
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	ValuesObject *runtime.RawExtension `json:"valuesObject,omitempty"`
	// parameters as helm --set takes them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Parameters []HelmParameter `json:"parameters,omitempty"`
	// +optional
	SkipCrds bool `json:"skipCrds,omitempty"`
	// +optional
	SkipSchemaValidation bool `json:"skipSchemaValidation,omitempty"`
	// kubeVersion that .Capabilities says; that of the library when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KubeVersion string `json:"kubeVersion,omitempty"`
	// apiVersions that .Capabilities has beside its own.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=253
	APIVersions []string `json:"apiVersions,omitempty"`
}

// HelmParameter is one value by its path.
type HelmParameter struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
	// forceString keeps 7 and true texts.
	// +optional
	ForceString bool `json:"forceString,omitempty"`
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
	// AnnotationHookRun on the object of a hook names the sync it was made by.
	AnnotationHookRun = "waybill.dev/hook-run"
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
	// syncOptions as NAME=VALUE, as in Argo CD: CreateNamespace, PruneLast,
	// PrunePropagationPolicy, Prune, Delete, Replace, Force, Validate, and those
	// that are always so: ServerSideApply, ApplyOutOfSyncOnly,
	// RespectIgnoreDifferences, FailOnSharedResource,
	// SkipDryRunOnMissingResource. Objects can set theirs in the annotation
	// waybill.dev/sync-options.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^((CreateNamespace|PruneLast|Delete|Replace|Force|Validate)=(true|false)|Prune=(true|false|confirm)|PrunePropagationPolicy=(foreground|background|orphan)|(ServerSideApply|ApplyOutOfSyncOnly|RespectIgnoreDifferences|FailOnSharedResource|SkipDryRunOnMissingResource)=true)$`
	SyncOptions []string `json:"syncOptions,omitempty"`
	// retry bounds how often an object that cannot be applied is tried again.
	// Without it there is no end, at growing pauses of up to three minutes.
	// +optional
	Retry *RetryPolicy `json:"retry,omitempty"`
	// managedNamespaceMetadata is set on the namespace that CreateNamespace
	// makes.
	// +optional
	ManagedNamespaceMetadata *NamespaceMetadata `json:"managedNamespaceMetadata,omitempty"`
}

// RetryPolicy bounds how often an object is tried again for one revision.
type RetryPolicy struct {
	// limit of tries after the first; negative is no limit.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Maximum=1000
	Limit *int32 `json:"limit,omitempty"`
	// +optional
	Backoff *RetryBackoff `json:"backoff,omitempty"`
}

// RetryBackoff is the pause between tries.
type RetryBackoff struct {
	// duration of the first pause.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	Duration *metav1.Duration `json:"duration,omitempty"`
	// factor by which each pause is longer than the one before.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Factor int32 `json:"factor,omitempty"`
	// maxDuration of a pause.
	// +optional
	// +kubebuilder:default="3m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
}

// NamespaceMetadata are labels and annotations of a namespace.
type NamespaceMetadata struct {
	// labels; those that say what its Pods are held to, and Waybill's own, are
	// not set here.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('pod-security.kubernetes.io/') && !k.startsWith('waybill.dev/'))",message="pod-security.kubernetes.io and waybill.dev labels are not set here; an administrator of the cluster sets them on the namespace"
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('waybill.dev/'))",message="waybill.dev annotations are not set here"
	Annotations map[string]string `json:"annotations,omitempty"`
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
	// nonConvergent are fields that the API server, or an admission webhook or
	// policy, changed in the very request that applied them: they will never be
	// as Git says.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	NonConvergent []FieldDifference `json:"nonConvergent,omitempty"`
	// operation is the sync that runs or ran last, of a source with hooks.
	// +optional
	Operation *Operation `json:"operation,omitempty"`
	// lastSync is how the last requested sync went.
	// +optional
	LastSync *SyncResult `json:"lastSync,omitempty"`
	// drifting says that live differs from Git and is not being healed.
	// +optional
	Drifting bool `json:"drifting,omitempty"`
	// holder is the replica that works on this Application, where replicas share
	// them (waybilld --shard). Nobody else works on it.
	// +optional
	Holder *Holder `json:"holder,omitempty"`
}

// Holder is one replica, from the time it could count on its Lease until it had to
// stop.
type Holder struct {
	// replica is its id, as in the name of its Lease.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Replica string `json:"replica"`
	// epoch is 1 at first, and one more whenever it could not renew its Lease in time
	// and began anew.
	// +kubebuilder:validation:Minimum=1
	Epoch int64 `json:"epoch"`
}

// SyncStatus says which revision runs.
type SyncStatus struct {
	// +optional
	Status SyncStatusCode `json:"status,omitempty"`
	// revision whose every object was applied last: a commit, or the version of
	// a chart.
	// +optional
	Revision string `json:"revision,omitempty"`
	// tree hash of the path at that revision, or the digest of the chart.
	// +optional
	Tree string `json:"tree,omitempty"`
	// deleteHooks says that the revision has PreDelete or PostDelete hooks.
	// +optional
	DeleteHooks bool `json:"deleteHooks,omitempty"`
	// target is the commit at the head of the branch as last seen, or the newest
	// version of the chart that targetRevision allows.
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
	// action: Healed, Reported, Contested; Announced: it is healed when
	// humanGrace is over; Paused: when the pause of healing is.
	Action string           `json:"action"`
	At     metav1.MicroTime `json:"at"`
}

// Actions of a Drift: what became of it.
const (
	// DriftHealed was taken back.
	DriftHealed = "Healed"
	// DriftReported is left alone, by policy.
	DriftReported = "Reported"
	// DriftAnnounced is healed when humanGrace is over, DriftPaused when the pause of
	// healing is.
	DriftAnnounced = "Announced"
	DriftPaused    = "Paused"
	// DriftContested comes again and again.
	DriftContested = "Contested"
)

// FieldDifference is one field of one object that is not as Git says.
type FieldDifference struct {
	// +optional
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// field as in drifts.
	Field string `json:"field"`
	// want is the value in Git, masked for Secrets.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Want string `json:"want,omitempty"`
	// got is the API server's answer, masked for Secrets.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Got string `json:"got,omitempty"`
}

// OperationPhase is how far a sync with hooks is.
// +kubebuilder:validation:Enum=Running;Succeeded;Failed
type OperationPhase string

// The phases of an operation, and of a hook.
const (
	OperationRunning   OperationPhase = "Running"
	OperationSucceeded OperationPhase = "Succeeded"
	OperationFailed    OperationPhase = "Failed"
)

// Operation is one sync of a source with hooks. It is written before the first
// hook is created, so that after a crash no hook runs twice.
type Operation struct {
	// id of the sync; the hooks it made carry it in waybill.dev/hook-run.
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id"`
	// revision that is synced.
	// +kubebuilder:validation:MaxLength=64
	Revision string         `json:"revision"`
	Phase    OperationPhase `json:"phase"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message   string           `json:"message,omitempty"`
	StartedAt metav1.MicroTime `json:"startedAt"`
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
	// hooks that were begun, in that order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Hooks []HookStatus `json:"hooks,omitempty"`
}

// HookStatus is one hook of an operation.
type HookStatus struct {
	// +optional
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// hook is the phase it belongs to: PreSync, Sync, PostSync, SyncFail,
	// PreDelete or PostDelete.
	Hook string `json:"hook"`
	// uid of its object; empty while its creation is only an intent.
	// +optional
	UID   string         `json:"uid,omitempty"`
	Phase OperationPhase `json:"phase"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// ApplicationList is a list of Applications.
// +kubebuilder:object:root=true
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Application `json:"items"`
}
