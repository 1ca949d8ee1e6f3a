package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// clusterDump has documents, a List in a List, a workload with the Pod of its
// new revision, kinds of others and kinds without health.
const clusterDump = `# two documents, then a list
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: guestbook}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: guestbook}
status: {active: 1, conditions: [{type: Suspended, status: "False", reason: JobResumed}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: guestbook, uid: d, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}
  spec: {replicas: 1, selector: {matchLabels: {app: web}}}
  status: {observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 1}
- apiVersion: v1
  kind: List
  items:
  - apiVersion: apps/v1
    kind: ReplicaSet
    metadata: {name: web-2, namespace: guestbook, uid: rs, annotations: {deployment.kubernetes.io/revision: "2"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}
    spec: {replicas: 1}
  - apiVersion: v1
    kind: Pod
    metadata: {name: web-2-x, namespace: guestbook, uid: p, creationTimestamp: 2026-03-02T11:58:00Z, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-2, uid: rs, controller: true}]}
    status: {phase: Pending, containerStatuses: [{name: web, image: i, imageID: "", ready: false, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}
---
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: canary, namespace: guestbook}
status: {phase: Paused, message: CanaryPauseStep}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisRun
metadata: {name: smoke, namespace: guestbook}
status: {phase: Inconclusive}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics}
status: {conditions: [{type: Available, status: "False", reason: MissingEndpoints, message: no endpoints, lastTransitionTime: 2026-03-02T11:59:00Z}]}
`

func TestHealthOfAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dump.yaml")
	if err := os.WriteFile(file, []byte(clusterDump), 0o600); err != nil {
		t.Fatal(err)
	}
	signed := signedIn(t, "http://127.0.0.1:1") // nothing is asked of it
	named := func(r result) string { return strings.ReplaceAll(r.String(), dir+"/", "") }
	golden(t, "health", named(signed.run("health", "-f", file)))
	golden(t, "health-json", named(signed.run("health", "-f", file, "-o", "json")))
	golden(t, "health-check", named(signed.run("health", "-f", file, "--check")))
	golden(t, "help-health", signed.run("health", "--help").String())
	for name, content := range map[string]string{
		"not-yaml": "a: [", "no-kind": "apiVersion: v1\nmetadata: {name: x}\n", "not-an-object": "apiVersion: v1\nkind: ConfigMap\n---\n- 1\n",
	} {
		bad := filepath.Join(t.TempDir(), "bad.yaml")
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := signed.run("health", "-f", bad); got.code != 2 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestHealthOfStandardInput(t *testing.T) {
	s := signedIn(t, "http://127.0.0.1:1")
	s.stdin = `{"apiVersion":"v1","kind":"PodList","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"status":{"phase":"Succeeded"}}]}`
	golden(t, "health-stdin", s.run("health", "-f", "-").String())
}

func TestHealthReadsWhatToolsWrite(t *testing.T) {
	const service = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"NAME","generation":1}}`
	named := func(name string) string { return strings.ReplaceAll(service, "NAME", name) }
	tests := []struct {
		name, why, content string
		code               int
		want               []string // in the output, in order
	}{
		{name: "nothing", content: "", want: nil},
		{name: "comments only", content: "# a\n---\n# b\n", want: nil},
		{name: "values one after the other", why: "the YAML decoder reads the first and drops the rest", content: named("a") + "\n" + named("b") + named("c"), want: []string{"a", "b", "c"}},
		{name: "flow YAML", content: "{apiVersion: v1, kind: Service, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: b}}\n", want: []string{"a", "b"}},
		{name: "carriage returns", content: "apiVersion: v1\r\nkind: Service\r\nmetadata: {name: a}\r\n---\r\n" + named("b"), want: []string{"a", "b"}},
		{name: "a byte order mark", content: "\uFEFF" + named("a"), want: []string{"a"}},
		{name: "an empty list", content: "apiVersion: v1\nkind: List\nitems: null\n", want: nil},
		{name: "the line of the file", content: "apiVersion: v1\nkind: Service\n---\na: 1\nb: 2\nc: [\n", code: 2, want: []string{"document 2", "line 6"}},
		{name: "a key twice", content: "a: 1\n---\nkind: x\nkind: y\n", code: 2, want: []string{"document 1", "begins at line 1"}},
		{name: "a key twice later", content: named("a") + "\n---\nkind: x\nkind: y\n", code: 2, want: []string{"document 2", "line 4", "already set"}},
		{name: "no object", content: named("a") + "\n---\n- 1\n", code: 2, want: []string{"document 2", "line 3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := signedIn(t, "http://127.0.0.1:1")
			s.stdin = tt.content
			got := s.run("health", "-f", "-")
			text := got.String()
			if got.code != tt.code || tt.code == 0 && strings.Count(text, "Healthy") != len(tt.want) {
				t.Errorf("%s:\n%s", tt.why, text)
			}
			for _, want := range tt.want {
				at := strings.Index(text, want)
				if at < 0 {
					t.Fatalf("no %q in\n%s", want, text)
				}
				text = text[at:]
			}
		})
	}
}
