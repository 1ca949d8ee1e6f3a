// Package tomledit sets values in TOML files and leaves every other byte alone,
// comments and order included. An edit is read again before it is given out:
// only what it set may differ.
package tomledit

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Errors of Set.
var (
	// ErrInvalid: the file is no TOML, or the value has no form in it.
	ErrInvalid = errors.New("not valid TOML")
	// ErrNotFound: nothing can be set there: the path leads through a value that
	// is no table, names a table, or an item that is not in its list.
	ErrNotFound = errors.New("the path leads nowhere")
)

// maxBytes bounds a document, and maxDepth how deep values are nested in it.
const (
	maxBytes = 4 << 20
	maxDepth = 200
)

// Set returns doc with value at path: a text, an int64, a float64 or a bool. A
// part of the path that is an index leads into a list. A key that is missing is
// added to the table that is there. When the value is there already, doc itself
// is returned.
func Set(doc []byte, path []string, value any) ([]byte, error) {
	if len(path) == 0 || isTooLarge(doc) {
		return nil, fmt.Errorf("%w: no path, or too large", ErrInvalid)
	}
	text, err := format(value)
	if err != nil {
		return nil, err
	}
	before, err := decode(doc)
	if err != nil {
		return nil, err
	}
	s := scan{path: path, parser: &unstable.Parser{}}
	if err := s.run(doc); err != nil {
		return nil, err
	}
	var out []byte
	switch {
	case s.value.Length > 0:
		begin, end := int(s.value.Offset), int(s.value.Offset+s.value.Length)
		out = splice(doc, begin, end, text)
	case s.isTaken:
		return nil, fmt.Errorf("%w: %s holds more than one value", ErrNotFound, strings.Join(path, "."))
	default:
		out = s.insert(doc, text)
	}
	if isTooLarge(out) {
		return nil, fmt.Errorf("%w: too large with this value, or its brackets are nested too deep", ErrInvalid)
	}
	after, err := decode(out)
	if err != nil || !assign(before, path, value) || !reflect.DeepEqual(before, after) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, strings.Join(path, "."))
	}
	if string(out) == string(doc) {
		return doc, nil
	}
	return out, nil
}

func decode(doc []byte) (map[string]any, error) {
	out := map[string]any{}
	if err := toml.Unmarshal(doc, &out); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return out, nil
}

// isTooLarge says of a document that it is not read.
func isTooLarge(doc []byte) bool { return len(doc) > maxBytes || nesting(doc) > maxDepth }

// nesting returns how many brackets are open at once at most, those in texts and
// comments included.
func nesting(doc []byte) int {
	open, deepest := 0, 0
	for _, c := range doc {
		switch c {
		case '[', '{':
			open++
			deepest = max(deepest, open)
		case ']', '}':
			open--
		}
	}
	return deepest
}

// format writes a value.
func format(value any) (string, error) {
	switch v := value.(type) {
	case string:
		if !utf8.ValidString(v) {
			return "", fmt.Errorf("%w: the text is not UTF-8", ErrInvalid)
		}
		return quote(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", fmt.Errorf("%w: %v is no number", ErrInvalid, v)
		}
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text, nil
	case bool:
		return strconv.FormatBool(v), nil
	default:
		return "", fmt.Errorf("%w: TOML has no form for %T here", ErrInvalid, value)
	}
}

func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func splice(doc []byte, begin, end int, text string) []byte {
	out := make([]byte, 0, len(doc)-(end-begin)+len(text))
	return append(append(append(out, doc[:begin]...), text...), doc[end:]...)
}

// scan looks for the path in a document.
type scan struct {
	path   []string
	parser *unstable.Parser
	// value is where the value at the path is.
	value unstable.Range
	// isTaken: a table or a list is there.
	isTaken bool
	// table is how much of the path the best table names, at the end of whose
	// lines (after) a missing key is added; current is that of the present one,
	// -1 when it is not on the path.
	table, current, after int
}

