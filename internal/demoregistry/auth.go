package demoregistry

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tokenPath    = "/token"
	tokenService = "waybill-demo-registry"
	maxTokens    = 10_000
)

// tokens are the bearer tokens in force. They are forgotten at a restart, as
// clients must expect of any token server.
type tokens struct {
	now  func() time.Time
	ttl  time.Duration
	mu   sync.Mutex
	live map[string]grant
}

type grant struct {
	scopes  []string // "repository:app:pull"
	expires time.Time
}

func newTokens(now func() time.Time, ttl time.Duration) *tokens {
	return &tokens{now: now, ttl: ttl, live: map[string]grant{}}
}

func (t *tokens) issue(scopes []string) string {
	value := rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if len(t.live) >= maxTokens {
		for k, g := range t.live {
			if !now.Before(g.expires) {
				delete(t.live, k)
			}
		}
	}
	t.live[value] = grant{scopes: scopes, expires: now.Add(t.ttl)}
	return value
}

// allows reports whether value is in force and, unless scope is empty, covers it.
func (t *tokens) allows(value, scope string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.live[value]
	return ok && t.now().Before(g.expires) && (scope == "" || slices.Contains(g.scopes, scope))
}

func (t *tokens) revokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.live)
}

// RevokeTokens makes every bearer token issued so far invalid.
func (s *Server) RevokeTokens() { s.tokens.revokeAll() }

// serveToken exchanges basic credentials for a token (the distribution token
// specification, GET form).
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if s.opts.Auth != AuthBearer || r.Method != http.MethodGet {
		writeError(w, http.StatusNotFound, "UNSUPPORTED", "no such endpoint")
		return
	}
	_, _, hasBasic := r.BasicAuth()
	isKnown := s.isAccount(r)
	if hasBasic && !isKnown || !hasBasic && !s.opts.AnonymousRead || r.URL.Query().Get("service") != tokenService {
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "user name or password is wrong")
		return
	}
	var granted []string
	for _, scope := range r.URL.Query()["scope"] {
		prefix, actions, ok := cutLast(scope, ":")
		if !ok {
			continue
		}
		for _, action := range strings.Split(actions, ",") {
			if isKnown || action == "pull" {
				granted = append(granted, prefix+":"+action)
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone if this fails
		"token": s.tokens.issue(granted), "expires_in": int(s.opts.TokenTTL / time.Second),
	})
}

// authorize answers 401 with a challenge, and returns false, unless r may pass.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) bool {
	action := "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		action = "push"
	}
	switch s.opts.Auth {
	case AuthBasic:
		_, _, hasBasic := r.BasicAuth()
		if s.isAccount(r) || s.opts.AnonymousRead && action == "pull" && !hasBasic {
			return true
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm=%q`, tokenService))
	case AuthBearer:
		var scope, challenge string
		if repo, _, _, ok := route(r.URL.Path); ok {
			scope = "repository:" + repo + ":" + action
			challenge = scope
			if action == "push" {
				challenge = "repository:" + repo + ":pull,push"
			}
		}
		if value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && s.tokens.allows(value, scope) {
			return true
		}
		header := fmt.Sprintf(`Bearer realm="http://%s%s",service=%q`, s.Host(), tokenPath, tokenService)
		if challenge != "" {
			header += fmt.Sprintf(`,scope=%q`, challenge)
		}
		w.Header().Set("WWW-Authenticate", header)
	default:
		return true
	}
	writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (s *Server) isAccount(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	return ok && equal(user, s.opts.Username) && equal(password, s.opts.Password.Reveal())
}

// equal compares in constant time, whatever the lengths.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
