package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Warehouse watches registries and makes Freight of what it finds.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=wbwh,categories=waybill
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Latest",type=string,JSONPath=`.status.latestFreight`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Warehouse struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec WarehouseSpec `json:"spec"`
	// +optional
	Status WarehouseStatus `json:"status,omitempty"`
}

// WarehouseSpec says what to watch.
type WarehouseSpec struct {
	// interval between two polls when nothing wakes the Warehouse earlier.
	// +optional
	// +kubebuilder:default="5m0s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s')",message="interval must be at least 5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="interval must be at most 24h"
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	Interval metav1.Duration `json:"interval,omitempty"`
	// freightCreationPolicy: Automatic makes Freight of the newest artifact of
	// each subscription; Every makes one for each new version of the first
	// subscription, the oldest first, so that nothing between two polls is lost
	// (up to its discoveryLimit); with Manual, people assemble Freight.
	// +optional
	// +kubebuilder:default=Automatic
	FreightCreationPolicy FreightCreationPolicy `json:"freightCreationPolicy,omitempty"`
	// freightCreationCriteria must be met by what Freight is made of.
	// +optional
	FreightCreationCriteria *FreightCreationCriteria `json:"freightCreationCriteria,omitempty"`
	// freightRetention says how much Freight is kept.
	// +optional
	FreightRetention FreightRetention `json:"freightRetention,omitzero"`
	// subscriptions: the newest artifact of each makes one Freight.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Subscriptions []Subscription `json:"subscriptions"`
}

// FreightCreationPolicy says when Freight is made.
// +kubebuilder:validation:Enum=Automatic;Every;Manual
type FreightCreationPolicy string

// The policies.
const (
	FreightAutomatic FreightCreationPolicy = "Automatic"
	FreightEvery     FreightCreationPolicy = "Every"
	FreightManual    FreightCreationPolicy = "Manual"
)

// FreightCreationCriteria decides on sets of candidates.
type FreightCreationCriteria struct {
	// expression is true of a set that Freight may be made of:
	// imageFrom('registry.example.com/app').Tag == chartFrom('https://charts.example.com', 'app').Version.
	// Also there: commitFrom(repoURL).ID, .Tag, .Branch and .Message.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Expression string `json:"expression,omitempty"`
}

// FreightRetention says how much Freight is kept. What runs in a Stage, is being
// promoted, or is among the last 20 versions that ran well in a Stage is never
// removed.
type FreightRetention struct {
	// keep is how many of the newest Freight are kept.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Keep int32 `json:"keep,omitempty"`
}

// Subscription watches one repository.
// +kubebuilder:validation:XValidation:rule="[has(self.image), has(self.git), has(self.chart)].filter(x, x).size() == 1",message="set one of image, git and chart: it says which repository to watch"
type Subscription struct {
	// image watches an image repository.
	// +optional
	Image *ImageSubscription `json:"image,omitempty"`
	// git watches a Git repository.
	// +optional
	Git *GitSubscription `json:"git,omitempty"`
	// chart watches a Helm chart.
	// +optional
	Chart *ChartSubscription `json:"chart,omitempty"`
}

// CommitSelectionStrategy says which commits of a repository count.
// +kubebuilder:validation:Enum=NewestFromBranch;NewestTag;SemVer;Lexical
type CommitSelectionStrategy string

// The strategies.
const (
	// SelectNewestFromBranch takes the head of a branch, or the newest commit on
	// it that passes the filters.
	SelectNewestFromBranch CommitSelectionStrategy = "NewestFromBranch"
	// SelectNewestTag takes the tag that was made last.
	SelectNewestTag CommitSelectionStrategy = "NewestTag"
	// SelectTagSemVer takes the tag with the highest semantic version.
	SelectTagSemVer CommitSelectionStrategy = "SemVer"
	// SelectTagLexical takes the last tag in byte order.
	SelectTagLexical CommitSelectionStrategy = "Lexical"
)

