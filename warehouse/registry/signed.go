package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/signature"
)

const (
	// maxProofs is how many images one poll looks for signatures of; the next one
	// goes on where it ended, because what was found out is remembered.
	maxProofs = 100
	// maxRefusals bounds what is remembered of refused images in one repository.
	maxRefusals = 10_000
)

// refusal is that an image is not signed as a subscription wants.
type refusal struct {
	cause *signature.Error
	first time.Time // when that was found out
	at    time.Time // when it was last
	until time.Time // it is not asked for again before: an image may be signed later
}

// proofs decides in one poll which images are signed as the policy wants. The
// answer for an image that is signed is kept for good: neither the image nor the
// signature nor what the policy wants can change.
type proofs struct {
	c        *Client
	r        Repository
	policy   *warehouse.Policy
	verifier *signature.Verifier
	// notBefore is as in Poll: what was found out after it is shared.
	notBefore time.Time

	mu      sync.Mutex                  // guards what follows
	asked   int                         // images whose signatures were looked for
	refused map[string]*signature.Error // by digest
}

// proofs returns nil when the policy wants no signature.
func (c *Client) proofs(r Repository, p *warehouse.Policy, notBefore time.Time) (*proofs, error) {
	if p.Signature() == nil {
		return nil, nil
	}
	v, err := signature.New(p.Signature())
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong already
	}
	return &proofs{c: c, r: r, policy: p, verifier: v, notBefore: notBefore, refused: map[string]*signature.Error{}}, nil
}

// Prove finds out which of the images of one repository are signed as the policy
// wants, also of those that are no candidates any more. It returns, by digest, why
// one is not; one without an entry is signed. notBefore is as in Poll. The error
// says that nothing could be found out.
func (c *Client) Prove(ctx context.Context, r Repository, p *warehouse.Policy, images []v1alpha1.Image, notBefore time.Time) (map[string]*signature.Error, error) {
	proofs, err := c.proofs(r, p, notBefore)
	if err != nil || proofs == nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.PollTimeout)
	defer cancel()
	all := make([]warehouse.Resolved, len(images))
	for i, image := range images {
		all[i] = warehouse.Resolved{Tag: image.Tag, Digest: image.Digest}
	}
	if _, err := proofs.of(ctx, all); err != nil {
		return nil, err
	}
	return proofs.refused, nil
}

// of finds out which of the images are signed, side by side, and returns those. An
// error is one that would come for all.
func (p *proofs) of(ctx context.Context, images []warehouse.Resolved) ([]warehouse.Resolved, error) {
	if p == nil {
		return images, nil
	}
	isSigned := make([]bool, len(images))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.c.opts.Concurrency)
	for i, image := range images {
		g.Go(func() error {
			var refused *signature.Error
			err := p.prove(ctx, image)
			if errors.As(err, &refused) {
				p.refuse(image.Digest, refused)
				return nil
			}
			isSigned[i] = err == nil
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // an *Error already
	}
	var out []warehouse.Resolved
	for i, image := range images {
		if isSigned[i] {
			out = append(out, image)
		}
	}
	return out, nil
}

func (p *proofs) refuse(digest string, why *signature.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[digest] = why
}

// may takes one of the images that this poll may look for signatures of.
func (p *proofs) may() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked >= maxProofs {
		return false
	}
	p.asked++
	return true
}

// isSpent reports whether this poll may look for no more signatures.
func (p *proofs) isSpent() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked >= maxProofs
}

// prove returns nil when the image is signed as the policy wants, a
// *signature.Error when it is not, or why that could not be found out.
func (p *proofs) prove(ctx context.Context, image warehouse.Resolved) error {
	want := p.policy.SignatureDigest()
	if p.c.cache.isSigned(image.Digest, want) {
		return nil
	}
	p.mu.Lock()
	known := p.refused[image.Digest]
	p.mu.Unlock()
	if known != nil {
		return known
	}
	verb := fmt.Sprintf("read signatures of tag %q of", image.Tag)
	s, repo, err := p.c.open(verb, p.r)
	if err != nil {
		return err
	}
	// One at a time looks for the signatures of an image; the others find the answer.
	q := repo.question(want + " " + image.Digest)
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return s.failNetwork(ctx, operation{verb, p.r.URL}, ctx.Err())
	}
	if p.c.cache.isSigned(image.Digest, want) {
		return nil
	}
	now := p.c.opts.Now()
	old, isKnown := repo.whyRefused(image.Digest, want)
	if isKnown && (now.Before(old.until) || old.at.After(p.notBefore)) {
		return old.cause
	}
	if !p.may() {
		return &signature.Error{Reason: warehouse.ReasonSignatureUnchecked, Detail: fmt.Sprintf("its signatures are looked for at the next poll, after those of %d others", maxProofs)}
	}
	evidence, err := s.evidence(ctx, operation{verb, p.r.URL}, repo, image.Digest)
	if err != nil {
		return err
	}
	err = p.verifier.Verify(image.Digest, evidence)
	var refused *signature.Error
	if !errors.As(err, &refused) {
		p.c.metrics.signatures.WithLabelValues("ok").Inc()
		p.c.cache.setSigned(image.Digest, want)
		return nil
	}
	p.c.metrics.signatures.WithLabelValues(refused.Reason).Inc()
	first := now
	if isKnown {
		first = old.first
	}
	// As long as it was refused already: most are signed right after the push.
	repo.refuseImage(image.Digest, want, refusal{refused, first, now, now.Add(min(now.Sub(first), unreadableFor))})
	return refused
}

// list returns the refused images among those that pass all filters, in their
// order, and whether the newest of all is one.
func (p *proofs) list(ordered []warehouse.Resolved, chosen []v1alpha1.Image) (out []v1alpha1.RefusedCandidate, isNewest bool) {
	if p == nil {
		return nil, false
	}
	candidates := map[string]bool{}
	for _, c := range chosen {
		candidates[c.Tag] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	isNewest = true
	for _, image := range ordered {
		why := p.refused[image.Digest]
		switch {
		case candidates[image.Tag] && len(out) == 0:
			isNewest = false
		case why != nil:
			out = append(out, v1alpha1.RefusedCandidate{Tag: image.Tag, Digest: image.Digest, Reason: why.Reason, Message: clean(why.Detail)})
		}
	}
	return out, isNewest && len(out) > 0
}
