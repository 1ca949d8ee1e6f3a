package safety

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// six are the people of TestFourEyesBySixPeople, with their groups.
func six() map[string][]string {
	return map[string][]string{
		"rita": {"promoters", "release-managers"}, // who asks for promotions, and may approve those of others
		"ann":  {"release-managers"},
		"bob":  {"release-managers"},
		"cat":  {"approvers"}, // who may approve, and is not asked
		"vic":  {"viewers"},
		"ada":  {"admins"},
	}
}

const sixPeople = `apiVersion: v1
kind: Namespace
metadata: {name: four, labels: {waybill.dev/project: "true"}}
---
apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: four}
spec:
  access:
  - {role: Promoter, groups: [promoters]}
  - {role: Approver, groups: [release-managers, approvers]}
  - {role: Viewer, groups: [viewers]}
  - {role: Admin, groups: [admins]}
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: four, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: "REGISTRY", username: REGISTRY_USER, password: REGISTRY_PASSWORD}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: four, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: "GIT", username: GIT_USER, password: "GIT_PASSWORD"}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: app, namespace: four}
spec: {interval: 5s, subscriptions: [{image: {repoURL: "IMAGE", constraint: "^1.0.0"}}]}
---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: prod, namespace: four}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: app}, sources: {direct: true}}]
  approval: {required: 2, groups: [release-managers]}
  promotionMechanisms:
    gitRepoUpdates:
    - {repoURL: "GIT", readBranch: main, writeBranch: stage/prod, kustomize: {images: [{image: "IMAGE", path: app}]}}
  deploy:
  - destination: {namespace: four-prod}
    source: {path: app}
    syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
`

// office is one installation with six people and three ways in.
type office struct {
	*world
	tokens     map[string]string
	kubeconfig map[string]string
	kubectl    string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{world: newWorld(t), tokens: map[string]string{}, kubeconfig: map[string]string{}}
	kube, err := kubernetes.NewForConfig(o.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, groups := range six() {
		if err := identity.PutUser(t.Context(), kube, systemNamespace, name, secret.New(name+"-password-1x"), groups); err != nil {
			t.Fatal(err)
		}
		prefixed := make([]string, len(groups))
		for i, g := range groups {
			prefixed[i] = "waybill:" + g
		}
		if o.kubeconfig[name], err = o.cluster.Cluster.ClientKubeconfig("waybill:"+name, prefixed); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	o.kubectl = filepath.Join(dir, "kubectl")
	if err := os.Symlink(program(t, "waybill-kube", "WAYBILL_KUBE"), o.kubectl); err != nil {
		t.Fatal(err)
	}
	image := o.registry.Name("app")
	url := o.git.CreateRepo("app", map[string]string{
		"app/kustomization.yaml": "resources: [config.yaml]\nimages:\n- name: " + image + "\n  newTag: 0.1.0\n",
		"app/config.yaml":        configMap("red"),
	})
	o.registry.Push("app", "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	o.cluster.Apply(t, strings.NewReplacer("REGISTRY_USER", registrytest.Username, "REGISTRY_PASSWORD", registrytest.Password, "REGISTRY", o.registry.Host(),
		"GIT_USER", gittest.Username, "GIT_PASSWORD", gittest.Password, "GIT", url, "IMAGE", image).Replace(sixPeople))
	eventually(t, "there is Freight, and rita may promote", func() error {
		var all v1alpha1.FreightList
		if err := o.admin.List(t.Context(), &all, client.InNamespace("four")); err != nil {
			return err
		}
		if len(all.Items) == 0 {
			return errors.New("no Freight yet")
		}
		out, code := o.cli("rita", "can-i", "promote", "four/prod")
		return yes(code == 0, out)
	})
	return o
}

func configMap(colour string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: " + colour + "}\n"
}

