package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) promoteCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	var reason, plan string
	var bypass bypassed
	cmd := &cobra.Command{
		Use:   "promote FREIGHT [PROJECT/]STAGE",
		Short: "Take a Freight into a Stage",
		Long: `Take a Freight into a Stage: its images are written to the Stage's branch in one commit, and
the cluster follows.

latest is the newest Freight whose entry gates are open for the Stage. With --wait the command
ends when the promotion Succeeded and the Stage is Healthy, or failed (exit code 1), or a closed
gate stops it (7), or the time is up (6; it goes on).`,
		Example: `  waybill promote latest guestbook/prod --wait
  waybill promote 1.27.0 guestbook/prod --reason "release 42"
  waybill promote @uat guestbook/prod --wait --timeout 20m
  waybill promote 1.27.1 guestbook/prod --bypass soak --reason "hotfix for incident 17"`,
		Args:              exactArgs("FREIGHT", "[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			passed, err := bypass.withReason(cmd, reason)
			if err != nil {
				return err
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			to, err := a.target(cmd, x, args[1], "stage")
			if err != nil {
				return err
			}
			request := model.PromoteRequest{Freight: args[0], Reason: reason, PlanHash: plan, Bypass: passed}
			if args[0] == "latest" {
				// Asked first, so that what is promoted is what was explained.
				why, err := c.Why(cmd.Context(), to.project, to.name, args[0])
				if err != nil {
					return err
				}
				a.sayShutOut(why.Newer)
				request.Freight = why.Freight.Name
			}
			p, err := c.Promote(cmd.Context(), to.project, to.name, request)
			if err != nil {
				return err
			}
			return a.promoted(cmd, c, p, w, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until it Succeeded and the Stage is Healthy")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&plan, "plan", "", "hash of the plan that you have seen (waybill diff); another one is refused")
	bypass.bind(cmd)
	return cmd
}

// bypassed is the value of --bypass: gates to pass.
type bypassed []string

func (b *bypassed) bind(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar((*[]string)(b), "bypass", nil, "gates to pass: upstream, soak, rejected, freeze, approval (needs the verb bypass and --reason)")
	_ = cmd.RegisterFlagCompletionFunc("bypass", cobra.FixedCompletions([]string{"upstream", "soak", "rejected", "freeze", "approval"}, cobra.ShellCompDirectiveNoFileComp))
}

// withReason returns the gates; passing one needs a reason.
func (b bypassed) withReason(cmd *cobra.Command, reason string) ([]model.PassableGate, error) {
	if len(b) > 0 && reason == "" {
		return nil, usage(cmd, "--bypass needs a reason: add --reason TEXT")
	}
	var out []model.PassableGate
	for _, gate := range b {
		out = append(out, model.PassableGate(gate))
	}
	return out, nil
}

// promoted reports a Promotion that was accepted and, if asked, waits for it.
func (a *App) promoted(cmd *cobra.Command, c *client.Client, p *model.Promotion, w *waitFlags, out *output) error {
	var failed error
	if w.wait {
		a.say("%s", promotionHeadline(p))
		p, failed = a.waitFor(cmd.Context(), c, p, w.timeout)
	}
	if p == nil {
		return failed
	}
	if err := a.printPromotion(p, out); err != nil {
		return err
	}
	if !w.wait && !p.Finished && out.format == "table" {
		a.say("Follow it: waybill watch %s/%s", p.Project, p.Name)
	}
	return failed
}

func (a *App) printPromotion(p *model.Promotion, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, p)
	case out.format == "name":
		return a.print("promotion/%s", p.Name)
	default:
		return a.print("%s  %s", promotionHeadline(p), p.Phase)
	}
}

// promotionHeadline says what a Promotion does: stage, versions, name.
func promotionHeadline(p *model.Promotion) string {
	to := freightName(p.Freight)
	from := ""
	if len(p.From) > 0 {
		from = firstOf(p.From[0].Version, p.From[0].Alias, short(p.From[0].Name))
	}
	if p.Kind == model.PromotionKindRollback {
		from, to = firstOf(from, freightName(p.Freight)), freightName(p.To)
		if to == "" {
			to = "the last good version"
		}
		return fmt.Sprintf("%s/%s  roll back %s to %s  %s", p.Project, p.Stage, firstOf(from, "what runs"), to, p.Name)
	}
	if from == "" || from == to {
		return fmt.Sprintf("%s/%s  %s  %s", p.Project, p.Stage, to, p.Name)
	}
	return fmt.Sprintf("%s/%s  %s → %s  %s", p.Project, p.Stage, from, to, p.Name)
}

// waitFlags are --wait and --timeout.
type waitFlags struct {
	wait    bool
	timeout time.Duration
}

// addWaitFlags adds --wait and --timeout; what completes "wait ...".
func addWaitFlags(cmd *cobra.Command, what string) *waitFlags {
	w := &waitFlags{}
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait "+what)
	cmd.Flags().DurationVar(&w.timeout, "timeout", 10*time.Minute, "how long to wait")
	return w
}
