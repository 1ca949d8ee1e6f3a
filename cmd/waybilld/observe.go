package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/gitops/render/helm"
	"github.com/waybill-dev/waybill/gitops/shadow"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// exitError is an error with the exit code of design 05.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// The exit codes of observe, as the CLI has them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitForbidden   = 4
	exitInterrupted = 130
)

type observeOptions struct {
	kubeconfig, context, namespace, output string
	clusters                               map[string]string
	once, check                            bool
	watch                                  time.Duration
	allowHTTP, allowLoopback               bool
}

// observeCommand is what `waybill observe` starts: the CLI is made without a
// renderer and without client-go (docs/adr/0009-observe.md).
func observeCommand() *cobra.Command {
	var o observeOptions
	cmd := &cobra.Command{
		Use:   "observe --from-argocd CONTEXT",
		Short: "Say what Waybill would do in the place of Argo CD and Kargo; never writes (see waybill observe)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return look(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.context, "from-argocd", "", "kubeconfig context of the cluster Argo CD runs in")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
	f.StringVarP(&o.namespace, "namespace", "n", "", "only Applications of this namespace")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.StringToStringVar(&o.clusters, "cluster", nil, "NAME=CONTEXT of another cluster Applications deploy to, by the name or server Argo CD has for it")
	f.BoolVar(&o.once, "once", false, "look once (the default)")
	f.DurationVar(&o.watch, "watch", 0, "look again after this time, until interrupted, and print what changed")
	f.BoolVar(&o.check, "check", false, "exit 1 unless everything is as it would be under Waybill")
	f.BoolVar(&o.allowHTTP, "allow-http", false, "speak plain http to Git servers")
	f.BoolVar(&o.allowLoopback, "allow-loopback", false, "connect to Git servers on this machine")
	cmd.MarkFlagsMutuallyExclusive("once", "watch")
	return cmd
}

// shortestWatch keeps observe from being a load on the cluster it looks at.
const shortestWatch = 5 * time.Second

func look(ctx context.Context, o observeOptions, stdout, stderr io.Writer) error {
	if o.context == "" {
		return &exitError{exitUsage, errors.New("name the kubeconfig context: --from-argocd CONTEXT")}
	}
	if o.output != "text" && o.output != "json" {
		return &exitError{exitUsage, fmt.Errorf("-o %s: want text or json", o.output)}
	}
	if o.watch != 0 && o.watch < shortestWatch {
		return &exitError{exitUsage, fmt.Errorf("--watch %s: want at least %s", o.watch, shortestWatch)}
	}
	observer, done, err := newObserver(o, func(line string) { fmt.Fprintln(stderr, line) })
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer done()
	last := ""
	for {
		report, err := observer.Observe(ctx)
		if err != nil {
			return exitOf(ctx, err)
		}
		text, err := printed(report, o.output)
		if err != nil {
			return err
		}
		if summary := comparable(report); summary != last {
			last = summary
			if _, err := io.WriteString(stdout, text); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		if o.watch == 0 {
			if o.check && report.NeedsLook() {
				return &exitError{exitFailed, errors.New("not everything is as it would be under Waybill")}
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.watch):
		}
	}
}

// exitOf is how an error ends the program.
func exitOf(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted")}
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return &exitError{exitForbidden, err}
	default:
		return &exitError{exitUsage, err}
	}
}

func printed(r *shadow.Report, format string) (string, error) {
	if format == "json" {
		text, err := json.Marshal(r)
		return string(text) + "\n", err //nolint:wrapcheck // cannot fail for plain fields
	}
	var b strings.Builder
	err := r.WriteText(&b)
	return b.String(), err //nolint:wrapcheck // names itself
}

// comparable is a report without what changes although nothing has happened.
func comparable(r *shadow.Report) string {
	same := *r
	same.ObservedAt, same.Requests = time.Time{}, 0
	text, err := json.Marshal(same)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// newObserver connects, read only, with a scratch folder for what is read from Git.
func newObserver(o observeOptions, progress func(string)) (*shadow.Observer, func(), error) {
	newLogger(false)
	git.UninstallUnsafeTransports()
	requests := &shadow.Requests{}
	connect := func(name, kubeContext string) (*cluster.Cluster, error) {
		config, err := contextConfig(o.kubeconfig, kubeContext)
		if err != nil {
			return nil, err
		}
		return cluster.Connect(name, shadow.ReadOnly(config, requests), clock.RealClock{}) //nolint:wrapcheck // names the cluster
	}
	home, err := connect(v1alpha1.InCluster, o.context)
	if err != nil {
		return nil, nil, err
	}
	others := map[string]*cluster.Cluster{}
	for name, kubeContext := range o.clusters {
		if others[name], err = connect(name, kubeContext); err != nil {
			return nil, nil, err
		}
	}
	dir, err := os.MkdirTemp("", "waybill-observe-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for what is read from Git: %w", err)
	}
	transport, err := outbound.New(outbound.Policy{AllowLoopback: o.allowLoopback, AllowPlainHTTP: o.allowHTTP})
	if err != nil {
		return nil, nil, fmt.Errorf("outbound transport: %w", err)
	}
	mirrors, err := git.NewMirrors(git.Options{
		Dir: filepath.Join(dir, "mirrors"), Transport: transport, TransportWithCA: withCA(transport), Dial: transport.DialContext, AllowPlainHTTP: o.allowHTTP,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open Git mirrors: %w", err)
	}
	charts, err := registry.New(registry.Options{Transport: transport, Now: time.Now, CacheDir: filepath.Join(dir, "registry"), AllowLoopbackHTTP: o.allowLoopback})
	if err != nil {
		return nil, nil, fmt.Errorf("open registry cache: %w", err)
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find the program itself: %w", err)
	}
	workers := helm.NewPool(executable, helm.WorkerArgument)
	observer, err := shadow.New(shadow.Options{
		Cluster: home, Others: others, Requests: requests, Namespace: o.namespace, Mirrors: mirrors, Charts: charts, ChartDir: filepath.Join(dir, "charts"),
		Renders: render.NewCache(maxRenders, workers), Clock: clock.RealClock{}, Progress: progress,
	})
	return observer, func() {
		workers.Close()
		_ = charts.Close()
		_ = mirrors.Close()
		_ = os.RemoveAll(dir)
	}, err //nolint:wrapcheck // names itself
}

// contextConfig is the connection of a context of the person's own kubeconfig.
func contextConfig(path, name string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS, config.UserAgent = -1, "waybill-observe/"+version
	return config, nil
}
