package warehouse_test

import (
	"errors"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

func compile(t testing.TB, sub v1alpha1.ImageSubscription) *warehouse.Policy {
	t.Helper()
	if sub.RepoURL == "" {
		sub.RepoURL = "registry.example/app"
	}
	p, err := warehouse.Compile(sub)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOrder(t *testing.T) {
	loose := false
	type sub = v1alpha1.ImageSubscription
	for _, c := range []struct {
		why  string
		sub  sub
		tags string
		want string
	}{
		{"versions are numbers, not text", sub{}, "1.9.0 1.10.0 1.2.0", "1.10.0 1.9.0 1.2.0"},
		{"what is no version is passed over", sub{}, "latest 1.0.0 main-abc", "1.0.0"},
		{"strict wants three numbers", sub{}, "1 1.2 1.2.3 v1.2.4", "v1.2.4 1.2.3"},
		{"loose fills in zeros", sub{StrictSemvers: &loose}, "1 1.2 1.2.3", "1.2.3 1.2 1"},
		{"pre-releases need a constraint that names one", sub{}, "1.0.0 1.1.0-rc.1", "1.0.0"},
		{"pre-releases stay out of a plain range", sub{Constraint: "^1.0.0"}, "1.0.0 1.1.0-rc.1", "1.0.0"},
		{"a range that names one takes them", sub{Constraint: ">=1.0.0-0"}, "1.0.0 1.1.0-rc.1 1.1.0-rc.2", "1.1.0-rc.2 1.1.0-rc.1 1.0.0"},
		{"a release is newer than its candidates", sub{Constraint: ">=1.0.0-0"}, "1.1.0-rc.10 1.1.0 1.1.0-rc.9", "1.1.0 1.1.0-rc.10 1.1.0-rc.9"},
		{"caret", sub{Constraint: "^1.26.0"}, "1.25.9 1.26.0 1.27.1 2.0.0", "1.27.1 1.26.0"},
		{"tilde", sub{Constraint: "~1.26.1"}, "1.26.0 1.26.5 1.27.0", "1.26.5"},
		{"alternatives", sub{Constraint: "~1.26.1 || ^3.0.0"}, "1.26.2 2.0.0 3.1.0", "3.1.0 1.26.2"},
		{"equal versions in a fixed order", sub{}, "1.2.3 v1.2.3", "v1.2.3 1.2.3"},
		{"a tag listed twice counts once", sub{}, "1.0.0 1.0.0", "1.0.0"},
		{"allow", sub{AllowTagsRegexes: []string{"^1\\.", "^3\\."}}, "1.0.0 2.0.0 3.0.0", "3.0.0 1.0.0"},
		{"ignore wins over allow", sub{AllowTagsRegexes: []string{"."}, IgnoreTagsRegexes: []string{"0$"}}, "1.0.0 1.0.1", "1.0.1"},
		{"lexical", sub{ImageSelectionStrategy: v1alpha1.SelectLexical}, "2026-01-02 2025-12-31 2026-01-10", "2026-01-10 2026-01-02 2025-12-31"},
		{"numerical: numbers, not text", sub{ImageSelectionStrategy: v1alpha1.SelectNumerical}, "9 10 010 latest 7.5 7.50 7.06", "10 010 9 7.50 7.5 7.06"},
		{"numerical: longer than any machine's number", sub{ImageSelectionStrategy: v1alpha1.SelectNumerical}, "20260301120000000000001 20260301120000000000002", "20260301120000000000002 20260301120000000000001"},
		{"extract a build number", sub{ImageSelectionStrategy: v1alpha1.SelectNumerical, Extract: "^main-[a-f0-9]+-([0-9]+)$"}, "main-beef-9 main-cafe-10 dev-cafe-11 main-abc-x", "main-cafe-10 main-beef-9"},
		{"extract a version", sub{Extract: "^app-(.+)$", Constraint: "^1.0.0"}, "app-1.2.0 app-1.10.0 1.99.0 app-2.0.0", "app-1.10.0 app-1.2.0"},
		{"extract a date", sub{ImageSelectionStrategy: v1alpha1.SelectLexical, Extract: "-([0-9-]+)$"}, "z-2026-01-02 a-2026-01-03", "a-2026-01-03 z-2026-01-02"},
		{"digest follows one tag", sub{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest"}, "1.0.0 latest", "latest"},
		{"digest, tag gone", sub{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest"}, "1.0.0", ""},
		{"what is no tag never gets through", sub{ImageSelectionStrategy: v1alpha1.SelectLexical}, "a/../b .hidden -x ok ü " + strings.Repeat("a", 129), "ok"},
		{"huge numbers are no versions", sub{}, "99999999999999999999.0.0 1.0.0", "1.0.0"},
		{"leading zeros are no strict versions", sub{}, "01.0.0 1.0.0", "1.0.0"},
	} {
		got := strings.Join(compile(t, c.sub).Order(strings.Fields(c.tags)), " ")
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
}

func TestCompileNamesTheField(t *testing.T) {
	type sub = v1alpha1.ImageSubscription
	for _, c := range []struct {
		sub sub
		say string
	}{
		{sub{RepoURL: "https://me:canary@registry.example/app"}, "repoURL"},
		{sub{Constraint: "newest"}, `constraint of image "registry.example/app": "newest" is not a version range such as ^1.26.0`},
		{sub{ImageSelectionStrategy: v1alpha1.SelectDigest}, "constraint"},
		{sub{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "a/b"}, `"a/b" is not a tag`},
		{sub{ImageSelectionStrategy: v1alpha1.SelectLexical, Constraint: "^1"}, "has no constraint"},
		{sub{ImageSelectionStrategy: "Random"}, "imageSelectionStrategy"},
		{sub{Extract: "^v"}, `extract of image "registry.example/app": "^v" has 0 groups`},
		{sub{Extract: "(a)(b)"}, "has 2 groups"},
		{sub{Extract: "(a)", ImageSelectionStrategy: v1alpha1.SelectNewestBuild}, "does not order tags by their text"},
		{sub{MutableTags: "["}, "mutableTags"},
		{sub{MutableTags: "latest", ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest"}, "leave it out"},
		{sub{AllowTagsRegexes: []string{"("}}, "allowTagsRegexes"},
		{sub{IgnoreTagsRegexes: []string{strings.Repeat("a", 513)}}, "ignoreTagsRegexes"},
		{sub{Platform: "linux"}, "platform"},
		{sub{DiscoveryLimit: 101}, "discoveryLimit"},
	} {
		if c.sub.RepoURL == "" {
			c.sub.RepoURL = "registry.example/app"
		}
		_, err := warehouse.Compile(c.sub)
		if !errors.Is(err, warehouse.ErrInvalid) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%+v: got %v, want it to say %q", c.sub, err, c.say)
		}
	}
}

func TestNoMatchSaysWhichRules(t *testing.T) {
	p := compile(t, v1alpha1.ImageSubscription{Constraint: "^2.0.0", AllowTagsRegexes: []string{"x"}, Platform: "linux/arm64"})
	want := `none of 7 tags in "registry.example/app" is a version in "^2.0.0" and passes the tag regexes and has platform linux/arm64`
	if got := p.NoMatch(7); got != want {
		t.Errorf("got %q", got)
	}
}

// Whatever the registry's order, and whatever is added that does not qualify, the
// answer is the same; and ordering what is ordered changes nothing.
func TestOrderIsTotal(t *testing.T) {
	policies := map[string]*warehouse.Policy{
		"semver":  compile(t, v1alpha1.ImageSubscription{}),
		"range":   compile(t, v1alpha1.ImageSubscription{Constraint: ">=1.0.0-0 <3.0.0"}),
		"lexical": compile(t, v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectLexical}),
		"numbers": compile(t, v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNumerical, Extract: "([0-9.]+)"}),
	}
	tag := rapid.OneOf(
		rapid.StringMatching(`v?[0-3]\.[0-3]\.[0-3](-(rc|beta)\.[0-2])?`),
		rapid.StringMatching(`[a-z0-9._-]{0,6}`),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.SliceOf(tag).Draw(t, "tags")
		seed := rapid.Int64().Draw(t, "seed")
		for name, p := range policies {
			first := p.Order(tags)
			shuffled := slices.Clone(tags)
			rand.New(rand.NewSource(seed)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if d := cmp.Diff(first, p.Order(shuffled)); d != "" {
				t.Fatalf("%s: the registry's order matters: %s", name, d)
			}
			if d := cmp.Diff(first, p.Order(first)); d != "" {
				t.Fatalf("%s: not idempotent: %s", name, d)
			}
			for _, got := range first {
				if !slices.Contains(tags, got) {
					t.Fatalf("%s: %q was invented", name, got)
				}
			}
		}
	})
}

func FuzzOrder(f *testing.F) {
	for _, s := range [][2]string{{"^1.26.0", "1.26.0 1.27.0"}, {">=1.0.0-0", "v1.0.0-rc.1"}, {"1.x || >=2 <3", "2.0.0"}, {"(((", "x"}, {"~>1", strings.Repeat("9", 200)}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, constraint, tags string) {
		began := time.Now()
		list := strings.Fields(tags)
		for _, strategy := range []v1alpha1.ImageSelectionStrategy{v1alpha1.SelectSemVer, v1alpha1.SelectLexical, v1alpha1.SelectDigest, v1alpha1.SelectNewestBuild} {
			for _, strict := range []bool{true, false} {
				p, err := warehouse.Compile(v1alpha1.ImageSubscription{
					RepoURL: "r.example/a", ImageSelectionStrategy: strategy, Constraint: constraint, StrictSemvers: &strict,
				})
				if err != nil {
					if !errors.Is(err, warehouse.ErrInvalid) {
						t.Fatal(err)
					}
					continue
				}
				got := p.Order(list)
				if again := p.Order(got); !slices.Equal(got, again) {
					t.Fatalf("order is not stable: %q, then %q", got, again)
				}
			}
		}
		if d := time.Since(began); d > time.Minute && len(constraint)+len(tags) < 1000 {
			t.Fatalf("took %v", d)
		}
	})
}

func TestPlatforms(t *testing.T) {
	for _, c := range []struct {
		want, have string
		matches    bool
	}{
		{"linux/amd64", "linux/amd64", true},
		{"linux/amd64", "linux/arm64", false},
		{"linux/arm64", "linux/arm64/v8", true},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm/v6", "linux/arm/v7", false},
		{"linux/arm/v7", "linux/arm", true},
		{"linux/amd64/v3", "linux/amd64", false},
		{"windows/amd64", "linux/amd64", false},
	} {
		w, err := warehouse.ParsePlatform(c.want)
		if err != nil {
			t.Fatal(err)
		}
		h, err := warehouse.ParsePlatform(c.have)
		if err != nil {
			t.Fatal(err)
		}
		if w.Matches(h) != c.matches {
			t.Errorf("%s wanted, %s there: got %v", c.want, c.have, !c.matches)
		}
	}
	for _, s := range []string{"", "linux", "linux/", "a/b/c/d", "Linux/amd64", "unknown/ "} {
		if p, err := warehouse.ParsePlatform(s); err == nil {
			t.Errorf("%q gave %v", s, p)
		}
	}
}
