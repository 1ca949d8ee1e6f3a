package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/waybill-dev/waybill/internal/credentials"
)

// Artifacts moves what registries hold for Projects, with the credentials they
// have. References are written as for a container engine, repository:tag or
// repository@digest; with oci:// before it, a credential of type chart is looked
// for.
type Artifacts struct {
	Client *Client
	// Credentials finds what a Project has for a repository.
	Credentials func(ctx context.Context, t credentials.Type, project, repoURL string) (credentials.Credential, error)
}

// copyTimeout bounds one Copy.
const copyTimeout = 10 * time.Minute

// reference is one taken apart.
type reference struct {
	repository Repository
	// tag or digest; one is empty.
	tag, digest string
}

// open parses text and finds the credential for it.
func (a *Artifacts) open(ctx context.Context, project, text string) (reference, error) {
	bare, isChart := strings.CutPrefix(text, "oci://")
	invalid := func(detail string) error {
		return &Error{Kind: ErrInvalid, Op: "read", Repository: bare, Detail: detail}
	}
	if strings.Contains(bare, "://") || len(bare) > 1024 {
		return reference{}, invalid("it is not a reference such as registry.example.com/team/app:1.0")
	}
	ref, err := name.ParseReference(bare)
	if err != nil {
		return reference{}, invalid("it is not a reference such as registry.example.com/team/app:1.0")
	}
	out := reference{repository: Repository{URL: ref.Context().Name()}}
	if d, isDigest := ref.(name.Digest); isDigest {
		out.digest = d.DigestStr()
	} else {
		out.tag = ref.Identifier()
	}
	kind, address := credentials.Image, out.repository.URL
	if isChart {
		kind, address = credentials.Chart, "oci://"+address
	}
	out.repository.Credential, err = a.Credentials(ctx, kind, project, address)
	return out, err
}

// Digest returns what a reference leads to now.
func (a *Artifacts) Digest(ctx context.Context, project, ref string) (string, error) {
	r, err := a.open(ctx, project, ref)
	if err != nil || r.digest != "" {
		return r.digest, err
	}
	found, err := a.Client.Resolve(ctx, r.repository, r.tag, Want{Since: a.Client.opts.Now()})
	return found.Digest, err
}

// Download returns one layer of an artifact, the first of mediaType, or the first
// of all when that is empty. digest is that of the artifact; when the argument is
// not empty, it is what is downloaded, whatever the reference leads to now.
func (a *Artifacts) Download(ctx context.Context, project, ref, digest, mediaType string, maxBytes int64) (content []byte, found string, err error) {
	r, err := a.open(ctx, project, ref)
	if err != nil {
		return nil, "", err
	}
	for _, at := range []string{r.digest, r.tag} {
		if digest == "" {
			digest = at
		}
	}
	manifest, err := a.Client.Content(ctx, r.repository, digest)
	if err != nil {
		return nil, "", err
	}
	for _, l := range manifest.Layers {
		if mediaType != "" && l.MediaType != mediaType {
			continue
		}
		if l.Size > maxBytes {
			return nil, "", &Error{Kind: ErrUnsupported, Op: "read", Repository: r.repository.URL, Detail: fmt.Sprintf("its layer has %d bytes, more than %d MiB", l.Size, maxBytes>>20)}
		}
		content, err = a.Client.Blob(ctx, r.repository, l.Digest, maxBytes)
		return content, manifest.Digest, err
	}
	return nil, "", &Error{Kind: ErrUnsupported, Op: "read", Repository: r.repository.URL, Detail: fmt.Sprintf("it has no layer of type %q", mediaType)}
}

// Copied is where something was stored.
type Copied struct{ Repository, Tag, Digest string }

// Copy stores digest, which src leads to, under dest, which has to name a tag.
func (a *Artifacts) Copy(ctx context.Context, project, src, digest, dest string, annotations map[string]string) (Copied, error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	from, err := a.open(ctx, project, src)
	if err != nil {
		return Copied{}, err
	}
	to, err := a.open(ctx, project, dest)
	if err != nil {
		return Copied{}, err
	}
	if to.tag == "" {
		return Copied{}, &Error{Kind: ErrInvalid, Op: "write to", Repository: to.repository.URL, Detail: "the destination needs a tag, not a digest"}
	}
	stored, err := a.Client.Copy(ctx, from.repository, digest, to.repository, to.tag, annotations)
	return Copied{to.repository.URL, to.tag, stored}, err
}
