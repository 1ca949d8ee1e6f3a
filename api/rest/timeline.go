package rest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion"
)

// Bounds of what one may ask about the past.
const (
	defaultRange = 14 * 24 * time.Hour
	maxRange     = 90 * 24 * time.Hour
	// lookBack is how much earlier than the range a Promotion may have been asked
	// for: it brought what ran at the beginning, or waited until then.
	lookBack = 30 * 24 * time.Hour
	// maxSpans of a lane, and maxRecords that are read for an answer.
	maxSpans   = 200
	maxRecords = 5000
)

// Timeline returns what ran where.
func (s *Server) Timeline(ctx context.Context, request TimelineRequestObject) (TimelineResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	q := request.Params
	from, until, err := rangeOf(q.From, q.Until, v.now, defaultRange, maxRange)
	if err != nil {
		return nil, err
	}
	stages, err := v.stagesNamed(q.Stage)
	if err != nil {
		return nil, err
	}
	records, warning, err := s.records(ctx, v, from, until)
	if err != nil {
		return nil, err
	}
	counted := stages
	if len(q.Stage) == 0 {
		counted = v.lastStages()
	}
	out := model.Timeline{
		Project: v.project.Name, From: from, Until: until, Lanes: []model.TimelineLane{}, Warning: warning,
		Insights: v.insights(records, counted, from, until),
	}
	for _, l := range history.Lanes(placesOf(stages), records, from, until, maxSpans) {
		out.Lanes = append(out.Lanes, v.laneModel(l))
	}
	return Timeline200JSONResponse(out), nil
}

// rangeOf returns the range that is asked for in the past of now: usual long
// when only its end is given, and at most most.
func rangeOf(from, until, now time.Time, usual, most time.Duration) (time.Time, time.Time, error) {
	if until.IsZero() || until.After(now) {
		until = now
	}
	if from.IsZero() {
		from = until.Add(-usual)
	}
	from, until = from.UTC().Truncate(time.Second), until.UTC().Truncate(time.Second)
	switch {
	case from.Unix() < 0:
		return from, until, refuse(model.InvalidRequest, "from: nothing ran before 1970")
	case !from.Before(until):
		return from, until, refuse(model.InvalidRequest, "from %s is not before until %s", from.Format(time.RFC3339), until.Format(time.RFC3339))
	case until.Sub(from) > most:
		return from, until, refuse(model.InvalidRequest, "a range is at most %d days; this one has %d", days(most), days(until.Sub(from))).
			withHint("ask for less at a time, by from and until")
	}
	return from, until, nil
}

// days counts them; one that is not over counts.
func days(d time.Duration) int { return int(math.Ceil(d.Hours() / 24)) }

// stagesNamed returns the Stages of those names, all without any, upstream first.
func (v *projectView) stagesNamed(names []string) ([]*v1alpha1.Stage, error) {
	for _, name := range names {
		if _, err := v.stage(name); err != nil {
			return nil, err
		}
	}
	var out []*v1alpha1.Stage
	for i := range v.stages {
		if len(names) == 0 || slices.Contains(names, v.stages[i].Name) {
			out = append(out, &v.stages[i])
		}
	}
	return out, nil
}

// lastStages returns the Stages from which Freight goes nowhere else: where
// delivery ends.
func (v *projectView) lastStages() []*v1alpha1.Stage {
	isUpstream := map[string]bool{}
	for i := range v.stages {
		for _, up := range promotion.UpstreamOf(&v.stages[i]) {
			isUpstream[up] = true
		}
	}
	var out []*v1alpha1.Stage
	for i := range v.stages {
		if st := &v.stages[i]; !isUpstream[st.Name] && !promotion.IsControlFlow(st) {
			out = append(out, st)
		}
	}
	return out
}

func placesOf(stages []*v1alpha1.Stage) []history.Place {
	var out []history.Place
	for _, st := range stages {
		if !promotion.IsControlFlow(st) {
			out = append(out, history.Place{Stage: st.Name, Origins: originsOf(st), Current: st.Status.Current})
		}
	}
	return out
}

// records returns what is known of the Promotions of a Project that were asked
// for in the range or not too long before, in no order: of one that is an object,
// the object counts. The warning says why some may be missing.
func (s *Server) records(ctx context.Context, v *projectView, from, until time.Time) ([]history.Promotion, string, error) {
	stored, warning, err := s.storedRecords(ctx, history.Filter{Project: v.project.Name, From: from.Add(-lookBack), Until: until}, maxRecords)
	if err != nil {
		return nil, "", err
	}
	return withStored(v.liveRecords(), stored), warning, nil
}

// liveRecords returns the records of the Promotions that are objects.
func (v *projectView) liveRecords() []history.Promotion {
	find := func(name string) *v1alpha1.Freight { return v.freightByName[name] }
	out := make([]history.Promotion, 0, len(v.promotions))
	for i := range v.promotions {
		out = append(out, history.OfPromotion(&v.promotions[i], promotion.Seq(v.promotions[i].Name), find))
	}
	return out
}

