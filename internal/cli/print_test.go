package cli

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

const (
	oldFreight = "f1111111111111111111111111111111111111aa"
	newFreight = "f2222222222222222222222222222222222222bb"
	digest     = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func at(minutesAgo int) time.Time { return noon.Add(-time.Duration(minutesAgo) * time.Minute) }

func ref(version string) model.FreightRef {
	if version == "1.26.1" {
		return model.FreightRef{Name: oldFreight, Alias: "calm-lynx", Version: version, Origin: "guestbook"}
	}
	return model.FreightRef{Name: newFreight, Alias: "amber-heron", Version: version, Origin: "guestbook"}
}

func stageFreight(version string, since time.Time) model.StageFreight {
	r := ref(version)
	return model.StageFreight{Name: r.Name, Alias: r.Alias, Version: version, Origin: "guestbook", Since: since, Commit: "1a2b3c4d5e6f",
		Images: []model.Image{{RepoURL: "registry.example.com/guestbook", Tag: version, Digest: digest}}}
}

func closedGate(gate model.GateName, group model.GateVerdictGroup, reason, opensBy string) model.GateVerdict {
	return model.GateVerdict{Gate: gate, Group: group, Reason: reason, OpensBy: opensBy}
}

func fourClosed() []model.GateVerdict {
	soak := closedGate(model.GateNameSoak, model.Entry, `Soaking in "uat" until 14:30Z`, "")
	soak.OpensAt = time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)
	return []model.GateVerdict{
		{Gate: model.GateNameOrigin, Group: model.Entry, Open: true, Reason: `Stage requests Warehouse "guestbook"`},
		closedGate(model.GateNameUpstream, model.Entry, `not verified in "uat"`, "waybill promote 1.27.0 guestbook/uat"),
		soak,
		closedGate(model.GateNameRejected, model.Entry, `rejected by alice: "memory leak"`, "waybill unreject 1.27.0 guestbook/prod"),
		{Gate: model.GateNameHold, Group: model.Entry, Open: true},
		closedGate(model.GateNameFreeze, model.Start, `frozen by bob until 2026-03-03 09:00Z: "holidays"`, "waybill thaw guestbook/prod"),
		{Gate: model.GateNameBusy, Group: model.Start, Open: true},
		{Gate: model.GateNameHealth, Group: model.Start, Open: true},
	}
}

func why(gates []model.GateVerdict) model.Why {
	return model.Why{Project: "guestbook", Stage: "prod", Freight: ref("1.27.0"), State: model.WhyStateClosed, Gates: gates}
}

func pipeline() model.Pipeline {
	stage := func(name string, rank int, auto bool, f model.StageFreight, s model.Status) model.Stage {
		return model.Stage{Name: name, Project: "guestbook", Rank: rank, Auto: auto, Status: s, Health: model.HealthHealthy, Synced: true,
			Freight: f, Origins: []model.StageFreight{f}, Upstream: []string{}, Destinations: []model.Application{},
			Branches: []model.Branch{{RepoURL: "https://git.example.com/guestbook.git", WriteBranch: "stage/" + name}}}
	}
	test := stage("test", 1, true, stageFreight("1.27.0", at(5)), model.Status{Word: model.StatusWordHealthy, Sentence: "1.27.0 is healthy"})
	uat := stage("uat", 2, true, stageFreight("1.26.1", at(180)), model.Status{Word: model.StatusWordProgressing, Sentence: "Deployment/guestbook: 1 of 3 replicas are updated"})
	uat.Health, uat.Behind = model.HealthProgressing, 1
	prod := stage("prod", 3, false, stageFreight("1.26.1", at(3*24*60)), model.Status{Word: model.StatusWordHealthy, Sentence: "1.26.1 is healthy"})
	prod.Behind = 1
	prod.Next = model.NextFreight{Freight: ref("1.27.0"), Closed: []model.GateVerdict{closedGate(model.GateNameUpstream, model.Entry, `not verified in "uat"`, "")}}
	return model.Pipeline{Project: "guestbook", Cursor: "7", Status: model.Status{Word: model.StatusWordProgressing, Sentence: "uat is rolling out"},
		Stages: []model.Stage{test, uat, prod}, Warehouses: []model.Warehouse{{Name: "guestbook", Project: "guestbook", Ready: true, Interval: "1h0m0s"}},
		Edges: []model.Edge{}, Freight: []model.Freight{}, Verdicts: []model.Verdict{}, Activity: []model.Activity{}}
}

// retried is what tries promotion(PhaseFailed) again.
func retried(phase model.Phase) model.Promotion {
	p := promotion(phase)
	p.Name, p.RetryOf = "prod.3.f2222222", "prod.2.f2222222"
	return p
}

func promotion(phase model.Phase) model.Promotion {
	p := model.Promotion{Name: "prod.2.f2222222", Project: "guestbook", Stage: "prod", Kind: model.PromotionKindPromote, Phase: phase,
		Freight: ref("1.27.0"), From: []model.StageFreight{stageFreight("1.26.1", at(90))}, CreatedAt: noon,
		MayRetry: phase == model.PhaseFailed, RequestedBy: "waybill:alice", StageHealth: model.HealthHealthy,
		StageStatus: model.Status{Word: model.StatusWordHealthy, Sentence: "1.26.1 is healthy"},
		Steps: []model.Step{
			{Name: "set-image", Uses: "kustomize-set-image", State: model.StepStatePending},
			{Name: "push", Uses: "git-push", State: model.StepStatePending},
		}}
	if phase != model.PhasePending {
		for i := range p.Steps {
			p.Steps[i].State = model.StepStateSucceeded
			p.Steps[i].StartedAt, p.Steps[i].FinishedAt = noon, noon.Add(200*time.Millisecond)
		}
		p.Commit = model.Commit{RepoURL: "https://git.example.com/guestbook.git", Branch: "stage/prod", Commit: "9f8e7d6c5b4a", Parent: "1a2b3c4d5e6f"}
	}
	if phase == model.PhaseSyncing {
		p.StageHealth = model.HealthProgressing
		p.StageStatus = model.Status{Word: model.StatusWordProgressing, Sentence: "Deployment/guestbook: 2 of 3 replicas are updated"}
	}
	switch phase {
	case model.PhaseSucceeded, model.PhaseFailed, model.PhaseAborted, model.PhaseRolledBack, model.PhaseSuperseded:
		p.Finished, p.FinishedAt = true, noon.Add(1400*time.Millisecond)
	}
	p.Verified = phase == model.PhaseSucceeded
	return p
}

