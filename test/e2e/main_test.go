package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordination "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/test/env"
)

const systemNamespace = "waybill-system"

// The people of the tests, who sign in with the CLI.
const (
	admin         = "ada"
	adminPassword = "correct-horse-battery"
)

// installation is a control plane with what `waybilld install` puts there. Each
// test has a Project of its own.
type installation struct {
	cluster *env.Env
	client  client.Client
}

// shared, set by TestMain, is the one with the waybilld of most tests, which the
// first of them starts.
var shared *installation

// own are those for tests with a waybilld of their own, which they kill or pause:
// two waybilld that are no replicas of each other would fight over every Project
// of a control plane. Each serves one test at a time; nil is one not started yet.
var own = make(chan *installation, 3)

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests wait far more than they compute. Go begins with those of the last file,
	// so the ones that wait for minutes are in files named waiting_*: nothing else
	// would be left to do at the end.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fatal(err)
	}
	for range cap(own) {
		own <- nil
	}
	in, err := newInstallation()
	if err != nil {
		fatal(err)
	}
	shared = in
	code := m.Run()
	if common.server != nil {
		common.server.stop()
		_ = common.server.log.Close()
	}
	err = in.cluster.Stop()
	for range cap(own) {
		if o := <-own; o != nil {
			err = errors.Join(err, o.cluster.Stop())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// ownInstallation is the test's until it has ended.
func ownInstallation(t *testing.T) *installation {
	t.Helper()
	in := <-own
	t.Cleanup(func() { own <- in })
	if in == nil {
		var err error
		if in, err = newInstallation(); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func newInstallation() (*installation, error) {
	cluster, err := env.New(env.Options{Workloads: true})
	if err != nil {
		return nil, err
	}
	in := &installation{cluster: cluster}
	if err := in.install(context.Background()); err != nil {
		_ = cluster.Stop()
		return nil, err
	}
	return in, nil
}

func (in *installation) install(ctx context.Context) error {
	scheme := kruntime.NewScheme()
	for _, add := range []func(*kruntime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, coordination.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	c, err := client.New(in.cluster.Config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	in.client = c
	if err := install.Install(ctx, install.Options{Client: c, Namespace: systemNamespace}); err != nil {
		return err
	}
	if err := awaitPolicies(ctx, c); err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(in.cluster.Config)
	if err != nil {
		return err
	}
	return identity.PutUser(ctx, kube, systemNamespace, admin, secret.New(adminPassword), []string{"administrators"})
}

// awaitPolicies waits until the API server's admission policies know the kinds
// that were installed a moment ago: until then it refuses Promotions.
func awaitPolicies(ctx context.Context, c client.Client) error {
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: "test", Freight: "f0"}}
		p.Namespace, p.Name = "default", "test.1.f0"
		return c.Create(ctx, p, client.DryRunAll) == nil, nil
	})
}

// artifact opens a file for a person who wants to know what happened.
func artifact(name string) (*os.File, error) {
	root, err := env.Repository()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "test", "artifacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(dir, strings.ReplaceAll(name, "/", "_")))
}

// binary is what `make build` made, or what the environment variable names.
func binary(name string) (string, error) {
	if b := os.Getenv(strings.ToUpper(name)); b != "" {
		return b, nil
	}
	root, err := env.Repository()
	if err != nil {
		return "", err
	}
	b := filepath.Join(root, "bin", name)
	if _, err := os.Stat(b); err != nil {
		return "", fmt.Errorf("%s is missing: run `make build`", b)
	}
	return b, nil
}
