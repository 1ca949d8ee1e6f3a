package steps_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
)

// both are the repositories of a Stage that writes two.
var both = []string{"guestbook", "infra"}

const kustomization = "resources: [app.yaml]\nimages: [{name: registry.example.com/guestbook, newTag: 1.26.0}]\n"

// newBoth is a world with two repositories, and a Stage that writes the branch
// stage/test of each.
func newBoth(t *testing.T) (*bench, *v1alpha1.Stage) {
	t.Helper()
	b := newBench(t, map[string]string{"app/kustomization.yaml": kustomization})
	b.server.CreateRepo("infra", map[string]string{"app/kustomization.yaml": kustomization, "other.yaml": "x: 1\n"})
	s := stageWith(nil)
	s.Spec.PromotionTemplate, s.Spec.PromotionMechanisms = nil, &v1alpha1.PromotionMechanisms{}
	for _, repo := range both {
		s.Spec.PromotionMechanisms.GitRepoUpdates = append(s.Spec.PromotionMechanisms.GitRepoUpdates, v1alpha1.GitRepoUpdate{
			RepoURL: "https://git.example.com/" + repo + ".git", WriteBranch: "stage/test",
			Kustomize: v1alpha1.KustomizeUpdate{Images: []v1alpha1.KustomizeImage{{Image: "registry.example.com/guestbook", Path: "app"}}},
		})
	}
	return b, s
}

// promoteBoth returns a Promotion with the plan that such a Stage gets while
// its branches are where they are now.
func (b *bench) promoteBoth(s *v1alpha1.Stage, uid string) *v1alpha1.Promotion {
	b.t.Helper()
	p := promote(b.t, stageWith(nil))
	p.UID = types.UID(uid)
	var src promotion.Sources
	for _, repo := range both {
		head := b.server.Branch(repo, "stage/test")
		src.Base = append(src.Base, v1alpha1.PlanBase{RepoURL: b.server.URL(repo), Branch: "main", Commit: b.server.Branch(repo, "main")})
		src.Shared, src.Heads = append(src.Shared, false), append(src.Heads, &head)
	}
	steps, err := promotion.Compile(s, p.Status.Plan.Collection, src)
	if err != nil {
		b.t.Fatal(err)
	}
	return withSteps(p, steps)
}

func withSteps(p *v1alpha1.Promotion, steps []v1alpha1.PlanStep) *v1alpha1.Promotion {
	p.Status.Plan.Steps, p.Status.Steps = steps, nil
	for _, s := range steps {
		p.Status.Steps = append(p.Status.Steps, v1alpha1.StepStatus{As: s.As, Uses: s.Uses, State: v1alpha1.StepPending})
	}
	return p
}

// own counts the commits of a Promotion on the branch of a repository.
func (b *bench) own(repo, uid string) int {
	b.t.Helper()
	if b.server.Branch(repo, "stage/test") == "" {
		return 0
	}
	return strings.Count(b.server.Git(repo, "log", "--format=%B", "stage/test"), promotion.TrailerPromotionUID+": "+uid+"\n")
}

// TestSeveralRepositoriesSurviveCrashes stops a promotion that writes two
// repositories at every boundary. What follows comes to one commit on each, and
// the status names both.
func TestSeveralRepositoriesSurviveCrashes(t *testing.T) {
	t.Parallel()
	b, s := newBoth(t)
	stops := 0
	for _, point := range engine.Failpoints() {
		for n := 1; ; n++ {
			uid := fmt.Sprintf("uid-%s-%d", point, n)
			p := b.promoteBoth(s, uid)
			stop, err := failpoint.Parse(fmt.Sprintf("%s=error@%d", point, n), engine.Failpoints())
			if err != nil {
				t.Fatal(err)
			}
			durable := p.DeepCopy()
			b.engine.Failpoints = stop
			out := b.engine.Run(t.Context(), p, func(context.Context) error {
				durable = p.DeepCopy()
				return nil
			})
			b.engine.Failpoints = nil
			wasStopped := out.StopErr != nil
			if wasStopped {
				stops++
				p = reread(t, durable)
				out = b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
			}
			if !out.Done || len(p.Status.Commits) != 2 {
				t.Fatalf("%s: %+v, commits %+v; %s", uid, out, p.Status.Commits, states(p))
			}
			for i, repo := range []string{"infra", "guestbook"} { // the first entry is pushed last
				head := b.server.Branch(repo, "stage/test")
				if c := p.Status.Commits[i]; c.Commit != head || c.RepoURL != "https://git.example.com/"+repo+".git" {
					t.Errorf("%s: commit %d is %+v, %s is at %s", uid, i, c, repo, head)
				}
				if got := b.own(repo, uid); got != 1 {
					t.Errorf("%s: %d commits in %s", uid, got, repo)
				}
				b.server.Git(repo, "update-ref", "-d", "refs/heads/stage/test")
			}
			if *p.Status.Commit != p.Status.Commits[1] {
				t.Errorf("%s: commit %+v", uid, p.Status.Commit)
			}
			if !wasStopped {
				break // there is no n-th boundary of this kind
			}
		}
	}
	if stops < 4 {
		t.Errorf("it was stopped %d times", stops)
	}
}

