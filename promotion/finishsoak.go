package promotion

import (
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// kept is Freight that autoPromotion.finishSoak keeps in a Stage.
type kept struct {
	// freight that stays.
	freight string
	// reason in one sentence.
	reason string
	// until is when its soak ends; zero when something else has to happen.
	until time.Time
}

// keepsForSoak returns what of the origin is kept in the Stage until it has
// soaked as long as the Stages downstream ask, and was taken there (02, gates);
// nil when nothing is. Without it, builds that come more often than a soak takes
// would start it anew for ever.
//
// What turned out bad is not kept: the fix has to get in.
func keepsForSoak(o *Observation, origin string) *kept {
	if !o.Stage.Spec.AutoPromotion.FinishSoak || !isSoakAsked(o, origin) {
		return nil
	}
	for _, p := range bySeq(o.Promotions) {
		f := o.FreightByName(p.Spec.Freight)
		if f == nil || f.Origin.Name != origin || p.Spec.Stage != o.Stage.Name || p.Spec.Kind == v1alpha1.KindRollback || p.Status.Phase.IsFinished() {
			continue
		}
		return &kept{freight: f.Name, reason: fmt.Sprintf("%s is on its way, and is to soak first", versionOfFreight(f))}
	}
	cur := Current(o.Stage, origin)
	if cur == nil {
		return nil
	}
	f := o.FreightByName(cur.Freight)
	if f == nil || !isGoodHere(o, f, cur) {
		return nil
	}
	var out *kept
	for i := range o.Stages {
		d := &o.Stages[i]
		k := waitsFor(o, d, f)
		if k != nil && (out == nil || out.until.IsZero() || !k.until.IsZero() && k.until.After(out.until)) {
			out = k
		}
	}
	return out
}

// isSoakAsked reports whether a Stage asks for soak of the origin here.
func isSoakAsked(o *Observation, origin string) bool {
	for i := range o.Stages { // by index: a Stage is large to copy
		if soakAskedBy(&o.Stages[i], o.Stage.Name, origin) > 0 {
			return true
		}
	}
	return false
}

// soakAskedBy returns how long Stage d wants Freight of the origin to have
// soaked in the Stage of that name; zero: not at all.
func soakAskedBy(d *v1alpha1.Stage, stage, origin string) time.Duration {
	r := Request(d, origin)
	if r == nil || !slices.Contains(r.Sources.Stages, stage) {
		return 0
	}
	return soakNeeded(&r.Sources)
}

// isGoodHere reports whether f, which is current, has run well so far.
func isGoodHere(o *Observation, f *v1alpha1.Freight, cur *v1alpha1.StageFreight) bool {
	if h := o.Stage.Status.Health; h != nil && len(o.Stage.Spec.Deploy) > 0 && (h.Status == v1alpha1.HealthDegraded || h.Status == v1alpha1.HealthMissing) {
		return false
	}
	if isRejected(o, o.Stage.Name, f.Name) {
		return false
	}
	if f.Status.Stages[o.Stage.Name].VerifiedAt != nil {
		return true
	}
	// Its record follows the end of its Promotion by a moment.
	for i := range o.Promotions {
		if p := &o.Promotions[i]; p.Name == cur.Promotion {
			return p.Status.Phase == v1alpha1.PhaseSucceeded
		}
	}
	return false
}

func isRejected(o *Observation, stage, freight string) bool {
	for i := range o.Freezes {
		if z := &o.Freezes[i]; slices.Contains(z.Spec.Freight, freight) && isInForce(z, stage, o.Now) {
			return true
		}
	}
	return false
}

// waitsFor returns what Stage d downstream still waits for of f, which is
// current here; nil when nothing: it has it, has something newer, tried it, does
// not want it, or somebody has stopped its flow.
func waitsFor(o *Observation, d *v1alpha1.Stage, f *v1alpha1.Freight) *kept {
	need := soakAskedBy(d, o.Stage.Name, f.Origin.Name)
	if need == 0 || d.DeletionTimestamp != nil || isRejected(o, d.Name, f.Name) {
		return nil
	}
	if rec := f.Status.Stages[d.Name]; rec.EnteredAt != nil || rec.VerifiedAt != nil {
		return nil
	}
	if cur := Current(d, f.Origin.Name); cur != nil && cur.Order >= f.Order {
		return nil
	}
	if last := d.Status.LastPromotion; last != nil && last.Freight == f.Name {
		return nil
	}
	rec := f.Status.Stages[o.Stage.Name]
	state, at := soakIn(&rec, need, o.Now)
	switch state {
	case soakRunning:
		return &kept{freight: f.Name, until: at, reason: fmt.Sprintf("%s soaks for %q until %s", versionOfFreight(f), d.Name, stamp(at))}
	case soakIdle:
		return &kept{freight: f.Name, reason: fmt.Sprintf("%s is to soak for %q, and the clock is not running", versionOfFreight(f), d.Name)}
	}
	if !flows(o, d) {
		return nil // it has soaked; the rest is up to people
	}
	return &kept{freight: f.Name, reason: fmt.Sprintf("%s has soaked, and %q is about to take it", versionOfFreight(f), d.Name)}
}

// flows reports whether Stage d takes Freight by itself now.
func flows(o *Observation, d *v1alpha1.Stage) bool {
	if IsControlFlow(d) {
		return true
	}
	if !d.Spec.AutoPromotion.Enabled || d.Spec.Approval != nil {
		return false
	}
	there := &Observation{Now: o.Now, Stage: d, Freezes: o.Freezes, Windows: o.Windows}
	return heldBy(liveFreezes(there)) == nil && freezeGate(there, Ask{Automatic: true}).Open
}

func versionOfFreight(f *v1alpha1.Freight) string {
	return orText(f.Artifacts().Version(), short(f.Name))
}
