package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/secret"
)

// planted stands in texts of a Project that its reader must not see.
const planted = "planted-7c31e0"

// requester makes up requests for what the document describes: mostly of its
// form, with names that exist here or in a Project next door.
type requester struct {
	*rand.Rand
	ours, theirs string
	// pages are tokens that the API gave, in either Project.
	pages []string
}

// TestRandomRequests: whatever one sends to any operation of the document, one
// who belongs to one Project is refused in words, never by a fault, and no answer
// holds anything of another Project. WAYBILL_SEED repeats a run,
// WAYBILL_TEST_REQUESTS=5m prolongs it.
func TestRandomRequests(t *testing.T) {
	r := &requester{Rand: rand.New(rand.NewPCG(randomSeed(t), 1))}
	t.Run("ours", func(t *testing.T) { r.ours = newProject(t).name })
	t.Run("theirs", func(t *testing.T) { r.theirs = newProject(t).name })
	plantIn(t, r.theirs)
	insider := onlyIn(t, r.ours)
	var operations []*operation
	for _, op := range shared.server.doc.byID {
		switch op.id {
		case "events", "login", "logout", "changePassword": // a stream; a limit of attempts; the end of the test
		default:
			operations = append(operations, op)
		}
	}
	admin := shared.as(t, "admin")
	sent, refused := 0, 0
	for deadline := time.Now().Add(randomFor(t)); time.Now().Before(deadline); sent++ {
		op := operations[r.IntN(len(operations))]
		method, path, body := r.request(op)
		if method == http.MethodGet && strings.Contains(path, r.theirs) && r.IntN(4) == 0 {
			r.keepPage(admin.do(t, method, path, nil)) // a token that is not ours
		}
		a := insider.do(t, method, path, body)
		what := fmt.Sprintf("%s: %s %s %.2000s", op.id, method, path, body)
		switch {
		case a.status == http.StatusServiceUnavailable && a.problem(t).Code == model.Unavailable: // this server has no Git, no hooks
		case a.status >= 500:
			t.Fatalf("%s\n%d %s", what, a.status, a.body)
		case strings.Contains(string(a.body), planted):
			t.Fatalf("%s\ntells of another Project: %s", what, a.body)
		case a.status < 300 && strings.Contains(path, "/projects/"+r.theirs):
			t.Fatalf("%s\nis answered: %s", what, a.body)
		case a.status >= 400:
			refused++
			a.problem(t)
		default:
			r.keepPage(a)
		}
	}
	t.Logf("%d requests, of which %d were refused", sent, refused)
	if sent < 50 || refused == sent {
		t.Errorf("%d requests, of which %d were refused", sent, refused)
	}
}

func randomSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("WAYBILL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("WAYBILL_SEED=%d", seed)
	return seed
}

func randomFor(t *testing.T) time.Duration {
	t.Helper()
	d := 30 * time.Second
	if s := os.Getenv("WAYBILL_TEST_REQUESTS"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// plantIn puts a word into what a Project shows of itself.
func plantIn(t *testing.T, project string) {
	t.Helper()
	create(t, &v1alpha1.Promotion{
		ObjectMeta: metav1.ObjectMeta{Name: "test.9." + nameOf(1)[:8], Namespace: project},
		Spec:       v1alpha1.PromotionSpec{Stage: "test", Kind: v1alpha1.KindPromote, Freight: nameOf(1), Reason: planted},
	})
	freeze := model.FreezeRequest{Stage: "uat", Reason: planted}
	if a := shared.as(t, "admin").do(t, "POST", "/api/v1/projects/"+project+"/freezes", freeze); a.status/100 != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

// onlyIn returns somebody who may do everything in one Project, and nothing elsewhere.
func onlyIn(t *testing.T, project string) person {
	t.Helper()
	const name, password = "ivy", "ivy-password-3q"
	kube, err := kubernetes.NewForConfig(shared.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := identity.PutUser(context.Background(), kube, systemNamespace, name, secret.New(password), []string{"crew"}); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"waybill-viewer", "waybill-promoter", "waybill-approver", "waybill-admin"} {
		shared.env.Apply(t, fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: crew-%[1]s, namespace: %[2]s}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}\nsubjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'waybill:crew'}]\n", role, project))
	}
	var login model.LoginResult
	shared.send(t, "POST", "/api/v1/login", model.Login{Username: name, Password: password, Kind: model.Token}).into(t, &login)
	p := person{shared, login.Token}
	eventually(t, func() error {
		if a := p.do(t, "GET", "/api/v1/projects/"+project+"/pipeline", nil); a.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		}
		return nil
	})
	return p
}

