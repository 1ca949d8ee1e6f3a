package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

const planHash = "sha256:8d3c1111111111111111111111111111111111111111111111111111111111aa"

// waiting is a Promotion that two release managers have to approve.
func waiting(have int) model.Promotion {
	p := promotion(model.PhasePending)
	p.RequestedBy, p.RequestReason, p.CreatedAt, p.PlanHash = "waybill:petra", "release 42", at(26), planHash
	p.ApprovalNeed = model.ApprovalNeed{Need: 2, Have: have, Groups: []string{"release-managers"}}
	p.Message = "approval: 1 of 2 approvals, by ann"
	if have > 0 {
		p.Approvals = []model.Approval{
			{Name: "prod-approve-x", Promotion: p.Name, Stage: "prod", Actor: "waybill:ann", Decision: model.Approve, Standing: model.Counts, PlanHash: planHash, CreatedAt: at(4), Reason: "looks good"},
			{Name: "prod-approve-y", Promotion: p.Name, Stage: "prod", Actor: "waybill:bob", Decision: model.Approve, Standing: model.OtherPlan, PlanHash: planHash, CreatedAt: at(20)},
		}
	}
	return p
}

func plan() model.Plan {
	return model.Plan{
		Project: "guestbook", Stage: "prod", Freight: ref("1.27.0"), MayPromote: true, PlanHash: planHash, Gates: []model.GateVerdict{}, Images: []model.ImageChange{}, Writes: []model.Write{},
		Files: []model.FileChange{{RepoURL: "https://git.example.com/guestbook.git", Path: "stages/prod/kustomization.yaml", Scalars: []model.ScalarChange{}}},
		Applications: []model.PlannedApplication{{Name: "prod", Cluster: "in-cluster", Namespace: "guestbook-prod", Unchanged: 4, Added: 2, Removed: 3, Objects: []model.ObjectChange{
			{Kind: "ConfigMap", Namespace: "guestbook-prod", Name: "old", Change: model.ObjectChangeChangeDeleted, Removed: 2, Diff: "@@ -1,2 +0,0 @@\n-kind: ConfigMap\n-name: old\n",
				Risks: []model.Risk{{Flag: model.Deletion, Sentence: "ConfigMap old: is deleted"}}},
			{Group: "apps", Kind: "Deployment", Namespace: "guestbook-prod", Name: "web", Change: model.ObjectChangeChangeChanged, Added: 1, Removed: 1,
				Diff: "@@ -7,3 +7,3 @@\n       containers:\n-      - image: registry.example.com/guestbook:1.26.1\n+      - image: registry.example.com/guestbook:1.27.0\n"},
		}}},
		Risks:      []model.Risk{{Flag: model.Deletion, Sentence: "ConfigMap old: is deleted"}},
		Commits:    []model.PlannedCommit{{RepoURL: "https://git.example.com/guestbook.git", Commit: "5d02c7e123", Author: "A. Khan", Subject: "Raise memory limit"}},
		Accepted:   []model.AcceptedCommit{{Commit: "5cc01dfe77", By: "waybill:petra", Fields: []string{"Deployment guestbook-prod/web spec.replicas"}}},
		Overwrites: []model.PlannedCommit{{Commit: "77ad03c123", Author: "M. Ito", Subject: "hotfix"}},
	}
}

