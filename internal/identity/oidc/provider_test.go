package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/identity/oidc/oidctest"
	"github.com/waybill-dev/waybill/internal/secret"
)

const back = "https://waybill.example.com/callback"

// clientOf returns Waybill as a client of a provider.
func clientOf(t *testing.T, from *oidctest.Provider, change func(*Options)) *Provider {
	t.Helper()
	o := Options{
		Issuer: from.URL, ClientID: oidctest.ClientID, RedirectURL: back, Scopes: []string{"email"}, UserClaim: "email", GroupsClaim: "groups",
		ClientSecret: func() (secret.Text, error) { return secret.New(oidctest.ClientSecret), nil },
		Transport:    http.DefaultTransport, Now: time.Now,
	}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// visit is the browser at the provider: it returns what it is sent back with.
func visit(t *testing.T, address string) url.Values {
	t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	to, err := answer.Location()
	if err != nil {
		t.Fatalf("%s: %d, %v", address, answer.StatusCode, err)
	}
	if !strings.HasPrefix(to.String(), back+"?") {
		t.Fatalf("led to %s", to)
	}
	return to.Query()
}

// signIn goes the whole way.
func signIn(t *testing.T, p *Provider, change func(url.Values)) (identity.Person, []string, error) {
	t.Helper()
	a, address, err := p.Begin(t.Context())
	if err != nil {
		return identity.Person{}, nil, err
	}
	q := visit(t, address)
	if change != nil {
		change(q)
	}
	return p.Finish(t.Context(), a, q)
}

func ada() map[string]any {
	return map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"release-managers", "dev"}}
}

func TestSignIn(t *testing.T) {
	from := oidctest.New(t)
	from.Claims = ada()
	p := clientOf(t, from, nil)
	for range 2 {
		got, skipped, err := signIn(t, p, nil)
		want := identity.Person{User: "waybill:ada@example.com", Groups: []string{"waybill:dev", "waybill:release-managers"}}
		if err != nil || got.Key() != want.Key() || len(skipped) > 0 {
			t.Fatalf("%v %v %+v, want %+v", err, skipped, got, want)
		}
	}
	if n := from.Asked("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("the provider was asked %d times what it is", n)
	}
}

// TestUserInfo: claims that the ID token lacks come from the user info, if that is
// about the same person.
func TestUserInfo(t *testing.T) {
	from := oidctest.New(t)
	from.Claims = map[string]any{"email_verified": true}
	from.UserInfo = ada()
	p := clientOf(t, from, nil)
	got, _, err := signIn(t, p, nil)
	if err != nil || got.User != "waybill:ada@example.com" || len(got.Groups) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	from.UserInfo["email_verified"] = false
	if _, _, err := signIn(t, p, nil); !isRefused(err, "not verified") {
		t.Errorf("an address that only the ID token calls verified: %v", err)
	}
	from.UserInfo = map[string]any{"sub": "somebody else", "email": "eve@example.com"}
	if _, _, err := signIn(t, p, nil); !isRefused(err, "somebody else") {
		t.Errorf("user info of somebody else: %v", err)
	}
}

func isRefused(err error, why string) bool {
	var r *RefusedError
	return errors.As(err, &r) && strings.Contains(r.Why, why)
}