// TestSeveralRepositoriesGoBackTogether: a rollback restores every repository;
// while it cannot restore one, it touches none; and what an earlier try has
// restored stays as it is.
func TestSeveralRepositoriesGoBackTogether(t *testing.T) {
	t.Parallel()
	b, s := newBoth(t)
	for _, repo := range both {
		b.server.SetBranch(repo, "stage/test", b.server.Branch(repo, "main"))
	}
	s.Spec.PromotionMechanisms.GitRepoUpdates[1].CommitMessage = "${{ ctx.stage }} brings ${{ imageFrom('registry.example.com/guestbook').Tag }}\n\nas asked"
	bad := b.promoteBoth(s, "uid-bad")
	if out := b.run(bad); !out.Done {
		t.Fatalf("%+v: %s", out, states(bad))
	}
	bad.Status.Plan.Before = &v1alpha1.StageBefore{Healthy: true, Current: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f0"}}}
	target, err := promotion.FindRollbackTarget(&promotion.Observation{Stage: s}, bad, "")
	if err != nil || len(target.Reverts) != 2 {
		t.Fatalf("target %+v, %v", target, err)
	}
	steps, err := promotion.CompileRollback(s, target)
	if err != nil {
		t.Fatal(err)
	}
	rollback := func(uid string) *v1alpha1.Promotion {
		p := withSteps(promote(t, stageWith(nil)), steps)
		p.UID = types.UID(uid)
		return p
	}

	if message := b.server.Git("infra", "log", "-1", "--format=%B", "stage/test"); !strings.HasPrefix(message, "test brings 1.27.0\n\nas asked\n\n"+promotion.TrailerPromotion+": guestbook/test.1.f1\n") {
		t.Errorf("the message in infra is %q", message)
	}

	// Somebody edits in one repository what the rollback would restore.
	was := b.server.Branch("guestbook", "stage/test")
	pushed := b.server.Branch("infra", "stage/test")
	b.server.Commit("infra", "stage/test", "by hand", map[string]string{"app/kustomization.yaml": "resources: []\n"})
	p := rollback("uid-conflict")
	if out := b.run(p); out.Failed == nil || out.Failed.Reason != "RevertConflict" || !strings.Contains(out.Failed.Error(), "app/kustomization.yaml") {
		t.Fatalf("outcome %+v: %s", out, states(p))
	}
	if b.server.Branch("guestbook", "stage/test") != was || p.Status.Commit != nil || promotion.HasTouchedGit(p) {
		t.Errorf("a conflict in infra has touched guestbook: %+v", p.Status.Commit)
	}
	b.server.SetBranch("infra", "stage/test", pushed)

	// An earlier try has restored one of them.
	b.server.Commit("infra", "stage/test", "restored before", map[string]string{"app/kustomization.yaml": kustomization})
	p = rollback("uid-again")
	if out := b.run(p); !out.Done || len(p.Status.Commits) != 2 {
		t.Fatalf("outcome %+v: %s", out, states(p))
	}
	for _, repo := range both {
		if diff := b.server.Git(repo, "diff", "--stat", "main", "stage/test"); diff != "" {
			t.Errorf("%s is not restored:\n%s", repo, diff)
		}
	}
	if b.own("infra", "uid-again") != 0 || b.own("guestbook", "uid-again") != 1 {
		t.Errorf("%d commits in infra, %d in guestbook", b.own("infra", "uid-again"), b.own("guestbook", "uid-again"))
	}
}
