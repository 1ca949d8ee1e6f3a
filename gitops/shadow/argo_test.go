package shadow

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestTranslate: what has no equivalent is named, field by field.
func TestTranslate(t *testing.T) {
	for _, c := range []struct {
		why, spec   string
		unsupported []string
		notes       []string
		automated   bool
	}{
		{
			why:       "what both have is taken as it is",
			spec:      `{source: {repoURL: "https://g/r", path: p, kustomize: {images: ["a=b:1"]}}, destination: {namespace: ns}, syncPolicy: {automated: {prune: true}, syncOptions: [CreateNamespace=true]}}`,
			automated: true,
		},
		{
			why:         "Jsonnet and plugins render by programs",
			spec:        `{source: {repoURL: "https://g/r", path: p, plugin: {name: cmp}, directory: {jsonnet: {libs: [x]}}}, destination: {namespace: ns}}`,
			unsupported: []string{`config management plugin "cmp": Waybill runs no programs to render; commit what it prints, or use kustomize or Helm`, "Jsonnet: commit what it renders, or use kustomize or Helm"},
		},
		{
			why:  "automated can be switched off by its own field, and a jq path is no path of ours",
			spec: `{source: {repoURL: "https://g/r", path: p}, destination: {namespace: ns}, syncPolicy: {automated: {enabled: false}}, ignoreDifferences: [{kind: Deployment, group: apps, jqPathExpressions: [".x"]}]}`,
			notes: []string{
				"ignoreDifferences[0].jqPathExpressions has no equivalent",
			},
		},
		{
			why:         "several sources, and no namespace",
			spec:        `{sources: [{repoURL: "https://g/a", path: p}, {repoURL: "https://g/b", ref: values}], destination: {}}`,
			unsupported: []string{"2 sources: an Application has one; put the parts into one repository, or make an Application of each"},
			notes:       []string{`the destination names no namespace; Waybill asks for one, "default" is taken here`},
		},
		{
			why:         "a field that nobody knows may change what is rendered",
			spec:        `{source: {repoURL: "https://g/r", path: p, kustomize: {version: v5, buildFlags: [x]}}, destination: {namespace: ns}}`,
			unsupported: []string{"source.kustomize.buildFlags"},
			notes:       []string{"source.kustomize.version has no meaning for Waybill"},
		},
	} {
		t.Run(c.why, func(t *testing.T) {
			obj := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte("{metadata: {name: a}, spec: "+c.spec+"}"), &obj.Object); err != nil {
				t.Fatal(err)
			}
			got, err := translate(obj)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.unsupported, got.unsupported); diff != "" {
				t.Errorf("unsupported (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.notes, got.notes); diff != "" {
				t.Errorf("notes (-want +got)\n%s", diff)
			}
			if got.automated != c.automated {
				t.Errorf("automated %v", got.automated)
			}
		})
	}
}
