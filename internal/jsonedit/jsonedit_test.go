package jsonedit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/jsonedit"
)

func TestSet(t *testing.T) {
	for name, c := range map[string]struct {
		doc   string
		path  []string
		value string
		want  string
	}{
		"replace":             {`{"a": 1, "b": "x" }`, []string{"b"}, `"y"`, `{"a": 1, "b": "y" }`},
		"same":                {`{"a":1}`, []string{"a"}, `1`, `{"a":1}`},
		"add, spaced":         {`{"a": 1}`, []string{"b"}, `2`, `{"a": 1, "b": 2}`},
		"add, by lines":       {"{\n  \"a\": 1\n}\n", []string{"b"}, `2`, "{\n  \"a\": 1,\n  \"b\": 2\n}\n"},
		"add to an empty":     {`{}`, []string{"a", "b"}, `true`, `{"a": {"b": true}}`},
		"below":               {`{"a": {"b": [1, 2]}}`, []string{"a", "b", "1"}, `3`, `{"a": {"b": [1, 3]}}`},
		"append":              {`[1, 2]`, []string{"2"}, `3`, `[1, 2, 3]`},
		"a key with quotes":   {`{"a\"b": 1}`, []string{`a"b`}, `2`, `{"a\"b": 2}`},
		"braces in text":      {`{"x": "}{", "a": 1}`, []string{"a"}, `2`, `{"x": "}{", "a": 2}`},
		"twice: the last":     {`{"a": 1, "a": 2}`, []string{"a"}, `3`, `{"a": 1, "a": 3}`},
		"an escaped spelling": {`{"\u0061": 1}`, []string{"a"}, `2`, `{"\u0061": 2}`},
	} {
		got, err := jsonedit.Set([]byte(c.doc), c.path, []byte(c.value))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
	for _, c := range []struct {
		doc  string
		path []string
		want error
	}{
		{`{"a": 1`, []string{"a"}, jsonedit.ErrInvalid},
		{`{"a": 1}`, []string{"a", "b"}, jsonedit.ErrNotFound},
		{`[1]`, []string{"5"}, jsonedit.ErrNotFound},
		{`[1]`, []string{"x"}, jsonedit.ErrNotFound},
		{`{}`, []string{"\xbc"}, jsonedit.ErrNotFound},
	} {
		if _, err := jsonedit.Set([]byte(c.doc), c.path, []byte("1")); !errors.Is(err, c.want) {
			t.Errorf("%s %v: %v, want %v", c.doc, c.path, err, c.want)
		}
	}
}

// FuzzSet: the result is valid, has the value at its path, and setting it again
// changes nothing.
func FuzzSet(f *testing.F) {
	for _, s := range []string{`{"a": {"b": 1}}`, `{}`, `[]`, `{"a":[1,{"b":2}]}`, "{\n\t\"a\" : \"}\"\n}", `{"a":1,"a":2}`, `1`} {
		f.Add([]byte(s), "a", "b")
	}
	f.Fuzz(func(t *testing.T, doc []byte, a, b string) {
		once, err := jsonedit.Set(doc, []string{a, b}, []byte(`"new"`))
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%s became %s", doc, once)
		}
		twice, err := jsonedit.Set(once, []string{a, b}, []byte(`"new"`))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s, then %s, %v", once, twice, err)
		}
		var v map[string]any
		if json.Unmarshal(once, &v) != nil {
			return // a list
		}
		if m, ok := v[a].(map[string]any); ok {
			if d := cmp.Diff("new", m[b]); d != "" && json.Valid([]byte(`"`+a+b+`"`)) {
				t.Fatalf("%s became %s: %s", doc, once, d)
			}
		}
	})
}
