package demoregistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/waybill-dev/waybill/internal/secret"
)

// Auth is how the registry asks who is there.
type Auth string

// The ways. The zero value lets everybody read and write.
const (
	AuthNone   Auth = ""
	AuthBasic  Auth = "basic"
	AuthBearer Auth = "bearer"
)

// Options configure a Server.
type Options struct {
	// Addr to listen on; "127.0.0.1:0" when empty. Only loopback is accepted.
	Addr string
	// Dir keeps the data; it is made if missing. Empty: memory only.
	Dir  string
	Auth Auth
	// Username and Password of the one account. Required unless Auth is AuthNone.
	Username string
	Password secret.Text
	// AnonymousRead lets everybody pull.
	AnonymousRead bool
	// TokenTTL of bearer tokens; 5 minutes when 0.
	TokenTTL time.Duration
	// MaxPage is the most tags one page holds, whatever is asked; 0: no limit.
	MaxPage int
	// WithoutETag leaves the ETag off tag lists, as most registries do.
	WithoutETag bool
	// WithoutReferrers is without the list of what refers to a manifest (OCI
	// distribution specification 1.1), as older registries are.
	WithoutReferrers bool
	// Now is the clock of token expiry. Required.
	Now func() time.Time
}

// Server is a running registry.
type Server struct {
	opts     Options
	listener net.Listener
	http     *http.Server
	served   chan error    // receives Serve's result once
	stop     chan struct{} // closed by Close; releases hanging faults
	stopOnce sync.Once

	store  *store
	tokens *tokens
	faults faults
	counts counts
}

// Start makes a registry and serves it until Close.
func Start(opts Options) (*Server, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.TokenTTL == 0 {
		opts.TokenTTL = 5 * time.Minute
	}
	switch {
	case opts.Now == nil:
		return nil, errors.New("start registry: Options.Now is required")
	case opts.Auth != AuthNone && (opts.Username == "" || opts.Password.IsEmpty()):
		return nil, errors.New("start registry: Options.Username and Options.Password are required with authentication")
	}
	host, _, err := net.SplitHostPort(opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("start registry: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("start registry: %q is not a loopback address", opts.Addr)
	}
	store, err := openStore(opts.Dir, !opts.WithoutReferrers)
	if err != nil {
		return nil, fmt.Errorf("start registry: %w", err)
	}
	l, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start registry: %w", err), store.close())
	}
	s := &Server{
		opts: opts, listener: l, store: store,
		served: make(chan error, 1), stop: make(chan struct{}),
		tokens: newTokens(opts.Now, opts.TokenTTL),
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// Clients that try https first would write a line for every ping.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { s.served <- s.http.Serve(l) }() // joined in Close
	return s, nil
}

// Host returns "127.0.0.1:port", the first part of every image name here.
func (s *Server) Host() string { return s.listener.Addr().String() }

// Close stops serving, cuts what still runs when ctx ends, and closes the log.
func (s *Server) Close(ctx context.Context) error {
	var err error
	s.stopOnce.Do(func() {
		close(s.stop)
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, s.http.Close())
		}
		if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		err = errors.Join(err, s.store.close())
	})
	return err
}

// ServeHTTP counts, breaks, authenticates and answers, in this order.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	s.counts.add(kind)
	if s.faults.play(w, r, kind, s.stop) {
		return
	}
	if r.URL.Path == tokenPath {
		s.serveToken(w, r)
		return
	}
	if !s.authorize(w, r) {
		return
	}
	if repo, ok := tagsOf(r); ok {
		s.serveTags(w, r, repo)
		return
	}
	s.store.ServeHTTP(w, r)
}

// route splits "/v2/<repo>/<noun>/<reference>".
func route(p string) (repo, noun, reference string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(p, "/v2/"), "/")
	if !strings.HasPrefix(p, "/v2/") || len(parts) < 3 {
		return "", "", "", false
	}
	for i := len(parts) - 2; i >= 1; i-- {
		switch parts[i] {
		case "manifests", "tags", "blobs", "referrers":
			return strings.Join(parts[:i], "/"), parts[i], strings.Join(parts[i+1:], "/"), true
		}
	}
	return "", "", "", false
}

func tagsOf(r *http.Request) (repo string, ok bool) {
	repo, noun, reference, ok := route(r.URL.Path)
	return repo, ok && noun == "tags" && reference == "list" && r.Method == http.MethodGet
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message) // the client is gone if this fails
}

// blobHandler keeps blobs in dir, or in memory when dir is empty.
func blobHandler(dir string) (registry.BlobHandler, error) {
	if dir == "" {
		return registry.NewInMemoryBlobHandler(), nil
	}
	blobs := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return nil, err
	}
	torn, err := filepath.Glob(filepath.Join(blobs, "upload-*"))
	if err != nil {
		return nil, err
	}
	for _, f := range torn { // uploads that a crash cut off
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	return registry.NewDiskBlobHandler(blobs), nil
}
