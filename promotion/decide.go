package promotion

import (
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Decision is what should happen to a Stage next.
type Decision struct {
	// Create is the automatic Promotion to create, or nil.
	Create *Candidate
	// Supersede lists Promotions that a newer automatic one replaces before
	// they started, by name.
	Supersede []Superseded
	// Recheck is the earliest instant at which time alone can change the
	// decision; zero when only an event can.
	Recheck time.Time
}

// Candidate is Freight that may enter the Stage by itself.
type Candidate struct {
	// Name of the Promotion.
	Name string
	// Seq is the number in the name.
	Seq int64
	// Freight to promote.
	Freight string
}

// Superseded is a Promotion that is not going to start.
type Superseded struct {
	// Name of the Promotion.
	Name string
	// By names the newer Promotion.
	By string
}

// Decide returns what should move into the observed Stage next.
//
// It is deterministic and idempotent: the same observation gives the same
// decision, and after the decision was carried out the next one is empty. At
// most one Promotion is created per call; with several origins the others
// follow in later calls.
func Decide(o *Observation) Decision {
	var d Decision
	d.Supersede = superseded(o)
	if o.Stage.DeletionTimestamp != nil {
		return d
	}
	if IsControlFlow(o.Stage) {
		d.Recheck = nextPass(o)
		return d
	}
	if !o.Stage.Spec.AutoPromotion.Enabled {
		return d
	}
	rules := newEntryRules(o)
	for i := range o.Stage.Spec.RequestedFreight {
		c, recheck := automaticCandidate(o, rules.of(o, &o.Stage.Spec.RequestedFreight[i]))
		d.Recheck = earlier(d.Recheck, recheck)
		if c != nil && d.Create == nil {
			seq := NextSeq(o.Stage, o.Promotions)
			d.Create = &Candidate{Name: Name(o.Stage.Name, seq, c.Name), Seq: seq, Freight: c.Name}
		}
	}
	return d
}

// MayPass reports whether Freight passes through a control-flow Stage: every
// gate is open.
func MayPass(o *Observation, f *v1alpha1.Freight) (bool, time.Time) {
	closed := Blocking(Gates(o, f, Ask{Automatic: true, Kind: v1alpha1.KindPromote}), "")
	return len(closed) == 0, EarliestOpening(closed)
}

// nextPass returns the earliest instant at which time alone lets Freight pass
// through a control-flow Stage.
func nextPass(o *Observation) time.Time {
	var at time.Time
	for i := range o.Freight {
		f := &o.Freight[i]
		if f.Status.Stages[o.Stage.Name].VerifiedAt != nil {
			continue
		}
		if _, opens := MayPass(o, f); !opens.IsZero() {
			at = earlier(at, opens)
		}
	}
	return at
}

// automaticCandidate returns the newest Freight of the requested origin (with
// MatchUpstream: what the upstream Stage runs) that may enter by itself and is newer than what is there or on its way, or nil; and
// when to look again: when something newer than that may open.
func automaticCandidate(o *Observation, rules *requestRules) (*v1alpha1.Freight, time.Time) {
	origin := rules.request.Origin.Name
	floor := newestInOrOnTheWay(o, origin) // never backwards by itself
	isAbove := func(f, other *v1alpha1.Freight) bool {
		return f.Order > floor && f.Origin.Name == origin && (other == nil || isNewerFreight(f, other))
	}
	var best *v1alpha1.Freight
	var recheck time.Time
	for i := range o.Freight {
		f := &o.Freight[i]
		if !isAbove(f, best) {
			continue
		}
		isClosed, opens := rules.closed(f)
		if isClosed {
			recheck = earlier(recheck, opens)
		} else if !hasFailedHere(o, f.Name) { // else a person decides whether to try again
			best = f
		}
	}
	if best == nil || recheck.IsZero() {
		return best, recheck
	}
	recheck = time.Time{}
	for i := range o.Freight { // some of those that wait may be older than best
		if f := &o.Freight[i]; isAbove(f, best) {
			_, opens := rules.closed(f)
			recheck = earlier(recheck, opens)
		}
	}
	return best, recheck
}

// upstreamCurrent returns the Freight that the upstream Stage runs, when that is
// what the Stage takes (selectionPolicy MatchUpstream).
func upstreamCurrent(o *Observation, r *v1alpha1.FreightRequest) (freight string, isMatched bool) {
	if o.Stage.Spec.AutoPromotion.SelectionPolicy != v1alpha1.SelectUpstream || r.Sources.Direct {
		return "", false
	}
	for i := range o.Stages {
		if slices.Contains(r.Sources.Stages, o.Stages[i].Name) {
			if cur := Current(&o.Stages[i], r.Origin.Name); cur != nil {
				return cur.Freight, true
			}
		}
	}
	return "", true
}

// isNewerFreight orders Freight of one origin.
func isNewerFreight(a, b *v1alpha1.Freight) bool {
	if a.Order != b.Order {
		return a.Order > b.Order
	}
	return a.Name < b.Name
}

// newestInOrOnTheWay returns the highest order of the origin's Freight that is
// in the Stage or in an unfinished Promotion; 0 when there is none.
func newestInOrOnTheWay(o *Observation, origin string) int64 {
	var floor int64
	if cur := Current(o.Stage, origin); cur != nil {
		floor = cur.Order
		if f := o.FreightByName(cur.Freight); f != nil {
			floor = max(floor, f.Order)
		}
	}
	for i := range o.Promotions {
		p := &o.Promotions[i]
		if p.Spec.Stage != o.Stage.Name || p.Status.Phase.IsFinished() || p.Spec.Kind == v1alpha1.KindRollback {
			continue
		}
		if f := o.FreightByName(p.Spec.Freight); f != nil && f.Origin.Name == origin {
			floor = max(floor, f.Order)
		}
	}
	return floor
}

// hasFailedHere reports whether the last Promotion of the Freight into the
// Stage ended badly: Failed, Aborted or RolledBack. One that was never let in
// says nothing about the Freight.
func hasFailedHere(o *Observation, freight string) bool {
	var tries []*v1alpha1.Promotion
	for i := range o.Promotions {
		if p := &o.Promotions[i]; p.Spec.Freight == freight && p.Spec.Stage == o.Stage.Name && p.Spec.Kind != v1alpha1.KindRollback {
			tries = append(tries, p)
		}
	}
	sortBySeq(tries)
	failed := false
	for _, p := range tries {
		switch p.Status.Phase {
		case v1alpha1.PhaseFailed, v1alpha1.PhaseAborted, v1alpha1.PhaseRolledBack:
			failed = failed || !wasNotLetIn(p)
		case v1alpha1.PhaseSucceeded:
			failed = false
		}
	}
	return failed
}

// wasNotLetIn reports whether a Promotion ended before anything was looked at
// or done.
func wasNotLetIn(p *v1alpha1.Promotion) bool {
	return p.Status.Phase == v1alpha1.PhaseFailed && p.Status.Reason != ReasonRejected && isRefusal(p.Status.Reason)
}

// isRefusal reports whether a Promotion that failed with reason was refused before
// anything was done: that says nothing bad about the Stage.
func isRefusal(reason string) bool {
	switch reason {
	case ReasonGateClosed, ReasonRejected, ReasonNumberTaken, ReasonNumberTooHigh:
		return true
	default:
		return false
	}
}

// superseded lists automatic Promotions that have not touched Git, that nobody
// has approved, and that a newer automatic Promotion of the same origin replaces.
func superseded(o *Observation) []Superseded {
	var unfinished []*v1alpha1.Promotion
	for i := range o.Promotions {
		if p := &o.Promotions[i]; automaticUnfinished(o, p) != nil {
			unfinished = append(unfinished, p)
		}
	}
	if len(unfinished) < 2 {
		return nil
	}
	sortBySeq(unfinished)
	newest := map[string]*v1alpha1.Promotion{}
	order := map[string]int64{}
	for _, p := range unfinished {
		f := automaticUnfinished(o, p)
		if f.Order > order[f.Origin.Name] {
			newest[f.Origin.Name], order[f.Origin.Name] = p, f.Order
		}
	}
	var out []Superseded
	for _, p := range unfinished {
		f := automaticUnfinished(o, p)
		if HasTouchedGit(p) || HasApproval(o, p) {
			continue // what somebody has approved goes first (02)
		}
		if by := newest[f.Origin.Name]; by != nil && f.Order < order[f.Origin.Name] {
			out = append(out, Superseded{Name: p.Name, By: by.Name})
		}
	}
	return out
}

// automaticUnfinished returns the Freight of an automatic promotion into the
// Stage that has not ended, or nil.
func automaticUnfinished(o *Observation, p *v1alpha1.Promotion) *v1alpha1.Freight {
	if !p.Spec.Automatic || p.Spec.Kind == v1alpha1.KindRollback || p.Spec.Stage != o.Stage.Name || p.Status.Phase.IsFinished() {
		return nil
	}
	return o.FreightByName(p.Spec.Freight)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
