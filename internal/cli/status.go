package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) statusCommand() *cobra.Command {
	var out *output
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [PROJECT]",
		Short: "Show what runs where and what comes next",
		Long: `Show what runs in every Stage of a Project, how it is, and what comes next; without a
Project, every Project on one line.

With -w the view stays and follows; where the output is no terminal, it prints one line per
change instead (with -o json, one object per change).`,
		Example: `  waybill status                         # all Projects
  waybill status guestbook -w            # live
  waybill status -p guestbook -o json`,
		Args:              rangeArgs(0, "PROJECT"),
		ValidArgsFunction: a.completeProjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				x.Project = args[0]
			}
			switch {
			case x.Project == "" && watch:
				return follow(cmd.Context(), a, "the list of Projects", out, a.projectRows, a.projectsTable, func(ctx context.Context, handle func(*model.Projects) error) error {
					return c.WatchProjects(ctx, a.reconnecting, handle)
				})
			case x.Project == "":
				page, err := c.Projects(cmd.Context())
				if err != nil {
					return err
				}
				return a.printProjects(page, out)
			case watch:
				return follow(cmd.Context(), a, fmt.Sprintf("Project %q", x.Project), out, a.stageRows, func(p *model.Pipeline) table { return a.stagesTable(p, out) },
					func(ctx context.Context, handle func(*model.Pipeline) error) error {
						return c.WatchPipeline(ctx, x.Project, a.reconnecting, handle)
					})
			default:
				page, err := c.Pipeline(cmd.Context(), x.Project)
				if err != nil {
					return err
				}
				return a.printPipeline(page, out)
			}
		},
	}
	out = outputFlag(cmd, allFormats()...)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "stay and follow")
	return cmd
}

// reconnecting says that a live view lost its server and tries again.
func (a *App) reconnecting(err error) { a.say("%v; trying again", err) }

func (a *App) printProjects(page *model.Projects, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, page)
	case out.format == "name":
		for _, p := range page.Items {
			if err := a.print("project/%s", p.Name); err != nil {
				return err
			}
		}
		return nil
	case len(page.Items) == 0:
		a.say("No Projects yet: waybill apply -f DIR, or waybill local up --demo for a sample.")
		return nil
	}
	return a.printTable(a.projectsTable(page))
}

func (a *App) projectsTable(page *model.Projects) table {
	t := table{heads: []string{"PROJECT", "STATUS", "STAGES", "LAST"}}
	for _, p := range page.Items {
		last := ""
		if p.LastPromotion.Promotion != "" {
			last = p.LastPromotion.Sentence + ", " + a.age(p.LastPromotion.At) + " ago"
		}
		t.add(text(p.Name), a.statusCell(p.Status.Word), text(stageCells(p.Stages)), text(last))
	}
	return t
}

