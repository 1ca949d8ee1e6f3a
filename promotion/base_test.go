package promotion_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func verifiedWith(f *v1alpha1.Freight, stage, commit string) *v1alpha1.Freight {
	verified(f, stage, v1alpha1.Soak{})
	rec := f.Status.Stages[stage]
	if commit != "" {
		rec.Bases = []v1alpha1.PlanBase{{RepoURL: "https://git.example/app", Branch: "main", Commit: commit}}
	}
	f.Status.Stages[stage] = rec
	return f
}

// refusedForBase is a Promotion that ended because of what would ride along.
func refusedForBase(seq int64, f *v1alpha1.Freight, s *stageBuilder) *v1alpha1.Promotion {
	p := promo(s.Name, seq, f, v1alpha1.PhaseFailed)
	p.Status.Reason = promotion.ReasonGateClosed
	p.Status.Plan = &v1alpha1.PromotionPlan{RidingAlong: &v1alpha1.RidingAlong{
		Stage: "uat", Commits: []v1alpha1.RidingCommit{{Commit: "1a2b3c4d5e6f", Author: "Ann", Subject: "a port"}},
		Verified: promotion.VerifiedBases(&s.Spec.RequestedFreight[0], f),
	}}
	return p
}

func TestBaseGate(t *testing.T) {
	riding := &v1alpha1.RidingAlong{Stage: "uat", Commits: []v1alpha1.RidingCommit{{Commit: "1a2b3c4d5e6f", Author: "Ann", Subject: "a port"}, {Commit: "2"}}}
	for _, c := range []struct {
		why    string
		isWant bool // the Stage asks for the same base
		prior  func(s *stageBuilder, f *v1alpha1.Freight) []v1alpha1.Promotion
		ask    promotion.Ask
		want   string // what the closed gate says; "" when it is open
	}{
		{why: "not asked for", ask: promotion.Ask{Plan: &v1alpha1.PromotionPlan{RidingAlong: riding}}},
		{why: "nothing rides along", isWant: true, ask: promotion.Ask{Plan: &v1alpha1.PromotionPlan{}}},
		{why: "no plan yet", isWant: true},
		{
			why: "the plan names what rides along", isWant: true, ask: promotion.Ask{Promotion: "prod.1.f", Plan: &v1alpha1.PromotionPlan{RidingAlong: riding}},
			want: `commit 1a2b3c4d by Ann (a port) and 1 more would ride along, not tested in "uat" (requireSameBase)`,
		},
		{
			why: "nobody can tell", isWant: true, ask: promotion.Ask{Plan: &v1alpha1.PromotionPlan{RidingAlong: &v1alpha1.RidingAlong{Stage: "uat", Unknown: "it is not known"}}},
			want: "it is not known (requireSameBase)",
		},
		{
			why: "the last one was refused", isWant: true,
			prior: func(s *stageBuilder, f *v1alpha1.Freight) []v1alpha1.Promotion {
				return []v1alpha1.Promotion{*refusedForBase(1, f, s)}
			},
			want: `commit 1a2b3c4d by Ann (a port) would ride along, not tested in "uat" (requireSameBase)`,
		},
		{
			why: "which does not bind one that is planned for itself", isWant: true, ask: promotion.Ask{Promotion: "prod.2.f"},
			prior: func(s *stageBuilder, f *v1alpha1.Freight) []v1alpha1.Promotion {
				return []v1alpha1.Promotion{*refusedForBase(1, f, s)}
			},
		},
		{
			why: "uat has verified it with another base since", isWant: true,
			prior: func(s *stageBuilder, f *v1alpha1.Freight) []v1alpha1.Promotion {
				p := refusedForBase(1, f, s)
				verifiedWith(f, "uat", "newer")
				return []v1alpha1.Promotion{*p}
			},
		},
		{
			why: "a later one came in", isWant: true,
			prior: func(s *stageBuilder, f *v1alpha1.Freight) []v1alpha1.Promotion {
				later := promo(s.Name, 2, f, v1alpha1.PhaseSucceeded)
				later.Status.Plan = &v1alpha1.PromotionPlan{}
				return []v1alpha1.Promotion{*later, *refusedForBase(1, f, s)}
			},
		},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := stage("prod").auto().after("uat")
			s.Spec.RequestedFreight[0].Sources.RequireSameBase = c.isWant
			f := verifiedWith(freight(1, "1.26.0"), "uat", "base")
			o := observe(s)
			if c.prior != nil {
				o.Promotions = c.prior(s, f)
			}
			o.Freight = []v1alpha1.Freight{*f}
			c.ask.Kind = v1alpha1.KindPromote
			got := ""
			for _, v := range promotion.Blocking(promotion.Gates(o, f, c.ask), promotion.GroupEntry) {
				if got = v.Reason; v.Gate != v1alpha1.GateBase || !strings.Contains(v.OpensBy, "waybill promote "+f.Name) || !strings.HasSuffix(v.OpensBy, "/uat") {
					t.Errorf("%+v", v)
				}
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRidesAlong(t *testing.T) {
	commits := func(n int) (out []v1alpha1.RidingCommit) {
		for range n {
			out = append(out, v1alpha1.RidingCommit{Commit: "c"})
		}
		return out
	}
	for _, c := range []struct {
		why  string
		all  bool
		each []promotion.Untested
		want string // the Stage it is compared with
		n    int
	}{
		{why: "verified nowhere"},
		{why: "the same base", each: []promotion.Untested{{Stage: "a"}}},
		{why: "one of two has run all of it", each: []promotion.Untested{{Stage: "a", Commits: commits(2)}, {Stage: "b"}}},
		{why: "all are asked, one has not", all: true, each: []promotion.Untested{{Stage: "a", Commits: commits(2)}, {Stage: "b"}}, want: "a", n: 2},
		{why: "the one that has run most", each: []promotion.Untested{{Stage: "a", Commits: commits(3)}, {Stage: "b", Commits: commits(1)}}, want: "b", n: 1},
		{why: "something known goes before what nobody knows", each: []promotion.Untested{{Stage: "a", Unknown: "?"}, {Stage: "b", Commits: commits(50)}}, want: "b", n: 20},
		{why: "what nobody knows is not tested", all: true, each: []promotion.Untested{{Stage: "a", Unknown: "?"}, {Stage: "b"}}, want: "a"},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := stage("prod").after("a", "b")
			if c.all {
				s.all()
			}
			got := promotion.RidesAlong(&s.Spec.RequestedFreight[0], freight(1, "1.26.0"), c.each)
			if got == nil {
				got = &v1alpha1.RidingAlong{}
			}
			if diff := cmp.Diff([]any{c.want, c.n}, []any{got.Stage, len(got.Commits)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}
