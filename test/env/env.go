package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/waybill-dev/waybill/internal/localkube"
)

// Options say what besides etcd and kube-apiserver runs.
type Options struct {
	// Housekeeping adds namespace deletion, garbage collection and service accounts (kube-controller-manager).
	Housekeeping bool
	// Workloads adds, besides Housekeeping, the workload controllers, kube-scheduler, and kwok with its Nodes.
	Workloads bool
	// Nodes is the number of Nodes with Workloads; 0 means 2.
	Nodes int
	// Log gets a line for every process started or ended. Start fills in the test's log.
	Log io.Writer
}

// Env is a running API server.
type Env struct {
	// Config is the administrator's (group system:masters), without a client-side rate limit.
	Config *rest.Config
	// Kubeconfig is the path of a file that says the same.
	Kubeconfig string
	// Cluster is the control plane behind it: its processes, its logs, kubectl.
	Cluster *localkube.Cluster
	// DataDir is where it keeps its files.
	DataDir string

	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	mu      sync.Mutex // guards the mapper's reset against the lookups of another test
}

// Start starts an API server that ends with the test. It fails the test when it cannot.
func Start(t testing.TB, opts Options) *Env {
	t.Helper()
	if opts.Log == nil {
		opts.Log = t.Output()
	}
	e, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// New is Start for TestMain: the caller stops it.
func New(opts Options) (*Env, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "waybill-env-")
	if err != nil {
		return nil, fmt.Errorf("start test environment: %w", err)
	}
	e, err := start(binary, dir, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start test environment: %w", err), os.RemoveAll(dir))
	}
	return e, nil
}

func start(binary, dir string, opts Options) (*Env, error) {
	cluster, err := localkube.Start(context.Background(), localkube.Options{
		Binary: binary, DataDir: dir, Log: opts.Log,
		Housekeeping: opts.Housekeeping, Workloads: opts.Workloads, Nodes: opts.Nodes,
	})
	if err != nil {
		return nil, err
	}
	e := &Env{Cluster: cluster, DataDir: dir, Kubeconfig: cluster.Kubeconfig()}
	if err := e.connect(); err != nil {
		return nil, errors.Join(err, cluster.Kill())
	}
	return e, nil
}

func (e *Env) connect() error {
	var err error
	if e.Config, err = load(e.Kubeconfig); err != nil {
		return err
	}
	if e.dynamic, err = dynamic.NewForConfig(e.Config); err != nil {
		return err
	}
	d, err := discovery.NewDiscoveryClientForConfig(e.Config)
	if err != nil {
		return err
	}
	e.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	return nil
}

func load(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // the server has a limit of its own
	return config, nil
}

// Stop ends the API server and removes its data.
func (e *Env) Stop() error {
	return errors.Join(e.Cluster.Kill(), os.RemoveAll(e.DataDir))
}

// ConfigFor returns the configuration of a client that the API server takes for user, in groups and in
// system:authenticated, by a certificate: no impersonation, so that such a client may itself impersonate.
// It may do what RBAC says.
func (e *Env) ConfigFor(t testing.TB, user string, groups ...string) *rest.Config {
	t.Helper()
	config, err := e.ClientConfig(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// ClientConfig is ConfigFor outside a test.
func (e *Env) ClientConfig(user string, groups ...string) (*rest.Config, error) {
	path, err := e.Cluster.ClientKubeconfig(user, groups)
	if err != nil {
		return nil, err
	}
	return load(path)
}

// Binary returns the path of waybill-kube: what the environment variable WAYBILL_KUBE says, or else
// bin/waybill-kube of the repository the test runs in.
func Binary() (string, error) {
	const missing = "the Kubernetes for tests is missing: run make kube"
	if path := os.Getenv("WAYBILL_KUBE"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s (WAYBILL_KUBE): %w", missing, err)
		}
		return path, nil
	}
	root, err := Repository()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "waybill-kube")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: %w", missing, err)
	}
	return path, nil
}

// Repository returns the repository's top directory: the nearest one, from the working directory upwards, with the
// main module's go.mod.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if isRepository(dir) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no directory above the working directory holds it")
		}
		dir = parent
	}
}

// isRepository tells the main module from test/kube and others, which have a go.mod of their own.
func isRepository(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(first) == "module github.com/waybill-dev/waybill"
}