// prod is the Stage that promotions of these tests go into.
func prod() model.StageDetail {
	s := pipeline().Stages[2]
	s.Destinations = []model.Application{{Name: "prod", Project: "guestbook", Cluster: "in-cluster", Namespace: "guestbook-prod"}}
	return model.StageDetail{Stage: s, Promotions: []model.Promotion{}}
}

const topic = "promotion:guestbook/prod.2.f2222222"

// Paths of the API.
const (
	api        = "/api/v1/projects/guestbook"
	promotions = "POST " + api + "/stages/prod/promotions"
	getProd    = "GET " + api + "/stages/prod"
	stream     = "GET /api/v1/events?topics=promotion%3Aguestbook%2Fprod.2.f2222222"
	getWhy     = "GET " + api + "/stages/prod/why?freight="
)

func watched(t *testing.T, states ...model.Promotion) answer {
	t.Helper()
	a := answer{hang: true}
	for _, s := range states {
		a.events = append(a.events, event(t, topic, s))
	}
	return a
}

// TestTranscripts keeps what commands print, to which stream, and the exit code.
func TestTranscripts(t *testing.T) {
	frozen := promotion(model.PhasePending)
	frozen.Gates = []model.GateVerdict{
		closedGate(model.GateNameFreeze, model.Start, `frozen by bob: "holidays"`, "waybill thaw guestbook/prod"),
		closedGate(model.GateNameBusy, model.Start, "promotion prod.1.f1111111 is running", "when it ends"),
	}
	busy := promotion(model.PhasePending)
	busy.Gates = frozen.Gates[1:]
	failed := promotion(model.PhaseFailed)
	failed.Reason, failed.Message = "PushRejected", `push branch "stage/prod" of https://git.example.com/guestbook.git: credentials refused (Secret "git")`
	failed.Steps[1].State, failed.Steps[1].Message = model.StepStateFailed, failed.Message
	rolledBack := promotion(model.PhaseRolledBack)
	rolledBack.RolledBackBy, rolledBack.Message = "prod.3.f2222222", "Deployment/guestbook: container guestbook is in CrashLoopBackOff"
	shutOut := why(fourClosed())
	shutOut.Freight, shutOut.MayPromote, shutOut.MayFlow, shutOut.State = ref("1.26.1"), true, true, model.WhyStateOpen
	for i := range shutOut.Gates {
		shutOut.Gates[i].Open, shutOut.Gates[i].Reason, shutOut.Gates[i].OpensBy, shutOut.Gates[i].OpensAt = true, "", "", time.Time{}
	}
	shutOut.Newer = model.ShutOut{Freight: ref("1.27.0"), Closed: []model.GateVerdict{closedGate(model.GateNameRejected, model.Entry, "rejected by waybill:policy: CrashLoopBackOff", "waybill unreject 1.27.0 guestbook/prod")}}

	unready := pipeline()
	unready.Warehouses[0].Ready = false
	unready.Warehouses[0].Subscriptions = []model.Subscription{{RepoURL: "registry.example.com/guestbook", Error: `credentials refused (Secret "registry")`, Reason: "AuthenticationFailed"}}
	unready.Stages = unready.Stages[:1]

	held := pipeline()
	held.Stages[0].Held, held.Stages[2].Held = true, true

	for _, c := range []struct {
		name     string
		args     string
		answers  map[string]answer
		terminal bool
		env      map[string]string
	}{
		{name: "status", args: "status guestbook", answers: map[string]answer{"GET " + api + "/pipeline": ok(pipeline())}},
		{name: "status-held", args: "status guestbook", answers: map[string]answer{"GET " + api + "/pipeline": ok(held)}},
		{name: "status-wide", args: "status -p guestbook -o wide", answers: map[string]answer{"GET " + api + "/pipeline": ok(pipeline())}},
		{name: "status-json", args: "status -p guestbook -o json", answers: map[string]answer{"GET " + api + "/pipeline": ok(pipeline())}},
		{name: "status-name", args: "status -p guestbook -o name", answers: map[string]answer{"GET " + api + "/pipeline": ok(pipeline())}},
		{name: "status-terminal", args: "status guestbook", terminal: true, answers: map[string]answer{"GET " + api + "/pipeline": ok(pipeline())}},
		{name: "status-no-color", args: "status guestbook", terminal: true, env: map[string]string{"NO_COLOR": "1"}, answers: map[string]answer{"GET " + api + "/pipeline": ok(pipeline())}},
		{name: "status-warehouse-error", args: "status guestbook", answers: map[string]answer{"GET " + api + "/pipeline": ok(unready)}},
		{name: "status-projects", args: "status", answers: map[string]answer{"GET /api/v1/projects": ok(model.Projects{Cursor: "1", Items: []model.ProjectSummary{{
			Name: "guestbook", CreatedAt: at(9000), Status: model.Status{Word: model.StatusWordFailed, Sentence: "prod failed"},
			Stages:        []model.StageCell{{Name: "test", Rank: 1, Version: "1.27.0", Status: model.StatusWordHealthy}, {Name: "prod", Rank: 2, Status: model.StatusWordFailed}},
			LastPromotion: model.Activity{Promotion: "prod.2.f2222222", Sentence: "1.27.0 into prod failed", At: at(12)},
		}}, Counts: []model.StatusCount{}})}},
		{name: "status-missing", args: "status nowhere", answers: map[string]answer{"GET /api/v1/projects/nowhere/pipeline": problem(model.Problem{
			Status: http.StatusNotFound, Code: model.NotFound, Detail: `Project "nowhere" is not there, or you may not see it`, Hint: "waybill get projects"})}},

		{name: "why-four-gates", args: "why 1.27.0 guestbook/prod", answers: map[string]answer{getWhy + "1.27.0": ok(why(fourClosed()))}},
		{name: "why-failed-checks", args: "why 1.27.0 guestbook/prod", answers: map[string]answer{getWhy + "1.27.0": ok(checkedWhy(why(fourClosed())))}},
		{name: "why-four-gates-json", args: "why 1.27.0 guestbook/prod -o json", answers: map[string]answer{getWhy + "1.27.0": ok(why(fourClosed()))}},
		{name: "why-latest-newer-shut-out", args: "why latest guestbook/prod", answers: map[string]answer{getWhy + "latest": ok(shutOut)}},

		{name: "promote", args: "promote 1.27.0 guestbook/prod", answers: map[string]answer{promotions: accepted(promotion(model.PhasePending))}},
		{name: "promote-name", args: "promote 1.27.0 guestbook/prod -o name", answers: map[string]answer{promotions: accepted(promotion(model.PhasePending))}},
		{name: "promote-latest", args: "promote latest guestbook/prod", answers: map[string]answer{getWhy + "latest": ok(shutOut), promotions: accepted(promotion(model.PhasePending))}},
		{name: "promote-gate-closed", args: "promote 1.27.0 guestbook/prod --wait", answers: map[string]answer{promotions: problem(model.Problem{
			Status: http.StatusConflict, Code: model.GateClosed, Detail: "1.27.0 may not enter guestbook/prod: 3 entry gates are closed", BlockedBy: fourClosed()[1:4], Hint: "waybill why 1.27.0 guestbook/prod"})}},
		{name: "promote-forbidden", args: "promote 1.27.0 guestbook/prod", answers: map[string]answer{promotions: problem(model.Problem{
			Status: http.StatusForbidden, Code: model.Forbidden, Detail: `alice may not promote Stage "prod" of Project "guestbook"`})}},
		{name: "promote-wait", args: "promote 1.27.0 guestbook/prod --wait", answers: map[string]answer{
			promotions: accepted(promotion(model.PhasePending)), getProd: ok(prod()),
			stream: watched(t, busy, promotion(model.PhaseSyncing), promotion(model.PhaseSucceeded)),
		}},
		{name: "promote-wait-frozen", args: "promote 1.27.0 guestbook/prod --wait", answers: map[string]answer{
			promotions: accepted(promotion(model.PhasePending)), getProd: ok(prod()), stream: watched(t, promotion(model.PhasePending), frozen),
		}},
		{name: "promote-wait-failed", args: "promote 1.27.0 guestbook/prod --wait", answers: map[string]answer{
			promotions: accepted(promotion(model.PhasePending)), getProd: ok(prod()), stream: watched(t, failed),
		}},
		{name: "promote-wait-rolled-back", args: "promote 1.27.0 guestbook/prod --wait", answers: map[string]answer{
			promotions: accepted(promotion(model.PhasePending)), getProd: ok(prod()), stream: watched(t, promotion(model.PhaseSyncing), rolledBack),
		}},
		{name: "promote-wait-timeout", args: "promote 1.27.0 guestbook/prod --wait --timeout 1500ms", answers: map[string]answer{
			promotions: accepted(promotion(model.PhasePending)), getProd: ok(prod()), stream: watched(t, promotion(model.PhaseSyncing)),
		}},
		{name: "promote-bypass-without-reason", args: "promote 1.27.0 guestbook/prod --bypass soak"},
		{name: "promote-without-project", args: "promote 1.27.0 prod"},
		{name: "promote-without-stage", args: "promote 1.27.0"},

		{name: "rollback-dry-run", args: "rollback guestbook/prod --dry-run", answers: map[string]answer{"GET " + api + "/stages/prod/rollback": ok(model.RollbackPreview{
			Project: "guestbook", Stage: "prod", From: ref("1.27.0"), To: ref("1.26.1"), MayRollback: true, Holds: true, Gates: []model.GateVerdict{}, Targets: []model.RollbackTarget{},
			Images: []model.ImageChange{{RepoURL: "registry.example.com/guestbook", Change: model.ImageChangeChangeChanged,
				Before: model.Image{RepoURL: "registry.example.com/guestbook", Tag: "1.27.0", Digest: digest}, After: model.Image{RepoURL: "registry.example.com/guestbook", Tag: "1.26.1", Digest: digest}}},
			Applications: []model.PlannedApplication{{Name: "prod", Unchanged: 1, Objects: []model.ObjectChange{{
				Kind: "Deployment", Namespace: "guestbook-prod", Name: "guestbook", Change: model.ObjectChangeChangeChanged,
				Diff: "@@ -17 +17 @@\n-        image: registry.example.com/guestbook:1.27.0\n+        image: registry.example.com/guestbook:1.26.1\n",
			}}}},
			Risks:  []model.Risk{{Sentence: "Job guestbook-prod/migrate runs again"}},
			Aborts: promotion(model.PhaseRunning),
		})}},
		{name: "rollback-impossible", args: "rollback guestbook/prod --dry-run", answers: map[string]answer{"GET " + api + "/stages/prod/rollback": ok(model.RollbackPreview{
			Project: "guestbook", Stage: "prod", From: ref("1.26.1"), Reason: "nothing ran here before 1.26.1", Gates: []model.GateVerdict{}, Targets: []model.RollbackTarget{}})}},
		{name: "rollback", args: "rollback guestbook/prod --reason oops", answers: map[string]answer{"POST " + api + "/stages/prod/rollback": accepted(model.Promotion{
			Name: "prod.3.f2222222", Project: "guestbook", Stage: "prod", Kind: model.PromotionKindRollback, Phase: model.PhasePending, Freight: ref("1.27.0"), To: ref("1.26.1"), Steps: []model.Step{}})}},

		{name: "hold", args: "hold guestbook/uat --until 2h", answers: map[string]answer{"POST " + api + "/stages/uat/hold": ok(freeze("uat", model.FreezeShownAsHold, noon.Add(2*time.Hour)))}},
		{name: "hold-heal", args: "hold guestbook/uat --heal --for 1h --reason looking", answers: map[string]answer{"POST " + api + "/stages/uat/hold": ok(freeze("uat", model.FreezeShownAsHealingPause, noon.Add(time.Hour)))}},
		{name: "hold-heal-for-ever", args: "hold guestbook/uat --heal"},
		{name: "resume-heal", args: "resume guestbook/uat --heal", answers: map[string]answer{"POST " + api + "/stages/uat/resume?healing=true": ok(model.FreezeList{Items: []model.Freeze{freeze("uat", model.FreezeShownAsHealingPause, noon.Add(time.Hour))}})}},
		{name: "resume-heal-nothing", args: "resume guestbook/uat --heal", answers: map[string]answer{"POST " + api + "/stages/uat/resume?healing=true": ok(model.FreezeList{Items: []model.Freeze{}})}},
		{name: "resume", args: "resume guestbook/uat", answers: map[string]answer{"POST " + api + "/stages/uat/resume": ok(model.FreezeList{Items: []model.Freeze{freeze("uat", model.FreezeShownAsHold, time.Time{})}})}},
		{name: "resume-nothing", args: "resume guestbook/uat", answers: map[string]answer{"POST " + api + "/stages/uat/resume": ok(model.FreezeList{Items: []model.Freeze{}})}},
		{name: "freeze-all", args: "freeze guestbook --all --reason holidays", answers: map[string]answer{"POST " + api + "/freezes": {status: http.StatusCreated, body: freeze("*", model.FreezeShownAsFreeze, time.Time{})}}},
		{name: "freeze-in-the-past", args: "freeze guestbook/prod --until 2020-01-01T00:00:00Z"},
		{name: "thaw", args: "thaw guestbook/prod", answers: map[string]answer{
			"GET " + api + "/freezes":                ok(model.FreezeList{Items: []model.Freeze{freeze("*", model.FreezeShownAsFreeze, time.Time{}), freeze("prod", model.FreezeShownAsFreeze, time.Time{}), freeze("prod", model.FreezeShownAsHold, time.Time{})}}),
			"DELETE " + api + "/freezes/prod-freeze": {status: http.StatusNoContent},
		}},
		{name: "reject", args: "reject 1.27.0 guestbook/prod --reason leaks", answers: map[string]answer{"POST " + api + "/freight/1.27.0/reject": ok(freeze("prod", model.FreezeShownAsRejected, time.Time{}))}},

		{name: "history", args: "history guestbook/prod", answers: map[string]answer{"GET " + api + "/history?limit=20&stage=prod": ok(model.PromotionList{Items: []model.Promotion{rolledBack, promotion(model.PhaseSucceeded)}})}},
		{name: "history-empty", args: "history -p guestbook", answers: map[string]answer{"GET " + api + "/history?limit=20": ok(model.PromotionList{Items: []model.Promotion{}})}},
		{name: "history-of-a-project", args: "history guestbook", answers: map[string]answer{"GET " + api + "/history?limit=20": ok(model.PromotionList{Items: []model.Promotion{promotion(model.PhaseSucceeded)}})}},
		{name: "history-without-the-store", args: "history guestbook", answers: map[string]answer{"GET " + api + "/history?limit=20": ok(model.PromotionList{Items: []model.Promotion{promotion(model.PhaseSucceeded)}, Warning: "the history store does not answer: only what the cluster still has is shown"})}},
		{name: "audit", args: "audit guestbook/prod --who ada --since 7d --action thaw,approve", answers: map[string]answer{
			"GET " + api + "/audit?action=thaw&action=approve&from=2026-02-23T12%3A00%3A00Z&limit=20&stage=prod&who=ada": ok(model.AuditList{Items: auditEntries()[:3]}),
		}},
		{name: "audit-wide", args: "audit -p guestbook -o wide", answers: map[string]answer{"GET " + api + "/audit?limit=20": ok(model.AuditList{Items: auditEntries()[:3]})}},
		{name: "audit-all", args: "audit", answers: map[string]answer{"GET /api/v1/audit?limit=20": ok(model.AuditList{Items: auditEntries()})}},
		{name: "audit-json", args: "audit guestbook --limit 1 -o json", answers: map[string]answer{"GET " + api + "/audit?limit=1": ok(model.AuditList{Items: auditEntries()[:1]})}},
		{name: "audit-none", args: "audit guestbook", answers: map[string]answer{"GET " + api + "/audit?limit=20": ok(model.AuditList{Items: []model.AuditEntry{}})}},
		{name: "audit-unknown-action", args: "audit guestbook --action dance"},
		{name: "audit-unknown-time", args: "audit guestbook --since yesterday"},
		{name: "audit-forbidden", args: "audit", answers: map[string]answer{"GET /api/v1/audit?limit=20": problem(model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "you may not read what happened in every Project", Hint: "waybill audit PROJECT shows one that you may see"})}},
		{name: "audit-verify", args: "audit verify", answers: map[string]answer{
			"GET /api/v1/audit/verify": ok(model.AuditVerdict{Rows: 20_000, Last: auditHead(20_000), Head: auditHead(20_412), Breaks: []model.AuditBreak{}}),
			"GET /api/v1/audit/verify?after=20000&hash=" + auditHead(20_000).Hash: ok(model.AuditVerdict{Rows: 412, Last: auditHead(20_412), Head: auditHead(20_412), Done: true, Breaks: []model.AuditBreak{}}),
		}},
		{name: "audit-verify-none", args: "audit verify", answers: map[string]answer{"GET /api/v1/audit/verify": ok(model.AuditVerdict{Last: auditHead(0), Head: auditHead(0), Done: true})}},
		{name: "audit-verify-broken", args: "audit verify --from 400 --head 500:" + auditHead(500).Hash, answers: map[string]answer{
			"GET /api/v1/audit/verify?after=399&noted=500&notedHash=" + auditHead(500).Hash: ok(brokenAudit()),
		}},
		{name: "audit-verify-broken-json", args: "audit verify -o json", answers: map[string]answer{"GET /api/v1/audit/verify": ok(brokenAudit())}},
		{name: "audit-verify-stuck", args: "audit verify", answers: map[string]answer{"GET /api/v1/audit/verify": ok(model.AuditVerdict{Last: auditHead(0), Head: auditHead(9)})}},
		{name: "audit-verify-bad-head", args: "audit verify --head 12"},
		{name: "audit-verify-head-before-from", args: "audit verify --from 501 --head 500:" + auditHead(500).Hash},
		{name: "audit-verify-no-file", args: "audit verify -f /nowhere/audit.jsonl"},
		{name: "audit-verify-forbidden", args: "audit verify", answers: map[string]answer{"GET /api/v1/audit/verify": problem(model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "you may not read what happened in every Project", Hint: "waybill audit PROJECT shows one that you may see"})}},
		{name: "audit-export", args: "audit export --since 7d", answers: map[string]answer{
			"GET /api/v1/audit/chain?after=0&since=2026-02-23T12%3A00%3A00Z": ok(model.AuditRows{Items: auditRows(3)[1:]}),
			"GET /api/v1/audit/chain?after=3":                                ok(model.AuditRows{Items: []model.AuditRow{}}),
		}},
		{name: "abort-finished", args: "abort guestbook/prod.2.f2222222", answers: map[string]answer{"GET " + api + "/promotions/prod.2.f2222222": ok(promotion(model.PhaseSucceeded))}},
		{name: "retry", args: "retry guestbook/prod", answers: map[string]answer{
			"GET " + api + "/promotions/prod":                   problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound, Detail: "no Promotion"}),
			"GET " + api + "/stages/prod":                       ok(model.StageDetail{Promotions: []model.Promotion{promotion(model.PhaseFailed)}}),
			"POST " + api + "/promotions/prod.2.f2222222/retry": accepted(retried(model.PhasePending)),
		}},
		{name: "retry-succeeded", args: "retry guestbook/prod.2.f2222222", answers: map[string]answer{
			"GET " + api + "/promotions/prod.2.f2222222": ok(promotion(model.PhaseSucceeded)),
			"POST " + api + "/promotions/prod.2.f2222222/retry": problem(model.Problem{Status: http.StatusConflict, Code: model.Conflict, Detail: `Promotion "prod.2.f2222222" succeeded: there is nothing to try again`,
				Hint: "waybill promote FREIGHT guestbook/prod promotes again"}),
		}},
		{name: "retry-bypass-without-reason", args: "retry guestbook/prod --bypass soak"},
		{name: "help-retry", args: "retry --help"},
		{name: "describe-retry", args: "describe promotion/prod.3.f2222222 -p guestbook", answers: map[string]answer{"GET " + api + "/promotions/prod.3.f2222222": ok(retried(model.PhaseFailed))}},
		{name: "history-retry", args: "history guestbook/prod", answers: map[string]answer{
			"GET " + api + "/history?limit=20&stage=prod": ok(model.PromotionList{Items: []model.Promotion{retried(model.PhaseSucceeded), promotion(model.PhaseFailed)}})}},

		{name: "freight-create", args: "freight create guestbook/main --with registry.example.com/guestbook=1.27.0 --with https://charts.example.com#app=2.0.1", answers: map[string]answer{
			"POST " + api + "/warehouses/main/freight": {status: http.StatusCreated, body: model.Freight{Name: "f2222222222222222222222222222222222222222", Alias: "calm-lynx", Version: "1.27.0"}}}},
		{name: "freight-create-refused", args: "freight create guestbook/main --with registry.example.com/guestbook=9.9.9", answers: map[string]answer{
			"POST " + api + "/warehouses/main/freight": problem(model.Problem{Status: http.StatusBadRequest, Code: model.InvalidRequest, Detail: "not a candidate: \"9.9.9\" of \"registry.example.com/guestbook\" is not among the 2 that the Warehouse knows; the newest is \"1.27.0\""})}},
		{name: "freight-alias", args: "freight alias guestbook/1.27.0 spring-release", answers: map[string]answer{
			"PATCH /api/v1/projects/guestbook/freight/1.27.0": ok(model.Freight{Name: "f2222222222222222222222222222222222222222", Alias: "spring-release", Version: "1.27.0"})}},
		{name: "freight-alias-taken", args: "freight alias guestbook/1.27.0 amber-heron", answers: map[string]answer{
			"PATCH /api/v1/projects/guestbook/freight/1.27.0": problem(model.Problem{Status: http.StatusConflict, Code: model.Conflict, Detail: `"amber-heron" means Freight "f1111111111111111111111111111111111111111" already`})}},
		{name: "freight-alias-usage", args: "freight alias guestbook/1.27.0"},
		{name: "help-freight-alias", args: "freight alias --help"},
		{name: "freight-create-usage", args: "freight create guestbook/main --with 1.27.0"},
		{name: "get-webhooks", args: "get webhooks -p guestbook", answers: map[string]answer{"GET " + api + "/webhooks": ok(webhookList())}},
		{name: "get-webhook", args: "get webhook/github -p guestbook", answers: map[string]answer{"GET " + api + "/webhooks": ok(webhookList())}},
		{name: "get-webhook-unknown", args: "get webhook nope -p guestbook", answers: map[string]answer{"GET " + api + "/webhooks": ok(webhookList())}},
		{name: "verify", args: "verify guestbook/prod", answers: map[string]answer{"POST " + api + "/stages/prod/verify": accepted(checkedPromotion(model.PhaseVerifying, model.CheckPhaseRunning))}},
		{name: "verify-wait-failed", args: "verify guestbook/prod --wait", answers: map[string]answer{
			"POST " + api + "/stages/prod/verify": accepted(checkedPromotion(model.PhaseVerifying, model.CheckPhaseRunning)),
			stream:                                watched(t, checkedPromotion(model.PhaseVerifying, model.CheckPhaseRunning), checkedPromotion(model.PhaseFailed, model.CheckPhaseFailed)),
		}},
		{name: "verify-impossible", args: "verify guestbook/prod --abort", answers: map[string]answer{"POST " + api + "/stages/prod/verify": problem(model.Problem{Status: http.StatusConflict, Code: model.Conflict, Detail: `no checks run in "prod"`})}},
		{name: "logs", args: "logs guestbook/prod.2.f2222222", answers: map[string]answer{"GET " + api + "/promotions/prod.2.f2222222": ok(checkedPromotion(model.PhaseFailed, model.CheckPhaseFailed))}},
		{name: "help-verify", args: "verify --help"},

		{name: "get-stages", args: "get stages -p guestbook", answers: map[string]answer{"GET " + api + "/definitions/stages?limit=500": ok(model.DefinitionList{Items: []model.Definition{stageObject("test", "True", ""), stageObject("prod", "False", "UpstreamMissing")}})}},
		{name: "get-stage-yaml", args: "get stage guestbook/test -o yaml", answers: map[string]answer{"GET " + api + "/definitions/stages/test": ok(stageObject("test", "True", ""))}},
		{name: "get-name", args: "get st -p guestbook -o name", answers: map[string]answer{"GET " + api + "/definitions/stages?limit=500": ok(model.DefinitionList{Items: []model.Definition{stageObject("test", "True", "")}})}},
		{name: "get-none", args: "get freezes -p guestbook", answers: map[string]answer{"GET " + api + "/definitions/freezes?limit=500": ok(model.DefinitionList{Items: []model.Definition{}})}},
		{name: "get-unknown-kind", args: "get pods -p guestbook"},
		{name: "delete", args: "delete stage guestbook/test", answers: map[string]answer{"DELETE " + api + "/definitions/stages/test": {status: http.StatusAccepted}}},

		{name: "delete-project", args: "delete project guestbook", answers: map[string]answer{
			"DELETE /api/v1/definitions/projects/guestbook": {status: http.StatusAccepted},
			"GET " + api + "/definitions/stages?limit=500":  ok(model.DefinitionList{Items: []model.Definition{stageObject("test", "True", ""), stageObject("prod", "True", "")}}),
		}},

		{name: "whoami", args: "whoami", answers: map[string]answer{"GET /api/v1/me": ok(model.Me{User: "waybill:alice", Name: "alice", Groups: []string{"release-managers"}, ExpiresAt: noon.Add(time.Hour)})}},
		{name: "not-signed-in", args: "whoami", answers: map[string]answer{"GET /api/v1/me": problem(model.Problem{Status: http.StatusUnauthorized, Code: model.NotSignedIn, Detail: "the token is unknown or has ended"})}},
		{name: "internal-error", args: "whoami", answers: map[string]answer{"GET /api/v1/me": problem(model.Problem{Status: http.StatusInternalServerError, Code: model.Internal, Detail: "internal error", RequestID: "01k0"})}},
		{name: "version", args: "version", answers: map[string]answer{"GET /version": ok(model.Version{Version: "v0.1.1", Commit: "fedcba9876543210", API: "v1"})}},
		{name: "unknown-command", args: "promot 1.27.0 guestbook/prod"},
		{name: "unknown-flag", args: "promote 1.27.0 guestbook/prod --hurry"},
		{name: "unknown-output", args: "status -o xml"},
		{name: "help", args: "--help"},
		{name: "help-audit", args: "audit --help"},
		{name: "help-audit-verify", args: "audit verify --help"},
		{name: "help-audit-export", args: "audit export --help"},
		{name: "help-promote", args: "promote --help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, c.answers)
			s := signedIn(t, server.URL)
			for k, v := range c.env {
				s.env[k] = v
			}
			if c.terminal {
				s.terminal = Terminal{Stdout: true, Stderr: true}
			}
			got := s.run(strings.Fields(c.args)...)
			golden(t, c.name, strings.ReplaceAll(got.String(), server.URL, "https://waybill.example.com"))
		})
	}
}

