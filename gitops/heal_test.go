package gitops_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

func TestHealLog(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var log gitops.HealLog
	now := start
	// Five heals wait for nothing.
	for i := range 5 {
		if next := log.Next(now, "spec.replicas"); next.After(now) {
			t.Fatalf("heal %d waits until %s", i, next)
		}
		if _, _, contested := log.Contest(now); contested {
			t.Fatalf("contested after %d heals", i)
		}
		log.Healed(now, "spec.replicas", "hpa")
		now = now.Add(time.Second)
	}
	rival, n, contested := log.Contest(now)
	if rival != "hpa" || n != 5 || !contested {
		t.Errorf("contest: %q, %d, %t", rival, n, contested)
	}
	if next := log.Next(now, "metadata.labels.x"); next.After(now) {
		t.Error("another field has to wait for the contested one")
	}
	// Then the pauses grow: 1 s, 2 s, 4 s, ...
	want := time.Second
	for range 4 {
		last := now.Add(-time.Second)
		if next := log.Next(now, "spec.replicas"); next.Sub(last) != want {
			t.Errorf("pause %s, want %s", next.Sub(last), want)
		}
		now = last.Add(want)
		log.Healed(now, "spec.replicas", "hpa")
		now = now.Add(time.Second)
		want *= 2
	}
	// Ten quiet minutes, and all is forgotten.
	now = now.Add(10 * time.Minute)
	if _, _, contested := log.Contest(now); contested || !log.IsQuiet(now) || log.Next(now, "spec.replicas").After(now) {
		t.Error("remembered for ever")
	}
}

func TestBreaker(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	key := func(i int) gitops.Key { return gitops.Key{Kind: "ConfigMap", Name: string(rune('a' + i))} }
	trip := func(b *gitops.Breaker) bool {
		for i := range 11 {
			if b.Drifted(now, key(i), 20) {
				if i != 10 {
					t.Errorf("tripped by drift %d", i+1)
				}
				return true
			}
		}
		return false
	}
	var b gitops.Breaker
	for range 100 { // one object that drifts often is no storm
		if b.Drifted(now, key(0), 1) {
			t.Fatal("tripped by one object")
		}
	}
	for i := range 11 { // nor are eleven of many, nor eleven spread over time
		if b.Drifted(now, key(i), 100) || new(gitops.Breaker).Drifted(now, key(i), 11) {
			t.Fatal("tripped too early")
		}
		now = now.Add(10 * time.Second)
	}
	b = gitops.Breaker{}
	for i := range 100 { // nor are many that are healed one after the other
		if b.Drifted(now, key(i%20), 20) {
			t.Fatal("tripped by healed drifts")
		}
		b.Healed(key(i % 20))
	}
	b = gitops.Breaker{}
	for _, pause := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if !trip(&b) {
			t.Fatal("not tripped")
		}
		if got := b.Resumes().Sub(now); got != pause || !b.IsOpen(now) {
			t.Errorf("pause %s, want %s", got, pause)
		}
		now = b.Resumes()
		if b.IsOpen(now) {
			t.Error("open after the pause")
		}
	}
}

