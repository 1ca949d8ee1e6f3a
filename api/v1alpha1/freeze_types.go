package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Freeze is a stop, made by a person or by policy. It is shown as freeze
// (scope All), hold (scope Automatic), healing pause (scope Healing) or rejected
// (freight named).
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=wbfz,categories=waybill
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.stage`
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scope`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.by`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",message="a Freeze is immutable; delete it and create another"
type Freeze struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec FreezeSpec `json:"spec"`
}

// FreezeScope says what a Freeze stops.
// +kubebuilder:validation:Enum=All;Automatic;Healing
type FreezeScope string

// The scopes. The first two stop promotions, the last the healing of drift.
const (
	FreezeAll       FreezeScope = "All"
	FreezeAutomatic FreezeScope = "Automatic"
	FreezeHealing   FreezeScope = "Healing"
)

// FreezeSpec says what is stopped and why.
// +kubebuilder:validation:XValidation:rule="!has(self.scope) || self.scope != 'Healing' || has(self.until) && !has(self.freight)",message="healing is paused until an instant and whatever the freight: set until, and no freight"
type FreezeSpec struct {
	// stage by name, or * for every Stage of the Project.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Stage string `json:"stage"`
	// freight that is rejected; absent stops any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Freight []string `json:"freight,omitempty"`
	// scope: All promotions, or only Automatic ones; Healing: the Applications of
	// the Stage leave changes made in the cluster as they are until the end.
	// +optional
	// +kubebuilder:default=All
	Scope FreezeScope `json:"scope,omitempty"`
	// reason for people.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
	// by is the user who made it; admission refuses anybody else's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by"`
	// until it ends by itself; absent stays until deleted. Scope Healing needs it.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// FreezeList is a list of Freezes.
// +kubebuilder:object:root=true
type FreezeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freeze `json:"items"`
}