func freeze(stage string, shownAs model.FreezeShownAs, until time.Time) model.Freeze {
	f := model.Freeze{Name: strings.ReplaceAll(stage, "*", "all") + "-" + string(shownAs), Project: "guestbook", Stage: stage, ShownAs: shownAs, Scope: model.All,
		Reason: "load test", By: "alice", CreatedAt: noon, Until: until}
	if shownAs == model.FreezeShownAsRejected {
		f.Freight = []model.FreightRef{ref("1.27.0")}
	}
	return f
}

func stageObject(name, ready, reason string) model.Definition {
	return model.Definition{
		"apiVersion": "waybill.dev/v1alpha1", "kind": "Stage",
		"metadata": map[string]any{"name": name, "namespace": "guestbook", "generation": 1, "creationTimestamp": at(300).Format(time.RFC3339)},
		"status": map[string]any{
			"conditions": []any{map[string]any{"type": "Ready", "status": ready, "reason": reason}},
			"current":    []any{map[string]any{"origin": "guestbook", "images": []any{map[string]any{"tag": "1.27.0"}}}},
			"health":     map[string]any{"status": "Healthy"},
		},
	}
}

const manifestOfTwo = `apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: guestbook}
---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: prod, namespace: guestbook}
spec:
  requestedFreight:
  - {origin: {name: guestbook}, sources: {direct: true}}
`

