package chart

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxIndexBytes bounds an index; the largest public ones have 20 MB.
	maxIndexBytes = 50 << 20
	// maxWholeBytes bounds an index that has to be parsed as a whole, because it
	// is not written the way Helm writes it, and maxEntryBytes the entries of one
	// chart.
	maxWholeBytes = 4 << 20
	maxEntryBytes = 16 << 20
	// maxVersions bounds the versions of one chart.
	maxVersions = 20_000
	// maxURLBytes bounds the address of an archive.
	maxURLBytes = 2048
)

// Version is one entry of an index.
type Version struct {
	Version string
	// Digest of the archive, sha256:...; empty when the index does not say.
	Digest string
	// URL of the archive, absolute or relative to the repository.
	URL string
}

// errIndex marks what is no index of a chart repository.
var errIndex = errors.New("it is not the index of a chart repository")

var digestSyntax = regexp.MustCompile(`^(?:sha256:)?([a-f0-9]{64})$`)

// parseIndex returns the versions of the named charts, in the order of the index.
// A chart that the index does not have is not in the result.
//
// A YAML document of 20 MB takes gigabytes to parse, so what belongs to other
// charts is cut away first, by its indentation. That is only done where it cannot
// be misread: in a document of nested blocks without anchors. A text in quotes that
// goes on at the margin is not YAML, though some readers take it; who writes such an
// index says no more by it than by any other, for all of it is theirs.
func parseIndex(index []byte, names []string) (map[string][]Version, error) {
	if len(index) > maxIndexBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxIndexBytes)
	}
	entries, err := cutEntries(index, names)
	if err != nil {
		return nil, err
	}
	out := map[string][]Version{}
	for name, text := range entries {
		if len(text) > maxEntryBytes {
			return nil, fmt.Errorf("the entries of chart %q have more than %d bytes", name, maxEntryBytes)
		}
		var one map[string][]indexEntry
		if err := yaml.Unmarshal(text, &one); err != nil {
			return nil, errIndex
		}
		for key, list := range one {
			if key != name {
				continue
			}
			if out[name], err = versions(name, list); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// indexEntry is what is read of one version.
type indexEntry struct {
	Version string   `yaml:"version"`
	Digest  string   `yaml:"digest"`
	Removed bool     `yaml:"removed"`
	URLs    []string `yaml:"urls"`
}

func versions(name string, list []indexEntry) ([]Version, error) {
	if len(list) > maxVersions {
		return nil, fmt.Errorf("chart %q has more than %d versions", name, maxVersions)
	}
	out := make([]Version, 0, len(list))
	for _, e := range list {
		if e.Version == "" || e.Removed {
			continue
		}
		v := Version{Version: e.Version}
		if m := digestSyntax.FindStringSubmatch(e.Digest); m != nil {
			v.Digest = "sha256:" + m[1]
		}
		if len(e.URLs) > 0 && len(e.URLs[0]) <= maxURLBytes {
			v.URL = e.URLs[0]
		}
		out = append(out, v)
	}
	return out, nil
}

// cutEntries returns for each chart the text of its entries: "name:" and what is
// below it, without the indentation of the name's line.
func cutEntries(index []byte, names []string) (map[string][]byte, error) {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	out := map[string][]byte{}
	var (
		inEntries, isThere bool
		indent             = -1 // of the names below entries
		current            string
		block              bytes.Buffer
	)
	flush := func() {
		if current != "" {
			out[current] = bytes.Clone(block.Bytes())
		}
		current = ""
		block.Reset()
	}
	for rest := index; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		text := bytes.TrimLeft(line, " ")
		at := len(line) - len(text)
		switch {
		case len(text) == 0, text[0] == '#' && (current == "" || at <= indent):
			if current != "" {
				block.WriteString("\n")
			}
			continue
		case text[0] == '\t':
			return whole(index, names)
		case at == 0 && text[0] != '-' && text[0] != '#':
			flush()
			key, value, isKey := cutKey(text)
			if !isKey && !bytes.HasPrefix(text, []byte("---")) && !bytes.HasPrefix(text, []byte("...")) {
				return whole(index, names)
			}
			inEntries = key == "entries"
			if inEntries && isThere {
				return nil, errIndex // twice: readers differ about which counts
			}
			isThere = isThere || inEntries
			switch {
			case inEntries && value == "{}":
				inEntries = false
			case inEntries && value != "":
				return whole(index, names)
			}
			continue
		case !inEntries:
			continue
		}
		if indent < 0 {
			indent = at
		}
		switch {
		case at < indent:
			return whole(index, names)
		case at == indent && text[0] != '-' && text[0] != '#':
			flush()
			key, value, isKey := cutKey(text)
			if !isKey || value != "" && value != "[]" {
				return whole(index, names)
			}
			if wanted[key] {
				if _, isTwice := out[key]; isTwice {
					return nil, errIndex
				}
				current = key
			}
		}
		if current != "" {
			block.Write(line[indent:])
			block.WriteString("\n")
		}
	}
	flush()
	if !isThere {
		return whole(index, names)
	}
	return out, nil
}

// cutKey takes a line "key: value" apart: a plain or quoted key without escapes.
func cutKey(line []byte) (key, value string, ok bool) {
	text := string(line)
	if q := text[0]; q == '"' || q == '\'' {
		end := strings.IndexByte(text[1:], q)
		if end < 0 || strings.ContainsAny(text[1:1+end], `\`) || !strings.HasPrefix(text[2+end:], ":") {
			return "", "", false
		}
		key, value = text[1:1+end], text[3+end:]
	} else {
		k, v, found := strings.Cut(text, ":")
		if !found || strings.ContainsAny(k, "&*!|>{}[],\"'%@`?") {
			return "", "", false
		}
		key, value = strings.TrimSpace(k), v
	}
	if value != "" && value[0] != ' ' {
		return "", "", false
	}
	value, _, _ = strings.Cut(strings.TrimSpace(value)+" ", " #")
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, "#") {
		value = ""
	}
	return key, value, true
}

// whole parses an index that is written in another way, such as JSON, if it is
// small enough.
func whole(index []byte, names []string) (map[string][]byte, error) {
	if len(index) > maxWholeBytes {
		return nil, fmt.Errorf("%w as Helm writes it, and with more than %d bytes too large to be read otherwise", errIndex, maxWholeBytes)
	}
	var doc struct {
		Entries map[string]yaml.Node `yaml:"entries"`
	}
	if err := yaml.Unmarshal(index, &doc); err != nil || doc.Entries == nil {
		return nil, errIndex
	}
	out := map[string][]byte{}
	for _, n := range names {
		node, ok := doc.Entries[n]
		if !ok {
			continue
		}
		var list []indexEntry
		if err := node.Decode(&list); err != nil {
			return nil, errIndex
		}
		text, err := yaml.Marshal(map[string][]indexEntry{n: list})
		if err != nil {
			return nil, errIndex
		}
		out[n] = text
	}
	return out, nil
}
