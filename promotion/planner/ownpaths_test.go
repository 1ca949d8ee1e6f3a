package planner_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestRollbackOfATemplateKeepsTheFilesOfOthers: on a branch that others commit
// to as well, going back over several promotions restores the files of the Stage
// and leaves those of others as they are.
func TestRollbackOfATemplateKeepsTheFilesOfOthers(t *testing.T) {
	for why, c := range map[string]struct {
		clear bool
		other string // what another's file holds after the rollback
	}{
		"edited in place":                 {false, "two"},
		"the whole branch is the Stage's": {true, "one"},
	} {
		t.Run(why, func(t *testing.T) {
			b := newBench(t, map[string]string{"other": "one"})
			commit := func(message string, files map[string]string) string {
				return b.server.Commit("guestbook", "main", message, files)
			}
			own := func(seq, tag string) string {
				return commit("test: "+tag+"\n\nWaybill-Promotion: guestbook/test."+seq+".f\nWaybill-Promotion-UID: u"+seq+"\nWaybill-Stage: test\n", map[string]string{"version": tag})
			}
			good := own("1", "1.26.0")
			commit("by a person", map[string]string{"other": "two"})
			own("2", "1.27.0")
			bad := own("3", "1.28.0")

			o, p, _ := b.observation()
			steps := `[{uses: git-clone, config: {repoURL: ADDRESS, checkout: [{branch: main, path: ./out}]}}, CLEAR
			 {uses: file-write, config: {path: ./out/version, contents: x}}, {uses: git-commit, config: {path: ./out, message: m}}, {uses: git-push, config: {path: ./out}}]`
			cleared := ""
			if c.clear {
				cleared = "{uses: git-clear, config: {path: ./out}},"
			}
			steps = strings.NewReplacer("ADDRESS", b.url, "CLEAR", cleared).Replace(steps)
			o.Stage.Spec.PromotionMechanisms, o.Stage.Spec.PromotionTemplate = nil, &v1alpha1.PromotionTemplate{}
			if err := yaml.Unmarshal([]byte(steps), &o.Stage.Spec.PromotionTemplate.Spec.Steps); err != nil {
				t.Fatal(err)
			}
			o.Stages = []v1alpha1.Stage{*o.Stage}
			finished := func(seq, freight, commit string) v1alpha1.Promotion {
				q := v1alpha1.Promotion{}
				q.Namespace, q.Name = "guestbook", "test."+seq+"."+freight
				q.Spec.Stage, q.Spec.Freight, q.Spec.Kind = "test", freight, v1alpha1.KindPromote
				q.Status.Phase = v1alpha1.PhaseSucceeded
				q.Status.Commit = &v1alpha1.PromotionCommit{RepoURL: b.url, Branch: "main", Commit: commit}
				q.Status.Plan = &v1alpha1.PromotionPlan{Collection: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: freight}}}
				return q
			}
			o.Promotions = []v1alpha1.Promotion{finished("1", "f1", good), finished("3", "f3", bad)}
			o.Stage.Status.Current = []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f3", Promotion: "test.3.f3", Commit: bad}}
			o.Stage.Status.Good = []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f1", Promotion: "test.1.f1", Commit: good}}
			p.Name, p.Spec = "test.4.f1", v1alpha1.PromotionSpec{Stage: "test", Kind: v1alpha1.KindRollback, To: "f1"}
			plan, err := b.planner.Plan(t.Context(), o, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			work := p.DeepCopy()
			work.Status.Plan = plan
			trees, err := b.planner.Engine.Rehearse(context.Background(), work, o.Now)
			if err != nil || len(trees) != 1 {
				t.Fatalf("%d trees: %v", len(trees), err)
			}
			files, err := trees[0].FS()
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"version": "1.26.0", "other": c.other} {
				if got, err := fs.ReadFile(files, name); err != nil || string(got) != want {
					t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
				}
			}
		})
	}
}

// TestSecretInACloneLeavesItsBranchesPinned: what is read is read at one commit,
// though the key that signs is only known when the step runs; and the plan holds
// the expression, not the key.
func TestSecretInACloneLeavesItsBranchesPinned(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1"})
	o, p, f := b.observation()
	o.Stage.Spec.PromotionMechanisms, o.Stage.Spec.PromotionTemplate = nil, &v1alpha1.PromotionTemplate{}
	steps := `[{uses: git-clone, config: {repoURL: ADDRESS, author: {signingKey: "${{ secret('signing').key }}"}, checkout: [{branch: main, path: ./src}, {branch: stage/test, create: true, path: ./out}]}},
	 {uses: copy, config: {inPath: ./src, outPath: ./out}}, {uses: git-commit, config: {path: ./out, message: m}}, {uses: git-push, config: {path: ./out}}]`
	if err := yaml.Unmarshal([]byte(strings.Replace(steps, "ADDRESS", b.url, 1)), &o.Stage.Spec.PromotionTemplate.Spec.Steps); err != nil {
		t.Fatal(err)
	}
	plan, err := b.planner.Plan(t.Context(), o, p, f)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(plan.Steps[0].Config.Raw); !strings.Contains(got, b.server.Branch("guestbook", "main")) || !strings.Contains(got, "secret('signing').key") {
		t.Errorf("the plan clones %s", got)
	}
}
