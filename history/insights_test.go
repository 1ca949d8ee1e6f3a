package history_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

func all(ds ...time.Duration) history.Durations {
	out := history.Durations{Count: len(ds)}
	if len(ds) == 1 {
		out.Median, out.P90, out.Longest = ds[0], ds[0], ds[0]
	}
	return out
}

func isProd(p *history.Promotion) bool { return p.Stage == "prod" }

func TestMeasure(t *testing.T) {
	committed := func(n int) func(*history.Promotion) {
		return func(p *history.Promotion) {
			early, late := metav1.NewTime(hour(n-5)), metav1.NewTime(hour(n))
			p.Freight.Commits = []v1alpha1.Commit{{ID: "c1", Date: &early}, {ID: "c2", Date: &late}, {ID: "c3"}}
		}
	}
	checks := func(word v1alpha1.CheckPhase) func(*history.Promotion) {
		return func(p *history.Promotion) {
			p.Phase, p.Verification = "Failed", &v1alpha1.VerificationStatus{Phase: word}
		}
	}
	unpushed := func(p *history.Promotion) { p.Phase, p.PushedAt = "Failed", time.Time{} }
	in := func(stage string) func(*history.Promotion) { return func(p *history.Promotion) { p.Stage = stage } }
	open := func(p *history.Promotion) { p.Phase, p.FinishedAt = "Syncing", time.Time{} }
	for _, test := range []struct {
		name, why string
		records   []history.Promotion
		want      history.Insights
	}{
		{name: "nothing", why: "nothing is known, and nothing is made up"},
		{
			name: "what counts", why: "only what was pushed in the range into a Stage that counts; a rollback is no deploy",
			records: []history.Promotion{
				ran(1, -1, "app=a", ""), ran(2, 0, "app=b", "app=a"), ran(3, 99, "app=c", "app=b"), ran(4, 100, "app=d", "app=c"),
				ran(5, 50, "app=e", "app=b", unpushed), ran(6, 51, "app=a", "app=b", rollback), ran(7, 52, "app=f", "", in("test")),
			},
			want: history.Insights{Deploys: 2, Judged: 2},
		},
		{
			name: "still under way", why: "what is not judged yet is a deploy, and neither good nor bad",
			records: []history.Promotion{ran(1, 10, "app=a", "", open)},
			want:    history.Insights{Deploys: 1},
		},
		{
			name: "checks without a result", why: "somebody stopped them, or they could not tell: nobody knows how it went",
			records: []history.Promotion{ran(1, 10, "app=a", "", checks(v1alpha1.CheckAborted)), ran(2, 20, "app=b", "", checks(v1alpha1.CheckInconclusive)), ran(3, 30, "app=c", "", phase("Aborted"))},
			want:    history.Insights{Deploys: 3},
		},
		{
			name: "failed checks", why: "those say that it is bad",
			records: []history.Promotion{ran(1, 10, "app=a", "", checks(v1alpha1.CheckFailed))},
			want:    history.Insights{Deploys: 1, Judged: 1, Failed: 1, Unrestored: 1},
		},
		{
			name: "taken back", why: "from the push of the bad one until the rollback is Healthy",
			records: []history.Promotion{
				ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("RolledBack")), ran(3, 21, "app=a", "app=b", rollback),
			},
			want: history.Insights{Deploys: 2, Judged: 2, Failed: 1, Restored: all(time.Hour + time.Minute)},
		},
		{
			name: "rolled forward", why: "a fix restores as well, and a rollback that failed does not",
			records: []history.Promotion{
				ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("Failed")), ran(3, 21, "app=a", "app=b", rollback, phase("Failed")),
				ran(4, 24, "app=c", "app=b"), ran(5, 22, "app=c", "", in("test")),
			},
			want: history.Insights{Deploys: 3, Judged: 3, Failed: 1, Restored: all(4*time.Hour + time.Minute)},
		},
		{
			name: "restored after the range", why: "what failed in the range was restored whenever that was",
			records: []history.Promotion{ran(1, 99, "app=a", "", phase("Failed")), ran(2, 101, "app=b", "app=a")},
			want:    history.Insights{Deploys: 1, Judged: 1, Failed: 1, Restored: all(2*time.Hour + time.Minute)},
		},
		{
			name: "from the commit", why: "the newest commit of the Freight, when all have one",
			records: []history.Promotion{ran(1, 10, "app=a", "", committed(8)), ran(2, 20, "app=b", "app=a", committed(10))},
			want: history.Insights{Deploys: 2, Judged: 2, FromCommit: true, LeadTime: history.Durations{
				Count: 2, Median: 2*time.Hour + time.Minute, P90: 10*time.Hour + time.Minute, Longest: 10*time.Hour + time.Minute,
			}},
		},
		{
			name: "not all have commits", why: "one kind of beginning for all: when the Freight was made, where that is known",
			records: []history.Promotion{ran(1, 10, "app=a", "", committed(8)), ran(2, 20, "app=made6", "app=a")},
			want:    history.Insights{Deploys: 2, Judged: 2, LeadTime: all(14*time.Hour + time.Minute)},
		},
		{
			name: "again", why: "Freight that comes back is not new, so it has no lead time; what failed first is still new",
			records: []history.Promotion{
				ran(1, -20, "app=made6", ""), ran(2, 10, "app=made6", "app=a"),
				ran(3, 20, "app=made7", "app=made6", phase("Failed")), ran(4, 21, "app=made7", "app=made7"),
			},
			want: history.Insights{Deploys: 3, Judged: 3, Failed: 1, Restored: all(time.Hour + time.Minute), LeadTime: all(14*time.Hour + time.Minute)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := history.Measure(test.records, history.Question{Counts: isProd, From: hour(0), Until: hour(100), Made: func(p *history.Promotion) time.Time {
				return map[string]time.Time{"made6": hour(6), "made7": hour(7)}[p.Freight.Name]
			}})
			got.Days, got.Parts, got.Failures = nil, nil, nil // TestMeasureTellsMore
			got.Rework = 0
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("%s: -want +got\n%s", test.why, d)
			}
		})
	}
}

