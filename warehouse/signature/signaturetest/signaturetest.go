// Package signaturetest signs images in tests as cosign does, with keys of its
// own: with a plain key, or with certificates of an authority whose log vouches
// for the time.
package signaturetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse/signature"
)

// oidIssuer is the certificate extension that says who vouches for the identity
// (Fulcio's certificate specification, issuer v2).
var oidIssuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}

// Payload is what cosign signs for an image in its own form.
func Payload(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.example.com/app"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
}

// Key signs with no certificate.
type Key struct {
	t       testing.TB
	private *ecdsa.PrivateKey
	// Public is what cosign.pub would hold.
	Public string
}

// NewKey returns a new key.
func NewKey(t testing.TB) *Key {
	t.Helper()
	private := generate(t)
	return &Key{t, private, publicPEM(t, private)}
}

// Sign signs the image with this digest.
func (k *Key) Sign(digest string) signature.Simple {
	payload := Payload(digest)
	return signature.Simple{Payload: payload, Signature: base64.StdEncoding.EncodeToString(sign(k.t, k.private, payload))}
}

// Bundle signs a statement about the image: predicateType says what is stated.
func (k *Key) Bundle(digest, predicateType string) []byte {
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`,
		strings.TrimPrefix(digest, "sha256:"), predicateType)
	const kind = "application/vnd.in-toto+json"
	encoded := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(statement), statement)
	return encode(k.t, map[string]any{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "key"}},
		"dsseEnvelope": map[string]any{
			"payload": statement, "payloadType": kind,
			"signatures": []any{map[string]any{"sig": sign(k.t, k.private, encoded)}},
		},
	})
}

// Authority gives out certificates and has a log.
type Authority struct {
	t          testing.TB
	key, log   *ecdsa.PrivateKey
	ca         *x509.Certificate
	logKeyDER  []byte
	logID      [sha256.Size]byte
	validSince time.Time
}

// NewAuthority returns an authority of its own, valid from a day before now.
func NewAuthority(t testing.TB, now time.Time) *Authority {
	t.Helper()
	a := &Authority{t: t, key: generate(t), log: generate(t), validSince: now.Add(-24 * time.Hour)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: a.validSince, NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	a.ca = certify(t, template, template, a.key, a.key)
	var err error
	if a.logKeyDER, err = x509.MarshalPKIXPublicKey(&a.log.PublicKey); err != nil {
		t.Fatal(err)
	}
	a.logID = sha256.Sum256(a.logKeyDER)
	return a
}

// TrustedRoot is the trusted_root.json of the authority.
func (a *Authority) TrustedRoot() string {
	since := map[string]any{"start": a.validSince.UTC().Format(time.RFC3339)}
	return string(encode(a.t, map[string]any{
		"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs": []any{map[string]any{
			"baseUrl": "https://log.example.com", "hashAlgorithm": "SHA2_256",
			"publicKey": map[string]any{"rawBytes": a.logKeyDER, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since},
			"logId":     map[string]any{"keyId": a.logID[:]},
		}},
		"certificateAuthorities": []any{map[string]any{
			"subject": map[string]any{"organization": "test", "commonName": "test authority"}, "uri": "https://ca.example.com",
			"certChain": map[string]any{"certificates": []any{map[string]any{"rawBytes": a.ca.Raw}}}, "validFor": since,
		}},
	}))
}

// Identity is who signs.
type Identity struct{ Issuer, Subject string }

// Sign signs the image with this digest as who, with a certificate that is valid
// for ten minutes from issued; the log says it was signed at logged.
func (a *Authority) Sign(digest string, who Identity, issued, logged time.Time) signature.Simple {
	a.t.Helper()
	subject, err := url.Parse(who.Subject)
	if err != nil {
		a.t.Fatal(err)
	}
	issuer, err := asn1.MarshalWithParams(who.Issuer, "utf8")
	if err != nil {
		a.t.Fatal(err)
	}
	key, payload := generate(a.t), Payload(digest)
	leaf := certify(a.t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: issued, NotAfter: issued.Add(10 * time.Minute),
		URIs: []*url.URL{subject}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: oidIssuer, Value: issuer}},
	}, a.ca, key, a.key)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	sig := sign(a.t, key, payload)
	sum := sha256.Sum256(payload)
	body := encode(a.t, map[string]any{
		"apiVersion": "0.0.1", "kind": "hashedrekord",
		"spec": map[string]any{
			"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}},
			"signature": map[string]any{"content": sig, "publicKey": map[string]any{"content": certificate}},
		},
	})
	// The keys of a map are sorted, which makes this canonical JSON (RFC 8785).
	entry := map[string]any{"body": body, "integratedTime": logged.Unix(), "logID": hex.EncodeToString(a.logID[:]), "logIndex": 7}
	promise := sign(a.t, a.log, encode(a.t, entry))
	return signature.Simple{
		Payload: payload, Signature: base64.StdEncoding.EncodeToString(sig), Certificate: string(certificate),
		Log: string(encode(a.t, map[string]any{"SignedEntryTimestamp": promise, "Payload": entry})),
	}
}

// PushSimple stores signatures of an image where cosign puts those of its own form.
func PushSimple(t testing.TB, r *demoregistry.Server, repo, digest string, all ...signature.Simple) {
	t.Helper()
	config := []byte(`{}`)
	blobs, layers := [][]byte{config}, []any{}
	for _, s := range all {
		blobs = append(blobs, s.Payload)
		notes := map[string]string{"dev.cosignproject.cosign/signature": s.Signature}
		if s.Certificate != "" {
			notes["dev.sigstore.cosign/certificate"], notes["dev.sigstore.cosign/bundle"] = s.Certificate, s.Log
		}
		layer := descriptor("application/vnd.dev.cosign.simplesigning.v1+json", s.Payload)
		layer["annotations"] = notes
		layers = append(layers, layer)
	}
	push(t, r, repo, strings.Replace(digest, ":", "-", 1)+".sig", blobs, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": descriptor("application/vnd.oci.image.config.v1+json", config), "layers": layers,
	})
}

// PushBundle stores a bundle that refers to an image.
func PushBundle(t testing.TB, r *demoregistry.Server, repo, digest string, bundle []byte) {
	t.Helper()
	const kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
	config := []byte(`{}`)
	push(t, r, repo, "", [][]byte{config, bundle}, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "artifactType": kind,
		"config": descriptor("application/vnd.oci.empty.v1+json", config), "layers": []any{descriptor(kind, bundle)},
		"subject": map[string]any{"mediaType": manifestType, "digest": digest, "size": 1},
	})
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func push(t testing.TB, r *demoregistry.Server, repo, tag string, blobs [][]byte, manifest any) {
	t.Helper()
	if _, err := r.PushArtifact(t.Context(), repo, tag, demoregistry.Artifact{MediaType: manifestType, Manifest: encode(t, manifest), Blobs: blobs}); err != nil {
		t.Fatal(err)
	}
}

func descriptor(mediaType string, content []byte) map[string]any {
	sum := sha256.Sum256(content)
	return map[string]any{"mediaType": mediaType, "digest": "sha256:" + hex.EncodeToString(sum[:]), "size": len(content)}
}

func generate(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicPEM(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func certify(t testing.TB, template, parent *x509.Certificate, of, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &of.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sign(t testing.TB, key *ecdsa.PrivateKey, text []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(text)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
