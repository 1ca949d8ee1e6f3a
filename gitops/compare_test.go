package gitops_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/gitops"
)

func manifests(t testing.TB, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, doc := range strings.Split(text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

const web = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  template:
    spec:
      containers:
      - {name: app, image: "registry.example/app:1.26.0", env: [{name: COLOUR, value: red}, {name: DB_PASSWORD, value: hunter2}], resources: {limits: {memory: 512Mi}}}
`

// TestCompare: what is lost comes first, and what changed is named by field.
func TestCompare(t *testing.T) {
	before := manifests(t, web+`
---
apiVersion: v1
kind: ConfigMap
metadata: {name: old}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None}
`)
	after := manifests(t, strings.NewReplacer("1.26.0", "1.27.0", "512Mi", "768Mi", "red", "blue").Replace(web)+`
---
apiVersion: v1
kind: ConfigMap
metadata: {name: new}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None}
`)
	got := gitops.Compare(before, after)
	var order []string
	for _, c := range got {
		order = append(order, fmt.Sprintf("%s %s", c.Kind, c.Key))
	}
	if d := cmp.Diff([]string{"deleted ConfigMap old", "changed Deployment web", "created ConfigMap new"}, order); d != "" {
		t.Fatal(d)
	}
	const at = "spec.template.spec.containers[app]"
	if d := cmp.Diff([]gitops.ValueChange{
		{Field: at + ".env[COLOUR].value", Before: "red", After: "blue"},
		{Field: at + ".image", Before: "registry.example/app:1.26.0", After: "registry.example/app:1.27.0"},
		{Field: at + ".resources.limits.memory", Before: "512Mi", After: "768Mi"},
	}, got[1].Fields); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]gitops.Risk{{Flag: gitops.RiskResources, Sentence: "Deployment web: the memory limit of container app goes up by 50 %"}}, got[1].Risks); d != "" {
		t.Error(d)
	}
	if !strings.Contains(got[1].Diff, "-        - name: COLOUR\n") && !strings.Contains(got[1].Diff, "-          value: red\n") || got[1].Added != 3 || got[1].Removed != 3 {
		t.Errorf("+%d -%d\n%s", got[1].Added, got[1].Removed, got[1].Diff)
	}
	if len(gitops.Compare(before, before)) != 0 {
		t.Error("equal objects differ")
	}
}

// TestCompareMasks: that a secret changes is seen, and what it is, is not, on
// either side and wherever it is written.
func TestCompareMasks(t *testing.T) {
	const canary = "c4n4ry"
	text := func(value string) string {
		return strings.ReplaceAll(`apiVersion: v1
kind: Secret
metadata: {name: s}
data: {key: VALUE, same: c4n4ryc4n4ry}
stringData: {other: VALUE}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - {name: app, image: "app:VALUE-is-no-secret", env: [{name: API_TOKEN, value: VALUE}], args: [x]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {password: VALUE, key.pem: "-----BEGIN PRIVATE KEY-----VALUE"}
`, "VALUE", value)
	}
	none := manifests(t, "")
	old, now := manifests(t, strings.ReplaceAll(text("old-"+canary), "app:old-"+canary+"-is-no-secret", "app:1")), manifests(t, strings.ReplaceAll(text("new-"+canary), "app:new-"+canary+"-is-no-secret", "app:2"))
	for why, changes := range map[string][]gitops.ObjectChange{
		"changed": gitops.Compare(old, now), "created": gitops.Compare(none, now), "deleted": gitops.Compare(old, none),
	} {
		if len(changes) != 3 {
			t.Errorf("%s: %d changes", why, len(changes))
		}
		if shown := fmt.Sprintf("%+v", changes); strings.Contains(shown, canary) {
			t.Errorf("%s shows a secret: %s", why, shown)
		}
		for _, c := range changes {
			if c.Diff == "" {
				t.Errorf("%s: that %s changes is not shown", why, c.Key)
			}
		}
	}
	changed := gitops.Compare(old, now)
	for _, c := range changed {
		if c.Key.Kind == "Secret" && len(c.Fields) != 2 {
			t.Errorf("fields of the Secret: %+v", c.Fields)
		}
	}
}

// TestRisks: one flag per danger, and none for what is harmless.
func TestRisks(t *testing.T) {
	sts := "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {serviceName: db, replicas: 3, template: {}}\n"
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: [{verbs: [get]}]\n"
	pod := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: app}]}}}\n"
	for _, c := range []struct {
		why, before, after string
		want               []string
	}{
		{"nothing but an image", web, strings.Replace(web, "1.26.0", "1.27.0", 1), nil},
		{"a claim goes", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n", "", []string{"deletion: PersistentVolumeClaim data: is deleted, and its data may go with it"}},
		{"a name that Kubernetes keeps", sts, strings.Replace(sts, "serviceName: db", "serviceName: other", 1), []string{"immutable-field: StatefulSet db: spec.serviceName changes, which Kubernetes refuses"}},
		{"replicas of it", sts, strings.Replace(sts, "replicas: 3", "replicas: 5", 1), nil},
		{"to zero", sts, strings.Replace(sts, "replicas: 3", "replicas: 0", 1), []string{"replicas-to-zero: StatefulSet db: replicas go to zero"}},
		{"more rights", role, strings.Replace(role, "[{verbs: [get]}]", "[{verbs: [get]}, {verbs: ['*']}]", 1), []string{"rbac-widened: Role r: rules are added"}},
		{"fewer rights", strings.Replace(role, "[{verbs: [get]}]", "[{verbs: [get]}, {verbs: ['*']}]", 1), role, nil},
		{"a role that is new", "", role, []string{"rbac-widened: Role r: rules are added"}},
		{"a kind", "", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\n", []string{"crd: CustomResourceDefinition x: the definition of a kind is new"}},
		{"a migration", "", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\n", []string{"job: Job migrate: a Job runs"}},
		{"root", pod, strings.Replace(pod, "{name: app}", "{name: app, securityContext: {runAsUser: 0}}", 1), []string{"user-changed: Deployment web: the security context of container app changes"}},
		{"privileged", "", strings.Replace(pod, "{name: app}", "{name: app, securityContext: {privileged: true}}", 1), []string{"user-changed: Deployment web: container app is privileged"}},
	} {
		var got []string
		for _, change := range gitops.Compare(manifests(t, c.before), manifests(t, c.after)) {
			for _, r := range change.Risks {
				got = append(got, string(r.Flag)+": "+r.Sentence)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, d)
		}
	}
}
