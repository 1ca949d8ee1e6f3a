package git_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/faultproxy"
	"github.com/waybill-dev/waybill/internal/secret"
)

// throughProxy puts a fault proxy between the mirrors and the server and
// returns the repository's URL through it.
func throughProxy(t *testing.T, r *rig, repo string) (*faultproxy.Proxy, string) {
	t.Helper()
	proxy, err := faultproxy.Start(r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy, "http://" + proxy.Addr() + "/" + repo + ".git"
}

// TestLostAnswer cuts the connection when the answer to the push comes back:
// the server has the commit, nobody was told, and doing it again makes no
// second one.
func TestLostAnswer(t *testing.T) {
	r := newRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	proxy, url := throughProxy(t, r, "app")
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	commit := write(t, m, main, "uid-1", []git.Edit{git.SetFile("a", []byte("2"))}, main)

	proxy.Set(faultproxy.Fault{After: []byte("POST /app.git/git-receive-pack"), Cut: true, Times: 1})
	err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit})
	if !errors.Is(err, git.ErrUnknownOutcome) || proxy.Acted() != 1 {
		t.Fatalf("acted %d, got %v", proxy.Acted(), err)
	}
	refs, err = m.Fetch(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	found, ok, err := m.FindTrailer(refs.Branches["main"], main, "Waybill-Promotion-UID", "uid-1", 100)
	if err != nil || !ok || found.Hash != commit {
		t.Fatalf("the commit is not found by its trailer: %v %v %v", found.Hash, ok, err)
	}
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}); err != nil {
		t.Errorf("the same push again: %v", err)
	}
	if got := len(r.server.Log("app", "main")); got != 2 {
		t.Errorf("%d commits, want 2", got)
	}
}

