package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Limits of what is asked of the provider.
const (
	answerTime = 10 * time.Second
	maxAnswer  = 1 << 20
	// keepDiscovery is how long the provider's description of itself is believed.
	keepDiscovery = time.Hour
	// retryDiscovery is how long nobody asks again for one that failed.
	retryDiscovery = 3 * time.Second
)

// Errors of Begin and Finish, besides RefusedError.
var (
	// ErrUnavailable: the provider cannot be reached, or does not answer as one.
	ErrUnavailable = errors.New("the identity provider does not answer")
	// ErrDenied: the provider, or the person at it, said no.
	ErrDenied = errors.New("the identity provider did not sign the person in")
	// ErrState: the answer belongs to no sign-in that this browser began, or to one
	// that is over.
	ErrState = errors.New("this answer belongs to no sign-in that was begun here")
)

// Options of New. Those without "optional" are required.
type Options struct {
	// Issuer is the provider's URL, exactly as its tokens name it.
	Issuer string
	// ClientID is what the provider calls Waybill.
	ClientID string
	// ClientSecret is read for each sign-in, so that it can be replaced; optional: a
	// public client, which PKCE alone protects.
	ClientSecret func() (secret.Text, error)
	// RedirectURL is where the provider sends people back to.
	RedirectURL string
	// Scopes to ask for besides openid; optional.
	Scopes []string
	// UserClaim and GroupsClaim name the claims that make a person. A name that is
	// no claim is a path: realm_access.roles.
	UserClaim, GroupsClaim string
	// Groups of which a person has to be in one; optional: everybody may sign in
	// whom the provider lets in.
	Groups []string
	// Transport is the way out.
	Transport http.RoundTripper
	// Now tells the time.
	Now func() time.Time
}

// Provider is one OpenID Connect provider. It is safe for concurrent use.
type Provider struct {
	o      Options
	names  names
	client *http.Client

	mu    sync.Mutex
	found *description
	asked time.Time // when the provider was last asked for its description
	err   error     // what came of that
}

// description is what the provider says of itself.
type description struct {
	provider  *oidc.Provider
	authStyle oauth2.AuthStyle
	read      time.Time
}

// New returns a Provider. Nothing is asked of it yet: a provider that is down keeps
// nobody from starting.
func New(o Options) (*Provider, error) {
	if o.Issuer == "" || o.ClientID == "" || o.RedirectURL == "" || o.UserClaim == "" || o.GroupsClaim == "" || o.Transport == nil || o.Now == nil {
		return nil, errors.New("oidc: Issuer, ClientID, RedirectURL, UserClaim, GroupsClaim, Transport and Now are required")
	}
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("issuer %q: expected something like https://login.example.com", o.Issuer)
	}
	return &Provider{
		o: o, names: names{user: o.UserClaim, groups: o.GroupsClaim, allowed: o.Groups},
		client: &http.Client{Transport: limited{o.Transport}, Timeout: answerTime},
	}, nil
}

// Issuer is the provider's URL.
func (p *Provider) Issuer() string { return p.o.Issuer }

// limited bounds what is read of an answer.
type limited struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if err == nil {
		outbound.LimitBody(answer, maxAnswer)
	}
	return answer, err //nolint:wrapcheck // a transport passes errors on
}

// Attempt is one sign-in that was begun. It belongs to the browser that began it and
// to nobody else.
type Attempt struct {
	// State comes back with the answer, Nonce in the token; Verifier proves to the
	// provider that whoever redeems the code began the sign-in.
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Begin returns a new Attempt and the address at which the person signs in.
func (p *Provider) Begin(ctx context.Context) (Attempt, string, error) {
	d, err := p.describe(ctx)
	if err != nil {
		return Attempt{}, "", err
	}
	a := Attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier()}
	return a, p.config(d, "").AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (p *Provider) config(d *description, clientSecret string) *oauth2.Config {
	endpoint := d.provider.Endpoint()
	endpoint.AuthStyle = d.authStyle
	if clientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	scopes := append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(p.o.Scopes), func(s string) bool { return s == oidc.ScopeOpenID })...)
	return &oauth2.Config{ClientID: p.o.ClientID, ClientSecret: clientSecret, Endpoint: endpoint, RedirectURL: p.o.RedirectURL, Scopes: scopes}
}

