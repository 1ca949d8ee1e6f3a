package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/localkube"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// tagPattern is the OCI distribution specification's.
var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// NotRunningError says that the instance is not up.
type NotRunningError struct {
	// DataDir of the instance, and its State.
	DataDir string
	State   State
}

// Error names the data directory.
func (e *NotRunningError) Error() string {
	return fmt.Sprintf("Waybill is not running in %s (%s)", e.DataDir, strings.ToLower(string(e.State)))
}

// Pushed is an image that was published.
type Pushed struct {
	// Image is the reference: host:port/guestbook:1.27.0.
	Image string `json:"image"`
	// Digest the tag points at, and whether its containers crash.
	Digest string `json:"digest"`
	Broken bool   `json:"broken,omitempty"`
}

// Push publishes a new demo image under tag. Each has content of its own, so no
// two tags share a digest. The containers of a broken one crash: its image is
// marked before the tag can be seen, so that nothing runs it unmarked.
func Push(ctx context.Context, i Instance, tag string, broken bool) (Pushed, error) {
	if !tagPattern.MatchString(tag) {
		return Pushed{}, fmt.Errorf("tag %q: use at most 128 letters, digits, dots, dashes and underscores", tag)
	}
	repo := i.Registry + "/" + DemoProject
	image := repo + ":" + tag
	var transport http.RoundTripper = directTransport()
	if broken {
		kube := dir(i.DataDir).path("kube")
		mark := func(ctx context.Context, reference string) error {
			return localkube.MarkImage(ctx, kube, reference, localkube.CrashLoopBackOff)
		}
		if err := mark(ctx, image); err != nil {
			return Pushed{}, err
		}
		// Stages may pin by digest alone.
		transport = &markDigest{next: transport, path: "/v2/" + DemoProject + "/manifests/" + tag, mark: func(ctx context.Context, digest string) error {
			return mark(ctx, repo+"@"+digest)
		}}
	}
	digest, err := demoregistry.Push(ctx, transport, image, i.User, secret.New(i.Password), demoregistry.ImageOptions{
		Created: time.Now(), Salt: rand.Text(), IsBroken: broken,
	})
	if err != nil {
		return Pushed{}, err
	}
	return Pushed{Image: image, Digest: digest, Broken: broken}, nil
}

// maxManifestBytes is far above what a demo image has.
const maxManifestBytes = 1 << 20

// markDigest marks a manifest by its digest before it passes it on: only then
// can anybody see the tag.
type markDigest struct {
	next http.RoundTripper
	path string
	mark func(ctx context.Context, digest string) error
}

// RoundTrip implements http.RoundTripper.
func (m *markDigest) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut && req.URL.Path == m.path && req.Body != nil {
		body, err := outbound.ReadAll(req.Body, maxManifestBytes)
		_ = req.Body.Close() // read to its end
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if err := m.mark(req.Context(), fmt.Sprintf("sha256:%x", sha256.Sum256(body))); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return m.next.RoundTrip(req)
}