// TestLostRequest breaks the push before the server has read it.
func TestLostRequest(t *testing.T) {
	r := newRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	proxy, url := throughProxy(t, r, "app")
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	commit := write(t, m, main, "uid-1", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	proxy.Set(faultproxy.Fault{After: []byte("POST /app.git/git-receive-pack"), Blackhole: true, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the limit is what is tested
	defer cancel()
	err := m.Push(ctx, git.Update{Branch: "main", Old: main, New: commit})
	if !errors.Is(err, git.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	refs, err = m.Fetch(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := m.FindTrailer(refs.Branches["main"], main, "Waybill-Promotion-UID", "uid-1", 100); ok || err != nil {
		t.Errorf("found %v, %v: it was never received", ok, err)
	}
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}); err != nil {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	r := newRig(t, func(o *git.Options) { o.Limits.CallTimeout = 3 * time.Second }) // the limit is what is tested
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	proxy, url := throughProxy(t, r, "app")
	list := func(ctx context.Context) error {
		_, err := r.mirrors.LsRemote(ctx, remote(url))
		return err
	}
	for _, c := range []struct {
		why   string
		fault faultproxy.Fault
		want  string
	}{
		{"reset", faultproxy.Fault{Refuse: true}, ""},
		{"no answer", faultproxy.Fault{Blackhole: true}, "no answer in time"},
		{"answer cut", faultproxy.Fault{Cut: true, CutAfter: 250}, ""},
	} {
		proxy.Set(c.fault)
		err := list(t.Context())
		if !errors.Is(err, git.ErrUnreachable) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "read tcp") {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	proxy.Set(faultproxy.Fault{})
	if err := list(t.Context()); err != nil {
		t.Errorf("healed: %v", err)
	}
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	if err := list(t.Context()); !errors.Is(err, git.ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := list(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestRefusedByTheServer(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	commit := write(t, m, main, "x", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	answer := func(path string, status int, header http.Header) {
		r.server.Intercept(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if !strings.HasSuffix(req.URL.Path, path) {
					next.ServeHTTP(w, req)
					return
				}
				for k, v := range header {
					w.Header()[k] = v
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "<html>please sign in, "+gittest.Password+"</html>")
			})
		})
	}
	push := func() error { return m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}) }
	fetch := func() error { _, err := m.Fetch(t.Context(), "main"); return err }
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	for _, c := range []struct {
		why    string
		do     func() error
		path   string
		status int
		header http.Header
		want   error
	}{
		{"a login page", fetch, "/info/refs", 200, html, git.ErrNotGit},
		{"gone", fetch, "/info/refs", 410, nil, git.ErrNotFound},
		{"forbidden", fetch, "/info/refs", 403, nil, git.ErrAuthentication},
		{"busy", fetch, "/info/refs", 429, http.Header{"Retry-After": {"7"}}, git.ErrUnreachable},
		{"down", fetch, "/info/refs", 503, nil, git.ErrUnreachable},
		{"push: forbidden", push, "/git-receive-pack", 403, nil, git.ErrAuthentication},
		{"push: too large", push, "/git-receive-pack", 413, nil, git.ErrTooLarge},
		{"push: busy, so not done", push, "/git-receive-pack", 429, nil, git.ErrUnreachable},
		{"push: a proxy gave up, perhaps done", push, "/git-receive-pack", 504, nil, git.ErrUnknownOutcome},
		{"push: 200 that says nothing", push, "/git-receive-pack", 200, html, git.ErrUnknownOutcome},
	} {
		answer(c.path, c.status, c.header)
		err := c.do()
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "sign in") {
			t.Errorf("%s: got %v, want %v", c.why, err, c.want)
		}
		if c.status == 429 && c.header != nil {
			var e *git.Error
			if !errors.As(err, &e) || e.RetryAfter != 7*time.Second {
				t.Errorf("%s: Retry-After is lost in %#v", c.why, err)
			}
		}
	}
	r.server.Intercept(nil)
	if got := r.server.Branch("app", "main"); got != main.String() {
		t.Errorf("main is at %s", got)
	}
	if err := push(); err != nil {
		t.Errorf("recovered: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	base := strings.TrimSuffix(url, ".git")
	wrong := remote(url)
	wrong.Password = secret.New("wr0ng-password")
	tokenOnly := remote(url)
	tokenOnly.Username = ""
	missing := remote(r.server.URL("other"))
	for _, c := range []struct {
		why    string
		remote git.Remote
		want   error
		text   string
	}{
		{"wrong password", wrong, git.ErrAuthentication, "list branches of " + base + `: authentication failed: status 401, with credential "guestbook/git"`},
		{"no credentials", git.Remote{URL: url}, git.ErrAuthentication, "list branches of " + base + ": authentication failed: status 401, without credentials (no credential matches this URL)"},
		{"a user is always sent", tokenOnly, git.ErrAuthentication, ""},
		{"unknown repository", missing, git.ErrNotFound, ""},
	} {
		_, err := r.mirrors.LsRemote(t.Context(), c.remote)
		if !errors.Is(err, c.want) || c.text != "" && err.Error() != c.text {
			t.Errorf("%s:\ngot  %v\nwant %s", c.why, err, c.text)
		}
	}
	// A mirror filled with good credentials is not fetched with bad ones, and
	// works again with good ones.
	m, _ := r.fetched(url, "main")
	other, err := r.mirrors.Open(wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Fetch(t.Context(), "main"); !errors.Is(err, git.ErrAuthentication) {
		t.Errorf("fetch with a wrong password: %v", err)
	}
	if _, err := m.Fetch(t.Context(), "main"); err != nil {
		t.Error(err)
	}
	assertNotOnDisk(t, r.dir, gittest.Password)
}

// assertNotOnDisk fails when a file below dir holds the text.
func assertNotOnDisk(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRemotesAreChecked(t *testing.T) {
	r := newRig(t)
	tlsOnly, err := git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: http.DefaultTransport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tlsOnly.Close() })
	for _, c := range []struct {
		why, url string
		mirrors  *git.Mirrors
	}{
		{"user info", "https://bob:TOPSECRET@git.example.com/app", r.mirrors},
		{"user info that cannot be parsed", "http://bob:TOP%ZZSECRET@git.example.com/app", r.mirrors},
		{"plain HTTP without the flag", "http://git.example.com/app", tlsOnly},
		{"a local path", "/etc", r.mirrors},
		{"the file scheme", "file:///etc", r.mirrors},
		{"the git protocol", "git://git.example.com/app", r.mirrors},
		{"ssh", "ssh://git@git.example.com/app", r.mirrors},
		{"scp-like", "git@git.example.com:app", r.mirrors},
		{"a helper", "ext::sh -c date", r.mirrors},
		{"no path", "https://git.example.com", r.mirrors},
		{"no host", "https:///app", r.mirrors},
		{"a query", "https://git.example.com/app?x=y", r.mirrors},
		{"an option", "--upload-pack=date", r.mirrors},
		{"empty", "", r.mirrors},
	} {
		_, listErr := c.mirrors.LsRemote(t.Context(), git.Remote{URL: c.url})
		_, openErr := c.mirrors.Open(git.Remote{URL: c.url})
		for _, err := range []error{listErr, openErr} {
			if !errors.Is(err, git.ErrInvalidRemote) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: %v", c.why, err)
			}
		}
	}
}

func TestRedirects(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		stolen = append(stolen, req.Header.Get("Authorization"))
	}))
	defer thief.Close()
	redirect := func(path, to string, status int) {
		r.server.Intercept(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if strings.HasSuffix(req.URL.Path, path) && strings.HasPrefix(req.URL.Path, "/app.git") {
					http.Redirect(w, req, to+"?"+req.URL.RawQuery, status)
					return
				}
				next.ServeHTTP(w, req)
			})
		})
	}
	redirect("/info/refs", thief.URL+"/app.git/info/refs", http.StatusMovedPermanently)
	_, err := r.mirrors.LsRemote(t.Context(), remote(url))
	if !errors.Is(err, git.ErrRedirected) || !strings.HasSuffix(err.Error(), "to "+thief.URL) {
		t.Errorf("to another host: %v", err)
	}
	if len(stolen) != 0 {
		t.Errorf("the other host was asked, with Authorization %q", stolen)
	}
	// Within the host a listing may move, and the packs move with it.
	r.server.CreateRepo("renamed", map[string]string{"b": "2"})
	redirect("/info/refs", "/renamed.git/info/refs", http.StatusMovedPermanently)
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	commit := write(t, m, main, "x", []git.Edit{git.SetFile("b", []byte("3"))}, main)
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}); err != nil {
		t.Fatal(err)
	}
	if got := r.server.Show("renamed", "main:b"); got != "3" {
		t.Errorf("b is %q", got)
	}
	// A pack never follows a redirect.
	redirect("/git-receive-pack", "/renamed.git/git-receive-pack", http.StatusTemporaryRedirect)
	head := hash(t, r.server.Branch("app", "main"))
	if _, err := m.Fetch(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	next := write(t, m, head, "y", []git.Edit{git.SetFile("a", []byte("3"))}, head)
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: head, New: next}); !errors.Is(err, git.ErrRedirected) {
		t.Errorf("redirected push: %v", err)
	}
}

