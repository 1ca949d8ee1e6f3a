package rest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
)

// TestInsights: of one Project and of all one may see, beside the time before;
// nobody learns of a Project that is not theirs.
func TestInsights(t *testing.T) {
	f := newProject(t)
	victor := shared.as(t, "victor")
	now := time.Now().UTC().Truncate(time.Second)
	record := func(n int, daysAgo float64, edit func(*history.Promotion)) {
		r := historytest.Promotion(f.name, "prod", n)
		r.UID = fmt.Sprintf("%s-%s", f.name, r.Name)
		at := now.Add(-time.Duration(daysAgo * 24 * float64(time.Hour)))
		r.CreatedAt, r.StartedAt, r.PushedAt, r.FinishedAt = at, at, at, at.Add(time.Minute)
		r.Bypassed = nil
		edit(&r)
		if err := shared.history.PutPromotion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	well := func(*history.Promotion) {}
	record(1, 50, well)
	record(2, 10, well)
	record(3, 5, func(r *history.Promotion) { r.Phase, r.Message = "RolledBack", "taken back: too slow" })
	record(4, 4, func(r *history.Promotion) { r.Kind = "Rollback" })
	get := func(query string) model.InsightsReport {
		var out model.InsightsReport
		victor.get(t, "/api/v1/insights?"+query, &out)
		return out
	}
	one := get("project=" + f.name)
	if one.Total.Deploys != 2 || one.Total.Failed != 1 || one.Before.Deploys != 1 || one.Warning != "" || !cmp.Equal(one.Total.Stages, []string{"prod"}) {
		t.Errorf("total %+v, before %+v, warning %q", one.Total, one.Before, one.Warning)
	}
	if len(one.Days) < 30 || len(one.Days) > 31 || one.Until.Sub(one.From) != 30*24*time.Hour {
		t.Errorf("%d days, %v to %v", len(one.Days), one.From, one.Until)
	}
	if len(one.Failures) != 1 || one.Failures[0].Cause != "taken back: too slow" || one.Failures[0].RestoredSeconds != 24*3600+60 || one.Failures[0].RestoredKind != model.FailedDeployRestoredKindRollback {
		t.Errorf("failures %+v", one.Failures)
	}
	if d := cmp.Diff([]model.ProjectInsights{{Project: f.name, Insights: one.Total}}, one.Projects); d != "" {
		t.Errorf("projects: -want +got\n%s", d)
	}
	if short := get("range=7d&project=" + f.name); short.Total.Deploys != 1 || short.Before.Deploys != 1 {
		t.Errorf("of 7 days: %+v, before %+v", short.Total, short.Before)
	}
	if test := get("project=" + f.name + "&stage=test"); test.Total.Deploys != 0 {
		t.Errorf("of test: %+v", test.Total)
	}
	found := false
	for _, p := range get("").Projects {
		found = found || p.Project == f.name && p.Insights.Deploys == 2
	}
	if !found {
		t.Error("the Project is not among all")
	}
	for query, want := range map[string]int{
		"project=nowhere": 404, "project=" + f.name + "&stage=nowhere": 404, "stage=prod": 400, "range=30": 400, "range=0d": 400, "range=367d": 400, "range=366d": 200,
	} {
		if a := victor.do(t, "GET", "/api/v1/insights?"+query, nil); a.status != want {
			t.Errorf("%s: %d, want %d: %s", query, a.status, want, a.body)
		}
	}
	mallory := shared.as(t, "mallory")
	if a := mallory.do(t, "GET", "/api/v1/insights?project="+f.name, nil); a.status != 404 {
		t.Errorf("a stranger gets %d: %s", a.status, a.body)
	}
	var none model.InsightsReport
	mallory.get(t, "/api/v1/insights", &none)
	if len(none.Projects) != 0 || none.Total.Deploys != 0 || len(none.Failures) != 0 {
		t.Errorf("a stranger is told %+v", none)
	}
	shared.history.down.Store(true)
	defer shared.history.down.Store(false)
	if without := get("project=" + f.name); without.Warning == "" || without.Total.Deploys != 0 || len(without.Before.Stages) != 0 {
		t.Errorf("without the store: %+v", without)
	}
}
