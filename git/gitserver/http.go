package gitserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"strings"
)

// maxPushBytes bounds one request body.
const maxPushBytes = 512 << 20

// request is what one HTTP request asks for.
type request struct {
	repo  string
	path  string // below the repository: info/refs, git-upload-pack or git-receive-pack
	write bool   // pushes, or lists references in order to push
}

// parse reads the path of a smart HTTP request. Everything else, the dumb
// protocol's files included, is not found.
func parse(r *http.Request) (request, bool) {
	name, path, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	req := request{repo: strings.TrimSuffix(name, ".git"), path: path}
	if !found || !validName(req.repo) {
		return req, false
	}
	switch {
	case r.Method == http.MethodGet && path == "info/refs":
		service := r.URL.Query().Get("service")
		req.write = service == "git-receive-pack"
		return req, req.write || service == "git-upload-pack"
	case r.Method == http.MethodPost && path == "git-upload-pack":
		return req, true
	case r.Method == http.MethodPost && path == "git-receive-pack":
		req.write = true
		return req, true
	}
	return req, false
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	req, ok := parse(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.count(req)
	user, granted := s.authenticate(r, req)
	if !granted {
		w.Header().Set("WWW-Authenticate", `Basic realm="waybill"`)
		http.Error(w, "credentials required", http.StatusUnauthorized)
		return
	}
	if _, err := os.Stat(s.repoDir(req.repo)); err != nil {
		http.NotFound(w, r)
		return
	}
	cleanup, err := sizeBody(w, r)
	if err != nil {
		http.Error(w, "request body is too large or broken", http.StatusRequestEntityTooLarge)
		return
	}
	defer cleanup()
	s.backend(user, req).ServeHTTP(w, r)
}

func (s *Server) count(req request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case req.path == "git-upload-pack":
		s.requests.Fetch++
	case req.path == "git-receive-pack":
		s.requests.Push++
	case req.write:
		s.requests.ListForPush++
	default:
		s.requests.ListForFetch++
	}
}

// authenticate returns the user ("" when anonymous) and whether the request is
// allowed. Wrong credentials are refused even where none are needed, so that a
// typing mistake shows at once.
func (s *Server) authenticate(r *http.Request, req request) (user string, granted bool) {
	name, password, given := r.BasicAuth()
	if !given {
		return "", s.opts.AnonymousRead && !req.write
	}
	got := sha256.Sum256([]byte(name + "\x00" + password))
	want := sha256.Sum256([]byte(s.opts.Username + "\x00" + s.opts.Password.Reveal()))
	return name, subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// backend returns the CGI handler for one request.
func (s *Server) backend(user string, req request) http.Handler {
	env := append([]string{
		"GIT_PROJECT_ROOT=" + s.dir,
		"GIT_HTTP_EXPORT_ALL=1",
		// http-backend accepts pushes from a named user only.
		"REMOTE_USER=" + user,
	}, s.git.env...)
	stderr := s.opts.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	handler := &cgi.Handler{Path: s.git.backend, Root: "/", Dir: s.dir, Env: env, Stderr: stderr, Logger: log.New(stderr, "", 0)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		// Headers become environment variables of git and of its hooks.
		r.Header.Del("Authorization")
		r.URL.Path = "/" + req.repo + ".git/" + req.path
		handler.ServeHTTP(w, r)
	})
}

// sizeBody gives a body of unknown length one, by way of a temporary file: CGI
// has no chunked bodies, and git sends large pushes that way. The caller calls
// cleanup when the request is done.
func sizeBody(w http.ResponseWriter, r *http.Request) (cleanup func(), err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxPushBytes)
	if r.ContentLength >= 0 {
		return func() {}, nil
	}
	spool, err := os.CreateTemp("", "waybill-git-body-*")
	if err != nil {
		return nil, err
	}
	cleanup = func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}
	size, err := io.Copy(spool, r.Body)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		cleanup()
		return nil, err
	}
	r.Body, r.ContentLength, r.TransferEncoding = spool, size, nil
	return cleanup, nil
}
