package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// sample returns a request for an operation in a Project.
func sample(op *operation, project string) (path string, body any) {
	path = strings.NewReplacer("{project}", project, "{stage}", "test", "{promotion}", "test.1.x", "{freight}", nameOf(1),
		"{freeze}", "hold-x", "{warehouse}", "main", "{application}", "test", "{cluster}", "west", "{kind}", "stages", "{name}", "test", "{token}", "0123456789ab", "{credential}", "none", "{user}", "nobody").Replace(op.route.Path)
	switch op.id {
	case "planPromotion", "why":
		path += "?freight=1.26.0"
	case "trace":
		path += "?kind=deploy&name=web"
	case "events":
		path += "?topics=pipeline:" + project
	}
	switch op.id {
	case "login":
		body = model.Login{Username: "nobody", Password: "nothing", Kind: model.Token}
	case "createToken":
		body = model.AccessTokenRequest{Name: "test", Lifetime: "1m"}
	case "changePassword":
		body = model.PasswordChange{Old: "nothing", New: "nothing at all"}
	case "addUser":
		body = model.AddUserRequest{Name: "nobody", Password: "nothing at all"}
	case "editUser":
		body = model.EditUserRequest{Password: "nothing at all"}
	case "redeemSSO":
		body = model.SSOCode{Code: "wbc_x", Verifier: strings.Repeat("v", 43)}
	case "promote":
		body = model.PromoteRequest{Freight: "latest"}
	case "hold":
		body = model.HoldRequest{Reason: "r"}
	case "createFreeze":
		body = model.FreezeRequest{Stage: "test", Reason: "r"}
	case "assembleFreight":
		body = model.AssembleRequest{Choices: []model.ArtifactChoice{}}
	case "renameFreight":
		body = model.RenameFreightRequest{Alias: "spring-release"}
	case "rejectFreight":
		body = model.RejectRequest{Reason: "r"}
	case "approve", "rejectPromotion":
		body = model.DecisionRequest{PlanHash: "sha256:" + strings.Repeat("1", 64), Reason: "r"}
	case "previewPromotion":
		body = model.PlanRequest{Freight: "1.26.0"}
	case "rollback", "abortPromotion", "retryPromotion", "unrejectFreight", "revoke", "verifyStage":
		body = struct{}{}
	case "addCluster":
		body = model.AddClusterRequest{Name: "west", Kubeconfig: "k"}
	case "addCredential":
		body = model.AddCredentialRequest{Type: model.CredentialTypeGit, Data: map[string]string{"repoURL": "https://git.example.com", "username": "u", "password": "p"}}
	case "testCredentials":
		body = model.TestCredentialsRequest{Types: []model.CredentialType{model.CredentialTypeGit}}
	case "rotateCluster":
		body = model.RotateClusterRequest{Kubeconfig: "k"}
	case "acceptDrift":
		body = model.AcceptRequest{Fields: []model.AcceptField{{Kind: "Deployment", Name: "web", Field: "spec.replicas"}}}
	case "syncApplication":
		body = model.SyncRequest{}
	case "apply":
		body = model.ApplyRequest{Files: []model.ManifestFile{{Name: "f", Content: manifestOf(project)}}}
	}
	return path, body
}

