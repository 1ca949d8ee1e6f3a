package safety

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/freeaddr"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/test/env"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// The secrets of this test, by what they are. None may come out anywhere.
const (
	adminPassword     = "canary-admin/pa55 word"
	wrongPassword     = "canary-wrong-l0gin"
	gitWrong          = "canary-git-wr0ng+password"
	registryWrong     = "canary-reg1stry-wrong"
	echoed            = "canary-echoed-by-a-server-1234567890"
	manifestSecret    = "canary-manifest-v4lue"
	manifestNew       = "canary-manifest-n3w"
	manifestNumber    = "9182736455463728"
	malformed         = "canary-malf0rmed-yaml"
	generated         = "canary-secret-gener4tor"
	driftedSecret     = "canary-dr1fted-value"
	driftedAnnotation = "canary-last-4pplied"
	hookWords         = gittest.Password // what a hook prints
	brokenCredential  = "canary-br0ken-credential"
	userPassword      = "canary-us3r-password"
)

// planted returns every secret by name.
func planted() map[string]string {
	return map[string]string{
		"the administrator's password": adminPassword, "a wrong password somebody typed": wrongPassword,
		"the Git password": gittest.Password, "a wrong Git password": gitWrong,
		"the registry password": registrytest.Password, "a wrong registry password": registryWrong, "a password a server repeats": echoed,
		"a Secret's value in Git": manifestSecret, "its next value": manifestNew, "a Secret's value that is a number": manifestNumber,
		"a Secret in malformed YAML": malformed, "a secretGenerator's literal": generated,
		"a Secret's value by hand": driftedSecret, "a Secret in an annotation of kubectl's": driftedAnnotation,
		"a credential Secret that cannot be used": brokenCredential, "a local user's password": userPassword,
	}
}

// spellings are the ways a secret may be written.
func spellings(v string) []string {
	out := []string{v, url.QueryEscape(v), url.PathEscape(v), base64.StdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v))}
	for _, user := range []string{gittest.Username, registrytest.Username, "bot", "admin"} {
		out = append(out, base64.StdEncoding.EncodeToString([]byte(user+":"+v)))
	}
	return out
}

// TestCanary plants secrets wherever people put them, drives Waybill through
// success and every kind of failure that handles them, and searches all that
// comes out.
func TestCanary(t *testing.T) {
	w := newWorld(t)
	kube, err := kubernetes.NewForConfig(w.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := identity.PutUser(t.Context(), kube, systemNamespace, "admin", secret.New(adminPassword), []string{"administrators"}); err != nil {
		t.Fatal(err)
	}
	echo := echoServer(t)
	w.plant(echo)
	token := w.signIn()
	found := &search{t: t, secrets: planted()}
	found.secrets["the session token"] = token

	w.succeed()
	w.fail()
	w.drift()
	w.answers(found, token)
	w.commandLine(found, token)

	// What is stored.
	for _, list := range []client.ObjectList{
		&v1alpha1.ProjectList{}, &v1alpha1.WarehouseList{}, &v1alpha1.FreightList{}, &v1alpha1.StageList{}, &v1alpha1.PromotionList{},
		&v1alpha1.ApplicationList{}, &v1alpha1.FreezeList{}, &v1alpha1.ApprovalList{}, &corev1.EventList{}, &appsv1.DeploymentList{}, &corev1.ConfigMapList{}, &corev1.NamespaceList{},
	} {
		if err := w.admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		found.in(fmt.Sprintf("objects %T", list), string(raw))
	}
	events, err := kube.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found.in("events", fmt.Sprintf("%+v", events.Items))
	w.process(found)
	if found.looked < 60 {
		t.Errorf("only %d places were searched", found.looked)
	}
}

// search looks for secrets.
type search struct {
	t       *testing.T
	secrets map[string]string
	looked  int
}

func (s *search) in(where, text string) {
	s.t.Helper()
	s.looked++
	for _, leak := range s.leaks(text) {
		s.t.Errorf("%s holds %s", where, leak)
	}
}

// leaks names the secrets in a text, each with what stands around it.
func (s *search) leaks(text string) []string {
	var out []string
	for name, v := range s.secrets {
		for _, form := range spellings(v) {
			if at := strings.Index(text, form); at >= 0 {
				out = append(out, fmt.Sprintf("%s: …%s…", name, text[max(0, at-120):min(len(text), at+len(form)+60)]))
				break
			}
		}
	}
	return out
}

// TestSearchFinds: a search that cannot find would pass for ever.
func TestSearchFinds(t *testing.T) {
	s := &search{t: t, secrets: planted()}
	for name, v := range s.secrets {
		for _, text := range []string{v, "x" + url.QueryEscape(v) + "y", "Basic " + base64.StdEncoding.EncodeToString([]byte("bot:"+v)), base64.StdEncoding.EncodeToString([]byte(v))} {
			if leaks := s.leaks("before " + text + " after"); len(leaks) != 1 || !strings.HasPrefix(leaks[0], name+":") {
				t.Errorf("%s as %q: found %q", name, text, leaks)
			}
		}
	}
	if leaks := s.leaks("all is well"); len(leaks) > 0 {
		t.Errorf("found %q", leaks)
	}
}

// echoServer answers like a server that tells everybody what it was sent.
func echoServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		if authorization == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="echo"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		raw, _ := json.Marshal(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": "no entry with " + authorization + " that is " + password + " or " + url.QueryEscape(password)}}})
		_, _ = w.Write(raw)
	}))
	t.Cleanup(s.Close)
	return s
}

