package registry_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// What one account may read is not told to another.
func TestCacheIsNoWayAroundAccess(t *testing.T) {
	r := registrytest.New(t)
	want := r.Push("private/app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("private/app"), Credential: account(t, r)}
	if a, err := client.Resolve(t.Context(), repo, "1.0.0", registry.Want{}); err != nil || a.Digest != want {
		t.Fatal(a, err)
	}
	for _, c := range []credentials.Credential{{}, account(t, r, "wrong")} {
		repo.Credential = c
		if a, err := client.Resolve(t.Context(), repo, "1.0.0", registry.Want{}); !errors.Is(err, registry.ErrAuthentication) {
			t.Errorf("%s: got %+v, %v", c, a, err)
		}
	}
}

// The registry names the token service. A credential goes there only when it is
// the registry's own.
func TestCredentialsStayWithTheRegistry(t *testing.T) {
	var seen []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"token":"x"}`)
	}))
	t.Cleanup(thief.Close)
	r := registrytest.New(t)
	for _, realm := range []string{thief.URL + "/token", "ftp://" + r.Host() + "/token", "http://user:pw@" + r.Host() + "/token", "//nowhere", "http://[::1"} {
		r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
			return &demoregistry.Fault{Status: 401, Header: http.Header{"Www-Authenticate": {fmt.Sprintf(`Bearer realm=%q,service="s"`, realm)}}}
		})
		_, err := newClient(t).Tags(t.Context(), registry.Repository{URL: r.Name("app"), Credential: account(t, r)}, time.Time{})
		if !errors.Is(err, registry.ErrRefused) {
			t.Errorf("%s: %v", realm, err)
		}
	}
	if len(seen) != 0 {
		t.Errorf("sent: %q", seen)
	}
}

func TestWhereConnectionsMayGo(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	strict, err := outbound.New(outbound.Policy{AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why    string
		change func(*registry.Options)
		url    string
		want   error
		say    string
	}{
		{"loopback without local mode", func(o *registry.Options) { o.Transport = strict }, r.Name("app"), registry.ErrRefused, "loopback"},
		{"plain http without a permission", func(o *registry.Options) { o.AllowLoopbackHTTP = false }, r.Name("app"), registry.ErrUnreachable, "plain http where https is required"},
		{"metadata", func(*registry.Options) {}, "169.254.169.254/app", registry.ErrRefused, "metadata"},
		{"nobody listens", func(*registry.Options) {}, "127.0.0.1:1/app", registry.ErrUnreachable, "connection refused"},
		{"a scheme", func(*registry.Options) {}, "http://" + r.Name("app"), registry.ErrInvalid, "not an image name"},
		{"a tag", func(*registry.Options) {}, r.Name("app:1.0"), registry.ErrInvalid, "not an image name"},
		{"a way out of the path", func(*registry.Options) {}, r.Name("../../admin"), registry.ErrInvalid, "not an image name"},
		{"a doubled slash", func(*registry.Options) {}, r.Name("a//b"), registry.ErrInvalid, "not an image name"},
	} {
		_, err := newClient(t, c.change).Tags(t.Context(), registry.Repository{URL: c.url}, time.Time{})
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.say) {
			t.Errorf("%s: got %v", c.why, err)
		}
	}
}

// A registry behind TLS with its own authority, whose blobs live on another host.
func TestOwnAuthorityAndBlobsElsewhere(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthBasic })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{Created: built, WithoutAnnotation: true})
	var mu sync.Mutex
	var leaked []string
	blobs := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		if h := req.Header.Get("Authorization"); h != "" {
			leaked = append(leaked, h)
		}
		mu.Unlock()
		req.SetBasicAuth(registrytest.Username, registrytest.Password) // the test registry's, not the client's
		r.ServeHTTP(w, req)
	}))
	t.Cleanup(blobs.Close)
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/") {
			http.Redirect(w, req, blobs.URL+req.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		r.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	host := strings.TrimPrefix(front.URL, "https://")
	credential := account(t, r)
	repo := registry.Repository{URL: host + "/app", Credential: credential}
	noHTTP := func(o *registry.Options) { o.AllowLoopbackHTTP = false }
	if _, err := newClient(t, noHTTP).Tags(t.Context(), repo, time.Time{}); !errors.Is(err, registry.ErrUnreachable) || !strings.Contains(err.Error(), "caCert") {
		t.Errorf("unknown authority: %v", err)
	}
	repo.Credential.CACert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	// A CA certificate means https, also where plain http would be allowed.
	a, err := newClient(t).Resolve(t.Context(), repo, "1.0.0", registry.Want{Created: true, Platforms: true})
	if err != nil || !a.Created.Equal(built) || len(a.Platforms) != 1 || a.Platforms[0].String() != "linux/amd64" {
		t.Errorf("got %+v, %v", a, err)
	}
	if len(leaked) != 0 {
		t.Errorf("the blob host was sent %q", leaked)
	}
	insecure := registry.Repository{URL: host + "/app", Credential: credential, InsecureSkipTLSVerify: true}
	if l, err := newClient(t).Tags(t.Context(), insecure, time.Time{}); err != nil || len(l.Tags) != 1 {
		t.Errorf("certificate not verified on request: %v, %v", l, err)
	}
}

func TestAnonymousErrorsSayWhatToDo(t *testing.T) {
	r := registrytest.New(t)
	_, err := newClient(t).Tags(t.Context(), registry.Repository{URL: r.Name("app")}, time.Time{})
	want := fmt.Sprintf(`list tags of %q: authentication failed (status 401) with anonymous access, because no credential Secret of type image matches this repository: the token service refused: user name or password is wrong`, r.Name("app"))
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	open := registrytest.New(t, func(o *demoregistry.Options) { o.AnonymousRead = true })
	open.Push("app", "1.0.0", demoregistry.ImageOptions{})
	if l, err := newClient(t).Tags(t.Context(), registry.Repository{URL: open.Name("app")}, time.Time{}); err != nil || len(l.Tags) != 1 {
		t.Errorf("anonymous read: %v, %v", l, err)
	}
}
