package signature_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/signature"
	"github.com/waybill-dev/waybill/warehouse/signature/signaturetest"
)

const (
	image  = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	other  = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	signed = "https://sigstore.dev/cosign/sign/v1"
)

func verifier(t *testing.T, s v1alpha1.ImageSignature) *signature.Verifier {
	t.Helper()
	v, err := signature.New(&s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reason returns the reason of err, or "" for none.
func reason(t *testing.T, err error) string {
	t.Helper()
	var refused *signature.Error
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("%v is no *signature.Error", err)
	}
	if refused == nil {
		return ""
	}
	return refused.Reason
}

func simple(all ...signature.Simple) signature.Evidence { return signature.Evidence{Simple: all} }

func TestVerifyWithAKey(t *testing.T) {
	key, stranger := signaturetest.NewKey(t), signaturetest.NewKey(t)
	tampered := key.Sign(image)
	tampered.Payload = []byte(strings.Replace(string(tampered.Payload), "registry.example.com/app", "registry.example.com/evil", 1))
	swapped := key.Sign(other)
	swapped.Payload = signaturetest.Payload(image)
	noText := key.Sign(image)
	noText.Signature = "not base64 !"
	for _, c := range []struct {
		name string
		e    signature.Evidence
		want string
	}{
		{"signed with the key", simple(key.Sign(image)), ""},
		{"one good signature among others is enough", simple(stranger.Sign(image), noText, key.Sign(other), key.Sign(image)), ""},
		{"nobody signed it", signature.Evidence{}, warehouse.ReasonSignatureMissing},
		{"signed with another key", simple(stranger.Sign(image)), warehouse.ReasonSignatureInvalid},
		{"the signature of another image", simple(key.Sign(other)), warehouse.ReasonSignatureInvalid},
		{"what was signed is changed", simple(tampered), warehouse.ReasonSignatureInvalid},
		{"the payload of this image with the signature of another", simple(swapped), warehouse.ReasonSignatureInvalid},
		{"no signature at all", simple(noText), warehouse.ReasonSignatureUnreadable},
		{"what could not be read is said", signature.Evidence{Unread: "a manifest (status 418)"}, warehouse.ReasonSignatureUnreadable},
		{"a bundle", signature.Evidence{Bundles: [][]byte{key.Bundle(image, signed)}}, ""},
		{"a bundle with another key", signature.Evidence{Bundles: [][]byte{stranger.Bundle(image, signed)}}, warehouse.ReasonSignatureInvalid},
		{"a bundle about another image", signature.Evidence{Bundles: [][]byte{key.Bundle(other, signed)}}, warehouse.ReasonSignatureInvalid},
		{"a bundle that says something else about it", signature.Evidence{Bundles: [][]byte{key.Bundle(image, "https://example.com/vulnerable/v1")}}, warehouse.ReasonSignatureMissing},
		{"a bundle that is no JSON", signature.Evidence{Bundles: [][]byte{[]byte("{")}}, warehouse.ReasonSignatureUnreadable},
		{"an empty bundle", signature.Evidence{Bundles: [][]byte{[]byte("{}"), nil}}, warehouse.ReasonSignatureUnreadable},
		{"the closest is reported", signature.Evidence{Bundles: [][]byte{[]byte("{}")}, Simple: []signature.Simple{stranger.Sign(image)}}, warehouse.ReasonSignatureInvalid},
	} {
		v := verifier(t, v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}})
		if err := v.Verify(image, c.e); reason(t, err) != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, reason(t, err), err, c.want)
		}
	}
	// A key is replaced by naming both for a while.
	both := verifier(t, v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: stranger.Public + key.Public}})
	for _, k := range []*signaturetest.Key{key, stranger} {
		if err := both.Verify(image, simple(k.Sign(image))); err != nil {
			t.Errorf("one of two keys: %v", err)
		}
	}
}

