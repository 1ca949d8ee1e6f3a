package promotion_test

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestBranchOfTwoStagesIsSharedInEverySpelling: a branch that is taken for this
// Stage's own is replaced as a whole, so the other Stage's images would go.
func TestBranchOfTwoStagesIsSharedInEverySpelling(t *testing.T) {
	for _, url := range []string{
		"https://git.example/guestbook.git", "https://git.example/guestbook", "https://git.example/guestbook/",
		"https://GIT.example:443/guestbook.git",
	} {
		mine, theirs := stage("test"), stage("uat")
		mine.Spec.PromotionMechanisms.GitRepoUpdates[0].WriteBranch = "stages"
		theirs.Spec.PromotionMechanisms.GitRepoUpdates[0].WriteBranch = "stages"
		theirs.Spec.PromotionMechanisms.GitRepoUpdates[0].RepoURL = url
		all := []v1alpha1.Stage{mine.Stage, theirs.Stage}
		if !promotion.IsSharedBranch(&mine.Stage, mine.Spec.PromotionMechanisms.GitRepoUpdates[0], "main", all) {
			t.Errorf("%s: not shared", url)
		}
		theirs.Spec.PromotionMechanisms.GitRepoUpdates[0].Kustomize.Images[0].Path = "stages/test"
		all[1] = theirs.Stage
		if got := reasons(promotion.CheckStage(&mine.Stage, all, []string{"guestbook"}, nil)); got != "SharedPath" {
			t.Errorf("%s: one path on one branch: %q", url, got)
		}
		if got := promotion.StagePaths(&mine.Stage, url, "stages"); len(got) != 1 || got[0] != "stages/test" {
			t.Errorf("%s: paths that a revert may touch: %v", url, got)
		}
	}
}

func TestOverlappingPaths(t *testing.T) {
	for _, c := range []struct {
		why, mine, theirs, read string
		want                    string
	}{
		{"side by side", "stages/test", "stages/test2", "main", ""},
		{"one inside the other: copying the outer one takes the inner one along", "stages", "stages/test", "main", "SharedPath"},
		{"and the other way round", "stages/test", "stages", "main", "SharedPath"},
		{"the root is outside everything", ".", "stages/test", "main", "SharedPath"},
		{"written another way", "stages/test/", "./stages/test", "main", "SharedPath"},
		{"edited in place, nothing is copied", "stages", "stages/test", "stages", ""},
		{"the same file in place", "stages/test", "stages/test", "stages", "SharedPath"},
	} {
		mine, theirs := stage("test"), stage("uat")
		for s, p := range map[*stageBuilder]string{mine: c.mine, theirs: c.theirs} {
			u := &s.Spec.PromotionMechanisms.GitRepoUpdates[0]
			u.ReadBranch, u.WriteBranch, u.Kustomize.Images[0].Path = c.read, "stages", p
		}
		got := reasons(promotion.CheckStage(&mine.Stage, []v1alpha1.Stage{mine.Stage, theirs.Stage}, []string{"guestbook"}, nil))
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

func reasons(ps []promotion.Problem) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Reason)
	}
	return strings.Join(out, ",")
}

// TestRefusedAtTheGateIsNoFailure: whoever may promote could otherwise keep any
// Freight out of the automatic flow by asking too early.
func TestRefusedAtTheGateIsNoFailure(t *testing.T) {
	f := freight(1, "1.26.0")
	for reason, wantCreate := range map[string]bool{
		"GateClosed": true, "NumberTaken": true, "NumberTooHigh": true, "Unhealthy": false, "ImageMissing": false, "PushRejected": false,
	} {
		o := observe(stage("test").auto(), f)
		p := promo("test", 4, f, v1alpha1.PhaseFailed)
		p.Spec.Automatic, p.Status.Reason = false, reason
		o.Promotions = []v1alpha1.Promotion{*p}
		if got := promotion.Decide(o).Create != nil; got != wantCreate {
			t.Errorf("after %s: created %v, want %v", reason, got, wantCreate)
		}
	}
}

