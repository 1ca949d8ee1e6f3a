package rest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestInvalidRequests: who sends what the API does not expect reads which field should
// be what, and no value again, which may be a secret.
func TestInvalidRequests(t *testing.T) {
	w := shared
	token := loginAs(t, "admin")
	const secret = "s3cret-value"
	for name, c := range map[string]struct {
		method, path string
		body         any
		want         []model.FieldError
		detail       string
	}{
		"an empty password": {
			"POST", "/api/v1/login", map[string]any{"username": "ada", "password": ""},
			[]model.FieldError{{Pointer: "/password", Field: "password", Detail: "is empty"}}, "password: is empty",
		},
		"no password": {
			"POST", "/api/v1/login", map[string]any{"username": "ada"},
			[]model.FieldError{{Pointer: "/password", Field: "password", Detail: "is missing"}}, "password: is missing",
		},
		"a misspelled field": {
			"POST", "/api/v1/login", map[string]any{"username": "ada", "password": "x", "pasword": secret},
			[]model.FieldError{{Pointer: "/pasword", Field: "pasword", Detail: "is not a field here"}}, "pasword: is not a field here",
		},
		"a number for a text": {
			"POST", "/api/v1/login", map[string]any{"username": 7, "password": "x"},
			[]model.FieldError{{Pointer: "/username", Field: "username", Detail: "want string, not number"}}, "username: want string, not number",
		},
		"too long": {
			"POST", "/api/v1/login", map[string]any{"username": strings.Repeat(secret, 20), "password": "x"},
			[]model.FieldError{{Pointer: "/username", Field: "username", Detail: "has 240 characters, want 128 or fewer"}}, "username: has 240 characters, want 128 or fewer",
		},
		"another word": {
			"POST", "/api/v1/login", map[string]any{"username": "ada", "password": "x", "kind": secret},
			[]model.FieldError{{Pointer: "/kind", Field: "kind", Detail: "value must be one of 'session', 'token'"}}, "kind: value must be one of 'session', 'token'",
		},
		"a pattern": {
			"POST", "/api/v1/me/tokens", map[string]any{"name": "ci", "lifetime": secret},
			[]model.FieldError{{Pointer: "/lifetime", Field: "lifetime", Detail: "does not match ^([0-9]+(s|m|h))+$"}}, "lifetime: does not match ^([0-9]+(s|m|h))+$",
		},
		"a parameter": {
			"GET", "/api/v1/login/sso?port=1", nil,
			[]model.FieldError{{Field: "port", Detail: "want 1024 or more"}}, "port: want 1024 or more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.send(t, c.method, c.path, c.body, "Authorization: Bearer "+token).problem(t)
			if diff := cmp.Diff(c.want, p.Errors); p.Code != model.InvalidRequest || p.Detail != c.detail || diff != "" {
				t.Errorf("%s %q\n%s", p.Code, p.Detail, diff)
			}
			if strings.Contains(p.Detail, secret) {
				t.Error("the answer repeats the value")
			}
		})
	}
}
