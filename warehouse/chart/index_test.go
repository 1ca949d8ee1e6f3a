package chart

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	helmyaml "sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/internal/tarball"
)

const hex64 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// helmIndex is written as `helm repo index` writes it.
const helmIndex = `apiVersion: v1
entries:
  alpine:
  - apiVersion: v1
    created: "2026-03-01T12:00:00Z"
    description: |
      A text with a line
    app: this looks like a key

      # and one like a comment
    digest: ` + hex64 + `
    name: alpine
    urls:
    - https://charts.example/alpine-0.2.0.tgz
    version: 0.2.0
  - name: alpine
    removed: true
    version: 0.1.9
  - name: alpine
    version: 0.1.0
  app:
  - digest: sha256:` + hex64 + `
    version: "1.0.0"
    dependencies:
    - name: alpine
      version: 9.9.9
  # a comment
  "quoted": # another
  - version: 3.0.0
generated: "2026-03-01T12:00:00Z"
`

func TestParseIndex(t *testing.T) {
	digest := "sha256:" + hex64
	want := map[string][]Version{
		"alpine": {{Version: "0.2.0", Digest: digest, URL: "https://charts.example/alpine-0.2.0.tgz"}, {Version: "0.1.0"}},
		"app":    {{Version: "1.0.0", Digest: digest}},
		"quoted": {{Version: "3.0.0"}},
	}
	names := []string{"alpine", "app", "quoted", "absent"}
	for why, text := range map[string]string{
		"as Helm writes it":      strings.ReplaceAll(helmIndex, "    app: this", "      app: this"),
		"with Windows line ends": strings.ReplaceAll(strings.ReplaceAll(helmIndex, "    app: this", "      app: this"), "\n", "\r\n"),
		"generated first":        "generated: x\n---\n" + strings.ReplaceAll(helmIndex, "    app: this", "      app: this"),
	} {
		if got, err := parseIndex([]byte(text), names); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v %s", why, err, cmp.Diff(want, got))
		}
	}
	if got, err := parseIndex([]byte(strings.ReplaceAll(helmIndex, "    app: this", "      app: this")), []string{"app"}); err != nil || len(got) != 1 || len(got["app"]) != 1 {
		t.Errorf("only what is asked for: %v, %v", got, err)
	}
	for why, text := range map[string]string{
		"JSON":              `{"entries":{"app":[{"version":"1.0.0","digest":"` + hex64 + `"}]}}`,
		"flow style":        "entries: {app: [{version: 1.0.0, digest: " + hex64 + "}]}",
		"deeper":            "entries:\n      app:\n      - version: 1.0.0\n        digest: " + hex64 + "\n",
		"value on the line": "entries:\n  app: [{version: 1.0.0, digest: " + hex64 + "}]\n",
	} {
		if got, err := parseIndex([]byte(text), []string{"app"}); err != nil || cmp.Diff([]Version{{Version: "1.0.0", Digest: digest}}, got["app"]) != "" {
			t.Errorf("%s: %v, %v", why, got, err)
		}
	}
	if got, err := parseIndex([]byte("apiVersion: v1\nentries: {}\n"), names); err != nil || len(got) != 0 {
		t.Errorf("an empty repository: %v, %v", got, err)
	}
}

func TestIndexIsRefused(t *testing.T) {
	for why, text := range map[string]string{
		"empty":                 "",
		"HTML":                  "<html><body>hello</body></html>",
		"another document":      "apiVersion: v1\nkind: ConfigMap\n",
		"entries twice":         "entries:\n  app:\n  - version: 1.0.0\nentries:\n  app:\n  - version: 2.0.0\n",
		"chart twice":           "entries:\n  app:\n  - version: 1.0.0\n  app:\n  - version: 2.0.0\n",
		"torn":                  "entries:\n  app:\n  - version: \"1.0",
		"not a list":            "entries:\n  app:\n    version: {}\n",
		"an alias bomb":         "entries:\n  app:\n  - &a [x,x,x,x,x,x,x,x,x]\n  - &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n  - [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
		"large and unlike Helm": "{\"entries\":{\"x\":\"" + strings.Repeat("y", maxWholeBytes) + "\"}}",
		"too many versions":     "entries:\n  app:\n" + strings.Repeat("  - version: 1.0.0\n", maxVersions+1),
	} {
		if got, err := parseIndex([]byte(text), []string{"app"}); err == nil {
			t.Errorf("%s: %v", why, got)
		} else if strings.Contains(err.Error(), "\n") || len(err.Error()) > 200 {
			t.Errorf("%s: %q is not one short line", why, err)
		}
	}
}

