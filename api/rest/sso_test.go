package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/identity/oidc"
	"github.com/waybill-dev/waybill/internal/identity/oidc/oidctest"
	"github.com/waybill-dev/waybill/internal/secret"
)

// ssoURL is what the server of these tests thinks people call it.
const ssoURL = "http://waybill.example.com"

// ssoWorld is a second server on the shared cluster, with an identity provider.
func ssoWorld(t *testing.T, noPasswords bool) (*world, *oidctest.Provider) {
	t.Helper()
	from := oidctest.New(t)
	from.Claims = map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"administrators", "no:group"}}
	provider, err := oidc.New(oidc.Options{
		Issuer: from.URL, ClientID: oidctest.ClientID, RedirectURL: ssoURL + SSOCallback, UserClaim: "email", GroupsClaim: "groups",
		ClientSecret: func() (secret.Text, error) { return secret.New(oidctest.ClientSecret), nil },
		Transport:    http.DefaultTransport, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{env: shared.env, admin: shared.admin, log: &lockedBuffer{}, history: shared.history}
	stop, err := w.serve(t.Context(), Options{
		SSO: &SSO{Provider: provider, Name: "Example Inc"}, NoPasswords: noPasswords, History: shared.history, Notes: shared.history,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return w, from
}

// browser keeps cookies and goes where it is led, one step at a time.
type browser struct {
	t       *testing.T
	w       *world
	cookies map[string]*http.Cookie
}

func newBrowser(t *testing.T, w *world) *browser {
	t.Helper()
	return &browser{t: t, w: w, cookies: map[string]*http.Cookie{}}
}

// open returns where an address leads, or the body.
func (b *browser) open(address string) (to *url.URL, body []byte) {
	b.t.Helper()
	isOurs := strings.HasPrefix(address, "/") || strings.HasPrefix(address, ssoURL+"/")
	if isOurs {
		address = b.w.url + strings.TrimPrefix(address, ssoURL)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if isOurs {
		for _, c := range b.cookies {
			r.AddCookie(c)
		}
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	if isOurs {
		for _, c := range answer.Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
				b.t.Errorf("cookie %s: %+v", c.Name, c)
			}
			if c.MaxAge < 0 {
				delete(b.cookies, c.Name)
			} else {
				b.cookies[c.Name] = c
			}
		}
	}
	if answer.StatusCode == http.StatusSeeOther || answer.StatusCode == http.StatusFound {
		to, err = answer.Location()
		if err != nil {
			b.t.Fatal(err)
		}
		return to, nil
	}
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return nil, body
}

// callback begins a sign-in and returns the address that the provider leads back to.
func (b *browser) callback(query url.Values) string {
	b.t.Helper()
	toProvider, body := b.open("/api/v1/login/sso?" + query.Encode())
	if toProvider == nil {
		b.t.Fatalf("not led to the provider: %s", body)
	}
	back, body := b.open(toProvider.String())
	if back == nil {
		b.t.Fatalf("not led back: %s", body)
	}
	return back.String()
}

// signIn goes the whole way and returns where it ends.
func (b *browser) signIn(query url.Values) *url.URL {
	b.t.Helper()
	to, body := b.open(b.callback(query))
	if to == nil {
		b.t.Fatalf("not led on: %s", body)
	}
	return to
}

// me is who the server says this browser's person is; empty: nobody.
func (b *browser) me() model.Me {
	b.t.Helper()
	_, body := b.open("/api/v1/me")
	var me model.Me
	if err := json.Unmarshal(body, &me); err != nil {
		b.t.Fatal(err)
	}
	return me
}

func TestSSOInABrowser(t *testing.T) {
	w, from := ssoWorld(t, false)
	if a := w.send(t, "GET", "/api/v1/login", nil); !strings.Contains(string(a.body), `"sso":"Example Inc"`) || !strings.Contains(string(a.body), `"password":true`) {
		t.Errorf("methods: %s", a.body)
	}
	b := newBrowser(t, w)
	back := b.callback(url.Values{"next": {"/projects/shop?view=matrix"}})
	to, _ := b.open(back)
	if to == nil || to.Path != "/projects/shop" || to.RawQuery != "view=matrix" || to.Host != strings.TrimPrefix(w.url, "http://") {
		t.Fatalf("led to %v", to)
	}
	if me := b.me(); me.User != "waybill:ada@example.com" || !slices.Equal(me.Groups, []string{"waybill:administrators"}) || time.Until(me.ExpiresAt) > 25*time.Hour || me.HasPassword {
		t.Errorf("signed in as %+v", me)
	}
	if len(b.cookies) != 1 {
		t.Errorf("cookies: %v", b.cookies)
	}
	if log := w.log.String(); !strings.Contains(log, "no:group") {
		t.Error("the log does not name the group that was left out")
	}
	value := b.cookies["waybill_session"].Value
	if a := w.send(t, "GET", "/api/v1/me", nil, "Authorization: Bearer "+value); a.status != http.StatusUnauthorized {
		t.Errorf("a session as a token: %d", a.status)
	}
	if a := shared.send(t, "GET", "/api/v1/me", nil, "Cookie: waybill_session="+value); a.status != http.StatusUnauthorized {
		t.Errorf("a server that does not trust the provider takes its people: %d", a.status)
	}
	entries, _, err := shared.history.ListEntries(t.Context(), history.Filter{}, history.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	isNoted := slices.ContainsFunc(entries, func(e history.Entry) bool {
		return e.Action == history.ActionSignIn && e.Actor == "waybill:ada@example.com" && strings.Contains(e.Reason, from.URL)
	})
	if !isNoted {
		t.Error("the sign-in is not in the audit")
	}
	// The same answer again, and in the browser of somebody else.
	for name, other := range map[string]*browser{"again": b, "elsewhere": newBrowser(t, w)} {
		if to, _ := other.open(back); to == nil || to.Path != "/login" || to.Query().Get("sso") != "expired" {
			t.Errorf("%s: led to %v", name, to)
		}
	}
}

// TestSSOLeadsNowhereElse: what a link says about where to go is believed only for
// pages of the dashboard.
func TestSSOLeadsNowhereElse(t *testing.T) {
	w, _ := ssoWorld(t, false)
	for _, next := range []string{"//evil.example.com", "https://evil.example.com/", `/\evil.example.com`, "javascript:alert(1)", "evil", "/api/v1/logout", "", "/%2f/..//x"} {
		to := newBrowser(t, w).signIn(url.Values{"next": {next}})
		if to.Host != strings.TrimPrefix(w.url, "http://") || strings.HasPrefix(to.Path, "/api") || next != "/%2f/..//x" && to.Path != "/projects" {
			t.Errorf("%q leads to %s", next, to)
		}
	}
}

func TestSSORefusals(t *testing.T) {
	w, from := ssoWorld(t, true)
	for want, set := range map[string]func(){
		"denied":      func() { from.Deny = "access_denied" },
		"refused":     func() { from.Claims["email"] = "alice" }, // a local user
		"unavailable": func() { from.Token = func([]byte) string { return "" } },
	} {
		from.Deny, from.Token = "", nil
		from.Claims["email"] = "ada@example.com"
		set()
		b := newBrowser(t, w)
		to := b.signIn(nil)
		if to.Path != "/login" || to.Query().Get("sso") != want || b.me().User != "" {
			t.Errorf("%s: led to %s", want, to)
		}
		if id := to.Query().Get("request"); id == "" || !strings.Contains(w.log.String(), id) {
			t.Errorf("%s: the log does not know request %q", want, id)
		}
	}
	if a := w.send(t, "POST", "/api/v1/login", model.Login{Username: "admin", Password: adminPassword, Kind: model.Token}); a.status != http.StatusForbidden {
		t.Errorf("a password where nobody has one: %d", a.status)
	}
	for _, q := range []string{"port=80&challenge=" + strings.Repeat("a", 43) + "&state=0123456789abcdef", "port=8080", "challenge=" + strings.Repeat("a", 43), "next=" + strings.Repeat("a", 2000)} {
		if a := w.send(t, "GET", "/api/v1/login/sso?"+q, nil); a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", q, a.status, a.body)
		}
	}
	if a := shared.send(t, "GET", "/api/v1/login/sso", nil); a.status != http.StatusNotFound {
		t.Errorf("a server without a provider: %d", a.status)
	}
}

// TestSSOForAProgram: the command line gets a token, once, and only who began.
func TestSSOForAProgram(t *testing.T) {
	w, from := ssoWorld(t, false)
	from.Claims["email"] = "ada-of-elsewhere"
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	query := url.Values{"port": {"43210"}, "state": {"0123456789abcdef"}, "challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}
	code := func() string {
		b := newBrowser(t, w)
		to := b.signIn(query)
		if to.Host != "127.0.0.1:43210" || to.Query().Get("state") != "0123456789abcdef" || to.Query().Get("code") == "" {
			t.Fatalf("led to %s", to)
		}
		if len(b.cookies) != 0 || b.me().User != "" {
			t.Errorf("the browser is signed in, too: %v", b.cookies)
		}
		return to.Query().Get("code")
	}
	redeem := func(code, verifier string) answer {
		return w.send(t, "POST", "/api/v1/login/sso/token", model.SSOCode{Code: code, Verifier: verifier, Name: "test"})
	}
	first := code()
	if a := w.send(t, "GET", "/api/v1/me", nil, "Authorization: Bearer "+first); a.status != http.StatusUnauthorized {
		t.Errorf("a code as a token: %d", a.status)
	}
	if a := redeem(first, strings.Repeat("x", 43)); a.status != http.StatusUnauthorized {
		t.Errorf("a wrong verifier: %d", a.status)
	}
	if a := redeem(first, verifier); a.status != http.StatusUnauthorized {
		t.Errorf("a code that was tried: %d", a.status)
	}
	second := code()
	a := redeem(second, verifier)
	var result model.LoginResult
	if err := json.Unmarshal(a.body, &result); err != nil || a.status != http.StatusOK || result.Me.User != "waybill:ada-of-elsewhere" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if life := time.Until(result.Me.ExpiresAt); life > 24*time.Hour || life < 23*time.Hour {
		t.Errorf("the token lives for %s", life)
	}
	if a := redeem(second, verifier); a.status != http.StatusUnauthorized {
		t.Errorf("a code that was used: %d", a.status)
	}
	works := func() int { return w.send(t, "GET", "/api/v1/me", nil, "Authorization: Bearer "+result.Token).status }
	if works() != http.StatusOK {
		t.Errorf("the token: %d", works())
	}
	// Somebody who becomes a local user is not also whom the provider calls so.
	kube, err := kubernetes.NewForConfig(shared.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	takeName(t, kube, "ada-of-elsewhere")
	eventually(t, func() error {
		if works() != http.StatusUnauthorized {
			return errors.New("a name that a local user has is the provider's still")
		}
		return nil
	})
}

// takeName puts a key into the Secret of the local users, as an administrator could who
// writes it by hand, until the test ends.
func takeName(t *testing.T, kube kubernetes.Interface, name string) {
	t.Helper()
	set := func(ctx context.Context, value []byte) {
		s, err := kube.CoreV1().Secrets(systemNamespace).Get(ctx, identity.UsersSecret, metav1.GetOptions{})
		if err == nil {
			delete(s.Data, name)
			if value != nil {
				s.Data[name] = value
			}
			_, err = kube.CoreV1().Secrets(systemNamespace).Update(ctx, s, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Error(err)
		}
	}
	set(t.Context(), []byte(`{"hash":"x"}`))
	t.Cleanup(func() { set(context.Background(), nil) })
}
