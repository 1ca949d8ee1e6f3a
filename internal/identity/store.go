package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/internal/secret"
)

// Errors of the Store.
var (
	// ErrWrongCredentials is the same for an unknown user, a wrong password
	// and a disabled user.
	ErrWrongCredentials = errors.New("wrong user name or password")
	// ErrUnknownSession is the same for a session or token that never was, was
	// revoked, or has ended.
	ErrUnknownSession = errors.New("the session or token is unknown, was revoked, or has ended")
)

// cleanEvery is how often ended sessions are deleted.
const cleanEvery = 10 * time.Minute

// Options of NewStore. Fields without "optional" are required.
type Options struct {
	// Kube is the server's own client; it reads and writes Secrets in Namespace.
	Kube kubernetes.Interface
	// Namespace is Waybill's own.
	Namespace string
	// Clock tells the time.
	Clock clock.WithTicker
	// Logger gets what people need not see.
	Logger *slog.Logger
	// Issuer is the identity provider whose sessions count; optional: none do.
	Issuer string
}

// Store keeps local users, sessions and tokens. Run must run for it to answer;
// it reads from watches, so that no request costs a read of the API server.
type Store struct {
	opts     Options
	verifier *verifier
	attempts *attempts
	users    watched
	sessions watched
	// misses bounds the reads caused by values the watch does not know (yet).
	misses *rate.Limiter

	mu sync.Mutex
	// usersChanged is closed when the watch has seen another version of the users.
	usersChanged chan struct{}
	revoked      map[string]time.Time // Secret names, until the watch has seen the deletion
	touched      map[string]time.Time // Secret names, when their use was last written
}

// watched is a local copy of some Secrets.
type watched struct {
	store      toolscache.Store
	controller toolscache.Controller
}

// NewStore returns a Store that Run has to fill.
func NewStore(opts Options) (*Store, error) {
	if opts.Kube == nil || opts.Namespace == "" || opts.Clock == nil || opts.Logger == nil {
		return nil, errors.New("identity: Kube, Namespace, Clock and Logger are required")
	}
	v, err := newVerifier()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: opts, verifier: v, attempts: newAttempts(), misses: rate.NewLimiter(5, 20),
		usersChanged: make(chan struct{}), revoked: map[string]time.Time{}, touched: map[string]time.Time{},
	}
	s.users = s.watch(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", UsersSecret).String()
	}, toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { s.noteUsers() }, UpdateFunc: func(any, any) { s.noteUsers() }, DeleteFunc: func(any) { s.noteUsers() },
	})
	s.sessions = s.watch(func(o *metav1.ListOptions) { o.LabelSelector = LabelSession }, toolscache.ResourceEventHandlerFuncs{})
	return s, nil
}

func (s *Store) watch(narrow func(*metav1.ListOptions), handler toolscache.ResourceEventHandler) watched {
	secrets := s.opts.Kube.CoreV1().Secrets(s.opts.Namespace)
	lw := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			return secrets.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			narrow(&o)
			return secrets.Watch(ctx, o)
		},
	}
	store, controller := toolscache.NewInformerWithOptions(toolscache.InformerOptions{
		ListerWatcher: lw, ObjectType: &corev1.Secret{}, Handler: handler,
	})
	return watched{store, controller}
}

// Run keeps the watches and deletes ended sessions until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.users.controller.RunWithContext(ctx); return nil })
	g.Go(func() error { s.sessions.controller.RunWithContext(ctx); return nil })
	g.Go(func() error {
		ticker := s.opts.Clock.NewTicker(cleanEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C():
				s.clean(ctx)
			}
		}
	})
	return g.Wait()
}

// IsReady reports whether users and sessions have been read.
func (s *Store) IsReady() bool {
	return s.users.controller.HasSynced() && s.sessions.controller.HasSynced()
}

// Login returns the Person of a local user. address is where the attempt comes
// from (host, or host:port). Errors: ErrWrongCredentials, *TooManyError.
func (s *Store) Login(ctx context.Context, name string, password secret.Text, address string) (Person, error) {
	if err := s.attempts.begin(name, address, s.opts.Clock.Now()); err != nil {
		return Person{}, err
	}
	u, p, userErr := readUser(s.usersSecret(), name)
	ok, err := s.verifier.verify(ctx, u.Hash, password)
	switch {
	case err != nil:
		return Person{}, fmt.Errorf("verify password: %w", err)
	case userErr != nil && !errors.Is(userErr, errNoUser):
		s.opts.Logger.Error("a local user cannot be read", "error", userErr)
		return Person{}, ErrWrongCredentials
	case userErr != nil || !ok:
		return Person{}, ErrWrongCredentials
	}
	s.attempts.succeed(name, address)
	return p, nil
}

