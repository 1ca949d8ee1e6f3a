package promotion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// maxSummary bounds the sentence of a rehearsal, in bytes.
const maxSummary = 1024

// SayRehearsal completes a rehearsal of a rollback to a version with its
// sentence. sentences say what is risky, in the order they are to be read.
func SayRehearsal(r *v1alpha1.RollbackRehearsal, collection []v1alpha1.StageFreight, sentences []string) {
	to := versions(collection)
	if to == "" && len(collection) > 0 {
		to = short(collection[0].Freight)
	}
	var parts []string
	if r.Changed+r.Deleted+r.Created == 0 {
		parts = append(parts, "no object changes")
	}
	for _, c := range []struct {
		n         int32
		one, many string
	}{{r.Deleted, "1 object is deleted", "objects are deleted"}, {r.Changed, "1 object changes", "objects change"}, {r.Created, "1 object comes back", "objects come back"}} {
		switch {
		case c.n == 1:
			parts = append(parts, c.one)
		case c.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	if !slices.Contains(r.Risks, "immutable-field") {
		parts = append(parts, "no immutable field")
	}
	if !slices.ContainsFunc([]string{"crd", "storage", "job"}, func(flag string) bool { return slices.Contains(r.Risks, flag) }) {
		parts = append(parts, "no CRD, PVC or migration Job")
	}
	r.Summary = "to " + to + ": " + strings.Join(parts, ", ")
	if len(sentences) > 0 {
		r.Summary += "; look at: " + strings.Join(sentences, "; ")
	}
	r.Summary = Shorten(r.Summary, maxSummary)
}
