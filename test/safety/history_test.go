package safety

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/postgres"
	"github.com/waybill-dev/waybill/history/sqlite"
)

// adminName is who the administrator of the test's API server is.
const adminName = "waybill-local-admin"

// asServer deletes with the server's own rights, and reads as the rig does.
type asServer struct {
	client.Client
	own client.Client
}

func (a asServer) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return a.own.Delete(ctx, o, opts...)
}

// recorder is the two recorders with a clock of their own; a new one knows as
// little as a server that was just started.
type recorder struct {
	r         *rig
	clock     *clocktesting.FakePassiveClock
	records   *controllers.HistoryReconciler
	decisions *controllers.DecisionReconciler
}

func newRecorder(r *rig, store history.Store, keep int) *recorder {
	server := clientFor(r.t, shared.ConfigFor(r.t, "system:serviceaccount:"+systemNamespace+":waybill", "system:serviceaccounts"))
	c := &recorder{r: r, clock: clocktesting.NewFakePassiveClock(time.Now())}
	o := controllers.HistoryOptions{Client: asServer{r.cached, server}, Live: r.admin, Store: store, Clock: c.clock, Keep: keep}
	c.records, c.decisions = controllers.NewHistoryReconciler(o), controllers.NewDecisionReconciler(o)
	return c
}

// stage records a Stage, after what a store that failed is given; it returns when
// to look again.
func (c *recorder) stage(name string) time.Duration {
	c.r.t.Helper()
	c.clock.SetTime(c.clock.Now().Add(time.Minute))
	result, err := c.records.Reconcile(c.r.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: c.r.project, Name: name}})
	if err != nil {
		c.r.t.Fatalf("record Stage %s: %v", name, err)
	}
	return result.RequeueAfter
}

func (c *recorder) project() time.Duration {
	c.r.t.Helper()
	c.clock.SetTime(c.clock.Now().Add(time.Minute))
	result, err := c.decisions.Reconcile(c.r.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: c.r.project}})
	if err != nil {
		c.r.t.Fatalf("record Project %s: %v", c.r.project, err)
	}
	return result.RequeueAfter
}

// ended makes a Promotion that has ended.
func (r *rig) ended(name, freight string, phase v1alpha1.PromotionPhase) *v1alpha1.Promotion {
	r.t.Helper()
	p := r.promotion(name, freight)
	now := metav1.NowMicro()
	p.Status = v1alpha1.PromotionStatus{Phase: phase, Message: "made up", StartedAt: &now, PushedAt: &now, FinishedAt: &now, Steps: []v1alpha1.StepStatus{
		{As: "git-push-1", Uses: "git-push", State: v1alpha1.StepSucceeded, Attempts: 2, StartedAt: &now, FinishedAt: &now},
	}}
	r.status(p)
	return p
}

