// Package tokens exchanges what a credential Secret proves for the password a
// server takes: a GitHub App for an installation token, a cloud's identity for
// a registry's password.
//
// A password is kept in memory until shortly before it expires, under the
// fingerprint of the Secret it came from: another Secret, and so another
// Project, never gets it. Callers that come at the same time share one request.
package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
)

const (
	// spare is how long before its end a password is not given out any more: it
	// must last for what it was asked for.
	spare = 5 * time.Minute
	// pause is how long a refusal is remembered, so that a wrong Secret does not
	// become a flood of requests.
	pause = 30 * time.Second
	// maxKept bounds how many passwords are kept.
	maxKept = 2000
	// callTimeout covers one exchange.
	callTimeout = 30 * time.Second
	// maxAnswerBytes bounds the answer of one.
	maxAnswerBytes = 1 << 20
)

// ErrRefused: the other side does not accept what the Secret proves. It will
// not before somebody changes one of them.
var ErrRefused = errors.New("exchange refused")

// Options configure a Source. Transport and Now are required.
type Options struct {
	// Transport is the guarded outbound one.
	Transport http.RoundTripper
	// TransportWithCA returns a transport that also trusts the PEM certificates.
	TransportWithCA func(pem []byte) (http.RoundTripper, error)
	// Now is the clock.
	Now func() time.Time
	// AllowPlainHTTP permits GitHub servers on http.
	AllowPlainHTTP bool
	// Clouds ask the clouds; nil means the real ones.
	Clouds map[credentials.Provider]Cloud
}

// Password is what a server takes, for a while.
type Password struct {
	Username string
	Value    secret.Text
	Expires  time.Time
}

// Cloud gives a password for one registry.
type Cloud func(ctx context.Context, c credentials.Credential, host string) (Password, error)

// Source exchanges credentials. It is safe for concurrent use.
type Source struct {
	opts Options

	mu   sync.Mutex
	kept map[key]*entry
}

// key keeps passwords of different Secrets and different servers apart.
type key struct {
	credential [sha256.Size]byte
	host       string
}

// entry is a password, a refusal, or the wait for one of them.
type entry struct {
	done     chan struct{} // closed when the rest is set
	password Password
	err      error
	until    time.Time
}

// New returns a Source.
func New(opts Options) (*Source, error) {
	if opts.Transport == nil || opts.Now == nil {
		return nil, errors.New("tokens: a transport and a clock are required")
	}
	s := &Source{opts: opts, kept: map[key]*entry{}}
	if s.opts.Clouds == nil {
		s.opts.Clouds = clouds(opts)
	}
	return s, nil
}

// Resolve returns c with the user name and password that the server of repoURL
// takes. Credentials that hold them already come back as they are.
func (s *Source) Resolve(ctx context.Context, c credentials.Credential, repoURL string) (credentials.Credential, error) {
	if !c.NeedsExchange() {
		return c, nil
	}
	exchange, host, err := s.plan(c, repoURL)
	if err != nil {
		return c, fmt.Errorf("%v: %w", c, err)
	}
	p, err := s.get(ctx, key{c.Fingerprint(), host}, exchange)
	if err != nil {
		return c, fmt.Errorf("%v: %w", c, err)
	}
	c.Username, c.Password = p.Username, p.Value
	return c, nil
}

// plan returns how to get the password, and the server it is for.
func (s *Source) plan(c credentials.Credential, repoURL string) (func(context.Context) (Password, error), string, error) {
	if c.App != nil {
		api, err := githubAPI(repoURL, s.opts.AllowPlainHTTP)
		if err != nil {
			return nil, "", err
		}
		return func(ctx context.Context) (Password, error) { return s.installationToken(ctx, c, api) }, api, nil
	}
	host := registryHost(repoURL)
	if !isProvidersHost(c.Provider, host) {
		// The identity is worth more than this registry: it goes to the cloud's own.
		return nil, "", fmt.Errorf("provider %s is not for %q", c.Provider, host)
	}
	cloud := s.opts.Clouds[c.Provider]
	if cloud == nil {
		return nil, "", fmt.Errorf("provider %s is not available here", c.Provider)
	}
	return func(ctx context.Context) (Password, error) { return cloud(ctx, c, host) }, host, nil
}

// get returns what is kept, or asks, once for all who want to know.
func (s *Source) get(ctx context.Context, k key, ask func(context.Context) (Password, error)) (Password, error) {
	now := s.opts.Now()
	s.mu.Lock()
	e := s.kept[k]
	isOurs := e == nil || isOver(e, now)
	if isOurs {
		e = &entry{done: make(chan struct{})}
		s.evict(now)
		s.kept[k] = e
	}
	s.mu.Unlock()
	if !isOurs {
		select {
		case <-e.done:
			return e.password, e.err
		case <-ctx.Done():
			return Password{}, ctx.Err() //nolint:wrapcheck // the caller's own
		}
	}
	// Whoever waits has more time than this caller may have.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	e.err = errors.New("the exchange did not end") // seen by those who wait if ask panics
	e.until = now.Add(pause)
	defer close(e.done)
	e.password, e.err = ask(ctx)
	if e.err == nil {
		e.until = e.password.Expires.Add(-spare)
	}
	return e.password, e.err
}

// isOver reports whether what e holds must be asked for again.
func isOver(e *entry, now time.Time) bool {
	select {
	case <-e.done:
		return !now.Before(e.until)
	default:
		return false
	}
}

// evict makes room. s.mu is held.
func (s *Source) evict(now time.Time) {
	if len(s.kept) < maxKept {
		return
	}
	for k, e := range s.kept {
		if isOver(e, now) {
			delete(s.kept, k)
		}
	}
	for k := range s.kept { // all still good: any one goes
		if len(s.kept) < maxKept {
			return
		}
		delete(s.kept, k)
	}
}

// registryHost returns the host of an image or chart repository, without port
// 443, in lower case.
func registryHost(repoURL string) string {
	host := repoURL
	if _, rest, found := strings.Cut(repoURL, "://"); found {
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}
