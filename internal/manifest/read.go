package manifest

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// shape is how a kind looks.
type shape struct {
	typ        reflect.Type
	namespaced bool
	// new returns an empty object of Waybill's own kinds.
	new func() any
}

// namespaceShape and secretShape are what apply accepts of the two core kinds;
// k8s.io/api would bring megabytes for them.
type namespaceShape struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              map[string]any `json:"spec,omitempty"`
}

type secretShape struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Immutable         *bool             `json:"immutable,omitempty"`
	Data              map[string][]byte `json:"data,omitempty"`
	StringData        map[string]string `json:"stringData,omitempty"`
	Type              string            `json:"type,omitempty"`
}

func own[T any](namespaced bool) shape {
	return shape{reflect.TypeFor[T](), namespaced, func() any { return new(T) }}
}

// kinds returns Waybill's kinds that people may apply. Freight is not among
// them: Warehouses make it.
func kinds() map[string]shape {
	return map[string]shape{
		"Project":     own[v1alpha1.Project](false),
		"Cluster":     own[v1alpha1.Cluster](false),
		"Warehouse":   own[v1alpha1.Warehouse](true),
		"Stage":       own[v1alpha1.Stage](true),
		"Application": own[v1alpha1.Application](true),
		"Freeze":      own[v1alpha1.Freeze](true),
		"Promotion":   own[v1alpha1.Promotion](true),
		"Approval":    own[v1alpha1.Approval](true),

		"PromotionTask": own[v1alpha1.PromotionTask](true),
	}
}

func shapeOf(apiVersion, kind string) (shape, bool) {
	switch apiVersion {
	case v1alpha1.GroupVersion().String():
		s, ok := kinds()[kind]
		return s, ok
	case "v1":
		switch kind {
		case "Namespace":
			return shape{reflect.TypeFor[namespaceShape](), false, nil}, true
		case "Secret":
			return shape{reflect.TypeFor[secretShape](), true, nil}, true
		}
	}
	return shape{}, false
}

// read returns n as plain JSON values, with a finding for everything that does
// not fit t.
func (r *reader) read(n *yaml.Node, t reflect.Type, field string, depth int) any {
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		if r.nodes == maxNodes+1 || depth == maxDepth+1 {
			r.fault(n, field, "too deep or too large")
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return r.read(n.Alias, t, field, depth+1)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if isNull(n) {
		return nil
	}
	switch t {
	case reflect.TypeFor[metav1.Duration]():
		return r.readDuration(n, field)
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return r.readTime(n, field)
	case reflect.TypeFor[runtime.RawExtension](), reflect.TypeFor[metav1.FieldsV1](), reflect.TypeFor[any]():
		return r.readAny(n, field, depth)
	case reflect.TypeFor[[]byte]():
		return r.readBase64(n, field)
	}
	switch t.Kind() {
	case reflect.Struct:
		return r.readStruct(n, t, field, depth)
	case reflect.Map:
		return r.readMap(n, t.Elem(), field, depth)
	case reflect.Slice:
		return r.readSlice(n, t.Elem(), field, depth)
	case reflect.Interface:
		return r.readAny(n, field, depth)
	default:
		return r.readScalar(n, t, field)
	}
}

func (r *reader) readStruct(n *yaml.Node, t reflect.Type, field string, depth int) any {
	if n.Kind != yaml.MappingNode {
		r.fault(n, field, "expected an object, found %s", nodeKind(n))
		return nil
	}
	known := fieldsOf(t)
	out := map[string]any{}
	r.eachKey(n, field, func(key string, k, v *yaml.Node) {
		ft, ok := known[key]
		if !ok {
			r.fault(k, join(field, key), "%s", r.unknownField(field, key, known))
			return
		}
		out[key] = r.read(v, ft, join(field, key), depth+1)
	})
	return out
}

func (r *reader) readMap(n *yaml.Node, elem reflect.Type, field string, depth int) any {
	if n.Kind != yaml.MappingNode {
		r.fault(n, field, "expected an object, found %s", nodeKind(n))
		return nil
	}
	out := map[string]any{}
	r.eachKey(n, field, func(key string, _, v *yaml.Node) {
		out[key] = r.read(v, elem, field+"["+key+"]", depth+1)
	})
	return out
}

// eachKey visits the keys of a mapping; a key that is there twice, is no text,
// or merges another mapping is a finding.
func (r *reader) eachKey(n *yaml.Node, field string, visit func(key string, k, v *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			r.fault(k, field, "a key must be text, found %s", nodeKind(k))
			continue
		case k.Tag == "!!merge":
			r.fault(k, field, "merge keys (<<) are not supported; write the fields out")
			continue
		}
		if first, twice := seen[k.Value]; twice {
			r.fault(k, join(field, k.Value), "is there twice; the first is in line %d", first)
			continue
		}
		seen[k.Value] = k.Line
		visit(k.Value, k, v)
	}
}

