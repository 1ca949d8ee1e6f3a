package yamledit

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Set returns doc with the scalar at path set to value: a string, bool, int, int64, float64 or nil.
//
// A value that is there keeps its quoting style where that can carry the new value. A key that is missing is added
// after the last key of its mapping, and missing parents with it, in the indentation and bracket style of the file.
// When the value is already there, doc itself is returned. Setting a value twice is the same as once.
//
// Errors are *Error.
func Set(doc []byte, path Path, value any) ([]byte, error) {
	if _, err := spellings(value, 0); err != nil {
		return nil, fail(nil, path, err)
	}
	d, target, err := find(doc, path)
	if err != nil {
		return nil, err
	}
	if len(target.missing) > 0 {
		return d.insert(target, path, grow(target.missing[1:], value))
	}
	return d.replace(target, path, value)
}

// Delete returns doc without the mapping key at path, its value and the comment on its line; comments above it
// stay. A key that is not there is no error: doc itself is returned. The last key of a mapping is not removed
// (ErrUnsupported), because an empty mapping is another value than none. Errors are *Error.
func Delete(doc []byte, path Path) ([]byte, error) {
	d, target, err := find(doc, path)
	if err != nil {
		return nil, err
	}
	if len(target.missing) > 0 {
		return doc, nil
	}
	return d.remove(target, path)
}

// find parses doc and walks path.
func find(doc []byte, path Path) (*document, *target, error) {
	if len(path) == 0 {
		return nil, nil, fail(nil, path, fmt.Errorf("%w: empty path", ErrInvalidValue))
	}
	d, err := parse(doc)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Path = path
		}
		return nil, nil, err
	}
	t, err := d.walk(path)
	if err != nil {
		return nil, nil, err
	}
	return d, t, nil
}

// target is where a path leads.
type target struct {
	node    *yaml.Node   // the value at the end of what exists; nil when the document is empty
	key     *yaml.Node   // its key, when it is the value of a mapping
	parents []*yaml.Node // from the root to the parent of node
	steps   []step       // of what exists
	missing Path         // the rest of the path, which does not exist
}

// walk follows path as far as the document goes.
func (d *document) walk(path Path) (*target, error) {
	t := &target{node: d.root}
	for i, segment := range path {
		node := t.node
		if node == nil {
			t.missing = path[i:]
			return t, nil
		}
		switch node.Kind {
		case yaml.MappingNode:
			key, value := lookup(node, segment)
			if key == nil {
				t.missing = path[i:]
				return t, nil
			}
			var decoded any
			if err := key.Decode(&decoded); err != nil {
				return nil, fail(key, path, fmt.Errorf("%w: key cannot be read", ErrUnsupported))
			}
			t.parents, t.key, t.node = append(t.parents, node), key, value
			t.steps = append(t.steps, step{key: decoded})
		case yaml.SequenceNode:
			index := listIndex(segment)
			if index == len(node.Content) {
				t.missing = path[i:]
				return t, nil
			}
			if index < 0 || index > len(node.Content) {
				return nil, fail(node, path, fmt.Errorf("%w: list has %d items, no item %q", ErrNoSuchPath, len(node.Content), segment))
			}
			t.parents, t.key, t.node = append(t.parents, node), nil, node.Content[index]
			t.steps = append(t.steps, step{index: index, isIndex: true})
		case yaml.ScalarNode:
			if node.ShortTag() == "!!null" {
				t.missing = path[i:]
				return t, nil
			}
			return nil, fail(node, path, fmt.Errorf("%w: %q is below a scalar", ErrNoSuchPath, segment))
		case yaml.AliasNode:
			return nil, fail(node, path, fmt.Errorf("%w: path leads through alias %q", ErrShared, node.Value))
		default:
			return nil, fail(node, path, ErrUnsupported)
		}
	}
	return t, nil
}

// lookup returns the key spelled segment and its value, or nil.
func lookup(mapping *yaml.Node, segment string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if key := mapping.Content[i]; key.Kind == yaml.ScalarNode && key.Value == segment && key.ShortTag() != "!!merge" {
			return key, mapping.Content[i+1]
		}
	}
	return nil, nil
}

// splice returns raw with the bytes from begin to end replaced by text.
func (d *document) splice(begin, end int, text string) []byte {
	out := make([]byte, 0, len(d.raw)+len(text))
	out = append(out, d.raw[:begin]...)
	out = append(out, text...)
	return append(out, d.raw[end:]...)
}

