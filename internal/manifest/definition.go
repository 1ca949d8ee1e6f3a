package manifest

import (
	"maps"
	"reflect"
	"strings"
)

// Definition returns what a person would write of an object as the API shows it:
// without status, without metadata that only servers and tools set, and without the
// empty objects that Go writes for optional fields that are not there. Those would
// get defaults when they are applied. o is not changed.
func Definition(o map[string]any) map[string]any {
	from, _ := o["metadata"].(map[string]any)
	metadata := map[string]any{}
	for _, key := range []string{"name", "namespace", "labels", "annotations"} {
		if value, isThere := from[key]; isThere {
			metadata[key] = value
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		annotations = maps.Clone(annotations)
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		delete(annotations, "waybill.dev/requested-at")
		metadata["annotations"] = annotations
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	out := maps.Clone(o)
	out["metadata"] = metadata
	delete(out, "status")
	apiVersion, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	if shape, isKnown := shapeOf(apiVersion, kind); isKnown {
		if pruned, ok := withoutEmpty(out, shape.typ).(map[string]any); ok {
			return pruned
		}
	}
	return out
}

// withoutEmpty returns value, of type t, without the optional structs in it that hold
// nothing. A pointer to a struct that holds nothing stays: there it says something.
func withoutEmpty(value any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		switch t.Kind() {
		case reflect.Struct:
			return structWithoutEmpty(v, t)
		case reflect.Map:
			out := make(map[string]any, len(v))
			for key, item := range v {
				out[key] = withoutEmpty(item, t.Elem())
			}
			return out
		}
	case []any:
		if t.Kind() == reflect.Slice {
			out := make([]any, len(v))
			for i, item := range v {
				out[i] = withoutEmpty(item, t.Elem())
			}
			return out
		}
	}
	return value
}

func structWithoutEmpty(v map[string]any, t reflect.Type) map[string]any {
	out := maps.Clone(v)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && (name == "" || strings.Contains(options, "inline")) && f.Type.Kind() == reflect.Struct {
			out = structWithoutEmpty(out, f.Type)
			continue
		}
		item, isThere := out[name]
		if !isThere {
			continue
		}
		out[name] = withoutEmpty(item, f.Type)
		inner, isObject := out[name].(map[string]any)
		if isObject && len(inner) == 0 && f.Type.Kind() == reflect.Struct && strings.Contains(options, "omitempty") {
			delete(out, name)
		}
	}
	return out
}
