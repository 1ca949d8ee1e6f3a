package replicas

import (
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// forgetAfter is how many Lease times a replica that is gone is remembered, and its
// Lease kept.
const forgetAfter = 10

// record is what a Lease says of its replica.
type record struct {
	id string
	// version is the Lease's resourceVersion: all that is known of its time.
	version string
	epoch   int64
	// isReleased: its replica has ended all its work and is no more.
	isReleased bool
}

// view is what a replica knows of the others. It compares no clock with another: a
// Lease counts as over when it did not change for its duration of our own time.
//
// It changes with a list alone, so that a replica which cannot read sees nobody die.
type view struct {
	duration time.Duration
	seen     map[string]*sighting
	// first and last list.
	first, last time.Time
}

type sighting struct {
	record
	// changed is when this version was first seen.
	changed time.Time
	// missing is when the Lease was first not there; zero: it is.
	missing time.Time
}

// listed takes in the Leases there are.
func (v *view) listed(now time.Time, records []record) {
	if v.first.IsZero() {
		v.first = now
	}
	v.last = now
	there := make(map[string]bool, len(records))
	for _, r := range records {
		there[r.id] = true
		s := v.seen[r.id]
		if s == nil {
			s = &sighting{}
			v.seen[r.id] = s
		}
		if s.version != r.version {
			s.changed = now
		}
		s.record, s.missing = r, time.Time{}
	}
	for id, s := range v.seen {
		switch {
		case there[id]:
		case s.missing.IsZero():
			s.missing = now
		case now.Sub(s.missing) > forgetAfter*v.duration:
			delete(v.seen, id)
		}
	}
}

// isOver reports whether no replica works by this Lease any more.
func (v *view) isOver(s *sighting) bool {
	if !s.missing.IsZero() {
		return s.isReleased || v.last.Sub(s.missing) >= v.duration
	}
	return s.isReleased || v.last.Sub(s.changed) >= v.duration
}

// live returns the replicas whose Leases run, sorted.
func (v *view) live() []string {
	var out []string
	for id, s := range v.seen {
		if s.missing.IsZero() && !v.isOver(s) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// isGone reports whether a holder works no more: its Lease is over, or it had to begin
// a new epoch meanwhile. One that was never seen had its time since our first list.
func (v *view) isGone(h v1alpha1.Holder) bool {
	s := v.seen[h.Replica]
	if s == nil {
		return v.hasWaited()
	}
	return v.isOver(s) || s.epoch > h.Epoch
}

// hasWaited says that a replica nobody ever saw would have been seen.
func (v *view) hasWaited() bool { return !v.first.IsZero() && v.last.Sub(v.first) >= v.duration }

// leftOver returns the Leases that nobody will miss.
func (v *view) leftOver() []record {
	var out []record
	for _, s := range v.seen {
		if s.missing.IsZero() && v.isOver(s) && v.last.Sub(s.changed) > forgetAfter*v.duration {
			out = append(out, s.record)
		}
	}
	return out
}
