package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// Widths of the drawing where no terminal says how wide it is, and of its axis
// at the least.
const (
	drawnWidth = 100
	leastAxis  = 20
)

func (a *App) timelineCommand() *cobra.Command {
	var out *output
	var since, until string
	var stages []string
	cmd := &cobra.Command{
		Use:   "timeline [PROJECT]",
		Short: "Draw what ran where, and how delivery went meanwhile",
		Long: `Draw what ran where: a line for each Stage (for each Warehouse that it takes from, where there
are several), on an axis from --since to now. A version runs from when its commits were pushed
until another's were; a promotion that ended before that is not drawn. Below it stands how
delivery into the last Stages went, or into those of --stage.

-o table has a row for each version that ran, newest first, with who brought it and how it
ended. A range is at most 90 days; times are UTC.`,
		Example: `  waybill timeline guestbook
  waybill timeline guestbook --since 60d --stage prod
  waybill timeline guestbook --since 2026-03-01T00:00:00Z --until 2026-03-08T00:00:00Z -o table
  waybill timeline -p guestbook -o json | jq .insights`,
		Args:              rangeArgs(0, "PROJECT"),
		ValidArgsFunction: a.completeProjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := a.past(since)
			if err != nil {
				return usagef(cmd, "--since %v", err)
			}
			end, err := a.past(until)
			if err != nil {
				return usagef(cmd, "--until %v", err)
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project, err := a.needProject(cmd, x, args)
			if err != nil {
				return err
			}
			t, err := c.Timeline(cmd.Context(), project, stages, from, end)
			if err != nil {
				return err
			}
			return a.printTimeline(t, out)
		},
	}
	out = outputFlag(cmd, "chart", "table", "json", "yaml")
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "14d", "not before: a time, or how long ago, as 2h or 7d")
	flags.StringVar(&until, "until", "", "before: a time, or how long ago (default now)")
	flags.StringSliceVar(&stages, "stage", nil, "only these Stages")
	_ = cmd.RegisterFlagCompletionFunc("stage", a.completeStageNames)
	return cmd
}

func (a *App) printTimeline(t *model.Timeline, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, t)
	}
	var err error
	switch {
	case len(t.Lanes) == 0:
		a.say("Project %q has no Stage that runs anything yet.", t.Project)
	case out.format == "table":
		err = a.printSpans(t)
	default:
		err = a.drawTimeline(t)
	}
	for _, l := range t.Lanes {
		if l.Older > 0 {
			a.say("%s: %d older ones are left out; ask for less at a time, by --since and --until", l.Stage, l.Older)
		}
	}
	if t.Warning != "" {
		a.say("%s", t.Warning)
	}
	return err
}

// printSpans lists what ran, Stage by Stage, newest first.
func (a *App) printSpans(t *model.Timeline) error {
	rows := table{heads: []string{"STAGE", "VERSION", "FROM", "UNTIL", "HOW", "BY", "PROMOTION"}}
	for i, l := range t.Lanes {
		for n := len(l.Spans) - 1; n >= 0; n-- {
			s := &l.Spans[n]
			from, until := "before that is known", "now"
			if !s.From.IsZero() {
				from = day(s.From)
			}
			switch {
			case !s.Until.IsZero():
				until = day(s.Until)
			case !a.isNow(t.Until):
				until = "later"
			}
			rows.add(text(laneName(t.Lanes, i)), text(freightName(s.Freight)), text(from), text(until),
				cell{text: join(", ", spanWords(s)...), style: lookOf(s).style}, text(person(s.RequestedBy)), text(s.Promotion))
		}
	}
	if len(rows.rows) == 0 {
		a.say("Nothing ran in this time.")
		return nil
	}
	return a.printTable(rows)
}

// spanWords say how a span came and how it ended.
func spanWords(s *model.TimelineSpan) []string {
	var out []string
	if s.Kind == model.TimelineSpanKindRollback {
		out = append(out, "by rollback")
	}
	if len(s.Bypass) > 0 {
		names := make([]string, len(s.Bypass))
		for i, g := range s.Bypass {
			names[i] = string(g)
		}
		out = append(out, "past "+strings.Join(names, " and "))
	}
	switch {
	case s.End == model.SpanRolledBack:
		out = append(out, "taken back by "+s.EndedBy)
	case s.Phase != "" && s.Phase != model.PhaseSucceeded:
		out = append(out, string(s.Phase))
	}
	return out
}

