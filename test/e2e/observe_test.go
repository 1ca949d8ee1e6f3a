package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops/shadow"
	"github.com/waybill-dev/waybill/test/env"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
)

// onlooker is somebody who may get, list and watch, behind a proxy that keeps every
// request.
type onlooker struct {
	*recorder
	t *testing.T
}

// newOnlooker gives a user the right to look at everything.
func newOnlooker(t *testing.T) *onlooker {
	t.Helper()
	shared.cluster.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: onlooker}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: onlooker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: onlooker}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: onlooker}]
`)
	return &onlooker{t: t, recorder: newRecorder(t, shared.cluster.ConfigFor(t, "onlooker"))}
}

// observe runs the CLI's verb.
func (o *onlooker) observe(args ...string) said {
	o.t.Helper()
	args = append([]string{"observe", "--kubeconfig", o.kubeconfig, "--from-argocd", "production", "--allow-http", "--allow-loopback"}, args...)
	return run(o.t, filepath.Join(o.t.TempDir(), "config"), o.t.TempDir(), "", args...)
}

// sent returns what was not a read.
func (o *onlooker) sent() (reads int, others []string) {
	for _, r := range o.all() {
		if r.method == http.MethodGet {
			reads++
		} else {
			others = append(others, r.String())
		}
	}
	return reads, others
}

// foreignKinds are the kinds of Argo CD and Kargo that are read, without their
// schemas: what is in the objects is checked by who reads them.
func foreignKinds(t *testing.T, cluster *env.Env) {
	t.Helper()
	crd := func(group, kind, plural string) string {
		return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[3]s.%[1]s, annotations: {api-approved.kubernetes.io: "unapproved, for a test"}}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[2]s, plural: %[3]s}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, group, kind, plural)
	}
	dir := t.TempDir()
	for i, text := range []string{
		crd("argoproj.io", "Application", "applications"), crd("argoproj.io", "AppProject", "appprojects"),
		crd("kargo.akuity.io", "Stage", "stages"), crd("kargo.akuity.io", "Freight", "freights"),
		crd("kargo.akuity.io", "Promotion", "promotions"), crd("kargo.akuity.io", "ProjectConfig", "projectconfigs"),
	} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cluster.InstallCRDs(t, dir)
}

const observedDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example.com/web:%s"}]}
`

