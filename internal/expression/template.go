package expression

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of what is read and made.
const (
	// maxTemplate bounds a text with its expressions, and maxSource one
	// expression, in bytes.
	maxTemplate = 64 << 10
	maxSource   = 4 << 10
	// maxExpressions bounds the expressions in one text.
	maxExpressions = 64
	// maxResult bounds what one text may become, in bytes.
	maxResult = 1 << 20
)

// ErrInvalid is wrapped by every error about a text that cannot be read.
var ErrInvalid = errors.New("invalid expression")

// ErrTooExpensive is wrapped by errors of evaluations that were stopped.
var ErrTooExpensive = errors.New("the expression does too much")

// Template is a text with expressions in it. The zero value is the empty text.
type Template struct{ parts []part }

// part is literal text, or an expression when it is one.
type part struct {
	text         string
	isExpression bool
}

// Has reports whether text holds an expression.
func Has(text string) bool { return strings.Contains(text, "${{") || strings.Contains(text, "${%") }

// Parse splits a text at its expressions, "${{ ... }}" or "${% ... %}".
// Braces and quotes inside an expression are understood, so that it may hold
// map literals.
func Parse(text string) (Template, error) {
	if len(text) > maxTemplate {
		return Template{}, fmt.Errorf("%w: the text has %d bytes, more than %d", ErrInvalid, len(text), maxTemplate)
	}
	var t Template
	expressions := 0
	for text != "" {
		begin, closing := opening(text)
		if begin < 0 {
			t.parts = append(t.parts, part{text: text})
			break
		}
		if begin > 0 {
			t.parts = append(t.parts, part{text: text[:begin]})
		}
		text = text[begin+3:]
		end := closingAt(text, closing)
		if end < 0 {
			return Template{}, fmt.Errorf("%w: no %q after %q", ErrInvalid, closing, shortened(text))
		}
		source := strings.TrimSpace(text[:end])
		switch {
		case source == "":
			return Template{}, fmt.Errorf("%w: there is nothing between the brackets", ErrInvalid)
		case len(source) > maxSource:
			return Template{}, fmt.Errorf("%w: %q has %d bytes, more than %d", ErrInvalid, shortened(source), len(source), maxSource)
		}
		if expressions++; expressions > maxExpressions {
			return Template{}, fmt.Errorf("%w: more than %d expressions in one text", ErrInvalid, maxExpressions)
		}
		t.parts = append(t.parts, part{text: source, isExpression: true})
		text = text[end+len(closing):]
	}
	return t, nil
}

// opening returns where the next expression begins, and what ends it; -1 for
// none.
func opening(text string) (int, string) {
	braces, percent := strings.Index(text, "${{"), strings.Index(text, "${%")
	if percent >= 0 && (braces < 0 || percent < braces) {
		return percent, "%}"
	}
	return braces, "}}"
}

// closingAt returns where closing stands outside of quotes and of braces that
// were opened inside the expression, or -1.
func closingAt(text, closing string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case depth == 0 && strings.HasPrefix(text[i:], closing):
			return i
		case c == '\'' || c == '"' || c == '`':
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && c != '`' {
					i++
				}
			}
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	return -1
}

// Value is what a text became.
type Value struct {
	// text is its plain form; raw is the value when the text was one expression
	// and nothing else.
	text string
	raw  any
	// isComputed says that an expression was part of it.
	isComputed bool
}

// Text returns the value as text. What quote() made loses its quotes.
func (v Value) Text() string {
	if s, ok := v.raw.(string); ok && v.isComputed {
		if unquoted, ok := unquote(s); ok {
			return unquoted
		}
	}
	return v.text
}

// JSON returns the value as JSON has it: a text that was computed and reads as
// a number, a boolean, null, an object or a list is that; quote() prevents it.
// A number that would be written differently ("1.10") stays text.
func (v Value) JSON() any {
	if !v.isComputed {
		return v.text
	}
	if _, isText := v.raw.(string); !isText && v.raw != nil {
		return v.raw
	}
	if v.raw == nil && v.text == "null" {
		return nil
	}
	return parsed(v.text)
}

func unquote(text string) (string, bool) {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	var s string
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return "", false
	}
	return s, true
}

// parsed reads text as JSON, or returns it.
func parsed(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() || d.InputOffset() != int64(len(text)) {
		return text
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return v
	}
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
		return i
	}
	if f, err := n.Float64(); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == text {
		return f
	}
	return text
}

// textOf returns a value as it stands inside a longer text.
func textOf(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case fmt.Stringer:
		return v.String(), nil
	}
	return encode(v)
}

func encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("%w: the value cannot be written as JSON: %w", ErrInvalid, err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// shortened is source text as it is quoted in messages.
func shortened(text string) string {
	const limit = 80
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
