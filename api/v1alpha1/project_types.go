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
}

// ProjectList is a list of Projects.
// +kubebuilder:object:root=true
type ProjectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Project `json:"items"`
}
