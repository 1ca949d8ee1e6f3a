package registry

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

const (
	userAgent = "waybill"
	// maxBackoff caps what a registry can make us wait, defaultBackoff is for one
	// that does not say how long.
	maxBackoff     = time.Hour
	defaultBackoff = 30 * time.Second
	// defaultTokenLife is what a token lives when its service does not say (the
	// distribution token specification).
	defaultTokenLife = time.Minute
	maxTokenLife     = time.Hour
	maxScopes        = 4
	maxErrorBytes    = 64 << 10
)

// session is the conversation with one registry as one account.
type session struct {
	client       *Client
	host, scheme string
	credential   credentials.Credential
	transport    http.RoundTripper
	home         *http.Client // follows redirects on the registry's host
	anywhere     *http.Client // for blobs: elsewhere too, without credentials
	gate         *gate        // of the registry, shared by its sessions
	// authTurn lets one goroutine at a time fetch a token; the others find it.
	authTurn chan struct{}

	lastUsed     time.Time              // guarded by client.mu
	repositories map[string]*repository // by path; guarded by client.mu

	mu        sync.Mutex // guards what follows
	challenge *challenge // how the registry wants to be asked; nil: not yet known
	blocked   time.Time
	// isLow: the registry said that few requests are left to us.
	isLow bool
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request is one GET or HEAD.
type request struct {
	method   string
	url      string
	header   http.Header
	maxBytes int64
	// isAnywhere follows redirects to other hosts: only for content that is
	// checked against its digest.
	isAnywhere bool
	// isBasic sends user name and password without being asked, as Helm does.
	isBasic bool
}

// fetch sends r for repo, authenticates as the registry demands,
// and returns any answer below 500 that is not about authentication or limits.
func (s *session) fetch(ctx context.Context, op operation, repo *repository, r request) (answer, error) {
	if until := s.blockedUntil(); !until.IsZero() {
		e := s.fail(op, ErrRateLimited, 0, "")
		e.RetryAt = until
		return answer{}, e
	}
	round, err := s.gate.enter(ctx)
	if err != nil {
		return answer{}, s.failNetwork(ctx, op, err)
	}
	load := outcomeUnknown
	defer func() { s.gate.leave(round, load) }()
	var a answer
	for attempt := range 2 {
		authorization, err := s.authorization(ctx, op, repo, r.isBasic)
		if err != nil {
			return answer{}, err
		}
		if a, err = s.send(ctx, r, authorization); err != nil {
			return answer{}, s.failNetwork(ctx, op, err)
		}
		if a.status != http.StatusUnauthorized {
			break
		}
		if attempt > 0 || !s.learn(a, repo, authorization) {
			return answer{}, s.failStatus(op, a, secret.New(strings.TrimPrefix(authorization, "Bearer ")))
		}
	}
	switch {
	case a.status == http.StatusTooManyRequests, a.status >= 500:
		load = outcomeTooMuch
		return answer{}, s.failStatus(op, a)
	case a.status == http.StatusForbidden, a.status == http.StatusUnauthorized:
		return answer{}, s.failStatus(op, a)
	}
	load = outcomeGood
	return a, nil
}

// send performs one exchange and reads the body within its limit.
func (s *session) send(ctx context.Context, r request, authorization string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.client.opts.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, nil)
	if err != nil {
		return answer{}, outbound.ErrForbiddenURL
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", userAgent)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	client := s.home
	if r.isAnywhere {
		client = s.anywhere
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	limit := r.maxBytes
	if resp.StatusCode >= 400 {
		limit = maxErrorBytes
	}
	body, err := outbound.ReadAll(resp.Body, limit)
	if err != nil {
		return answer{}, err
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// learn takes in a 401 to a request with the given authorization. It reports
// whether asking again makes sense.
func (s *session) learn(a answer, repo *repository, authorization string) bool {
	c, ok := pick(parseChallenges(a.header.Values("WWW-Authenticate")))
	if !ok {
		return false
	}
	s.mu.Lock()
	s.challenge = &c
	s.mu.Unlock()
	if c.scheme == "basic" {
		// Asking again makes sense only with a credential that was not sent yet.
		return !s.credential.Password.IsEmpty() && !strings.HasPrefix(authorization, "Basic ")
	}
	repo.refuse(authorization, strings.Fields(c.params["scope"]))
	return true
}

// authorization returns the header for a request for repo, or "" while nothing
// is demanded.
func (s *session) authorization(ctx context.Context, op operation, repo *repository, isBasic bool) (string, error) {
	s.mu.Lock()
	c := s.challenge
	s.mu.Unlock()
	if isBasic {
		c = &challenge{scheme: "basic"}
	}
	if c == nil {
		return "", nil
	}
	if c.scheme == "basic" {
		if s.credential.Password.IsEmpty() {
			return "", nil
		}
		req := http.Request{Header: http.Header{}}
		req.SetBasicAuth(s.credential.Username, s.credential.Password.Reveal())
		return req.Header.Get("Authorization"), nil
	}
	select {
	case s.authTurn <- struct{}{}:
		defer func() { <-s.authTurn }()
	case <-ctx.Done():
		return "", s.failNetwork(ctx, op, ctx.Err())
	}
	if t, ok := repo.liveToken(s.client.opts.Now()); ok {
		return "Bearer " + t, nil
	}
	t, err := s.exchange(ctx, op, repo, *c)
	if err != nil {
		return "", err
	}
	return "Bearer " + t, nil
}

// exchange asks the token service that c names for a token to read repo.
func (s *session) exchange(ctx context.Context, op operation, repo *repository, c challenge) (string, error) {
	auth := authn.Anonymous
	if !s.credential.Password.IsEmpty() || !s.credential.IdentityToken.IsEmpty() {
		if err := checkRealm(s.host, s.scheme, c.params["realm"], s.client.opts.TrustedRealms); err != nil {
			return "", s.fail(op, ErrRefused, 0, err.Error())
		}
		auth = authn.FromConfig(authn.AuthConfig{
			Username: s.credential.Username, Password: s.credential.Password.Reveal(), IdentityToken: s.credential.IdentityToken.Reveal(),
		})
	}
	registry, err := name.NewRegistry(s.host)
	if err != nil {
		return "", s.fail(op, ErrInvalid, 0, "the registry's name is not valid")
	}
	ctx, cancel := context.WithTimeout(ctx, s.client.opts.RequestTimeout)
	defer cancel()
	began := s.client.opts.Now()
	t, err := transport.Exchange(ctx, registry, auth, s.transport, repo.allScopes(), &transport.Challenge{
		Scheme: "Bearer", Parameters: c.params, Insecure: s.scheme == "http",
	})
	if err != nil {
		return "", s.failExchange(ctx, op, err)
	}
	value := t.Token
	if value == "" {
		value = t.AccessToken
	}
	life := time.Duration(t.ExpiresIn) * time.Second
	if life <= 0 {
		life = defaultTokenLife
	}
	// A tenth is left unused: a token must not expire on its way.
	repo.keep(bearer{value: value, expires: began.Add(min(life, maxTokenLife) * 9 / 10)})
	return value, nil
}

func (s *session) failExchange(ctx context.Context, op operation, err error) error {
	var status *transport.Error
	var network *url.Error
	switch {
	case errors.As(err, &status):
		e := s.failStatus(op, answer{status: status.StatusCode})
		if status.StatusCode == http.StatusForbidden || status.StatusCode == http.StatusBadRequest {
			e.Kind = ErrAuthentication // what some services answer to a wrong password
		}
		e.Detail = "the token service refused"
		if len(status.Errors) > 0 {
			e.Detail = clean(secret.Redact(e.Detail+": "+status.Errors[0].Message, s.credential.Secrets()...))
		}
		return e
	case errors.As(err, &network), ctx.Err() != nil:
		return s.failNetwork(ctx, op, err)
	}
	// What is left has no type and may quote the token: an answer that is no JSON
	// or holds no token, or a realm the library refuses.
	return s.fail(op, ErrMalformed, 0, "the token service gave no token")
}

// heed remembers when a registry asks for a pause (RFC 9110, section 10.2.3), or
// says how many requests are left: RateLimit-Remaining: 12;w=21600 (Docker Hub),
// with RateLimit-Limit and, in the IETF draft, RateLimit-Reset in seconds.
func (s *session) heed(resp *http.Response) {
	now := s.client.opts.Now()
	left, isTold := leadingNumber(resp.Header.Get("RateLimit-Remaining"))
	limit, _ := leadingNumber(resp.Header.Get("RateLimit-Limit"))
	raw := resp.Header.Get("Retry-After")
	var pause time.Duration
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable && raw != "":
		pause = pauseOf(raw, now)
	case isTold && left == 0:
		pause = pauseOf(resp.Header.Get("RateLimit-Reset"), now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if isTold {
		s.isLow = left == 0 || left*10 < limit
	}
	if pause == 0 {
		return
	}
	// Up to a tenth more: who was sent away together must not come back together.
	pause += rand.N(pause/10 + 1) //nolint:gosec // only spreads load
	if until := now.Add(pause); until.After(s.blocked) {
		s.blocked = until
	}
}

// pauseOf reads a number of seconds or a date, within bounds; what is neither
// means defaultBackoff.
func pauseOf(raw string, now time.Time) time.Duration {
	pause := defaultBackoff
	if n, err := strconv.Atoi(strings.TrimSpace(raw)); err == nil && n >= 0 {
		pause = time.Duration(min(n, int(maxBackoff/time.Second))) * time.Second
	} else if at, err := http.ParseTime(raw); err == nil {
		pause = at.Sub(now)
	}
	return max(time.Second, min(pause, maxBackoff))
}

// leadingNumber reads the number that a rate limit header begins with.
func leadingNumber(header string) (int, bool) {
	digits, _, _ := strings.Cut(header, ";")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	return n, err == nil && n >= 0
}

// isRunningLow reports whether the registry said that few requests are left.
func (s *session) isRunningLow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isLow
}

// blockedUntil returns when the registry may be asked again, or the zero time.
func (s *session) blockedUntil() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client.opts.Now().Before(s.blocked) {
		return s.blocked
	}
	return time.Time{}
}

// diagnosis returns the first error of a registry's JSON error body ("OCI
// distribution specification", error codes), or "".
func diagnosis(body []byte) string {
	var e struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return strings.TrimSpace(e.Errors[0].Code + " " + e.Errors[0].Message)
}
