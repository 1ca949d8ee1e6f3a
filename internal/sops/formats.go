package sops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/internal/yamledit"
)

const (
	maxDepth    = 100
	maxExpanded = 200_000
)

// IsEncrypted says whether SOPS encrypted the file, by its content.
func IsEncrypted(name string, content []byte) bool {
	if !bytes.Contains(content, []byte("sops")) || !bytes.Contains(content, []byte("ENC[AES256_GCM,")) {
		return false
	}
	switch formatOf(name, content) {
	case "dotenv":
		return true
	case "json", "binary":
		var top map[string]json.RawMessage
		return json.Unmarshal(content, &top) == nil && len(top["sops"]) > 0
	default:
		return topLevelSOPS.Match(content)
	}
}

// topLevelSOPS is the key of the metadata in YAML, and in YAML that is JSON.
var topLevelSOPS = regexp.MustCompile(`(?m)^(sops|"sops"|'sops'):|^\s*[{,]?\s*"sops"\s*:`)

// dotenvSOPS is a line of the metadata in dotenv files.
var dotenvSOPS = regexp.MustCompile(`(?m)^sops_mac=`)

// formatOf returns the format, which SOPS chooses by the file's name; a dotenv
// file may have any.
func formatOf(name string, content []byte) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml":
		return "yaml"
	case ".json":
		return "json"
	}
	if dotenvSOPS.Match(content) {
		return "dotenv"
	}
	return "binary"
}

// Decrypt returns the plain content of a file that IsEncrypted. name says its
// format: YAML (.yaml, .yml), JSON (.json), dotenv, else binary. Keys, their order
// and values are as they were; comments are not kept.
func (k *Keys) Decrypt(name string, content []byte) ([]byte, error) {
	switch formatOf(name, content) {
	case "yaml":
		return k.yaml(content)
	case "json":
		return k.json(content)
	case "dotenv":
		return k.dotenv(content)
	default:
		return k.binary(content)
	}
}

func (k *Keys) yaml(content []byte) ([]byte, error) {
	if err := yamledit.Check(content, yamledit.Limits{Bytes: len(content), Depth: maxDepth, Expanded: maxExpanded}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it is no YAML", ErrFormat)
		}
		if len(n.Content) == 1 && n.Content[0].Kind == yaml.MappingNode {
			documents = append(documents, n.Content[0])
		}
	}
	if err := k.documents(documents); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	for _, n := range documents {
		dropComments(n)
		if err := encoder.Encode(n); err != nil {
			return nil, fmt.Errorf("%w: it cannot be written again", ErrFormat)
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("%w: it cannot be written again", ErrFormat)
	}
	return out.Bytes(), nil
}

// dropComments: they may be encrypted.
func dropComments(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		dropComments(c)
	}
}

// documents decrypts mappings in place; the metadata is in the first.
func (k *Keys) documents(documents []*yaml.Node) error {
	var found *yaml.Node
	for i, n := range documents {
		for at := 0; at+1 < len(n.Content); {
			if n.Content[at].Value != "sops" {
				at += 2
				continue
			}
			if i == 0 && found != nil {
				return fmt.Errorf("%w: the key sops is there twice", ErrFormat)
			}
			if i == 0 {
				found = n.Content[at+1]
			}
			n.Content = append(n.Content[:at], n.Content[at+2:]...)
		}
	}
	if found == nil {
		return fmt.Errorf("%w: the first document has no key sops", ErrFormat)
	}
	meta, err := readMetadata(found)
	if err != nil {
		return err
	}
	o, err := newOpener(k, meta)
	if err != nil {
		return err
	}
	for _, n := range documents {
		if err := o.tree(n, nil); err != nil {
			return err
		}
	}
	return o.check()
}

func (k *Keys) json(content []byte) ([]byte, error) {
	root, err := parseJSON(content)
	if err != nil {
		return nil, err
	}
	if err := k.documents([]*yaml.Node{root}); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := writeJSON(&out, root); err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, out.Bytes(), "", "\t"); err != nil {
		return nil, fmt.Errorf("%w: it cannot be written again", ErrFormat)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// binary files are JSON with the content under the key data.
func (k *Keys) binary(content []byte) ([]byte, error) {
	root, err := parseJSON(content)
	if err != nil {
		return nil, err
	}
	if err := k.documents([]*yaml.Node{root}); err != nil {
		return nil, err
	}
	if len(root.Content) != 2 || root.Content[0].Value != "data" || root.Content[1].Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("%w: a binary file has one key, data", ErrFormat)
	}
	return []byte(root.Content[1].Value), nil
}

// dotenv files are lines KEY=VALUE; the metadata is flattened into keys that begin
// with sops_.
func (k *Keys) dotenv(content []byte) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	flat := map[string]string{}
	for _, line := range strings.Split(string(content), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, isPair := strings.Cut(line, "=")
		if !isPair {
			return nil, fmt.Errorf("%w: a line is not KEY=VALUE", ErrFormat)
		}
		value = strings.ReplaceAll(value, `\n`, "\n")
		if name, isMeta := strings.CutPrefix(key, "sops_"); isMeta {
			flat[name] = value
			continue
		}
		root.Content = append(root.Content, text(key), text(value))
	}
	meta, err := unflatten(flat)
	if err != nil {
		return nil, err
	}
	root.Content = append(root.Content, text("sops"), meta)
	if err := k.documents([]*yaml.Node{root}); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i := 0; i+1 < len(root.Content); i += 2 {
		fmt.Fprintf(&out, "%s=%s\n", root.Content[i].Value, strings.ReplaceAll(root.Content[i+1].Value, "\n", `\n`))
	}
	return out.Bytes(), nil
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// flatKey is one item of a list of recipients: age__list_0__map_enc.
var flatKey = regexp.MustCompile(`^(age|pgp)__list_([0-9]{1,3})__map_([a-z_]+)$`)

// unflatten makes the metadata of a dotenv file a mapping.
func unflatten(flat map[string]string) (*yaml.Node, error) {
	out := map[string]any{}
	lists := map[string]map[string]map[string]string{}
	for name, value := range flat {
		m := flatKey.FindStringSubmatch(name)
		switch {
		case m != nil:
			if lists[m[1]] == nil {
				lists[m[1]] = map[string]map[string]string{}
			}
			if lists[m[1]][m[2]] == nil {
				lists[m[1]][m[2]] = map[string]string{}
			}
			lists[m[1]][m[2]][m[3]] = value
		case strings.HasPrefix(name, "key_groups__"):
			out["key_groups"] = []string{name}
		case name == "mac_only_encrypted":
			out[name] = value == "true"
		case !strings.Contains(name, "__"):
			out[name] = value
		}
	}
	for name, items := range lists {
		var list []any
		for _, item := range items {
			list = append(list, item)
		}
		out[name] = list
	}
	var n yaml.Node
	if err := n.Encode(out); err != nil {
		return nil, fmt.Errorf("%w: its metadata cannot be read", ErrFormat)
	}
	return &n, nil
}
