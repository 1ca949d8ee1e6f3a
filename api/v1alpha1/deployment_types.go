package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Deployment is one destination of a Stage; it becomes an Application, or with
// forEach one for each of several.
//
// +kubebuilder:validation:XValidation:rule="!has(self.forEach) || has(self.name) && size(self.name) > 0",message="an entry with forEach needs a name: its Applications are called STAGE-NAME-ITEM"
// +kubebuilder:validation:XValidation:rule="!has(self.forEach) || !has(self.destination.cluster) || self.destination.cluster == 'in-cluster'",message="forEach says the cluster; leave destination.cluster out"
type Deployment struct {
	// name, required when there are several.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// forEach makes an Application for every item of a list, or for every Cluster
	// with some labels. {name} in source.path and in source.helm.valueFiles stands
	// for the name of the item.
	// +optional
	ForEach *ForEach `json:"forEach,omitempty"`
	// destination cluster and namespace.
	// +required
	Destination Destination `json:"destination"`
	// source; repoURL and targetRevision default to the first mechanism's
	// repoURL and writeBranch, or to where the promotionTemplate pushes last.
	// +required
	Source DeploymentSource `json:"source"`
	// +optional
	SyncPolicy SyncPolicy `json:"syncPolicy,omitempty"`
	// driftPolicy: heal, report or off.
	// +optional
	DriftPolicy DriftPolicy `json:"driftPolicy,omitempty"`

	ReconcileOptions `json:",inline"`

	// deletionPolicy says what happens to the objects when the entry or the
	// Stage is removed: Orphan keeps them, Delete removes them.
	// +optional
	// +kubebuilder:validation:Enum=Orphan;Delete
	// +kubebuilder:default=Orphan
	DeletionPolicy string `json:"deletionPolicy,omitempty"`
}

// DeploymentSource is an ApplicationSource whose repository has a default.
type DeploymentSource struct {
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^(https?://[^@\s]+|ssh://([^@:/\s]+@)?[^@\s]+|[^@:/\s]+@[^@:/\s]+:[^@\s]+)$`
	RepoURL string `json:"repoURL,omitempty"`
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
	// kustomize changes what the kustomization of the path renders.
	// +optional
	Kustomize *KustomizeOptions `json:"kustomize,omitempty"`
	// helm says how the chart of the path is rendered.
	// +optional
	Helm *HelmOptions `json:"helm,omitempty"`
}

// ForEach says what one deploy entry stands for.
//
// +kubebuilder:validation:XValidation:rule="has(self.list) != has(self.clusters)",message="give either list or clusters"
type ForEach struct {
	// list of destinations.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	List []ForEachItem `json:"list,omitempty"`
	// clusters: the Clusters with these labels, each called as it is named. One
	// that is added later is deployed to then; in-cluster is never among them.
	// +optional
	Clusters *metav1.LabelSelector `json:"clusters,omitempty"`
}

// ForEachItem is one destination; what it leaves out is as the entry says.
type ForEachItem struct {
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// cluster: a Cluster, or in-cluster.
	// +optional
	// +kubebuilder:default=in-cluster
	// +kubebuilder:validation:MaxLength=253
	Cluster string `json:"cluster,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// path in place of source.path.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.contains('..')",message="path is relative to the root of the repository and may not leave it"
	Path string `json:"path,omitempty"`
}
