package history

import (
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Question is what Measure is asked.
type Question struct {
	// Counts reports whether what happened in the Promotion's Stage counts.
	Counts func(p *Promotion) bool
	// From (inclusive) and Until (exclusive) bound when a deploy was pushed.
	From, Until time.Time
	// Made returns when the Freight of a Promotion was made; zero when nobody knows
	// any more.
	Made func(p *Promotion) time.Time
}

// Insights say how delivery went, as far as records tell (the measures of DORA,
// https://dora.dev/guides/dora-metrics/). A count of 0 means that nothing is
// known, not that it went well.
type Insights struct {
	// Deploys: promotions whose commits arrived, whatever became of them. A
	// rollback is none, nor is what ended before it wrote anything.
	Deploys int
	// Judged are those of them that ended well or badly; Failed those that ended
	// badly: Failed, or taken back later.
	Judged, Failed int
	// Restored is how long it took from the push of a failed deploy until the next
	// promotion or rollback of the Stage was Healthy; Unrestored counts the failed
	// ones that nothing has followed yet.
	Restored   Durations
	Unrestored int
	// Rework counts deploys that look unplanned: those that passed a closed gate, and
	// those that came within a day after a failed one of their Stage.
	Rework int
	// LeadTime is how long new Freight took to be Healthy: from its newest commit
	// if all of it has one with a date (FromCommit), else from when it was made.
	LeadTime   Durations
	FromCommit bool
	// Parts are where the time went of new Freight that is Healthy, from when it was
	// made; of Freight of which that is known.
	Parts []DeliveryPart
	// Days of the range, in UTC, oldest first.
	Days []Day
	// Failures are the failed deploys, newest first.
	Failures []Failure
}

// PartName names a stretch of the way of new Freight into a Stage.
type PartName string

// The parts, in their order: until a Promotion was asked for (the Stages before,
// soak, somebody who decides), until it started (approvals, freezes, windows),
// until all its steps had run, and until the Stage was Healthy and checked.
const (
	PartAsked   PartName = "asked"
	PartStarted PartName = "started"
	PartPushed  PartName = "pushed"
	PartHealthy PartName = "healthy"
)

// DeliveryPart is one of them; Share is its part of all the time, from 0 to 1.
type DeliveryPart struct {
	Name PartName
	Durations
	Share float64
}

// Day is what was deployed on one.
type Day struct {
	At              time.Time
	Deploys, Failed int
}

// Failure is a failed deploy and what restored the Stage; nil: nothing yet.
type Failure struct{ Deploy, Restored *Promotion }

// reworkWithin is how soon after a failed deploy another one is taken for its fix.
const reworkWithin = 24 * time.Hour

// Durations sum up some lengths of time.
type Durations struct {
	Count                int
	Median, P90, Longest time.Duration
}

// Measure computes Insights from the records of Promotions, in any order.
func Measure(records []Promotion, q Question) Insights {
	var pushed []*Promotion
	for i := range records {
		if p := &records[i]; !p.PushedAt.IsZero() && q.Counts(p) {
			pushed = append(pushed, p)
		}
	}
	slices.SortFunc(pushed, byPush)
	out := Insights{Days: daysOf(q.From, q.Until)}
	var restored []time.Duration
	var arrived []*Promotion
	type arrival struct{ project, stage, freight string }
	seen := map[arrival]bool{}
	lastDeploy := map[string]*Promotion{}
	for i, p := range pushed {
		if p.Kind == string(v1alpha1.KindRollback) {
			continue
		}
		before := lastDeploy[p.Project+"/"+p.Stage]
		lastDeploy[p.Project+"/"+p.Stage] = p
		key := arrival{p.Project, p.Stage, p.Freight.Name}
		isNew := !seen[key]
		seen[key] = seen[key] || p.isGood()
		if p.PushedAt.Before(q.From) || !p.PushedAt.Before(q.Until) {
			continue
		}
		day := &out.Days[int(p.PushedAt.Sub(out.Days[0].At)/(24*time.Hour))]
		out.Deploys, day.Deploys = out.Deploys+1, day.Deploys+1
		if len(p.Bypassed) > 0 || before != nil && before.isBad() && p.PushedAt.Sub(before.PushedAt) <= reworkWithin {
			out.Rework++
		}
		switch {
		case p.isBad():
			out.Judged, out.Failed, day.Failed = out.Judged+1, out.Failed+1, day.Failed+1
			next := nextGood(pushed[i+1:], p)
			out.Failures = append(out.Failures, Failure{Deploy: p, Restored: next})
			if next != nil {
				restored = append(restored, next.FinishedAt.Sub(p.PushedAt))
			} else {
				out.Unrestored++
			}
		case p.isGood():
			out.Judged++
			if isNew {
				arrived = append(arrived, p)
			}
		}
	}
	slices.Reverse(out.Failures)
	out.Restored = durationsOf(restored)
	out.Parts = partsOf(arrived, q.Made)
	out.LeadTime, out.FromCommit = leadTimes(arrived, q.Made)
	return out
}

// isGood reports whether the Promotion ended well and nothing took it back.
func (p *Promotion) isGood() bool {
	return p.Phase == string(v1alpha1.PhaseSucceeded) && !p.FinishedAt.IsZero()
}

// isBad reports whether what was pushed turned out bad. Checks that somebody
// stopped, or that came to no result, say nothing.
func (p *Promotion) isBad() bool {
	switch v1alpha1.PromotionPhase(p.Phase) {
	case v1alpha1.PhaseRolledBack:
		return true
	case v1alpha1.PhaseFailed:
		return p.Verification == nil || p.Verification.Phase != v1alpha1.CheckInconclusive && p.Verification.Phase != v1alpha1.CheckAborted
	default:
		return false
	}
}

// nextGood returns the first of the later ones that made the Stage of p Healthy.
func nextGood(later []*Promotion, p *Promotion) *Promotion {
	for _, next := range later {
		if next.Project == p.Project && next.Stage == p.Stage && next.isGood() {
			return next
		}
	}
	return nil
}

// leadTimes measures all from one kind of beginning, so that they can be compared.
func leadTimes(arrived []*Promotion, made func(*Promotion) time.Time) (Durations, bool) {
	beginnings := func(of func(*Promotion) time.Time) []time.Duration {
		var out []time.Duration
		for _, p := range arrived {
			if begin := of(p); !begin.IsZero() && begin.Before(p.FinishedAt) {
				out = append(out, p.FinishedAt.Sub(begin))
			}
		}
		return out
	}
	if fromCommit := beginnings(newestCommit); len(fromCommit) > 0 && len(fromCommit) == len(arrived) {
		return durationsOf(fromCommit), true
	}
	return durationsOf(beginnings(made)), false
}

// partsOf sums up where the time went, of Freight of which all instants are known.
func partsOf(arrived []*Promotion, made func(*Promotion) time.Time) []DeliveryPart {
	names := []PartName{PartAsked, PartStarted, PartPushed, PartHealthy}
	took := make([][]time.Duration, len(names))
	var whole time.Duration
	for _, p := range arrived {
		at := []time.Time{made(p), p.CreatedAt, p.StartedAt, p.PushedAt, p.FinishedAt}
		if at[0].IsZero() || !slices.IsSortedFunc(at, time.Time.Compare) {
			continue
		}
		for i := range names {
			took[i] = append(took[i], at[i+1].Sub(at[i]))
		}
		whole += at[len(names)].Sub(at[0])
	}
	if whole == 0 {
		return nil
	}
	out := make([]DeliveryPart, len(names))
	for i, name := range names {
		var sum time.Duration
		for _, d := range took[i] {
			sum += d
		}
		out[i] = DeliveryPart{Name: name, Durations: durationsOf(took[i]), Share: float64(sum) / float64(whole)}
	}
	return out
}

// daysOf returns the days of a range, in UTC.
func daysOf(from, until time.Time) []Day {
	var out []Day
	for at := from.UTC().Truncate(24 * time.Hour); at.Before(until); at = at.AddDate(0, 0, 1) {
		out = append(out, Day{At: at})
	}
	return out
}

// newestCommit is the date of the newest commit in what was promoted; zero without
// one.
func newestCommit(p *Promotion) time.Time {
	var newest time.Time
	for _, c := range p.Freight.Commits {
		if c.Date != nil && c.Date.After(newest) {
			newest = c.Date.Time
		}
	}
	return newest
}

// durationsOf sums up; half of all are at most the median, nine of ten at most P90.
func durationsOf(ds []time.Duration) Durations {
	if len(ds) == 0 {
		return Durations{}
	}
	slices.Sort(ds)
	at := func(percent int) time.Duration { return ds[(len(ds)*percent+99)/100-1] }
	return Durations{Count: len(ds), Median: at(50), P90: at(90), Longest: ds[len(ds)-1]}
}
