package git

import (
	"encoding/hex"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// Hash is the SHA-1 name of a Git object. The zero Hash stands for "none": no
// commit, no branch, the empty tree.
type Hash [20]byte

// ParseHash reads 40 hexadecimal digits.
func ParseHash(text string) (Hash, error) {
	var h Hash
	if len(text) != hex.EncodedLen(len(h)) {
		return h, fmt.Errorf("%q is not a Git hash: want 40 hexadecimal digits", text)
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		return Hash{}, fmt.Errorf("%q is not a Git hash: want 40 hexadecimal digits", text)
	}
	return h, nil
}

// String returns 40 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first 7 digits, for people.
func (h Hash) Short() string { return h.String()[:7] }

// IsZero reports whether h is "none".
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText returns String; JSON and YAML use it.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is ParseHash.
func (h *Hash) UnmarshalText(text []byte) error {
	parsed, err := ParseHash(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

func (h Hash) plumbing() plumbing.Hash { return plumbing.Hash(h) }
