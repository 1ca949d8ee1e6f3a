package registry_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	opts := registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true, RequestTimeout: 5 * time.Second}
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

func TestTagThatCannotBeRead(t *testing.T) {
	r := registrytest.New(t)
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	r.Push("app", "1.1.0", demoregistry.ImageOptions{})
	r.SetFault(func(req *http.Request, _ demoregistry.Kind) *demoregistry.Fault {
		if strings.HasSuffix(req.URL.Path, "/manifests/1.1.0") {
			return &demoregistry.Fault{Header: http.Header{"Content-Type": {"application/vnd.oci.image.manifest.v1+json"}}, Body: `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},"layers":[]}`}
		}
		return nil
	})
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, Platform: "linux/amd64"})
	client := newClient(t)
	for i := range 2 {
		r.ResetRequests()
		poll, err := client.Poll(t.Context(), repo, p, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got := tagsOf(poll.Candidates); !slices.Equal(got, []string{"1.0.0"}) || poll.Reason != warehouse.ReasonTagPassedOver ||
			!strings.Contains(poll.Error, `tag "1.1.0" is passed over`) || !strings.Contains(poll.Error, "Helm chart") {
			t.Errorf("got %v, %q: %s", got, poll.Reason, poll.Error)
		}
		if n := r.Total(); i == 1 && n != 1 {
			t.Errorf("what cannot be read was asked for again: %v", r.Requests())
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

// What one account may read is not told to another.
func TestCacheIsNoWayAroundAccess(t *testing.T) {
	r := registrytest.New(t)
	want := r.Push("private/app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("private/app"), Credential: account(t, r)}
	if a, err := client.Resolve(t.Context(), repo, "1.0.0", registry.Want{}); err != nil || a.Digest != want {
		t.Fatal(a, err)
	}
	for _, c := range []credentials.Credential{{}, account(t, r, "wrong")} {
		repo.Credential = c
		if a, err := client.Resolve(t.Context(), repo, "1.0.0", registry.Want{}); !errors.Is(err, registry.ErrAuthentication) {
			t.Errorf("%s: got %+v, %v", c, a, err)
		}
	}
}

func TestRateLimit(t *testing.T) {
	now := newClock()
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Now = now.Now })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	other := registry.Repository{URL: r.Name("other"), Credential: account(t, r)}
	limit := func(status int, retryAfter string) {
		r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
			h := http.Header{}
			if retryAfter != "" {
				h.Set("Retry-After", retryAfter)
			}
			return &demoregistry.Fault{Status: status, Header: h}
		})
	}
	for _, c := range []struct {
		status     int
		retryAfter string
		kind       error
		pause      time.Duration
	}{
		{429, "120", registry.ErrRateLimited, 2 * time.Minute},
		{429, now.Now().Add(1000 * time.Hour).Format(http.TimeFormat), registry.ErrRateLimited, time.Hour},
		{429, "999999999999", registry.ErrRateLimited, time.Hour},
		{429, "", registry.ErrRateLimited, 30 * time.Second},
		{429, "soon", registry.ErrRateLimited, 30 * time.Second},
		{503, "60", registry.ErrServer, time.Minute},
	} {
		r.ResetRequests()
		limit(c.status, c.retryAfter)
		before := now.Now()
		_, err := client.Tags(t.Context(), repo, time.Time{})
		at, ok := registry.RetryAt(err)
		if pause := at.Sub(before); !errors.Is(err, c.kind) || !ok || pause < c.pause || pause > c.pause*11/10+time.Second {
			t.Errorf("%d %q: %v, pause %v", c.status, c.retryAfter, err, pause)
		}
		r.SetFault(nil)
		_, again := client.Tags(t.Context(), other, time.Time{})
		if !errors.Is(again, registry.ErrRateLimited) || r.Total() != 1 {
			t.Errorf("%d %q: not honoured for the whole registry: %v, %v", c.status, c.retryAfter, again, r.Requests())
		}
		now.advance(c.pause*11/10 + 2*time.Second)
		if _, err := client.Tags(t.Context(), repo, time.Time{}); err != nil {
			t.Errorf("%d %q: not resumed: %v", c.status, c.retryAfter, err)
		}
	}
}

