package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
)

const (
	defaultConcurrency    = 8
	defaultRequestTimeout = 30 * time.Second
	defaultPollTimeout    = 2 * time.Minute
	defaultRecheck        = time.Hour

	// maxSessions and maxRepositories bound what is remembered of the past; the
	// least recently used goes first.
	maxSessions     = 1000
	maxRepositories = 2000
)

// Options configure a Client.
type Options struct {
	// Transport is the guarded one. Required. It must permit plain http where
	// PlainHTTPHosts and AllowLoopbackHTTP here want to use it.
	Transport *outbound.Transport
	// Now is the clock. Required.
	Now func() time.Time
	// CacheDir keeps what was resolved over restarts; it is made if missing and
	// belongs to one process at a time. Empty: memory only.
	CacheDir string
	// AllowLoopbackHTTP speaks plain http to registries on this machine.
	AllowLoopbackHTTP bool
	// PlainHTTPHosts are spoken to by plain http: "host" or "host:port".
	PlainHTTPHosts []string
	// TrustedRealms allows token services on other domains, by registry host.
	TrustedRealms map[string][]string
	// Concurrency is the most requests to one registry at a time; 8 when 0. It
	// falls by itself while the registry says that it is too much.
	Concurrency int
	// RecheckInterval is how often 25 of the tags of a repository that were
	// looked up once are asked for again, in case they were moved. An hour when 0.
	RecheckInterval time.Duration
	// RequestTimeout covers one request with its body and is 30 s when 0;
	// PollTimeout covers one Poll and is 2 minutes when 0.
	RequestTimeout, PollTimeout time.Duration
}

// Client asks registries. It is safe for concurrent use; share one.
type Client struct {
	opts    Options
	cache   *cache
	metrics *metrics

	mu       sync.Mutex // guards what follows
	sessions map[sessionKey]*session
	gates    map[string]*gate // by registry host
}

// Repository says which repository to ask, and as whom.
type Repository struct {
	// URL is an image name without tag or digest: registry.example.com/team/app.
	URL string
	// Credential is the zero value for anonymous access.
	Credential credentials.Credential
	// InsecureSkipTLSVerify accepts any certificate of the registry.
	InsecureSkipTLSVerify bool
}

// sessionKey separates what must not share tokens, connections or listings.
type sessionKey struct {
	host, scheme string
	credential   [sha256.Size]byte
	isInsecure   bool
}

// New returns a Client. Close it to close its cache.
func New(opts Options) (*Client, error) {
	if opts.Transport == nil || opts.Now == nil {
		return nil, errors.New("registry client: Options.Transport and Options.Now are required")
	}
	if opts.Concurrency < 0 || opts.RecheckInterval < 0 || opts.RequestTimeout < 0 || opts.PollTimeout < 0 {
		return nil, errors.New("registry client: limits must not be negative")
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = defaultConcurrency
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = defaultRequestTimeout
	}
	if opts.PollTimeout == 0 {
		opts.PollTimeout = defaultPollTimeout
	}
	if opts.RecheckInterval == 0 {
		opts.RecheckInterval = defaultRecheck
	}
	realms := map[string][]string{}
	for k, v := range opts.TrustedRealms {
		for _, r := range v {
			realms[strings.ToLower(k)] = append(realms[strings.ToLower(k)], strings.ToLower(r))
		}
	}
	opts.TrustedRealms = realms
	c, err := openCache(opts.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("registry client: %w", err)
	}
	return &Client{opts: opts, cache: c, metrics: newMetrics(), sessions: map[sessionKey]*session{}, gates: map[string]*gate{}}, nil
}

// Close closes the cache. The Transport stays the caller's.
func (c *Client) Close() error { return c.cache.close() }

// open returns the session and the repository of r.
func (c *Client) open(verb string, r Repository) (*session, *repository, error) {
	parsed, err := name.NewRepository(r.URL)
	if err != nil || strings.Contains(r.URL, "://") || hasOddSegment(parsed.RepositoryStr()) || !isHost(parsed.RegistryStr()) {
		return nil, nil, &Error{Kind: ErrInvalid, Op: verb, Repository: r.URL, Detail: "it is not an image name such as registry.example.com/team/app"}
	}
	key := sessionKey{
		host: strings.ToLower(parsed.RegistryStr()), credential: r.Credential.Fingerprint(), isInsecure: r.InsecureSkipTLSVerify,
	}
	key.scheme = c.scheme(key.host, r)
	return c.session(verb, key, r, parsed.RepositoryStr())
}

