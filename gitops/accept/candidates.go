package accept

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/sops"
	"github.com/waybill-dev/waybill/internal/yamledit"
)

// fileEdit is the new content of one file.
type fileEdit struct {
	file    string
	content []byte
}

// target is what is to change.
type target struct {
	field      Field
	path       gitops.Path
	base, live *unstructured.Unstructured
}

// candidates returns the edits that may do it, the best first: in the file that
// declares the object, then in the kustomization, then as a patch. Only files
// under the Application's path are touched.
func candidates(app *v1alpha1.Application, at revision, t target) [][]fileEdit {
	var out [][]fileEdit
	root := path.Clean(app.Spec.Source.Path)
	for _, name := range at.result.Files {
		if !under(name, root) || render.IsKustomization(name) {
			continue
		}
		content, err := fs.ReadFile(at.files, name)
		if err != nil || sops.IsEncrypted(name, content) {
			continue
		}
		if edited, ok := inManifest(content, t); ok {
			out = append(out, []fileEdit{{name, edited}})
		}
	}
	for _, name := range yamledit.KustomizationFileNames() {
		file := path.Join(root, name)
		content, err := fs.ReadFile(at.files, file)
		if err != nil {
			continue
		}
		if edited, ok := inReplicas(content, t); ok {
			out = append(out, []fileEdit{{file, edited}})
		}
		if edits, ok := asPatch(at.files, file, content, t); ok {
			out = append(out, edits)
		}
	}
	return out
}

func under(name, folder string) bool { return folder == "." || strings.HasPrefix(name, folder+"/") }

// inManifest edits the document that declares the object.
func inManifest(content []byte, t target) ([]byte, bool) {
	for _, span := range render.Documents(content) {
		text := content[span.Begin:span.End]
		var doc map[string]any
		if yaml.Unmarshal(text, &doc) != nil || !render.Declares(doc, t.base) {
			continue
		}
		list, err := gitops.Assignments(t.path, doc, t.live.Object)
		if err != nil || len(list) == 0 {
			return nil, false
		}
		edited := text
		for _, a := range list {
			if a.Remove {
				edited, err = yamledit.Delete(edited, a.At)
			} else {
				edited, err = yamledit.Set(edited, a.At, a.Value)
			}
			if err != nil {
				return nil, false
			}
		}
		return bytes.Join([][]byte{content[:span.Begin], edited, content[span.End:]}, nil), true
	}
	return nil, false
}

// inReplicas edits the number of replicas that a kustomization sets.
func inReplicas(content []byte, t target) ([]byte, bool) {
	var k struct {
		Replicas []struct {
			Name string `json:"name"`
		} `json:"replicas"`
	}
	count, found, err := unstructured.NestedInt64(t.live.Object, "spec", "replicas")
	if t.field.Path != "spec.replicas" || err != nil || !found || yaml.Unmarshal(content, &k) != nil {
		return nil, false
	}
	for i, r := range k.Replicas {
		if r.Name == t.base.GetName() || strings.Contains(t.base.GetName(), r.Name) {
			edited, err := yamledit.Set(content, yamledit.Path{"replicas", strconv.Itoa(i), "count"}, count)
			return edited, err == nil
		}
	}
	return nil, false
}

// operation is one of JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// asPatch adds a patch file to the kustomization.
func asPatch(files fs.FS, file string, content []byte, t target) ([]fileEdit, bool) {
	var k struct {
		Patches []any `json:"patches"`
	}
	if yaml.Unmarshal(content, &k) != nil {
		return nil, false
	}
	operations, ok := patchOf(t)
	if !ok {
		return nil, false
	}
	text, err := yaml.Marshal(operations)
	if err != nil {
		return nil, false
	}
	name, ok := freeName(files, path.Dir(file), fmt.Sprintf("accepted-%s-%s", strings.ToLower(t.base.GetKind()), strings.ReplaceAll(t.base.GetName(), ":", "-")))
	if !ok {
		return nil, false
	}
	at := yamledit.Path{"patches", strconv.Itoa(len(k.Patches))}
	gvk := t.base.GroupVersionKind()
	edited := content
	for _, set := range []struct {
		at    []string
		value string
	}{
		{[]string{"path"}, name},
		{[]string{"target", "group"}, gvk.Group},
		{[]string{"target", "version"}, gvk.Version},
		{[]string{"target", "kind"}, gvk.Kind},
		{[]string{"target", "name"}, t.base.GetName()},
	} {
		if set.value == "" {
			continue
		}
		if edited, err = yamledit.Set(edited, append(append(yamledit.Path(nil), at...), set.at...), set.value); err != nil {
			return nil, false
		}
	}
	header := "# Changed in the cluster, and accepted: " + strings.ToValidUTF8(t.field.Path, "?") + "\n"
	return []fileEdit{{path.Join(path.Dir(file), name), append([]byte(header), text...)}, {file, edited}}, true
}

// patchOf returns the operations that make base as it lives. Parents that base
// has not are made whole.
func patchOf(t target) ([]operation, bool) {
	list, err := gitops.Assignments(t.path, t.base.Object, t.live.Object)
	if err != nil {
		return nil, false
	}
	made := t.base.DeepCopy()
	var out []operation
	for _, a := range list {
		if a.Remove {
			out = append(out, operation{Op: "remove", Path: pointer(a.At)})
			continue
		}
		missing := firstMissing(made.Object, a.At)
		if gitops.Assign(made.Object, []gitops.Assignment{a}) != nil {
			return nil, false
		}
		// add replaces the value of a map, and would insert into a list.
		op := "add"
		if missing == len(a.At) {
			op = "replace"
		}
		place := a.At[:min(missing+1, len(a.At))]
		out = append(out, operation{Op: op, Path: pointer(place), Value: runtime.DeepCopyJSONValue(valueAt(made.Object, place))})
	}
	return out, true
}

// firstMissing returns how many steps of at exist in root.
func firstMissing(root any, at []string) int {
	for i := range at {
		if _, there := stepInto(root, at[i]); !there {
			return i
		}
		root, _ = stepInto(root, at[i])
	}
	return len(at)
}

func valueAt(root any, at []string) any {
	for _, s := range at {
		root, _ = stepInto(root, s)
	}
	return root
}

func stepInto(node any, step string) (any, bool) {
	switch n := node.(type) {
	case map[string]any:
		v, there := n[step]
		return v, there
	case []any:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n) {
			return n[i], true
		}
	}
	return nil, false
}

func pointer(at []string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, s := range at {
		b.WriteString("/" + escape.Replace(s))
	}
	return b.String()
}

// freeName returns a file name of the folder that is not taken.
func freeName(files fs.FS, folder, stem string) (string, bool) {
	for n := 1; n < 100; n++ {
		name := stem + ".yaml"
		if n > 1 {
			name = fmt.Sprintf("%s-%d.yaml", stem, n)
		}
		if _, err := fs.Stat(files, path.Join(folder, name)); err != nil {
			return name, true
		}
	}
	return "", false
}
