package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/secret"
)

// asUser signs a local user in and returns who is.
func (w *world) asUser(t *testing.T, name, password string) person {
	t.Helper()
	var out model.LoginResult
	w.send(t, "POST", "/api/v1/login", model.Login{Username: name, Password: password, Kind: model.Token}).into(t, &out)
	return person{w, out.Token}
}

// users returns the local users by name.
func (p person) users(t *testing.T) map[string]model.User {
	t.Helper()
	var list model.UserList
	p.get(t, "/api/v1/users", &list)
	out := map[string]model.User{}
	for _, u := range list.Items {
		out[u.Name] = u
	}
	return out
}

// wants fails unless the answer is a refusal of that kind, that says what.
func (a answer) wants(t *testing.T, status int, code model.ProblemCode, said string) {
	t.Helper()
	if p := a.problem(t); a.status != status || p.Code != code || !strings.Contains(string(a.body), said) {
		t.Errorf("%d %s, want %d %s with %q", a.status, a.body, status, code, said)
	}
}

func TestUsers(t *testing.T) {
	const secret1, secret2, secret3, secret4 = "canary-user-1", "canary-user-2", "canary-user-3", "canary-user-4"
	admin := shared.as(t, "admin")
	kube, err := kubernetes.NewForConfig(shared.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(ctx context.Context) error {
		return identity.PutUser(ctx, kube, systemNamespace, "admin", secret.New(adminPassword), []string{"administrators"})
	}
	t.Cleanup(func() { // TestMain's people alone are left for other tests
		s, err := kube.CoreV1().Secrets(systemNamespace).Get(context.Background(), identity.UsersSecret, metav1.GetOptions{})
		if err == nil {
			delete(s.Data, "nina")
			delete(s.Data, "clerk")
			_, err = kube.CoreV1().Secrets(systemNamespace).Update(context.Background(), s, metav1.UpdateOptions{})
		}
		if err := errors.Join(err, restore(context.Background())); err != nil {
			t.Error(err)
		}
	})
	logged := len(shared.log.String())
	path := "/api/v1/users/nina"
	disabled, enabled := true, false

	var made model.User
	answered := ""
	send := func(who person, method, path string, body any, headers ...string) answer {
		t.Helper()
		a := who.do(t, method, path, body, headers...)
		answered += fmt.Sprint(a.header) + string(a.body)
		return a
	}
	a := send(admin, "POST", "/api/v1/users", model.AddUserRequest{Name: "nina", Password: secret1, Groups: []string{"viewers", "devs", "viewers"}})
	a.into(t, &made)
	if a.status != http.StatusCreated || made.Name != "nina" || fmt.Sprint(made.Groups) != "[devs viewers]" || made.Disabled || made.Current || made.Etag == "" {
		t.Fatalf("%d %+v", a.status, made)
	}
	nina := shared.asUser(t, "nina", secret1) // at once
	var me model.Me
	nina.get(t, "/api/v1/me", &me)
	if fmt.Sprint(me.Groups) != "[waybill:devs waybill:viewers]" {
		t.Errorf("%+v", me)
	}
	if list := admin.users(t); !list["admin"].Current || list["nina"].Etag != made.Etag || fmt.Sprint(list["admin"].Groups) != "[administrators]" {
		t.Errorf("%+v", list)
	}

	t.Run("what is refused", func(t *testing.T) {
		for _, c := range []struct {
			body  model.AddUserRequest
			field string
		}{
			{model.AddUserRequest{Name: "a b", Password: secret2}, "name"}, {model.AddUserRequest{Name: "policy", Password: secret2}, "name"},
			{model.AddUserRequest{Name: "x", Password: secret2[:7]}, "password"}, {model.AddUserRequest{Name: "x", Password: secret2, Groups: []string{"system:masters"}}, "groups"},
		} {
			a := send(admin, "POST", "/api/v1/users", c.body)
			a.wants(t, http.StatusBadRequest, model.InvalidRequest, "/"+c.field)
		}
		for _, name := range []string{"nina", "Nina"} {
			send(admin, "POST", "/api/v1/users", model.AddUserRequest{Name: name, Password: secret2}).wants(t, http.StatusConflict, model.Conflict, `a local user \"nina\" already`)
		}
		send(admin, "PATCH", "/api/v1/users/nobody", model.EditUserRequest{Disabled: &disabled}).wants(t, http.StatusNotFound, model.NotFound, "waybill user list")
		send(admin, "DELETE", "/api/v1/users/nobody", nil).wants(t, http.StatusNotFound, model.NotFound, "nobody")
		send(admin, "PATCH", path, model.EditUserRequest{}).wants(t, http.StatusBadRequest, model.InvalidRequest, "")
		long := send(admin, "PATCH", path, `{"password": "`+strings.Repeat(secret2, 100)+`"}`)
		long.wants(t, http.StatusBadRequest, model.InvalidRequest, "1024 or fewer")
		send(admin, "PATCH", path, `{"hash": "`+secret2+`"}`).wants(t, http.StatusBadRequest, model.InvalidRequest, "is not a field here")
	})

	t.Run("only who may", func(t *testing.T) {
		look := person{shared, shared.makeToken(t, admin.token, model.AccessTokenRequest{Name: "screen", ReadOnly: true, Lifetime: "1h"}).value}
		if len(look.users(t)) == 0 {
			t.Error("a token that may only look sees no users")
		}
		for name, who := range map[string]person{"a viewer": shared.as(t, "victor"), "nobody": shared.as(t, "mallory"), "herself": nina, "a token that may only look": look} {
			for _, c := range []struct {
				method, path string
				body         any
			}{
				{"POST", "/api/v1/users", model.AddUserRequest{Name: "evil", Password: secret2, Groups: []string{"administrators"}}},
				{"PATCH", path, model.EditUserRequest{Groups: &[]string{"administrators"}}}, {"PATCH", path, model.EditUserRequest{Password: secret2}}, {"DELETE", path, nil},
			} {
				if a := send(who, c.method, c.path, c.body, "If-Match: *"); a.status != http.StatusForbidden {
					t.Errorf("%s: %s %s: %d %s", name, c.method, c.path, a.status, a.body)
				}
			}
		}
		// Who has the verbs, but may not write the Secret, is refused by Kubernetes.
		if a := send(admin, "POST", "/api/v1/users", model.AddUserRequest{Name: "clerk", Password: secret2}); a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
		shared.env.Apply(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: clerks}\nrules: [{apiGroups: [waybill.dev], resources: [users], verbs: [list, create, patch, delete]}]\n",
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: clerks}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clerks}\nsubjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: 'waybill:clerk'}]\n")
		clerk := shared.asUser(t, "clerk", secret2)
		eventually(t, func() error {
			if a := send(clerk, "GET", "/api/v1/users", nil); a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
		send(clerk, "PATCH", path, model.EditUserRequest{Groups: &[]string{"administrators"}}, "If-Match: *").wants(t, http.StatusForbidden, model.Forbidden, "waybill-users")
		send(clerk, "DELETE", path, nil).wants(t, http.StatusForbidden, model.Forbidden, "waybill-users")
	})

	t.Run("other groups count at once, and say which ones they replace", func(t *testing.T) {
		send(admin, "PATCH", path, model.EditUserRequest{Groups: &[]string{"approvers"}}).wants(t, http.StatusPreconditionRequired, model.PreconditionRequired, "If-Match")
		var wg sync.WaitGroup
		answers := make([]answer, 2)
		for i, group := range []string{"approvers", "release-managers"} {
			wg.Go(func() {
				answers[i] = admin.do(t, "PATCH", path, model.EditUserRequest{Groups: &[]string{group}}, "If-Match: "+made.Etag)
			})
		}
		wg.Wait()
		slices.SortFunc(answers, func(a, b answer) int { return a.status - b.status })
		answers[1].wants(t, http.StatusPreconditionFailed, model.PreconditionFailed, "changed meanwhile")
		var changed model.User
		answers[0].into(t, &changed)
		nina.get(t, "/api/v1/me", &me)
		if fmt.Sprint(me.Groups) != "[waybill:"+changed.Groups[0]+"]" {
			t.Errorf("%v, her session says %v", changed.Groups, me.Groups)
		}
		send(admin, "PATCH", path, `{"groups": []}`, "If-Match: *").into(t, &changed)
		if len(changed.Groups) != 0 {
			t.Errorf("%+v", changed)
		}
	})

	t.Run("disabled at once", func(t *testing.T) {
		login := shared.send(t, "POST", "/api/v1/login", model.Login{Username: "nina", Password: secret1}, csrfHeader+": 1")
		cookie, _, _ := strings.Cut(login.header.Get("Set-Cookie"), ";")
		status := func() [2]int {
			return [2]int{nina.do(t, "GET", "/api/v1/me", nil).status, shared.send(t, "GET", "/api/v1/me", nil, "Cookie: "+cookie).status}
		}
		if got := status(); got != [2]int{200, 200} {
			t.Fatal(got)
		}
		var changed model.User
		send(admin, "PATCH", path, model.EditUserRequest{Disabled: &disabled}).into(t, &changed)
		if got := status(); !changed.Disabled || got != [2]int{401, 401} {
			t.Errorf("%+v, %v", changed, got)
		}
		shared.send(t, "POST", "/api/v1/login", model.Login{Username: "nina", Password: secret1, Kind: model.Token}).wants(t, http.StatusUnauthorized, model.WrongCredentials, "")
		send(admin, "PATCH", path, model.EditUserRequest{Disabled: &enabled}).into(t, &changed)
		if got := status(); changed.Disabled || got != [2]int{401, 401} {
			t.Errorf("enabled again: %+v, %v", changed, got)
		}
		nina = shared.asUser(t, "nina", secret1)
	})

	t.Run("own password", func(t *testing.T) {
		other := shared.asUser(t, "nina", secret1)
		const own = "/api/v1/me/password"
		send(nina, "POST", own, model.PasswordChange{Old: "a guess", New: secret2}).wants(t, http.StatusForbidden, model.Forbidden, "old password is wrong")
		send(nina, "POST", own, model.PasswordChange{Old: secret1, New: "short"}).wants(t, http.StatusBadRequest, model.InvalidRequest, "/new")
		send(nina, "POST", own, `{"new": "`+secret2+`"}`).wants(t, http.StatusBadRequest, model.InvalidRequest, "old")
		send(nina, "PATCH", path, model.EditUserRequest{Password: secret2}).wants(t, http.StatusForbidden, model.Forbidden, "")
		look := person{shared, shared.makeToken(t, nina.token, model.AccessTokenRequest{Name: "screen", ReadOnly: true}).value}
		send(look, "POST", own, model.PasswordChange{Old: secret1, New: secret2}).wants(t, http.StatusForbidden, model.Forbidden, "only look")
		if a := send(nina, "POST", own, model.PasswordChange{Old: secret1, New: secret2}); a.status != http.StatusNoContent {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := nina.do(t, "GET", "/api/v1/me", nil); a.status != http.StatusOK {
			t.Errorf("the token it was changed with: %d", a.status)
		}
		if got := []int{other.do(t, "GET", "/api/v1/me", nil).status, look.do(t, "GET", "/api/v1/me", nil).status}; fmt.Sprint(got) != "[401 401]" {
			t.Errorf("other tokens: %v", got)
		}
		var tokens model.AccessTokenList
		nina.get(t, "/api/v1/me/tokens", &tokens)
		if len(tokens.Items) != 1 || !tokens.Items[0].Current {
			t.Errorf("%+v", tokens.Items)
		}
		shared.asUser(t, "nina", secret2)

		session := shared.send(t, "POST", "/api/v1/login", model.Login{Username: "nina", Password: secret2}, csrfHeader+": 1")
		cookie, _, _ := strings.Cut(session.header.Get("Set-Cookie"), ";")
		change := model.PasswordChange{Old: secret2, New: secret3}
		shared.send(t, "POST", own, change, "Cookie: "+cookie).wants(t, http.StatusForbidden, model.Forbidden, csrfHeader)
		if a := shared.send(t, "POST", own, change, "Cookie: "+cookie, csrfHeader+": 1"); a.status != http.StatusNoContent {
			t.Errorf("in a browser: %d %s", a.status, a.body)
		}
		if a := shared.send(t, "GET", "/api/v1/me", nil, "Cookie: "+cookie); a.status != http.StatusOK {
			t.Errorf("the browser it was changed in: %d", a.status)
		}
		nina = shared.asUser(t, "nina", secret3)
		last := answer{}
		for range 10 {
			if last = send(nina, "POST", own, model.PasswordChange{Old: "a guess", New: secret4}); last.status == http.StatusTooManyRequests {
				break
			}
		}
		if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
			t.Errorf("after ten guesses: %d", last.status)
		}
	})

	t.Run("another's password", func(t *testing.T) {
		if a := send(admin, "PATCH", path, model.EditUserRequest{Password: secret4}); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := nina.do(t, "GET", "/api/v1/me", nil); a.status != http.StatusUnauthorized {
			t.Errorf("a token of before: %d", a.status)
		}
	})

	t.Run("oneself, and the last one", func(t *testing.T) {
		const oneself = "/api/v1/users/admin"
		send(admin, "DELETE", oneself+"?force=true", nil).wants(t, http.StatusConflict, model.Conflict, "is you")
		send(admin, "PATCH", oneself+"?force=true", model.EditUserRequest{Disabled: &disabled}).wants(t, http.StatusConflict, model.Conflict, "is you")
		send(admin, "PATCH", oneself, model.EditUserRequest{Password: secret2}).wants(t, http.StatusConflict, model.Conflict, "waybill user password")
		send(admin, "PATCH", oneself, `{"groups": []}`, "If-Match: *").wants(t, http.StatusConflict, model.Conflict, "last local user")

		w, _ := ssoWorld(t, false)
		b := newBrowser(t, w)
		b.signIn(nil)
		ada := []string{"Cookie: waybill_session=" + b.cookies["waybill_session"].Value, csrfHeader + ": 1"}
		w.send(t, "DELETE", oneself, nil, ada...).wants(t, http.StatusConflict, model.Conflict, "last local user")
		w.send(t, "PATCH", oneself, model.EditUserRequest{Disabled: &disabled}, ada...).wants(t, http.StatusConflict, model.Conflict, "--force")
		w.send(t, "POST", "/api/v1/me/password", model.PasswordChange{Old: secret1, New: secret2}, ada...).wants(t, http.StatusBadRequest, model.InvalidRequest, "kept by the identity provider http")
		// With force it is done; whoever has the cluster can take it back.
		if a := w.send(t, "PATCH", oneself+"?force=true", `{"groups": []}`, append(ada, "If-Match: *")...); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		eventually(t, func() error {
			if a := admin.do(t, "GET", "/api/v1/users", nil); a.status != http.StatusForbidden {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
		if err := restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if a := admin.do(t, "GET", "/api/v1/users", nil); a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
	})

	if a := send(admin, "DELETE", path, nil); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = send(admin, "GET", "/api/v1/audit?limit=200", nil)
	var audit model.AuditList
	a.into(t, &audit)
	var said []string
	for _, e := range slices.Backward(audit.Items) {
		if e.Kind == "User" && e.Name == "nina" {
			said = append(said, strings.TrimSpace(fmt.Sprintf("%s %s %s", strings.TrimPrefix(e.Actor, "waybill:"), e.Action, e.Reason)))
		}
	}
	for _, want := range []string{
		"admin apply made, groups: devs, viewers", "admin apply no groups", "admin apply disabled", "admin apply enabled", "nina apply another password", "admin apply another password", "admin delete",
	} {
		if !slices.Contains(said, want) {
			t.Errorf("the audit lacks %q: %q", want, said)
		}
	}
	everything, err := json.Marshal(audit)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"an answer": answered, "the log": shared.log.String()[logged:], "the audit": string(everything)} {
		for _, canary := range []string{secret1, secret2, secret3, secret4, "argon2", adminPassword} {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s holds %q: …%s", where, canary, text[max(0, at-100):at])
			}
		}
	}
}