// laneName is the Stage, with the Warehouse where it has several lanes.
func laneName(lanes []model.TimelineLane, i int) string {
	l := lanes[i]
	if i > 0 && lanes[i-1].Stage == l.Stage || i+1 < len(lanes) && lanes[i+1].Stage == l.Stage {
		return l.Stage + " (" + l.Origin + ")"
	}
	return l.Stage
}

// isNow reports whether a range ends at this moment.
func (a *App) isNow(until time.Time) bool { return a.Now().Sub(until) < time.Minute }

// look is how a span is drawn: its signs mean the same without colour.
type look struct {
	fill, ascii rune
	meaning     string
	style       style
}

func lookOf(s *model.TimelineSpan) look {
	switch {
	case s.End == model.SpanRolledBack || s.Phase == model.PhaseRolledBack:
		return look{'╱', '/', "taken back", red}
	case s.Phase == model.PhaseFailed:
		return look{'×', 'x', "failed after it was pushed", red}
	case s.Phase == model.PhaseSyncing || s.Phase == model.PhaseVerifying:
		return look{'┄', '.', "not judged yet", blue}
	default:
		return look{'─', '-', "", plain}
	}
}

// drawTimeline draws a line for each lane over one axis.
func (a *App) drawTimeline(t *model.Timeline) error {
	width := drawnWidth
	if a.Terminal.Stdout {
		if width = a.width(); width == 0 {
			width = 80
		}
	}
	names := 0
	for i := range t.Lanes {
		names = max(names, utf8.RuneCountInString(laneName(t.Lanes, i)))
	}
	names = min(names, max(8, width/3))
	columns := max(leastAxis, width-names-2)
	signs := map[look]bool{}
	var legend []string
	line := func(name, rest string) error {
		padding := strings.Repeat(" ", max(0, names-utf8.RuneCountInString(name))+2)
		return a.print("%s", strings.TrimRight(name+padding+rest, " "))
	}
	if err := line("", axis(t.From, t.Until, columns, a.isNow(t.Until))); err != nil {
		return err
	}
	for i, l := range t.Lanes {
		if err := line(cut(laneName(t.Lanes, i), names+1), a.drawLane(l.Spans, t.From, t.Until, columns)); err != nil {
			return err
		}
		for n := range l.Spans {
			if how := lookOf(&l.Spans[n]); how.meaning != "" && !signs[how] {
				signs[how] = true
				legend = append(legend, string(a.glyph(how.fill, how.ascii))+" "+how.meaning)
			}
		}
	}
	if len(legend) > 0 {
		if err := line("", strings.Join(legend, "   ")); err != nil {
			return err
		}
	}
	return a.print("\n%s", insightWords(&t.Insights))
}

// glyph is the one the locale can show.
func (a *App) glyph(utf, ascii rune) rune {
	if a.isUTF8() {
		return utf
	}
	return ascii
}

// drawLane draws spans side by side: each begins with a bar, unless it began
// before the axis, and has its version where that has room.
func (a *App) drawLane(spans []model.TimelineSpan, from, until time.Time, columns int) string {
	spans = spans[max(0, len(spans)-columns):]
	starts := startsOf(spans, from, until, columns)
	coloured := a.isColoured(a.Terminal.Stdout)
	var b strings.Builder
	for i := range spans {
		s, how := &spans[i], lookOf(&spans[i])
		if i == 0 {
			b.WriteString(strings.Repeat(" ", starts[0]))
		}
		end := columns
		if i+1 < len(spans) {
			end = starts[i+1]
		} else if !s.Until.IsZero() {
			end = max(starts[i]+1, columnOf(s.Until, from, until, columns))
		}
		room, fill := end-starts[i], string(a.glyph(how.fill, how.ascii))
		bar := ""
		if s.From.After(from) {
			if bar = string(a.glyph('├', '|')); room == 1 && how.meaning != "" {
				bar = fill
			}
		}
		if version := freightName(s.Freight); utf8.RuneCountInString(bar+version) <= room {
			bar += version
		}
		bar += strings.Repeat(fill, room-utf8.RuneCountInString(bar))
		b.WriteString(paint(bar, how.style, coloured))
	}
	return b.String()
}

