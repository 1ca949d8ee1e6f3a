package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// pageSize is how many items of a list are asked for at once; the server's
// greatest.
const pageSize = 500

func (a *App) historyCommand() *cobra.Command {
	var out *output
	var limit int
	cmd := &cobra.Command{
		Use:   "history [PROJECT | [PROJECT/]STAGE]",
		Short: "Show what happened to a Stage, or to a whole Project, newest first",
		Long: `Show what happened to a Stage, or to a whole Project, newest first.

One name without a slash is a Stage of the Project that -p, the environment or the context
names; when none does, it is a Project.`,
		Example: `  waybill history guestbook/prod
  waybill history guestbook
  waybill history -p guestbook --limit 200 -o json`,
		Args:              rangeArgs(0, "PROJECT or [PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef(cmd, "--limit %d: want 1 or more", limit)
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			var of target
			if len(args) > 0 && (x.Project != "" || strings.Contains(args[0], "/")) {
				of, err = a.target(cmd, x, args[0], "stage")
			} else {
				of.project, err = a.needProject(cmd, x, args)
			}
			if err != nil {
				return err
			}
			list := &model.PromotionList{Items: []model.Promotion{}}
			for page := (client.Page{Limit: min(limit, pageSize)}); ; page.Token = list.NextPage {
				part, err := c.History(cmd.Context(), of.project, of.name, page)
				if err != nil {
					return err
				}
				list.Items = append(list.Items, part.Items...)
				list.NextPage, list.Warning = part.NextPage, part.Warning
				if list.NextPage == "" || len(list.Items) >= limit {
					break
				}
			}
			list.Items = list.Items[:min(len(list.Items), limit)]
			if list.Warning != "" {
				a.say("%s", list.Warning)
			}
			return a.printHistory(list, out)
		},
	}
	out = outputFlag(cmd, allFormats()...)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return cmd
}

func (a *App) printHistory(list *model.PromotionList, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, list)
	case out.format == "name":
		for _, p := range list.Items {
			if err := a.print("promotion/%s", p.Name); err != nil {
				return err
			}
		}
		return nil
	case len(list.Items) == 0:
		a.say("Nothing was promoted yet.")
		return nil
	}
	t := table{heads: []string{"WHEN", "STAGE", "WHAT", "VERSION", "RESULT", "BY", "TOOK", "MESSAGE"}}
	if out.format == "wide" {
		t.heads = append(t.heads, "COMMIT", "PROMOTION")
	}
	for _, p := range list.Items {
		what, version := "promote", freightName(p.Freight)
		if p.Kind == model.PromotionKindRollback {
			what, version = "roll back", firstOf(freightName(p.To), prefix("from ", freightName(p.Freight)))
		}
		row := []cell{text(a.when(p.CreatedAt)), text(p.Stage), text(what), text(version), phaseCell(p.Phase),
			text(person(p.RequestedBy)), text(tookPromotion(&p)), text(join("; ", p.RequestReason, prefix("retry of ", p.RetryOf), historyNote(p)))}
		if out.format == "wide" {
			row = append(row, text(short(p.Commit.Commit)), text(p.Name))
		}
		t.add(row...)
	}
	return a.printTable(t)
}

// person is a user as people see it: without the prefix of Waybill's own.
func person(user string) string { return strings.TrimPrefix(user, "waybill:") }

// historyNote is why a promotion did not simply succeed.
func historyNote(p model.Promotion) string {
	if p.Phase == model.PhaseSucceeded {
		return ""
	}
	return p.Message
}

// when is an instant for people: its age while it is recent, else its date.
func (a *App) when(t time.Time) string {
	if a.Now().Sub(t) < 24*time.Hour {
		return a.age(t) + " ago"
	}
	return day(t)
}
