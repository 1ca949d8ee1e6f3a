//go:build unix

package localkube

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownerDir names, in a test binary that is to be an owner of its own, the data directory.
const (
	ownerDir     = "LOCALKUBE_TEST_OWNER_DIR"
	ownerOrphans = "LOCALKUBE_TEST_OWNER_ORPHANS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerDir); dir != "" {
		os.Exit(own(dir))
	}
	os.Exit(m.Run())
}

// own starts a cluster, says so, and keeps it until it is killed or its standard input ends.
func own(dir string) int {
	c, err := Start(context.Background(), Options{
		Binary: os.Getenv("WAYBILL_KUBE"), DataDir: dir, surviveOwner: os.Getenv(ownerOrphans) != "",
		Progress: func(s string) { fmt.Println("progress: " + s) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startOwner runs an owner as a process of its own and returns when it printed line.
func startOwner(t *testing.T, dir string, orphans bool, line string) *exec.Cmd {
	t.Helper()
	kube, err := filepath.Abs(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), "WAYBILL_KUBE="+kube, ownerDir+"="+dir)
	if orphans {
		owner.Env = append(owner.Env, ownerOrphans+"=1")
	}
	owner.Stderr = t.Output()
	stdin, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = owner.Process.Kill() // it is gone already when the test passed
		_ = owner.Wait()
		if err := CleanUp(dir); err != nil {
			t.Error(err)
		}
	})
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		if strings.HasPrefix(scanner.Text(), line) {
			return owner
		}
	}
	t.Fatalf("the owner ended before it said %q", line)
	return nil
}

// kill9 kills the owner and waits for its end.
func kill9(t *testing.T, owner *exec.Cmd) {
	t.Helper()
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = owner.Process.Wait()
}

// programsOf lists the processes whose command line names the data directory.
func programsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no /proc here")
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil { // it ended meanwhile
			continue
		}
		if strings.Contains(string(line), dir) {
			found = append(found, strings.Join(strings.Split(string(line), "\x00")[:2], " "))
		}
	}
	return found
}

func isClean(t *testing.T, dir string) {
	t.Helper()
	if left := programsOf(t, dir); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	for _, pattern := range []string{"run/*", "lock"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	ports, err := rememberedPorts(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{ports.API, ports.Etcd} {
		if port != 0 && isTaken(port) {
			t.Errorf("port %d is still taken", port)
		}
	}
}

func TestProgramsEndWithTheirOwner(t *testing.T) {
	for _, moment := range []string{"progress: starting etcd", "progress: kube-apiserver is ready", "ready"} {
		t.Run(moment, func(t *testing.T) {
			dir := t.TempDir()
			owner := startOwner(t, dir, false, moment)
			kill9(t, owner)
			eventually(t, func() error { // the kernel does it, a moment later
				if left := programsOf(t, dir); len(left) > 0 {
					return fmt.Errorf("still running: %q", left)
				}
				return nil
			})
			if err := CleanUp(dir); err != nil {
				t.Error(err)
			}
			isClean(t, dir)
		})
	}
}

func TestCleanUpEndsOrphans(t *testing.T) {
	dir := t.TempDir()
	owner := startOwner(t, dir, true, "ready")
	a, err := readAPI(filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	create(t, a, "/api/v1/namespaces/default/configmaps", configMap("confirmed", nil))
	kill9(t, owner)
	// One that writes to the log of who is gone may end of that.
	if left := programsOf(t, dir); len(left) == 0 {
		t.Fatal("without the kernel's help no program stays")
	}
	if err := CleanUp(dir); err != nil {
		t.Error(err)
	}
	isClean(t, dir)
	if err := CleanUp(dir); err != nil {
		t.Errorf("clean up twice: %v", err)
	}

	// What was confirmed before the kill is there.
	before, err := rememberedPorts(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, Options{DataDir: dir})
	if c.Ports() != before {
		t.Errorf("ports %v, before %v", c.Ports(), before)
	}
	if err := c.admin.do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/configmaps/confirmed", "", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestStartEndsOrphansFirst(t *testing.T) {
	dir := t.TempDir()
	owner := startOwner(t, dir, true, "ready")
	before, err := readRecords(dir)
	if err != nil || len(before) != 2 {
		t.Fatalf("records %v, %v", before, err)
	}
	kill9(t, owner)
	c := start(t, Options{DataDir: dir})
	for _, r := range before {
		if alive, err := r.alive(); alive || err != nil {
			t.Errorf("%s of the earlier owner: alive %v, %v", r.Name, alive, err)
		}
	}
	if owner, err := Owner(dir); owner != os.Getpid() || err != nil {
		t.Errorf("owner %d, %v", owner, err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	isClean(t, dir)
}

// sleeper starts a process that does nothing until the test ends. It is collected at once when it is killed.
func sleeper(t *testing.T, args ...string) (pid int, done <-chan error) {
	t.Helper()
	cmd := exec.Command("sleep", append([]string{"600"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd.Process.Pid, ended
}

func TestCleanUpSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	if err := makeDirs(dir); err != nil {
		t.Fatal(err)
	}
	ours, oursEnded := sleeper(t)
	stranger, strangerEnded := sleeper(t)
	if err := writeRecord(dir, "etcd", ours); err != nil {
		t.Fatal(err)
	}
	// The process that kube-apiserver was is gone, and its number went to another.
	born, err := birth(stranger)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, record string) {
		t.Helper()
		if err := os.WriteFile(recordFile(dir, name), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("kube-apiserver", `{"name":"kube-apiserver","pid":`+strconv.Itoa(stranger)+`,"birth":"`+born+`0"}`)
	write("kwok", `{"name":"kwok","pid":`+strconv.Itoa(stranger)+`}`)
	write("kube-scheduler", `{"name":"kube-sch`)
	write("kube-controller-manager", `{"name":"kube-controller-manager","pid":1,"birth":""}`)

	if err := CleanUp(dir); err != nil {
		t.Fatal(err)
	}
	select {
	case <-oursEnded:
	case <-time.After(patience):
		t.Error("the recorded process still runs")
	}
	select {
	case err := <-strangerEnded:
		t.Errorf("a stranger was ended: %v", err)
	default:
	}
	isClean(t, dir)
}

func TestEndKillsWhatIgnoresSIGTERM(t *testing.T) {
	dir := t.TempDir()
	if err := makeDirs(dir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `trap "" TERM; echo deaf; while :; do sleep 600; done`)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the shell's sleep
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := writeRecord(dir, "etcd", cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	records, err := readRecords(dir)
	if err != nil || len(records) != 1 {
		t.Fatalf("records %v, %v", records, err)
	}
	if err := records[0].end(t.Context(), 50*time.Millisecond); err != nil {
		t.Error(err)
	}
	if alive, err := records[0].alive(); alive || err != nil {
		t.Errorf("alive: %v, %v", alive, err)
	}
	_ = cmd.Wait()
}

func TestCleanUpOfNothing(t *testing.T) {
	if err := CleanUp(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := CleanUp(dir); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("clean up left %v", left)
	}
}
