package yamledit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSet(t *testing.T) {
	tests := []struct {
		name, why string
		doc       string
		path      string
		value     any
		want      string
	}{
		{
			name: "plain", why: "comments, blank lines and neighbours stay",
			doc: "# head\na: 1 # one\n\n  # odd comment\nb:   two   # keep\n", path: "b", value: "three",
			want: "# head\na: 1 # one\n\n  # odd comment\nb:   three   # keep\n",
		},
		{name: "double quotes stay", doc: `tag: "1.26.0" # v` + "\n", path: "tag", value: "1.27.0", want: `tag: "1.27.0" # v` + "\n"},
		{name: "single quotes stay", doc: `tag: '1.26.0'`, path: "tag", value: "it's", want: `tag: 'it''s'`},
		{name: "single quotes cannot escape", doc: `tag: '1.26.0'`, path: "tag", value: "a\nb", want: `tag: "a\nb"`},
		{
			name: "number-like tag is quoted", why: "1.30 would be the number 1.3, and kustomize refuses a number for newTag",
			doc: "newTag: v1\n", path: "newTag", value: "1.30", want: "newTag: \"1.30\"\n",
		},
		{name: "exponent", why: "a short commit id may look like a number", doc: "k: x\n", path: "k", value: "1e10", want: "k: \"1e10\"\n"},
		{name: "yaml 1.1 boolean", why: "Kubernetes reads a bare on as true", doc: "k: x\n", path: "k", value: "on", want: "k: \"on\"\n"},
		{name: "base 60", why: "YAML 1.1 reads 12:30 as 750", doc: "k: x\n", path: "k", value: "12:30", want: "k: \"12:30\"\n"},
		{name: "hash", doc: "k: x\n", path: "k", value: "a #b", want: "k: \"a #b\"\n"},
		{name: "empty text", doc: "k: x\n", path: "k", value: "", want: "k: \"\"\n"},
		{name: "integer", doc: "replicas: 3 # n\n", path: "replicas", value: 5, want: "replicas: 5 # n\n"},
		{name: "text becomes integer", doc: "replicas: \"3\"\n", path: "replicas", value: int64(5), want: "replicas: 5\n"},
		{name: "boolean", doc: "on: false", path: "on", value: true, want: "on: true"},
		{name: "float", doc: "f: 1", path: "f", value: 2.0, want: "f: 2.0"},
		{name: "null", doc: "f: 1", path: "f", value: nil, want: "f: null"},
		{name: "empty value", why: "the value goes behind the colon and before the comment", doc: "a:   # none\nb: 1\n", path: "a", value: "x", want: "a: x   # none\nb: 1\n"},
		{name: "empty value at the end of the file", doc: "b: 1\na:", path: "a", value: "x", want: "b: 1\na: x"},
		{name: "empty list item", doc: "l:\n- a\n-\n- c\n", path: "l.1", value: "b", want: "l:\n- a\n- b\n- c\n"},
		{name: "same value changes no byte", doc: "a:   'x'  \r\n", path: "a", value: "x", want: "a:   'x'  \r\n"},
		{name: "CRLF", doc: "a: 1\r\nb: x\r\nc: 3\r\n", path: "b", value: "w", want: "a: 1\r\nb: w\r\nc: 3\r\n"},
		{name: "byte order mark", doc: "\ufeffa: x\nb: y\n", path: "a", value: "z", want: "\ufeffa: z\nb: y\n"},
		{name: "no final newline", doc: "a: x\nb: y", path: "b", value: "z", want: "a: x\nb: z"},
		{name: "multi-byte text before", why: "columns count characters, not bytes", doc: "{ä: 'ö', b: x}\n", path: "b", value: "w", want: "{ä: 'ö', b: w}\n"},
		{name: "document markers", doc: "%YAML 1.1\n---\na: x\n...\n", path: "a", value: "w", want: "%YAML 1.1\n---\na: w\n...\n"},
		{name: "folded plain scalar", doc: "a: one\n  two\n\n  three\nb: 1\n", path: "a", value: "x", want: "a: x\nb: 1\n"},
		{name: "folded quoted scalar", doc: "a: \"one\n  two\"\nb: 1\n", path: "a", value: "x", want: "a: \"x\"\nb: 1\n"},
		{name: "literal block", doc: "a: |-\n  one\n  two\n\n# c\nb: 1\n", path: "a", value: "x", want: "a: x\n\n# c\nb: 1\n"},
		{name: "kept block", doc: "a: |+\n  one\n\nb: 1\n", path: "a", value: "x", want: "a: x\nb: 1\n"},
		{name: "flow", doc: "l: [a, {b: c}, d]\n", path: "l.1.b", value: "x,y", want: "l: [a, {b: \"x,y\"}, d]\n"},
		{name: "flow over lines", doc: "l: [\n  a, # first\n  b\n]\n", path: "l.0", value: "x", want: "l: [\n  x, # first\n  b\n]\n"},
		{name: "quoted key", doc: "\"a.b\": 1\n", path: `a\.b`, value: 2, want: "\"a.b\": 2\n"},
		{name: "number key", doc: "8080: x\n", path: "8080", value: "w", want: "8080: w\n"},
		{name: "alias is replaced", why: "only this use of the anchor changes", doc: "a: &v x\nb: *v\nc: 1\n", path: "b", value: "w", want: "a: &v x\nb: w\nc: 1\n"},
		{name: "anchor without aliases", doc: "a: &v x\n", path: "a", value: "w", want: "a: &v w\n"},
		{name: "merged key gets its own", why: "a key of the mapping wins over a merged one", doc: "d: &d {v: 1}\na:\n  <<: *d\n  w: 2\n", path: "a.v", value: 3, want: "d: &d {v: 1}\na:\n  <<: *d\n  w: 2\n  v: 3\n"},

		{name: "add key", doc: "a:\n    b: 1 # one\n    # about d\n    d: 2\n\nz: 1\n", path: "a.c", value: "x", want: "a:\n    b: 1 # one\n    # about d\n    d: 2\n    c: x\n\nz: 1\n"},
		{name: "add key at the end, CRLF, no final newline", doc: "a: 1\r\nb: 2", path: "c", value: 3, want: "a: 1\r\nb: 2\r\nc: 3"},
		{name: "add key below a literal", doc: "a: |\n  text\nb: 1\n", path: "c", value: 3, want: "a: |\n  text\nb: 1\nc: 3\n"},
		{name: "add key below a last literal", doc: "b: 1\na: |\n  text\n", path: "c", value: 3, want: "b: 1\na: |\n  text\nc: 3\n"},
		{name: "add parents in the file's indentation", doc: "a:\n    b: 1\n", path: "x.k.z", value: "v", want: "a:\n    b: 1\nx:\n    k:\n        z: v\n"},
		{name: "add list in the file's dash style", doc: "a:\n  - 1\n", path: "b.0.c", value: "v", want: "a:\n  - 1\nb:\n  - c: v\n"},
		{name: "add list, no style known", doc: "a: 1\n", path: "b.0.c", value: "v", want: "a: 1\nb:\n- c: v\n"},
		{name: "append item", doc: "l:\n  - a # x\n  # end\nz: 1\n", path: "l.1", value: "b", want: "l:\n  - a # x\n  - b\n  # end\nz: 1\n"},
		{name: "append item with key", doc: "l:\n- k: a\n  t: b\n", path: "l.1.k", value: "b", want: "l:\n- k: a\n  t: b\n- k: b\n"},
		{name: "fill null with a mapping", doc: "a: # none\nb: 1\n", path: "a.x", value: 1, want: "a: # none\n  x: 1\nb: 1\n"},
		{name: "fill empty brackets", doc: "a: [] # none\nb: 1\n", path: "a.0", value: "x", want: "a: # none\n- x\nb: 1\n"},
		{name: "fill empty braces", doc: "a: {}\n", path: "a.k", value: "x", want: "a:\n  k: x\n"},
		{name: "fill empty braces inside brackets", doc: "l: [{}]\n", path: "l.0.k", value: "x", want: "l: [{k: x}]\n"},
		{name: "add to flow mapping", doc: "m: {a: 1, }\n", path: "m.b", value: "x", want: "m: {a: 1, b: x, }\n"},
		{name: "add to flow list", doc: "l: [a, b]\n", path: "l.2.c", value: "1.0", want: "l: [a, b, {c: \"1.0\"}]\n"},
		{name: "empty file", doc: "", path: "a.b", value: 1, want: "a:\n  b: 1\n"},
		{name: "comments only", doc: "# nothing yet", path: "a", value: 1, want: "# nothing yet\na: 1"},
		{name: "dots in an added key", doc: "a: 1\n", path: `m.example\.com/x`, value: "w", want: "a: 1\nm:\n  example.com/x: w\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, err := ParsePath(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Set([]byte(tt.doc), path, tt.value)
			if err != nil {
				t.Fatalf("Set: %v (%s)", err, tt.why)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.why, diff)
			}
			again, err := Set(got, path, tt.value)
			if err != nil || string(again) != string(got) {
				t.Errorf("setting twice: %q, %v", again, err)
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	tests := []struct {
		name, why string
		doc       string
		path      Path
		value     any
		want      error
		text      string // part of the message
	}{
		{name: "shared anchor", why: "b would change with it", doc: "a: &v x\nb: *v\n", path: Path{"a"}, value: "y", want: ErrShared, text: "line 1, column 4: a: "},
		{name: "through an alias", doc: "a: &v {k: x}\nb: *v\n", path: Path{"b", "k"}, value: "y", want: ErrShared, text: `alias "v"`},
		{name: "below a merged mapping", why: "the added key would hide its merged siblings", doc: "d: &d {m: {v: 1, w: 2}}\na:\n  <<: *d\n", path: Path{"a", "m", "v"}, value: 3, want: ErrShared},
		{name: "mapping", doc: "a: {b: 1}\n", path: Path{"a"}, value: "x", want: ErrNotScalar},
		{name: "list", doc: "\n\na:\n- 1\n", path: Path{"a"}, value: "x", want: ErrNotScalar, text: "line 4, column 1: a: "},
		{name: "below a scalar", doc: "a: x\n", path: Path{"a", "b"}, value: "x", want: ErrNoSuchPath},
		{name: "index out of range", doc: "a: [1]\n", path: Path{"a", "2"}, value: "x", want: ErrNoSuchPath, text: "list has 1 items"},
		{name: "index with a leading zero", doc: "a: [1]\n", path: Path{"a", "00"}, value: "x", want: ErrNoSuchPath},
		{name: "name in a list", doc: "a: [1]\n", path: Path{"a", "b"}, value: "x", want: ErrNoSuchPath},
		{name: "two documents", doc: "a: 1\n---\nb: 1\n", path: Path{"a"}, value: "x", want: ErrMultipleDocuments, text: "line 2, column 1"},
		{name: "duplicate keys", why: "which one would be read is not certain", doc: "a: 1\na: 2\n", path: Path{"a"}, value: "x", want: ErrNotYAML},
		{name: "duplicate keys elsewhere", doc: "a: 1\nb: 2\nb: 2\n", path: Path{"a"}, value: 1, want: ErrNotYAML},
		{name: "tabs", doc: "a:\n\tb: 1\n", path: Path{"a", "b"}, value: "x", want: ErrNotYAML},
		{name: "not UTF-8", doc: "a: \xff\n", path: Path{"a"}, value: "x", want: ErrNotYAML},
		{name: "UTF-16", doc: "\xff\xfea\x00:\x00", path: Path{"a"}, value: "x", want: ErrNotYAML},
		{name: "NUL", doc: "a: \x00\n", path: Path{"a"}, value: "x", want: ErrNotYAML},
		{name: "self reference", doc: "a: &a [*a]\n", path: Path{"b"}, value: "x", want: ErrNotYAML},
		{name: "unknown alias", doc: "a: *b\n", path: Path{"b"}, value: "x", want: ErrNotYAML},
		{name: "alias bomb", doc: bomb, path: Path{"b"}, value: "x", want: ErrTooLarge},
		{name: "deep", doc: strings.Repeat("[", 5000) + strings.Repeat("]", 5000), path: Path{"0"}, value: "x", want: ErrTooLarge},
		{name: "large", doc: strings.Repeat("#", MaxBytes+1), path: Path{"a"}, value: "x", want: ErrTooLarge},
		{name: "value not UTF-8", doc: "a: 1\n", path: Path{"a"}, value: "\xff", want: ErrInvalidValue},
		{name: "value is a list", doc: "a: 1\n", path: Path{"a"}, value: []string{"x"}, want: ErrInvalidValue},
		{name: "empty path", doc: "a: 1\n", path: nil, value: "x", want: ErrInvalidValue},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Set([]byte(tt.doc), tt.path, tt.value)
			if !errors.Is(err, tt.want) || got != nil {
				t.Fatalf("Set = %q, %v; want %v (%s)", got, err, tt.want, tt.why)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("error is %T, not *Error", err)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("message %q does not contain %q", err, tt.text)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	tests := []struct{ name, doc, path, want string }{
		{"own line", "a: 1\n# about b\nb: 2 # two\nc: 3\n", "b", "a: 1\n# about b\nc: 3\n"},
		{"last line keeps the file's end", "a: 1\nb: 2", "b", "a: 1"},
		{"last line, CRLF", "a: 1\r\nb: 2", "b", "a: 1"},
		{"nested block goes whole", "a: 1\nb:\n  c: |\n    text\n  d: 2\ne: 1\n", "b", "a: 1\ne: 1\n"},
		{"behind a dash", "l:\n- a: 1 # one\n  b: 2\n", "l.0.a", "l:\n- b: 2\n"},
		{"behind a dash with a comment between", "l:\n- a: 1\n  # about b\n  b: 2\n", "l.0.a", "l:\n-\n  # about b\n  b: 2\n"},
		{"flow, first", "m: {a: 1, b: 2}\n", "m.a", "m: {b: 2}\n"},
		{"flow, last", "m: {a: 1, b: 2}\n", "m.b", "m: {a: 1}\n"},
		{"missing", "a: 1\n", "b.c", "a: 1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, err := ParsePath(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Delete([]byte(tt.doc), path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := Delete([]byte("m: {a: 1}\n"), Path{"m", "a"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("last key: %v", err)
	}
	if _, err := Delete([]byte("l: [a]\n"), Path{"l", "0"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("list item: %v", err)
	}
}

func TestParsePath(t *testing.T) {
	got, err := ParsePath(`a.b\.c.0.d\\e`)
	if diff := cmp.Diff(Path{"a", "b.c", "0", `d\e`}, got); diff != "" || err != nil {
		t.Fatalf("%v %s", err, diff)
	}
	if got.String() != `a.b\.c.0.d\\e` {
		t.Errorf("String = %q", got)
	}
	for _, bad := range []string{"", ".", "a..b", "a."} {
		if _, err := ParsePath(bad); !errors.Is(err, ErrInvalidValue) {
			t.Errorf("ParsePath(%q): %v", bad, err)
		}
	}
}
