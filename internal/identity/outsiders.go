package identity

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/oauth2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// This file is about people whom an identity provider vouches for. They have no entry
// in the Secret of the local users; what is known of them is in their sessions.

// personOf returns whose session it is: a local user with the groups of now, or whom the
// identity provider vouched for with the groups of then.
func (s *Store) personOf(session Session) (Person, error) {
	if session.Issuer == "" {
		u, p, err := readUser(s.usersSecret(), session.User)
		if err == nil && session.epoch != u.Epoch && session.secretName != u.Kept {
			return Person{}, errNoUser // it began before the password was changed, or with another user of that name
		}
		return p, err
	}
	if session.Issuer != s.opts.Issuer {
		return Person{}, errNoUser // the provider is not trusted any more
	}
	if err := s.checkOutsider(session.User); err != nil {
		return Person{}, err
	}
	return NewPerson(session.User, session.Groups)
}

// ErrNameTaken: an identity provider vouches for somebody who has the name of a local user.
var ErrNameTaken = errors.New("a local user has that name")

// CheckOutsider returns ErrNameTaken for a person of an identity provider who would be
// taken for a local user.
func (s *Store) CheckOutsider(p Person) error { return s.checkOutsider(p.Name()) }

func (s *Store) checkOutsider(name string) error {
	users := s.usersSecret()
	if users == nil {
		return nil
	}
	if _, isTaken := users.Data[name]; isTaken {
		return ErrNameTaken
	}
	return nil
}

// Redeem exchanges a code for the Person it was made for, once: whoever comes second,
// at whichever replica, gets ErrUnknownSession, and so does who cannot show what the
// challenge is the hash of (RFC 7636, S256). A code that was tried is spent.
func (s *Store) Redeem(ctx context.Context, code, verifier string) (Person, Session, error) {
	name, err := secretNameOf(KindCode, code)
	if err != nil || !s.misses.AllowN(s.opts.Clock.Now(), 1) {
		return Person{}, Session{}, ErrUnknownSession
	}
	secrets := s.opts.Kube.CoreV1().Secrets(s.opts.Namespace)
	found, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return Person{}, Session{}, fmt.Errorf("read code: %w", err)
	}
	if err != nil {
		return Person{}, Session{}, ErrUnknownSession
	}
	err = secrets.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &found.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return Person{}, Session{}, fmt.Errorf("spend code: %w", err)
	}
	if err != nil {
		return Person{}, Session{}, ErrUnknownSession
	}
	session, err := sessionOf(found)
	if err != nil || session.Kind != KindCode || !s.opts.Clock.Now().Before(session.endsAt()) {
		return Person{}, Session{}, ErrUnknownSession
	}
	if subtle.ConstantTimeCompare([]byte(oauth2.S256ChallengeFromVerifier(verifier)), []byte(session.Challenge)) != 1 {
		return Person{}, Session{}, ErrUnknownSession
	}
	p, err := s.personOf(session)
	if err != nil {
		return Person{}, Session{}, ErrUnknownSession
	}
	return p, session, nil
}
