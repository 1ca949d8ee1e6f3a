package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/planner"
)

func TestHeadersOfEveryAnswer(t *testing.T) {
	for _, path := range []string{"/", "/projects/x", "/healthz", "/version", "/api/v1/me", "/api/v1/nowhere", "/api/openapi.json", "/assets/none.js"} {
		a := shared.send(t, "GET", path, nil)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"X-Frame-Options": "DENY", "X-Waybill-Version": "v0.0.0-test",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		csp := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'self'", "script-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: CSP lacks %s", path, want)
			}
		}
		if strings.Contains(csp, "unsafe") || a.header.Get("Access-Control-Allow-Origin") != "" || len(a.header.Get("X-Request-Id")) != 16 {
			t.Errorf("%s: %v", path, a.header)
		}
		if isAPI(path) && a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, a.header.Get("Cache-Control"))
		}
	}
}

func TestLimitsBeforeAuthentication(t *testing.T) {
	w := shared
	t.Run("body", func(t *testing.T) {
		a := w.send(t, "POST", "/api/v1/login", `{"username":"a","password":"`+strings.Repeat("x", maxBodyBytes)+`"}`)
		if a.status != http.StatusRequestEntityTooLarge || a.problem(t).Code != model.PayloadTooLarge {
			t.Fatalf("%d %s", a.status, a.body)
		}
		b := w.as(t, "admin").do(t, "POST", "/api/v1/apply", strings.Repeat("#", maxApplyBytes+1), "Content-Type: application/yaml")
		if b.status != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %s", b.status, b.body)
		}
		c := w.as(t, "admin").do(t, "POST", "/api/v1/apply", strings.Repeat("#", maxBodyBytes+1), "Content-Type: application/yaml")
		if c.status != http.StatusUnprocessableEntity { // comments only: nothing to apply, but read
			t.Fatalf("%d %s", c.status, c.body)
		}
	})
	t.Run("header", func(t *testing.T) {
		if a := w.send(t, "GET", "/version", nil, "X-Big: "+strings.Repeat("x", 2*maxHeaderBytes)); a.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Fatalf("%d", a.status)
		}
	})
	t.Run("address", func(t *testing.T) {
		if a := w.send(t, "GET", "/api/v1/projects?x="+strings.Repeat("x", maxURLBytes), nil); a.status != http.StatusBadRequest {
			t.Fatalf("%d", a.status)
		}
	})
	t.Run("a header that never ends", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /version HTTP/1.1\r\nHost: x\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(readHeaderTimeout + 2*time.Minute))
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatalf("it is not closed: %v", err)
		}
	})
}

func TestUnknownPages(t *testing.T) {
	for path, want := range map[string]int{"/api": 404, "/api/v1": 404, "/api/v2/projects": 404, "/api/v1/projects/x/y/z": 404, "/api/v1/projects/%2e%2e/pipeline": 404} {
		a := shared.as(t, "admin").do(t, "GET", path, nil)
		if a.status != want && a.status != http.StatusBadRequest {
			t.Errorf("%s: %d, want %d", path, a.status, want)
			continue
		}
		a.problem(t)
	}
	a := shared.as(t, "admin").do(t, "PUT", "/api/v1/projects", nil)
	if a.status != http.StatusBadRequest || !strings.Contains(a.problem(t).Detail, "no such method") {
		t.Errorf("PUT: %d %s", a.status, a.body)
	}
}

// panicky panics for some Stages, as a bug would.
type panicky struct{}

func (panicky) Preview(_ context.Context, p *v1alpha1.Promotion, _ *v1alpha1.Freight) (*planner.Preview, error) {
	switch p.Spec.Stage {
	case "test":
		panic("secret-in-panic")
	case "uat":
		return nil, errors.New("dial tcp 10.0.0.7:443: secret-in-error")
	default:
		return &planner.Preview{
			Plan:  &v1alpha1.PromotionPlan{Hash: "sha256:" + strings.Repeat("1", 64)},
			Files: []planner.File{{RepoURL: "https://git.example.com/x.git", Path: "stages/prod/kustomization.yaml", Scalars: []planner.Scalar{{Field: "images[0].newTag", Before: "1.26.0", After: "1.27.0"}}}},
		}, nil
	}
}

