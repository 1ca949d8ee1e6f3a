package promotion_test

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// history is a random pipeline with a random past.
type history struct {
	stages  []*stageBuilder
	freight []*v1alpha1.Freight
	freezes []v1alpha1.Freeze
	windows []promotion.Window
}

func drawHistory(t *rapid.T) *history {
	h := &history{}
	n := rapid.IntRange(2, 6).Draw(t, "stages")
	for i := range n {
		s := stage(fmt.Sprintf("s%d", i))
		if rapid.IntRange(0, 4).Draw(t, "auto") > 0 {
			s.auto()
		}
		if i > 0 && rapid.IntRange(0, 5).Draw(t, "direct") > 0 {
			var ups []string
			for j := range i {
				if rapid.Bool().Draw(t, fmt.Sprintf("s%d after s%d", i, j)) {
					ups = append(ups, h.stages[j].Name)
				}
			}
			if len(ups) == 0 {
				ups = []string{h.stages[0].Name}
			}
			s.after(ups...).soak(time.Duration(rapid.IntRange(0, 3).Draw(t, "soak")) * time.Hour)
			if rapid.Bool().Draw(t, "all") {
				s.all()
			}
			if len(ups) == 1 && rapid.IntRange(0, 3).Draw(t, "match upstream") == 0 {
				s.Spec.AutoPromotion.SelectionPolicy = v1alpha1.SelectUpstream
			}
		}
		s.Spec.AutoPromotion.FinishSoak = rapid.IntRange(0, 3).Draw(t, "finishSoak") == 0
		if rapid.IntRange(0, 2).Draw(t, "approval") == 0 {
			s.Spec.Approval = &v1alpha1.ApprovalPolicy{
				Required: int32(rapid.IntRange(1, 2).Draw(t, "required")), AllowSelfApproval: rapid.Bool().Draw(t, "self"),
				ExpireAfter: &metav1.Duration{Duration: time.Duration(rapid.IntRange(1, 4).Draw(t, "expires")) * time.Hour},
			}
			if rapid.Bool().Draw(t, "groups") {
				s.Spec.Approval.Groups = []string{"release-managers"}
			}
		}
		h.stages = append(h.stages, s)
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "freight") {
		f := freight(int64(i+1), fmt.Sprintf("1.%d.0", i))
		for _, s := range h.stages {
			if !rapid.Bool().Draw(t, "verified") {
				continue
			}
			soak := v1alpha1.Soak{Longest: metav1.Duration{Duration: time.Duration(rapid.IntRange(0, 200).Draw(t, "longest")) * time.Minute}}
			if rapid.Bool().Draw(t, "soaking") {
				soak.RunningSince = at(-time.Duration(rapid.IntRange(0, 240).Draw(t, "minutes")) * time.Minute)
			}
			verified(f, s.Name, soak)
		}
		h.freight = append(h.freight, f)
	}
	for _, s := range h.stages {
		if rapid.Bool().Draw(t, "runs something") {
			f := rapid.SampledFrom(h.freight).Draw(t, "what")
			s.running(f, promotion.Name(s.Name, 1, f.Name)).Status.Current[0].Order = f.Order
		}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "freezes") {
		z := freeze(fmt.Sprintf("z%d", i), v1alpha1.FreezeSpec{
			Stage: rapid.SampledFrom([]string{"*", "s0", "s1", "s2"}).Draw(t, "frozen"), By: "ann", Reason: "r",
			Scope: rapid.SampledFrom([]v1alpha1.FreezeScope{v1alpha1.FreezeAll, v1alpha1.FreezeAutomatic}).Draw(t, "scope"),
		})
		if rapid.Bool().Draw(t, "of freight") {
			z.Spec.Freight = []string{rapid.SampledFrom(h.freight).Draw(t, "rejected").Name}
		}
		if rapid.Bool().Draw(t, "ends") {
			z.Spec.Until = at(time.Duration(rapid.IntRange(-60, 180).Draw(t, "until")) * time.Minute)
		}
		h.freezes = append(h.freezes, z)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "windows") {
		h.windows = append(h.windows, promotion.Window{
			Name: fmt.Sprintf("w%d", i), Kind: rapid.SampledFrom([]v1alpha1.WindowKind{v1alpha1.WindowAllow, v1alpha1.WindowDeny}).Draw(t, "kind"),
			Scope:  rapid.SampledFrom([]v1alpha1.FreezeScope{v1alpha1.FreezeAll, v1alpha1.FreezeAutomatic}).Draw(t, "window scope"),
			Stages: rapid.SampledFrom([][]string{nil, {"s1"}, {"s*"}}).Draw(t, "window stages"),
			IsOpen: rapid.Bool().Draw(t, "is open"), Changes: noon.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "changes")) * time.Minute),
		})
	}
	return h
}

