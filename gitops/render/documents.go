package render

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// document is one YAML document of a file.
type document struct {
	number int // from 1
	line   int // of the file, at which text begins
	text   []byte
	begin  int // where text begins in the file
}

// Span is where a document lies in a file.
type Span struct{ Begin, End int }

// Documents returns where the documents of a YAML file lie that have content, in order.
func Documents(content []byte) []Span {
	var out []Span
	for _, d := range splitDocuments(content) {
		out = append(out, Span{d.begin, d.begin + len(d.text)})
	}
	return out
}

// splitDocuments cuts a file at its document markers: a line that begins with "---" or "..." followed by white space
// or nothing. YAML allows such a line inside no scalar (YAML 1.2.2, rule c-forbidden), so a textual cut is exact.
// A part begins with its "---" and the directives before it. Documents without content are left out but numbered.
func splitDocuments(content []byte) []document {
	var (
		out     []document
		current = document{number: 1, line: 1}
		begin   int
		line    = 1
		started bool // the current document has had its "---" or content
	)
	flush := func(end int) {
		if text := content[begin:end]; hasContent(text) {
			current.text, current.begin = text, begin
			out = append(out, current)
			started = true
		}
		if started {
			current.number++
		}
	}
	for at := 0; at < len(content); line++ {
		next := nextLine(content, at)
		switch {
		case isMarker(content[at:next], "---"):
			if flush(at); started || !hasDirective(content[begin:at]) {
				begin, current.line = at, line
			}
			started = true
		case isMarker(content[at:next], "..."):
			flush(at)
			begin, current.line, started = next, line+1, false
		}
		at = next
	}
	flush(len(content))
	return out
}

// nextLine returns the offset behind the line that begins at at.
func nextLine(content []byte, at int) int {
	for at < len(content) {
		if n := breakLength(content[at:]); n > 0 {
			return at + n
		}
		at++
	}
	return at
}

// breakLength returns the length of the line break that text begins with, or 0. These are the breaks of YAML 1.1,
// which the decoder goes by: a marker behind any of them ends the document for it, and what follows would be lost.
func breakLength(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '\n':
		return 1
	case '\r':
		if len(text) > 1 && text[1] == '\n' {
			return 2
		}
		return 1
	case 0xC2:
		if bytes.HasPrefix(text, []byte("\u0085")) {
			return 2
		}
	case 0xE2:
		if bytes.HasPrefix(text, []byte("\u2028")) || bytes.HasPrefix(text, []byte("\u2029")) {
			return 3
		}
	}
	return 0
}

// isMarker says whether line is marker, alone or before white space.
func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || breakLength(rest) > 0)
}

// hasContent says whether text holds anything but white space, comments, directives and its marker.
func hasContent(text []byte) bool {
	for at := 0; at < len(text); {
		next := nextLine(text, at)
		line := text[at:next]
		if isMarker(line, "---") {
			line = line[len("---"):]
		}
		line = bytes.Trim(bytes.TrimPrefix(line, []byte("\uFEFF")), " \t\r\n\u0085\u2028\u2029")
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return true
		}
		at = next
	}
	return false
}

// hasDirective says whether a line of text, which has no content, is a directive (%YAML, %TAG).
func hasDirective(text []byte) bool {
	for at := 0; at < len(text); at = nextLine(text, at) {
		if text[at] == '%' {
			return true
		}
	}
	return false
}

// decodeFile returns the objects of one file, lists taken apart. A key that is written twice is an error.
func decodeFile(t *tree, name string, content []byte) ([]located, error) {
	return decodeObjects(t, name, content, false)
}

// decodeRendered is decodeFile of what a template made. Of a key that is written twice the last one counts, as for Helm
// and kubectl: charts that people cannot change do it.
func decodeRendered(t *tree, name string, content []byte) ([]located, error) {
	return decodeObjects(t, name, content, true)
}

func decodeObjects(t *tree, name string, content []byte, lastCounts bool) ([]located, error) {
	content = bytes.TrimPrefix(content, []byte("\uFEFF"))
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil, &Error{File: name, Err: fmt.Errorf("%w: not a text in UTF-8", ErrInvalid)}
	}
	documents := []document{{number: 1, line: 1, text: content}}
	isJSON := strings.HasSuffix(name, ".json")
	if !isJSON {
		documents = splitDocuments(content)
	}
	// Anchors cost nothing where they are written; what they expand to is known before anything is decoded.
	if bytes.IndexByte(content, '&') >= 0 && bytes.IndexByte(content, '*') >= 0 {
		if err := t.checkYAML(name, content); err != nil {
			return nil, err
		}
	}
	var out []located
	for _, d := range documents {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		value, err := d.decode(name, isJSON, lastCounts)
		if err != nil {
			return nil, err
		}
		if depth(value, t.limits.Depth) > t.limits.Depth {
			return nil, &Error{File: name, Document: d.number, Err: fmt.Errorf("%w: nested deeper than %d levels", ErrTooLarge, t.limits.Depth)}
		}
		objects, problem := flatten(value, "")
		if problem != nil {
			problem.File, problem.Document = name, d.number
			return nil, problem
		}
		for _, object := range objects {
			out = append(out, located{object: object, file: name, document: d.number})
		}
		if len(out) > t.limits.Objects {
			return nil, &Error{File: name, Document: d.number, Err: fmt.Errorf("%w: more than %d objects", ErrTooLarge, t.limits.Objects)}
		}
	}
	return out, nil
}

