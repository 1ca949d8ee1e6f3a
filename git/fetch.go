package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/waybill-dev/waybill/internal/secret"
)

const (
	// maxHaves bounds how many commits we tell the server we have.
	maxHaves = 256
	// haveAncestors is how many ancestors of a branch's last known commit are
	// told, for the case that the branch was rewritten.
	haveAncestors = 16
)

// batch is a fetch that waits for its turn; callers that come meanwhile join
// it. Its fields but done are guarded by store.mu until it runs.
type batch struct {
	branches map[string]struct{}
	done     chan struct{}
	refs     Refs
	err      error
}

// Fetch asks where the branches are and brings the named ones ("" is the
// default branch) into the mirror: one request, and one more when something is
// new. What it returns was true at a moment after the call. A named branch the
// repository does not have is not an error here; Refs.Head says so.
//
// Concurrent calls share requests. A mirror that is missing or damaged is made
// anew.
func (m *Mirror) Fetch(ctx context.Context, branches ...string) (Refs, error) {
	for _, b := range branches {
		if b != "" {
			if err := ValidateBranch(b); err != nil {
				return Refs{}, err
			}
		}
	}
	if refs, isKnown := m.seen(ctx, branches); isKnown {
		return refs, nil
	}
	for {
		refs, ran, err := m.fetchOnce(ctx, branches)
		if !ran && ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
			continue // whoever ran the batch had less time than we have
		}
		if err == nil {
			m.remember(ctx, refs)
		}
		return refs, err
	}
}

// credentials tell whose requests may be shared.
type credentials struct {
	password, sshKey     secret.Text
	caBundle, knownHosts string
}

func (m *Mirror) credentials() credentials {
	return credentials{m.remote.Password, m.remote.SSHPrivateKey, string(m.remote.CABundle), string(m.remote.KnownHosts)}
}

// fetchOnce joins the waiting batch of the same credentials, or makes it. It
// reports whether it ran the batch itself.
func (m *Mirror) fetchOnce(ctx context.Context, branches []string) (_ Refs, ran bool, _ error) {
	s := m.store
	key := m.credentials()
	s.mu.Lock()
	b := s.batches[key]
	if b == nil {
		b = &batch{branches: map[string]struct{}{}, done: make(chan struct{}), err: errNotRun}
		s.batches[key] = b
	}
	for _, name := range branches {
		b.branches[name] = struct{}{}
	}
	s.mu.Unlock()

	select {
	case <-b.done:
		return b.refs, false, b.err
	case <-ctx.Done():
		// The batch stays for the others; if there are none, the next caller
		// runs it.
		return Refs{}, true, m.canceled(ctx)
	case s.writer <- struct{}{}:
	}
	defer func() { <-s.writer }()

	s.mu.Lock()
	waiting := s.batches[key] == b
	if waiting {
		delete(s.batches, key)
	}
	s.mu.Unlock()
	if !waiting { // it ran while we waited for the slot
		<-b.done
		return b.refs, false, b.err
	}
	defer close(b.done)
	b.refs, b.err = m.runFetch(ctx, b.branches)
	return b.refs, true, b.err
}

// errNotRun is what waiters see when the fetch they waited for panicked.
var errNotRun = errors.New("fetch did not end")

func (m *Mirror) canceled(ctx context.Context) error {
	return &Error{Op: "fetch " + m.URL(), Kind: ErrUnreachable, Detail: "not done in time", cause: ctx.Err()}
}

