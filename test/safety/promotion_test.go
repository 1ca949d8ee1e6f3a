package safety

import (
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestFreezeHoldsFromItsAnswer: somebody who freezes a Stage and gets an answer
// may rely on it, also while caches have not heard of it.
func TestFreezeHoldsFromItsAnswer(t *testing.T) {
	r := newRig(t, "stale")
	r.stage("test")
	f := r.freight(1, "1.26.0")
	p := r.promotion("test.1.f", f.Name)
	r.cached.hideFreezes = true
	z := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: "stop"}, Spec: v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAll, Reason: "audit", By: "kubernetes-admin"}}
	freezeAs(t, r, z)

	if p = r.step(p); p.Status.Phase != v1alpha1.PhasePending || len(p.Status.Gates) != 1 || p.Status.Gates[0].Gate != v1alpha1.GateFreeze {
		t.Errorf("it is %s with %+v", p.Status.Phase, p.Status.Gates)
	}
	if head := r.head("stage/test"); head != "" {
		t.Errorf("a frozen Stage's branch is at %s", head)
	}
	if err := r.admin.Delete(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	r.runs("test", p)
}

// freezeAs creates a Freeze in the administrator's own name, whatever that is.
func freezeAs(t *testing.T, r *rig, z *v1alpha1.Freeze) {
	t.Helper()
	z.Spec.By = v1alpha1.PolicyUser // the administrator may do all, so also this
	if err := r.admin.Create(t.Context(), z); err != nil {
		t.Fatal(err)
	}
}

// loseAnswer lets pushes arrive and cuts their answers.
func loseAnswer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || !strings.HasSuffix(q.URL.Path, "/git-receive-pack") {
			next.ServeHTTP(w, q)
			return
		}
		next.ServeHTTP(discard{http.Header{}}, q)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// TestAbortOfAPushThatArrived: what runs is what the branch says, also when the
// answer to the push was lost and the promotion was aborted then.
func TestAbortOfAPushThatArrived(t *testing.T) {
	r := newRig(t, "abort")
	r.stage("test")
	p := r.promotion("test.1.f", r.freight(1, "1.26.0").Name)
	r.git.Intercept(func(next http.Handler) http.Handler {
		lossy := loseAnswer(next)
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			// Once the push is in, nothing answers any more.
			if q.Method == http.MethodGet && r.head("stage/test") != "" {
				http.Error(w, "down", http.StatusServiceUnavailable)
				return
			}
			lossy.ServeHTTP(w, q)
		})
	})
	if p = r.step(p); p.Status.Commit != nil || p.Status.Phase.IsFinished() {
		t.Fatalf("it is %s at %+v", p.Status.Phase, p.Status.Commit)
	}
	head := r.head("stage/test")
	if head == "" {
		t.Fatal("the push did not arrive, so that nothing is tested")
	}
	if err := r.admin.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"abort":{"by":"waybill:policy"}}}`))); err != nil {
		t.Fatal(err)
	}
	r.seen(p)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhaseAborted || !strings.Contains(p.Status.Message, "not known yet") {
		t.Errorf("while Git is down it is %s: %s", p.Status.Phase, p.Status.Message)
	}
	r.git.Intercept(nil)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhaseAborted || p.Status.Commit == nil || p.Status.Commit.Commit != head {
		t.Errorf("afterwards it is %s at %+v, want %s: %s", p.Status.Phase, p.Status.Commit, head, p.Status.Message)
	}
	if s := r.stepStage("test"); len(s.Status.Current) != 1 || s.Status.Current[0].Commit != head {
		t.Errorf("the Stage says it runs %+v", s.Status.Current)
	}
}

// TestAbortOfAPushThatDidNotArrive says so and leaves nothing open.
func TestAbortOfAPushThatDidNotArrive(t *testing.T) {
	r := newRig(t, "abort-early")
	r.stage("test")
	p := r.promotion("test.1.f", r.freight(1, "1.26.0").Name)
	r.git.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "/git-receive-pack") {
				http.Error(w, "down", http.StatusBadGateway)
				return
			}
			next.ServeHTTP(w, q)
		})
	})
	p = r.step(p)
	if err := r.admin.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"abort":{"by":"waybill:policy"}}}`))); err != nil {
		t.Fatal(err)
	}
	r.seen(p)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhaseAborted || p.Status.Commit != nil || strings.Contains(p.Status.Message, "not known") {
		t.Errorf("it is %s at %+v: %s", p.Status.Phase, p.Status.Commit, p.Status.Message)
	}
	version := p.ResourceVersion
	if p = r.step(p); p.ResourceVersion != version {
		t.Error("an aborted Promotion is written again")
	}
}

