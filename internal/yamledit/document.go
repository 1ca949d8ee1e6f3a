package yamledit

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const byteOrderMark = "\uFEFF"

// document is one parsed file: the bytes, and the nodes that say where things are in them.
type document struct {
	raw   []byte
	lines []int      // offset of the first byte of each line
	root  *yaml.Node // nil when the file holds nothing but comments
	eol   string     // the line end this file uses
}

// parse reads a file of at most one document.
func parse(raw []byte) (*document, error) {
	nodes, err := parseNodes(raw, Limits{Bytes: MaxBytes, Depth: MaxDepth, Expanded: MaxExpanded})
	if err != nil {
		return nil, &Error{Err: err}
	}
	if len(nodes) > 1 {
		return nil, &Error{Line: nodes[1].Line, Column: nodes[1].Column, Err: ErrMultipleDocuments}
	}
	d := &document{raw: raw, lines: lineStarts(raw), eol: "\n"}
	if len(nodes) == 1 && len(nodes[0].Content) == 1 {
		d.root = nodes[0].Content[0]
	}
	if i := bytes.IndexByte(raw, '\n'); i > 0 && raw[i-1] == '\r' {
		d.eol = "\r\n"
	}
	return d, nil
}

// lineStarts returns the offset of each line, with the line breaks the YAML 1.1 scanner counts.
func lineStarts(raw []byte) []int {
	starts := []int{0}
	if bytes.HasPrefix(raw, []byte(byteOrderMark)) {
		starts[0] = len(byteOrderMark) // the reader drops the mark before it counts columns
	}
	for i := 0; i < len(raw); {
		if n := breakAt(raw, i); n > 0 {
			i += n
			starts = append(starts, i)
			continue
		}
		i++
	}
	return starts
}

// breakAt returns the length of the line break at i, or 0.
func breakAt(raw []byte, i int) int {
	if i >= len(raw) {
		return 0
	}
	switch raw[i] {
	case '\n':
		return 1
	case '\r':
		if i+1 < len(raw) && raw[i+1] == '\n' {
			return 2
		}
		return 1
	case 0xC2: // next line, U+0085
		if bytes.HasPrefix(raw[i:], []byte("\u0085")) {
			return 2
		}
	case 0xE2: // line and paragraph separator
		if bytes.HasPrefix(raw[i:], []byte("\u2028")) || bytes.HasPrefix(raw[i:], []byte("\u2029")) {
			return 3
		}
	}
	return 0
}

// fail makes the error of an edit at node.
func fail(node *yaml.Node, path Path, err error) *Error {
	e := &Error{Path: path, Err: err}
	if node != nil {
		e.Line, e.Column = node.Line, node.Column
	}
	return e
}

// start returns the offset at which node begins, before its anchor and tag.
func (d *document) start(node *yaml.Node) (int, error) {
	if node.Line < 1 || node.Line > len(d.lines) {
		return 0, ErrUnsupported
	}
	at := d.lines[node.Line-1]
	for range node.Column - 1 {
		if at >= len(d.raw) {
			return 0, ErrUnsupported
		}
		_, width := utf8.DecodeRune(d.raw[at:])
		at += width
	}
	return at, nil
}

// content returns the offset of the first byte of node after its anchor and tag.
func (d *document) content(node *yaml.Node) (int, error) {
	at, err := d.start(node)
	if err != nil {
		return 0, err
	}
	for at < len(d.raw) && (d.raw[at] == '&' || d.raw[at] == '!') {
		if isEmptyScalar(node) {
			return 0, fmt.Errorf("%w: an anchor or tag without a value", ErrUnsupported)
		}
		for at < len(d.raw) && !isSpace(d.raw[at]) && breakAt(d.raw, at) == 0 {
			at++
		}
		at = d.skipGap(at)
	}
	return at, nil
}

// skipGap returns the offset of the next byte at or after at that is neither white space nor comment.
func (d *document) skipGap(at int) int {
	for at < len(d.raw) {
		switch n := breakAt(d.raw, at); {
		case n > 0:
			at += n
		case isSpace(d.raw[at]):
			at++
		case d.raw[at] == '#':
			at = d.lineEnd(at)
		default:
			return at
		}
	}
	return at
}

// lineEnd returns the offset of the line break at or after at, or of the end of the file.
func (d *document) lineEnd(at int) int {
	for at < len(d.raw) && breakAt(d.raw, at) == 0 {
		at++
	}
	return at
}

// lineStart returns the offset at which the line that holds at begins.
func (d *document) lineStart(at int) int {
	begin := d.lines[0]
	for _, start := range d.lines {
		if start > at {
			break
		}
		begin = start
	}
	return begin
}

// column returns how many characters precede at on its line.
func (d *document) column(at int) int { return utf8.RuneCount(d.raw[d.lineStart(at):at]) }