// TestHostileAnswers: nobody is signed in by a token that is not exactly the one that
// this sign-in was to bring.
func TestHostileAnswers(t *testing.T) {
	unsigned := func(claims []byte) string {
		text := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
		return text([]byte(`{"alg":"none"}`)) + "." + text(claims) + "."
	}
	other := oidctest.New(t)
	cases := map[string]struct {
		set  func(*oidctest.Provider)
		ask  func(url.Values)
		want func(error) bool
	}{
		"no such sign-in":      {ask: func(q url.Values) { q.Set("state", "x") }, want: func(err error) bool { return errors.Is(err, ErrState) }},
		"no state":             {ask: func(q url.Values) { q.Del("state") }, want: func(err error) bool { return errors.Is(err, ErrState) }},
		"an unknown code":      {ask: func(q url.Values) { q.Set("code", "x") }, want: func(err error) bool { return errors.Is(err, ErrState) }},
		"no code":              {ask: func(q url.Values) { q.Del("code") }, want: func(err error) bool { return errors.Is(err, ErrDenied) }},
		"another provider":     {ask: func(q url.Values) { q.Set("iss", "https://evil.example.com") }, want: refusedFor("another issuer")},
		"the person says no":   {set: func(p *oidctest.Provider) { p.Deny = "access_denied" }, want: func(err error) bool { return errors.Is(err, ErrDenied) }},
		"another nonce":        {set: with("nonce", "x"), want: refusedFor("another sign-in")},
		"no nonce":             {set: without("nonce"), want: refusedFor("another sign-in")},
		"another audience":     {set: with("aud", "grafana"), want: refusedFor("not valid")},
		"no audience":          {set: without("aud"), want: refusedFor("not valid")},
		"another party":        {set: with("azp", "grafana"), want: refusedFor("another client")},
		"two audiences":        {set: with("aud", []string{oidctest.ClientID, "grafana"}), want: refusedFor("another client")},
		"another issuer":       {set: with("iss", "https://evil.example.com"), want: refusedFor("not valid")},
		"out of date":          {set: with("exp", time.Now().Add(-time.Minute).Unix()), want: refusedFor("not valid")},
		"no end":               {set: without("exp"), want: refusedFor("not valid")},
		"nobody":               {set: with("sub", ""), want: refusedFor("names nobody")},
		"no signature":         {set: func(p *oidctest.Provider) { p.Token = unsigned }, want: refusedFor("not valid")},
		"another's key":        {set: func(p *oidctest.Provider) { p.Token = other.Sign }, want: refusedFor("not valid")},
		"no token":             {set: func(p *oidctest.Provider) { p.Token = func([]byte) string { return "" } }, want: func(err error) bool { return errors.Is(err, ErrUnavailable) }},
		"not a token":          {set: func(p *oidctest.Provider) { p.Token = func([]byte) string { return "a.b" } }, want: refusedFor("not valid")},
		"not verified":         {set: with("email_verified", false), want: refusedFor("not verified")},
		"no name":              {set: with("email", ""), want: refusedFor("empty")},
		"a number for a name":  {set: with("email", 7), want: refusedFor("no text")},
		"Waybill's own name":   {set: with("email", "policy"), want: refusedFor("cannot be a user")},
		"a name of Kubernetes": {set: with("email", "system:admin"), want: refusedFor("cannot be a user")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			from := oidctest.New(t)
			from.Claims = ada()
			if c.set != nil {
				c.set(from)
			}
			p := clientOf(t, from, nil)
			got, _, err := signIn(t, p, c.ask)
			if err == nil || !c.want(err) || got.User != "" {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func with(claim string, value any) func(*oidctest.Provider) {
	return func(p *oidctest.Provider) { p.Change = func(claims map[string]any) { claims[claim] = value } }
}

func without(claim string) func(*oidctest.Provider) {
	return func(p *oidctest.Provider) { p.Change = func(claims map[string]any) { delete(claims, claim) } }
}

func refusedFor(why string) func(error) bool {
	return func(err error) bool { return isRefused(err, why) }
}

// TestACodeOfAnother: an answer that was meant for another browser signs nobody in.
func TestACodeOfAnother(t *testing.T) {
	from := oidctest.New(t)
	from.Claims = ada()
	p := clientOf(t, from, nil)
	mine, _, err := p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, address, err := p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	theirs := visit(t, address)
	if _, _, err := p.Finish(t.Context(), mine, theirs); !errors.Is(err, ErrState) {
		t.Errorf("an answer with another state: %v", err)
	}
	theirs.Set("state", mine.State)
	if _, _, err := p.Finish(t.Context(), mine, theirs); !errors.Is(err, ErrState) {
		t.Errorf("a code that PKCE binds to another: %v", err)
	}
	if _, _, err := p.Finish(t.Context(), Attempt{}, url.Values{"code": {"x"}, "state": {""}}); !errors.Is(err, ErrState) {
		t.Errorf("an answer to nothing: %v", err)
	}
}

// TestProviderDown: a provider that does not answer keeps nobody from starting, is
// asked again, and once known stays known.
func TestProviderDown(t *testing.T) {
	from := oidctest.New(t)
	from.Claims, from.Down = ada(), true
	now := time.Now()
	p := clientOf(t, from, func(o *Options) { o.Now = func() time.Time { return now } })
	for range 3 {
		if _, _, err := p.Begin(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := from.Asked("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("a provider that is down was asked %d times in a moment", n)
	}
	from.Down = false
	now = now.Add(retryDiscovery)
	if _, _, err := signIn(t, p, nil); err != nil {
		t.Fatal(err)
	}
	from.Down = true
	now = now.Add(2 * keepDiscovery)
	if _, _, err := p.Begin(t.Context()); err != nil {
		t.Errorf("what is known of the provider is forgotten: %v", err)
	}
	a, q := Attempt{State: "s", Nonce: "n", Verifier: "v"}, url.Values{"state": {"s"}, "code": {"secret-code"}}
	if _, _, err := p.Finish(t.Context(), a, q); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "secret-code") {
		t.Errorf("token endpoint down: %v", err)
	}
}

// TestErrorsHoldNoSecret: neither code nor secret is in what goes to the log.
func TestErrorsHoldNoSecret(t *testing.T) {
	from := oidctest.New(t)
	p := clientOf(t, from, func(o *Options) {
		o.ClientSecret = func() (secret.Text, error) { return secret.New("wrong-secret"), nil }
	})
	a, address, err := p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := visit(t, address)
	_, _, err = p.Finish(t.Context(), a, q)
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("a wrong client secret: %v", err)
	}
	p = clientOf(t, from, nil)
	q.Set("code", "code-of-7f3")
	_, _, err = p.Finish(t.Context(), a, q)
	if err == nil || strings.Contains(err.Error(), "code-of-7f3") {
		t.Errorf("the error repeats the code: %v", err)
	}
}

func TestOptions(t *testing.T) {
	good := Options{Issuer: "https://login.example.com", ClientID: "w", RedirectURL: back, UserClaim: "sub", GroupsClaim: "groups", Transport: http.DefaultTransport, Now: time.Now}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{"", "login.example.com", "ftp://x", "https://a@b", "https://b?x=1", "https://b#x"} {
		bad := good
		bad.Issuer = issuer
		if _, err := New(bad); err == nil {
			t.Errorf("issuer %q is taken", issuer)
		}
	}
}

func TestClaims(t *testing.T) {
	many := make([]any, maxGroups+1)
	for i := range many {
		many[i] = "g"
	}
	for name, c := range map[string]struct {
		names   names
		claims  string
		want    identity.Person
		skipped []string
		err     string
	}{
		"a subject without groups": {names{user: "sub", groups: "groups"}, `{"sub":"42"}`, identity.Person{User: "waybill:42"}, nil, ""},
		"one group as a text":      {names{user: "sub", groups: "groups"}, `{"sub":"42","groups":"dev"}`, identity.Person{User: "waybill:42", Groups: []string{"waybill:dev"}}, nil, ""},
		"a path": {
			names{user: "sub", groups: "realm_access.roles"}, `{"sub":"42","realm_access":{"roles":["dev"]}}`,
			identity.Person{User: "waybill:42", Groups: []string{"waybill:dev"}}, nil, "",
		},
		"a claim with dots": {
			names{user: "sub", groups: "https://x.example.com/groups"}, `{"sub":"42","https://x.example.com/groups":["dev"]}`,
			identity.Person{User: "waybill:42", Groups: []string{"waybill:dev"}}, nil, "",
		},
		"groups that Kubernetes cannot know": {
			names{user: "sub", groups: "groups"}, `{"sub":"42","groups":["system:masters","a:b","dev",""," x"]}`,
			identity.Person{User: "waybill:42", Groups: []string{"waybill:dev"}}, []string{"system:masters", "a:b", " x"}, "",
		},
		"in a group that may":  {names{user: "sub", groups: "groups", allowed: []string{"dev", "ops"}}, `{"sub":"42","groups":["ops"]}`, identity.Person{User: "waybill:42", Groups: []string{"waybill:ops"}}, nil, ""},
		"in none that may":     {names{user: "sub", groups: "groups", allowed: []string{"dev"}}, `{"sub":"42","groups":["ops"]}`, identity.Person{}, nil, "none of the groups"},
		"no groups, some may":  {names{user: "sub", groups: "groups", allowed: []string{"dev"}}, `{"sub":"42"}`, identity.Person{}, nil, "none of the groups"},
		"no such claim":        {names{user: "email", groups: "groups"}, `{"sub":"42"}`, identity.Person{}, nil, "sends no claim"},
		"a list for a name":    {names{user: "sub", groups: "groups"}, `{"sub":["42"]}`, identity.Person{}, nil, "no text"},
		"numbers for groups":   {names{user: "sub", groups: "groups"}, `{"sub":"42","groups":[7]}`, identity.Person{}, nil, "no list of texts"},
		"an object for groups": {names{user: "sub", groups: "groups"}, `{"sub":"42","groups":{"dev":true}}`, identity.Person{}, nil, "no list of texts"},
		"groups in groups":     {names{user: "sub", groups: "groups"}, `{"sub":"42","groups":[["dev"]]}`, identity.Person{}, nil, "no list of texts"},
		"verified as a text":   {names{user: "email", groups: "groups"}, `{"email":"a@b.example","email_verified":"true"}`, identity.Person{User: "waybill:a@b.example"}, nil, ""},
		"nothing of verified":  {names{user: "email", groups: "groups"}, `{"email":"a@b.example"}`, identity.Person{User: "waybill:a@b.example"}, nil, ""},
		"verified as a number": {names{user: "email", groups: "groups"}, `{"email":"a@b.example","email_verified":1}`, identity.Person{}, nil, "not verified"},
		"a name far too long":  {names{user: "sub", groups: "groups"}, `{"sub":"` + strings.Repeat("x", 300) + `"}`, identity.Person{}, nil, "cannot be a user"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := map[string]any{}
			if err := json.Unmarshal([]byte(c.claims), &claims); err != nil {
				t.Fatal(err)
			}
			got, skipped, err := c.names.person(claims)
			if c.err != "" {
				if !isRefused(err, c.err) {
					t.Errorf("%v %v", got, err)
				}
				return
			}
			if err != nil || c.want.Key() != got.Key() || !cmp.Equal(c.skipped, skipped) {
				t.Errorf("%v %q %v", got, skipped, err)
			}
		})
	}
	if _, _, err := (names{user: "sub", groups: "groups"}).person(map[string]any{"sub": "42", "groups": many}); !isRefused(err, "more than") {
		t.Errorf("%d groups: %v", len(many), err)
	}
}

// FuzzClaims: whatever a provider says of somebody makes a person that may be
// impersonated, or nobody.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{
		`{"sub":"42","groups":["dev"]}`, `{"sub":"","groups":[]}`, `{"sub":["x"],"groups":"dev"}`, `{"groups":[[["x"]]],"sub":"system:masters"}`,
		`{"a":{"b":{"c":"x"}},"sub":"x\u0000y"}`, `{"sub":"policy"}`,
	} {
		f.Add(s, "sub", "groups")
	}
	f.Add(`{"a":{"b":["x"]},"sub":"y"}`, "sub", "a.b")
	f.Fuzz(func(t *testing.T, text, user, groups string) {
		claims := map[string]any{}
		if err := json.Unmarshal([]byte(text), &claims); err != nil {
			return
		}
		p, _, err := names{user: user, groups: groups}.person(claims)
		if err != nil {
			if p.User != "" || len(p.Groups) > 0 {
				t.Errorf("an error and a person: %v", p)
			}
			return
		}
		again, err := identity.NewPerson(p.Name(), nil)
		if err != nil || again.User != p.User || p.Name() == "" {
			t.Errorf("%q: %v", p.User, err)
		}
		for _, g := range p.Groups {
			if !strings.HasPrefix(g, identity.Prefix) || len(g) == len(identity.Prefix) {
				t.Errorf("group %q", g)
			}
		}
	})
}
