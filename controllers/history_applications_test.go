package controllers

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/chain"
)

// shutStore is a store that may be down.
type shutStore struct {
	history.Store
	down bool
}

func (s *shutStore) PutEntry(ctx context.Context, e history.Entry) error {
	if s.down {
		return history.ErrUnavailable
	}
	return s.Store.PutEntry(ctx, e)
}

// TestSyncRecorder: what the reconciler did is written once, also after a restart
// and a store that was down; a storm is bounded, and says so.
func TestSyncRecorder(t *testing.T) {
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // the test ends
	store, clk := &shutStore{Store: file}, clocktesting.NewFakePassiveClock(time.Now())
	start := func() *SyncRecorder { return NewSyncRecorder(HistoryOptions{Store: store, Clock: clk}) }
	r := start()
	app := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: "prod", UID: "u1", Labels: map[string]string{v1alpha1.LabelStage: "prod"}}}
	n := 0
	drift := func() {
		n++
		at := metav1.MicroTime{Time: clk.Now().Add(time.Duration(n) * time.Microsecond)}
		d := v1alpha1.Drift{Kind: "Deployment", Name: "guestbook", Field: "spec.replicas", Manager: "kubectl-edit", Action: v1alpha1.DriftHealed, At: at}
		app.Status.Drifts = append([]v1alpha1.Drift{d}, app.Status.Drifts[:min(len(app.Status.Drifts), maxDrifts-1)]...)
	}
	record := func() {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "guestbook"}}); err != nil {
			t.Fatal(err)
		}
	}
	entries := func(action history.Action) []history.Entry {
		t.Helper()
		es, _, err := file.ListEntries(t.Context(), history.Filter{Project: "guestbook", Stage: "prod", Kinds: []string{string(action)}}, history.Page{Limit: history.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		return es
	}
	wantRows := func(why string, syncs, heals int) {
		t.Helper()
		if s, h := len(entries(history.ActionSync)), len(entries(history.ActionHeal)); s != syncs || h != heals {
			t.Errorf("%s: %d syncs, %d heals; want %d and %d", why, s, h, syncs, heals)
		}
	}
	at := metav1.NewMicroTime(clk.Now())
	app.Status.Sync = v1alpha1.SyncStatus{Revision: "c1", SyncedAt: &at}
	drift()
	if !r.Take(app) || r.Take(app) {
		t.Error("a status is news once")
	}
	record()
	wantRows("at first", 1, 1)

	// The store is down, and the server restarts: the status has it all.
	store.down = true
	drift()
	r.Take(app)
	record()
	wantRows("down", 1, 1)
	store.down = false
	r = start()
	r.Take(app)
	record()
	wantRows("after a restart", 1, 2)

	for range 300 { // a storm
		drift()
		r.Take(app)
		record()
	}
	wantRows("a storm", 1, 2+driftBurst)
	clk.SetTime(clk.Now().Add(driftEvery))
	drift()
	r.Take(app)
	record()
	wantRows("after a while", 1, 3+driftBurst)
	if last := entries(history.ActionHeal)[0]; !strings.HasSuffix(last.Reason, fmt.Sprintf("; %d drifts before it have no entry: there were too many", 300-driftBurst)) {
		t.Errorf("the entry behind a storm says %q", last.Reason)
	}
	if v, err := file.Verify(t.Context(), history.Part{After: chain.Start()}); err != nil || len(v.Breaks) != 0 {
		t.Errorf("the chain: %v, %v", v.Breaks, err)
	}
	r.forget(app.UID)
	if d := cmp.Diff(0, len(r.seen)+len(r.budgets)+len(r.owed)); d != "" {
		t.Errorf("what is remembered of nothing: %s", d)
	}
}

func TestSaysMore(t *testing.T) {
	now := metav1.NowMicro()
	at := func(edit func(*v1alpha1.ApplicationStatus)) *v1alpha1.ApplicationStatus {
		st := &v1alpha1.ApplicationStatus{Sync: v1alpha1.SyncStatus{Revision: "c1"}, Drifts: []v1alpha1.Drift{{Kind: "A"}}, LastSync: &v1alpha1.SyncResult{ID: "1"}}
		edit(st)
		return st
	}
	for _, c := range []struct {
		why  string
		edit func(*v1alpha1.ApplicationStatus)
		want bool
	}{
		{"nothing", func(*v1alpha1.ApplicationStatus) {}, false},
		{"health", func(st *v1alpha1.ApplicationStatus) { st.Health = &v1alpha1.Health{Status: v1alpha1.HealthHealthy} }, false},
		{"a revision", func(st *v1alpha1.ApplicationStatus) { st.Sync.Revision = "c2" }, true},
		{"a drift", func(st *v1alpha1.ApplicationStatus) { st.Drifts[0].Action = v1alpha1.DriftHealed }, true},
		{"another sync that runs", func(st *v1alpha1.ApplicationStatus) { st.LastSync.ID = "2" }, false},
		{"a sync that ended", func(st *v1alpha1.ApplicationStatus) { st.LastSync.FinishedAt = &now }, true},
	} {
		if got := saysMore(at(func(*v1alpha1.ApplicationStatus) {}), at(c.edit)); got != c.want {
			t.Errorf("%s: %t, want %t", c.why, got, c.want)
		}
	}
}
