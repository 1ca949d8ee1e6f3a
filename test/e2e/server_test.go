package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/freeaddr"
)

// server is one waybilld as a child process: started, killed, paused and
// started again on the same data folder and address.
type server struct {
	binary     string
	kubeconfig string
	dataDir    string
	listen     string
	flags      []string
	log        *os.File

	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
}

// common is the one waybilld of all parallel tests.
var common struct {
	once   sync.Once
	server *server
	err    error
}

// commonServer starts it at the first call. Its end is TestMain's.
func commonServer(t *testing.T) *server {
	t.Helper()
	common.once.Do(func() {
		var dir string
		if dir, common.err = os.MkdirTemp(shared.cluster.DataDir, "waybilld-"); common.err != nil {
			return
		}
		var s *server
		if s, common.err = shared.newServer("common", dir); common.err != nil {
			return
		}
		if common.err = s.start(); common.err == nil {
			common.server = s
		}
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	return common.server
}

// newServer prepares a waybilld that runs as its service account. flags are
// added to those every test needs.
func (in *installation) newServer(name, dataDir string, flags ...string) (*server, error) {
	s := &server{dataDir: dataDir, flags: flags}
	var err error
	if s.binary, err = binary("waybilld"); err != nil {
		return nil, err
	}
	s.kubeconfig, err = in.cluster.Cluster.ClientKubeconfig(
		"system:serviceaccount:"+systemNamespace+":waybill",
		[]string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace})
	if err != nil {
		return nil, err
	}
	if s.listen, err = freeaddr.Loopback(); err != nil {
		return nil, err
	}
	s.log, err = artifact(name + ".waybilld.log")
	return s, err
}

// start starts the process with extra environment.
func (s *server) start(environment ...string) error {
	args := append([]string{
		"--kubeconfig", s.kubeconfig, "--listen", s.listen, "--data", filepath.Join(s.dataDir, "data"),
		"--system-namespace", systemNamespace, "--allow-http", "--allow-loopback", "--verbose",
		"--git-poll-interval", "2s",
	}, s.flags...)
	cmd := exec.Command(s.binary, args...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the child with the thread that started it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
		}
		close(done)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.done = cmd, done
	return nil
}

// isReady reports whether the API answers.
func (s *server) isReady() error {
	select {
	case <-s.done:
		return fmt.Errorf("waybilld ended: %s; its log is %s", s.cmd.ProcessState, s.log.Name())
	default:
	}
	client := http.Client{Timeout: time.Minute}
	answer, err := client.Get("http://" + s.listen + "/readyz")
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", answer.Status)
	}
	return nil
}

// kill ends the process as the kernel does, and returns when it is gone.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// stop ends it as a person does.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.kill()
	}
}

// wasKilled returns nil when the process has ended by SIGKILL.
func (s *server) wasKilled() error {
	select {
	case <-s.done:
	default:
		return fmt.Errorf("waybilld runs")
	}
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("waybilld ended by itself: %s", s.cmd.ProcessState)
	}
	return nil
}
