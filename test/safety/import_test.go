package safety

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/internal/importer"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// TestImportsAreAccepted: whatever an import writes of manifests of Argo CD and
// Kargo, the API server takes, as kubectl apply --dry-run=server says.
func TestImportsAreAccepted(t *testing.T) {
	paths, err := filepath.Glob("../../internal/importer/testdata/*/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	c, err := client.New(shared.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		objects, findings := manifest.ParseForeign([]manifest.File{{Name: path, Content: content}})
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		result := importer.Import(objects, importer.Options{Kargo: strings.Contains(path, "/kargo/"), Project: "from-argo", SystemNamespace: systemNamespace})
		for _, m := range result.Manifests {
			u := &unstructured.Unstructured{Object: m.Object}
			options := []client.CreateOption{client.DryRunAll}
			if m.Kind == "Namespace" {
				options = nil // what is in it is looked at with it there
			}
			if err := c.Create(t.Context(), u, options...); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Errorf("%s: %s %s/%s: %v", filepath.Base(path), m.Kind, m.Namespace, m.Name, err)
			}
			kinds[m.Kind]++
		}
	}
	for _, kind := range []string{"Project", "Secret", "Cluster", "Warehouse", "PromotionTask", "Stage", "Application"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was written", kind)
		}
	}
}
