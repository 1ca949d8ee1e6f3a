package history_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) *metav1.MicroTime { return &metav1.MicroTime{Time: noon.Add(d)} }

func promotionObject() *v1alpha1.Promotion {
	image := v1alpha1.Image{RepoURL: "registry.example/guestbook", Tag: "1.27.0", Digest: "sha256:aa"}
	p := &v1alpha1.Promotion{
		Spec: v1alpha1.PromotionSpec{Stage: "prod", Freight: "f2", Reason: "release\x00 day", RequestedBy: "waybill:ada", Bypass: []v1alpha1.Gate{v1alpha1.GateSoak}},
		Status: v1alpha1.PromotionStatus{
			Phase: v1alpha1.PhaseRolledBack, Reason: "Degraded", Message: "taken back \xff", RolledBackBy: "prod.8.f2",
			Plan: &v1alpha1.PromotionPlan{
				Hash: "sha256:00", Collection: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f2", Images: []v1alpha1.Image{image}}},
				Steps:  []v1alpha1.PlanStep{{Uses: "http", As: "call", Config: &runtime.RawExtension{Raw: []byte(`{"token":"canary"}`)}}},
				Before: &v1alpha1.StageBefore{Current: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f1"}}},
			},
			Steps: []v1alpha1.StepStatus{{
				As: "call", Uses: "http", State: v1alpha1.StepSucceeded, Attempts: 2, StartedAt: after(time.Second), FinishedAt: after(2 * time.Second),
				Output: &runtime.RawExtension{Raw: []byte(`{"body":"canary"}`)},
			}},
			Commit:       &v1alpha1.PromotionCommit{RepoURL: "https://git.example/x.git", Branch: "stage/prod", Commit: "c1", Parent: "c0"},
			Verification: &v1alpha1.VerificationStatus{Run: 2, Checks: []v1alpha1.CheckStatus{{Name: "smoke", Message: "done\x00", Log: "canary"}}},
			Approvals:    []v1alpha1.CountedApproval{{Actor: "waybill:bob", At: metav1.Time{Time: noon}, Reason: "fine"}},
			StartedAt:    after(0), PushedAt: after(time.Second), FinishedAt: after(time.Minute + 1500*time.Nanosecond),
		},
	}
	p.Namespace, p.Name, p.UID, p.CreationTimestamp = "guestbook", "prod.7.f2", types.UID("u7"), metav1.Time{Time: noon}
	return p
}

func TestOfPromotion(t *testing.T) {
	freight := func(name string) *v1alpha1.Freight {
		if name != "f1" {
			return nil // gone since
		}
		f := &v1alpha1.Freight{Alias: "amber-heron", Origin: v1alpha1.Origin{Name: "guestbook"}}
		f.Name = name
		return f
	}
	image := []v1alpha1.Image{{RepoURL: "registry.example/guestbook", Tag: "1.27.0", Digest: "sha256:aa"}}
	want := history.Promotion{
		UID: "u7", Project: "guestbook", Name: "prod.7.f2", Stage: "prod", Seq: 7, Kind: "Promote",
		Freight:    history.Freight{Name: "f2", Origin: "guestbook", Images: image},
		Collection: []history.Freight{{Name: "f2", Origin: "guestbook", Images: image}},
		From:       []history.Freight{{Name: "f1", Alias: "amber-heron", Origin: "guestbook"}},
		// What a database would refuse is gone; what says nothing of a secret is all there is.
		RequestedBy: "waybill:ada", Reason: "release day", Bypassed: []string{"soak"},
		Approvals: []history.Approval{{Actor: "waybill:bob", At: noon, Reason: "fine"}},
		Phase:     "RolledBack", PhaseReason: "Degraded", Message: "taken back \uFFFD", PlanHash: "sha256:00", RolledBackBy: "prod.8.f2",
		Verification: &v1alpha1.VerificationStatus{Run: 2, Checks: []v1alpha1.CheckStatus{{Name: "smoke", Message: "done"}}},
		Commit:       history.Commit{RepoURL: "https://git.example/x.git", Branch: "stage/prod", Commit: "c1", Parent: "c0"},
		CreatedAt:    noon, StartedAt: noon, PushedAt: noon.Add(time.Second), FinishedAt: noon.Add(time.Minute + time.Microsecond),
		Steps: []history.Step{{Name: "call", Uses: "http", Attempt: 2, State: "Succeeded", StartedAt: noon.Add(time.Second), FinishedAt: noon.Add(2 * time.Second)}},
	}
	got := history.OfPromotion(promotionObject(), 7, freight)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	a, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	got.Steps[0].Message = "more"
	if b, err := got.Digest(); err != nil || a == b {
		t.Errorf("another record has the same digest %q (%v)", b, err)
	}
}

func TestEntries(t *testing.T) {
	manager := []metav1.ManagedFieldsEntry{
		{Manager: "kubectl-create", Time: &metav1.Time{Time: noon}},
		{Manager: "kubectl-edit", Time: &metav1.Time{Time: noon.Add(time.Hour)}},
		{Manager: "waybilld", Time: &metav1.Time{Time: noon.Add(2 * time.Hour)}, Subresource: "status"},
	}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "guestbook", Name: name, UID: types.UID("u-" + name), Generation: 3, CreationTimestamp: metav1.Time{Time: noon}, ManagedFields: manager}
	}
	freeze := func(z v1alpha1.FreezeSpec) *v1alpha1.Freeze {
		z.Stage, z.By = "prod", "waybill:ada"
		return &v1alpha1.Freeze{ObjectMeta: meta("z"), Spec: z}
	}
	stage, project := &v1alpha1.Stage{ObjectMeta: meta("prod")}, &v1alpha1.Project{ObjectMeta: meta("guestbook")}
	project.Namespace = ""
	for _, c := range []struct {
		entry                   history.Entry
		key, action, end, stage string
		actor                   string
		at                      time.Time
	}{
		{history.OfFreeze(freeze(v1alpha1.FreezeSpec{Scope: v1alpha1.FreezeAll})), "u-z/made", "freeze", "thaw", "prod", "waybill:ada", noon},
		{history.OfFreeze(freeze(v1alpha1.FreezeSpec{Scope: v1alpha1.FreezeAutomatic})), "u-z/made", "hold", "resume", "prod", "waybill:ada", noon},
		{history.OfFreeze(freeze(v1alpha1.FreezeSpec{Scope: v1alpha1.FreezeHealing})), "u-z/made", "hold-healing", "resume-healing", "prod", "waybill:ada", noon},
		{history.OfFreeze(freeze(v1alpha1.FreezeSpec{Freight: []string{"f1"}})), "u-z/made", "reject", "unreject", "prod", "waybill:ada", noon},
		{history.OfApproval(&v1alpha1.Approval{ObjectMeta: meta("a"), Spec: v1alpha1.ApprovalSpec{Stage: "prod", Actor: "waybill:bob"}}), "u-a/made", "approve", "revoke", "prod", "waybill:bob", noon},
		{history.OfApproval(&v1alpha1.Approval{ObjectMeta: meta("a"), Spec: v1alpha1.ApprovalSpec{Decision: v1alpha1.DecisionReject}}), "u-a/made", "refuse", "revoke", "", "", noon},
		{history.OfDefinition("Stage", stage), "u-prod/3", "apply", "delete", "prod", "", noon.Add(time.Hour)},
		{history.OfDefinition("Project", project), "u-guestbook/3", "apply", "delete", "", "", noon.Add(time.Hour)},
	} {
		e, end := c.entry, c.entry.End(noon, "waybill:eve")
		got := []any{e.Key, string(e.Action), string(end.Action), e.Stage, e.Actor, e.At, e.Project, e.Via, end.Key, end.Ends, end.Actor}
		want := []any{c.key, c.action, c.end, c.stage, c.actor, c.at, "guestbook", "kubectl-edit", e.Object.UID + "/gone", true, "waybill:eve"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.action, d)
		}
	}
	for _, a := range history.Actions() {
		if a == "" {
			t.Error("an action without a name")
		}
	}
}