func (s *Store) usersSecret() *corev1.Secret {
	obj, ok, err := s.users.store.GetByKey(s.opts.Namespace + "/" + UsersSecret)
	if err != nil || !ok {
		return nil
	}
	return obj.(*corev1.Secret) //nolint:forcetypeassert // the watch is of Secrets
}

// Grant is what Create gives a person.
type Grant struct {
	Kind Kind
	// Note says what a token is for.
	Note string
	// Issuer is the identity provider that vouches for the person and the groups;
	// empty for a local user.
	Issuer string
	// Challenge of a code; see Session.
	Challenge string
	// Until ends it earlier than its kind would; zero: it does not.
	Until time.Time
	// ReadOnly; see Session.
	ReadOnly bool
}

// Create starts a session of p and returns its value, which is known to nobody else
// and kept nowhere.
func (s *Store) Create(ctx context.Context, p Person, g Grant) (secret.Text, Session, error) {
	if g.Kind == KindCode && g.Challenge == "" {
		return secret.Text{}, Session{}, errors.New("identity: a code without a challenge is anybody's")
	}
	value, err := newValue(g.Kind)
	if err != nil {
		return secret.Text{}, Session{}, err
	}
	name, err := secretNameOf(g.Kind, value.Reveal())
	if err != nil {
		return secret.Text{}, Session{}, err
	}
	now := s.opts.Clock.Now().UTC().Truncate(time.Second)
	session := Session{
		Kind: g.Kind, User: p.Name(), Note: g.Note, Issuer: g.Issuer, Challenge: g.Challenge, ReadOnly: g.ReadOnly,
		Created: now, Expires: now.Add(lifeOf(g.Kind, g.Issuer)), LastUsed: now, secretName: name,
	}
	if !g.Until.IsZero() && g.Until.Before(session.Expires) {
		session.Expires = g.Until.UTC().Truncate(time.Second)
	}
	if g.Issuer != "" {
		session.Groups = p.groupNames()
	} else {
		session.epoch = p.epoch
	}
	created, err := s.opts.Kube.CoreV1().Secrets(s.opts.Namespace).Create(ctx, session.toSecret(s.opts.Namespace), metav1.CreateOptions{})
	if err != nil {
		return secret.Text{}, Session{}, fmt.Errorf("store session: %w", err)
	}
	// Usable at once; the watch brings the same object in a moment.
	if err := s.sessions.store.Add(created); err != nil {
		return secret.Text{}, Session{}, fmt.Errorf("store session: %w", err)
	}
	return value, session, nil
}

// Authenticate returns the Person a session or token belongs to, with the
// groups the user has now. Every failure is ErrUnknownSession, except that of
// ctx.
func (s *Store) Authenticate(ctx context.Context, kind Kind, value string) (Person, Session, error) {
	name, err := secretNameOf(kind, value)
	if err != nil {
		return Person{}, Session{}, ErrUnknownSession
	}
	session, err := s.lookup(ctx, kind, name)
	if err != nil {
		return Person{}, Session{}, err
	}
	now := s.opts.Clock.Now()
	if !now.Before(session.endsAt()) {
		return Person{}, Session{}, ErrUnknownSession
	}
	p, err := s.personOf(session)
	if err != nil {
		return Person{}, Session{}, ErrUnknownSession // removed, disabled or unreadable
	}
	if now.Sub(session.LastUsed) >= touchEvery {
		s.touch(ctx, session, now)
		session.LastUsed = now
	}
	return p, session, nil
}

func (s *Store) lookup(ctx context.Context, kind Kind, name string) (Session, error) {
	s.mu.Lock()
	_, revoked := s.revoked[name]
	s.mu.Unlock()
	if revoked {
		return Session{}, ErrUnknownSession
	}
	obj, ok, err := s.sessions.store.GetByKey(s.opts.Namespace + "/" + name)
	if err != nil {
		return Session{}, ErrUnknownSession
	}
	var found *corev1.Secret
	if ok {
		found = obj.(*corev1.Secret) //nolint:forcetypeassert // the watch is of Secrets
	} else {
		// Another replica may have made it a moment ago.
		if !s.misses.AllowN(s.opts.Clock.Now(), 1) {
			return Session{}, ErrUnknownSession
		}
		found, err = s.opts.Kube.CoreV1().Secrets(s.opts.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			if !apierrors.IsNotFound(err) {
				s.opts.Logger.Warn("a session could not be looked up", "error", err)
			}
			return Session{}, ErrUnknownSession
		}
	}
	session, err := sessionOf(found)
	if err != nil || session.Kind != kind {
		return Session{}, ErrUnknownSession
	}
	return session, nil
}

