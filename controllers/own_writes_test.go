package controllers

import (
	"strconv"
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

func promotionOf(stage, name string, version int) v1alpha1.Promotion {
	p := v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: stage}}
	p.Namespace, p.Name, p.ResourceVersion = "guestbook", name, strconv.Itoa(version)
	return p
}

// TestOwnWrites: a cache is behind until it shows what was written, about that
// Stage, and not for ever.
func TestOwnWrites(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	written := promotionOf("test", "test.4.x", 99) // as text, 99 is more than 100
	var own ownWrites
	own.wrote(&written, "test", now)
	for why, c := range map[string]struct {
		stage    string
		read     []v1alpha1.Promotion
		after    time.Duration
		wantIsIn bool
	}{
		"it is not there yet":              {stage: "test", read: nil},
		"an older one is":                  {stage: "test", read: []v1alpha1.Promotion{promotionOf("test", "test.4.x", 98)}},
		"another is":                       {stage: "test", read: []v1alpha1.Promotion{promotionOf("test", "test.5.x", 120)}},
		"it is":                            {stage: "test", read: []v1alpha1.Promotion{promotionOf("test", "test.4.x", 99)}, wantIsIn: true},
		"a newer one is":                   {stage: "test", read: []v1alpha1.Promotion{promotionOf("test", "test.4.x", 100)}, wantIsIn: true},
		"it is another Stage's":            {stage: "prod", wantIsIn: true},
		"it will never be there: a minute": {stage: "test", after: time.Minute + time.Second, wantIsIn: true},
	} {
		stage, at := types.NamespacedName{Namespace: "guestbook", Name: c.stage}, now.Add(c.after)
		if got := own.areIn(c.read, stage, at); got != c.wantIsIn {
			t.Errorf("%s: %v, want %v", why, got, c.wantIsIn)
		}
		for i := range c.read {
			if p := &c.read[i]; p.Name == written.Name && own.isOutdated(p, at) == c.wantIsIn {
				t.Errorf("%s: version %s is outdated: %v", why, p.ResourceVersion, !c.wantIsIn)
			}
		}
	}
	later := promotionOf("test", "test.5.x", 200)
	own.wrote(&later, "test", now.Add(2*time.Minute))
	if len(own.newest) != 1 {
		t.Errorf("%d are remembered, want the newest alone", len(own.newest))
	}
}

// TestNotingClient: every way in which the controller writes Promotions is noted,
// and writes that failed are not.
func TestNotingClient(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var noted []string
	c := &notingClient{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Promotion{}).Build(),
		note:   func(p *v1alpha1.Promotion) { noted = append(noted, p.ResourceVersion) },
	}
	p := promotionOf("test", "test.1.x", 0)
	p.ResourceVersion = ""
	if err := c.Create(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	before := p.DeepCopy()
	p.Status.Phase = v1alpha1.PhaseRunning
	if err := patchStatus(t.Context(), c, before, &p); err != nil {
		t.Fatal(err)
	}
	stale := before.DeepCopy()
	stale.Status.Phase = v1alpha1.PhaseFailed
	if err := patchStatus(t.Context(), c, before, stale); err == nil {
		t.Error("an outdated status was taken")
	}
	aborted := p.DeepCopy()
	aborted.Spec.Abort = &v1alpha1.Abort{By: "alice"}
	if err := c.Patch(t.Context(), aborted, client.MergeFrom(&p)); err != nil {
		t.Fatal(err)
	}
	if len(noted) != 3 || noted[2] != aborted.ResourceVersion {
		t.Errorf("noted %v, want three, the last %s", noted, aborted.ResourceVersion)
	}
}

// TestEntryDue: that Freight has entered may wait a moment for what follows; what
// somebody waits for may not.
func TestEntryDue(t *testing.T) {
	pushed := metav1.NewMicroTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	at := metav1.NewTime(pushed.Time)
	o := &promotion.Observation{Stage: &v1alpha1.Stage{}, Promotions: []v1alpha1.Promotion{{
		Status: v1alpha1.PromotionStatus{Plan: &v1alpha1.PromotionPlan{}, PushedAt: &pushed},
	}}}
	none, entered := v1alpha1.FreightInStage{}, v1alpha1.FreightInStage{EnteredAt: &at}
	for why, c := range map[string]struct {
		rec, next v1alpha1.FreightInStage
		want      time.Time
	}{
		"it entered":               {none, entered, pushed.Add(lazyInterval)},
		"and is verified":          {none, v1alpha1.FreightInStage{EnteredAt: &at, VerifiedAt: &at}, time.Time{}},
		"it was verified later":    {entered, v1alpha1.FreightInStage{EnteredAt: &at, VerifiedAt: &at}, time.Time{}},
		"it left":                  {entered, v1alpha1.FreightInStage{EnteredAt: &at, LeftAt: &at}, time.Time{}},
		"it is back, by rollback":  {v1alpha1.FreightInStage{EnteredAt: &at, LeftAt: &at}, entered, time.Time{}},
		"it left before it proved": {none, v1alpha1.FreightInStage{EnteredAt: &at, LeftAt: &at}, time.Time{}},
	} {
		if got := entryDue(o, c.rec, c.next); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", why, got, c.want)
		}
	}
	if got := entryDue(&promotion.Observation{Stage: &v1alpha1.Stage{}}, none, entered); !got.IsZero() {
		t.Errorf("no Promotion says when: %v", got)
	}
}
