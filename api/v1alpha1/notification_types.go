package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Notification says whom to tell what happens in the Project.
type Notification struct {
	// name for people; what was sent is known by it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// channel is the Secret that says where messages go, as the step send-message
	// names it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Channel string `json:"channel"`
	// events to tell of. Without it: what somebody on call wants to know, which is
	// ApprovalRequested, PromotionFailed, VerificationFailed, RolledBack,
	// StageDegraded, StageHealthy, DriftContested, WarehouseFailing,
	// WarehouseRecovered, ClusterUnreachable and ClusterReachable.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Events []NotificationEvent `json:"events,omitempty"`
	// stages to tell of: names, where * matches any run of characters; then what is
	// of no Stage, such as new Freight, is not told. Without it: everything.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Stages []string `json:"stages,omitempty"`
	// message in place of Waybill's own sentences: text with expressions over
	// event, such as ${{ event.stage }}.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
}

// NotificationEvent is something that people are told of.
// +kubebuilder:validation:Enum=ApprovalRequested;PromotionStarted;PromotionSucceeded;PromotionFailed;PromotionAborted;VerificationFailed;RolledBack;FreightCreated;FreezeCreated;FreezeEnded;StageDegraded;StageHealthy;DriftFound;DriftContested;DriftHealed;WarehouseFailing;WarehouseRecovered;ClusterUnreachable;ClusterReachable
type NotificationEvent string

// The events.
const (
	EventApprovalRequested  NotificationEvent = "ApprovalRequested"
	EventPromotionStarted   NotificationEvent = "PromotionStarted"
	EventPromotionSucceeded NotificationEvent = "PromotionSucceeded"
	// EventPromotionFailed includes those that failed in their verification.
	EventPromotionFailed    NotificationEvent = "PromotionFailed"
	EventPromotionAborted   NotificationEvent = "PromotionAborted"
	EventVerificationFailed NotificationEvent = "VerificationFailed"
	// EventRolledBack: a rollback is done, and the Stage runs what it ran before.
	EventRolledBack     NotificationEvent = "RolledBack"
	EventFreightCreated NotificationEvent = "FreightCreated"
	// EventFreezeCreated and its end: of freezes, holds, rejections and pauses of
	// healing that people made.
	EventFreezeCreated NotificationEvent = "FreezeCreated"
	EventFreezeEnded   NotificationEvent = "FreezeEnded"
	EventStageDegraded NotificationEvent = "StageDegraded"
	EventStageHealthy  NotificationEvent = "StageHealthy"
	// EventDriftFound: somebody changed an object, and it is left so for now.
	EventDriftFound         NotificationEvent = "DriftFound"
	EventDriftContested     NotificationEvent = "DriftContested"
	EventDriftHealed        NotificationEvent = "DriftHealed"
	EventWarehouseFailing   NotificationEvent = "WarehouseFailing"
	EventWarehouseRecovered NotificationEvent = "WarehouseRecovered"
	EventClusterUnreachable NotificationEvent = "ClusterUnreachable"
	EventClusterReachable   NotificationEvent = "ClusterReachable"
)

// NotificationStatus says how telling people goes.
type NotificationStatus struct {
	Name string `json:"name"`
	// lastSentAt is when the other side last took a message, to the minute.
	// +optional
	LastSentAt *metav1.Time `json:"lastSentAt,omitempty"`
	// failure is set while messages cannot be sent, and after one was given up
	// until the next is sent.
	// +optional
	Failure *NotificationFailure `json:"failure,omitempty"`
}

// NotificationFailure says why a message was not sent.
type NotificationFailure struct {
	// reason is a word for programs: ChannelMissing, MessageRefused.
	Reason string `json:"reason"`
	// message in one sentence, without anything of the channel's Secret.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// since is when sending began to fail.
	Since metav1.Time `json:"since"`
	// waiting counts the messages that are tried again.
	// +optional
	Waiting int32 `json:"waiting,omitempty"`
	// givenUp counts the messages that nobody got, since messages last went out.
	// +optional
	GivenUp int32 `json:"givenUp,omitempty"`
}
