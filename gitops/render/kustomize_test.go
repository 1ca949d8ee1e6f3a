package render

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files")

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: guestbook}
spec:
  replicas: 1
  selector: {matchLabels: {app: guestbook}}
  template:
    metadata: {labels: {app: guestbook}}
    spec:
      serviceAccountName: guestbook
      containers:
      - name: web
        image: registry.example.com/guestbook:0.1
        envFrom: [{configMapRef: {name: settings}}]
        ports: [{containerPort: 80}]
`

// guestbook is a repository with a base, a component and a stage that uses both.
func guestbook() map[string]string {
	return map[string]string{
		"base/kustomization.yaml":         "resources: [app.yaml, rbac.yaml]\nconfigMapGenerator:\n- name: settings\n  files: [greeting=greeting.txt]\n",
		"base/app.yaml":                   deployment,
		"base/greeting.txt":               "hello",
		"base/rbac.yaml":                  "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: guestbook}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: guestbook}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\nsubjects: [{kind: ServiceAccount, name: guestbook, namespace: default}]\n",
		"components/ha/kustomization.yml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nreplicas: [{name: guestbook, count: 3}]\npatches: [{path: spread.yaml, target: {kind: Deployment}}]\n",
		"components/ha/spread.yaml":       "- {op: add, path: /spec/minReadySeconds, value: 5}\n",
		"stages/test/kustomization.yaml":  "namespace: guestbook-test\nresources: [../../base]\ncomponents: [../../components/ha]\nimages: [{name: registry.example.com/guestbook, newTag: 1.27.0}]\nreplacements:\n- source: {kind: ServiceAccount, fieldPath: metadata.name}\n  targets: [{select: {kind: Deployment}, fieldPaths: [spec.template.metadata.labels.account], options: {create: true}}]\n",
	}
}

// TestKustomize is the golden of a stage: namespace, images, components, generators, name references and
// replacements, with the namespace in the subjects of the RoleBinding (kustomize issues 6027 and 6031).
func TestKustomize(t *testing.T) {
	got, err := Run(context.Background(), Source{FS: repo(guestbook()), Path: "stages/test"}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "stage-test.golden.yaml")
	if *update {
		if err := os.WriteFile(golden, []byte(text(t, got)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text(t, got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantFiles := []string{"base/app.yaml", "base/greeting.txt", "base/kustomization.yaml", "base/rbac.yaml", "components/ha/kustomization.yml", "components/ha/spread.yaml", "stages/test/kustomization.yaml"}
	if diff := cmp.Diff(wantFiles, got.Files); diff != "" || !got.Outside {
		t.Errorf("outside %v, files (-want +got):\n%s", got.Outside, diff)
	}
}

// noEscape makes everything kustomize could reach outside the repository visible: a web server that counts, the
// process' default transport, and no git to run.
func noEscape(t *testing.T) (server string, hits *atomic.Int32) {
	t.Helper()
	hits = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		fmt.Fprint(w, configMap("remote"))
	}))
	t.Cleanup(s.Close)
	bin := t.TempDir()
	marker := filepath.Join(bin, "ran")
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\necho x > '"+marker+"'\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a program has to be executable
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Cleanup(func() {
		if _, err := os.Stat(marker); err == nil {
			t.Error("git was run")
		}
		if hits.Load() > 0 {
			t.Errorf("%d requests were made", hits.Load())
		}
	})
	return s.URL, hits
}

func TestRemoteReferencesAreRefused(t *testing.T) {
	url, _ := noEscape(t)
	local := "resources: [a.yaml]\n"
	patch := "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\ntarget: {kind: ConfigMap}\n"
	tests := map[string]struct {
		kustomization string
		extra         map[string]string
		want          error
		text          string // of the message, URL for the server's address
	}{
		"resource":                            {kustomization: "resources: [a.yaml, URL/x.yaml]\n", text: `app/kustomization.yaml: resources[1]: reference leaves the repository: "URL/x.yaml"; copy it into the repository`},
		"resource, key in capitals":           {kustomization: "Resources: [URL/x.yaml]\n", text: `app/kustomization.yaml: resources[0]: reference leaves the repository: "URL/x.yaml"; copy it into the repository`},
		"credentials stay out":                {kustomization: "resources: ['https://user:hunter2@git.example.com/x?token=hunter3']\n", text: `app/kustomization.yaml: resources[0]: reference leaves the repository: "https://git.example.com/x"; copy it into the repository`},
		"base":                                {kustomization: local + "bases: ['git::URL/r.git']\n"},
		"github shorthand":                    {kustomization: "resources: [github.com/org/repo]\n"},
		"github in capitals":                  {kustomization: "resources: [GitHub.com/org/repo/path]\n"},
		"scp":                                 {kustomization: "resources: ['git@git.example.com:org/repo.git']\n"},
		"ssh":                                 {kustomization: "resources: ['ssh://git.example.com/org/repo']\n"},
		"file":                                {kustomization: "resources: ['file:///etc']\n"},
		"azure":                               {kustomization: "resources: ['https://dev.azure.com/o/p/_git/r']\n"},
		"opaque URL":                          {kustomization: "resources: ['http:x']\n"},
		"component":                           {kustomization: local + "components: ['URL/c']\n"},
		"crd":                                 {kustomization: local + "crds: ['URL/c']\n", text: `app/kustomization.yaml: crds[0]: reference leaves the repository: "URL/c"; copy it into the repository`},
		"configuration":                       {kustomization: local + "configurations: ['URL/c']\n"},
		"openapi":                             {kustomization: local + "openapi: {path: URL/c}\n", text: `app/kustomization.yaml: openapi.path: reference leaves the repository: "URL/c"; copy it into the repository`},
		"patch":                               {kustomization: local + "patches: [{path: URL/c}]\n", text: `app/kustomization.yaml: patches[0].path: reference leaves the repository: "URL/c"; copy it into the repository`},
		"json patch":                          {kustomization: local + "patchesJson6902: [{path: URL/c, target: {kind: ConfigMap, name: a, version: v1}}]\n"},
		"strategic patch":                     {kustomization: local + "patchesStrategicMerge: [URL/c]\n"},
		"replacement":                         {kustomization: local + "replacements: [{path: URL/c}]\n"},
		"config map file":                     {kustomization: local + "configMapGenerator: [{name: c, files: ['k=URL/c']}]\n", text: `app/kustomization.yaml: configMapGenerator[0].files[0]: reference leaves the repository: "URL/c"; copy it into the repository`},
		"config map env":                      {kustomization: local + "configMapGenerator: [{name: c, env: URL/c}]\n"},
		"secret envs":                         {kustomization: local + "secretGenerator: [{name: c, envs: [URL/c]}]\n"},
		"generator file":                      {kustomization: local + "generators: [URL/c]\n"},
		"validator file":                      {kustomization: local + "validators: [URL/c]\n"},
		"inline transformer":                  {kustomization: local + "transformers:\n- |-\n  " + strings.ReplaceAll(patch+"path: URL/c", "\n", "\n  ") + "\n", text: `app/kustomization.yaml: transformers[0].path: reference leaves the repository: "URL/c"; copy it into the repository`},
		"inline transformer, key in capitals": {kustomization: local + "transformers:\n- |-\n  " + strings.ReplaceAll(patch+"PATH: URL/c", "\n", "\n  ") + "\n"},
		"transformer in a file":               {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": patch + "path: URL/c\n"}, text: `app/t.yaml: path: reference leaves the repository: "URL/c"; copy it into the repository`},
		"second document":                     {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": patch + "patch: '[]'\n---\n" + patch + "path: URL/c\n"}},
		"behind an alias":                     {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "x: &u URL/c\n" + patch + "path: *u\n"}},
		"inside a list":                       {kustomization: local + "generators: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "apiVersion: v1\nkind: List\nitems: [{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: c}, files: ['k=URL/c']}]\n"}},
		"key written twice":                   {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": patch + "path: x\npath: URL/c\n"}},
		"merged key":                          {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": patch + "<<: {path: URL/c}\n"}},
		"behind a broken document":            {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "a: [\n---\n" + patch + "path: URL/c\n"}, want: ErrInvalid},
		"base64":                              {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": patch + "path: !!binary aHR0cDovLzEyNy4wLjAuMS94\n"}, want: ErrUnsupported},
		"clone behind a line end":             {kustomization: local + "transformers: [\"git@git.example.com:o/r.git\\n\"]\n"},
		"clone in text of many lines":         {kustomization: local + "transformers: [\"git@git.example.com:o/r.git\\nx\"]\n"},
		"in a base":                           {kustomization: "resources: [../base]\n", extra: map[string]string{"base/kustomization.yaml": "resources: [URL/c]\n"}, text: `base/kustomization.yaml: resources[0]: reference leaves the repository: "URL/c"; copy it into the repository`},
		"in a component":                      {kustomization: local + "components: [../c]\n", extra: map[string]string{"c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [URL/c]\n"}},
		"out of the repository":               {kustomization: "resources: [../../other]\n", text: `app/kustomization.yaml: resources[0]: reference leaves the repository: "../../other"`},
		"absolute":                            {kustomization: "resources: [/etc/hostname]\n"},
		"transformer folder":                  {kustomization: local + "transformers: [../t]\n", extra: map[string]string{"t/kustomization.yaml": "resources: [p.yaml]\n", "t/p.yaml": patch}, want: ErrUnsupported},
		"helm chart":                          {kustomization: local + "helmCharts: [{name: c, repo: URL}]\n", want: ErrUnsupported, text: "app/kustomization.yaml: helmCharts: not supported: Helm charts inside a kustomization"},
		"helm generator":                      {kustomization: local + "generators: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: h}\nname: h\n"}, want: ErrUnsupported},
		"exec function":                       {kustomization: local + "generators: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "apiVersion: example.com/v1\nkind: Gen\nmetadata: {name: h, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/sh}'}}\n"}, want: ErrKustomize},
		"container function":                  {kustomization: local + "transformers: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "apiVersion: example.com/v1\nkind: Gen\nmetadata: {name: h, annotations: {config.kubernetes.io/function: 'container: {image: x}'}}\n"}, want: ErrKustomize},
		"exec plugin":                         {kustomization: local + "generators: [t.yaml]\n", extra: map[string]string{"app/t.yaml": "apiVersion: someteam.example.com/v1\nkind: Gen\nmetadata: {name: h}\nargsOneLiner: x\n"}, want: ErrKustomize},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"app/kustomization.yaml": strings.ReplaceAll(tt.kustomization, "URL", url), "app/a.yaml": configMap("a")}
			for file, content := range tt.extra {
				files[file] = strings.ReplaceAll(content, "URL", url)
			}
			got, err := Render(context.Background(), Source{FS: repo(files), Path: "app"}, Limits{})
			want := tt.want
			if want == nil {
				want = ErrRemoteReference
			}
			if !errors.Is(err, want) || len(got) > 0 {
				t.Fatalf("= %d objects, %v; want %v", len(got), err, want)
			}
			if tt.text != "" && strings.ReplaceAll(err.Error(), url, "URL") != tt.text {
				t.Errorf("says  %s\nwant  %s", err, tt.text)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("secret in %s", err)
			}
		})
	}
}

func TestKustomizeRefuses(t *testing.T) {
	diamond := map[string]string{}
	for i := range 20 {
		next := fmt.Sprintf("../l%d", i+1)
		diamond[fmt.Sprintf("l%d/kustomization.yaml", i)] = "resources: [a, b]\n"
		for _, side := range []string{"a", "b"} {
			diamond[fmt.Sprintf("l%d/%s/kustomization.yaml", i, side)] = "namePrefix: " + side + "\nresources: [../" + next + "]\n"
		}
	}
	diamond["l20/kustomization.yaml"], diamond["l20/c.yaml"] = "resources: [c.yaml]\n", configMap("c")
	bomb := "x: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'j'; i++ {
		bomb += fmt.Sprintf("%c0: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", i-1), 10), ","))
	}
	tests := []struct {
		name   string
		files  map[string]string
		path   string
		limits Limits
		want   error
		text   string // part of the message
	}{
		{name: "unknown field", files: map[string]string{"kustomization.yaml": "resuorces: [a.yaml]\n"}, want: ErrInvalid, text: `kustomization.yaml: invalid manifest: invalid Kustomization: json: unknown field "resuorces"`},
		{name: "missing file", files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\n"}, want: ErrKustomize, text: "a.yaml"},
		{name: "missing base", files: map[string]string{"app/kustomization.yaml": "resources: [../base]\n"}, path: "app", want: ErrKustomize, text: "base"},
		{name: "base without kustomization", files: map[string]string{"app/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": configMap("a")}, path: "app", want: ErrKustomize, text: "base: kustomize: folder holds no kustomization file"},
		{name: "file above the kustomization", files: map[string]string{"app/kustomization.yaml": "resources: [../a.yaml]\n", "a.yaml": configMap("a")}, path: "app", want: ErrKustomize, text: "security"},
		{name: "cycle", files: map[string]string{"a/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../a]\n"}, path: "a", want: ErrKustomize, text: "a: kustomize: the kustomization includes itself"},
		{name: "empty", files: map[string]string{"kustomization.yaml": "resources: []\nnamespace: n1\n"}, want: ErrNothingRendered},
		{name: "one object twice", files: map[string]string{"kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "a.yaml": configMap("a"), "b.yaml": configMap("a")}, want: ErrKustomize, text: "already registered id"},
		{name: "diamonds", files: diamond, path: "l0", want: ErrTooLarge, text: "includes more than 2000 kustomizations"},
		{name: "alias bomb in a resource", files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": bomb}, want: ErrTooLarge, text: "a.yaml: limit exceeded"},
		{name: "alias bomb in the kustomization", files: map[string]string{"kustomization.yaml": bomb}, want: ErrTooLarge},
		{name: "deep resource", files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap("a") + "data: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000)}, want: ErrTooLarge},
		{name: "many files", files: guestbook(), path: "stages/test", limits: Limits{Files: 3}, want: ErrTooLarge},
		{name: "many objects", files: guestbook(), path: "stages/test", limits: Limits{Objects: 3}, want: ErrTooLarge, text: "stages/test: limit exceeded: more than 3 objects"},
		{name: "secret literal", files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: s, literals: [hunter2]}]\n"}, want: ErrKustomize, text: "invalid literal source"},
		{name: "secret env", files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: s, envs: [e]}]\n", "e": "A=hunter2\xff\n"}, want: ErrKustomize},
		{name: "secret in a plugin", files: map[string]string{"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: s}\nliterals: {a: hunter2}\n"}, want: ErrKustomize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Render(context.Background(), Source{FS: repo(tt.files), Path: tt.path}, tt.limits)
			if !errors.Is(err, tt.want) || len(got) > 0 {
				t.Fatalf("= %d objects, %v; want %v", len(got), err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("says %s", err)
			}
		})
	}
}

// TestAddressesInManifestsAreNotReferences: only what kustomize would follow is refused.
func TestAddressesInManifestsAreNotReferences(t *testing.T) {
	noEscape(t)
	got, err := Run(context.Background(), Source{FS: repo(map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\ncommonAnnotations: {docs: 'https://docs.example.com'}\nconfigMapGenerator: [{name: c, literals: ['url=https://x.example.com']}]\ntransformers:\n- |\n  apiVersion: builtin\n  kind: AnnotationsTransformer\n  metadata: {name: a}\n  annotations: {run: 'https://run.example.com'}\n  fieldSpecs: [{path: metadata/annotations, create: true}]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: a}\n    data: {u: 'https://u.example.com'}\n",
		"a.yaml":             configMap("a"),
	})}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"docs", "x", "run", "u"} {
		if !strings.Contains(text(t, got), "https://"+address+".example.com") {
			t.Errorf("%s is lost in\n%s", address, text(t, got))
		}
	}
}

// TestBuildsDoNotDisturbEachOther runs builds that only read kustomize's process-wide schema beside builds that
// replace it. With the schema of another build kustomize does not know that ports of a Service merge by their number,
// and the patch would replace the list.
func TestBuildsDoNotDisturbEachOther(t *testing.T) {
	patched := map[string]string{
		"kustomization.yaml": "namespace: ns\nresources: [s.yaml]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: Service\n    metadata: {name: s}\n    spec: {ports: [{port: 443}]}\n",
		"s.yaml":             "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n",
	}
	strange := map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: schema.json}\npatches:\n- patch: |-\n    apiVersion: example.com/v1\n    kind: Thing\n    metadata: {name: a}\n    spec: {parts: [{id: two, v: 2}]}\n",
		"a.yaml":             "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: {parts: [{id: one, v: 1}]}\n",
		"schema.json":        `{"definitions":{"v1.Thing":{"type":"object","properties":{"spec":{"type":"object","properties":{"parts":{"type":"array","items":{"type":"object"},"x-kubernetes-patch-merge-key":"id","x-kubernetes-patch-strategy":"merge"}}}},"x-kubernetes-group-version-kind":[{"group":"example.com","version":"v1","kind":"Thing"}]}}}`,
	}
	sources := []Source{
		{FS: repo(patched)}, {FS: repo(strange)}, {FS: repo(guestbook()), Path: "base"},
		{FS: repo(map[string]string{"kustomization.yaml": "namePrefix: p-\nresources: [a.yaml]\ncommonAnnotations: {a: b}\n", "a.yaml": configMap("a")})},
	}
	var want []string
	for _, source := range sources {
		result, err := Run(context.Background(), source, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, text(t, result))
	}
	if strings.Count(want[0], "port: ") != 2 || strings.Count(want[1], "id: ") != 2 {
		t.Fatalf("patches were not merged by key:\n%s\n%s", want[0], want[1])
	}
	var wait sync.WaitGroup
	for i := range 64 {
		wait.Go(func() {
			result, err := Run(context.Background(), sources[i%len(sources)], Limits{Timeout: 5 * time.Minute})
			if err != nil {
				t.Errorf("build %d: %v", i, err)
				return
			}
			if diff := cmp.Diff(want[i%len(sources)], text(t, result)); diff != "" {
				t.Errorf("build %d (-want +got):\n%s", i, diff)
			}
		})
	}
	wait.Wait()
}

// hooked calls open before every file is opened.
type hooked struct {
	fs.FS
	open func(name string)
}

func (h hooked) Open(name string) (fs.File, error) {
	h.open(name)
	return h.FS.Open(name)
}

func TestTimeoutAndCancel(t *testing.T) {
	release := make(chan struct{})
	var stuck atomic.Bool
	blocked := hooked{repo(map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap("a")}), func(name string) {
		if name == "a.yaml" && stuck.Swap(true) {
			<-release
		}
	}}
	_, err := Render(context.Background(), Source{FS: blocked}, Limits{Timeout: 50 * time.Millisecond}) // the limit is what is tested
	if !errors.Is(err, ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timeout: %v", err)
	}
	close(release)

	ctx, cancel := context.WithCancel(context.Background())
	cancelling := hooked{repo(map[string]string{"a.yaml": configMap("a"), "b.yaml": configMap("b")}), func(name string) {
		if name == "a.yaml" {
			cancel()
		}
	}}
	if _, err := Render(ctx, Source{FS: cancelling}, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPanicsAreErrors(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{"plain": repo(map[string]string{"a.yaml": configMap("a")}), "kustomize": repo(map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap("a")})} {
		explosive := hooked{files, func(name string) {
			if name == "a.yaml" {
				panic("boom")
			}
		}}
		_, err := Render(context.Background(), Source{FS: explosive}, Limits{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
