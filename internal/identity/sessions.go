package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/internal/secret"
)

// LabelSession marks the Secret of a session; its value is the Kind.
const LabelSession = "waybill.dev/session"

// Kind tells the session of a browser, which travels in a cookie, from a token,
// which travels in the Authorization header, and both from a code, which is
// exchanged for a token once. None is accepted in the place of another.
type Kind string

// The kinds.
const (
	KindSession Kind = "session"
	KindToken   Kind = "token"
	KindCode    Kind = "code"
)

// Lifetimes.
const (
	// sessionIdle ends a browser's session that is not used.
	sessionIdle = 8 * time.Hour
	// sessionLife ends it in any case.
	sessionLife = 24 * time.Hour
	// tokenLife ends a token of a local user. One of an identity provider ends with
	// sessionLife: nobody tells Waybill when a person has left.
	tokenLife = 30 * 24 * time.Hour
	// codeLife ends a code that was not exchanged.
	codeLife = time.Minute
	// touchEvery is how often use is written down.
	touchEvery = 10 * time.Minute
)

// Prefixes of the values, so that scanners find leaked ones.
const (
	sessionPrefix = "wbs_"
	tokenPrefix   = "wbt_"
	codePrefix    = "wbc_"
)

// prefixOf returns the prefix of a kind's values.
func prefixOf(kind Kind) string {
	switch kind {
	case KindToken:
		return tokenPrefix
	case KindCode:
		return codePrefix
	default:
		return sessionPrefix
	}
}

// randomBytes in a value.
const randomBytes = 32

const (
	// secretPrefix is before the hash in the name of a session's Secret.
	secretPrefix = "waybill-session-"
	// idLength is how much of the hash people see.
	idLength = 12
)

// Keys of a session's Secret.
const (
	keyUser     = "user"
	keyNote     = "note"
	keyCreated  = "created"
	keyExpires  = "expires"
	keyLastUsed = "lastUsed"
	// Of people whom an identity provider vouches for alone:
	keyIssuer    = "issuer"
	keyGroups    = "groups" // JSON
	keyChallenge = "challenge"
	// keyEpoch is of local users: see User.
	keyEpoch = "epoch"
	// keyReadOnly, with any value, makes a token that may only look.
	keyReadOnly = "readOnly"
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
	// Issuer is the identity provider that vouched for the person, with Groups
	// without prefix; empty for a local user, whose groups are looked up.
	Issuer string
	Groups []string
	// Challenge of a code: the base64url of the SHA-256 of what its owner has to show.
	Challenge string
	// ReadOnly tokens change nothing, whatever their person may.
	ReadOnly bool

	// epoch of the local user when it began.
	epoch string
	// secretName is derived from the SHA-256 of the value.
	secretName string
}

// errValue never quotes the value.
var errValue = errors.New("not a session or token of Waybill")

// ID names the session to its person; it gives no right.
func (s Session) ID() string {
	name := strings.TrimPrefix(s.secretName, secretPrefix)
	return name[:min(len(name), idLength)]
}

// newValue returns a fresh value of the kind.
func newValue(kind Kind) (secret.Text, error) {
	random := make([]byte, randomBytes)
	if _, err := rand.Read(random); err != nil {
		return secret.Text{}, fmt.Errorf("read random value: %w", err)
	}
	return secret.New(prefixOf(kind) + base64.RawURLEncoding.EncodeToString(random)), nil
}

// secretNameOf returns the name of the Secret of a value, which holds its
// SHA-256; errValue for text that cannot be a value of the kind.
func secretNameOf(kind Kind, value string) (string, error) {
	prefix := prefixOf(kind)
	if len(value) != len(prefix)+base64.RawURLEncoding.EncodedLen(randomBytes) || value[:len(prefix)] != prefix {
		return "", errValue
	}
	sum := sha256.Sum256([]byte(value))
	return secretPrefix + hex.EncodeToString(sum[:]), nil
}

// toSecret returns the Secret of s.
func (s Session) toSecret(namespace string) *corev1.Secret {
	stamp := func(t time.Time) []byte { return []byte(t.UTC().Format(time.RFC3339)) }
	out := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.secretName, Namespace: namespace, Labels: map[string]string{LabelSession: string(s.Kind)}},
		Type:       corev1.SecretTypeOpaque,
		Data: map[string][]byte{
			keyUser: []byte(s.User), keyNote: []byte(s.Note),
			keyCreated: stamp(s.Created), keyExpires: stamp(s.Expires), keyLastUsed: stamp(s.LastUsed),
		},
	}
	if s.Issuer != "" {
		groups, _ := json.Marshal(s.Groups) // texts
		out.Data[keyIssuer], out.Data[keyGroups] = []byte(s.Issuer), groups
	}
	if s.epoch != "" {
		out.Data[keyEpoch] = []byte(s.epoch)
	}
	if s.Challenge != "" {
		out.Data[keyChallenge] = []byte(s.Challenge)
	}
	if s.ReadOnly {
		out.Data[keyReadOnly] = []byte("true")
	}
	return out
}

// sessionOf reads a session's Secret. Anything that does not read well is an
// error, so that it ends the session rather than extend it.
func sessionOf(s *corev1.Secret) (Session, error) {
	out := Session{
		Kind: Kind(s.Labels[LabelSession]), User: string(s.Data[keyUser]), Note: string(s.Data[keyNote]),
		Issuer: string(s.Data[keyIssuer]), Challenge: string(s.Data[keyChallenge]), epoch: string(s.Data[keyEpoch]), secretName: s.Name,
	}
	_, out.ReadOnly = s.Data[keyReadOnly]
	if out.Kind != KindSession && out.Kind != KindToken && out.Kind != KindCode {
		return Session{}, fmt.Errorf("session Secret %q: label %s is none of %s, %s and %s", s.Name, LabelSession, KindSession, KindToken, KindCode)
	}
	if out.Issuer != "" {
		if err := json.Unmarshal(s.Data[keyGroups], &out.Groups); err != nil {
			return Session{}, fmt.Errorf("session Secret %q: %s is no list of texts", s.Name, keyGroups)
		}
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

// lifeOf returns how long a session lives that is used all the time.
func lifeOf(kind Kind, issuer string) time.Duration {
	switch {
	case kind == KindCode:
		return codeLife
	case kind == KindToken && issuer == "":
		return tokenLife
	default:
		return sessionLife
	}
}

// endsAt returns when the session ends if it is not used again.
func (s Session) endsAt() time.Time {
	end := s.Expires
	// Expires is data; the rule of the kind holds as well.
	if hard := s.Created.Add(lifeOf(s.Kind, s.Issuer)); hard.Before(end) {
		end = hard
	}
	if s.Kind == KindSession {
		if idle := s.LastUsed.Add(sessionIdle); idle.Before(end) {
			end = idle
		}
	}
	return end
}
