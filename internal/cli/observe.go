package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/internal/local"
)

// observeCommand hands over to `waybilld observe`, which has the renderer and speaks
// to clusters; this program has neither (docs/adr/0009-observe.md).
func (a *App) observeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "observe --from-argocd CONTEXT",
		Short: "Say what Waybill would do in the place of Argo CD and Kargo, without writing anything",
		Long: `Look at what Argo CD and Kargo run in a cluster, and say what Waybill would do in their
place: every Application is rendered from Git with Waybill's renderer and compared with what
lives, field by field; every Stage of Kargo is asked for what would be promoted, with every
closed gate. What Waybill has no equivalent for (Jsonnet, config management plugins, several
sources, ...) is listed.

It never writes: the connection refuses everything but reads before it is sent, so credentials
that may get and list are enough (the view role, and Argo CD's repository Secrets for private
repositories). Nothing has to be installed in the cluster. It needs waybilld beside waybill.

Progress goes to standard error. The exit code is 0 when it could look, whatever it saw; with
--check it is 1 unless everything is as it would be under Waybill. With --watch it looks again
and prints what changed, until interrupted.`,
		Example: `  waybill observe --from-argocd production
  waybill observe --from-argocd production -o json | jq '.applications[] | select(.verdict != "InSync")'
  waybill observe --from-argocd mgmt --cluster prod-eu=prod-eu-admin --watch 1m`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.observe(cmd) },
	}
	f := cmd.Flags()
	f.String("from-argocd", "", "kubeconfig context of the cluster Argo CD runs in")
	f.String("kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
	f.StringP("namespace", "n", "", "only Applications of this namespace")
	f.StringP("output", "o", "text", "text or json")
	f.StringArray("cluster", nil, "NAME=CONTEXT of another cluster Applications deploy to, by the name or server Argo CD has for it (may be repeated)")
	f.Bool("once", false, "look once (the default)")
	f.Duration("watch", 0, "look again after this time, until interrupted, and print what changed (5s or more)")
	f.Bool("check", false, "exit 1 unless everything is as it would be under Waybill")
	f.Bool("allow-http", false, "speak plain http to Git servers (credentials travel in the clear)")
	f.Bool("allow-loopback", false, "connect to Git servers on this machine")
	cmd.MarkFlagsMutuallyExclusive("once", "watch")
	return cmd
}

func (a *App) observe(cmd *cobra.Command) error {
	if cmd.Flag("from-argocd").Value.String() == "" {
		return usage(cmd, "name the kubeconfig context: --from-argocd CONTEXT")
	}
	if out := cmd.Flag("output").Value.String(); out != "text" && out != "json" {
		return usagef(cmd, "-o %s: want text or json", out)
	}
	if d, err := cmd.Flags().GetDuration("watch"); err != nil || cmd.Flags().Changed("watch") && d < 5*time.Second {
		return usagef(cmd, "--watch %s: want at least 5s", d)
	}
	executable, err := a.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	binaries, err := local.FindBinaries(executable, false)
	if err != nil {
		return &failure{code: client.ExitUsage, what: err.Error(), why: []string{"observe renders with the server's renderer; put waybilld beside waybill"}}
	}
	code, err := local.Observe(cmd.Context(), binaries, given(cmd), a.Stdout, a.Stderr)
	if err != nil {
		return err
	}
	if code != client.ExitDone {
		return &failure{code: code} // waybilld has said what
	}
	return nil
}

// given returns the flags of this command that were set, as they are handed on.
func given(cmd *cobra.Command) []string {
	var args []string
	own := cmd.LocalNonPersistentFlags()
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if own.Lookup(f.Name) == nil {
			return // one that every command has
		}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			for _, value := range many.GetSlice() {
				args = append(args, "--"+f.Name+"="+value)
			}
			return
		}
		args = append(args, "--"+f.Name+"="+f.Value.String())
	})
	return args
}
