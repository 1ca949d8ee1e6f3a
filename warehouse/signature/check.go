package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/waybill-dev/waybill/warehouse"
)

const (
	// payloadType is what a simple signing payload of cosign says it is.
	payloadType = "cosign container image signature"
	// predicateSigned is what a bundle says that means: the image was signed.
	predicateSigned = "https://sigstore.dev/cosign/sign/v1"
	// maxShown bounds a name from a certificate in a message, in characters.
	maxShown = 200
)

// simple verifies a signature in cosign's own form.
func (v *Verifier) simple(digest string, s Simple) *Error {
	if (v.trust == nil) != (s.Certificate == "") {
		return v.otherKind()
	}
	b, err := s.bundle()
	if err != nil {
		return unreadable()
	}
	if err := v.check(b, func() verify.ArtifactPolicyOption { return verify.WithArtifact(bytes.NewReader(s.Payload)) }); err != nil {
		return err
	}
	var payload struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	switch err := json.Unmarshal(s.Payload, &payload); {
	case err != nil, payload.Critical.Type != payloadType:
		return invalid("what is signed is no signature of an image")
	case payload.Critical.Image.Digest != digest:
		return invalid("the signature is of another image")
	}
	return nil
}

// bundle verifies a Sigstore bundle.
func (v *Verifier) bundle(digest string, text []byte) *Error {
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	b := &bundle.Bundle{}
	if err != nil || b.UnmarshalJSON(text) != nil {
		return unreadable()
	}
	content, err := b.VerificationContent()
	if err != nil {
		return unreadable()
	}
	signed, err := b.SignatureContent()
	if err != nil || signed.EnvelopeContent() == nil {
		return unreadable()
	}
	statement, err := signed.EnvelopeContent().Statement()
	if err != nil {
		return unreadable()
	}
	if statement.GetPredicateType() != predicateSigned { // it says something else about the image
		return &Error{warehouse.ReasonSignatureMissing, "nobody signed it"}
	}
	if (v.trust == nil) != (content.Certificate() == nil) {
		return v.otherKind()
	}
	return v.check(b, func() verify.ArtifactPolicyOption { return verify.WithArtifactDigest("sha256", sum) })
}

// otherKind is for a certificate where a key is wanted, and the other way round.
func (v *Verifier) otherKind() *Error {
	if v.trust != nil {
		return invalid("it is signed with a key, not by an identity")
	}
	return invalid("it is signed by an identity, not with the key")
}

// check verifies b, which is about artifact.
func (v *Verifier) check(b *bundle.Bundle, artifact func() verify.ArtifactPolicyOption) *Error {
	var last error
	for _, w := range v.ways {
		if _, last = w.verifier.Verify(b, verify.NewPolicy(artifact(), w.policy...)); last == nil {
			return nil
		}
	}
	if v.trust == nil {
		return invalid("its signature does not verify with the key: it was made with another, or for something else")
	}
	return v.explain(b, last)
}

// explain finds out which condition of a signature by identity is not met. What
// it says decides nothing.
func (v *Verifier) explain(b *bundle.Bundle, cause error) *Error {
	content, err := b.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return unreadable()
	}
	leaf, verifier := content.Certificate(), v.ways[0].verifier
	logged, logErr := verifier.VerifyTransparencyLogInclusion(b)
	times, timeErr := verifier.VerifyObserverTimestamps(b, logged)
	for _, t := range append(v.promised(b), times...) {
		if t.Timestamp.Before(leaf.NotBefore) || t.Timestamp.After(leaf.NotAfter) {
			return &Error{warehouse.ReasonCertificateExpired, fmt.Sprintf("it was signed at %s, and its certificate is valid from %s to %s only",
				instant(t.Timestamp), instant(leaf.NotBefore), instant(leaf.NotAfter))}
		}
	}
	switch {
	case logErr != nil && len(v.promised(b)) > 0:
		return invalid("its entry in the log is of another signature, or what it signs was changed")
	case logErr != nil:
		return untrusted("it has no entry in a log of the trusted root")
	case timeErr != nil:
		return untrusted("nobody in the trusted root says when it was signed")
	}
	for _, t := range times {
		chains, err := verify.VerifyLeafCertificate(t.Timestamp, leaf, v.trust)
		if err != nil {
			return untrusted("its certificate is not of an authority in the trusted root")
		}
		if len(v.trust.CTLogs()) > 0 && verify.VerifySignedCertificateTimestamp(chains, 1, v.trust) != nil {
			return untrusted("its certificate is in no certificate log of the trusted root")
		}
	}
	var other *verify.ErrNoMatchingCertificateIdentity
	if !errors.As(cause, &other) {
		return invalid("its signature does not verify: it, or what it signs, was changed or is of another image")
	}
	who, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return unreadable()
	}
	return &Error{warehouse.ReasonSignerNotAllowed, fmt.Sprintf("it is signed by %q of %q, not by %s", shown(who.SubjectAlternativeName), shown(who.Issuer), v.identity)}
}