func (h *history) observe(s *stageBuilder) *promotion.Observation {
	o := observe(s, h.freight...)
	o.Freezes, o.Windows = h.freezes, h.windows
	for _, other := range h.stages {
		o.Stages = append(o.Stages, other.Stage)
	}
	return o
}

// naive reads the table of gates in 02 word by word. It shares no code with the
// gates.
func naive(o *promotion.Observation, f *v1alpha1.Freight, p *v1alpha1.Promotion) map[v1alpha1.Gate]bool {
	open := map[v1alpha1.Gate]bool{}
	src := o.Stage.Spec.RequestedFreight[0].Sources
	open[v1alpha1.GateOrigin] = f.Origin.Name == o.Stage.Spec.RequestedFreight[0].Origin.Name
	var need time.Duration
	if src.RequiredSoakTime != nil {
		need = src.RequiredSoakTime.Duration
	}
	verifiedIn, soakedIn := 0, 0
	for _, up := range src.Stages {
		rec, was := f.Status.Stages[up]
		if !was || rec.VerifiedAt == nil {
			continue
		}
		verifiedIn++
		ran := rec.Soak.Longest.Duration
		if rec.Soak.RunningSince != nil {
			ran = max(ran, rec.Soak.Accumulated.Duration+o.Now.Sub(rec.Soak.RunningSince.Time))
		}
		if ran >= need {
			soakedIn++
		}
	}
	wanted := 1
	if src.AvailabilityStrategy == v1alpha1.AvailableFromAll {
		wanted = len(src.Stages)
	}
	open[v1alpha1.GateUpstream] = src.Direct || verifiedIn >= wanted
	open[v1alpha1.GateSoak] = src.Direct || need == 0 || soakedIn >= wanted
	open[v1alpha1.GateRejected], open[v1alpha1.GateFreeze] = true, true
	held := false
	for _, z := range o.Freezes {
		if z.Spec.Stage != "*" && z.Spec.Stage != o.Stage.Name || z.Spec.Until != nil && !z.Spec.Until.After(o.Now) {
			continue
		}
		switch {
		case len(z.Spec.Freight) > 0:
			if slices.Contains(z.Spec.Freight, f.Name) && (z.Spec.Scope == v1alpha1.FreezeAll || p.Spec.Automatic) {
				open[v1alpha1.GateRejected] = false
			}
		case z.Spec.Scope == v1alpha1.FreezeAutomatic:
			held = true
		default:
			open[v1alpha1.GateFreeze] = false
		}
	}
	open[v1alpha1.GateHold] = !held
	allows, inside := 0, false
	for _, w := range o.Windows {
		if len(w.Stages) > 0 && w.Stages[0] != "s*" && w.Stages[0] != o.Stage.Name || w.Scope == v1alpha1.FreezeAutomatic && !p.Spec.Automatic {
			continue
		}
		if w.Kind == v1alpha1.WindowDeny && w.IsOpen {
			open[v1alpha1.GateFreeze] = false
		}
		if w.Kind == v1alpha1.WindowAllow {
			allows++
			inside = inside || w.IsOpen
		}
	}
	if allows > 0 && !inside {
		open[v1alpha1.GateFreeze] = false
	}
	open[v1alpha1.GateApproval] = true
	if policy := o.Stage.Spec.Approval; policy != nil {
		voices, vetoed := map[string]bool{}, false
		for _, a := range o.Approvals {
			switch {
			case a.Spec.Promotion != p.Name, a.Spec.Stage != o.Stage.Name, a.Spec.PlanHash != p.Status.Plan.Hash:
			case !o.Now.Before(a.CreationTimestamp.Add(policy.ExpireAfter.Duration)):
			case len(policy.Groups) > 0 && !slices.Contains(a.Spec.Groups, "waybill:release-managers"):
			case a.Spec.Decision == v1alpha1.DecisionReject:
				vetoed = true
			case a.Spec.Actor == p.Spec.RequestedBy && !policy.AllowSelfApproval:
			default:
				voices[a.Spec.Actor] = true
			}
		}
		open[v1alpha1.GateApproval] = !vetoed && len(voices) >= int(policy.Required)
	}
	return open
}

