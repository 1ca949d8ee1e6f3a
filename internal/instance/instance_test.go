package instance_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/internal/instance"
	"github.com/waybill-dev/waybill/test/env"
)

const (
	electionLease = "waybill.dev"
	patience      = 2 * time.Minute
)

// quick is a clock on which time passes as soon as somebody waits for it.
type quick struct{ *clocktesting.FakeClock }

// After is clock.Clock.
func (q quick) After(d time.Duration) <-chan time.Time {
	q.Step(d)
	out := make(chan time.Time, 1)
	out <- q.Now()
	return out
}

// fixture is a Namespace's Leases on a real API server.
type fixture struct {
	t      *testing.T
	leases client.LeaseInterface
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	e := env.Start(t, env.Options{})
	c, err := client.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, leases: c.Leases("default")}
}

// of are the options of a waybilld; its waits take no time, so that it gets no answer
// from anybody who is not there before.
func (f *fixture) of(id string) instance.Options {
	return instance.Options{Leases: f.leases, ID: id, ElectionLease: electionLease, Clock: quick{clocktesting.NewFakeClock(time.Now())}}
}

// patiently gives others the time they have.
func patiently(o instance.Options) instance.Options {
	o.Clock = clock.RealClock{}
	return o
}

// elects makes it a replica.
func elects(o instance.Options) instance.Options {
	o.Elects = true
	return o
}

func (f *fixture) claims(o instance.Options) {
	f.t.Helper()
	if err := instance.Claim(f.t.Context(), o); err != nil {
		f.t.Fatalf("%s: %v", o.ID, err)
	}
}

func (f *fixture) isRefused(o instance.Options, want instance.OtherError) {
	f.t.Helper()
	var other *instance.OtherError
	if err := instance.Claim(f.t.Context(), o); !errors.As(err, &other) || *other != want {
		f.t.Fatalf("%s: %v, want %+v", o.ID, err, want)
	}
}

// holder is who has the Lease.
func (f *fixture) holder() string {
	f.t.Helper()
	lease, err := f.leases.Get(f.t.Context(), instance.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		f.t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// clear deletes all Leases, for the next test.
func (f *fixture) clear(t *testing.T) *fixture {
	t.Helper()
	if err := f.leases.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, leases: f.leases}
}

// runs keeps a claim until stop is called, which returns what Run returned.
func (f *fixture) runs(o instance.Options) (stop func() error) {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- instance.Run(ctx, o) }()
	return func() error {
		cancel()
		return f.ends(ended)
	}
}

func (f *fixture) ends(ended <-chan error) error {
	f.t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		f.t.Fatal("it does not end")
		return nil
	}
}