const canaryProject = "canary"

// plant makes repositories, credentials and definitions.
func (w *world) plant(echo *httptest.Server) {
	w.t.Helper()
	image := w.registry.Name("app")
	files := func(value string) map[string]string {
		return map[string]string{
			"stages/test/kustomization.yaml": "resources: [deployment.yaml, secret.yaml]\nimages:\n- name: " + image + "\n  newTag: 1.0.0\n",
			"stages/test/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: app, image: ` + image + `}]}
`,
			"stages/test/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: db, annotations: {example.com/note: " + value + "}}\nstringData: {password: " + value + "}\n",
			// What can be wrong with a Secret in Git.
			"bad/number/s.yaml":            "apiVersion: v1\nkind: Secret\nmetadata: {name: number}\nstringData: {password: " + manifestNumber + "}\n",
			"bad/base64/s.yaml":            "apiVersion: v1\nkind: Secret\nmetadata: {name: base64}\ndata: {password: '" + malformed + "!!'}\n",
			"bad/tls/s.yaml":               "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\nmetadata: {name: tls}\nstringData: {.dockerconfigjson: 'not json " + malformed + "'}\n",
			"bad/yaml/s.yaml":              "apiVersion: v1\nkind: Secret\nstringData:\n  password: " + malformed + "\n   other: [" + malformed + "\n",
			"bad/type/s.yaml":              "apiVersion: v1\nkind: Secret\nmetadata: {name: type}\nstringData: [" + malformed + "]\n",
			"bad/key/s.yaml":               "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {'a b/" + "c': " + malformed + "}\n",
			"bad/unknown/s.yaml":           "apiVersion: v1\nkind: Secret\nmetadata: {name: unknown}\npassword: " + malformed + "\nstringData: {a: b}\n",
			"bad/name/s.yaml":              "apiVersion: v1\nkind: Secret\nmetadata: {name: 'Not A Name'}\nstringData: {a: " + malformed + "}\n",
			"bad/gen/kustomization.yaml":   "secretGenerator:\n- name: gen\n  literals: [password=" + generated + ", " + generated + "]\n",
			"bad/patch/kustomization.yaml": "resources: [s.yaml]\npatches:\n- patch: |-\n    kind: Secret\n    apiVersion: v1\n    metadata: {name: other}\n    stringData: {a: " + generated + "}\n",
			"bad/patch/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: patched}\nstringData: {a: " + malformed + "}\n",
		}
	}
	gitURL := w.git.CreateRepo("app", files(manifestSecret))
	other := w.git.CreateRepo("other", map[string]string{"stages/test/kustomization.yaml": "images:\n- name: " + image + "\n  newTag: 1.0.0\n"})
	hooked := w.git.CreateRepo("hooked", map[string]string{"stages/test/kustomization.yaml": "images:\n- name: " + image + "\n  newTag: 1.0.0\n"})
	if err := w.git.SetHook("hooked", "pre-receive", "#!/bin/sh\necho 'you signed in with "+hookWords+"' >&2\nexit 1\n"); err != nil {
		w.t.Fatal(err)
	}
	echoHost := strings.TrimPrefix(echo.URL, "http://")
	credential := func(name, kind, repoURL, user, password string) string {
		raw, err := yaml.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Secret",
			"metadata":   map[string]any{"name": name, "namespace": canaryProject, "labels": map[string]string{"waybill.dev/cred-type": kind}},
			"stringData": map[string]string{"repoURL": repoURL, "username": user, "password": password},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return string(raw)
	}
	stage := func(name, repoURL string) string {
		return fmt.Sprintf(`
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: %[1]s, namespace: canary}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: app}, sources: {direct: true}}]
  promotionMechanisms:
    gitRepoUpdates:
    - {repoURL: "%[2]s", readBranch: main, writeBranch: stage/%[1]s, kustomize: {images: [{image: "%[3]s", path: stages/test}]}}
  deploy:
  - {destination: {namespace: canary-%[1]s}, source: {path: stages/test}, syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}}
