package outbound

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxVariants bounds the transports kept for different trust settings; each
	// holds its own idle connections.
	maxVariants = 64
	// maxHeaderBytes bounds the headers of one response.
	maxHeaderBytes = 256 << 10
)

// Transport is an http.RoundTripper that obeys a Policy. It is safe for
// concurrent use; make it once with New and share it.
type Transport struct {
	policy  Policy
	home    *http.Transport // for the host that was asked for
	foreign *http.Transport // for another host that a redirect named: private addresses refused

	variants *variants
	// crossHost permits https redirects to other hosts, without credentials.
	crossHost bool
}

// Trust says which certificates a server may show.
type Trust struct {
	// CABundle is PEM, trusted in addition to the system's; empty for none.
	CABundle []byte
	// InsecureSkipVerify accepts any certificate. Only a person's explicit
	// setting on one repository may set it.
	InsecureSkipVerify bool
}

// New returns a Transport for policy, or an error that names a wrong field.
func New(policy Policy) (*Transport, error) {
	if err := policy.normalize(); err != nil {
		return nil, err
	}
	t := &Transport{policy: policy, variants: &variants{byKey: map[[sha256.Size]byte]*list.Element{}}}
	t.home = t.build(nil, false)
	t.foreign = t.build(nil, true)
	return t, nil
}

func (t *Transport) build(tlsConfig *tls.Config, isForeign bool) *http.Transport {
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &http.Transport{
		// No Proxy: behind a proxy the connected address is the proxy's, and the
		// rules about addresses would judge the wrong one.
		DialContext:            t.dial(isForeign),
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    t.policy.ConnectTimeout,
		ResponseHeaderTimeout:  t.policy.HeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
	}
}

// dial returns a DialContext whose connections are judged by their address after
// name resolution, before the first packet.
func (t *Transport) dial(isForeign bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial %q: %w", address, err)
		}
		// Go tries every address of a name and reports only the first failure, so
		// a refusal is kept here: it explains more than "connection refused".
		var mu sync.Mutex
		var refused error
		d := net.Dialer{
			Timeout:   t.policy.ConnectTimeout,
			KeepAlive: 30 * time.Second,
			Control: func(network, resolved string, _ syscall.RawConn) error {
				err := t.control(host, network, resolved, isForeign)
				if err != nil {
					mu.Lock()
					refused = err
					mu.Unlock()
				}
				return err
			},
		}
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			if refused != nil {
				return nil, refused
			}
			return nil, err
		}
		return conn, nil
	}
}

func (t *Transport) control(host, network, resolved string, isForeign bool) error {
	if !strings.HasPrefix(network, "tcp") {
		return fmt.Errorf("dial %q: network %q is not allowed", host, network)
	}
	to, err := netip.ParseAddrPort(resolved)
	if err != nil {
		return &AddressError{Host: host, Why: "not an IP address"}
	}
	return t.policy.check(host, to, isForeign)
}

// RoundTrip sends req when the Policy allows it. A redirected request (its
// Response field is set by http.Client) is judged against the one before.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	isForeign, err := t.judge(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if isForeign {
		req = withoutCredentials(req)
		return t.foreign.RoundTrip(req)
	}
	return t.home.RoundTrip(req)
}

// judge reports whether req goes to another host than its chain began with.
func (t *Transport) judge(req *http.Request) (isForeign bool, err error) {
	u := req.URL
	if u == nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return false, fmt.Errorf("%w: only http and https with a host", ErrForbiddenURL)
	}
	if u.User != nil {
		return false, fmt.Errorf("%w: user information in the URL of %q", ErrForbiddenURL, u.Host)
	}
	hops := 0
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		hops++
		if hops > t.policy.MaxRedirects {
			return false, fmt.Errorf("%w: more than %d", ErrForbiddenRedirect, t.policy.MaxRedirects)
		}
		from := r.Response.Request.URL
		if from.Scheme == "https" && r.URL.Scheme == "http" {
			return false, fmt.Errorf("%w: from https to http at %q", ErrForbiddenRedirect, r.URL.Host)
		}
		if !isSameHost(from, r.URL) {
			if !t.crossHost || r.URL.Scheme != "https" || req.Method != http.MethodGet && req.Method != http.MethodHead {
				return false, fmt.Errorf("%w: from %q to another host, %q", ErrForbiddenRedirect, from.Host, r.URL.Host)
			}
			isForeign = true
		}
	}
	if u.Scheme == "http" && !t.policy.plainHTTPAllowed(u.Host) {
		return false, fmt.Errorf("%w for %q", ErrPlainHTTP, u.Host)
	}
	return isForeign, nil
}

