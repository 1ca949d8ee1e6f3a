package yamledit

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// fuzzBudget is the longest one edit may take, on a machine that does other things too.
const fuzzBudget = time.Minute

// FuzzYAMLEdit: an accepted edit decodes to the old document with the one value set (checked with an oracle that
// shares no code with the package), touches one run of bytes, and changes nothing the second time.
func FuzzYAMLEdit(f *testing.F) {
	seeds := []string{
		"a: 1\nb: two # c\n", "a:\r\n- b: x\r\n- c", "\ufeffa: 'x'", "a: &v x\nb: *v\n", "d: &d {v: 1}\na:\n  <<: *d\n  w: 2\n",
		"a: |\n  t\n\nb: >+\n  u\n\n", "{a: [1, {b: \"c\\\"d\"}], ? e : f}", "a: 1\na: 2\n", "a.b: 1\n'c d': {}\n", "a:\n  # c\nb: []\n",
		"---\na: !!str 1\n...\n", "a: one\n  two\n\n  three\n", "? a\n: b\n", "- - a\n  - b\n- c:\n", "a: \u2028b\n", "a: [*x]\n", "\t", "a: \"\\\n  x\"\n",
	}
	for _, seed := range seeds {
		for _, path := range []string{"a", "b", "a.0.b", "a.v", "0.0", "x.y.0.z"} {
			f.Add(seed, path, "1.27.0")
		}
	}
	f.Add("a: 1\n", "a", "true")
	f.Add("a: 'b'\n", "a", "it's # \n \x01")
	f.Fuzz(func(t *testing.T, doc, dotted, value string) {
		if len(doc) > 1<<14 || len(value) > 1<<10 {
			return
		}
		path, err := ParsePath(dotted)
		if err != nil {
			return
		}
		begin := time.Now()
		out, err := Set([]byte(doc), path, value)
		if took := time.Since(begin); took > fuzzBudget {
			t.Fatalf("took %v", took)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || out != nil {
				t.Fatalf("error %T %v with output %q", err, err, out)
			}
			return
		}
		var before, after any
		if err := yaml.Unmarshal([]byte(doc), &before); err != nil {
			t.Fatalf("edited a document that does not decode: %v", err)
		}
		if err := yaml.Unmarshal(out, &after); err != nil {
			t.Fatalf("result does not decode: %v\n%q", err, out)
		}
		if ambiguous(before) || ambiguous(after) {
			return
		}
		if got := at(after, path); got != value {
			t.Fatalf("value at %q is %#v, want %q in\n%q", path, got, value, out)
		}
		if what := differs(before, after, path); what != "" {
			t.Fatalf("also changed %s\nbefore %q\nafter  %q", what, doc, out)
		}
		again, err := Set(out, path, value)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("second edit: %v\n%q\n%q", err, out, again)
		}
		// Only comments follow white space with a hash, where nothing is quoted.
		comment := regexp.MustCompile(`(^|\s)#`)
		if !strings.ContainsAny(doc, `"'|>`) && len(comment.FindAllString(string(out), -1)) < len(comment.FindAllString(doc, -1)) {
			t.Fatalf("lost a comment\nbefore %q\nafter  %q", doc, out)
		}
	})
}

// ambiguous says whether two keys on the way print alike (0, 00 and "0"), which the oracle cannot tell apart.
func ambiguous(value any) bool {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if ambiguous(item) {
				return true
			}
		}
	case map[string]any, map[any]any:
		seen := map[string]bool{}
		for key, child := range anyKeys(v) {
			name := text(key)
			if seen[name] || ambiguous(child) {
				return true
			}
			seen[name] = true
		}
	}
	return false
}

// at walks decoded values without using the package.
func at(value any, path Path) any {
	for _, segment := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[segment]
		case map[any]any:
			value = nil
			for key, child := range v {
				if key == any(segment) || text(key) == segment {
					value = child
				}
			}
		case []any:
			i := listIndex(segment)
			if i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// text is a key that is text, and any other as YAML prints it: close enough for the keys a fuzzer writes on purpose.
func text(key any) string {
	if name, ok := key.(string); ok {
		return name // quotes that are part of it stay
	}
	out, err := yaml.Marshal(key)
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimSpace(string(out)), `"'`)
}

