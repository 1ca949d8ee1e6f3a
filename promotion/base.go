package promotion

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// NeedsSameBase reports whether the Stage takes the Freight only on the base that
// it was verified with upstream.
func NeedsSameBase(s *v1alpha1.Stage, f *v1alpha1.Freight) bool {
	r := Request(s, f.Origin.Name)
	return r != nil && r.Sources.RequireSameBase && !r.Sources.Direct
}

// VerifiedBases returns the bases with which the upstream Stages of the request
// have verified the Freight, in the order the request names the Stages. A Stage
// that verified it and whose base nobody recorded has one without a commit.
func VerifiedBases(r *v1alpha1.FreightRequest, f *v1alpha1.Freight) []v1alpha1.UpstreamBase {
	var out []v1alpha1.UpstreamBase
	for _, name := range r.Sources.Stages {
		rec, known := f.Status.Stages[name]
		switch {
		case !known || rec.VerifiedAt == nil:
		case len(rec.Bases) == 0:
			out = append(out, v1alpha1.UpstreamBase{Stage: name})
		default:
			for _, b := range rec.Bases {
				out = append(out, v1alpha1.UpstreamBase{Stage: name, PlanBase: b})
			}
		}
	}
	return out[:min(len(out), maxVerified)]
}

// maxVerified is what the CRD takes of bases of upstream Stages.
const maxVerified = 64

// baseGate is closed when something untested would ride along. Only a plan knows
// that: without one, the last Promotion that was refused for it speaks, as long as
// nothing was verified upstream since.
func baseGate(o *Observation, f *v1alpha1.Freight, ask Ask) v1alpha1.GateVerdict {
	var riding *v1alpha1.RidingAlong
	switch {
	case ask.Plan != nil:
		riding = ask.Plan.RidingAlong
	case ask.Promotion == "":
		riding = lastRefusal(o, f)
	}
	if riding == nil && ask.Plan == nil {
		return open(v1alpha1.GateBase, GroupEntry, "what was not tested upstream is looked for when it is planned")
	}
	if riding == nil {
		return open(v1alpha1.GateBase, GroupEntry, "nothing rides along that was not tested upstream")
	}
	stages := Request(o.Stage, f.Origin.Name).Sources.Stages
	again := riding.Stage
	if again == "" {
		again = stages[0]
	}
	return closed(v1alpha1.GateBase, GroupEntry, ridingText(riding),
		fmt.Sprintf("its verification with the present base: waybill promote %s %s/%s", f.Name, o.Stage.Namespace, again))
}

func ridingText(r *v1alpha1.RidingAlong) string {
	if len(r.Commits) == 0 {
		return r.Unknown + " (requireSameBase)"
	}
	c := r.Commits[0]
	return fmt.Sprintf("commit %s by %s (%s)%s would ride along, not tested in %q (requireSameBase)",
		short(c.Commit), c.Author, c.Subject, andMore(len(r.Commits)-1), r.Stage)
}

// WasRefusedForBase reports whether a Promotion was not let in for what would
// have come along.
func WasRefusedForBase(p *v1alpha1.Promotion) bool {
	return p.Status.Phase == v1alpha1.PhaseFailed && p.Status.Reason == ReasonGateClosed && p.Status.Plan != nil && p.Status.Plan.RidingAlong != nil
}

// lastRefusal returns for what the last Promotion of the Freight was refused, if
// that still holds, or nil.
func lastRefusal(o *Observation, f *v1alpha1.Freight) *v1alpha1.RidingAlong {
	var last *v1alpha1.Promotion
	for i := range o.Promotions {
		p := &o.Promotions[i]
		isPlanned := p.Spec.Freight == f.Name && p.Spec.Stage == o.Stage.Name && p.Spec.Kind != v1alpha1.KindRollback && p.Status.Plan != nil
		if isPlanned && (last == nil || Seq(p.Name) > Seq(last.Name)) {
			last = p
		}
	}
	r := Request(o.Stage, f.Origin.Name)
	if last == nil || r == nil || !WasRefusedForBase(last) || !slices.Equal(last.Status.Plan.RidingAlong.Verified, VerifiedBases(r, f)) {
		return nil
	}
	return last.Status.Plan.RidingAlong
}

// refusedForBase returns the Freight for which the gate base is closed, by name;
// nil when the Stage does not ask.
func refusedForBase(o *Observation) map[string]bool {
	var out map[string]bool
	for i := range o.Promotions {
		p := &o.Promotions[i]
		f := o.FreightByName(p.Spec.Freight)
		if f == nil || !WasRefusedForBase(p) || !NeedsSameBase(o.Stage, f) || lastRefusal(o, f) == nil {
			continue
		}
		if out == nil {
			out = map[string]bool{}
		}
		out[f.Name] = true
	}
	return out
}

// Untested is what one upstream Stage has not run of a base.
type Untested struct {
	// Stage upstream.
	Stage string
	// Commits since it verified the Freight; none when its base is the same.
	Commits []v1alpha1.RidingCommit
	// Unknown says why nobody can tell.
	Unknown string
}

func (u *Untested) isAnything() bool { return len(u.Commits) > 0 || u.Unknown != "" }

// RidesAlong returns what rides along by what each upstream Stage has not run:
// with OneOf the Stage that ran the most of it counts, with All the one that ran
// the least. nil when nothing does.
func RidesAlong(r *v1alpha1.FreightRequest, f *v1alpha1.Freight, each []Untested) *v1alpha1.RidingAlong {
	if len(each) == 0 {
		return nil // not verified anywhere, which the gate upstream says
	}
	weight := func(u Untested) int {
		if u.Unknown != "" {
			return math.MaxInt
		}
		return len(u.Commits)
	}
	byWeight := func(a, b Untested) int { return cmp.Compare(weight(a), weight(b)) }
	chosen := slices.MinFunc(each, byWeight)
	if r.Sources.AvailabilityStrategy == v1alpha1.AvailableFromAll {
		chosen = slices.MaxFunc(each, byWeight)
	}
	if !chosen.isAnything() {
		return nil
	}
	return &v1alpha1.RidingAlong{
		Stage: chosen.Stage, Commits: chosen.Commits[:min(len(chosen.Commits), maxRiding)], Unknown: Shorten(strings.TrimSpace(chosen.Unknown), 1024),
		Verified: VerifiedBases(r, f),
	}
}

// maxRiding is how many commits a plan lists that ride along.
const maxRiding = 20
