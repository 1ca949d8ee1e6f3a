package git

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"
)

// maxAnswers bounds how many repositories the last answer is kept of.
const maxAnswers = 2000

// answers are the last listings of references, one for each repository and
// credential, shared by all who ask.
type answers struct {
	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*answerOf
	// pushes counts our pushes by repository: a listing that began before one
	// may say less than we know.
	pushes map[string]int
}

// answerOf is what one repository said to one account.
type answerOf struct {
	turn chan struct{} // held while asking; guards what follows

	at     time.Time // when the question was sent; zero: never
	refs   Refs
	err    error
	pushes int // when it was sent
}

// key tells who may share an answer: the same repository with the same secret.
func (e endpoint) answerKey() [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join([]string{
		e.key(), e.Password.Reveal(), e.SSHPrivateKey.Reveal(), string(e.KnownHosts), string(e.CABundle),
	}, "\x00")))
}

func (a *answers) of(e endpoint) *answerOf {
	key := e.answerKey()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKey == nil {
		a.byKey = map[[sha256.Size]byte]*answerOf{}
	}
	w := a.byKey[key]
	if w == nil {
		if len(a.byKey) >= maxAnswers {
			clear(a.byKey) // who holds one keeps it; the others ask again
		}
		w = &answerOf{turn: make(chan struct{}, 1)}
		a.byKey[key] = w
	}
	return w
}

func (a *answers) pushed(repository string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pushes == nil || len(a.pushes) >= maxAnswers {
		a.pushes = map[string]int{}
		clear(a.byKey)
	}
	a.pushes[repository]++
}

func (a *answers) pushesTo(repository string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pushes[repository]
}

// Refs returns where branches and tags are. What was asked after notBefore with
// the same credentials is good enough, unless we have pushed there since; the
// zero notBefore means now. Callers at the same time share one question. at says
// when it was sent, and asked whether this call sent it.
func (m *Mirrors) Refs(ctx context.Context, r Remote, notBefore time.Time) (refs Refs, at time.Time, asked bool, err error) {
	e, err := m.endpoint(r)
	if err != nil {
		return Refs{}, time.Time{}, false, err
	}
	if notBefore.IsZero() {
		notBefore = m.opts.Now()
	}
	last := m.answers.of(e)
	select {
	case last.turn <- struct{}{}:
		defer func() { <-last.turn }()
	case <-ctx.Done():
		return Refs{}, time.Time{}, false, &Error{Op: "list branches of " + e.normalized, Kind: ErrUnreachable, Detail: "not done in time", cause: ctx.Err()}
	}
	if last.at.After(notBefore) && last.pushes == m.answers.pushesTo(e.normalized) {
		m.metrics.shared.Inc()
		return last.refs, last.at, false, last.err
	}
	at, pushes := m.opts.Now(), m.answers.pushesTo(e.normalized)
	refs, err = m.LsRemote(ctx, r)
	if err != nil && (ctx.Err() != nil || errors.Is(err, context.Canceled)) {
		return Refs{}, at, true, err // says nothing about the repository
	}
	last.at, last.pushes, last.refs, last.err = at, pushes, refs, err
	return refs, at, true, err
}
