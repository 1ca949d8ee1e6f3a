package warehouse

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// OriginKind is the only kind of thing that makes Freight.
const OriginKind = "Warehouse"

// maxLabelValue is the longest value of a Kubernetes label.
const maxLabelValue = 63

// artifact is the part of a version that identifies it. The field order is part
// of the format: it makes the JSON canonical. New fields go to the end and are
// left out when empty, so that no name changes.
type artifact struct {
	Type    string `json:"type"`
	RepoURL string `json:"repoURL"` // normalised
	Tag     string `json:"tag,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Commit  string `json:"commit,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

func (a artifact) compare(b artifact) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.RepoURL, b.RepoURL), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Commit, b.Commit), cmp.Compare(a.Version, b.Version))
}

// identify returns what identifies each artifact, with repositories normalised.
func identify(content v1alpha1.Artifacts) ([]artifact, error) {
	var all []artifact
	for _, i := range content.Images {
		all = append(all, artifact{Type: "image", RepoURL: i.RepoURL, Tag: i.Tag, Digest: i.Digest})
	}
	for _, c := range content.Commits {
		all = append(all, artifact{Type: "commit", RepoURL: c.RepoURL, Tag: c.Tag, Commit: c.ID})
	}
	for _, c := range content.Charts {
		all = append(all, artifact{Type: "chart", RepoURL: c.RepoURL, Name: c.Name, Version: c.Version, Digest: c.Digest})
	}
	for i, a := range all {
		n, err := repourl.Normalize(a.RepoURL)
		if err != nil {
			return nil, fmt.Errorf("repoURL of %s %q: %w", a.Type, a.RepoURL, err)
		}
		all[i].RepoURL = n
	}
	return all, nil
}

// FreightName returns the name of the Freight that holds content from origin: "f"
// and the first 39 hex digits of the SHA-256 of the canonical JSON of
// {origin, sorted artifacts}. The order of artifacts and the spelling of their
// repositories do not matter.
func FreightName(origin v1alpha1.Origin, content v1alpha1.Artifacts) (string, error) {
	named := struct {
		Origin struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"origin"`
		Artifacts []artifact `json:"artifacts"`
	}{}
	named.Origin.Kind, named.Origin.Name = cmp.Or(origin.Kind, OriginKind), origin.Name
	var err error
	if named.Artifacts, err = identify(content); err != nil {
		return "", fmt.Errorf("name freight of %q: %w", origin.Name, err)
	}
	if len(named.Artifacts) == 0 {
		return "", fmt.Errorf("name freight of %q: it holds nothing", origin.Name)
	}
	slices.SortFunc(named.Artifacts, artifact.compare)
	canonical, err := json.Marshal(named)
	if err != nil {
		return "", fmt.Errorf("name freight of %q: %w", origin.Name, err)
	}
	sum := sha256.Sum256(canonical)
	return "f" + hex.EncodeToString(sum[:])[:39], nil
}

// BuildFreight returns the Freight to create from one artifact of every
// subscription, or nil when it exists already.
//
// existing is all Freight of the Project: the order is one more than the highest
// of this Warehouse's, in status or among existing, and the alias is one that no
// other carries. It returns an error that wraps ErrInvalid when two subscriptions
// watch the same repository.
func BuildFreight(w *v1alpha1.Warehouse, content v1alpha1.Artifacts, existing []v1alpha1.Freight) (*v1alpha1.Freight, error) {
	origin := v1alpha1.Origin{Kind: OriginKind, Name: w.Name}
	all, err := identify(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	seen := map[artifact]bool{}
	for _, a := range all {
		place := artifact{Type: a.Type, RepoURL: a.RepoURL, Name: a.Name}
		if seen[place] {
			return nil, fmt.Errorf("%w: two subscriptions watch %q; one Freight holds one %s of a repository", ErrInvalid, strings.TrimSuffix(a.RepoURL+" "+a.Name, " "), a.Type)
		}
		seen[place] = true
	}
	name, err := FreightName(origin, content)
	if err != nil {
		return nil, err
	}
	order, aliases := w.Status.LastOrder, map[string]bool{}
	for _, f := range existing {
		if f.Name == name {
			return nil, nil
		}
		aliases[f.Alias] = true
		if IsFrom(&f, w) {
			order = max(order, f.Order)
		}
	}
	alias := Alias(name, func(a string) bool { return aliases[a] })
	return &v1alpha1.Freight{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: w.Namespace,
			Labels: map[string]string{v1alpha1.LabelWarehouse: labelValue(w.Name), v1alpha1.LabelAlias: alias},
		},
		Alias:   alias,
		Origin:  origin,
		Order:   order + 1,
		Images:  slices.Clone(content.Images),
		Commits: slices.Clone(content.Commits),
		Charts:  slices.Clone(content.Charts),
	}, nil
}

// RestoreFreight returns the Freight to create so that what a branch records is
// there again, under the number it had, or nil when it exists. existing is all
// Freight of the Project.
func RestoreFreight(namespace string, record v1alpha1.StageFreight, existing []v1alpha1.Freight) *v1alpha1.Freight {
	aliases := map[string]bool{}
	for _, f := range existing {
		if f.Name == record.Freight {
			return nil
		}
		aliases[f.Alias] = true
	}
	alias := Alias(record.Freight, func(a string) bool { return aliases[a] })
	return &v1alpha1.Freight{
		ObjectMeta: metav1.ObjectMeta{
			Name: record.Freight, Namespace: namespace,
			Labels: map[string]string{v1alpha1.LabelWarehouse: labelValue(record.Origin), v1alpha1.LabelAlias: alias},
		},
		Alias: alias, Origin: v1alpha1.Origin{Kind: OriginKind, Name: record.Origin},
		Order: record.Order, Images: slices.Clone(record.Images), Commits: slices.Clone(record.Commits), Charts: slices.Clone(record.Charts),
	}
}

// SetAlias gives f an alias, and the label that finds it.
func SetAlias(f *v1alpha1.Freight, alias string) {
	f.Alias = alias
	if f.Labels == nil {
		f.Labels = map[string]string{}
	}
	f.Labels[v1alpha1.LabelAlias] = alias
}

// IsFrom reports whether f is of the Warehouse.
func IsFrom(f *v1alpha1.Freight, w *v1alpha1.Warehouse) bool {
	return f.Origin.Name == w.Name && cmp.Or(f.Origin.Kind, OriginKind) == OriginKind
}

// labelValue shortens a name that does not fit into a label, keeping it unique.
func labelValue(name string) string {
	if len(name) <= maxLabelValue {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxLabelValue-11] + "-" + hex.EncodeToString(sum[:])[:10]
}