// TestNumbers: names are typed by people, and what a Stage is said to run
// depends on the numbers in them.
func TestNumbers(t *testing.T) {
	r := newRig(t, "numbers")
	r.stage("test")
	old, now := r.freight(1, "1.26.0"), r.freight(2, "1.27.0")
	r.runs("test", r.promotion("test.5.f", now.Name))
	head := r.head("stage/test")

	for name, reason := range map[string]string{"test.4.f": "NumberTaken", "test.999999999999.f": "NumberTooHigh"} {
		p := r.step(r.promotion(name, old.Name))
		if p.Status.Phase != v1alpha1.PhaseFailed || p.Status.Reason != reason {
			t.Errorf("%s is %s, %s: %s", name, p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
	}
	if r.head("stage/test") != head {
		t.Error("the branch moved")
	}
	s := r.stepStage("test")
	if s.Status.LastSeq != 5 {
		t.Errorf("the last number is %d, want 5", s.Status.LastSeq)
	}
	// Two people at once, with one number: both run, and the later one counts.
	first, second := r.promotion("test.6.b", old.Name), r.promotion("test.6.a", now.Name)
	r.runs("test", first)
	r.runs("test", second)
}

// TestRollbackOfWhatRunsNoLonger: the fix that came in between is not taken back.
func TestRollbackOfWhatRunsNoLonger(t *testing.T) {
	r := newRig(t, "rollback-late")
	r.stage("test")
	good, bad, fix := r.freight(1, "1.26.0"), r.freight(2, "1.27.0"), r.freight(3, "1.27.1")
	r.runs("test", r.promotion("test.1.f", good.Name))
	r.runs("test", r.promotion("test.2.f", bad.Name))
	r.runs("test", r.promotion("test.3.f", fix.Name))
	head := r.head("stage/test")
	p := r.step(r.promotion("test.4.f", bad.Name, func(s *v1alpha1.PromotionSpec) { s.Kind = v1alpha1.KindRollback }))
	if p.Status.Phase != v1alpha1.PhaseFailed || p.Status.Reason != "NotCurrent" {
		t.Errorf("it is %s, %s: %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
	}
	if r.head("stage/test") != head {
		t.Error("the fix was taken back")
	}
	if z := r.freezes(); len(z) != 0 {
		t.Errorf("something is stopped: %+v", z)
	}
}

// TestRollbackBeforeTheStageKnows: a rollback takes back what the newest
// Promotion wrote, also when the Stage's record does not say so yet.
func TestRollbackBeforeTheStageKnows(t *testing.T) {
	r := newRig(t, "rollback-early")
	r.stage("test")
	good, bad := r.freight(1, "1.26.0"), r.freight(2, "1.27.0")
	r.runs("test", r.promotion("test.1.f", good.Name))
	p := r.promotion("test.2.f", bad.Name)
	for range 3 {
		p = r.step(p)
	}
	if p.Status.Phase != v1alpha1.PhaseSucceeded {
		t.Fatalf("it is %s", p.Status.Phase)
	}
	// No reconcile of the Stage in between.
	back := r.promotion("test.3.f", bad.Name, func(s *v1alpha1.PromotionSpec) { s.Kind = v1alpha1.KindRollback })
	for range 4 {
		back = r.step(back)
	}
	if back.Status.Phase != v1alpha1.PhaseSucceeded {
		t.Fatalf("the rollback is %s: %s", back.Status.Phase, back.Status.Message)
	}
	if got := r.git.Show("guestbook", "stage/test:stages/test/kustomization.yaml"); !strings.Contains(got, "newTag: 1.26.0") {
		t.Errorf("the branch holds %s", got)
	}
}

// TestRollbackStopsTheFlowWhateverIsThere: the names of its Freezes may be
// taken, by one that ran out or by somebody who means another thing.
func TestRollbackStopsTheFlowWhateverIsThere(t *testing.T) {
	r := newRig(t, "names-taken")
	r.stage("test")
	good, bad := r.freight(1, "1.26.0"), r.freight(2, "1.27.0")
	r.runs("test", r.promotion("test.1.f", good.Name))
	r.runs("test", r.promotion("test.2.f", bad.Name))
	past := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	for name, spec := range map[string]v1alpha1.FreezeSpec{
		"hold.test":                 {Stage: "test", Scope: v1alpha1.FreezeAutomatic, Reason: "last week", Until: &past},
		"rejected.test." + bad.Name: {Stage: "elsewhere", Freight: []string{"f0"}, Scope: v1alpha1.FreezeAll, Reason: "in the way"},
	} {
		freezeAs(t, r, &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: name}, Spec: spec})
	}
	back := r.promotion("test.3.f", bad.Name, func(s *v1alpha1.PromotionSpec) { s.Kind = v1alpha1.KindRollback })
	for range 4 {
		back = r.step(back)
	}
	if back.Status.Phase != v1alpha1.PhaseSucceeded {
		t.Fatalf("the rollback is %s: %s", back.Status.Phase, back.Status.Message)
	}
	holds, rejections := 0, 0
	for _, z := range r.freezes() {
		switch {
		case z.Spec.Stage != "test":
		case len(z.Spec.Freight) == 1 && z.Spec.Freight[0] == bad.Name:
			rejections++
		case z.Spec.Scope == v1alpha1.FreezeAutomatic:
			holds++
		}
	}
	if holds != 1 || rejections != 1 {
		t.Errorf("%d holds and %d rejections in force, want one each", holds, rejections)
	}
}

// TestForeignApplicationSaysNothing: the label of a Stage on a person's
// Application does not make it the Stage's.
func TestForeignApplicationSaysNothing(t *testing.T) {
	r := newRig(t, "label")
	stage := r.stage("test", func(s *v1alpha1.Stage) {
		s.Spec.Deploy = []v1alpha1.Deployment{{Destination: v1alpha1.Destination{Namespace: "label-test"}, Source: v1alpha1.DeploymentSource{Path: "stages/test"}}}
	})
	forged := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: "mine", Labels: map[string]string{v1alpha1.LabelStage: "test"}}, Spec: v1alpha1.ApplicationSpec{
		Source: v1alpha1.ApplicationSource{RepoURL: r.url, Path: "x"}, Destination: v1alpha1.Destination{Namespace: "label-mine"},
	}}
	r.create(forged)
	forged.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthDegraded}
	if err := r.admin.Status().Update(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	r.seen(forged)
	r.stepStage("test") // makes the Stage's own Application
	p := r.step(r.promotion("test.1.f", r.freight(1, "1.26.0").Name))
	if p.Status.Phase != v1alpha1.PhaseSyncing {
		t.Fatalf("it is %s: %s", p.Status.Phase, p.Status.Message)
	}
	var own v1alpha1.Application
	if err := r.admin.Get(t.Context(), client.ObjectKey{Namespace: r.project, Name: "test"}, &own); err != nil {
		t.Fatal(err)
	}
	if !metav1.IsControlledBy(&own, stage) {
		t.Fatal("the Stage's Application is not its own")
	}
	own.Status.ObservedGeneration = own.Generation
	own.Status.Sync = v1alpha1.SyncStatus{Status: v1alpha1.SyncSynced, Revision: p.Status.Commit.Commit, Target: p.Status.Commit.Commit, Tree: r.tree(p.Status.Commit.Commit, "stages/test")}
	own.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthHealthy}
	if err := r.admin.Status().Update(t.Context(), &own); err != nil {
		t.Fatal(err)
	}
	r.seen(&own)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhaseSucceeded {
		t.Errorf("it is %s: %s", p.Status.Phase, p.Status.Message)
	}
}

