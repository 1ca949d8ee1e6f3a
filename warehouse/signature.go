package warehouse

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const (
	// maxKeys is how many public keys a subscription may name.
	maxKeys = 8
	// minKeyBits is the least of an RSA key.
	minKeyBits = 2048
	// maxRefused is how many refused images are kept in status.
	maxRefused = 20
)

// Reasons why an image that passes all filters is no candidate.
const (
	// ReasonSignatureMissing: there is no signature beside the image.
	ReasonSignatureMissing = "SignatureMissing"
	// ReasonSignatureInvalid: made by another key, of another image, or changed.
	ReasonSignatureInvalid = "SignatureInvalid"
	// ReasonSignerNotAllowed: signed by somebody, not by whom the subscription names.
	ReasonSignerNotAllowed = "SignerNotAllowed"
	// ReasonCertificateExpired: the log's time is outside the certificate's.
	ReasonCertificateExpired = "CertificateExpired"
	// ReasonSignatureUntrusted: certificate or log are not of the trusted root.
	ReasonSignatureUntrusted = "SignatureUntrusted"
	// ReasonSignatureUnreadable: what is beside the image is no signature.
	ReasonSignatureUnreadable = "SignatureUnreadable"
	// ReasonSignatureUnchecked: the poll had looked at as many images as it may.
	ReasonSignatureUnchecked = "SignatureUnchecked"
)

// ParsePublicKeys reads the keys of a signature: PEM blocks, each a PKIX public
// key (ECDSA, Ed25519, or RSA of at least 2048 bits).
func ParsePublicKeys(text string) ([]any, error) {
	var out []any
	for rest := []byte(text); ; {
		block, after := pem.Decode(rest)
		if block == nil {
			if strings.TrimSpace(string(rest)) != "" || len(out) == 0 {
				return nil, errors.New("it is not a public key in PEM, as in cosign.pub")
			}
			return out, nil
		}
		rest = after
		if block.Type != "PUBLIC KEY" {
			return nil, errors.New("it holds something else than public keys in PEM")
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("it is not a public key in PEM, as in cosign.pub")
		}
		switch k := key.(type) {
		case *ecdsa.PublicKey, ed25519.PublicKey:
		case *rsa.PublicKey:
			if k.N.BitLen() < minKeyBits {
				return nil, fmt.Errorf("an RSA key has %d bits, at least %d are needed", k.N.BitLen(), minKeyBits)
			}
		default:
			return nil, errors.New("it is neither an ECDSA nor an Ed25519 nor an RSA key")
		}
		if out = append(out, key); len(out) > maxKeys {
			return nil, fmt.Errorf("it holds more than %d keys", maxKeys)
		}
	}
}

// checkSignature returns what is wrong with s, as field and text.
func checkSignature(s *v1alpha1.ImageSignature) (field string, err error) {
	switch {
	case (s.Key == nil) == (s.Keyless == nil):
		return "signature", errors.New("set one of key and keyless")
	case s.Key != nil:
		_, err := ParsePublicKeys(s.Key.PublicKey)
		return "signature.key.publicKey", err
	}
	k := s.Keyless
	if host, isHTTPS := strings.CutPrefix(k.Issuer, "https://"); !isHTTPS || strings.Trim(host, "/ ") == "" {
		return "signature.keyless.issuer", errors.New("it is not an https address such as https://token.actions.githubusercontent.com")
	}
	if (k.Subject == "") == (k.SubjectRegex == "") {
		return "signature.keyless", errors.New("set one of subject and subjectRegex")
	}
	if k.SubjectRegex != "" {
		if _, err := pattern(k.SubjectRegex); err != nil {
			return "signature.keyless.subjectRegex", err
		}
	}
	var root struct {
		Authorities []json.RawMessage `json:"certificateAuthorities"`
		Logs        []json.RawMessage `json:"tlogs"`
	}
	if json.Unmarshal([]byte(k.TrustedRoot), &root) != nil || len(root.Authorities) == 0 || len(root.Logs) == 0 {
		return "signature.keyless.trustedRoot", errors.New("it is not a trusted_root.json with certificateAuthorities and tlogs")
	}
	return "", nil
}

// Signature returns who must have signed an image; nil when nobody has to.
func (p *Policy) Signature() *v1alpha1.ImageSignature { return p.signature }

// SignatureDigest stands for who must have signed: what was proven for it stays
// proven while it is the same. It is empty when nobody has to.
func (p *Policy) SignatureDigest() string { return p.signature.Digest() }

// SetSignature writes what was found out about one image of f.
func SetSignature(f *v1alpha1.Freight, s v1alpha1.FreightSignature) {
	i := slices.IndexFunc(f.Status.Signatures, func(old v1alpha1.FreightSignature) bool { return old.RepoURL == s.RepoURL })
	if i < 0 {
		f.Status.Signatures = append(f.Status.Signatures, s)
		return
	}
	f.Status.Signatures[i] = s
}

// unproven returns the first image subscription of w whose candidates were not
// found under the signature that its spec asks for now.
func unproven(w *v1alpha1.Warehouse) (repoURL string, found bool) {
	for _, sub := range w.Spec.Subscriptions {
		if sub.Image == nil || sub.Image.Signature == nil {
			continue
		}
		at := Identity{TypeImage, sub.Image.RepoURL, ""}.Find(w.Status.Subscriptions)
		if at.Observed != sub.Image.Signature.Digest() {
			return sub.Image.RepoURL, true
		}
	}
	return "", false
}