func (o *office) token(name string) string {
	o.t.Helper()
	if o.tokens[name] == "" {
		status, body := o.send("", "POST", "/api/v1/login", map[string]string{"username": name, "password": name + "-password-1x", "kind": "token"})
		var out struct{ Token string }
		if err := json.Unmarshal(body, &out); err != nil || out.Token == "" {
			o.t.Fatalf("sign in %s: %d %s", name, status, body)
		}
		o.tokens[name] = out.Token
	}
	return o.tokens[name]
}

// send is the API.
func (o *office) send(token, method, path string, body any) (int, []byte) {
	o.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, "http://"+o.address+path, bytes.NewReader(raw))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// api asks as a person; the text of an answer that is no success is an error.
func (o *office) api(who, path, planHash, reason string) error {
	o.t.Helper()
	status, body := o.send(o.token(who), "POST", "/api/v1/projects/four/promotions/"+path, map[string]string{"planHash": planHash, "reason": reason})
	if status/100 != 2 {
		return fmt.Errorf("%d %s", status, body)
	}
	return nil
}

// cli is the real command line.
func (o *office) cli(who string, args ...string) (string, int) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), program(o.t, "waybill", "WAYBILL"), args...)
	cmd.Env = []string{"HOME=" + o.dataDir, "WAYBILL_SERVER=http://" + o.address, "WAYBILL_TOKEN=" + o.token(who)}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// run is cli, whose failure is an error with all it says.
func (o *office) run(who string, args ...string) error {
	o.t.Helper()
	if out, code := o.cli(who, args...); code != 0 {
		return fmt.Errorf("exit code %d: %s", code, out)
	}
	return nil
}

// kube is the real kubectl with the person's own credentials.
func (o *office) kube(who, stdin string, args ...string) error {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), o.kubectl, args...)
	cmd.Env = []string{"HOME=" + o.dataDir, "KUBECONFIG=" + o.kubeconfig[who]}
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// approval is a manifest for kubectl.
func approval(actor, group, promotion, planHash string) string {
	text := fmt.Sprintf("apiVersion: waybill.dev/v1alpha1\nkind: Approval\nmetadata: {generateName: by-kubectl-, namespace: four}\nspec: {stage: prod, promotion: %s, planHash: \"%s\", actor: \"waybill:%s\"", promotion, planHash, actor)
	if group != "" {
		text += ", groups: [\"waybill:" + group + "\"]"
	}
	return text + "}\n"
}

// promotion returns the only Promotion that waits, when check is satisfied.
func (o *office) promotion(what string, check func(*v1alpha1.Promotion) error) *v1alpha1.Promotion {
	o.t.Helper()
	var p v1alpha1.Promotion
	eventually(o.t, what, func() error {
		var all v1alpha1.PromotionList
		if err := o.admin.List(o.t.Context(), &all, client.InNamespace("four")); err != nil {
			return err
		}
		if len(all.Items) == 0 {
			return errors.New("no Promotion")
		}
		p = all.Items[0]
		for _, q := range all.Items {
			if q.CreationTimestamp.After(p.CreationTimestamp.Time) {
				p = q
			}
		}
		return check(&p)
	})
	return &p
}

func says(reason, text string) func(*v1alpha1.Promotion) error {
	return func(p *v1alpha1.Promotion) error {
		return yes((reason == "" || p.Status.Reason == reason) && strings.Contains(p.Status.Message, text) && p.Status.Plan != nil && p.Status.Plan.Hash != "",
			fmt.Sprintf("%s %s: %s", p.Status.Phase, p.Status.Reason, p.Status.Message))
	}
}

