package promotion_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

const appRepo, infraRepo = "https://git.example/app.git", "https://git.example/infra.git"

func on(repo, commit, parent string) v1alpha1.PromotionCommit {
	return v1alpha1.PromotionCommit{RepoURL: repo, Branch: "stage/prod", Commit: commit, Parent: parent}
}

func TestRecordCommit(t *testing.T) {
	unchanged := on(appRepo, "a1", "")
	unchanged.Unchanged = true
	for _, c := range []struct {
		name, why string
		pushed    []v1alpha1.PromotionCommit
		want      v1alpha1.PromotionStatus
	}{
		{"one", "the simple case says it once", []v1alpha1.PromotionCommit{on(appRepo, "a1", "a0")}, status(on(appRepo, "a1", "a0"))},
		{
			"two", "the last is what the Stage runs", []v1alpha1.PromotionCommit{on(infraRepo, "i1", "i0"), on(appRepo, "a1", "a0")},
			status(on(infraRepo, "i1", "i0"), on(appRepo, "a1", "a0")),
		},
		{
			"twice on one branch", "both are taken back together", []v1alpha1.PromotionCommit{on(appRepo, "a1", "a0"), on(appRepo, "a2", "a1")},
			status(on(appRepo, "a2", "a0")),
		},
		{
			"found as it was left", "a replayed push says nothing new", []v1alpha1.PromotionCommit{on(appRepo, "a1", "a0"), on(infraRepo, "i1", "i0"), unchanged},
			status(on(infraRepo, "i1", "i0"), on(appRepo, "a1", "a0")),
		},
		{
			"spelled differently", "one repository is listed once", []v1alpha1.PromotionCommit{on(appRepo, "a1", "a0"), on("https://git.example/app", "a2", "a1")},
			status(on(appRepo, "a2", "a0")),
		},
	} {
		var got v1alpha1.PromotionStatus
		for _, p := range c.pushed {
			if !promotion.RecordCommit(&got, p) {
				t.Errorf("%s: no room", c.name)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s:\n%s", c.name, c.why, d)
		}
	}
}

func status(all ...v1alpha1.PromotionCommit) v1alpha1.PromotionStatus {
	s := v1alpha1.PromotionStatus{Commit: &all[len(all)-1]}
	if len(all) > 1 {
		s.Commits = all
	}
	return s
}

func TestCommitFor(t *testing.T) {
	written := []v1alpha1.PromotionCommit{on(infraRepo, "i1", ""), {RepoURL: appRepo, Branch: "other", Commit: "a0"}, on(appRepo, "a1", "")}
	for source, want := range map[v1alpha1.ApplicationSource]string{
		{RepoURL: infraRepo, TargetRevision: "stage/prod"}:                  "i1",
		{RepoURL: "https://git.example/infra", TargetRevision: "somewhere"}: "i1",
		{RepoURL: appRepo, TargetRevision: "other"}:                         "a0",
		{RepoURL: appRepo}:                        "a1",
		{RepoURL: "https://charts.example/x.git"}: "a1",
	} {
		if got := promotion.CommitFor(written, source); got.Commit != want {
			t.Errorf("%s at %q: %s, want %s", source.RepoURL, source.TargetRevision, got.Commit, want)
		}
	}
}

// TestRollbackOfSeveral: all branches go back, or none does and the one that
// cannot is named.
func TestRollbackOfSeveral(t *testing.T) {
	old, bad := freight(1, "1.26.0"), freight(2, "1.27.0")
	now := []v1alpha1.BranchCommit{{RepoURL: infraRepo, Branch: "stage/prod", Commit: "i2"}, {RepoURL: appRepo, Branch: "stage/prod", Commit: "a2"}}
	good := v1alpha1.StageFreight{Origin: "guestbook", Freight: old.Name, Commit: "a1", Written: []v1alpha1.BranchCommit{
		{RepoURL: infraRepo, Branch: "stage/prod", Commit: "i1"}, {RepoURL: appRepo, Branch: "stage/prod", Commit: "a1"},
	}}
	unchanged := on(infraRepo, "i2", "")
	unchanged.Unchanged = true
	for _, c := range []struct {
		name, why string
		written   []v1alpha1.PromotionCommit
		to        string
		good      v1alpha1.StageFreight
		want      map[string]string // commit that is undone: what is restored
		lacks     string
	}{
		{"to the parents", "a hotfix before it stays in both", []v1alpha1.PromotionCommit{on(infraRepo, "i2", "ip"), on(appRepo, "a2", "ap")}, "", good, map[string]string{"i2": "ip", "a2": "ap"}, ""},
		{"one did not change", "nothing is taken back there", []v1alpha1.PromotionCommit{unchanged, on(appRepo, "a2", "ap")}, "", good, map[string]string{"a2": "ap"}, ""},
		{"to a named version", "every branch goes back to it", []v1alpha1.PromotionCommit{on(infraRepo, "i2", "ip"), on(appRepo, "a2", "ap")}, old.Name, good, map[string]string{"i2": "i1", "a2": "a1"}, ""},
		{"half written", "the Stage's record knows the other branch", []v1alpha1.PromotionCommit{on(appRepo, "a2", "ap")}, old.Name, good, map[string]string{"i2": "i1", "a2": "a1"}, ""},
		{"without the Promotion object", "the Stage's record is enough", nil, "", good, map[string]string{"i2": "i1", "a2": "a1"}, ""},
		{"a branch that is new", "no version has it: nothing goes back", []v1alpha1.PromotionCommit{on(infraRepo, "i2", ""), on(appRepo, "a2", "ap")}, "",
			v1alpha1.StageFreight{Origin: "guestbook", Freight: old.Name, Commit: "a1"}, nil, infraRepo},
	} {
		s := stage("prod").running(bad, "prod.2.x")
		s.Status.Current[0].Written, s.Status.Good = now, []v1alpha1.StageFreight{c.good}
		var p *v1alpha1.Promotion
		if c.written != nil {
			p = pushed(2, bad, old, v1alpha1.PhaseSucceeded)
			p.Name, p.Status.Commits, p.Status.Commit = "prod.2.x", c.written, &c.written[len(c.written)-1]
		}
		got, err := promotion.FindRollbackTarget(observe(s, old, bad), p, c.to)
		if c.lacks != "" {
			if !errors.Is(err, promotion.ErrNothingToRestore) || !strings.Contains(err.Error(), c.lacks) {
				t.Errorf("%s: %s: %+v, %v", c.name, c.why, got, err)
			}
			continue
		}
		back := map[string]string{}
		for _, r := range got.Reverts {
			back[r.Undo.Commit] = r.To
		}
		if d := cmp.Diff(c.want, back); err != nil || d != "" {
			t.Errorf("%s: %s: %v\n%s", c.name, c.why, err, d)
		}
	}
}

// TestSeveralUpdates: every commit is made before the first is pushed, the first
// entry is pushed last, and one branch is not written twice.
func TestSeveralUpdates(t *testing.T) {
	s := templated(t, `
requestedFreight: []
promotionMechanisms:
  gitRepoUpdates:
  - {repoURL: https://git.example/app.git, writeBranch: stage/test}
  - {repoURL: https://git.example/infra.git, writeBranch: stage/test, pullRequest: {}}
  - {repoURL: https://git.example/more.git, writeBranch: stage/test}
`)
	bases := []v1alpha1.PlanBase{{Branch: "main", Commit: "a"}, {Branch: "main", Commit: "i"}, {Branch: "main", Commit: "m"}}
	steps, err := promotion.Compile(s, nil, promotion.Sources{Base: bases, Shared: make([]bool, 3)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, st := range steps {
		got = append(got, st.As)
	}
	if d := cmp.Diff([]string{
		"git-clone-1", "git-clear-2", "copy-3", "git-commit-4",
		"git-clone-101", "git-clear-102", "copy-103", "git-commit-104",
		"git-clone-201", "git-clear-202", "copy-203", "git-commit-204",
		"git-push-105", "git-open-pr-106", "git-wait-for-pr-107", "git-push-205", "git-push-5",
	}, got); d != "" {
		t.Error(d)
	}
	if problems := promotion.CheckUpdates(s); len(problems) > 0 {
		t.Errorf("%+v", problems)
	}
	s.Spec.PromotionMechanisms.GitRepoUpdates[2].RepoURL = "https://GIT.example/infra"
	if problems := promotion.CheckUpdates(s); len(problems) != 1 || !strings.Contains(problems[0].Message, "gitRepoUpdates[2]") {
		t.Errorf("one branch twice: %+v", problems)
	}
}

// TestTextsOfUpdates: what the short form says of its commit and pull request goes
// to the steps as it is written, and what cannot be read is refused when the Stage
// is applied.
func TestTextsOfUpdates(t *testing.T) {
	const message = "${{ ctx.stage }}: ${{ imageFrom('r.example/app').Tag }}"
	s := templated(t, `
requestedFreight: []
promotionMechanisms:
  gitRepoUpdates:
  - repoURL: https://git.example/app.git
    writeBranch: stage/test
    commitMessage: "`+message+`"
    pullRequest: {title: "${{ ctx.promotion }}", description: "see ${{ ctx.project }}"}
`)
	steps, err := promotion.Compile(s, nil, promotion.Sources{Base: []v1alpha1.PlanBase{{Branch: "main", Commit: "a"}}, Shared: make([]bool, 1)})
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, st := range steps {
		all += string(st.Config.Raw) + "\n"
	}
	for _, want := range []string{`"message":"` + message + `"`, `"title":"${{ ctx.promotion }}"`, `"description":"see ${{ ctx.project }}"`} {
		if !strings.Contains(all, want) {
			t.Errorf("no step has %s:\n%s", want, all)
		}
	}
	if problems := promotion.CheckUpdates(s); len(problems) > 0 {
		t.Errorf("%+v", problems)
	}
	u := &s.Spec.PromotionMechanisms.GitRepoUpdates[0]
	for bad, field := range map[string]*string{"${{ ctx.colour }}": &u.CommitMessage, "${{ imageFrom( }}": &u.PullRequest.Title, "${{ outputs.push.branch }}": &u.PullRequest.Description} {
		was := *field
		*field = bad
		if problems := promotion.CheckStage(s, nil, nil, nil); len(problems) != 1 || problems[0].Reason != promotion.ReasonInvalidExpression {
			t.Errorf("%s: %+v", bad, problems)
		}
		*field = was
	}
}
