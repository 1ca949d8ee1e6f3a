package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// said is what a command printed and how it ended.
type said struct {
	out, err string
	code     int
}

// text is both streams, as a person sees them.
func (s said) text() string { return s.out + s.err }

// signedIn are the CLI's configurations for the administrator, by waybilld:
// some tests have one of their own.
var signedIn struct {
	sync.Mutex
	byServer map[*server]string
}

// cli runs bin/waybill as the administrator, with standard input.
func (w *world) cli(stdin string, args ...string) said {
	w.t.Helper()
	return run(w.t, w.signIn(), "", stdin, args...)
}

// cliIn runs bin/waybill as the administrator, in a folder.
func (w *world) cliIn(dir string, args ...string) said {
	w.t.Helper()
	return run(w.t, w.signIn(), dir, "", args...)
}

// signIn returns the configuration of the administrator on the world's
// waybilld.
func (w *world) signIn() string {
	w.t.Helper()
	signedIn.Lock()
	defer signedIn.Unlock()
	if config := signedIn.byServer[w.server]; config != "" {
		return config
	}
	w.eventually("the API answers", w.server.isReady)
	config := filepath.Join(w.server.dataDir, "cli.yaml")
	if s := run(w.t, config, "", adminPassword, "login", "http://"+w.server.listen, "-u", admin, "--password-stdin"); s.code != 0 {
		w.t.Fatal(s.text())
	}
	if signedIn.byServer == nil {
		signedIn.byServer = map[*server]string{}
	}
	signedIn.byServer[w.server] = config
	return config
}

// kubectl runs the real kubectl as a user of the cluster.
func (w *world) kubectl(user, stdin string, args ...string) said {
	w.t.Helper()
	kubeconfig, err := w.cluster.Cluster.ClientKubeconfig(user, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	args = append([]string{"--kubeconfig", kubeconfig, "-n", w.project}, args...)
	return execute(w.t, exec.CommandContext(w.t.Context(), w.cluster.Cluster.Kubectl(), args...), stdin)
}

// run runs bin/waybill in a folder with a configuration of its own, without
// colours.
func run(t *testing.T, config, dir, stdin string, args ...string) said {
	t.Helper()
	name, err := binary("waybill")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "WAYBILL_CONFIG="+config, "NO_COLOR=1", "LC_ALL=C.UTF-8", "COLUMNS=10000")
	cmd.Dir = dir
	return execute(t, cmd, stdin)
}

// execute runs a command to its end.
func execute(t *testing.T, cmd *exec.Cmd, stdin string) said {
	t.Helper()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return said{out: out.String(), err: errs.String(), code: cmd.ProcessState.ExitCode()}
}