// TestFourEyesBySixPeople: with kubectl, the command line and the API, each of
// six people gets as far as their roles go, and the refusals say why. The clock
// is the real one: what ends by itself ends then, with nobody polling.
func TestFourEyesBySixPeople(t *testing.T) {
	o := newOffice(t)
	if err := o.run("rita", "promote", "1.0.0", "four/prod", "--reason", "release 1"); err != nil {
		t.Fatal(err)
	}
	p := o.promotion("it waits for two", says("GateClosed", "0 of 2 approvals"))
	hash, other := p.Status.Plan.Hash, "sha256:"+strings.Repeat("1", 64)
	name := "four/" + p.Name

	for _, c := range []struct {
		why  string
		do   func() error
		want string // part of the refusal
	}{
		{"API: the requester approves", func() error { return o.api("rita", p.Name+"/approve", hash, "") }, "you requested it, and somebody else has to approve it"},
		{"CLI: the requester approves", func() error { return o.run("rita", "approve", name, "--plan", hash) }, "exit code 4: Error: you requested it, and somebody else has to approve it"},
		{"API: one who is not asked approves", func() error { return o.api("cat", p.Name+"/approve", hash, "") }, "asks others for approval: release-managers"},
		{"CLI: one who is not asked approves", func() error { return o.run("cat", "approve", name, "--plan", hash) }, "exit code 4"},
		{"kubectl: with a group one is not in", func() error {
			return o.kube("cat", approval("cat", "release-managers", p.Name, hash), "create", "-f", "-")
		}, "spec.groups names a group that the user who decides is not in"},
		{"API: a viewer approves", func() error { return o.api("vic", p.Name+"/approve", hash, "") }, "may not create approvals"},
		{"CLI: a viewer approves", func() error { return o.run("vic", "approve", name, "--plan", hash) }, "exit code 4"},
		{"kubectl: a viewer approves", func() error { return o.kube("vic", approval("vic", "", p.Name, hash), "create", "-f", "-") }, "forbidden"},
		{"kubectl: ann as bob", func() error {
			return o.kube("ann", approval("bob", "release-managers", p.Name, hash), "create", "-f", "-")
		}, "spec.actor must be the user who decides, waybill:ann"},
		{"kubectl: an admin as bob", func() error { return o.kube("ada", approval("bob", "", p.Name, hash), "create", "-f", "-") }, "spec.actor must be the user who decides, waybill:ada"},
		{"kubectl: a viewer promotes", func() error {
			return o.kube("vic", "apiVersion: waybill.dev/v1alpha1\nkind: Promotion\nmetadata: {name: prod.9.x, namespace: four}\nspec: {stage: prod, freight: "+p.Spec.Freight+"}\n", "create", "-f", "-")
		}, "forbidden"},
		{"kubectl: an approver promotes", func() error {
			return o.kube("ann", "apiVersion: waybill.dev/v1alpha1\nkind: Promotion\nmetadata: {name: prod.9.x, namespace: four}\nspec: {stage: prod, freight: "+p.Spec.Freight+"}\n", "create", "-f", "-")
		}, "forbidden"},
		{"CLI: an approver promotes", func() error { return o.run("ann", "promote", "1.0.0", "four/prod") }, "exit code 4"},
		{"CLI: a promoter bypasses the gate", func() error {
			return o.run("rita", "promote", "1.0.0", "four/prod", "--bypass", "approval", "--reason", "hurry")
		}, "exit code 4"},
		{"kubectl: a promoter bypasses the gate", func() error {
			return o.kube("rita", "apiVersion: waybill.dev/v1alpha1\nkind: Promotion\nmetadata: {name: prod.9.x, namespace: four}\nspec: {stage: prod, freight: "+p.Spec.Freight+", bypass: [approval], reason: hurry}\n", "create", "-f", "-")
		}, "needs the verb bypass on stage four/prod"},
		{"kubectl: the requester says that somebody else asked", func() error {
			return o.kube("rita", "apiVersion: waybill.dev/v1alpha1\nkind: Promotion\nmetadata: {name: prod.9.x, namespace: four}\nspec: {stage: prod, freight: "+p.Spec.Freight+", requestedBy: \"waybill:vic\"}\n", "create", "-f", "-")
		}, "spec.requestedBy must be the user who creates the Promotion"},
		{"CLI: a promoter freezes", func() error { return o.run("rita", "freeze", "four/prod", "--reason", "x") }, "needs the verb freeze"},
		{"API: another plan", func() error { return o.api("ann", p.Name+"/approve", other, "") }, "plan-changed"},
		{"CLI: another plan", func() error { return o.run("ann", "approve", name, "--plan", other) }, "exit code 5: Error: the plan is another one than you saw"},
		{"CLI: rejecting without a reason", func() error { return o.run("ann", "reject", name, "--plan", hash) }, "exit code 2"},
		{"API: rejecting without a reason", func() error { return o.api("ann", p.Name+"/reject", hash, "") }, "a rejection needs a reason"},
	} {
		t.Run(c.why, func(t *testing.T) {
			if err := must(c.do(), c.want); err != nil {
				t.Error(err)
			}
		})
	}
	if t.Failed() {
		return
	}
	// What kubectl may write and does not count: the requester's own, and one of
	// a person who is not asked.
	if err := errors.Join(o.kube("rita", approval("rita", "release-managers", p.Name, hash), "create", "-f", "-"), o.kube("cat", approval("cat", "", p.Name, hash), "create", "-f", "-")); err != nil {
		t.Fatal(err)
	}
	o.promotion("two that do not count", says("GateClosed", "0 of 2 approvals; cat approved and is not asked; rita requested it, and may not approve it too"))
	if p = o.promotion("nothing was written", says("", "")); p.Status.Phase != v1alpha1.PhasePending || o.git.Branch("app", "stage/prod") != "" {
		t.Fatalf("%s, branch %q", p.Status.Phase, o.git.Branch("app", "stage/prod"))
	}

	// An approval ends at its instant, and says so then.
	if err := o.run("ann", "approve", name, "--until", "4s"); err != nil {
		t.Fatal(err)
	}
	o.promotion("ann's counts", says("", "1 of 2 approvals, by ann"))
	o.promotion("ann's has expired", says("", "what ann approved has expired"))

	// What was approved changes: the branch that is replaced holds something else.
	if err := o.run("bob", "approve", name, "--plan", hash); err != nil {
		t.Fatal(err)
	}
	o.promotion("bob's counts", says("", "1 of 2 approvals, by bob"))
	o.git.SetBranch("app", "stage/prod", o.git.Branch("app", "main"))
	if err := o.kube("ann", approval("ann", "release-managers", p.Name, hash), "create", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	p = o.promotion("the plan changed", says("PlanChanged", "0 of 2 approvals"))
	if p.Status.Plan.Hash == hash || !strings.Contains(p.Status.Message, "bob approved another plan") {
		t.Fatalf("%s: %s", p.Status.Plan.Hash, p.Status.Message)
	}
	if out, code := o.cli("ann", "diff", name); code != 1 || !strings.Contains(out, p.Status.Plan.Hash) {
		t.Errorf("diff ends with %d: %s", code, out)
	}

	// A window and a freeze keep what is approved waiting, to the second.
	if err := o.run("ada", "freeze", "four/prod", "--until", "6s", "--reason", "audit"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.run("ann", "approve", name), o.api("bob", p.Name+"/approve", p.Status.Plan.Hash, "")); err != nil {
		t.Fatal(err)
	}
	frozen := o.promotion("approved, and frozen", says("GateClosed", "freeze: frozen by ada until"))
	if len(frozen.Status.Gates) != 1 || frozen.Status.Gates[0].OpensAt == nil {
		t.Fatalf("gates %+v", frozen.Status.Gates)
	}
	opens := frozen.Status.Gates[0].OpensAt.Time
	p = o.promotion("it starts", func(p *v1alpha1.Promotion) error {
		return yes(p.Status.StartedAt != nil, p.Status.Message)
	})
	if late := p.Status.StartedAt.Sub(opens); late < 0 || late > time.Minute {
		t.Errorf("the freeze ended at %s, it started at %s", opens, p.Status.StartedAt)
	}
	p = o.promotion("it is done", func(p *v1alpha1.Promotion) error {
		return yes(p.Status.Phase == v1alpha1.PhaseSucceeded, fmt.Sprintf("%s: %s", p.Status.Phase, p.Status.Message))
	})
	if len(p.Status.Approvals) != 2 || p.Status.Approvals[0].Actor == p.Status.Approvals[1].Actor {
		t.Errorf("it started with %+v", p.Status.Approvals)
	}
}
