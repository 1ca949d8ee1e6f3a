package sops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseJSON reads an object into nodes, which keep the order of its keys: the MAC
// depends on it.
func parseJSON(content []byte) (*yaml.Node, error) {
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	root, err := jsonValue(d, 0)
	if err != nil || root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: it is no JSON object", ErrFormat)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something is behind the JSON object", ErrFormat)
	}
	return root, nil
}

func jsonValue(d *json.Decoder, depth int) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err //nolint:wrapcheck // replaced by the caller
	}
	switch t := token.(type) {
	case json.Delim:
		if depth > maxDepth || t == '}' || t == ']' {
			return nil, ErrFormat
		}
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if t == '{' {
			n = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		for d.More() {
			child, err := jsonValue(d, depth+1) // the key of an object is a token as well
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err := d.Token()
		return n, err //nolint:wrapcheck // replaced by the caller
	case string:
		return text(t), nil
	case json.Number:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: t.String()}
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
		return n, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
}

func writeJSON(out *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		isMap := n.Kind == yaml.MappingNode
		open, closing := byte('['), byte(']')
		if isMap {
			open, closing = '{', '}'
		}
		out.WriteByte(open)
		for i, c := range n.Content {
			switch {
			case isMap && i%2 == 1:
				out.WriteByte(':')
			case i > 0:
				out.WriteByte(',')
			}
			if err := writeJSON(out, c); err != nil {
				return err
			}
		}
		out.WriteByte(closing)
		return nil
	default:
		if n.Tag != "!!str" && n.Tag != "!!timestamp" && json.Valid([]byte(n.Value)) {
			out.WriteString(n.Value)
			return nil
		}
		raw, err := json.Marshal(n.Value)
		if err != nil {
			return fmt.Errorf("%w: it cannot be written again", ErrFormat)
		}
		out.Write(raw)
		return nil
	}
}
