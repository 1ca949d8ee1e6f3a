package promotion_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func window(name string, kind v1alpha1.WindowKind, schedule string, open time.Duration, edit ...func(*v1alpha1.PromotionWindow)) v1alpha1.PromotionWindow {
	w := v1alpha1.PromotionWindow{Name: name, Kind: kind, Schedule: schedule, Duration: metav1.Duration{Duration: open}, Scope: v1alpha1.FreezeAll}
	for _, e := range edit {
		e(&w)
	}
	return w
}

// TestWindows: noon is a Friday.
func TestWindows(t *testing.T) {
	office := window("office", v1alpha1.WindowAllow, "0 9 * * 1-5", 8*time.Hour)
	night := window("night", v1alpha1.WindowAllow, "0 22 * * *", 4*time.Hour)
	lunch := window("lunch", v1alpha1.WindowDeny, "30 11 * * *", time.Hour, func(w *v1alpha1.PromotionWindow) { w.Reason = "nobody is there" })
	evening := window("evening", v1alpha1.WindowDeny, "0 16 * * *", time.Hour)
	forOthers := func(w *v1alpha1.PromotionWindow) { w.Stages = []string{"test-*"} }
	automatic := func(w *v1alpha1.PromotionWindow) { w.Scope = v1alpha1.FreezeAutomatic }
	edited := func(w v1alpha1.PromotionWindow, edit func(*v1alpha1.PromotionWindow)) v1alpha1.PromotionWindow {
		edit(&w)
		return w
	}
	const open = "no freeze is in force, and no window stops it"
	for _, c := range []struct {
		why             string
		windows         []v1alpha1.PromotionWindow
		freezes         []v1alpha1.Freeze
		manual          bool
		reason          string
		opens, closesAt *metav1.Time
	}{
		{why: "no window is always", reason: open},
		{why: "inside an Allow window", windows: []v1alpha1.PromotionWindow{office}, reason: open, closesAt: at(5 * time.Hour)},
		{why: "outside every Allow window", windows: []v1alpha1.PromotionWindow{night},
			reason: `promotions start only in the window "night", which opens 2026-11-20 22:00:00Z`, opens: at(10 * time.Hour)},
		{why: "one of two Allow windows is enough", windows: []v1alpha1.PromotionWindow{night, office}, reason: open, closesAt: at(5 * time.Hour)},
		{why: "a Deny window wins", windows: []v1alpha1.PromotionWindow{office, lunch},
			reason: `window "lunch" denies promotions until 2026-11-20 12:30:00Z: nobody is there`, opens: at(30 * time.Minute)},
		{why: "a Deny window that comes later closes", windows: []v1alpha1.PromotionWindow{office, evening}, reason: open, closesAt: at(4 * time.Hour)},
		{why: "windows of other Stages do not count", windows: []v1alpha1.PromotionWindow{edited(lunch, forOthers), edited(night, forOthers)}, reason: open},
		{why: "one for automatic promotions stops those", windows: []v1alpha1.PromotionWindow{edited(lunch, automatic)},
			reason: `window "lunch" denies promotions until 2026-11-20 12:30:00Z: nobody is there`, opens: at(30 * time.Minute)},
		{why: "and no person's", windows: []v1alpha1.PromotionWindow{edited(lunch, automatic)}, manual: true, reason: open},
		{why: "a Freeze that lasts longer is named", windows: []v1alpha1.PromotionWindow{lunch},
			freezes: []v1alpha1.Freeze{freeze("z", v1alpha1.FreezeSpec{Stage: "prod", By: "bob", Reason: "audit", Until: at(2 * time.Hour)})},
			reason:  "frozen by bob until 2026-11-20 14:00:00Z: audit", opens: at(2 * time.Hour)},
		{why: "of two Freezes the one without end", freezes: []v1alpha1.Freeze{
			freeze("a", v1alpha1.FreezeSpec{Stage: "prod", By: "bob", Reason: "audit", Until: at(2 * time.Hour)}),
			freeze("b", v1alpha1.FreezeSpec{Stage: "*", By: "ann", Reason: "incident"}),
		}, reason: "frozen by ann: incident"},
		{why: "one that cannot be read stops what it is for", windows: []v1alpha1.PromotionWindow{window("typo", v1alpha1.WindowAllow, "0 25 * * *", time.Hour)},
			reason: `window "typo" cannot be read: cron expression "0 25 * * *": end of range (25) above maximum (23): "25"`},
	} {
		t.Run(c.why, func(t *testing.T) {
			f := freight(1, "1.27.0")
			o := observe(stage("prod"), f)
			o.Windows, o.Freezes = promotion.Windows(c.windows, noon), c.freezes
			v := verdictOf(t, promotion.Gates(o, f, promotion.Ask{Kind: v1alpha1.KindPromote, Automatic: !c.manual}), v1alpha1.GateFreeze)
			want := v1alpha1.GateVerdict{Gate: v1alpha1.GateFreeze, Group: promotion.GroupStart, Open: c.reason == open, Reason: c.reason, OpensAt: c.opens, ClosesAt: c.closesAt, OpensBy: v.OpensBy}
			if d := cmp.Diff(want, v); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if (v.OpensBy == "") != v.Open {
				t.Errorf("open %v, and opens by %q", v.Open, v.OpensBy)
			}
		})
	}
}

