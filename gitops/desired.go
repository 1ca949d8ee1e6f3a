package gitops

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Desired is one object of a revision, ready to be applied.
type Desired struct {
	Key     Key
	Version string
	// Namespaced is the scope of the kind as the cluster says.
	Namespaced bool
	// Object is what is applied. It is never changed.
	Object *unstructured.Unstructured
	// Body is Object as JSON: the body of the apply request. It takes a tenth of the
	// memory. Nil when nobody has encoded Object.
	Body []byte
	// Hash of Object without what is ignored: equal hashes need no request.
	Hash string
	// Options say how the object is treated.
	Options ObjectOptions
	// Ignored are fields that belong to others once the object exists.
	Ignored Ignored
}

// GVK returns group, version and kind.
func (d Desired) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: d.Key.Group, Version: d.Version, Kind: d.Key.Kind}
}

// Scope tells whether a kind is namespaced in the destination cluster.
// known is false for a kind the cluster does not serve.
type Scope func(schema.GroupVersionKind) (namespaced, known bool)

// Preparation is what Prepare needs to know beside the objects.
type Preparation struct {
	Owner Owner
	// Namespace for objects that name none.
	Namespace string
	Scope     Scope
	// SyncOptions of the Application.
	SyncOptions []string
	Ignore      IgnoreRules
}

// Prepare turns rendered objects into Desired ones: it fills in the default
// namespace, adds the owner's label and annotation, drops what only a server
// writes (status, uid, resourceVersion, managedFields, creationTimestamp),
// turns a Secret's stringData into data and leaves the rules of an aggregated
// ClusterRole to the cluster. objs are not changed; what stays as it was is shared
// with them. Hooks are among the result;
// objects that are skipped are not.
//
// A kind that a CustomResourceDefinition among objs defines counts as known.
//
// Objects that cannot be applied are returned as errors beside the good ones,
// both in the order of objs: without a name (NameMissing), of a kind the
// cluster does not serve (KindUnknown), named twice (Duplicate), or with an option
// that there is not (InvalidOption).
func Prepare(objs []*unstructured.Unstructured, in Preparation) ([]Desired, []*ObjectError) {
	var (
		out     = make([]Desired, 0, len(objs))
		errs    []*ObjectError
		seen    = make(map[Key]bool, len(objs))
		defines = Definitions(objs)
		scaled  = scaled(objs, in.Namespace)
	)
	for _, rendered := range objs {
		obj := ownMetadata(rendered)
		gvk := obj.GroupVersionKind()
		key := KeyOf(obj)
		if key.Name == "" {
			errs = append(errs, &ObjectError{key, "NameMissing", "give it a metadata.name; generateName makes a new object at every sync"})
			continue
		}
		if err := checkAnnotations(obj); err != nil {
			errs = append(errs, &ObjectError{key, ReasonInvalidOption, err.Error()})
			continue
		}
		options := OptionsOf(obj.GetAnnotations(), in.SyncOptions)
		if options.Is(HookSkip) { // of whatever kind
			continue
		}
		namespaced, known := defines[gvk.GroupKind()]
		if !known {
			namespaced, known = in.Scope(gvk)
		}
		if !known {
			errs = append(errs, &ObjectError{key, "KindUnknown", fmt.Sprintf("the cluster serves no kind %q in %q; install its CustomResourceDefinition or correct apiVersion", gvk.Kind, gvk.GroupVersion())})
			continue
		}
		switch {
		case !namespaced:
			obj.SetNamespace("")
		case obj.GetNamespace() == "":
			obj.SetNamespace(in.Namespace)
		}
		key = KeyOf(obj)
		if seen[key] {
			errs = append(errs, &ObjectError{key, "Duplicate", "it is rendered twice; keep one of the manifests"})
			continue
		}
		seen[key] = true
		dropServerFields(obj)
		if err := encodeStringData(obj); err != nil {
			errs = append(errs, &ObjectError{key, "Invalid", err.Error()})
			continue
		}
		if _, aggregated := obj.Object["aggregationRule"]; aggregated && gvk.Kind == "ClusterRole" {
			delete(obj.Object, "rules")
		}
		if err := mark(obj, in.Owner); err != nil {
			errs = append(errs, &ObjectError{key, "Invalid", err.Error()})
			continue
		}
		ignored := in.Ignore.of(key)
		if scaled[key] {
			ignored.Paths = append(slices.Clip(ignored.Paths), replicasPath())
		}
		body, hash, err := encode(obj, ignored)
		if err != nil {
			errs = append(errs, &ObjectError{key, "Invalid", err.Error()})
			continue
		}
		out = append(out, Desired{Key: key, Version: gvk.Version, Namespaced: namespaced, Object: obj, Body: body, Hash: hash, Options: options, Ignored: ignored})
	}
	return out, errs
}

