package gitops

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Leftovers names the fields of live that a field manager wrote and that d does not
// have: what its next apply would take away. Marks and the last-applied annotation
// are no such fields, ignored ones are left out, and so is what is not there any
// more.
func Leftovers(d Desired, live *unstructured.Unstructured, manager string, marks ...string) []FieldChange {
	secret := d.Key.Kind == "Secret" && d.Key.Group == ""
	var out []FieldChange
	seen := map[string]bool{}
	for _, e := range live.GetManagedFields() {
		if e.Manager != manager || e.Subresource != "" {
			continue
		}
		for path := range fieldSet(&e).Leaves().All() {
			name := PathString(path)
			if _, isWanted := lookup(d.Object.Object, path); isWanted || seen[name] || slices.Contains(marks, name) || d.Ignored.covers(live.Object, path) {
				continue
			}
			got, isThere := lookup(live.Object, path)
			if !isThere || isNothing(got) {
				continue
			}
			seen[name] = true
			out = append(out, FieldChange{Field: name, Got: shown(got, secret), Manager: manager})
		}
	}
	slices.SortFunc(out, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
	return out
}