// GitSubscription selects one commit of a repository.
// +kubebuilder:validation:XValidation:rule="!has(self.branch) || size(self.branch) == 0 || !has(self.commitSelectionStrategy) || self.commitSelectionStrategy == 'NewestFromBranch'",message="branch belongs to commitSelectionStrategy NewestFromBranch; the others watch tags"
// +kubebuilder:validation:XValidation:rule="!has(self.constraint) || size(self.constraint) == 0 || (has(self.commitSelectionStrategy) && self.commitSelectionStrategy == 'SemVer')",message="constraint belongs to commitSelectionStrategy SemVer"
// +kubebuilder:validation:XValidation:rule="!(has(self.allowTagsRegexes) || has(self.ignoreTagsRegexes)) || (has(self.commitSelectionStrategy) && self.commitSelectionStrategy != 'NewestFromBranch')",message="allowTagsRegexes and ignoreTagsRegexes belong to the strategies that watch tags: NewestTag, SemVer, Lexical"
type GitSubscription struct {
	// repoURL of the repository, https or SSH, without user name and password.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	RepoURL string `json:"repoURL"`
	// commitSelectionStrategy says which commits count; the first is the newest.
	// +optional
	// +kubebuilder:default=NewestFromBranch
	CommitSelectionStrategy CommitSelectionStrategy `json:"commitSelectionStrategy,omitempty"`
	// branch to watch; empty is the repository's default branch.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`
	// constraint is a semantic version range for SemVer: ^1.26.0.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Constraint string `json:"constraint,omitempty"`
	// strictSemvers accepts only tags with all of major, minor and patch.
	// +optional
	// +kubebuilder:default=true
	StrictSemvers *bool `json:"strictSemvers,omitempty"`
	// allowTagsRegexes: when set, a tag must match one of them (RE2).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	AllowTagsRegexes []string `json:"allowTagsRegexes,omitempty"`
	// ignoreTagsRegexes: a tag that matches one of them is passed over (RE2).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	IgnoreTagsRegexes []string `json:"ignoreTagsRegexes,omitempty"`
	// includePaths: when set, a commit counts only if it changes a file that
	// matches one of them: a file or folder, glob:PATTERN (* within a folder, **
	// across folders) or regex:PATTERN (RE2).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	IncludePaths []string `json:"includePaths,omitempty"`
	// excludePaths: a changed file that matches one of them does not count.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	ExcludePaths []string `json:"excludePaths,omitempty"`
	// expressionFilter must be true of a commit (id, commitDate, author,
	// committer, subject) or, for tags, also of the tag (tag, creatorDate,
	// tagger, annotation): subject startsWith 'feat:'.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ExpressionFilter string `json:"expressionFilter,omitempty"`
	// since: nothing older counts.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// discoveryLimit is how many candidates are kept in status.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	DiscoveryLimit int32 `json:"discoveryLimit,omitempty"`
}

// ChartSubscription selects one version of a Helm chart.
// +kubebuilder:validation:XValidation:rule="self.repoURL.startsWith('oci://') != (has(self.name) && size(self.name) > 0)",message="an http(s) repository needs the name of the chart; an oci:// repoURL names it already: leave name out"
type ChartSubscription struct {
	// repoURL of the repository: https://charts.example.com, or
	// oci://registry.example.com/charts/app with the chart's name in it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://') || self.startsWith('http://') || self.startsWith('oci://')",message="repoURL of a chart begins with https://, http:// or oci://"
	RepoURL string `json:"repoURL"`
	// name of the chart in an http(s) repository.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// constraint is a semantic version range: ^1.26.0. Empty: every release.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Constraint string `json:"constraint,omitempty"`
	// discoveryLimit is how many candidates are kept in status.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	DiscoveryLimit int32 `json:"discoveryLimit,omitempty"`
	// insecureSkipTLSVerify accepts any certificate of the server.
	// +optional
	InsecureSkipTLSVerify bool `json:"insecureSkipTLSVerify,omitempty"`
}

// ImageSelectionStrategy orders the tags of a repository.
// +kubebuilder:validation:Enum=SemVer;Lexical;Numerical;NewestBuild;Digest
type ImageSelectionStrategy string

// The strategies.
const (
	// SelectSemVer takes the highest semantic version.
	SelectSemVer ImageSelectionStrategy = "SemVer"
	// SelectLexical takes the last tag in byte order.
	SelectLexical ImageSelectionStrategy = "Lexical"
	// SelectNumerical takes the highest decimal number: 20260301, 7.5.
	SelectNumerical ImageSelectionStrategy = "Numerical"
	// SelectNewestBuild takes the image with the newest creation time.
	SelectNewestBuild ImageSelectionStrategy = "NewestBuild"
	// SelectDigest follows one mutable tag, named by constraint.
	SelectDigest ImageSelectionStrategy = "Digest"
)