`, name, repoURL, image)
	}
	application := func(path string) string {
		return fmt.Sprintf(`
apiVersion: waybill.dev/v1alpha1
kind: Application
metadata: {name: bad-%[1]s, namespace: canary}
spec:
  source: {repoURL: "%[2]s", targetRevision: main, path: bad/%[1]s}
  destination: {namespace: canary-bad}
  syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
`, path, gitURL)
	}
	warehouse := func(name, repoURL string) string {
		return fmt.Sprintf(`
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: %s, namespace: canary}
spec: {interval: 5s, subscriptions: [{image: {repoURL: "%s", constraint: "^1.0.0"}}]}
`, name, repoURL)
	}
	closed := freeaddr.For(w.t)
	docs := []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: canary, labels: {waybill.dev/project: \"true\"}}\n",
		"apiVersion: waybill.dev/v1alpha1\nkind: Project\nmetadata: {name: canary}\n",
		credential("git", "git", gitURL, gittest.Username, gittest.Password),
		credential("hooked", "git", hooked, gittest.Username, gittest.Password),
		credential("git-wrong", "git", other, gittest.Username, gitWrong),
		credential("git-echo", "git", echo.URL, "bot", echoed),
		credential("git-closed", "git", "http://"+closed, "bot", echoed),
		credential("registry", "image", w.registry.Host(), registrytest.Username, registrytest.Password),
		credential("registry-wrong", "image", w.registry.Name("other"), registrytest.Username, registryWrong),
		credential("registry-echo", "image", echoHost, "bot", echoed),
		credential("broken", "image", "localhost:1/"+brokenCredential[:6], "bot:"+brokenCredential, brokenCredential),
		warehouse("app", image), warehouse("wrong", w.registry.Name("other")), warehouse("echo", echoHost+"/app"), warehouse("closed", closed+"/app"), warehouse("broken", "localhost:1/x"),
		stage("test", gitURL), stage("wrong", other), stage("hooked", hooked), stage("echo", echo.URL+"/r.git"), stage("closed", "http://"+closed+"/r.git"),
	}
	for path := range files("") {
		if rest, ok := strings.CutPrefix(path, "bad/"); ok && !strings.HasSuffix(path, "patch/s.yaml") {
			docs = append(docs, application(filepath.Dir(rest)))
		}
	}
	w.cluster.Apply(w.t, docs...)
	w.registry.Push("app", "1.0.0", demoregistry.ImageOptions{Salt: "1"})
}

// freight waits for the Freight of a version.
func (w *world) freight(tag string) string {
	w.t.Helper()
	name := ""
	eventually(w.t, "Freight "+tag, func() error {
		var all v1alpha1.FreightList
		if err := w.admin.List(w.t.Context(), &all, client.InNamespace(canaryProject)); err != nil {
			return err
		}
		for _, f := range all.Items {
			if f.Images[0].Tag == tag {
				name = f.Name
				return nil
			}
		}
		return fmt.Errorf("%d others", len(all.Items))
	})
	return name
}

func (w *world) promote(name, freight string) *v1alpha1.Promotion {
	w.t.Helper()
	p := newPromotion(canaryProject, name)
	p.Spec.Freight = freight
	if err := w.admin.Create(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// succeed promotes once, so that the Secret is in the cluster, and changes it
// in Git, so that a preview has something to show.
func (w *world) succeed() {
	w.t.Helper()
	w.promote("test.1.f", w.freight("1.0.0"))
	var p v1alpha1.Promotion
	w.has(&p, canaryProject, "test.1.f", func() error { return yes(p.Status.Phase == v1alpha1.PhaseSucceeded, p.Status) })
	var s corev1.Secret
	w.has(&s, "canary-test", "db", func() error { return yes(string(s.Data["password"]) == manifestSecret, s.Data) })
	w.git.Commit("app", "main", "rotate", map[string]string{
		"stages/test/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: db, annotations: {example.com/note: " + manifestNew + "}}\nstringData: {password: " + manifestNew + "}\n",
	})
}

// fail waits for every failure that was planted.
func (w *world) fail() {
	w.t.Helper()
	f := w.freight("1.0.0")
	for stage, reason := range map[string]string{"wrong": "AuthenticationFailed", "hooked": "PushRejected", "echo": "AuthenticationFailed", "closed": "GitUnreachable"} {
		w.promote(stage+".1.f", f)
		var p v1alpha1.Promotion
		w.has(&p, canaryProject, stage+".1.f", func() error { return yes(p.Status.Reason == reason, p.Status) })
	}
	for _, warehouse := range []string{"wrong", "echo", "closed", "broken"} {
		var wh v1alpha1.Warehouse
		w.has(&wh, canaryProject, warehouse, func() error {
			return yes(len(wh.Status.Subscriptions) == 1 && wh.Status.Subscriptions[0].Error != "", wh.Status)
		})
	}
	var apps v1alpha1.ApplicationList
	eventually(w.t, "the bad Applications say what is wrong", func() error {
		if err := w.admin.List(w.t.Context(), &apps, client.InNamespace(canaryProject)); err != nil {
			return err
		}
		bad := 0
		for _, a := range apps.Items {
			if !strings.HasPrefix(a.Name, "bad-") {
				continue
			}
			bad++
			if len(a.Status.Conditions) == 0 || a.Status.Conditions[0].Status != metav1.ConditionFalse && a.Name != "bad-number" && a.Name != "bad-unknown" {
				return fmt.Errorf("%s: %+v", a.Name, a.Status.Conditions)
			}
		}
		return yes(bad >= 10, bad)
	})
	for _, a := range apps.Items {
		if len(a.Status.Conditions) > 0 {
			w.t.Logf("%s: %s: %s", a.Name, a.Status.Conditions[0].Reason, a.Status.Conditions[0].Message)
		}
	}
}

// drift changes the deployed Secret as people do.
func (w *world) drift() {
	w.t.Helper()
	patch := func(manager string, patch map[string]any) {
		w.t.Helper()
		raw, err := json.Marshal(patch)
		if err != nil {
			w.t.Fatal(err)
		}
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "canary-test", Name: "db"}}
		if err := w.admin.Patch(w.t.Context(), s, client.RawPatch(types.StrategicMergePatchType, raw), client.FieldOwner(manager)); err != nil {
			w.t.Fatal(err)
		}
	}
	drifted := func(n int) {
		w.t.Helper()
		var a v1alpha1.Application
		w.has(&a, canaryProject, "test", func() error { return yes(len(a.Status.Drifts) >= n, a.Status.Drifts) })
	}
	patch("kubectl-edit", map[string]any{"stringData": map[string]string{"password": driftedSecret}})
	drifted(1)
	patch("kubectl-client-side-apply", map[string]any{
		"metadata":   map[string]any{"annotations": map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"kind":"Secret","stringData":{"password":"` + driftedAnnotation + `"}}`, "example.com/note": driftedSecret}},
		"stringData": map[string]string{"extra": driftedSecret},
	})
	drifted(2)
	var s corev1.Secret
	w.has(&s, "canary-test", "db", func() error { return yes(string(s.Data["password"]) == manifestSecret && len(s.Data) == 1, s.Data) })
}

