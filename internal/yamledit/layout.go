package yamledit

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// layout is how a file indents, read off what it already has.
type layout struct {
	indent int // columns a nested mapping stands right of its key
	dash   int // columns the dashes of a list stand right of its key
}

// layout returns the indentation of the first nested mapping and the first list. A file that shows neither gets
// two columns and dashes under their key, which is what kustomize writes.
func (d *document) layout() layout {
	found := layout{indent: -1, dash: -1}
	if d.root != nil {
		found.read(d.root)
	}
	if found.indent < 0 {
		found.indent = 2
	}
	if found.dash < 0 {
		found.dash = 0
	}
	return found
}

func (l *layout) read(node *yaml.Node) {
	if l.indent >= 0 && l.dash >= 0 || node.Style&yaml.FlowStyle != 0 || node.Kind == yaml.AliasNode {
		return
	}
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 1 && child.Style&yaml.FlowStyle == 0 && child.Anchor == "" && len(child.Content) > 0 {
			offset := child.Column - node.Content[i-1].Column
			if child.Kind == yaml.MappingNode && l.indent < 0 && offset > 0 {
				l.indent = offset
			}
			if child.Kind == yaml.SequenceNode && l.dash < 0 && offset >= 0 {
				l.dash = offset
			}
		}
		l.read(child)
	}
}

// block returns the lines of value in block style, each indented by indent columns.
func (l layout) block(value any, indent int) ([]string, error) {
	margin := strings.Repeat(" ", indent)
	switch v := value.(type) {
	case mapping:
		var lines []string
		for _, e := range v {
			key, err := spell(e.key)
			if err != nil {
				return nil, err
			}
			switch child := e.value.(type) {
			case mapping, list:
				below := indent + l.indent
				if _, isList := child.(list); isList {
					below = indent + l.dash
				}
				nested, err := l.block(child, below)
				if err != nil {
					return nil, err
				}
				lines = append(append(lines, margin+key+":"), nested...)
			default:
				text, err := spell(child)
				if err != nil {
					return nil, err
				}
				lines = append(lines, margin+key+": "+text)
			}
		}
		return lines, nil
	case list:
		var lines []string
		for _, item := range v {
			nested, err := l.block(item, indent+2)
			if err != nil {
				return nil, err
			}
			nested[0] = margin + "- " + strings.TrimLeft(nested[0], " ")
			lines = append(lines, nested...)
		}
		return lines, nil
	default:
		text, err := spell(v)
		return []string{margin + text}, err
	}
}

// flow returns value in brackets.
func (l layout) flow(value any) (string, error) {
	switch v := value.(type) {
	case mapping:
		parts := make([]string, len(v))
		for i, e := range v {
			key, err := spellFlow(e.key)
			if err != nil {
				return "", err
			}
			text, err := l.flow(e.value)
			if err != nil {
				return "", err
			}
			parts[i] = key + ": " + text
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	case list:
		parts := make([]string, len(v))
		for i, item := range v {
			text, err := l.flow(item)
			if err != nil {
				return "", err
			}
			parts[i] = text
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	default:
		return spellFlow(v)
	}
}

// spell writes a scalar for a block.
func spell(value any) (string, error) {
	texts, err := spellings(value, 0)
	if err != nil {
		return "", err
	}
	return texts[0], nil
}

// spellFlow writes a scalar for use between brackets, where commas and brackets end a plain text.
func spellFlow(value any) (string, error) {
	texts, err := spellings(value, 0)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(texts[0], ",[]{}") {
		return texts[len(texts)-1], nil
	}
	return texts[0], nil
}