func (r *rig) status(o client.Object) {
	r.t.Helper()
	if err := r.admin.Status().Update(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
	r.seen(o)
}

// objects returns the names of the Promotions that exist, once the cache agrees.
func (r *rig) objects() []string {
	r.t.Helper()
	names := func(c client.Client) []string {
		var list v1alpha1.PromotionList
		if err := c.List(r.t.Context(), &list, client.InNamespace(r.project)); err != nil {
			r.t.Fatal(err)
		}
		var out []string
		for _, p := range list.Items {
			out = append(out, p.Name)
		}
		slices.Sort(out)
		return out
	}
	live := names(r.admin)
	eventually(r.t, "the cache agrees", func() error { return yes(slices.Equal(live, names(r.cached)), live) })
	return live
}

func rows(t *testing.T, s history.Store, project string) []string {
	t.Helper()
	ps, _, err := s.ListPromotions(t.Context(), history.Filter{Project: project}, history.Page{Limit: history.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range ps {
		out = append(out, p.Name+" "+p.Phase)
	}
	slices.Sort(out)
	return out
}

// TestHistoryKeepsWhatIsPruned: while the store is down nothing is deleted and
// nothing is lost; then there is one row for each Promotion, and only what nothing
// looks at any more is deleted.
func TestHistoryKeepsWhatIsPruned(t *testing.T) {
	r := newRig(t, "history-prune")
	guarded(t, "history-prune-roles") // the server's rights hold
	database := historytest.StartPostgres(t)
	store, err := postgres.Open(database.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	stage := r.stage("test")
	old, current := r.freight(1, "1.0.0"), r.freight(9, "1.9.0")
	var want, objects []string
	for n := 1; n <= 7; n++ {
		p := r.ended(fmt.Sprintf("test.%d.f", n), old.Name, v1alpha1.PhaseSucceeded)
		want, objects = append(want, p.Name+" Succeeded"), append(objects, p.Name)
	}
	r.promotion("test.8.f", current.Name) // has not ended
	objects = append(objects, "test.8.f")
	stage.Status = v1alpha1.StageStatus{LastSeq: 8, Current: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: current.Name, Order: 9, Promotion: "test.2.f"}}}
	r.status(stage)

	database.Stop()
	rec := newRecorder(r, store, 3)
	for range 2 {
		if again := rec.stage("test"); again <= 0 || again > time.Minute {
			t.Errorf("a store that is down is looked at again in %s", again)
		}
	}
	if d := cmp.Diff(objects, r.objects()); d != "" {
		t.Errorf("with the store down: -want +got\n%s", d)
	}
	// One is deleted by hand in the meantime: it is remembered.
	byHand := r.live(&v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: "test.7.f"}})
	rec.records.Remember(byHand)
	if err := r.admin.Delete(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	r.objects()

	database.Start()
	rec.stage("test")
	if d := cmp.Diff(want, rows(t, store, r.project)); d != "" {
		t.Errorf("rows: -want +got\n%s", d)
	}
	// 2 is current; 4, 5 and 6 are the newest of those that have ended; 8 has not.
	if d := cmp.Diff([]string{"test.2.f", "test.4.f", "test.5.f", "test.6.f", "test.8.f"}, r.objects()); d != "" {
		t.Errorf("objects: -want +got\n%s", d)
	}

	// Rolled back later, and seen by another server that starts from nothing.
	back := r.live(&v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: "test.2.f"}})
	back.Status.Phase, back.Status.RolledBackBy = v1alpha1.PhaseRolledBack, "test.8.f"
	r.status(back)
	newRecorder(r, store, 3).stage("test")
	rec.stage("test")
	want[1] = "test.2.f RolledBack"
	if d := cmp.Diff(want, rows(t, store, r.project)); d != "" {
		t.Errorf("rows in the end: -want +got\n%s", d)
	}
}

// TestHistoryIsNotTrustedBlindly: a store that has lost its rows gets them again
// before an object is deleted.
func TestHistoryIsNotTrustedBlindly(t *testing.T) {
	r := newRig(t, "history-lost")
	guarded(t, "history-lost-roles")
	open := func() history.Store {
		s, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	stage := r.stage("test")
	old, current := r.freight(1, "1.0.0"), r.freight(9, "1.9.0")
	for n := 1; n <= 3; n++ {
		r.ended(fmt.Sprintf("test.%d.f", n), old.Name, v1alpha1.PhaseSucceeded)
	}
	stage.Status = v1alpha1.StageStatus{LastSeq: 3, Current: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: current.Name, Order: 9, Promotion: "test.3.f"}}}
	swap := &swapped{Store: open()}
	rec := newRecorder(r, swap, 1)
	r.status(stage)
	swap.hidePrune = true
	rec.stage("test") // writes all three; the store forgets them before it is asked again
	if got := r.objects(); len(got) != 3 {
		t.Fatalf("deleted without a record: %v are left", got)
	}
	swap.hidePrune = false
	swap.Store = open()
	rec.stage("test")
	rec.stage("test")
	if d := cmp.Diff([]string{"test.3.f"}, r.objects()); d != "" {
		t.Errorf("objects: -want +got\n%s", d)
	}
	if got := rows(t, swap, r.project); len(got) < 2 || !strings.HasPrefix(got[0], "test.1.f") {
		t.Errorf("rows %v", got)
	}
}

