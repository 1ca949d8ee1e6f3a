package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) approveCommand() *cobra.Command {
	var out *output
	var reason, plan, until string
	cmd := &cobra.Command{
		Use:   "approve [PROJECT/]PROMOTION|STAGE",
		Short: "Approve what a promotion that waits is going to do",
		Long: `Approve the plan of a promotion that waits, named itself or as what waits for a Stage. waybill diff
shows the plan and its hash. With --plan exactly that plan is approved, and another one refused;
without it, the plan as it is now, which is said in short.`,
		Example: `  waybill approve guestbook/prod --reason "looked at the diff"
  waybill approve guestbook/prod.7.f0123456 --plan sha256:8d3c...`,
		Args:              exactArgs("[PROJECT/]PROMOTION|STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			end, err := a.untilFlag(cmd, until)
			if err != nil {
				return err
			}
			c, p, err := a.waitsForApproval(cmd, args[0])
			if err != nil {
				return err
			}
			hash, err := a.planToDecide(cmd.Context(), c, p, plan, out)
			if err != nil {
				return err
			}
			p, err = c.Approve(cmd.Context(), p.Project, p.Name, model.DecisionRequest{PlanHash: hash, Reason: reason, Until: end})
			if err != nil {
				return err
			}
			if out.format == "table" {
				a.say("%s", approvedText(p))
			}
			return a.printPromotion(p, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&plan, "plan", "", "hash of the plan that you have seen (waybill diff)")
	cmd.Flags().StringVar(&until, "until", "", "when the approval ends by itself: a time (2026-12-27T09:00:00Z) or a duration from now (2h)")
	return cmd
}

// approvedText says what is still missing after an approval.
func approvedText(p *model.Promotion) string {
	need := p.ApprovalNeed
	take := fmt.Sprintf("To take it back: waybill revoke %s/%s", p.Project, p.Name)
	if missing := need.Need - need.Have; missing > 0 {
		return fmt.Sprintf("Approved; %d of %d. %d more: %s. %s", need.Have, need.Need, missing, askedText(need), take)
	}
	return fmt.Sprintf("Approved; %d of %d. It starts when its other gates are open. %s", need.Have, need.Need, take)
}

// askedText says who counts.
func askedText(need model.ApprovalNeed) string {
	from := append([]string(nil), need.Users...)
	for _, g := range need.Groups {
		from = append(from, "group "+g)
	}
	if len(from) == 0 {
		return "anybody who may approve"
	}
	return strings.Join(from, " or ")
}

func (a *App) revokeCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:               "revoke [PROJECT/]PROMOTION|STAGE",
		Short:             "Take back what you decided about a promotion that waits",
		Example:           "  waybill revoke guestbook/prod",
		Args:              exactArgs("[PROJECT/]PROMOTION|STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := a.waitsForApproval(cmd, args[0])
			if err != nil {
				return err
			}
			if p, err = c.Revoke(cmd.Context(), p.Project, p.Name); err != nil {
				return err
			}
			if out.format == "table" {
				a.say("Revoked; %d of %d approvals are left.", p.ApprovalNeed.Have, p.ApprovalNeed.Need)
			}
			return a.printPromotion(p, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

// rejectPromotion ends a promotion that waits for approval.
func (a *App) rejectPromotion(cmd *cobra.Command, arg, reason, plan string, out *output) error {
	if strings.TrimSpace(reason) == "" {
		return usage(cmd, "rejecting a promotion needs --reason, which is kept in the history")
	}
	c, p, err := a.waitsForApproval(cmd, arg)
	if err != nil {
		return err
	}
	hash, err := a.planToDecide(cmd.Context(), c, p, plan, out)
	if err != nil {
		return err
	}
	if p, err = c.RejectPromotion(cmd.Context(), p.Project, p.Name, model.DecisionRequest{PlanHash: hash, Reason: reason}); err != nil {
		return err
	}
	if out.format == "table" {
		a.say("Rejected; the promotion ends. To keep the Freight out for good: waybill reject %s %s/%s", freightName(p.Freight), p.Project, p.Stage)
	}
	return a.printPromotion(p, out)
}

// waitsForApproval returns the Promotion that arg names: itself, or the one that
// waits for approval into a Stage.
func (a *App) waitsForApproval(cmd *cobra.Command, arg string) (*client.Client, *model.Promotion, error) {
	c, x, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	it, err := a.target(cmd, x, arg, "promotion")
	if err != nil {
		return nil, nil, err
	}
	p, err := c.Promotion(cmd.Context(), it.project, it.name)
	if err == nil || client.Code(err) != model.NotFound {
		return c, p, err
	}
	stage, err := c.Stage(cmd.Context(), it.project, it.name)
	if client.Code(err) == model.NotFound {
		return nil, nil, notFound(fmt.Sprintf("%q is neither a promotion nor a Stage of %s", it.name, it.project), "waybill inbox")
	}
	if err != nil {
		return nil, nil, err
	}
	var wait []*model.Promotion
	for i := range stage.Stage.PendingPromotions {
		if q := &stage.Stage.PendingPromotions[i]; q.ApprovalNeed.Need > 0 {
			wait = append(wait, q)
		}
	}
	if q := &stage.Stage.ActivePromotion; q.ApprovalNeed.Need > 0 { // one of its steps waits
		wait = append(wait, q)
	}
	switch len(wait) {
	case 0:
		return nil, nil, notFound(fmt.Sprintf("nothing waits for approval into %s", it), "waybill inbox", "waybill status -p "+it.project)
	case 1:
		return c, wait[0], nil
	default:
		f := usagef(cmd, "%d promotions wait for approval into %s; name one", len(wait), it)
		f.next = nil
		for _, p := range wait {
			f.next = append(f.next, fmt.Sprintf("%s %s/%s", cmd.CommandPath(), p.Project, p.Name))
		}
		return nil, nil, f
	}
}

// planToDecide returns the hash to decide about: the one the person gives, or
// that of the plan as it is now, after saying what it is.
func (a *App) planToDecide(ctx context.Context, c *client.Client, p *model.Promotion, given string, out *output) (string, error) {
	if given != "" {
		return given, nil
	}
	plan, err := c.PlanOfPromotion(ctx, p.Project, p.Name)
	if err != nil {
		return "", err
	}
	if plan.PlanHash == "" {
		return "", &failure{code: client.ExitFailed, what: "the plan cannot be worked out now: " + firstOf(plan.FilesMissing, "Git could not be read")}
	}
	if out.format == "table" {
		a.say("%s", promotionHeadline(p))
		for _, line := range planSummary(plan) {
			a.say("  %s", line)
		}
	}
	return plan.PlanHash, nil
}

// planSummary is a plan in a few lines: what changes, what comes along, what is
// risky.
func planSummary(plan *model.Plan) []string {
	var out []string
	for _, app := range plan.Applications {
		switch {
		case app.Broken != "":
			out = append(out, fmt.Sprintf("%s: its manifests cannot be rendered afterwards: %s", app.Name, app.Broken))
		case len(app.Objects) == 0:
			out = append(out, fmt.Sprintf("%s: nothing changes", app.Name))
		default:
			counts := map[model.ObjectChangeChange]int{}
			for _, o := range app.Objects {
				counts[o.Change]++
			}
			var parts []string
			for _, kind := range []model.ObjectChangeChange{model.ObjectChangeChangeDeleted, model.ObjectChangeChangeChanged, model.ObjectChangeChangeCreated} {
				if n := counts[kind]; n > 0 {
					parts = append(parts, fmt.Sprintf("%d %s", n, kind))
				}
			}
			out = append(out, fmt.Sprintf("%s: %s; %d stay as they are", app.Name, strings.Join(parts, ", "), app.Unchanged))
		}
	}
	if n := len(plan.Commits); n > 0 {
		verb := "come"
		if n == 1 {
			verb = "comes"
		}
		out = append(out, fmt.Sprintf("%s of %s %s along", counted(n, "commit"), plan.Commits[0].RepoURL, verb))
	}
	if n := len(plan.Overwrites); n > 0 {
		out = append(out, fmt.Sprintf("%s by others on the Stage's branch will be overwritten", counted(n, "commit")))
	}
	for _, c := range plan.Accepted {
		out = append(out, fmt.Sprintf("what %s accepted in the cluster will be overwritten: %s", person(c.By), strings.Join(c.Fields, ", ")))
	}
	for _, r := range plan.Risks {
		out = append(out, "look at: "+r.Sentence)
	}
	return out
}

func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func (a *App) inboxCommand() *cobra.Command {
	var out *output
	var done bool
	cmd := &cobra.Command{
		Use:   "inbox",
		Short: "Show what waits for you: approvals, failures, drift",
		Example: `  waybill inbox
  waybill inbox --done`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			in, err := c.Inbox(cmd.Context())
			if err != nil {
				return err
			}
			if out.isMachine() {
				return out.encode(a.Stdout, in)
			}
			return a.printInbox(in, done)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&done, "done", false, "what you have decided, instead")
	return cmd
}

func (a *App) printInbox(in *model.Inbox, done bool) error {
	if done {
		return a.printDecided(in.Done)
	}
	if len(in.Approvals)+len(in.Failed)+len(in.Drifted) == 0 {
		return a.print("Nothing waits for you.")
	}
	approvals := table{heads: []string{"PROMOTION", "FREIGHT", "HAVE", "BY", "AGE", "NEXT"}}
	for _, i := range in.Approvals {
		p := i.Promotion
		next := fmt.Sprintf("waybill diff %s/%s", p.Project, p.Name)
		if !i.MayDecide {
			next = i.MayNot
		}
		approvals.add(text(p.Project+"/"+p.Name), text(freightName(p.Freight)), text(fmt.Sprintf("%d of %d", p.ApprovalNeed.Have, p.ApprovalNeed.Need)),
			text(person(p.RequestedBy)), text(a.age(p.CreatedAt)), text(next))
	}
	failed := table{heads: []string{"PROMOTION", "FREIGHT", "REASON", "AGE", "WHY"}}
	for _, i := range in.Failed {
		p := i.Promotion
		failed.add(text(p.Project+"/"+p.Name), text(freightName(p.Freight)), text(p.Reason), text(a.age(p.FinishedAt)), text(p.Message))
	}
	drifted := table{heads: []string{"STAGE", "WHAT"}}
	for _, i := range in.Drifted {
		drifted.add(text(i.Project+"/"+i.Stage), text(i.Sentence))
	}
	gap := ""
	for _, group := range []struct {
		title string
		table table
	}{{"Needs your approval", approvals}, {"Failed", failed}, {"Changed by hand", drifted}} {
		if len(group.table.rows) == 0 {
			continue
		}
		if err := a.print("%s%s", gap, paint(group.title, bold, a.isColoured(a.Terminal.Stdout))); err != nil {
			return err
		}
		if err := a.printTable(group.table); err != nil {
			return err
		}
		gap = "\n"
	}
	if len(in.Missing) > 0 {
		a.say("Not looked at, there are too many: %s", strings.Join(in.Missing, ", "))
	}
	return nil
}

func (a *App) printDecided(items []model.InboxApproval) error {
	if len(items) == 0 {
		return a.print("You have decided nothing yet.")
	}
	t := table{heads: []string{"PROMOTION", "FREIGHT", "DECISION", "COUNTS", "PHASE", "AGE", "REASON"}}
	for _, i := range items {
		p, d := i.Promotion, i.Decision
		t.add(text(p.Project+"/"+p.Name), text(freightName(p.Freight)), text(string(d.Decision)), text(strings.ReplaceAll(string(d.Standing), "-", " ")),
			phaseCell(p.Phase), text(a.age(d.CreatedAt)), text(d.Reason))
	}
	return a.printTable(t)
}

// untilFlag reads --until: a time, or a duration from now.
func (a *App) untilFlag(cmd *cobra.Command, until string) (time.Time, error) {
	if until == "" {
		return time.Time{}, nil
	}
	end, err := time.Parse(time.RFC3339, until)
	if d, durationErr := time.ParseDuration(until); durationErr == nil {
		end, err = a.Now().Add(d).UTC().Truncate(time.Second), nil
	}
	if err != nil {
		return end, usagef(cmd, "--until %q is neither a time (2026-12-27T09:00:00Z) nor a duration (2h)", until)
	}
	if !end.After(a.Now()) {
		return end, usagef(cmd, "--until %q is in the past", until)
	}
	return end, nil
}
