package sops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"
)

// Kinds of errors. None repeats a value or a key.
var (
	// ErrNoKey: the file is encrypted for recipients of whom no key is here.
	ErrNoKey = errors.New("no key for it")
	// ErrKeyService: only a cloud's or Vault's key service could decrypt it.
	ErrKeyService = errors.New("its key service is not supported")
	// ErrDamaged: a value or the MAC does not fit: the file was changed after it
	// was encrypted.
	ErrDamaged = errors.New("it was changed after it was encrypted")
	// ErrFormat: it is not written as SOPS writes files, or in a way that is not
	// supported.
	ErrFormat = errors.New("it is not in a format that can be decrypted")
	// ErrBadKey: a private key cannot be read.
	ErrBadKey = errors.New("not a private key that can be used")
)

// Keys are private keys. The zero value has none.
type Keys struct {
	age []age.Identity
	pgp openpgp.EntityList
	id  string
}

// ParseKeys reads the private keys of a Secret: age identities under names that end
// in .agekey, armored OpenPGP keys without a passphrase under names that end in
// .asc. Other names are left out. The names are Flux's.
func ParseKeys(data map[string][]byte) (*Keys, error) {
	k := &Keys{}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(data)) {
		switch {
		case strings.HasSuffix(name, ".agekey"):
			list, err := age.ParseIdentities(bytes.NewReader(data[name]))
			if err != nil || len(list) == 0 {
				return nil, fmt.Errorf("%s: %w: want lines AGE-SECRET-KEY-1…", name, ErrBadKey)
			}
			k.age = append(k.age, list...)
		case strings.HasSuffix(name, ".asc"):
			list, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data[name]))
			if err != nil || len(list) == 0 {
				return nil, fmt.Errorf("%s: %w: want an armored OpenPGP private key", name, ErrBadKey)
			}
			for _, e := range list {
				if e.PrivateKey == nil || e.PrivateKey.Encrypted {
					return nil, fmt.Errorf("%s: %w: it is public, or has a passphrase", name, ErrBadKey)
				}
			}
			k.pgp = append(k.pgp, list...)
		default:
			continue
		}
		fmt.Fprintf(sum, "%s %d ", name, len(data[name]))
		sum.Write(data[name])
	}
	if len(k.age)+len(k.pgp) == 0 {
		return nil, fmt.Errorf("%w: no key of the Secret ends in .agekey or .asc", ErrBadKey)
	}
	k.id = hex.EncodeToString(sum.Sum(nil))
	return k, nil
}

// ID tells these keys from others, and says nothing about them.
func (k *Keys) ID() string { return k.id }

// maxDataKey bounds what is read of a decrypted data key.
const maxDataKey = 1 << 10

// dataKey decrypts the key of a file.
func (k *Keys) dataKey(m *metadata) ([]byte, error) {
	for _, enc := range m.Age {
		if len(k.age) == 0 {
			break
		}
		r, err := age.Decrypt(armor.NewReader(strings.NewReader(enc.Enc)), k.age...)
		if err != nil {
			continue
		}
		if key, err := io.ReadAll(io.LimitReader(r, maxDataKey)); err == nil && len(key) == dataKeyBytes {
			return key, nil
		}
	}
	for _, enc := range m.PGP {
		if len(k.pgp) == 0 {
			break
		}
		block, err := pgparmor.Decode(strings.NewReader(enc.Enc))
		if err != nil {
			continue
		}
		message, err := openpgp.ReadMessage(block.Body, k.pgp, nil, nil)
		if err != nil {
			continue
		}
		if key, err := io.ReadAll(io.LimitReader(message.UnverifiedBody, maxDataKey)); err == nil && len(key) == dataKeyBytes {
			return key, nil
		}
	}
	if len(m.Age)+len(m.PGP) == 0 {
		return nil, fmt.Errorf("%w: it has neither an age nor an OpenPGP recipient", ErrKeyService)
	}
	return nil, fmt.Errorf("%w: it is encrypted for %s", ErrNoKey, strings.Join(m.recipients(), ", "))
}
