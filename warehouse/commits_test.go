package warehouse_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

func compileCommits(t testing.TB, sub v1alpha1.GitSubscription) *warehouse.CommitPolicy {
	t.Helper()
	if sub.RepoURL == "" {
		sub.RepoURL = "https://git.example/app"
	}
	p, err := warehouse.CompileCommits(sub)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPathsThatCount(t *testing.T) {
	for _, c := range []struct {
		why              string
		include, exclude string
		paths            string
		want             bool
	}{
		{"a folder", "apps/guestbook", "", "apps/guestbook/values.yaml", true},
		{"a folder is not a prefix of names", "apps/guest", "", "apps/guestbook/values.yaml", false},
		{"a file", "README.md", "", "README.md", true},
		{"one of several files", "apps", "", "docs/x apps/y", true},
		{"everything", ".", "", "x", true},
		{"glob within a folder", "glob:apps/*.yaml", "", "apps/sub/a.yaml", false},
		{"glob across folders", "glob:apps/**/*.yaml", "", "apps/a.yaml", true},
		{"glob across folders, deeper", "glob:apps/**/*.yaml", "", "apps/x/y/a.yaml", true},
		{"glob class and question mark", "glob:v[0-9]?.txt", "", "v12.txt", true},
		{"glob: a dot is a dot", "glob:*.md", "", "xmd", false},
		{"regex", "regex:^(apps|infra)/.*\\.yaml$", "", "infra/a.yaml", true},
		{"excluded", "apps", "glob:**/*.md", "apps/README.md", false},
		{"excluded beside one that counts", "apps", "glob:**/*.md", "apps/README.md apps/x.yaml", true},
		{"only excludes", "", "docs", "docs/x", false},
		{"only excludes, another file", "", "docs", "docs/x src/y", true},
		{"an empty commit touches nothing", "apps", "", "", false},
	} {
		p := compileCommits(t, v1alpha1.GitSubscription{IncludePaths: strings.Fields(c.include), ExcludePaths: strings.Fields(c.exclude)})
		got, err := p.Accepts(warehouse.Commit{}, strings.Fields(c.paths))
		if c.paths == "" {
			got, err = p.Accepts(warehouse.Commit{}, []string{})
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.why, got, err)
		}
	}
	if ok, err := compileCommits(t, v1alpha1.GitSubscription{IncludePaths: []string{"apps"}}).Accepts(warehouse.Commit{}, nil); !ok || err != nil {
		t.Errorf("a change too large to list may touch anything: %v, %v", ok, err)
	}
}

func TestCommitsThatCount(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC) }
	since := metav1.NewTime(at(5))
	commit := warehouse.Commit{ID: "abc", Message: "feat: more\n\nbody", Author: "Ada <ada@example.com>", Committer: "CI <ci@example.com>", Date: at(6)}
	tag := commit
	tag.Tag, tag.Tagger, tag.Annotation, tag.TagDate = "v1.2.0", "Bob <bob@example.com>", "approved", at(9)
	const onTags = v1alpha1.SelectNewestTag
	for _, c := range []struct {
		why string
		sub v1alpha1.GitSubscription
		c   warehouse.Commit
		say bool
	}{
		{"everything", v1alpha1.GitSubscription{}, commit, true},
		{"since", v1alpha1.GitSubscription{Since: &since}, commit, true},
		{"before since", v1alpha1.GitSubscription{Since: &since}, warehouse.Commit{Date: at(4)}, false},
		{"subject only", v1alpha1.GitSubscription{ExpressionFilter: "subject == 'feat: more'"}, commit, true},
		{"author", v1alpha1.GitSubscription{ExpressionFilter: "author endsWith '@example.com>' && !(committer contains 'bot')"}, commit, true},
		{"date", v1alpha1.GitSubscription{ExpressionFilter: "commitDate.Year() == 2025"}, commit, false},
		{"tag", v1alpha1.GitSubscription{CommitSelectionStrategy: onTags, ExpressionFilter: "tag startsWith 'v1' && tagger contains 'Bob' && annotation == 'approved' && creatorDate.Day() == 9"}, tag, true},
	} {
		if got, err := compileCommits(t, c.sub).Accepts(c.c, []string{}); got != c.say || err != nil {
			t.Errorf("%s: %v, %v", c.why, got, err)
		}
	}
}

func TestCompileCommitsNamesTheField(t *testing.T) {
	type sub = v1alpha1.GitSubscription
	for _, c := range []struct {
		sub sub
		say string
	}{
		{sub{RepoURL: "https://me:canary@git.example/app"}, "repoURL"},
		{sub{CommitSelectionStrategy: "Oldest"}, "commitSelectionStrategy"},
		{sub{CommitSelectionStrategy: v1alpha1.SelectNewestTag, Branch: "main"}, "leave branch out"},
		{sub{Constraint: "^1"}, "constraint"},
		{sub{CommitSelectionStrategy: v1alpha1.SelectTagSemVer, Constraint: "newest"}, `"newest" is not a version range`},
		{sub{AllowTagsRegexes: []string{"x"}}, "leave tag regexes out"},
		{sub{CommitSelectionStrategy: v1alpha1.SelectNewestTag, AllowTagsRegexes: []string{"("}}, "allowTagsRegexes"},
		{sub{IncludePaths: []string{"regex:("}}, "includePaths"},
		{sub{ExcludePaths: []string{"glob:[z-a]"}}, "excludePaths"},
		{sub{ExpressionFilter: "tag == 'x'"}, "expressionFilter"},
		{sub{ExpressionFilter: "subject"}, "expressionFilter"},
		{sub{DiscoveryLimit: 101}, "discoveryLimit"},
	} {
		if c.sub.RepoURL == "" {
			c.sub.RepoURL = "https://git.example/app"
		}
		_, err := warehouse.CompileCommits(c.sub)
		if !errors.Is(err, warehouse.ErrInvalid) || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: got %v, want it to say %q", c.sub, err, c.say)
		}
	}
}

func TestCharts(t *testing.T) {
	p, err := warehouse.CompileChart(v1alpha1.ChartSubscription{RepoURL: "oci://registry.example/charts/app", Constraint: "^1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	tags, isOCI := p.OCI()
	if got := strings.Join(tags.Order(strings.Fields("1.2.0 1.10.0_build.5 2.0.0 latest 1.11.0-rc.1")), " "); got != "1.10.0_build.5 1.2.0" || !isOCI {
		t.Errorf("got %q, OCI %v", got, isOCI)
	}
	if c := p.Charts([]v1alpha1.Image{{Tag: "1.10.0_build.5", Digest: digest(1)}}); c[0].Version != "1.10.0+build.5" {
		t.Errorf("got %+v", c)
	}
	for _, c := range []struct {
		sub v1alpha1.ChartSubscription
		say string
	}{
		{v1alpha1.ChartSubscription{RepoURL: "oci://registry.example/app", Name: "app"}, "leave it out"},
		{v1alpha1.ChartSubscription{RepoURL: "https://charts.example"}, "which chart"},
		{v1alpha1.ChartSubscription{RepoURL: "ftp://charts.example", Name: "app"}, "begins with"},
		{v1alpha1.ChartSubscription{RepoURL: "https://u:canary@charts.example", Name: "app"}, "repoURL"},
		{v1alpha1.ChartSubscription{RepoURL: "https://charts.example", Name: "app", Constraint: "new"}, "is not a version range"},
	} {
		_, err := warehouse.CompileChart(c.sub)
		if !errors.Is(err, warehouse.ErrInvalid) || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %v", c.sub, err)
		}
	}
}
