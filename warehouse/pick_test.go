package warehouse_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

func TestPick(t *testing.T) {
	w := &v1alpha1.Warehouse{}
	w.Name = "main"
	w.Status.Subscriptions = []v1alpha1.SubscriptionStatus{
		{RepoURL: "registry.example/app", Candidates: []v1alpha1.Image{{RepoURL: "registry.example/app", Tag: "1.2.0", Digest: "sha256:2"}, {RepoURL: "registry.example/app", Tag: "1.1.0", Digest: "sha256:1"}}},
		{RepoURL: "https://git.example/app", Commits: []v1alpha1.Commit{{RepoURL: "https://git.example/app", ID: "bbbbbbbbbb"}, {RepoURL: "https://git.example/app", ID: "aaaaaaaaaa", Tag: "v1"}}},
		{RepoURL: "https://charts.example", Chart: "one", Charts: []v1alpha1.Chart{{RepoURL: "https://charts.example", Name: "one", Version: "2.0.0"}, {RepoURL: "https://charts.example", Name: "one", Version: "1.0.0"}}},
		{RepoURL: "https://charts.example", Chart: "two", Charts: []v1alpha1.Chart{{RepoURL: "https://charts.example", Name: "two", Version: "5.0.0"}}},
	}
	for _, c := range []struct {
		why     string
		choices []warehouse.Choice
		want    string // image commit chart chart, or a part of the error
	}{
		{"nothing chosen is the newest of each", nil, "1.2.0 bbbbbbbbbb 2.0.0 5.0.0"},
		{"by tag, by the start of a commit and by version", []warehouse.Choice{{RepoURL: "Registry.example/app", Version: "1.1.0"}, {RepoURL: "https://git.example/app.git", Version: "aaaaaaa"}, {RepoURL: "https://charts.example", Chart: "one", Version: "1.0.0"}}, "1.1.0 aaaaaaaaaa 1.0.0 5.0.0"},
		{"by digest and by a commit's tag", []warehouse.Choice{{RepoURL: "registry.example/app", Version: "sha256:1"}, {RepoURL: "https://git.example/app", Version: "v1"}}, "1.1.0 aaaaaaaaaa 2.0.0 5.0.0"},
		{"what was never found", []warehouse.Choice{{RepoURL: "registry.example/app", Version: "9.9.9"}}, `"9.9.9" of "registry.example/app" is not among the 2`},
		{"a digest that was never found", []warehouse.Choice{{RepoURL: "registry.example/app", Version: "sha256:9"}}, "is not among"},
		{"too little of a commit", []warehouse.Choice{{RepoURL: "https://git.example/app", Version: "aaa"}}, "is not among"},
		{"an empty version", []warehouse.Choice{{RepoURL: "registry.example/app"}}, "is not among"},
		{"a repository nobody watches", []warehouse.Choice{{RepoURL: "registry.example/evil", Version: "1"}}, `no subscription of Warehouse "main" watches "registry.example/evil"`},
		{"a repository of two charts", []warehouse.Choice{{RepoURL: "https://charts.example", Version: "2.0.0"}}, "name the chart"},
		{"one subscription twice", []warehouse.Choice{{RepoURL: "registry.example/app", Version: "1.1.0"}, {RepoURL: "registry.example/app", Version: "1.2.0"}}, "1.2.0 bbbbbbbbbb 2.0.0 5.0.0"},
	} {
		got, err := warehouse.Pick(w, c.choices)
		if err != nil {
			if !errors.Is(err, warehouse.ErrNotCandidate) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.why, err)
			}
			continue
		}
		if text := strings.Join([]string{got.Images[0].Tag, got.Commits[0].ID, got.Charts[0].Version, got.Charts[1].Version}, " "); text != c.want {
			t.Errorf("%s: %s", c.why, text)
		}
	}
	w.Status.Subscriptions[0].Candidates = nil
	if _, err := warehouse.Pick(w, nil); !errors.Is(err, warehouse.ErrNotCandidate) {
		t.Errorf("a subscription without candidates: %v", err)
	}
}
