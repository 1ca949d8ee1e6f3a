package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Stage is one station of the pipeline: what Freight it asks for, how a
// promotion writes it to the Stage's branch, and where it is deployed. A Stage
// with neither promotionMechanisms nor promotionTemplate is a control-flow Stage:
// Freight passes through.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=wbst,categories=waybill
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.current[0].images[0].tag`
// +kubebuilder:printcolumn:name="Health",type=string,JSONPath=`.status.health.status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a Stage's name goes into labels and commit trailers: use at most 63 lower-case letters, digits and dashes"
type Stage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec StageSpec `json:"spec"`
	// +optional
	Status StageStatus `json:"status,omitempty"`
}

// StageSpec is the definition of a Stage.
// +kubebuilder:validation:XValidation:rule="!has(self.autoPromotion) || !has(self.autoPromotion.selectionPolicy) || self.autoPromotion.selectionPolicy != 'MatchUpstream' || self.requestedFreight.all(r, has(r.sources.stages) && size(r.sources.stages) == 1 && !(has(r.sources.direct) && r.sources.direct))",message="selectionPolicy MatchUpstream needs exactly one Stage in sources.stages of each requestedFreight, and no direct"
// +kubebuilder:validation:XValidation:rule="!(has(self.promotionMechanisms) && has(self.promotionTemplate))",message="set promotionMechanisms (the short form) or promotionTemplate, not both"
// +kubebuilder:validation:XValidation:rule="!has(self.deploy) || size(self.deploy) < 2 || self.deploy.all(d, has(d.name) && size(d.name) > 0)",message="several deploy entries need a name each"
// +kubebuilder:validation:XValidation:rule="!has(self.deploy) || size(self.deploy) == 0 || has(self.promotionMechanisms) || has(self.promotionTemplate) || self.deploy.all(d, has(d.source.repoURL))",message="deploy without promotionMechanisms or promotionTemplate needs source.repoURL"
type StageSpec struct {
	// requestedFreight: one entry per Warehouse this Stage takes Freight of.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.origin.name == a.origin.name))",message="each origin may be requested once"
	RequestedFreight []FreightRequest `json:"requestedFreight"`
	// autoPromotion lets Freight move in by itself when every gate is open.
	// +optional
	AutoPromotion AutoPromotion `json:"autoPromotion,omitempty"`
	// promotionMechanisms is what a promotion writes.
	// +optional
	PromotionMechanisms *PromotionMechanisms `json:"promotionMechanisms,omitempty"`
	// promotionTemplate is the long form: any steps.
	// +optional
	PromotionTemplate *PromotionTemplate `json:"promotionTemplate,omitempty"`
	// vars for expressions of the promotionTemplate, before its own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Vars []Variable `json:"vars,omitempty"`
	// deploy: the reconciler keeps each destination equal to the branch.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Deploy []Deployment `json:"deploy,omitempty"`
	// verification proves what a promotion brought.
	// +optional
	Verification *Verification `json:"verification,omitempty"`
	// commitStatus shows beside commits, at the provider of their repository, what
	// becomes of them in this Stage. Absent: nothing is shown.
	// +optional
	CommitStatus *CommitStatusPolicy `json:"commitStatus,omitempty"`
	// approval says who has to agree before a promotion starts.
	// +optional
	Approval *ApprovalPolicy `json:"approval,omitempty"`
	// rollback says what happens when a promotion turns out bad.
	// +optional
	Rollback RollbackPolicy `json:"rollback,omitempty"`
}

// FreightRequest asks for Freight of one origin.
type FreightRequest struct {
	// +required
	Origin Origin `json:"origin"`
	// +required
	Sources FreightSources `json:"sources"`
}

// AvailabilityStrategy says how many upstream Stages must have verified Freight.
// +kubebuilder:validation:Enum=OneOf;All
type AvailabilityStrategy string

// The strategies.
const (
	AvailableFromOne AvailabilityStrategy = "OneOf"
	AvailableFromAll AvailabilityStrategy = "All"
)

