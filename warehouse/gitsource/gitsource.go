// Package gitsource finds out which commits of a Git repository a Warehouse may
// take.
//
// What a poll costs: nothing when another Warehouse, or an Application of a Stage,
// asked the same repository with the same credential within the interval; one
// request when nothing moved; one more, into the mirror that all share, when
// something did. What was looked at is not looked at again: a branch is followed
// from where it was, and tags are read when they are new.
package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/warehouse"
)

const (
	// maxCommits is how far back a branch is searched for commits that count,
	// and maxTags how many tags are read to tell which was made last.
	maxCommits = 2000
	maxTags    = 2000
	// pollTimeout bounds a poll that has to fetch.
	pollTimeout = 5 * time.Minute
)

// Source asks Git repositories. It is safe for concurrent use.
type Source struct {
	mirrors *git.Mirrors
	now     func() time.Time
}

// New returns a Source on the mirrors.
func New(mirrors *git.Mirrors, now func() time.Time) *Source { return &Source{mirrors, now} }

// Poll asks for the candidates of one subscription. old is its status: what it has
// seen needs no second look. What was asked after notBefore with the same
// credential is shared; the zero time means now.
//
// The result is complete also on error: it then has the text for the status, and
// no candidates. Its reason is the caller's business (git.Error has a kind).
func (s *Source) Poll(ctx context.Context, remote git.Remote, p *warehouse.CommitPolicy, old v1alpha1.SubscriptionStatus, notBefore time.Time) (warehouse.Poll, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	poll := warehouse.Poll{At: metav1.NewTime(s.now()), Stretch: 1}
	refs, at, asked, err := s.mirrors.Refs(ctx, remote, notBefore)
	if asked {
		poll.Requests++
	}
	if !at.IsZero() {
		poll.At = metav1.NewTime(at)
	}
	if err == nil {
		err = s.look(ctx, remote, p, refs, old, &poll)
	}
	if err != nil {
		poll.IsFailed, poll.Error = true, err.Error()
		var failed *git.Error
		if errors.As(err, &failed) && failed.RetryAfter > 0 {
			poll.RetryAt = poll.At.Add(failed.RetryAfter)
		}
		return poll, err
	}
	if len(poll.Commits) == 0 && poll.Error == "" {
		poll.Reason, poll.Error = warehouse.ReasonNoMatchingCommit, p.NoMatch(poll.Tags)
	}
	return poll, nil
}

func (s *Source) look(ctx context.Context, remote git.Remote, p *warehouse.CommitPolicy, refs git.Refs, old v1alpha1.SubscriptionStatus, poll *warehouse.Poll) error {
	mirror, err := s.mirrors.Open(remote)
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	l := looker{mirror: mirror, policy: p, refs: refs, old: old, poll: poll}
	if branch, isBranch := p.Branch(); isBranch {
		return l.branch(ctx, branch)
	}
	return l.tags(ctx)
}

// looker is one look at one repository.
type looker struct {
	mirror *git.Mirror
	policy *warehouse.CommitPolicy
	refs   git.Refs
	old    v1alpha1.SubscriptionStatus
	poll   *warehouse.Poll
}

// branch takes the newest commits of a branch that count: from its head along
// first parents, so that a merge is one commit, to where the last look began.
func (l *looker) branch(ctx context.Context, name string) error {
	head, err := l.refs.Head(name)
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	if name == "" {
		name = l.refs.DefaultBranch
	}
	l.poll.Observed = l.policy.SeenHead(head.String())
	if l.old.Observed == l.poll.Observed {
		l.poll.Commits, l.poll.Tags = l.old.Commits, int(l.old.Tags)
		return nil
	}
	if !l.mirror.Has(head) {
		l.poll.Requests += 2 // the listing and the pack
		refs, err := l.mirror.Fetch(ctx, name)
		if err != nil {
			return err //nolint:wrapcheck // names the repository already
		}
		if head, err = refs.Head(name); err != nil { // it may have moved again
			return err //nolint:wrapcheck // names the repository already
		}
		l.poll.Observed = l.policy.SeenHead(head.String())
	}
	seen := l.policy.SeenBefore(l.old.Observed)
	for c, err := range l.mirror.FirstParents(head, git.Hash{}, maxCommits) {
		switch {
		case errors.Is(err, git.ErrTooLarge):
			return nil // far enough back
		case err != nil:
			return fmt.Errorf("read %s: %w", l.mirror.URL(), err)
		case ctx.Err() != nil:
			return ctx.Err() //nolint:wrapcheck // the caller's own
		case seen != "" && c.Hash.String() == seen:
			l.keepOld()
			return nil
		}
		l.poll.Tags++
		found := commitOf(c)
		if l.policy.IsPast(found) {
			return nil
		}
		counts, err := l.accepts(c, found)
		if err != nil {
			return err
		}
		if !counts {
			continue
		}
		l.poll.Commits = append(l.poll.Commits, l.policy.Candidate(found, name))
		if len(l.poll.Commits) == l.policy.Limit() {
			return nil
		}
	}
	return nil
}

