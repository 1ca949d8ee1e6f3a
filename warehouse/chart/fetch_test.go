package chart_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/tarball"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// fetcher has one credential for everything.
func fetcher(s *chart.Source, c credentials.Credential) *chart.Fetcher {
	return &chart.Fetcher{Source: s, Credentials: func(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
		return c, nil
	}}
}

func TestFetchFromHTTP(t *testing.T) {
	r := charttest.New(t)
	raw := charttest.Pack(t, "app", "1.2.0", map[string]string{"templates/a.yaml": "a: 1\n"})
	digest := r.Add("app", "1.2.0", raw)
	r.Add("app", "1.3.0-rc.1", raw)
	f := fetcher(newSource(t), account(t, r.URL, charttest.Password))
	newest, err := f.Newest(t.Context(), "demo", chart.At(r.URL, "app"), "^1.0.0", time.Time{})
	if want := (v1alpha1.Chart{RepoURL: r.URL, Name: "app", Version: "1.2.0", Digest: digest}); err != nil || newest != want {
		t.Fatalf("%+v, %v", newest, err)
	}
	for i, c := range []v1alpha1.Chart{newest, newest, {RepoURL: r.URL, Name: "app", Version: "v1.2.0"}} {
		got, err := f.Fetch(t.Context(), "demo", c)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != "1.2.0" || got.Name != "app" || got.Digest != digest || string(got.Files["templates/a.yaml"]) != "a: 1\n" || string(got.Raw) != string(raw) {
			t.Errorf("%d: %+v", i, got)
		}
	}
	want := []string{"/index.yaml", "/app-1.2.0.tgz"} // the others are kept
	if d := cmp.Diff(want, r.Requests()); d != "" {
		t.Errorf("requests: %s", d)
	}
	// A version that the index did not have when it was read.
	r.Add("app", "2.0.0", charttest.Pack(t, "app", "2.0.0", nil))
	if _, err := f.Fetch(t.Context(), "demo", v1alpha1.Chart{RepoURL: r.URL, Name: "app", Version: "2.0.0"}); err != nil {
		t.Error(err)
	}
	if _, err := f.Newest(t.Context(), "demo", chart.At(r.URL, "app"), "^3.0.0", time.Time{}); !errors.Is(err, chart.ErrNoVersion) {
		t.Errorf("none: %v", err)
	}
	// Published again: what was agreed on is not there any more.
	again := newest
	r.Add("app", "1.2.0", charttest.Pack(t, "app", "1.2.0", map[string]string{"b": "b"}))
	if got, err := f.Fetch(t.Context(), "demo", again); err != nil || got.Digest != digest {
		t.Errorf("what is kept is still there: %v", err)
	}
	fresh := fetcher(newSource(t), account(t, r.URL, charttest.Password))
	if _, err := fresh.Fetch(t.Context(), "demo", again); !errors.Is(err, chart.ErrChanged) {
		t.Errorf("another content under the same version: %v", err)
	}
}