// FreightSources says where Freight may come from.
// +kubebuilder:validation:XValidation:rule="(has(self.direct) && self.direct) || (has(self.stages) && size(self.stages) > 0)",message="set direct: true or name at least one upstream Stage in stages"
// +kubebuilder:validation:XValidation:rule="!(has(self.requireSameBase) && self.requireSameBase && has(self.direct) && self.direct)",message="requireSameBase compares with upstream Stages; leave it out with direct: true"
type FreightSources struct {
	// direct takes Freight straight from the Warehouse.
	// +optional
	Direct bool `json:"direct,omitempty"`
	// stages are the upstream Stages that must have verified it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Stages []string `json:"stages,omitempty"`
	// requiredSoakTime is how long it must have run healthy upstream since it
	// was verified there.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	RequiredSoakTime *metav1.Duration `json:"requiredSoakTime,omitempty"`
	// availabilityStrategy: OneOf the upstream Stages, or All of them.
	// +optional
	// +kubebuilder:default=OneOf
	AvailabilityStrategy AvailabilityStrategy `json:"availabilityStrategy,omitempty"`
	// requireSameBase keeps Freight out while what the Stage would render from the
	// branch that is read has changed since the Freight was verified upstream:
	// nothing untested rides along.
	// +optional
	RequireSameBase bool `json:"requireSameBase,omitempty"`
}

// AutoPromotion is the automatic flow into a Stage.
type AutoPromotion struct {
	// enabled starts promotions without a person.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// selectionPolicy says which Freight is taken: NewestFreight of what may
	// enter, or MatchUpstream, which takes what the upstream Stage runs now.
	// +optional
	// +kubebuilder:default=NewestFreight
	SelectionPolicy SelectionPolicy `json:"selectionPolicy,omitempty"`
	// finishSoak keeps what the Stage runs until it has soaked here as long as a
	// Stage downstream asks, and was taken there: frequent builds cannot starve
	// the soak.
	// +optional
	FinishSoak bool `json:"finishSoak,omitempty"`
}

// SelectionPolicy says which Freight the automatic flow takes.
// +kubebuilder:validation:Enum=NewestFreight;MatchUpstream
type SelectionPolicy string

// The policies.
const (
	SelectNewest   SelectionPolicy = "NewestFreight"
	SelectUpstream SelectionPolicy = "MatchUpstream"
)

// ApprovalPolicy says how many people have to agree, and who may. They need the
// verb approve on the Stage besides.
type ApprovalPolicy struct {
	// required is how many different people have to approve.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	Required int32 `json:"required,omitempty"`
	// groups whose members count. Without groups and users everybody counts who
	// may approve. A name without prefix is a Waybill group; k8s:NAME is one of
	// the cluster's own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`
	// users who count, beside the members of groups; prefixed as groups are.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Users []string `json:"users,omitempty"`
	// allowSelfApproval lets the person who requested a Promotion approve it.
	// +optional
	AllowSelfApproval bool `json:"allowSelfApproval,omitempty"`
	// expireAfter is how long an approval counts.
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="expireAfter has to be longer than nothing"
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`
}

// CommitStatusTarget says of which commits the status is set.
// +kubebuilder:validation:Enum=Freight;Written
type CommitStatusTarget string

// The targets.
const (
	CommitsOfFreight CommitStatusTarget = "Freight"
	CommitsWritten   CommitStatusTarget = "Written"
)

// CommitStatusPolicy says which commits get a status, under the name
// waybill/PROJECT/STAGE.
type CommitStatusPolicy struct {
	// of: Freight is the commits in the Freight that is promoted, Written those
	// that its promotion makes.
	// +optional
	// +listType=set
	// +kubebuilder:default={Freight}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Of []CommitStatusTarget `json:"of,omitempty"`
	// provider of the repositories whose host does not tell.
	// +optional
	// +kubebuilder:validation:Enum=github;gitlab;gitea;bitbucket;azure
	Provider string `json:"provider,omitempty"`
}

// PromotionMechanisms is the short form: updates of Git repositories. It
// compiles to steps of the one promotion engine.
type PromotionMechanisms struct {
	// gitRepoUpdates: the repositories and branches to write. The Stage runs from
	// the first unless its deploy entries say otherwise. Every commit is made
	// before the first is pushed.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.repoURL == b.repoURL && a.writeBranch == b.writeBranch))",message="two entries write the same branch of one repository; join them into one"
	GitRepoUpdates []GitRepoUpdate `json:"gitRepoUpdates"`
}

// GitRepoUpdate writes one commit to one branch.
type GitRepoUpdate struct {
	// repoURL of the repository, https (or http where the server allows it).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^(https?://[^@\s]+|ssh://([^@:/\s]+@)?[^@\s]+|[^@:/\s]+@[^@:/\s]+:[^@\s]+)$`
	RepoURL string `json:"repoURL"`
	// readBranch holds what is written; the repository's default branch when
	// empty. Its head is read once, when the Promotion is created.
	// +optional
	// +kubebuilder:validation:MaxLength=244
	ReadBranch string `json:"readBranch,omitempty"`
	// writeBranch is the Stage's own branch; it is created when missing.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=244
	WriteBranch string `json:"writeBranch"`
	// foreignCommits says what an automatic promotion does about commits that
	// others made on a writeBranch it would replace: Wait for a person, or
	// Overwrite them.
	// +optional
	// +kubebuilder:validation:Enum=Wait;Overwrite
	// +kubebuilder:default=Wait
	ForeignCommits string `json:"foreignCommits,omitempty"`
	// kustomize sets images in kustomization files. Without it the commit holds
	// what its base holds: the commit of this repository in the Freight, or the
	// head of readBranch.
	// +optional
	Kustomize KustomizeUpdate `json:"kustomize,omitzero"`
	// helm sets images in values files, and versions of charts in Chart.yaml.
	// +optional
	Helm HelmUpdate `json:"helm,omitzero"`
	// commitMessage of the commit, above its trailers; expressions as in steps:
	// ${{ ctx.stage }}, ${{ imageFrom("registry/image").Tag }}. Default: what is
	// promoted, in one line.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	CommitMessage string `json:"commitMessage,omitempty"`
	// pullRequest asks for the commit to be merged into writeBranch, which has to
	// exist, in place of pushing it there. The promotion waits for the merge.
	// +optional
	PullRequest *PullRequestUpdate `json:"pullRequest,omitempty"`
}

