package warehouse_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

// FuzzConstraint: whatever is written as a constraint either is refused with one
// line, or orders versions without a panic and the same way twice.
func FuzzConstraint(f *testing.F) {
	for _, c := range []string{"^1.26.0", "~1.2 || >=3.0.0-0 <4", "1.x", "=>1", ">= 1.2.3, != 1.2.4", "*", "1 - 2", "", "^", "99999999999999999999"} {
		f.Add(c, "1.2.3 v1.2.4 1.2.5-rc.1+b 0.0.0")
	}
	f.Fuzz(func(t *testing.T, constraint, tags string) {
		p, err := warehouse.Compile(v1alpha1.ImageSubscription{RepoURL: "r.example/app", Constraint: constraint})
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(constraint, "\n") {
				t.Errorf("%q: %q", constraint, err)
			}
			return
		}
		once := p.Order(strings.Fields(tags))
		if !slices.Equal(once, p.Order(once)) {
			t.Errorf("%q: %q, ordered again %q", constraint, once, p.Order(once))
		}
	})
}

// FuzzTags: whatever a registry lists, every strategy gives back tags that were
// listed, each once, fit for a URL, and whatever their order was.
func FuzzTags(f *testing.F) {
	f.Add("1.0.0 v2.0.0-rc.1 latest 20260301 7.50 main-abc-12", "-([0-9]+)$")
	f.Add("a/../b .hidden x\u00e9 01.0.0 1.0.0+b", "(.*)")
	f.Fuzz(func(t *testing.T, tags, extract string) {
		listed := strings.Fields(tags)
		reversed := slices.Clone(listed)
		slices.Reverse(reversed)
		for _, strategy := range []v1alpha1.ImageSelectionStrategy{v1alpha1.SelectSemVer, v1alpha1.SelectLexical, v1alpha1.SelectNumerical} {
			p, err := warehouse.Compile(v1alpha1.ImageSubscription{RepoURL: "r.example/app", ImageSelectionStrategy: strategy, Extract: extract})
			if err != nil {
				continue
			}
			got := p.Order(listed)
			if !slices.Equal(got, p.Order(reversed)) {
				t.Errorf("%s: the registry's order matters: %q and %q", strategy, got, p.Order(reversed))
			}
			seen := map[string]bool{}
			for _, tag := range got {
				if seen[tag] || !slices.Contains(listed, tag) || strings.ContainsAny(tag, "/ \n%?#") {
					t.Errorf("%s: %q in %q", strategy, tag, got)
				}
				seen[tag] = true
			}
		}
	})
}

// FuzzPaths: whatever is written as a path is refused or answers.
func FuzzPaths(f *testing.F) {
	f.Add("glob:apps/**/*.{yaml,yml}", "apps/a/b.yaml")
	f.Add("regex:^(a|b)", "b")
	f.Add("glob:[z-a]", "x")
	f.Fuzz(func(t *testing.T, rule, path string) {
		p, err := warehouse.CompileCommits(v1alpha1.GitSubscription{RepoURL: "https://git.example/app", IncludePaths: []string{rule}})
		if err != nil {
			return
		}
		if _, err := p.Accepts(warehouse.Commit{}, []string{path}); err != nil {
			t.Error(err)
		}
	})
}