func TestFetchFromOCI(t *testing.T) {
	r := registrytest.New(t)
	raw := charttest.Pack(t, "app", "1.2.0+b1", nil)
	digest := charttest.Push(t.Context(), t, r.Server, "charts/app", "1.2.0+b1", raw)
	f := fetcher(newSource(t), account(t, "oci://"+r.Name("charts/app"), registrytest.Password))
	newest, err := f.Newest(t.Context(), "demo", chart.At("oci://"+r.Name("charts"), "app"), "1.x", time.Time{})
	if err != nil || newest.Version != "1.2.0+b1" || newest.Digest != digest {
		t.Fatalf("%+v, %v", newest, err)
	}
	for range 2 {
		got, err := f.Fetch(t.Context(), "demo", newest)
		if err != nil || got.Digest != digest || string(got.Raw) != string(raw) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	byTag, err := f.Fetch(t.Context(), "demo", v1alpha1.Chart{RepoURL: newest.RepoURL, Version: "1.2.0+b1"})
	if err != nil || byTag.Digest != digest {
		t.Errorf("%+v, %v", byTag, err)
	}
	if _, err := f.Fetch(t.Context(), "demo", v1alpha1.Chart{RepoURL: newest.RepoURL, Version: "9.9.9"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	r.Push("charts/image", "1.0.0", demoregistry.ImageOptions{})
	if _, err := f.Fetch(t.Context(), "demo", v1alpha1.Chart{RepoURL: "oci://" + r.Name("charts/image"), Version: "1.0.0"}); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("an image: %v", err)
	}
}

// What one Project's credential has brought answers no other Project's question.
func TestFetchKeepsForWhoMayRead(t *testing.T) {
	r := charttest.New(t)
	digest := r.Add("app", "1.0.0", charttest.Pack(t, "app", "1.0.0", nil))
	s := newSource(t)
	c := v1alpha1.Chart{RepoURL: r.URL, Name: "app", Version: "1.0.0", Digest: digest}
	if _, err := s.Fetch(t.Context(), account(t, r.URL, charttest.Password), c); err != nil {
		t.Fatal(err)
	}
	for _, other := range []credentials.Credential{{}, account(t, r.URL, "wrong")} {
		if got, err := s.Fetch(t.Context(), other, c); !errors.Is(err, registry.ErrAuthentication) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// Many who want the same archive at once download it once.
func TestFetchOnce(t *testing.T) {
	r := charttest.New(t)
	digest := r.Add("app", "1.0.0", charttest.Pack(t, "app", "1.0.0", nil))
	s, c := newSource(t), account(t, r.URL, charttest.Password)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.Fetch(t.Context(), c, v1alpha1.Chart{RepoURL: r.URL, Name: "app", Version: "1.0.0", Digest: digest}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := r.Requests(); len(got) != 2 {
		t.Errorf("%d requests: %v", len(got), got)
	}
}

func TestFetchRefuses(t *testing.T) {
	r := charttest.New(t)
	good := charttest.Pack(t, "app", "1.0.0", nil)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, _, hasPassword := req.BasicAuth(); hasPassword {
			t.Error("the password was sent to another host")
		}
		_, _ = w.Write(good)
	}))
	t.Cleanup(elsewhere.Close)
	bad := func(files ...tarball.File) []byte {
		raw, err := tarball.Write(files)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	add := func(version, digest, url string, raw []byte) { r.AddAs("app", version, digest, url, raw) }
	add("1.0.0", charttest.Digest(good), elsewhere.URL+"/x.tgz", nil)
	add("1.0.1", "", elsewhere.URL+"/x.tgz", nil)
	add("1.0.2", charttest.Digest([]byte("other")), "b.tgz", good)
	add("1.0.3", "", "c.tgz", good)
	add("1.0.4", "", "d.tgz", charttest.Pack(t, "other", "1.0.4", nil))
	add("1.0.5", "", "e.tgz", []byte("no archive"))
	add("1.0.6", "", "f.tgz", bad(tarball.File{Name: "app/../../x", Content: []byte("x")}))
	add("1.0.7", "", "g.tgz", bad(tarball.File{Name: "Chart.yaml", Content: []byte("name: app\n")}))
	add("1.0.8", "", "h.tgz", make([]byte, 17<<20))
	add("1.0.9", "", "i.tgz", bad(tarball.File{Name: "app/zeros", Content: make([]byte, 6<<20)}))
	add("1.0.10", "", "gone.tgz", nil)
	add("1.0.11", "", "ftp://charts.example/x.tgz", nil)
	add("1.0.12", "", "http://user:password@charts.example/x.tgz", nil)
	add("1.0.13", "", "j.tgz", bad(tarball.File{Name: "app/Chart.yaml", Content: []byte("name: ../app\nversion: 1.0.13\n")}))
	s, c := newSource(t), account(t, r.URL, charttest.Password)
	for version, want := range map[string]error{
		"1.0.0": nil, "1.0.1": registry.ErrRefused, "1.0.2": registry.ErrMalformed, "1.0.3": chart.ErrArchive, "1.0.4": chart.ErrArchive,
		"1.0.5": chart.ErrArchive, "1.0.6": tarball.ErrUnsafe, "1.0.7": chart.ErrArchive, "1.0.8": registry.ErrMalformed,
		"1.0.9": tarball.ErrTooLarge, "1.0.10": registry.ErrNotFound, "1.0.11": registry.ErrInvalid, "1.0.12": registry.ErrMalformed,
		"1.0.13": chart.ErrArchive, "9.9.9": chart.ErrNoVersion,
	} {
		got, err := s.Fetch(t.Context(), c, v1alpha1.Chart{RepoURL: r.URL, Name: "app", Version: version})
		if !errors.Is(err, want) || (err == nil) != (got != nil) {
			t.Errorf("%s: %v", version, err)
		}
		if err != nil && (strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 500) {
			t.Errorf("%s: %q", version, err)
		}
	}
}

// What is kept survives a restart, and is not believed
// when it was changed.
func TestKept(t *testing.T) {
	r := charttest.New(t)
	digest := r.Add("app", "1.0.0", charttest.Pack(t, "app", "1.0.0", nil))
	dir := t.TempDir()
	c, ref := account(t, r.URL, charttest.Password), v1alpha1.Chart{RepoURL: r.URL, Name: "app", Version: "1.0.0", Digest: digest}
	fetch := func() int {
		t.Helper()
		if _, err := newSourceIn(t, dir).Fetch(t.Context(), c, ref); err != nil {
			t.Fatal(err)
		}
		return len(r.Requests())
	}
	if first, second := fetch(), fetch(); first != 2 || second != 0 {
		t.Errorf("%d requests, and %d after a restart", first, second)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1]++
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := fetch(); n != 2 {
		t.Errorf("%d requests for what is damaged", n)
	}
}