// TestObserveArgoCD: with credentials that may only look, on a real API server, the
// CLI says of every Application and Stage what Waybill would do, and nothing is
// written.
func TestObserveArgoCD(t *testing.T) {
	o := newOnlooker(t)
	foreignKinds(t, shared.cluster)
	git := gittest.NewServer(t)
	url := git.CreateRepo("apps", map[string]string{"README": "x"})
	config := func(name, value string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: %q}\n", name, value)
	}
	synced := git.Commit("apps", "main", "what Argo CD has synced", map[string]string{
		"same/c.yaml":    config("same", "1"),
		"drift/d.yaml":   fmt.Sprintf(observedDeployment, 2, "1.0"),
		"manual/d.yaml":  fmt.Sprintf(observedDeployment, 2, "1.0"),
		"old/c.yaml":     config("left", "1"),
		"old/keep.yaml":  config("stays", "1"),
		"system/c.yaml":  config("x", "1"),
		"broken/c.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n",
		"plugin/c.yaml":  config("x", "1"),
		"jsonnet/c.yaml": config("x", "1"),
	})
	head := git.CommitFiles("apps", gitserver.Commit{
		Branch: "main", Message: "one leaves, one comes", Remove: []string{"old/c.yaml"}, Files: map[string]gitserver.File{"new/c.yaml": {Content: config("fresh", "1")}},
	})
	charts := charttest.New(t)
	charts.Add("web", "1.0.0", charttest.Pack(t, "web", "1.0.0", map[string]string{"templates/c.yaml": config("of-a-chart", "1")}))
	const ns = "observed"
	live := fmt.Sprintf(observedDeployment, 5, "1.0") // somebody scaled it
	t.Cleanup(func() {
		shared.kubectl(t, "", "delete", "namespace", ns, ns+"-argocd", "--ignore-not-found", "--wait=false")
	})
	shared.kubectl(t, "", "create", "namespace", ns)
	shared.kubectl(t, "", "create", "namespace", ns+"-argocd")
	shared.kubectl(t, config("same", "1")+"---\n"+live+"---\n"+config("left", "1")+"---\n"+config("stays", "1"), "-n", ns, "apply", "-f", "-")
	shared.kubectl(t, argoProjects+gitSecret("repository", url, gittest.Username, gittest.Password)+gitSecret("charts", charts.URL, charttest.Username, charttest.Password)+strings.Join([]string{
		argoApp("same", url, "same", synced, "automated: {prune: true, selfHeal: true}", ""),
		argoApp("drift", url, "drift", head, "automated: {selfHeal: true}", `resources: [{group: apps, version: v1, kind: Deployment, namespace: observed, name: web, health: {status: Degraded}}]`),
		argoApp("manual", url, "manual", synced, "", ""),
		argoApp("old", url, "old", synced, "automated: {prune: true}", `resources: [{version: v1, kind: ConfigMap, namespace: observed, name: left}, {version: v1, kind: ConfigMap, namespace: observed, name: stays}]`),
		argoApp("new", url, "new", "", "automated: {}", ""),
		argoApp("broken", url, "broken", synced, "automated: {}", ""),
		strings.Replace(argoApp("system", url, "system", synced, "automated: {}", ""), "namespace: observed}", "namespace: kube-system}", 1),
		strings.Replace(argoApp("elsewhere", url, "same", synced, "automated: {}", ""), "server: https://kubernetes.default.svc", "name: prod-eu", 1),
		strings.Replace(argoApp("plugin", url, "plugin", synced, "automated: {}", ""), "path: plugin", "path: plugin, plugin: {name: kustomized-helm}", 1),
		strings.Replace(argoApp("jsonnet", url, "jsonnet", synced, "automated: {}", ""), "path: jsonnet", "path: jsonnet, directory: {jsonnet: {tlas: [{name: a, value: b}]}}", 1),
		strings.Replace(argoApp("chart", charts.URL, "x", "1.0.0", "automated: {}", ""), "targetRevision: main, path: x", "targetRevision: ^1.0.0, chart: web", 1),
		strings.Replace(argoApp("tag", url, "same", synced, "automated: {}", ""), "targetRevision: main", "targetRevision: v1.0.0", 1),
	}, "---\n"), "-n", ns+"-argocd", "apply", "-f", "-")
	shared.kubectl(t, kargoObjects, "-n", ns, "apply", "-f", "-")

	said := o.observe("-o", "json")
	if said.code != 0 {
		t.Fatalf("exit code %d: %s", said.code, said.err)
	}
	var report shadow.Report
	if err := json.Unmarshal([]byte(said.out), &report); err != nil {
		t.Fatalf("%v in %s", err, said.out)
	}
	got := map[string]string{}
	for _, a := range report.Applications {
		text := string(a.Verdict)
		for _, x := range a.Actions {
			text += fmt.Sprintf(" %s:%s", x.Action, x.Name)
			for _, f := range x.Fields {
				text += fmt.Sprintf(" %s=%s/%s", f.Field, f.Got, f.Want)
			}
		}
		got[a.Name] = text
	}
	for _, s := range report.Stages {
		text := string(s.Verdict) + " " + s.Freight
		for _, g := range s.Closed {
			text += " " + g.Gate
		}
		got["stage "+s.Name] = strings.TrimSpace(text)
	}
	want := map[string]string{
		"same":       "InSync",
		"drift":      "Heal heal:web spec.replicas=5/2 health:web",
		"manual":     "Report report:web spec.replicas=5/2",
		"old":        "Apply prune:left",
		"new":        "Apply create:fresh",
		"broken":     "Refuse",
		"chart":      "Report report:of-a-chart",
		"system":     "Refuse refuse:x",
		"elsewhere":  "Unknown",
		"plugin":     "Unsupported",
		"jsonnet":    "Unsupported",
		"tag":        "Unsupported",
		"stage test": "Promote calm-crane",
		"stage prod": "Wait calm-crane upstream soak",
		"stage uat":  "InSync",
	}
	reads, others := o.sent()
	if len(others) > 0 || reads == 0 || int64(reads) != report.Requests {
		t.Errorf("%d reads (%d reported), and %v", reads, report.Requests, others)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, o.observe().out)
	}

	t.Run("text, and exit 1 with --check", func(t *testing.T) {
		said := o.observe("--check")
		for _, text := range []string{
			`config management plugin "kustomized-helm"`, "Jsonnet", "spec.replicas: 5, Git says 2", "Nothing was written", "--cluster prod-eu=CONTEXT", "a tag is no branch", "Argo CD says Degraded",
		} {
			if !strings.Contains(said.out, text) {
				t.Errorf("nothing says %q:\n%s", text, said.out)
			}
		}
		if said.code != 1 || !strings.Contains(said.err, "Application "+ns+"-argocd/same") {
			t.Errorf("exit code %d, progress %s", said.code, said.err)
		}
	})
	t.Run("a context that is not there is exit 2, Applications that may not be listed 4", func(t *testing.T) {
		if said := o.observe("--from-argocd", "nowhere"); said.code != 2 {
			t.Errorf("exit code %d: %s", said.code, said.err)
		}
		nobody, err := shared.cluster.Cluster.ClientKubeconfig("nobody", nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := clientcmd.LoadFromFile(nobody)
		if err != nil {
			t.Fatal(err)
		}
		if said := o.observe("--kubeconfig", nobody, "--from-argocd", raw.CurrentContext); said.code != 4 {
			t.Errorf("exit code %d: %s", said.code, said.err)
		}
	})
	t.Run("--watch ends when it is interrupted", func(t *testing.T) {
		name, err := binary("waybill")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), name, "observe", "--kubeconfig", o.kubeconfig, "--from-argocd", "production", "--allow-http", "--allow-loopback", "--watch", "5s", "-o", "json")
		var out lockedText
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(patience)
		for !strings.Contains(out.String(), "\n") && time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond) // a poll with a deadline
		}
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() > 130 || !json.Valid([]byte(out.String())) {
			t.Errorf("%v, %s", err, out.String())
		}
	})
	if _, others := o.sent(); len(others) > 0 {
		t.Errorf("writes: %v", slices.Compact(others))
	}
}