// signIn signs the administrator in, after a wrong password.
func (w *world) signIn() string {
	w.t.Helper()
	login := func(password string) (int, []byte) {
		w.t.Helper()
		raw, _ := json.Marshal(map[string]string{"username": "admin", "password": password, "kind": "token", "name": "canary"})
		res, err := http.Post("http://"+w.address+"/api/v1/login", "application/json", bytes.NewReader(raw))
		if err != nil {
			w.t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		return res.StatusCode, body
	}
	token := ""
	eventually(w.t, "the administrator signs in", func() error {
		status, body := login(adminPassword)
		var answer struct{ Token string }
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		token = answer.Token
		return yes(status == http.StatusOK && token != "", string(body))
	})
	status, body := login(wrongPassword)
	if status != http.StatusUnauthorized {
		w.t.Errorf("a wrong password is answered %d", status)
	}
	(&search{t: w.t, secrets: planted()}).in("the answer to a wrong password", string(body))
	return token
}

// request sends one request with the token and returns the answer, headers and
// all.
func (w *world) request(method, path, token, contentType, body string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.address+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	c := http.Client{Timeout: time.Minute}
	res, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if strings.HasPrefix(path, "/api/v1/events") { // it never ends
		defer time.AfterFunc(2*time.Second, func() { _ = res.Body.Close() }).Stop()
	}
	text, err := io.ReadAll(res.Body)
	if err != nil && !strings.HasPrefix(path, "/api/v1/events") {
		w.t.Fatal(err)
	}
	return res.StatusCode, fmt.Sprintf("%v\n%s", res.Header, text)
}

// answers searches every GET of the API, and the writes that answer with more
// than yes or no.
func (w *world) answers(found *search, token string) {
	w.t.Helper()
	root, err := env.Repository()
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "api", "rest", "openapi.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := yaml.Unmarshal(raw, &document); err != nil {
		w.t.Fatal(err)
	}
	freight := w.freight("1.0.0")
	values := map[string][]string{
		"{project}": {canaryProject}, "{stage}": {"test", "wrong", "hooked", "echo", "closed"}, "{promotion}": {"test.1.f", "hooked.1.f", "echo.1.f"},
		"{freight}": {freight}, "{warehouse}": {"app", "wrong", "echo", "closed", "broken"}, "{freeze}": {"none"},
		"{application}": {"test", "bad-number", "bad-yaml", "bad-tls", "bad-gen"},
		"{kind}":        {"projects", "warehouses", "freights", "stages", "promotions", "applications", "freezes", "approvals", "secrets"}, "{name}": {"test", "app", "bad-tls", "git"},
	}
	asked := 0
	for path, operations := range document.Paths {
		if _, ok := operations["get"]; !ok {
			continue
		}
		for _, p := range fill(path, values) {
			if strings.HasSuffix(p, "/why") || strings.HasSuffix(p, "/plan") {
				p += "?freight=" + freight
			}
			if strings.HasSuffix(p, "/events") {
				p += "?topics=projects,project/canary,pipeline/canary"
			}
			status, answer := w.request(http.MethodGet, p, token, "", "")
			if status >= http.StatusInternalServerError && !strings.HasSuffix(p, "readyz") {
				w.t.Errorf("GET %s: %d %s", p, status, last(answer, 400))
			}
			found.in("GET "+p, answer)
			asked++
			if strings.Contains(p, "test/plan") && (!strings.Contains(answer, "stringData.password") || !strings.Contains(answer, "***")) {
				w.t.Errorf("the plan does not say that a Secret changes: %s", last(answer, 500))
			}
		}
	}
	if asked < 40 {
		w.t.Errorf("only %d questions were asked", asked)
	}
	for _, c := range []struct{ method, path, kind, body string }{
		{"POST", "/api/v1/apply", "application/yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: canary, labels: {waybill.dev/cred-type: git}}\nstringData: {password: " + malformed + ", other: [" + malformed + "]}\n"},
		{"POST", "/api/v1/apply", "application/yaml", "apiVersion: v1\nkind: Secret\nstringData:\n  password: " + malformed + "\n   x: [" + malformed + "\n"},
		{"POST", "/api/v1/apply", "application/yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: canary, labels: {waybill.dev/cred-type: git}}\ndata: {password: '" + malformed + "!'}\n"},
		{"POST", "/api/v1/users", "application/json", `{"name": "planted", "password": "` + userPassword + `"}`},
		{"POST", "/api/v1/users", "application/json", `{"name": "planted", "password": "` + userPassword + `"}`},
		{"POST", "/api/v1/users", "application/json", `{"name": "` + userPassword[:6] + `:", "password": "` + userPassword + `", "pass": "` + userPassword + `"}`},
		{"PATCH", "/api/v1/users/planted", "application/json", `{"password": "` + userPassword + `2", "disabled": "` + userPassword + `"}`},
		{"PATCH", "/api/v1/users/planted", "application/json", `{"password": "` + userPassword + `2"}`},
		{"POST", "/api/v1/me/password", "application/json", `{"old": "` + wrongPassword + `", "new": "` + userPassword + `"}`},
		{"POST", "/api/v1/apply?dryRun=true", "application/yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: canary, labels: {waybill.dev/cred-type: git}}\nstringData: {password: '" + malformed + "', repoURL: 'https://a/b', username: u}\n"},
	} {
		status, answer := w.request(c.method, c.path, token, c.kind, c.body)
		if status >= http.StatusInternalServerError && status != http.StatusBadGateway && status != http.StatusServiceUnavailable {
			w.t.Errorf("%s %s: %d %s", c.method, c.path, status, last(answer, 400))
		}
		found.in(c.method+" "+c.path, answer)
	}
	for _, bad := range []string{"wbt_" + strings.Repeat("x", 43), token + "x", "Bearer"} {
		status, answer := w.request(http.MethodGet, "/api/v1/me", bad, "", "")
		if status != http.StatusUnauthorized {
			w.t.Errorf("token %q: %d", bad[:4], status)
		}
		found.in("an unknown token", answer)
	}
	res, err := http.Get("http://" + w.metrics + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	found.in("/metrics", string(text))
}

// fill returns path with every combination of values.
func fill(path string, values map[string][]string) []string {
	open, end := strings.Index(path, "{"), strings.Index(path, "}")
	if open < 0 {
		return []string{path}
	}
	var out []string
	for _, v := range values[path[open:end+1]] {
		out = append(out, fill(path[:open]+v+path[end+1:], values)...)
	}
	return out
}

// commandLine searches what the CLI prints.
func (w *world) commandLine(found *search, token string) {
	w.t.Helper()
	cli := program(w.t, "waybill", "WAYBILL_CLI")
	freight := w.freight("1.0.0")
	for _, args := range [][]string{
		{"status", "-p", canaryProject}, {"status", "-p", canaryProject, "-o", "json"}, {"get", "stages", "-p", canaryProject, "-o", "yaml"},
		{"get", "warehouses", "-p", canaryProject}, {"get", "applications", "-p", canaryProject, "-o", "yaml"}, {"get", "promotions", "-p", canaryProject, "-o", "json"},
		{"get", "freight", "-p", canaryProject, "-o", "yaml"}, {"history", canaryProject + "/hooked"}, {"why", freight, canaryProject + "/echo"},
		{"promote", freight, canaryProject + "/wrong", "--wait", "--timeout", "2s"}, {"rollback", canaryProject + "/test"}, {"user", "list", "-o", "yaml"}, {"login", "http://" + w.address, "--token-stdin"},
	} {
		cmd := exec.CommandContext(w.t.Context(), cli, args...)
		cmd.Env = append(os.Environ(), "WAYBILL_CONFIG="+filepath.Join(w.t.TempDir(), "config.yaml"), "WAYBILL_SERVER=http://"+w.address, "WAYBILL_TOKEN="+token)
		cmd.Stdin = strings.NewReader(token)
		out, err := cmd.CombinedOutput()
		if len(out) == 0 {
			w.t.Errorf("waybill %v prints nothing: %v", args, err)
		}
		found.in("waybill "+strings.Join(args, " "), string(out))
	}
}

// process searches the server's log, its files, and what other processes of the
// machine see of it.
func (w *world) process(found *search) {
	w.t.Helper()
	log := w.log.String()
	if !strings.Contains(log, "listening") {
		w.t.Error("the log is empty, so that nothing is tested")
	}
	found.in("the log", log)
	files := 0
	err := filepath.WalkDir(w.dataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		found.in(strings.TrimPrefix(path, w.dataDir), path+"\n"+string(raw))
		return nil
	})
	if err != nil || files == 0 {
		w.t.Errorf("%d files of the data directory: %v", files, err)
	}
	for _, name := range []string{"cmdline", "environ"} {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", w.server.Process.Pid, name))
		if err != nil {
			w.t.Fatal(err)
		}
		found.in("/proc/"+name, string(raw))
	}
}
