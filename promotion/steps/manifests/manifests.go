// Package manifests is how the steps that render write what comes out.
package manifests

import (
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Write puts rendered objects into the workspace: into one file when the name of
// outPath ends in .yaml or .yml, else into a folder with a file for each object,
// whose name is made as format says: kustomize, or kind-name.
func Write(in step.Input, outPath, format string, objects []*unstructured.Unstructured) (step.Result, error) {
	out, rel, err := in.Workspace.Locate(outPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	var edits []git.Edit
	var whole strings.Builder
	isFile := path.Ext(outPath) == ".yaml" || path.Ext(outPath) == ".yml"
	for i, o := range objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			return step.Result{}, step.Terminal("RenderFailed", fmt.Errorf("write %s %q: %w", o.GetKind(), o.GetName(), err))
		}
		if !isFile {
			edits = append(edits, git.SetFile(path.Join(rel, fileName(format, o)), raw))
			continue
		}
		if i > 0 {
			whole.WriteString("---\n")
		}
		whole.Write(raw)
	}
	message := fmt.Sprintf("rendered %d objects", len(objects))
	if isFile {
		return step.Result{Message: message}, in.WriteFile(outPath, []byte(whole.String()))
	}
	return step.Result{Message: message}, step.FileError(out.Edit(edits...))
}

// fileName is the name of an object's file: with its namespace when it has one.
func fileName(format string, o *unstructured.Unstructured) string {
	parts := []string{o.GetNamespace(), o.GetKind(), o.GetName()}
	separator := "-"
	if format == "kustomize" {
		gvk := o.GroupVersionKind()
		parts, separator = []string{o.GetNamespace(), gvk.Group, gvk.Version, gvk.Kind, o.GetName()}, "_"
	}
	var named []string
	for _, p := range parts {
		if p != "" {
			named = append(named, strings.ReplaceAll(strings.ToLower(p), "/", "-"))
		}
	}
	return strings.Join(named, separator) + ".yaml"
}
