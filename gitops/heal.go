package gitops

import (
	"maps"
	"slices"
	"time"
)

// What page 04 says of healing: every drift is healed at once; five heals of
// the same fields of an object within ten minutes mean that somebody fights,
// who is named, and from then on the pauses grow until ten minutes were quiet.
const (
	contestWindow = 10 * time.Minute
	// ContestAfter is the number of heals that make a contest.
	ContestAfter   = 5
	firstHealPause = time.Second
	maxHealPause   = 5 * time.Minute
)

// HealLog remembers the recent heals of one object. The zero value is an
// object that was never healed.
type HealLog struct {
	heals []heal
}

type heal struct {
	at     time.Time
	fields string
	rival  string
}

// Healed records a heal at now. fields identify what was changed (any text that
// is equal for equal fields), rival is the field manager that changed it.
func (l *HealLog) Healed(now time.Time, fields, rival string) {
	l.forget(now)
	l.heals = append(l.heals, heal{now, fields, rival})
}

func (l *HealLog) forget(now time.Time) {
	l.heals = slices.DeleteFunc(l.heals, func(h heal) bool { return now.Sub(h.at) >= contestWindow })
}

// Contest says whether the object is fought over at now, by whom (the manager
// of the latest heal of those fields; "" when unknown) and how often its fields
// were taken back within the last ten minutes.
func (l *HealLog) Contest(now time.Time) (rival string, heals int, contested bool) {
	counts := map[string]int{}
	for _, h := range l.heals {
		if now.Sub(h.at) < contestWindow {
			counts[h.fields]++
			if counts[h.fields] >= heals {
				heals, rival = counts[h.fields], h.rival
			}
		}
	}
	return rival, heals, heals >= ContestAfter
}

// Next returns the earliest time at which fields may be healed: at once until
// they are contested, then one second after the last heal, doubling with every
// further one up to five minutes.
func (l *HealLog) Next(now time.Time, fields string) time.Time {
	var last time.Time
	n := 0
	for _, h := range l.heals {
		if h.fields == fields && now.Sub(h.at) < contestWindow {
			n, last = n+1, h.at
		}
	}
	if n < ContestAfter {
		return now
	}
	pause := firstHealPause
	for range n - ContestAfter {
		pause = min(2*pause, maxHealPause)
	}
	return last.Add(pause)
}

// QuietAt returns the earliest instant at which a contest may be over: when the
// oldest heal is forgotten.
func (l *HealLog) QuietAt(now time.Time) time.Time {
	l.forget(now)
	if len(l.heals) == 0 {
		return now
	}
	return l.heals[0].at.Add(contestWindow)
}

// IsQuiet reports whether nothing is remembered any more at now.
func (l *HealLog) IsQuiet(now time.Time) bool {
	l.forget(now)
	return len(l.heals) == 0
}

// Breaker stops healing when most of an Application has drifted at once: a
// mistake of somebody with a wide reach (a deleted namespace, a mass edit) is
// then answered by one ordered sync after a pause instead of a storm of single
// repairs. The zero value is closed: healing flows.
type Breaker struct {
	drifted map[Key]time.Time // not healed yet
	trips   int
	opened  time.Time
	resumes time.Time
}

const (
	breakerWindow   = 30 * time.Second
	breakerMinimum  = 10 // drifts; fewer never trip it
	breakerPause    = 10 * time.Second
	breakerMaxPause = 5 * time.Minute
	breakerForget   = 30 * time.Minute
)

// Drifted records that an object of an Application with total objects drifted,
// and reports whether healing has to pause from now on. It trips when more than
// half of the objects, and more than ten, drifted within 30 seconds and are not
// healed: drifts that are taken back one after the other are no storm, however
// many.
func (b *Breaker) Drifted(now time.Time, key Key, total int) (tripped bool) {
	maps.DeleteFunc(b.drifted, func(_ Key, at time.Time) bool { return now.Sub(at) >= breakerWindow })
	if b.drifted == nil {
		b.drifted = map[Key]time.Time{}
	}
	b.drifted[key] = now
	if b.IsOpen(now) || len(b.drifted) <= breakerMinimum || 2*len(b.drifted) <= total {
		return false
	}
	if now.Sub(b.opened) > breakerForget {
		b.trips = 0
	}
	pause := breakerPause
	for range b.trips {
		pause = min(6*pause, breakerMaxPause)
	}
	b.trips++
	b.opened, b.resumes = now, now.Add(pause)
	b.drifted = nil
	return true
}

// Healed records that an object is as Git says again.
func (b *Breaker) Healed(key Key) { delete(b.drifted, key) }

// IsOpen reports whether healing is paused at now.
func (b *Breaker) IsOpen(now time.Time) bool { return now.Before(b.resumes) }

// Resumes returns when healing goes on; meaningful while IsOpen.
func (b *Breaker) Resumes() time.Time { return b.resumes }
