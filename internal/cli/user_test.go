package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func TestUsers(t *testing.T) {
	ada := model.User{Name: "ada", Groups: []string{"administrators"}, Current: true, Etag: `"1"`}
	bob := model.User{Name: "bob", Groups: []string{"developers", "release-managers"}, Etag: `"2"`}
	former := model.User{Name: "carol", Groups: []string{}, Disabled: true, Etag: `"3"`}
	broken := model.User{Name: "dora", Groups: []string{}, Problem: `key "dora" of Secret "waybill-users" is not a user as JSON`, Etag: `"4"`}
	list := ok(model.UserList{Items: []model.User{ada, bob, former, broken}})
	moved, alone := bob, bob
	moved.Groups, alone.Groups = []string{"deployers", "developers"}, []string{}
	all := map[string]answer{"GET /api/v1/users": list}
	with := func(request string, a answer) map[string]answer {
		return map[string]answer{"GET /api/v1/users": list, "GET /api/v1/me": ok(model.Me{Name: "ada", User: "waybill:ada"}), request: a}
	}
	last := problem(model.Problem{Status: http.StatusConflict, Code: model.Conflict, Detail: `"bob" is the last local user who may manage users`,
		Hint: "give another user the groups of \"bob\" first, or use --force when somebody who comes by an identity provider manages users"})
	no := problem(model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "you may not list users", Hint: "an administrator of this installation can"})
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
	}{
		{"user-help", "user --help", nil},
		{"user-add-help", "user add --help", nil},
		{"user-set-help", "user set --help", nil},
		{"user-disable-help", "user disable --help", nil},
		{"user-password-help", "user password --help", nil},
		{"user-remove-help", "user remove --help", nil},
		{"user-unknown-verb", "user delete bob", nil},
		{"user-list", "user list", all},
		{"user-list-name", "user list -o name", all},
		{"user-list-json", "user list -o json", all},
		{"user-list-none", "user list", map[string]answer{"GET /api/v1/users": ok(model.UserList{Items: []model.User{}})}},
		{"user-list-forbidden", "user list", map[string]answer{"GET /api/v1/users": no}},
		{"user-add", "user add bob --group release-managers --group developers --password-stdin", with("POST /api/v1/users", answer{status: 201, body: bob})},
		{"user-add-no-terminal", "user add bob", nil},
		{"user-add-weak", "user add bob --password-stdin", with("POST /api/v1/users", problem(model.Problem{Status: 400, Code: model.InvalidRequest,
			Detail: "a password has at least 8 characters", Errors: []model.FieldError{{Pointer: "/password", Field: "password", Detail: "a password has at least 8 characters"}}}))},
		{"user-add-taken", "user add bob --password-stdin", with("POST /api/v1/users", problem(model.Problem{Status: 409, Code: model.Conflict, Detail: `there is a local user "bob" already`, Hint: "waybill user set bob"}))},
		{"user-set", "user set bob --group deployers --group developers", with("PATCH /api/v1/users/bob", ok(moved))},
		{"user-set-none", "user set bob --no-groups", with("PATCH /api/v1/users/bob", ok(alone))},
		{"user-set-same", "user set bob --group release-managers --group developers", with("PATCH /api/v1/users/bob", ok(bob))},
		{"user-set-nothing", "user set bob", nil},
		{"user-set-unknown", "user set bop --no-groups", all},
		{"user-set-changed", "user set bob --no-groups", with("PATCH /api/v1/users/bob", problem(model.Problem{Status: 412, Code: model.PreconditionFailed, Detail: `"bob" was changed meanwhile`, Hint: "waybill user list"}))},
		{"user-set-last", "user set bob --no-groups", with("PATCH /api/v1/users/bob", last)},
		{"user-set-forced", "user set bob --no-groups --force", with("PATCH /api/v1/users/bob?force=true", ok(alone))},
		{"user-disable", "user disable bob", with("PATCH /api/v1/users/bob", ok(bob))},
		{"user-enable", "user enable carol", with("PATCH /api/v1/users/carol", ok(former))},
		{"user-password", "user password --old-password-file FILE --password-stdin", with("POST /api/v1/me/password", answer{status: 204})},
		{"user-password-oneself", "user password ada --old-password-file FILE --password-stdin", with("POST /api/v1/me/password", answer{status: 204})},
		{"user-password-wrong", "user password --old-password-file FILE --password-stdin", with("POST /api/v1/me/password", problem(model.Problem{Status: 403, Code: model.Forbidden, Detail: "the old password is wrong"}))},
		{"user-password-no-terminal", "user password --password-stdin", with("GET /api/v1/me", ok(model.Me{Name: "ada"}))},
		{"user-password-other", "user password bob --password-stdin", with("PATCH /api/v1/users/bob", ok(bob))},
		{"user-password-other-old", "user password bob --old-password-file FILE --password-stdin", with("GET /api/v1/me", ok(model.Me{Name: "ada"}))},
		{"user-remove", "user remove bob", with("DELETE /api/v1/users/bob", answer{status: 204})},
		{"user-remove-last", "user remove bob", with("DELETE /api/v1/users/bob", last)},
		{"user-remove-forced", "user remove bob --force", with("DELETE /api/v1/users/bob?force=true", answer{status: 204})},
		{"user-remove-nobody", "user remove", nil},
		{"user-complete", "__complete user set ", all},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, c.answers).URL
			s := signedIn(t, server)
			s.stdin = "canary-password\n"
			file := filepath.Join(s.home, "file")
			if err := os.WriteFile(file, []byte("canary-old\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := strings.Fields(strings.ReplaceAll(c.args, "FILE", file))
			if strings.HasSuffix(c.args, " ") { // completion, of an argument that is not begun
				args = append(args, "")
			}
			r := s.run(args...)
			if strings.Contains(r.String(), "canary") {
				t.Errorf("a password is printed: %s", r)
			}
			r.args = strings.Fields(c.args)
			golden(t, c.name, strings.ReplaceAll(r.String(), server, "https://waybill.example.com"))
		})
	}
}

