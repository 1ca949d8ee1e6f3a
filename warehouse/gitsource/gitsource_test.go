package gitsource_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/gitsource"
)

// rig is a Git server that counts, and a Source.
type rig struct {
	t        *testing.T
	server   *gittest.Server
	url      string
	dir      string
	requests atomic.Int64
	mirrors  *git.Mirrors
	source   *gitsource.Source
	old      v1alpha1.SubscriptionStatus
}

func newRig(t *testing.T, files map[string]string) *rig {
	t.Helper()
	r := &rig{t: t, server: gittest.NewServer(t), dir: t.TempDir()}
	r.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != "" { // not the challenge
				r.requests.Add(1)
			}
			next.ServeHTTP(w, req)
		})
	})
	r.url = r.server.CreateRepo("app", files)
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	if r.mirrors, err = git.NewMirrors(git.Options{Dir: r.dir, Transport: transport, AllowPlainHTTP: true}); err != nil {
		r.t.Fatal(err)
	}
	m := r.mirrors
	r.t.Cleanup(func() { _ = m.Close() })
	r.source = gitsource.New(r.mirrors, time.Now)
}

func (r *rig) remote() git.Remote {
	return git.Remote{URL: r.url, Username: gittest.Username, Password: secret.New(gittest.Password), CredentialName: "demo/git"}
}