// PullRequestUpdate says who serves the repository; empty: as its host says.
// +kubebuilder:validation:XValidation:rule="(has(self.github) ? 1 : 0) + (has(self.gitlab) ? 1 : 0) + (has(self.gitea) ? 1 : 0) + (has(self.bitbucket) ? 1 : 0) + (has(self.azure) ? 1 : 0) <= 1",message="set one of github, gitlab, gitea, bitbucket and azure, or none where the host tells"
type PullRequestUpdate struct {
	// github is GitHub, of the public or of a company's own.
	// +optional
	GitHub *PullRequestProvider `json:"github,omitempty"`
	// gitlab is GitLab.
	// +optional
	GitLab *PullRequestProvider `json:"gitlab,omitempty"`
	// gitea is Gitea or Forgejo.
	// +optional
	Gitea *PullRequestProvider `json:"gitea,omitempty"`
	// bitbucket is Bitbucket Cloud.
	// +optional
	Bitbucket *PullRequestProvider `json:"bitbucket,omitempty"`
	// azure is Azure DevOps.
	// +optional
	Azure *PullRequestProvider `json:"azure,omitempty"`
	// title of the pull request, with expressions; default: the first line of the
	// commit.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Title string `json:"title,omitempty"`
	// description above the plan, with expressions.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`
}

// PullRequestProvider has no settings.
type PullRequestProvider struct{}

// Provider returns the name of the provider; empty: as the host says.
func (p *PullRequestUpdate) Provider() string {
	switch {
	case p.GitHub != nil:
		return "github"
	case p.GitLab != nil:
		return "gitlab"
	case p.Gitea != nil:
		return "gitea"
	case p.Bitbucket != nil:
		return "bitbucket"
	case p.Azure != nil:
		return "azure"
	default:
		return ""
	}
}

// HelmUpdate sets images in values files of charts, and the versions of the
// charts that they depend on.
// +kubebuilder:validation:XValidation:rule="has(self.images) || has(self.charts)",message="set images or charts"
type HelmUpdate struct {
	// images to set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Images []HelmImage `json:"images,omitempty"`
	// charts whose version to set in the dependencies of a Chart.yaml.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Charts []HelmChart `json:"charts,omitempty"`
}

// HelmChart names one dependency of one chart.
type HelmChart struct {
	// repository of the dependency, as Chart.yaml spells it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Repository string `json:"repository"`
	// name of the dependency.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=250
	Name string `json:"name"`
	// chartPath of the folder with Chart.yaml, from the root of the repository.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !('/' + self + '/').contains('/../')",message="chartPath is relative to the root of the repository and may not leave it"
	ChartPath string `json:"chartPath"`
}

