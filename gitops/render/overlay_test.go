package render

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render/helm"
)

const workload = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "registry.example.com/web:1"}]}}
`

func TestInlineKustomizeOptions(t *testing.T) {
	for _, root := range []string{".", "stages/test"} {
		at := func(name string) string { return strings.TrimPrefix(root+"/"+name, "./") }
		files := repo(map[string]string{
			at("kustomization.yaml"):       "resources: [web.yaml]\n",
			at("web.yaml"):                 workload,
			at("patch.yaml"):               "- op: add\n  path: /metadata/annotations\n  value: {patched: file}\n",
			at("extra/kustomization.yaml"): "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]\n",
			at("extra/more.yaml"):          configMap("more"),
		})
		result, err := Run(context.Background(), Source{FS: files, Path: root, Kustomize: &v1alpha1.KustomizeOptions{
			NamePrefix: "pre-", NameSuffix: "-suf", Namespace: "shop", CommonAnnotations: map[string]string{"team": "shop"},
			Images:       []string{"registry.example.com/web=mirror.example.com:5000/web:2"},
			Replicas:     []v1alpha1.KustomizeReplicas{{Name: "web", Count: 4}},
			CommonLabels: map[string]string{"stage": "test"}, LabelWithoutSelector: true,
			Patches: []v1alpha1.KustomizePatch{
				{Path: "patch.yaml", Target: &v1alpha1.KustomizeTarget{Kind: "Deployment"}},
				{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {paused: true}\n"},
			},
			Components: []string{"extra", "missing"}, IgnoreMissingComponents: true,
		}}, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", root, err)
		}
		if diff := cmp.Diff([]string{"ConfigMap/pre-more-suf", "Deployment/pre-web-suf"}, slices.Sorted(slices.Values(names(t, result)))); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", root, diff)
		}
		var d map[string]any
		for _, o := range result.Objects {
			if o.GetKind() == "Deployment" {
				d = o.Object
			}
		}
		spec := d["spec"].(map[string]any)
		image := spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"]
		selector, _, _ := unstructured.NestedString(d, "spec", "selector", "matchLabels", "stage")
		meta := (&unstructured.Unstructured{Object: d})
		got := fmt.Sprint(meta.GetNamespace(), image, spec["replicas"], spec["paused"], meta.GetLabels()["stage"], selector, meta.GetAnnotations()["patched"], meta.GetAnnotations()["team"])
		if want := "shopmirror.example.com:5000/web:24truetestfileshop"; strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("%s: %s, want %s", root, got, want)
		}
		if result.Outside || !slices.Contains(result.Files, at("web.yaml")) || !slices.Contains(result.Files, at("patch.yaml")) {
			t.Errorf("%s: files %v, outside %t", root, result.Files, result.Outside)
		}
	}
}

// The options are edits of the kustomization, as kustomize edit makes them: they take the place of what it says, and what
// they add is renamed with the rest.
func TestInlineKustomizeOptionsEdit(t *testing.T) {
	files := repo(map[string]string{
		"kustomization.yml": "resources: [web.yaml]\nnamePrefix: base-\nnameSuffix: -old\nnamespace: old\n" +
			"images: [{name: registry.example.com/web, newName: mirror.example.com/web, newTag: '2'}]\nreplicas: [{name: web, count: 2}]\ncomponents: [extra]\n",
		"web.yaml":                 workload,
		"extra/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]\n",
		"extra/more.yaml":          configMap("more"),
		"late/kustomization.yaml":  "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [late.yaml]\n",
		"late/late.yaml":           configMap("late"),
	})
	for image, want := range map[string]string{
		"registry.example.com/web=*:3":                               "mirror.example.com/web:3",
		"registry.example.com/web:4":                                 "registry.example.com/web:4",
		"registry.example.com/web=other.example.com/web:*":           "other.example.com/web:2",
		"registry.example.com/web@sha256:" + strings.Repeat("0", 64): "registry.example.com/web@sha256:" + strings.Repeat("0", 64),
	} {
		result, err := Run(context.Background(), Source{FS: files, Kustomize: &v1alpha1.KustomizeOptions{
			NamePrefix: "new-", Namespace: "new", Images: []string{image}, Replicas: []v1alpha1.KustomizeReplicas{{Name: "web", Count: 7}},
			Components: []string{"extra", "late"},
		}}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"ConfigMap/new-late-old", "ConfigMap/new-more-old", "Deployment/new-web-old"}, slices.Sorted(slices.Values(names(t, result)))); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		for _, o := range result.Objects {
			if o.GetNamespace() != "new" {
				t.Errorf("%s is in %q", o.GetName(), o.GetNamespace())
			}
			if o.GetKind() == "Deployment" {
				if text := fmt.Sprint(o.Object); !strings.Contains(text, "image:"+want+" ") || !strings.Contains(text, "replicas:7") {
					t.Errorf("%s: %s", image, text)
				}
			}
		}
		if !slices.Contains(result.Files, "kustomization.yml") || result.Outside {
			t.Errorf("files %v, outside %t", result.Files, result.Outside)
		}
	}
}

// The API server takes no label "kustomize-(devel)", which is what kustomize as a library says of itself.
func TestManagedByLabelIsOne(t *testing.T) {
	result, err := Run(context.Background(), Source{FS: repo(map[string]string{
		"kustomization.yaml": "resources: [web.yaml]\nbuildMetadata: [managedByLabel]\n", "web.yaml": workload,
	})}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if by := result.Objects[0].GetLabels()["app.kubernetes.io/managed-by"]; !strings.HasPrefix(by, "kustomize") || strings.Contains(by, "(") {
		t.Errorf("label %q", by)
	}
}

func TestInlineKustomizeOptionsStayInside(t *testing.T) {
	files := repo(map[string]string{"app/kustomization.yaml": "resources: [web.yaml]\n", "app/web.yaml": workload})
	for name, o := range map[string]*v1alpha1.KustomizeOptions{
		"patch outside":     {Patches: []v1alpha1.KustomizePatch{{Path: "../../etc/passwd"}}},
		"absolute patch":    {Patches: []v1alpha1.KustomizePatch{{Path: "/etc/passwd"}}},
		"component outside": {Components: []string{"../../x"}},
		"remote component":  {Components: []string{"https://example.com/x"}},
		"missing component": {Components: []string{"nowhere"}},
		"patch without end": {Patches: []v1alpha1.KustomizePatch{{Patch: "a: ["}}},
	} {
		if _, err := Run(context.Background(), Source{FS: files, Path: "app", Kustomize: o}, Limits{}); err == nil {
			t.Errorf("%s is rendered", name)
		}
	}
	if _, err := Run(context.Background(), Source{FS: repo(map[string]string{"a.yaml": workload}), Kustomize: &v1alpha1.KustomizeOptions{}}, Limits{}); !errors.Is(err, ErrPathNotFound) {
		t.Errorf("without a kustomization: %v", err)
	}
}

// echo is a Charts that says what it was asked.
type echo struct{ asked *helm.Request }

func (e *echo) Render(_ context.Context, r *helm.Request, _ time.Duration) ([]helm.Manifest, error) {
	e.asked = r
	twice := "x: 1\nx: 2\n" // as charts of others have it, and as Helm lets pass
	return []helm.Manifest{{Name: "templates/a.yaml", Content: configMap("a") + "---\n" + configMap("b") + twice}}, nil
}

func TestChart(t *testing.T) {
	files := repo(map[string]string{
		"charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "charts/web/templates/a.yaml": "x", "charts/web/.git": "no",
		"charts/web/.helmignore": "*.bak\n/ci/\n", "charts/web/templates/a.yaml.bak": "no", "charts/web/ci/values.yaml": "no", "charts/web/templates/.b.yaml": "no",
		"charts/web/values.yaml": "a: 1", "charts/web/prod.yaml": "a: 2", "stages/prod/values.yaml": "a: 3",
	})
	charts := &echo{}
	source := Source{FS: files, Path: "charts/web", Release: "test", Namespace: "shop-test", Charts: charts,
		Helm: &v1alpha1.HelmOptions{ValueFiles: []string{"prod.yaml", "/stages/prod/values.yaml", "../../none.yaml"}, IgnoreMissingValueFiles: true}}
	result, err := Run(context.Background(), source, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ConfigMap/a", "ConfigMap/b"}, names(t, result)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := charts.asked
	if r.ReleaseName != "test" || r.Namespace != "shop-test" || len(r.Files) != 5 || len(r.ValueFiles) != 2 || string(r.ValueFiles[1].Content) != "a: 3" {
		t.Errorf("asked %+v", r)
	}
	if !result.Outside {
		t.Error("a value file outside the chart was read, and the path's tree alone does not identify the result")
	}
	for name, change := range map[string]func(*Source){
		"value file outside":        func(s *Source) { s.Helm = &v1alpha1.HelmOptions{ValueFiles: []string{"../../../etc/passwd"}} },
		"value file that is absent": func(s *Source) { s.Helm = &v1alpha1.HelmOptions{ValueFiles: []string{"none.yaml"}} },
		"no chart there":            func(s *Source) { s.Path = "stages/prod" },
		"nobody renders charts":     func(s *Source) { s.Charts = nil },
	} {
		s := source
		change(&s)
		if _, err := Run(context.Background(), s, Limits{}); err == nil {
			t.Errorf("%s is rendered", name)
		}
	}
	// valuesObject takes the place of values.
	both := source
	both.Helm = &v1alpha1.HelmOptions{Values: "a: 1", ValuesObject: &runtime.RawExtension{Raw: []byte(`{"b":2}`)}}
	if _, err := Run(context.Background(), both, Limits{}); err != nil || charts.asked.Values != "" || string(charts.asked.ValuesObject) != `{"b":2}` {
		t.Errorf("both values: %v %+v", err, charts.asked)
	}
	// A rule that Helm does not take is said, not passed over.
	odd := source
	odd.FS = repo(map[string]string{"charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "charts/web/.helmignore": "a/**\n"})
	odd.Helm = nil
	if _, err := Run(context.Background(), odd, Limits{}); !errors.Is(err, ErrHelm) {
		t.Errorf("a rule with **: %v", err)
	}
	// A chart is found without being told.
	if _, err := Run(context.Background(), Source{FS: files, Path: "charts/web", Charts: charts}, Limits{}); err != nil {
		t.Error(err)
	}
}
