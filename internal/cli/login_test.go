package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func alice() model.Me {
	return model.Me{User: "waybill:alice", Name: "alice", Groups: []string{}, ExpiresAt: noon}
}

func TestLoginKeepsTheTokenPrivate(t *testing.T) {
	const password, token = "correct horse", "wbt_0123456789"
	var asked model.Login
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(model.LoginResult{Me: alice(), Token: token}); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	s := newSession(t)
	s.stdin = password + "\n"
	login := s.run("login", server.URL, "--username", "alice", "--password-stdin", "--name", "work")
	if login.code != client.ExitDone || login.stdout != "" {
		t.Fatalf("%s", login)
	}
	if asked.Username != "alice" || asked.Password != password || asked.Kind != model.Token {
		t.Errorf("asked the server as %q for a %q", asked.Username, asked.Kind)
	}
	info, err := os.Stat(s.env["WAYBILL_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("configuration has mode %o, want 600", mode)
	}
	for _, args := range [][]string{{"context"}, {"context", "list", "-o", "json"}, {"context", "list", "-o", "yaml"}} {
		list := s.run(args...)
		if !strings.Contains(list.stdout, "work") || strings.Contains(list.String()+login.String(), token) || strings.Contains(list.String()+login.String(), password) {
			t.Errorf("want the context and no secret:\n%s", list)
		}
	}
}

func TestATokenIsSentOnlyToItsServer(t *testing.T) {
	var got string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(model.Problem{Status: http.StatusUnauthorized, Code: model.NotSignedIn, Detail: "sign in"})
	}))
	defer other.Close()
	s := signedIn(t, "https://waybill.example.com")
	if r := s.run("whoami", "--server", other.URL); r.code != client.ExitForbidden {
		t.Errorf("%s", r)
	}
	if got != "" {
		t.Errorf("the token of one server was sent to another: %q", got)
	}
	s.env["WAYBILL_TOKEN"] = "wbt_ci"
	s.run("whoami", "--server", other.URL)
	if got != "Bearer wbt_ci" {
		t.Errorf("WAYBILL_TOKEN was not sent: %q", got)
	}
}

func TestContexts(t *testing.T) {
	s := newSession(t)
	config := "current: a\ncontexts:\n- {name: a, server: https://a.example.com, user: alice, token: one}\n- {name: b, server: https://b.example.com, project: shop}\n"
	if err := os.WriteFile(s.env["WAYBILL_CONFIG"], []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var transcript strings.Builder
	for _, line := range []string{
		"context", "context use b", "context list -o name", "context project guestbook", "context", "context use c",
		"context delete b", "context", "status", "status --context c",
	} {
		transcript.WriteString(s.run(strings.Fields(line)...).String() + "\n")
	}
	golden(t, "contexts", transcript.String())
}

func TestABrokenConfigurationIsNotQuoted(t *testing.T) {
	s := newSession(t)
	if err := os.WriteFile(s.env["WAYBILL_CONFIG"], []byte("contexts:\n- {name: a, tokken: wbt_secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.run("status")
	if r.code != client.ExitUsage || strings.Contains(r.String(), "wbt_secret") {
		t.Errorf("%s", r)
	}
	golden(t, "broken-configuration", strings.ReplaceAll(r.String(), s.env["WAYBILL_CONFIG"], "config.yaml"))
}

// TestEveryCommandHasExamples keeps the help texts complete.
func TestEveryCommandHasExamples(t *testing.T) {
	a := &App{}
	root := a.root()
	for _, cmd := range root.Commands() {
		for _, c := range append(cmd.Commands(), cmd) {
			if c.Name() == "help" || c.Name() == "completion" || c.Parent().Name() == "completion" {
				continue
			}
			if c.Example == "" {
				t.Errorf("%s has no example", c.CommandPath())
			}
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: short text %q", c.CommandPath(), c.Short)
			}
		}
	}
}

func TestExitCodeOfEveryProblem(t *testing.T) {
	for code, want := range map[model.ProblemCode]int{
		model.InvalidRequest: 2, model.InvalidManifest: 2, model.PayloadTooLarge: 2, model.Unavailable: 2, model.NotFound: 3,
		model.NotSignedIn: 4, model.WrongCredentials: 4, model.Forbidden: 4, model.Conflict: 5, model.PreconditionFailed: 5,
		model.GateClosed: 7, model.TooManyRequests: 1, model.Timeout: 1, model.Internal: 1,
	} {
		server := serve(t, map[string]answer{"GET /api/v1/me": problem(model.Problem{Status: 400, Code: code, Detail: "no"})})
		if r := signedIn(t, server.URL).run("whoami"); r.code != want {
			t.Errorf("%s: exit code %d, want %d", code, r.code, want)
		}
	}
}
