package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/kubernetes"

	"github.com/waybill-dev/waybill/internal/secret"
)

// This file is about changing local users: administrators change others, and everybody
// their own password. Each rule is decided on what the Secret holds at the moment of
// the write, so that two who change it at once cannot get around one together.

// Errors of changing local users.
var (
	// ErrNoUser: there is no local user of that name.
	ErrNoUser = errors.New("there is no such local user")
	// ErrOneself: nobody removes or disables himself, and one's own password is changed
	// by ChangePassword.
	ErrOneself = errors.New("one cannot do that to oneself")
	// ErrLastManager: nobody who may manage users would be left among the local users.
	ErrLastManager = errors.New("the last local user who may manage users")
	// ErrUserChanged: the user is not as it was when it was looked at.
	ErrUserChanged = errors.New("the user was changed meanwhile")
	// ErrNotLocal: an identity provider keeps the password.
	ErrNotLocal = errors.New("the password is kept by an identity provider")
	// ErrWrongPassword: the old password is not that.
	ErrWrongPassword = errors.New("the old password is wrong")
)

// UserExistsError refuses a name that is taken, be it by one that differs in case only:
// people, and the limiter of attempts, take both for the same.
type UserExistsError struct {
	// Name as it is written.
	Name string
}

// Error names the user who is there.
func (e *UserExistsError) Error() string {
	return fmt.Sprintf("there is a local user %q already", e.Name)
}

// InvalidUserError says what is wrong with what a user was to be given.
type InvalidUserError struct {
	// Field is name, groups or password.
	Field string
	// Err says what; never a password.
	Err error
}

// Error says what is wrong.
func (e *InvalidUserError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *InvalidUserError) Unwrap() error { return e.Err }

// LocalUser is a local user as people see it.
type LocalUser struct {
	Name string
	// Groups without prefix, sorted.
	Groups []string
	// Disabled users cannot sign in.
	Disabled bool
	// Problem says why the entry cannot be used; empty when it can.
	Problem string
}

// Tag changes with what people see of the user.
func (u LocalUser) Tag() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %v %q", u.Name, u.Groups, u.Disabled, u.Problem))
	return hex.EncodeToString(sum[:8])
}

// localUser reads one user for people.
func localUser(data map[string][]byte, name string) (LocalUser, error) {
	u, _, err := parseUser(data, name)
	if errors.Is(err, errNoUser) {
		return LocalUser{}, ErrNoUser
	}
	out := LocalUser{Name: name, Groups: sortedGroups(u.Groups), Disabled: u.Disabled}
	if err != nil {
		out.Problem = err.Error()
	}
	return out, nil
}

// Users returns the local users by name.
func (s *Store) Users() []LocalUser {
	var out []LocalUser
	if users := s.usersSecret(); users != nil {
		for _, name := range slices.Sorted(maps.Keys(users.Data)) {
			if u, err := localUser(users.Data, name); err == nil {
				out = append(out, u)
			}
		}
	}
	return out
}

// Editor is who changes local users, and how.
type Editor struct {
	// Kube acts as the person: Kubernetes decides whether the Secret may be written.
	Kube kubernetes.Interface
	// Session of the person.
	Session Session
	// Manages reports whether a person may manage users.
	Manages func(context.Context, Person) (bool, error)
	// Forced: although nobody who may manage users is left.
	Forced bool
}

// isOneself reports whether the local user of that name is the editor.
func (e Editor) isOneself(name string) bool { return e.Session.Issuer == "" && e.Session.User == name }

// UserChange is what EditUser gives a user; what is nil or empty stays as it is.
type UserChange struct {
	// Groups without prefix, all of them.
	Groups *[]string
	// Disabled ends the user's sessions.
	Disabled *bool
	// Password ends the user's sessions, too.
	Password secret.Text
	// Expected is whether the user is as it was looked at; nil: whatever it is.
	Expected func(LocalUser) bool
}

