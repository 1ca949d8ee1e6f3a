package registry

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// repository is what a session remembers of one repository.
type repository struct {
	path string // "library/nginx"
	key  string // "index.docker.io/library/nginx"

	lastUsed time.Time // guarded by client.mu

	// turn lets one goroutine at a time list; it guards listing.
	turn    chan struct{}
	listing listing

	mu       sync.Mutex // guards what follows
	token    bearer
	scopes   []string // beyond pull
	isProven bool     // this account has read it since the start
	// passedOver are tags that could not be read; they are not asked for again
	// at every poll.
	passedOver map[string]passedOver
	// refusals are images that are not signed as a subscription wants.
	refusals map[signed]refusal
	// asked are the tags that were asked for, or are being: one goroutine at a
	// time asks for a tag, the others find its answer.
	asked map[string]*asked
	// recheckAt is when some of the tags that were looked up once are due to be
	// asked for again.
	recheckAt time.Time
	rechecked map[string]time.Time // when a tag was last
}

// asked is the last question about one tag.
type asked struct {
	turn chan struct{} // held while asking; guards at and err
	at   time.Time     // when it began; zero: not since the start
	err  error
}

// bearer is a token and when it ends.
type bearer struct {
	value   string
	expires time.Time
}

type passedOver struct {
	err   error
	until time.Time
}

const (
	// maxPassedOver bounds the memory for unreadable tags of one repository, and
	// maxAsked that for tags that were asked for.
	maxPassedOver = 1000
	maxAsked      = 10_000
)

// repository returns what is remembered of path. Called with client.mu held.
func (s *session) repository(path string, now time.Time) *repository {
	r, ok := s.repositories[path]
	if !ok {
		evictOldest(s.repositories, maxRepositories, func(r *repository) time.Time { return r.lastUsed })
		r = &repository{
			path: path, key: s.host + "/" + path, turn: make(chan struct{}, 1),
			passedOver: map[string]passedOver{}, refusals: map[signed]refusal{}, asked: map[string]*asked{}, rechecked: map[string]time.Time{}, recheckAt: now.Add(s.client.opts.RecheckInterval),
		}
		s.repositories[path] = r
	}
	r.lastUsed = now
	return r
}

func (r *repository) pullScope() string { return "repository:" + r.path + ":pull" }

func (r *repository) allScopes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{r.pullScope()}, r.scopes...)
}

func (r *repository) liveToken(now time.Time) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.token.value, r.token.value != "" && now.Before(r.token.expires)
}

func (r *repository) keep(t bearer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token = t
}

// refuse drops the token in authorization (revoked, expired early, or lacking a
// scope) unless another goroutine has replaced it, and notes wanted scopes. Some
// registries want another action than pull for listing; what is not about this
// repository they have no business to ask for.
func (r *repository) refuse(authorization string, wanted []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if authorization == "Bearer "+r.token.value {
		r.token = bearer{}
	}
	for _, scope := range wanted {
		isOurs := strings.HasPrefix(scope, "repository:"+r.path+":")
		if isOurs && scope != r.pullScope() && len(r.scopes) < maxScopes && !slices.Contains(r.scopes, scope) {
			r.scopes = append(r.scopes, scope)
		}
	}
}

// prove notes whether this account may read the repository: only then does the
// cache answer for it.
func (r *repository) prove(may bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isProven = may
}

func (r *repository) proven() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isProven
}

// passOver remembers that tag cannot be read until then.
func (r *repository) passOver(tag string, err error, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.passedOver) >= maxPassedOver {
		clear(r.passedOver)
	}
	r.passedOver[tag] = passedOver{err, until}
}

func (r *repository) whyPassedOver(tag string, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.passedOver[tag]; ok && now.Before(p.until) {
		return p.err
	}
	return nil
}

func (r *repository) refuseImage(digest, want string, why refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refusals) >= maxRefusals {
		clear(r.refusals)
	}
	r.refusals[signed{digest, want}] = why
}

func (r *repository) whyRefused(digest, want string) (refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why, ok := r.refusals[signed{digest, want}]
	return why, ok
}

// question returns the place where what is known about tag since the start is.
func (r *repository) question(tag string) *asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	q, ok := r.asked[tag]
	if !ok {
		if len(r.asked) >= maxAsked { // who holds one keeps it; the rest is asked again
			clear(r.asked)
		}
		q = &asked{turn: make(chan struct{}, 1)}
		r.asked[tag] = q
	}
	return q
}

// takeRecheck returns up to n of tags to ask for again, those first that were
// not asked for longest; none while the next time is not due.
func (r *repository) takeRecheck(tags []string, n int, now time.Time, interval time.Duration) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(tags) == 0 || now.Before(r.recheckAt) {
		return nil
	}
	r.recheckAt = now.Add(interval)
	last := func(tag string) time.Time {
		if at, ok := r.rechecked[tag]; ok {
			return at
		}
		return time.Time{}
	}
	due := slices.Clone(tags)
	slices.SortStableFunc(due, func(a, b string) int { return last(a).Compare(last(b)) })
	due = due[:min(n, len(due))]
	if len(r.rechecked) > maxAsked {
		clear(r.rechecked)
	}
	for _, tag := range due {
		r.rechecked[tag] = now
	}
	return due
}
