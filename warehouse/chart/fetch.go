package chart

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

const (
	ociScheme = "oci://"
	// contentType is the layer that holds the archive (HIP 6); what Helm 3.0 to 3.6
	// wrote before is taken as well.
	contentType    = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	oldContentType = "application/tar+gzip"
)

// At returns the chart called name of a repository in the form that subscriptions
// and Freight have: the address of a chart in an OCI registry holds its name.
func At(repoURL, name string) v1alpha1.Chart {
	if strings.HasPrefix(repoURL, ociScheme) {
		return v1alpha1.Chart{RepoURL: strings.TrimRight(strings.TrimRight(repoURL, "/")+"/"+name, "/")}
	}
	return v1alpha1.Chart{RepoURL: repoURL, Name: name}
}

// nameOf is the name that the Chart.yaml of c has to say.
func nameOf(c v1alpha1.Chart) string {
	if c.Name != "" {
		return c.Name
	}
	return path.Base(c.RepoURL)
}

// Fetcher gets charts for Projects, with the credentials they have. It is safe for
// concurrent use.
type Fetcher struct {
	Source *Source
	// Credentials finds what a Project has for a repository.
	Credentials func(ctx context.Context, t credentials.Type, project, repoURL string) (credentials.Credential, error)
}

// Newest returns the newest version of a chart (see At) that constraint allows: a
// version, or a range; empty is the newest release. An answer to somebody's
// question after notBefore with the same credential is good enough; the zero time
// asks now. An error that wraps ErrNoVersion says that there is none.
func (f *Fetcher) Newest(ctx context.Context, project string, c v1alpha1.Chart, constraint string, notBefore time.Time) (v1alpha1.Chart, error) {
	policy, err := warehouse.CompileChart(v1alpha1.ChartSubscription{RepoURL: c.RepoURL, Name: c.Name, Constraint: constraint, DiscoveryLimit: 1})
	if err != nil {
		return v1alpha1.Chart{}, err //nolint:wrapcheck // names the chart already
	}
	credential, err := f.Credentials(ctx, credentials.Chart, project, c.RepoURL)
	if err != nil {
		return v1alpha1.Chart{}, fmt.Errorf("%w: %w", ErrCredential, err)
	}
	poll, err := f.Source.Poll(ctx, credential, policy, false, notBefore)
	switch {
	case err != nil:
		return v1alpha1.Chart{}, err
	case len(poll.Charts) == 0:
		return v1alpha1.Chart{}, fmt.Errorf("%w: %s", ErrNoVersion, poll.Error)
	}
	return poll.Charts[0], nil
}

// ErrCredential: the Secret for a repository cannot be read.
var ErrCredential = errors.New("credential cannot be used")

// ErrNoVersion: the repository answers, and has no version that is wanted.
var ErrNoVersion = errors.New("no such version")

// Fetch downloads c, a chart with a version. A digest in c is what it has to be;
// what is kept of it is taken then, without a request.
func (f *Fetcher) Fetch(ctx context.Context, project string, c v1alpha1.Chart) (*Archive, error) {
	credential, err := f.Credentials(ctx, credentials.Chart, project, c.RepoURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredential, err)
	}
	return f.Source.Fetch(ctx, credential, c)
}

