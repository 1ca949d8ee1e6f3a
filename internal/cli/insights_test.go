package cli

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func insightsReport(edit ...func(*model.InsightsReport)) model.InsightsReport {
	took := func(median, p90, longest int) model.Durations {
		return model.Durations{Count: 7, MedianSeconds: median, P90Seconds: p90, LongestSeconds: longest}
	}
	total := model.Insights{
		Stages: []string{"prod"}, Deploys: 12, PerWeek: 2.8, Judged: 11, Failed: 2, FailurePercent: 18.2, Restored: took(660, 2760, 2760), Unrestored: 1,
		Rework: 1, ReworkPercent: 8.3, LeadTime: took(18720, 75600, 90000), LeadTimeFrom: model.LeadTimeFromCommit,
	}
	r := model.InsightsReport{
		From: daysAgo(30), Until: noon, Total: total,
		Before: model.Insights{Stages: []string{"prod"}, Deploys: 3, PerWeek: 0.7},
		Parts: []model.DeliveryPart{
			{Name: model.DeliveryPartNameAsked, Took: took(13200, 61200, 70000), Percent: 70.2}, {Name: model.DeliveryPartNameStarted, Took: took(2520, 6600, 9000), Percent: 24},
			{Name: model.DeliveryPartNamePushed, Took: took(4, 9, 12), Percent: 0.1}, {Name: model.DeliveryPartNameHealthy, Took: took(360, 540, 600), Percent: 5.7},
		},
		Failures: []model.FailedDeploy{
			{Project: "guestbook", Stage: "prod", Freight: ref("1.27.0"), Promotion: "prod.2.f2", At: daysAgo(0.2), Cause: "Deployment/guestbook: CrashLoopBackOff"},
			{Project: "guestbook", Stage: "prod", Freight: ref("1.26.1"), Promotion: "prod.1.f1", At: daysAgo(9), Cause: `taken back by "prod.3"`, RestoredBy: "prod.3", RestoredKind: model.FailedDeployRestoredKindRollback, RestoredSeconds: 660},
		},
		Projects: []model.ProjectInsights{{Project: "guestbook", Insights: total}},
	}
	for _, e := range edit {
		e(&r)
	}
	return r
}

func TestInsights(t *testing.T) {
	const get = "GET /api/v1/insights?"
	several := func(r *model.InsightsReport) {
		r.Total.Stages = []string{"checkout/prod-eu", "checkout/prod-us", "guestbook/prod", "ledger/prod"}
		r.Projects = append([]model.ProjectInsights{{Project: "checkout", Insights: r.Before}}, r.Projects...)
		r.Before, r.Warning = model.Insights{}, "more than 5000 promotions: only what was asked for since 2026-02-20T00:00:00Z counts"
	}
	for _, c := range []struct {
		name, args, path string
		answer           answer
	}{
		{name: "insights", args: "insights guestbook", path: get + "project=guestbook&range=30d", answer: ok(insightsReport())},
		{name: "insights-all", args: "insights --range 90d", path: get + "range=90d", answer: ok(insightsReport(several))},
		{name: "insights-json", args: "insights -p guestbook --stage prod -o json", path: get + "project=guestbook&range=30d&stage=prod", answer: ok(insightsReport())},
		{name: "insights-nothing", args: "insights guestbook", path: get + "project=guestbook&range=30d", answer: ok(model.InsightsReport{Total: model.Insights{Stages: []string{"prod"}}})},
		{name: "insights-range", args: "insights --range month"},
		{name: "help-insights", args: "insights --help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, map[string]answer{c.path: c.answer}).URL)
			golden(t, c.name, s.run(strings.Fields(c.args)...).String())
		})
	}
}
