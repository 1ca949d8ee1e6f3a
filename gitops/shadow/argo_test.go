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
			unsupported: []string{"spec.source.directory.jsonnet: Jsonnet: commit what it renders, or use kustomize or Helm", "spec.source.plugin: config management plugin \"cmp\": Waybill runs no programs to render; commit what it prints, or use kustomize or Helm"},
		},
		{
			why:  "automated can be switched off by its own field, and a jq path is no path of ours",
			spec: `{source: {repoURL: "https://g/r", path: p}, destination: {namespace: ns}, syncPolicy: {automated: {enabled: false}}, ignoreDifferences: [{kind: Deployment, group: apps, jqPathExpressions: [".x | keys"]}]}`,
			unsupported: []string{
				"spec.ignoreDifferences[0].jqPathExpressions[0]: this jq expression is no path; name the field in paths, such as spec.template.spec.containers[name=web].image",
			},
		},
		{
			why:         "several sources, and no namespace",
			spec:        `{sources: [{repoURL: "https://g/a", path: p}, {repoURL: "https://g/b", path: q}], destination: {}}`,
			unsupported: []string{"2 sources: an Application has one; waybill import makes an Application of each"},
			notes: []string{
				`spec.destination.namespace: it names no namespace; Waybill asks for one: "default" is taken`,
				"spec.sources[0]: several sources: this one is an Application of its own, -1; what two of them render belongs to the first that applies it",
				"spec.sources[1]: several sources: this one is an Application of its own, -2; what two of them render belongs to the first that applies it",
			},
		},
		{
			why:         "a field that nobody knows may change what is rendered",
			spec:        `{source: {repoURL: "https://g/r", path: p, kustomize: {version: v5, buildFlags: [x]}}, destination: {namespace: ns}}`,
			unsupported: []string{"spec.source.kustomize.buildFlags: there is no such option of a source here"},
			notes:       []string{"spec.source.kustomize.version: there is one version of kustomize"},
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
