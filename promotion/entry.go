package promotion

import (
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// entryRules answers for many Freight what the entry gates say to the automatic
// flow, without their sentences: a Stage is decided on at every event, and most
// of its Freight stays out. The gates are made of the same parts, and a property
// test keeps the two equal.
type entryRules struct {
	now      time.Time
	hold     *v1alpha1.Freeze
	rejected map[string]*v1alpha1.Freeze // by Freight
	refused  map[string]bool             // by Freight: what would ride along
	wanted   []WantedSignature
}

// requestRules are the entryRules for Freight of one origin.
type requestRules struct {
	*entryRules
	request *v1alpha1.FreightRequest
	only    only
}

// only narrows what the automatic flow takes of an origin.
type only struct {
	// match is what the upstream Stage runs, if that is what is taken.
	match     string
	isMatched bool
	// kept is what stays in the Stage until it has soaked, or nil.
	kept *kept
}

// newEntryRules reads once what holds for all Freight of the observed Stage.
func newEntryRules(o *Observation) *entryRules {
	live := liveFreezes(o)
	e := &entryRules{now: o.Now, hold: heldBy(live), refused: refusedForBase(o), wanted: o.Signatures}
	for _, z := range live {
		for _, name := range z.Spec.Freight {
			if _, known := e.rejected[name]; known {
				continue
			}
			if e.rejected == nil {
				e.rejected = map[string]*v1alpha1.Freeze{}
			}
			e.rejected[name] = z
		}
	}
	return e
}

// of returns the rules for Freight that the Stage requests with r.
func (e *entryRules) of(o *Observation, r *v1alpha1.FreightRequest) *requestRules {
	rules := &requestRules{entryRules: e, request: r}
	rules.only.match, rules.only.isMatched = upstreamCurrent(o, r)
	rules.only.kept = keepsForSoak(o, r.Origin.Name)
	return rules
}

// closed reports whether an entry gate is closed for f, which is of the origin,
// and the earliest instant at which one of those opens by itself; zero when none
// does.
func (e *requestRules) closed(f *v1alpha1.Freight) (isClosed bool, opens time.Time) {
	switch {
	case e.hold != nil:
		isClosed, opens = true, until(e.hold)
	case e.only.isMatched && e.only.match != f.Name:
		isClosed = true
	case e.only.kept != nil && e.only.kept.freight != f.Name:
		isClosed, opens = true, e.only.kept.until
	}
	if z := e.rejected[f.Name]; z != nil {
		isClosed, opens = true, earlier(opens, until(z))
	}
	isClosed = isClosed || isUnsigned(e.wanted, f)
	if e.request.Sources.Direct {
		return isClosed, opens
	}
	isClosed = isClosed || e.refused[f.Name]
	u := lookUpstream(&e.request.Sources, f, e.now)
	if !u.isAvailable() {
		isClosed = true
	}
	if !u.isSoaked() {
		isClosed, opens = true, earlier(opens, u.soakedAt())
	}
	return isClosed, opens
}

func until(z *v1alpha1.Freeze) time.Time {
	if z.Spec.Until == nil {
		return time.Time{}
	}
	return z.Spec.Until.Time
}

// upstream is how Freight stands with the Stages it has to come through.
type upstream struct {
	// all: every Stage is needed, else any.
	all bool
	// need is the soak time asked for; zero: none.
	need time.Duration
	// verified and missing count the Stages that verified the Freight and those
	// that did not; ready, soaking and idle those where it has soaked, where the
	// clock runs, and where it stands.
	verified, missing    int
	ready, soaking, idle int
	// first and last are when the clocks that run will have run long enough.
	first, last time.Time
}

// lookUpstream reads the Freight's records of the Stages that sources name.
// Others do not count.
func lookUpstream(sources *v1alpha1.FreightSources, f *v1alpha1.Freight, now time.Time) upstream {
	u := upstream{all: sources.AvailabilityStrategy == v1alpha1.AvailableFromAll, need: soakNeeded(sources)}
	for _, name := range sources.Stages {
		rec, known := f.Status.Stages[name]
		if !known || rec.VerifiedAt == nil {
			u.missing++
			u.idle++
			continue
		}
		u.verified++
		if u.need == 0 {
			continue
		}
		switch state, at := soakIn(&rec, u.need, now); state {
		case soakReady:
			u.ready++
		case soakRunning:
			u.soaking++
			u.first = earlier(u.first, at)
			if at.After(u.last) {
				u.last = at
			}
		default:
			u.idle++
		}
	}
	return u
}

// isAvailable reports whether enough Stages have verified the Freight.
func (u *upstream) isAvailable() bool { return isEnough(u.all, u.verified, u.missing) }

// isSoaked reports whether it has soaked in enough Stages.
func (u *upstream) isSoaked() bool { return u.need == 0 || isEnough(u.all, u.ready, u.soaking+u.idle) }

// soakedAt returns when it will have, if nothing happens: with any, when the
// first clock has run long enough; with all, the last, unless one stands. Zero
// when time alone is not enough.
func (u *upstream) soakedAt() time.Time {
	switch {
	case u.soaking == 0 || u.all && u.idle > 0:
		return time.Time{}
	case u.all:
		return u.last
	default:
		return u.first
	}
}

// soakNeeded returns the soak time that is asked for; zero: none.
func soakNeeded(sources *v1alpha1.FreightSources) time.Duration {
	if sources.Direct || sources.RequiredSoakTime == nil {
		return 0
	}
	return max(sources.RequiredSoakTime.Duration, 0)
}

// soakState is how far Freight has soaked in one Stage.
type soakState int

const (
	soakIdle    soakState = iota // the clock stands
	soakRunning                  // it runs
	soakReady                    // it has run long enough
)

// soakIn returns how far verified Freight has soaked in a Stage, and when it
// will be ready if the clock runs on.
func soakIn(rec *v1alpha1.FreightInStage, need time.Duration, now time.Time) (soakState, time.Time) {
	soak := &rec.Soak
	switch {
	case max(soak.Longest.Duration, soak.Accumulated.Duration) >= need:
		return soakReady, time.Time{}
	case soak.RunningSince == nil:
		return soakIdle, time.Time{}
	}
	at := soak.RunningSince.Add(need - soak.Accumulated.Duration)
	if !now.Before(at) {
		return soakReady, time.Time{}
	}
	return soakRunning, at
}

// isEnough reports whether as many Stages as are asked for say yes.
func isEnough(all bool, have, missing int) bool {
	if all {
		return missing == 0
	}
	return have > 0
}