func TestVerifyAnIdentity(t *testing.T) {
	now := time.Now()
	authority, foreign := signaturetest.NewAuthority(t, now), signaturetest.NewAuthority(t, now)
	who := signaturetest.Identity{Issuer: "https://issuer.example.com", Subject: "https://git.example.com/app/release.yaml@refs/heads/main"}
	keyless := func(change func(*v1alpha1.SignatureIdentity)) v1alpha1.ImageSignature {
		k := &v1alpha1.SignatureIdentity{Issuer: who.Issuer, Subject: who.Subject, TrustedRoot: authority.TrustedRoot()}
		change(k)
		return v1alpha1.ImageSignature{Keyless: k}
	}
	asIs := func(*v1alpha1.SignatureIdentity) {}
	matching := func(expression string) func(*v1alpha1.SignatureIdentity) {
		return func(k *v1alpha1.SignatureIdentity) { k.Subject, k.SubjectRegex = "", expression }
	}
	issued := now.Add(-time.Hour)
	at := func(a *signaturetest.Authority, digest string, logged time.Time) signature.Simple {
		return a.Sign(digest, who, issued, logged)
	}
	good := at(authority, image, issued.Add(time.Minute))
	without := func(change func(*signature.Simple)) signature.Simple {
		s := good
		change(&s)
		return s
	}
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.SignatureIdentity)
		s      signature.Simple
		want   string
	}{
		{"signed while the certificate was valid, which it is no more", asIs, good, ""},
		{"a subject by expression", matching("https://git[.]example[.]com/app/.*"), good, ""},
		{"an expression has to match the whole subject", matching("git[.]example[.]com/app"), good, warehouse.ReasonSignerNotAllowed},
		{"another subject", func(k *v1alpha1.SignatureIdentity) { k.Subject += "-evil" }, good, warehouse.ReasonSignerNotAllowed},
		{"another issuer", func(k *v1alpha1.SignatureIdentity) { k.Issuer = "https://evil.example.com" }, good, warehouse.ReasonSignerNotAllowed},
		{"logged after the certificate ended", asIs, at(authority, image, issued.Add(time.Hour)), warehouse.ReasonCertificateExpired},
		{"logged before the certificate began", asIs, at(authority, image, issued.Add(-time.Minute)), warehouse.ReasonCertificateExpired},
		{"another authority and log", asIs, at(foreign, image, issued.Add(time.Minute)), warehouse.ReasonSignatureUntrusted},
		{"the signature of another image", asIs, at(authority, other, issued.Add(time.Minute)), warehouse.ReasonSignatureInvalid},
		{"no entry in a log", asIs, without(func(s *signature.Simple) { s.Log = "" }), warehouse.ReasonSignatureUntrusted},
		{
			"an entry of the log for another signature", asIs,
			without(func(s *signature.Simple) { s.Log = at(authority, image, issued.Add(time.Minute)).Log }), warehouse.ReasonSignatureInvalid,
		},
		{
			"the log's time is changed", asIs,
			without(func(s *signature.Simple) {
				s.Log = strings.Replace(s.Log, `"integratedTime":1`, `"integratedTime":2`, 1)
			}), warehouse.ReasonSignatureUntrusted,
		},
		{
			"what was signed is changed", asIs,
			without(func(s *signature.Simple) { s.Payload = append([]byte(" "), s.Payload...) }), warehouse.ReasonSignatureInvalid,
		},
		{"the log's answer is no JSON", asIs, without(func(s *signature.Simple) { s.Log = "{" }), warehouse.ReasonSignatureUnreadable},
		{"the certificate is none", asIs, without(func(s *signature.Simple) { s.Certificate = "-" }), warehouse.ReasonSignatureUnreadable},
		{"a key is no identity", asIs, signaturetest.NewKey(t).Sign(image), warehouse.ReasonSignatureInvalid},
	} {
		v := verifier(t, keyless(c.change))
		err := v.Verify(image, simple(c.s))
		if reason(t, err) != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, reason(t, err), err, c.want)
		}
		if c.want == warehouse.ReasonSignerNotAllowed && !strings.Contains(err.Error(), who.Subject) {
			t.Errorf("%s: %q does not say who signed", c.name, err)
		}
	}
	key := signaturetest.NewKey(t)
	if err := verifier(t, v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}}).Verify(image, simple(good)); reason(t, err) != warehouse.ReasonSignatureInvalid {
		t.Errorf("an identity where a key is wanted: %v", err)
	}
}

// FuzzVerify: what a stranger puts beside an image neither ends the process nor
// counts as a signature.
func FuzzVerify(f *testing.F) {
	now := time.Now()
	key, authority := signaturetest.NewKey(f), signaturetest.NewAuthority(f, now)
	who := signaturetest.Identity{Issuer: "https://issuer.example.com", Subject: "https://git.example.com/app"}
	for _, s := range []signature.Simple{key.Sign(other), authority.Sign(other, who, now, now)} {
		f.Add(s.Payload, s.Signature, s.Certificate, s.Log, key.Bundle(other, signed))
	}
	f.Add([]byte("{}"), "", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", `{"Payload":{"body":"e30="}}`, []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	var verifiers []*signature.Verifier
	for _, s := range []v1alpha1.ImageSignature{
		{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}},
		{Keyless: &v1alpha1.SignatureIdentity{Issuer: who.Issuer, Subject: who.Subject, TrustedRoot: authority.TrustedRoot()}},
	} {
		v, err := signature.New(&s)
		if err != nil {
			f.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	f.Fuzz(func(t *testing.T, payload []byte, sig, certificate, log string, bundle []byte) {
		e := signature.Evidence{Simple: []signature.Simple{{Payload: payload, Signature: sig, Certificate: certificate, Log: log}}, Bundles: [][]byte{bundle}}
		for _, v := range verifiers {
			if err := v.Verify(image, e); err == nil {
				t.Fatalf("verified: %s", must(json.Marshal(e)))
			}
		}
	})
}

func must(text []byte, err error) []byte {
	if err != nil {
		return []byte(err.Error())
	}
	return text
}