// replace sets the scalar that is at t.
func (d *document) replace(t *target, path Path, value any) ([]byte, error) {
	node := t.node
	if node.Kind == yaml.MappingNode || node.Kind == yaml.SequenceNode {
		return nil, fail(node, path, ErrNotScalar)
	}
	wanted := func(any) (any, error) { return normal(value), nil }
	if node.Kind == yaml.ScalarNode {
		var current any
		if err := node.Decode(&current); err == nil && equal(current, normal(value)) {
			// Still proven: a document that does not decode (duplicate keys) is refused even when nothing changes.
			if err := d.prove(d.raw, t.steps, wanted); err != nil {
				return nil, fail(node, path, err)
			}
			return d.raw, nil
		}
	}
	begin, err := d.content(node)
	if err != nil {
		return nil, fail(node, path, err)
	}
	end, err := d.end(node)
	if err != nil {
		return nil, fail(node, path, err)
	}
	prefix := ""
	if isEmptyScalar(node) {
		// Its position is that of the next token; the value goes right behind the indicator.
		for begin > 0 && isSpace(d.raw[begin-1]) {
			begin--
		}
		if begin == 0 || (d.raw[begin-1] != ':' && d.raw[begin-1] != '-') {
			return nil, fail(node, path, fmt.Errorf("%w: value without ':' or '-' before it", ErrUnsupported))
		}
		prefix, end = " ", begin
	}
	texts, err := spellings(value, node.Style)
	if err != nil {
		return nil, fail(node, path, err)
	}
	return d.firstProven(node, path, t.steps, wanted, texts, func(text string) []byte {
		return d.splice(begin, end, prefix+text)
	})
}

// firstProven returns the first candidate that proves right.
func (d *document) firstProven(node *yaml.Node, path Path, steps []step, wanted func(any) (any, error),
	texts []string, edit func(text string) []byte,
) ([]byte, error) {
	var refusal error
	for _, text := range texts {
		out := edit(text)
		err := d.prove(out, steps, wanted)
		if err == nil {
			return out, nil
		}
		refusal = err
	}
	return nil, fail(node, path, refusal)
}

// normal returns value as the decoder gives it back.
func normal(value any) any {
	if v, ok := value.(int64); ok && int64(int(v)) == v {
		return int(v)
	}
	return value
}

// remove takes the mapping key at t away.
func (d *document) remove(t *target, path Path) ([]byte, error) {
	if t.key == nil {
		return nil, fail(t.node, path, fmt.Errorf("%w: only keys of a mapping can be removed", ErrUnsupported))
	}
	mapping := t.parents[len(t.parents)-1]
	if len(mapping.Content) == 2 {
		return nil, fail(t.key, path, fmt.Errorf("%w: the last key of a mapping is not removed", ErrUnsupported))
	}
	begin, end, err := d.entrySpan(mapping, t)
	if err != nil {
		return nil, fail(t.key, path, err)
	}
	out := d.splice(begin, end, "")
	if err := d.prove(out, t.steps, func(any) (any, error) { return removed, nil }); err != nil {
		return nil, fail(t.key, path, err)
	}
	return out, nil
}

// entrySpan returns the bytes to drop so that the entry at t is gone from mapping.
func (d *document) entrySpan(mapping *yaml.Node, t *target) (begin, end int, err error) {
	if begin, err = d.start(t.key); err != nil {
		return 0, 0, err
	}
	if end, err = d.end(t.node); err != nil {
		return 0, 0, err
	}
	if mapping.Style&yaml.FlowStyle != 0 {
		return d.flowEntrySpan(mapping, t, begin, end)
	}
	tail := strings.TrimLeft(string(d.raw[end:d.lineEnd(end)]), " \t")
	if tail != "" && tail[0] != '#' {
		return 0, 0, ErrUnsupported
	}
	end = d.lineEnd(end)
	lineBegin := d.lineStart(begin)
	if strings.Trim(string(d.raw[lineBegin:begin]), " ") == "" {
		// A line of its own. At the end of the file the break before it goes, so that the file ends as it did.
		if width := breakAt(d.raw, end); width > 0 {
			return lineBegin, end + width, nil
		}
		if lineBegin > d.lines[0] {
			lineBegin = d.lineEnd(d.lineStart(lineBegin - 1))
		}
		return lineBegin, end, nil
	}
	// Behind "- ". The next key moves up to the dash, unless comments stand between: then the dash keeps its own line.
	next := d.skipGap(end)
	if between := d.raw[end:min(next, len(d.raw))]; strings.Contains(string(between), "#") {
		for begin > lineBegin && isSpace(d.raw[begin-1]) {
			begin--
		}
		return begin, end, nil
	}
	return begin, next, nil
}

// flowEntrySpan is entrySpan inside brackets: one comma goes with the entry.
func (d *document) flowEntrySpan(mapping *yaml.Node, t *target, begin, end int) (int, int, error) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i] != t.key {
			continue
		}
		if i+2 < len(mapping.Content) {
			next, err := d.start(mapping.Content[i+2])
			return begin, next, err
		}
		previous, err := d.end(mapping.Content[i-1])
		return previous, end, err
	}
	return 0, 0, ErrUnsupported
}
