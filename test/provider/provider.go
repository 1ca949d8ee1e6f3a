package provider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/git/gittest"
)

// Token is what the APIs take, and Owner who owns every repository.
const (
	Token = gittest.Password
	Owner = "team"
)

// Pull is a pull request.
type Pull struct {
	Number                      int
	Repo, Source, Target        string
	Title, Body                 string
	Labels                      []string
	IsMerged, IsClosed          bool
	MergeCommit, Head, mergedAt string
}

// Status is a status of a commit.
type Status struct{ Commit, State, Context, Description, URL string }

// Server is a provider that lives as long as its test.
type Server struct {
	*gittest.Server
	t testing.TB

	mu       sync.Mutex
	pulls    []*Pull
	statuses []Status
	// blocked says why nothing can be merged; "" when it can.
	blocked string
	// dropped counts how many answers to requests that open are still to be lost.
	dropped int
	down    bool
}

// Start puts a provider around a Git server.
func Start(t testing.TB, g *gittest.Server) *Server {
	t.Helper()
	s := &Server{Server: g, t: t}
	g.Intercept(func(git http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/api/"):
				s.serve(w, r)
			case strings.HasPrefix(r.URL.Path, "/"+Owner+"/"):
				http.StripPrefix("/"+Owner, git).ServeHTTP(w, r)
			default:
				git.ServeHTTP(w, r)
			}
		})
	})
	return s
}

// CloneURL returns the address of a repository at the provider.
func (s *Server) CloneURL(repo string) string {
	return strings.Replace(s.URL(repo), "/"+repo+".git", "/"+Owner+"/"+repo+".git", 1)
}

// Pulls returns all pull requests, the oldest first.
func (s *Server) Pulls() []Pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Pull, len(s.pulls))
	for i, p := range s.pulls {
		out[i] = *p
	}
	return out
}

// Statuses returns all statuses of commits, the oldest first.
func (s *Server) Statuses() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.statuses)
}

// Merge is a person who merges.
func (s *Server) Merge(number int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pull(number)
	if p == nil {
		s.t.Errorf("there is no pull request %d", number)
		return
	}
	if err := s.merge(p, "merge", "Merge pull request", ""); err != nil {
		s.t.Error(err)
	}
}

// Close is a person who closes one without merging it.
func (s *Server) Close(number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pull(number); p != nil {
		p.IsClosed = true
	}
}

// Block makes merges be refused; "" makes them work again.
func (s *Server) Block(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocked = why
}

// LoseAnswers makes the answers to the next n requests that open a pull request
// be lost: it is opened, and the connection breaks.
func (s *Server) LoseAnswers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = n
}

// SetDown makes every call of the APIs fail.
func (s *Server) SetDown(isDown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = isDown
}

func (s *Server) pull(number int) *Pull {
	if number < 1 || number > len(s.pulls) {
		return nil
	}
	return s.pulls[number-1]
}

// find returns the pull requests of a repository that a list asks for, the
// newest first. Empty source or target: any.
func (s *Server) find(repo, source, target string) []*Pull {
	var out []*Pull
	for _, p := range slices.Backward(s.pulls) {
		if p.Repo == repo && (source == "" || p.Source == source) && (target == "" || p.Target == target) {
			out = append(out, p)
		}
	}
	return out
}

// open makes a pull request; the error says why there is none.
func (s *Server) open(p Pull) (*Pull, error) {
	if p.Head = s.Branch(p.Repo, p.Source); p.Head == "" {
		return nil, fmt.Errorf("branch %q does not exist", p.Source)
	}
	if s.Branch(p.Repo, p.Target) == "" {
		return nil, fmt.Errorf("branch %q does not exist", p.Target)
	}
	for _, q := range s.find(p.Repo, p.Source, p.Target) {
		if !q.IsMerged && !q.IsClosed {
			return nil, fmt.Errorf("a pull request already exists for %s:%s", Owner, p.Source)
		}
	}
	p.Number = len(s.pulls) + 1
	s.pulls = append(s.pulls, &p)
	return &p, nil
}

// merge moves the target branch.
func (s *Server) merge(p *Pull, method, title, message string) error {
	if s.blocked != "" || p.IsClosed || p.IsMerged {
		return fmt.Errorf("pull request %d cannot be merged: %s", p.Number, s.blocked)
	}
	source, target := s.Branch(p.Repo, p.Source), s.Branch(p.Repo, p.Target)
	if base := strings.TrimSpace(s.Git(p.Repo, "merge-base", source, target)); base != target {
		return fmt.Errorf("pull request %d is behind its target", p.Number)
	}
	commit := source
	if method != "rebase" {
		args := []string{"-c", "user.name=Provider", "-c", "user.email=provider@example.com", "commit-tree", source + "^{tree}", "-p", target}
		if method == "merge" {
			args = append(args, "-p", source)
		}
		args = append(args, "-m", title)
		if message != "" {
			args = append(args, "-m", message)
		}
		commit = strings.TrimSpace(s.Git(p.Repo, args...))
	}
	s.Git(p.Repo, "update-ref", "refs/heads/"+p.Target, commit, target)
	p.IsMerged, p.IsClosed, p.MergeCommit, p.mergedAt = true, true, commit, "2026-11-20T12:00:00Z"
	return nil
}
