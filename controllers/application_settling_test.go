package controllers

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestStatusDue: that a revision is applied waits a moment for the health that follows,
// once; whatever else somebody waits for is written at once.
func TestStatusDue(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	health := func(h v1alpha1.HealthStatus) *v1alpha1.Health { return &v1alpha1.Health{Status: h} }
	entry := v1alpha1.InventoryEntry{Kind: "Deployment", Name: "web"}
	before := v1alpha1.ApplicationStatus{
		ObservedGeneration: 1, Sync: v1alpha1.SyncStatus{Status: v1alpha1.SyncSynced, Revision: "a"},
		Health: health(v1alpha1.HealthHealthy), Inventory: []v1alpha1.InventoryEntry{entry, entry},
	}
	applied := func(edit func(s *v1alpha1.ApplicationStatus)) v1alpha1.ApplicationStatus {
		s := before.DeepCopy()
		s.Sync.Revision, s.Health = "b", health(v1alpha1.HealthProgressing)
		edit(s)
		return *s
	}
	for why, c := range map[string]struct {
		before, after v1alpha1.ApplicationStatus
		wantHeld      bool
	}{
		"applied, on its way":  {before, applied(func(*v1alpha1.ApplicationStatus) {}), true},
		"the first revision":   {v1alpha1.ApplicationStatus{}, applied(func(*v1alpha1.ApplicationStatus) {}), true},
		"Healthy":              {before, applied(func(s *v1alpha1.ApplicationStatus) { s.Health = health(v1alpha1.HealthHealthy) }), false},
		"Degraded":             {before, applied(func(s *v1alpha1.ApplicationStatus) { s.Health = health(v1alpha1.HealthDegraded) }), false},
		"not all was applied":  {before, applied(func(s *v1alpha1.ApplicationStatus) { s.Sync.Status = v1alpha1.SyncOutOfSync }), false},
		"something was pruned": {before, applied(func(s *v1alpha1.ApplicationStatus) { s.Inventory = s.Inventory[:1] }), false},
		"somebody asked":       {before, applied(func(s *v1alpha1.ApplicationStatus) { s.LastHandledRequest = "now" }), false},
		"another spec":         {before, applied(func(s *v1alpha1.ApplicationStatus) { s.ObservedGeneration = 2 }), false},
		"a drift was answered": {before, applied(func(s *v1alpha1.ApplicationStatus) { s.Drifting = true }), false},
		"the same revision":    {before, applied(func(s *v1alpha1.ApplicationStatus) { s.Sync.Revision = "a" }), false},
	} {
		s := &appState{}
		want := now
		if c.wantHeld {
			want = now.Add(lazyInterval)
		}
		if got := s.statusDue(&c.before, &c.after, now); !got.Equal(want) {
			t.Errorf("%s: due %v, want %v", why, got, want)
		}
		if got := s.statusDue(&c.before, &c.after, now.Add(lazyInterval)); got.After(now.Add(lazyInterval)) {
			t.Errorf("%s: held back a second time, until %v", why, got)
		}
	}
}