func (r *reader) readSlice(n *yaml.Node, elem reflect.Type, field string, depth int) any {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, field, "expected a list, found %s; put a dash in front of each item", nodeKind(n))
		return nil
	}
	out := make([]any, 0, len(n.Content))
	for i, item := range n.Content {
		out = append(out, r.read(item, elem, fmt.Sprintf("%s[%d]", field, i), depth+1))
	}
	return out
}

func (r *reader) readAny(n *yaml.Node, field string, depth int) any {
	switch n.Kind {
	case yaml.MappingNode:
		return r.readMap(n, reflect.TypeFor[any](), field, depth)
	case yaml.SequenceNode:
		return r.readSlice(n, reflect.TypeFor[any](), field, depth)
	default:
		var v any
		if err := n.Decode(&v); err != nil {
			r.fault(n, field, "cannot be read")
			return nil
		}
		if _, isTime := v.(time.Time); isTime {
			return n.Value
		}
		return v
	}
}

func (r *reader) readScalar(n *yaml.Node, t reflect.Type, field string) any {
	switch t.Kind() {
	case reflect.String:
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			return n.Value
		}
		if n.Kind == yaml.ScalarNode && n.Tag == "!!timestamp" {
			return n.Value
		}
		if n.Kind == yaml.ScalarNode && !r.secret {
			r.fault(n, field, "expected text, found %s: write it in quotes, %q", nodeKind(n), n.Value)
			return nil
		}
		r.fault(n, field, "expected text, found %s: write it in quotes", nodeKind(n))
	case reflect.Bool:
		var b bool
		if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" && n.Decode(&b) == nil {
			return b
		}
		r.fault(n, field, "expected true or false, found %s", nodeKind(n))
	case reflect.Int, reflect.Int32, reflect.Int64:
		var i int64
		if n.Kind == yaml.ScalarNode && n.Tag == "!!int" && n.Decode(&i) == nil {
			return i
		}
		r.fault(n, field, "expected a whole number, found %s", nodeKind(n))
	default:
		return r.readAny(n, field, 0)
	}
	return nil
}

func (r *reader) readDuration(n *yaml.Node, field string) any {
	if n.Kind == yaml.ScalarNode {
		if _, err := time.ParseDuration(n.Value); err == nil && n.Tag == "!!str" {
			return n.Value
		}
	}
	r.fault(n, field, "expected a duration such as 30s, 5m or 1h30m")
	return nil
}

func (r *reader) readTime(n *yaml.Node, field string) any {
	if n.Kind == yaml.ScalarNode {
		if _, err := time.Parse(time.RFC3339, n.Value); err == nil {
			return n.Value
		}
	}
	r.fault(n, field, "expected a time such as 2026-12-24T18:00:00Z")
	return nil
}

func (r *reader) readBase64(n *yaml.Node, field string) any {
	if n.Kind == yaml.ScalarNode {
		if _, err := base64.StdEncoding.DecodeString(strings.TrimSpace(n.Value)); err == nil {
			return strings.TrimSpace(n.Value)
		}
	}
	r.fault(n, field, "expected base64; put plain text under stringData")
	return nil
}

// fieldsOf returns the JSON names of a struct's fields and their types.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			for k, v := range fieldsOf(f.Type) {
				out[k] = v
			}
		case name != "":
			out[name] = f.Type
		}
	}
	return out
}

// unknownField says what to do about a key that is not known.
func (r *reader) unknownField(parent, key string, known map[string]reflect.Type) string {
	if said := renamed(r.kind, parent, key); said != "" {
		return said
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	if near := nearest(key, names); near != "" {
		return fmt.Sprintf("unknown field %q; did you mean %q?", key, near)
	}
	if len(names) > 0 && len(names) <= 16 {
		return fmt.Sprintf("unknown field %q; known here: %s", key, strings.Join(names, ", "))
	}
	return fmt.Sprintf("unknown field %q", key)
}

func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// withoutIndexes turns spec.a[0].b into spec.a[].b.
func withoutIndexes(field string) string {
	var b strings.Builder
	for _, part := range strings.SplitAfter(field, "[") {
		if end := strings.IndexByte(part, ']'); end > 0 {
			if _, err := strconv.Atoi(part[:end]); err == nil {
				part = part[end:]
			}
		}
		b.WriteString(part)
	}
	return b.String()
}

// nearest returns the one name that differs from key in case only, or by at
// most two edits; "" when there is none or it is not clear.
func nearest(key string, names []string) string {
	best, bestAt, tie := "", 3, false
	for _, name := range names {
		if strings.EqualFold(name, key) {
			return name
		}
		switch d := edits(strings.ToLower(key), strings.ToLower(name)); {
		case d < bestAt && d < len(key):
			best, bestAt, tie = name, d, false
		case d == bestAt:
			tie = true
		}
	}
	if tie {
		return ""
	}
	return best
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, diagonal+cost)
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
