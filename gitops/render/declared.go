package render

import (
	"io/fs"
	"path"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/internal/yamledit"
)

// Declares reports whether a document is the manifest of obj, or of what a kustomization makes it from.
func Declares(doc map[string]any, obj *unstructured.Unstructured) bool {
	d := unstructured.Unstructured{Object: doc}
	return doc != nil && d.GroupVersionKind().GroupKind() == obj.GroupVersionKind().GroupKind() && d.GetName() == obj.GetName() &&
		(d.GetNamespace() == "" || d.GetNamespace() == obj.GetNamespace())
}

// IsKustomization reports whether a file is one by its name.
func IsKustomization(name string) bool {
	return slices.Contains(yamledit.KustomizationFileNames(), path.Base(name))
}

// DeclaredIn returns the file that declares an object a kustomization made: the one of names (Result.Files) that a
// kustomization has as a resource and that holds its manifest, not a patch of it; else the kustomization of folder, which
// generates or renames it. It is "" when there is none.
func DeclaredIn(files fs.FS, names []string, folder string, obj *unstructured.Unstructured) string {
	own := ""
	isResource := map[string]bool{}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil || !IsKustomization(name) {
			continue
		}
		var k struct {
			Resources []string `json:"resources"`
		}
		_ = yaml.Unmarshal(content, &k) // what it cannot say, it does not say
		for _, r := range k.Resources {
			isResource[path.Join(path.Dir(name), r)] = true
		}
		if path.Dir(name) == path.Clean(folder) {
			own = name
		}
	}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil || !isResource[name] {
			continue
		}
		for _, span := range Documents(content) {
			var doc map[string]any
			if yaml.Unmarshal(content[span.Begin:span.End], &doc) == nil && Declares(doc, obj) {
				return name
			}
		}
	}
	return own
}