func TestClaim(t *testing.T) {
	all := newFixture(t)
	t.Run("nobody is there", func(t *testing.T) {
		f := all.clear(t)
		f.claims(f.of("a"))
		if h := f.holder(); h != "a" {
			t.Errorf("the holder is %q", h)
		}
	})
	t.Run("it was killed and starts on its own folder", func(t *testing.T) {
		f := all.clear(t)
		f.claims(f.of("a"))
		f.claims(patiently(f.of("a"))) // asks nobody
	})
	t.Run("the holder does not answer", func(t *testing.T) {
		f := all.clear(t)
		f.claims(f.of("a"))
		f.claims(f.of("b"))
		if h := f.holder(); h != "b" {
			t.Errorf("the holder is %q", h)
		}
	})
	t.Run("the holder answers", func(t *testing.T) {
		f := all.clear(t)
		f.claims(f.of("a"))
		stop := f.runs(patiently(f.of("a")))
		f.isRefused(patiently(f.of("b")), instance.OtherError{Holder: "a"})
		f.isRefused(elects(patiently(f.of("replica"))), instance.OtherError{Holder: "a"})
		if err := stop(); err != nil {
			t.Error(err)
		}
		if h := f.holder(); h != "" {
			t.Errorf("after a proper end the holder is %q", h)
		}
		f.claims(patiently(f.of("b"))) // asks nobody
	})
	t.Run("a replica takes no Lease", func(t *testing.T) {
		f := all.clear(t)
		f.claims(elects(f.of("replica")))
		f.claims(f.of("a"))
		f.claims(elects(f.of("replica")))
		if h := f.holder(); h != "a" {
			t.Errorf("the holder is %q", h)
		}
	})
	t.Run("the holder is replaced", func(t *testing.T) {
		f := all.clear(t)
		f.claims(f.of("a"))
		ended := make(chan error, 1)
		go func() { ended <- instance.Run(t.Context(), patiently(f.of("a"))) }()
		lease, err := f.leases.Get(t.Context(), instance.LeaseName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		taker := "b"
		lease.Spec.HolderIdentity = &taker
		if _, err := f.leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := f.ends(ended); !errors.Is(err, instance.ErrTaken) || !strings.Contains(err.Error(), "b") {
			t.Errorf("it ended with %v", err)
		}
		if h := f.holder(); h != "b" {
			t.Errorf("the holder is %q", h)
		}
	})
	t.Run("somebody deletes the Lease", func(t *testing.T) {
		f := all.clear(t)
		f.claims(f.of("a"))
		stop := f.runs(patiently(f.of("a")))
		f.isRefused(patiently(f.of("b")), instance.OtherError{Holder: "a"}) // it watches by now
		if err := f.leases.Delete(t.Context(), instance.LeaseName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); f.holder() != "a"; time.Sleep(10 * time.Millisecond) { // a poll with a deadline
			if time.Now().After(deadline) {
				t.Fatal("it is not taken anew")
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestClaimBesideReplicas: one that elects nobody looks whether a leader renews its
// Lease, whatever the leader's clock says.
func TestClaimBesideReplicas(t *testing.T) {
	all := newFixture(t)
	leader, seconds := "leader", int32(15)
	leads := func(f *fixture, edit func(*coordination.Lease)) {
		at := metav1.NowMicro()
		lease := &coordination.Lease{Spec: coordination.LeaseSpec{HolderIdentity: &leader, LeaseDurationSeconds: &seconds, RenewTime: &at}}
		lease.Name = electionLease
		edit(lease)
		if _, err := f.leases.Create(f.t.Context(), lease, metav1.CreateOptions{}); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why  string
		edit func(*coordination.Lease)
	}{
		{"it died a moment ago", func(*coordination.Lease) {}},
		{"it died long ago", func(l *coordination.Lease) {
			at := metav1.NewMicroTime(time.Now().Add(-time.Hour))
			l.Spec.RenewTime = &at
		}},
		{"it ended properly", func(l *coordination.Lease) { l.Spec.HolderIdentity = nil }},
	} {
		t.Run(c.why, func(t *testing.T) {
			f := all.clear(t)
			leads(f, c.edit)
			f.claims(f.of("a"))
			if h := f.holder(); h != "a" {
				t.Errorf("the holder is %q", h)
			}
		})
	}
	t.Run("it renews its Lease", func(t *testing.T) {
		f := all.clear(t)
		leads(f, func(*coordination.Lease) {})
		renew := func() {
			lease, err := f.leases.Get(t.Context(), electionLease, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			at := metav1.NowMicro()
			lease.Spec.RenewTime = &at
			if _, err := f.leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		o := f.of("a")
		o.Clock = meanwhile{quick{clocktesting.NewFakeClock(time.Now())}, renew}
		f.isRefused(o, instance.OtherError{Holder: leader, IsReplica: true})
		f.claims(elects(f.of("replica"))) // its election says who leads
	})
}

// meanwhile does something whenever somebody waits.
type meanwhile struct {
	quick
	do func()
}

// After is clock.Clock.
func (m meanwhile) After(d time.Duration) <-chan time.Time {
	m.do()
	return m.quick.After(d)
}

func TestReadID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	if _, err := instance.ReadID(dir); err == nil {
		t.Error("an id in a folder that does not exist")
	}
	dir = t.TempDir()
	first, err := instance.ReadID(dir)
	if err != nil || first == "" {
		t.Fatalf("%q, %v", first, err)
	}
	if again, err := instance.ReadID(dir); err != nil || again != first {
		t.Errorf("%q, then %q, %v", first, again, err)
	}
	if other, err := instance.ReadID(t.TempDir()); err != nil || other == first {
		t.Errorf("two folders have the id %q, %v", other, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "instance"), []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if made, err := instance.ReadID(dir); err != nil || made == "" || made == first {
		t.Errorf("an empty file gives %q, %v", made, err)
	}
}

func TestOtherErrorSaysWhatToDo(t *testing.T) {
	for _, e := range []*instance.OtherError{{Holder: "h"}, {Holder: "h", IsReplica: true}} {
		text := e.Error()
		if !strings.Contains(text, "h;") || !strings.Contains(text, "--allow-other") || strings.Contains(text, "without --leader-elect") == e.IsReplica {
			t.Errorf("%+v: %s", e, text)
		}
	}
}
