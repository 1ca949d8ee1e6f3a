package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// good is a file of two documents that changes Stage test of the Project.
const good = `apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: guestbook, namespace: PROJECT}
spec:
  interval: 2h
  subscriptions:
  - image: {repoURL: IMAGE, constraint: ^1.26.0}
---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: test, namespace: PROJECT}
spec:
  requestedFreight:
  - origin: {kind: Warehouse, name: guestbook}
    sources: {direct: true}
  autoPromotion: {enabled: true}
  promotionMechanisms:
    gitRepoUpdates:
    - repoURL: GIT
      readBranch: main
      writeBranch: stage/test
      kustomize:
        images:
        - {image: IMAGE, path: stages/test}
  deploy:
  - destination: {namespace: PROJECT-test}
    source: {path: stages/test}
    syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
  rollback: {onUnhealthy: Revert, healthTimeout: 4m}
`

// TestBadYAML applies a file with one mistake: the error names file, document,
// line and field, nothing is changed, and the mended file is applied.
func TestBadYAML(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "typos")
	w.guestbook()
	fill := strings.NewReplacer("PROJECT", w.project, "GIT", w.gitURL, "IMAGE", w.registry.Name("guestbook"))
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(fill.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := w.projectYAML() + w.secrets() + "---\n" + good
	if s := w.cli(fill.Replace(first), "apply", "-f", "-"); s.code != 0 {
		t.Fatalf("apply ended with %d:\n%s", s.code, s.text())
	}
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	w.settled()
	const one = "Error: 1 mistake in the manifests; nothing was changed\n  pipeline.yaml: "
	tests := []struct {
		name     string
		old, new string // what is written wrong, and how
		says     string
		code     int
	}{
		{
			"malformed: a list that never ends", "syncOptions: [CreateNamespace=true]}", "syncOptions: [CreateNamespace=true}",
			one + "document 2, line 27: cannot be read as YAML: did not find expected ',' or ']'\n", 2,
		},
		{
			"malformed: a tab", "  interval: 2h", "\tinterval: 2h",
			one + "document 1, line 5: cannot be read as YAML: found character that cannot start any token\n", 2,
		},
		{
			"an unknown field", "healthTimeout: 4m", "healthTimout: 4m",
			one + "document 2, line 29: spec.rollback.healthTimout: unknown field \"healthTimout\"; did you mean \"healthTimeout\"?\n", 2,
		},
		{
			"a field with another name", "constraint: ^1.26.0", "semverConstraint: ^1.26.0",
			one + "document 1, line 7: spec.subscriptions[0].image.semverConstraint: semverConstraint is now constraint\n", 2,
		},
		{
			"a value of another type", "prune: true", "prune: often",
			one + "document 2, line 28: spec.deploy[0].syncPolicy.automated.prune: expected true or false, found text\n", 2,
		},
		{
			"a field twice", "readBranch: main", "readBranch: main\n      readBranch: main",
			one + "document 2, line 21: spec.promotionMechanisms.gitRepoUpdates[0].readBranch: is there twice; the first is in line 20\n", 2,
		},
		{
			"a kind that is none", "kind: Stage", "kind: Stag",
			one + "document 2, line 10: kind: unknown kind \"Stag\"; did you mean \"Stage\"?\n", 2,
		},
		{
			"a value that the server refuses", "path: stages/test}\n  deploy", "path: ../stages/test}\n  deploy",
			"warehouse/guestbook in PROJECT unchanged\n" +
				"stage/test: pipeline.yaml: document 2, line 24: spec.promotionMechanisms.gitRepoUpdates[0].kustomize.images[0].path: " +
				"Invalid value: \"../stages/test\": path is relative to the root of the repository and may not leave it\n" +
				"Error: 1 of 2 documents could not be applied\n", 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			if strings.Count(good, tt.old) != 1 {
				t.Fatalf("%q is not once in the file", tt.old)
			}
			stage, warehouse := &v1alpha1.Stage{}, &v1alpha1.Warehouse{}
			w.get("test", stage)
			w.get("guestbook", warehouse)
			deployed := w.deployed("test")
			write(strings.Replace(good, tt.old, tt.new, 1))
			s := w.cliIn(dir, "apply", "-f", "pipeline.yaml")
			if got := w.normal(s.text()); got != tt.says || s.code != tt.code {
				t.Errorf("apply ended with %d, want %d, and printed\n%s\nwant\n%s", s.code, tt.code, got, tt.says)
			}
			before := [2]int64{stage.Generation, warehouse.Generation}
			w.get("test", stage)
			w.get("guestbook", warehouse)
			if after := [2]int64{stage.Generation, warehouse.Generation}; after != before {
				t.Errorf("generations were %v and are %v", before, after)
			}
			deployed.untouched()
		})
	}
	write(strings.Replace(good, "healthTimeout: 4m", "healthTimeout: 6m", 1))
	s := w.cliIn(dir, "apply", "-f", "pipeline.yaml", "--wait", "--timeout", "60s")
	want := "warehouse/guestbook in PROJECT unchanged\nstage/test in PROJECT configured\n"
	if got := w.normal(s.out); got != want || s.code != 0 {
		t.Errorf("the mended file: %d\n%s%s\nwant\n%s", s.code, got, s.err, want)
	}
}
