package safety

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/freeaddr"
	"github.com/waybill-dev/waybill/test/env"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// world is a whole installation: a control plane whose workloads run, a Git
// server, a registry, and waybilld as a process of its own.
type world struct {
	t        *testing.T
	cluster  *env.Env
	admin    client.Client
	git      *gittest.Server
	registry *registrytest.Registry
	address  string // of the API
	metrics  string
	dataDir  string
	log      *tail
	server   *exec.Cmd
}

// tail keeps what a process writes.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// program returns a program that `make build` made, or what an environment
// variable names.
func program(t testing.TB, name, variable string) string {
	t.Helper()
	if b := os.Getenv(variable); b != "" {
		return b
	}
	root, err := env.Repository()
	if err != nil {
		t.Fatal(err)
	}
	b := filepath.Join(root, "bin", name)
	if _, err := os.Stat(b); err != nil {
		t.Fatalf("%s is missing: run `make build`", b)
	}
	return b
}

// newWorld starts everything.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, cluster: env.Start(t, env.Options{Workloads: true}), git: gittest.NewServer(t), registry: registrytest.New(t), dataDir: t.TempDir(), log: &tail{}}
	if err := installInto(w.cluster); err != nil {
		t.Fatal(err)
	}
	w.admin = clientFor(t, w.cluster.Config)
	w.start()
	return w
}

// start runs waybilld as its service account.
func (w *world) start() {
	w.t.Helper()
	kubeconfig, err := w.cluster.Cluster.ClientKubeconfig(
		"system:serviceaccount:"+systemNamespace+":waybill", []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace})
	if err != nil {
		w.t.Fatal(err)
	}
	w.address, w.metrics = freeaddr.For(w.t), freeaddr.For(w.t)
	cmd := exec.Command(program(w.t, "waybilld", "WAYBILLD"), "--kubeconfig", kubeconfig, "--listen", w.address, "--metrics-listen", w.metrics,
		"--data", w.dataDir, "--system-namespace", systemNamespace, "--allow-http", "--allow-loopback", "--verbose")
	cmd.Stdout, cmd.Stderr = w.log, w.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(started)
	}()
	if err := <-started; err != nil {
		w.t.Fatal(err)
	}
	w.server = cmd
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-started:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-started
		}
		if w.t.Failed() {
			w.t.Logf("the last words of waybilld:\n%s", last(w.log.String(), 8<<10))
		}
	})
	eventually(w.t, "waybilld answers", func() error {
		conn, err := net.Dial("tcp", w.address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// has waits until check of an object is nil.
func (w *world) has(o client.Object, namespace, name string, check func() error) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%T %s/%s", o, namespace, name), func() error {
		if err := w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
			return err
		}
		return check()
	})
}

// yes is nil when ok, and otherwise an error that says what is there.
func yes(ok bool, is any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("it is %+v", is)
}