func TestFaults(t *testing.T) {
	ok := http.Header{"Content-Type": {"application/json"}}
	type fault = demoregistry.Fault
	for _, c := range []struct {
		why   string
		kind  demoregistry.Kind
		fault fault
		want  error
		say   string
	}{
		{"403", demoregistry.KindTags, fault{Status: 403, Body: `{"errors":[{"code":"DENIED","message":"no"}]}`}, registry.ErrForbidden, `access denied (status 403) with Secret "regcred": DENIED no`},
		{"404", demoregistry.KindTags, fault{Status: 404, Body: `{"errors":[{"code":"NAME_UNKNOWN"}]}`}, registry.ErrNotFound, `with Secret "regcred": NAME_UNKNOWN`},
		{"500 with a page", demoregistry.KindTags, fault{Status: 500, Body: "<html>oh no"}, registry.ErrServer, "status 500"},
		{"502", demoregistry.KindTags, fault{Status: 502}, registry.ErrServer, "status 502"},
		{"503", demoregistry.KindTags, fault{Status: 503}, registry.ErrServer, "status 503"},
		{"401 without a challenge", demoregistry.KindTags, fault{Status: 401}, registry.ErrAuthentication, `with Secret "regcred"`},
		{"401 with a challenge nobody knows", demoregistry.KindTags, fault{Status: 401, Header: http.Header{"Www-Authenticate": {"Negotiate abc=="}}}, registry.ErrAuthentication, "status 401"},
		{"hang", demoregistry.KindTags, fault{Hang: true}, registry.ErrUnreachable, "no complete answer in time"},
		{"cut in the middle", demoregistry.KindTags, fault{Header: ok, Body: `{"tags":["1.0.0"]}`, CutAfter: 9}, registry.ErrUnreachable, "broke before the answer was complete"},
		{"a login page", demoregistry.KindTags, fault{Body: "<html>please log in</html>"}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"JSON of something else", demoregistry.KindTags, fault{Body: `{"repositories":[]}`}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"tags of another type", demoregistry.KindTags, fault{Body: `{"tags":[1]}`}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"half a document", demoregistry.KindTags, fault{Body: `{"tags":["1.0.0"`}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"304 to no condition", demoregistry.KindTags, fault{Status: 304}, registry.ErrMalformed, "status 304"},
		{"52 MB of tags", demoregistry.KindTags, fault{Body: `{"tags":["` + strings.Repeat(`a","`, 13_000_000) + `"]}`}, registry.ErrMalformed, "too large"},
		{"a tag without end", demoregistry.KindTags, fault{Body: `{"tags":["` + strings.Repeat("a", 129) + `"]}`}, registry.ErrMalformed, "longer than 128"},
		{"pages in a circle", demoregistry.KindTags, fault{Header: http.Header{"Link": {`</v2/app/tags/list?n=1000>; rel="next"`}}, Body: `{"tags":["1.0.0"]}`}, registry.ErrMalformed, "in a circle"},
		{"the next page elsewhere", demoregistry.KindTags, fault{Header: http.Header{"Link": {`<http://169.254.169.254/v2/app/tags/list?last=a>; rel="next"`}}, Body: `{"tags":["1.0.0"]}`}, registry.ErrMalformed, `another host, "169.254.169.254"`},
		{"the next page on another port", demoregistry.KindTags, fault{Header: http.Header{"Link": {`<//127.0.0.1:1/v2/app/tags/list>; rel="next"`}}, Body: `{"tags":["1.0.0"]}`}, registry.ErrMalformed, "another host"},
		{"redirect elsewhere", demoregistry.KindTags, fault{Status: 307, Header: http.Header{"Location": {"http://169.254.169.254/"}}}, registry.ErrRefused, "another host"},
		{"token service says no", demoregistry.KindToken, fault{Status: 401, Body: `{"errors":[{"code":"UNAUTHORIZED","message":"bad password"}]}`}, registry.ErrAuthentication, "the token service refused: bad password"},
		{"token service says forbidden", demoregistry.KindToken, fault{Status: 403}, registry.ErrAuthentication, "token service refused"},
		{"token service fails", demoregistry.KindToken, fault{Status: 500}, registry.ErrServer, "token service"},
		{"token service is limited", demoregistry.KindToken, fault{Status: 429, Header: http.Header{"Retry-After": {"9"}}}, registry.ErrRateLimited, "until 20"},
		{"token service gives no token", demoregistry.KindToken, fault{Body: `{}`}, registry.ErrMalformed, "gave no token"},
		{"token service gives a page", demoregistry.KindToken, fault{Body: `<html>`}, registry.ErrMalformed, "gave no token"},
		{"token service hangs", demoregistry.KindToken, fault{Hang: true}, registry.ErrUnreachable, "in time"},
		{"token that is not accepted", demoregistry.KindToken, fault{Body: `{"token":"forged"}`}, registry.ErrAuthentication, "status 401"},
		{"an echo of the password", demoregistry.KindTags, fault{Status: 403, Body: `{"errors":[{"code":"X","message":"` + registrytest.Password + `"}]}`}, registry.ErrForbidden, "***"},
		{"text with control characters", demoregistry.KindTags, fault{Status: 403, Body: "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[31m\\nb" + strings.Repeat("c", 5000) + "\"}]}"}, registry.ErrForbidden, "X a [31m b"},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := registrytest.New(t)
			r.Push("app", "1.0.0", demoregistry.ImageOptions{})
			client := newClient(t, func(o *registry.Options) {
				if c.fault.Hang {
					o.RequestTimeout = 50 * time.Millisecond
				}
			})
			repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
			r.SetFault(func(_ *http.Request, k demoregistry.Kind) *fault {
				if k == c.kind {
					return &c.fault
				}
				return nil
			})
			p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL})
			poll, err := client.Poll(t.Context(), repo, p, time.Time{})
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.say) {
				t.Fatalf("got %v, want %v that says %q", err, c.want, c.say)
			}
			text := err.Error()
			if !strings.Contains(text, `"`+repo.URL+`"`) || !strings.Contains(text, `Secret "regcred"`) || strings.Contains(text, registrytest.Password) || strings.ContainsAny(text, "\n\x1b") || len(text) > 600 {
				t.Errorf("message: %s", text)
			}
			if !poll.IsFailed || poll.Error != text || poll.Reason != registry.Reason(c.want) || poll.Reason == "PollFailed" || poll.Candidates != nil {
				t.Errorf("poll: %+v", poll)
			}
			if n := r.Total(); n > 6 {
				t.Errorf("%d requests: %v", n, r.Requests())
			}
			// It recovers by itself.
			r.SetFault(nil)
			if _, isLimited := registry.RetryAt(err); isLimited {
				return
			}
			if poll, err := client.Poll(t.Context(), repo, p, time.Time{}); err != nil || len(poll.Candidates) != 1 {
				t.Errorf("after the fault: %+v, %v", poll, err)
			}
		})
	}
}

