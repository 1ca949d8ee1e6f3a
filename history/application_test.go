package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

func application() *v1alpha1.Application {
	app := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: "prod", UID: "u1", Labels: map[string]string{v1alpha1.LabelStage: "prod"}}}
	app.Status = v1alpha1.ApplicationStatus{
		Sync: v1alpha1.SyncStatus{Revision: "c1", SyncedAt: after(time.Second)},
		Drifts: []v1alpha1.Drift{ // the newest first
			{Kind: "ClusterRole", Name: "reader", Manager: "kubectl\x00", Action: "Reported", At: *after(3 * time.Second), Want: "canary"},
			{Kind: "Deployment", Namespace: "default", Name: "guestbook", Field: "spec.replicas", Manager: strings.Repeat("m", 100), Action: "Healed", At: *after(2 * time.Second), Got: "canary"},
		},
		LastSync: &v1alpha1.SyncResult{ID: "r1", By: "waybill:ada", Phase: v1alpha1.OperationFailed, Message: "no such path", FinishedAt: after(4 * time.Second)},
	}
	return app
}

func TestOfApplication(t *testing.T) {
	object := history.Object{Kind: "Application", Name: "prod", UID: "u1"}
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	want := []history.Entry{
		{At: at(2), Action: history.ActionHeal, Project: "guestbook", Stage: "prod", Object: object, Reason: "Deployment default/guestbook: spec.replicas", Via: strings.Repeat("m", 64)},
		{At: at(3), Action: history.ActionDrift, Phase: "Reported", Project: "guestbook", Stage: "prod", Object: object, Reason: "ClusterRole reader: deleted", Via: "kubectl"},
		{Key: "u1/sync/c1/2026-03-04T12:00:01Z", At: at(1), Action: history.ActionSync, Project: "guestbook", Stage: "prod", Object: object, Reason: "runs c1"},
		{Key: "u1/asked/r1", At: at(4), Action: history.ActionSync, Actor: "waybill:ada", Phase: "Failed", Project: "guestbook", Stage: "prod", Object: object, Reason: "no such path"},
	}
	got := history.OfApplication(application())
	keys := map[string]bool{}
	for i := range got {
		keys[got[i].Key] = true
		if i < 2 && i < len(want) {
			if !strings.HasPrefix(got[i].Key, "u1/drift/") {
				t.Errorf("key %q", got[i].Key)
			}
			want[i].Key = got[i].Key
		}
	}
	if d := cmp.Diff(want, got); d != "" || len(keys) != len(want) {
		t.Errorf("%d keys; -want +got\n%s", len(keys), d)
	}
	if again := history.OfApplication(application()); !cmp.Equal(got, again) {
		t.Error("the same status makes other entries")
	}
	running := application()
	running.Status = v1alpha1.ApplicationStatus{LastSync: &v1alpha1.SyncResult{ID: "r1", Phase: v1alpha1.OperationRunning}}
	if got := history.OfApplication(running); len(got) != 0 {
		t.Errorf("of what has not ended: %v", got)
	}
}

func TestOfFreight(t *testing.T) {
	f := &v1alpha1.Freight{
		ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: "f1", UID: "u2", CreationTimestamp: metav1.Time{Time: noon}},
		Origin:     v1alpha1.Origin{Kind: "Warehouse", Name: "main"}, Images: []v1alpha1.Image{{RepoURL: "registry.example/guestbook", Tag: "1.27.0"}},
	}
	want := history.Entry{
		Key: "u2/made", At: noon, Action: history.ActionCreate, Project: "guestbook", Freight: []string{"f1"},
		Object: history.Object{Kind: "Freight", Name: "f1", UID: "u2"}, Reason: "1.27.0 of Warehouse main",
	}
	got := history.OfFreight(f)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if end := got.End(noon, ""); end.Action != history.ActionDelete || end.Key != "u2/gone" {
		t.Errorf("its end: %+v", end)
	}
}