// decode reads the document as Kubernetes does: YAML 1.1 through JSON, duplicate keys refused unless the last counts.
func (d document) decode(name string, isJSON, lastCounts bool) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			value, err = nil, &Error{File: name, Document: d.number, Line: d.line, Err: fmt.Errorf("%w: cannot be read", ErrInvalid)}
		}
	}()
	encoded := d.text
	if !isJSON {
		convert := yaml.YAMLToJSONStrict
		if lastCounts {
			convert = yaml.YAMLToJSON
		}
		if encoded, err = convert(d.text); err != nil {
			line, text := d.locate(err.Error())
			return nil, &Error{File: name, Document: d.number, Line: line, Err: fmt.Errorf("%w: %s", ErrInvalid, text)}
		}
	}
	if err := json.Unmarshal(encoded, &value); err != nil {
		return nil, &Error{File: name, Document: d.number, Err: fmt.Errorf("%w: %s", ErrInvalid, oneLine(err.Error()))}
	}
	return value, nil
}

// locate takes the line out of the YAML library's text and makes it one of the file.
func (d document) locate(text string) (line int, rest string) {
	rest = oneLine(strings.ReplaceAll(text, "error converting YAML to JSON: ", ""))
	pattern := regexp.MustCompile(`line (\d+): `)
	if m := pattern.FindStringSubmatch(rest); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = d.line + n - 1
		}
		rest = pattern.ReplaceAllString(rest, "")
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, "yaml: "), "unmarshal errors: ")
	return line, rest
}

// depth returns how deep value nests, or limit+1 when it is deeper than limit.
func depth(value any, limit int) int {
	deepest := 0
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			if limit == 0 {
				return 1
			}
			deepest = max(deepest, depth(child, limit-1))
		}
	case []any:
		for _, child := range v {
			if limit == 0 {
				return 1
			}
			deepest = max(deepest, depth(child, limit-1))
		}
	default:
		return 0
	}
	return deepest + 1
}

// maxListDepth bounds lists of lists.
const maxListDepth = 4

// flatten returns the object value is, or those in it when it is a list (kind List, ConfigMapList, ...).
// at is the field of the document that value stands in.
func flatten(value any, at string) ([]*unstructured.Unstructured, *Error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, &Error{Field: at, Err: fmt.Errorf("%w: is not an object with apiVersion and kind", ErrInvalid)}
	}
	object := &unstructured.Unstructured{Object: fields}
	kind, _ := fields["kind"].(string)
	items, isList := fields["items"].([]any)
	if isList && strings.HasSuffix(kind, "List") {
		if strings.Count(at, "items[") >= maxListDepth {
			return nil, &Error{Field: at, Err: fmt.Errorf("%w: lists nested deeper than %d", ErrTooLarge, maxListDepth)}
		}
		var out []*unstructured.Unstructured
		for i, item := range items {
			field := fmt.Sprintf("items[%d]", i)
			if at != "" {
				field = at + "." + field
			}
			objects, err := flatten(item, field)
			if err != nil {
				return nil, err
			}
			out = append(out, objects...)
		}
		return out, nil
	}
	nameHook(object)
	if field, problem := identify(fields); problem != "" {
		if at != "" {
			field = at + "." + field
		}
		return nil, &Error{Field: field, Err: fmt.Errorf("%w: %s", ErrInvalid, problem)}
	}
	return []*unstructured.Unstructured{object}, nil
}

// identify returns the field that keeps an object from having an identity, and what is wrong with it.
func identify(fields map[string]any) (field, problem string) {
	for _, name := range []string{"apiVersion", "kind"} {
		if s, ok := fields[name].(string); !ok || s == "" {
			return name, "is missing or not a text; every document needs apiVersion, kind and metadata.name"
		}
	}
	metadata, ok := fields["metadata"].(map[string]any)
	if !ok {
		return "metadata", "is missing or not a mapping; every document needs apiVersion, kind and metadata.name"
	}
	switch name := metadata["name"].(type) {
	case string:
		if name == "" {
			return "metadata.name", "is empty"
		}
	case nil:
		if metadata["generateName"] != nil {
			return "metadata.name", "is missing; generateName would make a new object at every sync"
		}
		return "metadata.name", "is missing"
	default:
		return "metadata.name", "is not a text; put it in quotes" // 7, and n, which YAML 1.1 reads as false
	}
	if namespace, there := metadata["namespace"]; there && namespace != nil {
		if _, ok := namespace.(string); !ok {
			return "metadata.namespace", "is not a text; put it in quotes"
		}
	}
	return "", ""
}
