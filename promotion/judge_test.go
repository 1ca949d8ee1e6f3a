package promotion_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// pushed is a Promotion of f that replaced a healthy old version.
func pushed(seq int64, f, old *v1alpha1.Freight, phase v1alpha1.PromotionPhase) *v1alpha1.Promotion {
	p := promo("prod", seq, f, phase)
	p.Status.PushedAt = micro(-time.Minute)
	p.Status.Commit = &v1alpha1.PromotionCommit{RepoURL: "https://git.example/guestbook.git", Branch: "stage/prod", Commit: "bad", Parent: "good"}
	p.Status.Plan = &v1alpha1.PromotionPlan{Before: &v1alpha1.StageBefore{Healthy: true}}
	if old != nil {
		p.Status.Plan.Before.Current = []v1alpha1.StageFreight{{Origin: "guestbook", Freight: old.Name, Images: old.Images, Commit: "good"}}
	}
	if phase == v1alpha1.PhaseSucceeded {
		p.Status.FinishedAt = micro(-time.Minute)
	}
	return p
}

func TestJudgeHealth(t *testing.T) {
	old, bad := freight(1, "1.26.0"), freight(2, "1.27.0")
	degraded := promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "Deployment guestbook: CrashLoopBackOff"}}
	healthy := promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthHealthy}}
	since := func(p *v1alpha1.Promotion, d time.Duration) *v1alpha1.Promotion {
		p.Status.UnhealthySince = micro(d)
		return p
	}
	for _, c := range []struct {
		name, why string
		stage     *stageBuilder
		p         *v1alpha1.Promotion
		others    []v1alpha1.Promotion
		reach     promotion.Reach
		want      promotion.HealthVerdict
	}{
		{
			name: "healthy", why: "what it wrote runs",
			stage: stage("prod"), p: pushed(2, bad, old, v1alpha1.PhaseSyncing), reach: healthy,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseSucceeded, Reason: promotion.ReasonHealthy, Message: "synced and Healthy"},
		},
		{
			name: "not reached", why: "the health is that of the version before",
			stage: stage("prod"), p: pushed(2, bad, old, v1alpha1.PhaseSyncing), reach: promotion.Reach{Message: "Application \"prod\" is syncing", Health: healthy.Health},
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseSyncing, Reason: "WaitingForHealth", Message: `Application "prod" is syncing`, Recheck: noon.Add(4 * time.Minute)},
		},
		{
			name: "a hook failed", why: "nothing comes after it, so nothing is waited for",
			stage: stage("prod"), p: pushed(2, bad, old, v1alpha1.PhaseSyncing), reach: promotion.Reach{Message: "not reached", Failed: `the sync of Application "prod" failed: PreSync hook Job n/migrate failed`},
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonHookFailed, Message: `the sync of Application "prod" failed: PreSync hook Job n/migrate failed; rollback.onUnhealthy is None; to take it back: waybill rollback guestbook/prod`},
		},
		{
			name: "a hook failed, and policy reverts", why: "as what is not well",
			stage: stage("prod").reverts(time.Hour), p: pushed(2, bad, old, v1alpha1.PhaseSyncing), reach: promotion.Reach{Failed: "a hook failed"},
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonHookFailed, Message: "a hook failed; the branch is reverted by policy", Revert: true, Cause: "a hook failed"},
		},
		{
			name: "Degraded shows at once, the revert waits", why: "after is 5s",
			stage: stage("prod").reverts(5 * time.Second), p: pushed(2, bad, old, v1alpha1.PhaseSyncing), reach: degraded,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseSyncing, Reason: "WaitingForHealth", Message: "Degraded: Deployment guestbook: CrashLoopBackOff", UnhealthySince: noon, Recheck: noon.Add(5 * time.Second)},
		},
		{
			name: "Degraded long enough", why: "the branch is reverted",
			stage: stage("prod").reverts(5 * time.Second), p: since(pushed(2, bad, old, v1alpha1.PhaseSyncing), -5*time.Second), reach: degraded,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonUnhealthy, Message: "Deployment guestbook: CrashLoopBackOff; the branch is reverted by policy", UnhealthySince: noon.Add(-5 * time.Second), Revert: true, Cause: "Deployment guestbook: CrashLoopBackOff"},
		},
		{
			name: "it recovered in between", why: "unbroken means unbroken",
			stage: stage("prod").reverts(5 * time.Second), p: since(pushed(2, bad, old, v1alpha1.PhaseSyncing), -4*time.Second),
			reach: promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthProgressing}},
			want:  promotion.HealthVerdict{Phase: v1alpha1.PhaseSyncing, Reason: "WaitingForHealth", Message: "Progressing", Recheck: noon.Add(4 * time.Minute)},
		},
		{
			name: "regression after success", why: "watchFor is ten minutes",
			stage: stage("prod").reverts(5 * time.Second), p: since(pushed(2, bad, old, v1alpha1.PhaseSucceeded), -6*time.Second), reach: degraded,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonUnhealthy, Message: "Deployment guestbook: CrashLoopBackOff; the branch is reverted by policy", UnhealthySince: noon.Add(-6 * time.Second), Revert: true, Cause: "Deployment guestbook: CrashLoopBackOff"},
		},
		{
			name: "a sick Stage before", why: "the promotion may not be the cause, so a person is called",
			stage: stage("prod").reverts(5 * time.Second),
			p: func() *v1alpha1.Promotion {
				p := since(pushed(2, bad, old, v1alpha1.PhaseSyncing), -time.Minute)
				p.Status.Plan.Before.Healthy = false
				return p
			}(), reach: degraded,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonUnhealthy, UnhealthySince: noon.Add(-time.Minute), Message: "Deployment guestbook: CrashLoopBackOff; the Stage was not Healthy before it either, so a person is needed; to take it back: waybill rollback guestbook/prod"},
		},
		{
			name: "the first promotion ever", why: "there is nothing to go back to",
			stage: stage("prod").reverts(5 * time.Second), p: since(pushed(1, bad, nil, v1alpha1.PhaseSyncing), -time.Minute), reach: degraded,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonUnhealthy, UnhealthySince: noon.Add(-time.Minute), Message: "Deployment guestbook: CrashLoopBackOff; it was the first promotion into this Stage, so there is nothing to go back to"},
		},
		{
			name: "once per Freight", why: "a second revert of the same Freight calls a person",
			stage: stage("prod").reverts(5 * time.Second), p: since(pushed(4, bad, old, v1alpha1.PhaseSyncing), -time.Minute), reach: degraded,
			others: func() []v1alpha1.Promotion {
				r := promo("prod", 3, bad, v1alpha1.PhaseSucceeded)
				r.Spec.Kind = v1alpha1.KindRollback
				return []v1alpha1.Promotion{*r}
			}(),
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonUnhealthy, UnhealthySince: noon.Add(-time.Minute), Message: `Deployment guestbook: CrashLoopBackOff; this Freight was already reverted here by "prod.3.f1270"; to take it back: waybill rollback guestbook/prod`},
		},
		{
			name: "a revert that is unhealthy", why: "it stops there",
			stage: stage("prod").reverts(5 * time.Second),
			p: func() *v1alpha1.Promotion {
				p := since(pushed(3, bad, old, v1alpha1.PhaseSyncing), -time.Minute)
				p.Spec.Kind = v1alpha1.KindRollback
				return p
			}(), reach: degraded,
			want: promotion.HealthVerdict{Phase: v1alpha1.PhaseFailed, Reason: promotion.ReasonUnhealthy, UnhealthySince: noon.Add(-time.Minute), Message: "Deployment guestbook: CrashLoopBackOff; this was already a rollback, so a person is needed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := observe(c.stage, old, bad)
			o.Promotions = append(c.others, *c.p)
			if d := cmp.Diff(c.want, promotion.JudgeHealth(o, c.p, c.reach)); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, d)
			}
		})
	}
}

