package demoregistry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/secret"
)

var built = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func start(t *testing.T, opts demoregistry.Options) *demoregistry.Server {
	t.Helper()
	opts.Now = time.Now
	if opts.Auth != demoregistry.AuthNone {
		opts.Username, opts.Password = "demo", secret.New("pass-word")
	}
	s, err := demoregistry.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *demoregistry.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

func account() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: "demo", Password: "pass-word"})
}

// A client we did not write can push, list by pages, and pull, in every mode.
func TestStandardClientWorks(t *testing.T) {
	for _, auth := range []demoregistry.Auth{demoregistry.AuthNone, demoregistry.AuthBasic, demoregistry.AuthBearer} {
		t.Run("auth "+string(auth), func(t *testing.T) {
			s := start(t, demoregistry.Options{Auth: auth, MaxPage: 2})
			var want []string
			for i := range 5 {
				tag := fmt.Sprintf("1.%d.0", i)
				if _, err := demoregistry.Push(t.Context(), http.DefaultTransport, s.Host()+"/team/app:"+tag, "demo", secret.New("pass-word"),
					demoregistry.ImageOptions{Created: built, Platforms: []string{"linux/amd64", "linux/arm64/v8"}, WithAttestation: true}); err != nil {
					t.Fatal(err)
				}
				want = append(want, tag)
			}
			repo, err := name.NewRepository(s.Host() + "/team/app")
			if err != nil {
				t.Fatal(err)
			}
			s.ResetRequests()
			got, err := remote.List(repo, account(), remote.WithContext(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if n := s.Requests()[demoregistry.KindTags]; n != 3 {
				t.Errorf("5 tags in pages of 2: %d requests", n)
			}
			img, err := remote.Image(repo.Tag("1.3.0"), account(), remote.WithContext(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			layers, err := img.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("layers: %v, %v", layers, err)
			}
			rc, err := layers[0].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(rc)
			if err != nil || !strings.Contains(string(content), "1.3.0") {
				t.Errorf("layer: %q, %v", content, err)
			}
		})
	}
}

func TestAuthentication(t *testing.T) {
	for _, c := range []struct {
		why            string
		auth           demoregistry.Auth
		anonymousRead  bool
		user, password string
		read, write    bool
	}{
		{"basic, right", demoregistry.AuthBasic, false, "demo", "pass-word", true, true},
		{"basic, wrong", demoregistry.AuthBasic, true, "demo", "nope", false, false},
		{"basic, nobody", demoregistry.AuthBasic, false, "", "", false, false},
		{"basic, nobody may read", demoregistry.AuthBasic, true, "", "", true, false},
		{"bearer, right", demoregistry.AuthBearer, false, "demo", "pass-word", true, true},
		{"bearer, wrong", demoregistry.AuthBearer, true, "demo", "nope", false, false},
		{"bearer, nobody", demoregistry.AuthBearer, false, "", "", false, false},
		{"bearer, nobody may read", demoregistry.AuthBearer, true, "", "", true, false},
	} {
		s := start(t, demoregistry.Options{Auth: c.auth, AnonymousRead: c.anonymousRead})
		if _, err := s.PushImage(t.Context(), "app", "1", demoregistry.ImageOptions{}); err != nil {
			t.Fatal(err)
		}
		repo, err := name.NewRepository(s.Host() + "/app")
		if err != nil {
			t.Fatal(err)
		}
		auth := authn.Anonymous
		if c.user != "" {
			auth = &authn.Basic{Username: c.user, Password: c.password}
		}
		_, err = remote.List(repo, remote.WithAuth(auth), remote.WithContext(t.Context()))
		if (err == nil) != c.read {
			t.Errorf("%s: list: %v", c.why, err)
		}
		_, err = demoregistry.Push(t.Context(), http.DefaultTransport, s.Host()+"/app:2", c.user, secret.New(c.password), demoregistry.ImageOptions{})
		if (err == nil) != c.write {
			t.Errorf("%s: push: %v", c.why, err)
		}
	}
}

// A token for one repository opens no other.
func TestTokensAreScoped(t *testing.T) {
	s := start(t, demoregistry.Options{Auth: demoregistry.AuthBearer})
	if _, err := s.PushImage(t.Context(), "b", "1", demoregistry.ImageOptions{}); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Host()+"/token?service=waybill-demo-registry&scope=repository:a:pull", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("demo", "pass-word")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	token := strings.Split(string(body), `"token":"`)[1]
	token, _, _ = strings.Cut(token, `"`)
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Host()+"/v2/b/tags/list", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(resp.Header.Get("WWW-Authenticate"), `scope="repository:b:pull"`) {
		t.Errorf("got %d, %v", resp.StatusCode, resp.Header)
	}
}

func TestDataSurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	s := start(t, demoregistry.Options{Dir: dir})
	opts := demoregistry.ImageOptions{Created: built, Platforms: []string{"linux/amd64", "linux/arm64"}}
	want, err := s.PushImage(t.Context(), "team/app", "1.0.0", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddTags("team/app", "1.0.0", "latest", "gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTag("team/app", "gone"); err != nil {
		t.Fatal(err)
	}
	stop(t, s)

	// A crash in the middle of a write leaves half a line and a half upload.
	log, err := os.OpenFile(filepath.Join(dir, "manifests.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.WriteString(`{"method":"PUT","path":"/v2/team/ap`); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blobs", "upload-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second time proves that the torn line is gone for good
		s = start(t, demoregistry.Options{Dir: dir})
		repo, err := name.NewRepository(s.Host() + "/team/app")
		if err != nil {
			t.Fatal(err)
		}
		tags, err := remote.List(repo, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(tags, "1.0.0") || !slices.Contains(tags, "latest") || slices.Contains(tags, "gone") {
			t.Fatalf("tags: %v", tags)
		}
		desc, err := remote.Get(repo.Tag("latest"), remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if desc.Digest.String() != want {
			t.Errorf("digest %s, pushed %s", desc.Digest, want)
		}
		img, err := desc.Image()
		if err != nil {
			t.Fatal(err)
		}
		if cfg, err := img.ConfigFile(); err != nil || !cfg.Created.Equal(built) {
			t.Errorf("config: %v, %v", cfg, err)
		}
		if _, err := s.PushImage(t.Context(), "team/app", "after", opts); err != nil {
			t.Errorf("push after restart: %v", err)
		}
		stop(t, s)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "blobs", "upload-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDamagedLogIsReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manifests.jsonl"), []byte("{]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := demoregistry.Start(demoregistry.Options{Dir: dir, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v", err)
	}
}

func TestEqualOptionsGiveEqualDigests(t *testing.T) {
	s := start(t, demoregistry.Options{})
	opts := demoregistry.ImageOptions{Created: built, IsBroken: true}
	push := func(tag string, o demoregistry.ImageOptions) string {
		d, err := s.PushImage(t.Context(), "app", tag, o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b := push("1.0.0", opts), push("1.0.0", opts)
	salted := opts
	salted.Salt = "again"
	if a != b || a == push("1.0.1", opts) || a == push("1.0.0", salted) {
		t.Error("digests do not follow content")
	}
}

func TestConditionalListAndFaults(t *testing.T) {
	s := start(t, demoregistry.Options{})
	if _, err := s.PushImage(t.Context(), "app", "1", demoregistry.ImageOptions{}); err != nil {
		t.Fatal(err)
	}
	list := func(etag string) (*http.Response, string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Host()+"/v2/app/tags/list", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", etag)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	resp, _, err := list("")
	if err != nil {
		t.Fatal(err)
	}
	etag := resp.Header.Get("ETag")
	if resp, _, err = list(etag); err != nil || resp.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %v, %v", resp, err)
	}
	if err := s.AddTags("app", "1", "2"); err != nil {
		t.Fatal(err)
	}
	if resp, _, err = list(etag); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("changed: %v, %v", resp, err)
	}

	s.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
		if k != demoregistry.KindTags {
			return nil
		}
		return &demoregistry.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"7"}}, Body: "slow down"}
	})
	if resp, body, err := list(""); err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" || body != "slow down" {
		t.Errorf("status fault: %v, %q, %v", resp, body, err)
	}
	s.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		return &demoregistry.Fault{Body: `{"tags":["1","2"]}`, CutAfter: 5}
	})
	if _, body, err := list(""); !errors.Is(err, io.ErrUnexpectedEOF) || body != `{"tag` {
		t.Errorf("cut: %q, %v", body, err)
	}
	s.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault { return &demoregistry.Fault{Hang: true} })
	done := make(chan error, 1)
	go func() { _, _, err := list(""); done <- err }()
	stop(t, s) // a hanging request must not hold up the end
	if err := <-done; err == nil {
		t.Error("a hanging request was answered")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []demoregistry.Options{
		{}, {Now: time.Now, Auth: demoregistry.AuthBasic}, {Now: time.Now, Addr: "0.0.0.0:0"}, {Now: time.Now, Addr: "nonsense"},
	} {
		if s, err := demoregistry.Start(o); err == nil {
			stop(t, s)
			t.Errorf("%+v was accepted", o)
		}
	}
}
