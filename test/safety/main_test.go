package safety

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/test/env"
)

const systemNamespace = "waybill-system"

// patience is how long anything may take before a test gives up.
const patience = 2 * time.Minute

// shared is the API server of the tests that need no workloads: each uses its
// own Project.
var shared *env.Env

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	e, err := env.New(env.Options{Housekeeping: true, Log: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = e.Stop() }()
	shared = e
	if err := installInto(e); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// installInto puts Waybill's definitions and policies into an API server.
func installInto(e *env.Env) error {
	s, err := kinds()
	if err != nil {
		return err
	}
	c, err := client.New(e.Config, client.Options{Scheme: s})
	if err != nil {
		return err
	}
	if err := install.Install(context.Background(), install.Options{Client: c, Namespace: systemNamespace}); err != nil {
		return err
	}
	return served(e, s)
}

// served waits until the API server's list of kinds has all of Waybill's: it
// follows the definitions by a moment.
func served(e *env.Env, s *runtime.Scheme) error {
	return wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		c, err := client.New(e.Config, client.Options{Scheme: s}) // with a fresh look at the kinds
		if err != nil {
			return false, err
		}
		for _, list := range []client.ObjectList{
			&v1alpha1.ProjectList{}, &v1alpha1.WarehouseList{}, &v1alpha1.FreightList{}, &v1alpha1.StageList{},
			&v1alpha1.PromotionList{}, &v1alpha1.ApplicationList{}, &v1alpha1.FreezeList{}, &v1alpha1.ApprovalList{},
		} {
			if err := c.List(ctx, list); err != nil {
				return false, nil //nolint:nilerr // not yet
			}
		}
		return true, nil
	})
}

func kinds() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, rbacv1.AddToScheme, appsv1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	s, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func clientFor(t testing.TB, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually waits until check returns nil, and fails with its last error.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond) // a poll with a deadline, not a wait for luck
	}
}
