package controllers

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/message"
)

// tellRig is a notification controller with a store, whose messages are kept.
type tellRig struct {
	*NotificationReconciler
	t     *testing.T
	clk   *clocktesting.FakeClock
	store history.Store
	mu    sync.Mutex
	sent  []message.Message
	end   func()
}

// Send is delivery.Sender.
func (r *tellRig) Send(_ context.Context, _, _ string, m message.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, m)
	return nil
}

func newTellRig(t *testing.T, p *v1alpha1.Project) *tellRig {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	r := &tellRig{t: t, clk: clocktesting.NewFakeClock(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)), store: store, end: func() {}}
	p.CreationTimestamp, p.UID = metav1.NewTime(r.clk.Now()), "project"
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Project{}).WithObjects(p).Build()
	r.start(c)
	t.Cleanup(func() { r.end() })
	return r
}

// start begins anew, as after a restart: only the store stays.
func (r *tellRig) start(c client.Client) {
	r.end()
	r.NotificationReconciler = NewNotificationReconciler(NotificationOptions{Client: c, Store: r.store, Sender: r, Clock: r.clk, PublicURL: "https://waybill.example.com"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Delivery().Run(ctx) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.reconcile()
}

// sees shows objects to the controller as its watches do, and has it look.
func (r *tellRig) sees(objects ...client.Object) {
	r.t.Helper()
	for _, o := range objects {
		for _, kind := range toldKinds(r.clk) {
			if fmt.Sprintf("%T", kind.empty()) == fmt.Sprintf("%T", o) {
				r.note(kind.of(o, false))
			}
		}
	}
	r.reconcile()
}

func (r *tellRig) reconcile() {
	r.t.Helper()
	if _, err := r.Reconcile(r.t.Context(), projectRequest("guestbook")); err != nil {
		r.t.Fatal(err)
	}
}

// told waits until nothing waits any more, and returns what was sent since.
func (r *tellRig) told() []string {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		left, err := r.store.Notices(r.t.Context(), history.NoticeFilter{IsWaiting: true})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d notices wait for ever", len(left))
		}
		r.clk.Step(time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, m := range r.sent {
		out = append(out, m.Subject)
	}
	r.sent = nil
	return out
}

func (r *tellRig) wants(what string, want ...string) {
	r.t.Helper()
	if got := r.told(); !slices.Equal(got, want) {
		r.t.Fatalf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

func (r *tellRig) promotion(n int, set func(p *v1alpha1.Promotion)) *v1alpha1.Promotion {
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: "prod", Kind: v1alpha1.KindPromote, Freight: "f2", RequestedBy: "waybill:ada"}}
	p.Namespace, p.Name, p.UID = "guestbook", fmt.Sprintf("prod.%d.f2", n), types.UID(fmt.Sprint("p", n))
	p.Status.Plan = &v1alpha1.PromotionPlan{Hash: "sha256:00", At: r.now(), FreightAlias: "amber-heron", Collection: []v1alpha1.StageFreight{{
		Origin: "guestbook", Freight: "f2", Images: []v1alpha1.Image{{RepoURL: "registry.example/guestbook", Tag: "1.27.0"}},
	}}}
	set(p)
	return p
}

func (r *tellRig) now() *metav1.MicroTime { return &metav1.MicroTime{Time: r.clk.Now()} }

func onCall() *v1alpha1.Project {
	p := &v1alpha1.Project{Spec: v1alpha1.ProjectSpec{Notifications: []v1alpha1.Notification{{Name: "on-call", Channel: "ops"}}}}
	p.Name = "guestbook"
	return p
}

// TestToldOnce: an approval that is waited for, a failed promotion and a rollback
// are told, each exactly once however often they are seen, and not again after a
// restart.
func TestToldOnce(t *testing.T) {
	r := newTellRig(t, onCall())
	r.clk.Step(time.Minute)
	asked := r.promotion(3, func(p *v1alpha1.Promotion) {
		p.Status.Phase, p.Status.Gates = v1alpha1.PhasePending, []v1alpha1.GateVerdict{{
			Gate: v1alpha1.GateApproval, Group: "Start", Reason: "0 of 2 approvals", OpensBy: "2 of group release-managers: waybill approve guestbook/prod", Need: 2,
		}}
	})
	r.sees(asked)
	r.sees(asked)
	r.wants("an approval is waited for", "guestbook/prod: 1.27.0 (amber-heron) waits for approval")

	failed := r.promotion(3, func(p *v1alpha1.Promotion) {
		p.Status.StartedAt, p.Status.FinishedAt = r.now(), r.now()
		p.Status.Phase, p.Status.Reason, p.Status.Message = v1alpha1.PhaseFailed, promotion.ReasonVerificationFailed, "check smoke failed; the branch is reverted by policy"
	})
	r.sees(failed, failed)
	r.wants("it fails", "guestbook/prod: 1.27.0 (amber-heron) failed")
	taken := failed.DeepCopy()
	taken.Status.Phase, taken.Status.RolledBackBy = v1alpha1.PhaseRolledBack, "prod.4.f2"
	back := r.promotion(4, func(p *v1alpha1.Promotion) {
		p.Spec.Kind, p.Spec.Reason, p.Status.Phase, p.Status.FinishedAt = v1alpha1.KindRollback, "check smoke failed", v1alpha1.PhaseSucceeded, r.now()
	})
	r.sees(taken, back)
	r.wants("it is taken back", "guestbook/prod: rolled back")

	r.start(r.Client)
	r.sees(asked, failed, taken, back)
	r.wants("nothing is told again after a restart")
}

// TestNothingOfBefore: what was before a notification was defined, or before its
// events were, is not told; nor are a thousand Stages after a restart.
func TestNothingOfBefore(t *testing.T) {
	p := onCall()
	p.Spec.Notifications = nil
	r := newTellRig(t, p)
	since := r.now()
	var all []client.Object
	for n := range 1000 {
		s := &v1alpha1.Stage{Status: v1alpha1.StageStatus{Health: &v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "pod web-0 crashes", Since: since}}}
		s.Namespace, s.Name, s.UID = "guestbook", fmt.Sprintf("s%d", n), types.UID(fmt.Sprint("s", n))
		all = append(all, s)
	}
	old := r.promotion(1, func(p *v1alpha1.Promotion) { p.Status.Phase, p.Status.FinishedAt = v1alpha1.PhaseFailed, since })
	all = append(all, old)
	r.clk.Step(time.Hour)
	define := func(events ...v1alpha1.NotificationEvent) {
		t.Helper()
		if err := r.Client.Get(t.Context(), client.ObjectKey{Name: "guestbook"}, p); err != nil {
			t.Fatal(err)
		}
		p.Spec.Notifications = []v1alpha1.Notification{{Name: "on-call", Channel: "ops", Events: events}}
		if err := r.Client.Update(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		r.reconcile()
	}
	define(v1alpha1.EventFreightCreated)
	r.sees(all...)
	r.start(r.Client)
	r.sees(all...)
	r.wants("nothing of before")

	done := r.promotion(2, func(p *v1alpha1.Promotion) { p.Status.Phase, p.Status.FinishedAt = v1alpha1.PhaseSucceeded, r.now() })
	r.sees(done)
	r.clk.Step(2 * time.Minute)
	define(v1alpha1.EventPromotionSucceeded)
	r.sees(append(all, done)...)
	r.wants("nothing of before these events were asked for")
	r.sees(r.promotion(3, func(p *v1alpha1.Promotion) { p.Status.Phase, p.Status.FinishedAt = v1alpha1.PhaseSucceeded, r.now() }))
	r.wants("and what comes then", "guestbook/prod: 1.27.0 (amber-heron) runs")
}

// TestHealthTold: a Stage that stays Degraded is told once, what passes is not, and
// that it is Healthy again is told if the other was, across a restart as well.
func TestHealthTold(t *testing.T) {
	r := newTellRig(t, onCall())
	r.clk.Step(time.Minute)
	s := &v1alpha1.Stage{}
	s.Namespace, s.Name, s.UID = "guestbook", "prod", "s1"
	is := func(status v1alpha1.HealthStatus) {
		t.Helper()
		r.clk.Step(time.Second)
		s = s.DeepCopy()
		s.Status.Health = &v1alpha1.Health{Status: status, Message: "pod web-0 crashes", Since: r.now()}
		r.sees(s)
	}
	is(v1alpha1.HealthDegraded)
	is(v1alpha1.HealthProgressing)
	is(v1alpha1.HealthHealthy)
	r.clk.Step(time.Minute)
	r.reconcile()
	r.wants("what passes is not told")
	is(v1alpha1.HealthDegraded)
	r.clk.Step(time.Minute)
	r.reconcile()
	r.wants("what stays is", "guestbook/prod is Degraded")
	is(v1alpha1.HealthProgressing)
	is(v1alpha1.HealthDegraded)
	r.clk.Step(time.Minute)
	r.reconcile()
	r.wants("not twice in a row")
	r.start(r.Client)
	is(v1alpha1.HealthHealthy)
	r.wants("it is well again", "guestbook/prod is Healthy again")
	is(v1alpha1.HealthHealthy)
	r.wants("which is no news")
}

// TestFreezeTold: a freeze and its end are told, the end also when it was lifted
// while nobody looked, or its time was over.
func TestFreezeTold(t *testing.T) {
	p := onCall()
	p.Spec.Notifications[0].Events = []v1alpha1.NotificationEvent{v1alpha1.EventFreezeCreated, v1alpha1.EventFreezeEnded}
	p.Spec.Notifications[0].Message = "${{ event.by }}${{ event.event }}"
	r := newTellRig(t, p)
	r.clk.Step(time.Minute)
	made := func(name string, until *metav1.Time) *v1alpha1.Freeze {
		z := &v1alpha1.Freeze{Spec: v1alpha1.FreezeSpec{Stage: "*", Reason: "release day", By: "waybill:ada", Until: until}}
		z.Namespace, z.Name, z.UID, z.CreationTimestamp = "guestbook", name, types.UID(name), metav1.NewTime(r.clk.Now())
		r.sees(z)
		return z
	}
	made("one", nil) // which the client does not have: it is gone
	r.wants("it is made", "all of guestbook: freeze")
	r.start(r.Client)
	r.wants("it is lifted", "all of guestbook: freeze is over")
	made("two", &metav1.Time{Time: r.clk.Now().Add(time.Hour)})
	r.wants("it is made", "all of guestbook: freeze")
	r.clk.Step(2 * time.Hour)
	r.reconcile()
	r.wants("its time is over", "all of guestbook: freeze is over")
}

// TestStatusOfNotifications: the Project says that messages went out.
func TestStatusOfNotifications(t *testing.T) {
	r := newTellRig(t, onCall())
	r.clk.Step(time.Minute)
	r.sees(r.promotion(1, func(p *v1alpha1.Promotion) { p.Status.Phase, p.Status.FinishedAt = v1alpha1.PhaseFailed, r.now() }))
	r.wants("it is sent", "guestbook/prod: 1.27.0 (amber-heron) failed")
	r.reconcile()
	var p v1alpha1.Project
	if err := r.Client.Get(t.Context(), client.ObjectKey{Name: "guestbook"}, &p); err != nil {
		t.Fatal(err)
	}
	if all := p.Status.Notifications; len(all) != 1 || all[0].Name != "on-call" || all[0].LastSentAt == nil || all[0].Failure != nil {
		t.Errorf("the status is %+v", all)
	}
	if !strings.HasPrefix(p.ResourceVersion, "10") {
		t.Errorf("the Project was written more than once: %s", p.ResourceVersion)
	}
}
