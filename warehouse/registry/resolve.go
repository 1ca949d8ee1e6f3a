package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/waybill-dev/waybill/warehouse"
)

var (
	digestSyntax = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
	tagSyntax    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// unreadableFor is how long a tag that is no readable image is left alone.
const unreadableFor = time.Hour

// Want says what Resolve must find out beside the digest. Each costs requests
// once for an image.
type Want struct {
	Created   bool
	Platforms bool
	// User is what the containers run as; of an index, those of its first image.
	User bool
	// Chart wants a Helm chart, not an image: all its manifest says is known.
	Chart bool
	// Since is for a tag that moves: the registry must have been asked after this
	// instant what it points at. Zero: what is known is good enough.
	Since time.Time
}

// Artifact is what a tag points at.
type Artifact struct {
	Tag    string
	Digest string // of the index, when there are several platforms
	// At is when the registry was asked, for a tag that moves; zero otherwise.
	At time.Time
	// What follows is complete only if wanted.
	MediaType   string
	Created     time.Time // zero: the image does not say
	Platforms   []warehouse.Platform
	Annotations map[string]string // org.opencontainers.image.* only
	User        string            // as the image says: "" is root
}

// Resolve returns what tag points at. What was resolved before costs no request,
// as long as this account has read the repository since the start.
//
// It returns ErrNotFound when the tag is gone, and ErrUnsupported or ErrMalformed
// when what it points at cannot be read.
func (c *Client) Resolve(ctx context.Context, r Repository, tag string, want Want) (Artifact, error) {
	verb := fmt.Sprintf("read tag %q of", tag)
	s, repo, err := c.open(verb, r)
	if err != nil {
		return Artifact{}, err
	}
	op := operation{verb, r.URL}
	if !tagSyntax.MatchString(tag) {
		return Artifact{}, s.fail(op, ErrInvalid, 0, "it is not a tag")
	}
	if err := repo.whyPassedOver(tag, c.opts.Now()); err != nil && want.Since.IsZero() {
		return Artifact{}, err
	}
	if a, ok := s.known(repo, tag, want); ok && want.Since.IsZero() {
		return a, nil
	}
	q := repo.question(tag)
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return Artifact{}, s.failNetwork(ctx, op, ctx.Err())
	}
	if !want.Since.IsZero() && q.at.After(want.Since) {
		// Somebody with the same credential asked while we waited, or before.
		c.metrics.shared.Inc()
		if q.err != nil {
			return Artifact{}, q.err
		}
		want.Since = time.Time{}
	}
	began := c.opts.Now()
	a, err := s.resolve(ctx, op, repo, tag, want)
	if ctx.Err() == nil && (!want.Since.IsZero() || q.at.IsZero()) {
		q.at, q.err = began, err
	}
	switch {
	case errors.Is(err, ErrUnsupported), errors.Is(err, ErrMalformed):
		repo.passOver(tag, err, c.opts.Now().Add(unreadableFor))
	case err == nil:
		repo.prove(true)
	}
	a.At = q.at
	return a, err
}

// Image returns what is wanted of the image with this digest. What is known of it
// costs no request, as long as this account has read the repository since the
// start; the errors are those of Resolve.
func (c *Client) Image(ctx context.Context, r Repository, digest string, want Want) (Artifact, error) {
	verb := fmt.Sprintf("read image %q of", digest)
	s, repo, err := c.open(verb, r)
	if err != nil {
		return Artifact{}, err
	}
	op := operation{verb, r.URL}
	if !digestSyntax.MatchString(digest) {
		return Artifact{}, s.fail(op, ErrInvalid, 0, "it is not a digest")
	}
	var md metadata
	if repo.proven() {
		md, _ = c.cache.metadata(digest)
	}
	a, err := s.complete(ctx, op, repo, "", digest, md, want)
	if err == nil {
		repo.prove(true)
	}
	return a, err
}

// known returns what tag pointed at when it was asked for, if that says all that
// is wanted and this account may know it.
func (s *session) known(repo *repository, tag string, want Want) (Artifact, bool) {
	digest, isKnown := s.client.cache.digest(repo.key, tag)
	if !isKnown || !repo.proven() {
		return Artifact{}, false
	}
	md, _ := s.client.cache.metadata(digest)
	return artifact(tag, digest, md), !md.lacks(want)
}

// resolve asks for what is not known of tag. The caller has its turn.
func (s *session) resolve(ctx context.Context, op operation, repo *repository, tag string, want Want) (Artifact, error) {
	digest, isKnown := s.client.cache.digest(repo.key, tag)
	if isKnown && want.Since.IsZero() && repo.proven() {
		md, _ := s.client.cache.metadata(digest)
		return s.complete(ctx, op, repo, tag, digest, md, want)
	}
	var old metadata
	if isKnown {
		old, _ = s.client.cache.metadata(digest)
	}
	if !(metadata{}).lacks(want) || isKnown && !old.lacks(want) {
		now, err := s.head(ctx, op, repo, tag)
		if err != nil {
			return Artifact{}, err
		}
		if now != "" {
			md, _ := s.client.cache.metadata(now)
			if !md.lacks(want) {
				s.client.cache.setDigest(repo.key, tag, now)
				return artifact(tag, now, md), nil
			}
		}
		// It moved, or the registry does not say it in headers: read the manifest.
	}
	digest, md, err := s.manifest(ctx, op, repo, tag)
	if err != nil {
		return Artifact{}, err
	}
	if known, ok := s.client.cache.metadata(digest); ok {
		known.children, known.config = md.children, md.config
		md = known
	}
	s.client.cache.setDigest(repo.key, tag, digest)
	s.client.cache.setMetadata(digest, md)
	return s.complete(ctx, op, repo, tag, digest, md, want)
}

