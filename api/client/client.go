package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits and times of the client.
const (
	// maxAnswerBytes is the largest JSON answer that is read.
	maxAnswerBytes = 64 << 20
	// defaultTimeout of one request, from its start to the end of the answer.
	// Above the 10 s that apply may wait for a Namespace.
	defaultTimeout = 30 * time.Second
)

// Options of New.
type Options struct {
	// Server is the base URL: https://waybill.example.com. http is accepted
	// for loopback addresses, and elsewhere with PlainHTTP.
	Server string
	// Token of a person; empty for calls that need none (Login, Version).
	Token string
	// HTTPClient does the requests; nil means one with default settings.
	// Redirects are never followed, whatever it says.
	HTTPClient *http.Client
	// UserAgent for the server's log; "waybill" when empty.
	UserAgent string
	// Timeout of one request, 30 s when zero. Watches have none.
	Timeout time.Duration
	// PlainHTTP sends the token over http to hosts that are not loopback.
	PlainHTTP bool
}

// Client speaks to one Waybill server. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	token     string
	http      *http.Client
	userAgent string
	timeout   time.Duration
}

// New returns a Client for opts.Server. It returns an error for a URL that is
// not http or https, names a user, or would send a token over plain http to
// another machine.
func New(opts Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(opts.Server, "/"))
	if err != nil {
		// url.Error quotes the input, which may hold a password.
		return nil, errors.New("server URL cannot be read; expected something like https://waybill.example.com")
	}
	switch {
	case base.User != nil:
		return nil, errors.New("server URL must not carry a user name or password; use waybill login")
	case base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		return nil, fmt.Errorf("server URL %q: expected http:// or https:// and a host", opts.Server)
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("server URL %q: expected no query and no fragment", base.Redacted())
	case base.Scheme == "http" && !opts.PlainHTTP && !isLoopback(base.Hostname()):
		return nil, fmt.Errorf("server URL %q: plain http would show your token to the network; use https", base.Redacted())
	}
	hc := http.Client{}
	if opts.HTTPClient != nil {
		hc = *opts.HTTPClient
	}
	hc.Timeout = 0 // every request has its own deadline; a watch has none
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &Client{base: base, token: opts.Token, http: &hc, userAgent: opts.UserAgent, timeout: opts.Timeout}
	if c.userAgent == "" {
		c.userAgent = "waybill"
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	return c, nil
}

// Server returns the base URL without a trailing slash.
func (c *Client) Server() string { return c.base.String() }

// WithToken returns a copy of the client that authenticates with token.
func (c *Client) WithToken(token string) *Client {
	d := *c
	d.token = token
	return &d
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// call is one request.
type call struct {
	method string
	path   []string // segments, not escaped
	query  url.Values
	body   any // encoded as JSON; nil for none
	header http.Header
	// once: the operation takes an Idempotency-Key, so that the call is sent a
	// second time when the connection broke, and yet makes one thing.
	once bool
}

// do sends the call and decodes the JSON answer into out (nil: ignored).
func (c *Client) do(ctx context.Context, k call, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if !k.once {
		return c.try(ctx, k, out)
	}
	k.header = http.Header{"Idempotency-Key": {rand.Text()}}
	err := c.try(ctx, k, out)
	if broke := (*UnreachableError)(nil); errors.As(err, &broke) && ctx.Err() == nil {
		return c.try(ctx, k, out)
	}
	return err
}

func (c *Client) try(ctx context.Context, k call, out any) error {
	resp, err := c.send(ctx, k, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return readProblem(resp)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return &UnreachableError{Server: c.base.Redacted(), Err: err}
	case len(data) > maxAnswerBytes:
		return fmt.Errorf("answer to %s %s is larger than %d bytes", k.method, resp.Request.URL.Path, maxAnswerBytes)
	case len(bytes.TrimSpace(data)) == 0:
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("answer to %s %s is not what this version of waybill expects (server %s): %w",
			k.method, resp.Request.URL.Path, resp.Header.Get("X-Waybill-Version"), err)
	}
	return nil
}

// send returns the answer with its body open. A transport failure becomes an
// UnreachableError, unless the context ended.
func (c *Client) send(ctx context.Context, k call, accept string) (*http.Response, error) {
	var body io.Reader
	if k.body != nil {
		data, err := json.Marshal(k.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	u := *c.base
	escaped := make([]string, len(k.path))
	for i, segment := range k.path {
		escaped[i] = url.PathEscape(segment)
	}
	u.Path = strings.TrimRight(c.base.Path, "/") + "/" + strings.Join(k.path, "/")
	u.RawPath = strings.TrimRight(c.base.EscapedPath(), "/") + "/" + strings.Join(escaped, "/")
	u.RawQuery = k.query.Encode()
	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	for name, values := range k.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", c.userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
			return nil, cause
		}
		return nil, &UnreachableError{Server: c.base.Redacted(), Err: withoutURL(err)}
	}
	return resp, nil
}

// withoutURL drops the *url.Error that repeats method and URL.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
