package registry

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/waybill-dev/waybill/internal/outbound"
)

// Layer is one blob that a manifest names.
type Layer struct {
	MediaType string
	Digest    string // sha256:...
	Size      int64
	// Title is the name of the file it is, if the manifest says so.
	Title string
}

// Content is the manifest of one artifact, which need not be an image.
type Content struct {
	// Digest of the manifest, sha256:...
	Digest     string
	ConfigType string
	Layers     []Layer
}

// Content reads the manifest that reference, a tag or a digest, leads to. An index
// is ErrUnsupported: it has no content of its own.
func (c *Client) Content(ctx context.Context, r Repository, reference string) (Content, error) {
	verb := fmt.Sprintf("read %q of", reference)
	s, repo, err := c.open(verb, r)
	if err != nil {
		return Content{}, err
	}
	op := operation{verb, r.URL}
	isDigest := digestSyntax.MatchString(reference)
	if !isDigest && !tagSyntax.MatchString(reference) {
		return Content{}, s.fail(op, ErrInvalid, 0, "it is neither a tag nor a digest")
	}
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "manifests", reference), header: accept(), maxBytes: maxManifestBytes,
	})
	switch {
	case err != nil:
		return Content{}, err
	case a.status != http.StatusOK:
		return Content{}, s.failStatus(op, a)
	}
	out := Content{Digest: hash(a.body)}
	if said := a.header.Get("Docker-Content-Digest"); isDigest && out.Digest != reference || digestSyntax.MatchString(said) && out.Digest != said {
		return Content{}, s.fail(op, ErrMalformed, 0, "the manifest does not match its digest")
	}
	if err := out.read(a.body); err != nil {
		return Content{}, s.fail(op, ErrUnsupported, 0, err.Error())
	}
	return out, nil
}

// maxLayers bounds the layers of one manifest.
const maxLayers = 1000

func (c *Content) read(body []byte) error {
	m, err := v1.ParseManifest(bytes.NewReader(body))
	switch {
	case err != nil || m.SchemaVersion != 2:
		return fmt.Errorf("its manifest cannot be read")
	case m.MediaType.IsIndex() || len(m.Layers) == 0:
		return fmt.Errorf("it has no content of its own, as an index of several images has none")
	case len(m.Layers) > maxLayers:
		return fmt.Errorf("it has more than %d layers", maxLayers)
	}
	c.ConfigType = string(m.Config.MediaType)
	for _, l := range m.Layers {
		if !digestSyntax.MatchString(l.Digest.String()) {
			return fmt.Errorf("a layer is not addressed by SHA-256")
		}
		c.Layers = append(c.Layers, Layer{
			MediaType: string(l.MediaType), Digest: l.Digest.String(), Size: l.Size, Title: l.Annotations[annotationPrefix+"title"],
		})
	}
	return nil
}

// Blob reads a blob by its digest. What is larger than maxBytes, or is not what
// the digest says, is ErrMalformed.
func (c *Client) Blob(ctx context.Context, r Repository, digest string, maxBytes int64) ([]byte, error) {
	verb := fmt.Sprintf("read blob %q of", digest)
	s, repo, err := c.open(verb, r)
	if err != nil {
		return nil, err
	}
	op := operation{verb, r.URL}
	if !digestSyntax.MatchString(digest) {
		return nil, s.fail(op, ErrInvalid, 0, "it is not a digest")
	}
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "blobs", digest), maxBytes: maxBytes, isAnywhere: true,
	})
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		return nil, s.failStatus(op, a)
	case hash(a.body) != digest:
		return nil, s.fail(op, ErrMalformed, 0, "the blob does not match its digest")
	}
	return a.body, nil
}

// Linked reads a file that an index of the server r names: at is its address,
// absolute or relative to r.URL. Elsewhere than on that server, or after a
// redirect, it is only read when digest says what it has to be, and without the
// credential. A digest that does not fit is ErrMalformed.
func (c *Client) Linked(ctx context.Context, r Repository, at, digest string, maxBytes int64) ([]byte, error) {
	const verb = "download from"
	base, err := url.Parse(strings.TrimRight(r.URL, "/") + "/")
	if err != nil {
		return nil, &Error{Kind: ErrInvalid, Op: verb, Repository: r.URL, Detail: "its address is no URL"}
	}
	ref, err := url.Parse(at)
	if err != nil || ref.User != nil || ref.Fragment != "" {
		return nil, Malformed(r, "index.yaml", "it names a file by an address that is no URL, or has a user name")
	}
	u := base.ResolveReference(ref)
	isHome := strings.EqualFold(u.Host, base.Host) && u.Scheme == base.Scheme
	from := Repository{URL: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()}
	if isHome {
		from.Credential, from.InsecureSkipTLSVerify = r.Credential, r.InsecureSkipTLSVerify
	}
	parsed, s, repo, err := c.openServer(verb, from)
	if err != nil {
		return nil, err
	}
	op := operation{verb, from.URL}
	switch {
	case !isHome && digest == "":
		return nil, s.fail(op, ErrRefused, 0, "the index does not give the digest of a file that lies on another server")
	case base.Scheme == "https" && parsed.Scheme != "https":
		return nil, s.fail(op, ErrRefused, 0, "a repository read by https names a file that is not")
	case !isHome && parsed.Scheme != "https" && !outbound.IsLoopbackName(parsed.Hostname()):
		return nil, s.fail(op, ErrRefused, 0, "a file on another server is read by https only")
	case parsed.Scheme == "http" && !from.Credential.Password.IsEmpty() && !outbound.IsLoopbackName(parsed.Hostname()):
		return nil, s.fail(op, ErrRefused, 0, "a credential is not sent over plain http")
	}
	a, err := s.fetch(ctx, op, repo, request{method: http.MethodGet, url: u.String(), maxBytes: maxBytes, isBasic: true, isAnywhere: digest != ""})
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		return nil, s.failStatus(op, a)
	case digest != "" && hash(a.body) != digest:
		return nil, s.fail(op, ErrMalformed, 0, "the file does not match the digest in the index")
	}
	return a.body, nil
}