// HelmValue says what of an image is written.
// +kubebuilder:validation:Enum=ImageAndTag;Tag;ImageAndDigest;Digest
type HelmValue string

// The kinds of values.
const (
	HelmImageAndTag    HelmValue = "ImageAndTag"
	HelmTag            HelmValue = "Tag"
	HelmImageAndDigest HelmValue = "ImageAndDigest"
	HelmDigest         HelmValue = "Digest"
)

// HelmImage names one value in one values file.
type HelmImage struct {
	// image repository, as in the Warehouse's subscription.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
	// valuesFilePath of the file, from the root of the repository.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !('/' + self + '/').contains('/../')",message="valuesFilePath is relative to the root of the repository and may not leave it"
	ValuesFilePath string `json:"valuesFilePath"`
	// key of the value, with dots: image.tag.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Key string `json:"key"`
	// value to write: ImageAndTag (name:tag), Tag, ImageAndDigest (name@digest) or
	// Digest.
	// +required
	Value HelmValue `json:"value"`
}

// KustomizeUpdate sets images in kustomization files.
type KustomizeUpdate struct {
	// images to set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Images []KustomizeImage `json:"images,omitempty"`
}

// PinMode says how an image is written.
// +kubebuilder:validation:Enum=TagAndDigest;Tag;Digest
type PinMode string

// The pin modes. With a tag alone a re-pushed tag changes what was approved.
const (
	PinTagAndDigest PinMode = "TagAndDigest"
	PinTag          PinMode = "Tag"
	PinDigest       PinMode = "Digest"
)

// KustomizeImage names one image in one kustomization.
// +kubebuilder:validation:XValidation:rule="!(has(self.pin) && has(self.useDigest))",message="set pin or useDigest, not both (useDigest: true is pin: Digest, false is pin: Tag)"
type KustomizeImage struct {
	// image repository, as in the Warehouse's subscription.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
	// path of the folder with the kustomization file, from the root of the
	// repository.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !('/' + self + '/').contains('/../')",message="path is relative to the root of the repository and may not leave it"
	Path string `json:"path"`
	// pin: TagAndDigest (default), Tag or Digest.
	// +optional
	Pin PinMode `json:"pin,omitempty"`
	// useDigest is Kargo's name: true is pin: Digest, false is pin: Tag.
	// +optional
	UseDigest *bool `json:"useDigest,omitempty"`
}

// PinMode returns how the image is written, with both spellings resolved.
func (k KustomizeImage) PinMode() PinMode {
	switch {
	case k.Pin != "":
		return k.Pin
	case k.UseDigest != nil && *k.UseDigest:
		return PinDigest
	case k.UseDigest != nil:
		return PinTag
	default:
		return PinTagAndDigest
	}
}

// RollbackPolicy says when and how a bad version is taken back.
type RollbackPolicy struct {
	// onUnhealthy: Revert writes a commit that restores the tree before the
	// promotion; None leaves it to a person.
	// +optional
	// +kubebuilder:validation:Enum=Revert;None
	// +kubebuilder:default=None
	OnUnhealthy string `json:"onUnhealthy,omitempty"`
	// onFailedVerification: the same for a check that failed. An inconclusive
	// one is never reverted: a person decides.
	// +optional
	// +kubebuilder:validation:Enum=Revert;None
	// +kubebuilder:default=None
	OnFailedVerification string `json:"onFailedVerification,omitempty"`
	// after this much unbroken Degraded the revert is written.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	After *metav1.Duration `json:"after,omitempty"`
	// watchFor this long after success the version may still be reverted.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	WatchFor *metav1.Duration `json:"watchFor,omitempty"`
	// healthTimeout: a promotion that is not Healthy this long after its
	// commit has failed.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	HealthTimeout *metav1.Duration `json:"healthTimeout,omitempty"`
	// hold stops the automatic flow into the Stage after a revert by policy.
	// A rollback by a person always holds.
	// +optional
	Hold bool `json:"hold,omitempty"`
	// approval says who has to agree before a rollback starts; without it,
	// nobody.
	// +optional
	Approval *ApprovalPolicy `json:"approval,omitempty"`
}