// request makes up one for an operation.
func (r *requester) request(op *operation) (method, path string, body any) {
	path = op.route.Path
	query := url.Values{}
	for _, parameters := range []openapi3.Parameters{op.route.PathItem.Parameters, op.route.Operation.Parameters} {
		for _, p := range parameters {
			value := strings.Trim(fmt.Sprint(r.value(p.Value.Name, p.Value.Schema.Value, 0)), "[]")
			switch {
			case p.Value.In == "path":
				path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(value))
			case p.Value.In == "query" && (p.Value.Required || r.IntN(2) == 0):
				query.Add(p.Value.Name, value)
			}
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	if b := op.route.Operation.RequestBody; b != nil {
		for kind, content := range b.Value.Content {
			if kind == "application/json" && content.Schema != nil {
				body = r.value("", content.Schema.Value, 0)
			}
		}
		if body == nil || r.IntN(20) == 0 {
			body = r.text()
		}
	}
	return op.route.Method, path, body
}

// value makes up one of a schema; one in twenty is of another type.
func (r *requester) value(name string, s *openapi3.Schema, depth int) any {
	if r.IntN(20) == 0 {
		return []any{nil, 7, -1.5, true, []any{}, map[string]any{"a": nil}, r.text()}[r.IntN(7)]
	}
	if len(s.Enum) > 0 {
		return s.Enum[r.IntN(len(s.Enum))]
	}
	for _, of := range [][]*openapi3.SchemaRef{s.OneOf, s.AnyOf, s.AllOf} {
		if len(of) > 0 {
			return r.value(name, of[r.IntN(len(of))].Value, depth)
		}
	}
	switch {
	case s.Type.Is("boolean"):
		return r.IntN(2) == 0
	case s.Type.Is("integer"), s.Type.Is("number"):
		return []any{0, 1, 2, 50, -1, 500, 1 << 40}[r.IntN(7)]
	case s.Type.Is("array") && s.Items != nil:
		var out []any
		for range r.IntN(3) {
			out = append(out, r.value(name, s.Items.Value, depth+1))
		}
		return out
	case s.Type.Is("object"):
		out := map[string]any{}
		for field, schema := range s.Properties {
			if depth < 6 && r.IntN(4) > 0 {
				out[field] = r.value(field, schema.Value, depth+1)
			}
		}
		return out
	default:
		return r.word(name)
	}
}

// word is a text for what a name means.
func (r *requester) word(name string) string {
	if r.IntN(10) == 0 {
		return r.text()
	}
	known := map[string][]string{
		"project": {r.ours, r.ours, r.ours, r.theirs}, "namespace": {r.ours, r.theirs}, "stage": {"test", "uat", "prod"},
		"promotion": {"test.9." + nameOf(1)[:8], "test.1.x"}, "freight": {nameOf(1), nameOf(3), "1.28.0", "latest", "calm-lynx"}, "to": {nameOf(1), "prev"},
		"warehouse": {"main"}, "application": {"test"}, "kind": {"stages", "warehouses", "freezes", "projects", "Deployment", "secrets"}, "name": {"test", "main", "hold-test", r.theirs},
		"plan": {"sha256:" + strings.Repeat("1", 64)}, "planHash": {"sha256:" + strings.Repeat("1", 64)}, "reason": {"because"},
		"from": {"2026-01-02T03:04:05Z"}, "until": {"2036-01-02T03:04:05Z"}, "who": {"ivy", "waybill:alice"}, "content": {manifestOf(r.ours), manifestOf(r.theirs)},
	}
	if name == "page" && len(r.pages) > 0 && r.IntN(3) > 0 {
		return r.pages[r.IntN(len(r.pages))]
	}
	if words := known[name]; len(words) > 0 {
		return words[r.IntN(len(words))]
	}
	return r.text()
}

// text is one nobody expects.
func (r *requester) text() string {
	return []string{
		"", "x", "..", "../" + r.theirs, r.theirs + "/test", "%00", "a b", "\u202e", "\x00", "*", "-1", "9999999999999999999", "null", "{", "[[[[", "a: &a [*a]",
		strings.Repeat("a", 254), base64.RawURLEncoding.EncodeToString([]byte(`{"a":"` + r.theirs + `"}`)), base64.RawURLEncoding.EncodeToString([]byte(`{"a":7}`)),
		"0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", nameOf(2), "${{ 1 }}", "sha256:x", "'; --",
	}[r.IntN(26)]
}

// keepPage remembers the token of a next page.
func (r *requester) keepPage(a answer) {
	var list struct {
		NextPage string `json:"nextPage"`
	}
	if json.Unmarshal(a.body, &list) == nil && list.NextPage != "" && len(r.pages) < 100 {
		r.pages = append(r.pages, list.NextPage)
	}
}