// session returns the session of key and the repository at path.
func (c *Client) session(verb string, key sessionKey, r Repository, path string) (*session, *repository, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[key]
	if !ok {
		var err error
		if s, err = c.newSession(key, r); err != nil {
			return nil, nil, &Error{Kind: ErrInvalid, Op: verb, Repository: r.URL, Credential: r.Credential.String(), Detail: clean(err.Error())}
		}
		evictOldest(c.sessions, maxSessions, func(s *session) time.Time { return s.lastUsed })
		c.sessions[key] = s
	}
	s.lastUsed = c.opts.Now()
	return s, s.repository(path, s.lastUsed), nil
}

// isHost reports whether a URL can be made of host that leads there.
func isHost(host string) bool {
	u, err := url.Parse("https://" + host + "/v2/")
	return err == nil && u.Host == host && u.Path == "/v2/" && utf8.ValidString(host)
}

// hasOddSegment reports whether path, put into a URL, would lead elsewhere.
func hasOddSegment(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." || s == ".." })
}

// scheme is https unless plain http was allowed for that host; a CA certificate
// in the credential means https in any case.
func (c *Client) scheme(host string, r Repository) string {
	if len(r.Credential.CACert) > 0 || r.InsecureSkipTLSVerify {
		return "https"
	}
	hostname := (&url.URL{Host: host}).Hostname()
	if slices.Contains(c.opts.PlainHTTPHosts, host) || slices.Contains(c.opts.PlainHTTPHosts, hostname) ||
		c.opts.AllowLoopbackHTTP && outbound.IsLoopbackName(hostname) {
		return "http"
	}
	return "https"
}

// newSession is called with c.mu held.
func (c *Client) newSession(key sessionKey, r Repository) (*session, error) {
	transport, err := c.opts.Transport.Trusting(outbound.Trust{CABundle: r.Credential.CACert, InsecureSkipVerify: r.InsecureSkipTLSVerify})
	if err != nil {
		return nil, err
	}
	g, ok := c.gates[key.host]
	if !ok {
		g = newGate(c.opts.Concurrency)
		c.gates[key.host] = g
	}
	s := &session{
		client: c, host: key.host, scheme: key.scheme, credential: r.Credential, gate: g,
		authTurn: make(chan struct{}, 1), repositories: map[string]*repository{},
	}
	s.transport = observer{session: s, next: transport}
	s.home = &http.Client{Transport: s.transport}
	s.anywhere = &http.Client{Transport: observer{session: s, next: transport.AcrossHosts()}}
	return s, nil
}

// evictOldest removes the least recently used entry when m is full.
func evictOldest[K comparable, V any](m map[K]V, limit int, lastUsed func(V) time.Time) {
	if len(m) < limit {
		return
	}
	var oldest K
	var at time.Time
	isFirst := true
	for k, v := range m {
		if t := lastUsed(v); isFirst || t.Before(at) {
			oldest, at, isFirst = k, t, false
		}
	}
	delete(m, oldest)
}

// requestCounter counts the requests made under one context.
type requestCounter struct {
	mu sync.Mutex
	n  int
}

func (c *requestCounter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *requestCounter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

type counterKey struct{}

func withCounter(ctx context.Context) (context.Context, *requestCounter) {
	c := &requestCounter{}
	return context.WithValue(ctx, counterKey{}, c), c
}

// Count returns a context under which the requests of File are counted.
func Count(ctx context.Context) (counted context.Context, total func() int) {
	ctx, c := withCounter(ctx)
	return ctx, c.total
}

// observer counts requests and hears what the registry says about its limits,
// also where a library makes the request.
type observer struct {
	session *session
	next    http.RoundTripper
}

func (o observer) RoundTrip(req *http.Request) (*http.Response, error) {
	if c, ok := req.Context().Value(counterKey{}).(*requestCounter); ok {
		c.add()
	}
	resp, err := o.next.RoundTrip(req)
	code := 0
	if err == nil {
		code = resp.StatusCode
		o.session.heed(resp)
	}
	o.session.client.metrics.request(o.session.host, req, code)
	return resp, err
}
