package render

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// repo makes a repository of files.
func repo(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

// configMap is the manifest of a ConfigMap.
// A hook without a name of its own has one that only its content changes.
func TestHooksOfAGeneratedName(t *testing.T) {
	hook := func(prefix, image string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: " + prefix + "\n  annotations: {argocd.argoproj.io/hook: PreSync}\nspec: {template: {spec: {containers: [{name: c, image: " + image + "}]}}}\n---\n"
	}
	rendered := func(files map[string]string) []string {
		result, err := Run(context.Background(), Source{FS: repo(files)}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range result.Objects {
			if o.GetGenerateName() != "" || len(o.GetName()) > 63 {
				t.Errorf("%q is made of %q", o.GetName(), o.GetGenerateName())
			}
		}
		return names(t, result)
	}
	plain := rendered(map[string]string{"a.yaml": hook("migrate-", "a:1") + hook("migrate-", "a:2") + hook(strings.Repeat("x", 70), "a:1")})
	if len(plain) != 3 || plain[0] == plain[1] || !strings.HasPrefix(plain[0], "Job/migrate-") {
		t.Errorf("%v", plain)
	}
	if again := rendered(map[string]string{"b.yaml": hook("migrate-", "a:1")}); len(again) != 1 || again[0] != plain[0] {
		t.Errorf("%v, want %s", again, plain[0])
	}
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n"
}

// names returns "Kind/name" of each object.
func names(t *testing.T, result Result) []string {
	t.Helper()
	var out []string
	for _, o := range result.Objects {
		out = append(out, o.GetKind()+"/"+o.GetName())
	}
	return out
}

// text prints objects as YAML.
func text(t *testing.T, result Result) string {
	t.Helper()
	var b strings.Builder
	for i, o := range result.Objects {
		out, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(out)
	}
	return b.String()
}

func TestPlain(t *testing.T) {
	files := repo(map[string]string{
		"app/b.yaml":                 configMap("b1") + "---\n# only a comment\n---\n" + configMap("b2"),
		"app/a.yml":                  "\ufeff%YAML 1.1\n--- # first\n" + configMap("a") + "...\n",
		"app/c.json":                 `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"n":"1"}}`,
		"app/list.yaml":              "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}\n- {apiVersion: v1, kind: ServiceList, items: [{apiVersion: v1, kind: Service, metadata: {name: l2}}]}\n",
		"app/crlf.yaml":              strings.ReplaceAll(configMap("d1")+"---\n"+configMap("d2"), "\n", "\r\n"),
		"app/README.md":              "not a manifest",
		"app/.hidden.yaml":           "not: [a manifest",
		"app/.github/workflow.yaml":  "not: [a manifest",
		"app/sub/s.yaml":             configMap("s"),
		"app/sub/values-test.yaml":   "replicas: 3",
		"other/unrelated.yaml":       configMap("z"),
		"app/zz-empty.yaml":          "",
		"app/sub/deeper/nested.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n"}}`,
	})
	tests := []struct {
		name      string
		directory Directory
		want      []string
		reads     []string
	}{
		{
			name: "one folder",
			want: []string{"ConfigMap/a", "ConfigMap/b1", "ConfigMap/b2", "ConfigMap/c", "ConfigMap/d1", "ConfigMap/d2", "ConfigMap/l1", "Service/l2"},
			reads: []string{
				"app/a.yml", "app/b.yaml", "app/c.json", "app/crlf.yaml", "app/list.yaml", "app/zz-empty.yaml",
			},
		},
		{
			name: "recurse, with a glob that crosses folders", directory: Directory{Recurse: true, Include: "{*.json,sub/*}", Exclude: "*values-*"},
			want: []string{"ConfigMap/c", "ConfigMap/n", "ConfigMap/s"}, reads: []string{"app/c.json", "app/sub/deeper/nested.json", "app/sub/s.yaml"},
		},
		{name: "exclude", directory: Directory{Exclude: "[!c]*"}, want: []string{"ConfigMap/c", "ConfigMap/d1", "ConfigMap/d2"}, reads: []string{"app/c.json", "app/crlf.yaml"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Run(context.Background(), Source{FS: files, Path: "app", Directory: tt.directory}, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, names(t, got)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.reads, got.Files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if got.Outside {
				t.Error("reads outside its path")
			}
		})
	}
	root, err := Render(context.Background(), Source{FS: repo(map[string]string{"x.yaml": configMap("x")}), Path: "."}, Limits{})
	if err != nil || len(root) != 1 {
		t.Errorf("root: %v, %v", root, err)
	}
}

// TestPlainReadsAsKubernetes: numbers keep their type, YAML 1.1 booleans are booleans, as kubectl reads them.
func TestPlainReadsAsKubernetes(t *testing.T) {
	got, err := Run(context.Background(), Source{FS: repo(map[string]string{"a.yaml": "apiVersion: v1\nkind: Thing\nmetadata: {name: x}\nspec: {num: 3, big: 9007199254740993, f: 1.5, on: yes, text: \"yes\", key: {1: one}, merged: &m {a: 1}, more: {<<: *m, b: 2}}\n"})}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"num": int64(3), "big": int64(9007199254740993), "f": 1.5, "true": true, "text": "yes", "key": map[string]any{"1": "one"},
		"merged": map[string]any{"a": int64(1)}, "more": map[string]any{"a": int64(1), "b": int64(2)},
	}
	if diff := cmp.Diff(want, got.Objects[0].Object["spec"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlainRefuses(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'j'; i++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", i-1), 10), ","))
	}
	object := configMap("x")
	tests := []struct {
		name   string
		files  map[string]string
		path   string
		limits Limits
		want   error
		text   string
	}{
		{name: "no such path", files: map[string]string{"app/a.yaml": object}, path: "stages/test", want: ErrPathNotFound, text: "stages/test: path does not exist"},
		{name: "a file", files: map[string]string{"app/a.yaml": object}, path: "app/a.yaml", want: ErrPathNotFound, text: "app/a.yaml: path does not exist: it is a file, not a folder"},
		{name: "out of the repository", files: map[string]string{"a.yaml": object}, path: "../x", want: ErrPathNotFound, text: "../x: path does not exist: it leads out of the repository"},
		{name: "absolute", files: map[string]string{"a.yaml": object}, path: "/etc", want: ErrPathNotFound, text: "/etc: path does not exist: it leads out of the repository"},
		{name: "nothing there", files: map[string]string{"app/README.md": "x", "app/a.yaml": "# nothing\n"}, path: "app", want: ErrNothingRendered, text: "app: path renders nothing"},
		{name: "not YAML", files: map[string]string{"app/a.yaml": object + "---\n" + object + "data:\n  a: [1\n"}, path: "app", want: ErrInvalid, text: "app/a.yaml, document 2, line 11: invalid manifest: did not find expected ',' or ']'"},
		{name: "tab", files: map[string]string{"a.yaml": "apiVersion: v1\n\tkind: x\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 1, line 2: invalid manifest: found a tab character that violates indentation"},
		{name: "duplicate key", files: map[string]string{"a.yaml": "# c\n---\n" + object + "kind: Secret\n"}, path: ".", want: ErrInvalid, text: `a.yaml, document 1, line 7: invalid manifest: key "kind" already set in map`},
		{name: "no kind", files: map[string]string{"a.yaml": "metadata: {name: x}\napiVersion: v1\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 1: kind: invalid manifest: is missing or not a text; every document needs apiVersion, kind and metadata.name"},
		{name: "values file", files: map[string]string{"a.yaml": object, "values.yaml": "replicas: 3\n"}, path: ".", want: ErrInvalid, text: "values.yaml, document 1: apiVersion: invalid manifest: is missing or not a text; every document needs apiVersion, kind and metadata.name"},
		{name: "no name", files: map[string]string{"a.yaml": object + "---\napiVersion: v1\nkind: Pod\nmetadata: {}\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 2: metadata.name: invalid manifest: is missing"},
		{name: "number as name", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 1: metadata.name: invalid manifest: is not a text; put it in quotes"},
		{name: "generateName", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 1: metadata.name: invalid manifest: is missing; generateName would make a new object at every sync"},
		{name: "list item without kind", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, metadata: {name: x}}]\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 1: items[0].kind: invalid manifest: is missing or not a text; every document needs apiVersion, kind and metadata.name"},
		{name: "a scalar", files: map[string]string{"a.yaml": "hello\n"}, path: ".", want: ErrInvalid, text: "a.yaml, document 1: invalid manifest: is not an object with apiVersion and kind"},
		{name: "JSON", files: map[string]string{"a.json": "{"}, path: ".", want: ErrInvalid, text: "a.json, document 1: invalid manifest: unexpected end of JSON input"},
		{name: "not UTF-8", files: map[string]string{"a.yaml": object + "# \xff\n"}, path: ".", want: ErrInvalid, text: "a.yaml: invalid manifest: not a text in UTF-8"},
		{name: "UTF-16", files: map[string]string{"a.yaml": "\xff\xfea\x00"}, path: ".", want: ErrInvalid, text: "a.yaml: invalid manifest: not a text in UTF-8"},
		{name: "NUL", files: map[string]string{"a.yaml": object + "\x00"}, path: ".", want: ErrInvalid, text: "a.yaml: invalid manifest: not a text in UTF-8"},
		{name: "rendered twice", files: map[string]string{"a.yaml": object, "b.yaml": configMap("z") + "---\n" + object}, path: ".", want: ErrDuplicateObject, text: `b.yaml, document 2: object is rendered twice: ConfigMap "x", first in a.yaml, document 1`},
		{
			name: "rendered twice in two versions", files: map[string]string{"a.yaml": "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: ns}}", "b.yaml": "{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: x, namespace: ns}}"}, path: ".",
			want: ErrDuplicateObject, text: `b.yaml, document 1: object is rendered twice: Deployment "ns/x", first in a.yaml, document 1`,
		},
		{name: "kustomization below", files: map[string]string{"a.yaml": object, "sub/kustomization.yaml": "resources: []\n"}, path: ".", want: ErrUnsupported, text: "sub/kustomization.yaml: not supported: a kustomization below a folder of plain YAML; make its folder the path, or exclude it"},
		{name: "alias bomb", files: map[string]string{"a.yaml": bomb}, path: ".", want: ErrTooLarge, text: "a.yaml: limit exceeded: document is too large: more than 1000000 nodes at line 6"},
		{name: "large text repeated by alias", files: map[string]string{"a.yaml": "a: &a [" + strings.Repeat("x,", 2000) + "]\nb: [" + strings.Repeat("*a,", 2000) + "]\n"}, path: ".", want: ErrTooLarge, text: "a.yaml: limit exceeded: document is too large: more than 1000000 nodes at line 2"},
		{name: "deep", files: map[string]string{"a.yaml": object + "data: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000)}, path: ".", want: ErrTooLarge, text: "a.yaml, document 1: limit exceeded: nested deeper than 1000 levels"},
		{name: "large file", files: map[string]string{"a.yaml": object}, path: ".", limits: Limits{FileBytes: 10}, want: ErrTooLarge, text: "a.yaml: limit exceeded: file has 51 bytes, at most 10 are read"},
		{name: "many bytes", files: map[string]string{"a.yaml": object, "b.yaml": configMap("z")}, path: ".", limits: Limits{Bytes: 60}, want: ErrTooLarge, text: "b.yaml: limit exceeded: more than 60 bytes are read"},
		{name: "many files", files: map[string]string{"a.yaml": object, "b.yaml": configMap("z")}, path: ".", limits: Limits{Files: 1}, want: ErrTooLarge, text: ".: limit exceeded: more than 1 files"},
		{name: "many objects", files: map[string]string{"a.yaml": object + "---\n" + configMap("z")}, path: ".", limits: Limits{Objects: 1}, want: ErrTooLarge, text: "a.yaml, document 2: limit exceeded: more than 1 objects"},
		{name: "two kustomization files", files: map[string]string{"kustomization.yaml": "", "Kustomization": ""}, path: ".", want: ErrInvalid, text: ".: invalid manifest: more than one kustomization file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Run(context.Background(), Source{FS: repo(tt.files), Path: tt.path, Directory: Directory{Recurse: true}}, tt.limits)
			if !errors.Is(err, tt.want) || len(got.Objects) > 0 {
				t.Fatalf("= %v, %v; want %v", names(t, got), err, tt.want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("error is %T", err)
			}
			if err.Error() != tt.text {
				t.Errorf("says  %s\nwant  %s", err, tt.text)
			}
		})
	}
}

func TestGlobRefuses(t *testing.T) {
	for _, pattern := range []string{"[a", "{a,b", "[]", "[z-a]"} {
		_, err := Render(context.Background(), Source{FS: repo(map[string]string{"a.yaml": configMap("a")}), Directory: Directory{Include: pattern}}, Limits{})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// TestLinksAreNotFollowed uses a file system that would follow them, out of the repository.
func TestLinksAreNotFollowed(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		filepath.Join(outside, "secret.yaml"):              configMap("secret"),
		filepath.Join(outside, "kustomization.yaml"):       "resources: [secret.yaml]\n",
		filepath.Join(dir, "plain", "a.yaml"):              configMap("a"),
		filepath.Join(dir, "overlay", "k.yaml"):            configMap("k"),
		filepath.Join(dir, "folder", "kustomization.yaml"): "resources: [../linked]\n",
		filepath.Join(dir, "file", "kustomization.yaml"):   "resources: [secret.yaml]\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"plain/b.yaml": outside + "/secret.yaml", "linked": outside, "file/secret.yaml": outside + "/secret.yaml"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{"plain": ErrUnsupported, "linked": ErrPathNotFound, "folder": ErrKustomize, "file": ErrUnsupported} {
		got, err := Render(context.Background(), Source{FS: os.DirFS(dir), Path: path}, Limits{})
		if !errors.Is(err, want) || len(got) > 0 {
			t.Errorf("%s = %v, %v; want %v", path, got, err, want)
		}
	}
}

func TestNormalize(t *testing.T) {
	got, err := Run(context.Background(), Source{FS: repo(map[string]string{"a.yaml": `
apiVersion: v1
kind: Service
metadata: {name: s, annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}
spec: {ports: [{port: 80}, {port: 53, protocol: UDP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}", a: b}}
spec: {template: {spec: {initContainers: [{name: i, ports: [{containerPort: 1}]}], containers: [{name: c, ports: [{containerPort: 2, protocol: ""}]}, {name: e}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, ports: [{containerPort: 3}, broken]}]}}}}}
---
apiVersion: example.com/v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80}]}
`})}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: v1
kind: Service
metadata:
  name: s
spec:
  ports:
  - port: 80
    protocol: TCP
  - port: 53
    protocol: UDP
---
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    a: b
  name: d
spec:
  template:
    spec:
      containers:
      - name: c
        ports:
        - containerPort: 2
          protocol: TCP
      - name: e
      initContainers:
      - name: i
        ports:
        - containerPort: 1
          protocol: TCP
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: c
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: c
            ports:
            - containerPort: 3
              protocol: TCP
            - broken
---
apiVersion: example.com/v1
kind: Service
metadata:
  name: s
spec:
  ports:
  - port: 80
`
	if diff := cmp.Diff(want, text(t, got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
