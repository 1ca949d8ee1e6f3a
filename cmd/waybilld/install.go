package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/internal/secret"
)

// administrators is the group (waybill:administrators to Kubernetes) that may
// do everything in Waybill.
const administrators = "administrators"

func installCommand() *cobra.Command {
	var kubeconfig, namespace, user, passwordFile string
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Put CRDs, roles and admission policies into a cluster",
		Long: `install applies what Waybill needs in its own cluster: its CRDs, roles, admission
policies and service account. It needs an administrator's kubeconfig and may be
repeated; the Helm chart does the same.

With --admin-user it also sets the password of a local user, read from a file so
that it is on no command line.`,
		Example: `  waybilld install --kubeconfig admin.kubeconfig
  waybilld install --kubeconfig admin.kubeconfig --admin-user admin --admin-password-file password.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := restConfig(kubeconfig)
			if err != nil {
				return err
			}
			c, err := client.New(config, client.Options{})
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			err = install.Install(cmd.Context(), install.Options{
				Client: c, Namespace: namespace,
				Progress: func(line string) { fmt.Fprintln(cmd.OutOrStdout(), "applied "+line) },
			})
			if err != nil || user == "" {
				return err //nolint:wrapcheck // names the object already
			}
			password, err := os.ReadFile(passwordFile)
			if err != nil {
				return fmt.Errorf("read --admin-password-file: %w", err)
			}
			password = bytes.TrimRight(password, "\r\n")
			if len(password) == 0 {
				return errors.New("--admin-password-file is empty")
			}
			kube, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			if err := identity.PutUser(cmd.Context(), kube, namespace, user, secret.New(string(password)), []string{administrators}); err != nil {
				return fmt.Errorf("set the password of %q: %w", user, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "user %s may sign in\n", user)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "an administrator's kubeconfig (default: the Pod's account)")
	f.StringVar(&namespace, "system-namespace", "waybill-system", "Waybill's own Namespace")
	f.StringVar(&user, "admin-user", "", "also set the password of this local user and make it an administrator")
	f.StringVar(&passwordFile, "admin-password-file", "", "file with that password")
	cmd.MarkFlagsRequiredTogether("admin-user", "admin-password-file")
	return cmd
}
