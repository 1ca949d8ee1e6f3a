// Package registrytest starts the OCI registry that tests talk to: a real one
// over HTTP on a loopback port, with bearer tokens and pages of tags unless a
// test asks for something else.
package registrytest

import (
	"context"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/secret"
)

// The account of every test registry.
const (
	Username = "tester"
	Password = "registry-password-canary"
)

// Registry is a running registry that fails its test instead of returning errors.
type Registry struct {
	*demoregistry.Server
	t testing.TB
}

// New starts a registry with bearer tokens and pages of at most 1,000 tags, and
// closes it when the test ends. Each of change may alter the options first.
func New(t testing.TB, change ...func(*demoregistry.Options)) *Registry {
	t.Helper()
	opts := demoregistry.Options{
		Auth: demoregistry.AuthBearer, Username: Username, Password: secret.New(Password),
		MaxPage: 1000, Now: time.Now,
	}
	for _, c := range change {
		c(&opts)
	}
	s, err := demoregistry.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close registry: %v", err)
		}
	})
	return &Registry{Server: s, t: t}
}

// Push stores an image as repo:tag and returns what the tag points at.
func (r *Registry) Push(repo, tag string, opts demoregistry.ImageOptions) (digest string) {
	r.t.Helper()
	digest, err := r.PushImage(r.t.Context(), repo, tag, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return digest
}

// Name returns the image name of repo at this registry: 127.0.0.1:port/repo.
func (r *Registry) Name(repo string) string { return r.Host() + "/" + repo }

// Total returns how many requests came, of all kinds or of the given ones.
func (r *Registry) Total(kinds ...demoregistry.Kind) int {
	total := 0
	n := r.Requests()
	if len(kinds) == 0 {
		for _, c := range n {
			total += c
		}
	}
	for _, k := range kinds {
		total += n[k]
	}
	return total
}
