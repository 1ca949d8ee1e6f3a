package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) rollbackCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	var request model.RollbackRequest
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "rollback [PROJECT/]STAGE",
		Short: "Take a Stage back to its last good version, or to another it had",
		Long: `Take a Stage back by a new commit that restores a good tree. What is running is aborted if it
is in the way, the Freight taken back is rejected for the Stage, and the automatic flow is held
until somebody resumes it.`,
		Example: `  waybill rollback guestbook/prod --dry-run
  waybill rollback guestbook/prod --reason "errors since 14:00" --wait
  waybill rollback guestbook/prod --to 1.26.1`,
		Args:              exactArgs("[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			stage, err := a.target(cmd, x, args[0], "stage")
			if err != nil {
				return err
			}
			if dryRun {
				preview, err := c.PreviewRollback(cmd.Context(), stage.project, stage.name, request.To)
				if err != nil {
					return err
				}
				return a.printRollbackPreview(preview, out)
			}
			p, err := c.Rollback(cmd.Context(), stage.project, stage.name, request)
			if err != nil {
				return err
			}
			if err := a.promoted(cmd, c, p, w, out); err != nil {
				return err
			}
			a.say("The automatic flow into %s stays held until: waybill resume %s", stage, stage)
			return nil
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until it Succeeded and the Stage is Healthy")
	cmd.Flags().StringVar(&request.To, "to", "", "FREIGHT to go back to (default: the last good one)")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing")
	return cmd
}

func (a *App) printRollbackPreview(p *model.RollbackPreview, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, p)
	}
	if !p.MayRollback {
		f := &failure{code: client.ExitFailed, what: fmt.Sprintf("%s/%s cannot be taken back: %s", p.Project, p.Stage, firstOf(p.Reason, "a gate is closed")),
			why: gateLines(p.Gates)}
		if entry, start := closedGates(p.Gates); entry+start > 0 {
			f.code = client.ExitBlocked
		}
		return f
	}
	if err := a.print("%s/%s would go from %s back to %s", p.Project, p.Stage, freightName(p.From), freightName(p.To)); err != nil {
		return err
	}
	t := table{heads: []string{"IMAGE", "NOW", "THEN"}}
	for _, i := range p.Images {
		t.add(text(i.RepoURL), text(imageVersion(i.Before)), text(imageVersion(i.After)))
	}
	if len(t.rows) > 0 {
		if err := a.printTable(t); err != nil {
			return err
		}
	}
	coloured := a.isColoured(a.Terminal.Stdout)
	for _, app := range p.Applications {
		for _, line := range changeLines(&app, coloured) {
			if err := a.print("%s", strings.TrimRight(line, " ")); err != nil {
				return err
			}
		}
	}
	for _, r := range p.Risks {
		a.say("Look at: %s", r.Sentence)
	}
	if p.FilesMissing != "" {
		a.say("It is not known which objects change: %s", p.FilesMissing)
	}
	if p.Aborts.Name != "" {
		a.say("It would abort %s, which is under way.", p.Aborts.Name)
	}
	if p.Holds {
		a.say("It would hold the automatic flow into the Stage until somebody resumes it.")
	}
	a.say("To do it: waybill rollback %s/%s --to %s", p.Project, p.Stage, freightName(p.To))
	return nil
}

// imageVersion is an image's tag and the start of its digest.
func imageVersion(i model.Image) string {
	digest := i.Digest
	if len(digest) > 19 {
		digest = digest[:19]
	}
	return join(" ", i.Tag, digest)
}
