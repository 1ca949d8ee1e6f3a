package local

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/env"
)

// patience is how long one thing may take on a busy machine.
const patience = 2 * time.Minute

// demo is a running `waybill local up --demo`.
type demo struct {
	t    *testing.T
	bin  string
	data string
	env  []string
	up   struct{ Server, Kubeconfig, GitURL, Registry, User, Password, DataDir string }
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	root, err := env.Repository()
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{t: t, bin: filepath.Join(root, "bin"), data: t.TempDir()}
	d.env = append(os.Environ(), "WAYBILL_CONFIG="+filepath.Join(t.TempDir(), "config.yaml"), "NO_COLOR=1")
	t.Cleanup(func() {
		if _, _, err := d.try("waybill", "local", "down", "--data", d.data); err != nil {
			t.Errorf("local down: %v", err)
		}
	})
	d.start(freePorts(t))
	return d
}

func (d *demo) start(port int) {
	d.t.Helper()
	out := d.run("waybill", "local", "up", "--demo", "--detach", "--data", d.data, "--port", fmt.Sprint(port), "-o", "json")
	if err := json.Unmarshal([]byte(out), &d.up); err != nil {
		d.t.Fatalf("local up prints one object: %v in %q", err, out)
	}
}

// freePorts returns the first of five free ports in a row.
func freePorts(t *testing.T) int {
	t.Helper()
search:
	for base := 21000 + os.Getpid()%4000*10; base < 65000; base += 10 {
		for i := range 5 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				continue search
			}
			_ = l.Close()
		}
		return base
	}
	t.Fatal("no five free ports in a row")
	return 0
}

// try runs one of the built programs.
func (d *demo) try(program string, args ...string) (stdout, stderr string, err error) {
	path := filepath.Join(d.bin, program)
	if program == "kubectl" {
		path = filepath.Join(d.bin, "kube", "kubectl")
		args = append([]string{"--kubeconfig", d.up.Kubeconfig}, args...)
	}
	if program == "git" {
		path = "git"
	}
	cmd := exec.Command(path, args...)
	cmd.Env = d.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), errs.String(), err
}

func (d *demo) run(program string, args ...string) string {
	d.t.Helper()
	out, _, err := d.try(program, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *demo) eventually(what string, check func() error) {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond) // a poll with a deadline
	}
}

// status is what scripts read of `waybill status -o json`.
type status struct {
	Stages []struct {
		Name    string
		Health  string
		Freight *struct {
			Images []struct{ RepoURL, Tag, Digest string }
		}
	}
}

