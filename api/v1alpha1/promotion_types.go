package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Promotion carries one Freight into one Stage, or takes a Stage back.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=wbpromo,categories=waybill
// +kubebuilder:validation:XValidation:rule="self.metadata.name.startsWith(self.spec.stage + '.') && self.metadata.name.matches('^[a-z0-9-]+[.][0-9]{1,12}[.][a-z0-9]{1,40}$')",message="a Promotion is named <stage>.<number>.<freight>, with a number higher than any before; waybill promote does that"
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.stage`
// +kubebuilder:printcolumn:name="Freight",type=string,JSONPath=`.spec.freight`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.kind`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Promotion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self.stage == oldSelf.stage && self.kind == oldSelf.kind && has(self.freight) == has(oldSelf.freight) && (!has(self.freight) || self.freight == oldSelf.freight) && has(self.to) == has(oldSelf.to) && (!has(self.to) || self.to == oldSelf.to) && has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason) && has(self.bypass) == has(oldSelf.bypass) && (!has(self.bypass) || self.bypass == oldSelf.bypass) && has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy) && has(self.automatic) == has(oldSelf.automatic) && (!has(self.automatic) || self.automatic == oldSelf.automatic) && has(self.retryOf) == has(oldSelf.retryOf) && (!has(self.retryOf) || self.retryOf == oldSelf.retryOf)",message="a Promotion's spec is immutable; create a new Promotion"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.abort) || (has(self.abort) && self.abort == oldSelf.abort)",message="abort is set once"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.verify) || has(self.verify) && (self.verify == oldSelf.verify || self.verify.run > oldSelf.verify.run || self.verify.run == oldSelf.verify.run && oldSelf.verify.action == 'Run' && self.verify.action == 'Abort')",message="verify asks for a later run, or aborts the last one; it does not go back"
	Spec PromotionSpec `json:"spec"`
	// +optional
	Status PromotionStatus `json:"status,omitempty"`
}

// PromotionKind tells a promotion from a rollback.
// +kubebuilder:validation:Enum=Promote;Rollback
type PromotionKind string

// The kinds.
const (
	KindPromote  PromotionKind = "Promote"
	KindRollback PromotionKind = "Rollback"
)

// Gate is the name of a rule that can keep Freight out of a Stage.
type Gate string

// The gates, in the order they are shown. Origin, upstream, soak, base, signature,
// rejected and hold are entry gates (may a Promotion exist), freeze, approval, busy and
// health are start gates (may it leave Pending).
const (
	GateOrigin    Gate = "origin"
	GateUpstream  Gate = "upstream"
	GateSoak      Gate = "soak"
	GateBase      Gate = "base"
	GateSignature Gate = "signature"
	GateRejected  Gate = "rejected"
	GateHold      Gate = "hold"
	GateFreeze    Gate = "freeze"
	GateApproval  Gate = "approval"
	GateBusy      Gate = "busy"
	GateHealth    Gate = "health"
)