// TestClockOpensAndCloses walks through a day from one named instant to the
// next: whoever looks again then, and only then, never shows what is not true.
func TestClockOpensAndCloses(t *testing.T) {
	s := stage("prod").after("uat").soak(time.Hour).auto()
	s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 1, ExpireAfter: &metav1.Duration{Duration: 3 * time.Hour}}
	f := verified(freight(1, "1.27.0"), "uat", v1alpha1.Soak{RunningSince: at(-30 * time.Minute)})
	specs := []v1alpha1.PromotionWindow{
		window("office", v1alpha1.WindowAllow, "0 9 * * 1-5", 8*time.Hour),
		window("lunch", v1alpha1.WindowDeny, "0 13 * * *", time.Hour),
	}
	p := promo("prod", 1, f, v1alpha1.PhasePending)
	p.Spec.RequestedBy, p.CreationTimestamp, p.Status.Plan = "waybill:rita", *at(-2 * time.Hour), &v1alpha1.PromotionPlan{Hash: thisPlan}
	approval := decided("ann")
	look := func(now time.Time) (closed []v1alpha1.Gate, next time.Time) {
		o := observe(s, f)
		o.Now, o.Windows, o.Promotions, o.Approvals = now, promotion.Windows(specs, now), []v1alpha1.Promotion{*p}, []v1alpha1.Approval{approval}
		vs := promotion.Gates(o, f, promotion.AskOf(p))
		for _, v := range promotion.Blocking(vs, "") {
			closed = append(closed, v.Gate)
		}
		return closed, promotion.EarliestChange(vs)
	}
	type seen struct {
		At     string
		Closed []v1alpha1.Gate
	}
	var got []seen
	for now := noon; now.Before(noon.Add(24 * time.Hour)); {
		closed, next := look(now)
		got = append(got, seen{now.Format("15:04"), closed})
		if next.IsZero() {
			break
		}
		if before, _ := look(next.Add(-time.Nanosecond)); !cmp.Equal(before, closed) {
			t.Errorf("between %s and %s it changed from %v to %v", now, next, closed, before)
		}
		now = next
	}
	want := []seen{
		{"12:00", []v1alpha1.Gate{v1alpha1.GateSoak}},
		{"12:30", nil}, // the soak ends
		{"13:00", []v1alpha1.Gate{v1alpha1.GateFreeze}},                        // lunch
		{"14:00", []v1alpha1.Gate{v1alpha1.GateApproval}},                      // lunch ends, and with it the approval
		{"17:00", []v1alpha1.Gate{v1alpha1.GateFreeze, v1alpha1.GateApproval}}, // the office closes
	}
	if d := cmp.Diff(want, got[:min(len(got), len(want))]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