// runs waits until a Stage is Healthy on a version, for Waybill and for kubectl.
func (d *demo) runs(stage, tag string) {
	d.t.Helper()
	d.eventually(stage+" runs "+tag, func() error {
		var s status
		out, _, err := d.try("waybill", "status", "-p", "guestbook", "-o", "json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return err
		}
		for _, st := range s.Stages {
			if st.Name != stage {
				continue
			}
			if st.Freight == nil || len(st.Freight.Images) == 0 || st.Freight.Images[0].Tag != tag || st.Health != "Healthy" {
				return fmt.Errorf("%+v", st)
			}
			image, _, err := d.try("kubectl", "-n", "guestbook-"+stage, "get", "deployment", "guestbook", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
			if err != nil {
				return err
			}
			if want := st.Freight.Images[0].RepoURL + ":" + tag + "@" + st.Freight.Images[0].Digest; image != want {
				return fmt.Errorf("the Deployment runs %s, want %s", image, want)
			}
			return nil
		}
		return fmt.Errorf("no Stage %q in %s", stage, out)
	})
}

// TestDemo is the first promise, end to end.
func TestDemo(t *testing.T) {
	d := startDemo(t)
	d.runs("test", "1.26.1")
	d.runs("uat", "1.26.1")

	d.run("waybill", "local", "push", "1.27.0", "--data", d.data)
	d.runs("test", "1.27.0")
	d.runs("uat", "1.27.0")
	d.run("waybill", "promote", "latest", "guestbook/prod", "--wait")
	d.runs("prod", "1.27.0")

	t.Run("commits say what they are and change only scalars", d.commits)
	for _, c := range hands {
		t.Run("healed: "+c.name, func(t *testing.T) { d.heals(t, c) })
	}
	t.Run("a broken version is taken back", d.broken)
	t.Run("four closed gates are four reasons", d.why)
	t.Run("down and up keep the data", d.restart)
}

// commits clones without credentials and looks at what a promotion wrote.
func (d *demo) commits(t *testing.T) {
	dir := t.TempDir()
	d.run("git", "clone", "-q", d.up.GitURL, dir)
	message := d.run("git", "-C", dir, "log", "-1", "--format=%B", "origin/stage/prod")
	for _, trailer := range []string{"Waybill-Promotion: guestbook/prod.", "Waybill-Promotion-UID: ", "Waybill-Freight: guestbook=f", "Waybill-Stage: prod", "Waybill-Artifact: image " + d.up.Registry + "/guestbook:1.27.0@sha256:"} {
		if !strings.Contains(message, trailer) {
			t.Errorf("no %q in:\n%s", trailer, message)
		}
	}
	changed := strings.Fields(d.run("git", "-C", dir, "diff", "--name-only", "origin/main", "origin/stage/prod"))
	if len(changed) != 1 || changed[0] != "stages/prod/kustomization.yaml" {
		t.Errorf("files that differ from main: %q", changed)
	}
	for _, line := range strings.Split(d.run("git", "-C", dir, "diff", "-U0", "origin/main", "origin/stage/prod"), "\n") {
		isChange := (strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-")) && !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "---")
		if isChange && !strings.Contains(line, "newTag:") && !strings.Contains(line, "digest:") {
			t.Errorf("a line that is no version changed: %q", line)
		}
	}
}

// hand is one change made with kubectl, and what shows that it is undone.
type hand struct {
	name string
	args []string
	// jsonpath of the Deployment (or the word exists) and its value once healed.
	path, want string
}

var hands = []hand{
	{"scale", []string{"scale", "deployment", "guestbook", "--replicas=7"}, "{.spec.replicas}", "3"},
	{"set image", []string{"set", "image", "deployment", "guestbook", "guestbook=evil:1"}, "{.spec.template.spec.containers[0].image}", "*1.27.0@*"},
	{"our label changed", []string{"label", "deployment", "guestbook", "app.kubernetes.io/name=other", "--overwrite"}, "{.metadata.labels.app\\.kubernetes\\.io/name}", "guestbook"},
	{"our label removed", []string{"label", "deployment", "guestbook", "app.kubernetes.io/name-"}, "{.metadata.labels.app\\.kubernetes\\.io/name}", "guestbook"},
	{"a foreign label", []string{"label", "deployment", "guestbook", "foreign=yes"}, "{.metadata.labels.foreign}", ""},
	{"rollout pause", []string{"rollout", "pause", "deployment", "guestbook"}, "{.spec.paused}", ""},
	{"a sidecar", []string{"patch", "deployment", "guestbook", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"spy","image":"evil:2"}]}}}}`}, "{.spec.template.spec.containers[*].name}", "guestbook"},
	{"delete", []string{"delete", "deployment", "guestbook", "--wait=false"}, "{.metadata.name}", "guestbook"},
}

// heals makes a change by hand and waits until it is gone, and recorded.
func (d *demo) heals(t *testing.T, h hand) {
	records := func() int {
		return strings.Count(d.run("kubectl", "-n", "guestbook", "get", "applications.waybill.dev", "prod", "-o", "jsonpath={.status.drifts[*].at}"), "T")
	}
	uid := func() string {
		out, _, _ := d.try("kubectl", "-n", "guestbook-prod", "get", "deployment", "guestbook", "-o", "jsonpath={.metadata.uid}")
		return out
	}
	before, old := records(), uid()
	d.run("kubectl", append([]string{"-n", "guestbook-prod"}, h.args...)...)
	d.eventually(h.name+" is undone", func() error {
		got, _, err := d.try("kubectl", "-n", "guestbook-prod", "get", "deployment", "guestbook", "-o", "jsonpath="+h.path)
		if err != nil {
			return err
		}
		if ok, _ := filepath.Match(h.want, strings.ReplaceAll(got, "/", "|")); !ok {
			return fmt.Errorf("%s is %q, want %q", h.path, got, h.want)
		}
		if h.name == "delete" && uid() == old {
			return fmt.Errorf("the old object is still there")
		}
		if now := records(); now <= before && now < 20 {
			return fmt.Errorf("%d drifts are recorded, as before", now)
		}
		return nil
	})
	_ = t
}

// broken publishes a version whose containers crash: it is seen, reverted and
// kept out; a fixed one flows.
func (d *demo) broken(t *testing.T) {
	d.run("waybill", "local", "push", "1.28.0", "--broken", "--data", d.data)
	sawOldReplicas := false
	d.eventually("1.28.0 is taken back", func() error {
		available, _, _ := d.try("kubectl", "-n", "guestbook-test", "get", "deployment", "guestbook", "-o", "jsonpath={.spec.template.spec.containers[0].image} {.status.availableReplicas}")
		sawOldReplicas = sawOldReplicas || strings.Contains(available, ":1.28.0@") && strings.HasSuffix(available, " 3")
		out, _, err := d.try("waybill", "history", "guestbook", "-o", "json")
		if err != nil {
			return err
		}
		if !strings.Contains(out, `"RolledBack"`) {
			return fmt.Errorf("nothing is rolled back yet")
		}
		return nil
	})
	if !sawOldReplicas {
		t.Error("three old replicas were never seen available beside the broken version")
	}
	d.runs("test", "1.27.0")
	d.runs("uat", "1.27.0")
	d.run("waybill", "refresh", "guestbook/guestbook", "--wait")
	d.runs("test", "1.27.0")
	d.run("waybill", "local", "push", "1.28.1", "--data", d.data)
	d.runs("test", "1.28.1")
	d.runs("uat", "1.28.1")
}

// why closes four gates and counts them in text and in JSON.
func (d *demo) why(t *testing.T) {
	d.run("waybill", "freeze", "guestbook/prod", "--reason", "Black Friday")
	d.run("waybill", "reject", "1.28.0", "guestbook/prod", "--reason", "it crashes")
	d.run("kubectl", "-n", "guestbook", "patch", "stage", "prod", "--type=merge", "-p",
		`{"spec":{"requestedFreight":[{"origin":{"kind":"Warehouse","name":"guestbook"},"sources":{"stages":["uat"],"requiredSoakTime":"1h"}}]}}`)
	out, _, err := d.try("waybill", "why", "1.28.0", "guestbook/prod")
	if err != nil {
		t.Errorf("why answers, so it has done its work: %v", err)
	}
	for _, gate := range []string{"upstream", "soak", "rejected", "freeze"} {
		found := false
		for _, line := range strings.Split(out, "\n") {
			f := strings.Fields(line)
			found = found || len(f) > 2 && f[0] == gate && f[1] == "closed"
		}
		if !found {
			t.Errorf("gate %s is not shown closed:\n%s", gate, out)
		}
	}
	raw, _, _ := d.try("waybill", "why", "1.28.0", "guestbook/prod", "-o", "json")
	var answer struct {
		Gates []struct {
			Gate    string
			Open    bool
			OpensBy string
		}
	}
	if err := json.Unmarshal([]byte(raw), &answer); err != nil {
		t.Fatalf("why -o json: %v in %q", err, raw)
	}
	closed := 0
	for _, g := range answer.Gates {
		if !g.Open {
			closed++
			if g.OpensBy == "" {
				t.Errorf("gate %s does not say what opens it", g.Gate)
			}
		}
	}
	if closed != 4 {
		t.Errorf("%d closed gates in JSON, want 4: %s", closed, raw)
	}
	d.run("waybill", "thaw", "guestbook/prod")
}

// restart stops everything, counts what is left, and starts again.
func (d *demo) restart(t *testing.T) {
	d.run("waybill", "local", "down", "--data", d.data)
	for _, address := range []string{strings.TrimPrefix(d.up.Server, "http://"), d.up.Registry} {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close()
			t.Errorf("%s still answers after down", address)
		}
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(d.up.Server, "http://"))
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	d.start(n)
	d.runs("test", "1.28.1")
	d.runs("prod", "1.27.0")
}
