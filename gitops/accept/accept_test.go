package accept_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/accept"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/secret"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 1   # one is enough
  template:
    spec:
      containers:
      - name: web
        image: registry.example.com/web:1.26.0
        env:
        - {name: LEVEL, value: info}
        - {name: API_TOKEN, value: abc}
`

const service = `# the door
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ports:
  - port: 80
---
`

// bench is an Acceptor on a real Git server, and a cluster of one object.
type bench struct {
	t       *testing.T
	server  *gittest.Server
	mirrors *git.Mirrors
	app     v1alpha1.Application
	live    *unstructured.Unstructured
	points  func()
	it      *accept.Acceptor
}

func newBench(t *testing.T, path string, files map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, server: gittest.NewServer(t), points: func() {}}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	if b.mirrors, err = git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: transport, AllowPlainHTTP: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.mirrors.Close() })
	b.app.Namespace, b.app.Name, b.app.UID = "guestbook", "prod", "uid-1"
	b.app.Spec.Source = v1alpha1.ApplicationSource{RepoURL: b.server.CreateRepo("guestbook", files), TargetRevision: "main", Path: path}
	b.app.Spec.Destination.Namespace = "guestbook-prod"
	b.set(nil)
	b.it, err = accept.New(accept.Options{
		Live: func(context.Context, *v1alpha1.Application, gitops.Key) (*unstructured.Unstructured, error) {
			b.points()
			return b.live, nil
		},
		Open: func(context.Context, string, string) (*git.Mirror, error) {
			return b.mirrors.Open(git.Remote{URL: b.app.Spec.Source.RepoURL, Username: gittest.Username, Password: secret.New(gittest.Password)})
		},
		Renders: render.NewCache(16<<20, nil), Clock: clock.RealClock{}, Author: git.Identity{Name: "Waybill", Email: "noreply@waybill.dev"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// set makes the cluster have the Deployment with a change.
func (b *bench) set(change func(spec map[string]any)) {
	b.t.Helper()
	o := map[string]any{}
	if err := yaml.Unmarshal([]byte(deployment), &o); err != nil {
		b.t.Fatal(err)
	}
	if change != nil {
		change(o["spec"].(map[string]any))
	}
	text, err := yaml.Marshal(o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.live = &unstructured.Unstructured{}
	json, err := yaml.YAMLToJSON(text)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.live.UnmarshalJSON(json); err != nil {
		b.t.Fatal(err)
	}
	b.live.SetNamespace("guestbook-prod")
}

func (b *bench) accept(fields ...string) (accept.Result, error) {
	q := accept.Request{App: &b.app, By: "waybill:ann", Reason: "load test showed it"}
	for _, f := range fields {
		q.Fields = append(q.Fields, accept.Field{Key: gitops.Key{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web"}, Path: f})
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	return b.it.Accept(ctx, q)
}

func (b *bench) file(name string) string {
	return b.server.Show("guestbook", "main:"+name)
}

func replicas(n int) func(map[string]any) {
	return func(spec map[string]any) { spec["replicas"] = n }
}

func container(spec map[string]any) map[string]any {
	return spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
}

// TestPlainFile: one value of the file that declares the object changes, comments
// and the other documents stay, and the commit says who accepted what and why.
func TestPlainFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, "app", map[string]string{"app/all.yaml": service + deployment, "other.txt": "x\n"})
	b.set(replicas(4))
	got, err := b.accept("spec.replicas")
	if err != nil {
		t.Fatal(err)
	}
	want := service + strings.Replace(deployment, "replicas: 1 ", "replicas: 4 ", 1)
	if text := b.file("app/all.yaml"); text != want {
		t.Errorf("the file is now\n%s", text)
	}
	if !got.IsNew || got.Branch != "main" || len(got.Changes) != 1 || got.Changes[0].File != "app/all.yaml" || got.Changes[0].Before != "1" || got.Changes[0].After != "4" {
		t.Errorf("%+v", got)
	}
	said := b.server.Git("guestbook", "log", "-1", "--format=%B", "main")
	for _, part := range []string{"prod: accept spec.replicas of deployment/web", "load test showed it", "Waybill-Accepted-By: waybill:ann", "Waybill-Accepts: Deployment guestbook-prod/web spec.replicas"} {
		if !strings.Contains(said, part) {
			t.Errorf("the commit does not say %q:\n%s", part, said)
		}
	}
	// The same again, as after a crash behind the push: no second commit, and the
	// first is named.
	again, err := b.accept("spec.replicas")
	if err != nil || again.IsNew || again.Commit != got.Commit || len(b.server.Log("guestbook", "main")) != 2 {
		t.Errorf("%+v, %v: the same again", again, err)
	}
}

// TestAdded: what a person added comes as a new list item and a new map.
func TestAdded(t *testing.T) {
	t.Parallel()
	b := newBench(t, ".", map[string]string{"web.yaml": deployment})
	b.set(func(spec map[string]any) {
		c := container(spec)
		c["env"] = append(c["env"].([]any), map[string]any{"name": "COLOR", "value": "blue"})
		c["resources"] = map[string]any{"limits": map[string]any{"memory": "64Mi"}}
		c["terminationMessagePath"] = "/dev/termination-log" // a default, not accepted
	})
	base := "spec.template.spec.containers[name=web]"
	if _, err := b.accept(base+".env[name=COLOR].value", base+".resources.limits.memory"); err != nil {
		t.Fatal(err)
	}
	text := b.file("web.yaml")
	for _, part := range []string{"COLOR", "blue", "memory: 64Mi", "# one is enough"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing:\n%s", part, text)
		}
	}
	if strings.Contains(text, "termination") {
		t.Errorf("more than what was accepted:\n%s", text)
	}
}

// TestKustomize: the base belongs to others, so a patch is put beside the
// kustomization; replicas that it sets are edited there.
func TestKustomize(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, kustomization, file, has string }{
		{"patch", "resources: [../../base] # all\n", "stages/prod/kustomization.yaml", "# all"},
		{"replicas", "resources: [../../base]\nreplicas:\n- {name: web, count: 1}\n", "stages/prod/kustomization.yaml", "count: 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "stages/prod", map[string]string{
				"base/kustomization.yaml": "resources: [web.yaml]\n", "base/web.yaml": deployment, "stages/prod/kustomization.yaml": tc.kustomization,
			})
			b.set(replicas(4))
			got, err := b.accept("spec.replicas")
			if err != nil {
				t.Fatal(err)
			}
			if text := b.file("base/web.yaml"); text != deployment {
				t.Errorf("the base of others changed:\n%s", text)
			}
			if text := b.file(tc.file); !strings.Contains(text, tc.has) {
				t.Errorf("%+v:\n%s", got, text)
			}
			mirror, err := b.mirrors.Open(git.Remote{URL: b.app.Spec.Source.RepoURL, Username: gittest.Username, Password: secret.New(gittest.Password)})
			if err != nil {
				t.Fatal(err)
			}
			commit, err := git.ParseHash(got.Commit)
			if err != nil {
				t.Fatal(err)
			}
			files, err := mirror.FS(commit)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := render.Render(t.Context(), render.SourceOf(files, b.app.Spec.Source, "prod", "guestbook-prod"), render.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if n, _, _ := unstructured.NestedInt64(objects[0].Object, "spec", "replicas"); n != 4 {
				t.Errorf("it renders to %d replicas", n)
			}
		})
	}
}

// TestRefused: each refusal says why and what to do, and commits nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, field, says string
		files             map[string]string
		change            func(map[string]any)
		prepare           func(*bench)
	}{
		{name: "image", field: "spec.template.spec.containers[name=web].image", says: "images come by promotion", change: func(s map[string]any) { container(s)["image"] = "evil:1" }},
		{name: "secret by name", field: "spec.template.spec.containers[name=web].env[name=API_TOKEN].value", says: "holds a secret", change: func(s map[string]any) {
			container(s)["env"].([]any)[1].(map[string]any)["value"] = "xyz"
		}},
		{name: "deleted", field: "", says: "deleted or replaced"},
		{name: "gone", field: "spec.replicas", says: "is not in the cluster", prepare: func(b *bench) { b.live = nil }},
		{name: "unreadable path", field: "spec.finalizers[=b]", says: "neither a number"},
		{name: "chart", field: "spec.replicas", says: "Helm chart", change: replicas(3), prepare: func(b *bench) { b.app.Spec.Source.Helm = &v1alpha1.HelmOptions{} }},
		{
			name: "the value is shared", field: "spec.replicas", says: "no file under", change: replicas(4),
			files: map[string]string{"web.yaml": strings.Replace(deployment, "replicas: 1 ", "replicas: &n 1\n  minReadySeconds: *n ", 1)},
		},
		{name: "a List", field: "spec.replicas", says: "no file under", change: replicas(4), files: map[string]string{"web.json": `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":1}}]}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := tc.files
			if files == nil {
				files = map[string]string{"web.yaml": deployment}
			}
			b := newBench(t, ".", files)
			b.set(tc.change)
			if tc.prepare != nil {
				tc.prepare(b)
			}
			got, err := b.accept(tc.field)
			var refusal *accept.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, tc.says) || refusal.Next == "" {
				t.Errorf("%+v, %v", got, err)
			}
			if n := len(b.server.Log("guestbook", "main")); n != 1 {
				t.Errorf("%d commits", n)
			}
		})
	}
}

