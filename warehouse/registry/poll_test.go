package registry_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

func TestPollFindsCandidates(t *testing.T) {
	for _, auth := range []demoregistry.Auth{demoregistry.AuthNone, demoregistry.AuthBasic, demoregistry.AuthBearer} {
		t.Run("auth "+string(auth), func(t *testing.T) {
			r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth, o.MaxPage = auth, 2 })
			var want []v1alpha1.Image
			for _, tag := range []string{"1.25.0", "1.26.0", "1.26.1", "1.27.0-rc.1", "2.0.0", "latest"} {
				d := r.Push("team/app", tag, demoregistry.ImageOptions{Created: built, Platforms: []string{"linux/amd64", "linux/arm64"}})
				if tag == "1.26.0" || tag == "1.26.1" {
					want = append([]v1alpha1.Image{{RepoURL: r.Name("team/app"), Tag: tag, Digest: d}}, want...)
				}
			}
			client := newClient(t)
			repo := registry.Repository{URL: r.Name("team/app"), Credential: account(t, r)}
			p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, Constraint: "^1.26.0"})
			poll, err := client.Poll(t.Context(), repo, p, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, poll.Candidates); d != "" {
				t.Error(d)
			}
			if poll.Tags != 6 || poll.Error != "" || poll.Requests != r.Total() {
				t.Errorf("%+v; the registry counted %v", poll, r.Requests())
			}
		})
	}
}

// The promise of the design, counted by the registry: an unchanged poll costs one
// request, whatever the number of tags; new tags cost one each.
func TestCostOfPolls(t *testing.T) {
	now := newClock()
	r := registrytest.New(t, func(o *demoregistry.Options) { o.MaxPage, o.Now, o.TokenTTL = 0, now.Now, time.Hour })
	manyTags(t, r, "app", 5000)
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL})
	poll := func(why string, want map[demoregistry.Kind]int) warehouse.Poll {
		t.Helper()
		r.ResetRequests()
		now.advance(time.Minute)
		got, err := client.Poll(t.Context(), repo, p, time.Time{})
		if err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if d := cmp.Diff(want, r.Requests()); d != "" {
			t.Errorf("%s: %s", why, d)
		}
		if got.Requests != r.Total() {
			t.Errorf("%s: reported %d requests, the registry counted %d", why, got.Requests, r.Total())
		}
		return got
	}
	const tags, head, tok = demoregistry.KindTags, demoregistry.KindManifestHead, demoregistry.KindToken
	first := poll("the first, refused once, in pages of 1,000, 20 tags resolved", map[demoregistry.Kind]int{tags: 1 + 5, tok: 1, head: 20})
	if first.Tags != 5000 || len(first.Candidates) != 20 || first.Candidates[0].Tag != "1.0.4999" {
		t.Errorf("%d tags, %v", first.Tags, tagsOf(first.Candidates))
	}
	poll("unchanged: one larger page", map[demoregistry.Kind]int{tags: 1})
	for range 3 {
		conditions := make(chan string, 1)
		r.SetFault(func(req *http.Request, _ demoregistry.Kind) *demoregistry.Fault {
			conditions <- req.Header.Get("If-None-Match")
			return nil
		})
		again := poll("unchanged", map[demoregistry.Kind]int{tags: 1})
		if d := cmp.Diff(first.Candidates, again.Candidates); d != "" {
			t.Error(d)
		}
		if <-conditions == "" {
			t.Error("asked without a condition: the whole list was sent again")
		}
		r.SetFault(nil)
	}
	if err := r.AddTags("app", "1.0.0", "1.1.0", "1.1.1"); err != nil {
		t.Fatal(err)
	}
	if got := poll("two new tags", map[demoregistry.Kind]int{tags: 1, head: 2}); got.Candidates[0].Tag != "1.1.1" {
		t.Errorf("got %v", tagsOf(got.Candidates))
	}
	poll("unchanged again", map[demoregistry.Kind]int{tags: 1})
	now.advance(50 * time.Minute) // 57 in all: still accepted, but about to end
	poll("a token is replaced before it ends", map[demoregistry.Kind]int{tags: 1, tok: 1})
	r.RevokeTokens()
	poll("a revoked token is replaced after it was refused", map[demoregistry.Kind]int{tags: 2, tok: 1})
}