// TestPersonPassesWhatWaitsForAPerson: an automatic Promotion that would
// overwrite commits waits for a promotion by a person, which must not wait for
// it in turn.
func TestPersonPassesWhatWaitsForAPerson(t *testing.T) {
	f := freight(1, "1.26.0")
	frozen := []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAll, Reason: "release", By: "waybill:bob"})}
	overwrites := func(p *v1alpha1.Promotion) {
		p.Status.Plan = &v1alpha1.PromotionPlan{Overwrites: []v1alpha1.ForeignCommit{{Commit: "abc", Author: "bob"}}}
	}
	for _, c := range []struct {
		why     string
		first   func(*v1alpha1.Promotion)
		freezes []v1alpha1.Freeze
		bypass  []v1alpha1.Gate
		waits   bool
	}{
		{"oldest first", func(*v1alpha1.Promotion) {}, nil, nil, true},
		{"the first waits for a person, who is here now", overwrites, nil, nil, false},
		{"the first is frozen and so is this one", func(*v1alpha1.Promotion) {}, frozen, nil, true},
		{"the first is frozen and this one passes", func(*v1alpha1.Promotion) {}, frozen, []v1alpha1.Gate{v1alpha1.GateFreeze}, false},
		{"both pass: oldest first", func(p *v1alpha1.Promotion) {
			p.Spec.Automatic, p.Spec.Bypass = false, []v1alpha1.Gate{v1alpha1.GateFreeze}
		}, frozen, []v1alpha1.Gate{v1alpha1.GateFreeze}, true},
	} {
		o := observe(stage("test"), f)
		o.Freezes = c.freezes
		first, second := promo("test", 4, f, v1alpha1.PhasePending), promo("test", 5, f, v1alpha1.PhasePending)
		c.first(first)
		second.Spec.Automatic, second.Spec.Bypass = false, c.bypass
		o.Promotions = []v1alpha1.Promotion{*first, *second}
		blocked := promotion.Blocking(promotion.Gates(o, f, promotion.AskOf(second)), promotion.GroupStart)
		if got := len(blocked) > 0; got != c.waits {
			t.Errorf("%s: blocked by %+v, want waiting %v", c.why, blocked, c.waits)
		}
	}
}

// TestTwoOriginsQueue: an automatic Promotion of another origin is not
// superseded, so it has its turn by number.
func TestTwoOriginsQueue(t *testing.T) {
	a, b := freight(1, "1.26.0"), freight(1, "2.0.0")
	b.Origin.Name = "database"
	s := stage("test").auto()
	s.Spec.RequestedFreight = append(s.Spec.RequestedFreight, v1alpha1.FreightRequest{
		Origin: v1alpha1.Origin{Name: "database"}, Sources: v1alpha1.FreightSources{Direct: true},
	})
	o := observe(s, a, b)
	first, second := promo("test", 4, a, v1alpha1.PhasePending), promo("test", 5, b, v1alpha1.PhasePending)
	o.Promotions = []v1alpha1.Promotion{*first, *second}
	if len(promotion.Blocking(promotion.Gates(o, b, promotion.AskOf(second)), promotion.GroupStart)) == 0 {
		t.Error("the second of two origins does not wait for the first")
	}
	if blocked := promotion.Blocking(promotion.Gates(o, a, promotion.AskOf(first)), promotion.GroupStart); len(blocked) > 0 {
		t.Errorf("the first waits: %+v", blocked)
	}
}

// TestControlFlowIsRechecked: soak and freezes of a control-flow Stage end at
// an instant, and nothing else wakes it.
func TestControlFlowIsRechecked(t *testing.T) {
	f := verified(freight(1, "1.26.0"), "test", v1alpha1.Soak{RunningSince: at(-10 * 60e9)})
	s := stage("gate").after("test").soak(30 * 60e9)
	s.Spec.PromotionMechanisms = nil
	if got := promotion.Decide(observe(s, f)).Recheck; !got.Equal(noon.Add(20 * 60e9)) {
		t.Errorf("soak: recheck at %v", got)
	}
	s.Spec.RequestedFreight[0].Sources.RequiredSoakTime = nil
	o := observe(s, f)
	o.Freezes = []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "gate", Reason: "r", By: "b", Until: at(60e9)})}
	if got := promotion.Decide(o).Recheck; !got.Equal(noon.Add(60e9)) {
		t.Errorf("freeze: recheck at %v", got)
	}
}