// TestNeighbour: a file that another Application of the branch renders too is not
// edited for one of them.
func TestNeighbour(t *testing.T) {
	t.Parallel()
	b := newBench(t, "app", map[string]string{"app/web.yaml": deployment, "two/kustomization.yaml": "resources: [../app/web.yaml]\n"})
	b.set(replicas(4))
	other := *b.app.DeepCopy()
	other.Name, other.UID, other.Spec.Source.Path = "two", "uid-2", "."
	other.Spec.Source.Directory = &v1alpha1.DirectoryOptions{Recurse: true, Exclude: "two/*"}
	q := accept.Request{App: &b.app, By: "waybill:ann", Neighbours: []v1alpha1.Application{b.app, other}, Fields: []accept.Field{
		{Key: gitops.Key{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web"}, Path: "spec.replicas"},
	}}
	_, err := b.it.Accept(t.Context(), q)
	var refusal *accept.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, `Application "two"`) {
		t.Errorf("%v", err)
	}
}

// TestRace: somebody pushes between the look and the push; the edit is made anew
// on what they pushed.
func TestRace(t *testing.T) {
	t.Parallel()
	b := newBench(t, ".", map[string]string{"web.yaml": deployment})
	b.set(replicas(4))
	pushed := 0
	b.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "git-receive-pack") && pushed == 0 {
				pushed++
				b.server.Commit("guestbook", "main", "theirs", map[string]string{"theirs.txt": "x"})
			}
			next.ServeHTTP(w, r)
		})
	})
	got, err := b.accept("spec.replicas")
	if err != nil || !got.IsNew {
		t.Fatalf("%+v, %v", got, err)
	}
	if n := len(b.server.Log("guestbook", "main")); n != 3 || pushed != 1 {
		t.Errorf("%d commits, %d pushed by others", n, pushed)
	}
	if text := b.file("web.yaml"); !strings.Contains(text, "replicas: 4") || b.file("theirs.txt") == "" {
		t.Errorf("%s", text)
	}
}
