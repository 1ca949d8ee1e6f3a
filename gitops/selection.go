package gitops

import (
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Selection are the objects that a requested sync is about; the zero value is
// all of them.
type Selection struct{ resources []v1alpha1.SyncResource }

// SelectionOf returns what a request names.
func SelectionOf(q *v1alpha1.SyncRequest) Selection {
	if q == nil {
		return Selection{}
	}
	return Selection{q.Resources}
}

// IsAll says that nothing in particular is named.
func (s Selection) IsAll() bool { return len(s.resources) == 0 }

// Has says whether an object is meant. Kinds are compared without case.
func (s Selection) Has(k Key) bool {
	return s.IsAll() || slices.ContainsFunc(s.resources, func(r v1alpha1.SyncResource) bool { return names(r, k) })
}

func names(r v1alpha1.SyncResource, k Key) bool {
	return strings.EqualFold(r.Kind, k.Kind) && r.Name == k.Name && (r.Group == "" || r.Group == k.Group) && (r.Namespace == "" || r.Namespace == k.Namespace)
}

// Unknown returns the first name that means none of the objects; "" when all
// mean something.
func (s Selection) Unknown(keys []Key) string {
	for _, r := range s.resources {
		if !slices.ContainsFunc(keys, func(k Key) bool { return names(r, k) }) {
			return r.Kind + " " + r.Name
		}
	}
	return ""
}

// PruneOnly leaves the deletions of what is selected in the plan, and keeps the
// rest.
func (p *Plan) PruneOnly(s Selection) {
	if s.IsAll() {
		return
	}
	var prune [][]Deletion
	for _, wave := range p.Prune {
		var selected []Deletion
		for _, d := range wave {
			if s.Has(d.Key) {
				selected = append(selected, d)
			} else {
				p.Kept = append(p.Kept, d.Key)
			}
		}
		if len(selected) > 0 {
			prune = append(prune, selected)
		}
	}
	p.Prune = prune
	slices.SortFunc(p.Kept, Key.Compare)
}