// ImageSubscription selects one image of a repository.
// +kubebuilder:validation:XValidation:rule="!has(self.extract) || size(self.extract) == 0 || !has(self.imageSelectionStrategy) || self.imageSelectionStrategy in ['SemVer', 'Lexical', 'Numerical']",message="extract orders tags by a part of them: use it with imageSelectionStrategy SemVer, Lexical or Numerical"
// +kubebuilder:validation:XValidation:rule="!has(self.mutableTags) || size(self.mutableTags) == 0 || !has(self.imageSelectionStrategy) || self.imageSelectionStrategy != 'Digest'",message="imageSelectionStrategy Digest asks for its tag at every poll: leave mutableTags out"
// +kubebuilder:validation:XValidation:rule="!has(self.imageSelectionStrategy) || self.imageSelectionStrategy != 'Digest' || (has(self.constraint) && size(self.constraint) > 0)",message="imageSelectionStrategy Digest follows one tag: set constraint to that tag"
type ImageSubscription struct {
	// repoURL of the image, without scheme, tag or digest:
	// registry.example.com/team/app.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.contains('://')",message="repoURL is an image name without a scheme, such as registry.example.com/team/app"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.matches(':[^/]*$')",message="repoURL must not carry a tag or digest; use constraint or allowTagsRegexes to select"
	RepoURL string `json:"repoURL"`
	// imageSelectionStrategy orders the tags; the first is the newest.
	// +optional
	// +kubebuilder:default=SemVer
	ImageSelectionStrategy ImageSelectionStrategy `json:"imageSelectionStrategy,omitempty"`
	// constraint: a semantic version range for SemVer (^1.26.0), the tag to
	// follow for Digest.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Constraint string `json:"constraint,omitempty"`
	// strictSemvers accepts only tags with all of major, minor and patch.
	// +optional
	// +kubebuilder:default=true
	StrictSemvers *bool `json:"strictSemvers,omitempty"`
	// allowTagsRegexes: when set, a tag must match one of them (RE2).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	AllowTagsRegexes []string `json:"allowTagsRegexes,omitempty"`
	// ignoreTagsRegexes: a tag that matches one of them is passed over (RE2).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	IgnoreTagsRegexes []string `json:"ignoreTagsRegexes,omitempty"`
	// extract is a regular expression (RE2) with one group: what the group
	// matches is ordered instead of the whole tag, and a tag that does not match
	// is passed over. ^main-[a-f0-9]+-([0-9]+)$ with Numerical takes the last
	// build of main.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Extract string `json:"extract,omitempty"`
	// mutableTags is a regular expression (RE2) of tags that are moved: what
	// they point at is asked for at every poll, with one request each, at most
	// 100. All other tags are looked up once, and 25 of them again every hour.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	MutableTags string `json:"mutableTags,omitempty"`
	// platform os/arch[/variant]; images without it are passed over.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`
	Platform string `json:"platform,omitempty"`
	// signature says who must have signed an image with cosign. One that nobody
	// of them signed is never a candidate.
	// +optional
	Signature *ImageSignature `json:"signature,omitempty"`
	// discoveryLimit is how many candidates are kept in status.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	DiscoveryLimit int32 `json:"discoveryLimit,omitempty"`
	// insecureSkipTLSVerify accepts any certificate of the registry.
	// +optional
	InsecureSkipTLSVerify bool `json:"insecureSkipTLSVerify,omitempty"`
}

// ImageSignature says whose cosign signature of an image counts.
// +kubebuilder:validation:XValidation:rule="has(self.key) != has(self.keyless)",message="set one of key and keyless: how the image is signed"
type ImageSignature struct {
	// key: signed by cosign sign --key.
	// +optional
	Key *SignatureKey `json:"key,omitempty"`
	// keyless: signed by cosign sign with the identity of a person or a workflow.
	// +optional
	Keyless *SignatureIdentity `json:"keyless,omitempty"`
}

// SignatureKey is a key that signs.
type SignatureKey struct {
	// publicKey in PEM, as in cosign.pub: ECDSA, Ed25519 or RSA of at least 2048
	// bits. Of several, one after the other, each is good enough: that is how a
	// key is replaced.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN PUBLIC KEY-----') && !self.contains('PRIVATE KEY')",message="publicKey is what cosign.pub holds: it begins with -----BEGIN PUBLIC KEY-----"
	PublicKey string `json:"publicKey"`
}