// TestDurations: half of all are at most the median, nine of ten at most P90.
func TestDurations(t *testing.T) {
	var records []history.Promotion
	for n := 1; n <= 10; n++ {
		bad := ran(2*n, 10*n, "app=a", "", phase("Failed"))
		records = append(records, bad, ran(2*n+1, 10*n, "app=b", "app=a", rollback, func(p *history.Promotion) {
			p.PushedAt = bad.PushedAt.Add(time.Second)
			p.FinishedAt = bad.PushedAt.Add(time.Duration(11-n) * time.Minute)
		}))
	}
	got := history.Measure(records, history.Question{Counts: isProd, From: hour(0), Until: hour(101), Made: func(*history.Promotion) time.Time { return time.Time{} }})
	want := history.Durations{Count: 10, Median: 5 * time.Minute, P90: 9 * time.Minute, Longest: 10 * time.Minute}
	if d := cmp.Diff(want, got.Restored); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestMeasureTellsMore: rework, where the time went, the days and what failed.
func TestMeasureTellsMore(t *testing.T) {
	bypassed := func(p *history.Promotion) { p.Bypassed = []string{"soak"} }
	took := func(asked, started, pushed, healthy int) func(*history.Promotion) {
		return func(p *history.Promotion) {
			p.CreatedAt = noon.Add(time.Duration(asked) * time.Minute)
			p.StartedAt = p.CreatedAt.Add(time.Duration(started) * time.Minute)
			p.PushedAt = p.StartedAt.Add(time.Duration(pushed) * time.Minute)
			p.FinishedAt = p.PushedAt.Add(time.Duration(healthy) * time.Minute)
		}
	}
	records := []history.Promotion{
		ran(1, 0, "app=a", "", took(60, 30, 1, 9)),              // day 0
		ran(2, 14, "app=b", "app=a", phase("Failed"), bypassed), // day 1, past a gate
		ran(3, 20, "app=c", "app=b"),                            // day 1, a fix
		ran(4, 50, "app=d", "app=c", phase("RolledBack")),       // day 2
		ran(5, 51, "app=c", "app=d", rollback),                  // no deploy
		ran(6, 75, "app=e", "app=c"),                            // day 3, a day and an hour later: planned
		ran(7, 90, "app=f", "", func(p *history.Promotion) { p.Stage = "test" }),
	}
	m := history.Measure(records, history.Question{Counts: isProd, From: hour(0), Until: hour(96), Made: func(p *history.Promotion) time.Time {
		if p.Freight.Name == "a" {
			return noon
		}
		return time.Time{}
	}})
	if m.Deploys != 5 || m.Rework != 2 {
		t.Errorf("%d deploys, %d rework", m.Deploys, m.Rework)
	}
	want := []history.DeliveryPart{
		{Name: history.PartAsked, Durations: all(time.Hour), Share: 0.6}, {Name: history.PartStarted, Durations: all(30 * time.Minute), Share: 0.3},
		{Name: history.PartPushed, Durations: all(time.Minute), Share: 0.01}, {Name: history.PartHealthy, Durations: all(9 * time.Minute), Share: 0.09},
	}
	if d := cmp.Diff(want, m.Parts); d != "" {
		t.Errorf("parts: -want +got\n%s", d)
	}
	day := func(n, deploys, failed int) history.Day {
		return history.Day{At: noon.Add(-12*time.Hour).AddDate(0, 0, n), Deploys: deploys, Failed: failed}
	}
	if d := cmp.Diff([]history.Day{day(0, 1, 0), day(1, 2, 1), day(2, 1, 1), day(3, 1, 0), day(4, 0, 0)}, m.Days); d != "" {
		t.Errorf("days: -want +got\n%s", d)
	}
	if len(m.Failures) != 2 || m.Failures[0].Deploy.Seq != 4 || m.Failures[0].Restored.Seq != 5 || m.Failures[1].Deploy.Seq != 2 || m.Failures[1].Restored.Seq != 3 {
		t.Errorf("failures: %+v", m.Failures)
	}
}