// TestApplyRefusesBeforeItSends reads what people write in their first hour.
func TestApplyRefusesBeforeItSends(t *testing.T) {
	for name, content := range map[string]string{
		"apply-unknown-fields": `apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: guestbook}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: guestbook, namespace: guestbook}
spec:
  subscriptions:
  - image:
      repoURL: registry.example.com/guestbook
      semverConstraint: ^1.26.0
      discoveryLimits: 5
`,
		"apply-not-yaml": "apiVersion: waybill.dev/v1alpha1\nkind: Project\nmetadata:\n\tname: guestbook\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := signedIn(t, serve(t, nil).URL)
			s.stdin = content
			golden(t, name, s.run("apply", "-f", "-").String())
		})
	}
}

// TestLint needs no server and nobody signed in.
func TestLint(t *testing.T) {
	const good = "apiVersion: waybill.dev/v1alpha1\nkind: Warehouse\nmetadata: {name: guestbook, namespace: guestbook}\nspec:\n  subscriptions: [{image: {repoURL: registry.example.com/guestbook, constraint: ^1.0.0}}]\n"
	const stray = "apiVersion: waybill.dev/v1alpha1\nkind: Stage\nmetadata: {name: guestbook, namespace: guestbook}\nspec: {requestedFreight: [{origin: {kind: Warehouse, name: gone}, sources: {direct: true}}]}\n"
	for name, tc := range map[string]struct{ args, content string }{
		"lint-clean": {"lint -", good},
		"lint-errors": {"lint -", strings.Replace(good, "^1.0.0", "newest", 1) + `---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: test, namespace: guestbook}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: gestbook}, sources: {direct: true}}]
`},
		"lint-warning":  {"lint -f -", stray},
		"lint-strict":   {"lint --strict -", stray},
		"lint-json":     {"lint - -o json", strings.Replace(good, "^1.0.0", "newest", 1)},
		"lint-not-yaml": {"lint -", "a: b: c\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(t)
			s.stdin = tc.content
			golden(t, name, s.run(strings.Fields(tc.args)...).String())
		})
	}
}