// end returns the offset after the last byte of node, trailing comments not included.
func (d *document) end(node *yaml.Node) (int, error) {
	at, err := d.content(node)
	if err != nil {
		return 0, err
	}
	switch node.Kind {
	case yaml.ScalarNode:
		return d.scalarEnd(node, at)
	case yaml.AliasNode:
		if !bytes.HasPrefix(d.raw[at:], []byte("*"+node.Value)) {
			return 0, ErrUnsupported
		}
		return at + 1 + len(node.Value), nil
	case yaml.MappingNode, yaml.SequenceNode:
		last := at
		if n := len(node.Content); n > 0 {
			if last, err = d.end(node.Content[n-1]); err != nil {
				return 0, err
			}
		}
		if node.Style&yaml.FlowStyle == 0 {
			return last, nil
		}
		return d.flowEnd(node, at, last)
	}
	return 0, ErrUnsupported
}

// flowEnd returns the offset after the bracket that closes node, whose own bracket is at open and whose last
// child ends at last.
func (d *document) flowEnd(node *yaml.Node, open, last int) (int, error) {
	if open >= len(d.raw) {
		return 0, ErrUnsupported
	}
	closing := byte(']')
	if node.Kind == yaml.MappingNode {
		closing = '}'
	}
	switch d.raw[open] {
	case '[', '{':
	default:
		return last, nil // the pair "a: b" in "[a: b]" has no brackets of its own
	}
	at := max(last, open+1)
	for {
		at = d.skipGap(at)
		if at >= len(d.raw) {
			return 0, ErrUnsupported
		}
		switch d.raw[at] {
		case closing:
			return at + 1, nil
		case ',', ':', '?': // a trailing comma, or the indicators of an entry without value
			at++
		default:
			return 0, ErrUnsupported
		}
	}
}

// scalarEnd returns the offset after the scalar whose text begins at at.
func (d *document) scalarEnd(node *yaml.Node, at int) (int, error) {
	switch {
	case node.Style&yaml.DoubleQuotedStyle != 0:
		return d.quotedEnd(at, '"')
	case node.Style&yaml.SingleQuotedStyle != 0:
		return d.quotedEnd(at, '\'')
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return d.blockScalarEnd(at)
	default:
		return d.plainEnd(node.Value, at)
	}
}

// quotedEnd returns the offset after the closing quote of the scalar that opens at at.
func (d *document) quotedEnd(at int, quote byte) (int, error) {
	if at >= len(d.raw) || d.raw[at] != quote {
		return 0, ErrUnsupported
	}
	for i := at + 1; i < len(d.raw); i++ {
		switch {
		case quote == '"' && d.raw[i] == '\\':
			i++
		case d.raw[i] == quote && quote == '\'' && i+1 < len(d.raw) && d.raw[i+1] == quote:
			i++
		case d.raw[i] == quote:
			return i + 1, nil
		}
	}
	return 0, ErrUnsupported
}

// plainEnd walks the source and the decoded value side by side: they differ only where a line was folded.
func (d *document) plainEnd(value string, at int) (int, error) {
	i, j := at, 0
	for j < len(value) {
		if i >= len(d.raw) {
			return 0, ErrUnsupported
		}
		if d.raw[i] == value[j] && breakAt(d.raw, i) == 0 && !d.foldsAt(i) {
			i, j = i+1, j+1
			continue
		}
		from := i
		for i < len(d.raw) && (isSpace(d.raw[i]) || breakAt(d.raw, i) > 0) {
			i += max(1, breakAt(d.raw, i))
		}
		for j < len(value) && (value[j] == ' ' || breakAt([]byte(value), j) > 0) {
			j += max(1, breakAt([]byte(value), j))
		}
		if i == from {
			return 0, ErrUnsupported
		}
	}
	return i, nil
}

// foldsAt says whether white space from at runs into a line break.
func (d *document) foldsAt(at int) bool {
	for at < len(d.raw) && isSpace(d.raw[at]) {
		at++
	}
	return breakAt(d.raw, at) > 0
}

// blockScalarEnd returns the offset after the last line of the block scalar whose header ("|", ">-") is at at.
// Blank lines after it belong to it only when the header keeps them ("|+").
func (d *document) blockScalarEnd(at int) (int, error) {
	if at >= len(d.raw) || (d.raw[at] != '|' && d.raw[at] != '>') {
		return 0, ErrUnsupported
	}
	end := d.lineEnd(at)
	header, _, _ := strings.Cut(string(d.raw[at:end]), "#")
	if strings.ContainsAny(header, "123456789") {
		return 0, fmt.Errorf("%w: block scalar with an indentation number", ErrUnsupported)
	}
	keep := strings.Contains(header, "+")
	indent := -1
	for next := end + breakAt(d.raw, end); next < len(d.raw); {
		stop := d.lineEnd(next)
		spaces := next
		for spaces < stop && d.raw[spaces] == ' ' {
			spaces++
		}
		switch {
		case spaces == stop: // blank
			if keep {
				end = stop
			}
		case indent < 0 || spaces-next >= indent:
			if indent < 0 {
				indent = spaces - next
				// Text at the left edge is content only at the root; a comment or key there ends an empty scalar.
				if indent == 0 {
					return end, nil
				}
			}
			end = stop
		default:
			return end, nil
		}
		step := breakAt(d.raw, stop)
		if step == 0 {
			break
		}
		next = stop + step
	}
	return end, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isEmptyScalar says whether node is a value that was left out ("key:").
func isEmptyScalar(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Value == "" &&
		node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}
