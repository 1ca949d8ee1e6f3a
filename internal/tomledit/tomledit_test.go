package tomledit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/tomledit"
)

const doc = `# how it runs
title = 'old' # keep me

[image]
repository = "registry.example.com/guestbook"
tag = "1.26.0"   # set by Waybill
pull = { policy = "Always", secrets = ["a", "b"] }

[[zones]]
name = "a"

[[zones]]
name = "b"
[zones.limits]
cpu = 2
`

func TestSet(t *testing.T) {
	for _, c := range []struct {
		why, path string
		value     any
		old, new  string // what is replaced; old empty: new is added
	}{
		{"a value of a table", "image.tag", "1.27.0", `"1.26.0"`, `"1.27.0"`},
		{"a value at the top, in other quotes", "title", "new", `'old'`, `"new"`},
		{"a value in an inline table", "image.pull.policy", "Never", `"Always"`, `"Never"`},
		{"an item of a list", "image.pull.secrets.1", "c", `"b"]`, `"c"]`},
		{"a value in a list of tables", "zones.1.name", "c", `name = "b"`, `name = "c"`},
		{"below a list of tables", "zones.1.limits.cpu", int64(4), "cpu = 2", "cpu = 4"},
		{"another type", "image.tag", true, `"1.26.0"`, "true"},
		{"a missing key", "image.digest", "sha256:a", "secrets = [\"a\", \"b\"] }\n", "secrets = [\"a\", \"b\"] }\ndigest = \"sha256:a\"\n"},
		{"a missing key at the top", "replicas", int64(3), "keep me\n", "keep me\nreplicas = 3\n"},
		{"a missing table", "new.table.key", 1.5, "keep me\n", "keep me\nnew.table.key = 1.5\n"},
		{"a key in need of quotes", "image.a b", "x", "secrets = [\"a\", \"b\"] }\n", "secrets = [\"a\", \"b\"] }\n\"a b\" = \"x\"\n"},
		{"text with quotes and lines", "title", "a\"b\\\nc", `'old'`, `"a\"b\\\nc"`},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := tomledit.Set([]byte(doc), strings.Split(c.path, "."), c.value)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Replace(doc, c.old, c.new, 1), string(got)); d != "" {
				t.Error(d)
			}
			again, err := tomledit.Set(got, strings.Split(c.path, "."), c.value)
			if err != nil || string(again) != string(got) {
				t.Errorf("set again: %v\n%s", err, again)
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	for why, c := range map[string]struct {
		doc, path string
		value     any
		want      error
	}{
		"no TOML":                {"a = = 1", "a", "b", tomledit.ErrInvalid},
		"a table":                {doc, "image", "b", tomledit.ErrNotFound},
		"a list":                 {doc, "image.pull.secrets", "b", tomledit.ErrNotFound},
		"below a value":          {doc, "image.tag.x", "b", tomledit.ErrNotFound},
		"an item that is none":   {doc, "zones.7.name", "b", tomledit.ErrNotFound},
		"into an inline table":   {doc, "image.pull.new", "b", tomledit.ErrNotFound},
		"a value without a form": {doc, "title", []any{1}, tomledit.ErrInvalid},
		"a deep document":        {"a = " + strings.Repeat("[", 100_000), "a", "b", tomledit.ErrInvalid},
	} {
		t.Run(why, func(t *testing.T) {
			if got, err := tomledit.Set([]byte(c.doc), strings.Split(c.path, "."), c.value); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v\n%s", err, c.want, got)
			}
		})
	}
}

// FuzzTOMLEdit: an accepted edit decodes to the old document with the one value
// set, and changes nothing the second time.
func FuzzTOMLEdit(f *testing.F) {
	for _, seed := range []string{doc, "", "a.b.c = 1\r\n[x]\r\n", "a = '''\nx\n'''\n", "[a]\n[a.b]\nc=1979-05-27\n", "\"a.b\" = [[1, 2], [\"x\"]]", "[[a]]\n[[a.b]]\nc=1\n[[a]]\n[[a.b]]\n"} {
		for _, at := range []string{"a", "image.tag", "a.b.c", "zones.0.name", "a.1.b.0.c"} {
			f.Add(seed, at, "1.27.0")
		}
	}
	f.Fuzz(func(t *testing.T, doc, dotted, value string) {
		if len(doc) > 1<<12 {
			return
		}
		at := strings.Split(dotted, ".")
		got, err := tomledit.Set([]byte(doc), at, value)
		if err != nil {
			if !errors.Is(err, tomledit.ErrInvalid) && !errors.Is(err, tomledit.ErrNotFound) {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		var after map[string]any
		if err := toml.Unmarshal(got, &after); err != nil {
			t.Fatalf("result does not decode: %v\n%q", err, got)
		}
		again, err := tomledit.Set(got, at, value)
		if err != nil || string(again) != string(got) {
			t.Fatalf("set again: %v\n%q\n%q", err, got, again)
		}
	})
}
