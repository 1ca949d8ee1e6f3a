// Package manifests is how the steps that render write what comes out.
package manifests

import (
	"bytes"
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
	result := step.Result{Message: fmt.Sprintf("rendered %d objects", len(objects))}
	if IsFile(outPath) {
		whole, err := encode(objects)
		if err != nil {
			return step.Result{}, err
		}
		return result, in.WriteFile(outPath, whole)
	}
	var edits []git.Edit
	for _, o := range objects {
		raw, err := encode([]*unstructured.Unstructured{o})
		if err != nil {
			return step.Result{}, err
		}
		edits = append(edits, git.SetFile(path.Join(rel, fileName(format, o)), raw))
	}
	return result, step.FileError(out.Edit(edits...))
}

// WriteFiles puts rendered objects into the folder outPath of the workspace; files
// names the file of each, and those of the same file go there together.
func WriteFiles(in step.Input, outPath string, files []string, objects []*unstructured.Unstructured) (step.Result, error) {
	out, rel, err := in.Workspace.Locate(outPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	of := map[string][]*unstructured.Unstructured{}
	for i, o := range objects {
		of[files[i]] = append(of[files[i]], o)
	}
	var edits []git.Edit
	for name, together := range of {
		raw, err := encode(together)
		if err != nil {
			return step.Result{}, err
		}
		edits = append(edits, git.SetFile(path.Join(rel, name), raw))
	}
	return step.Result{Message: fmt.Sprintf("rendered %d objects into %d files", len(objects), len(of))}, step.FileError(out.Edit(edits...))
}

// IsFile reports whether outPath names one file, and not a folder.
func IsFile(outPath string) bool { return path.Ext(outPath) == ".yaml" || path.Ext(outPath) == ".yml" }

// encode writes objects as documents of one file.
func encode(objects []*unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	for i, o := range objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, step.Terminal("RenderFailed", fmt.Errorf("write %s %q: %w", o.GetKind(), o.GetName(), err))
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(raw)
	}
	return out.Bytes(), nil
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