func TestListingAdaptsToTheRegistry(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*demoregistry.Options)
		fault  func(*http.Request, demoregistry.Kind) *demoregistry.Fault
		want   []int // requests for lists of the second and later polls
	}{
		{"no ETag: the list is compared", func(o *demoregistry.Options) { o.MaxPage, o.WithoutETag = 0, true }, nil, []int{1, 1}},
		{"pages stay small: each is asked whether it changed", func(o *demoregistry.Options) { o.MaxPage = 1000 }, nil, []int{3, 3, 3}},
		{"pages of the registry's own size", func(o *demoregistry.Options) { o.MaxPage = 700 }, nil, []int{4, 4}},
		{"large pages are refused: never asked for again", func(o *demoregistry.Options) { o.MaxPage = 0 },
			func(r *http.Request, k demoregistry.Kind) *demoregistry.Fault {
				if k == demoregistry.KindTags && len(r.URL.Query().Get("n")) > 0 && r.URL.Query().Get("n") != "1000" {
					return &demoregistry.Fault{Status: http.StatusBadRequest, Body: `{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`}
				}
				return nil
			}, []int{1 + 3, 3, 3}},
	} {
		r := registrytest.New(t, c.change)
		manyTags(t, r, "app", 2500)
		r.SetFault(c.fault)
		client := newClient(t)
		repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
		first, err := client.Tags(t.Context(), repo, time.Time{})
		if err != nil || len(first.Tags) != 2500 || !first.IsChanged {
			t.Fatalf("%s: %d tags, %v", c.why, len(first.Tags), err)
		}
		for i, want := range c.want {
			r.ResetRequests()
			l, err := client.Tags(t.Context(), repo, time.Time{})
			if err != nil || l.IsChanged || !slices.Equal(l.Tags, first.Tags) {
				t.Errorf("%s: poll %d: changed %v, %v", c.why, i+2, l.IsChanged, err)
			}
			if n := r.Total(); n != want {
				t.Errorf("%s: poll %d cost %d requests, want %d", c.why, i+2, n, want)
			}
		}
		if err := r.AddTags("app", "1.0.0", "0.9.0"); err != nil {
			t.Fatal(err)
		}
		if l, err := client.Tags(t.Context(), repo, time.Time{}); err != nil || !l.IsChanged || !slices.Contains(l.Tags, "0.9.0") {
			t.Errorf("%s: a new tag was missed: %v", c.why, err)
		}
	}
}

func TestRestartKeepsWhatWasResolved(t *testing.T) {
	r := registrytest.New(t)
	for i := range 30 {
		r.Push("app", fmt.Sprintf("1.%d.0", i), demoregistry.ImageOptions{Created: built, WithoutAnnotation: true})
	}
	dir := filepath.Join(t.TempDir(), "cache")
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, ImageSelectionStrategy: v1alpha1.SelectNewestBuild, Platform: "linux/amd64"})
	poll := func() ([]v1alpha1.Image, int) {
		t.Helper()
		client := newClient(t, func(o *registry.Options) { o.CacheDir = dir })
		defer client.Close()
		r.ResetRequests()
		got, err := client.Poll(t.Context(), repo, p, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Candidates, r.Total()
	}
	cold, n := poll()
	if n != 3+2*30 {
		t.Errorf("cold: %d requests", n)
	}
	warm, n := poll()
	if d := cmp.Diff(cold, warm); d != "" || n != 3 { // refused, token, list
		t.Errorf("warm: %d requests, %s", n, d)
	}
	// A file torn by a crash and full of nonsense costs requests, nothing else.
	file := filepath.Join(dir, "registry-cache.jsonl")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), registrytest.Password) || strings.Contains(string(data), "Bearer") {
		t.Error("the cache file holds a secret")
	}
	half := len(data) / 2
	if err := os.WriteFile(file, append([]byte("{]\nnull\n{\"r\":5}\n"), data[:half]...), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, n := poll()
	if d := cmp.Diff(cold, damaged); d != "" || n <= 3 || n >= 3+2*30 {
		t.Errorf("damaged: %d requests, %s", n, d)
	}
	if again, n := poll(); n != 3 || cmp.Diff(cold, again) != "" {
		t.Errorf("after repair: %d requests", n)
	}
}

