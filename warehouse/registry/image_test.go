package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestImageUser reads what images run as, by digest, once.
func TestImageUser(t *testing.T) {
	r := registrytest.New(t)
	for _, c := range []struct {
		tag, want string
		options   demoregistry.ImageOptions
	}{
		{"named", "app", demoregistry.ImageOptions{User: "app", Created: built}},
		{"numbered", "1000:1000", demoregistry.ImageOptions{User: "1000:1000", WithoutAnnotation: true}},
		{"none", "", demoregistry.ImageOptions{Created: built}},
		{"index", "65532", demoregistry.ImageOptions{User: "65532", Created: built, Platforms: []string{"linux/amd64", "linux/arm64"}, WithAttestation: true}},
	} {
		t.Run(c.tag, func(t *testing.T) {
			r.Push("app", c.tag, c.options)
			client := newClient(t)
			repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
			found, err := client.Resolve(t.Context(), repo, c.tag, registry.Want{Created: true, Platforms: true})
			if err != nil {
				t.Fatal(err)
			}
			image, err := client.Image(t.Context(), repo, found.Digest, registry.Want{User: true})
			if err != nil || image.User != c.want || image.Digest != found.Digest {
				t.Fatalf("%+v, %v", image, err)
			}
			before := r.Total()
			if again, err := client.Image(t.Context(), repo, found.Digest, registry.Want{User: true}); err != nil || again.User != c.want {
				t.Errorf("again: %+v, %v", again, err)
			}
			if n := r.Total() - before; n != 0 {
				t.Errorf("again it costs %d requests", n)
			}
			if whole, err := client.Resolve(t.Context(), repo, c.tag, registry.Want{Created: true, Platforms: true}); err != nil || !whole.Created.Equal(found.Created) || len(whole.Platforms) != len(found.Platforms) {
				t.Errorf("what was known: %+v, now %+v, %v", found, whole, err)
			}
		})
	}
}

func TestImageThatIsNotThere(t *testing.T) {
	r := registrytest.New(t)
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	if _, err := client.Image(t.Context(), repo, "sha256:"+strings.Repeat("0", 64), registry.Want{User: true}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("no such image: %v", err)
	}
	if _, err := client.Image(t.Context(), repo, "1.0.0", registry.Want{User: true}); !errors.Is(err, registry.ErrInvalid) {
		t.Errorf("a tag: %v", err)
	}
	// What one account knows, another does not learn from the cache.
	found, err := client.Resolve(t.Context(), repo, "1.0.0", registry.Want{Created: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Image(t.Context(), repo, found.Digest, registry.Want{User: true}); err != nil {
		t.Fatal(err)
	}
	repo.Credential = account(t, r, "wrong")
	if _, err := client.Image(t.Context(), repo, found.Digest, registry.Want{User: true}); !errors.Is(err, registry.ErrAuthentication) {
		t.Errorf("another account: %v", err)
	}
}