// TestWhatIsSentOfAUser: passwords without the line break behind them, all groups, and
// what they replace.
func TestWhatIsSentOfAUser(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/api/v1/me":
			_ = json.NewEncoder(w).Encode(model.Me{Name: "ada"})
		case r.Method == http.MethodGet:
			_ = json.NewEncoder(w).Encode(model.UserList{Items: []model.User{{Name: "bob", Groups: []string{"x"}, Etag: `"tag"`}}})
		default:
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			got = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.URL.Path, body, r.Header.Get("If-Match")))
			_ = json.NewEncoder(w).Encode(model.User{Name: "bob", Groups: []string{}})
		}
	}))
	t.Cleanup(server.Close)
	s := signedIn(t, server.URL)
	file := filepath.Join(s.home, "file")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"add bob --password-file FILE":                               `/api/v1/users {"name":"bob","password":"of the file"}`,
		"add bob --group a --group cn=b,dc=c --password-stdin":       `/api/v1/users {"groups":["a","cn=b,dc=c"],"name":"bob","password":"typed"}`,
		"set bob --no-groups":                                        `/api/v1/users/bob {"groups":[]} "tag"`,
		"set bob --group y":                                          `/api/v1/users/bob {"groups":["y"]} "tag"`,
		"disable bob":                                                `/api/v1/users/bob {"disabled":true}`,
		"enable bob":                                                 `/api/v1/users/bob {"disabled":false}`,
		"password bob --password-stdin":                              `/api/v1/users/bob {"password":"typed"}`,
		"password --password-stdin --old-password-file FILE":         `/api/v1/me/password {"new":"typed","old":"of the file"}`,
		"password ada --password-file FILE --old-password-file FILE": `/api/v1/me/password {"new":"of the file","old":"of the file"}`,
	} {
		s.stdin = "typed\n"
		if r := s.run(strings.Fields("user " + strings.ReplaceAll(args, "FILE", file))...); r.code != 0 || got != want {
			t.Errorf("%s\n%s, want\n%s", r, got, want)
		}
	}
}