// complete finds out what md lacks of want.
func (s *session) complete(ctx context.Context, op operation, repo *repository, tag, digest string, md metadata, want Want) (Artifact, error) {
	if md.IsChart && !want.Chart && (want.Created || want.Platforms || want.User) {
		return Artifact{}, s.fail(op, ErrUnsupported, 0, "it is a Helm chart, not a container image")
	}
	if !md.lacks(want) {
		return artifact(tag, digest, md), nil
	}
	if len(md.children) == 0 && md.config == (v1.Hash{}) { // from the cache: read the manifest again
		_, again, err := s.manifest(ctx, op, repo, digest)
		if err != nil {
			return Artifact{}, err
		}
		md = again
	}
	if want.Chart && !md.IsChart {
		return Artifact{}, s.fail(op, ErrUnsupported, 0, "it is a container image, not a Helm chart")
	}
	if md.lacks(want) {
		if err := s.readConfig(ctx, op, repo, &md, want); err != nil {
			return Artifact{}, err
		}
	}
	s.client.cache.setMetadata(digest, md)
	return artifact(tag, digest, md), nil
}

// readConfig reads the config of the image, or of the first image of an index.
func (s *session) readConfig(ctx context.Context, op operation, repo *repository, md *metadata, want Want) error {
	config, isWhole := md.config, true
	if len(md.children) > 0 {
		isWhole = false
		_, image, err := s.manifest(ctx, op, repo, md.children[0].digest.String())
		if err != nil {
			return err
		}
		if image.HasCreated {
			md.Created, md.HasCreated = image.Created, true
		}
		if !md.lacks(want) {
			return nil
		}
		config = image.config
	}
	if config == (v1.Hash{}) { // an index without images for any platform
		md.HasCreated, md.HasPlatforms, md.HasUser = true, true, true
		return nil
	}
	if !digestSyntax.MatchString(config.String()) {
		return s.fail(op, ErrUnsupported, 0, "its config is not addressed by SHA-256")
	}
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "blobs", config.String()), maxBytes: maxConfigBytes, isAnywhere: true,
	})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return s.failStatus(op, a)
	}
	if hash(a.body) != config.String() {
		return s.fail(op, ErrMalformed, 0, "its config does not match its digest")
	}
	if err := md.parseConfig(a.body, isWhole); err != nil {
		return s.fail(op, ErrUnsupported, 0, err.Error())
	}
	return nil
}

// head returns what tag points at, or "" when the registry does not say. Several
// registries do not count it against the limit for pulls.
func (s *session) head(ctx context.Context, op operation, repo *repository, tag string) (string, error) {
	a, err := s.fetch(ctx, op, repo, request{method: http.MethodHead, url: s.url(repo, "manifests", tag), header: accept()})
	if err != nil {
		return "", err
	}
	if a.status == http.StatusNotFound {
		return "", s.failStatus(op, a)
	}
	digest := a.header.Get("Docker-Content-Digest")
	if a.status != http.StatusOK || !digestSyntax.MatchString(digest) {
		return "", nil
	}
	return digest, nil
}

// manifest reads a manifest by tag or digest. The digest it returns is computed
// from the bytes.
func (s *session) manifest(ctx context.Context, op operation, repo *repository, reference string) (string, metadata, error) {
	if strings.Contains(reference, ":") && !digestSyntax.MatchString(reference) {
		return "", metadata{}, s.fail(op, ErrUnsupported, 0, "it refers to a manifest that is not addressed by SHA-256")
	}
	a, err := s.fetch(ctx, op, repo, request{
		method: http.MethodGet, url: s.url(repo, "manifests", reference), header: accept(), maxBytes: maxManifestBytes,
	})
	if err != nil {
		return "", metadata{}, err
	}
	if a.status != http.StatusOK {
		return "", metadata{}, s.failStatus(op, a)
	}
	digest := hash(a.body)
	said := a.header.Get("Docker-Content-Digest")
	if digestSyntax.MatchString(reference) && digest != reference || digestSyntax.MatchString(said) && digest != said {
		return "", metadata{}, s.fail(op, ErrMalformed, 0, "the manifest does not match its digest")
	}
	md, err := parseManifest(a.header.Get("Content-Type"), a.body)
	if err != nil {
		return "", metadata{}, s.fail(op, ErrUnsupported, 0, err.Error())
	}
	return digest, md, nil
}

func (s *session) url(repo *repository, noun, reference string) string {
	return (&url.URL{Scheme: s.scheme, Host: s.host, Path: "/v2/" + repo.path + "/" + noun + "/" + reference}).String()
}

func accept() http.Header { return http.Header{"Accept": {strings.Join(allTypes(), ", ")}} }

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func artifact(tag, digest string, md metadata) Artifact {
	a := Artifact{Tag: tag, Digest: digest, MediaType: md.MediaType, Created: md.Created, Annotations: md.Notes, User: md.User}
	for _, p := range md.Platforms {
		if parsed, err := warehouse.ParsePlatform(p); err == nil {
			a.Platforms = append(a.Platforms, parsed)
		}
	}
	return a
}
