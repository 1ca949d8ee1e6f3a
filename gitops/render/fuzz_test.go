package render

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

// stream decodes every document of text with a parser that finds the markers itself; ok is false for what it refuses.
func stream(text []byte) (values []any, ok bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var value any
		switch err := decoder.Decode(&value); {
		case err != nil:
			return values, err.Error() == "EOF"
		case value != nil:
			values = append(values, value)
		}
	}
}

// FuzzManifestSplit: cutting a file at its markers and parsing the parts gives the documents that parsing the whole
// gives. A marker that is missed would silently lose every object behind it.
func FuzzManifestSplit(f *testing.F) {
	for _, seed := range []string{
		"a: 1\n---\nb: 2\n", "---\n---\na: 1\n...\n---\n", "--- # c\na: 1\n--- b\n", "a: |\n ---\n b\n", "a: 1\r\n---\r\nb: 2", "a: 1\r---\rb: 2\r",
		"a: 1\u2028---\u0085b: 2", "--- |\n text\n---text: x\n", "\ufeffa: 1\n", "a: \"x\n ---\n y\"\n", "- ---\n", "---\ta: 1\n", "# c\n---\n# d\n", "----\n", "%YAML 1.1\n---\na: 1\n...\n%TAG ! !x\n---\nb: !y 2\n", "# c\n%YAML 1.1\n# d\n--- e\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<14 || bytes.Contains(bytes.TrimPrefix(content, []byte("\uFEFF")), []byte("\uFEFF")) {
			return // a byte order mark inside a file is an error or not, by its place
		}
		if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
			return // refused by name before it is cut; the parser here would read UTF-16
		}
		want, ok := stream(content)
		if !ok {
			return
		}
		var got []any
		last := 0
		for _, d := range splitDocuments(bytes.TrimPrefix(content, []byte("\uFEFF"))) {
			values, ok := stream(d.text)
			if !ok && strayDirective(d.text) {
				return // refused, with the file
			}
			if !ok || len(values) > 1 {
				t.Fatalf("document %d %q of %q: %d values", d.number, d.text, content, len(values))
			}
			if d.number <= last {
				t.Fatalf("document number %d after %d in %q", d.number, last, content)
			}
			last = d.number
			got = append(got, values...)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("%q (-whole +parts):\n%s", content, diff)
		}
	})
}

// strayDirective says whether a directive stands behind the content of a document: before it, YAML asks for "...". The
// parser forgives it when another document follows, and not in a part by itself.
func strayDirective(text []byte) bool {
	for at := nextLine(text, 0); at < len(text); at = nextLine(text, at) {
		if text[at] == '%' && hasContent(text[:at]) {
			return true
		}
	}
	return false
}

// trap counts requests instead of making them.
type trap struct{ hits atomic.Int32 }

func (t *trap) RoundTrip(*http.Request) (*http.Response, error) {
	t.hits.Add(1)
	return nil, errors.New("trapped")
}

// FuzzKustomizationPreflight: whatever a kustomization and the files beside it say, kustomize makes no request and runs
// no program.
func FuzzKustomizationPreflight(f *testing.F) {
	caught := &trap{}
	before := http.DefaultTransport
	http.DefaultTransport = caught
	f.Cleanup(func() { http.DefaultTransport = before })
	bin := f.TempDir()
	marker := filepath.Join(bin, "ran")
	script := "#!/bin/sh\necho \"$@\" >> '" + marker + "'\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o700); err != nil { //nolint:gosec // a program has to be executable
		f.Fatal(err)
	}
	f.Setenv("PATH", bin)
	for _, seed := range []string{
		"resources: [a.yaml, 'http://x/y']\n", "resources: ['git@h:o/r.git']\n", "bases: [github.com/a/b]\n", "components: ['https://x']\n", "crds: ['http:x']\n",
		"transformers: [t.yaml]\n", "generators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: c}\n  files: ['k=http://x']\n",
		"resources: [base]\npatches: [{path: 'http://x'}]\n", "configMapGenerator: [{name: c, files: ['a=b=http://x'], env: 'http://x'}]\n",
		"openapi: {path: 'https://x'}\n", "replacements: [{path: 'http://x'}]\n", "patchesStrategicMerge: ['http://x']\n", "helmCharts: [{name: x}]\n", "Resources: ['HTTP://x']\n",
	} {
		f.Add(seed, "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: http://x/y\n", "resources: [c.yaml]\n")
	}
	f.Fuzz(func(t *testing.T, kustomization, transformer, base string) {
		if len(kustomization)+len(transformer)+len(base) > 1<<13 {
			return
		}
		files := repo(map[string]string{
			"kustomization.yaml": kustomization, "a.yaml": configMap("a"), "t.yaml": transformer, "base/kustomization.yaml": base, "base/c.yaml": configMap("c"),
		})
		_, err := Render(context.Background(), Source{FS: files}, Limits{Files: 200, Bytes: 1 << 20})
		if n := caught.hits.Load(); n > 0 {
			t.Fatalf("%d requests, error %v", n, err)
		}
		if ran, readErr := os.ReadFile(marker); readErr == nil {
			t.Fatalf("git %s, error %v", ran, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("message of several lines: %q", err)
		}
	})
}