// touch writes down that a session is used. It is best effort: without it a
// session ends earlier, never later.
func (s *Store) touch(ctx context.Context, session Session, now time.Time) {
	s.mu.Lock()
	last, ok := s.touched[session.secretName]
	due := !ok || now.Sub(last) >= touchEvery
	if due {
		s.touched[session.secretName] = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	patch := fmt.Appendf(nil, `{"stringData":{%q:%q}}`, keyLastUsed, now.UTC().Format(time.RFC3339))
	updated, err := s.opts.Kube.CoreV1().Secrets(s.opts.Namespace).Patch(ctx, session.secretName, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		s.opts.Logger.Warn("use of a session could not be written", "error", err)
		return
	}
	s.mu.Lock()
	_, revoked := s.revoked[session.secretName]
	s.mu.Unlock()
	if !revoked {
		_ = s.sessions.store.Update(updated) // the watch brings it anyway
	}
}

// Revoke ends a session or token; an unknown value is no error.
func (s *Store) Revoke(ctx context.Context, kind Kind, value string) error {
	name, err := secretNameOf(kind, value)
	if err != nil {
		return nil //nolint:nilerr // what was never valid is revoked
	}
	return s.remove(ctx, name)
}

// List returns the sessions and tokens that are of the person of one, the newest first.
func (s *Store) List(of Session) []Session {
	now := s.opts.Clock.Now()
	var out []Session
	for _, obj := range s.sessions.store.List() {
		session, err := sessionOf(obj.(*corev1.Secret)) //nolint:forcetypeassert // the watch is of Secrets
		if err != nil || session.Kind == KindCode || session.User != of.User || session.Issuer != of.Issuer || !now.Before(session.endsAt()) {
			continue
		}
		if _, err := s.personOf(session); err != nil {
			continue // it ended with its epoch
		}
		s.mu.Lock()
		_, isRevoked := s.revoked[session.secretName]
		s.mu.Unlock()
		if !isRevoked {
			out = append(out, session)
		}
	}
	slices.SortFunc(out, func(a, b Session) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.secretName, b.secretName))
	})
	return out
}

// RevokeOne ends one of what List returned.
func (s *Store) RevokeOne(ctx context.Context, one Session) error {
	return s.remove(ctx, one.secretName)
}

func (s *Store) remove(ctx context.Context, name string) error {
	s.mu.Lock()
	s.revoked[name] = s.opts.Clock.Now()
	s.mu.Unlock()
	err := s.opts.Kube.CoreV1().Secrets(s.opts.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("revoke session: %w", err)
	}
	return nil
}

// isOrphan reports whether a session has outlived its local user or its epoch. One that
// was used lately may know more than the watch of the users.
func (s *Store) isOrphan(session Session, now time.Time) bool {
	if session.Issuer != "" || s.usersSecret() == nil || now.Sub(session.LastUsed) < touchEvery {
		return false
	}
	_, err := s.personOf(session)
	return errors.Is(err, errNoUser)
}

// clean deletes sessions that have ended or whose user is gone, and forgets
// what the watch has seen.
func (s *Store) clean(ctx context.Context) {
	now := s.opts.Clock.Now()
	for _, obj := range s.sessions.store.List() {
		sec := obj.(*corev1.Secret) //nolint:forcetypeassert // the watch is of Secrets
		session, err := sessionOf(sec)
		if err == nil && now.Before(session.endsAt()) && !s.isOrphan(session, now) {
			continue
		}
		if err := s.remove(ctx, sec.Name); err != nil {
			s.opts.Logger.Warn("an ended session could not be deleted", "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.revoked {
		if _, ok, _ := s.sessions.store.GetByKey(s.opts.Namespace + "/" + name); !ok {
			delete(s.revoked, name)
		}
	}
	for name, at := range s.touched {
		if now.Sub(at) > sessionLife {
			delete(s.touched, name)
		}
	}
}