// TestGatesAgreeWithANaiveModel asks the gates about random Promotions and
// compares with the table; and equal observations give equal text.
func TestGatesAgreeWithANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		s := rapid.SampledFrom(h.stages).Draw(t, "into")
		f := rapid.SampledFrom(h.freight).Draw(t, "which")
		p := promo(s.Name, 7, f, v1alpha1.PhasePending)
		p.Spec.Automatic = rapid.Bool().Draw(t, "automatic")
		p.Spec.RequestedBy, p.CreationTimestamp = rapid.SampledFrom([]string{"waybill:ann", "waybill:rita", v1alpha1.PolicyUser}).Draw(t, "requested by"), *at(-5 * time.Hour)
		p.Status.Plan = &v1alpha1.PromotionPlan{Hash: thisPlan}
		o := h.observe(s)
		o.Promotions = []v1alpha1.Promotion{*p}
		for i := range rapid.IntRange(0, 4).Draw(t, "decisions") {
			o.Approvals = append(o.Approvals, decided(rapid.SampledFrom([]string{"ann", "bob", "rita"}).Draw(t, "actor"), func(a *v1alpha1.Approval) {
				a.Name = fmt.Sprintf("a%d", i)
				a.Spec.Stage = rapid.SampledFrom([]string{s.Name, s.Name, s.Name, "elsewhere"}).Draw(t, "for stage")
				a.Spec.Promotion = rapid.SampledFrom([]string{p.Name, p.Name, p.Name, "prod.1.other"}).Draw(t, "for promotion")
				a.Spec.PlanHash = rapid.SampledFrom([]string{thisPlan, thisPlan, otherPlan}).Draw(t, "for plan")
				a.CreationTimestamp = *at(-time.Duration(rapid.IntRange(0, 299).Draw(t, "given")) * time.Minute)
				if rapid.Bool().Draw(t, "no group") {
					a.Spec.Groups = nil
				}
				if rapid.IntRange(0, 5).Draw(t, "rejects") == 0 {
					a.Spec.Decision = v1alpha1.DecisionReject
				}
			}))
		}
		got := promotion.Gates(o, f, promotion.AskOf(p))
		want := naive(o, f, p)
		for _, v := range got {
			if is, known := want[v.Gate]; known && v.Open != is {
				t.Fatalf("gate %s is open %v, the table says %v: %s", v.Gate, v.Open, is, v.Reason)
			}
			if v.Reason == "" || !v.Open && v.OpensBy == "" {
				t.Fatalf("gate %s says nothing: %+v", v.Gate, v)
			}
			if v.OpensAt != nil && !v.OpensAt.After(o.Now) || v.ClosesAt != nil && !v.ClosesAt.After(o.Now) {
				t.Fatalf("gate %s changes in the past: %+v", v.Gate, v)
			}
		}
		// The same facts in another order give the same text.
		shuffled := *o
		for _, list := range []any{&shuffled.Freezes, &shuffled.Approvals, &shuffled.Freight, &shuffled.Stages} {
			reverse(list)
		}
		if again := promotion.Gates(&shuffled, f, promotion.AskOf(p)); !reflect.DeepEqual(got, again) {
			t.Fatalf("the order of what was read changes the answer:\n%+v\n%+v", got, again)
		}
	})
}

// reverse replaces the slice that list points to by a reversed copy.
func reverse(list any) {
	v := reflect.ValueOf(list).Elem()
	out := reflect.MakeSlice(v.Type(), 0, v.Len())
	for i := v.Len() - 1; i >= 0; i-- {
		out = reflect.Append(out, v.Index(i))
	}
	v.Set(out)
}