// PromotionSpec is only what a person may say; steps and plan are the
// controller's and live in status.
// +kubebuilder:validation:XValidation:rule="self.kind == 'Rollback' || has(self.freight)",message="set freight: the name of the Freight to promote"
// +kubebuilder:validation:XValidation:rule="self.kind == 'Rollback' || !has(self.to)",message="to is for kind Rollback; a promotion names freight"
// +kubebuilder:validation:XValidation:rule="!has(self.bypass) || (has(self.reason) && size(self.reason) > 0)",message="bypass needs a reason"
// +kubebuilder:validation:XValidation:rule="self.kind != 'Rollback' || !has(self.bypass)",message="a rollback passes every gate it may pass by itself; leave bypass out"
// +kubebuilder:validation:XValidation:rule="!has(self.retryOf) || self.retryOf.startsWith(self.stage + '.')",message="retryOf names a Promotion into the same Stage"
type PromotionSpec struct {
	// stage to promote into.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Stage string `json:"stage"`
	// kind: Promote or Rollback.
	// +optional
	// +kubebuilder:default=Promote
	Kind PromotionKind `json:"kind,omitempty"`
	// freight to promote. For a Rollback: the Freight that is taken back;
	// empty means what is current.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Freight string `json:"freight,omitempty"`
	// to names the Freight a Rollback returns to; empty means the last good
	// one before the current.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	To string `json:"to,omitempty"`
	// reason for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// bypass opens these gates; it needs the verb bypass on the Stage.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:Enum=upstream;soak;rejected;freeze;approval
	Bypass []Gate `json:"bypass,omitempty"`
	// requestedBy is the user who created the Promotion; admission refuses
	// anybody else's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	RequestedBy string `json:"requestedBy,omitempty"`
	// automatic marks a Promotion made by the automatic flow or by policy;
	// only waybill itself may set it.
	// +optional
	Automatic bool `json:"automatic,omitempty"`
	// retryOf names the Promotion into the same Stage that this one tries again.
	// It is for the record: all gates apply as to any other Promotion.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	RetryOf string `json:"retryOf,omitempty"`
	// abort stops the Promotion; set once.
	// +optional
	Abort *Abort `json:"abort,omitempty"`
	// verify asks for another run of the Stage's checks, or stops one.
	// +optional
	Verify *VerifyRequest `json:"verify,omitempty"`
}

// Abort stops a Promotion.
type Abort struct {
	// by is the user who aborts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// PromotionPhase is derived from the facts in the status by one function.
// +kubebuilder:validation:Enum=Pending;Running;Syncing;Verifying;Succeeded;Failed;Aborted;Superseded;RolledBack
type PromotionPhase string

// The phases. Pending means that a start gate is closed; Running that steps
// run; Syncing that the commit is pushed and the Stage is not yet Healthy on
// it; Verifying that it is, and its checks run. The rest are ends; RolledBack is an end that follows Succeeded or Failed.
const (
	PhasePending    PromotionPhase = "Pending"
	PhaseRunning    PromotionPhase = "Running"
	PhaseSyncing    PromotionPhase = "Syncing"
	PhaseVerifying  PromotionPhase = "Verifying"
	PhaseSucceeded  PromotionPhase = "Succeeded"
	PhaseFailed     PromotionPhase = "Failed"
	PhaseAborted    PromotionPhase = "Aborted"
	PhaseSuperseded PromotionPhase = "Superseded"
	PhaseRolledBack PromotionPhase = "RolledBack"
)

// IsFinished reports whether the phase is an end.
func (p PromotionPhase) IsFinished() bool {
	switch p {
	case PhaseSucceeded, PhaseFailed, PhaseAborted, PhaseSuperseded, PhaseRolledBack:
		return true
	default:
		return false
	}
}

// PromotionStatus is written by the Promotion controller.
type PromotionStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// +optional
	Phase PromotionPhase `json:"phase,omitempty"`
	// reason is a CamelCase word for the phase: GateClosed, PushRejected.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message in one sentence: what, which input, what next.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
	// gates: the closed ones while Pending or after GateClosed.
	// +optional
	// +listType=atomic
	Gates []GateVerdict `json:"gates,omitempty"`
	// plan is frozen when the Promotion is taken up.
	// +optional
	Plan *PromotionPlan `json:"plan,omitempty"`
	// planAttempts counts consecutive failures to make the plan.
	// +optional
	PlanAttempts int32 `json:"planAttempts,omitempty"`
	// planRetryAt is when the plan is tried again after a failure.
	// +optional
	PlanRetryAt *metav1.MicroTime `json:"planRetryAt,omitempty"`
	// steps and their progress.
	// +optional
	// +listType=atomic
	Steps []StepStatus `json:"steps,omitempty"`
	// commit that the promotion made (or found made) on the Stage's branch; the
	// last one when it writes several.
	// +optional
	Commit *PromotionCommit `json:"commit,omitempty"`
	// commits are all of them when the promotion has written several branches, in
	// the order in which they were pushed; else absent.
	// +optional
	// +listType=map
	// +listMapKey=repoURL
	// +listMapKey=branch
	// +kubebuilder:validation:MaxItems=16
	Commits []PromotionCommit `json:"commits,omitempty"`
	// approvals that it started with.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Approvals []CountedApproval `json:"approvals,omitempty"`
	// startedAt is when it left Pending.
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// pushedAt is when the last step ended.
	// +optional
	PushedAt *metav1.MicroTime `json:"pushedAt,omitempty"`
	// finishedAt is when it ended.
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
	// verification is the last run of the Stage's checks.
	// +optional
	Verification *VerificationStatus `json:"verification,omitempty"`
	// unhealthySince is the start of the present unbroken Degraded.
	// +optional
	UnhealthySince *metav1.MicroTime `json:"unhealthySince,omitempty"`
	// rollback is what taking it back would do.
	// +optional
	Rollback *RollbackRehearsal `json:"rollback,omitempty"`
	// rolledBackBy names the Rollback that took this Promotion back.
	// +optional
	RolledBackBy string `json:"rolledBackBy,omitempty"`
	// supersededBy names the newer automatic Promotion.
	// +optional
	SupersededBy string `json:"supersededBy,omitempty"`
}

