package manifest

import (
	"fmt"
	"sort"
	"strings"
)

// Severity says what to do about a Finding.
type Severity string

// The severities. Nothing is applied while there is an Error; a Warning may
// come right by itself (a Warehouse that is applied later).
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing that is wrong with a manifest.
type Finding struct {
	Severity Severity
	// File as it was named; - is standard input.
	File string
	// Document counts from 1 within the file; 0 when the file as a whole is meant.
	Document int
	// Line counts from 1 within the file; 0 when unknown.
	Line int
	// Field is the path for people: spec.subscriptions[0].image. Empty for the
	// document as a whole.
	Field string
	// Message is one sentence that says what is wrong and what to do. It never
	// holds a value of a Secret.
	Message string
}

// String returns "FILE: document N, line N: FIELD: MESSAGE".
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Document > 0 {
		fmt.Fprintf(&b, ": document %d", f.Document)
		if f.Line > 0 {
			fmt.Fprintf(&b, ", line %d", f.Line)
		}
	} else if f.Line > 0 {
		fmt.Fprintf(&b, ": line %d", f.Line)
	}
	if f.Field != "" {
		b.WriteString(": " + f.Field)
	}
	b.WriteString(": " + f.Message)
	return b.String()
}

// Pointer returns Field as a JSON pointer (RFC 6901).
func (f Finding) Pointer() string {
	var b strings.Builder
	for _, s := range splitField(f.Field) {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
	}
	return b.String()
}

// Errors returns the findings that are errors.
func Errors(fs []Finding) []Finding {
	var out []Finding
	for _, f := range fs {
		if f.Severity == Error {
			out = append(out, f)
		}
	}
	return out
}

func sortFindings(fs []Finding) {
	sort.SliceStable(fs, func(i, j int) bool {
		a, b := fs[i], fs[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Document != b.Document {
			return a.Document < b.Document
		}
		return a.Line < b.Line
	})
}

// splitField takes spec.a[0].b or metadata.labels[a.b/c] apart.
func splitField(field string) []string {
	var out []string
	for field != "" {
		switch field[0] {
		case '.':
			field = field[1:]
		case '[':
			end := strings.IndexByte(field, ']')
			if end < 0 {
				return append(out, field[1:])
			}
			out = append(out, strings.Trim(field[1:end], `"'`))
			field = field[end+1:]
		default:
			end := strings.IndexAny(field, ".[")
			if end < 0 {
				end = len(field)
			}
			out = append(out, field[:end])
			field = field[end:]
		}
	}
	return out
}
