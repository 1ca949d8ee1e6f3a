package yamledit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits on the documents that are parsed. The library bounds none of them in its node form.
const (
	// MaxBytes is the largest file that is edited.
	MaxBytes = 1 << 20
	// MaxDepth is the deepest nesting of mappings and lists.
	MaxDepth = 1000
	// MaxExpanded is the largest number of nodes after every alias was replaced by what it stands for.
	MaxExpanded = 200_000
)

// Limits bounds what Check accepts.
type Limits struct {
	Bytes    int // size of the text
	Depth    int // nesting of mappings and lists
	Expanded int // nodes, after every alias was replaced by what it stands for
}

// Check parses every document of text and reports the first limit it breaks, as an error that wraps ErrTooLarge,
// or ErrNotYAML when the text does not parse. Anchors cost nothing where they are written and everything where
// they are read, so aliases are counted with what they expand to ("billion laughs").
func Check(text []byte, limits Limits) error {
	_, err := parseNodes(text, limits)
	return err
}

// parseNodes parses every document of text within limits.
func parseNodes(text []byte, limits Limits) (documents []*yaml.Node, err error) {
	if len(text) > limits.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(text), limits.Bytes)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrNotYAML)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%w: holds a NUL byte", ErrNotYAML)
	}
	defer func() {
		// The parser recovers its own panics; this is for those it does not know about.
		if r := recover(); r != nil {
			documents, err = nil, fmt.Errorf("%w: parser panicked", ErrNotYAML)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	budget := limits.Expanded
	for {
		document := new(yaml.Node)
		err := decoder.Decode(document)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s", ErrNotYAML, err.Error())
		}
		expanded := expansion{limits: limits, anchors: map[*yaml.Node]measure{}}
		m, err := expanded.of(document, 0)
		if err != nil {
			return nil, err
		}
		if budget -= m.nodes; budget < 0 {
			return nil, fmt.Errorf("%w: more than %d nodes", ErrTooLarge, limits.Expanded)
		}
		documents = append(documents, document)
	}
}

// measure is what a node and everything under it amount to once aliases are expanded.
type measure struct {
	nodes int // -1 while the node is being measured
	depth int // levels below the node, itself included
}

// expansion measures a node tree with its aliases replaced by what they stand for.
type expansion struct {
	limits  Limits
	anchors map[*yaml.Node]measure
}

// of measures node, which lies depth levels below the document.
func (e *expansion) of(node *yaml.Node, depth int) (measure, error) {
	if node.Kind == yaml.AliasNode {
		// Measured where the anchor stands, which is before its aliases; unfinished means inside itself.
		m, known := e.anchors[node.Alias]
		if !known || m.nodes < 0 {
			return measure{}, fmt.Errorf("%w: anchor %q at line %d contains itself", ErrNotYAML, node.Value, node.Line)
		}
		if depth+m.depth > e.limits.Depth {
			return measure{}, e.tooDeep(node)
		}
		return m, nil
	}
	if depth >= e.limits.Depth {
		return measure{}, e.tooDeep(node)
	}
	if node.Anchor != "" {
		e.anchors[node] = measure{nodes: -1}
	}
	m := measure{nodes: 1, depth: 1}
	for _, child := range node.Content {
		c, err := e.of(child, depth+1)
		if err != nil {
			return measure{}, err
		}
		m.depth = max(m.depth, c.depth+1)
		if m.nodes += c.nodes; m.nodes > e.limits.Expanded {
			return measure{}, fmt.Errorf("%w: more than %d nodes at line %d", ErrTooLarge, e.limits.Expanded, node.Line)
		}
	}
	if node.Anchor != "" {
		e.anchors[node] = m
	}
	return m, nil
}

func (e *expansion) tooDeep(node *yaml.Node) error {
	return fmt.Errorf("%w: nested deeper than %d levels at line %d", ErrTooLarge, e.limits.Depth, node.Line)
}
