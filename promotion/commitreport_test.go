package promotion_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// reported is a Promotion of a Freight with one commit.
func reported(seq int64, phase v1alpha1.PromotionPhase) *v1alpha1.Promotion {
	f := freight(seq, "1.27.0")
	p := promo("prod", seq, f, phase)
	p.Status.StartedAt = micro(-time.Minute)
	if phase.IsFinished() {
		p.Status.FinishedAt = micro(-time.Second)
	}
	p.Status.Plan = &v1alpha1.PromotionPlan{Collection: []v1alpha1.StageFreight{
		{Origin: "other", Freight: "carried", Commits: []v1alpha1.Commit{{RepoURL: infraRepo, ID: "i1"}}},
		{Origin: "guestbook", Freight: f.Name, Commits: []v1alpha1.Commit{{RepoURL: appRepo, ID: "c1"}}},
	}}
	return p
}

func TestCommitReports(t *testing.T) {
	both := []v1alpha1.CommitStatusTarget{v1alpha1.CommitsOfFreight, v1alpha1.CommitsWritten}
	for _, c := range []struct {
		name, why string
		of        []v1alpha1.CommitStatusTarget
		edit      func(p *v1alpha1.Promotion)
		phase     v1alpha1.PromotionPhase
		others    []v1alpha1.Promotion
		want      []string
	}{
		{"pending", "what has not begun says nothing", both, func(p *v1alpha1.Promotion) { p.Status.StartedAt = nil }, v1alpha1.PhasePending, nil, nil},
		{"refused", "nothing was done", both, func(p *v1alpha1.Promotion) { p.Status.StartedAt = nil }, v1alpha1.PhaseFailed, nil, nil},
		{"running", "the commit of the Freight alone", both[:1], nil, v1alpha1.PhaseRunning, nil, []string{"c1 pending is promoted into prod"}},
		{"syncing", "and what was written", both, func(p *v1alpha1.Promotion) {
			promotion.RecordCommit(&p.Status, on(infraRepo, "w1", "w0"))
			promotion.RecordCommit(&p.Status, on(appRepo, "w2", "w0"))
		}, v1alpha1.PhaseSyncing, nil, []string{"c1 pending is promoted into prod", "w1 pending is promoted into prod", "w2 pending is promoted into prod"}},
		{"unchanged", "an older promotion's commit is not ours", both[1:], func(p *v1alpha1.Promotion) {
			p.Status.Commit = &v1alpha1.PromotionCommit{RepoURL: appRepo, Commit: "w0", Unchanged: true}
		}, v1alpha1.PhaseSucceeded, nil, nil},
		{"succeeded", "", both[:1], nil, v1alpha1.PhaseSucceeded, nil, []string{"c1 success promoted into prod"}},
		{"failed", "with why, and no line breaks", both[:1], func(p *v1alpha1.Promotion) { p.Status.Message = "Deployment app:\nCrashLoopBackOff" }, v1alpha1.PhaseFailed, nil, []string{"c1 failure prod: Deployment app: CrashLoopBackOff"}},
		{"rolled back", "", both[:1], func(p *v1alpha1.Promotion) { p.Status.Message = "taken back" }, v1alpha1.PhaseRolledBack, nil, []string{"c1 failure prod: taken back"}},
		{"promoted again", "the newer promotion of the commit speaks", both[:1], nil, v1alpha1.PhaseFailed, []v1alpha1.Promotion{*reported(9, v1alpha1.PhaseRunning)}, nil},
		{"long ago", "after a restart nothing old is said again", both[:1], func(p *v1alpha1.Promotion) { p.Status.FinishedAt = micro(-2 * time.Hour) }, v1alpha1.PhaseSucceeded, nil, nil},
		{"not asked for", "off by default", nil, nil, v1alpha1.PhaseSucceeded, nil, nil},
	} {
		s, p := stage("prod"), reported(2, c.phase)
		if c.of != nil {
			s.Spec.CommitStatus = &v1alpha1.CommitStatusPolicy{Of: c.of}
		}
		if c.edit != nil {
			c.edit(p)
		}
		var got []string
		for _, r := range promotion.CommitReports(&s.Stage, p, c.others, noon) {
			got = append(got, strings.Join([]string{r.Commit, string(r.State), r.Description}, " "))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s\n%s", c.name, c.why, d)
		}
	}
}