// promised returns the times of entries that a log of the trusted root signed,
// whether or not they are of this signature.
func (v *Verifier) promised(b *bundle.Bundle) []verify.TimestampVerificationResult {
	entries, err := b.TlogEntries()
	if err != nil {
		return nil
	}
	var out []verify.TimestampVerificationResult
	for _, e := range entries {
		if e.HasInclusionPromise() && tlog.VerifySET(e, v.trust.RekorLogs()) == nil {
			out = append(out, verify.TimestampVerificationResult{Timestamp: e.IntegratedTime()})
		}
	}
	return out
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// shown makes a name from a certificate fit for a message; it is quoted there.
func shown(name string) string {
	if r := []rune(strings.ToValidUTF8(name, "?")); len(r) > maxShown {
		return string(r[:maxShown]) + "..."
	}
	return name
}

// bundle returns s as a Sigstore bundle, so that both forms are verified alike.
func (s Simple) bundle() (*bundle.Bundle, error) {
	sum := sha256.Sum256(s.Payload)
	sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s.Signature))
	if err != nil {
		return nil, errors.New("the signature is not in base64")
	}
	material := map[string]any{"publicKey": map[string]any{"hint": ""}}
	if s.Certificate != "" {
		block, _ := pem.Decode([]byte(s.Certificate))
		if block == nil {
			return nil, errors.New("the certificate is not in PEM")
		}
		material = map[string]any{"x509CertificateChain": map[string]any{"certificates": []any{map[string]any{"rawBytes": block.Bytes}}}}
		if material["tlogEntries"], err = s.entries(); err != nil {
			return nil, err
		}
		if s.Timestamp != "" {
			var stamp struct {
				SignedRFC3161Timestamp []byte
			}
			if err := json.Unmarshal([]byte(s.Timestamp), &stamp); err != nil {
				return nil, errors.New("the timestamp is not JSON")
			}
			material["timestampVerificationData"] = map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": stamp.SignedRFC3161Timestamp}}}
		}
	}
	text, err := json.Marshal(map[string]any{
		"mediaType":            "application/vnd.dev.sigstore.bundle+json;version=0.1",
		"verificationMaterial": material,
		"messageSignature": map[string]any{
			"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": sum[:]}, "signature": sig,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	b := &bundle.Bundle{}
	return b, b.UnmarshalJSON(text) //nolint:wrapcheck // only whether it fails is looked at
}

// entries returns what the log answered, as entries of a bundle.
func (s Simple) entries() ([]any, error) {
	if s.Log == "" {
		return []any{}, nil
	}
	var log struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := json.Unmarshal([]byte(s.Log), &log); err != nil {
		return nil, errors.New("the log's answer is not JSON")
	}
	id, err := hex.DecodeString(log.Payload.LogID)
	if err != nil {
		return nil, errors.New("the log's ID is not hexadecimal")
	}
	var body struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(log.Payload.Body, &body); err != nil {
		return nil, errors.New("the log's entry is not JSON")
	}
	return []any{map[string]any{
		"logIndex": fmt.Sprint(log.Payload.LogIndex), "logId": map[string]any{"keyId": id},
		"kindVersion":       map[string]any{"kind": body.Kind, "version": body.APIVersion},
		"integratedTime":    fmt.Sprint(log.Payload.IntegratedTime),
		"inclusionPromise":  map[string]any{"signedEntryTimestamp": log.SignedEntryTimestamp},
		"canonicalizedBody": log.Payload.Body,
	}}, nil
}
