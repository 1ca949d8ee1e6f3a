package warehouse

import (
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// defaultKeep is how many Freight are kept when the Warehouse does not say.
const defaultKeep = 100

// Uses are what may need Freight: everything of the Project.
type Uses struct {
	Stages     []v1alpha1.Stage
	Promotions []v1alpha1.Promotion
}

// needed returns the names of Freight that must stay: what a Stage runs or ran
// well, what the Promotions behind that hold and replaced, and what is in a
// Promotion that has not ended.
func (u Uses) needed() map[string]bool {
	out, behind := map[string]bool{}, map[string]bool{}
	add := func(fs []v1alpha1.StageFreight) {
		for _, f := range fs {
			out[f.Freight] = true
		}
	}
	for i := range u.Stages {
		st := &u.Stages[i]
		add(st.Status.Current)
		add(st.Status.Good)
		for _, c := range st.Status.Current {
			behind[st.Name+"/"+c.Promotion] = true
		}
	}
	for i := range u.Promotions {
		p := &u.Promotions[i]
		if p.Status.FinishedAt != nil && !behind[p.Spec.Stage+"/"+p.Name] {
			continue
		}
		out[p.Spec.Freight], out[p.Spec.To] = true, true
		if plan := p.Status.Plan; plan != nil {
			add(plan.Collection)
			if plan.Before != nil {
				add(plan.Before.Current)
			}
		}
	}
	return out
}

// Prune returns the Freight of w to remove, the oldest first: what is neither
// among the newest that freightRetention keeps, nor needed, nor still recorded as
// current in a Stage.
func Prune(w *v1alpha1.Warehouse, freight []v1alpha1.Freight, uses Uses) []*v1alpha1.Freight {
	keep := int(w.Spec.FreightRetention.Keep)
	if keep <= 0 {
		keep = defaultKeep
	}
	var own []*v1alpha1.Freight
	for i := range freight {
		if IsFrom(&freight[i], w) && freight[i].DeletionTimestamp == nil {
			own = append(own, &freight[i])
		}
	}
	if len(own) <= keep {
		return nil
	}
	slices.SortFunc(own, func(a, b *v1alpha1.Freight) int { return int(a.Order - b.Order) })
	needed := uses.needed()
	return slices.DeleteFunc(own[:len(own)-keep], func(f *v1alpha1.Freight) bool {
		return needed[f.Name] || isInStage(f) || f.Name == w.Status.LatestFreight
	})
}

// isInStage reports whether a Stage has recorded that it runs f and not that it
// left: the Stage's own status may be a moment behind.
func isInStage(f *v1alpha1.Freight) bool {
	for _, in := range f.Status.Stages {
		if in.EnteredAt != nil && in.LeftAt == nil {
			return true
		}
	}
	return false
}
