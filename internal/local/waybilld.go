package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// SystemNamespace is Waybill's own Namespace, as in the chart.
const SystemNamespace = "waybill-system"

// serviceAccount is who the server is in the cluster; `waybilld install` gives
// it its rights.
const serviceAccount = "waybill"

// Binaries are the programs local mode starts.
type Binaries struct {
	// Waybilld is the server, Kube the control plane.
	Waybilld, Kube string
}

// MissingBinaryError says which program is not where it should be.
type MissingBinaryError struct {
	// Path it was looked for at.
	Path string
}

// Error names the program.
func (e *MissingBinaryError) Error() string {
	return fmt.Sprintf("%s is missing: looked for %s", filepath.Base(e.Path), e.Path)
}

// FindBinaries returns the programs beside the running one, whose path is
// executable, links resolved. kube may be missing when it is not needed.
func FindBinaries(executable string, needsKube bool) (Binaries, error) {
	real, err := filepath.EvalSymlinks(executable)
	if err != nil {
		return Binaries{}, fmt.Errorf("find programs: %w", err)
	}
	b := Binaries{Waybilld: filepath.Join(filepath.Dir(real), "waybilld"), Kube: filepath.Join(filepath.Dir(real), "waybill-kube")}
	needed := []string{b.Waybilld}
	if needsKube {
		needed = append(needed, b.Kube)
	}
	for _, path := range needed {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return Binaries{}, &MissingBinaryError{Path: path}
		}
	}
	return b, nil
}

// serverFlags is how waybilld is started in local mode: plain http and loopback
// addresses are allowed, because the demo's Git server and registry, and what
// else runs on this machine, are reached that way.
func serverFlags(d dir, kubeconfig string, port int) []string {
	return []string{
		"--kubeconfig", kubeconfig,
		"--listen", address(port),
		"--data", d.path("server"),
		"--system-namespace", SystemNamespace,
		"--allow-http", "--allow-loopback",
	}
}

// installFlags is how CRDs, policies, RBAC and the account are put into the
// cluster, with an administrator's kubeconfig; it may be repeated.
func installFlags(d dir, kubeconfig string) []string {
	return []string{
		"install",
		"--kubeconfig", kubeconfig,
		"--system-namespace", SystemNamespace,
		"--admin-user", User,
		"--admin-password-file", d.passwordFile(),
	}
}

// install runs `waybilld install`; its output goes to a log.
func install(ctx context.Context, binary string, d dir, kubeconfig string) error {
	log, err := openLog(d.log("install"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, installFlags(d, kubeconfig)...) //nolint:gosec // The binary beside our own.
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	if err := errors.Join(err, log.Close()); err != nil {
		return &ProcessError{Process: "waybilld install", Err: err, LogFile: d.log("install"), LogTail: logTail(d.log("install"))}
	}
	return nil
}

// ProcessError says which program ended, or did not get ready, and what it last
// wrote.
type ProcessError struct {
	// Process that failed.
	Process string
	// Err is how.
	Err error
	// LogFile has all it wrote, LogTail the last lines.
	LogFile, LogTail string
}

// Error says what happened and shows the end of the log.
func (e *ProcessError) Error() string {
	if e.LogTail == "" {
		return fmt.Sprintf("%s: %v", e.Process, e.Err)
	}
	return fmt.Sprintf("%s: %v; its log %s ends with:\n%s", e.Process, e.Err, e.LogFile, e.LogTail)
}

// Unwrap returns how it failed.
func (e *ProcessError) Unwrap() error { return e.Err }

const (
	// serverReadyTimeout bounds the wait for waybilld.
	serverReadyTimeout = 90 * time.Second
	readyInterval      = 100 * time.Millisecond
)

// awaitReady waits until the server says that it can answer. It gives up when
// the time is up, or when the server ended several times before.
func (s *server) awaitReady(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, serverReadyTimeout)
	defer cancel()
	url := "http://" + address(port) + "/readyz"
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	ends := 0
	last := errors.New("not asked yet")
	fail := func(err error) error {
		return &ProcessError{Process: "waybilld", Err: err, LogFile: s.dir.log("waybilld"), LogTail: logTail(s.dir.log("waybilld"))}
	}
	for {
		err := isReady(ctx, url)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case err := <-s.ended:
			if ends++; ends == endsBeforeReady {
				return fail(fmt.Errorf("ended %d times before it was ready: %w", ends, err))
			}
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fail(fmt.Errorf("not ready after %s: %w", serverReadyTimeout, last))
		}
	}
}

func isReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
