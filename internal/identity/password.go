package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/waybill-dev/waybill/internal/secret"
)

// Parameters of argon2id for new hashes: OWASP's floor (19 MiB, two passes,
// one lane).
const (
	argonMemoryKiB = 19 * 1024
	argonPasses    = 2
	argonLanes     = 1
	argonSaltBytes = 16
	argonHashBytes = 32
)

// Ceilings for hashes that are read, so that a crafted one cannot take the
// machine's memory.
const (
	maxMemoryKiB = 256 * 1024
	maxPasses    = 16
	maxLanes     = 8
)

const (
	// maxPasswordBytes keeps hashing of hostile input cheap.
	maxPasswordBytes = 1024
	// minPasswordLength is in characters: the least that NIST SP 800-63B lets people
	// choose. It names no kinds of characters that must be there, and neither do we.
	minPasswordLength = 8
)

// hashers is how many passwords are hashed at once: each takes 19 MiB.
const hashers = 4

// HashPassword returns the argon2id hash of password in PHC form
// ($argon2id$v=19$m=19456,t=2,p=1$SALT$HASH) with a random salt.
func HashPassword(password secret.Text) (string, error) {
	if password.IsEmpty() || len(password.Reveal()) > maxPasswordBytes {
		return "", fmt.Errorf("a password has 1 to %d bytes", maxPasswordBytes)
	}
	salt := make([]byte, argonSaltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("read random salt: %w", err)
	}
	sum := argon2.IDKey([]byte(password.Reveal()), salt, argonPasses, argonMemoryKiB, argonLanes, argonHashBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonPasses, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// checkPassword says what is wrong with a password that somebody chose for a user.
func checkPassword(name string, password secret.Text) error {
	text := password.Reveal()
	switch {
	case utf8.RuneCountInString(text) < minPasswordLength:
		return fmt.Errorf("a password has at least %d characters", minPasswordLength)
	case len(text) > maxPasswordBytes:
		return fmt.Errorf("a password has at most %d bytes", maxPasswordBytes)
	case strings.EqualFold(text, name):
		return errors.New("a password is not the user's name")
	}
	return nil
}

// phc is a parsed hash.
type phc struct {
	memoryKiB, passes uint32
	lanes             uint8
	salt, sum         []byte
}

// errHash never quotes the hash.
var errHash = errors.New("not an argon2id hash in PHC form, or outside the accepted parameters")

func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errHash
	}
	var h phc
	var lanes uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memoryKiB, &h.passes, &lanes); err != nil || n != 3 {
		return phc{}, errHash
	}
	if fmt.Sprintf("m=%d,t=%d,p=%d", h.memoryKiB, h.passes, lanes) != parts[3] {
		return phc{}, errHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.sum, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	switch {
	case err1 != nil || err2 != nil,
		len(h.salt) < 8 || len(h.salt) > 64, len(h.sum) < 16 || len(h.sum) > 64,
		lanes < 1 || lanes > maxLanes, h.passes < 1 || h.passes > maxPasses,
		h.memoryKiB < 8*lanes || h.memoryKiB > maxMemoryKiB:
		return phc{}, errHash
	}
	h.lanes = uint8(lanes) //nolint:gosec // at most maxLanes
	return h, nil
}

// matches compares in constant time.
func (h phc) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.passes, h.memoryKiB, h.lanes, uint32(len(h.sum))) //nolint:gosec // at most 64
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// hasPassword reports whether password belongs to hash, for who need not hide which
// users there are.
func hasPassword(hash string, password secret.Text) bool {
	h, err := parsePHC(hash)
	return err == nil && h.matches(password.Reveal())
}

// verifier checks passwords, a few at a time, and takes as long for unknown
// users as for known ones.
type verifier struct {
	slots chan struct{}
	dummy phc
}

func newVerifier() (*verifier, error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	text, err := HashPassword(secret.New(base64.RawStdEncoding.EncodeToString(random)))
	if err != nil {
		return nil, err
	}
	dummy, err := parsePHC(text)
	if err != nil {
		return nil, err
	}
	return &verifier{slots: make(chan struct{}, hashers), dummy: dummy}, nil
}

// take waits for a slot, which the caller gives back.
func (v *verifier) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case v.slots <- struct{}{}:
		return func() { <-v.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash is HashPassword in a slot.
func (v *verifier) hash(ctx context.Context, password secret.Text) (string, error) {
	giveBack, err := v.take(ctx)
	if err != nil {
		return "", err
	}
	defer giveBack()
	return HashPassword(password)
}

// verify reports whether password belongs to hash. An empty or unreadable hash
// belongs to nobody, and costs the same.
func (v *verifier) verify(ctx context.Context, hash string, password secret.Text) (bool, error) {
	giveBack, err := v.take(ctx)
	if err != nil {
		return false, err
	}
	defer giveBack()
	h, err := parsePHC(hash)
	known := err == nil
	if !known {
		h = v.dummy
	}
	text := password.Reveal()
	if len(text) > maxPasswordBytes {
		text, known = text[:maxPasswordBytes], false
	}
	return h.matches(text) && known, nil
}
