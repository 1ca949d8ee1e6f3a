package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// made is a token that TestTokens made.
type made struct {
	token model.AccessToken
	value string
}

func (w *world) makeToken(t *testing.T, with string, body model.AccessTokenRequest) made {
	t.Helper()
	a := w.send(t, "POST", "/api/v1/me/tokens", body, "Authorization: Bearer "+with)
	var out model.NewAccessToken
	if err := json.Unmarshal(a.body, &out); err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return made{out.Token, out.Value}
}

func (w *world) tokens(t *testing.T, with string) map[string]model.AccessToken {
	t.Helper()
	a := w.send(t, "GET", "/api/v1/me/tokens", nil, "Authorization: Bearer "+with)
	var list model.AccessTokenList
	if err := json.Unmarshal(a.body, &list); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	out := map[string]model.AccessToken{}
	for _, one := range list.Items {
		out[one.ID] = one
	}
	return out
}

func TestTokens(t *testing.T) {
	w, f := shared, newProject(t)
	mine := loginAs(t, "alice")
	status := func(method, path string, body any, with string) int {
		return w.send(t, method, path, body, "Authorization: Bearer "+with).status
	}
	ci := w.makeToken(t, mine, model.AccessTokenRequest{Name: "ci", Lifetime: "24h"})
	if life := time.Until(ci.token.Expires); life > 24*time.Hour || life < 23*time.Hour {
		t.Errorf("it lives for %s", life)
	}
	if got := status("GET", "/api/v1/me", nil, ci.value); got != http.StatusOK {
		t.Errorf("the token: %d", got)
	}
	list := w.tokens(t, mine)
	if one, found := list[ci.token.ID]; !found || one.Name != "ci" || one.Current || one.ReadOnly {
		t.Errorf("%+v", list)
	}
	if _, body := list[ci.token.ID], w.send(t, "GET", "/api/v1/me/tokens", nil, "Authorization: Bearer "+mine).body; strings.Contains(string(body), ci.value) {
		t.Error("a list shows a value")
	}
	// What a token makes lives no longer than itself.
	for _, lifetime := range []string{"", "700h"} {
		child := w.makeToken(t, ci.value, model.AccessTokenRequest{Name: "child", Lifetime: lifetime})
		if child.token.Expires.After(ci.token.Expires) {
			t.Errorf("lifetime %q: the child of a token outlives it: %s after %s", lifetime, child.token.Expires, ci.token.Expires)
		}
	}
	for _, lifetime := range []string{"1s", "-5h", "5", "tomorrow"} {
		if got := status("POST", "/api/v1/me/tokens", model.AccessTokenRequest{Name: "x", Lifetime: lifetime}, mine); got != http.StatusUnprocessableEntity && got != http.StatusBadRequest {
			t.Errorf("lifetime %q: %d", lifetime, got)
		}
	}

	// A token that may only look looks at everything and changes nothing.
	look := w.makeToken(t, mine, model.AccessTokenRequest{Name: "screen", ReadOnly: true})
	refused := 0
	for _, op := range w.server.doc.byID {
		path, body := sample(op, f.name)
		if op.permission.isPublic || op.id == "logout" || op.id == "events" {
			continue
		}
		got := status(op.route.Method, path, body, look.value)
		isLook := op.route.Method == http.MethodGet || op.id == "previewPromotion"
		if !isLook {
			refused++
		}
		if isLook && got == http.StatusForbidden && status(op.route.Method, path, body, mine) != http.StatusForbidden || !isLook && got != http.StatusForbidden {
			t.Errorf("%s with a token that may only look: %d", op.id, got)
		}
	}
	if refused < 20 {
		t.Errorf("only %d operations were refused", refused)
	}

	// Nobody ends another's; one's own end at once.
	other := loginAs(t, "admin")
	if got := status("DELETE", "/api/v1/me/tokens/"+ci.token.ID, nil, other); got != http.StatusNotFound {
		t.Errorf("another's token: %d", got)
	}
	if _, found := w.tokens(t, other)[ci.token.ID]; found {
		t.Error("another's token is in the list")
	}
	if got := status("DELETE", "/api/v1/me/tokens/"+ci.token.ID, nil, mine); got != http.StatusNoContent {
		t.Errorf("revoked: %d", got)
	}
	if got := status("GET", "/api/v1/me", nil, ci.value); got != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", got)
	}
	if _, found := w.tokens(t, mine)[ci.token.ID]; found {
		t.Error("a revoked token is in the list")
	}
	if got := status("POST", "/api/v1/logout", nil, look.value); got != http.StatusNoContent {
		t.Errorf("a token that may only look ends itself: %d", got)
	}
}