// startsOf returns the column each span begins at: the one of its time, moved as
// little as it takes for each to have one of its own. There are at most as many
// spans as columns.
func startsOf(spans []model.TimelineSpan, from, until time.Time, columns int) []int {
	starts := make([]int, len(spans))
	for i, s := range spans {
		if starts[i] = min(columns-1, columnOf(s.From, from, until, columns)); i > 0 {
			starts[i] = max(starts[i], starts[i-1]+1)
		}
	}
	for i := len(starts) - 1; i >= 0; i-- {
		starts[i] = min(starts[i], columns-(len(starts)-i))
	}
	return starts
}

// columnOf returns the column of an instant on the axis, 0 for what was before it.
func columnOf(at, from, until time.Time, columns int) int {
	if !at.After(from) {
		return 0
	}
	return min(columns, int(float64(at.Sub(from))/float64(until.Sub(from))*float64(columns)))
}

// axis writes dates, or hours of short ranges, where they belong, and the end of
// the range at the right.
func axis(from, until time.Time, columns int, isNow bool) string {
	const labelled = 10 // columns that a label has at least
	end := "now"
	if !isNow {
		end = until.Format("2 Jan 15:04")
	}
	const day = 24 * time.Hour
	step := 30 * day
	for _, s := range []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 4 * day, 7 * day, 14 * day} {
		if float64(columns)*float64(s)/float64(until.Sub(from)) >= labelled {
			step = s
			break
		}
	}
	var b strings.Builder
	for at := from.Truncate(step); at.Before(until); at = at.Add(step) {
		column := columnOf(at, from, until, columns)
		label := at.Format("2 Jan")
		if h := at.Hour(); step < day && h != 0 {
			label = at.Format("15:04")
		}
		if at.Before(from) || column < b.Len() || column+len(label)+1 > columns-len(end) {
			continue
		}
		b.WriteString(strings.Repeat(" ", column-b.Len()) + label + " ")
	}
	return fmt.Sprintf("%s%*s", b.String(), columns-b.Len(), end)
}

// insightWords say in a sentence how delivery went, and nothing of what is not
// known.
func insightWords(i *model.Insights) string {
	if i.Deploys == 0 {
		return places(i.Stages) + ": nothing was deployed in this time"
	}
	words := fmt.Sprintf("%s: %s (%.1f a week)", places(i.Stages), counted(i.Deploys, "deploy"), i.PerWeek)
	switch {
	case i.Judged == 0:
	case i.Failed == 0:
		words += ", none failed"
	default:
		words += fmt.Sprintf(", %d of %d failed (%.0f %%)", i.Failed, i.Judged, i.FailurePercent)
	}
	if i.Restored.Count > 0 {
		words += ", restored in " + seconds(i.Restored.MedianSeconds)
	}
	if i.Unrestored > 0 {
		words += fmt.Sprintf(", %d not restored yet", i.Unrestored)
	}
	if i.LeadTime.Count > 0 {
		words += fmt.Sprintf("; lead time %s from %s to Healthy", seconds(i.LeadTime.MedianSeconds), leadTimeStart(i))
	}
	return words
}

// places names Stages, of many the first.
func places(stages []string) string {
	if len(stages) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(stages[:2], ", "), len(stages)-2)
	}
	return strings.Join(stages, ", ")
}

// leadTimeStart is what lead times are measured from.
func leadTimeStart(i *model.Insights) string {
	if i.LeadTimeFrom == model.LeadTimeFromFreight {
		return "Freight"
	}
	return "commit"
}

// seconds is a number of them in its largest unit.
func seconds(n int) string { return span(time.Duration(n) * time.Second) }