// TestLintLive compares with what the server has.
func TestLintLive(t *testing.T) {
	const api = "/api/v1/projects/guestbook/definitions/"
	house := model.Definition{"apiVersion": "waybill.dev/v1alpha1", "kind": "Warehouse", "metadata": map[string]any{"name": "guestbook", "namespace": "guestbook"},
		"spec": map[string]any{"subscriptions": []any{map[string]any{"image": map[string]any{"repoURL": "registry.example.com/guestbook"}}}}}
	s := signedIn(t, serve(t, map[string]answer{
		"GET " + api + "stages?limit=500":         ok(model.DefinitionList{Items: []model.Definition{}}),
		"GET " + api + "warehouses?limit=500":     ok(model.DefinitionList{Items: []model.Definition{house}}),
		"GET " + api + "promotiontasks?limit=500": ok(model.DefinitionList{Items: []model.Definition{}}),
	}).URL)
	s.stdin = "apiVersion: waybill.dev/v1alpha1\nkind: Stage\nmetadata: {name: test, namespace: guestbook}\nspec:\n  requestedFreight: [{origin: {kind: Warehouse, name: guestbook}, sources: {direct: true}}, {origin: {kind: Warehouse, name: other}, sources: {stages: [prod]}}]\n"
	golden(t, "lint-live", s.run("lint", "-", "--live").String())
}

