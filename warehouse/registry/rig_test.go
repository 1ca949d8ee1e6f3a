package registry_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

var built = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond) // time passes: two readings are never equal
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)} }

func newClient(t testing.TB, change ...func(*registry.Options)) *registry.Client {
	t.Helper()
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	opts := registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true, RequestTimeout: time.Minute}
	for _, c := range change {
		c(&opts)
	}
	client, err := registry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// account is the credential Secret "regcred" for r, with another password if one
// is given.
func account(t testing.TB, r *registrytest.Registry, password ...string) credentials.Credential {
	t.Helper()
	data := map[string][]byte{"repoURL": []byte(r.Host()), "username": []byte(registrytest.Username), "password": []byte(registrytest.Password)}
	for _, p := range password {
		data["password"] = []byte(p)
	}
	c, err := credentials.Parse(credentials.Source{
		Name: "regcred", Namespace: "demo", Labels: map[string]string{credentials.TypeLabel: "image"}, Data: data,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c[0]
}

func compile(t testing.TB, sub v1alpha1.ImageSubscription) *warehouse.Policy {
	t.Helper()
	p, err := warehouse.Compile(sub)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tagsOf(images []v1alpha1.Image) (tags []string) {
	for _, i := range images {
		tags = append(tags, i.Tag)
	}
	return tags
}

// manyTags fills repo with n tags 1.0.0 to 1.0.n-1 that point at one image.
func manyTags(t testing.TB, r *registrytest.Registry, repo string, n int) {
	t.Helper()
	r.Push(repo, "1.0.0", demoregistry.ImageOptions{Created: built})
	var tags []string
	for i := 1; i < n; i++ {
		tags = append(tags, fmt.Sprintf("1.0.%d", i))
	}
	if err := r.AddTags(repo, "1.0.0", tags...); err != nil {
		t.Fatal(err)
	}
}
