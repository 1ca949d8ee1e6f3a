package replicas

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/test/env"
)

// replica is one of several with a clock of its own; it does what Run does when the
// test says so.
type replica struct {
	*Members
	t       *testing.T
	clock   *clocktesting.FakeClock
	changes int
}

func newReplica(t *testing.T, leases coordination.LeaseInterface, id string, starts time.Time) *replica {
	t.Helper()
	r := &replica{t: t, clock: clocktesting.NewFakeClock(starts)}
	var err error
	r.Members, err = New(Options{Leases: leases, ID: id, Duration: 15 * time.Second, Clock: r.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.OnChange(func() { r.changes++ })
	return r
}

// passes lets time pass for everybody, and who is awake keeps its Lease.
func passes(seconds int, all []*replica, awake ...*replica) {
	for range seconds {
		for _, r := range all {
			r.clock.Step(time.Second)
		}
		for _, r := range awake {
			r.tick(r.t.Context())
		}
	}
}

func (r *replica) sees(why, live string, current bool) {
	r.t.Helper()
	_, ok := r.Self()
	if got := strings.Join(r.live, " "); got != live || ok != current {
		r.t.Errorf("%s: %s sees %q and is current: %v; want %q, %v", why, r.o.ID, got, ok, live, current)
	}
}

// TestMembers on a real API server, with clocks that differ by hours.
func TestMembers(t *testing.T) {
	e := env.Start(t, env.Options{})
	c, err := coordination.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	leases := c.Leases("default")
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b := newReplica(t, leases, "a", start), newReplica(t, leases, "b", start.Add(-5*time.Hour))
	both := []*replica{a, b}
	a.sees("before it runs", "", false)
	passes(17, both, a, b)
	a.sees("both run", "a b", true)
	b.sees("both run", "a b", true)
	first, _ := b.Self()
	quiet := a.changes
	passes(40, both, a, b)
	if a.changes != quiet {
		t.Errorf("%d changes at rest", a.changes-quiet)
	}
	if first.Epoch != 1 || a.IsGone(first) {
		t.Errorf("b holds %+v, gone: %v", first, a.IsGone(first))
	}

	// b is paused: it stops by itself before anybody may say that it is dead.
	passes(10, both, a)
	b.sees("paused for 10 s", "a b", true)
	passes(1, both, a)
	b.sees("paused for 11 s", "a b", false)
	a.sees("b is silent for 11 s", "a b", true)
	passes(5, both, a)
	a.sees("b is silent for a whole Lease", "a", true)
	if !a.IsGone(first) {
		t.Error("b is not gone after its Lease")
	}
	passes(1, both, a, b)
	again, ok := b.Self()
	if !ok || again.Epoch != 2 || !b.IsGone(first) {
		t.Errorf("b woke up as %+v, current: %v", again, ok)
	}
	passes(1, both, a, b)
	a.sees("b is back", "a b", true)
	if !a.IsGone(first) || a.IsGone(again) {
		t.Errorf("gone: %v in the old epoch, %v in the new one", a.IsGone(first), a.IsGone(again))
	}

	// Its time of day is set, or the machine slept while its other clock stood.
	b.renewed = b.renewed.Add(-11 * time.Second)
	b.sees("the time jumped", "a b", false)
	passes(1, both, a, b)
	if self, ok := b.Self(); !ok || self.Epoch != 3 {
		t.Errorf("after the jump it is %+v, %v", self, ok)
	}

	// Somebody deletes its Lease: it makes another, in the same epoch.
	if err := leases.Delete(t.Context(), leasePrefix+"b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	passes(2, both, a, b)
	a.sees("the Lease is made again", "a b", true)
	if self, ok := b.Self(); !ok || self.Epoch != 3 {
		t.Errorf("with a new Lease it is %+v, %v", self, ok)
	}

	// It leaves, and nobody has to wait; later its Lease is swept away.
	last, _ := b.Self()
	b.Leave(context.WithoutCancel(t.Context()))
	passes(1, both, a)
	a.sees("b has left", "a", true)
	if !a.IsGone(last) {
		t.Error("b is not gone after it left")
	}
	passes(forgetAfter*15+1, both, a)
	list, err := leases.List(t.Context(), metav1.ListOptions{LabelSelector: Label})
	if err != nil || len(list.Items) != 1 || !a.IsGone(last) {
		t.Errorf("%d Leases are left, %v", len(list.Items), err)
	}
}

// The API server goes away: the replica stops in time, whatever it waits for, and goes
// on in a new epoch.
func TestMemberWithoutServer(t *testing.T) {
	e := env.Start(t, env.Options{})
	c, err := coordination.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	r := newReplica(t, c.Leases("default"), "r", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	r.tick(t.Context())
	r.sees("it runs", "r", true)
	before := r.changes
	for range 10 {
		r.clock.Step(time.Second)
		if pause := r.tick(away); pause > r.fence() {
			t.Errorf("it looks again after %s", pause)
		}
	}
	r.sees("without an answer for 10 s", "r", true)
	r.clock.Step(time.Millisecond)
	r.tick(away)
	r.sees("without an answer for longer", "r", false)
	if r.changes != before+1 {
		t.Errorf("it was told %d times", r.changes-before)
	}
	r.tick(t.Context())
	r.sees("the server is back", "r", true)
	if self, _ := r.Self(); self.Epoch != 2 {
		t.Errorf("it goes on as %+v", self)
	}
}