// TestEveryRouteWithEveryCredential walks the document: no operation answers
// somebody it does not know, and nobody learns of a Project that is not theirs.
func TestEveryRouteWithEveryCredential(t *testing.T) {
	f := newProject(t)
	w := shared
	expired := expiredToken(t)
	revoked := loginAs(t, "alice")
	if a := w.send(t, "POST", "/api/v1/logout", nil, "Authorization: Bearer "+revoked); a.status != http.StatusNoContent {
		t.Fatalf("logout: %d %s", a.status, a.body)
	}
	session := sessionCookieOf(t, "alice")
	good := w.as(t, "alice").token
	bad := map[string][]string{
		"none":                              nil,
		"garbage":                           {"Authorization: Bearer garbage"},
		"a token that never was":            {"Authorization: Bearer wbt_" + strings.Repeat("A", 43)},
		"a JWT":                             {"Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."},
		"another scheme":                    {"Authorization: Basic YWRtaW46YWRtaW4="},
		"no scheme":                         {"Authorization: " + good},
		"expired":                           {"Authorization: Bearer " + expired},
		"revoked":                           {"Authorization: Bearer " + revoked},
		"a session as token":                {"Authorization: Bearer " + session},
		"a token as session":                {"Cookie: waybill_session=" + good, csrfHeader + ": 1"},
		"a bad token beside a good session": {"Authorization: Bearer garbage", "Cookie: waybill_session=" + session, csrfHeader + ": 1"},
		"impersonation headers":             {"Impersonate-User: admin", "X-Remote-User: admin"},
	}
	checked := 0
	for _, op := range shared.server.doc.byID {
		path, body := sample(op, f.name)
		if op.permission.isPublic {
			continue
		}
		checked++
		for name, headers := range bad {
			a := w.send(t, op.route.Method, path, body, headers...)
			if a.status != http.StatusUnauthorized {
				t.Errorf("%s with %s: status %d, want 401: %s", op.id, name, a.status, a.body)
				continue
			}
			if p := a.problem(t); p.Code != model.NotSignedIn {
				t.Errorf("%s with %s: code %s", op.id, name, p.Code)
			}
		}
		if op.permission.signedInOnly {
			continue
		}
		// Somebody with no rights: hidden and missing are the same.
		mallory := w.as(t, "mallory")
		if !op.permission.isOfProject() {
			for _, who := range []string{"mallory", "victor", "alice"} { // rights in a Project are none here
				if a := w.as(t, who).do(t, op.route.Method, path, body); a.status != http.StatusForbidden || a.problem(t).Code != model.Forbidden {
					t.Errorf("%s as %s: status %d, want 403: %s", op.id, who, a.status, a.body)
				}
			}
			continue
		}
		hidden := mallory.do(t, op.route.Method, path, body)
		missingPath, missingBody := sample(op, "p-nowhere")
		missing := mallory.do(t, op.route.Method, missingPath, missingBody)
		if hidden.status != http.StatusNotFound || missing.status != http.StatusNotFound {
			t.Errorf("%s as a stranger: %d for a hidden Project, %d for a missing one, want 404 twice", op.id, hidden.status, missing.status)
			continue
		}
		h, m := hidden.problem(t), missing.problem(t)
		if got, want := strings.ReplaceAll(h.Detail, f.name, "P"), strings.ReplaceAll(m.Detail, "p-nowhere", "P"); got != want || h.Hint != m.Hint {
			t.Errorf("%s as a stranger: hidden %q, missing %q", op.id, got, want)
		}
		// Somebody who may look: reading works, every change is refused.
		if op.route.Method == http.MethodGet || op.id == "previewPromotion" { // which reads, with a body
			continue
		}
		if a := w.as(t, "victor").do(t, op.route.Method, path, body); a.status != http.StatusForbidden || a.problem(t).Code != model.Forbidden {
			t.Errorf("%s as a viewer: status %d, want 403: %s", op.id, a.status, a.body)
		}
	}
	if checked < 35 {
		t.Fatalf("only %d operations were walked", checked)
	}
}

