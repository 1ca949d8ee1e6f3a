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
	// subscriptions: the newest artifact of each makes one Freight.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Subscriptions []Subscription `json:"subscriptions"`
}

// Subscription watches one repository.
// +kubebuilder:validation:XValidation:rule="has(self.image)",message="set image: it says which image repository to watch"
type Subscription struct {
	// image watches an image repository.
	// +optional
	Image *ImageSubscription `json:"image,omitempty"`
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
	// tags the repository has, before any filter.
	// +optional
	Tags int32 `json:"tags,omitempty"`
	// candidates, newest first; kept while the repository does not answer.
	// +optional
	// +listType=atomic
	Candidates []Image `json:"candidates,omitempty"`
	// lastHandledHook echoes the annotation of the last webhook that named this
	// repository, once it was asked.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LastHandledHook string `json:"lastHandledHook,omitempty"`
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
