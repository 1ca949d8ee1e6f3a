package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// MaxCopyBytes bounds what one Copy moves, all platforms together.
const MaxCopyBytes = 1 << 30

// Copy stores what digest leads to in from, an image, an index of images or
// anything else with a manifest, under tag in to, and returns the digest it has
// there: another one when annotations are put onto its manifest. What is there
// already is not sent again, so that a repeated Copy changes nothing.
func (c *Client) Copy(ctx context.Context, from Repository, digest string, to Repository, tag string, annotations map[string]string) (string, error) {
	source, op, err := c.remote("copy from", from)
	if err != nil {
		return "", err
	}
	target, toOp, err := c.remote("copy to", to)
	if err != nil {
		return "", err
	}
	switch {
	case !digestSyntax.MatchString(digest):
		return "", source.session.fail(op, ErrInvalid, 0, "it is not a digest")
	case !tagSyntax.MatchString(tag):
		return "", target.session.fail(toOp, ErrInvalid, 0, fmt.Sprintf("%q is not a tag", tag))
	}
	found, err := remote.Get(source.repository.Digest(digest), source.options(ctx)...)
	if err != nil {
		return "", source.failed(ctx, op, err)
	}
	artifact, err := annotated(found, annotations)
	if err != nil {
		return "", source.failed(ctx, op, err)
	}
	want, err := artifact.Digest()
	if err != nil {
		return "", source.failed(ctx, op, err)
	}
	if there, err := remote.Head(target.repository.Tag(tag), target.options(ctx)...); err == nil && there.Digest == want {
		return want.String(), nil
	}
	size, err := sizeOfAll(found)
	switch {
	case err != nil:
		return "", source.failed(ctx, op, err)
	case size > MaxCopyBytes:
		return "", source.session.fail(op, ErrUnsupported, 0, fmt.Sprintf("it has more than %d MiB", MaxCopyBytes>>20))
	}
	if err := remote.Push(target.repository.Tag(tag), artifact, target.options(ctx)...); err != nil {
		return "", target.failed(ctx, toOp, err)
	}
	return want.String(), nil
}

// pushable is an image or an index.
type pushable interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// annotated returns what a manifest leads to, with annotations.
func annotated(d *remote.Descriptor, annotations map[string]string) (pushable, error) {
	if d.MediaType.IsIndex() {
		index, err := d.ImageIndex()
		if err != nil || len(annotations) == 0 {
			return index, err
		}
		out, _ := mutate.Annotations(index, annotations).(v1.ImageIndex)
		return out, nil
	}
	image, err := d.Image()
	if err != nil || len(annotations) == 0 {
		return image, err
	}
	out, _ := mutate.Annotations(image, annotations).(v1.Image)
	return out, nil
}

// sizeOfAll adds up the blobs and manifests that d leads to.
func sizeOfAll(d *remote.Descriptor) (int64, error) {
	if !d.MediaType.IsIndex() {
		image, err := d.Image()
		if err != nil {
			return 0, err //nolint:wrapcheck // named by the caller
		}
		return sizeOfImage(image)
	}
	index, err := d.ImageIndex()
	if err != nil {
		return 0, err //nolint:wrapcheck // named by the caller
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return 0, err //nolint:wrapcheck // named by the caller
	}
	if len(manifest.Manifests) > maxPlatforms {
		return 0, fmt.Errorf("%w: an index of more than %d", ErrUnsupported, maxPlatforms)
	}
	total := int64(0)
	for _, child := range manifest.Manifests {
		if child.MediaType.IsIndex() {
			return 0, fmt.Errorf("%w: an index in an index", ErrUnsupported)
		}
		image, err := index.Image(child.Digest)
		if err != nil {
			return 0, err //nolint:wrapcheck // named by the caller
		}
		size, err := sizeOfImage(image)
		if total += size; err != nil || total > MaxCopyBytes {
			return total, err
		}
	}
	return total, nil
}