// differs names the first place outside path where before and after are not the same.
func differs(before, after any, path Path) string {
	if len(path) == 0 {
		return ""
	}
	switch a := after.(type) {
	case []any:
		b, _ := before.([]any)
		for i, item := range a {
			if i == listIndex(path[0]) {
				var old any
				if i < len(b) {
					old = b[i]
				}
				if what := differs(old, item, path[1:]); what != "" {
					return what
				}
				continue
			}
			if i >= len(b) || !same(b[i], item) {
				return "item"
			}
		}
		if len(b) > len(a) {
			return "length"
		}
		return ""
	case map[string]any, map[any]any:
		keys := anyKeys(after)
		old := map[any]any{}
		switch before.(type) {
		case map[string]any, map[any]any:
			old = anyKeys(before)
		}
		for key, child := range keys {
			if text(key) == path[0] || key == path[0] {
				if what := differs(old[key], child, path[1:]); what != "" {
					return what
				}
				continue
			}
			if other, ok := old[key]; !ok || !same(other, child) {
				return "key " + text(key)
			}
		}
		for key := range old {
			if _, ok := keys[key]; !ok {
				return "lost key " + text(key)
			}
		}
		return ""
	}
	return "type"
}

// same compares by printing, which treats not-a-number as equal to itself.
func same(a, b any) bool {
	x, errX := yaml.Marshal(a)
	y, errY := yaml.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// FuzzKustomizeSetImage: an accepted edit leaves exactly the pinned keys on every entry of the image, keeps all
// other entries and keys, and changes nothing the second time.
func FuzzKustomizeSetImage(f *testing.F) {
	for _, seed := range []string{
		"resources: [a]\n", "images:\n- name: app\n  newTag: v1 # c\n", "images: [{name: app, digest: x}, {name: b, newName: app}]\r\n",
		"images:\n- newTag: v1\n  name: app", "images: null", "images: &i\n- {name: app}\nx: *i\n", "Images:\n  - Name: app\n", "images:\n-\n  # c\n  name: app\n",
		"images:\n- newTag\"\": v1\n  name: app\n", "images:\n- dige\u017ft: x\n  name: app\n",
		"images:\n- !!binary name: app\n", "x: &name name\nimages:\n- *name : app\n", "images:\n- name: app\n  !!binary newTag: v1\n", "!!binary kind: Deployment\n",
	} {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(1))
		f.Add(seed, uint8(2))
	}
	f.Fuzz(func(t *testing.T, doc string, pin uint8) {
		if len(doc) > 1<<14 {
			return
		}
		update := ImageUpdate{Name: "app", NewTag: "1.27", Digest: newDigest, Pin: []Pin{TagAndDigest, TagOnly, DigestOnly}[pin%3]}
		out, changed, err := SetKustomizeImage([]byte(doc), update)
		if err != nil {
			if out != nil || changed {
				t.Fatalf("output with error %v", err)
			}
			return
		}
		var before, after map[string]any
		if err := yaml.Unmarshal([]byte(doc), &before); err != nil {
			return // keys that are not text; kustomize refuses those itself
		}
		if err := yaml.Unmarshal(out, &after); err != nil {
			t.Fatalf("result does not decode: %v", err)
		}
		for key, value := range before {
			if !strings.EqualFold(key, "images") && !same(value, after[key]) {
				t.Fatalf("also changed %q", key)
			}
		}
		found := 0
		for key, value := range after {
			if !strings.EqualFold(key, "images") {
				continue
			}
			items, ok := value.([]any)
			if !ok {
				t.Fatalf("images is %T", value)
			}
			for _, item := range items {
				fields := map[string]any{}
				for key, field := range anyKeys(item) {
					for _, name := range []string{"name", "newName", "newTag", "digest"} {
						if strings.EqualFold(text(key), name) {
							fields[name] = field
						}
					}
				}
				if fields["name"] != "app" && fields["newName"] != "app" {
					continue
				}
				found++
				wantTag, wantDigest := any("1.27"), any(newDigest)
				if update.Pin == TagOnly {
					wantDigest = nil
				}
				if update.Pin == DigestOnly {
					wantTag = nil
				}
				if fields["newTag"] != wantTag || fields["digest"] != wantDigest {
					t.Fatalf("pin %s left %v in\n%s", update.Pin, fields, out)
				}
			}
		}
		if found == 0 {
			t.Fatalf("no entry in\n%s", out)
		}
		if again, changed, err := SetKustomizeImage(out, update); err != nil || changed || !bytes.Equal(again, out) {
			t.Fatalf("second edit: %v, changed %v", err, changed)
		}
	})
}
