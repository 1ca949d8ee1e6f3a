package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/waybill-dev/waybill/internal/manifest"
)

// object is one object that is read, with what became of its fields.
type object struct {
	report Object
	raw    map[string]any
	// done says that somebody has taken care of it.
	done bool
	// marks by path; parents are all paths above a mark.
	marks   map[string]Outcome
	parents map[string]bool
}

// newObject begins to read an object. What is no part of a definition is marked.
func newObject(f manifest.Foreign) *object {
	o := &object{raw: f.Object, marks: map[string]Outcome{}, parents: map[string]bool{}}
	o.report = Object{File: f.File, Document: f.Index, Became: []string{}, Lines: []Line{}}
	o.report.APIVersion, o.report.Kind = oneLine(o.at("apiVersion").peek()), oneLine(o.at("kind").peek())
	meta := o.at("metadata")
	o.report.Name, o.report.Namespace = oneLine(meta.at("name").peek()), oneLine(meta.at("namespace").peek())
	for _, f := range []field{o.at("apiVersion"), o.at("kind"), meta.at("name"), meta.at("namespace"), o.at("status"), meta.at("annotations", "kubectl.kubernetes.io/last-applied-configuration")} {
		f.mark(ignored)
	}
	for _, name := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"} {
		meta.at(name).mark(ignored)
	}
	return o
}

// ignoreAll marks every field as none to speak of.
func (o *object) ignoreAll() {
	for _, name := range sortedKeys(o.raw) {
		o.at(name).mark(ignored)
	}
}

