// Package stepschema knows the configuration of every built-in step as JSON
// Schema, so that a template can be checked where the steps themselves are not
// linked in: when a Stage is applied, and in the CLI.
//
// schemas.json is written from the steps' Go structs:
//
//	go test ./promotion/steps -run TestGenerated -update
package stepschema

import (
	_ "embed" // schemas.json
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/waybill-dev/waybill/internal/expression"
)

//go:embed schemas.json
var raw []byte

// Schema is the part of JSON Schema that step configuration needs.
type Schema struct {
	// Type: object, array, string, integer, number, boolean; empty: anything.
	Type        string             `json:"type,omitempty"`
	Description string             `json:"description,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	// AdditionalProperties is nil for an object that takes no other fields.
	AdditionalProperties *Schema `json:"additionalProperties,omitempty"`
	Items                *Schema `json:"items,omitempty"`
	Enum                 []any   `json:"enum,omitempty"`
	MinItems             int     `json:"minItems,omitempty"`
	// OneOf are groups of fields of which exactly one is set; a group whose
	// first name is "?" may also be absent.
	OneOf [][]string `json:"x-one-of,omitempty"`
}

// MarshalJSON closes objects that take no other fields.
func (s *Schema) MarshalJSON() ([]byte, error) {
	type plain Schema
	if s.Type == "object" && s.AdditionalProperties == nil {
		return json.Marshal(struct { //nolint:wrapcheck // of a plain struct
			*plain
			AdditionalProperties bool `json:"additionalProperties"`
		}{plain: (*plain)(s)})
	}
	return json.Marshal((*plain)(s)) //nolint:wrapcheck // of a plain struct
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Schema) UnmarshalJSON(data []byte) error {
	type plain Schema
	closed := struct {
		*plain
		AdditionalProperties json.RawMessage `json:"additionalProperties"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(data, &closed); err != nil {
		return err //nolint:wrapcheck // of a file that a test wrote
	}
	if a := closed.AdditionalProperties; len(a) > 0 && string(a) != "false" {
		return json.Unmarshal(a, &s.AdditionalProperties) //nolint:wrapcheck // as above
	}
	return nil
}

// builtin reads the embedded schemas once.
var builtin = sync.OnceValue(func() map[string]*Schema {
	var all map[string]*Schema
	if err := json.Unmarshal(raw, &all); err != nil {
		panic(fmt.Sprintf("schemas.json: %v", err)) // a test keeps it readable
	}
	return all
})

// Of returns the schema of a built-in step, or nil when there is no such step.
func Of(step string) *Schema { return builtin()[step] }

// Steps returns the names of all built-in steps, sorted.
func Steps() []string {
	names := make([]string, 0, len(builtin()))
	for name := range builtin() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Problem is what is wrong with a value.
type Problem struct {
	// Path from the configuration's root: checkout[0].path. Empty: the root.
	Path    string
	Message string
}

// Check returns what is wrong with value, decoded JSON. Where an expression
// stands its value is not known yet, so it fits everywhere if open says so.
func (s *Schema) Check(value any, open bool) []Problem {
	var out []Problem
	s.check(value, "", open, &out)
	return out
}

func (s *Schema) check(value any, at string, open bool, out *[]Problem) {
	fault := func(format string, args ...any) {
		*out = append(*out, Problem{Path: at, Message: fmt.Sprintf(format, args...)})
	}
	if text, ok := value.(string); ok && open && expression.Has(text) {
		return
	}
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(value) }) {
		fault("%v is not one of %s", shown(value), joined(s.Enum))
		return
	}
	switch s.Type {
	case "":
	case "object":
		m, ok := value.(map[string]any)
		if !ok {
			fault("expected an object, found %s", kindOf(value))
			return
		}
		s.checkObject(m, at, open, out)
	case "array":
		list, ok := value.([]any)
		if !ok {
			fault("expected a list, found %s", kindOf(value))
			return
		}
		if len(list) < s.MinItems {
			fault("expected at least %d item", s.MinItems)
		}
		for i, v := range list {
			s.Items.check(v, fmt.Sprintf("%s[%d]", at, i), open, out)
		}
	default:
		if kind := kindOf(value); kind != s.Type && !(s.Type == "number" && kind == "integer") {
			fault("expected %s, found %s", withArticle(s.Type), kind)
		}
	}
}

