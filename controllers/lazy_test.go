package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestLazyWrites: words wait for company, everything else does not, and nothing
// that was held back is lost.
func TestLazyWrites(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	stored := &v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: "test"}}
	stored.Status.Health = &v1alpha1.Health{Status: v1alpha1.HealthProgressing}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stored).WithStatusSubresource(stored).Build()
	key := client.ObjectKeyFromObject(stored)
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var writes lazyWrites

	for _, step := range []struct {
		why     string
		at      time.Duration
		edit    func(s *v1alpha1.StageStatus)
		want    string // health.message afterwards
		wantDue time.Duration
	}{
		{"the first words are written at once", 0, func(s *v1alpha1.StageStatus) { s.Health.Message = "1 of 3" }, "1 of 3", 0},
		{"more words wait", 300 * time.Millisecond, func(s *v1alpha1.StageStatus) { s.Health.Message = "2 of 3" }, "1 of 3", time.Second},
		{"no change is no write", 400 * time.Millisecond, func(*v1alpha1.StageStatus) {}, "1 of 3", 0},
		{"they are written when they are due", time.Second, func(s *v1alpha1.StageStatus) { s.Health.Message = "2 of 3" }, "2 of 3", 0},
		{"what somebody waits for takes the words along", 1100 * time.Millisecond, func(s *v1alpha1.StageStatus) {
			s.Health.Message, s.Health.Status = "3 of 3", v1alpha1.HealthHealthy
		}, "3 of 3", 0},
		{"and starts the pause anew", 2050 * time.Millisecond, func(s *v1alpha1.StageStatus) { s.Health.Message = "idle" }, "3 of 3", 2100 * time.Millisecond},
	} {
		var before v1alpha1.Stage
		if err := c.Get(t.Context(), key, &before); err != nil {
			t.Fatal(err)
		}
		after := before.DeepCopy()
		step.edit(&after.Status)
		due, err := writes.patch(t.Context(), c, &before, after, onlyWordsOfStage(&before.Status, &after.Status), noon.Add(step.at))
		if err != nil {
			t.Fatalf("%s: %v", step.why, err)
		}
		if want := noon.Add(step.wantDue); step.wantDue > 0 && !due.Equal(want) || step.wantDue == 0 && !due.IsZero() {
			t.Errorf("%s: due %v", step.why, due)
		}
		var now v1alpha1.Stage
		if err := c.Get(t.Context(), key, &now); err != nil {
			t.Fatal(err)
		}
		if now.Status.Health.Message != step.want {
			t.Errorf("%s: stored %q, want %q", step.why, now.Status.Health.Message, step.want)
		}
	}
	writes.forget(key)
	if !writes.since(key).IsZero() {
		t.Error("a Stage that is gone is remembered")
	}
}

func TestOnlyWordsOfStage(t *testing.T) {
	status := func(edit func(s *v1alpha1.StageStatus)) *v1alpha1.StageStatus {
		s := &v1alpha1.StageStatus{
			Health: &v1alpha1.Health{Status: v1alpha1.HealthHealthy}, Synced: true, LastSeq: 3, ActivePromotion: "test.3.w",
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Healthy", Message: "runs 1.26.0"}},
		}
		edit(s)
		return s
	}
	before := status(func(*v1alpha1.StageStatus) {})
	for name, c := range map[string]struct {
		edit func(s *v1alpha1.StageStatus)
		want bool
	}{
		"nothing":           {func(*v1alpha1.StageStatus) {}, true},
		"a sentence":        {func(s *v1alpha1.StageStatus) { s.Conditions[0].Message, s.Health.Message = "x", "y" }, true},
		"a number":          {func(s *v1alpha1.StageStatus) { s.LastSeq = 4 }, true},
		"readiness":         {func(s *v1alpha1.StageStatus) { s.Conditions[0].Status = metav1.ConditionFalse }, false},
		"health":            {func(s *v1alpha1.StageStatus) { s.Health.Status = v1alpha1.HealthDegraded }, false},
		"sync":              {func(s *v1alpha1.StageStatus) { s.Synced = false }, false},
		"a sync error":      {func(s *v1alpha1.StageStatus) { s.SyncMessage = "x" }, false},
		"what is current":   {func(s *v1alpha1.StageStatus) { s.Current = []v1alpha1.StageFreight{{Origin: "w"}} }, false},
		"what is under way": {func(s *v1alpha1.StageStatus) { s.ActivePromotion = "test.4.x" }, true},
		"that it has ended": {func(s *v1alpha1.StageStatus) { s.ActivePromotion = "" }, false},
		"a request":         {func(s *v1alpha1.StageStatus) { s.LastHandledRequest = "now" }, false},
	} {
		if got := onlyWordsOfStage(before, status(c.edit)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestTheSameDecisionHasTheSameName: while the cache does not show a Promotion
// yet, the Stage decides to create it again; that must not make a second one.
func TestTheSameDecisionHasTheSameName(t *testing.T) {
	stage := types.NamespacedName{Namespace: "guestbook", Name: "test"}
	first := promotion.Candidate{Name: "test.2.f1", Seq: 2, Freight: "f1"}
	var used usedNumbers
	used.put(stage, first)
	promotions := func(names ...string) []v1alpha1.Promotion {
		out := make([]v1alpha1.Promotion, len(names))
		for i := range names {
			out[i].Name = names[i]
		}
		return out
	}
	for why, c := range map[string]struct {
		decided promotion.Candidate
		seen    []v1alpha1.Promotion
		want    string
	}{
		"the cache lags behind":        {promotion.Candidate{Name: "test.3.f1", Seq: 3, Freight: "f1"}, promotions("test.1.f0"), "test.2.f1"},
		"other Freight":                {promotion.Candidate{Name: "test.3.f2", Seq: 3, Freight: "f2"}, promotions("test.1.f0"), "test.3.f2"},
		"it was seen and may go again": {promotion.Candidate{Name: "test.3.f1", Seq: 3, Freight: "f1"}, promotions("test.2.f1"), "test.3.f1"},
	} {
		if got := used.known(stage, c.decided, c.seen); got.Name != c.want {
			t.Errorf("%s: %s, want %s", why, got.Name, c.want)
		}
	}
}