func TestRollUp(t *testing.T) {
	key := func(name string) gitops.Key { return gitops.Key{Kind: "Deployment", Namespace: "ns", Name: name} }
	h := func(name string, s v1alpha1.HealthStatus, message string) gitops.ObjectHealth {
		return gitops.ObjectHealth{Key: key(name), Health: v1alpha1.Health{Status: s, Reason: "R", Message: message}}
	}
	if gitops.RollUp(nil) != nil {
		t.Error("nothing is not Healthy")
	}
	for _, c := range []struct {
		objects []gitops.ObjectHealth
		status  v1alpha1.HealthStatus
		message string
	}{
		{[]gitops.ObjectHealth{h("a", v1alpha1.HealthHealthy, "")}, v1alpha1.HealthHealthy, ""},
		{[]gitops.ObjectHealth{h("a", v1alpha1.HealthHealthy, ""), h("b", v1alpha1.HealthSuspended, "paused")}, v1alpha1.HealthSuspended, "Deployment ns/b: paused"},
		{[]gitops.ObjectHealth{h("b", v1alpha1.HealthProgressing, "1 of 3"), h("a", v1alpha1.HealthProgressing, "0 of 1"), h("c", v1alpha1.HealthSuspended, "")}, v1alpha1.HealthProgressing, "Deployment ns/a: 0 of 1 (and 1 more Progressing)"},
		{[]gitops.ObjectHealth{h("a", v1alpha1.HealthProgressing, ""), h("b", v1alpha1.HealthMissing, "")}, v1alpha1.HealthMissing, "Deployment ns/b"},
		{[]gitops.ObjectHealth{h("a", v1alpha1.HealthMissing, ""), h("b", v1alpha1.HealthDegraded, "x")}, v1alpha1.HealthDegraded, "Deployment ns/b: x"},
		{[]gitops.ObjectHealth{h("a", v1alpha1.HealthDegraded, ""), h("b", v1alpha1.HealthUnknown, "x")}, v1alpha1.HealthDegraded, "Deployment ns/a"},
		{[]gitops.ObjectHealth{h("a", v1alpha1.HealthMissing, ""), h("b", v1alpha1.HealthUnknown, "x")}, v1alpha1.HealthUnknown, "Deployment ns/b: x"},
	} {
		got := gitops.RollUp(c.objects)
		if got.Status != c.status || got.Message != c.message {
			t.Errorf("%+v, want %s %q", got, c.status, c.message)
		}
	}
}

func TestReached(t *testing.T) {
	app := func(change func(*v1alpha1.Application)) *v1alpha1.Application {
		a := &v1alpha1.Application{}
		a.Name, a.Generation = "test", 3
		a.Status = v1alpha1.ApplicationStatus{
			ObservedGeneration: 3, Health: &v1alpha1.Health{Status: v1alpha1.HealthDegraded},
			Sync: v1alpha1.SyncStatus{Status: v1alpha1.SyncSynced, Revision: "c1c1c1c1c1", Tree: "t1"},
		}
		change(a)
		return a
	}
	same := func(*v1alpha1.Application) {}
	for _, c := range []struct {
		why    string
		app    *v1alpha1.Application
		commit string
		trees  []string
		want   string // why not; empty: reached
	}{
		{"the commit itself, however well", app(same), "c1c1c1c1c1", nil, ""},
		{"another commit with the same content", app(same), "c2c2c2c2c2", []string{"t0", "t1"}, ""},
		{"another content", app(same), "c2c2c2c2c2", []string{"t2"}, `Application "test" runs c1c1c1c, not c2c2c2c`},
		{"no tree known", app(func(a *v1alpha1.Application) { a.Status.Sync.Tree = "" }), "c2c2c2c2c2", []string{""}, `Application "test" runs c1c1c1c, not c2c2c2c`},
		{"an older spec", app(func(a *v1alpha1.Application) { a.Generation = 4 }), "c1c1c1c1c1", nil, `Application "test" has not seen its latest spec yet`},
		{"never synced", app(func(a *v1alpha1.Application) { a.Status.Sync = v1alpha1.SyncStatus{Message: "no branch"} }), "c1c1c1c1c1", nil, `Application "test" has not been synced yet: no branch`},
		{"syncing", app(func(a *v1alpha1.Application) { a.Status.Sync.Status = v1alpha1.SyncSyncing }), "c1c1c1c1c1", nil, `Application "test" is syncing`},
		{"unreachable", app(func(a *v1alpha1.Application) {
			a.Status.Sync.Status, a.Status.Sync.Message = v1alpha1.SyncUnknown, "down"
		}), "c1c1c1c1c1", nil, `what Application "test" runs is unknown: down`},
		{"health not computed", app(func(a *v1alpha1.Application) { a.Status.Health = nil }), "c1c1c1c1c1", nil, `the health of Application "test" is not known yet`},
	} {
		reached, why := gitops.Reached(c.app, c.commit, c.trees...)
		if reached != (c.want == "") || why != c.want {
			t.Errorf("%s: %t, %q, want %q", c.why, reached, why, c.want)
		}
	}
}