// AddUser makes a local user; groups are without prefix. Errors: *InvalidUserError,
// *UserExistsError, and those of Kubernetes.
func (s *Store) AddUser(ctx context.Context, by Editor, name string, password secret.Text, groups []string) (LocalUser, error) {
	if err := checkUser(name, groups); err != nil {
		return LocalUser{}, err
	}
	if err := checkPassword(name, password); err != nil {
		return LocalUser{}, &InvalidUserError{"password", err}
	}
	hash, err := s.verifier.hash(ctx, password)
	if err != nil {
		return LocalUser{}, err
	}
	// Sessions of somebody who had the name before carry another epoch.
	u := User{Hash: hash, Groups: sortedGroups(groups), Epoch: rand.Text()}
	return s.change(ctx, by, name, func(data map[string][]byte) error {
		for there := range data {
			if strings.EqualFold(there, name) {
				return &UserExistsError{there}
			}
		}
		return u.putInto(data, name)
	})
}

// EditUser changes a local user. Errors: *InvalidUserError, ErrNoUser, ErrOneself,
// ErrLastManager, ErrUserChanged, and those of Kubernetes.
func (s *Store) EditUser(ctx context.Context, by Editor, name string, c UserChange) (LocalUser, error) {
	isDisabling := c.Disabled != nil && *c.Disabled
	if by.isOneself(name) && (isDisabling || !c.Password.IsEmpty()) {
		return LocalUser{}, ErrOneself
	}
	var hash string
	if !c.Password.IsEmpty() {
		err := checkPassword(name, c.Password)
		if err != nil {
			return LocalUser{}, &InvalidUserError{"password", err}
		}
		if hash, err = s.verifier.hash(ctx, c.Password); err != nil {
			return LocalUser{}, err
		}
	}
	if c.Groups != nil {
		if err := checkUser(name, *c.Groups); err != nil {
			return LocalUser{}, err
		}
	}
	out, err := s.change(ctx, by, name, func(data map[string][]byte) error {
		seen, err := localUser(data, name)
		if err != nil {
			return err
		}
		if c.Expected != nil && !c.Expected(seen) {
			return ErrUserChanged
		}
		if seen.Problem != "" {
			return &InvalidUserError{"name", errors.New(seen.Problem)}
		}
		u, _, err := parseUser(data, name)
		if err != nil {
			return err
		}
		if hash != "" {
			u.Hash = hash
		}
		if hash != "" || isDisabling && !u.Disabled {
			u.Epoch, u.Kept = rand.Text(), ""
		}
		if c.Disabled != nil {
			u.Disabled = *c.Disabled
		}
		if c.Groups != nil {
			u.Groups = sortedGroups(*c.Groups)
		}
		return u.putInto(data, name)
	})
	if err == nil && (hash != "" || isDisabling) {
		s.endSessions(ctx, name)
	}
	return out, err
}

// RemoveUser removes a local user, whose sessions end. Errors: ErrNoUser, ErrOneself,
// ErrLastManager, and those of Kubernetes.
func (s *Store) RemoveUser(ctx context.Context, by Editor, name string) error {
	if by.isOneself(name) {
		return ErrOneself
	}
	_, err := s.change(ctx, by, name, func(data map[string][]byte) error {
		if _, err := localUser(data, name); err != nil {
			return err
		}
		delete(data, name)
		return nil
	})
	if err != nil {
		return err
	}
	s.endSessions(ctx, name)
	return nil
}

