package git

import (
	"context"
	"sync"
)

// OneLook returns a context in which a repository is asked once where its
// branches are: a later Fetch of what the mirror has by then gets the answer of
// the first. It is for work that only compares; before a push, look again.
func OneLook(ctx context.Context) context.Context {
	return context.WithValue(ctx, lookKey{}, &look{answers: map[looked]Refs{}})
}

type lookKey struct{}

// looked is a repository as somebody may see it.
type looked struct {
	store *store
	credentials
}

type look struct {
	mu      sync.Mutex
	answers map[looked]Refs
}

// seen returns what an earlier Fetch in ctx was told, if the mirror has what the
// branches lead to.
func (m *Mirror) seen(ctx context.Context, branches []string) (Refs, bool) {
	l, _ := ctx.Value(lookKey{}).(*look)
	if l == nil {
		return Refs{}, false
	}
	l.mu.Lock()
	refs, known := l.answers[looked{m.store, m.credentials()}]
	l.mu.Unlock()
	for _, b := range branches {
		if h, err := refs.Head(b); known && err == nil && !m.Has(h) {
			return Refs{}, false
		}
	}
	return refs, known
}

// remember keeps the answer for the rest of ctx.
func (m *Mirror) remember(ctx context.Context, refs Refs) {
	if l, _ := ctx.Value(lookKey{}).(*look); l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answers[looked{m.store, m.credentials()}] = refs
	}
}