// swapped is a store that can be another from one moment to the next.
type swapped struct {
	history.Store
	hidePrune bool
}

func (s *swapped) Recorded(ctx context.Context, uids []string) (map[string]string, error) {
	if s.hidePrune {
		return nil, nil
	}
	return s.Store.Recorded(ctx, uids)
}

// TestDecisionsAreKept: who stopped what, who approved, and what was defined, is
// kept once each, with when it ended, also when no server ran then.
func TestDecisionsAreKept(t *testing.T) {
	r := newRig(t, "history-decisions")
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	stage := r.stage("test")
	freeze := &v1alpha1.Freeze{Spec: v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAll, Reason: "release day", By: adminName}}
	freeze.Namespace, freeze.Name = r.project, "freeze-1"
	hold := freeze.DeepCopy()
	hold.Name, hold.Spec.Scope = "hold-1", v1alpha1.FreezeAutomatic
	for _, z := range []*v1alpha1.Freeze{freeze, hold} {
		r.create(z)
	}
	f := r.freight(1, "1.26.0")
	for name, labels := range map[string]map[string]string{"dashboards": nil, "of-a-stage": {v1alpha1.LabelStage: "test"}} {
		r.create(&v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: name, Labels: labels}, Spec: v1alpha1.ApplicationSpec{
			Source:      v1alpha1.ApplicationSource{RepoURL: "https://git.example/infra.git", TargetRevision: "main", Path: "."},
			Destination: v1alpha1.Destination{Namespace: r.project},
		}})
	}
	rec := newRecorder(r, store, 0)
	for range 2 {
		rec.project()
	}
	newRecorder(r, store, 0).project()
	actions := func() []string {
		es, _, err := store.ListEntries(t.Context(), history.Filter{Project: r.project}, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range es {
			out = append(out, fmt.Sprintf("%s %s %s by %q", e.Action, e.Object.Kind, e.Object.Name, strings.TrimPrefix(e.Actor, adminName)))
		}
		slices.Sort(out)
		return out
	}
	want := []string{
		`apply Application dashboards by ""`, `apply Stage test by ""`, `apply Warehouse guestbook by ""`, `create Freight ` + f.Name + ` by ""`, `freeze Freeze freeze-1 by ""`, `hold Freeze hold-1 by ""`,
	}
	if d := cmp.Diff(want, actions()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}

	// Lifted and changed while no server runs; the API was told who lifted one.
	if err := store.PutEntry(t.Context(), history.OfFreeze(hold).End(time.Now(), "waybill:ada")); err != nil {
		t.Fatal(err)
	}
	for _, z := range []client.Object{freeze, hold, f} {
		if err := r.admin.Delete(t.Context(), z); err != nil {
			t.Fatal(err)
		}
	}
	stage = stage.DeepCopy()
	stage.Spec.AutoPromotion.Enabled = true
	if err := r.admin.Update(t.Context(), stage); err != nil {
		t.Fatal(err)
	}
	r.seen(stage)
	eventually(t, "the cache has heard", func() error {
		isGone := r.cached.Get(t.Context(), client.ObjectKeyFromObject(hold), hold) != nil && r.cached.Get(t.Context(), client.ObjectKeyFromObject(f), f) != nil
		return yes(isGone, hold.Name)
	})
	again := newRecorder(r, store, 0)
	again.project()
	again.project()
	want = append(want, `apply Stage test by ""`, `delete Freight `+f.Name+` by ""`, `resume Freeze hold-1 by "waybill:ada"`, `thaw Freeze freeze-1 by ""`)
	slices.Sort(want)
	if d := cmp.Diff(want, actions()); d != "" {
		t.Errorf("after the restart: -want +got\n%s", d)
	}
}
