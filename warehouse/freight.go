package warehouse

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// OriginKind is the only kind of thing that makes Freight.
const OriginKind = "Warehouse"

// maxLabelValue is the longest value of a Kubernetes label.
const maxLabelValue = 63

// artifact is the part of a version that identifies it. The field order is part
// of the format: it makes the JSON canonical.
type artifact struct {
	Type    string `json:"type"`
	RepoURL string `json:"repoURL"` // normalised
	Tag     string `json:"tag,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

func (a artifact) compare(b artifact) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.RepoURL, b.RepoURL),
		cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest))
}

// FreightName returns the name of the Freight that holds images from origin: "f"
// and the first 39 hex digits of the SHA-256 of the canonical JSON of
// {origin, sorted artifacts}. The order of images and the spelling of their
// repositories do not matter.
func FreightName(origin v1alpha1.Origin, images []v1alpha1.Image) (string, error) {
	content := struct {
		Origin struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"origin"`
		Artifacts []artifact `json:"artifacts"`
	}{}
	content.Origin.Kind, content.Origin.Name = cmp.Or(origin.Kind, OriginKind), origin.Name
	for _, i := range images {
		n, err := repourl.Normalize(i.RepoURL)
		if err != nil {
			return "", fmt.Errorf("name freight of %q: %w", origin.Name, err)
		}
		content.Artifacts = append(content.Artifacts, artifact{Type: "image", RepoURL: n, Tag: i.Tag, Digest: i.Digest})
	}
	if len(content.Artifacts) == 0 {
		return "", fmt.Errorf("name freight of %q: it holds nothing", origin.Name)
	}
	slices.SortFunc(content.Artifacts, artifact.compare)
	canonical, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("name freight of %q: %w", origin.Name, err)
	}
	sum := sha256.Sum256(canonical)
	return "f" + hex.EncodeToString(sum[:])[:39], nil
}

// BuildFreight returns the Freight to create from the newest image of every
// subscription, or nil when it exists already.
//
// existing is all Freight of the Project: the order is one more than the highest
// of this Warehouse's, in status or among existing, and the alias is one that no
// other carries. It returns an error that wraps ErrInvalid when two subscriptions
// watch the same repository.
func BuildFreight(w *v1alpha1.Warehouse, newest []v1alpha1.Image, existing []v1alpha1.Freight) (*v1alpha1.Freight, error) {
	origin := v1alpha1.Origin{Kind: OriginKind, Name: w.Name}
	seen := map[string]bool{}
	for _, i := range newest {
		n, err := repourl.Normalize(i.RepoURL)
		if err != nil {
			return nil, fmt.Errorf("%w: repoURL of image %q: %w", ErrInvalid, i.RepoURL, err)
		}
		if seen[n] {
			return nil, fmt.Errorf("%w: two subscriptions watch %q; one Freight holds one image of a repository", ErrInvalid, i.RepoURL)
		}
		seen[n] = true
	}
	name, err := FreightName(origin, newest)
	if err != nil {
		return nil, err
	}
	order, aliases := w.Status.LastOrder, map[string]bool{}
	for _, f := range existing {
		if f.Name == name {
			return nil, nil
		}
		aliases[f.Alias] = true
		if f.Origin.Name == origin.Name && cmp.Or(f.Origin.Kind, OriginKind) == origin.Kind {
			order = max(order, f.Order)
		}
	}
	alias := Alias(name, func(a string) bool { return aliases[a] })
	return &v1alpha1.Freight{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: w.Namespace,
			Labels: map[string]string{v1alpha1.LabelWarehouse: labelValue(w.Name), v1alpha1.LabelAlias: alias},
		},
		Alias:  alias,
		Origin: origin,
		Order:  order + 1,
		Images: slices.Clone(newest),
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
		Order: record.Order, Images: slices.Clone(record.Images),
	}
}

// labelValue shortens a name that does not fit into a label, keeping it unique.
func labelValue(name string) string {
	if len(name) <= maxLabelValue {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxLabelValue-11] + "-" + hex.EncodeToString(sum[:])[:10]
}
