package git

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/internal/failpoint"
)

// Options configures a Mirrors. Dir and Transport are required.
type Options struct {
	// Dir holds the mirrors; it is created when missing. Everything in it can
	// be deleted at any time.
	Dir string
	// Transport carries every request: the guarded outbound one.
	Transport http.RoundTripper
	// TransportWithCA returns a transport that also trusts the PEM
	// certificates. Nil: a Remote with a CABundle is refused.
	TransportWithCA func(pem []byte) (http.RoundTripper, error)
	// Dial connects to SSH servers: the guarded outbound one. Nil: SSH
	// addresses are refused.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// AllowPlainHTTP permits http URLs.
	AllowPlainHTTP bool
	// Limits bound what a remote can make us spend.
	Limits Limits
	// Now is the clock by which answers age; nil: the machine's.
	Now func() time.Time
	// Failpoints stop a push where crash tests want it; nil in production.
	Failpoints *failpoint.Set
}

// Points where Options.Failpoints can act.
const (
	// FailBeforePush is reached when a push is about to be sent.
	FailBeforePush = "git.push.before"
	// FailAfterPush is reached when the server has said yes and nobody else
	// has heard of it yet.
	FailAfterPush = "git.push.after"
)

// Failpoints returns the names of this package's failpoints.
func Failpoints() []string { return []string{FailBeforePush, FailAfterPush} }

// Mirrors owns a directory of mirrors.
type Mirrors struct {
	opts    Options
	lock    *os.File
	answers answers
	metrics *metrics

	mu         sync.Mutex
	stores     map[string]*store
	transports map[[sha256.Size]byte]http.RoundTripper // by CA bundle
}

// NewMirrors opens the directory. It returns ErrLocked when another process
// has it.
func NewMirrors(opts Options) (*Mirrors, error) {
	if opts.Dir == "" || opts.Transport == nil {
		return nil, errors.New("git mirrors: a directory and a transport are required")
	}
	opts.Limits = opts.Limits.withDefaults()
	if opts.Now == nil {
		opts.Now = clock.RealClock{}.Now
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("git mirrors: %w", err)
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	return &Mirrors{
		opts: opts, lock: lock, metrics: newMetrics(),
		stores: map[string]*store{}, transports: map[[sha256.Size]byte]http.RoundTripper{},
	}, nil
}

// lockDir takes the lock that ends with the process.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("git mirrors: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("git mirrors: %w", ErrLocked)
	}
	return lock, nil
}

// endpoint checks a Remote; there is no SSH without a dialer.
func (m *Mirrors) endpoint(r Remote) (endpoint, error) {
	e, err := r.check(m.opts.AllowPlainHTTP)
	if err == nil && e.ssh != nil && m.opts.Dial == nil {
		return e, fmt.Errorf("%w: SSH is not available here", ErrInvalidRemote)
	}
	return e, err
}

// Close closes open files and gives up the lock. Nothing may be in use.
func (m *Mirrors) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.stores {
		s.close()
	}
	m.stores = map[string]*store{}
	return m.lock.Close()
}

// LsRemote asks where branches and tags are, in one request. It touches no mirror
// and shares nothing; see Refs.
func (m *Mirrors) LsRemote(ctx context.Context, r Remote) (Refs, error) {
	e, err := m.endpoint(r)
	if err != nil {
		return Refs{}, err
	}
	w, err := m.wire(e, "list branches of "+e.normalized)
	if err != nil {
		return Refs{}, err
	}
	defer w.close()
	refs, _, err := w.list(ctx)
	return refs, err
}

// list asks where the branches are, and gives what fetching them needs.
func (w *wire) list(ctx context.Context) (Refs, *listing, error) {
	l, err := w.advertise(ctx, uploadPack)
	if err != nil {
		return Refs{}, nil, err
	}
	return newRefs(w.normalized, l.AdvRefs), l, nil
}

// Open returns the mirror of a repository as the Remote's credentials see it.
// It makes no request, and no directory until the first Fetch.
//
// Reading a mirror needs no proof that the credentials still hold: whoever
// opens it with the same credential name sees what was fetched under that name.
func (m *Mirrors) Open(r Remote) (*Mirror, error) {
	e, err := m.endpoint(r)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := e.key()
	s := m.stores[key]
	if s == nil {
		s = newStore(filepath.Join(m.opts.Dir, key), m.opts.Limits)
		m.stores[key] = s
	}
	return &Mirror{mirrors: m, store: s, remote: e}, nil
}

// wire returns the connection of one operation, for the caller to close.
func (m *Mirrors) wire(e endpoint, op string) (*wire, error) {
	if e.ssh != nil {
		return m.sshWire(e, op)
	}
	transport, err := m.transport(e)
	if err != nil {
		return nil, &Error{Op: op, Kind: ErrInvalidRemote, Detail: err.Error()}
	}
	return newWire(e, op, transport, m.opts.Limits, m.metrics), nil
}

// transport returns the shared transport, or one per CA bundle.
func (m *Mirrors) transport(e endpoint) (http.RoundTripper, error) {
	if len(e.CABundle) == 0 {
		return m.opts.Transport, nil
	}
	if m.opts.TransportWithCA == nil {
		return nil, errors.New("a CA bundle is not supported here")
	}
	key := sha256.Sum256(e.CABundle)
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.transports[key]; t != nil {
		return t, nil
	}
	t, err := m.opts.TransportWithCA(e.CABundle)
	if err != nil {
		return nil, errors.New("the CA bundle holds no usable PEM certificate")
	}
	m.transports[key] = t
	return t, nil
}

// Mirror is one remote repository and its copy on disk. Its methods may be
// called from any goroutine.
type Mirror struct {
	mirrors *Mirrors
	store   *store
	remote  endpoint
}

// URL returns the repository's address, normalised, for messages.
func (m *Mirror) URL() string { return m.remote.normalized }