// keepOld adds what the last look found below what is new.
func (l *looker) keepOld() {
	room := l.policy.Limit() - len(l.poll.Commits)
	l.poll.Commits = append(l.poll.Commits, l.old.Commits[:min(room, len(l.old.Commits))]...)
	l.poll.Tags += int(l.old.Tags)
}

// accepts asks the policy, with the files that the commit changed against its
// first parent when they matter.
func (l *looker) accepts(c git.Commit, found warehouse.Commit) (bool, error) {
	paths := []string{}
	if l.policy.NeedsPaths() {
		var parent git.Hash
		if len(c.Parents) > 0 {
			parent = c.Parents[0]
		}
		changes, err := l.mirror.ChangedPaths(parent, c.Hash)
		switch {
		case errors.Is(err, git.ErrTooLarge):
			paths = nil
		case err != nil:
			return false, fmt.Errorf("read %s: %w", l.mirror.URL(), err)
		}
		for _, change := range changes {
			paths = append(paths, change.Path)
		}
	}
	return l.policy.Accepts(found, paths) //nolint:wrapcheck // names the repository already
}

// tags takes the newest tags that count.
func (l *looker) tags(ctx context.Context) error {
	l.poll.Tags = len(l.refs.Tags)
	names := make([]string, 0, len(l.refs.Tags))
	for name := range l.refs.Tags {
		names = append(names, name)
	}
	ordered := l.policy.OrderTags(names)
	state := make([]string, len(ordered))
	for i, name := range ordered {
		state[i] = name + " " + l.refs.Tags[name].Object.String()
	}
	l.poll.Observed = l.policy.Seen(state)
	if l.old.Observed == l.poll.Observed {
		l.poll.Commits = l.old.Commits
		return nil
	}
	if l.policy.NeedsAllTags() && len(ordered) > maxTags {
		return fmt.Errorf("%w: %d tags of %s pass the filters, %d can be compared by date: narrow them with allowTagsRegexes",
			warehouse.ErrInvalid, len(ordered), l.mirror.URL(), maxTags)
	}
	if l.policy.NeedsAllTags() {
		return l.newestTags(ctx, ordered)
	}
	// The order is known: read as many as are needed.
	for len(ordered) > 0 && len(l.poll.Commits) < l.policy.Limit() {
		batch := ordered[:min(len(ordered), l.policy.Limit())]
		ordered = ordered[len(batch):]
		found, err := l.read(ctx, batch)
		if err != nil {
			return err
		}
		if err := l.take(found); err != nil {
			return err
		}
	}
	return nil
}

// newestTags orders tags by when they were made.
func (l *looker) newestTags(ctx context.Context, names []string) error {
	found, err := l.read(ctx, names)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b tagged) int { return l.policy.TagNewer(a.found, b.found) })
	return l.take(found)
}

// tagged is a tag with its commit.
type tagged struct {
	commit git.Commit
	found  warehouse.Commit
}

// read brings tags and their commits into the mirror and reads them. A tag that
// leads to no commit is passed over, and said.
func (l *looker) read(ctx context.Context, names []string) ([]tagged, error) {
	objects := make([]git.Hash, len(names))
	for i, name := range names {
		objects[i] = l.refs.Tags[name].Object
	}
	asked, err := l.mirror.FetchObjects(ctx, objects...)
	l.poll.Requests += asked
	if err != nil {
		return nil, err //nolint:wrapcheck // names the repository already
	}
	var out []tagged
	for _, name := range names {
		t, err := l.mirror.Tag(l.refs.Tags[name])
		if errors.Is(err, git.ErrUnknownObject) {
			if l.poll.Error == "" && len(l.poll.Commits)+len(out) == 0 {
				l.poll.Reason, l.poll.Error = warehouse.ReasonTagPassedOver, fmt.Sprintf("tag %q is passed over: %v", name, err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read tag %q of %s: %w", name, l.mirror.URL(), err)
		}
		c, err := l.mirror.Commit(t.Commit)
		if err != nil {
			return nil, fmt.Errorf("read tag %q of %s: %w", name, l.mirror.URL(), err)
		}
		found := commitOf(c)
		found.Tag, found.TagDate, found.Annotation = name, t.When, t.Annotation
		if t.IsAnnotated {
			found.Tagger = who(t.Tagger)
		}
		out = append(out, tagged{c, found})
	}
	return out, nil
}

// take adds those that count, up to the limit.
func (l *looker) take(found []tagged) error {
	for _, t := range found {
		if len(l.poll.Commits) == l.policy.Limit() {
			return nil
		}
		counts, err := l.accepts(t.commit, t.found)
		if err != nil {
			return err
		}
		if counts {
			l.poll.Commits = append(l.poll.Commits, l.policy.Candidate(t.found, ""))
		}
	}
	return nil
}

func commitOf(c git.Commit) warehouse.Commit {
	return warehouse.Commit{ID: c.Hash.String(), Message: c.Message, Author: who(c.Author), Committer: who(c.Committer), Date: c.When}
}

func who(i git.Identity) string { return i.Name + " <" + i.Email + ">" }
