package warehouse_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

const repo = "registry.example/app"

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func image(repo, tag string, n int) v1alpha1.Image {
	return v1alpha1.Image{RepoURL: repo, Tag: tag, Digest: digest(n)}
}

func TestFreightNameIsTheDigestOfContent(t *testing.T) {
	origin := v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}
	a, b := image(repo, "1.0.0", 1), image("registry.example/web", "2.0.0", 2)
	name := func(o v1alpha1.Origin, images ...v1alpha1.Image) string {
		t.Helper()
		n, err := warehouse.FreightName(o, v1alpha1.Artifacts{Images: images})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	base := name(origin, a, b)
	// Computed from the canonical JSON by other means. It is stored in clusters:
	// a change of it makes all Freight anew.
	if golden := "ff1d896d203df7f36740a5821b29c5efd540574c"; base != golden {
		t.Errorf("got %q, want %q", base, golden)
	}
	for why, same := range map[string]string{
		"order of images":        name(origin, b, a),
		"spelling of the host":   name(origin, image("Registry.Example/app", "1.0.0", 1), b),
		"kind left to default":   name(v1alpha1.Origin{Name: "guestbook"}, a, b),
		"trailing slash and git": name(origin, image(repo+".git/", "1.0.0", 1), b),
	} {
		if same != base {
			t.Errorf("%s matters", why)
		}
	}
	for why, other := range map[string]string{
		"digest":     name(origin, image(repo, "1.0.0", 3), b),
		"tag":        name(origin, image(repo, "1.0.1", 1), b),
		"repository": name(origin, image(repo+"2", "1.0.0", 1), b),
		"origin":     name(v1alpha1.Origin{Name: "other"}, a, b),
		"one less":   name(origin, a),
		"swapped":    name(origin, image(repo, "2.0.0", 2), image("registry.example/web", "1.0.0", 1)),
	} {
		if other == base {
			t.Errorf("%s does not matter", why)
		}
	}
	if _, err := warehouse.FreightName(origin, v1alpha1.Artifacts{}); err == nil {
		t.Error("nothing has a name")
	}
}

