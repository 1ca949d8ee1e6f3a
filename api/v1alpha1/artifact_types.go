package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Image is one container image, pinned by digest.
type Image struct {
	// repoURL is the repository without tag or digest, as the subscription
	// spells it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	RepoURL string `json:"repoURL"`
	// tag as found in the registry.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9._-]*$`
	Tag string `json:"tag,omitempty"`
	// digest of what the tag pointed at, algorithm first: sha256:...
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[a-f0-9]{64}$`
	Digest string `json:"digest"`
}

// Commit is one commit of a Git repository.
type Commit struct {
	// repoURL is the repository, as the subscription spells it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	RepoURL string `json:"repoURL"`
	// id is the whole hash.
	// +required
	// +kubebuilder:validation:Pattern=`^([a-f0-9]{40}|[a-f0-9]{64})$`
	ID string `json:"id"`
	// branch it was found on, when a branch is watched.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`
	// tag that points at it, when tags are watched.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Tag string `json:"tag,omitempty"`
	// message is its first line.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// author is the name of who wrote it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Author string `json:"author,omitempty"`
	// date of the commit, or of the annotated tag.
	// +optional
	Date *metav1.Time `json:"date,omitempty"`
}

// Chart is one version of a Helm chart.
type Chart struct {
	// repoURL is the chart repository, as the subscription spells it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	RepoURL string `json:"repoURL"`
	// name of the chart in an HTTP repository; empty for oci://, whose repoURL
	// names the chart.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// version of the chart.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version"`
	// digest of the archive or, for oci://, of the manifest; empty when the
	// repository's index does not say.
	// +optional
	// +kubebuilder:validation:Pattern=`^sha256:[a-f0-9]{64}$`
	Digest string `json:"digest,omitempty"`
}

// Artifacts are the versions in a Freight.
//
// +kubebuilder:object:generate=false
type Artifacts struct {
	Images  []Image
	Commits []Commit
	Charts  []Chart
}

// Artifacts returns what is in the Freight.
func (f *Freight) Artifacts() Artifacts { return Artifacts{f.Images, f.Commits, f.Charts} }

// Artifacts returns what is in the Freight of the Stage.
func (f *StageFreight) Artifacts() Artifacts { return Artifacts{f.Images, f.Commits, f.Charts} }

// IsEmpty reports whether there is nothing.
func (a Artifacts) IsEmpty() bool { return len(a.Images)+len(a.Commits)+len(a.Charts) == 0 }

// Versions returns what people call each artifact: images first, then commits,
// then charts.
func (a Artifacts) Versions() []string {
	var out []string
	for _, i := range a.Images {
		out = append(out, i.Version())
	}
	for _, c := range a.Commits {
		out = append(out, c.Version())
	}
	for _, c := range a.Charts {
		out = append(out, c.Version)
	}
	return out
}

// Version returns what people call the whole: the version of the first artifact,
// or "".
func (a Artifacts) Version() string {
	if all := a.Versions(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Version returns what people call the image: its tag, or the start of its
// digest.
func (i Image) Version() string {
	if i.Tag != "" {
		return i.Tag
	}
	digest := strings.TrimPrefix(i.Digest, "sha256:")
	return digest[:min(12, len(digest))]
}

// Version returns what people call the commit: its tag, or the start of its hash.
func (c Commit) Version() string {
	if c.Tag != "" {
		return c.Tag
	}
	return c.ID[:min(7, len(c.ID))]
}
