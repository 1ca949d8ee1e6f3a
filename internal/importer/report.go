package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Outcome is what became of a field.
type Outcome string

// The outcomes. Mapped means the same here; Approximated is covered in another
// way, or is not needed; Dropped is lost.
const (
	Mapped       Outcome = "mapped"
	Approximated Outcome = "approximated"
	Dropped      Outcome = "dropped"

	// ignored is no part of a definition: status, and what a server sets.
	ignored Outcome = "ignored"
)

// Line says what became of one field, where that is not simply the same.
type Line struct {
	Outcome Outcome `json:"outcome"`
	// Field is the path in the object: spec.source.plugin. Empty: all of it.
	Field string `json:"field"`
	// Why, and what to do; never a value of a Secret.
	Why string `json:"why"`
	// Changes says that without this field something else would run than before.
	Changes bool `json:"changesWhatRuns,omitempty"`
}

// String returns "FIELD: WHY".
func (l Line) String() string {
	if l.Field == "" {
		return l.Why
	}
	return l.Field + ": " + l.Why
}

// Object is the report on one object that was read.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	File       string `json:"file"`
	Document   int    `json:"document"`
	// Became are the objects that were written for it: "Stage shop/test".
	Became []string `json:"became"`
	// Mapped counts fields, Approximated and Dropped count lines.
	Mapped       int    `json:"mapped"`
	Approximated int    `json:"approximated"`
	Dropped      int    `json:"dropped"`
	Lines        []Line `json:"lines"`
}

// String returns "Kind namespace/name".
func (o *Object) String() string { return named(o.Kind, o.Namespace, o.Name) }

// Report is the report on everything that was read, in the order it was read.
type Report struct {
	Objects      []Object `json:"objects"`
	Mapped       int      `json:"mapped"`
	Approximated int      `json:"approximated"`
	Dropped      int      `json:"dropped"`
}

func named(kind, namespace, name string) string {
	if namespace == "" {
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}

// oneLine makes text of others safe in a comment and in a table.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// add notes a line once.
func (o *object) add(outcome Outcome, field, why string, changes bool) {
	line := Line{Outcome: outcome, Field: oneLine(field), Why: oneLine(why), Changes: changes}
	if !slices.Contains(o.report.Lines, line) {
		o.report.Lines = append(o.report.Lines, line)
	}
}

// became notes what was written for the object.
func (o *object) became(kind, namespace, name string) {
	if it := named(kind, namespace, name); !slices.Contains(o.report.Became, it) {
		o.report.Became = append(o.report.Became, it)
	}
}

// changes reports whether something else than before would run.
func (o *object) changes() bool {
	return slices.ContainsFunc(o.report.Lines, func(l Line) bool { return l.Changes })
}

// finish counts, and names every field that nobody has looked at.
func (o *object) finish() Object {
	o.rest(o.raw, "", "")
	for _, l := range o.report.Lines {
		if l.Outcome == Dropped {
			o.report.Dropped++
		} else {
			o.report.Approximated++
		}
	}
	slices.SortStableFunc(o.report.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Why, b.Why))
	})
	return o.report
}

// rest walks through the object; mark is that of the nearest parent that has one.
func (o *object) rest(v any, path string, mark Outcome) {
	if own, marked := o.marks[path]; marked {
		mark = own
	}
	if mark == "" && !o.touched(path) && !isEmpty(v) && path != "" {
		o.add(Dropped, path, "there is no such field in what is known of "+o.report.Kind, false)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			o.rest(v[name], childPath(path, name), mark)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i := range v {
			o.rest(v[i], fmt.Sprintf("%s[%d]", path, i), mark)
		}
		if len(v) > 0 {
			return
		}
	}
	if mark == Mapped {
		o.report.Mapped++
	}
}

// touched reports whether anything below path has been looked at.
func (o *object) touched(path string) bool { return path == "" || o.parents[path] }