// group of the object's API.
func (o *object) group() string {
	group, _, found := strings.Cut(o.report.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

func (o *object) at(names ...string) field { return field{of: o, value: o.raw}.at(names...) }

// field is one place of an object, there or not.
type field struct {
	of    *object
	path  string
	value any
	// above are the paths that lead here.
	above []string
}

// at returns the field below; it is there or not.
func (f field) at(names ...string) field {
	for _, name := range names {
		m, _ := f.value.(map[string]any)
		f = f.below(childPath(f.path, name), m[name])
	}
	return f
}

func (f field) below(path string, value any) field {
	return field{of: f.of, path: path, value: value, above: append(slices.Clip(f.above), f.path)}
}

// as is the field with another value, for what has to be spelled differently
// before it is read.
func (f field) as(value any) field { f.value = value; return f }

// items returns the elements of a list; a value that is none is dropped.
func (f field) items() []field {
	list, isList := f.value.([]any)
	if !isList && !isEmpty(f.value) {
		f.drop("it is no list")
	}
	out := make([]field, len(list))
	for i := range list {
		out[i] = f.below(fmt.Sprintf("%s[%d]", f.path, i), list[i])
	}
	return out
}

// entries returns the fields of a map, sorted by name.
func (f field) entries() []entry {
	m, isMap := f.value.(map[string]any)
	if !isMap && !isEmpty(f.value) {
		f.drop("it is no object")
	}
	out := make([]entry, 0, len(m))
	for _, name := range sortedKeys(m) {
		out = append(out, entry{name, f.at(name)})
	}
	return out
}

type entry struct {
	name string
	field
}

// has reports whether the field says anything.
func (f field) has() bool { return !isEmpty(f.value) }

// there reports whether the field is written, even if it is empty.
func (f field) there() bool { return f.value != nil }

func (f field) mark(m Outcome) {
	if f.value == nil {
		return
	}
	f.of.marks[f.path] = m
	for _, path := range f.above {
		f.of.parents[path] = true
	}
}

// mapped: it means the same here.
func (f field) mapped() field { f.mark(Mapped); return f }

// known marks fields below that nobody else has to look at.
func (f field) known(names ...string) {
	for _, name := range names {
		if below := f.at(name); f.of.marks[below.path] == "" {
			below.mapped()
		}
	}
}

// approximate: it is covered in another way, which why says.
func (f field) approximate(format string, args ...any) field {
	return f.lose(Approximated, false, format, args...)
}

// drop: it is lost; what runs stays the same.
func (f field) drop(format string, args ...any) field {
	return f.lose(Dropped, false, format, args...)
}

// block: it is lost, and something else would run.
func (f field) block(format string, args ...any) field {
	return f.lose(Dropped, true, format, args...)
}

func (f field) lose(outcome Outcome, changes bool, format string, args ...any) field {
	if f.value == nil || outcome == Mapped { // somebody else tells of it
		return f
	}
	f.mark(outcome)
	f.of.add(outcome, f.path, fmt.Sprintf(format, args...), changes)
	return f
}

// peek returns a text without marking it.
func (f field) peek() string {
	switch v := f.value.(type) {
	case string:
		return v
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v)
	default:
		return ""
	}
}

// text returns a text, a number or a boolean as text; anything else is dropped.
func (f field) text() string {
	switch f.value.(type) {
	case map[string]any, []any:
		f.drop("it is no text")
		return ""
	}
	f.mapped()
	return f.peek()
}

// is reports whether the field is true, also as text.
func (f field) is() bool { return f.text() == "true" }

// number returns a whole number, also one written as text.
func (f field) number() (int, bool) {
	n, err := strconv.Atoi(f.text())
	if f.has() && err != nil {
		f.drop("it is no whole number")
	}
	return n, err == nil
}

// texts returns a list of texts.
func (f field) texts() []string {
	var out []string
	for _, item := range f.items() {
		if s := item.text(); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// textMap returns a map of texts.
func (f field) textMap() map[string]string {
	out := map[string]string{}
	for _, e := range f.entries() {
		out[e.name] = e.text()
	}
	return out
}

// loss is what to say of a field that there is no place for.
type loss struct {
	outcome Outcome
	why     string
	// changes what runs.
	changes bool
}

func notNeeded(why string) loss { return loss{outcome: Approximated, why: why} }
func lost(why string) loss      { return loss{outcome: Dropped, why: why} }
func changes(why string) loss   { return loss{outcome: Dropped, why: why, changes: true} }

// into reads the field into a type of ours whose names are the same. Fields that
// it has no place for are told by says, under their path from f with [] for an
// index; others by otherwise. It reports whether anything could be read.
func (f field) into(out any, says map[string]loss, otherwise loss) bool {
	if f.value == nil {
		return false
	}
	if err := convert(f.value, out); err != nil {
		f.block("it cannot be read: %s", typeFault(err))
		return false
	}
	var back any
	if err := convert(out, &back); err != nil {
		f.block("it cannot be read")
		return false
	}
	f.mapped()
	f.compare(back, "", says, otherwise)
	return true
}

// compare finds what got does not have.
func (f field) compare(got any, below string, says map[string]loss, otherwise loss) {
	switch f.value.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for _, e := range f.entries() {
			path := strings.TrimPrefix(below+"."+e.name, ".")
			if other, has := g[e.name]; has {
				e.compare(other, path, says, otherwise)
			} else if e.has() {
				l, known := says[path]
				if !known {
					l = otherwise
				}
				e.lose(l.outcome, l.changes, "%s", l.why)
			}
		}
	case []any:
		g, _ := got.([]any)
		for i, item := range f.items() {
			if i < len(g) {
				item.compare(g[i], below+"[]", says, otherwise)
			}
		}
	}
}

func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the field
	}
	return utiljson.Unmarshal(text, to) //nolint:wrapcheck // as above; names are told apart by case, as Kubernetes does
}

// typeFault says what is wrong with the type of a value, without the value.
func typeFault(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Sprintf("%s is no %s", wrong.Field, wrong.Type)
	}
	return "a value has the wrong type"
}

// isEmpty says that a value means the same as its absence.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

func childPath(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./[] "):
		return path + "[" + key + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// word is what names of objects are made of.
var word = regexp.MustCompile(`[^a-z0-9-]+`)

// nameOf makes a name for an object of any text.
func nameOf(s string) string {
	s = strings.Trim(word.ReplaceAllString(strings.ToLower(s), "-"), "-")
	if len(s) > 63 {
		s = strings.Trim(s[:63], "-")
	}
	return s
}

func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err //nolint:wrapcheck // the caller names the object
}