func TestCacheFileIsRewritten(t *testing.T) {
	dir := t.TempDir()
	line := `{"r":"h/app","t":"1","d":"sha256:` + strings.Repeat("a", 64) + `"}` + "\n"
	file := filepath.Join(dir, "registry-cache.jsonl")
	if err := os.WriteFile(file, []byte(strings.Repeat(line, 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	newClient(t, func(o *registry.Options) { o.CacheDir = dir })
	data, err := os.ReadFile(file)
	if err != nil || strings.Count(string(data), "h/app") != 1 {
		t.Errorf("%d bytes left, %v", len(data), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

func TestStrategies(t *testing.T) {
	r := registrytest.New(t)
	hours := func(h int) time.Time { return built.Add(time.Duration(h) * time.Hour) }
	r.Push("app", "a", demoregistry.ImageOptions{Created: hours(1)})
	r.Push("app", "b", demoregistry.ImageOptions{Created: hours(5), WithoutAnnotation: true})
	r.Push("app", "c", demoregistry.ImageOptions{Created: hours(3), Platforms: []string{"linux/amd64", "linux/arm64/v8"}, WithAttestation: true})
	r.Push("app", "d", demoregistry.ImageOptions{Created: hours(4), Platforms: []string{"linux/arm64"}, IsIndex: true, WithoutAnnotation: true})
	r.Push("app", "e", demoregistry.ImageOptions{})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	for _, c := range []struct {
		why  string
		sub  v1alpha1.ImageSubscription
		want string
	}{
		{"newest build, times from annotations, configs and children", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild}, "b d c a e"},
		{"newest build for one platform", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild, Platform: "linux/arm64"}, "d c"},
		{"lexical", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical}, "e d c b a"},
		{"lexical for one platform, beyond what does not fit", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical, Platform: "linux/arm64/v8", DiscoveryLimit: 1}, "d"},
		{"lexical, limit", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical, Platform: "linux/amd64", DiscoveryLimit: 2}, "e c"},
		{"one tag", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "c"}, "c"},
		{"one tag without the platform", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "a", Platform: "linux/arm64"}, ""},
	} {
		c.sub.RepoURL = repo.URL
		poll, err := client.Poll(t.Context(), repo, compile(t, c.sub), time.Time{})
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		if got := strings.Join(tagsOf(poll.Candidates), " "); got != c.want {
			t.Errorf("%s: got %q, want %q (%s)", c.why, got, c.want, poll.Error)
		}
		if (poll.Reason == warehouse.ReasonNoMatchingTag) != (c.want == "") {
			t.Errorf("%s: reason %q: %s", c.why, poll.Reason, poll.Error)
		}
	}
}

// A moving tag is followed, one HEAD a poll; its index digest is what is taken.
func TestDigestFollowsAMovingTag(t *testing.T) {
	r := registrytest.New(t)
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest"})
	client := newClient(t)
	for i := range 3 {
		want := r.Push("app", "latest", demoregistry.ImageOptions{Platforms: []string{"linux/amd64", "linux/arm64"}, Salt: fmt.Sprint(i)})
		for range 2 {
			r.ResetRequests()
			poll, err := client.Poll(t.Context(), repo, p, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if got := poll.Candidates; len(got) != 1 || got[0].Digest != want {
				t.Errorf("got %+v, want %s", got, want)
			}
			if n := r.Total(demoregistry.KindManifestHead); i > 0 && (n != 1 || r.Total() != 1) {
				t.Errorf("cost %v", r.Requests())
			}
		}
	}
}

func TestConcurrency(t *testing.T) {
	r := registrytest.New(t)
	for i := range 40 {
		r.Push("app", fmt.Sprintf("1.%d.0", i), demoregistry.ImageOptions{})
	}
	var mu sync.Mutex
	inFlight, peak := 0, 0
	allSlotsTaken := make(chan struct{})
	r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
		if k != demoregistry.KindManifestHead {
			return nil
		}
		mu.Lock()
		inFlight++
		if peak = max(peak, inFlight); inFlight == 8 {
			select {
			case <-allSlotsTaken:
			default:
				close(allSlotsTaken)
			}
		}
		mu.Unlock()
		<-allSlotsTaken // fewer than eight side by side: the client gives up, the test fails
		mu.Lock()
		inFlight--
		mu.Unlock()
		return nil
	})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, DiscoveryLimit: 40})
	if _, err := client.Poll(t.Context(), repo, p, time.Time{}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if peak != 8 {
		t.Errorf("%d requests side by side, want 8", peak)
	}
	mu.Unlock()
	r.SetFault(nil)

	// Many who ask at once share listings. A listing that began before a caller
	// came does not serve it: it may miss the push that woke the caller.
	r.ResetRequests()
	var wg sync.WaitGroup
	began := time.Now()
	for range 32 {
		wg.Go(func() {
			if _, err := client.Tags(t.Context(), repo, began); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.Total(); n != 1 {
		t.Errorf("32 callers cost %d requests", n)
	}
}