func TestCABundle(t *testing.T) {
	r := newRig(t, func(o *git.Options) {
		o.TransportWithCA = func(bundle []byte) (http.RoundTripper, error) {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(bundle) {
				return nil, errors.New("no certificate")
			}
			transport := http.DefaultTransport.(*http.Transport).Clone()
			transport.TLSClientConfig.RootCAs = pool
			return transport, nil
		}
	})
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	target, err := url.Parse("http://" + r.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		out := req.Clone(req.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = target.Scheme, target.Host, ""
		res, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, "bad gateway", http.StatusBadGateway)
			return
		}
		defer func() { _ = res.Body.Close() }()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	defer front.Close()
	to := remote(front.URL + "/app.git")
	_, err = r.mirrors.LsRemote(t.Context(), to)
	if !errors.Is(err, git.ErrUnreachable) || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the bundle: %v", err)
	}
	to.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if _, err := r.mirrors.LsRemote(t.Context(), to); err != nil {
		t.Errorf("with the bundle: %v", err)
	}
	to.CABundle = []byte("nonsense")
	if _, err := r.mirrors.LsRemote(t.Context(), to); !errors.Is(err, git.ErrInvalidRemote) {
		t.Errorf("with nonsense: %v", err)
	}
}

func TestFailpoints(t *testing.T) {
	points, err := failpoint.Parse(git.FailBeforePush+"=error@1,"+git.FailAfterPush+"=error@1", git.Failpoints())
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *git.Options) { o.Failpoints = points })
	url := r.server.CreateRepo("app", map[string]string{"a": "1"})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	commit := write(t, m, main, "x", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	push := func() error { return m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}) }
	if err := push(); !errors.Is(err, failpoint.ErrInjected) || r.server.Branch("app", "main") != main.String() {
		t.Errorf("before the push: %v", err)
	}
	if err := push(); !errors.Is(err, git.ErrUnknownOutcome) || r.server.Branch("app", "main") != commit.String() {
		t.Errorf("after the push: %v", err)
	}
	if err := push(); err != nil {
		t.Error(err)
	}
}
