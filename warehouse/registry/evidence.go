package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/waybill-dev/waybill/warehouse/signature"
)

const (
	// Where cosign keeps signatures beside an image: in a tag of its own, or in
	// manifests that refer to the image (OCI distribution specification, referrers;
	// registries without them have an index under the tag sha256-DIGEST instead).
	signatureTagSuffix = ".sig"
	simpleSigning      = "application/vnd.dev.cosign.simplesigning.v1+json"
	bundlePrefix       = "application/vnd.dev.sigstore.bundle"
	bundleType         = bundlePrefix + ".v0.3+json"
	emptyType          = "application/vnd.oci.empty.v1+json"
	annotationSig      = "dev.cosignproject.cosign/signature"
	annotationCert     = "dev.sigstore.cosign/certificate"
	annotationLog      = "dev.sigstore.cosign/bundle"
	annotationTime     = "dev.sigstore.cosign/rfc3161timestamp"

	// maxSignatures is how many signatures of each kind are looked at.
	maxSignatures   = 16
	maxPayloadBytes = 64 << 10
	maxBundleBytes  = 1 << 20
)

// evidence reads what the registry keeps beside the image with this digest about
// who signed it. That there is nothing is no error.
func (s *session) evidence(ctx context.Context, op operation, repo *repository, digest string) (signature.Evidence, error) {
	var e signature.Evidence
	if err := s.simpleSignatures(ctx, op, repo, digest, &e); err != nil {
		return e, err
	}
	return e, s.bundles(ctx, op, repo, digest, &e)
}

// tagOf is the tag that stands for digest, in which a colon cannot be.
func tagOf(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// simpleSignatures reads the signatures in cosign's own form.
func (s *session) simpleSignatures(ctx context.Context, op operation, repo *repository, digest string, e *signature.Evidence) error {
	m, err := s.beside(ctx, op, repo, tagOf(digest)+signatureTagSuffix, e)
	if err != nil || m == nil {
		return err
	}
	for _, layer := range m.Layers {
		if string(layer.MediaType) != simpleSigning || len(e.Simple) == maxSignatures {
			continue
		}
		payload, err := s.blob(ctx, op, repo, layer, maxPayloadBytes, e)
		if err != nil {
			return err
		}
		if payload == nil {
			continue
		}
		e.Simple = append(e.Simple, signature.Simple{
			Payload: payload, Signature: layer.Annotations[annotationSig], Certificate: layer.Annotations[annotationCert],
			Log: layer.Annotations[annotationLog], Timestamp: layer.Annotations[annotationTime],
		})
	}
	return nil
}

// bundles reads the Sigstore bundles that refer to the image.
func (s *session) bundles(ctx context.Context, op operation, repo *repository, digest string, e *signature.Evidence) error {
	referrers, err := s.referrers(ctx, op, repo, digest, e)
	if err != nil {
		return err
	}
	looked := 0
	for _, r := range referrers {
		if !mayBeBundle(r.ArtifactType) || looked == maxSignatures {
			continue
		}
		looked++
		m, err := s.beside(ctx, op, repo, r.Digest.String(), e)
		if err != nil {
			return err
		}
		if m == nil || len(m.Layers) == 0 || !strings.HasPrefix(string(m.Layers[0].MediaType), bundlePrefix) {
			continue
		}
		text, err := s.blob(ctx, op, repo, m.Layers[0], maxBundleBytes, e)
		if err != nil {
			return err
		}
		if text != nil {
			e.Bundles = append(e.Bundles, text)
		}
	}
	return nil
}

// mayBeBundle reports whether a manifest of this type may hold a bundle. Some
// registries tell the type of its config instead, which is empty.
func mayBeBundle(artifactType string) bool {
	return strings.HasPrefix(artifactType, bundlePrefix) || artifactType == "" || artifactType == emptyType
}

// referrers lists what refers to digest: by the registry's own list where it has
// one, else by the index that stands for it.
func (s *session) referrers(ctx context.Context, op operation, repo *repository, digest string, e *signature.Evidence) ([]v1.Descriptor, error) {
	index := accept()
	index.Set("Accept", "application/vnd.oci.image.index.v1+json")
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "referrers", digest) + "?artifactType=" + escaped(bundleType), header: index, maxBytes: maxManifestBytes,
	})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		a, err = s.fetch(ctx, op, repo, request{
			method: http.MethodGet, url: s.url(repo, "manifests", tagOf(digest)), header: index, maxBytes: maxManifestBytes,
		})
		if err != nil {
			return nil, err
		}
	}
	if a.status == http.StatusNotFound {
		return nil, nil
	}
	list, err := v1.ParseIndexManifest(bytes.NewReader(a.body))
	if a.status != http.StatusOK || err != nil {
		e.Unread = fmt.Sprintf("the list of what refers to it (status %d)", a.status)
		return nil, nil //nolint:nilerr // an answer that makes no sense is told in e.Unread
	}
	return list.Manifests, nil
}

// escaped writes a media type into a query.
func escaped(mediaType string) string {
	return strings.NewReplacer("+", "%2B", "/", "%2F").Replace(mediaType)
}

// beside reads a manifest that is about an image, or returns nil: it is not there,
// or cannot be read, which e.Unread then says.
func (s *session) beside(ctx context.Context, op operation, repo *repository, reference string, e *signature.Evidence) (*v1.Manifest, error) {
	if strings.Contains(reference, ":") && !digestSyntax.MatchString(reference) {
		e.Unread = "a manifest that is not addressed by SHA-256"
		return nil, nil
	}
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "manifests", reference), header: accept(), maxBytes: maxManifestBytes,
	})
	if err != nil || a.status == http.StatusNotFound {
		return nil, err
	}
	var m v1.Manifest
	switch {
	case a.status != http.StatusOK:
		e.Unread = fmt.Sprintf("a manifest (status %d)", a.status)
	case digestSyntax.MatchString(reference) && hash(a.body) != reference:
		e.Unread = "a manifest that does not match its digest"
	case json.Unmarshal(a.body, &m) != nil:
		e.Unread = "a manifest that is not JSON"
	default:
		return &m, nil
	}
	return nil, nil
}

// blob reads a layer, or returns nil and says in e.Unread why it cannot be read.
func (s *session) blob(ctx context.Context, op operation, repo *repository, layer v1.Descriptor, maxBytes int64, e *signature.Evidence) ([]byte, error) {
	digest := layer.Digest.String()
	if !digestSyntax.MatchString(digest) || layer.Size > maxBytes {
		e.Unread = "a signature that is too large, or not addressed by SHA-256"
		return nil, nil
	}
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "blobs", digest), maxBytes: maxBytes, isAnywhere: true,
	})
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		e.Unread = fmt.Sprintf("a signature (status %d)", a.status)
		return nil, nil
	case hash(a.body) != digest:
		e.Unread = "a signature that does not match its digest"
		return nil, nil
	}
	return a.body, nil
}
