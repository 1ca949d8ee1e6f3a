package importer

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/internal/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// read imports a file of testdata.
func read(t *testing.T, path string, options Options) *Result {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	objects, findings := manifest.ParseForeign([]manifest.File{{Name: filepath.Base(path), Content: content}})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return Import(objects, options)
}

// written is what is applied, as YAML with its comments.
func written(t testing.TB, r *Result) string {
	t.Helper()
	var b strings.Builder
	for _, m := range r.Manifests {
		b.WriteString("---\n")
		for _, c := range m.Comments {
			b.WriteString("# " + c + "\n")
		}
		text, err := yaml.Marshal(m.Object)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// told is the report, as lines.
func told(r *Result) string {
	var b strings.Builder
	for i := range r.Report.Objects {
		o := &r.Report.Objects[i]
		fmt.Fprintf(&b, "%s: %d mapped, %d approximated, %d dropped -> %s\n", o, o.Mapped, o.Approximated, o.Dropped, strings.Join(o.Became, ", "))
		for _, l := range o.Lines {
			fmt.Fprintf(&b, "  %s %s\n", l.Outcome, l)
		}
	}
	return b.String()
}

// TestGolden: what each file of testdata becomes, and what is said of it. What is
// written reads well, passes lint, and is the same at the second try.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			options := Options{Kargo: strings.Contains(path, "kargo/")}
			r := read(t, path, options)
			manifests := written(t, r)
			got := told(r) + manifests
			goldenPath := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(goldenPath, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(goldenPath)
			if err != nil {
				t.Fatalf("%v (go test ./internal/importer -update writes it)", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			docs, findings := manifest.Parse([]manifest.File{{Name: path, Content: []byte(manifests)}}, "")
			findings = append(findings, manifest.Lint(docs, manifest.Existing{IsComplete: true})...)
			for _, f := range manifest.Errors(findings) {
				t.Errorf("lint: %s", f)
			}
			if again := read(t, path, options); told(again)+written(t, again) != got {
				t.Error("a second import is another one")
			}
		})
	}
}

// TestNoFieldIsUnknown: the files that are called *-fields carry every field of
// their kinds (anchored in what Argo CD and Kargo document), and each of them is
// mapped, approximated or dropped on purpose.
func TestNoFieldIsUnknown(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/*-fields.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		for _, o := range read(t, path, Options{Kargo: strings.Contains(path, "kargo/")}).Report.Objects {
			for _, l := range o.Lines {
				if strings.Contains(l.Why, "there is no such field in what is known") {
					t.Errorf("%s: %s", path, l)
				}
			}
		}
	}
}

// TestAnUnknownFieldIsNamed: what a later version adds is dropped by name, wherever
// it stands.
func TestAnUnknownFieldIsNamed(t *testing.T) {
	object := map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "a", "novel": "x"},
		"spec": map[string]any{
			"project": "default", "novel": map[string]any{"a": true}, "destination": map[string]any{"namespace": "n", "novel": 1},
			"source":     map[string]any{"repoURL": "https://git.example.com/r", "path": "p", "novel": []any{"x"}},
			"syncPolicy": map[string]any{"novel": "x", "retry": map[string]any{"novel": "x"}},
		},
		"novel": "x",
	}
	r := Import([]manifest.Foreign{{File: "f", Index: 1, Object: object}}, Options{})
	var got []string
	for _, l := range r.Report.Objects[0].Lines {
		if l.Outcome == Dropped {
			got = append(got, l.Field)
		}
	}
	want := []string{"metadata.novel", "novel", "spec.destination.novel", "spec.novel", "spec.source.novel", "spec.syncPolicy.novel", "spec.syncPolicy.retry.novel"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAnUnknownFieldOfKargoIsNamed, too.
func TestAnUnknownFieldOfKargoIsNamed(t *testing.T) {
	const source = `
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: s, namespace: p}
spec:
  novel: x
  requestedFreight: [{novel: x, origin: {kind: Warehouse, name: w, novel: x}, sources: {direct: true, novel: x, autoPromotionOptions: {novel: x}}}]
  promotionTemplate: {novel: x, spec: {novel: x, vars: [{name: a, value: b, novel: x}], steps: [{uses: copy, novel: x, config: {inPath: a, outPath: b, novel: x}}]}}
  verification: {novel: x, args: [{name: a, value: b, novel: x}], analysisTemplates: [{name: t, novel: x}]}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: old, namespace: p}
spec:
  subscriptions: {warehouse: w, novel: x}
  promotionMechanisms: {novel: x, gitRepoUpdates: [{repoURL: "https://g.example.com/r", writeBranch: b, novel: x, kustomize: {novel: x, images: [{image: a, path: b}]}}], argoCDAppUpdates: [{appName: a, novel: x, sourceUpdates: [{repoURL: x, novel: x}]}]}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {name: w, namespace: p}
spec: {novel: x, subscriptions: [{image: {repoURL: registry.example.com/a, novel: x}, novel: x}]}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: t, namespace: p}
spec: {novel: x, metrics: [{name: m, novel: x, provider: {web: {url: "https://x.example.com", novel: x, headers: [{key: a, value: b, novel: x}]}}}]}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {name: p, namespace: p}
spec: {novel: x, promotionPolicies: [{stage: s, novel: x, stageSelector: {name: s, novel: x}, autoRollback: {onVerification: [Failed], novel: [x]}}]}
`
	const app = `---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: a, namespace: argocd}
spec: {destination: {namespace: p}, source: {repoURL: "https://g.example.com/r", path: .}}
`
	objects, findings := manifest.ParseForeign([]manifest.File{{Name: "f", Content: []byte(source + app)}})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	r := Import(objects, Options{Kargo: true})
	text, named := told(r), 0
	for i := range r.Report.Objects {
		for _, l := range r.Report.Objects[i].Lines {
			if strings.Contains(l.Field, "novel") && l.Outcome == Dropped {
				named++
			}
		}
	}
	if want := strings.Count(source, "novel: "); named != want {
		t.Errorf("%d of %d unknown fields are told:\n%s", named, want, text)
	}
}

// TestAValueOfTheWrongKind is named by where it stands and what it should be, not by
// what it is.
func TestAValueOfTheWrongKind(t *testing.T) {
	object := map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "a"},
		"spec": map[string]any{"destination": map[string]any{"namespace": "n"}, "source": map[string]any{
			"repoURL": "https://git.example.com/r", "Path": "p", "helm": map[string]any{"releaseName": map[string]any{"canary": 1}},
		}},
	}
	got := told(Import([]manifest.Foreign{{File: "f", Index: 1, Object: object}}, Options{}))
	if !strings.Contains(got, "dropped spec.source: it cannot be read: helm.releaseName is no string") || strings.Contains(got, "canary") {
		t.Error(got)
	}
	object["spec"].(map[string]any)["source"].(map[string]any)["helm"] = nil
	if got := told(Import([]manifest.Foreign{{File: "f", Index: 1, Object: object}}, Options{})); !strings.Contains(got, "dropped spec.source.Path") {
		t.Errorf("names are told apart by case:\n%s", got)
	}
}

// TestNoSecretIsTold: values of Secrets are in the Secrets that are written, and
// nowhere in the report or in comments.
func TestNoSecretIsTold(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		r := read(t, path, Options{Kargo: strings.Contains(path, "kargo/")})
		report, err := json.Marshal(r.Report)
		if err != nil {
			t.Fatal(err)
		}
		text := string(report)
		for _, m := range r.Manifests {
			text += strings.Join(m.Comments, "\n")
			if m.Kind != "Secret" {
				object, err := json.Marshal(m.Object)
				if err != nil {
					t.Fatal(err)
				}
				text += string(object)
			}
		}
		if at := strings.Index(text, "canary"); at >= 0 {
			t.Errorf("%s: %s", path, text[max(0, at-100):min(len(text), at+50)])
		}
	}
}

// FuzzImport: nothing panics, no field is lost without a word, and what is written
// reads well.
func FuzzImport(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
		for _, one := range strings.Split(string(content), "\n---\n") {
			f.Add(one)
		}
	}
	f.Fuzz(func(t *testing.T, content string) {
		objects, findings := manifest.ParseForeign([]manifest.File{{Name: "f", Content: []byte(content)}})
		for _, x := range findings {
			_ = x.String()
		}
		r := Import(objects, Options{Kargo: true})
		if len(r.Report.Objects) != len(objects) {
			t.Fatalf("%d objects, %d reports", len(objects), len(r.Report.Objects))
		}
		for _, m := range r.Manifests {
			for _, c := range m.Comments {
				if strings.ContainsAny(c, "\n\r\u2028\u2029\u0085") {
					t.Fatalf("a comment of two lines: %q", c)
				}
			}
		}
		_, findings = manifest.Parse([]manifest.File{{Name: "f", Content: []byte(written(t, r))}}, "")
		for _, x := range manifest.Errors(findings) {
			if !strings.Contains(x.Message, "larger than") && !strings.Contains(x.Message, "set the name") && !strings.Contains(x.Message, "too deep") {
				t.Fatalf("%s\n%s", x, written(t, r))
			}
		}
	})
}