// stageCells shows the Stages of a Project on one line: test 1.27.0, prod 1.26.1.
func stageCells(cells []model.StageCell) string {
	parts := make([]string, len(cells))
	for i, c := range cells {
		parts[i] = c.Name + " " + firstOf(c.Version, "-")
		if c.Status != model.StatusWordHealthy {
			parts[i] += " (" + string(c.Status) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

func (a *App) projectRows(page *model.Projects) []liveRow {
	rows := make([]liveRow, len(page.Items))
	for i, p := range page.Items {
		rows[i] = liveRow{name: p.Name, state: string(p.Status.Word) + "  " + stageCells(p.Stages)}
	}
	return rows
}

func (a *App) printPipeline(page *model.Pipeline, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, page)
	case out.format == "name":
		for _, s := range page.Stages {
			if err := a.print("stage/%s", s.Name); err != nil {
				return err
			}
		}
		return nil
	}
	if len(page.Stages) > 0 {
		if err := a.printTable(a.stagesTable(page, out)); err != nil {
			return err
		}
	} else {
		a.say("Project %q has no Stages yet: waybill apply -f FILE", page.Project)
	}
	for _, w := range page.Warehouses {
		if !w.Ready {
			a.say("Warehouse %s is not ready: %s", w.Name, firstOf(warehouseError(w), w.Message, w.Reason, "nothing is known yet"))
		}
	}
	return nil
}

// warehouseError is the first error of a Warehouse's subscriptions.
func warehouseError(w model.Warehouse) string {
	for _, s := range w.Subscriptions {
		if s.Error != "" {
			return s.RepoURL + ": " + s.Error
		}
	}
	return ""
}

func (a *App) stagesTable(page *model.Pipeline, out *output) table {
	t := table{heads: []string{"STAGE", "VERSION", "FREIGHT", "STATUS", "BEHIND", "SINCE", "NEXT"}}
	if out.format == "wide" {
		t.heads = append(t.heads, "HEALTH", "CHECKS", "COMMIT", "BRANCH", "DIGEST")
	}
	for _, s := range page.Stages {
		behind := ""
		if s.Behind > 0 {
			behind = fmt.Sprint(s.Behind)
		}
		row := []cell{text(s.Name), text(s.Freight.Version), text(firstOf(s.Freight.Alias, short(s.Freight.Name))),
			a.statusCell(s.Status.Word), text(behind), text(a.age(s.Freight.Since)), text(nextOf(s))}
		if out.format == "wide" {
			var branches, digests []string
			for _, b := range s.Branches {
				branches = append(branches, b.WriteBranch)
			}
			for _, i := range s.Freight.Images {
				digests = append(digests, i.Digest)
			}
			row = append(row, text(string(s.Health)), text(checksText(&s.Verification)), text(short(s.Freight.Commit)), text(strings.Join(branches, ",")), text(strings.Join(digests, ",")))
		}
		t.add(row...)
	}
	return t
}

// nextOf says what a person wants to know next about a Stage: why it is not
// healthy, else which Freight comes and what it waits for. The words are the
// server's.
func nextOf(s model.Stage) string {
	command := s.Status.NextAction.Command
	if s.Status.Word != model.StatusWordHealthy {
		return join(": ", s.Status.Sentence, command)
	}
	held := ""
	if s.Held {
		held = "held"
	}
	if s.Next.Freight.Name == "" {
		return held
	}
	next := freightName(s.Next.Freight)
	switch {
	case s.Next.MayPromote && !s.Auto:
		next = join(": ", next, firstOf(command, fmt.Sprintf("waybill promote %s %s/%s", next, s.Project, s.Name)))
	case len(s.Next.Closed) > 0:
		g := s.Next.Closed[0]
		next = join(": ", next+" waits", firstOf(g.Reason, string(g.Gate)))
		if g.Gate == model.GateNameHold {
			return next // which says by whom
		}
	default:
		next += " arrives by itself"
	}
	return join("; ", held, next)
}

// join puts what is not empty together.
func join(separator string, parts ...string) string {
	var filled []string
	for _, p := range parts {
		if p != "" {
			filled = append(filled, p)
		}
	}
	return strings.Join(filled, separator)
}

func (a *App) stageRows(page *model.Pipeline) []liveRow {
	rows := make([]liveRow, len(page.Stages))
	for i, s := range page.Stages {
		state := join("  ", firstOf(s.Freight.Version, "-"), string(s.Status.Word))
		if s.Status.Word != model.StatusWordHealthy {
			state = join("  ", state, s.Status.Sentence)
		}
		rows[i] = liveRow{name: s.Name, state: state}
	}
	return rows
}

// liveRow is one thing of a live view: its name, and the text whose change is
// worth a line.
type liveRow struct{ name, state string }

// follow shows every model of what a watch delivers until it ends: redrawn in place on
// a terminal, else one line per change, or one JSON object per model.
func follow[T any](ctx context.Context, a *App, what string, out *output, rows func(*T) []liveRow, draw func(*T) table,
	watch func(context.Context, func(*T) error) error,
) error {
	known := map[string]string{}
	drawn := 0
	err := watch(ctx, func(model *T) error {
		switch {
		case out.format == "json":
			data, err := json.Marshal(model)
			if err != nil {
				return fmt.Errorf("encode output: %w", err)
			}
			return a.print("%s", data)
		case out.format == "yaml":
			if _, err := fmt.Fprintln(a.Stdout, "---"); err != nil {
				return err
			}
			return out.encode(a.Stdout, model)
		case a.Terminal.Stdout && a.Getenv("TERM") != "dumb":
			var b strings.Builder
			t := draw(model)
			if err := t.write(&b, a.isColoured(true)); err != nil {
				return err
			}
			lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
			return a.redraw(&drawn, append(lines, paint(a.Now().Format("15:04:05")+"  Ctrl-C ends", dim, a.isColoured(true))))
		}
		for _, r := range rows(model) {
			if known[r.name] == r.state {
				continue
			}
			known[r.name] = r.state
			if err := a.print("%s  %s  %s", a.Now().Format("15:04:05.0"), r.name, r.state); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return &failure{code: client.ExitInterrupted}
	case errors.Is(err, client.ErrGone):
		return notFound(what+" is gone, or you may no longer see it", "waybill status")
	default:
		return err
	}
}

// redraw replaces the lines that were drawn last. Each line is cut at the width
// of the terminal, so that one line is one row of it.
func (a *App) redraw(drawn *int, lines []string) error {
	width := a.width()
	var b strings.Builder
	if *drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", *drawn)
	}
	for _, line := range lines {
		b.WriteString(cut(line, width) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	*drawn = len(lines)
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}
