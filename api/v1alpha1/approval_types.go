package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Approval is one person's decision about one Promotion, for the plan that the
// person saw. Deleting it revokes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=wbappr,categories=waybill
// +kubebuilder:printcolumn:name="Promotion",type=string,JSONPath=`.spec.promotion`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="Actor",type=string,JSONPath=`.spec.actor`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",message="an Approval is immutable; delete it and decide again"
type Approval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ApprovalSpec `json:"spec"`
}

// ApprovalDecision says what somebody decided.
// +kubebuilder:validation:Enum=Approve;Reject
type ApprovalDecision string

// The decisions.
const (
	DecisionApprove ApprovalDecision = "Approve"
	DecisionReject  ApprovalDecision = "Reject"
)

// ApprovalSpec is the decision, with who made it and what it is about.
// +kubebuilder:validation:XValidation:rule="self.promotion.startsWith(self.stage + '.')",message="promotion has to be one into stage: <stage>.<number>.<freight>"
// +kubebuilder:validation:XValidation:rule="self.decision != 'Reject' || (has(self.reason) && size(self.reason) > 0)",message="a rejection needs a reason"
type ApprovalSpec struct {
	// stage of the Promotion; admission asks for the verb approve on it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Stage string `json:"stage"`
	// promotion that is decided about.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Promotion string `json:"promotion"`
	// step that waits for it, for a wait-for-approval of the Stage's
	// promotionTemplate; absent: the start of the Promotion.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Step string `json:"step,omitempty"`
	// planHash is status.plan.hash of the Promotion as the person saw it. The
	// decision counts for no other plan.
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[a-f0-9]{64}$`
	PlanHash string `json:"planHash"`
	// actor is the user who decides; admission refuses anybody else's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Actor string `json:"actor"`
	// groups of the actor that the decision is made with; admission refuses
	// those the actor is not in.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`
	// decision: Approve or Reject. A Reject ends the Promotion.
	// +optional
	// +kubebuilder:default=Approve
	Decision ApprovalDecision `json:"decision,omitempty"`
	// reason for people; a Reject needs one.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// until it counts, when that is earlier than the Stage's
	// approval.expireAfter.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// ApprovalList is a list of Approvals.
// +kubebuilder:object:root=true
type ApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Approval `json:"items"`
}