// ChangePassword gives the local user of a session another password, when old is the
// present one, with the server's own rights: that people may not write the Secret must
// not keep them from it. The user's other sessions and tokens end. Attempts count as
// those of Login from address. Errors: ErrNotLocal, ErrWrongPassword, *InvalidUserError,
// *TooManyError, ErrUserChanged.
func (s *Store) ChangePassword(ctx context.Context, of Session, old, password secret.Text, address string) error {
	if of.Issuer != "" {
		return ErrNotLocal
	}
	if err := checkPassword(of.User, password); err != nil {
		return &InvalidUserError{"password", err}
	}
	if old.Reveal() == password.Reveal() {
		return &InvalidUserError{"password", errors.New("the new password is the old one")}
	}
	if err := s.attempts.begin(of.User, address, s.opts.Clock.Now()); err != nil {
		return err
	}
	known, _, err := readUser(s.usersSecret(), of.User)
	if err != nil {
		return ErrUserChanged // removed or disabled since the request began
	}
	switch isRight, err := s.verifier.verify(ctx, known.Hash, old); {
	case err != nil:
		return fmt.Errorf("verify password: %w", err)
	case !isRight:
		return ErrWrongPassword
	}
	s.attempts.succeed(of.User, address)
	hash, err := s.verifier.hash(ctx, password)
	if err != nil {
		return err
	}
	after, err := editUsers(ctx, s.opts.Kube, s.opts.Namespace, func(data map[string][]byte) error {
		u, _, err := parseUser(data, of.User)
		if err != nil || u.Disabled || u.Hash != known.Hash {
			return ErrUserChanged
		}
		u.Hash, u.Epoch, u.Kept = hash, rand.Text(), of.secretName
		return u.putInto(data, of.User)
	})
	if err != nil {
		return err
	}
	s.awaitUsers(ctx, after)
	s.endSessions(ctx, of.User)
	return nil
}

// change edits the users on behalf of somebody and returns the user of that name, who
// may be gone.
func (s *Store) change(ctx context.Context, by Editor, name string, edit func(map[string][]byte) error) (LocalUser, error) {
	after, err := editUsers(ctx, by.Kube, s.opts.Namespace, func(data map[string][]byte) error {
		before := maps.Clone(data)
		if err := edit(data); err != nil {
			return err
		}
		return by.checkManagers(ctx, before, data, name)
	})
	if err != nil {
		return LocalUser{}, err
	}
	s.awaitUsers(ctx, after)
	out, err := localUser(after.Data, name)
	if errors.Is(err, ErrNoUser) {
		return LocalUser{}, nil
	}
	return out, err
}

// checkManagers refuses to take the right to manage users from the last local user who
// has it. Kubernetes is asked who has: a name or a group says nothing of itself.
func (e Editor) checkManagers(ctx context.Context, before, after map[string][]byte, name string) error {
	manages := func(data map[string][]byte, name string) (bool, error) {
		u, p, err := parseUser(data, name)
		if err != nil || u.Disabled {
			return false, nil //nolint:nilerr // who cannot sign in manages nothing
		}
		return e.Manages(ctx, p)
	}
	if e.Forced {
		return nil
	}
	if did, err := manages(before, name); err != nil || !did {
		return err
	}
	// Most likely it is who asks, so that nobody else has to be asked about.
	for _, other := range slices.Concat([]string{name, e.Session.User}, slices.Sorted(maps.Keys(after))) {
		if does, err := manages(after, other); err != nil || does {
			return err
		}
	}
	return ErrLastManager
}

// catchUp is how long a change waits for the watch to have it.
const catchUp = 5 * time.Second

// awaitUsers waits until the watch has the users as they were written, so that what is
// ended is ended when the writer is told so. Without the watch it gives up: the write
// holds.
func (s *Store) awaitUsers(ctx context.Context, written *corev1.Secret) {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		s.mu.Lock()
		changed := s.usersChanged
		s.mu.Unlock()
		if seen := s.usersSecret(); seen != nil {
			if order, err := resourceversion.CompareResourceVersion(seen.ResourceVersion, written.ResourceVersion); err != nil || order >= 0 {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// noteUsers wakes who waits for the watch of the users.
func (s *Store) noteUsers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.usersChanged)
	s.usersChanged = make(chan struct{})
}

// endSessions deletes the sessions and tokens of a local user that have ended with the
// user's epoch, or with the user. Nobody can use them any more; this tidies up.
func (s *Store) endSessions(ctx context.Context, user string) {
	for _, obj := range s.sessions.store.List() {
		session, err := sessionOf(obj.(*corev1.Secret)) //nolint:forcetypeassert // the watch is of Secrets
		if err != nil || session.Issuer != "" || session.User != user {
			continue
		}
		if _, err := s.personOf(session); !errors.Is(err, errNoUser) {
			continue
		}
		if err := s.remove(ctx, session.secretName); err != nil {
			s.opts.Logger.Warn("a session that has ended could not be deleted", "error", err)
		}
	}
}
