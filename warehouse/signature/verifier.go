package signature

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

// Evidence is what a registry keeps beside an image about who signed it.
type Evidence struct {
	Simple  []Simple
	Bundles [][]byte // JSON
	// Unread says why something beside the image could not be read; may be empty.
	Unread string
}

// Simple is one signature in cosign's own form: a layer and its annotations.
type Simple struct {
	Payload     []byte
	Signature   string // base64
	Certificate string // PEM; empty for a key
	Log         string // JSON of the log's answer; may be empty for a key
	Timestamp   string // JSON with an RFC 3161 timestamp; may be empty
}

// Error is why an image does not count as signed.
type Error struct {
	// Reason is one of the warehouse.ReasonSignature* words, or
	// ReasonSignerNotAllowed or ReasonCertificateExpired.
	Reason string
	Detail string
}

// Error returns one sentence that stays equal while the facts do.
func (e *Error) Error() string { return e.Detail }

// Verifier is a compiled ImageSignature.
type Verifier struct {
	ways []way
	// trust and identity are for a signature without a key.
	trust    root.TrustedMaterial
	identity string
}

// way is one set of conditions; a signature that meets one of them is good.
type way struct {
	verifier *verify.Verifier
	policy   []verify.PolicyOption
}

// New compiles s. Its error wraps warehouse.ErrInvalid.
func New(s *v1alpha1.ImageSignature) (*Verifier, error) {
	var v *Verifier
	var err error
	switch {
	case s.Key != nil:
		v, err = withKeys(s.Key.PublicKey)
	case s.Keyless != nil:
		v, err = withIdentity(s.Keyless)
	default:
		err = errors.New("set one of key and keyless")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: signature: %w", warehouse.ErrInvalid, err)
	}
	return v, nil
}

func withKeys(text string) (*Verifier, error) {
	keys, err := warehouse.ParsePublicKeys(text)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong already
	}
	v := &Verifier{}
	for _, key := range keys {
		for _, hash := range hashesOf(key) {
			s, err := signature.LoadVerifier(key, hash)
			if err != nil {
				return nil, errors.New("a public key cannot be used")
			}
			trust := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
				return root.NewExpiringKey(s, time.Time{}, time.Time{}), nil
			})
			one, err := verify.NewVerifier(trust, verify.WithNoObserverTimestamps())
			if err != nil {
				return nil, errors.New("a public key cannot be used")
			}
			v.ways = append(v.ways, way{one, []verify.PolicyOption{verify.WithKey()}})
		}
	}
	return v, nil
}

// hashesOf returns the hashes that signatures of a key are made with: SHA-256
// always; programs differ about the larger curves.
func hashesOf(key any) []crypto.Hash {
	k, isECDSA := key.(*ecdsa.PublicKey)
	switch {
	case isECDSA && k.Curve == elliptic.P384():
		return []crypto.Hash{crypto.SHA256, crypto.SHA384}
	case isECDSA && k.Curve == elliptic.P521():
		return []crypto.Hash{crypto.SHA256, crypto.SHA512}
	}
	return []crypto.Hash{crypto.SHA256}
}

func withIdentity(k *v1alpha1.SignatureIdentity) (*Verifier, error) {
	trust, err := root.NewTrustedRootFromJSON([]byte(k.TrustedRoot))
	if err != nil {
		return nil, errors.New("keyless.trustedRoot is not a trusted_root.json")
	}
	expression := k.SubjectRegex
	if expression != "" {
		expression = "^(?:" + expression + ")$"
	}
	identity, err := verify.NewShortCertificateIdentity(k.Issuer, "", k.Subject, expression)
	if err != nil {
		return nil, errors.New("keyless needs an issuer and a subject or subjectRegex")
	}
	conditions := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	if len(trust.CTLogs()) > 0 {
		conditions = append(conditions, verify.WithSignedCertificateTimestamps(1))
	}
	one, err := verify.NewVerifier(trust, conditions...)
	if err != nil {
		return nil, errors.New("keyless.trustedRoot cannot be used")
	}
	return &Verifier{
		ways:     []way{{one, []verify.PolicyOption{verify.WithCertificateIdentity(identity)}}},
		trust:    trust,
		identity: cmp.Or(k.Subject, k.SubjectRegex) + " of " + k.Issuer,
	}, nil
}

// closeness orders reasons: the one that came closest is reported.
func closeness() []string {
	return []string{
		warehouse.ReasonSignerNotAllowed, warehouse.ReasonCertificateExpired, warehouse.ReasonSignatureInvalid,
		warehouse.ReasonSignatureUntrusted, warehouse.ReasonSignatureUnreadable, warehouse.ReasonSignatureMissing,
	}
}

// Verify returns nil when one of the signatures in e is of the image with this
// digest and of whom v wants, or an *Error.
func (v *Verifier) Verify(digest string, e Evidence) error {
	closest := &Error{warehouse.ReasonSignatureMissing, "nobody signed it"}
	if e.Unread != "" {
		closest = &Error{warehouse.ReasonSignatureUnreadable, "what is beside it cannot be read: " + e.Unread}
	}
	note := func(err *Error) {
		if order := closeness(); slices.Index(order, err.Reason) < slices.Index(order, closest.Reason) {
			closest = err
		}
	}
	for _, s := range e.Simple {
		err := guarded(func() *Error { return v.simple(digest, s) })
		if err == nil {
			return nil
		}
		note(err)
	}
	for _, b := range e.Bundles {
		err := guarded(func() *Error { return v.bundle(digest, b) })
		if err == nil {
			return nil
		}
		note(err)
	}
	return closest
}

// guarded runs check on what a stranger may have written.
func guarded(check func() *Error) (err *Error) {
	defer func() {
		if recover() != nil {
			err = unreadable()
		}
	}()
	return check()
}

func unreadable() *Error {
	return &Error{warehouse.ReasonSignatureUnreadable, "what is beside it is no signature that can be read"}
}

func invalid(detail string) *Error { return &Error{warehouse.ReasonSignatureInvalid, detail} }

func untrusted(detail string) *Error { return &Error{warehouse.ReasonSignatureUntrusted, detail} }