func TestEndlessPages(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	n := 0
	r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		n++
		return &demoregistry.Fault{Header: http.Header{"Link": {fmt.Sprintf(`</v2/app/tags/list?last=%d>; rel="next"`, n)}}, Body: `{"tags":["a"]}`}
	})
	_, err := newClient(t).Tags(t.Context(), registry.Repository{URL: r.Name("app")}, time.Time{})
	if !errors.Is(err, registry.ErrMalformed) || n != 1000 {
		t.Errorf("%d requests: %v", n, err)
	}
}

func TestWrongContentIsRefused(t *testing.T) {
	const oci, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":2}`
	for _, c := range []struct {
		why, contentType, body, digest string
		want                           error
	}{
		{"digest of other bytes", oci, `{"schemaVersion":2,` + config + `,"layers":[]}`, "sha256:" + strings.Repeat("b", 64), registry.ErrMalformed},
		{"not JSON", oci, "<html>", "", registry.ErrUnsupported},
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+json", `{"schemaVersion":1}`, "", registry.ErrUnsupported},
		{"header and body disagree", index, `{"schemaVersion":2,"mediaType":"` + oci + `",` + config + `,"layers":[]}`, "", registry.ErrUnsupported},
		{"both an index and an image", oci, `{"schemaVersion":2,"manifests":[],` + config + `,"layers":[]}`, "", registry.ErrUnsupported},
		{"an image that claims to be an index", index, `{"schemaVersion":2,` + config + `,"layers":[]}`, "", registry.ErrUnsupported},
		{"nothing", oci, `{"schemaVersion":2}`, "", registry.ErrUnsupported},
		{"an artifact", oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json"},"layers":[]}`, "", registry.ErrUnsupported},
		{"too large", oci, `{"schemaVersion":2,"x":"` + strings.Repeat("a", 5<<20) + `"}`, "", registry.ErrMalformed},
		{"a config that is not there", oci, `{"schemaVersion":2,` + config + `,"layers":[]}`, "", registry.ErrNotFound},
	} {
		r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
		r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
			if k != demoregistry.KindManifestGet {
				return nil
			}
			h := http.Header{"Content-Type": {c.contentType}}
			if c.digest != "" {
				h.Set("Docker-Content-Digest", c.digest)
			}
			return &demoregistry.Fault{Header: h, Body: c.body}
		})
		_, err := newClient(t).Resolve(t.Context(), registry.Repository{URL: r.Name("app")}, "1.0.0", registry.Want{Created: true, Platforms: true})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.why, err, c.want)
		}
	}
}

