package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/internal/secret"
)

// LabelSession marks the Secret of a session; its value is the Kind.
const LabelSession = "waybill.dev/session"

// Kind tells the session of a browser, which travels in a cookie, from a token,
// which travels in the Authorization header. Neither is accepted in the place
// of the other.
type Kind string

// The kinds.
const (
	KindSession Kind = "session"
	KindToken   Kind = "token"
)

// Lifetimes.
const (
	// sessionIdle ends a browser's session that is not used.
	sessionIdle = 8 * time.Hour
	// sessionLife ends it in any case.
	sessionLife = 24 * time.Hour
	// tokenLife ends a token.
	tokenLife = 30 * 24 * time.Hour
	// touchEvery is how often use is written down.
	touchEvery = 10 * time.Minute
)

// Prefixes of the values, so that scanners find leaked ones.
const (
	sessionPrefix = "wbs_"
	tokenPrefix   = "wbt_"
)

// randomBytes in a value.
const randomBytes = 32

// Keys of a session's Secret.
const (
	keyUser     = "user"
	keyNote     = "note"
	keyCreated  = "created"
	keyExpires  = "expires"
	keyLastUsed = "lastUsed"
)

// Session is what is known about a session or token.
type Session struct {
	// Kind of the session.
	Kind Kind
	// User without prefix.
	User string
	// Note says what a token is for.
	Note string
	// Created and Expires bound its life.
	Created, Expires time.Time
	// LastUsed is exact to ten minutes.
	LastUsed time.Time

	// secretName is derived from the SHA-256 of the value.
	secretName string
}

// errValue never quotes the value.
var errValue = errors.New("not a session or token of Waybill")

// newValue returns a fresh value of the kind.
func newValue(kind Kind) (secret.Text, error) {
	random := make([]byte, randomBytes)
	if _, err := rand.Read(random); err != nil {
		return secret.Text{}, fmt.Errorf("read random value: %w", err)
	}
	prefix := sessionPrefix
	if kind == KindToken {
		prefix = tokenPrefix
	}
	return secret.New(prefix + base64.RawURLEncoding.EncodeToString(random)), nil
}

// secretNameOf returns the name of the Secret of a value, which holds its
// SHA-256; errValue for text that cannot be a value of the kind.
func secretNameOf(kind Kind, value string) (string, error) {
	prefix := sessionPrefix
	if kind == KindToken {
		prefix = tokenPrefix
	}
	if len(value) != len(prefix)+base64.RawURLEncoding.EncodedLen(randomBytes) || value[:len(prefix)] != prefix {
		return "", errValue
	}
	sum := sha256.Sum256([]byte(value))
	return "waybill-session-" + hex.EncodeToString(sum[:]), nil
}

// toSecret returns the Secret of s.
func (s Session) toSecret(namespace string) *corev1.Secret {
	stamp := func(t time.Time) []byte { return []byte(t.UTC().Format(time.RFC3339)) }
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.secretName, Namespace: namespace, Labels: map[string]string{LabelSession: string(s.Kind)}},
		Type:       corev1.SecretTypeOpaque,
		Data: map[string][]byte{
			keyUser: []byte(s.User), keyNote: []byte(s.Note),
			keyCreated: stamp(s.Created), keyExpires: stamp(s.Expires), keyLastUsed: stamp(s.LastUsed),
		},
	}
}

// sessionOf reads a session's Secret. Anything that does not read well is an
// error, so that it ends the session rather than extend it.
func sessionOf(s *corev1.Secret) (Session, error) {
	out := Session{Kind: Kind(s.Labels[LabelSession]), User: string(s.Data[keyUser]), Note: string(s.Data[keyNote]), secretName: s.Name}
	if out.Kind != KindSession && out.Kind != KindToken {
		return Session{}, fmt.Errorf("session Secret %q: label %s is neither %s nor %s", s.Name, LabelSession, KindSession, KindToken)
	}
	for key, into := range map[string]*time.Time{keyCreated: &out.Created, keyExpires: &out.Expires, keyLastUsed: &out.LastUsed} {
		t, err := time.Parse(time.RFC3339, string(s.Data[key]))
		if err != nil {
			return Session{}, fmt.Errorf("session Secret %q: %s is not a time", s.Name, key)
		}
		*into = t
	}
	return out, nil
}

// endsAt returns when the session ends if it is not used again.
func (s Session) endsAt() time.Time {
	end := s.Expires
	if s.Kind == KindSession {
		if idle := s.LastUsed.Add(sessionIdle); idle.Before(end) {
			end = idle
		}
		// Expires is data; the rule of the kind holds as well.
		if hard := s.Created.Add(sessionLife); hard.Before(end) {
			end = hard
		}
	} else if hard := s.Created.Add(tokenLife); hard.Before(end) {
		end = hard
	}
	return end
}