// Written returns all commits of the promotion, in the order in which they were
// pushed.
func (s *PromotionStatus) Written() []PromotionCommit {
	switch {
	case len(s.Commits) > 0:
		return s.Commits
	case s.Commit != nil:
		return []PromotionCommit{*s.Commit}
	default:
		return nil
	}
}

// RollbackRehearsal is what taking a Promotion back would do, worked out when it
// succeeded.
type RollbackRehearsal struct {
	// promotion that would be taken back.
	Promotion string `json:"promotion"`
	// isPossible says whether there is something to go back to.
	IsPossible bool `json:"isPossible"`
	// freight that would run again; empty when there is none.
	// +optional
	Freight string `json:"freight,omitempty"`
	// changed, deleted and created count objects.
	// +optional
	Changed int32 `json:"changed,omitempty"`
	// +optional
	Deleted int32 `json:"deleted,omitempty"`
	// +optional
	Created int32 `json:"created,omitempty"`
	// risks are flags of what somebody should look at: deletion,
	// immutable-field, crd, storage, job ...
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Risks []string `json:"risks,omitempty"`
	// summary in one sentence: to 1.26.4: 3 objects change, no immutable field,
	// no CRD, PVC or migration Job.
	// +kubebuilder:validation:MaxLength=1024
	Summary string `json:"summary"`
}

// GateVerdict is one gate's answer for one Freight and one Stage.
type GateVerdict struct {
	Gate Gate `json:"gate"`
	// group: Entry or Start.
	// +kubebuilder:validation:Enum=Entry;Start
	Group string `json:"group"`
	Open  bool   `json:"open"`
	// bypassed says that the gate is closed and the Promotion passes it.
	// +optional
	Bypassed bool `json:"bypassed,omitempty"`
	// reason in one sentence; equal while the facts are equal.
	// +optional
	Reason string `json:"reason,omitempty"`
	// opensAt is the instant it opens by itself.
	// +optional
	OpensAt *metav1.Time `json:"opensAt,omitempty"`
	// opensBy says what opens it: an instant, a person or a CLI line.
	// +optional
	OpensBy string `json:"opensBy,omitempty"`
	// closesAt is the instant an open gate closes by itself.
	// +optional
	ClosesAt *metav1.Time `json:"closesAt,omitempty"`
	// have and need count the approvals; need is absent when none are asked for.
	// +optional
	Have int32 `json:"have,omitempty"`
	// +optional
	Need int32 `json:"need,omitempty"`
	// from names who approved what counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	From []string `json:"from,omitempty"`
}

