package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// auditActions are what --action takes.
func auditActions() []model.AuditAction {
	return []model.AuditAction{
		model.AuditApprove, model.AuditRefuse, model.AuditRevoke, model.AuditFreeze, model.AuditThaw, model.AuditHold, model.AuditResume, model.AuditHoldHealing, model.AuditResumeHealing,
		model.AuditReject, model.AuditUnreject, model.AuditApply, model.AuditDelete, model.AuditSync, model.AuditAccept,
		model.AuditCreate, model.AuditPromote, model.AuditRollback, model.AuditDrift, model.AuditHeal, model.AuditSignIn, model.AuditSignOut, model.AuditChain,
	}
}

func (a *App) auditCommand() *cobra.Command {
	var out *output
	var limit int
	var actions []string
	var who, freight, since, until string
	words := make([]string, 0, len(auditActions()))
	for _, action := range auditActions() {
		words = append(words, string(action))
	}
	cmd := &cobra.Command{
		Use:   "audit [PROJECT | [PROJECT/]STAGE]",
		Short: "Show who decided and defined what, and what was done, newest first",
		Long: `Show who decided and defined what, and what was done, newest first: approvals, freezes, holds,
rejections, changes of definitions; Freight that was made, promotions and rollbacks that
ended, syncs, drift and healing. What a promotion did is in waybill history.

One name without a slash is a Stage of the Project that -p, the environment or the context
names; when none does, it is a Project. Without any name or Project it is the whole
installation, with who signed in, for administrators.

Actions: ` + strings.Join(words[:7], ", ") + ",\n" + strings.Join(words[7:], ", ") + ".",
		Example: `  waybill audit guestbook/prod
  waybill audit guestbook --who ada --since 7d
  waybill audit guestbook --action approve,refuse -o json
  waybill audit --action sign-in --since 2026-03-01T00:00:00Z`,
		Args:              rangeArgs(0, "PROJECT or [PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef(cmd, "--limit %d: want 1 or more", limit)
			}
			f := client.AuditFilter{Who: who, Freight: freight}
			for _, w := range actions {
				if !slices.Contains(words, w) {
					return usagef(cmd, "--action %q: want one of %s", w, strings.Join(words, ", "))
				}
				f.Actions = append(f.Actions, model.AuditAction(w))
			}
			var err error
			if f.From, err = a.past(since); err != nil {
				return usagef(cmd, "--since %v", err)
			}
			if f.Until, err = a.past(until); err != nil {
				return usagef(cmd, "--until %v", err)
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			switch {
			case len(args) > 0 && (x.Project != "" || strings.Contains(args[0], "/")):
				of, err := a.target(cmd, x, args[0], "stage")
				if err != nil {
					return err
				}
				f.Project, f.Stage = of.project, of.name
			case len(args) > 0:
				f.Project = args[0]
			default:
				f.Project = x.Project
			}
			list := &model.AuditList{Items: []model.AuditEntry{}}
			for page := (client.Page{Limit: min(limit, pageSize)}); ; page.Token = list.NextPage {
				part, err := c.Audit(cmd.Context(), f, page)
				if err != nil {
					return err
				}
				list.Items = append(list.Items, part.Items...)
				list.NextPage = part.NextPage
				if list.NextPage == "" || len(list.Items) >= limit {
					break
				}
			}
			list.Items = list.Items[:min(len(list.Items), limit)]
			return a.printAudit(list, f.Project == "", out)
		},
	}
	out = outputFlag(cmd, "table", "wide", "json", "yaml")
	flags := cmd.Flags()
	flags.IntVar(&limit, "limit", 20, "how many")
	flags.StringSliceVar(&actions, "action", nil, "only these actions")
	flags.StringVar(&who, "who", "", "only what this user did")
	flags.StringVar(&freight, "freight", "", "only what is about this Freight")
	flags.StringVar(&since, "since", "", "not before: a time, or how long ago, as 2h or 7d")
	flags.StringVar(&until, "until", "", "before: a time, or how long ago")
	cmd.AddCommand(a.auditVerifyCommand(), a.auditExportCommand())
	return cmd
}

// past reads an instant, or how long ago one was; empty is the zero time.
func (a *App) past(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	number, isDays := strings.CutSuffix(text, "d")
	if isDays {
		number += "h"
	}
	ago, err := time.ParseDuration(number)
	if err != nil || ago < 0 {
		return time.Time{}, fmt.Errorf("%q: want a time like 2026-03-01T09:00:00Z, or how long ago, as 90m, 2h or 7d", text)
	}
	if isDays {
		ago *= 24
	}
	return a.Now().Add(-ago), nil
}

func (a *App) printAudit(list *model.AuditList, all bool, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, list)
	case len(list.Items) == 0:
		a.say("Nothing that was asked for is recorded.")
		return nil
	}
	t := table{heads: []string{"WHEN", "WHO", "ACTION", "WHERE", "WHAT", "REASON"}}
	if out.format == "wide" {
		t.heads = append(t.heads, "VIA", "UNTIL", "FREIGHT")
	}
	for _, e := range list.Items {
		where := e.Stage
		if where == allStages {
			where = "every Stage"
		}
		if all {
			where = strings.Trim(e.Project+"/"+where, "/")
		}
		what := strings.TrimSpace(firstOf(e.Promotion, strings.TrimSpace(e.Kind+" "+e.Name)) + " " + e.Phase)
		row := []cell{text(a.when(e.At)), text(person(e.Actor)), text(string(e.Action)), text(where), text(what), text(e.Reason)}
		if out.format == "wide" {
			end := ""
			if !e.Until.IsZero() {
				end = day(e.Until)
			}
			row = append(row, text(e.Via), text(end), text(strings.Join(e.Freight, " ")))
		}
		t.add(row...)
	}
	return a.printTable(t)
}
