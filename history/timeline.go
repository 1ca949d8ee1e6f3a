package history

import (
	"cmp"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Place is a Stage as it is now, for Lanes.
type Place struct {
	Stage string
	// Origins that it takes Freight of, in the order of its requests.
	Origins []string
	// Current is what it runs, one per origin.
	Current []v1alpha1.StageFreight
}

// Lane is what a Stage ran of one origin, oldest first. Its spans do not overlap.
type Lane struct {
	Stage, Origin string
	Spans         []Span
	// Older is how many spans of the range were left out before the first.
	Older int
}

// Span is a stretch of time in which a Stage ran one Freight.
type Span struct {
	Freight Freight
	// From is when it was written to the branch; zero when nobody knows since when
	// it was there.
	From time.Time
	// Until is when other Freight replaced it; zero when it ran on.
	Until time.Time
	// By is the newest Promotion that brought it, EndedBy the one that replaced it:
	// a name and nothing else when there is no record, nil when nobody knows.
	By, EndedBy *Promotion
}

// IsRolledBack reports whether a rollback ended the span.
func (s *Span) IsRolledBack() bool {
	return s.EndedBy != nil && s.EndedBy.Kind == string(v1alpha1.KindRollback)
}

// Lanes returns what ran where between from (inclusive) and until (exclusive):
// for each place and each of its origins a lane, with at most the newest most spans.
//
// A Stage runs what the last Promotion wrote that got all its commits to their
// branches, whatever became of it afterwards: one that ended before that makes no
// span. What the Stage says it runs counts where no record says how it came; a
// Promotion says what ran before it.
func Lanes(places []Place, records []Promotion, from, until time.Time, most int) []Lane {
	pushed := map[string][]*Promotion{}
	for i := range records {
		if p := &records[i]; !p.PushedAt.IsZero() && p.PushedAt.Before(until) {
			pushed[p.Stage] = append(pushed[p.Stage], p)
		}
	}
	for _, ps := range pushed {
		slices.SortFunc(ps, byPush)
	}
	var out []Lane
	for _, place := range places {
		for _, origin := range place.Origins {
			spans := withCurrent(spansOf(pushed[place.Stage], origin), place.Current, origin, until)
			spans = slices.DeleteFunc(spans, func(s Span) bool {
				return !s.Until.IsZero() && (!s.Until.After(from) || s.Until.Equal(s.From))
			})
			older := max(0, len(spans)-most)
			out = append(out, Lane{Stage: place.Stage, Origin: origin, Spans: spans[older:], Older: older})
		}
	}
	return out
}

// byPush orders records by when their commits arrived.
func byPush(a, b *Promotion) int {
	return cmp.Or(a.PushedAt.Compare(b.PushedAt), cmp.Compare(a.Seq, b.Seq))
}

// spansOf returns what Promotions of one Stage, in the order of their pushes,
// made it run of an origin.
func spansOf(pushed []*Promotion, origin string) []Span {
	var out []Span
	for _, p := range pushed {
		f := p.brings(origin)
		if f == nil {
			continue
		}
		if before := inOrigin(p.From, origin); len(out) == 0 && before != nil {
			out = append(out, Span{Freight: *before})
		}
		if len(out) > 0 && out[len(out)-1].Freight.Name == f.Name {
			if last := &out[len(out)-1]; f.Name == p.Freight.Name || f.Name == p.To.Name {
				last.By = p // and not only carried along
			}
			continue
		}
		out = append(end(out, p.PushedAt, p), Span{Freight: *f, From: p.PushedAt, By: p})
	}
	return out
}

// withCurrent ends the spans with what the Stage says it runs, if that came
// before until in a way of which there is no record.
func withCurrent(spans []Span, current []v1alpha1.StageFreight, origin string, until time.Time) []Span {
	i := slices.IndexFunc(current, func(c v1alpha1.StageFreight) bool { return c.Origin == origin })
	if i < 0 || current[i].Since == nil || !current[i].Since.Time.Before(until) {
		return spans
	}
	c, since := current[i], current[i].Since.UTC()
	if len(spans) > 0 {
		last := &spans[len(spans)-1]
		// Of a Stage, instants are whole seconds.
		if last.Freight.Name == c.Freight || last.From.Truncate(time.Second).After(since) {
			return spans
		}
	}
	now := Span{Freight: freightOf(c.Freight, "", c.Origin, c.Artifacts()), From: since}
	if c.Promotion != "" {
		now.By = &Promotion{Name: c.Promotion}
	}
	return append(end(spans, since, now.By), now)
}

// end ends the last of the spans.
func end(spans []Span, at time.Time, by *Promotion) []Span {
	if len(spans) > 0 {
		last := &spans[len(spans)-1]
		last.Until, last.EndedBy = at, by
	}
	return spans
}

// brings returns what the Stage runs of an origin after the Promotion; nil when
// that is not known.
func (p *Promotion) brings(origin string) *Freight {
	if f := inOrigin(p.Collection, origin); f != nil {
		return f
	}
	f := &p.Freight
	if p.Kind == string(v1alpha1.KindRollback) {
		f = &p.To
	}
	if f.Name == "" || f.Origin != origin {
		return nil
	}
	return f
}

func inOrigin(fs []Freight, origin string) *Freight {
	if i := slices.IndexFunc(fs, func(f Freight) bool { return f.Origin == origin }); i >= 0 {
		return &fs[i]
	}
	return nil
}