// StageStatus is written by the Stage controller.
type StageStatus struct {
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// lastHandledRequest echoes the annotation waybill.dev/requested-at.
	// +optional
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`
	// metadata that the step set-metadata recorded: names and any values.
	// Expressions read it with stageMetadata(name).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Metadata *runtime.RawExtension `json:"metadata,omitempty"`
	// lastSeq is the number of the last Promotion; never lowered.
	// +optional
	LastSeq int64 `json:"lastSeq,omitempty"`
	// record is what the Stage's branch said when the Stage was new.
	// +optional
	Record *StageRecord `json:"record,omitempty"`
	// current Freight, one per origin.
	// +optional
	// +listType=map
	// +listMapKey=origin
	Current []StageFreight `json:"current,omitempty"`
	// good is what last ran Synced and Healthy, one per origin; a rollback
	// without a target goes to what was good before the current Freight.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Good []StageFreight `json:"good,omitempty"`
	// health of all deploy entries together.
	// +optional
	Health *Health `json:"health,omitempty"`
	// synced says whether every deploy entry runs what the branch head says.
	// +optional
	Synced bool `json:"synced,omitempty"`
	// drifting says that live differs from Git and is not being healed.
	// +optional
	Drifting bool `json:"drifting,omitempty"`
	// syncMessage names the first error of a deploy entry.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	SyncMessage string `json:"syncMessage,omitempty"`
	// activePromotion is the one that is not finished and not Pending.
	// +optional
	ActivePromotion string `json:"activePromotion,omitempty"`
	// rollback is what a rollback of what runs now would do.
	// +optional
	Rollback *RollbackRehearsal `json:"rollback,omitempty"`
	// lastPromotion that finished.
	// +optional
	LastPromotion *PromotionReference `json:"lastPromotion,omitempty"`
}

// StageRecord is what the last promotion's commit on the Stage's branch says. It
// is read once, before anything is promoted: so a Stage whose object is new and
// whose branch is not goes on where it was.
type StageRecord struct {
	// readAt is when the branch was read; absent while it cannot be.
	// +optional
	ReadAt *metav1.Time `json:"readAt,omitempty"`
	// commit that was found; absent when no promotion has written the branch.
	// +optional
	Commit string `json:"commit,omitempty"`
	// seq is the number of its Promotion.
	// +optional
	Seq int64 `json:"seq,omitempty"`
	// freight that it brought, and what ran beside it.
	// +optional
	// +listType=atomic
	Freight []StageFreight `json:"freight,omitempty"`
	// message says why the branch cannot be read.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// unreachable: its server does not answer.
	// +optional
	IsUnreachable bool `json:"unreachable,omitempty"`
	// retryAt is when it is tried again.
	// +optional
	RetryAt *metav1.Time `json:"retryAt,omitempty"`
}

// StageFreight is Freight in a Stage.
type StageFreight struct {
	// origin Warehouse.
	Origin string `json:"origin"`
	// freight name.
	Freight string `json:"freight"`
	// order of the Freight, kept so that nothing older enters by itself even
	// when the Freight object is gone.
	// +optional
	Order int64 `json:"order,omitempty"`
	// promotion that brought it; empty when adopted from the branch.
	// +optional
	Promotion string `json:"promotion,omitempty"`
	// commit on the Stage's branch.
	// +optional
	Commit string `json:"commit,omitempty"`
	// written are the commits on all branches when the Stage has several, that
	// of commit among them; else absent.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Written []BranchCommit `json:"written,omitempty"`
	// since when.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// images of the Freight, kept so that the Stage can be read without it.
	// +optional
	// +listType=atomic
	Images []Image `json:"images,omitempty"`
	// commits of the Freight.
	// +optional
	// +listType=atomic
	Commits []Commit `json:"commits,omitempty"`
	// charts of the Freight.
	// +optional
	// +listType=atomic
	Charts []Chart `json:"charts,omitempty"`
}

// BranchCommit is where a promotion has written a branch.
type BranchCommit struct {
	// +kubebuilder:validation:MaxLength=1024
	RepoURL string `json:"repoURL"`
	// +kubebuilder:validation:MaxLength=244
	Branch string `json:"branch"`
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
}

// PromotionReference is the end of a Promotion.
type PromotionReference struct {
	Name    string         `json:"name"`
	Freight string         `json:"freight"`
	Phase   PromotionPhase `json:"phase"`
	// reason is that of the Promotion: Rejected, GateClosed ...
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
}

// StageList is a list of Stages.
// +kubebuilder:object:root=true
type StageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Stage `json:"items"`
}
