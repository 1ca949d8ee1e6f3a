package rest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/promotion"
)

// TestTimeline: what the store has and what only the cluster has make one line
// per Stage, down to what runs now; a store that is down leaves what the cluster
// says.
func TestTimeline(t *testing.T) {
	f := newProject(t)
	victor := shared.as(t, "victor")
	now := time.Now().UTC().Truncate(time.Second)
	ago := func(h float64) time.Time { return now.Add(-time.Duration(h * float64(time.Hour))) }
	old := history.Freight{Name: "f-gone", Alias: "old-heron", Origin: "main", Images: []v1alpha1.Image{{RepoURL: image, Tag: "1.25.0", Digest: digestOf(9)}}}
	known := history.Freight{Name: nameOf(1), Alias: "another-name", Origin: "main", Images: []v1alpha1.Image{{RepoURL: image, Tag: "1.26.0", Digest: digestOf(1)}}}
	record := func(n int, at float64, edit func(*history.Promotion)) {
		r := historytest.Promotion(f.name, "prod", n)
		r.UID = fmt.Sprintf("%s-%s", f.name, r.Name)
		r.CreatedAt, r.StartedAt, r.PushedAt, r.FinishedAt = ago(at), ago(at), ago(at), ago(at-0.5)
		r.Verification, r.Bypassed = nil, nil
		edit(&r)
		if err := shared.history.PutPromotion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	record(1, 100, func(r *history.Promotion) { r.Freight, r.Collection = old, []history.Freight{old} })
	record(2, 50, func(r *history.Promotion) {
		r.Freight, r.Collection, r.From, r.Phase = known, []history.Freight{known}, []history.Freight{old}, "RolledBack"
		r.Bypassed = []string{"soak"}
	})
	record(3, 48, func(r *history.Promotion) {
		r.Kind, r.Freight, r.To, r.Collection, r.From = "Rollback", known, old, []history.Freight{old}, []history.Freight{known}
	})
	record(4, 30, func(r *history.Promotion) {
		r.Freight, r.Collection, r.From, r.Phase, r.PushedAt = known, []history.Freight{known}, []history.Freight{old}, "Failed", time.Time{}
	})
	// The newest is an object, and not in the store.
	p := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Name: promotion.Name("prod", 5, nameOf(1)), Namespace: f.name}, Spec: v1alpha1.PromotionSpec{Stage: "prod", Kind: v1alpha1.KindPromote, Freight: nameOf(1), RequestedBy: "waybill-local-admin"}}
	create(t, p)
	pushed, finished := metav1.NewMicroTime(ago(2)), metav1.NewMicroTime(ago(1))
	p.Status.Phase, p.Status.PushedAt, p.Status.FinishedAt = v1alpha1.PhaseSucceeded, &pushed, &finished
	p.Status.Plan = &v1alpha1.PromotionPlan{Steps: []v1alpha1.PlanStep{}, Collection: []v1alpha1.StageFreight{{Origin: "main", Freight: nameOf(1)}}}
	updateStatus(t, p)

	get := func(query string) model.Timeline {
		var out model.Timeline
		victor.get(t, f.path("/timeline?"+query), &out)
		return out
	}
	lane := func(l model.TimelineLane) []string {
		var out []string
		for _, s := range l.Spans {
			line := fmt.Sprintf("%s %s %s %s", s.Freight.Version, s.Freight.Alias, s.Kind, s.Phase)
			for _, g := range s.Bypass {
				line += " past " + string(g)
			}
			if s.From.Before(ago(1000)) {
				line += " since " + s.From.String()
			}
			out = append(out, line+" "+string(s.End))
		}
		return out
	}
	eventually(t, func() error {
		if l := get("stage=prod").Lanes[0]; len(l.Spans) != 4 {
			return fmt.Errorf("%v", lane(l))
		}
		return nil
	})
	all := get("")
	var stages []string
	for _, l := range all.Lanes {
		stages = append(stages, l.Stage+" "+l.Origin)
	}
	if d := cmp.Diff([]string{"test main", "uat main", "prod main"}, stages); d != "" {
		t.Errorf("lanes: -want +got\n%s", d)
	}
	if d := cmp.Diff([]string{"1.27.0 tender-otter   "}, lane(all.Lanes[0])); d != "" { // adopted: no Promotion brought it
		t.Errorf("test: -want +got\n%s", d)
	}
	want := []string{
		"1.25.0 old-heron Promote Succeeded Replaced",
		"1.26.0 calm-lynx Promote RolledBack past soak RolledBack", // the alias of now
		"1.25.0 old-heron Rollback Succeeded Replaced",
		"1.26.0 calm-lynx Promote Succeeded ",
	}
	if d := cmp.Diff(want, lane(all.Lanes[2])); d != "" {
		t.Errorf("prod: -want +got\n%s", d)
	}
	i := all.Insights
	if i.Deploys != 3 || i.Judged != 3 || i.Failed != 1 || i.FailurePercent != 33.3 || i.PerWeek != 1.5 || i.Restored.Count != 1 ||
		i.Restored.MedianSeconds != int((2*time.Hour+30*time.Minute).Seconds()) || !cmp.Equal(i.Stages, []string{"prod"}) {
		t.Errorf("%+v", i)
	}
	if all.Until.Sub(all.From) != defaultRange || all.Warning != "" {
		t.Errorf("%v to %v, warning %q", all.From, all.Until, all.Warning)
	}

	at := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339)) }
	part := get("stage=prod&from=" + at(ago(60)) + "&until=" + at(ago(49)))
	if d := cmp.Diff(want[:1], lane(part.Lanes[0])[:1]); d != "" || len(part.Lanes) != 1 || len(part.Lanes[0].Spans) != 2 || part.Lanes[0].Spans[1].End != "" {
		t.Errorf("of a part: %v", lane(part.Lanes[0]))
	}
	if i := get("stage=test").Insights; i.Deploys != 0 || !cmp.Equal(i.Stages, []string{"test"}) {
		t.Errorf("of one Stage: %+v", i)
	}
	for query, want := range map[string]int{
		"stage=nowhere": 404, "from=noon": 400, "from=" + at(now.Add(time.Hour)): 400, "from=" + at(now.Add(-91*24*time.Hour)): 400,
		"until=0000-01-02T00:00:00Z": 400, "until=1970-01-02T00:00:00Z": 400, "from=" + at(ago(2)) + "&until=" + at(ago(2)): 400,
		"from=" + at(now.Add(-91*24*time.Hour)) + "&until=" + at(now.Add(-89*24*time.Hour)): 200, "until=" + at(now.Add(time.Hour)): 200,
	} {
		if a := victor.do(t, "GET", f.path("/timeline?"+query), nil); a.status != want {
			t.Errorf("%s: %d, want %d: %s", query, a.status, want, a.body)
		}
	}
	if a := shared.as(t, "mallory").do(t, "GET", f.path("/timeline"), nil); a.status != 404 {
		t.Errorf("a stranger gets %d", a.status)
	}

	shared.history.down.Store(true)
	defer shared.history.down.Store(false)
	if without := get("stage=prod"); without.Warning == "" || len(without.Lanes[0].Spans) != 1 {
		t.Errorf("without the store: warning %q, %v", without.Warning, lane(without.Lanes[0]))
	}
}