func sizeOfImage(image v1.Image) (int64, error) {
	m, err := image.Manifest()
	if err != nil {
		return 0, err //nolint:wrapcheck // named by the caller
	}
	if len(m.Layers) > maxLayers {
		return 0, fmt.Errorf("%w: more than %d layers", ErrUnsupported, maxLayers)
	}
	total := m.Config.Size
	for _, l := range m.Layers {
		if l.Size < 0 || l.Size > MaxCopyBytes {
			return MaxCopyBytes + 1, nil
		}
		total += l.Size
	}
	return total, nil
}

// endpoint is a repository as the library that copies sees it.
type endpoint struct {
	session    *session
	repository name.Repository
}

// remote returns the endpoint of r.
func (c *Client) remote(verb string, r Repository) (endpoint, operation, error) {
	s, repo, err := c.open(verb, r)
	if err != nil {
		return endpoint{}, operation{}, err
	}
	options := []name.Option{}
	if s.scheme == "http" {
		options = append(options, name.Insecure)
	}
	parsed, err := name.NewRepository(s.host+"/"+repo.path, options...)
	if err != nil {
		return endpoint{}, operation{}, s.fail(operation{verb, r.URL}, ErrInvalid, 0, "it is not an image name")
	}
	return endpoint{s, parsed}, operation{verb, r.URL}, nil
}

// options of the library: its own way of asking for tokens, our transport.
func (e endpoint) options(ctx context.Context) []remote.Option {
	auth := authn.Anonymous
	if c := e.session.credential; !c.Password.IsEmpty() || !c.IdentityToken.IsEmpty() {
		auth = authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password.Reveal(), IdentityToken: c.IdentityToken.Reveal()})
	}
	return []remote.Option{
		remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(careful{e.session}), remote.WithUserAgent(userAgent), remote.WithJobs(2),
	}
}

// failed gives an error of the library its kind.
func (e endpoint) failed(ctx context.Context, op operation, err error) error {
	var status *transport.Error
	var network *url.Error
	switch {
	case errors.Is(err, ErrUnsupported):
		return e.session.fail(op, ErrUnsupported, 0, strings.TrimPrefix(err.Error(), ErrUnsupported.Error()+": "))
	case errors.As(err, &status):
		out := e.session.failStatus(op, answer{status: status.StatusCode})
		if len(status.Errors) > 0 {
			out.Detail = clean(secret.Redact(string(status.Errors[0].Code)+" "+status.Errors[0].Message, e.session.credential.Secrets()...))
		}
		return out
	case errors.As(err, &network), ctx.Err() != nil, errors.Is(err, outbound.ErrForbiddenURL), errors.Is(err, outbound.ErrForbiddenAddress):
		return e.session.failNetwork(ctx, op, err)
	}
	// What is left has no type and may quote what it should not.
	return e.session.fail(op, ErrMalformed, 0, "its content cannot be read, or is not what its digest says")
}

// careful lets a library speak with one registry: by the scheme that is allowed
// there, and with a credential only to the registry itself or to a token service
// that it may name. What leaves the registry's host are blobs, checked by digest.
type careful struct{ session *session }

// RoundTrip is part of http.RoundTripper.
func (c careful) RoundTrip(req *http.Request) (*http.Response, error) {
	s := c.session
	isHome := strings.EqualFold(req.URL.Host, s.host)
	if isHome && req.URL.Scheme != s.scheme {
		return nil, outbound.ErrForbiddenURL
	}
	if !isHome && req.Header.Get("Authorization") != "" {
		if err := checkRealm(s.host, s.scheme, req.URL.String(), s.client.opts.TrustedRealms); err != nil {
			return nil, fmt.Errorf("%w: %w", outbound.ErrForbiddenURL, err)
		}
	}
	if isHome && req.Method != http.MethodGet {
		return s.home.Transport.RoundTrip(req)
	}
	return s.anywhere.Transport.RoundTrip(req)
}
