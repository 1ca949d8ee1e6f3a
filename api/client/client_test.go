package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func TestNew(t *testing.T) {
	for server, want := range map[string]string{
		"https://waybill.example.com":         "",
		"https://waybill.example.com/prefix/": "",
		"http://127.0.0.1:8080":               "",
		"http://localhost:8080":               "",
		"http://[::1]:8080":                   "",
		"http://waybill.example.com":          "plain http",
		"waybill.example.com":                 "expected http",
		"ftp://waybill.example.com":           "expected http",
		"https://u:hunter2@waybill.example":   "user name or password",
		"https://waybill.example.com?x=1":     "no query",
		"https://%zz:hunter2@x":               "cannot be read",
		"":                                    "expected http",
	} {
		_, err := New(Options{Server: server})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", server, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", server, err, want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the password is in the error: %v", server, err)
		}
	}
	if _, err := New(Options{Server: "http://waybill.example.com", PlainHTTP: true}); err != nil {
		t.Error(err)
	}
}

func TestExitCode(t *testing.T) {
	problem := func(code model.ProblemCode) error {
		return fmt.Errorf("promote: %w", &Problem{model.Problem{Code: code, Detail: "d"}})
	}
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {problem(model.Internal), 1}, {problem(model.TooManyRequests), 1}, {problem(model.Timeout), 1},
		{problem(model.InvalidRequest), 2}, {problem(model.InvalidManifest), 2}, {problem(model.PayloadTooLarge), 2}, {problem(model.Unavailable), 2},
		{&UnreachableError{Server: "s", Err: context.DeadlineExceeded}, 2}, {problem(model.NotFound), 3},
		{problem(model.NotSignedIn), 4}, {problem(model.WrongCredentials), 4}, {problem(model.Forbidden), 4},
		{problem(model.Conflict), 5}, {problem(model.PlanChanged), 5}, {problem(model.PreconditionFailed), 5}, {context.DeadlineExceeded, 6}, {problem(model.GateClosed), 7}, {context.Canceled, 130},
	} {
		if got := ExitCode(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
}

func server(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(Options{Server: s.URL, Token: "wbt_secret", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokenGoesNowhereElse(t *testing.T) {
	var elsewhere atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Store(true) }))
	defer other.Close()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	})
	if _, err := c.Me(t.Context()); err == nil || elsewhere.Load() {
		t.Fatalf("redirect followed: %v", err)
	}
	if _, err := c.Raw(t.Context(), other.URL+"/api/v1/me"); err == nil || elsewhere.Load() {
		t.Fatalf("another host was asked: %v", err)
	}
}

func TestAnswersThatAreNotOurs(t *testing.T) {
	for name, tc := range map[string]struct {
		h    http.HandlerFunc
		want int
	}{
		"a proxy's page": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<h1>Bad gateway</h1>", http.StatusBadGateway)
		}, ExitUsage},
		"a login page":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html>") }, ExitFailed},
		"another server": {func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, ExitUsage},
		"a broken answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}, ExitUsage},
		"a problem": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(403)
			fmt.Fprint(w, `{"code":"forbidden","detail":"no","status":403}`)
		}, ExitForbidden},
		"an answer too late": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := server(t, tc.h).Me(t.Context())
			if got := ExitCode(err); err == nil || got != tc.want {
				t.Fatalf("exit code %d, want %d: %v", got, tc.want, err)
			}
			if strings.Contains(err.Error(), "wbt_") {
				t.Fatalf("the token is in the error: %v", err)
			}
		})
	}
	s := httptest.NewServer(nil)
	url := s.URL
	s.Close()
	c, err := New(Options{Server: url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); ExitCode(err) != ExitUsage {
		t.Fatalf("nobody listens: %v", err)
	}
}

// TestBrokenConnection: what takes a key is sent a second time with the same one,
// anything else is not.
func TestBrokenConnection(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys)%2 == 1 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"name":"test.1.f0"}`))
	}))
	t.Cleanup(s.Close)
	c, err := New(Options{Server: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p, err := c.Promote(t.Context(), "guestbook", "test", model.PromoteRequest{Freight: "latest"})
		if err != nil || p.Name != "test.1.f0" {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if _, err := c.Abort(t.Context(), "guestbook", "test.1.f0", ""); ExitCode(err) != ExitUsage {
		t.Errorf("without a key: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(keys) != 5 || keys[0] == "" || keys[0] != keys[1] || keys[2] != keys[3] || keys[0] == keys[2] || keys[4] != "" {
		t.Errorf("keys %q", keys)
	}
}

func TestPathsAreEscaped(t *testing.T) {
	var got string
	c := server(t, func(w http.ResponseWriter, r *http.Request) { got = r.URL.EscapedPath(); fmt.Fprint(w, "{}") })
	if _, err := c.Freight(t.Context(), "p", "a/../b?c#d"); err != nil {
		t.Fatal(err)
	}
	if want := "/api/v1/projects/p/freight/a%2F..%2Fb%3Fc%23d"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

// TestWatchReconnects: a stream that breaks goes on where it was.
func TestWatchReconnects(t *testing.T) {
	var connections atomic.Int32
	var last atomic.Value
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		n := connections.Add(1)
		last.Store(r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "application/x-ndjson")
		send := func(id, phase string) {
			data, _ := json.Marshal(model.Promotion{Name: "x", Phase: model.Phase(phase), Finished: phase == "Succeeded"})
			fmt.Fprintf(w, "{\"id\":%q,\"event\":\"promotion:p/x\",\"data\":%s}\n", id, data)
		}
		switch n {
		case 1:
			send("7", "Running")
			fmt.Fprint(w, "{\"event\":\"ping\"}\n")
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			send("9", "Succeeded")
		}
	})
	var phases, causes []string
	err := c.WatchPromotion(t.Context(), "p", "x", func(err error) { causes = append(causes, err.Error()) }, func(p *model.Promotion) error {
		phases = append(phases, string(p.Phase))
		if p.Finished {
			return ErrStop
		}
		return nil
	})
	if err != nil || strings.Join(phases, " ") != "Running Succeeded" || last.Load() != "7" || len(causes) != 2 {
		t.Fatalf("phases %v, last id %v, causes %v, error %v", phases, last.Load(), causes, err)
	}
}

func TestWatchEnds(t *testing.T) {
	t.Run("with its context", func(t *testing.T) {
		c := server(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // the limit is what is tested
		defer cancel()
		if err := c.WatchProjects(ctx, nil, func(*model.Projects) error { return nil }); ExitCode(err) != ExitTimeout {
			t.Fatal(err)
		}
	})
	t.Run("with a refusal", func(t *testing.T) {
		c := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			fmt.Fprint(w, `{"code":"not-found","detail":"no Project","status":404}`)
		})
		if err := c.WatchProjects(t.Context(), nil, func(*model.Projects) error { return nil }); ExitCode(err) != ExitNotFound {
			t.Fatal(err)
		}
	})
	t.Run("when what is watched is gone", func(t *testing.T) {
		c := server(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "{\"event\":\"gone\",\"data\":\"pipeline:p\"}\n")
		})
		if err := c.WatchPipeline(t.Context(), "p", nil, func(*model.Pipeline) error { return nil }); !errors.Is(err, ErrGone) {
			t.Fatal(err)
		}
	})
}
