package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Project is a pipeline's home. It owns the Namespace of the same name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=wbproj,categories=waybill
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Stages",type=integer,JSONPath=`.status.stages`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a Project names a Namespace: use at most 63 lower-case letters, digits and dashes"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.startsWith('kube-') && self.metadata.name != 'default'",message="a Project may not take over default or a kube- Namespace; choose another name"
type Project struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec ProjectSpec `json:"spec,omitempty"`
	// +optional
	Status ProjectStatus `json:"status,omitempty"`
}

// ProjectSpec says who may do what in the Project and how far its Stages reach.
type ProjectSpec struct {
	// access becomes RoleBindings in the Project's Namespace.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Access []ProjectAccess `json:"access,omitempty"`
	// serviceAccountName is that of Applications that name none: a ServiceAccount
	// of this Namespace in the destination cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// destinations widens where Stages may deploy. Without it: the Namespaces
	// <project> and <project>-* of every cluster, unless one belongs to
	// another Project. kube-* and Waybill's own Namespace are never allowed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Destinations []ProjectDestination `json:"destinations,omitempty"`
	// kinds widens what Stages may deploy. Without it: namespaced kinds and
	// Namespace.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Kinds []ProjectKind `json:"kinds,omitempty"`
	// windows say when promotions may start. Without any: always.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Windows []PromotionWindow `json:"windows,omitempty"`
	// webhookReceivers let Git servers and registries say that something was
	// pushed, so that it is looked at at once. status.webhookReceivers shows
	// where each listens.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	WebhookReceivers []WebhookReceiver `json:"webhookReceivers,omitempty"`
	// allowedHosts are hosts that checks may connect to although their address is
	// private, and by plain http: names without a port. Without it: public
	// addresses, by https.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?$`
	AllowedHosts []string `json:"allowedHosts,omitempty"`
	// notifications tell people and programs what happens. What was before one of
	// them was defined it does not tell.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Notifications []Notification `json:"notifications,omitempty"`
}

// WindowKind says what a window does while it is open.
// +kubebuilder:validation:Enum=Allow;Deny
type WindowKind string

// The kinds. Where a Stage has Allow windows, promotions start only while one of
// them is open; while a Deny window is open, none does.
const (
	WindowAllow WindowKind = "Allow"
	WindowDeny  WindowKind = "Deny"
)

// PromotionWindow is a time that comes again and again.
type PromotionWindow struct {
	// name for people.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// kind: Allow or Deny.
	// +required
	Kind WindowKind `json:"kind"`
	// schedule says when the window opens: a cron expression of five fields,
	// minute hour day-of-month month day-of-week.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^\s*\S+(\s+\S+){4}\s*$`
	Schedule string `json:"schedule"`
	// duration is how long it stays open, at most 31 days.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('744h')",message="duration has to be between 1m and 744h (31 days)"
	Duration metav1.Duration `json:"duration"`
	// timeZone of schedule, by its IANA name: Europe/Berlin.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+/-]*$`
	TimeZone string `json:"timeZone,omitempty"`
	// stages it is for: names, where * matches any run of characters. Empty:
	// every Stage of the Project.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Stages []string `json:"stages,omitempty"`
	// scope: All promotions, or only Automatic ones.
	// +optional
	// +kubebuilder:default=All
	// +kubebuilder:validation:Enum=All;Automatic
	Scope FreezeScope `json:"scope,omitempty"`
	// reason for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// ProjectAccess gives a role to people.
// +kubebuilder:validation:XValidation:rule="has(self.users) || has(self.groups)",message="set users or groups (or both)"
type ProjectAccess struct {
	// role: Viewer reads; Promoter also promotes, rolls back, holds and
	// rejects; Approver reads and approves; Admin does all of that, freezes,
	// bypasses gates and changes definitions.
	// +required
	// +kubebuilder:validation:Enum=Viewer;Promoter;Approver;Admin
	Role string `json:"role"`
	// users by name. A name without prefix is a Waybill user; k8s:NAME is a
	// user of the cluster's own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Users []string `json:"users,omitempty"`
	// groups by name, prefixed as users are.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`
}

// ProjectDestination is an allowed destination; * matches any run of characters.
type ProjectDestination struct {
	// cluster name or pattern; in-cluster is the cluster Waybill runs in.
	// +optional
	// +kubebuilder:default="*"
	// +kubebuilder:validation:MaxLength=253
	Cluster string `json:"cluster,omitempty"`
	// namespace name or pattern.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
}

// ProjectKind is an allowed kind; * matches any.
type ProjectKind struct {
	// group of the kind; empty is the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// kind name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
}

// ProjectStatus is written by the Project controller.
type ProjectStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// stages counts the Stages of the Project.
	// +optional
	Stages int32 `json:"stages,omitempty"`
	// webhookReceivers in the order of the spec.
	// +optional
	// +listType=map
	// +listMapKey=name
	WebhookReceivers []WebhookReceiverStatus `json:"webhookReceivers,omitempty"`
	// notifications of the spec that have sent something, or could not.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Notifications []NotificationStatus `json:"notifications,omitempty"`
}

// ProjectList is a list of Projects.
// +kubebuilder:object:root=true
type ProjectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Project `json:"items"`
}
