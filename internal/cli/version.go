package cli

import (
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) versionCommand() *cobra.Command {
	var out *output
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of the server",
		Example: `  waybill version
  waybill version --client -o json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			versions := struct {
				Client model.Version  `json:"client"`
				Server *model.Version `json:"server,omitempty"`
			}{Client: model.Version{Version: a.Version, Commit: a.Commit, API: "v1"}}
			var unreachable error
			if x, err := a.context(); !clientOnly && err == nil {
				c, err := a.clientFor(x)
				if err != nil {
					return err
				}
				if versions.Server, unreachable = c.Version(cmd.Context()); unreachable != nil {
					versions.Server = nil
				}
			}
			if out.isMachine() {
				if err := out.encode(a.Stdout, versions); err != nil {
					return err
				}
				return unreachable
			}
			var t table
			t.add(text("Client"), text(versions.Client.Version), text(short(versions.Client.Commit)))
			if versions.Server != nil {
				t.add(text("Server"), text(versions.Server.Version), text(short(versions.Server.Commit)))
			}
			if err := a.printTable(t); err != nil {
				return err
			}
			return unreachable
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask the server")
	return cmd
}