// isSameHost reports whether to is the same place as from: same name and port,
// or the same name on the default ports when http became https.
func isSameHost(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == "http" && to.Scheme == "https" {
		return port(from) == port(to) || port(from) == "80" && port(to) == "443"
	}
	return port(from) == port(to)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

func withoutCredentials(req *http.Request) *http.Request {
	req = req.Clone(req.Context())
	for _, h := range []string{"Authorization", "Proxy-Authorization", "Cookie", "Private-Token"} {
		req.Header.Del(h)
	}
	return req
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // RoundTrip must close it, also on errors; there is nothing to do about a failure
	}
}

// AcrossHosts returns a Transport with the same connections that follows https
// redirects of GET and HEAD to other hosts, without credentials and only to
// public addresses or AllowHosts. It is for content that is verified by its
// digest: registries send blobs from elsewhere.
func (t *Transport) AcrossHosts() *Transport {
	c := *t
	c.crossHost = true
	return &c
}

// Trusting returns a Transport with the same Policy for servers that need their
// own trust. Equal trust gives the same connections. It returns an error when
// the bundle holds no certificate.
func (t *Transport) Trusting(trust Trust) (*Transport, error) {
	if len(trust.CABundle) == 0 && !trust.InsecureSkipVerify {
		return t, nil
	}
	h := sha256.New()
	fmt.Fprintf(h, "%t\n", trust.InsecureSkipVerify)
	h.Write(trust.CABundle)
	key := [sha256.Size]byte(h.Sum(nil))
	v, err := t.variants.get(key, func() (*variant, error) {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // no system roots in this image: the bundle alone then
		}
		if len(trust.CABundle) > 0 && !pool.AppendCertsFromPEM(trust.CABundle) {
			return nil, errors.New("the CA bundle holds no PEM certificate")
		}
		home := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, InsecureSkipVerify: trust.InsecureSkipVerify} //nolint:gosec // a person asked for it on this repository
		foreign := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
		return &variant{key: key, home: t.build(home, false), foreign: t.build(foreign, true)}, nil
	})
	if err != nil {
		return nil, err
	}
	c := *t
	c.home, c.foreign = v.home, v.foreign
	return &c, nil
}

// DialContext connects by TCP under the Policy's rules for addresses, for
// protocols other than http: the address is judged after name resolution,
// before the first packet.
func (t *Transport) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return t.dial(false)(ctx, network, address)
}

// HTTPTransport returns a *http.Transport with the same guarded connections for
// a library that insists on the type. The rules about redirects, plain http and
// URLs are not in it: the caller must set CheckRedirect to CheckRedirect.
func (t *Transport) HTTPTransport() *http.Transport { return t.home.Clone() }

// CheckRedirect is an http.Client.CheckRedirect with the rules of RoundTrip.
func (t *Transport) CheckRedirect(req *http.Request, _ []*http.Request) error {
	_, err := t.judge(req)
	return err
}

// CloseIdleConnections closes what is idle, for a clean stop.
func (t *Transport) CloseIdleConnections() {
	t.home.CloseIdleConnections()
	t.foreign.CloseIdleConnections()
	t.variants.closeIdle()
}

// variants keeps the transports for different trust, least recently used first
// out.
type variants struct {
	mu    sync.Mutex // guards byKey and order
	byKey map[[sha256.Size]byte]*list.Element
	order list.List // front is the newest; values are *variant
}

type variant struct {
	key           [sha256.Size]byte
	home, foreign *http.Transport
}

func (vs *variants) get(key [sha256.Size]byte, build func() (*variant, error)) (*variant, error) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if e, ok := vs.byKey[key]; ok {
		vs.order.MoveToFront(e)
		return e.Value.(*variant), nil
	}
	v, err := build()
	if err != nil {
		return nil, err
	}
	vs.byKey[key] = vs.order.PushFront(v)
	if vs.order.Len() > maxVariants {
		old := vs.order.Remove(vs.order.Back()).(*variant)
		delete(vs.byKey, old.key)
		old.home.CloseIdleConnections()
		old.foreign.CloseIdleConnections()
	}
	return v, nil
}

func (vs *variants) closeIdle() {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for e := vs.order.Front(); e != nil; e = e.Next() {
		v := e.Value.(*variant)
		v.home.CloseIdleConnections()
		v.foreign.CloseIdleConnections()
	}
}