func TestCursor(t *testing.T) {
	ordered := []history.Cursor{
		{At: noon, Seq: 1, Name: "a", ID: "1"}, {At: noon, Seq: 1, Name: "a", ID: "2"}, {At: noon, Seq: 1, Name: "b", ID: "1"},
		{At: noon, Seq: 2, Name: "a", ID: "1"}, {At: noon.Add(time.Microsecond), ID: "0"},
	}
	if !slices.IsSortedFunc(ordered, history.Cursor.Compare) {
		t.Errorf("not in order: %v", ordered)
	}
	for _, c := range ordered {
		got, err := history.ParseCursor(c.String())
		if err != nil || got != c || c.Compare(got) != 0 {
			t.Errorf("%v became %v, %v", c, got, err)
		}
	}
}

// FuzzParseCursor: what is read is written again as something that reads alike.
func FuzzParseCursor(f *testing.F) {
	f.Add(history.Cursor{At: noon, Seq: 1, Name: "a", ID: "1"}.String())
	f.Add("e30")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := history.ParseCursor(text)
		if err != nil {
			return
		}
		if again, err := history.ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%v became %v, %v", c, again, err)
		}
	})
}

// TestRecordHash computes the hash of a record as the guide says.
func TestRecordHash(t *testing.T) {
	steps := []history.Step{{Name: "call", Uses: "http", Attempt: 1, State: "Succeeded", StartedAt: noon}}
	text := `{"record":{"name":"prod.7.f2","uid":"u7"},"steps":[{"attempt":1,"name":"call","startedAt":"2026-03-04T12:00:00Z","state":"Succeeded","uses":"http"}]}`
	sum := sha256.Sum256([]byte(text))
	got, err := history.RecordHash([]byte(`{ "uid":"u7", "name":"prod.7.f2" }`), steps)
	if want := hex.EncodeToString(sum[:]); err != nil || got != want {
		t.Errorf("hash %s, %v; want %s", got, err, want)
	}
	if _, err := history.RecordHash([]byte(`{`), nil); err == nil {
		t.Error("what is no JSON has a hash")
	}
}

