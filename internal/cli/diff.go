package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) diffCommand() *cobra.Command {
	var out *output
	var isLive bool
	cmd := &cobra.Command{
		Use:   "diff [FREIGHT] [PROJECT/]STAGE|PROMOTION",
		Short: "Show what a promotion, or with --live a sync, would change",
		Long: `Show what taking FREIGHT into a Stage would change, worked out by the steps themselves on throw-away
trees, and the hash of that plan; without FREIGHT, what the promotion that waits would. Objects that are
deleted come first, and what Secrets hold is not shown.

With --live the argument is an Application or a Stage: what lives in its cluster is compared with what its
branch says, by a dry run of the sync on that cluster.

Exit codes: 0 nothing changes; 1 something does; above 1 it could not be worked out.`,
		Example: `  waybill diff latest guestbook/prod
  waybill diff guestbook/prod.7.f0123456
  waybill diff 1.27.0 guestbook/prod -o json
  waybill diff --live guestbook/prod`,
		Args:              rangeArgs(1, "FREIGHT", "[PROJECT/]STAGE|PROMOTION"),
		ValidArgsFunction: a.completeStage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isLive {
				return a.liveDiff(cmd, args, out)
			}
			plan, err := a.planFor(cmd, args)
			if err != nil {
				return aboveOne(a.explain(err))
			}
			if plan.FilesMissing != "" {
				return &failure{code: client.ExitUsage, what: "the plan cannot be worked out now: " + plan.FilesMissing}
			}
			if out.isMachine() {
				err = out.encode(a.Stdout, plan)
			} else {
				err = a.printPlan(plan)
			}
			if err == nil && changesSomething(plan) {
				return &failure{code: client.ExitFailed} // the answer, not a failure: nothing is said
			}
			return err
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&isLive, "live", false, "compare an Application's cluster with its branch")
	return cmd
}

// aboveOne keeps exit code 1 for "there are differences".
func aboveOne(f *failure) *failure {
	if f.code == client.ExitFailed {
		f.code = client.ExitUsage
	}
	return f
}

func (a *App) planFor(cmd *cobra.Command, args []string) (*model.Plan, error) {
	if len(args) == 1 {
		c, p, err := a.waitsForApproval(cmd, args[0])
		if err != nil {
			return nil, err
		}
		return c.PlanOfPromotion(cmd.Context(), p.Project, p.Name)
	}
	c, x, err := a.client()
	if err != nil {
		return nil, err
	}
	to, err := a.target(cmd, x, args[1], "stage")
	if err != nil {
		return nil, err
	}
	return c.Plan(cmd.Context(), to.project, to.name, args[0])
}

func changesSomething(plan *model.Plan) bool {
	for _, app := range plan.Applications {
		if len(app.Objects) > 0 || app.Broken != "" {
			return true
		}
	}
	return len(plan.Files) > 0
}

