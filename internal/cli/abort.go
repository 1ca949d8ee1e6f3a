package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
)

func (a *App) abortCommand() *cobra.Command {
	var out *output
	var reason string
	cmd := &cobra.Command{
		Use:   "abort [PROJECT/]PROMOTION|STAGE",
		Short: "Stop a promotion that is not finished",
		Long: `Stop a promotion, named itself or as what is on its way into a Stage. What it has pushed stays;
waybill rollback takes that back.`,
		Example: `  waybill abort guestbook/prod --reason "wrong version"
  waybill abort guestbook/prod.3.f01234567`,
		Args:              exactArgs("[PROJECT/]PROMOTION|STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := a.promotionOf(cmd, args[0])
			if err != nil {
				return err
			}
			if p.Finished {
				return &failure{code: client.ExitConflict, what: fmt.Sprintf("nothing to abort: %s is finished (%s)", p.Name, p.Phase)}
			}
			p, err = c.Abort(cmd.Context(), p.Project, p.Name, reason)
			if err != nil {
				return err
			}
			a.say("Aborting.")
			return a.printPromotion(p, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}
