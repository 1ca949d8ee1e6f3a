package cli

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// rangeForm is what --range takes; the server knows the most.
var rangeForm = regexp.MustCompile(`^[1-9][0-9]{0,2}d$`) //nolint:gochecknoglobals // compiled once

func (a *App) insightsCommand() *cobra.Command {
	var out *output
	var days string
	var stages []string
	cmd := &cobra.Command{
		Use:   "insights [PROJECT]",
		Short: "Show how delivery went: how often, how much failed, how soon restored, how long it took",
		Long: `Show how delivery went in the last days, and before that: how often was deployed, how much of it
failed, how soon that was restored, how long new Freight took until it was Healthy, where the
time went, and what failed.

Without any Project it is all that you may see. What counts are the Stages that no other Stage
takes Freight from, or those of --stage. What the records do not carry is left out.`,
		Example: `  waybill insights guestbook --range 30d
  waybill insights guestbook --stage uat
  waybill insights --range 90d -o json`,
		Args:              rangeArgs(0, "PROJECT"),
		ValidArgsFunction: a.completeProjects,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !rangeForm.MatchString(days) {
				return usagef(cmd, "--range %q: want a number of days, as 30d", days)
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project := x.Project
			if len(args) > 0 {
				project = args[0]
			}
			report, err := c.Insights(cmd.Context(), project, stages, days)
			if err != nil {
				return err
			}
			if report.Warning != "" {
				a.say("%s", report.Warning)
			}
			return a.printInsights(report, days, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	flags := cmd.Flags()
	flags.StringVar(&days, "range", "30d", "how many days until now")
	flags.StringSliceVar(&stages, "stage", nil, "only these Stages of the Project")
	_ = cmd.RegisterFlagCompletionFunc("stage", a.completeStageNames)
	return cmd
}

func (a *App) printInsights(r *model.InsightsReport, days string, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, r)
	case r.Total.Deploys == 0 && r.Before.Deploys == 0:
		a.say("Nothing was deployed into %s in this time, nor before.", firstOf(places(r.Total.Stages), "any Stage"))
		return nil
	}
	t := table{heads: []string{"INTO " + strings.ToUpper(places(r.Total.Stages)), "LAST " + strings.ToUpper(days), "BEFORE"}}
	now, before := measures(&r.Total), measures(&r.Before)
	for i, m := range now {
		t.add(text(m[0]), text(m[1]), text(before[i][1]))
	}
	if err := a.printTable(t); err != nil {
		return err
	}
	return a.printDetails(r)
}

// printDetails prints where the time went, Projects beside each other, and what
// failed, as far as there is any.
func (a *App) printDetails(r *model.InsightsReport) error {
	section := func(t table) error {
		if len(t.rows) == 0 {
			return nil
		}
		if err := a.print(""); err != nil {
			return err
		}
		return a.printTable(t)
	}
	parts := table{heads: []string{"WHERE TIME GOES", "HALF WITHIN", "9 OF 10 WITHIN", "OF ALL"}}
	for _, p := range r.Parts {
		parts.add(text(partWords(p.Name)), text(seconds(p.Took.MedianSeconds)), text(seconds(p.Took.P90Seconds)), text(fmt.Sprintf("%.0f %%", p.Percent)))
	}
	if err := section(parts); err != nil {
		return err
	}
	projects := table{heads: []string{"PROJECT", "DEPLOYS", "FAILED", "RESTORED", "LEAD TIME", "REWORK"}}
	for i := range r.Projects {
		if p := &r.Projects[i]; len(r.Projects) > 1 {
			row := []cell{text(p.Project)}
			for _, m := range measures(&p.Insights) {
				row = append(row, text(m[1]))
			}
			projects.add(row...)
		}
	}
	if err := section(projects); err != nil {
		return err
	}
	failed := table{heads: []string{"FAILED", "WHERE", "VERSION", "RESTORED", "CAUSE"}}
	for _, f := range r.Failures {
		restored := "not yet"
		if f.RestoredBy != "" {
			restored = "in " + seconds(f.RestoredSeconds)
			if f.RestoredKind == model.FailedDeployRestoredKindRollback {
				restored += " by rollback"
			}
		}
		failed.add(text(a.when(f.At)), text(f.Project+"/"+f.Stage), text(freightName(f.Freight)), text(restored), text(f.Cause))
	}
	return section(failed)
}

// measures are the rows of Insights: what, and how much; empty when not known.
func measures(i *model.Insights) [][2]string {
	deploys, failed, restored, lead, rework := "", "", "", "", ""
	if i.Deploys > 0 {
		deploys = fmt.Sprintf("%d, %.1f a week", i.Deploys, i.PerWeek)
		rework = fmt.Sprintf("%d of %d (%.0f %%)", i.Rework, i.Deploys, i.ReworkPercent)
	}
	if i.Judged > 0 {
		failed = fmt.Sprintf("%d of %d (%.0f %%)", i.Failed, i.Judged, i.FailurePercent)
	}
	if i.Restored.Count > 0 {
		restored = fmt.Sprintf("%s, longest %s", seconds(i.Restored.MedianSeconds), seconds(i.Restored.LongestSeconds))
	}
	if i.Unrestored > 0 {
		restored = join("; ", restored, fmt.Sprintf("%d not yet", i.Unrestored))
	}
	if i.LeadTime.Count > 0 {
		lead = fmt.Sprintf("%s from %s, 9 of 10 within %s", seconds(i.LeadTime.MedianSeconds), leadTimeStart(i), seconds(i.LeadTime.P90Seconds))
	}
	return [][2]string{{"deploys", deploys}, {"failed", failed}, {"restored in", restored}, {"lead time", lead}, {"rework", rework}}
}

// partWords say what a part of the way is.
func partWords(name model.DeliveryPartName) string {
	return map[model.DeliveryPartName]string{
		model.DeliveryPartNameAsked: "until it is asked for", model.DeliveryPartNameStarted: "until it starts: approvals, freezes",
		model.DeliveryPartNamePushed: "steps", model.DeliveryPartNameHealthy: "rollout and checks",
	}[name]
}
