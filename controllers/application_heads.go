package controllers

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// lsRemoteTimeout bounds one question to a repository.
const lsRemoteTimeout = 30 * time.Second

// branchHeads knows where branches are. One poller per repository and
// credential serves all Applications: one ls-remote per interval, and one at
// once when somebody asks.
type branchHeads struct {
	mirrors *git.Mirrors
	// remote looks up a Project's credentials for a repository.
	remote   func(ctx context.Context, project, repoURL string) (git.Remote, error)
	clock    clock.WithTicker
	interval time.Duration
	// changed is called with the Applications whose branch moved or became
	// readable or unreadable.
	changed func(apps []types.NamespacedName)

	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // The life of the pollers that head starts.
	wg    sync.WaitGroup
	repos map[repoKey]*repoHeads
	users map[types.NamespacedName]repoUse
}

// repoKey tells repositories apart as different credentials see them.
type repoKey struct{ url, credential string }

type repoUse struct {
	repo   repoKey
	branch string
	// asked is the number of the poll that answers the last ask; 0: none.
	asked int
}

// repoHeads is one repository. Its fields are guarded by branchHeads.mu.
type repoHeads struct {
	remote   git.Remote // the newest, for the next poll
	refs     git.Refs
	err      error
	answered bool
	kick     chan struct{}
	// moves counts moves we were told of; a poll that began before one may
	// know less than we do and is asked again.
	moves int
	// started and done number the polls.
	started, done int
	cancel        context.CancelFunc
}

func newBranchHeads(o ApplicationOptions, changed func([]types.NamespacedName)) *branchHeads {
	return &branchHeads{
		mirrors: o.Mirrors, remote: o.Remote, clock: o.Clock, interval: o.PollInterval, changed: changed,
		repos: map[repoKey]*repoHeads{}, users: map[types.NamespacedName]repoUse{},
	}
}

// run polls until ctx ends.
func (h *branchHeads) run(ctx context.Context) {
	h.mu.Lock()
	h.ctx = ctx
	for key, r := range h.repos {
		h.start(key, r)
	}
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	h.ctx = nil
	h.mu.Unlock()
	h.wg.Wait()
}

// start begins to poll r. h.mu is held.
func (h *branchHeads) start(key repoKey, r *repoHeads) {
	if h.ctx == nil || r.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(h.ctx)
	r.cancel = cancel
	h.wg.Go(func() { h.poll(ctx, key, r) })
}

// head returns the commit app's branch is at, and remembers that app wants to
// know when it moves. An empty branch is the default branch. answered is false
// until the repository was asked for the first time; app is told then. When the
// last question failed, err says why and commit is what was known before ("" if
// nothing was).
func (h *branchHeads) head(app types.NamespacedName, remote git.Remote, branch string) (commit string, answered bool, err error) {
	url, normErr := repourl.Normalize(remote.URL)
	if normErr != nil {
		return "", true, normErr
	}
	key := repoKey{url, remote.CredentialName}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repos[key]
	if r == nil {
		r = &repoHeads{kick: make(chan struct{}, 1)}
		h.repos[key] = r
	}
	if r.err != nil && !sameCredentials(r.remote, remote) {
		kick(r) // what was wrong may be right now
	}
	r.remote = remote
	h.start(key, r)
	old := h.users[app]
	use := repoUse{repo: key, branch: branch}
	if old.repo == key {
		use.asked = old.asked
	}
	h.users[app] = use
	if old.repo != key {
		h.stopUnused(old.repo)
	}
	if !r.answered {
		return "", false, nil
	}
	at, headErr := r.refs.Head(branch)
	switch {
	case r.err != nil && headErr == nil:
		return at.String(), true, r.err
	case r.err != nil:
		return "", true, r.err
	case headErr != nil:
		return "", true, headErr
	default:
		return at.String(), true, nil
	}
}

// forget ends app's interest.
func (h *branchHeads) forget(app types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.users[app]
	delete(h.users, app)
	h.stopUnused(old.repo)
}

// stopUnused ends the poller of key when nobody needs it. h.mu is held.
func (h *branchHeads) stopUnused(key repoKey) {
	r := h.repos[key]
	if r == nil {
		return
	}
	for _, use := range h.users {
		if use.repo == key {
			return
		}
	}
	if r.cancel != nil {
		r.cancel()
	}
	delete(h.repos, key)
}

// ask polls app's repository now. app is told of the answer, whatever it is.
func (h *branchHeads) ask(app types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	use := h.users[app]
	if r := h.repos[use.repo]; r != nil {
		use.asked = r.started + 1
		h.users[app] = use
		kick(r)
	}
}

// isFresh reports whether what head returns was true after the last ask.
func (h *branchHeads) isFresh(app types.NamespacedName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	use := h.users[app]
	r := h.repos[use.repo]
	return r != nil && r.done >= use.asked
}

func sameCredentials(a, b git.Remote) bool {
	return a.Username == b.Username && a.Password == b.Password && bytes.Equal(a.CABundle, b.CABundle) &&
		a.SSHPrivateKey == b.SSHPrivateKey && bytes.Equal(a.KnownHosts, b.KnownHosts)
}

