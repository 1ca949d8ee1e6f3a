package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PromotionTemplate is the long form: any steps.
type PromotionTemplate struct {
	// +required
	Spec PromotionTemplateSpec `json:"spec"`
}

// PromotionTemplateSpec is what a promotion into the Stage does.
type PromotionTemplateSpec struct {
	// vars for expressions; each may use those before it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Vars []Variable `json:"vars,omitempty"`
	// steps, in order.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Steps []PromotionStep `json:"steps"`
}

// Variable is a name for a value, for expressions: ${{ vars.NAME }}.
type Variable struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	Name string `json:"name"`
	// value; it may hold expressions. In a PromotionTask an empty value is an
	// input that the caller has to set.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
}

// PromotionStep is one step of a template: a built-in step, or a task.
// +kubebuilder:validation:XValidation:rule="has(self.uses) != has(self.task)",message="set uses (a step) or task, one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.task) || (!has(self.config) && !has(self.retry) && !has(self.continueOnError))",message="a task takes vars; config, retry and continueOnError belong to its steps"
type PromotionStep struct {
	// uses names a built-in step: git-clone.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Uses string `json:"uses,omitempty"`
	// task whose steps stand here.
	// +optional
	Task *PromotionTaskReference `json:"task,omitempty"`
	// as is the name under which later steps read the output:
	// ${{ outputs.NAME.commit }}. Default: step-N, counted from 0.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$`
	As string `json:"as,omitempty"`
	// if is a condition; without one the step runs when all before it went well.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	If string `json:"if,omitempty"`
	// continueOnError: a failure of this step does not fail the promotion.
	// +optional
	ContinueOnError *bool `json:"continueOnError,omitempty"`
	// retry says how long and how often the step is tried.
	// +optional
	Retry *StepRetry `json:"retry,omitempty"`
	// vars for this step, or inputs of the task.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Vars []Variable `json:"vars,omitempty"`
	// config of the step; its fields are in docs/reference/steps. Values may
	// hold expressions.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Config *runtime.RawExtension `json:"config,omitempty"`
}

// StepRetry bounds the tries of a step.
type StepRetry struct {
	// timeout after which a step that still waits or is tried again fails;
	// without it there is none.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// errorThreshold is after how many errors in a row the step fails. 0: errors
	// that may go away by themselves (an unreachable server) are tried again
	// until the timeout, or until the promotion is aborted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	ErrorThreshold int32 `json:"errorThreshold,omitempty"`
}

// PromotionTaskReference names a PromotionTask of the Project.
type PromotionTaskReference struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// kind: only PromotionTask.
	// +optional
	// +kubebuilder:validation:Enum=PromotionTask
	Kind string `json:"kind,omitempty"`
}

// PromotionTask is a named list of steps that Stages share.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=wbtask,categories=waybill
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PromotionTask struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self.steps.all(s, !has(s.task))",message="a task does not call tasks; write the steps of the other one here"
	Spec PromotionTemplateSpec `json:"spec"`
}

// PromotionTaskList is a list of PromotionTasks.
// +kubebuilder:object:root=true
type PromotionTaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PromotionTask `json:"items"`
}
