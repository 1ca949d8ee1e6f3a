package install

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Outdated returns what the CRDs of the cluster lack of those that this version
// brings, in order: the name of a CRD that is missing, or CRD and path of the first
// field of it that the cluster drops. Helm installs the CRDs of a chart and does not
// upgrade them; fields they lack are lost without a word.
func Outdated(ctx context.Context, c client.Reader) ([]string, error) {
	want, err := read(crds)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, crd := range want {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(crd.GroupVersionKind())
		switch err := c.Get(ctx, client.ObjectKeyFromObject(crd), live); {
		case apierrors.IsNotFound(err):
			out = append(out, crd.GetName())
			continue
		case err != nil:
			return nil, fmt.Errorf("read CRD %q: %w", crd.GetName(), err)
		}
		if field := lacks(schemaOf(crd), schemaOf(live), ""); field != "" {
			out = append(out, crd.GetName()+field)
		}
	}
	slices.Sort(out)
	return out, nil
}

// schemaOf returns the schema of a CRD's first version: Waybill has one.
func schemaOf(crd *unstructured.Unstructured) map[string]any {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions") // another shape has no fields
	if len(versions) == 0 {
		return nil
	}
	first, _ := versions[0].(map[string]any)
	schema, _, _ := unstructured.NestedMap(first, "schema", "openAPIV3Schema")
	return schema
}

// lacks returns the path of the first property of want that have does not have.
func lacks(want, have map[string]any, path string) string {
	wanted, _ := want["properties"].(map[string]any)
	there, _ := have["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		property, isThere := there[name].(map[string]any)
		if !isThere {
			return path + "." + name
		}
		deeper, _ := wanted[name].(map[string]any)
		if field := lacks(deeper, property, path+"."+name); field != "" {
			return field
		}
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		deeper, isThere := want[inner].(map[string]any)
		if !isThere {
			continue
		}
		property, _ := have[inner].(map[string]any)
		if field := lacks(deeper, property, path+"[]"); field != "" {
			return field
		}
	}
	return ""
}