// runFetch does one batch. The caller holds the writer slot.
func (m *Mirror) runFetch(ctx context.Context, branches map[string]struct{}) (Refs, error) {
	if err := m.store.prepare(); err != nil {
		return Refs{}, err
	}
	w, err := m.mirrors.wire(m.remote, "fetch "+m.URL())
	if err != nil {
		return Refs{}, err
	}
	defer w.close()
	refs, l, err := w.list(ctx)
	if err != nil {
		return Refs{}, err
	}
	if _, wantsDefault := branches[""]; wantsDefault {
		branches[refs.DefaultBranch] = struct{}{}
	}
	tips := m.store.tipHashes()
	var wants, haves []Hash
	heads := map[string]Hash{}
	err = m.store.read(func(r *reader) error {
		for name := range branches {
			h, exists := refs.Branches[name]
			if !exists {
				continue
			}
			heads[name] = h
			stored, err := r.has(h)
			if err != nil {
				return err
			}
			if !stored {
				wants = append(wants, h)
			}
		}
		if len(wants) > 0 {
			haves = r.haves(tips, branches)
		}
		return nil
	})
	if err != nil {
		return Refs{}, err
	}
	if len(wants) > 0 {
		if err := m.fetchWants(ctx, w, l, wants, haves); err != nil {
			return Refs{}, err
		}
	}
	for name := range tips {
		if _, exists := refs.Branches[name]; !exists && !strings.HasPrefix(name, tagsPrefix) {
			heads[name] = Hash{}
		}
	}
	m.store.setTips(heads)
	return refs, nil
}

// haves returns commits the server may use as common ground: where branches
// were, the wanted ones first, with some ancestors of those.
func (r *reader) haves(tips map[string]Hash, wanted map[string]struct{}) []Hash {
	var haves []Hash
	seen := map[Hash]struct{}{}
	add := func(h Hash) bool {
		if _, known := seen[h]; known || len(haves) >= maxHaves {
			return false
		}
		if stored, err := r.has(h); err != nil || !stored {
			return false
		}
		seen[h] = struct{}{}
		haves = append(haves, h)
		return true
	}
	for name := range wanted {
		next := tips[name]
		for range haveAncestors {
			if next.IsZero() || !add(next) {
				break
			}
			c, err := r.commit(next)
			if err != nil || len(c.Parents) == 0 {
				break
			}
			next = c.Parents[0]
		}
	}
	for _, h := range tips {
		add(h)
	}
	return haves
}

// fetchWants asks for the commits and stores what comes.
func (m *Mirror) fetchWants(ctx context.Context, w *wire, l *listing, wants, haves []Hash) error {
	ctx, cancel := context.WithTimeout(ctx, m.store.limits.FetchTimeout)
	defer cancel()
	ask := packp.NewUploadPackRequest()
	for _, c := range []capability.Capability{capability.Sideband64k, capability.OFSDelta, capability.NoProgress} {
		if l.Capabilities.Supports(c) {
			_ = ask.Capabilities.Set(c)
		}
	}
	if l.Capabilities.Supports(capability.Agent) {
		_ = ask.Capabilities.Set(capability.Agent, "git/waybill")
	}
	ask.Wants = toPlumbing(wants)
	ask.Haves = toPlumbing(haves)
	slices.SortFunc(ask.Wants, func(a, b plumbing.Hash) int { return slices.Compare(a[:], b[:]) })
	ask.Wants = slices.Compact(ask.Wants)
	pack, err := w.fetchPack(ctx, l, ask)
	if err != nil {
		return err
	}
	defer func() { _ = pack.Close() }()
	if err := m.store.ingest(ctx, pack); err != nil {
		return w.ingestError(ctx, err)
	}
	return m.store.read(func(r *reader) error {
		for _, h := range wants {
			if stored, err := r.has(h); err != nil || !stored {
				return w.fail(ErrUnreachable, "the pack lacks commit "+h.Short())
			}
		}
		return nil
	})
}

// ingestError names the operation in an error that has no name yet. Those of
// the remote were classified while the pack was read.
func (w *wire) ingestError(ctx context.Context, err error) error {
	var classified *Error
	switch {
	case errors.As(err, &classified):
		return classified
	case errors.Is(err, errBadPack):
		return w.broken(ctx, nil, err)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return w.unreachable(ctx, err)
	default:
		return fmt.Errorf("%s: %w", w.op, err)
	}
}

func toPlumbing(hashes []Hash) []plumbing.Hash {
	out := make([]plumbing.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = h.plumbing()
	}
	return out
}