func (s *Schema) checkObject(m map[string]any, at string, open bool, out *[]Problem) {
	join := func(key string) string {
		if at == "" {
			return key
		}
		return at + "." + key
	}
	for _, key := range sortedKeys(m) {
		switch p, known := s.Properties[key]; {
		case known && m[key] == nil:
		case known:
			p.check(m[key], join(key), open, out)
		case s.AdditionalProperties != nil:
			s.AdditionalProperties.check(m[key], join(key), open, out)
		default:
			*out = append(*out, Problem{Path: join(key), Message: "there is no such field; known are " + strings.Join(sortedKeys(s.Properties), ", ")})
		}
	}
	for _, key := range s.Required {
		if v, there := m[key]; !there || v == nil || v == "" {
			*out = append(*out, Problem{Path: join(key), Message: "is required"})
		}
	}
	for _, group := range s.OneOf {
		optional := group[0] == "?"
		names := group
		if optional {
			names = group[1:]
		}
		set := 0
		for _, name := range names {
			if v, there := m[name]; there && v != nil {
				set++
			}
		}
		if set > 1 || set == 0 && !optional {
			*out = append(*out, Problem{Path: at, Message: "set one of " + strings.Join(names, ", ")})
		}
	}
}

// Resolve returns value with every text that holds an expression replaced by
// what eval makes of it: text where the schema wants text, JSON elsewhere. s may
// be nil: then all is JSON.
func (s *Schema) Resolve(value any, eval func(string) (expression.Value, error)) (any, error) {
	return s.resolve(value, "", eval)
}

func (s *Schema) resolve(value any, at string, eval func(string) (expression.Value, error)) (any, error) {
	switch v := value.(type) {
	case string:
		if !expression.Has(v) {
			return v, nil
		}
		got, err := eval(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimPrefix(at, "."), err)
		}
		if s != nil && s.Type == "string" {
			return got.Text(), nil
		}
		return got.JSON(), nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range sortedKeys(v) {
			var p *Schema
			if s != nil {
				if p = s.Properties[key]; p == nil {
					p = s.AdditionalProperties
				}
			}
			r, err := p.resolve(v[key], at+"."+key, eval)
			if err != nil {
				return nil, err
			}
			out[key] = r
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		var items *Schema
		if s != nil {
			items = s.Items
		}
		for i := range v {
			r, err := items.resolve(v[i], fmt.Sprintf("%s[%d]", at, i), eval)
			if err != nil {
				return nil, err
			}
			out[i] = r
		}
		return out, nil
	default:
		return value, nil
	}
}

// Texts visits every text of a value with its path.
func Texts(value any, visit func(path, text string)) { texts(value, "", visit) }

func texts(value any, at string, visit func(path, text string)) {
	switch v := value.(type) {
	case string:
		visit(strings.TrimPrefix(at, "."), v)
	case map[string]any:
		for _, key := range sortedKeys(v) {
			texts(v[key], at+"."+key, visit)
		}
	case []any:
		for i := range v {
			texts(v[i], fmt.Sprintf("%s[%d]", at, i), visit)
		}
	}
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	default:
		return "integer"
	}
}

func withArticle(kind string) string {
	switch kind {
	case "integer":
		return "a whole number"
	case "string":
		return "text"
	case "boolean":
		return "true or false"
	default:
		return "a " + kind
	}
}

func shown(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}

func joined(values []any) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return strings.Join(out, ", ")
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
