package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Freight is one immutable, named set of versions. Its name is the digest of
// its content, so the same artifacts are always the same object.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=freights,singular=freight,scope=Namespaced,shortName=wbfr,categories=waybill
// +kubebuilder:printcolumn:name="Alias",type=string,JSONPath=`.alias`
// +kubebuilder:printcolumn:name="Origin",type=string,JSONPath=`.origin.name`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.images[0].tag`
// +kubebuilder:printcolumn:name="Order",type=integer,JSONPath=`.order`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.origin == oldSelf.origin && self.order == oldSelf.order && has(self.images) == has(oldSelf.images) && (!has(self.images) || self.images == oldSelf.images) && has(self.commits) == has(oldSelf.commits) && (!has(self.commits) || self.commits == oldSelf.commits) && has(self.charts) == has(oldSelf.charts) && (!has(self.charts) || self.charts == oldSelf.charts)",message="Freight is immutable; only its alias may change"
// +kubebuilder:validation:XValidation:rule="has(self.images) || has(self.commits) || has(self.charts)",message="Freight holds at least one image, commit or chart"
type Freight struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// alias is a name for people: amber-heron.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Alias string `json:"alias,omitempty"`
	// origin is the Warehouse that made it.
	// +required
	Origin Origin `json:"origin"`
	// order within the origin: the newest Freight has the highest. Set at
	// creation, never a clock, not part of the name.
	// +required
	// +kubebuilder:validation:Minimum=1
	Order int64 `json:"order"`
	// images in the Freight, at most one per repository.
	// +optional
	// +listType=map
	// +listMapKey=repoURL
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Images []Image `json:"images,omitempty"`
	// commits in the Freight, at most one per repository.
	// +optional
	// +listType=map
	// +listMapKey=repoURL
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Commits []Commit `json:"commits,omitempty"`
	// charts in the Freight, at most one version of each.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Charts []Chart `json:"charts,omitempty"`
	// +optional
	Status FreightStatus `json:"status,omitempty"`
}

// FreightStatus says where the Freight has been.
type FreightStatus struct {
	// stages by name. Each key is written only by the controller of that
	// Stage, with a merge patch of its own key.
	// +optional
	// +kubebuilder:validation:MaxProperties=1024
	Stages map[string]FreightInStage `json:"stages,omitempty"`
	// signatures says of each image that its Warehouse wants signed whether it is.
	// Written only by the Warehouse controller.
	// +optional
	// +listType=map
	// +listMapKey=repoURL
	// +kubebuilder:validation:MaxItems=32
	Signatures []FreightSignature `json:"signatures,omitempty"`
	// metadata that the step set-metadata recorded: names and any values.
	// Expressions read it with freightMetadata(name).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Metadata *runtime.RawExtension `json:"metadata,omitempty"`
}

// FreightSignature is what is known of the signature of one image.
type FreightSignature struct {
	// repoURL of the image.
	// +required
	RepoURL string `json:"repoURL"`
	// wanted stands for who had to have signed it. When the Warehouse asks for
	// another signer, the entry says nothing any more.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Wanted string `json:"wanted"`
	// verifiedAt is when it was found to be signed so; absent when it is not.
	// +optional
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
	// reason it does not count as signed, a CamelCase word: SignatureMissing.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// message says why it does not.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// FreightInStage is the record of one Freight in one Stage.
type FreightInStage struct {
	// enteredAt is when the Freight was last written to the Stage's branch.
	// +optional
	EnteredAt *metav1.Time `json:"enteredAt,omitempty"`
	// leftAt is when other Freight replaced it; absent while it is current.
	// +optional
	LeftAt *metav1.Time `json:"leftAt,omitempty"`
	// verifiedAt is when the Stage last verified it.
	// +optional
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
	// bases that the Stage last verified it with: the commits its promotion read.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Bases []PlanBase `json:"bases,omitempty"`
	// soak: how long it ran healthy since it was verified.
	// +optional
	Soak Soak `json:"soak,omitempty"`
}

// Soak is time spent current and Healthy since verification. Progressing and
// Unknown pause it, Degraded starts it anew. The longest uninterrupted stretch
// counts, so leaving the Stage does not take earned soak away.
type Soak struct {
	// accumulated before runningSince.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	Accumulated metav1.Duration `json:"accumulated,omitempty"`
	// longest completed stretch.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	Longest metav1.Duration `json:"longest,omitempty"`
	// runningSince is set while the clock runs.
	// +optional
	RunningSince *metav1.Time `json:"runningSince,omitempty"`
}

// FreightList is a list of Freight.
// +kubebuilder:object:root=true
type FreightList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freight `json:"items"`
}