func TestUnreachableServer(t *testing.T) {
	server := serve(t, nil)
	server.Close()
	got := signedIn(t, server.URL).run("status")
	golden(t, "unreachable", strings.ReplaceAll(got.String(), strings.TrimPrefix(server.URL, "http://"), "127.0.0.1:7460"))
}

func TestApplyNamesFileDocumentLineAndField(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.yaml")
	if err := os.WriteFile(file, []byte(manifestOfTwo), 0o600); err != nil {
		t.Fatal(err)
	}
	malformed := problem(model.Problem{Status: http.StatusUnprocessableEntity, Code: model.InvalidManifest, Detail: "2 mistakes in the manifests; nothing was applied",
		Errors: []model.FieldError{
			{File: "pipeline.yaml", Document: 2, Line: 14, Field: "spec.subscriptions[0].image.semverConstraint", Detail: "no such field; it is called constraint here"},
			{File: "-", Line: 3, Detail: "not YAML: found a tab where indentation is expected"},
		}})
	partly := ok(model.ApplyResult{Failed: 1, Items: []model.DocumentResult{
		{File: "pipeline.yaml", Document: 1, Line: 1, Kind: "Project", Name: "guestbook", Action: model.DocumentResultActionCreated},
		{File: "pipeline.yaml", Document: 2, Line: 5, Kind: "Stage", Namespace: "guestbook", Name: "prod", Action: model.DocumentResultActionFailed,
			Problem: model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "alice may not create stages in guestbook"}},
	}})
	done := ok(model.ApplyResult{Items: []model.DocumentResult{
		{File: "pipeline.yaml", Document: 1, Line: 1, Kind: "Project", Name: "guestbook", Action: model.DocumentResultActionUnchanged},
		{File: "pipeline.yaml", Document: 2, Line: 5, Kind: "Stage", Namespace: "guestbook", Name: "prod", Action: model.DocumentResultActionConfigured, Note: "it was paused"},
	}})
	differs := ok(model.ApplyResult{Items: []model.DocumentResult{
		{File: "pipeline.yaml", Document: 1, Line: 1, Kind: "Project", Name: "guestbook", Action: model.DocumentResultActionUnchanged},
		{File: "pipeline.yaml", Document: 2, Line: 5, Kind: "Stage", Namespace: "guestbook", Name: "prod", Action: model.DocumentResultActionConfigured,
			Change: model.ObjectChange{Kind: "Stage", Name: "prod", Change: model.ObjectChangeChangeChanged, Diff: "@@ -4,3 +4,3 @@\n metadata:\n   name: prod\n-  paused: true\n+  paused: false\n"}},
		{Kind: "Stage", Namespace: "guestbook", Name: "lab", Action: model.DocumentResultActionPruned},
	}})
	same := ok(model.ApplyResult{Items: []model.DocumentResult{{File: "pipeline.yaml", Document: 1, Line: 1, Kind: "Project", Name: "guestbook", Action: model.DocumentResultActionUnchanged}}})
	for _, c := range []struct {
		name, flags string
		path        string
		answer      answer
	}{
		{"apply-diff", "--diff --prune", "/api/v1/apply?diff=true&dryRun=true&prune=true", differs},
		{"apply-diff-nothing", "--diff", "/api/v1/apply?diff=true&dryRun=true", same},
		{"apply-diff-partly", "--diff", "/api/v1/apply?diff=true&dryRun=true", partly},
		{"apply-prune", "--prune", "/api/v1/apply?prune=true", differs},
		{"apply-malformed", "", "/api/v1/apply", malformed},
		{"apply-partly", "", "/api/v1/apply", partly},
		{"apply", "", "/api/v1/apply", done},
		{"apply-dry-run", "--dry-run", "/api/v1/apply?dryRun=true", done},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, map[string]answer{"POST " + c.path: c.answer}).URL)
			got := s.run(append([]string{"apply", "-f", dir}, strings.Fields(c.flags)...)...)
			golden(t, c.name, strings.ReplaceAll(got.String(), dir, "examples"))
		})
	}
	t.Run("apply-missing-file", func(t *testing.T) {
		got := signedIn(t, "http://127.0.0.1:1").run("apply", "-f", "no-such-file.yaml")
		golden(t, "apply-missing-file", got.String())
	})
}

