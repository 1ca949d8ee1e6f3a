package cli

import (
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) retryCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	var request model.RetryRequest
	var bypass bypassed
	cmd := &cobra.Command{
		Use:   "retry [PROJECT/]STAGE|PROMOTION",
		Short: "Try a promotion that failed or was aborted again",
		Long: `Try a promotion that failed or was aborted again, named itself or as the last one into a Stage: a
new promotion of the same Freight with the same reason, which names the one it tries again. Every
gate is asked again, the plan is made again, and approvals given to the first one do not count. A
rollback is tried again in the same way.

What runs, succeeded, was taken back or superseded cannot be tried again.`,
		Example: `  waybill retry guestbook/prod --wait
  waybill retry guestbook/prod.3.f01234567 --reason "the registry is back"
  waybill retry guestbook/prod --bypass soak --reason "hotfix for incident 17"`,
		Args:              exactArgs("[PROJECT/]STAGE|PROMOTION"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			passed, err := bypass.withReason(cmd, request.Reason)
			if err != nil {
				return err
			}
			request.Bypass = passed
			c, p, err := a.promotionOf(cmd, args[0])
			if err != nil {
				return err
			}
			return a.retry(cmd, c, p, request, w, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until it Succeeded and the Stage is Healthy")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record (default: the reason of the first one)")
	cmd.Flags().StringVar(&request.PlanHash, "plan", "", "hash of the plan that you have seen (waybill diff); another one is refused")
	bypass.bind(cmd)
	return cmd
}

func (a *App) retry(cmd *cobra.Command, c *client.Client, p *model.Promotion, request model.RetryRequest, w *waitFlags, out *output) error {
	again, err := c.Retry(cmd.Context(), p.Project, p.Name, request)
	if err != nil {
		return err
	}
	if again.RetryOf == p.Name {
		a.say("Trying %s again.", p.Name)
	} else {
		a.say("The same is on its way already.")
	}
	return a.promoted(cmd, c, again, w, out)
}
