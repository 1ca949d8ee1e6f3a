package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// TestCommitOfTheFreightIsTheBase: a promotion builds on the commit that its
// Freight holds of the repository, not on what the branch holds by now.
func TestCommitOfTheFreightIsTheBase(t *testing.T) {
	b := newBench(t, map[string]string{"config.yaml": "replicas: 1\n"})
	chosen := b.server.Commit("guestbook", "main", "two", map[string]string{"config.yaml": "replicas: 2\n"})
	b.server.Commit("guestbook", "main", "three", map[string]string{"config.yaml": "replicas: 3\n"})
	plan := func(c v1alpha1.Commit) (*v1alpha1.PromotionPlan, error) {
		o, p, f := b.observation()
		f.Commits = []v1alpha1.Commit{c}
		return b.planner.Plan(t.Context(), o, p, f)
	}
	for why, c := range map[string]v1alpha1.Commit{
		"on its branch":            {RepoURL: b.url, ID: chosen, Branch: "main"},
		"by a tag":                 {RepoURL: strings.TrimSuffix(b.url, ".git") + "/", ID: chosen, Tag: "v2"},
		"on a branch that is gone": {RepoURL: b.url, ID: chosen, Branch: "feature"},
	} {
		got, err := plan(c)
		if err != nil {
			t.Errorf("%s: %v", why, err)
			continue
		}
		if got.Bases[0].Commit != chosen || got.Bases[0].Branch != "main" {
			t.Errorf("%s: base %+v, want %s", why, got.Bases[0], chosen)
		}
		if !strings.Contains(string(got.Steps[0].Config.Raw), chosen) {
			t.Errorf("%s: the steps do not check out the base: %s", why, got.Steps[0].Config.Raw)
		}
	}
	// A commit that a rewritten branch has lost is still the base while the server
	// gives it out; one that nobody has is said.
	_, err := plan(v1alpha1.Commit{RepoURL: b.url, ID: strings.Repeat("5", 40), Branch: "main"})
	var reasoned *step.TerminalError
	if !errors.As(err, &reasoned) || reasoned.Reason != "CommitMissing" {
		t.Errorf("a commit that is nowhere: %v", err)
	}
	other, err := plan(v1alpha1.Commit{RepoURL: "https://git.example/other", ID: chosen})
	if err != nil || other.Bases[0].Commit != b.server.Branch("guestbook", "main") {
		t.Errorf("a commit of another repository: %v, %v", other, err)
	}
}

// TestFreightWithoutImages: a Stage without images to set gets what the commit
// holds.
func TestFreightWithoutImages(t *testing.T) {
	b := newBench(t, map[string]string{"config.yaml": "replicas: 1\n"})
	first := b.server.Branch("guestbook", "main")
	b.server.Commit("guestbook", "main", "two", map[string]string{"config.yaml": "replicas: 2\n"})
	o, p, f := b.observation()
	o.Stage.Spec.PromotionMechanisms.GitRepoUpdates[0].Kustomize = v1alpha1.KustomizeUpdate{}
	f.Images, f.Commits = nil, []v1alpha1.Commit{{RepoURL: b.url, ID: first, Branch: "main"}}
	plan, err := b.planner.Plan(t.Context(), o, p, f)
	if err != nil {
		t.Fatal(err)
	}
	var message string
	for _, s := range plan.Steps {
		if s.Uses == "git-commit" {
			message = string(s.Config.Raw)
		}
	}
	if !strings.Contains(message, "test: guestbook "+first[:7]) {
		t.Errorf("the subject does not name the commit: %s", message)
	}
}