func TestOneBadRequestStopsNobodyElse(t *testing.T) {
	f := newProject(t)
	second := &world{env: shared.env, admin: shared.admin, log: &lockedBuffer{}}
	stop, err := second.serve(context.Background(), Options{Planner: panicky{}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	alice := second.as(t, "alice")
	a := alice.do(t, "GET", f.path("/stages/test/plan?freight=latest"), nil)
	p := a.problem(t)
	if a.status != http.StatusInternalServerError || p.Code != model.Internal || p.Detail != "internal error" || strings.Contains(string(a.body), "secret") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if !strings.Contains(second.log.String(), p.RequestID) {
		t.Error("the log does not hold the request id")
	}
	b := alice.do(t, "GET", f.path("/stages/uat/plan?freight=latest"), nil)
	if b.status != http.StatusOK || strings.Contains(string(b.body), "secret") || !strings.Contains(string(b.body), "Git could not be read; request "+b.header.Get("X-Request-Id")) {
		t.Fatalf("%d %s", b.status, b.body)
	}
	var plan model.Plan
	alice.get(t, f.path("/stages/prod/plan?freight=1.27.0"), &plan)
	if len(plan.Files) != 1 || plan.Files[0].Scalars[0].After != "1.27.0" {
		t.Fatalf("%+v", plan.Files)
	}
}

func TestHTTPSCookies(t *testing.T) {
	second := &world{env: shared.env, admin: shared.admin, log: &lockedBuffer{}}
	stop, err := second.serve(context.Background(), Options{PublicURL: "https://waybill.example.com", AllowedOrigins: []string{"https://portal.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	a := second.send(t, "POST", "/api/v1/login", model.Login{Username: "alice", Password: alicePassword}, csrfHeader+": 1", "Origin: https://portal.example.com")
	cookie := a.header.Get("Set-Cookie")
	if a.status != http.StatusOK || !strings.HasPrefix(cookie, "__Host-waybill_session=wbs_") || !strings.Contains(cookie, "; Secure") || a.header.Get("Strict-Transport-Security") == "" {
		t.Fatalf("%d %q", a.status, cookie)
	}
	value, _, _ := strings.Cut(cookie, ";")
	if b := second.send(t, "GET", "/api/v1/me", nil, "Cookie: "+value); b.status != http.StatusOK {
		t.Fatalf("%d %s", b.status, b.body)
	}
	// Without the prefix another host could have set it.
	if b := second.send(t, "GET", "/api/v1/me", nil, "Cookie: "+strings.TrimPrefix(value, "__Host-")); b.status != http.StatusUnauthorized {
		t.Fatalf("%d", b.status)
	}
}

func TestDashboard(t *testing.T) {
	d, err := newDashboard(fstest.MapFS{
		"index.html":           {Data: []byte("<!doctype html><title>W</title>" + strings.Repeat(" ", 100))},
		"assets/app-1a2b.js":   {Data: []byte(strings.Repeat("console.log(1);", 100))},
		"assets/font-3c.woff2": {Data: []byte("wOF2")},
		".gitkeep":             {},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		method, path, encoding      string
		status                      int
		contentType, cache, zipping string
	}{
		{"GET", "/", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"GET", "/projects/guestbook", "gzip, br", 200, "text/html; charset=utf-8", "no-cache", "gzip"},
		{"HEAD", "/projects/guestbook", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"GET", "/assets/app-1a2b.js", "gzip", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "gzip"},
		{"GET", "/assets/app-1a2b.js", "gzip;q=0", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", ""},
		{"GET", "/assets/font-3c.woff2", "gzip", 200, "font/woff2", "public, max-age=31536000, immutable", ""},
		{"GET", "/assets/app-old.js", "", 404, "text/plain; charset=utf-8", "", ""},
		{"GET", "/assets/../../../etc/passwd", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"GET", "/.gitkeep", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"POST", "/projects", "", 405, "text/plain; charset=utf-8", "", ""},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "http://x/", nil)
			r.URL.Path = tc.path
			r.Header.Set("Accept-Encoding", tc.encoding)
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != tc.status || h.Get("Content-Type") != tc.contentType || h.Get("Cache-Control") != tc.cache || h.Get("Content-Encoding") != tc.zipping {
				t.Fatalf("%d %v", w.Code, h)
			}
			if tc.method == "HEAD" && w.Body.Len() > 0 {
				t.Fatal("HEAD with a body")
			}
		})
	}
	none, err := newDashboard(nil, "not built")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	none.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusNotFound || w.Body.String() != "not built" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// TestRoutesAndDocument: every route is an operation, every operation a route;
// and the comparison notices when it is not so.
func TestRoutesAndDocument(t *testing.T) {
	doc, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{doc: doc}
	e := echo.New()
	RegisterHandlers(e, NewStrictHandler(s, nil))
	if err := s.compareRoutes(e); err != nil {
		t.Fatal(err)
	}
	e.GET("/api/v1/backdoor", func(echo.Context) error { return nil })
	if err := s.compareRoutes(e); err == nil || !strings.Contains(err.Error(), "/api/v1/backdoor is not in openapi.yaml") {
		t.Fatalf("a route without an operation: %v", err)
	}
	if err := s.compareRoutes(echo.New()); err == nil || !strings.Contains(err.Error(), "has no route") {
		t.Fatalf("an operation without a route: %v", err)
	}
	// The public ones are a list that somebody has to change knowingly.
	var public []string
	for id, op := range doc.byID {
		if op.permission.isPublic {
			public = append(public, id)
		}
	}
	if len(public) != 10 || !doc.byID["login"].permission.isPublic || !doc.byID["healthz"].permission.isPublic || !doc.byID["receiveHook"].permission.isPublic {
		t.Fatalf("public operations: %v", public)
	}
}

func TestPermissionGrammar(t *testing.T) {
	for text, want := range map[string]string{
		"public": "", "signed-in": "", "list stages in {project}": "list stages  guestbook", "get {kind}/{name} in {project}": "get freights prod guestbook",
		"delete projects/{project}": "delete projects guestbook ", "promote stages/{stage} in {project}": "promote stages prod guestbook",
		"": "error", "anybody": "error", "get stages/prod": "error", "get stages in guestbook": "error", "get stages/{stage} in {project} or public": "error", "GET stages": "error",
	} {
		p, err := parsePermission(text)
		if err != nil {
			if want != "error" {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		got := ""
		if !p.isPublic && !p.signedInOnly {
			a := p.action(func(name string) string {
				return map[string]string{"project": "guestbook", "stage": "prod", "name": "prod", "kind": "freights"}[name]
			})
			got = fmt.Sprintf("%s %s %s %s", a.Verb, a.Resource, a.Name, a.Namespace)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestRequestFieldFindsTheHandlersValue: what is authorised is what is used.
func TestRequestFieldFindsTheHandlersValue(t *testing.T) {
	r := GetDefinitionRequestObject{Project: "p", Kind: model.Stages, Name: "n"}
	for name, want := range map[string]string{"project": "p", "kind": "stages", "name": "n", "stage": "", "": ""} {
		if got := requestField(r, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestPaginate(t *testing.T) {
	key := func(s string) string { return s }
	items := []string{"a", "b", "c", "d", "e"}
	var got []string
	token := ""
	for range 10 {
		page, next, err := paginate(items, 2, token, key, afterKey(key, false))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join(page, ""))
		if token = next; token == "" {
			break
		}
		if len(got) == 1 {
			items = []string{"a", "c", "d", "e"} // b, which the token names, is gone
		}
	}
	if strings.Join(got, " ") != "ab cd e" {
		t.Fatalf("%v", got)
	}
	for _, bad := range []string{"x", "e30", "!!"} {
		if _, _, err := paginate(items, 2, bad, key, afterKey(key, false)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// TestAnswersAreZipped: for those who take it, what is long, and never a stream.
func TestAnswersAreZipped(t *testing.T) {
	token := loginAs(t, "admin")
	get := func(path, accept string) (encoding string, size int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shared.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		answer, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close() //nolint:errcheck // only read
		if strings.Contains(path, "/events") {
			return answer.Header.Get("Content-Encoding"), 0
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, answer.StatusCode, err)
		}
		if vary := answer.Header.Get("Vary"); vary != "Accept-Encoding" {
			t.Errorf("%s varies by %q", path, vary)
		}
		return answer.Header.Get("Content-Encoding"), len(body)
	}
	_, plain := get("/api/openapi.json", "")
	encoding, size := get("/api/openapi.json", "gzip")
	if encoding != "gzip" || size > plain/3 {
		t.Errorf("%d bytes become %d with encoding %q", plain, size, encoding)
	}
	if encoding, _ := get("/api/v1/me", "gzip"); encoding != "" {
		t.Errorf("a short answer has encoding %q", encoding)
	}
	if encoding, _ := get("/api/v1/events?topics=projects", "gzip"); encoding != "" {
		t.Errorf("the stream has encoding %q", encoding)
	}
}
