package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/local"
)

// programs returns the built command line client. The tests below start real
// instances with it.
func programs(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	for _, name := range []string{"waybill", "waybilld", "waybill-kube"} {
		if _, err := os.Stat(filepath.Join(dir, "bin", name)); err != nil {
			t.Fatalf("run make build: %v", err)
		}
	}
	return filepath.Join(dir, "bin", "waybill")
}

// instance is one data directory and a user with a home of their own.
type instance struct {
	t       *testing.T
	program string
	home    string
	data    string
	port    int
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	i := &instance{t: t, program: programs(t), home: t.TempDir(), port: freeBase(t)}
	i.data = filepath.Join(i.home, "data")
	t.Cleanup(func() {
		if _, stderr, code := i.run("local", "down", "--data", i.data); code != 0 {
			t.Errorf("local down: exit code %d: %s", code, stderr)
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(i.data, "logs", "*.log"))
			for _, name := range logs {
				content, _ := os.ReadFile(name)
				t.Logf("%s:\n%s", name, content[max(0, len(content)-4000):])
			}
		}
	})
	return i
}

// freeBase returns the first of enough consecutive free ports.
func freeBase(t *testing.T) int {
	t.Helper()
	for range 100 {
		base := 20000 + rand.IntN(2000)*local.PortCount
		if len(listening(base)) == 0 {
			return base
		}
	}
	t.Fatal("no free ports found")
	return 0
}

// listening returns those of an instance's ports somebody listens on.
func listening(base int) []int {
	var taken []int
	for port := base; port < base+local.PortCount; port++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			taken = append(taken, port)
			continue
		}
		_ = l.Close()
	}
	return taken
}

