package chart_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

const canary = "chart-password-canary"

func newSource(t *testing.T) *chart.Source {
	t.Helper()
	return newSourceIn(t, t.TempDir())
}

// newSourceIn keeps archives in dir.
func newSourceIn(t *testing.T, dir string) *chart.Source {
	t.Helper()
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := registry.New(registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true, RequestTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return chart.New(client, time.Now, dir)
}

func compile(t *testing.T, sub v1alpha1.ChartSubscription) *warehouse.ChartPolicy {
	t.Helper()
	p, err := warehouse.CompileChart(sub)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func versionsOf(charts []v1alpha1.Chart) string {
	var out []string
	for _, c := range charts {
		out = append(out, c.Version)
	}
	return strings.Join(out, " ")
}

// repository is an HTTP chart repository.
type repository struct {
	*httptest.Server
	requests atomic.Int64
	mu       sync.Mutex
	index    string
	handler  http.HandlerFunc // instead of the index
}

func newRepository(t *testing.T, index string) *repository {
	r := &repository{index: index}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		r.mu.Lock()
		index, handler := r.index, r.handler
		r.mu.Unlock()
		if handler != nil {
			handler(w, req)
			return
		}
		if user, password, _ := req.BasicAuth(); user != "tester" || password != canary {
			w.Header().Set("WWW-Authenticate", `Basic realm="charts"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if req.URL.Path != "/stable/index.yaml" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		etag := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(index)))
		w.Header().Set("ETag", etag)
		if req.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, index)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *repository) set(index string, handler http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index, r.handler = index, handler
}

func account(t *testing.T, url, password string) credentials.Credential {
	t.Helper()
	c, err := credentials.Parse(credentials.Source{
		Name: "charts", Namespace: "demo", Labels: map[string]string{credentials.TypeLabel: "chart"},
		Data: map[string][]byte{"repoURL": []byte(url), "username": []byte("tester"), "password": []byte(password)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c[0]
}

func index(charts ...string) string {
	out := "apiVersion: v1\nentries:\n"
	for _, c := range charts {
		name, versions, _ := strings.Cut(c, " ")
		out += "  " + name + ":\n"
		for _, v := range strings.Fields(versions) {
			out += "  - name: " + name + "\n    version: " + v + "\n"
		}
	}
	return out
}

func TestHTTPRepository(t *testing.T) {
	r := newRepository(t, index("app 1.0.0 1.10.0 1.9.0 2.0.0-rc.1", "web 0.1.0"))
	s := newSource(t)
	url := r.URL + "/stable/"
	c := account(t, url, canary)
	app := compile(t, v1alpha1.ChartSubscription{RepoURL: url, Name: "app"})
	web := compile(t, v1alpha1.ChartSubscription{RepoURL: url, Name: "web", Constraint: "^0.1.0"})
	poll := func(p *warehouse.ChartPolicy, notBefore time.Time) (warehouse.Poll, int) {
		t.Helper()
		before := r.requests.Load()
		got, err := s.Poll(t.Context(), c, p, false, notBefore)
		if err != nil {
			t.Fatal(err)
		}
		return got, int(r.requests.Load() - before)
	}
	got, cost := poll(app, time.Time{})
	if versionsOf(got.Charts) != "1.10.0 1.9.0 1.0.0" || cost != 1 || got.Requests != 1 || got.Tags != 4 || got.Charts[0].Name != "app" {
		t.Errorf("%+v for %d requests", got, cost)
	}
	if got, cost := poll(web, time.Time{}); versionsOf(got.Charts) != "0.1.0" || cost != 1 {
		t.Errorf("another chart: %+v for %d requests", got, cost)
	}
	// From now on one look serves both.
	began := time.Now()
	poll(app, began)
	if _, cost := poll(web, began); cost != 0 {
		t.Errorf("the second chart of one index cost %d requests", cost)
	}
	r.set(index("app 1.0.0 1.10.0 1.11.0", "web 0.1.0"), nil)
	if got, cost := poll(app, time.Time{}); versionsOf(got.Charts) != "1.11.0 1.10.0 1.0.0" || cost != 1 {
		t.Errorf("a new version: %+v for %d requests", got, cost)
	}
	gone := compile(t, v1alpha1.ChartSubscription{RepoURL: url, Name: "gone"})
	if got, _ := poll(gone, time.Time{}); got.Reason != warehouse.ReasonNoMatchingVersion || !strings.Contains(got.Error, "gone") {
		t.Errorf("%+v", got)
	}
}

func TestFaults(t *testing.T) {
	status := func(n int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(n)
			_, _ = io.WriteString(w, `{"errors":[{"message":"said by the server"}]}`)
		}
	}
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			t.Error("a credential was sent to another host")
		}
	}))
	defer elsewhere.Close()
	for _, c := range []struct {
		why     string
		handler http.HandlerFunc
		reason  string
	}{
		{"401", status(401), "AuthenticationFailed"},
		{"403", status(403), "AccessDenied"},
		{"404", status(404), "NotFound"},
		{"429", status(429, "Retry-After", "120"), "RateLimited"},
		{"500", status(500), "RegistryFailed"},
		{"HTML", body("<html>"), "MalformedAnswer"},
		{"torn", body("entries:\n  app:\n  - version: \"1"), "MalformedAnswer"},
		{"50 MB and more", func(w http.ResponseWriter, _ *http.Request) {
			chunk := bytes.Repeat([]byte("# nothing\n"), 100_000)
			for range 60 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "MalformedAnswer"},
		{"a hang", func(w http.ResponseWriter, req *http.Request) {
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		}, "RegistryUnreachable"},
		{"a redirect to another host", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL+"/index.yaml", http.StatusFound)
		}, "DestinationRefused"},
		{"a redirect to a private address", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://169.254.169.254/index.yaml", http.StatusFound)
		}, "DestinationRefused"},
	} {
		r := newRepository(t, "")
		r.set("", c.handler)
		s := newSource(t)
		url := r.URL + "/stable"
		p := compile(t, v1alpha1.ChartSubscription{RepoURL: url, Name: "app"})
		got, err := s.Poll(t.Context(), account(t, url, canary), p, false, time.Time{})
		if err == nil || !got.IsFailed || got.Reason != c.reason {
			t.Errorf("%s: %q: %v", c.why, got.Reason, err)
			continue
		}
		if strings.Contains(got.Error, canary) || !strings.Contains(got.Error, `Secret "charts"`) || len(got.Error) > 600 {
			t.Errorf("%s: %q", c.why, got.Error)
		}
		if c.why == "429" && got.RetryAt.IsZero() {
			t.Error("Retry-After was not heeded")
		}
	}
}

// push stores what Helm stores for a chart: a config of its own type and the
// archive as the only layer.
func push(t *testing.T, host, repo, tag, configType string) {
	t.Helper()
	put := func(method, path, contentType string, body []byte) http.Header {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			text, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
		}
		return resp.Header
	}
	blob := func(content string) string {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
		at := put(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", "application/octet-stream", nil).Get("Location")
		put(http.MethodPut, at+"?digest="+digest, "application/octet-stream", []byte(content))
		return fmt.Sprintf(`"digest":%q,"size":%d`, digest, len(content))
	}
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	put(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, manifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,%s},"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip",%s}]}`,
		manifest, configType, blob(`{"name":"app","version":"`+tag+`"}`), blob("archive of "+tag)))
}

func TestOCI(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	const helm = "application/vnd.cncf.helm.config.v1+json"
	for _, tag := range []string{"1.0.0", "1.1.0_build.7", "2.0.0"} {
		push(t, r.Host(), "charts/app", tag, helm)
	}
	r.Push("charts/app", "1.9.0", demoregistry.ImageOptions{}) // an image where charts are
	s := newSource(t)
	p := compile(t, v1alpha1.ChartSubscription{RepoURL: "oci://" + r.Name("charts/app"), Constraint: "^1.0.0"})
	var last []v1alpha1.Chart
	for i := range 3 {
		r.ResetRequests()
		got, err := s.Poll(t.Context(), credentials.Credential{}, p, false, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if versionsOf(got.Charts) != "1.1.0+build.7 1.0.0" || got.Reason != warehouse.ReasonTagPassedOver || !strings.Contains(got.Error, "not a Helm chart") {
			t.Errorf("%+v", got)
		}
		if i > 0 && (r.Total() != 1 || cmp.Diff(last, got.Charts) != "") {
			t.Errorf("nothing new: %v, %s", r.Requests(), cmp.Diff(last, got.Charts))
		}
		last = got.Charts
	}
	if last[0].Digest == "" || last[0].RepoURL != p.RepoURL() || last[0].Name != "" {
		t.Errorf("%+v", last[0])
	}
}
