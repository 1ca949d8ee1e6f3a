package outbound_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/outbound"
)

func newTransport(t *testing.T, p outbound.Policy) *outbound.Transport {
	t.Helper()
	tr, err := outbound.New(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func get(t *testing.T, rt http.RoundTripper, address string, header ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := outbound.ReadAll(resp.Body, 1<<10)
	return string(b), err
}

// serve starts an HTTP server on 127.0.0.1 that counts its requests.
func serve(t *testing.T, h http.HandlerFunc) (s *httptest.Server, requests func() int) {
	t.Helper()
	n := make(chan int, 1)
	n <- 0
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n <- <-n + 1
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s, func() int { c := <-n; n <- c; return c }
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }

func TestAddressRules(t *testing.T) {
	s, requests := serve(t, ok)
	addr := netip.MustParseAddrPort(s.Listener.Addr().String())
	byName := "http://localhost:" + fmt.Sprint(addr.Port())
	for _, c := range []struct {
		why    string
		policy outbound.Policy
		url    string
		want   error
	}{
		{"loopback is refused by default", outbound.Policy{AllowPlainHTTP: true}, s.URL, outbound.ErrForbiddenAddress},
		{"a name is judged by what it resolves to", outbound.Policy{AllowPlainHTTP: true}, byName, outbound.ErrForbiddenAddress},
		{"an allowed host name does not open loopback", outbound.Policy{AllowPlainHTTP: true, AllowHosts: []string{"localhost"}}, byName, outbound.ErrForbiddenAddress},
		{"local mode allows it", outbound.Policy{AllowLoopback: true}, s.URL, nil},
		{"local mode by name", outbound.Policy{AllowLoopback: true}, byName, nil},
		{"our own API is refused even then", outbound.Policy{AllowLoopback: true, DenyAddrs: []netip.AddrPort{addr}}, s.URL, outbound.ErrForbiddenAddress},
		{"our own API by another name", outbound.Policy{AllowLoopback: true, DenyAddrs: []netip.AddrPort{addr}}, byName, outbound.ErrForbiddenAddress},
		{"our own API listens on ::1, the port is asked on 127.0.0.1", outbound.Policy{AllowLoopback: true, DenyAddrs: []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())}}, s.URL, outbound.ErrForbiddenAddress},
		{"another port of the same address is not our API", outbound.Policy{AllowLoopback: true, DenyAddrs: []netip.AddrPort{netip.AddrPortFrom(addr.Addr(), 1)}}, s.URL, nil},
		{"every port of an address", outbound.Policy{AllowLoopback: true, DenyAddrs: []netip.AddrPort{netip.AddrPortFrom(addr.Addr(), 0)}}, s.URL, outbound.ErrForbiddenAddress},
		{"mapped spelling", outbound.Policy{AllowPlainHTTP: true}, "http://[::ffff:127.0.0.1]:" + fmt.Sprint(addr.Port()), outbound.ErrForbiddenAddress},
		{"metadata", outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true}, "http://169.254.169.254/latest/meta-data", outbound.ErrForbiddenAddress},
		{"metadata through NAT64", outbound.Policy{AllowPlainHTTP: true}, "http://[64:ff9b::a9fe:a9fe]/", outbound.ErrForbiddenAddress},
		{"unspecified reaches this machine", outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true}, "http://0.0.0.0:" + fmt.Sprint(addr.Port()), outbound.ErrForbiddenAddress},
		{"private, by the switch for typed addresses", outbound.Policy{AllowPlainHTTP: true, RefusePrivate: true}, "http://10.255.255.1:9/", outbound.ErrForbiddenAddress},
		{"plain http needs a permission", outbound.Policy{}, "http://registry.example/", outbound.ErrPlainHTTP},
		{"plain http to one host only", outbound.Policy{PlainHTTPHosts: []string{"other.example"}}, "http://registry.example/", outbound.ErrPlainHTTP},
	} {
		before := requests()
		body, err := get(t, newTransport(t, c.policy), c.url)
		if c.want == nil {
			if err != nil || body != "ok" {
				t.Errorf("%s: got %q, %v", c.why, body, err)
			}
			continue
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.why, err, c.want)
		}
		if requests() != before {
			t.Errorf("%s: the request was sent", c.why)
		}
	}
}

func TestUserInformationIsRefusedWithoutRepeatingIt(t *testing.T) {
	tr := newTransport(t, outbound.Policy{AllowLoopback: true})
	req, err := http.NewRequest(http.MethodGet, "http://bob:hunter22@127.0.0.1:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.RoundTrip(req)
	if !errors.Is(err, outbound.ErrForbiddenURL) || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("got %v", err)
	}
	req.URL = &url.URL{Scheme: "ftp", Host: "x"}
	if _, err = tr.RoundTrip(req); !errors.Is(err, outbound.ErrForbiddenURL) {
		t.Errorf("ftp: got %v", err)
	}
}