func TestDecisionTranscripts(t *testing.T) {
	const api = "/api/v1/projects/guestbook"
	const pending = api + "/promotions/prod.2.f2222222"
	stageThatWaits := prod()
	stageThatWaits.Stage.PendingPromotions = []model.Promotion{waiting(1)}
	stageThatWaits.Applications = []model.Application{{Name: "prod", Cluster: "in-cluster", Namespace: "guestbook-prod", Sync: model.ApplicationSyncSynced, Health: model.HealthHealthy}}
	two := prod()
	second := waiting(0)
	second.Name = "prod.3.f3333333"
	two.Stage.PendingPromotions = []model.Promotion{waiting(1), second}
	notAPromotion := problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound, Detail: "no Promotion"})
	ofPromotion := plan()
	ofPromotion.Promotion = waiting(1)
	nothing := plan()
	nothing.Applications, nothing.Files, nothing.Risks, nothing.Commits, nothing.Overwrites, nothing.Accepted = []model.PlannedApplication{{Name: "prod"}}, nil, nil, nil, nil, nil
	unread := plan()
	unread.FilesMissing = "Git could not be read; request 01k0"
	approved := waiting(2)
	may := model.Permissions{Project: "guestbook", Refresh: true, Abort: true, Stages: []model.StagePermissions{
		{Stage: "test", Promote: true, Rollback: true, Hold: true}, {Stage: "prod", Approve: true},
	}}
	found := map[string]answer{
		"GET " + api + "/promotions/prod":                 notAPromotion,
		"GET " + api + "/stages/prod":                     ok(stageThatWaits),
		"GET " + pending + "/plan":                        ok(ofPromotion),
		"POST " + pending + "/approve":                    ok(approved),
		"POST " + pending + "/reject":                     ok(promotion(model.PhasePending)),
		"POST " + pending + "/revoke":                     ok(waiting(0)),
		"GET " + api + "/stages/prod/plan?freight=1.27.0": ok(plan()),
	}
	with := func(path string, a answer) map[string]answer {
		out := map[string]answer{}
		for k, v := range found {
			out[k] = v
		}
		out[path] = a
		return out
	}
	decided := waiting(1)
	freight := model.Freight{Name: newFreight, Alias: "amber-heron", Version: "1.27.0", Origin: "guestbook", Order: 7, CreatedAt: at(90),
		Images:     []model.Image{{RepoURL: "registry.example.com/guestbook", Tag: "1.27.0", Digest: digest}},
		Signatures: []model.FreightSignature{{RepoURL: "registry.example.com/guestbook", Reason: "SignatureMissing", Message: "nobody signed it"}},
		Stages: []model.FreightInStage{
			{Stage: "test", Current: true, VerifiedAt: at(80), SoakingSince: at(30), SoakedSeconds: 600, LongestSoakSeconds: 900, Checks: model.CheckPhaseSucceeded},
			{Stage: "uat", Checks: model.CheckPhaseFailed, ChecksMessage: `check "errors" failed: 0.4`, LongestSoakSeconds: 900},
		},
		Rejections: []model.Freeze{freeze("prod", model.FreezeShownAsRejected, time.Time{})}}
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
	}{
		{name: "approve", args: "approve guestbook/prod --reason good", answers: found},
		{name: "approve-one-of-two", args: "approve guestbook/prod --plan " + planHash, answers: with("POST "+pending+"/approve", ok(waiting(1)))},
		{name: "approve-plan-changed", args: "approve guestbook/prod --plan " + planHash, answers: with("POST "+pending+"/approve",
			problem(model.Problem{Status: http.StatusConflict, Code: model.PlanChanged, Detail: "the plan is another one than you saw; look at it, then decide again", Hint: "waybill diff guestbook/prod"}))},
		{name: "approve-oneself", args: "approve guestbook/prod --plan " + planHash, answers: with("POST "+pending+"/approve",
			problem(model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "you requested it, and somebody else has to approve it"}))},
		{name: "approve-which", args: "approve guestbook/prod", answers: with("GET "+api+"/stages/prod", ok(two))},
		{name: "approve-nothing", args: "approve guestbook/prod", answers: with("GET "+api+"/stages/prod", ok(prod()))},
		{name: "approve-until-in-the-past", args: "approve guestbook/prod --until 2020-01-01T00:00:00Z"},
		{name: "reject-promotion", args: "reject guestbook/prod --reason leaks", answers: found},
		{name: "reject-promotion-without-reason", args: "reject guestbook/prod"},
		{name: "revoke", args: "revoke guestbook/prod", answers: found},
		{name: "inbox", args: "inbox", answers: map[string]answer{"GET /api/v1/inbox": ok(model.Inbox{
			Approvals: []model.InboxApproval{{Project: "guestbook", Promotion: waiting(1), MayDecide: true}, {Project: "guestbook", Promotion: second, MayNot: "you requested it, and somebody else has to approve it"}},
			Failed: []model.InboxPromotion{{Project: "guestbook", Promotion: func() model.Promotion {
				p := promotion(model.PhaseFailed)
				p.Reason, p.Message = "PushRejected", "protected branch"
				return p
			}()}},
			Drifted: []model.InboxDrift{{Project: "guestbook", Stage: "uat", Sentence: "the cluster differs from Git and is not being healed"}},
		})}},
		{name: "inbox-empty", args: "inbox", answers: map[string]answer{"GET /api/v1/inbox": ok(model.Inbox{})}},
		{name: "inbox-done", args: "inbox --done", answers: map[string]answer{"GET /api/v1/inbox": ok(model.Inbox{Done: []model.InboxApproval{{Project: "guestbook", Promotion: decided, Decision: decided.Approvals[0]}}})}},
		{name: "diff", args: "diff 1.27.0 guestbook/prod", answers: found},
		{name: "diff-of-what-waits", args: "diff guestbook/prod", answers: found},
		{name: "diff-nothing", args: "diff 1.27.0 guestbook/prod", answers: with("GET "+api+"/stages/prod/plan?freight=1.27.0", ok(nothing))},
		{name: "diff-git-unreachable", args: "diff 1.27.0 guestbook/prod", answers: with("GET "+api+"/stages/prod/plan?freight=1.27.0", ok(unread))},
		{name: "diff-internal-error", args: "diff 1.27.0 guestbook/prod", answers: with("GET "+api+"/stages/prod/plan?freight=1.27.0",
			problem(model.Problem{Status: http.StatusInternalServerError, Code: model.Internal, Detail: "internal error", RequestID: "01k0"}))},
		{name: "promote-other-plan", args: "promote 1.27.0 guestbook/prod --plan " + planHash, answers: map[string]answer{"POST " + api + "/stages/prod/promotions": problem(model.Problem{
			Status: http.StatusConflict, Code: model.PlanChanged, Detail: "the plan is another one than you saw; look at it, then decide again", Hint: "waybill diff guestbook/prod"})}},
		{name: "can-i-yes", args: "can-i approve guestbook/prod", answers: map[string]answer{"GET /api/v1/me/permissions?project=guestbook": ok(may)}},
		{name: "can-i-no", args: "can-i promote guestbook/prod", answers: map[string]answer{"GET /api/v1/me/permissions?project=guestbook": ok(may)}},
		{name: "can-i-all", args: "can-i -p guestbook", answers: map[string]answer{"GET /api/v1/me/permissions?project=guestbook": ok(may)}},
		{name: "can-i-unknown-verb", args: "can-i fly guestbook/prod", answers: map[string]answer{"GET /api/v1/me/permissions?project=guestbook": ok(may)}},
		{name: "describe-stage", args: "describe stage guestbook/prod", answers: found},
		{name: "describe-promotion", args: "describe promotion guestbook/prod.2.f2222222", answers: map[string]answer{"GET " + pending: ok(waiting(1))}},
		{name: "describe-promotion-checks", args: "describe promotion guestbook/prod.2.f2222222", answers: map[string]answer{"GET " + pending: ok(checkedPromotion(model.PhaseFailed, model.CheckPhaseFailed))}},
		{name: "describe-freight", args: "describe freight guestbook/1.27.0", answers: map[string]answer{"GET " + api + "/freight/1.27.0": ok(freight)}},
		{name: "describe-warehouse", args: "describe warehouse guestbook/main", answers: map[string]answer{"GET " + api + "/warehouses/main": ok(model.Warehouse{
			Name: "main", Project: "guestbook", Ready: true, Message: "watching 3 repositories", Interval: "5m0s", FreightCreationPolicy: "Every",
			Subscriptions: []model.Subscription{
				{Type: "image", RepoURL: "registry.example.com/guestbook", Strategy: "SemVer", Constraint: "^1.26.0", Tags: 5000, Requests: 1, LastPoll: noon.Add(-time.Minute), NextPoll: noon.Add(4 * time.Minute), Candidates: []model.Image{{Tag: "1.27.0"}, {Tag: "1.26.0"}}, Signature: "key", Refused: []model.RefusedCandidate{{Tag: "1.28.0", Reason: "SignatureMissing"}}},
				{Type: "git", RepoURL: "https://git.example.com/guestbook.git", Strategy: "NewestFromBranch", Branch: "main", LastPoll: noon.Add(-time.Minute), Commits: []model.GitCommit{{ID: strings.Repeat("ab", 20), Message: "two replicas"}}},
				{Type: "chart", RepoURL: "https://charts.example.com", Chart: "redis", Error: `read index.yaml of "https://charts.example.com": access denied (status 403) with Secret "charts"`},
			},
		})}},
		{name: "describe-unknown-kind", args: "describe pod guestbook/x"},
		{name: "freeze-everything", args: "freeze --everything --reason outage", answers: map[string]answer{
			"GET /api/v1/projects":                  ok(model.Projects{Items: []model.ProjectSummary{{Name: "guestbook"}, {Name: "payroll"}}}),
			"POST " + api + "/freezes":              {status: http.StatusCreated, body: freeze("*", model.FreezeShownAsFreeze, time.Time{})},
			"POST /api/v1/projects/payroll/freezes": problem(model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "waybill:alice needs the verb freeze on stage payroll/*"}),
		}},
		{name: "freeze-nothing-named", args: "freeze --reason x"},
		{name: "thaw-everything", args: "thaw --everything", answers: map[string]answer{
			"GET /api/v1/projects":                  ok(model.Projects{Items: []model.ProjectSummary{{Name: "guestbook"}}}),
			"GET " + api + "/freezes":               ok(model.FreezeList{Items: []model.Freeze{freeze("*", model.FreezeShownAsFreeze, time.Time{}), freeze("prod", model.FreezeShownAsFreeze, time.Time{})}}),
			"DELETE " + api + "/freezes/all-freeze": {status: http.StatusNoContent},
		}},
		{name: "help-approve", args: "approve --help"},
		{name: "help-diff", args: "diff --help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, c.answers)
			got := signedIn(t, server.URL).run(strings.Fields(c.args)...)
			golden(t, c.name, strings.ReplaceAll(got.String(), server.URL, "https://waybill.example.com"))
		})
	}
}