// TestTimelineSaysWhatItLeavesOut: it shows so many spans and reads so many records,
// and no more.
func TestTimelineSaysWhatItLeavesOut(t *testing.T) {
	f := newProject(t)
	now := time.Now().UTC().Truncate(time.Second)
	const records = 2*history.MaxPage + 1
	for n := range records {
		r := historytest.Promotion(f.name, "prod", n)
		at := now.Add(-time.Duration(records+10-n) * time.Minute)
		r.CreatedAt, r.PushedAt, r.FinishedAt, r.Steps = at, at, at, nil
		r.Collection[0].Origin = "main"
		if err := shared.history.PutPromotion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	var out model.Timeline
	shared.as(t, "victor").get(t, f.path("/timeline?stage=prod"), &out)
	if l := out.Lanes[0]; len(l.Spans) != maxSpans || l.Older < records-maxSpans-1 || out.Warning != "" {
		t.Errorf("%d spans, %d older, warning %q", len(l.Spans), l.Older, out.Warning)
	}
	for most, want := range map[int]string{maxRecords: "", 2 * history.MaxPage: fmt.Sprintf("more than %d promotions", 2*history.MaxPage)} {
		got, warning, err := shared.server.storedRecords(t.Context(), history.Filter{Project: f.name, Until: now}, most)
		if err != nil || len(got) != min(most, records) || !strings.HasPrefix(warning, want) || want == "" && warning != "" {
			t.Errorf("at most %d: %d records, warning %q, %v", most, len(got), warning, err)
		}
	}
}