// withStored adds records of what is no object any more.
func withStored(live, stored []history.Promotion) []history.Promotion {
	isLive := map[string]bool{}
	for i := range live {
		isLive[live[i].UID] = true
	}
	for i := range stored {
		if !isLive[stored[i].UID] {
			live = append(live, stored[i])
		}
	}
	return live
}

// storedRecords returns the newest records of the store, at most most and a page;
// each page has its own time to come. The warning says why some may be missing.
func (s *Server) storedRecords(ctx context.Context, f history.Filter, most int) ([]history.Promotion, string, error) {
	if s.opts.History == nil {
		return nil, "", nil
	}
	var out []history.Promotion
	for page := (history.Page{Limit: history.MaxPage}); ; {
		limited, cancel := context.WithTimeout(ctx, historyTime)
		stored, more, err := s.opts.History.ListPromotions(limited, f, page)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Warn("the history store does not answer", "requestId", requestID(ctx), "error", err)
			return out, noStoreWarning, nil
		case err != nil:
			return nil, "", fmt.Errorf("list records: %w", errors.Join(err, ctx.Err()))
		}
		out, page.After = append(out, stored...), more
		switch {
		case more == "":
			return out, "", nil
		case len(out) >= most:
			since := stored[len(stored)-1].CreatedAt.UTC().Truncate(time.Second)
			return out, fmt.Sprintf("more than %d promotions: only what was asked for since %s counts", most, since.Format(time.RFC3339)), nil
		}
	}
}

// madeAt is when a Freight was made; zero when it is gone.
func (v *projectView) madeAt(freight string) time.Time {
	if f := v.freightByName[freight]; f != nil {
		return f.CreationTimestamp.UTC()
	}
	return time.Time{}
}

// insights measures one Project.
func (v *projectView) insights(records []history.Promotion, counted []*v1alpha1.Stage, from, until time.Time) model.Insights {
	var stages []string
	for _, st := range counted {
		stages = append(stages, st.Name)
	}
	return insightsModel(history.Measure(records, history.Question{
		Counts: func(p *history.Promotion) bool { return slices.Contains(stages, p.Stage) },
		From:   from, Until: until,
		Made: func(p *history.Promotion) time.Time { return v.madeAt(p.Freight.Name) },
	}), stages, from, until)
}

func insightsModel(m history.Insights, stages []string, from, until time.Time) model.Insights {
	out := model.Insights{
		Stages: append([]string{}, stages...), Deploys: m.Deploys, Judged: m.Judged, Failed: m.Failed, Unrestored: m.Unrestored, Rework: m.Rework,
		PerWeek:  toTenth(float64(m.Deploys) * 7 * 24 / until.Sub(from).Hours()),
		Restored: durationsModel(m.Restored), LeadTime: durationsModel(m.LeadTime),
	}
	if m.Judged > 0 {
		out.FailurePercent = toTenth(100 * float64(m.Failed) / float64(m.Judged))
	}
	if m.Deploys > 0 {
		out.ReworkPercent = toTenth(100 * float64(m.Rework) / float64(m.Deploys))
	}
	switch {
	case m.LeadTime.Count == 0:
	case m.FromCommit:
		out.LeadTimeFrom = model.LeadTimeFromCommit
	default:
		out.LeadTimeFrom = model.LeadTimeFromFreight
	}
	return out
}

func toTenth(x float64) float64 { return math.Round(10*x) / 10 }

func durationsModel(d history.Durations) model.Durations {
	return model.Durations{
		Count: d.Count, MedianSeconds: int(d.Median.Seconds()), P90Seconds: int(d.P90.Seconds()), LongestSeconds: int(d.Longest.Seconds()),
	}
}

func (v *projectView) laneModel(l history.Lane) model.TimelineLane {
	out := model.TimelineLane{Stage: l.Stage, Origin: l.Origin, Older: l.Older, Spans: []model.TimelineSpan{}}
	for i := range l.Spans {
		s := &l.Spans[i]
		m := model.TimelineSpan{Freight: recordedFreight(s.Freight), From: s.From, Until: s.Until}
		if v.freightByName[s.Freight.Name] != nil {
			m.Freight = v.freightRef(s.Freight.Name) // its alias may be another since
		}
		if by := s.By; by != nil {
			m.Promotion = by.Name
			if by.Kind != "" { // there is a record
				m.Kind, m.Phase = model.TimelineSpanKind(by.Kind), phaseWord(v1alpha1.PromotionPhase(by.Phase), by.PhaseReason)
				m.Automatic, m.RequestedBy = by.Automatic, by.RequestedBy
			}
			for _, g := range by.Bypassed {
				m.Bypass = append(m.Bypass, model.GateName(g))
			}
		}
		if !s.Until.IsZero() {
			m.End = model.SpanReplaced
			if s.IsRolledBack() {
				m.End = model.SpanRolledBack
			}
			if s.EndedBy != nil {
				m.EndedBy = s.EndedBy.Name
			}
		}
		out.Spans = append(out.Spans, m)
	}
	return out
}