func TestConfigIsCheckedAgainstItsDigest(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
		if k != demoregistry.KindBlob {
			return nil
		}
		return &demoregistry.Fault{Body: `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`}
	})
	_, err := newClient(t).Resolve(t.Context(), registry.Repository{URL: r.Name("app")}, "1.0.0", registry.Want{Platforms: true})
	if !errors.Is(err, registry.ErrMalformed) || !strings.Contains(fmt.Sprint(err), "config does not match its digest") {
		t.Errorf("got %v", err)
	}
}

// The registry names the token service. A credential goes there only when it is
// the registry's own.
func TestCredentialsStayWithTheRegistry(t *testing.T) {
	var seen []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"token":"x"}`)
	}))
	t.Cleanup(thief.Close)
	r := registrytest.New(t)
	for _, realm := range []string{thief.URL + "/token", "ftp://" + r.Host() + "/token", "http://user:pw@" + r.Host() + "/token", "//nowhere", "http://[::1"} {
		r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
			return &demoregistry.Fault{Status: 401, Header: http.Header{"Www-Authenticate": {fmt.Sprintf(`Bearer realm=%q,service="s"`, realm)}}}
		})
		_, err := newClient(t).Tags(t.Context(), registry.Repository{URL: r.Name("app"), Credential: account(t, r)}, time.Time{})
		if !errors.Is(err, registry.ErrRefused) {
			t.Errorf("%s: %v", realm, err)
		}
	}
	if len(seen) != 0 {
		t.Errorf("sent: %q", seen)
	}
}

func TestWhereConnectionsMayGo(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	strict, err := outbound.New(outbound.Policy{AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why    string
		change func(*registry.Options)
		url    string
		want   error
		say    string
	}{
		{"loopback without local mode", func(o *registry.Options) { o.Transport = strict }, r.Name("app"), registry.ErrRefused, "loopback"},
		{"plain http without a permission", func(o *registry.Options) { o.AllowLoopbackHTTP = false }, r.Name("app"), registry.ErrUnreachable, "plain http where https is required"},
		{"metadata", func(*registry.Options) {}, "169.254.169.254/app", registry.ErrRefused, "metadata"},
		{"nobody listens", func(*registry.Options) {}, "127.0.0.1:1/app", registry.ErrUnreachable, "connection refused"},
		{"a scheme", func(*registry.Options) {}, "http://" + r.Name("app"), registry.ErrInvalid, "not an image name"},
		{"a tag", func(*registry.Options) {}, r.Name("app:1.0"), registry.ErrInvalid, "not an image name"},
		{"a way out of the path", func(*registry.Options) {}, r.Name("../../admin"), registry.ErrInvalid, "not an image name"},
		{"a doubled slash", func(*registry.Options) {}, r.Name("a//b"), registry.ErrInvalid, "not an image name"},
	} {
		_, err := newClient(t, c.change).Tags(t.Context(), registry.Repository{URL: c.url}, time.Time{})
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.say) {
			t.Errorf("%s: got %v", c.why, err)
		}
	}
}

// A registry behind TLS with its own authority, whose blobs live on another host.
func TestOwnAuthorityAndBlobsElsewhere(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthBasic })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{Created: built, WithoutAnnotation: true})
	var mu sync.Mutex
	var leaked []string
	blobs := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		if h := req.Header.Get("Authorization"); h != "" {
			leaked = append(leaked, h)
		}
		mu.Unlock()
		req.SetBasicAuth(registrytest.Username, registrytest.Password) // the test registry's, not the client's
		r.ServeHTTP(w, req)
	}))
	t.Cleanup(blobs.Close)
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/") {
			http.Redirect(w, req, blobs.URL+req.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		r.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	host := strings.TrimPrefix(front.URL, "https://")
	credential := account(t, r)
	repo := registry.Repository{URL: host + "/app", Credential: credential}
	noHTTP := func(o *registry.Options) { o.AllowLoopbackHTTP = false }
	if _, err := newClient(t, noHTTP).Tags(t.Context(), repo, time.Time{}); !errors.Is(err, registry.ErrUnreachable) || !strings.Contains(err.Error(), "caCert") {
		t.Errorf("unknown authority: %v", err)
	}
	repo.Credential.CACert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	// A CA certificate means https, also where plain http would be allowed.
	a, err := newClient(t).Resolve(t.Context(), repo, "1.0.0", registry.Want{Created: true, Platforms: true})
	if err != nil || !a.Created.Equal(built) || len(a.Platforms) != 1 || a.Platforms[0].String() != "linux/amd64" {
		t.Errorf("got %+v, %v", a, err)
	}
	if len(leaked) != 0 {
		t.Errorf("the blob host was sent %q", leaked)
	}
	insecure := registry.Repository{URL: host + "/app", Credential: credential, InsecureSkipTLSVerify: true}
	if l, err := newClient(t).Tags(t.Context(), insecure, time.Time{}); err != nil || len(l.Tags) != 1 {
		t.Errorf("certificate not verified on request: %v, %v", l, err)
	}
}

func TestAnonymousErrorsSayWhatToDo(t *testing.T) {
	r := registrytest.New(t)
	_, err := newClient(t).Tags(t.Context(), registry.Repository{URL: r.Name("app")}, time.Time{})
	want := fmt.Sprintf(`list tags of %q: authentication failed (status 401) with anonymous access, because no credential Secret of type image matches this repository: the token service refused: user name or password is wrong`, r.Name("app"))
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	open := registrytest.New(t, func(o *demoregistry.Options) { o.AnonymousRead = true })
	open.Push("app", "1.0.0", demoregistry.ImageOptions{})
	if l, err := newClient(t).Tags(t.Context(), registry.Repository{URL: open.Name("app")}, time.Time{}); err != nil || len(l.Tags) != 1 {
		t.Errorf("anonymous read: %v, %v", l, err)
	}
}

func TestCancelledCallerIsNoFault(t *testing.T) {
	r := registrytest.New(t)
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	arrived := make(chan struct{}, 1)
	r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		arrived <- struct{}{}
		return &demoregistry.Fault{Hang: true}
	})
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	done := make(chan error, 1)
	go func() { _, err := client.Tags(ctx, repo, began); done <- err }()
	<-arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r.SetFault(nil)
	if _, err := client.Tags(t.Context(), repo, began); err != nil {
		t.Errorf("the next caller inherited it: %v", err)
	}
}
