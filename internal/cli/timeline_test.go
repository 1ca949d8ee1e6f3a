package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// daysAgo is an instant before noon.
func daysAgo(d float64) time.Time { return noon.Add(-time.Duration(d * 24 * float64(time.Hour))) }

// ran is a span of a version, from so many days ago until so many (0: it runs on).
func ran(version string, from, until float64) model.TimelineSpan {
	s := model.TimelineSpan{
		Freight: model.FreightRef{Name: "f" + version, Alias: "calm-lynx", Version: version}, From: daysAgo(from),
		Promotion: "prod.2.f" + version, Kind: model.TimelineSpanKindPromote, Phase: model.PhaseSucceeded, RequestedBy: "waybill:alice",
	}
	if until > 0 {
		s.Until, s.End, s.EndedBy = daysAgo(until), model.SpanReplaced, "prod.3"
	}
	return s
}

func timeline(edit ...func(*model.Timeline)) model.Timeline {
	bad := ran("1.26.0", 5, 4.6)
	bad.End, bad.Phase, bad.Bypass = model.SpanRolledBack, model.PhaseRolledBack, []model.GateName{model.GateNameSoak, model.GateNameFreeze}
	back := ran("1.25.3", 4.6, 2)
	back.Kind = model.TimelineSpanKindRollback
	early := ran("1.25.3", 20, 5)
	early.From, early.Promotion, early.Kind, early.Phase, early.RequestedBy = time.Time{}, "", "", "", ""
	failed := ran("1.27.0", 0.4, 0)
	failed.Phase = model.PhaseFailed
	arriving := ran("1.27.1", 0.1, 0)
	arriving.Phase = model.PhaseSyncing
	t := model.Timeline{
		Project: "guestbook", From: daysAgo(14), Until: noon,
		Lanes: []model.TimelineLane{
			{Stage: "test", Origin: "main", Spans: []model.TimelineSpan{ran("1.25.3", 30, 9), ran("1.26.0", 9, 6.5), ran("1.26.1", 6.5, 6.45), ran("1.26.2", 6.45, 1), ran("1.27.0", 1, 0.1), arriving}},
			{Stage: "uat", Origin: "main", Spans: []model.TimelineSpan{ran("1.25.3", 12, 7), ran("1.26.0", 7, 0.4), failed}},
			{Stage: "prod", Origin: "main", Spans: []model.TimelineSpan{early, bad, back, ran("1.26.2", 2, 0)}},
			{Stage: "dr", Origin: "main", Spans: []model.TimelineSpan{}},
		},
		Insights: model.Insights{
			Stages: []string{"dr", "prod"}, Deploys: 2, PerWeek: 1, Judged: 2, Failed: 1, FailurePercent: 50,
			Restored: model.Durations{Count: 1, MedianSeconds: 34560, P90Seconds: 34560, LongestSeconds: 34560},
			LeadTime: model.Durations{Count: 1, MedianSeconds: 7260, P90Seconds: 7260, LongestSeconds: 7260}, LeadTimeFrom: model.LeadTimeFromFreight,
		},
	}
	for _, e := range edit {
		e(&t)
	}
	return t
}

func TestTimeline(t *testing.T) {
	const usual = "GET /api/v1/projects/guestbook/timeline?from=2026-02-16T12%3A00%3A00Z"
	several := func(t *model.Timeline) {
		t.Lanes = []model.TimelineLane{
			{Stage: "prod", Origin: "main", Spans: []model.TimelineSpan{ran("1.26.2", 2, 0)}, Older: 12},
			{Stage: "prod", Origin: "base-images-of-the-whole-company", Spans: []model.TimelineSpan{ran("2026.2", 20, 0)}},
		}
		t.Warning = "the history store does not answer: only what the cluster still has is shown"
		t.Insights = model.Insights{Stages: []string{"prod"}, Restored: model.Durations{}}
	}
	for _, c := range []struct {
		name, args string
		env        map[string]string
		terminal   bool
		path       string
		answer     answer
	}{
		{name: "timeline", args: "timeline guestbook", answer: ok(timeline())},
		{name: "timeline-ascii", args: "timeline -p guestbook", env: map[string]string{"LANG": "C"}, answer: ok(timeline())},
		{name: "timeline-terminal", args: "timeline guestbook", terminal: true, env: map[string]string{"COLUMNS": "72"}, answer: ok(timeline())},
		{name: "timeline-no-color", args: "timeline guestbook", terminal: true, env: map[string]string{"COLUMNS": "44", "NO_COLOR": "1"}, answer: ok(timeline())},
		{name: "timeline-table", args: "timeline guestbook -o table", answer: ok(timeline())},
		{name: "timeline-json", args: "timeline guestbook -o json", answer: ok(timeline(several))},
		{name: "timeline-several-warehouses", args: "timeline guestbook", answer: ok(timeline(several))},
		{name: "timeline-no-stage", args: "timeline guestbook", answer: ok(timeline(func(t *model.Timeline) { t.Lanes, t.Insights = nil, model.Insights{Stages: []string{}} }))},
		{
			name: "timeline-hours", args: "timeline guestbook --since 36h --until 12h --stage prod --stage uat",
			path:   "GET /api/v1/projects/guestbook/timeline?from=2026-03-01T00%3A00%3A00Z&stage=prod&stage=uat&until=2026-03-02T00%3A00%3A00Z",
			answer: ok(timeline(func(t *model.Timeline) { t.From, t.Until = daysAgo(1.5), daysAgo(0.5) })),
		},
		{name: "timeline-too-long", args: "timeline guestbook --since 91d", path: "GET /api/v1/projects/guestbook/timeline?from=2025-12-01T12%3A00%3A00Z", answer: problem(model.Problem{
			Status: 400, Code: model.InvalidRequest, Detail: "a range is at most 90 days; this one has 91", Hint: "ask for less at a time, by from and until",
		})},
		{name: "timeline-since", args: "timeline guestbook --since yesterday"},
		{name: "timeline-no-project", args: "timeline"},
		{name: "help-timeline", args: "timeline --help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.path == "" {
				c.path = usual
			}
			s := signedIn(t, serve(t, map[string]answer{c.path: c.answer}).URL)
			for k, v := range c.env {
				s.env[k] = v
			}
			if c.terminal {
				s.terminal = Terminal{Stdout: true, Stderr: true}
			}
			golden(t, c.name, s.run(strings.Fields(c.args)...).String())
		})
	}
}

// TestDrawnLanesKeepTheirWidth: whatever ran, a line is never wider than the axis,
// and each span has a column of its own.
func TestDrawnLanesKeepTheirWidth(t *testing.T) {
	a := &App{Getenv: func(string) string { return "" }}
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 60).Draw(t, "columns")
		at := 20.0
		var spans []model.TimelineSpan
		for n := range rapid.IntRange(1, 80).Draw(t, "spans") {
			next := at - rapid.Float64Range(0.0001, 3).Draw(t, "for")
			spans = append(spans, ran(fmt.Sprintf("1.0.%d", n), at, max(next, 0)))
			if at = next; at <= 0 {
				break
			}
		}
		line := a.drawLane(spans, daysAgo(14), noon, columns)
		if width := utf8.RuneCountInString(line); width > columns {
			t.Fatalf("%d columns of %d: %q", width, columns, line)
		}
		starts := startsOf(spans[max(0, len(spans)-columns):], daysAgo(14), noon, columns)
		for i, s := range starts {
			if s < 0 || s >= columns || i > 0 && s <= starts[i-1] {
				t.Fatalf("columns %v of %d", starts, columns)
			}
		}
	})
}