// Fetch is Fetcher.Fetch with a credential.
func (s *Source) Fetch(ctx context.Context, credential credentials.Credential, c v1alpha1.Chart) (*Archive, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	image, isOCI := strings.CutPrefix(c.RepoURL, ociScheme)
	r := registry.Repository{URL: c.RepoURL, Credential: credential}
	key := keptKey{repository: keyOf(r), name: c.Name}
	if isOCI {
		r.URL = image
	}
	var err error
	if key.digest, err = s.digest(ctx, r, c, isOCI); err != nil {
		return nil, err
	}
	c.Digest = key.digest
	leave, err := s.kept.enter(ctx, key)
	if err != nil {
		return nil, err
	}
	defer leave()
	raw, isKept := s.kept.get(key, s.now())
	if !isKept {
		if isOCI {
			raw, key.digest, err = s.layer(ctx, r, c)
		} else {
			raw, key.digest, err = s.linked(ctx, r, c)
		}
		if err != nil {
			return nil, err
		}
	}
	archive, err := open(raw, nameOf(c), c.Version)
	if err != nil {
		return nil, fmt.Errorf("chart %q %s of %q: %w", nameOf(c), c.Version, c.RepoURL, err)
	}
	archive.Digest = key.digest
	if !isKept {
		_ = s.kept.put(key, raw) // it is downloaded again then
	}
	return archive, nil
}

// digest is what c has to be: what it says, else what the repository says now; ""
// when that does not say.
func (s *Source) digest(ctx context.Context, r registry.Repository, c v1alpha1.Chart, isOCI bool) (string, error) {
	switch {
	case c.Digest != "":
		return c.Digest, nil
	case isOCI:
		a, err := s.registry.Resolve(ctx, r, strings.ReplaceAll(c.Version, "+", "_"), registry.Want{Chart: true, Since: s.now()})
		return a.Digest, err //nolint:wrapcheck // names the repository already
	default:
		v, err := s.entry(ctx, r, c)
		return v.Digest, err
	}
}

// layer downloads a chart from an OCI registry. The digest is that of its manifest.
func (s *Source) layer(ctx context.Context, r registry.Repository, c v1alpha1.Chart) (raw []byte, digest string, err error) {
	content, err := s.registry.Content(ctx, r, c.Digest)
	if err != nil {
		return nil, "", err //nolint:wrapcheck // names the repository already
	}
	for _, l := range content.Layers {
		if l.MediaType != contentType && l.MediaType != oldContentType {
			continue // a provenance file
		}
		raw, err = s.registry.Blob(ctx, r, l.Digest, maxArchiveBytes)
		return raw, content.Digest, err //nolint:wrapcheck // names the repository already
	}
	return nil, "", fmt.Errorf("%q of %q: %w: it has no layer with a chart", c.Digest, r.URL, ErrArchive)
}

// linked downloads a chart that the index of an HTTP repository names.
func (s *Source) linked(ctx context.Context, r registry.Repository, c v1alpha1.Chart) (raw []byte, digest string, err error) {
	v, err := s.entry(ctx, r, c)
	if err != nil {
		return nil, "", err
	}
	if c.Digest != "" && v.Digest != "" && c.Digest != v.Digest {
		return nil, "", fmt.Errorf("chart %q %s of %q: %w: the index says %s now, and %s was expected", c.Name, c.Version, c.RepoURL, ErrChanged, v.Digest, c.Digest)
	}
	want := v.Digest
	if want == "" {
		want = c.Digest
	}
	raw, err = s.registry.Linked(ctx, r, v.URL, want, maxArchiveBytes)
	if err != nil {
		return nil, "", err //nolint:wrapcheck // names the file already
	}
	return raw, digestOf(raw), nil
}

// ErrChanged: a version was published again with another content.
var ErrChanged = errors.New("the chart was changed")

// entry finds a version in the index: in what is known of it, else in what it says
// now.
func (s *Source) entry(ctx context.Context, r registry.Repository, c v1alpha1.Chart) (Version, error) {
	for _, notBefore := range []time.Time{{}, s.now()} {
		list, _, err := s.versions(ctx, r, c.Name, notBefore)
		if err != nil && notBefore.IsZero() {
			continue // it may answer now
		}
		if err != nil {
			return Version{}, err
		}
		for _, v := range list {
			if isSameVersion(v.Version, c.Version) && v.URL != "" {
				return v, nil
			}
		}
	}
	return Version{}, fmt.Errorf("%w: %q of %q has no version %q with an address", ErrNoVersion, c.Name, c.RepoURL, c.Version)
}
