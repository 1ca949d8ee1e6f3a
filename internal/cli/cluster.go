package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/enroll"
)

func (a *App) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Register the clusters that Stages deploy to",
		Long: `Register the clusters that Stages deploy to, beside in-cluster, the one Waybill runs in. It needs an
administrator of the installation.`,
		Example: `  waybill cluster add prod-eu --kube-context prod-eu-admin
  waybill cluster list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage(cmd, unknownCommand(cmd, args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.clusterAddCommand(), a.clusterListCommand(), a.clusterTestCommand(), a.clusterRotateCommand(), a.clusterRemoveCommand())
	return cmd
}

// enrolment are the flags that say how a cluster is reached and what Waybill may
// do there.
type enrolment struct {
	kubeconfig, context string
	asItIs              bool
	account             enroll.Account
}

const (
	clusterWait      = 30 * time.Second
	clusterPause     = 250 * time.Millisecond
	defaultNamespace = "waybill-system"
)

func (e *enrolment) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.kubeconfig, "kubeconfig", "", "your kubeconfig for the cluster (default: $KUBECONFIG, ~/.kube/config)")
	f.StringVar(&e.context, "kube-context", "", "context of it (default: its current one)")
	f.StringVar(&e.account.ClusterRole, "role", "admin", "what Waybill may do in every namespace there: admin, or cluster-admin for cluster-scoped kinds too")
	f.BoolVar(&e.asItIs, "as-it-is", false, "give Waybill the token or certificate of the kubeconfig itself, and make no account")
	f.StringVar(&e.account.Namespace, "account-namespace", defaultNamespace, "namespace of the account there")
	f.StringVar(&e.account.Name, "account", "waybill-deployer", "name of the account there")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"admin", "cluster-admin"}, cobra.ShellCompDirectiveNoFileComp))
}

// access reads the kubeconfig.
func (a *App) access(cmd *cobra.Command, e *enrolment) (*enroll.Access, error) {
	if e.account.ClusterRole != "admin" && e.account.ClusterRole != "cluster-admin" {
		return nil, usagef(cmd, "--role is admin or cluster-admin, not %q", e.account.ClusterRole)
	}
	name := firstOf(e.kubeconfig, a.Getenv("KUBECONFIG"))
	if name == "" {
		home, err := a.HomeDir()
		if err != nil {
			return nil, usagef(cmd, "which kubeconfig? name it with --kubeconfig")
		}
		name = filepath.Join(home, ".kube", "config")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, usagef(cmd, "the kubeconfig cannot be read: %v", err)
	}
	access, err := enroll.Read(enroll.Source{Data: data, Dir: filepath.Dir(name), Context: e.context, ReadFile: os.ReadFile})
	if err != nil {
		return nil, &failure{code: client.ExitUsage, what: fmt.Sprintf("%s: %v", name, err)}
	}
	return access, nil
}

// credential returns the kubeconfig that Waybill is given: of an account made for
// it, or what the person has. retire ends the tokens from before.
func (a *App) credential(ctx context.Context, access *enroll.Access, e *enrolment) (kubeconfig string, retire func(context.Context) error, err error) {
	retire = func(context.Context) error { return nil }
	if !e.asItIs {
		if access, retire, err = access.Enroll(ctx, e.account); err != nil {
			return "", nil, clusterFailure(err)
		}
		a.say("Account %s/%s is there, with the role %s.", e.account.Namespace, e.account.Name, e.account.ClusterRole)
	}
	data, err := access.Kubeconfig()
	return string(data), retire, err
}

// clusterFailure is an answer of the other cluster.
func clusterFailure(err error) error {
	f := &failure{code: client.ExitFailed, what: err.Error()}
	var answer *enroll.Error
	if !errors.As(err, &answer) {
		f.code = client.ExitUsage // it does not answer
	} else if answer.Status == 401 || answer.Status == 403 {
		f.code = client.ExitForbidden
		f.next = []string{"use a kubeconfig whose user may make ServiceAccounts and ClusterRoleBindings there, or --as-it-is"}
	}
	return f
}

func (a *App) clusterAddCommand() *cobra.Command {
	var e enrolment
	var labels map[string]string
	var out *output
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Register a cluster by your kubeconfig for it",
		Long: `Register a cluster. With your own kubeconfig an account is made there (Namespace, ServiceAccount, roles, a
token), and Waybill is given its token: your credentials stay on this computer. Ends when Waybill has reached
the cluster, with exit code 1 when it cannot.