// TestHistoriesRunAgainstANaiveModel lets random pipelines decide, carries out
// what they decide, and lets time pass: nothing enters a Stage whose entry gates
// the table calls closed, nothing goes backwards by itself, Decide twice changes
// nothing, and it looks again no later than a gate opens.
func TestHistoriesRunAgainstANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		now := noon
		for range rapid.IntRange(1, 12).Draw(t, "ticks") {
			for _, s := range h.stages {
				o := h.observe(s)
				o.Now = now
				d := promotion.Decide(o)
				if again := promotion.Decide(o); !reflect.DeepEqual(d, again) {
					t.Fatalf("Decide is not deterministic: %+v, then %+v", d, again)
				}
				if d.Create == nil {
					continue
				}
				f := o.FreightByName(d.Create.Freight)
				p := promo(s.Name, d.Create.Seq, f, v1alpha1.PhasePending)
				p.Status.Plan = &v1alpha1.PromotionPlan{}
				table := naive(o, f, p)
				for _, gate := range []v1alpha1.Gate{v1alpha1.GateOrigin, v1alpha1.GateUpstream, v1alpha1.GateSoak, v1alpha1.GateRejected, v1alpha1.GateHold} {
					if !table[gate] {
						t.Fatalf("%s enters %s although gate %s is closed", f.Name, s.Name, gate)
					}
				}
				if cur := promotion.Current(o.Stage, f.Origin.Name); cur != nil && cur.Order >= f.Order {
					t.Fatalf("%s goes back from order %d to %d", s.Name, cur.Order, f.Order)
				}
				s.running(f, d.Create.Name).Status.Current[0].Order = f.Order
				s.Status.LastSeq = d.Create.Seq
				h.look(s, f, now)
				o = h.observe(s)
				o.Now = now
				if next := promotion.Decide(o); next.Create != nil && next.Create.Freight == f.Name {
					t.Fatalf("decided twice: %+v", next.Create)
				}
			}
			step := time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes pass")) * time.Minute
			h.wakes(t, now, now.Add(step))
			now = now.Add(step)
		}
	})
}

// look records that f runs in s.
func (h *history) look(s *stageBuilder, f *v1alpha1.Freight, now time.Time) {
	for _, other := range h.freight {
		rec, known := other.Status.Stages[s.Name]
		if other != f && !known {
			continue
		}
		if other.Status.Stages == nil {
			other.Status.Stages = map[string]v1alpha1.FreightInStage{}
		}
		other.Status.Stages[s.Name] = promotion.NextRecord(rec, other == f, true, v1alpha1.HealthHealthy, now)
	}
}

// wakes checks that no Stage misses the instant at which time alone lets
// something in between from and to.
func (h *history) wakes(t *rapid.T, from, to time.Time) {
	for _, s := range h.stages {
		o := h.observe(s)
		o.Now = from
		d := promotion.Decide(o)
		if d.Create != nil {
			continue
		}
		later := *o
		later.Now = to.Add(-time.Nanosecond)
		if d.Recheck.IsZero() || !d.Recheck.Before(later.Now) {
			if missed := promotion.Decide(&later); missed.Create != nil {
				t.Fatalf("%s would sleep from %s to %s, and misses %s", s.Name, from, d.Recheck, missed.Create.Freight)
			}
		}
	}
}

// BenchmarkDecideAll decides about 200 Stages in rows behind each other, each
// with 1,000 Freight of which most soak: it is to take less than 20 ms.
func BenchmarkDecideAll(b *testing.B) {
	const stages, freights = 200, 1000
	names := make([]string, stages)
	for i := range names {
		names[i] = fmt.Sprintf("s%03d", i)
	}
	var fs []v1alpha1.Freight
	for i := range int64(freights) {
		f := freight(i+1, fmt.Sprintf("1.0.%d", i))
		for _, name := range names[:10] {
			verified(f, name, v1alpha1.Soak{RunningSince: at(-time.Minute)})
		}
		fs = append(fs, *f)
	}
	var all []v1alpha1.Stage
	var os []*promotion.Observation
	for i, name := range names {
		s := stage(name).auto().after(names[i%10]).soak(time.Hour)
		s.Spec.AutoPromotion.FinishSoak = true
		s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 2}
		s.running(&fs[i%freights], name+".1.x").Status.Current[0].Order = fs[i%freights].Order
		all = append(all, s.Stage)
		os = append(os, &promotion.Observation{Now: noon, Stage: &s.Stage, Freight: fs})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	for _, o := range os {
		o.Stages = all
	}
	b.ReportAllocs()
	began := processorTime(b)
	for b.Loop() {
		for _, o := range os {
			promotion.Decide(o)
		}
	}
	// On a busy machine the clock says little.
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// processorTime is how long this process has been computing.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
