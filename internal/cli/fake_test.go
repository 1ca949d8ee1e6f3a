package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/browser"
)

// noon is when every test in this package happens.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// answer is what the server of a printer test says to one request.
type answer struct {
	status int
	body   any
	// events are the lines of the event stream, for paths of /events.
	events []client.Event
	// hang keeps the stream open after its events.
	hang bool
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func accepted(body any) answer { return answer{status: http.StatusAccepted, body: body} }

func problem(p model.Problem) answer {
	p.Type, p.Title = "urn:waybill:problem:"+string(p.Code), http.StatusText(p.Status)
	return answer{status: p.Status, body: p}
}

func event(t *testing.T, topic string, page any) client.Event {
	t.Helper()
	data, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	return client.Event{ID: "1", Name: topic, Data: data}
}

// serve answers "METHOD /path?query" as the map says. It is only for tests of
// what is printed; what the server decides is tested with the server.
func serve(t *testing.T, answers map[string]answer) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", noon.Format(http.TimeFormat))
		a, found := answers[r.Method+" "+r.URL.RequestURI()]
		if !found {
			t.Errorf("unexpected request: %s %s", r.Method, r.URL.RequestURI())
			a = problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound, Detail: "not in this test"})
		}
		if a.events != nil {
			w.Header().Set("Content-Type", "application/x-ndjson")
			for _, e := range a.events {
				if err := json.NewEncoder(w).Encode(e); err != nil {
					return
				}
			}
			if flusher, can := w.(http.Flusher); can {
				flusher.Flush()
			}
			if a.hang {
				<-r.Context().Done()
			}
			return
		}
		kind := "application/json"
		if a.status >= 400 {
			kind = "application/problem+json"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(a.status)
		if a.body != nil {
			if err := json.NewEncoder(w).Encode(a.body); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// session is one user at one computer.
type session struct {
	t        *testing.T
	home     string
	env      map[string]string
	stdin    string
	terminal Terminal
	// heard is called with all of standard error whenever it grows.
	heard func(stderr string)
	// input, if set, is standard input instead of stdin.
	input io.Reader
	// browser is given the addresses that would be opened; nil: there is none.
	browser func(address string)
}

// ear is a stream with somebody who listens.
type ear struct {
	bytes.Buffer
	heard func(string)
}

func (e *ear) Write(p []byte) (int, error) {
	n, err := e.Buffer.Write(p)
	if e.heard != nil {
		e.heard(e.String())
	}
	return n, err
}

func newSession(t *testing.T) *session {
	t.Helper()
	home := t.TempDir()
	return &session{t: t, home: home, env: map[string]string{"WAYBILL_CONFIG": filepath.Join(home, "config.yaml")}}
}

// signedIn is a session whose current context is server.
func signedIn(t *testing.T, server string) *session {
	t.Helper()
	s := newSession(t)
	config := fmt.Sprintf("current: test\ncontexts:\n- {name: test, server: %q, user: alice, token: wbt_secret}\n", server)
	if err := os.WriteFile(s.env["WAYBILL_CONFIG"], []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// result is what a command did.
type result struct {
	args           []string
	stdout, stderr string
	code           int
}

func (s *session) run(args ...string) result { return s.runContext(context.Background(), args...) }

func (s *session) runContext(ctx context.Context, args ...string) result {
	s.t.Helper()
	var stdout bytes.Buffer
	stderr := ear{heard: s.heard}
	stdin := s.input
	if stdin == nil {
		stdin = strings.NewReader(s.stdin)
	}
	a := &App{
		Stdin: stdin, Stdout: &stdout, Stderr: &stderr,
		Getenv:     func(name string) string { return s.env[name] },
		ConfigDir:  func() (string, error) { return s.home, nil },
		HomeDir:    func() (string, error) { return s.home, nil },
		Executable: func() (string, error) { return filepath.Join(s.home, "waybill"), nil },
		Now:        func() time.Time { return noon },
		Terminal:   s.terminal,
		OpenBrowser: func(_ context.Context, address string) error {
			if s.browser == nil {
				return browser.ErrNone
			}
			s.browser(address)
			return nil
		},
		Version: "v0.1.0", Commit: "0123456789abcdef",
	}
	code := a.Run(ctx, args)
	return result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: code}
}

// String is the transcript of a command, as golden files hold it.
func (r result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ waybill %s\n%s", strings.Join(r.args, " "), r.stdout)
	if r.stderr != "" {
		fmt.Fprintf(&b, "--- stderr\n%s", r.stderr)
	}
	fmt.Fprintf(&b, "--- exit code %d\n", r.code)
	return b.String()
}