// TestSignedInOnlyOperationsShowNothingOfOthers covers the operations that
// authorise item by item.
func TestSignedInOnlyOperationsShowNothingOfOthers(t *testing.T) {
	f := newProject(t)
	mallory := shared.as(t, "mallory")
	for _, path := range []string{"/api/v1/projects", "/api/v1/definitions/projects", "/api/v1/me", "/api/v1/me/permissions"} {
		a := mallory.do(t, "GET", path, nil)
		if a.status != http.StatusOK || strings.Contains(string(a.body), f.name) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	for _, path := range []string{"/api/v1/me/permissions?project=" + f.name, "/api/v1/events?topics=pipeline:" + f.name, "/api/v1/events?topics=promotion:" + f.name + "/x"} {
		if a := mallory.do(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	a := mallory.do(t, "POST", "/api/v1/apply", model.ApplyRequest{Files: []model.ManifestFile{{Name: "f", Content: manifestOf(f.name)}}})
	var out model.ApplyResult
	a.into(t, &out)
	if out.Failed != len(out.Items) {
		t.Errorf("a stranger applied something: %s", a.body)
	}
}

func loginAs(t *testing.T, name string) string {
	t.Helper()
	var out model.LoginResult
	passwords := map[string]string{"admin": adminPassword, "alice": alicePassword}
	shared.send(t, "POST", "/api/v1/login", model.Login{Username: name, Password: passwords[name], Kind: model.Token}).into(t, &out)
	return out.Token
}

func sessionCookieOf(t *testing.T, name string) string {
	t.Helper()
	passwords := map[string]string{"admin": adminPassword, "alice": alicePassword}
	a := shared.send(t, "POST", "/api/v1/login", model.Login{Username: name, Password: passwords[name]}, csrfHeader+": 1")
	if a.status != http.StatusOK {
		t.Fatalf("login: %d %s", a.status, a.body)
	}
	resp := http.Response{Header: a.header}
	for _, c := range resp.Cookies() {
		if c.Name == "waybill_session" {
			return c.Value
		}
	}
	t.Fatalf("no cookie in %v", a.header)
	return ""
}

// expiredToken is a token whose Secret says that it has ended.
func expiredToken(t *testing.T) string {
	t.Helper()
	before := sessionNames(t)
	token := loginAs(t, "alice")
	kube, err := kubernetes.NewForConfig(shared.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name := range sessionNames(t) {
		if before[name] {
			continue
		}
		s, err := kube.CoreV1().Secrets(systemNamespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Data["expires"] = []byte(time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
		if _, err := kube.CoreV1().Secrets(systemNamespace).Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if a := shared.send(t, "GET", "/api/v1/me", nil, "Authorization: Bearer "+token); a.status != http.StatusUnauthorized {
				return fmt.Errorf("an expired token still works: %d", a.status)
			}
			return nil
		})
		return token
	}
	t.Fatal("login made no session")
	return ""
}

func sessionNames(t *testing.T) map[string]bool {
	t.Helper()
	kube, err := kubernetes.NewForConfig(shared.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := kube.CoreV1().Secrets(systemNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "waybill.dev/session"})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, s := range list.Items {
		out[s.Name] = true
	}
	return out
}

func TestLogin(t *testing.T) {
	w := shared
	t.Run("wrong password and unknown user answer alike", func(t *testing.T) {
		wrong := w.send(t, "POST", "/api/v1/login", model.Login{Username: "alice", Password: "wrong", Kind: model.Token})
		unknown := w.send(t, "POST", "/api/v1/login", model.Login{Username: "alicia", Password: "wrong", Kind: model.Token})
		a, b := wrong.problem(t), unknown.problem(t)
		a.RequestID, b.RequestID = "", ""
		if a.Code != model.WrongCredentials || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("wrong password %+v, unknown user %+v", a, b)
		}
	})
	t.Run("the cookie", func(t *testing.T) {
		a := w.send(t, "POST", "/api/v1/login", model.Login{Username: "alice", Password: alicePassword}, csrfHeader+": 1")
		cookie := a.header.Get("Set-Cookie")
		for _, want := range []string{"waybill_session=wbs_", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("cookie %q lacks %s", cookie, want)
			}
		}
		if strings.Contains(cookie, "Secure") || strings.Contains(string(a.body), "wbs_") {
			t.Errorf("over plain http: cookie %q, body %s", cookie, a.body)
		}
	})
	t.Run("a form of another site", func(t *testing.T) {
		body := model.Login{Username: "alice", Password: alicePassword}
		if a := w.send(t, "POST", "/api/v1/login", body); a.status != http.StatusForbidden {
			t.Errorf("without the header: %d", a.status)
		}
		session := sessionCookieOf(t, "alice")
		for name, headers := range map[string][]string{
			"without the CSRF header": {"Cookie: waybill_session=" + session},
			"from another origin":     {"Cookie: waybill_session=" + session, csrfHeader + ": 1", "Origin: https://evil.example"},
			"from another site":       {"Cookie: waybill_session=" + session, csrfHeader + ": 1", "Sec-Fetch-Site: cross-site"},
		} {
			if a := w.send(t, "POST", "/api/v1/logout", nil, headers...); a.status != http.StatusForbidden || a.problem(t).Code != model.Forbidden {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		if a := w.send(t, "POST", "/api/v1/logout", nil, "Cookie: waybill_session="+session, csrfHeader+": 1", "Origin: "+w.url); a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("from our own page: %d %v", a.status, a.header)
		}
		if a := w.send(t, "GET", "/api/v1/me", nil, "Cookie: waybill_session="+session); a.status != http.StatusUnauthorized {
			t.Errorf("after logout: %d", a.status)
		}
	})
	t.Run("guessing is slowed down", func(t *testing.T) {
		var last answer
		for range 10 {
			last = w.send(t, "POST", "/api/v1/login", model.Login{Username: "guessed", Password: "x", Kind: model.Token})
			if last.status == http.StatusTooManyRequests {
				break
			}
		}
		if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" || last.problem(t).Code != model.TooManyRequests {
			t.Fatalf("after ten guesses: %d %v", last.status, last.header)
		}
	})
	t.Run("only the hash is stored", func(t *testing.T) {
		token := loginAs(t, "alice")
		kube, err := kubernetes.NewForConfig(w.env.Config)
		if err != nil {
			t.Fatal(err)
		}
		list, err := kube.CoreV1().Secrets(systemNamespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Items {
			if all := fmt.Sprint(s.Name, s.Data, s.Annotations); strings.Contains(all, token) || strings.Contains(all, alicePassword) {
				t.Errorf("Secret %s holds a token or a password", s.Name)
			}
		}
	})
	t.Run("me", func(t *testing.T) {
		var me model.Me
		w.as(t, "alice").get(t, "/api/v1/me", &me)
		if me.User != "waybill:alice" || me.Name != "alice" || fmt.Sprint(me.Groups) != "[waybill:devs]" || time.Until(me.ExpiresAt) < 29*24*time.Hour || !me.HasPassword {
			t.Fatalf("%+v", me)
		}
	})
}

func TestPermissions(t *testing.T) {
	for name, want := range map[string]bool{"admin": true, "alice": false} {
		var p model.Permissions
		shared.as(t, name).get(t, "/api/v1/me/permissions", &p)
		if p.CreateProjects != want || p.Stages != nil {
			t.Errorf("%s without a Project: %+v", name, p)
		}
	}
	f := newProject(t)
	for name, want := range map[string]string{
		"admin":  "true true true {prod true true true true}",
		"alice":  "false false true {prod false false true true}",
		"victor": "false false false {prod false false false false}",
	} {
		var p model.Permissions
		shared.as(t, name).get(t, "/api/v1/me/permissions?project="+f.name, &p)
		last := p.Stages[2]
		got := fmt.Sprintf("%v %v %v {%s %v %v %v %v}", p.CreateProjects, p.Edit, p.Refresh, last.Stage, last.Bypass, last.Freeze, last.Promote, last.Rollback)
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if last.Hold != last.Promote {
			t.Errorf("%s: hold %v, but hold needs promote, which is %v", name, last.Hold, last.Promote)
		}
	}
}