// 20 MB of other charts cost little: they are never parsed.
func TestLargeIndex(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nentries:\n")
	for chart := range 200 {
		fmt.Fprintf(&b, "  chart-%d:\n", chart)
		for v := range 500 {
			fmt.Fprintf(&b, "  - apiVersion: v2\n    created: \"2026-03-01T12:00:00Z\"\n    description: a chart among many, with a long text about what it does\n    digest: %s\n    name: chart-%d\n    urls:\n    - https://charts.example/chart-%d-1.%d.0.tgz\n    version: 1.%d.0\n", hex64, chart, chart, v, v)
		}
	}
	text := []byte(b.String())
	allocated := testing.AllocsPerRun(1, func() {
		got, err := parseIndex(text, []string{"chart-7"})
		if err != nil || len(got["chart-7"]) != 500 {
			t.Fatalf("%d versions of %d bytes, %v", len(got["chart-7"]), len(text), err)
		}
	})
	if allocated > 300_000 {
		t.Errorf("%.0f allocations for one chart of an index of %d MB", allocated, len(text)>>20)
	}
}

// FuzzIndex: whatever the text is, reading it ends; and written as Helm writes it,
// what is cut out says what the whole document says.
func FuzzIndex(f *testing.F) {
	f.Add(strings.ReplaceAll(helmIndex, "    app: this", "      app: this"), "app")
	f.Add("entries:\n  a:\n  - version: 1\n", "a")
	f.Add("entries: {a: [{version: 1.0.0}]}", "a")
	f.Add("entries:\n- a\n", "a")
	f.Add("entries:\n  ? a\n  : - version: 1\n", "a")
	f.Add("entries:\n  'a': &x\n  - version: 1\n  b: *x\n", "b")
	f.Add("x: |\n entries:\nentries:\n  a:\n  - version: 1\n", "a")
	f.Add("x: \"\nentries:\n  a:\n  - version: 1\n\"", "a")
	f.Add("a: \"entries:\\n  b:\\n  - version: 2\"\nentries: {b: [{version: 1, description: \"\\n  b:\\n  - version: 3\"}], \"x: y\": [], '': [], \"- b\": [{version: 4}]}\n", "b")
	f.Add("entries: {b: [{version: 1, description: "+strings.Repeat("a long text ", 40)+"}]}", "b")
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 1<<16 || name == "" {
			return
		}
		if got, err := parseIndex([]byte(text), []string{name}); err == nil && len(got) > 1 {
			t.Errorf("%q: %d charts, asked for one", name, len(got))
		}
		var all any
		var whole struct {
			Entries map[string][]indexEntry `yaml:"entries"`
		}
		if helmyaml.Unmarshal([]byte(text), &all) != nil {
			return // what no YAML reader takes says nothing
		}
		written, err := helmyaml.Marshal(all)
		if err != nil || yaml.Unmarshal(written, &whole) != nil {
			return
		}
		got, err := parseIndex(written, []string{name})
		if err != nil {
			return
		}
		want, err := versions(name, whole.Entries[name])
		if err != nil {
			return
		}
		if d := cmp.Diff(want, got[name], cmp.Comparer(func(a, b []Version) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); d != "" {
			t.Errorf("%q in\n%s\n%s", name, written, d)
		}
	})
}

// Whatever is in an archive, it is the chart that was asked for or an error.
func FuzzArchive(f *testing.F) {
	for _, files := range [][]tarball.File{
		{{Name: "app/Chart.yaml", Content: []byte("name: app\nversion: 1.0.0\n")}, {Name: "app/templates/a.yaml", Content: []byte("a: 1\n")}},
		{{Name: "app/Chart.yaml", Content: []byte("name: [a\n")}},
		{{Name: "Chart.yaml"}},
	} {
		raw, err := tarball.Write(files)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := open(raw, "app", "1.0.0")
		if (err == nil) != (got != nil) || err != nil && !errors.Is(err, ErrArchive) {
			t.Errorf("%v, %v", got, err)
		}
		if got != nil && (got.Name != "app" || len(got.Files["Chart.yaml"]) == 0) {
			t.Errorf("%+v", got)
		}
	})
}