func kick(r *repoHeads) {
	select {
	case r.kick <- struct{}{}:
	default: // one is waiting already
	}
}

// moved takes the news of an own push. When the branch was at the commit's
// parent, it is at the commit now and nobody is asked; anything else is settled
// by asking the repository.
func (h *branchHeads) moved(m BranchMoved) {
	url, err := repourl.Normalize(m.RepoURL)
	if err != nil {
		return
	}
	commit, err := git.ParseHash(m.Commit)
	if err != nil {
		return
	}
	h.mu.Lock()
	var wake []types.NamespacedName
	for key, r := range h.repos {
		if key.url != url {
			continue
		}
		known, exists := r.refs.Branches[m.Branch]
		switch {
		case !r.answered, exists && known == commit:
			if !r.answered {
				r.moves++
			}
		case exists && known.String() == m.Parent, !exists && m.Parent == "":
			r.moves++
			branches := make(map[string]git.Hash, len(r.refs.Branches)+1)
			for name, at := range r.refs.Branches {
				branches[name] = at
			}
			branches[m.Branch] = commit
			r.refs.Branches = branches
			wake = append(wake, h.interested(key, func(branch string) bool {
				return branch == m.Branch || branch == "" && r.refs.DefaultBranch == m.Branch
			})...)
		default:
			kick(r)
		}
	}
	h.mu.Unlock()
	if len(wake) > 0 {
		h.changed(wake)
	}
}

// interested lists the Applications of a repository whose branch satisfies
// want. h.mu is held.
func (h *branchHeads) interested(key repoKey, want func(branch string) bool) []types.NamespacedName {
	var out []types.NamespacedName
	for app, use := range h.users {
		if use.repo == key && want(use.branch) {
			out = append(out, app)
		}
	}
	return out
}

// poll asks at once, then at every interval, sooner when kicked, and after
// failures with growing pauses.
func (h *branchHeads) poll(ctx context.Context, key repoKey, r *repoHeads) {
	failures, kicked := 0, true
	for {
		h.mu.Lock()
		remote, moves := r.remote, r.moves
		r.started++
		users := h.interested(key, func(string) bool { return true })
		h.mu.Unlock()
		bounded, cancel := context.WithTimeout(ctx, lsRemoteTimeout)
		if len(users) > 0 && h.remote != nil {
			// A password may have ended since an Application last brought one.
			if fresh, err := h.remote(bounded, users[0].Namespace, remote.URL); err == nil && fresh.CredentialName == remote.CredentialName {
				remote = fresh
			}
		}
		// What a Warehouse asked meanwhile is as good as our own question, unless
		// somebody wants to know what is true now.
		now := h.clock.Now()
		notBefore := now
		if !kicked {
			notBefore = now.Add(-h.interval * 9 / 10)
		}
		refs, at, _, err := h.mirrors.Refs(bounded, remote, notBefore)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if again := h.settle(key, r, moves, refs, err); again {
			kicked = true
			continue
		}
		pause := h.interval*9/10 + rand.N(h.interval/5+1) //nolint:gosec // Jitter.
		if err != nil {
			failures++
			pause = min(pause, retryPause(failures))
			var failed *git.Error
			if errors.As(err, &failed) && failed.RetryAfter > pause {
				pause = min(failed.RetryAfter, time.Hour)
			}
		} else {
			failures = 0
			pause -= min(max(now.Sub(at), 0), pause)
		}
		kicked = err != nil // a failure that is remembered answers nothing
		timer := h.clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.kick:
			timer.Stop()
			kicked = true
		case <-timer.C():
		}
	}
}

// retryPause is 1 s, doubling, at most 5 minutes, for the n-th failure in a row.
func retryPause(n int) time.Duration {
	return min(time.Second<<min(n-1, 10), 5*time.Minute)
}

// settle stores an answer and tells whom it concerns. again is true when a
// push happened while the question was under way.
func (h *branchHeads) settle(key repoKey, r *repoHeads, moves int, refs git.Refs, err error) (again bool) {
	h.mu.Lock()
	if err == nil && r.moves != moves {
		h.mu.Unlock()
		return true
	}
	before, hadErr, first, done := r.refs, r.err, !r.answered, r.done
	r.done = r.started
	r.answered, r.err = true, err
	if err == nil {
		r.refs = refs
	}
	wake := h.interested(key, func(branch string) bool {
		if first || !sameText(hadErr, err) {
			return true
		}
		was, wasErr := before.Head(branch)
		is, isErr := r.refs.Head(branch)
		return was != is || (wasErr == nil) != (isErr == nil)
	})
	for app, use := range h.users {
		if use.repo == key && use.asked > done && use.asked <= r.done && !slices.Contains(wake, app) {
			wake = append(wake, app)
		}
	}
	h.mu.Unlock()
	if len(wake) > 0 {
		h.changed(wake)
	}
	return false
}

func sameText(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}
