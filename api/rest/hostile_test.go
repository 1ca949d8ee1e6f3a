package rest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestHostileRequests: whatever is sent, the answer is a refusal in words,
// never a fault of the server.
func TestHostileRequests(t *testing.T) {
	f := newProject(t)
	admin := shared.as(t, "admin")
	bodies := []string{
		"", "null", "[]", "{}", `"x"`, "7", "{", "\xff\xfe", "{\"freight\":\"\xff\"}", `{"freight":"\u0000"}`, `{"reason":null,"stage":null}`,
		`{"freight":"` + strings.Repeat("a", 300) + `"}`, strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 10_000),
		`{"freight":"latest","freight":"1.26.0","bypass":[[]]}`, `{"files":[{"name":"","content":"a: &a [*a]"}]}`, `{"files":[]}`,
		`{"until":"9999-99-99T00:00:00Z","reason":"r","stage":"test"}`, `{"reason":"r","stage":"../x"}`, `{"username":1e999}`,
	}
	values := []string{"..", "%00", "a%2Fb", "%F0%9F%92%A9", strings.Repeat("a", 254), "*", "A", "-", "$(id)", "%25", "a b"}
	sent := 0
	check := func(op *operation, what string, a answer) {
		t.Helper()
		sent++
		if a.status >= 500 {
			t.Errorf("%s with %s: %d %s", op.id, what, a.status, a.body)
		}
		if a.status >= 400 {
			a.problem(t)
		}
	}
	for _, op := range shared.server.doc.byID {
		if op.id == "events" || op.id == "logout" {
			continue
		}
		path, _ := sample(op, f.name)
		if op.route.Operation.RequestBody != nil && op.id != "login" {
			for _, body := range bodies {
				check(op, "body "+body[:min(40, len(body))], admin.do(t, op.route.Method, path, body))
			}
		}
		if !strings.Contains(op.route.Path, "{") || op.route.Method == http.MethodDelete {
			continue
		}
		for _, value := range values {
			for _, part := range []string{f.name, "/test", "/main", "/" + nameOf(1)} {
				if !strings.Contains(path, part) {
					continue
				}
				hostile := strings.Replace(path, part, strings.Repeat("/", strings.Count(part, "/"))+value, 1)
				if _, err := url.Parse(shared.url + hostile); err != nil || strings.Contains(hostile, " ") {
					continue
				}
				check(op, "path "+hostile, admin.do(t, op.route.Method, hostile, nil))
			}
		}
	}
	if sent < 500 {
		t.Fatalf("only %d requests", sent)
	}
}
