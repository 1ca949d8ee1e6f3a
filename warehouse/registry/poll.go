package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

// Poll asks for the candidates of one subscription.
//
// The result is complete also on error: it then has the reason and the text for
// the status, and no candidates. notBefore is as in Tags: what was asked after it
// with the same credential is shared, so that a poll may cost nothing; At then
// says when it was asked. The error, an *Error, is for deciding when to look again
// (RetryAt).
func (c *Client) Poll(ctx context.Context, r Repository, p *warehouse.Policy, notBefore time.Time) (warehouse.Poll, error) {
	now := c.opts.Now()
	if notBefore.IsZero() {
		notBefore = now
	}
	poll := warehouse.Poll{At: metav1.NewTime(now), Stretch: 1}
	ctx, requests := withCounter(ctx)
	ctx, cancel := context.WithTimeout(ctx, c.opts.PollTimeout)
	defer cancel()
	found, err := c.discover(ctx, r, p, notBefore)
	poll.Requests = requests.total()
	c.account(r, &poll, err)
	if err != nil {
		poll.IsFailed, poll.Reason, poll.Error = true, Reason(err), err.Error()
		poll.RetryAt, _ = RetryAt(err)
		return poll, err
	}
	if !found.at.IsZero() {
		poll.At = metav1.NewTime(found.at)
	}
	poll.Tags, poll.Candidates, poll.Refused = found.tags, found.chosen, found.refused
	switch {
	case len(found.refused) > 0 && (len(poll.Candidates) == 0 || found.isNewestRefused):
		first := found.refused[0]
		poll.Reason, poll.Error = first.Reason, fmt.Sprintf("tag %q of %q is no candidate: %s", first.Tag, p.RepoURL(), first.Message)
	case found.passedOver != "" && (len(poll.Candidates) == 0 || found.isNewestPassedOver):
		poll.Reason, poll.Error = warehouse.ReasonTagPassedOver, found.passedOver
	case len(poll.Candidates) == 0:
		poll.Reason, poll.Error = warehouse.ReasonNoMatchingTag, p.NoMatch(found.tags)
	}
	return poll, nil
}

// account takes in how the poll went for the registry, and spreads the next.
func (c *Client) account(r Repository, poll *warehouse.Poll, err error) {
	s, _, openErr := c.open("poll", r)
	if openErr != nil {
		return
	}
	poll.Stretch = s.account(poll.Requests, err)
}

// account counts a poll and returns by how much to spread the next.
func (s *session) account(requests int, err error) (stretch int) {
	result, m := "ok", s.client.metrics
	if err != nil {
		result = Reason(err)
	}
	m.polls.WithLabelValues(m.hosts.Value(s.host), result).Inc()
	m.limit.WithLabelValues(m.hosts.Value(s.host)).Set(float64(s.gate.atMost()))
	if requests == 0 {
		return s.gate.spreadNow()
	}
	return s.gate.spread(errors.Is(err, ErrRateLimited) || errors.Is(err, ErrServer) || s.isRunningLow())
}

// discovery is what one poll found.
type discovery struct {
	at       time.Time // when the registry was asked; zero: now
	tags     int
	resolved []warehouse.Resolved // in the order of the policy
	chosen   []v1alpha1.Image     // the candidates
	// refused are not signed as the policy wants; isNewestRefused says that one is
	// newer than all candidates.
	refused         []v1alpha1.RefusedCandidate
	isNewestRefused bool
	// passedOver says about the newest tag that cannot be read why; see
	// isNewestPassedOver for whether it would have been the newest of all.
	passedOver         string
	isNewestPassedOver bool
}

