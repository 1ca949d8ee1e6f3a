package chart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/test/env"
)

var cluster *env.Env

func TestMain(m *testing.M) {
	e, err := env.New(env.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cluster = e
	code := m.Run()
	if err := e.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// installed applies CRDs and chart once, as Helm would, in a namespace where
// Pod Security is restricted.
func installed(t *testing.T) {
	t.Helper()
	cluster.InstallCRDs(t, filepath.Join(chartDir, "crds"))
	cluster.Apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+releaseNamespace+", labels: {pod-security.kubernetes.io/enforce: restricted}}\n")
	rendered := mustRender(t, "ingress: {enabled: true, host: waybill.example.com}\ndata: {persistent: true}", mutating)
	for name, manifest := range rendered {
		if name != "NOTES.txt" {
			cluster.Apply(t, manifest)
		}
	}
}

// Server-side apply refuses fields that a kind does not have, so this is also
// a check of spelling.
func TestChartApplies(t *testing.T) {
	installed(t)
	installed(t) // an upgrade to the same version

	kube, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := kube.AppsV1().Deployments(releaseNamespace).Get(t.Context(), "waybill", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := func(name string) *unstructured.Unstructured {
		template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d.Spec.Template)
		if err != nil {
			t.Fatal(err)
		}
		delete(template, "metadata")
		template["apiVersion"], template["kind"] = "v1", "Pod"
		template["metadata"] = map[string]any{"name": name, "namespace": releaseNamespace}
		return &unstructured.Unstructured{Object: template}
	}
	dyn, err := client.New(cluster.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dyn.Create(t.Context(), pod("as-rendered")); err != nil {
		t.Errorf("Pod Security restricted refuses the server's Pod: %v", err)
	}
	loose := pod("loose")
	containers, _, _ := unstructured.NestedSlice(loose.Object, "spec", "containers")
	delete(containers[0].(map[string]any), "securityContext")
	if err := unstructured.SetNestedSlice(loose.Object, containers, "spec", "containers"); err != nil {
		t.Fatal(err)
	}
	if err := dyn.Create(t.Context(), loose); err == nil || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("a Pod without securityContext: %v, want a refusal (is Pod Security on at all?)", err)
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("container %q may write to its image", c.Name)
		}
		if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("container %q lacks probes or a memory limit", c.Name)
		}
	}
}

// A flag that the chart sets and waybilld does not know would show in
// production only.
func TestServerKnowsItsFlags(t *testing.T) {
	top, err := env.Repository()
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(filepath.Join(top, "bin", "waybilld"), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("run make build first: %v", err)
	}
	rendered, err := render(load(t), withEverything(t))
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ +- (--[a-z-]+)`).FindAllStringSubmatch(rendered["deployment.yaml"], -1)
	if len(flags) < 8 {
		t.Fatalf("only %d flags found", len(flags))
	}
	for _, f := range flags {
		if !regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(f[1]) + `\b`).Match(help) {
			t.Errorf("waybilld has no flag %s", f[1])
		}
	}
}

// `waybilld install` and the chart give the server the same rights.
func TestInstallGivesTheSameRights(t *testing.T) {
	admin, err := client.New(cluster.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const other = "installed-by-hand"
	if err := install.Install(t.Context(), install.Options{Client: admin, Namespace: other}); err != nil {
		t.Fatal(err)
	}
	var byHand rbacv1.Role
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: other, Name: "waybill-server"}, &byHand); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, mustRender(t, "", mutating)) {
		if o.GetKind() != "Role" {
			continue
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(role.Rules, byHand.Rules); diff != "" {
			t.Errorf("the Role of the chart and of waybilld install differ:\n%s", diff)
		}
		return
	}
	t.Error("the chart has no Role")
}

// What roles may never say, however convenient.
func TestRolesNameWhatTheyGrant(t *testing.T) {
	seen := 0
	for _, o := range objects(t, mustRender(t, "", mutating)) {
		if o.GetKind() != "Role" && o.GetKind() != "ClusterRole" {
			continue
		}
		seen++
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, sentence := range tooMuch(role) {
			t.Error(sentence)
		}
	}
	if seen < 5 {
		t.Errorf("only %d roles found", seen)
	}
	for why, rule := range map[string]rbacv1.PolicyRule{
		"a wildcard verb":          {APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"*"}},
		"a wildcard resource":      {APIGroups: []string{""}, Resources: []string{"*"}, Verbs: []string{"get"}},
		"a wildcard group":         {APIGroups: []string{"*"}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		"impersonation for people": {APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}},
		"any role to bind":         {APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"bind"}},
		"escalation":               {APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"escalate"}},
	} {
		if len(tooMuch(rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "made-up"}, Rules: []rbacv1.PolicyRule{rule}})) == 0 {
			t.Errorf("%s is not noticed", why)
		}
	}
}

// tooMuch returns a sentence for each right that a role should not have.
func tooMuch(role rbacv1.ClusterRole) []string {
	var all []string
	say := func(format string, args ...any) {
		all = append(all, "role "+role.Name+" "+fmt.Sprintf(format, args...))
	}
	for _, rule := range role.Rules {
		for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			if slices.Contains(list, "*") {
				say("has a wildcard: %v", rule)
			}
		}
		if slices.Contains(rule.Verbs, "impersonate") {
			isPerson := slices.Equal(rule.Resources, []string{"users", "groups"})
			isProof := slices.Equal(rule.APIGroups, []string{"authentication.k8s.io"}) && slices.Equal(rule.Resources, []string{"userextras/freight.waybill.dev"})
			if role.Name != "waybill-server" || !isPerson && !isProof {
				say("may impersonate %v: only the server may, and only users, groups and what it vouches for", rule.Resources)
			}
		}
		if slices.Contains(rule.Verbs, "escalate") {
			say("may escalate")
		}
		if slices.Contains(rule.Verbs, "bind") && len(rule.ResourceNames) == 0 {
			say("may bind any role")
		}
		if slices.Contains(rule.Resources, "policies") && slices.Contains(rule.Verbs, "act") && role.Name != "waybill-server" {
			say("may act as waybill:policy")
		}
	}
	return all
}

// Secrets of the whole cluster are within reach of the role that deploys, not of
// waybill-server.
func TestServerRoleReadsNoSecrets(t *testing.T) {
	for _, o := range objects(t, mustRender(t, "", mutating)) {
		if o.GetKind() != "ClusterRole" || o.GetName() != "waybill-server" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "secrets") {
				t.Errorf("waybill-server has %v on Secrets everywhere", rule.Verbs)
			}
		}
		return
	}
	t.Error("there is no ClusterRole waybill-server")
}