// argoApp is an Application of Argo CD with what it says about itself.
func argoApp(name, repoURL, path, synced, policy, status string) string {
	return fmt.Sprintf(`apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: %[1]s}
spec:
  project: team
  source: {repoURL: "%[2]s", targetRevision: main, path: %[3]s}
  destination: {server: https://kubernetes.default.svc, namespace: observed}
  syncPolicy: {%[5]s}
status:
  sync: {status: Synced, revision: "%[4]s"}
  history: [{revision: "%[4]s"}]
  %[6]s
`, name, repoURL, path, synced, policy, status)
}

const argoProjects = `apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: team}
spec: {destinations: [{server: "*", namespace: "*"}]}
---
`

// gitSecret is a repository as Argo CD keeps it.
func gitSecret(name, repoURL, username, password string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: %s, labels: {argocd.argoproj.io/secret-type: repository}}
stringData: {url: "%s", username: "%s", password: "%s"}
---
`, name, repoURL, username, password)
}

// kargoObjects are three Stages in a row; the newest Freight is nowhere yet.
const kargoObjects = `apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {name: observed}
spec: {promotionPolicies: [{stage: test, autoPromotionEnabled: true}, {stageSelector: {name: prod}, autoPromotionEnabled: true}]}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Freight
metadata: {name: f1111111}
alias: calm-crane
origin: {kind: Warehouse, name: web}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: test}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: web}, sources: {direct: true}}]
  promotionTemplate: {spec: {steps: [{uses: git-clone}, {uses: argocd-update}]}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: uat}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: web}, sources: {stages: [test]}}]
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: prod}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: web}, sources: {stages: [test], requiredSoakTime: 1h}}]
  promotionTemplate: {spec: {steps: [{uses: git-clone}]}}
`

// kubectl runs the real kubectl as the administrator.
func (in *installation) kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command(in.cluster.Cluster.Kubectl(), append([]string{"--kubeconfig", in.cluster.Kubeconfig}, args...)...)
	if said := execute(t, cmd, stdin); said.code != 0 {
		t.Fatalf("kubectl %v: %s", args, said.text())
	}
}

// lockedText collects what a process writes while it is read.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
