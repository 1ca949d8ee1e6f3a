package yamledit

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entry is one key of a mapping that is to be written, in the order given.
type entry struct {
	key   string
	value any // a scalar, mapping or list
}

// mapping and list are values to insert; their leaves are scalars.
type (
	mapping []entry
	list    []any
)

// grow wraps value in the parents that path names.
func grow(path Path, value any) any {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == "0" {
			value = list{value}
			continue
		}
		value = mapping{{key: path[i], value: value}}
	}
	return value
}

// decoded returns value as the decoder gives it back.
func decoded(value any) any {
	switch v := value.(type) {
	case mapping:
		m := make(map[string]any, len(v))
		for _, e := range v {
			m[e.key] = decoded(e.value)
		}
		return m
	case list:
		l := make([]any, len(v))
		for i, item := range v {
			l[i] = decoded(item)
		}
		return l
	default:
		return normal(value)
	}
}

// insert adds the first missing segment of t with value under it.
func (d *document) insert(t *target, path Path, value any) ([]byte, error) {
	segment := t.missing[0]
	next := step{key: segment}
	if node := t.node; node != nil && node.Kind == yaml.SequenceNode ||
		(node == nil || node.Kind == yaml.ScalarNode) && segment == "0" {
		next = step{index: listIndex(segment), isIndex: true}
	}
	steps := append(append([]step(nil), t.steps...), next)
	wanted := func(old any) (any, error) {
		if isNested := len(t.missing) > 1; isNested && old != nil {
			return nil, ErrShared // merged from elsewhere; a key of our own would hide all of it
		}
		return decoded(value), nil
	}

	var edits []splice
	var err error
	switch node := t.node; {
	case node == nil:
		edits, err = d.intoEmpty(next, value)
	case node.Kind == yaml.ScalarNode || len(node.Content) == 0: // null, {} or []
		edits, err = d.intoVoid(t, next, value)
	case node.Style&yaml.FlowStyle != 0:
		edits, err = d.intoFlow(node, next, value)
	case node.Kind == yaml.MappingNode:
		edits, err = d.intoMapping(node, next, value)
	default:
		edits, err = d.intoSequence(node, value)
	}
	if err != nil {
		return nil, fail(t.node, path, err)
	}
	out := d.raw
	for _, e := range edits { // from the back to the front
		out = (&document{raw: out}).splice(e.begin, e.end, e.text)
	}
	if err := d.prove(out, steps, wanted); err != nil {
		return nil, fail(t.node, path, err)
	}
	return out, nil
}

// splice is one replacement of bytes.
type splice struct {
	begin, end int
	text       string
}

// wrap returns value under the key or list item that next names.
func wrap(next step, value any) any {
	if next.isIndex {
		return list{value}
	}
	key, _ := next.key.(string)
	return mapping{{key: key, value: value}}
}

// intoEmpty writes the first key of a file that holds nothing but comments.
func (d *document) intoEmpty(next step, value any) ([]splice, error) {
	lines, err := d.layout().block(wrap(next, value), 0)
	if err != nil {
		return nil, err
	}
	text := strings.Join(lines, d.eol) + d.eol
	end := len(d.raw)
	if end > d.lines[0] && d.lineStart(end) != end {
		text = d.eol + strings.TrimSuffix(text, d.eol)
	}
	return []splice{{end, end, text}}, nil
}

// intoVoid gives a key without content ("images:", "images: []", "images: null") its first entry.
func (d *document) intoVoid(t *target, next step, value any) ([]splice, error) {
	begin, err := d.content(t.node)
	if err != nil {
		return nil, err
	}
	end, err := d.end(t.node)
	if err != nil {
		return nil, err
	}
	layout := d.layout()
	block := t.key != nil && !inFlow(t.parents)
	if !block {
		text, err := layout.flow(wrap(next, value))
		if err != nil {
			return nil, err
		}
		if isEmptyScalar(t.node) {
			return nil, fmt.Errorf("%w: no value to replace", ErrUnsupported)
		}
		return []splice{{begin, end, text}}, nil
	}
	keyAt, err := d.start(t.key)
	if err != nil {
		return nil, err
	}
	for begin > 0 && isSpace(d.raw[begin-1]) {
		begin--
	}
	if isEmptyScalar(t.node) {
		end = begin
	}
	indent := d.column(keyAt) + layout.indent
	if next.isIndex {
		indent = d.column(keyAt) + layout.dash
	}
	added, err := d.after(end, layout, wrap(next, value), indent)
	if err != nil {
		return nil, err
	}
	return []splice{added, {begin, end, ""}}, nil
}

// inFlow says whether any of nodes is written in brackets.
func inFlow(nodes []*yaml.Node) bool {
	for _, node := range nodes {
		if node.Style&yaml.FlowStyle != 0 {
			return true
		}
	}
	return false
}

// after returns the insertion of value as a block on the lines below the one that holds at.
func (d *document) after(at int, layout layout, value any, indent int) (splice, error) {
	end := d.lineEnd(at)
	tail := string(d.raw[at:end])
	if trimmed := strings.TrimLeft(tail, " \t"); trimmed != "" && (trimmed[0] != '#' || trimmed == tail) {
		return splice{}, fmt.Errorf("%w: more follows on the same line", ErrUnsupported)
	}
	lines, err := layout.block(value, indent)
	if err != nil {
		return splice{}, err
	}
	return splice{end, end, d.eol + strings.Join(lines, d.eol)}, nil
}

// intoFlow appends to a mapping or list in brackets.
func (d *document) intoFlow(node *yaml.Node, next step, value any) ([]splice, error) {
	end, err := d.end(node.Content[len(node.Content)-1])
	if err != nil {
		return nil, err
	}
	text, err := d.layout().flow(wrap(next, value))
	if err != nil {
		return nil, err
	}
	return []splice{{end, end, ", " + text[1:len(text)-1]}}, nil
}

// intoMapping appends a key below the last one of a block mapping.
func (d *document) intoMapping(node *yaml.Node, next step, value any) ([]splice, error) {
	keyAt, err := d.start(node.Content[0])
	if err != nil {
		return nil, err
	}
	end, err := d.end(node)
	if err != nil {
		return nil, err
	}
	added, err := d.after(end, d.layout(), wrap(next, value), d.column(keyAt))
	return []splice{added}, err
}

// intoSequence appends an item below the last one of a block list.
func (d *document) intoSequence(node *yaml.Node, value any) ([]splice, error) {
	dash, err := d.content(node)
	if err != nil {
		return nil, err
	}
	if dash >= len(d.raw) || d.raw[dash] != '-' {
		return nil, ErrUnsupported
	}
	end, err := d.end(node)
	if err != nil {
		return nil, err
	}
	added, err := d.after(end, d.layout(), list{value}, d.column(dash))
	return []splice{added}, err
}