// poll asks again, and returns what it cost.
func (r *rig) poll(sub v1alpha1.GitSubscription) (warehouse.Poll, int) {
	r.t.Helper()
	sub.RepoURL = r.url
	p, err := warehouse.CompileCommits(sub)
	if err != nil {
		r.t.Fatal(err)
	}
	before := r.requests.Load()
	got, err := r.source.Poll(r.t.Context(), r.remote(), p, r.old, time.Time{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.old = p.Merge(r.old, got)
	cost := int(r.requests.Load() - before)
	if got.Requests != cost {
		r.t.Errorf("reported %d requests, the server counted %d", got.Requests, cost)
	}
	return got, cost
}

func subjects(poll warehouse.Poll) string {
	var out []string
	for _, c := range poll.Commits {
		out = append(out, c.Message)
	}
	return strings.Join(out, " ")
}

func tags(poll warehouse.Poll) string {
	var out []string
	for _, c := range poll.Commits {
		out = append(out, c.Tag)
	}
	return strings.Join(out, " ")
}

func TestBranch(t *testing.T) {
	r := newRig(t, map[string]string{"apps/a": "1", "docs/x": "1"})
	for i := range 5 {
		r.server.Commit("app", "main", fmt.Sprintf("app-%d", i), map[string]string{"apps/a": fmt.Sprint("v", i)})
		r.server.Commit("app", "main", fmt.Sprintf("docs-%d", i), map[string]string{"docs/x": fmt.Sprint("v", i)})
	}
	sub := v1alpha1.GitSubscription{IncludePaths: []string{"apps"}, DiscoveryLimit: 3}
	got, cost := r.poll(sub)
	if subjects(got) != "app-4 app-3 app-2" || cost != 3 || got.Commits[0].Branch != "main" {
		t.Errorf("first: %q for %d requests, %+v", subjects(got), cost, got.Commits)
	}
	for range 2 {
		if again, cost := r.poll(sub); cost != 1 || cmp.Diff(got.Commits, again.Commits) != "" {
			t.Errorf("nothing new: %d requests, %s", cost, cmp.Diff(got.Commits, again.Commits))
		}
	}
	r.server.Commit("app", "main", "docs-9", map[string]string{"docs/x": "new"})
	if moved, cost := r.poll(sub); cost != 3 || moved.Tags != got.Tags+1 || subjects(moved) != "app-4 app-3 app-2" {
		t.Errorf("a commit that does not count: %q for %d requests, %d looked at", subjects(moved), cost, moved.Tags)
	}
	r.server.Commit("app", "main", "app-9", map[string]string{"apps/a": "new"})
	if moved, _ := r.poll(sub); subjects(moved) != "app-9 app-4 app-3" {
		t.Errorf("a commit that counts: %q", subjects(moved))
	}
	// A restarted server knows from the status what was looked at.
	if err := r.mirrors.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	if again, cost := r.poll(sub); cost != 1 || subjects(again) != "app-9 app-4 app-3" {
		t.Errorf("after a restart: %q for %d requests", subjects(again), cost)
	}
	if other, _ := r.poll(v1alpha1.GitSubscription{ExpressionFilter: "subject startsWith 'docs'", DiscoveryLimit: 2}); subjects(other) != "docs-9 docs-4" {
		t.Errorf("another filter looks anew: %q", subjects(other))
	}
	// A rewritten branch is looked through anew.
	first := r.server.Git("app", "rev-list", "--max-parents=0", "main")
	r.server.SetBranch("app", "main", strings.TrimSpace(first))
	r.server.Commit("app", "main", "app-rewritten", map[string]string{"apps/a": "rewritten"})
	if got, _ := r.poll(sub); !strings.HasPrefix(subjects(got), "app-rewritten ") || strings.Contains(subjects(got), "app-9") {
		t.Errorf("rewritten: %q", subjects(got))
	}
	if got, _ := r.poll(v1alpha1.GitSubscription{ExpressionFilter: "subject == 'nothing'"}); got.Reason != warehouse.ReasonNoMatchingCommit || got.IsFailed {
		t.Errorf("no match: %+v", got)
	}
}

func TestTags(t *testing.T) {
	r := newRig(t, map[string]string{"a": "1"})
	tag := func(name string, annotated bool, day int) {
		t.Helper()
		r.server.Commit("app", "main", "for "+name, map[string]string{"a": name})
		at := fmt.Sprintf("2026-03-%02dT12:00:00Z", day)
		args := []string{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "tag", name, "main"}
		if annotated {
			args = []string{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "tag", "-a", "-m", "approved " + at, name, "main"}
		}
		r.server.Git("app", args...)
	}
	tag("v1.9.0", false, 1)
	tag("v1.10.0", true, 2)
	tag("v2.0.0-rc.1", true, 3)
	tag("nightly/1", false, 4)
	for _, c := range []struct {
		sub  v1alpha1.GitSubscription
		want string
	}{
		{v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagSemVer}, "v1.10.0 v1.9.0"},
		{v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagSemVer, Constraint: "<1.10.0"}, "v1.9.0"},
		{v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagLexical}, "v2.0.0-rc.1 v1.9.0 v1.10.0 nightly/1"},
		{v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagLexical, IgnoreTagsRegexes: []string{"rc"}, DiscoveryLimit: 2}, "v1.9.0 v1.10.0"},
		{v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagLexical, ExpressionFilter: "annotation startsWith 'approved' && tagger contains 'Ada'"}, "v2.0.0-rc.1 v1.10.0"},
	} {
		got, _ := r.poll(c.sub)
		if tags(got) != c.want {
			t.Errorf("%+v: %q, want %q", c.sub, tags(got), c.want)
		}
		for _, found := range got.Commits {
			if want := strings.TrimSpace(r.server.Git("app", "rev-parse", found.Tag+"^{commit}")); found.ID != want {
				t.Errorf("%s is %s, want the commit %s", found.Tag, found.ID, want)
			}
		}
		if again, cost := r.poll(c.sub); cost != 1 || tags(again) != c.want {
			t.Errorf("%+v: nothing new: %q for %d requests", c.sub, tags(again), cost)
		}
	}
	newest := v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectNewestTag, AllowTagsRegexes: []string{"^v"}, DiscoveryLimit: 1}
	r.poll(newest)
	tag("v0.0.1", true, 5)
	got, cost := r.poll(newest)
	if cost != 3 || len(got.Commits) != 1 {
		t.Errorf("one new tag: %+v for %d requests", got.Commits, cost)
	}
	if got.Commits[0].Tag != "v0.0.1" && !got.Commits[0].Date.Equal(r.old.Commits[0].Date) {
		t.Errorf("newest: %+v", got.Commits)
	}
	r.server.Git("app", "tag", "-f", "v1.10.0", "main")
	sub := v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagSemVer}
	if got, _ := r.poll(sub); got.Commits[0].ID != r.server.Branch("app", "main") {
		t.Errorf("a moved tag was missed: %+v", got.Commits[0])
	}
	// A tag that leads to no commit is passed over.
	r.server.Git("app", "tag", "v9.0.0", "main^{tree}")
	if got, _ := r.poll(sub); tags(got) != "v1.10.0 v1.9.0 v0.0.1" || got.Reason != warehouse.ReasonTagPassedOver {
		t.Errorf("tag of a tree: %q, %s: %s", tags(got), got.Reason, got.Error)
	}
}

