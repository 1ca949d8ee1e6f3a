package notify_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion/notify"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "guestbook", Name: name, UID: "u1", CreationTimestamp: metav1.NewTime(noon)}
}

func promoted(kind v1alpha1.PromotionKind, phase v1alpha1.PromotionPhase, reason, message string) *v1alpha1.Promotion {
	at := &metav1.MicroTime{Time: noon}
	p := &v1alpha1.Promotion{ObjectMeta: meta("prod.7.f2"), Spec: v1alpha1.PromotionSpec{Stage: "prod", Kind: kind, Freight: "f2", RequestedBy: "waybill:ada", Reason: "it leaks."}}
	p.Status = v1alpha1.PromotionStatus{Phase: phase, Reason: reason, Message: message, FinishedAt: at, Plan: &v1alpha1.PromotionPlan{
		FreightAlias: "amber-heron", Collection: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f2", Images: []v1alpha1.Image{{RepoURL: "r/guestbook", Tag: "1.27.0"}}}},
	}}
	if kind == v1alpha1.KindRollback {
		p.Status.Plan.Collection[0].Freight, p.Status.Plan.Collection[0].Images[0].Tag = "f1", "1.26.0"
	}
	return p
}

// TestSentences: what people are told names what, where, why and what to do.
func TestSentences(t *testing.T) {
	drifted := &v1alpha1.Application{ObjectMeta: meta("prod")}
	drifted.Labels = map[string]string{v1alpha1.LabelStage: "prod"}
	drifted.Status.Drifting = true
	drifted.Status.Drifts = []v1alpha1.Drift{{Kind: "Deployment", Name: "web", Field: "spec.replicas", Manager: "kubectl-edit", Action: "Reported", At: metav1.MicroTime{Time: noon}}}
	stage := &v1alpha1.Stage{ObjectMeta: meta("prod")}
	stage.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "Pod web-0: CrashLoopBackOff", Since: &metav1.MicroTime{Time: noon}}
	w := &v1alpha1.Warehouse{ObjectMeta: meta("images")}
	w.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(noon)}}
	w.Status.Subscriptions = []v1alpha1.SubscriptionStatus{{RepoURL: "r/guestbook", Error: "registry r does not answer", Reason: "RegistryUnreachable"}}
	c := &v1alpha1.Cluster{ObjectMeta: meta("prod-eu")}
	c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "ClusterUnreachable", Message: "the API server does not answer", LastTransitionTime: metav1.NewTime(noon)}}
	z := &v1alpha1.Freeze{ObjectMeta: meta("z"), Spec: v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeAutomatic, Reason: "load test", By: "waybill:ada", Until: &metav1.Time{Time: noon.Add(time.Hour)}}}
	for name, tc := range map[string]struct {
		of   []notify.Occurrence
		want string
	}{
		"failed": {notify.OfPromotion(promoted(v1alpha1.KindPromote, v1alpha1.PhaseFailed, "Unhealthy", "Pod web-0 crashes; the branch is reverted by policy")),
			"PromotionFailed: The promotion of 1.27.0 (amber-heron) to guestbook/prod failed: Pod web-0 crashes; the branch is reverted by policy. To look at it: waybill describe promotion guestbook/prod.7.f2"},
		"not verified": {notify.OfPromotion(promoted(v1alpha1.KindPromote, v1alpha1.PhaseFailed, "VerificationFailed", "check smoke failed")),
			"VerificationFailed: The promotion of 1.27.0 (amber-heron) to guestbook/prod failed: check smoke failed. To look at it: waybill describe promotion guestbook/prod.7.f2"},
		"rolled back": {notify.OfPromotion(promoted(v1alpha1.KindRollback, v1alpha1.PhaseSucceeded, "Healthy", "synced and Healthy")),
			"RolledBack: guestbook/prod is rolled back from amber-heron and runs 1.26.0 again, because: it leaks."},
		"succeeded": {notify.OfPromotion(promoted(v1alpha1.KindPromote, v1alpha1.PhaseSucceeded, "Healthy", "synced and Healthy")),
			"PromotionSucceeded: 1.27.0 (amber-heron) runs in guestbook/prod: synced and Healthy."},
		"superseded": {notify.OfPromotion(promoted(v1alpha1.KindPromote, v1alpha1.PhaseSuperseded, "Superseded", "a newer one")), ""},
		"degraded": {notify.OfStage(stage),
			"StageDegraded: guestbook/prod is Degraded: Pod web-0: CrashLoopBackOff. To look at it: waybill describe stage guestbook/prod; to take back what it runs: waybill rollback guestbook/prod"},
		"drift": {notify.OfApplication(drifted)[:1],
			`DriftFound: guestbook/prod differs from Git and is left so for now: spec.replicas of Deployment web was changed by "kubectl-edit". To look at it: waybill drift guestbook/prod`},
		"warehouse": {notify.OfWarehouse(w),
			"WarehouseFailing: Warehouse guestbook/images does not learn what is new: registry r does not answer. What it knows stays; it asks again by itself. To ask at once: waybill refresh guestbook/images"},
		"cluster": {notify.OfCluster(c, "guestbook", []string{"prod"}),
			"ClusterUnreachable: Cluster prod-eu, to which guestbook deploys, does not answer: the API server does not answer. To look at it: waybill cluster test prod-eu"},
		"hold":    {notify.OfFreeze(z, false, noon), "FreezeCreated: guestbook/prod: hold by ada until 2026-11-21 13:00Z: load test."},
		"resumed": {notify.OfFreeze(z, true, noon), "FreezeEnded: guestbook/prod: the hold of ada is over (load test)."},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, o := range tc.of {
				got += string(o.Events[0]) + ": " + o.Text
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// TestWants: who is told, and by which of several words.
func TestWants(t *testing.T) {
	failed := notify.OfPromotion(promoted(v1alpha1.KindPromote, v1alpha1.PhaseFailed, "VerificationFailed", ""))[0]
	freight := notify.OfFreight(&v1alpha1.Freight{ObjectMeta: meta("f2"), Alias: "amber-heron"})[0]
	events := func(all ...v1alpha1.NotificationEvent) v1alpha1.Notification {
		return v1alpha1.Notification{Events: all}
	}
	in := func(stages ...string) v1alpha1.Notification { return v1alpha1.Notification{Stages: stages} }
	for name, tc := range map[string]struct {
		n    v1alpha1.Notification
		of   notify.Occurrence
		want v1alpha1.NotificationEvent
	}{
		"by default":             {events(), failed, "VerificationFailed"},
		"the wider word":         {events("PromotionFailed"), failed, "PromotionFailed"},
		"both words":             {events("PromotionFailed", "VerificationFailed"), failed, "VerificationFailed"},
		"another event":          {events("RolledBack"), failed, ""},
		"its Stage":              {in("test", "pro*"), failed, "VerificationFailed"},
		"another Stage":          {in("test"), failed, ""},
		"Freight is no default":  {events(), freight, ""},
		"Freight":                {events("FreightCreated"), freight, "FreightCreated"},
		"Freight is of no Stage": {v1alpha1.Notification{Stages: []string{"*"}, Events: []v1alpha1.NotificationEvent{"FreightCreated"}}, freight, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := notify.Wants(&tc.n, &tc.of); got != tc.want {
				t.Errorf("told as %q, want %q", got, tc.want)
			}
		})
	}
}

// TestWrite: what a webhook gets, and what a message of one's own makes of it.
func TestWrite(t *testing.T) {
	o := notify.OfPromotion(promoted(v1alpha1.KindPromote, v1alpha1.PhaseFailed, "Unhealthy", "Pod web-0 crashes"))[0]
	n := &v1alpha1.Notification{Name: "on-call", Channel: "chat", Message: "${{ event.stage }}: ${{ event.version }} ${{ event.object == '' ? 'failed' : '' }}"}
	row := notify.Compose(n, &o, "PromotionFailed", "https://waybill.example.com/")
	l, err := notify.Write([]history.Notice{row})
	if err != nil {
		t.Fatal(err)
	}
	if want := "prod: 1.27.0 failed\nhttps://waybill.example.com/projects/guestbook/promotions/prod.7.f2"; l.Text != want {
		t.Errorf("the text is %q, want %q", l.Text, want)
	}
	raw, err := json.MarshalIndent(l.Body, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "specversion": "1.0",
 "id": "` + row.ID + `",
 "source": "/projects/guestbook",
 "type": "dev.waybill.PromotionFailed",
 "subject": "prod",
 "time": "2026-11-21T12:00:00Z",
 "datacontenttype": "application/json",
 "data": {
  "event": "PromotionFailed",
  "text": "prod: 1.27.0 failed",
  "subject": "guestbook/prod: 1.27.0 (amber-heron) failed",
  "project": "guestbook",
  "notification": "on-call",
  "at": "2026-11-21T12:00:00Z",
  "stage": "prod",
  "promotion": "prod.7.f2",
  "freight": "f2",
  "alias": "amber-heron",
  "version": "1.27.0",
  "by": "ada",
  "reason": "Unhealthy",
  "cause": "Pod web-0 crashes",
  "url": "https://waybill.example.com/projects/guestbook/promotions/prod.7.f2"
 }
}`
	if d := cmp.Diff(want, string(raw)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	n.Message = "${{ event.nothing.more }}"
	if l, err := notify.Write([]history.Notice{notify.Compose(n, &o, "PromotionFailed", "")}); err != nil || !strings.Contains(l.Text, "Pod web-0 crashes") || !strings.Contains(l.Text, `The message of notification "on-call" cannot be made`) {
		t.Errorf("a message that cannot be made: %q, %v", l.Text, err)
	}
}
