package shadow

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// phrases are the verdicts in words.
var phrases = map[Verdict]string{
	InSync: "in sync", Reports: "differs", Waits: "waits", Heals: "would heal", Applies: "would apply", Promotes: "would promote",
	Refuses: "would refuse", Unsupported: "not supported", Unknown: "not observed",
}

// maxShownActions is how many objects of one Application are shown; -o json has all.
const maxShownActions = 20

// WriteText writes the report for people: a table, then what is not in sync.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }
	if len(r.Applications) > 0 {
		line("APPLICATION\tVERDICT\tREVISION\tARGO CD\tREASON")
	}
	for _, a := range r.Applications {
		line("%s/%s\t%s\t%s\t%s\t%s", a.Namespace, a.Name, phrases[a.Verdict], short(a.Revision), argoWords(a.Argo), oneLine(a.Reason))
	}
	if len(r.Stages) > 0 {
		line("\nSTAGE\tVERDICT\tRUNS\tFREIGHT\tREASON")
	}
	for _, s := range r.Stages {
		line("%s/%s\t%s\t%s\t%s\t%s", s.Project, s.Name, phrases[s.Verdict], dash(strings.Join(s.Current, ",")), dash(s.Freight), oneLine(s.Reason))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	var b strings.Builder
	for _, a := range r.Applications {
		a.details(&b)
	}
	for _, s := range r.Stages {
		s.details(&b)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nNote: %s", oneLine(n))
	}
	fmt.Fprintf(&b, "\n%s\n", r.Summary())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// Summary is the report in one line.
func (r *Report) Summary() string {
	count := map[Verdict]int{}
	for _, a := range r.Applications {
		count[a.Verdict]++
	}
	parts := []string{fmt.Sprintf("%d Applications", len(r.Applications))}
	for _, v := range []Verdict{InSync, Applies, Heals, Waits, Reports, Refuses, Unsupported, Unknown} {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[v], phrases[v]))
		}
	}
	if len(r.Stages) > 0 {
		promotes := 0
		for _, s := range r.Stages {
			if s.Verdict == Promotes {
				promotes++
			}
		}
		parts = append(parts, fmt.Sprintf("%d Stages, %d would promote", len(r.Stages), promotes))
	}
	return fmt.Sprintf("%s. Nothing was written (%d reads).", strings.Join(parts, ", "), r.Requests)
}

func (a *Application) details(b *strings.Builder) {
	if len(a.Actions)+len(a.Unsupported)+len(a.Notes) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s/%s\n", a.Namespace, a.Name)
	for i, x := range a.Actions {
		if i == maxShownActions {
			fmt.Fprintf(b, "  ... and %d more; -o json has all\n", len(a.Actions)-i)
			break
		}
		fmt.Fprintf(b, "  %-7s %s: %s\n", x.Action, x.Object(), oneLine(x.Reason))
		for _, f := range x.Fields {
			fmt.Fprintf(b, "          %s\n", oneLine(f.String()))
		}
	}
	for _, u := range a.Unsupported {
		fmt.Fprintf(b, "  not supported: %s\n", oneLine(u))
	}
	for _, n := range a.Notes {
		fmt.Fprintf(b, "  note: %s\n", oneLine(n))
	}
}

func (s *Stage) details(b *strings.Builder) {
	if len(s.Closed) < 2 && len(s.Notes) == 0 {
		return
	}
	fmt.Fprintf(b, "\nStage %s/%s\n", s.Project, s.Name)
	for _, g := range s.Closed {
		fmt.Fprintf(b, "  closed  %s: %s\n", g.Gate, oneLine(g.Reason))
	}
	for _, n := range s.Notes {
		fmt.Fprintf(b, "  note: %s\n", oneLine(n))
	}
}

func argoWords(a ArgoSays) string {
	return dash(strings.Join(strings.Fields(a.Sync+" "+a.Health), ", "))
}

func short(revision string) string { return dash(revision[:min(len(revision), 7)]) }

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// oneLine keeps what others wrote from breaking or colouring the output.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