func TestBuildFreight(t *testing.T) {
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Name: "guestbook", Namespace: "demo"}}
	first, err := warehouse.BuildFreight(w, v1alpha1.Artifacts{Images: []v1alpha1.Image{image(repo, "1.0.0", 1)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.Freight{
		ObjectMeta: metav1.ObjectMeta{Name: first.Name, Namespace: "demo", Labels: map[string]string{
			v1alpha1.LabelWarehouse: "guestbook", v1alpha1.LabelAlias: first.Alias,
		}},
		Alias: first.Alias, Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Order: 1,
		Images: []v1alpha1.Image{image(repo, "1.0.0", 1)},
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Error(d)
	}
	if again, err := warehouse.BuildFreight(w, first.Artifacts(), []v1alpha1.Freight{*first}); again != nil || err != nil {
		t.Errorf("the same versions again: %v, %v", again, err)
	}

	foreign := v1alpha1.Freight{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Origin: v1alpha1.Origin{Name: "other"}, Order: 40}
	second, err := warehouse.BuildFreight(w, v1alpha1.Artifacts{Images: []v1alpha1.Image{image(repo, "1.0.1", 2)}}, []v1alpha1.Freight{*first, foreign})
	if err != nil || second.Order != 2 {
		t.Errorf("order counts within the Warehouse: %v, %v", second, err)
	}
	w.Status.LastOrder = 7
	third, err := warehouse.BuildFreight(w, v1alpha1.Artifacts{Images: []v1alpha1.Image{image(repo, "1.0.2", 3)}}, []v1alpha1.Freight{*first})
	if err != nil || third.Order != 8 {
		t.Errorf("an order is never given twice, even after Freight was deleted: %v, %v", third, err)
	}

	_, err = warehouse.BuildFreight(w, v1alpha1.Artifacts{Images: []v1alpha1.Image{image(repo, "1.0.0", 1), image("Registry.example/app", "1.0.0", 1)}}, nil)
	if !errors.Is(err, warehouse.ErrInvalid) {
		t.Errorf("two images of one repository: %v", err)
	}
	w.Name = strings.Repeat("a", 200)
	long, err := warehouse.BuildFreight(w, v1alpha1.Artifacts{Images: []v1alpha1.Image{image(repo, "1.0.0", 1)}}, nil)
	if err != nil || len(long.Labels[v1alpha1.LabelWarehouse]) > 63 {
		t.Errorf("long names must fit into a label: %v, %v", long, err)
	}
}

func TestAlias(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+-[a-z]+(-[0-9]+)?$`)
	taken := map[string]bool{}
	isTaken := func(a string) bool { return taken[a] }
	for i := range 3000 {
		name := fmt.Sprintf("f%039x", i)
		a := warehouse.Alias(name, isTaken)
		if taken[a] || !form.MatchString(a) || len(a) > 63 {
			t.Fatalf("%d: %q", i, a)
		}
		if a != warehouse.Alias(name, isTaken) {
			t.Fatal("not deterministic")
		}
		taken[a] = true
	}
	tries := 0
	if a := warehouse.Alias("f", func(string) bool { tries++; return tries < 70 }); !strings.HasSuffix(a, "-7") {
		t.Errorf("when words run out, numbers follow: %q", a)
	}
}

func TestSelect(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 1, 1, h, 0, 0, 0, time.UTC) }
	amd, arm := warehouse.Platform{OS: "linux", Architecture: "amd64"}, warehouse.Platform{OS: "linux", Architecture: "arm64"}
	resolved := []warehouse.Resolved{
		{Tag: "3", Digest: digest(3), Created: at(1), Platforms: []warehouse.Platform{arm}},
		{Tag: "2", Digest: digest(2), Created: at(9), Platforms: []warehouse.Platform{amd, arm}},
		{Tag: "1b", Digest: digest(4), Created: at(5)},
		{Tag: "1a", Digest: digest(1), Created: at(5), Platforms: []warehouse.Platform{amd}},
		{Tag: "0", Digest: digest(5)},
	}
	for _, c := range []struct {
		why  string
		sub  v1alpha1.ImageSubscription
		want string
	}{
		{"the order given stays", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical}, "3 2 1b 1a 0"},
		{"newest build first, equal times by tag, unknown last", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild}, "2 1b 1a 3 0"},
		{"platform", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical, Platform: "linux/amd64"}, "2 1a"},
		{"limit", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical, DiscoveryLimit: 2}, "3 2"},
		{"limit counts what fits", v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical, DiscoveryLimit: 1, Platform: "linux/amd64"}, "2"},
	} {
		before := slices.Clone(resolved)
		var got []string
		p := compile(t, c.sub)
		sorted := p.Sort(resolved)
		for _, i := range p.Images(sorted[:min(len(sorted), p.Limit())]) {
			if i.RepoURL != repo || i.Digest == "" {
				t.Errorf("%s: %+v", c.why, i)
			}
			got = append(got, i.Tag)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
		if d := cmp.Diff(before, resolved); d != "" {
			t.Errorf("%s: the argument was changed: %s", c.why, d)
		}
	}
}

func TestOneFailingSubscriptionHidesNothing(t *testing.T) {
	good, bad := compile(t, v1alpha1.ImageSubscription{RepoURL: "r.example/good"}), compile(t, v1alpha1.ImageSubscription{RepoURL: "r.example/bad"})
	then, now := metav1.Unix(1000, 0), metav1.Unix(2000, 0)
	old := []v1alpha1.SubscriptionStatus{
		good.Merge(v1alpha1.SubscriptionStatus{}, warehouse.Poll{At: then, Requests: 3, Tags: 1, Candidates: []v1alpha1.Image{image("r.example/good", "1.0.0", 1)}}),
		bad.Merge(v1alpha1.SubscriptionStatus{}, warehouse.Poll{At: then, Requests: 3, Tags: 1, Candidates: []v1alpha1.Image{image("r.example/bad", "5.0.0", 5)}}),
	}
	status := []v1alpha1.SubscriptionStatus{
		good.Merge(old[0], warehouse.Poll{At: now, Requests: 1, Tags: 2, Candidates: []v1alpha1.Image{image("r.example/good", "1.1.0", 2), image("r.example/good", "1.0.0", 1)}}),
		bad.Merge(old[1], warehouse.Poll{At: now, Requests: 2, IsFailed: true, Reason: "AccessDenied", Error: "denied"}),
	}
	all := &v1alpha1.Warehouse{Status: v1alpha1.WarehouseStatus{Subscriptions: status}}
	made, err := warehouse.Assemble(all, nil, nil)
	want := warehouse.Assembly{Sets: []v1alpha1.Artifacts{{Images: []v1alpha1.Image{image("r.example/good", "1.1.0", 2), image("r.example/bad", "5.0.0", 5)}}}}
	if d := cmp.Diff(want, made); d != "" || err != nil {
		t.Error(d, err)
	}
	if s := status[1]; s.Error != "denied" || s.Reason != "AccessDenied" || !s.LastSuccess.Equal(&then) || !s.LastPoll.Equal(&now) || s.Tags != 1 || s.Requests != 2 {
		t.Errorf("failed: %+v", s)
	}
	if s := status[0]; s.Error != "" || s.Reason != "" || !s.LastSuccess.Equal(&now) || s.Tags != 2 {
		t.Errorf("succeeded: %+v", s)
	}
	if cleared := bad.Merge(status[1], warehouse.Poll{At: now, Candidates: []v1alpha1.Image{image("r.example/bad", "5.0.0", 5)}}); cleared.Error != "" || cleared.Reason != "" {
		t.Errorf("the error stayed: %+v", cleared)
	}

	none := bad.Merge(old[1], warehouse.Poll{At: now, Tags: 3, Reason: warehouse.ReasonNoMatchingTag, Error: "none matches"})
	if len(none.Candidates) != 0 || none.Error != "none matches" || !none.LastSuccess.Equal(&now) {
		t.Errorf("an answer without a match is an answer: %+v", none)
	}

	// Old candidates serve only while the spec still accepts them.
	narrower := compile(t, v1alpha1.ImageSubscription{RepoURL: "r.example/bad", Constraint: "<5.0.0"})
	if s := narrower.Merge(old[1], warehouse.Poll{At: now, IsFailed: true, Error: "down"}); len(s.Candidates) != 0 {
		t.Errorf("kept what the new constraint refuses: %+v", s)
	}
	other := compile(t, v1alpha1.ImageSubscription{RepoURL: "r.example/other"})
	if s := other.Merge(old[1], warehouse.Poll{At: now, IsFailed: true, Error: "down"}); len(s.Candidates) != 0 || s.LastSuccess != nil {
		t.Errorf("kept the candidates of another repository: %+v", s)
	}
	all.Status.Subscriptions[1] = v1alpha1.SubscriptionStatus{RepoURL: "r.example/none"}
	if made, err := warehouse.Assemble(all, nil, nil); len(made.Sets) != 0 || !slices.Equal(made.Missing, []string{"r.example/none"}) || err != nil {
		t.Errorf("got %+v, %v", made, err)
	}
}