func TestInterruptedWaitSaysThatThePromotionGoesOn(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	server := serve(t, map[string]answer{promotions: accepted(promotion(model.PhasePending)), getProd: ok(prod()), stream: watched(t, promotion(model.PhaseSyncing))})
	s := signedIn(t, server.URL)
	s.heard = func(stderr string) {
		if strings.Contains(stderr, "syncing") {
			interrupt()
		}
	}
	golden(t, "promote-wait-interrupted", s.runContext(ctx, "promote", "1.27.0", "guestbook/prod", "--wait").String())
}

func TestWatchPrintsOneLinePerChange(t *testing.T) {
	first, second := pipeline(), pipeline()
	second.Stages[1] = first.Stages[0]
	second.Stages[1].Name = "uat"
	server := serve(t, map[string]answer{"GET /api/v1/events?topics=pipeline%3Aguestbook": {hang: false, events: []client.Event{
		event(t, "pipeline:guestbook", first), event(t, "pipeline:guestbook", first), event(t, "pipeline:guestbook", second),
		{Name: "gone", Data: []byte(`"pipeline:guestbook"`)},
	}}})
	golden(t, "status-watch", signedIn(t, server.URL).run("status", "guestbook", "-w").String())
}

func webhookList() model.WebhookList {
	return model.WebhookList{Items: []model.Webhook{
		{Name: "github", Sender: "github", Ready: true, Signed: true, Path: "/hooks/0123", Counts: model.WebhookCounts{Woke: 3, Ignored: 1, Refused: 2, Limited: 7},
			Deliveries: []model.WebhookDelivery{
				{At: noon.Add(-time.Minute), ID: "17", Event: "push", Result: model.Woke, Repositories: []string{"https://git.example/app.git"}, Woken: []string{"application/test", "warehouse/app"}},
				{At: noon.Add(-time.Hour), Result: model.Refused, Detail: "signature or token is missing or wrong"},
			}},
		{Name: "quay", Sender: "quay", Message: `there is no Secret "hooks" with the label waybill.dev/cred-type: webhook in Namespace "guestbook"`, Deliveries: []model.WebhookDelivery{}},
	}}
}

