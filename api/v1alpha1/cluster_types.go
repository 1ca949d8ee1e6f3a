package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Cluster is a destination beside the one Waybill runs in, which exists by
// itself as in-cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=wbcl,categories=waybill
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.status.server`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name != 'in-cluster'",message="in-cluster is the cluster Waybill runs in; choose another name"
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ClusterSpec `json:"spec"`
	// +optional
	Status ClusterStatus `json:"status,omitempty"`
}

// ClusterSpec says how the cluster is reached.
type ClusterSpec struct {
	// secretRef names the Secret with the kubeconfig.
	// +required
	SecretRef ClusterSecret `json:"secretRef"`
}

// ClusterSecret is a Secret in Waybill's own Namespace, labelled
// waybill.dev/cred-type: cluster, whose key kubeconfig holds a server, its CA, and
// a token or a client certificate. Programs, plugins, files and passwords in it are
// refused.
type ClusterSecret struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ClusterStatus is written by the Cluster controller.
type ClusterStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// lastHandledRequest echoes the annotation waybill.dev/requested-at, which
	// asks for a test of the connection.
	// +optional
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`
	// server is the address of the API server.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Server string `json:"server,omitempty"`
	// version of the API server.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
	// checkedAt is when the connection was tested last.
	// +optional
	CheckedAt *metav1.MicroTime `json:"checkedAt,omitempty"`
}

// ClusterList is a list of Clusters.
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}