// One ls-remote serves all who ask within the interval, and one mirror holds the
// repository once.
func TestFiftySubscriptionsCostOneLook(t *testing.T) {
	r := newRig(t, map[string]string{"apps/a": "1"})
	var policies []*warehouse.CommitPolicy
	for i := range 50 {
		p, err := warehouse.CompileCommits(v1alpha1.GitSubscription{RepoURL: r.url, IncludePaths: []string{fmt.Sprintf("apps/%d", i), "apps"}})
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, p)
	}
	var mu sync.Mutex
	old := make([]v1alpha1.SubscriptionStatus, 50)
	all := func(notBefore time.Time) int {
		before := r.requests.Load()
		var wg sync.WaitGroup
		for i, p := range policies {
			wg.Go(func() {
				got, err := r.source.Poll(t.Context(), r.remote(), p, old[i], notBefore)
				if err != nil || len(got.Commits) == 0 {
					t.Error(got, err)
				}
				mu.Lock()
				old[i] = p.Merge(old[i], got)
				mu.Unlock()
			})
		}
		wg.Wait()
		return int(r.requests.Load() - before)
	}
	if n := all(time.Now()); n > 4 { // the look, and a fetch that those who come late share
		t.Errorf("the first look cost %d requests", n)
	}
	if n := all(time.Now()); n != 1 {
		t.Errorf("nothing new, 50 at once: %d requests, want 1", n)
	}
	if n := all(time.Now().Add(-time.Minute)); n != 0 {
		t.Errorf("within the interval: %d requests, want none", n)
	}
	// Our own push makes what we know old.
	m, err := r.mirrors.Open(r.remote())
	if err != nil {
		t.Fatal(err)
	}
	head, err := git.ParseHash(r.server.Branch("app", "main"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), git.Update{Branch: "stage/test", New: head}); err != nil {
		t.Fatal(err)
	}
	if n := all(time.Now().Add(-time.Minute)); n == 0 {
		t.Error("what was known before our own push was shared")
	}
}

func TestFailuresAreNamed(t *testing.T) {
	r := newRig(t, map[string]string{"a": "1"})
	p, err := warehouse.CompileCommits(v1alpha1.GitSubscription{RepoURL: r.url, Branch: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.source.Poll(t.Context(), r.remote(), p, v1alpha1.SubscriptionStatus{}, time.Time{})
	if !errors.Is(err, git.ErrBranchNotFound) || !got.IsFailed || got.Error == "" {
		t.Errorf("%+v, %v", got, err)
	}
	wrong := r.remote()
	wrong.Password, wrong.CredentialName = secret.New("wrong-canary"), "demo/wrong"
	got, err = r.source.Poll(t.Context(), wrong, p, v1alpha1.SubscriptionStatus{}, time.Time{})
	if !errors.Is(err, git.ErrAuthentication) || !strings.Contains(got.Error, "demo/wrong") || strings.Contains(got.Error, "canary") {
		t.Errorf("%+v, %v", got, err)
	}
	// Old candidates stay while the repository does not answer.
	ok, _ := warehouse.CompileCommits(v1alpha1.GitSubscription{RepoURL: r.url})
	good, err := r.source.Poll(t.Context(), r.remote(), ok, v1alpha1.SubscriptionStatus{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	old := ok.Merge(v1alpha1.SubscriptionStatus{}, good)
	if s := ok.Merge(old, warehouse.Poll{IsFailed: true, Error: "down", At: metav1.Now()}); len(s.Commits) != 1 || s.Error != "down" {
		t.Errorf("%+v", s)
	}
}