// checkedPromotion is a Promotion whose second check is in a phase.
func checkedPromotion(phase model.Phase, check model.CheckPhase) model.Promotion {
	p := promotion(phase)
	p.Finished = phase == model.PhaseFailed
	p.Verification = model.Verification{Run: 2, Phase: check, Checks: []model.Check{
		{Name: "smoke", Kind: model.CheckKindJob, Phase: model.CheckPhaseSucceeded, Value: "exit code 0", Message: "the Job completed", Succeeded: 1, Attempts: 1, Log: "GET / 200\n\x1b[31mall good\x1b[0m\n", StartedAt: noon.Add(-20 * time.Second), FinishedAt: noon.Add(-10 * time.Second)},
		{Name: "errors", Kind: model.CheckKindPrometheus, Phase: check, Value: "0.4", Succeeded: 1, StartedAt: noon.Add(-10 * time.Second)},
	}}
	if p.Finished {
		p.Message = `check "errors" failed: 0.4: failureCondition "result > 0.05" is true; the branch is reverted by policy`
		p.Verification.Checks[1].Message, p.Verification.Checks[1].Failed, p.Verification.Checks[1].FinishedAt = `0.4: failureCondition "result > 0.05" is true`, 1, noon
	}
	return p
}

// checkedWhy adds checks that failed upstream.
func checkedWhy(w model.Why) model.Why {
	v := checkedPromotion(model.PhaseFailed, model.CheckPhaseFailed).Verification
	v.Stage, v.Version = "uat", "1.27.0"
	w.Verifications = []model.Verification{v}
	return w
}