// Definitions returns the scope of every kind that a CustomResourceDefinition
// among objs defines.
func Definitions(objs []*unstructured.Unstructured) map[schema.GroupKind]bool {
	var out map[schema.GroupKind]bool
	for _, obj := range objs {
		if gvk := obj.GroupVersionKind(); gvk.Kind != crdKind || gvk.Group != "apiextensions.k8s.io" {
			continue
		}
		group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(obj.Object, "spec", "scope")
		if out == nil {
			out = map[schema.GroupKind]bool{}
		}
		out[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
	}
	return out
}

const crdKind = "CustomResourceDefinition"

// ownMetadata returns an object whose own are the maps that Prepare writes to: the
// top, metadata, labels, annotations. The rest, nearly all of it, is rendered's.
func ownMetadata(rendered *unstructured.Unstructured) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: maps.Clone(rendered.Object)}
	meta, ok := obj.Object["metadata"].(map[string]any)
	if !ok {
		return obj
	}
	meta = maps.Clone(meta)
	obj.Object["metadata"] = meta
	for _, field := range []string{"labels", "annotations"} {
		if m, ok := meta[field].(map[string]any); ok {
			meta[field] = maps.Clone(m)
		}
	}
	return obj
}

func dropServerFields(obj *unstructured.Unstructured) {
	delete(obj.Object, "status")
	meta, ok := obj.Object["metadata"].(map[string]any)
	if !ok {
		return
	}
	for _, field := range []string{"uid", "resourceVersion", "generation", "managedFields", "creationTimestamp", "deletionTimestamp", "selfLink"} {
		delete(meta, field)
	}
}

// encodeStringData moves stringData into data: stringData is write-only and
// would look like drift for ever.
func encodeStringData(obj *unstructured.Unstructured) error {
	if gvk := obj.GroupVersionKind(); gvk.Group != "" || gvk.Kind != "Secret" {
		return nil
	}
	raw, ok := obj.Object["stringData"]
	if !ok {
		return nil
	}
	delete(obj.Object, "stringData")
	if raw == nil {
		return nil
	}
	plain, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf("stringData is not a map of strings")
	}
	given, _ := obj.Object["data"].(map[string]any)
	data := make(map[string]any, len(given)+len(plain)) // not given itself: it is shared
	maps.Copy(data, given)
	obj.Object["data"] = data
	for k, v := range plain {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("stringData %q is not a string; put it in quotes", k)
		}
		data[k] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	return nil
}

// mark adds the ownership label and annotation. A map with a value that is no
// string is an error here instead of being dropped silently.
func mark(obj *unstructured.Unstructured, owner Owner) error {
	for field, kv := range map[string][2]string{
		"labels":      {v1alpha1.LabelManagedBy, owner.Label()},
		"annotations": {v1alpha1.AnnotationOwner, owner.Annotation()},
	} {
		meta, ok := obj.Object["metadata"].(map[string]any)
		if !ok {
			return fmt.Errorf("metadata is not a map")
		}
		m, _ := meta[field].(map[string]any)
		if m == nil {
			if meta[field] != nil {
				return fmt.Errorf("metadata.%s is not a map", field)
			}
			m = make(map[string]any, 1)
			meta[field] = m
		}
		var wrong []string
		for k, v := range m {
			if _, isString := v.(string); !isString {
				wrong = append(wrong, k)
			}
		}
		if len(wrong) > 0 {
			slices.Sort(wrong)
			return fmt.Errorf("metadata.%s %q is not a string; put it in quotes", field, wrong[0])
		}
		m[kv[0]] = kv[1]
	}
	return nil
}

// encode returns obj as JSON (encoding/json sorts the keys of maps), and 32 hex
// digits of the SHA-256 of that JSON without what is ignored.
func encode(obj *unstructured.Unstructured, ignored Ignored) (body []byte, hash string, err error) {
	if body, err = json.Marshal(obj.Object); err != nil {
		return nil, "", fmt.Errorf("encode: %w", err)
	}
	hashed := body
	if len(ignored.Paths) > 0 {
		if hashed, err = json.Marshal(ignored.without(obj).Object); err != nil {
			return nil, "", fmt.Errorf("encode: %w", err)
		}
	}
	sum := sha256.Sum256(hashed)
	return body, hex.EncodeToString(sum[:16]), nil
}

// Compact returns d without Object, to be kept; Whole is the way back.
func (d Desired) Compact() Desired {
	if d.Body != nil {
		d.Object = nil
	}
	return d
}

// Whole returns d with Object.
func (d Desired) Whole() (Desired, error) {
	if d.Object != nil {
		return d, nil
	}
	d.Object = &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(d.Body, &d.Object.Object); err != nil {
		return d, fmt.Errorf("decode %s: %w", d.Key, err)
	}
	return d, nil
}
