// Command waybilld is the Waybill server: API, dashboard, controllers and
// reconciler in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // windows name time zones, and an image may have none

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gitops/render/helm"
)

func main() {
	// Before anything else: a worker has to be small and to have read nothing.
	if len(os.Args) == 2 && os.Args[1] == helm.WorkerArgument {
		if err := helm.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "waybilld: "+err.Error())
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "waybilld: "+err.Error())
		stop()
		code := 1
		if named := (&exitError{}); errors.As(err, &named) {
			code = named.code
		}
		os.Exit(code)
	}
}

// version and commit are set by the linker.
var version, commit = "dev", ""

func command() *cobra.Command {
	var o serveOptions
	root := &cobra.Command{
		Use:   "waybilld",
		Short: "The Waybill server: API, dashboard, controllers and reconciler",
		Long: `waybilld watches registries and Git, promotes Freight through Stages, keeps
clusters equal to their branches, and serves the API and the dashboard.

Without --kubeconfig it uses the account of the Pod it runs in.`,
		Example: `  waybilld --kubeconfig ~/.kube/config --listen 127.0.0.1:8080 --data /var/lib/waybill
  waybilld install --kubeconfig admin.kubeconfig`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), o) },
	}
	o.bind(root.Flags())
	root.AddCommand(installCommand(), observeCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	}
}