func (r *rig) tree(commit, path string) string {
	return strings.TrimSpace(r.git.Git("guestbook", "rev-parse", commit+":"+path))
}

// TestControlFlow: nothing is promoted into a Stage without mechanisms, and a
// freeze stops what passes through.
func TestControlFlow(t *testing.T) {
	r := newRig(t, "flow")
	gate := newStage(r.project, "gate")
	r.create(gate)
	f := r.freight(1, "1.26.0")
	z := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: r.project, Name: "stop"}, Spec: v1alpha1.FreezeSpec{Stage: "gate", Scope: v1alpha1.FreezeAll, Reason: "audit"}}
	freezeAs(t, r, z)
	r.seen(z)
	verified := func() bool {
		r.stepStage("gate")
		var live v1alpha1.Freight
		if err := r.admin.Get(t.Context(), client.ObjectKeyFromObject(f), &live); err != nil {
			t.Fatal(err)
		}
		return live.Status.Stages["gate"].VerifiedAt != nil
	}
	if verified() {
		t.Error("Freight passed through a frozen Stage")
	}
	if err := r.admin.Delete(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cache sees the thaw", func() error {
		return client.IgnoreNotFound(must(r.cached.Get(t.Context(), client.ObjectKeyFromObject(z), &v1alpha1.Freeze{}), "not found"))
	})
	if !verified() {
		t.Error("Freight does not pass through after the thaw")
	}
	for name, kind := range map[string]v1alpha1.PromotionKind{"gate.1.f": v1alpha1.KindPromote, "gate.2.f": v1alpha1.KindRollback} {
		p := r.step(r.promotion(name, f.Name, func(s *v1alpha1.PromotionSpec) { s.Kind = kind }))
		if p.Status.Phase != v1alpha1.PhaseFailed || p.Status.Reason != "ControlFlow" {
			t.Errorf("%s into a control-flow Stage is %s, %s: %s", kind, p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
	}
}
