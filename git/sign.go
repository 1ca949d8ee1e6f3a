package git

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/waybill-dev/waybill/internal/secret"
)

// ErrSigningKey is returned for a key that cannot sign. No error repeats a key.
var ErrSigningKey = errors.New("the signing key cannot be used")

// Signer signs commits with one private key: an OpenSSH one, or an armored
// OpenPGP one. Both without a passphrase.
type Signer struct {
	ssh ssh.Signer
	pgp *openpgp.Entity
}

// NewSigner reads a private key.
func NewSigner(key secret.Text) (*Signer, error) {
	text := strings.TrimSpace(key.Reveal()) + "\n"
	if strings.Contains(text, "BEGIN PGP") {
		list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(text))
		if err != nil || len(list) == 0 || list[0].PrivateKey == nil {
			return nil, fmt.Errorf("%w: it is no armored OpenPGP private key", ErrSigningKey)
		}
		if list[0].PrivateKey.Encrypted {
			return nil, fmt.Errorf("%w: it has a passphrase", ErrSigningKey)
		}
		return &Signer{pgp: list[0]}, nil
	}
	s, err := ssh.ParsePrivateKey([]byte(text))
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("%w: it has a passphrase", ErrSigningKey)
	case err != nil:
		return nil, fmt.Errorf("%w: it is neither an OpenSSH nor an armored OpenPGP private key", ErrSigningKey)
	}
	return &Signer{ssh: s}, nil
}

// sign returns the signature of an object as Git stores it. The same object gives
// the same signature, except by an ECDSA key.
func (s *Signer) sign(o plumbing.EncodedObject, when time.Time) (string, error) {
	r, err := o.Reader()
	if err != nil {
		return "", fmt.Errorf("sign commit: %w", err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("sign commit: %w", err)
	}
	if s.pgp != nil {
		salted := false
		var out bytes.Buffer
		config := &packet.Config{Time: func() time.Time { return when }, NonDeterministicSignaturesViaNotation: &salted}
		if err := openpgp.ArmoredDetachSign(&out, s.pgp, bytes.NewReader(content), config); err != nil {
			return "", fmt.Errorf("%w: OpenPGP: the key has no valid part that signs", ErrSigningKey)
		}
		return out.String() + "\n", nil
	}
	return s.signSSH(content)
}

// Parts of a signature of OpenSSH (PROTOCOL.sshsig).
const (
	sshMagic     = "SSHSIG"
	sshNamespace = "git"
	sshHash      = "sha512"
	sshLine      = 70
)

func (s *Signer) signSSH(content []byte) (string, error) {
	sum := sha512.Sum512(content)
	message := append([]byte(sshMagic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{sshNamespace, "", sshHash, string(sum[:])})...)
	algorithm := ""
	if s.ssh.PublicKey().Type() == ssh.KeyAlgoRSA {
		algorithm = ssh.KeyAlgoRSASHA512 // SHA-1 is refused by who verifies
	}
	var signature *ssh.Signature
	var err error
	if as, ok := s.ssh.(ssh.AlgorithmSigner); ok && algorithm != "" {
		signature, err = as.SignWithAlgorithm(rand.Reader, message, algorithm)
	} else {
		signature, err = s.ssh.Sign(rand.Reader, message)
	}
	if err != nil {
		return "", fmt.Errorf("%w: it does not sign", ErrSigningKey)
	}
	blob := append([]byte(sshMagic), ssh.Marshal(struct {
		Version                                       uint32
		Key, Namespace, Reserved, Hash, SignatureBlob string
	}{1, string(s.ssh.PublicKey().Marshal()), sshNamespace, "", sshHash, string(ssh.Marshal(signature))})...)
	encoded := base64.StdEncoding.EncodeToString(blob)
	var b strings.Builder
	b.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(encoded) > sshLine {
		b.WriteString(encoded[:sshLine] + "\n")
		encoded = encoded[sshLine:]
	}
	b.WriteString(encoded + "\n-----END SSH SIGNATURE-----\n")
	return b.String(), nil
}