func (c *Client) discover(ctx context.Context, r Repository, p *warehouse.Policy, notBefore time.Time) (discovery, error) {
	want := Want{Created: p.NeedsCreated(), Platforms: p.NeedsPlatforms(), Chart: p.WantsCharts()}
	proofs, err := c.proofs(r, p, notBefore)
	if err != nil {
		return discovery{}, err
	}
	if tag, ok := p.FollowedTag(); ok {
		want.Since = notBefore
		a, err := c.Resolve(ctx, r, tag, want)
		if err != nil {
			return discovery{}, err
		}
		d := discovery{at: a.At, tags: 1, resolved: []warehouse.Resolved{resolved(a)}}
		return d, d.choose(ctx, p, proofs)
	}
	l, err := c.Tags(ctx, r, notBefore)
	if err != nil {
		return discovery{}, err
	}
	d := discovery{at: l.At, tags: len(l.Tags)}
	ordered := p.Order(l.Tags)
	fits, mutable := 0, 0
	var settled []string // looked up once and not mutable
	for len(ordered) > 0 && (p.NeedsCreated() || fits < p.Limit() && !proofs.isSpent()) {
		batch := ordered
		if !p.NeedsCreated() {
			batch = ordered[:min(len(ordered), p.Limit()-fits)]
		}
		ordered = ordered[len(batch):]
		wants := make([]Want, len(batch))
		for i, tag := range batch {
			if wants[i] = want; mutable < maxMutable && p.IsMutable(tag) {
				mutable++
				wants[i].Since = notBefore
			}
		}
		results, err := c.resolveAll(ctx, r, batch, wants)
		if err != nil {
			return discovery{}, err
		}
		var fitting []warehouse.Resolved
		for i, res := range results {
			if res.err != nil {
				if d.passedOver == "" {
					d.passedOver = fmt.Sprintf("tag %q is passed over: %v", batch[i], res.err)
					d.isNewestPassedOver = fits == 0 && !p.NeedsCreated()
				}
				continue
			}
			one := resolved(res.artifact)
			d.resolved = append(d.resolved, one)
			if wants[i].Since.IsZero() {
				settled = append(settled, one.Tag)
			}
			if p.Fits(one) {
				fitting = append(fitting, one)
			}
		}
		if !p.NeedsCreated() { // otherwise it is not known yet which are the newest
			if fitting, err = proofs.of(ctx, fitting); err != nil {
				return discovery{}, err
			}
		}
		fits += len(fitting)
	}
	c.recheck(ctx, r, &d, settled, want)
	return d, d.choose(ctx, p, proofs)
}

// choose selects the candidates among what was resolved: the newest that are
// signed, if they have to be.
func (d *discovery) choose(ctx context.Context, p *warehouse.Policy, proofs *proofs) error {
	ordered := p.Sort(d.resolved)
	for rest := ordered; len(rest) > 0 && len(d.chosen) < p.Limit(); {
		n := min(len(rest), p.Limit()-len(d.chosen))
		good, err := proofs.of(ctx, rest[:n])
		if err != nil {
			return err
		}
		d.chosen = append(d.chosen, p.Images(good)...)
		rest = rest[n:]
	}
	d.refused, d.isNewestRefused = proofs.list(ordered, d.chosen)
	return nil
}

// recheck asks again for some of the tags that were looked up once: a tag that
// was moved is found although the list of tags does not show it. It has its own
// interval, so that most polls of an unchanged repository cost one request. What
// fails is left to the next time.
func (c *Client) recheck(ctx context.Context, r Repository, d *discovery, settled []string, want Want) {
	_, repo, err := c.open("poll", r)
	if err != nil {
		return
	}
	want.Since = c.opts.Now()
	due := repo.takeRecheck(settled, tagsToRecheck, want.Since, c.opts.RecheckInterval)
	wants := make([]Want, len(due))
	for i := range due {
		wants[i] = want
	}
	results, err := c.resolveAll(ctx, r, due, wants)
	if err != nil {
		return
	}
	now := map[string]warehouse.Resolved{}
	for i, res := range results {
		if res.err == nil {
			now[due[i]] = resolved(res.artifact)
		}
	}
	for i, was := range d.resolved {
		if is, ok := now[was.Tag]; ok {
			d.resolved[i] = is
		}
	}
}

const (
	// maxMutable is how many mutable tags one poll asks for.
	maxMutable = 100
	// tagsToRecheck is how many old tags are asked for again at a time.
	tagsToRecheck = 25
)

type result struct {
	artifact Artifact
	err      error // only of this tag: it is gone or unreadable
}

// resolveAll resolves tags side by side. What fails for one tag alone is in its
// result; what would fail for all ends it.
func (c *Client) resolveAll(ctx context.Context, r Repository, tags []string, wants []Want) ([]result, error) {
	results := make([]result, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Concurrency)
	for i, tag := range tags {
		g.Go(func() error {
			a, err := c.Resolve(ctx, r, tag, wants[i])
			if errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrMalformed) {
				results[i].err = err
				return nil
			}
			results[i].artifact = a
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return results, nil
}

func resolved(a Artifact) warehouse.Resolved {
	return warehouse.Resolved{Tag: a.Tag, Digest: a.Digest, Created: a.Created, Platforms: a.Platforms}
}