// Finish turns the parameters that the provider sent the browser back with into a
// person. skipped are groups that Kubernetes could not be told of. Errors: ErrState,
// ErrDenied, ErrUnavailable, *RefusedError; none repeats a code or token.
func (p *Provider) Finish(ctx context.Context, a Attempt, answer url.Values) (who identity.Person, skipped []string, err error) {
	state := answer.Get("state")
	if a.State == "" || a.Nonce == "" || a.Verifier == "" || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1 {
		return identity.Person{}, nil, ErrState
	}
	// RFC 9207: an answer of another provider must not reach this one's token endpoint.
	if iss := answer.Get("iss"); iss != "" && iss != p.o.Issuer {
		return identity.Person{}, nil, refused("the answer is from another issuer, %q", short(iss))
	}
	if code := answer.Get("error"); code != "" {
		return identity.Person{}, nil, fmt.Errorf("%w: %s", ErrDenied, short(code))
	}
	code := answer.Get("code")
	if code == "" {
		return identity.Person{}, nil, fmt.Errorf("%w: its answer has no code", ErrDenied)
	}
	d, err := p.describe(ctx)
	if err != nil {
		return identity.Person{}, nil, err
	}
	var clientSecret string
	if p.o.ClientSecret != nil {
		s, err := p.o.ClientSecret()
		if err != nil {
			return identity.Person{}, nil, fmt.Errorf("client secret: %w", err)
		}
		clientSecret = s.Reveal()
	}
	ctx = oidc.ClientContext(ctx, p.client)
	config := p.config(d, clientSecret)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return identity.Person{}, nil, exchangeError(err)
	}
	claims, err := p.verify(ctx, d, token, a.Nonce)
	if err != nil {
		return identity.Person{}, nil, err
	}
	if err := p.complete(ctx, d, token, claims); err != nil {
		return identity.Person{}, nil, err
	}
	return p.names.person(claims)
}

// exchangeError keeps what the provider's error code says and nothing of its body,
// which may repeat the request.
func exchangeError(err error) error {
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) {
		code := retrieve.ErrorCode
		if code == "" && retrieve.Response != nil {
			code = retrieve.Response.Status
		}
		if code == "invalid_grant" {
			return fmt.Errorf("%w: it knows the code no more", ErrState)
		}
		return fmt.Errorf("%w: its token endpoint says %s", ErrUnavailable, short(code))
	}
	return fmt.Errorf("%w: its token endpoint cannot be asked", ErrUnavailable)
}

// verify checks the ID token (OpenID Connect Core, 3.1.3.7) and returns its claims.
func (p *Provider) verify(ctx context.Context, d *description, token *oauth2.Token, nonce string) (map[string]any, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, fmt.Errorf("%w: its answer has no ID token", ErrUnavailable)
	}
	verifier := d.provider.VerifierContext(ctx, &oidc.Config{ClientID: p.o.ClientID, Now: p.o.Now})
	id, err := verifier.Verify(ctx, raw)
	var unreachable *url.Error
	if errors.As(err, &unreachable) {
		return nil, fmt.Errorf("%w: its keys cannot be read", ErrUnavailable)
	}
	if err != nil {
		return nil, refused("the ID token is not valid: %s", firstLine(err))
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return nil, refused("the ID token was made for another sign-in")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return nil, refused("the claims of the ID token cannot be read")
	}
	party, isSaid := claims["azp"].(string)
	if len(id.Audience) > 1 && !isSaid || isSaid && party != p.o.ClientID {
		return nil, refused("the ID token was made for another client")
	}
	if id.Subject == "" {
		return nil, refused("the ID token names nobody")
	}
	return claims, nil
}

// complete asks the provider's user info for claims that its ID token lacks.
func (p *Provider) complete(ctx context.Context, d *description, token *oauth2.Token, claims map[string]any) error {
	_, hasUser := claimAt(claims, p.names.user)
	_, hasGroups := claimAt(claims, p.names.groups)
	if hasUser && hasGroups || d.provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("%w: its user info cannot be read", ErrUnavailable)
	}
	if info.Subject != claims["sub"] {
		return refused("the user info is about somebody else")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return refused("the claims of the user info cannot be read")
	}
	// Claims that belong together come from one place.
	if !hasUser && p.names.user == emailClaim {
		delete(claims, "email_verified")
	}
	for name, value := range more {
		if _, isKnown := claims[name]; !isKnown {
			claims[name] = value
		}
	}
	return nil
}

// describe returns what the provider says of itself, asked for at most once an hour.
// While it does not answer, what it said before holds.
func (p *Provider) describe(ctx context.Context) (*description, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if p.found != nil && now.Sub(p.found.read) < keepDiscovery {
		return p.found, nil
	}
	if p.err == nil || now.Sub(p.asked) >= retryDiscovery {
		p.asked = now
		found, err := p.discover(context.WithoutCancel(ctx))
		if p.err = err; err == nil {
			found.read = now
			p.found = found
		}
	}
	if p.found != nil {
		return p.found, nil
	}
	return nil, p.err
}

func (p *Provider) discover(ctx context.Context) (*description, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, firstLine(err))
	}
	var said struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, fmt.Errorf("%w: its description cannot be read", ErrUnavailable)
	}
	d := &description{provider: provider, authStyle: oauth2.AuthStyleInHeader}
	if len(said.Methods) > 0 && !slices.Contains(said.Methods, "client_secret_basic") {
		d.authStyle = oauth2.AuthStyleInParams
	}
	for name, address := range map[string]string{"authorization_endpoint": provider.Endpoint().AuthURL, "token_endpoint": provider.Endpoint().TokenURL} {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("%w: its %s is no address", ErrUnavailable, name)
		}
	}
	return d, nil
}

// firstLine keeps the log readable when a provider answers with a page.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return short(line)
}
