package promotion

import (
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Spent returns the finished Promotions of the observed Stage whose objects
// nothing looks at any more, oldest first. The newest keep of the finished ones
// stay, and besides them:
//
//   - what the Stage names: its current and good Freight, its active and last
//     Promotion; and what an unfinished Promotion undoes;
//   - every try of Freight that is newer than what is current, because the
//     automatic flow does not try again what failed;
//   - every rollback by policy of Freight that still exists, because policy
//     reverts a Freight once.
//
// keep 0 or less means all: then nothing is spent.
func Spent(o *Observation, keep int) []*v1alpha1.Promotion {
	if keep <= 0 {
		return nil
	}
	named := namedByStage(o)
	var finished []*v1alpha1.Promotion
	for _, p := range bySeq(o.Promotions) {
		if p.Spec.Stage != o.Stage.Name {
			continue
		}
		if p.Status.Phase.IsFinished() {
			finished = append(finished, p)
		} else if p.Status.Plan != nil && p.Status.Plan.Undoes != "" {
			named[p.Status.Plan.Undoes] = true
		}
	}
	if len(finished) <= keep {
		return nil
	}
	var out []*v1alpha1.Promotion
	for _, p := range finished[:len(finished)-keep] {
		if !named[p.Name] && Seq(p.Name) < o.Stage.Status.LastSeq && !isRemembered(o, p) {
			out = append(out, p)
		}
	}
	return out
}

func namedByStage(o *Observation) map[string]bool {
	s := &o.Stage.Status
	named := map[string]bool{s.ActivePromotion: true}
	for _, list := range [][]v1alpha1.StageFreight{s.Current, s.Good} {
		for _, f := range list {
			named[f.Promotion] = true
		}
	}
	if s.LastPromotion != nil {
		named[s.LastPromotion.Name] = true
	}
	return named
}

// isRemembered reports whether a later decision depends on what became of p.
func isRemembered(o *Observation, p *v1alpha1.Promotion) bool {
	f := o.FreightByName(p.Spec.Freight)
	if f == nil {
		return false
	}
	if p.Spec.Kind == v1alpha1.KindRollback {
		return p.Spec.Automatic
	}
	current := Current(o.Stage, f.Origin.Name)
	if current == nil {
		return true
	}
	order := current.Order
	if known := o.FreightByName(current.Freight); known != nil {
		order = max(order, known.Order)
	}
	return f.Order > order
}
