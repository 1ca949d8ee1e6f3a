package gitops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Fingerprint returns the hash of our own Apply entry of an object's
// managedFields, or "" when there is none.
//
// The API server takes a field out of our entry as soon as anybody else changes
// or removes it, so the hash moves exactly when a field we own was touched. The
// time of the entry is part of it: an apply by somebody else under our name
// moves only that.
func Fingerprint(managed []metav1.ManagedFieldsEntry) string {
	e := ownEntry(managed)
	if e == nil {
		return ""
	}
	h := sha256.New()
	h.Write([]byte(e.APIVersion))
	h.Write([]byte{0})
	if e.Time != nil {
		h.Write([]byte(strconv.FormatInt(e.Time.Unix(), 10)))
	}
	h.Write([]byte{0})
	if e.FieldsV1 != nil {
		h.Write(e.FieldsV1.GetRawBytes())
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// contentPrefix tells the hash of a content from one of ownership.
const contentPrefix = "content:"

// IsOfContent says that a fingerprint moves with every field, because nobody knows
// who owns which.
func IsOfContent(fingerprint string) bool { return strings.HasPrefix(fingerprint, contentPrefix) }

// FingerprintOf returns the Fingerprint of obj. What an API server sends without any
// managedFields, as some aggregated ones do, has the hash of its content instead:
// there it moves with every field, also one that Git says nothing of.
func FingerprintOf(obj *unstructured.Unstructured) string {
	if managed := obj.GetManagedFields(); len(managed) > 0 {
		return Fingerprint(managed)
	}
	content := maps.Clone(obj.Object)
	delete(content, "status")
	content["metadata"] = map[string]any{"labels": obj.GetLabels(), "annotations": obj.GetAnnotations()}
	text, err := json.Marshal(content)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return contentPrefix + hex.EncodeToString(sum[:12])
}

func ownEntry(managed []metav1.ManagedFieldsEntry) *metav1.ManagedFieldsEntry {
	if i := slices.IndexFunc(managed, isOwn); i >= 0 {
		return &managed[i]
	}
	return nil
}

func isOwn(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// HumanTools says which field managers are people at a keyboard.
type HumanTools struct {
	// Prefixes of manager names.
	Prefixes []string
}

// DefaultHumanTools is kubectl with all its manager names (kubectl,
// kubectl-edit, kubectl-set, kubectl-client-side-apply, ...).
func DefaultHumanTools() HumanTools { return HumanTools{Prefixes: []string{"kubectl"}} }

// IsHuman says that a field manager is a person at a keyboard.
func (t HumanTools) IsHuman(manager string) bool {
	return slices.ContainsFunc(t.Prefixes, func(p string) bool { return strings.HasPrefix(manager, p) })
}

// Addition is what one human tool added to an object beside what we applied.
type Addition struct {
	Manager string
	// Fields are the paths added, as shown to people, sorted.
	Fields []string
}

// restartedAt is what kubectl rollout restart writes: a wish to restart, not a
// change of what runs.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// Additions returns the fields that human tools added to an object and that
// nobody applied: server-side apply co-owns them and our PATCH does not remove
// them. Entries of a subresource (scale, status) are not looked at, fields we
// own too are no additions, and kubectl.kubernetes.io/restartedAt is allowed.
func Additions(managed []metav1.ManagedFieldsEntry, tools HumanTools) []Addition {
	var out []Addition
	var ours *fieldpath.Set
	for i := range managed {
		e := &managed[i]
		if !isHumanUpdate(e, tools) {
			continue
		}
		if ours == nil {
			ours = fieldSet(ownEntry(managed))
		}
		added := addedBy(e, ours, Ignored{})
		if added.Empty() {
			continue
		}
		a := Addition{Manager: e.Manager}
		for path := range added.Leaves().All() {
			a.Fields = append(a.Fields, PathString(path))
		}
		slices.Sort(a.Fields)
		out = append(out, a)
	}
	return out
}

func isHumanUpdate(e *metav1.ManagedFieldsEntry, tools HumanTools) bool {
	return e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == "" && tools.IsHuman(e.Manager)
}

// addedBy returns the fields of e that are neither ours nor allowed nor ignored.
func addedBy(e *metav1.ManagedFieldsEntry, ours *fieldpath.Set, ignored Ignored) *fieldpath.Set {
	if slices.Contains(ignored.Managers, e.Manager) {
		return fieldpath.NewSet()
	}
	all := fieldSet(e)
	allowed := fieldpath.NewSet()
	for path := range all.All() {
		if !isAllowed(path) && !ignored.covers(nil, path) {
			continue
		}
		// The maps that hold an allowed field are allowed as well: without
		// them it could not exist.
		for n := 1; n <= len(path); n++ {
			if all.Has(path[:n]) {
				allowed.Insert(slices.Clone(path[:n]))
			}
		}
	}
	return all.Difference(allowed).Difference(ours)
}

func isAllowed(path fieldpath.Path) bool {
	last := path[len(path)-1]
	return last.FieldName != nil && *last.FieldName == restartedAt
}

// PatchOperation is one operation of a JSON patch (RFC 6902).
type PatchOperation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// TakeAdditions returns the JSON patch that moves the additions of human tools
// into our own Apply entry of managed, the managedFields of an object. The next
// apply then removes those fields, because only we own them and do not ask for
// them. The patch tests the entries it changes and nothing else, so that a
// controller that writes the status meanwhile is not in its way; it fails when
// one of them is not as it was. It is nil when there is nothing to move or no
// entry of ours to move it to.
func TakeAdditions(managed []metav1.ManagedFieldsEntry, tools HumanTools, ignored Ignored) ([]PatchOperation, error) {
	own := slices.IndexFunc(managed, isOwn)
	if own < 0 {
		return nil, nil
	}
	ours := fieldSet(&managed[own])
	grown := ours
	var tests, replaces, removes []PatchOperation
	for i := range managed {
		e := &managed[i]
		if !isHumanUpdate(e, tools) {
			continue
		}
		added := addedBy(e, ours, ignored)
		if added.Empty() {
			continue
		}
		grown = grown.Union(added)
		tests = append(tests, testEntry(i, e)...)
		rest := fieldSet(e).Difference(added)
		if rest.Empty() {
			// In front: the highest index goes first, so that the others stay
			// what they were.
			removes = append([]PatchOperation{{Op: "remove", Path: entryPath(i)}}, removes...)
			continue
		}
		text, err := rest.ToJSON()
		if err != nil {
			return nil, fmt.Errorf("encode managedFields: %w", err)
		}
		replaces = append(replaces, PatchOperation{"replace", entryPath(i) + "/fieldsV1", text})
	}
	if len(tests) == 0 {
		return nil, nil
	}
	text, err := grown.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("encode managedFields: %w", err)
	}
	tests = append(tests, testEntry(own, &managed[own])...)
	replaces = append(replaces, PatchOperation{"replace", entryPath(own) + "/fieldsV1", text})
	return slices.Concat(tests, replaces, removes), nil
}

func entryPath(i int) string { return "/metadata/managedFields/" + strconv.Itoa(i) }

// testEntry tests that entry i is still e.
func testEntry(i int, e *metav1.ManagedFieldsEntry) []PatchOperation {
	manager, err := json.Marshal(e.Manager)
	if err != nil {
		manager = []byte(`""`) // never true: the patch fails instead of missing a test
	}
	out := []PatchOperation{{"test", entryPath(i) + "/manager", manager}}
	if e.FieldsV1 != nil {
		out = append(out, PatchOperation{"test", entryPath(i) + "/fieldsV1", e.FieldsV1.GetRawBytes()})
	}
	return out
}

// fieldSet decodes the fields of e; an entry that cannot be decoded counts as
// empty, as the API server itself does with it.
func fieldSet(e *metav1.ManagedFieldsEntry) *fieldpath.Set {
	set := fieldpath.NewSet()
	if e == nil || e.FieldsV1 == nil {
		return set
	}
	if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
		return fieldpath.NewSet()
	}
	return set
}

// PathString returns the form of a field path shown to people:
// spec.template.spec.containers[name=web].image, metadata.labels["a/b"].
func PathString(path fieldpath.Path) string {
	var b strings.Builder
	for _, e := range path {
		switch {
		case e.FieldName != nil:
			if isPlainField(*e.FieldName) {
				if b.Len() > 0 {
					b.WriteByte('.')
				}
				b.WriteString(*e.FieldName)
			} else {
				fmt.Fprintf(&b, "[%q]", *e.FieldName)
			}
		case e.Key != nil:
			b.WriteByte('[')
			for i, f := range *e.Key {
				if i > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "%s=%v", f.Name, f.Value.Unstructured())
			}
			b.WriteByte(']')
		case e.Value != nil:
			fmt.Fprintf(&b, "[=%v]", (*e.Value).Unstructured())
		case e.Index != nil:
			fmt.Fprintf(&b, "[%d]", *e.Index)
		}
	}
	return b.String()
}

