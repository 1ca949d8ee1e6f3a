package registry_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// The promise, for every strategy: with 5,000 tags and nothing new a poll costs
// one request, a new tag at most three more, and a restart resolves no tag again.
func TestCostOfEveryStrategy(t *testing.T) {
	const tags, heads = demoregistry.KindTags, demoregistry.KindManifestHead
	for _, c := range []struct {
		why    string
		sub    v1alpha1.ImageSubscription
		newTag string
		found  string
		most   int // requests that one new tag costs beside the list
	}{
		{"SemVer", v1alpha1.ImageSubscription{}, "2.0.0", "2.0.0", 1},
		{"SemVer of one platform", v1alpha1.ImageSubscription{Platform: "linux/amd64"}, "2.0.0", "2.0.0", 3},
		{"Lexical", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical}, "zzz", "zzz", 1},
		{"Numerical", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNumerical, Extract: `^1\.0\.([0-9]+)$`}, "1.0.7777", "1.0.7777", 1},
		{"NewestBuild", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild}, "build-7", "build-7", 3},
		{"NewestBuild of one platform", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild, Platform: "linux/arm64"}, "build-7", "build-7", 3},
		{"Digest", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "1.0.0"}, "2.0.0", "1.0.0", 0},
	} {
		t.Run(c.why, func(t *testing.T) {
			now := newClock()
			r := registrytest.New(t, func(o *demoregistry.Options) {
				o.Auth, o.MaxPage, o.Now = demoregistry.AuthNone, 0, now.Now
			})
			platforms := []string{"linux/amd64", "linux/arm64"}
			r.Push("app", "1.0.0", demoregistry.ImageOptions{Created: built, Platforms: platforms, WithoutAnnotation: true})
			var all []string
			for i := 1; i < 5000; i++ {
				all = append(all, fmt.Sprintf("1.0.%d", i))
			}
			if err := r.AddTags("app", "1.0.0", all...); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "cache")
			client := newClient(t, func(o *registry.Options) { o.Now, o.CacheDir = now.Now, dir })
			repo := registry.Repository{URL: r.Name("app")}
			c.sub.RepoURL = repo.URL
			p := compile(t, c.sub)
			poll := func() warehouse.Poll {
				t.Helper()
				r.ResetRequests()
				now.advance(time.Minute)
				got, err := client.Poll(t.Context(), repo, p, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			poll() // learns the tags
			poll() // learns that larger pages work
			for range 3 {
				if poll(); r.Total() != 1 {
					t.Fatalf("nothing new: %v, want one request", r.Requests())
				}
			}
			r.Push("app", c.newTag, demoregistry.ImageOptions{Created: built.Add(time.Hour), Platforms: platforms, WithoutAnnotation: true, Salt: "new"})
			got := poll()
			if n := r.Total(); n > 1+c.most {
				t.Errorf("one new tag: %v, want at most 1 + %d", r.Requests(), c.most)
			}
			if len(got.Candidates) == 0 || got.Candidates[0].Tag != c.found {
				t.Errorf("found %v, want %s first", tagsOf(got.Candidates), c.found)
			}
			if poll(); r.Total() != 1 {
				t.Errorf("nothing new again: %v", r.Requests())
			}
			// A new process: the list in pages of 1,000 again, and not one tag.
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			client = newClient(t, func(o *registry.Options) { o.Now, o.CacheDir = now.Now, dir })
			again := poll()
			if d := cmp.Diff(got.Candidates, again.Candidates); d != "" {
				t.Errorf("after a restart: %s", d)
			}
			want := map[demoregistry.Kind]int{tags: 6}
			if c.why == "Digest" {
				want = map[demoregistry.Kind]int{heads: 1}
			}
			if d := cmp.Diff(want, r.Requests()); d != "" {
				t.Errorf("after a restart: %s", d)
			}
		})
	}
}

// A tag that was moved is found although the list does not show it: a mutable one
// at the next poll, any other within the rolling re-check.
func TestMovedTags(t *testing.T) {
	now := newClock()
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth, o.Now = demoregistry.AuthNone, now.Now })
	for i := range 40 {
		r.Push("app", fmt.Sprintf("1.0.%d", i), demoregistry.ImageOptions{Created: built, Salt: fmt.Sprint(i)})
	}
	r.Push("app", "1.9.0-edge", demoregistry.ImageOptions{Created: built})
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	repo := registry.Repository{URL: r.Name("app")}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, Constraint: ">=1.0.0-0", MutableTags: "-edge$", DiscoveryLimit: 41})
	digests := func(d time.Duration) (map[string]string, map[demoregistry.Kind]int) {
		t.Helper()
		r.ResetRequests()
		now.advance(d)
		got, err := client.Poll(t.Context(), repo, p, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, c := range got.Candidates {
			out[c.Tag] = c.Digest
		}
		return out, r.Requests()
	}
	const tags, heads = demoregistry.KindTags, demoregistry.KindManifestHead
	digests(time.Minute)
	edge := r.Push("app", "1.9.0-edge", demoregistry.ImageOptions{Created: built, Salt: "moved"})
	old := r.Push("app", "1.0.3", demoregistry.ImageOptions{Created: built, Salt: "moved"})
	got, cost := digests(time.Minute)
	if d := cmp.Diff(map[demoregistry.Kind]int{tags: 1, heads: 1}, cost); d != "" || got["1.9.0-edge"] != edge {
		t.Errorf("mutable tag: %s, %s", got["1.9.0-edge"], d)
	}
	rounds := 0
	for got["1.0.3"] != old && rounds < 5 {
		got, cost = digests(time.Hour)
		rounds++
		if d := cmp.Diff(map[demoregistry.Kind]int{tags: 1, heads: 1 + 25}, cost); d != "" {
			t.Errorf("re-check: %s", d)
		}
	}
	if rounds > 2 {
		t.Errorf("1 of 40 moved tags was found after %d re-checks of 25, want 2 at most", rounds)
	}
	if _, cost := digests(time.Minute); cost[heads] != 1 {
		t.Errorf("between re-checks: %v", cost)
	}
}