func TestRedirectsStayOnTheirHost(t *testing.T) {
	other, otherRequests := serve(t, ok)
	hops := 0
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/loop":
			hops++
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/via":
			http.Redirect(w, r, "/away", http.StatusFound)
		default:
			fmt.Fprint(w, r.Header.Get("Authorization"))
		}
	})
	tr := newTransport(t, outbound.Policy{AllowLoopback: true, MaxRedirects: 3})
	if body, err := get(t, tr, s.URL+"/here", "Authorization", "Bearer x"); err != nil || body != "Bearer x" {
		t.Errorf("same host: got %q, %v", body, err)
	}
	for _, rt := range map[string]http.RoundTripper{"plain": tr, "across hosts, which is for https only": tr.AcrossHosts()} {
		for _, path := range []string{"/away", "/via"} {
			if _, err := get(t, rt, s.URL+path); !errors.Is(err, outbound.ErrForbiddenRedirect) {
				t.Errorf("%s: got %v", path, err)
			}
		}
	}
	if otherRequests() != 0 {
		t.Error("the other host was asked")
	}
	if _, err := get(t, tr, s.URL+"/loop"); !errors.Is(err, outbound.ErrForbiddenRedirect) || hops != 4 {
		t.Errorf("loop: %d requests, %v", hops, err)
	}
	// A library with its own client and only the inner transport keeps the rule.
	inner := tr.HTTPTransport()
	t.Cleanup(inner.CloseIdleConnections)
	resp, err := (&http.Client{Transport: inner, CheckRedirect: tr.CheckRedirect}).Get(s.URL + "/away")
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, outbound.ErrForbiddenRedirect) {
		t.Errorf("CheckRedirect: got %v", err)
	}
}

func TestCredentialsAndDowngrades(t *testing.T) {
	var got http.Header
	blobs := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		ok(w, r)
	}))
	t.Cleanup(blobs.Close)
	plain, _ := serve(t, ok)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := blobs.URL
		if r.URL.Path == "/down" {
			to = plain.URL
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})

	tr := newTransport(t, outbound.Policy{AllowLoopback: true})
	if _, err := get(t, tr, s.URL); err == nil {
		t.Error("a certificate nobody vouches for was accepted")
	}
	trusting, err := tr.Trusting(outbound.Trust{CABundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, trusting, s.URL); !errors.Is(err, outbound.ErrForbiddenRedirect) {
		t.Errorf("another port is another host: got %v", err)
	}
	// http.Client keeps Authorization here, because the host name is the same:
	// only the transport takes it off.
	body, err := get(t, trusting.AcrossHosts(), s.URL, "Authorization", "Bearer secret-token", "Cookie", "a=b")
	if err != nil || body != "ok" {
		t.Fatalf("across hosts: got %q, %v", body, err)
	}
	if got.Get("Authorization") != "" || got.Get("Cookie") != "" {
		t.Errorf("credentials went along: %v", got)
	}
	if _, err := get(t, trusting.AcrossHosts(), s.URL+"/down"); !errors.Is(err, outbound.ErrForbiddenRedirect) {
		t.Errorf("https to http: got %v", err)
	}
	if _, err := tr.Trusting(outbound.Trust{CABundle: []byte("nothing")}); err == nil {
		t.Error("a bundle without a certificate was accepted")
	}
	insecure, err := tr.Trusting(outbound.Trust{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, insecure, s.URL); !errors.Is(err, outbound.ErrForbiddenRedirect) {
		t.Errorf("skip verify: got %v", err)
	}
	if _, err := get(t, insecure.AcrossHosts(), s.URL); err == nil {
		t.Error("skipping verification for one host was extended to where it redirects")
	}
}

func TestSilentServerMeetsTheHeaderTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	tr := newTransport(t, outbound.Policy{AllowLoopback: true, HeaderTimeout: 50 * time.Millisecond}) // the limit is what is tested
	var timeout net.Error
	if _, err := get(t, tr, "http://"+l.Addr().String()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v", err)
	}
	_ = (<-accepted).Close()
}

func TestBodyLimits(t *testing.T) {
	for _, c := range []struct {
		size, max int
		fits      bool
	}{{0, 0, true}, {9, 10, true}, {10, 10, true}, {11, 10, false}, {100_000, 10, false}} {
		content := strings.Repeat("x", c.size)
		got, err := outbound.ReadAll(strings.NewReader(content), int64(c.max))
		if fits := err == nil && string(got) == content; fits != c.fits || !fits && !errors.Is(err, outbound.ErrTooLarge) {
			t.Errorf("ReadAll of %d with %d: %d bytes, %v", c.size, c.max, len(got), err)
		}
		for _, declared := range []int64{-1, int64(c.size)} {
			resp := &http.Response{Body: io.NopCloser(strings.NewReader(content)), ContentLength: declared}
			outbound.LimitBody(resp, int64(c.max))
			got, err := io.ReadAll(resp.Body)
			if fits := err == nil && string(got) == content; fits != c.fits || len(got) > c.max || !fits && !errors.Is(err, outbound.ErrTooLarge) {
				t.Errorf("LimitBody of %d (declared %d) with %d: %d bytes, %v", c.size, declared, c.max, len(got), err)
			}
		}
	}
}

func TestPolicyIsChecked(t *testing.T) {
	for _, p := range []outbound.Policy{{MaxRedirects: -1}, {HeaderTimeout: -1}, {DenyAddrs: []netip.AddrPort{{}}}} {
		if _, err := outbound.New(p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
	if outbound.IsLoopbackName("localhost.example") || !outbound.IsLoopbackName("a.localhost") || !outbound.IsLoopbackName("127.3.0.1") || !outbound.IsLoopbackName("[::1]") {
		t.Error("IsLoopbackName")
	}
}