func isPlainField(name string) bool {
	for _, r := range name {
		isPlain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '$'
		if !isPlain {
			return false
		}
	}
	return name != ""
}

// lookup finds the value at path in a decoded JSON tree.
func lookup(root any, path fieldpath.Path) (any, bool) {
	at := root
	for _, e := range path {
		switch {
		case e.FieldName != nil:
			m, ok := at.(map[string]any)
			if !ok {
				return nil, false
			}
			if at, ok = m[*e.FieldName]; !ok {
				return nil, false
			}
		case e.Key != nil:
			list, ok := at.([]any)
			if !ok {
				return nil, false
			}
			i := slices.IndexFunc(list, func(item any) bool {
				m, isMap := item.(map[string]any)
				if !isMap {
					return false
				}
				for _, f := range *e.Key {
					if !sameJSON(m[f.Name], f.Value.Unstructured()) {
						return false
					}
				}
				return true
			})
			if i < 0 {
				return nil, false
			}
			at = list[i]
		case e.Value != nil:
			list, ok := at.([]any)
			if !ok {
				return nil, false
			}
			i := slices.IndexFunc(list, func(item any) bool { return sameJSON(item, (*e.Value).Unstructured()) })
			if i < 0 {
				return nil, false
			}
			at = list[i]
		case e.Index != nil:
			list, ok := at.([]any)
			if !ok || *e.Index < 0 || *e.Index >= len(list) {
				return nil, false
			}
			at = list[*e.Index]
		}
	}
	return at, true
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// showValue returns v as one short line of at most max bytes.
func showValue(v any, maxBytes int) string {
	text, isString := v.(string)
	if !isString {
		raw, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		text = string(raw)
	}
	if len(text) <= maxBytes {
		return text
	}
	const dots = "..."
	return strings.ToValidUTF8(text[:maxBytes-len(dots)], "") + dots
}

// NeedsTakeOver reports whether a human tool added a field that d does
// not have: only then our PATCH alone does not remove it. A field that both
// name is simply set by it.
func NeedsTakeOver(d Desired, managed []metav1.ManagedFieldsEntry, tools HumanTools) bool {
	ours := fieldSet(ownEntry(managed))
	for i := range managed {
		if !isHumanUpdate(&managed[i], tools) {
			continue
		}
		unknown := false
		// Not with a loop over All: that one cannot be left early.
		addedBy(&managed[i], ours, d.Ignored).Leaves().Iterate(func(path fieldpath.Path) {
			_, wanted := lookup(d.Object.Object, path)
			unknown = unknown || !wanted
		})
		if unknown {
			return true
		}
	}
	return false
}

// PathOfLabel returns the path of a label as shown to people.
func PathOfLabel(key string) string {
	return PathString(fieldpath.MakePathOrDie("metadata", "labels", key))
}