func (s *scan) run(doc []byte) error {
	items := map[string]int{} // how many items each list of tables has so far
	at := []string{}
	s.parser.Reset(doc)
	for s.parser.NextExpression() {
		e := s.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			at = expand(keys(e), items, e.Kind == unstable.ArrayTable)
			s.current = -1
			if isPrefix(at, s.path) {
				s.isTaken = s.isTaken || len(at) == len(s.path)
				if len(at) < len(s.path) {
					s.current = len(at)
					s.reached(doc, lastKeyEnd(e))
				}
			} else if isPrefix(s.path, at) {
				s.isTaken = true
			}
		case unstable.KeyValue:
			s.look(append(at[:len(at):len(at)], keys(e)...), e.Value())
			if s.current >= 0 {
				s.reached(doc, int(e.Raw.Offset+e.Raw.Length))
			}
		default:
		}
	}
	if err := s.parser.Error(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// reached notes the end of a line of the present table, if that is the best one.
func (s *scan) reached(doc []byte, offset int) {
	if s.current < s.table {
		return
	}
	s.table = s.current
	for offset < len(doc) && doc[offset] != '\n' {
		offset++
	}
	s.after = min(offset+1, len(doc))
}

// look compares a value, and what is in it, with the path.
func (s *scan) look(at []string, v *unstable.Node) {
	switch {
	case !isPrefix(at, s.path):
		s.isTaken = s.isTaken || isPrefix(s.path, at)
		return
	case len(at) == len(s.path):
		if v.Kind == unstable.Array || v.Kind == unstable.InlineTable {
			s.isTaken = true
			return
		}
		s.value = v.Raw
		return
	case v.Kind == unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if n := it.Node(); n.Kind == unstable.KeyValue {
				s.look(append(at[:len(at):len(at)], keys(n)...), n.Value())
			}
		}
	case v.Kind == unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			if it.Node().Kind != unstable.Comment {
				s.look(append(at[:len(at):len(at)], strconv.Itoa(i)), it.Node())
				i++
			}
		}
	}
	if len(at) < len(s.path) && s.value.Length == 0 {
		s.isTaken = true // there is no room for the key below a value
	}
}

// insert adds the missing key to the best table.
func (s *scan) insert(doc []byte, text string) []byte {
	rest := make([]string, 0, len(s.path)-s.table)
	for _, key := range s.path[s.table:] {
		rest = append(rest, bare(key))
	}
	end := "\n"
	if strings.Contains(string(doc), "\r\n") {
		end = "\r\n"
	}
	line := strings.Join(rest, ".") + " = " + text + end
	if s.after > 0 && doc[s.after-1] != '\n' {
		line = end + line
	}
	return splice(doc, s.after, s.after, line)
}

// bare writes a key, in quotes where it needs them.
func bare(key string) string {
	for _, r := range key {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return quote(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}

func keys(n *unstable.Node) []string {
	var out []string
	for it := n.Key(); it.Next(); {
		out = append(out, string(it.Node().Data))
	}
	return out
}

func lastKeyEnd(n *unstable.Node) int {
	end := 0
	for it := n.Key(); it.Next(); {
		end = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	return end
}

// expand adds the indexes of the present items of lists of tables to the name of
// a table. begins says that the table begins a new item.
func expand(name []string, items map[string]int, begins bool) []string {
	var out []string
	for i, key := range name {
		out = append(out, key)
		list := strings.Join(out, "\x00")
		if begins && i == len(name)-1 {
			items[list]++
			for below := range items {
				if strings.HasPrefix(below, list+"\x00"+strconv.Itoa(items[list]-1)+"\x00") {
					delete(items, below)
				}
			}
		}
		if n := items[list]; n > 0 {
			out = append(out, strconv.Itoa(n-1))
		}
	}
	return out
}

func isPrefix(a, b []string) bool {
	if len(a) > len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// assign sets value in a decoded document, and reports whether there is room.
func assign(in any, path []string, value any) bool {
	switch c := in.(type) {
	case map[string]any:
		if len(path) == 1 {
			c[path[0]] = value
			return true
		}
		if c[path[0]] == nil {
			c[path[0]] = map[string]any{}
		}
		return assign(c[path[0]], path[1:], value)
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(c) {
			return false
		}
		if len(path) == 1 {
			c[i] = value
			return true
		}
		return assign(c[i], path[1:], value)
	case []map[string]any:
		i, err := strconv.Atoi(path[0])
		return err == nil && i >= 0 && i < len(c) && len(path) > 1 && assign(c[i], path[1:], value)
	default:
		return false
	}
}
