package gitserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/internal/secret"
)

// Options configures a server. Dir and a password are required.
type Options struct {
	// Dir holds the repositories, one bare directory <name>.git each. It is
	// created when missing and survives restarts.
	Dir string
	// Addr is the loopback address to listen on; empty means "127.0.0.1:0".
	Addr string
	// Username and Password are the credentials of the one user.
	Username string
	Password secret.Text
	// AnonymousRead lets anybody clone and fetch. Pushing always needs the
	// credentials.
	AnonymousRead bool
	// Middleware, when set, wraps the whole server: tests answer requests
	// themselves there or break the answers.
	Middleware func(http.Handler) http.Handler
	// Stderr receives what git prints about failed requests; nil discards it.
	Stderr io.Writer
}

// Server is a running Git server. Its methods may be called from any
// goroutine.
type Server struct {
	dir      string
	opts     Options
	git      tool
	listener net.Listener
	http     *http.Server
	served   chan error

	mu       sync.Mutex
	requests Requests
}

// Requests counts what clients asked, whether or not it was granted.
type Requests struct {
	// ListForFetch and ListForPush count reference listings (GET info/refs).
	ListForFetch, ListForPush int
	// Fetch and Push count the exchanges of packs (POST).
	Fetch, Push int
}

// Total returns the number of requests.
func (r Requests) Total() int { return r.ListForFetch + r.ListForPush + r.Fetch + r.Push }

// Start opens the directory, listens and serves until Close. It returns an
// error when git is not installed or the address is not on loopback.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Username == "" || opts.Password.IsEmpty() {
		return nil, errors.New("git server: a user name and a password are required")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil || opts.Dir == "" {
		return nil, fmt.Errorf("git server: %q is no directory", opts.Dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("git server: %w", err)
	}
	git, err := findTool(ctx, dir)
	if err != nil {
		return nil, err
	}
	listener, err := listenOnLoopback(ctx, opts.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, opts: opts, git: git, listener: listener, served: make(chan error, 1)}
	var handler http.Handler = http.HandlerFunc(s.serveHTTP)
	if opts.Middleware != nil {
		handler = opts.Middleware(handler)
	}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	// Serve ends with Close, which waits for it.
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

func listenOnLoopback(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("git server: address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("git server: address %q is not on loopback", addr)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("git server: %w", err)
	}
	return listener, nil
}

// Addr returns the "host:port" the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Dir returns the directory of the repositories, for another way to serve them.
func (s *Server) Dir() string { return s.dir }

// URL returns the address to clone the named repository from. It carries no
// credentials.
func (s *Server) URL(repo string) string {
	return "http://" + s.Addr() + "/" + repo + ".git"
}

// Requests returns what was asked since the start.
func (s *Server) Requests() Requests {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Close stops listening, lets running requests finish until ctx ends, then
// cuts them.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if serveErr := <-s.served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// repoDir returns the directory of the named repository; the name must have
// passed validName.
func (s *Server) repoDir(name string) string { return filepath.Join(s.dir, name+".git") }

// validName accepts short names of letters, digits, dot, dash and underscore
// that begin with a letter or digit: nothing that could leave the directory or
// look like an option.
func validName(name string) bool {
	if name == "" || len(name) > 100 || strings.HasSuffix(name, ".git") || strings.Contains(name, "..") {
		return false
	}
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return true
}

// tool is the installed git, run without the user's or the system's
// configuration so that every machine behaves alike.
type tool struct {
	path    string // git itself
	backend string // git-http-backend
	env     []string
}

func findTool(ctx context.Context, home string) (tool, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return tool{}, errors.New("git server: git is not installed (not found in PATH)")
	}
	out, err := exec.CommandContext(ctx, path, "--exec-path").Output()
	if err != nil {
		return tool{}, fmt.Errorf("git server: git --exec-path: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return tool{}, fmt.Errorf("git server: this git has no http-backend: %w", err)
	}
	return tool{path: path, backend: backend, env: []string{
		"HOME=" + home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
	}}, nil
}
