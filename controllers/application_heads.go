package controllers

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// lsRemoteTimeout bounds one question to a repository.
const lsRemoteTimeout = 30 * time.Second

// branchHeads knows where branches are: one ls-remote for each repository and
// credential serves all Applications.
type branchHeads struct {
	*polls[repoKey, git.Refs]
	mirrors *git.Mirrors
	// remote looks up a Project's credentials for a repository.
	remote func(ctx context.Context, project, repoURL string) (git.Remote, error)

	// The rest is guarded by mu.

	// remotes are the newest that Applications brought.
	remotes map[repoKey]git.Remote
	// branches are those of the Applications; empty is the default branch.
	branches map[types.NamespacedName]string
}

// repoKey tells repositories apart as different credentials see them.
type repoKey struct{ url, credential string }

func newBranchHeads(o ApplicationOptions, changed func([]types.NamespacedName)) *branchHeads {
	h := &branchHeads{mirrors: o.Mirrors, remote: o.Remote, remotes: map[repoKey]git.Remote{}, branches: map[types.NamespacedName]string{}}
	h.polls = &polls[repoKey, git.Refs]{
		clock: o.Clock, interval: o.PollInterval, changed: changed, look: h.look,
		isNews: func(app types.NamespacedName, before, after git.Refs) bool {
			was, wasErr := before.Head(h.branches[app])
			is, isErr := after.Head(h.branches[app])
			return was != is || (wasErr == nil) != (isErr == nil)
		},
		afterError: func(err error) (bool, time.Duration) {
			var failed *git.Error
			if errors.As(err, &failed) {
				return true, min(failed.RetryAfter, time.Hour)
			}
			return true, 0
		},
		all: map[repoKey]*poll[git.Refs]{}, users: map[types.NamespacedName]pollUse[repoKey]{},
	}
	return h
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
	was := h.remotes[key]
	h.remotes[key], h.branches[app] = remote, branch
	one := h.want(app, key)
	h.dropRemotes()
	if one.err != nil && !sameCredentials(was, remote) {
		one.wake() // what was wrong may be right now
	}
	if !one.answered {
		return "", false, nil
	}
	at, headErr := one.answer.Head(branch)
	switch {
	case one.err != nil && headErr == nil:
		return at.String(), true, one.err
	case one.err != nil:
		return "", true, one.err
	case headErr != nil:
		return "", true, headErr
	default:
		return at.String(), true, nil
	}
}

// forget ends app's interest.
func (h *branchHeads) forget(app types.NamespacedName) {
	h.polls.forget(app)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.branches, app)
	h.dropRemotes()
}

// dropRemotes forgets the credentials that nobody uses. mu is held.
func (h *branchHeads) dropRemotes() {
	if len(h.remotes) > len(h.all) {
		maps.DeleteFunc(h.remotes, func(key repoKey, _ git.Remote) bool { return h.all[key] == nil })
	}
}

func sameCredentials(a, b git.Remote) bool {
	return a.Username == b.Username && a.Password == b.Password && bytes.Equal(a.CABundle, b.CABundle) &&
		a.SSHPrivateKey == b.SSHPrivateKey && bytes.Equal(a.KnownHosts, b.KnownHosts)
}

// look asks a repository where its branches are.
func (h *branchHeads) look(ctx context.Context, key repoKey, users []types.NamespacedName, notBefore time.Time) (git.Refs, time.Time, error) {
	h.mu.Lock()
	remote := h.remotes[key]
	h.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, lsRemoteTimeout)
	defer cancel()
	if h.remote != nil {
		// A password may have ended since an Application last brought one.
		if fresh, err := h.remote(bounded, users[0].Namespace, remote.URL); err == nil && fresh.CredentialName == remote.CredentialName {
			remote = fresh
		}
	}
	refs, at, _, err := h.mirrors.Refs(bounded, remote, notBefore)
	return refs, at, err //nolint:wrapcheck // names the repository already
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
	for key, one := range h.all {
		if key.url != url {
			continue
		}
		known, exists := one.answer.Branches[m.Branch]
		switch {
		case !one.answered:
			one.told++
		case exists && known == commit:
		case exists && known.String() == m.Parent, !exists && m.Parent == "":
			one.told++
			branches := maps.Clone(one.answer.Branches)
			if branches == nil {
				branches = map[string]git.Hash{}
			}
			branches[m.Branch] = commit
			one.answer.Branches = branches
			for _, app := range h.usersOf(key) {
				if b := h.branches[app]; b == m.Branch || b == "" && one.answer.DefaultBranch == m.Branch {
					wake = append(wake, app)
				}
			}
		default:
			one.wake()
		}
	}
	h.mu.Unlock()
	if len(wake) > 0 {
		h.changed(wake)
	}
}