// Subscriptions of one credential share answers of any strategy that are new
// enough, and only then.
func TestAnswersAreShared(t *testing.T) {
	now := newClock()
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth, o.Now = demoregistry.AuthNone, now.Now })
	for i := range 30 {
		r.Push("app", fmt.Sprintf("1.0.%d", i), demoregistry.ImageOptions{Created: built})
	}
	r.Push("app", "latest", demoregistry.ImageOptions{Created: built})
	for _, c := range []struct {
		sub   v1alpha1.ImageSubscription
		first int
	}{
		{v1alpha1.ImageSubscription{}, 1 + 20},
		{v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest"}, 1},
		{v1alpha1.ImageSubscription{MutableTags: "^1[.]0[.]2"}, 1 + 20},
	} {
		client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
		repo := registry.Repository{URL: r.Name("app")}
		c.sub.RepoURL = repo.URL
		p := compile(t, c.sub)
		r.ResetRequests()
		notBefore := now.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if poll, err := client.Poll(t.Context(), repo, p, notBefore); err != nil || len(poll.Candidates) == 0 {
					t.Error(poll, err)
				}
			})
		}
		wg.Wait()
		if n := r.Total(); n != c.first {
			t.Errorf("%+v: 50 side by side cost %v, want %d", c.sub, r.Requests(), c.first)
		}
		r.ResetRequests()
		first, err := client.Poll(t.Context(), repo, p, now.Now())
		if err != nil {
			t.Fatal(err)
		}
		again, err := client.Poll(t.Context(), repo, p, first.At.Add(-time.Second))
		if err != nil || again.Requests != 0 || !again.At.Equal(&first.At) {
			t.Errorf("%+v: a new answer was not shared: %+v, %v", c.sub, again, err)
		}
		if fresh, err := client.Poll(t.Context(), repo, p, now.Now()); err != nil || fresh.Requests == 0 {
			t.Errorf("%+v: an old answer was shared: %+v, %v", c.sub, fresh, err)
		}
	}
}

// A registry that says it is too much is asked less at a time and less often, and
// as much as before when it has recovered.
func TestLimitedRegistryIsSpared(t *testing.T) {
	now := newClock()
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth, o.Now = demoregistry.AuthNone, now.Now })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{Created: built})
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	repo := registry.Repository{URL: r.Name("app")}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL})
	stretch := func() int {
		now.advance(2 * time.Minute)
		poll, _ := client.Poll(t.Context(), repo, p, time.Time{}) // failures are the point
		return poll.Stretch
	}
	fault := func(f *demoregistry.Fault) {
		r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault { return f })
	}
	var got []int
	fault(&demoregistry.Fault{Status: 500})
	got = append(got, stretch(), stretch())
	fault(&demoregistry.Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}})
	got = append(got, stretch(), stretch())
	if limit := gauge(t, client, "waybill_registry_concurrency_limit"); limit != 1 {
		t.Errorf("after four refusals %v requests may run at a time, want 1", limit)
	}
	fault(nil)
	for range 8 {
		got = append(got, stretch())
	}
	if d := cmp.Diff([]int{2, 4, 8, 8, 7, 6, 5, 4, 3, 2, 1, 1}, got); d != "" {
		t.Error(d)
	}
	// Docker Hub says with every answer how many pulls are left.
	r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
		return &demoregistry.Fault{Header: http.Header{"Ratelimit-Limit": {"100;w=21600"}, "Ratelimit-Remaining": {"7;w=21600"}, "Content-Type": {"application/json"}}, Body: `{"tags":["1.0.0"]}`}
	})
	if n := stretch(); n != 2 {
		t.Errorf("few requests are left: stretch %d, want 2", n)
	}
	r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
		return &demoregistry.Fault{Header: http.Header{"Ratelimit-Remaining": {"0;w=21600"}, "Ratelimit-Reset": {"90"}, "Content-Type": {"application/json"}}, Body: `{"tags":["1.0.0"]}`}
	})
	stretch()
	r.ResetRequests()
	if _, err := client.Tags(t.Context(), repo, time.Time{}); err == nil || r.Total() != 0 {
		t.Errorf("none is left, and it was asked: %v, %v", err, r.Requests())
	}
}

// gauge returns the value of the only series of a metric.
func gauge(t *testing.T, c *registry.Client, name string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c.Collectors()...)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return value(f.GetMetric()[0])
		}
	}
	t.Fatalf("no single %s", name)
	return 0
}

func value(m *dto.Metric) float64 { return m.GetGauge().GetValue() + m.GetCounter().GetValue() }