// CountedApproval is an Approval that a Promotion started with.
type CountedApproval struct {
	// actor who approved.
	Actor string `json:"actor"`
	// at is when.
	At metav1.Time `json:"at"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// PromotionPlan is what the Promotion is going to do, frozen.
type PromotionPlan struct {
	// hash of what the plan does: steps, Freight, and what the Stage's
	// destinations are told before and after. An approval is for one hash. A
	// rollback, and a promotion by a template, have none when nobody waits for it.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Hash string `json:"hash,omitempty"`
	// at is when the plan was made, or last found to be the same still.
	// +optional
	At *metav1.MicroTime `json:"at,omitempty"`
	// stageGeneration the plan was made from.
	StageGeneration int64 `json:"stageGeneration"`
	// collection: the promoted Freight and what is current for other origins.
	// +listType=map
	// +listMapKey=origin
	Collection []StageFreight `json:"collection"`
	// freightAlias is the alias of the Freight when the plan was made.
	// +optional
	FreightAlias string `json:"freightAlias,omitempty"`
	// bases: the commit read of each repository and branch.
	// +optional
	// +listType=map
	// +listMapKey=repoURL
	// +listMapKey=branch
	Bases []PlanBase `json:"bases,omitempty"`
	// steps, frozen. Expressions that need what earlier steps find out, or a
	// secret, are evaluated when the step runs.
	// +listType=atomic
	Steps []PlanStep `json:"steps"`
	// vars of the Stage and its promotionTemplate, in order.
	// +optional
	// +listType=atomic
	Vars []Variable `json:"vars,omitempty"`
	// undoes names the Promotion a Rollback takes back.
	// +optional
	Undoes string `json:"undoes,omitempty"`
	// before is the state the Stage was in.
	// +optional
	Before *StageBefore `json:"before,omitempty"`
	// overwrites lists commits by others on the branch that are replaced.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Overwrites []ForeignCommit `json:"overwrites,omitempty"`
	// accepted lists commits on the branch by which somebody accepted, through
	// Waybill, what was changed in the cluster. They are replaced as well; nobody is
	// waited for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Accepted []AcceptedCommit `json:"accepted,omitempty"`
	// ridingAlong is what comes with it that no upstream Stage has run; absent
	// when nothing does.
	// +optional
	RidingAlong *RidingAlong `json:"ridingAlong,omitempty"`
}

// RidingAlong is what a promotion brings that was not tested upstream: the base
// has changed, in what the Stage renders, since the Freight was verified there.
type RidingAlong struct {
	// stage upstream whose verification it is compared with.
	// +optional
	Stage string `json:"stage,omitempty"`
	// commits of the base since then, newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Commits []RidingCommit `json:"commits,omitempty"`
	// unknown says why nobody can tell.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Unknown string `json:"unknown,omitempty"`
	// verified: the bases of the upstream Stages when this was found out.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Verified []UpstreamBase `json:"verified,omitempty"`
}

// RidingCommit is a commit of a base that was not tested upstream.
type RidingCommit struct {
	RepoURL string `json:"repoURL"`
	Commit  string `json:"commit"`
	Author  string `json:"author"`
	Subject string `json:"subject"`
	// at is when it was committed.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
}

// UpstreamBase is a commit with which a Stage verified a Freight.
type UpstreamBase struct {
	Stage    string `json:"stage"`
	PlanBase `json:",inline"`
}

// PlanBase is a commit that was read.
type PlanBase struct {
	RepoURL string `json:"repoURL"`
	Branch  string `json:"branch"`
	Commit  string `json:"commit"`
}

// PlanStep is one step with its resolved configuration.
type PlanStep struct {
	// uses names the built-in step.
	Uses string `json:"uses"`
	// as names the step within the promotion; that of a task's step begins with
	// the task's: task-1::clone.
	As string `json:"as"`
	// if is the condition under which it runs.
	// +optional
	If string `json:"if,omitempty"`
	// +optional
	ContinueOnError bool `json:"continueOnError,omitempty"`
	// +optional
	Retry *StepRetry `json:"retry,omitempty"`
	// vars of this step, after those of the plan.
	// +optional
	// +listType=atomic
	Vars []Variable `json:"vars,omitempty"`
	// config as the step decodes it, once expressions are evaluated.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Config *runtime.RawExtension `json:"config,omitempty"`
}

// StageBefore is what a rollback by policy compares with.
type StageBefore struct {
	// +optional
	// +listType=map
	// +listMapKey=origin
	Current []StageFreight `json:"current,omitempty"`
	// healthy says whether the Stage was Synced and Healthy.
	Healthy bool `json:"healthy"`
}

// Exchange returns the names of the Freight that a Rollback takes back and of
// what it returns to: as its request names them, else as its plan does. Empty is
// what nobody knows yet, and to for anything but a Rollback.
func (p *Promotion) Exchange() (from, to string) {
	from, to = p.Spec.Freight, p.Spec.To
	if p.Spec.Kind != KindRollback || p.Status.Plan == nil || p.Status.Plan.Before == nil {
		return from, to
	}
	for _, before := range p.Status.Plan.Before.Current {
		for _, after := range p.Status.Plan.Collection {
			if before.Origin != after.Origin || before.Freight == after.Freight || from != "" && from != before.Freight {
				continue
			}
			if to == "" || to == after.Freight {
				return before.Freight, after.Freight
			}
		}
	}
	return from, to
}

// ForeignCommit is a commit on the Stage's branch without a Waybill trailer.
type ForeignCommit struct {
	Commit  string `json:"commit"`
	Author  string `json:"author"`
	Subject string `json:"subject"`
}

// AcceptedCommit is a commit on the Stage's branch that accepts drift.
type AcceptedCommit struct {
	Commit string `json:"commit"`
	// by is who accepted.
	By string `json:"by"`
	// fields as KIND NAMESPACE/NAME FIELD.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Fields []string `json:"fields,omitempty"`
}

// StepState is where a step is.
// +kubebuilder:validation:Enum=Pending;Running;Waiting;Succeeded;Failed;Skipped;Aborted
type StepState string

// The states of a step.
const (
	StepPending   StepState = "Pending"
	StepRunning   StepState = "Running"
	StepWaiting   StepState = "Waiting"
	StepSucceeded StepState = "Succeeded"
	StepFailed    StepState = "Failed"
	StepSkipped   StepState = "Skipped"
	StepAborted   StepState = "Aborted"
)

// StepStatus is the progress of one step.
type StepStatus struct {
	As    string    `json:"as"`
	Uses  string    `json:"uses"`
	State StepState `json:"state"`
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
	// attempts so far.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// reason is a CamelCase word for the message of a step that failed.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// message: a short log of the last attempt.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
	// retryAt is when the step is tried again after an error, or looks again at
	// what it waits for.
	// +optional
	RetryAt *metav1.MicroTime `json:"retryAt,omitempty"`
	// once says that the step has begun something that is not begun twice: when
	// it is done it is not run again.
	// +optional
	Once bool `json:"once,omitempty"`
	// intent is written before an effect outside the cluster.
	// +optional
	Intent *CommitIntent `json:"intent,omitempty"`
	// output for later steps.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Output *runtime.RawExtension `json:"output,omitempty"`
	// log is the end of what the Job of the step wrote, as far as the node gave
	// it.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Log string `json:"log,omitempty"`
}

// CommitIntent is a push that is about to happen. The same intent always makes
// the same commit.
type CommitIntent struct {
	RepoURL string `json:"repoURL"`
	Branch  string `json:"branch"`
	// parent is the head the push expects; empty when the branch is absent.
	// +optional
	Parent string `json:"parent,omitempty"`
	// tree and commit that are pushed.
	Tree   string `json:"tree"`
	Commit string `json:"commit"`
	// date of the commit.
	Date metav1.Time `json:"date"`
	// message with its trailers.
	Message string `json:"message"`
}

// PromotionCommit is where the promotion's commit stands.
type PromotionCommit struct {
	RepoURL string `json:"repoURL"`
	Branch  string `json:"branch"`
	Commit  string `json:"commit"`
	// +optional
	Tree string `json:"tree,omitempty"`
	// parent of the commit; empty for the first of a branch.
	// +optional
	Parent string `json:"parent,omitempty"`
	// unchanged says that the branch already held this content, so that no
	// commit was needed.
	// +optional
	Unchanged bool `json:"unchanged,omitempty"`
}

// PromotionList is a list of Promotions.
// +kubebuilder:object:root=true
type PromotionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Promotion `json:"items"`
}
