package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/warehouse"
)

// Poll asks for the candidates of one subscription.
//
// The result is complete also on error: it then has the reason and the text for
// the status, and no candidates. notBefore is as in Tags: subscriptions of one
// reconcile pass its start, so that they share a listing. The error, an *Error,
// is for deciding when to look again (RetryAt).
func (c *Client) Poll(ctx context.Context, r Repository, p *warehouse.Policy, notBefore time.Time) (warehouse.Poll, error) {
	poll := warehouse.Poll{At: metav1.NewTime(c.opts.Now())}
	ctx, requests := withCounter(ctx)
	ctx, cancel := context.WithTimeout(ctx, c.opts.PollTimeout)
	defer cancel()
	found, err := c.discover(ctx, r, p, notBefore)
	poll.Requests = requests.total()
	if err != nil {
		poll.IsFailed, poll.Reason, poll.Error = true, Reason(err), err.Error()
		return poll, err
	}
	poll.Tags, poll.Candidates = found.tags, p.Select(found.resolved)
	switch {
	case found.passedOver != "" && (len(poll.Candidates) == 0 || found.isNewestPassedOver):
		poll.Reason, poll.Error = warehouse.ReasonTagPassedOver, found.passedOver
	case len(poll.Candidates) == 0:
		poll.Reason, poll.Error = warehouse.ReasonNoMatchingTag, p.NoMatch(found.tags)
	}
	return poll, nil
}

// discovery is what one poll found.
type discovery struct {
	tags     int
	resolved []warehouse.Resolved // in the order of the policy
	// passedOver says about the newest tag that cannot be read why; see
	// isNewestPassedOver for whether it would have been the newest of all.
	passedOver         string
	isNewestPassedOver bool
}

func (c *Client) discover(ctx context.Context, r Repository, p *warehouse.Policy, notBefore time.Time) (discovery, error) {
	want := Want{Created: p.NeedsCreated(), Platforms: p.NeedsPlatforms()}
	if tag, ok := p.FollowedTag(); ok {
		want.IsFresh = true
		a, err := c.Resolve(ctx, r, tag, want)
		if err != nil {
			return discovery{}, err
		}
		return discovery{tags: 1, resolved: []warehouse.Resolved{resolved(a)}}, nil
	}
	l, err := c.Tags(ctx, r, notBefore)
	if err != nil {
		return discovery{}, err
	}
	d := discovery{tags: len(l.Tags)}
	ordered := p.Order(l.Tags)
	fits := 0
	for len(ordered) > 0 && (p.NeedsCreated() || fits < p.Limit()) {
		batch := ordered
		if !p.NeedsCreated() {
			batch = ordered[:min(len(ordered), p.Limit()-fits)]
		}
		ordered = ordered[len(batch):]
		results, err := c.resolveAll(ctx, r, batch, want)
		if err != nil {
			return discovery{}, err
		}
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
			if p.Fits(one) {
				fits++
			}
		}
	}
	return d, nil
}

type result struct {
	artifact Artifact
	err      error // only of this tag: it is gone or unreadable
}

// resolveAll resolves tags side by side. What fails for one tag alone is in its
// result; what would fail for all ends it.
func (c *Client) resolveAll(ctx context.Context, r Repository, tags []string, want Want) ([]result, error) {
	results := make([]result, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Concurrency)
	for i, tag := range tags {
		g.Go(func() error {
			a, err := c.Resolve(ctx, r, tag, want)
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