func TestOfRecord(t *testing.T) {
	none := func(string) *v1alpha1.Freight { return nil }
	p := history.OfPromotion(promotionObject(), 7, none)
	want := history.Entry{
		Key: "u7/0123456789abcdef", At: noon.Add(time.Minute + time.Microsecond), Action: history.ActionPromote, Actor: "waybill:ada", Project: "guestbook",
		Stage: "prod", Freight: []string{"f2"}, Object: history.Object{Kind: "Promotion", Name: "prod.7.f2", UID: "u7"}, Reason: "release day", PlanHash: "sha256:00",
		Phase: "RolledBack", Record: "0123456789abcdef0123",
	}
	if d := cmp.Diff(want, history.OfRecord(&p, "0123456789abcdef0123")); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	p.Kind, p.FinishedAt, p.Freight = "Rollback", time.Time{}, history.Freight{}
	if e := history.OfRecord(&p, "00"); e.Action != history.ActionRollback || !e.At.Equal(noon) || e.Freight != nil {
		t.Errorf("a Rollback that never began: %+v", e)
	}
}

// TestKnown: an actor is learned once.
func TestKnown(t *testing.T) {
	e, isMore := history.Entry{Key: "k"}.Known("waybill:ada")
	if !isMore || e.Actor != "waybill:ada" {
		t.Errorf("%+v %v", e, isMore)
	}
	for _, actor := range []string{"", "waybill:ada", "waybill:eve"} {
		if again, isMore := e.Known(actor); isMore || again.Actor != "waybill:ada" {
			t.Errorf("%q: %+v %v", actor, again, isMore)
		}
	}
}
