// Package oidctest runs an OpenID Connect provider on the loopback, for tests. It
// checks what a provider has to (client, redirect URL, PKCE, one use of a code) and can
// be made to answer what no honest one does. A sign-in at a certified provider, in a
// browser, is tested in ui/e2e.
package oidctest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// The client that every Provider knows.
const (
	ClientID     = "waybill"
	ClientSecret = "client-secret-4f1c"
)

const keyID = "key-1"

// Provider is a running provider. Its fields may be set before a sign-in.
type Provider struct {
	*httptest.Server

	// Claims of whoever signs in; sub is somebody's unless set.
	Claims map[string]any
	// UserInfo holds claims that only the user info has; nil: there is no user info.
	UserInfo map[string]any
	// Deny makes the provider answer with this error code.
	Deny string
	// Down makes every request fail.
	Down bool
	// Change is given the ID token's claims before they are signed.
	Change func(claims map[string]any)
	// Token replaces the signed ID token; it is given the claims.
	Token func(claims []byte) string

	t    testing.TB
	key  *rsa.PrivateKey
	keys *oidctest.Server

	mu    sync.Mutex
	codes map[string]url.Values // what was asked for at /auth
	asked map[string]int        // requests by path
}

// New starts a Provider that ends with the test.
func New(t testing.TB) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{t: t, key: key, codes: map[string]url.Values{}, asked: map[string]int{}, Claims: map[string]any{}}
	p.keys = &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: keyID, Algorithm: oidc.RS256}}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	p.keys.SetIssuer(p.URL)
	return p
}

// Asked returns how many requests a path got.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// Sign returns claims as a token signed with the provider's key.
func (p *Provider) Sign(claims []byte) string {
	return oidctest.SignIDToken(p.key, keyID, oidc.RS256, string(claims))
}

// ServeHTTP is http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	p.mu.Unlock()
	if p.Down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		p.describe(w)
	case "/auth":
		p.authorize(w, r)
	case "/token":
		p.redeem(w, r)
	case "/userinfo":
		p.userInfo(w, r)
	default:
		p.keys.ServeHTTP(w, r)
	}
}

func (p *Provider) describe(w http.ResponseWriter) {
	about := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{oidc.RS256},
	}
	if p.UserInfo != nil {
		about["userinfo_endpoint"] = p.URL + "/userinfo"
	}
	answer(w, http.StatusOK, about)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		http.Error(w, "not a request of the code flow with PKCE", http.StatusBadRequest)
		return
	}
	out := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if p.Deny != "" {
		out.Set("error", p.Deny)
	} else {
		code := rand.Text()
		p.mu.Lock()
		p.codes[code] = q
		p.mu.Unlock()
		out.Set("code", code)
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (p *Provider) redeem(w http.ResponseWriter, r *http.Request) {
	id, password, isBasic := r.BasicAuth()
	code := r.FormValue("code")
	p.mu.Lock()
	asked := p.codes[code]
	delete(p.codes, code)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch {
	case !isBasic || id != ClientID || password != ClientSecret:
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	case asked == nil, asked.Get("redirect_uri") != r.FormValue("redirect_uri"), asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "the code " + code + " is not good"})
		return
	}
	now := time.Now() //nolint:forbidigo // the provider is another machine
	claims := map[string]any{"iss": p.URL, "aud": ClientID, "sub": "somebody", "nonce": asked.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for k, v := range p.Claims {
		claims[k] = v
	}
	if p.Change != nil {
		p.Change(claims)
	}
	data, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
		return
	}
	token := ""
	if p.Token != nil {
		token = p.Token(data)
	} else {
		token = p.Sign(data)
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "access-" + code, "token_type": "Bearer", "expires_in": 60, "id_token": token})
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	claims := map[string]any{"sub": "somebody"}
	for k, v := range p.UserInfo {
		claims[k] = v
	}
	answer(w, http.StatusOK, claims)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(fmt.Sprintf("oidctest: %v", err)) // the client left
	}
}