func TestFindRollbackTarget(t *testing.T) {
	old, bad := freight(1, "1.26.0"), freight(2, "1.27.0")
	s := stage("prod").running(bad, "prod.2.x")
	s.Status.Good = []v1alpha1.StageFreight{
		{Origin: "guestbook", Freight: bad.Name, Commit: "c-prod.2.x"},
		{Origin: "guestbook", Freight: "f1250", Commit: "older"},
	}
	o := observe(s, old, bad)
	p := pushed(2, bad, old, v1alpha1.PhaseSucceeded)
	for _, c := range []struct {
		name, why, to, commit string
		p                     *v1alpha1.Promotion
	}{
		{"the version before", "its first parent, so a hotfix before it stays", "", "good", p},
		{"a named version", "from the list of good ones", "f1250", "older", p},
		{"without the Promotion object", "the Stage's own record is enough", "", "older", nil},
	} {
		got, err := promotion.FindRollbackTarget(o, c.p, c.to)
		if err != nil || len(got.Reverts) != 1 || got.Reverts[0].To != c.commit {
			t.Errorf("%s: %s: got %+v, %v; want %q", c.name, c.why, got.Reverts, err, c.commit)
		}
	}
	if _, err := promotion.FindRollbackTarget(o, p, "f-9"); !errors.Is(err, promotion.ErrNothingToRestore) {
		t.Errorf("an unknown version: %v", err)
	}
	if _, err := promotion.FindRollbackTarget(observe(stage("prod")), nil, ""); !errors.Is(err, promotion.ErrNothingToRestore) {
		t.Errorf("a Stage that never ran: %v", err)
	}
}

func TestRevertPaths(t *testing.T) {
	for _, c := range []struct {
		why                                     string
		undo, after, within, restore, conflicts []string
	}{
		{"all of it when nobody came after", []string{"b", "a"}, nil, nil, []string{"a", "b"}, nil},
		{"a commit after it on another path stays", []string{"a"}, []string{"c"}, nil, []string{"a"}, nil},
		{"the same path is a conflict", []string{"a", "b"}, []string{"b"}, nil, []string{"a"}, []string{"b"}},
		{"on a shared branch only this Stage's folders", []string{"stages/prod/k.yaml", "stages/prod2/k.yaml"}, nil, []string{"stages/prod"}, []string{"stages/prod/k.yaml"}, nil},
		{"a foreign change in another folder is no conflict", []string{"x/a", "stages/prod/k"}, []string{"x/a"}, []string{"stages/prod"}, []string{"stages/prod/k"}, nil},
	} {
		restore, conflicts := promotion.RevertPaths(c.undo, c.after, c.within)
		if d := cmp.Diff([][]string{c.restore, c.conflicts}, [][]string{restore, conflicts}); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, d)
		}
	}
}

func TestCycle(t *testing.T) {
	stages := []v1alpha1.Stage{stage("a").after("c").Stage, stage("b").after("a").Stage, stage("c").after("b").Stage, stage("d").after("a").Stage}
	if d := cmp.Diff([]string{"a", "c", "b", "a"}, promotion.Cycle("a", stages)); d != "" {
		t.Error(d)
	}
	if c := promotion.Cycle("d", stages); c != nil {
		t.Errorf("d is not on a cycle, only behind one: %v", c)
	}
	problems := promotion.CheckStage(&stages[0], stages, nil, nil)
	if len(problems) < 2 || problems[0].Reason != "StageCycle" || problems[1].Reason != "UnknownWarehouse" {
		t.Errorf("problems: %+v", problems)
	}
}