// SignatureIdentity is who got a certificate to sign with, and from where.
// +kubebuilder:validation:XValidation:rule="(has(self.subject) && size(self.subject) > 0) != (has(self.subjectRegex) && size(self.subjectRegex) > 0)",message="set one of subject and subjectRegex: who signs"
type SignatureIdentity struct {
	// issuer of the identity, exactly: https://token.actions.githubusercontent.com.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://')",message="issuer is the https:// address of who vouches for the identity"
	Issuer string `json:"issuer"`
	// subject, exactly: a mail address, or the address of a workflow such as
	// https://github.com/acme/app/.github/workflows/release.yaml@refs/heads/main.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Subject string `json:"subject,omitempty"`
	// subjectRegex (RE2) must match the whole subject.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	SubjectRegex string `json:"subjectRegex,omitempty"`
	// trustedRoot is the JSON that names the certificate authorities and logs to
	// trust: the file trusted_root.json of a Sigstore instance. Nothing is
	// fetched from it.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	TrustedRoot string `json:"trustedRoot"`
}

// RefusedCandidate is an image that passes all filters and is no candidate.
type RefusedCandidate struct {
	// tag of the image.
	Tag string `json:"tag"`
	// digest the tag points at.
	Digest string `json:"digest"`
	// reason is a CamelCase word: SignatureMissing.
	Reason string `json:"reason"`
	// message says why.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// WarehouseStatus is written by the Warehouse controller.
type WarehouseStatus struct {
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
	// latestFreight is the Freight with the highest order.
	// +optional
	LatestFreight string `json:"latestFreight,omitempty"`
	// lastOrder is the order given to the newest Freight; never lowered, so
	// that the order survives deletion of Freight.
	// +optional
	LastOrder int64 `json:"lastOrder,omitempty"`
	// subscriptions, in the order of the spec.
	// +optional
	// +listType=atomic
	Subscriptions []SubscriptionStatus `json:"subscriptions,omitempty"`
}

// SubscriptionStatus is what the last polls of one subscription found.
type SubscriptionStatus struct {
	// repoURL of the subscription.
	RepoURL string `json:"repoURL"`
	// type of the subscription: image, git or chart.
	// +optional
	// +kubebuilder:validation:Enum=image;git;chart
	Type string `json:"type,omitempty"`
	// chart is the name of the chart, for an http(s) chart repository.
	// +optional
	Chart string `json:"chart,omitempty"`
	// lastPoll is when the repository was last asked: by this Warehouse, or by
	// another with the same credential whose answer it took.
	// +optional
	LastPoll *metav1.Time `json:"lastPoll,omitempty"`
	// nextPoll is when it is asked again: an interval after lastPoll, later while
	// the registry limits us, sooner after a failure.
	// +optional
	NextPoll *metav1.Time `json:"nextPoll,omitempty"`
	// lastSuccess is when it last answered.
	// +optional
	LastSuccess *metav1.Time `json:"lastSuccess,omitempty"`
	// requests the last poll cost; 0 when its answer was shared.
	// +optional
	Requests int32 `json:"requests,omitempty"`
	// tags the repository has, or versions the chart has, before any filter.
	// +optional
	Tags int32 `json:"tags,omitempty"`
	// candidates of an image subscription, newest first; kept while the
	// repository does not answer.
	// +optional
	// +listType=atomic
	Candidates []Image `json:"candidates,omitempty"`
	// refused are the newest images that would be candidates, were they signed as
	// the subscription asks for; newest first, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Refused []RefusedCandidate `json:"refused,omitempty"`
	// lastHandledHook echoes the annotation of the last webhook that named this
	// repository, once it was asked.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LastHandledHook string `json:"lastHandledHook,omitempty"`
	// commits are the candidates of a git subscription, newest first.
	// +optional
	// +listType=atomic
	Commits []Commit `json:"commits,omitempty"`
	// charts are the candidates of a chart subscription, newest first.
	// +optional
	// +listType=atomic
	Charts []Chart `json:"charts,omitempty"`
	// observed stands for what a git subscription saw and how it was told to
	// look: while it is the same, nothing is looked through again. Of an image
	// subscription, it stands for the signature its candidates have.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Observed string `json:"observed,omitempty"`
	// error of the last poll; empty when it succeeded.
	// +optional
	Error string `json:"error,omitempty"`
	// reason is a CamelCase word for the error: AuthenticationFailed.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// WarehouseList is a list of Warehouses.
// +kubebuilder:object:root=true
type WarehouseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Warehouse `json:"items"`
}
