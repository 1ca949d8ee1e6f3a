package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/secret"
)

// The account of the Git server and of the registry.
const (
	account  = "bench"
	password = "bench-password"
)

// servers are the Git server and the registry, with a log of the requests that
// reached the former.
type servers struct {
	git      *gitserver.Server
	registry *demoregistry.Server

	mu   sync.Mutex
	asks []gitAsk
}

// gitAsk is one request to the Git server.
type gitAsk struct {
	What  string
	Start time.Time
	Took  time.Duration
}

func startServers(ctx context.Context, dir string, seen *observer) (*servers, error) {
	s := &servers{}
	var err error
	s.git, err = gitserver.Start(ctx, gitserver.Options{
		Dir: dir, Username: account, Password: secret.New(password),
		Middleware: func(next http.Handler) http.Handler { return s.follow(next, seen) },
	})
	if err != nil {
		return nil, err
	}
	s.registry, err = demoregistry.Start(demoregistry.Options{
		Auth: demoregistry.AuthBearer, Username: account, Password: secret.New(password), MaxPage: 1000, Now: time.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("%w (and then: %w)", err, s.git.Close(ctx))
	}
	return s, nil
}

func (s *servers) close(ctx context.Context) {
	_ = s.git.Close(ctx)
	_ = s.registry.Close(ctx)
}

// follow notes every request, and each push at the instant the server has
// answered it.
func (s *servers) follow(next http.Handler, seen *observer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		var moved *push
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // the client went away
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			moved = parsePush(body)
		}
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		end := time.Now()
		if moved != nil && answer.status == http.StatusOK {
			seen.add(event{At: end, Push: moved})
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		path := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		s.asks = append(s.asks, gitAsk{
			What: fmt.Sprintf("%s %s %s %d", r.Method, path, r.URL.Query().Get("service"), answer.status), Start: start, Took: end.Sub(start),
		})
	})
}

// asked returns the requests since an instant.
func (s *servers) asked(since time.Time) []gitAsk {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []gitAsk
	for _, a := range s.asks {
		if !a.Start.Before(since) {
			out = append(out, a)
		}
	}
	return out
}

// parsePush reads the first command of a push: four hex digits of length, the
// old and the new hash, and the reference up to a NUL (Git's pack protocol,
// "Reference Update Request"). It returns nil for anything else.
func parsePush(body []byte) *push {
	line, _, found := bytes.Cut(body, []byte{0})
	if !found || len(line) < 4 {
		return nil
	}
	words := strings.Fields(string(line[4:]))
	if len(words) != 3 {
		return nil
	}
	branch, isBranch := strings.CutPrefix(words[2], "refs/heads/")
	if !isBranch {
		return nil
	}
	return &push{Branch: branch, Commit: words[1]}
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader is part of http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// registryRequests returns how many requests clients have made so far.
func (s *servers) registryRequests() int {
	n := 0
	for _, c := range s.registry.Requests() {
		n += c
	}
	return n
}