Programs and plugins in a kubeconfig (exec, auth-provider) are not run: use a context with a token or a client
certificate.`,
		Example: `  waybill cluster add prod-eu --kube-context prod-eu-admin
  waybill cluster add edge --kubeconfig edge.yaml --role cluster-admin --labels region=eu
  waybill cluster add old --kubeconfig deployer.yaml --as-it-is`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			access, err := a.access(cmd, &e)
			if err != nil {
				return err
			}
			// Before anything is made over there.
			if _, err := c.Cluster(cmd.Context(), args[0]); err == nil {
				return &failure{code: client.ExitConflict, what: fmt.Sprintf("there is a cluster %q already", args[0]), next: []string{"waybill cluster rotate " + args[0]}}
			} else if client.Code(err) != model.NotFound {
				return err
			}
			kubeconfig, _, err := a.credential(cmd.Context(), access, &e)
			if err != nil {
				return err
			}
			if _, err := c.AddCluster(cmd.Context(), model.AddClusterRequest{Name: args[0], Kubeconfig: kubeconfig, Labels: labels}); err != nil {
				return err
			}
			return a.reached(cmd, c, args[0], "", out)
		},
	}
	e.bind(cmd)
	cmd.Flags().StringToStringVar(&labels, "labels", nil, "labels of the cluster, as NAME=VALUE,...")
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

// reached waits until Waybill has tried to connect to a cluster, and prints it.
// With a request, it is the try that answers that.
func (a *App) reached(cmd *cobra.Command, c *client.Client, name, request string, out *output) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), clusterWait)
	defer cancel()
	tick := time.NewTicker(clusterPause)
	defer tick.Stop()
	for {
		found, err := c.Cluster(ctx, name)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && (request == "" && found.Reason != "" && !found.CheckedAt.IsZero() || request != "" && found.LastHandledRequest == request):
			if err := a.printClusters(&model.ClusterList{Items: []model.Cluster{*found}}, out); err != nil {
				return err
			}
			if !found.Ready {
				return &failure{code: client.ExitFailed, what: fmt.Sprintf("cluster %q: %s", name, found.Message)}
			}
			return nil
		}
		select {
		case <-ctx.Done():
			if cmd.Context().Err() != nil {
				return &failure{code: client.ExitInterrupted}
			}
			return &failure{code: client.ExitTimeout, what: fmt.Sprintf("cluster %q was not tried within %s", name, clusterWait), next: []string{"waybill cluster list"}}
		case <-tick.C:
		}
	}
}

func (a *App) clusterListCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Show the clusters, and whether each answers",
		Example: `  waybill cluster list -o wide`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Clusters(cmd.Context())
			if err != nil {
				return err
			}
			return a.printClusters(list, out)
		},
	}
	out = outputFlag(cmd, allFormats()...)
	return cmd
}

func (a *App) printClusters(list *model.ClusterList, out *output) error {
	if out.isMachine() {
		if len(list.Items) == 1 {
			return out.encode(a.Stdout, list.Items[0])
		}
		return out.encode(a.Stdout, list)
	}
	t := table{heads: []string{"CLUSTER", "READY", "VERSION", "APPLICATIONS", "CHECKED", "MESSAGE"}}
	if out.format == "wide" {
		t.heads = append(t.heads, "SERVER")
	}
	for _, x := range list.Items {
		if out.format == "name" {
			if err := a.print("cluster/%s", x.Name); err != nil {
				return err
			}
			continue
		}
		ready := cell{text: "no", style: red}
		if x.Ready {
			ready = cell{text: "yes", style: green}
		}
		checked := a.age(x.CheckedAt)
		if checked != "" {
			checked += " ago"
		}
		row := []cell{text(x.Name), ready, text(x.Version), text(fmt.Sprint(x.Applications)), text(checked), text(x.Message)}
		if out.format == "wide" {
			row = append(row, text(x.Server))
		}
		t.add(row...)
	}
	if out.format == "name" {
		return nil
	}
	return a.printTable(t)
}

func (a *App) clusterTestCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:     "test NAME",
		Short:   "Make Waybill connect to a cluster now",
		Example: `  waybill cluster test prod-eu`,
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.TestCluster(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.reached(cmd, c, args[0], r.Request, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

func (a *App) clusterRotateCommand() *cobra.Command {
	var e enrolment
	var out *output
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Give Waybill new credentials for a cluster",
		Long: `Make a new token for Waybill's account in a cluster, give it to Waybill, and delete the tokens from before
when Waybill has reached the cluster with the new one. Flags are those of waybill cluster add.`,
		Example: `  waybill cluster rotate prod-eu --kube-context prod-eu-admin
  waybill cluster rotate old --kubeconfig deployer.yaml --as-it-is`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			access, err := a.access(cmd, &e)
			if err != nil {
				return err
			}
			if _, err := c.Cluster(cmd.Context(), args[0]); err != nil {
				return err
			}
			kubeconfig, retire, err := a.credential(cmd.Context(), access, &e)
			if err != nil {
				return err
			}
			r, err := c.RotateCluster(cmd.Context(), args[0], kubeconfig)
			if err != nil {
				return err
			}
			if err := a.reached(cmd, c, args[0], r.Request, out); err != nil {
				a.say("The tokens from before are still valid.")
				return err
			}
			if err := retire(cmd.Context()); err != nil {
				return clusterFailure(err)
			}
			return nil
		},
	}
	e.bind(cmd)
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

func (a *App) clusterRemoveCommand() *cobra.Command {
	var e enrolment
	var isForced, isWithdrawn bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a cluster; what runs there stays",
		Long: `Forget a cluster and its credentials. What was deployed there stays as it is. It is refused while
Applications deploy there, unless --force: they are Unknown afterwards. With --withdraw the account that
waybill cluster add made there is deleted too, with your kubeconfig.`,
		Example: `  waybill cluster remove edge
  waybill cluster remove edge --withdraw --kube-context edge-admin`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			var access *enroll.Access
			if isWithdrawn {
				if access, err = a.access(cmd, &e); err != nil {
					return err
				}
			}
			if err := c.RemoveCluster(cmd.Context(), args[0], isForced); err != nil {
				return err
			}
			a.say("Cluster %s is forgotten; what runs there stays.", args[0])
			if access == nil {
				return nil
			}
			if err := access.Withdraw(cmd.Context(), e.account); err != nil {
				return clusterFailure(err)
			}
			a.say("Account %s/%s is deleted.", e.account.Namespace, e.account.Name)
			return nil
		},
	}
	e.bind(cmd)
	cmd.Flags().BoolVar(&isForced, "force", false, "although Applications deploy there")
	cmd.Flags().BoolVar(&isWithdrawn, "withdraw", false, "delete Waybill's account there too")
	return cmd
}
