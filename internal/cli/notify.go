package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
)

func (a *App) notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Try the notifications of a Project",
		Long: `Try the notifications of a Project. They are defined in spec.notifications of the Project; what they tell, and how
to make a channel, is in docs/guides/notifications.md.`,
		Example: `  waybill notify test guestbook/on-call`,
	}
	cmd.AddCommand(a.notifyTestCommand())
	return cmd
}

func (a *App) notifyTestCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "test [PROJECT/]NOTIFICATION",
		Short: "Send a test message by the channel of a notification",
		Long: `Send a message that says that it is a test by the channel of a notification, and print what the other side answers:
exit code 1 when it did not take it. It takes the right to change Stages of the Project.`,
		Example: `  waybill notify test guestbook/on-call`,
		Args:    exactArgs("[PROJECT/]NOTIFICATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			t, err := a.target(cmd, x, args[0], "notification")
			if err != nil {
				return err
			}
			r, err := c.TestNotification(cmd.Context(), t.project, t.name)
			if err != nil {
				return err
			}
			switch {
			case out.isMachine():
				if err := out.encode(a.Stdout, r); err != nil {
					return err
				}
			case r.Sent:
				fmt.Fprintf(a.Stdout, "sent by channel %s as %s\n", r.Channel, r.ID)
			}
			if !r.Sent {
				return &failure{code: client.ExitFailed, what: fmt.Sprintf("not sent (%s): %s", r.Reason, r.Message)}
			}
			return nil
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}