func (i *instance) command(args ...string) *exec.Cmd {
	cmd := exec.Command(i.program, args...)
	cmd.Env = []string{"HOME=" + i.home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

func (i *instance) run(args ...string) (stdout, stderr string, code int) {
	i.t.Helper()
	cmd := i.command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// up starts the instance detached and returns what it prints for scripts.
func (i *instance) up(args ...string) local.Instance {
	i.t.Helper()
	stdout, stderr, code := i.run(append([]string{"local", "up", "--detach", "--data", i.data, "-o", "json"}, args...)...)
	if code != 0 {
		i.t.Fatalf("local up: exit code %d: %s", code, stderr)
	}
	var got local.Instance
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil || decoder.More() {
		i.t.Fatalf("local up -o json: %v (more than one object: %v)\n%s", err, decoder.More(), stdout)
	}
	return got
}

func (i *instance) down() {
	i.t.Helper()
	if _, stderr, code := i.run("local", "down", "--data", i.data); code != 0 {
		i.t.Fatalf("local down: exit code %d: %s", code, stderr)
	}
	i.wantNothingLeft()
}

// wantNothingLeft fails the test when a process, port or lock is left.
func (i *instance) wantNothingLeft() {
	i.t.Helper()
	if left := i.processes(); len(left) > 0 {
		i.t.Errorf("processes left behind: %q", left)
	}
	if taken := listening(i.port); len(taken) > 0 {
		i.t.Errorf("ports still taken: %v", taken)
	}
	var files []string
	for _, pattern := range []string{"lock", "run/*", "kube/lock", "kube/run/*"} {
		found, err := filepath.Glob(filepath.Join(i.data, pattern))
		if err != nil {
			i.t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		if filepath.Base(name) == "lock" && isFree(name) {
			continue // a lock nobody holds keeps nobody out
		}
		i.t.Errorf("left behind: %s", name)
	}
}

// isFree reports whether nobody holds the lock of that file.
func isFree(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// processes lists the command lines that name the data directory.
func (i *instance) processes() []string {
	i.t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		i.t.Fatal(err)
	}
	var found []string
	for _, name := range entries {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte(i.data)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// pid reads the process id that a record in the data directory names.
func (i *instance) pid(file string, path ...string) int {
	i.t.Helper()
	data, err := os.ReadFile(filepath.Join(i.data, file))
	if err != nil {
		i.t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		i.t.Fatal(err)
	}
	for _, key := range path {
		value = value.(map[string]any)[key]
	}
	return int(value.(float64))
}

func (i *instance) kill(pid int) {
	i.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		i.t.Fatal(err)
	}
}

// eventually fails the test when isSo does not become true in time.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func answers(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func git(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "credential.helper="}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestInstanceKeepsItsDataAndLeavesNothingBehind(t *testing.T) {
	i := newInstance(t)
	first := i.up("--demo", "--port", strconv.Itoa(i.port))
	want := local.Instance{
		Server: fmt.Sprintf("http://127.0.0.1:%d", i.port), Registry: fmt.Sprintf("127.0.0.1:%d", i.port+1),
		GitURL: fmt.Sprintf("http://127.0.0.1:%d/guestbook.git", i.port+2), Kubeconfig: filepath.Join(i.data, "kube", "kubeconfig"),
		User: local.User, Password: first.Password, DataDir: i.data,
	}
	if first != want || first.Password == "" {
		t.Errorf("got  %+v\nwant %+v", first, want)
	}
	if !answers(first.Server + "/readyz") {
		t.Error("the server does not answer")
	}
	if out, stderr, code := i.run("whoami", "-o", "name"); code != 0 || strings.TrimSpace(out) != local.User {
		t.Errorf("the context is not signed in: exit code %d, %q, %s", code, out, stderr)
	}
	if out, err := exec.Command(filepath.Join(i.data, "kube", "bin", "kubectl"), "--kubeconfig", first.Kubeconfig, "get", "nodes", "-o", "name").CombinedOutput(); err != nil || !strings.Contains(string(out), "node/") {
		t.Errorf("kubectl get nodes: %v\n%s", err, out)
	}

	clone := t.TempDir()
	if out, err := git(t, clone, "clone", "--quiet", first.GitURL, "."); err != nil {
		t.Fatalf("clone without credentials: %v\n%s", err, out)
	}
	if out, err := git(t, clone, "push", "--quiet", first.GitURL, "HEAD:refs/heads/mine"); err == nil {
		t.Errorf("a push without credentials was accepted: %s", out)
	}
	helper := fmt.Sprintf("credential.helper=!f() { echo username=%s; echo password=%s; }; f", first.User, first.Password)
	if out, err := git(t, clone, "-c", helper, "push", "--quiet", first.GitURL, "HEAD:refs/heads/mine"); err != nil {
		t.Errorf("push with the instance's credentials: %v\n%s", err, out)
	}

	var digests []string
	for _, args := range [][]string{{"1.27.0"}, {"1.27.1"}, {"1.27.2", "--broken"}} {
		out, stderr, code := i.run(append([]string{"local", "push", "--data", i.data, "-o", "json"}, args...)...)
		var pushed local.Pushed
		if err := json.Unmarshal([]byte(out), &pushed); err != nil || code != 0 {
			t.Fatalf("local push %v: exit code %d, %v: %s", args, code, err, stderr)
		}
		if slices.Contains(digests, pushed.Digest) {
			t.Errorf("tag %s shares its digest with another", args[0])
		}
		digests = append(digests, pushed.Digest)
	}
	marked, err := exec.Command(filepath.Join(i.data, "kube", "bin", "kubectl"), "--kubeconfig", first.Kubeconfig,
		"get", "configmap", "-n", "default", "demo-images", "-o", "jsonpath={.data.CrashLoopBackOff}").Output()
	wantMarked := first.Registry + "/guestbook:1.27.2\n" + first.Registry + "/guestbook@" + digests[2] + "\n"
	if err != nil || string(marked) != wantMarked {
		t.Errorf("images that crash: %v\ngot  %q\nwant %q", err, marked, wantMarked)
	}

	if again := i.up("--demo"); again != first {
		t.Errorf("up while it runs: got %+v, want %+v", again, first)
	}
	i.down()
	if _, stderr, code := i.run("local", "status", "--data", i.data); code != 1 {
		t.Errorf("status of a stopped instance: exit code %d, want 1: %s", code, stderr)
	}

	if again := i.up(); again != first {
		t.Errorf("after down and up, without flags: got %+v, want %+v", again, first)
	}
	if out, err := git(t, clone, "ls-remote", "--exit-code", first.GitURL, "refs/heads/mine"); err != nil {
		t.Errorf("the pushed branch is gone: %v\n%s", err, out)
	}
	req, err := http.NewRequest(http.MethodHead, "http://"+first.Registry+"/v2/guestbook/manifests/1.27.2", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(first.User, first.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := resp.Header.Get("Docker-Content-Digest"); got != digests[2] {
		t.Errorf("1.27.2 after a restart: digest %q, want %q", got, digests[2])
	}
	i.down()
}

// TestExamplesApply applies what people copy, at the first try, with kubectl and
// with waybill.
func TestExamplesApply(t *testing.T) {
	i := newInstance(t)
	kubeconfig := i.up("--port", strconv.Itoa(i.port)).Kubeconfig
	examples := filepath.Join(filepath.Dir(filepath.Dir(i.program)), "examples", "guestbook")
	kubectl := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(i.data, "kube", "bin", "kubectl"), append([]string{"--kubeconfig", kubeconfig}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := kubectl("apply", "-f", examples); err != nil {
		t.Errorf("kubectl apply: %v\n%s", err, out)
	}
	eventually(t, "the Project adopted its Namespace", func() bool {
		out, err := kubectl("get", "project", "guestbook", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		return err == nil && out == "True"
	})
	if out, stderr, code := i.run("delete", "-f", examples); code != 0 || strings.Count(out, " deleted\n") != 5 {
		t.Fatalf("delete -f: exit code %d: %s%s", code, out, stderr)
	}
	eventually(t, "the Project is gone", func() bool {
		_, err := kubectl("get", "project", "guestbook")
		return err != nil
	})
	if out, err := kubectl("delete", "namespace", "guestbook", "--timeout=30s"); err != nil {
		t.Fatalf("kubectl delete namespace: %v\n%s", err, out)
	}

	out, stderr, code := i.run("apply", "-f", examples)
	want := `namespace/guestbook created
project/guestbook created
secret/git in guestbook created
secret/registry in guestbook created
warehouse/guestbook in guestbook created
stage/test in guestbook created
stage/uat in guestbook created
stage/prod in guestbook created
`
	if code != 0 || out != want {
		t.Errorf("waybill apply: exit code %d: %s\ngot\n%s\nwant\n%s", code, stderr, out, want)
	}
	i.down()
}

func TestInstancesRunSideBySide(t *testing.T) {
	one, two := newInstance(t), newInstance(t)
	one.up("--port", strconv.Itoa(one.port))
	_, stderr, code := two.run("local", "up", "--detach", "--data", two.data, "--port", strconv.Itoa(one.port))
	if code != 5 || !strings.Contains(stderr, strconv.Itoa(one.port)+" (server)") || !strings.Contains(stderr, "--port") {
		t.Errorf("up on taken ports: exit code %d, want 5, and what to do:\n%s", code, stderr)
	}
	got := two.up("--port", strconv.Itoa(two.port))
	for _, url := range []string{fmt.Sprintf("http://127.0.0.1:%d/readyz", one.port), got.Server + "/readyz"} {
		if !answers(url) {
			t.Errorf("%s does not answer", url)
		}
	}
	two.down()
	if !answers(fmt.Sprintf("http://127.0.0.1:%d/readyz", one.port)) {
		t.Error("stopping one instance stopped the other")
	}
	one.down()
}

func TestKilledServerIsStartedAgain(t *testing.T) {
	i := newInstance(t)
	server := i.up("--port", strconv.Itoa(i.port)).Server
	first := i.pid("run/waybilld.json", "pid")
	i.kill(first)
	eventually(t, "another waybilld answers", func() bool {
		data, err := os.ReadFile(filepath.Join(i.data, "run", "waybilld.json"))
		return err == nil && !bytes.Contains(data, []byte(fmt.Sprintf(`"pid": %d,`, first))) && answers(server+"/readyz")
	})
	i.kill(i.pid("run/waybilld.json", "pid"))
	i.down()
}

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	i := newInstance(t)
	first := i.up("--port", strconv.Itoa(i.port))
	i.kill(i.pid("run/instance.json", "supervisor", "pid"))
	i.down()

	// And the next start does not need a down in between.
	i.up()
	i.kill(i.pid("run/instance.json", "supervisor", "pid"))
	if again := i.up(); again != first {
		t.Errorf("up after a kill: got %+v, want %+v", again, first)
	}
	i.down()
}

func TestInterruptEndsTheForeground(t *testing.T) {
	i := newInstance(t)
	for _, when := range []string{"starting waybilld", "Type next"} {
		cmd := i.command("local", "up", "--data", i.data, "--port", strconv.Itoa(i.port))
		var heard syncBuffer
		cmd.Stdout, cmd.Stderr = &heard, &heard
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it says "+when, func() bool { return strings.Contains(heard.String(), when) })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its exit code is looked at
		want := 130    // the start was interrupted
		if when == "Type next" {
			want = 0 // Ctrl-C is how it is stopped
		}
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("Ctrl-C at %q: exit code %d, want %d\n%s", when, code, want, heard.String())
		}
		i.wantNothingLeft()
	}
}
