package cli

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestInspect prints what Applications have in their clusters.
func TestInspect(t *testing.T) {
	app := func(name, stage string) model.Application {
		return model.Application{Name: name, Project: "guestbook", Stage: stage, Cluster: "in-cluster", Namespace: "guestbook-" + stage, Sync: model.ApplicationSyncSynced, Health: model.HealthHealthy}
	}
	drifting := app("prod", "prod")
	drifting.Drifting = true
	drifting.Drifts = []model.Drift{
		{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web", Field: "spec.replicas", Want: "1", Got: "3", Manager: "kubectl", Action: "Reported", At: at(2)},
		{Kind: "ConfigMap", Namespace: "guestbook-prod", Name: "settings", Action: "Healed", At: at(90)},
	}
	paused := drifting
	paused.HealingPaused = freeze("prod", model.FreezeShownAsHealingPause, noon.Add(time.Hour))
	paused.Drifts = slices.Clone(drifting.Drifts)
	paused.Drifts[0].Action = "Paused"
	applications := func(apps ...model.Application) answer { return ok(model.ApplicationList{Items: apps}) }
	tree := model.ResourceTree{Items: []model.ResourceNode{
		{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web", UID: "d", Health: "Progressing", Message: "1 of 2 replicas are updated", CreatedAt: at(600)},
		{Kind: "ConfigMap", Namespace: "guestbook-prod", Name: "settings", UID: "c", CreatedAt: at(600)},
		{Kind: "Service", Namespace: "guestbook-prod", Name: "web", Health: "Missing", Message: "it does not exist in the cluster"},
		{Group: "apps", Kind: "ReplicaSet", Namespace: "guestbook-prod", Name: "web-5d", UID: "r", Parent: "d", Health: "Healthy", CreatedAt: at(3)},
		{Kind: "Pod", Namespace: "guestbook-prod", Name: "web-5d-a", UID: "p1", Parent: "r", Health: "Healthy", CreatedAt: at(3), Containers: []string{"web"}},
		{Kind: "Pod", Namespace: "guestbook-prod", Name: "web-5d-b", UID: "p2", Parent: "r", Health: "Degraded", Reason: "CrashLoopBackOff", CreatedAt: at(3), Containers: []string{"web"}},
	}}
	diff := model.LiveDiff{Project: "guestbook", Revision: "1a2b3c4d5e6f", Application: model.PlannedApplication{Name: "prod", Unchanged: 2, Objects: []model.ObjectChange{
		{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web", Change: model.ObjectChangeChangeChanged, Added: 1, Removed: 1,
			Diff: "@@ -10,3 +10,3 @@\n spec:\n-  replicas: 3\n+  replicas: 1\n"},
	}}, Failed: []model.ObjectStatus{{Kind: "Job", Namespace: "guestbook-prod", Name: "once", Reason: "ImmutableField", Message: "spec.template is immutable"}}}
	same := model.LiveDiff{Project: "guestbook", Revision: "1a2b3c4d5e6f", Application: model.PlannedApplication{Name: "prod", Unchanged: 3, Objects: []model.ObjectChange{}}}
	asked := accepted(model.RefreshResult{Request: "r1"})
	synced := app("prod", "prod")
	synced.Revision, synced.LastSync = "1a2b3c4d5e6f", model.SyncResult{ID: "r1", Phase: model.SyncResultPhaseSucceeded}
	unsynced := synced
	unsynced.Sync, unsynced.LastSync.Phase, unsynced.LastSync.Message = model.ApplicationSyncOutOfSync, model.SyncResultPhaseFailed, "Deployment guestbook-prod/web: spec.selector is immutable"
	traced := model.TraceItem{
		Path: []model.ResourceNode{
			{Kind: "Pod", Namespace: "guestbook-prod", Name: "web-5d-b", UID: "p2", Parent: "r", Health: "Degraded", Reason: "CrashLoopBackOff", CreatedAt: at(3)},
			{Group: "apps", Kind: "ReplicaSet", Namespace: "guestbook-prod", Name: "web-5d", UID: "r", Parent: "d", Health: "Healthy", CreatedAt: at(3)},
			{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web", UID: "d", Health: "Progressing", Message: "1 of 2 replicas are updated", CreatedAt: at(600)},
		},
		Application: drifting, File: "base/web.yaml", Wrote: true,
		Commit: model.GitCommit{RepoURL: "https://git.example.com/deploy.git", ID: "1a2b3c4d5e6f", Branch: "stage/prod", Message: "prod: promote 1.27.0", Author: "Waybill", Date: at(5)},
		Promotion: model.Promotion{Name: "prod.3.f01234567", Project: "guestbook", Stage: "prod", Kind: model.PromotionKindPromote, Phase: model.PhaseSucceeded,
			RequestedBy: "waybill:ann", RequestReason: "the release of the week", CreatedAt: at(90), FinishedAt: at(4), Approvals: []model.Approval{
				{Actor: "waybill:bob", Decision: model.Approve, Standing: model.Counts, Reason: "looks good"}, {Actor: "waybill:cat", Decision: model.Approve, Standing: model.Counts},
			}},
		Freight: []model.StageFreight{{Name: "f0123456789", Alias: "calm-lynx", Version: "1.27.0", Origin: "guestbook", Promotion: "prod.3.f01234567",
			Images:  []model.Image{{RepoURL: "registry.example.com/guestbook", Tag: "1.27.0", Digest: "sha256:2d5f"}},
			Commits: []model.GitCommit{{RepoURL: "https://git.example.com/app.git", ID: "9f8e7d6c5b4a", Tag: "v1.27.0", Message: "fix the form"}}}},
	}
	traced.Application.SyncedAt, traced.Application.Revision = at(4), "1a2b3c4d5e6f"
	byHand := model.TraceItem{
		Path:        []model.ResourceNode{{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web", Health: "Unknown", Reason: "NotSeen", Message: `cluster "west" does not answer`}},
		Application: app("prod", "prod"), Promotion: traced.Promotion, Freight: traced.Freight, Missing: []string{"file and commit: the repository cannot be read now"},
	}
	byHand.Application.Cluster, byHand.Application.Revision, byHand.Application.Branch = "west", "99887766554433", "stage/prod"
	ofChart := model.TraceItem{
		Path:        []model.ResourceNode{{Group: "apps", Kind: "StatefulSet", Namespace: "cache", Name: "redis", Health: "Healthy"}},
		Application: app("redis", ""), File: "templates/master.yaml",
	}
	ofChart.Application.Chart, ofChart.Application.RepoURL, ofChart.Application.Revision = "redis", "https://charts.example.com", "19.1.0"
	const trace = "GET /api/v1/trace"
	const postSync = "POST " + api + "/applications/prod/sync"
	const postAccept = "POST " + api + "/applications/prod/accept"
	const apps = "GET " + api + "/applications"
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
	}{
		{"tree", "tree guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/tree": ok(tree)}},
		{"tree-of-two", "tree guestbook/prod", map[string]answer{apps: applications(app("prod-eu", "prod"), app("prod-us", "prod")),
			apps + "/prod-eu/tree": ok(tree), apps + "/prod-us/tree": ok(model.ResourceTree{Items: []model.ResourceNode{}})}},
		{"tree-unreachable", "tree guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/tree": problem(model.Problem{
			Status: http.StatusServiceUnavailable, Code: model.Unavailable, Detail: `cluster "west" does not answer`})}},
		{"tree-unknown", "tree guestbook/nothing", map[string]answer{apps: applications(app("prod", "prod"))}},
		{"trace", "trace po/web-5d-b -n guestbook-prod", map[string]answer{trace + "?kind=po&name=web-5d-b&namespace=guestbook-prod": ok(model.Trace{Items: []model.TraceItem{traced}})}},
		{"trace-several", "trace deployments.apps web", map[string]answer{trace + "?kind=deployments.apps&name=web": ok(model.Trace{Items: []model.TraceItem{byHand, ofChart}, Unreachable: []string{"west"}})}},
		{"trace-json", "trace sts/redis --cluster in-cluster -o json", map[string]answer{trace + "?cluster=in-cluster&kind=sts&name=redis": ok(model.Trace{Items: []model.TraceItem{ofChart}})}},
		{"trace-nobodys", "trace deploy/other", map[string]answer{trace + "?kind=deploy&name=other": problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound,
			Detail: `no Application that you may see manages deploy "other", or what owns it`, Hint: "kubectl shows whether it exists, and its managedFields who wrote it"})}},
		{"trace-usage", "trace web", nil},
		{"trace-usage-both", "trace deploy/web web", nil},
		{"help-trace", "trace --help", nil},
		{"events", "events guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/events": ok(model.ObjectEventList{Items: []model.ObjectEvent{
			{Kind: "Pod", Namespace: "guestbook-prod", Name: "web-5d-b", Warning: true, Reason: "BackOff", Message: "Back-off restarting failed container", Count: 7, FirstAt: at(9), LastAt: at(1)},
			{Kind: "Application", Namespace: "guestbook", Name: "prod", Reason: "Synced", Message: "runs 1a2b3c4 of stage/prod", Count: 1, FirstAt: at(10), LastAt: at(10)},
		}})}},
		{"events-warnings", "events guestbook/prod --warnings", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/events": ok(model.ObjectEventList{Items: []model.ObjectEvent{
			{Kind: "Application", Namespace: "guestbook", Name: "prod", Reason: "Synced", Message: "runs 1a2b3c4", Count: 1, FirstAt: at(10), LastAt: at(10)},
		}})}},
		{"logs-pods", "logs --pods guestbook/prod deployment/web --lines 2 -c web", map[string]answer{apps: applications(app("prod", "prod")),
			apps + "/prod/logs?container=web&kind=deployment&lines=2&name=web": ok(model.ContainerLogList{Items: []model.ContainerLog{
				{Pod: "guestbook-prod/web-5d-a", Container: "web", Text: "ready\n\x1b[31mdone\n"}, {Pod: "guestbook-prod/web-5d-b", Container: "web", Missing: "container is waiting to start"},
			}})}},
		{"logs-pods-usage", "logs --pods guestbook/prod web", map[string]answer{}},
		{"diff-live", "diff --live guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/diff": ok(diff)}},
		{"diff-live-nothing", "diff --live guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/diff": ok(same)}},
		{"drift", "drift guestbook/prod", map[string]answer{apps: applications(drifting)}},
		{"drift-paused", "drift guestbook/prod", map[string]answer{apps: applications(paused)}},
		{"drift-none", "drift guestbook/prod", map[string]answer{apps: applications(app("prod", "prod"))}},
		{"sync", "sync guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), postSync: asked}},
		{"sync-wait", "sync guestbook/prod --wait", map[string]answer{apps: applications(app("prod", "prod")), postSync: asked, apps + "/prod": ok(synced)}},
		{"sync-failed", "sync guestbook/prod --wait --only deployment/web", map[string]answer{apps: applications(app("prod", "prod")), postSync: asked, apps + "/prod": ok(unsynced)}},
		{"sync-dry-run", "sync guestbook/prod --dry-run --only deployment.apps/web", map[string]answer{apps: applications(app("prod", "prod")), apps + "/prod/diff": ok(diff)}},
		{"sync-usage", "sync guestbook/prod --only web", nil},
		{"sync-forbidden", "sync guestbook/prod", map[string]answer{apps: applications(app("prod", "prod")), postSync: problem(model.Problem{
			Status: http.StatusForbidden, Code: model.Forbidden, Detail: `you may not sync applications "prod" in Project "guestbook"`})}},
		{"drift-revert", "drift guestbook/prod --revert spec.replicas --wait", map[string]answer{apps: applications(drifting), postSync: asked, apps + "/prod": ok(synced)}},
		{"drift-revert-nothing", "drift guestbook/prod --revert spec.image", map[string]answer{apps: applications(drifting)}},
		{"drift-accept", "drift guestbook/prod --accept spec.replicas --reason needed", map[string]answer{apps: applications(drifting), postAccept: ok(model.AcceptResult{
			Branch: "stage/prod", Commit: "1a2b3c4d5e6f", IsNew: true, Changes: []model.AcceptedChange{{Kind: "Deployment", Name: "web", Field: "spec.replicas", Before: "2", After: "5", File: "web.yaml"}}})}},
		{"drift-accept-again", "drift guestbook/prod --accept deployment/web", map[string]answer{apps: applications(drifting), postAccept: ok(model.AcceptResult{Branch: "stage/prod", Commit: "1a2b3c4d5e6f"})}},
		{"drift-accept-refused", "drift guestbook/prod --accept spec.replicas", map[string]answer{apps: applications(drifting), postAccept: problem(model.Problem{
			Status: http.StatusConflict, Code: model.Conflict, Detail: `Application "prod" is rendered from a Helm chart: no one place in a file says spec.replicas`, Hint: "set the value in the values file of the chart"})}},
		{"drift-accept-nothing", "drift guestbook/prod --accept spec.paused", map[string]answer{apps: applications(drifting)}},
		{"drift-accept-usage", "drift guestbook/prod --accept spec.paused --revert spec.paused", nil},
		{"help-sync", "sync --help", nil},
		{"help-tree", "tree --help", nil},
		{"help-hold", "hold --help", nil},
		{"help-drift", "drift --help", nil},
		{"help-events", "events --help", nil},
		{"help-logs", "logs --help", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, c.answers).URL)
			golden(t, c.name, s.run(strings.Fields(c.args)...).String())
		})
	}
}