func (a *App) printPlan(plan *model.Plan) error {
	lines := []string{fmt.Sprintf("%s into %s/%s", freightName(plan.Freight), plan.Project, plan.Stage)}
	if plan.Promotion.Name != "" {
		lines[0] = promotionHeadline(&plan.Promotion)
	}
	if !changesSomething(plan) {
		lines = append(lines, "Nothing changes.")
	}
	for _, s := range planSummary(plan) {
		lines = append(lines, "  "+s)
	}
	for _, c := range plan.Overwrites {
		lines = append(lines, fmt.Sprintf("  overwritten: %s %s (%s)", short(c.Commit), c.Subject, c.Author))
	}
	for _, c := range plan.Accepted {
		lines = append(lines, fmt.Sprintf("  overwritten: %s accepted by %s: %s", short(c.Commit), person(c.By), strings.Join(c.Fields, ", ")))
	}
	lines = append(lines, ridingLines(&plan.RidingAlong)...)
	for _, c := range plan.Commits {
		if slices.ContainsFunc(plan.RidingAlong.Commits, func(r model.PlannedCommit) bool { return r.Commit == c.Commit }) {
			continue
		}
		lines = append(lines, fmt.Sprintf("  comes along: %s %s (%s)", short(c.Commit), c.Subject, c.Author))
	}
	coloured := a.isColoured(a.Terminal.Stdout)
	for _, app := range plan.Applications {
		lines = append(lines, changeLines(&app, coloured)...)
	}
	if len(plan.Applications) == 0 { // a Stage that deploys nothing: what changes in Git
		for _, f := range plan.Files {
			lines = append(lines, "", paint(f.Path, bold, coloured))
			for _, s := range f.Scalars {
				lines = append(lines, fmt.Sprintf("  %s: %s -> %s", s.Field, firstOf(s.Before, "(absent)"), firstOf(s.After, "(absent)")))
			}
		}
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	if err := a.print("%s", strings.Join(lines, "\n")); err != nil {
		return err
	}
	if plan.PlanHash != "" {
		a.say("Plan: %s", plan.PlanHash)
	}
	switch entry, start := closedGates(plan.Gates); {
	case plan.Promotion.ApprovalNeed.Need > 0:
		a.say("Approve exactly this: waybill approve %s/%s --plan %s", plan.Promotion.Project, plan.Promotion.Name, plan.PlanHash)
	case entry+start > 0:
		a.say("%s closed: waybill why %s %s/%s", gatesAre(entry+start), freightName(plan.Freight), plan.Project, plan.Stage)
	}
	return nil
}

// changeLines shows the objects of an Application that change.
func changeLines(app *model.PlannedApplication, coloured bool) []string {
	var lines []string
	for _, o := range app.Objects {
		lines = append(lines, "", paint(fmt.Sprintf("%s %s, %s in %s", o.Kind, objectName(&o), o.Change, app.Name), bold, coloured))
		lines = append(lines, diffLines(o.Diff, coloured)...)
		if o.Cut {
			lines = append(lines, "  (not all of it is shown)")
		}
		lines = append(lines, liveLines(o.Live)...)
	}
	for _, o := range app.Drifted {
		lines = append(lines, "", paint(fmt.Sprintf("%s %s, left as it is in Git, in %s", o.Kind, objectName(&o), app.Name), bold, coloured))
		lines = append(lines, liveLines(o.Live)...)
	}
	if app.LiveMissing != "" {
		lines = append(lines, "", fmt.Sprintf("%s: %s", app.Name, app.LiveMissing))
	}
	return lines
}

func objectName(o *model.ObjectChange) string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// liveLines say how an object lives otherwise than Git says now.
func liveLines(live []model.ScalarChange) []string {
	if len(live) == 0 {
		return nil
	}
	out := []string{"  The cluster differs from Git here already:"}
	for _, f := range live {
		out = append(out, fmt.Sprintf("    %s: %s in Git, %s in the cluster", f.Field, firstOf(f.Before, "absent"), firstOf(f.After, "absent")))
	}
	return out
}

// ridingLines name what was not tested upstream.
func ridingLines(r *model.RidingAlong) []string {
	if r.Unknown != "" {
		return []string{"  rides along: " + r.Unknown}
	}
	var out []string
	for _, c := range r.Commits {
		out = append(out, fmt.Sprintf("  rides along, not tested in %s: %s %s (%s)", r.Stage, short(c.Commit), c.Subject, c.Author))
	}
	return out
}

// diffLines shows a unified difference without its positions, which say nothing
// about a manifest that was rendered.
func diffLines(diff string, coloured bool) []string {
	var out []string
	for _, line := range strings.Split(strings.TrimSuffix(diff, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "@@"):
			line = paint("  ...", dim, coloured)
		case strings.HasPrefix(line, "+"):
			line = paint(line, green, coloured)
		case strings.HasPrefix(line, "-"):
			line = paint(line, red, coloured)
		}
		out = append(out, line)
	}
	return out
}
