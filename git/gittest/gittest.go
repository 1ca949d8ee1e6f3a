// Package gittest gives tests a real Git server in their own process: git's
// http-backend behind basic authentication, on loopback, in a temporary
// directory that is checked with "git fsck" when the test ends.
package gittest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Credentials every server of this package accepts.
const (
	Username = "waybill"
	Password = "pa55-w0rd/of+the=robot"
)

// File is one file of a commit; see gitserver.File for the modes.
type File = gitserver.File

// Server is a Git server that lives as long as its test.
type Server struct {
	*gitserver.Server
	t testing.TB

	mu    sync.Mutex
	repos []string
	clock time.Time // of the next commit: fixed, so that hashes repeat
	wrap  func(http.Handler) http.Handler
}

// Option changes how NewServer starts.
type Option func(*gitserver.Options)

// AnonymousRead lets anybody clone and fetch.
func AnonymousRead() Option {
	return func(o *gitserver.Options) { o.AnonymousRead = true }
}

// NewServer starts a server; the test's end stops it and fails the test when
// "git fsck" finds fault with a repository made by CreateRepo.
func NewServer(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{t: t, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	opts := gitserver.Options{
		Dir: t.TempDir(), Username: Username, Password: secret.New(Password),
		Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.mu.Lock()
				wrap := s.wrap
				s.mu.Unlock()
				if wrap != nil {
					wrap(next).ServeHTTP(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
	}
	for _, o := range options {
		o(&opts)
	}
	server, err := gitserver.Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = server
	t.Cleanup(s.close)
	return s
}

func (s *Server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Server.Close(ctx); err != nil {
		s.t.Errorf("git server: %v", err)
	}
	s.mu.Lock()
	repos := s.repos
	s.mu.Unlock()
	for _, repo := range repos {
		if out, err := s.Server.Git(ctx, repo, "fsck", "--strict", "--no-dangling"); err != nil {
			s.t.Errorf("git fsck of %q: %v%s", repo, err, out)
		}
	}
}

// Intercept puts wrap around the server from now on; nil takes it away.
func (s *Server) Intercept(wrap func(http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrap = wrap
}

// CreateRepo makes a repository with files on its default branch (none: the
// repository stays empty) and returns its clone URL.
func (s *Server) CreateRepo(name string, files map[string]string) string {
	s.t.Helper()
	if err := s.Server.CreateRepo(context.Background(), name); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.repos = append(s.repos, name)
	s.mu.Unlock()
	if len(files) > 0 {
		s.Commit(name, gitserver.DefaultBranch, "initial content", files)
	}
	return s.URL(name)
}

// Commit sets files on a branch, which is created from nothing when missing,
// and returns the commit's hash in hex.
func (s *Server) Commit(repo, branch, message string, files map[string]string) string {
	s.t.Helper()
	plain := make(map[string]File, len(files))
	for path, content := range files {
		plain[path] = File{Content: content}
	}
	return s.CommitFiles(repo, gitserver.Commit{Branch: branch, Message: message, Files: plain})
}

// CommitFiles makes any commit; its date is one second after the last one's
// unless set.
func (s *Server) CommitFiles(repo string, c gitserver.Commit) string {
	s.t.Helper()
	if c.When.IsZero() {
		s.mu.Lock()
		s.clock = s.clock.Add(time.Second)
		c.When = s.clock
		s.mu.Unlock()
	}
	hash, err := s.Server.Commit(context.Background(), repo, c)
	if err != nil {
		s.t.Fatal(err)
	}
	return hash
}

// Git runs git in the repository and returns what it prints.
func (s *Server) Git(repo string, args ...string) string {
	s.t.Helper()
	out, err := s.Server.Git(context.Background(), repo, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

// Branch returns the hash of a branch in hex, or "" when there is none.
func (s *Server) Branch(repo, branch string) string {
	s.t.Helper()
	return strings.TrimSpace(s.Git(repo, "for-each-ref", "--format=%(objectname)", "refs/heads/"+branch))
}

// SetBranch moves a branch to any commit, as a person with --force would; an
// empty commit deletes it.
func (s *Server) SetBranch(repo, branch, commit string) {
	s.t.Helper()
	if commit == "" {
		s.Git(repo, "update-ref", "-d", "refs/heads/"+branch)
		return
	}
	s.Git(repo, "update-ref", "refs/heads/"+branch, commit)
}

// Log returns the full messages of a branch, newest first.
func (s *Server) Log(repo, branch string) []string {
	s.t.Helper()
	out := s.Git(repo, "log", "-z", "--format=%B", "refs/heads/"+branch)
	messages := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	for i := range messages {
		messages[i] = strings.TrimRight(messages[i], "\n")
	}
	return messages
}

// Show returns the bytes of one object, say "stage/prod:app/values.yaml".
func (s *Server) Show(repo, object string) string {
	s.t.Helper()
	return s.Git(repo, "cat-file", "blob", object)
}

// Files returns "mode path" of every file of a revision, in order.
func (s *Server) Files(repo, revision string) []string {
	s.t.Helper()
	var files []string
	for line := range strings.SplitSeq(s.Git(repo, "ls-tree", "-r", "-z", revision), "\x00") {
		if info, path, found := strings.Cut(line, "\t"); found {
			mode, _, _ := strings.Cut(info, " ")
			files = append(files, mode+" "+path)
		}
	}
	return files
}

// ManyFiles returns n files of a few lines each in a tree of directories with
// 100 files: the shape of a repository of manifests.
func ManyFiles(n int) map[string]string {
	files := make(map[string]string, n)
	for i := range n {
		files[fmt.Sprintf("apps/team-%03d/app-%03d.yaml", i/100, i%100)] = fmt.Sprintf("name: app-%d\nreplicas: %d\n", i, i%7)
	}
	return files
}
