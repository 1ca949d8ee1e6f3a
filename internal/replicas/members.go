// Package replicas lets the replicas of waybilld know of each other, by one Lease each,
// and tells each whether the others may still count on it.
//
// A replica renews its Lease three times in its duration. Whoever sees that a Lease did
// not change for the whole duration, by its own clock, may take what its replica held.
// So the replica itself stops after two thirds of it, counted from before the request
// that renewed it last: it has stopped before anybody can find out. A replica that had
// to stop, because it was paused or could not reach the API server, goes on in a new
// epoch, and nothing it held in the old one is its own.
package replicas

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/shard"
)

const (
	// Label marks the Leases of replicas.
	Label = "waybill.dev/replica"
	// leasePrefix is before the id in a Lease's name.
	leasePrefix = "waybill-replica-"
	// DefaultDuration is how long a replica that died keeps what it held.
	DefaultDuration = 15 * time.Second
	// maxHost bounds the part of an id that people recognise.
	maxHost = 200
)

// Options are what Members need. All fields are required.
type Options struct {
	Leases client.LeaseInterface
	// ID of this process; see NewID.
	ID string
	// Duration of a Lease, in whole seconds, the same for all replicas.
	Duration time.Duration
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Members are the replicas there are, this one included. It is safe for concurrent use.
type Members struct {
	o Options

	mu sync.RWMutex
	// renewed is when the request was sent that renewed our Lease last; epoch is the
	// one it said.
	renewed time.Time
	epoch   int64
	others  view
	live    []string
	changed []func()

	// Of the goroutine of Run alone:
	lease       *coordination.Lease // as the API server last answered; nil: to be read
	told        string              // what was told last
	isTroubled  bool                // the log knows that the Lease cannot be renewed
	keepsLeases bool                // we may not delete what is left over
}

// NewID returns an id for this process: no other has it, not even the next one on the
// same machine.
func NewID(host string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	name = strings.Trim(name[:min(len(name), maxHost)], "-")
	if name == "" {
		name = "waybilld"
	}
	return name + "-" + strings.ToLower(rand.Text()[:10])
}

// New returns the Members that this replica will be one of when Run runs.
func New(o Options) (*Members, error) {
	if o.Leases == nil || o.ID == "" || o.Clock == nil || o.Logger == nil || o.Duration < time.Second || o.Duration%time.Second != 0 {
		return nil, errors.New("replicas: Leases, ID, Clock, Logger and a Duration of whole seconds are required")
	}
	return &Members{o: o, others: view{duration: o.Duration, seen: map[string]*sighting{}}}, nil
}

// OnChange calls changed whenever Self, Owner or IsGone may answer otherwise. It is
// called from the goroutine of Run and must return at once.
func (m *Members) OnChange(changed func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = append(m.changed, changed)
}

// Self returns this replica as the holder it can be now. ok is false while the others
// cannot count on it: nothing that is shared may be worked on then.
func (m *Members) Self() (self v1alpha1.Holder, ok bool) {
	now := m.o.Clock.Now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	return v1alpha1.Holder{Replica: m.o.ID, Epoch: m.epoch}, m.isCurrent(now) && !m.others.first.IsZero()
}

// Owner returns the id of the replica that key belongs to.
func (m *Members) Owner(key string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return shard.Owner(key, m.live)
}

// IsGone reports whether a holder has stopped for good, so that another may take over.
func (m *Members) IsGone(h v1alpha1.Holder) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if h.Replica == m.o.ID {
		return h.Epoch != m.epoch
	}
	return m.others.isGone(h)
}

// isCurrent reports whether our Lease was renewed not too long ago. m.mu is held.
//
// The clock of a machine that sleeps may stand still, and the time of day may be set:
// the one that says more counts.
func (m *Members) isCurrent(now time.Time) bool {
	if m.renewed.IsZero() {
		return false
	}
	elapsed := max(now.Sub(m.renewed), now.Round(0).Sub(m.renewed.Round(0)))
	return elapsed <= m.fence()
}

// fence is how long after a renewal this replica may work.
func (m *Members) fence() time.Duration { return m.o.Duration * 2 / 3 }

// Run keeps the Lease and follows those of the others until ctx ends. The Lease stays
// then, and runs out, unless Leave is called.
func (m *Members) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := m.tick(ctx)
		timer := m.o.Clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// tick renews the Lease, reads those of the others, tells who wants to know, and
// returns when to do it again.
func (m *Members) tick(ctx context.Context) (pause time.Duration) {
	begun := m.o.Clock.Now()
	bounded, cancel := context.WithTimeout(ctx, m.patience(begun))
	err := m.renew(bounded, begun)
	if err == nil {
		err = m.look(bounded)
	}
	cancel()
	m.log(ctx, err)
	m.tell()
	pause = m.o.Duration / 3
	if err != nil {
		pause = m.o.Duration / 15
	}
	return max(min(pause-m.o.Clock.Since(begun), m.patience(m.o.Clock.Now())), time.Millisecond)
}

// patience is how long may be waited before something has to be told: until we have to
// stop, unless we have already.
func (m *Members) patience(now time.Time) time.Duration {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.isCurrent(now) {
		return m.o.Duration / 3
	}
	return m.renewed.Add(m.fence()).Sub(now) + time.Millisecond
}

// errLate: the Lease was renewed so late that it may have been taken for over.
var errLate = errors.New("the answer came too late")

// renew writes the Lease, with the next epoch when the last renewal is too long ago.
func (m *Members) renew(ctx context.Context, sent time.Time) error {
	m.mu.RLock()
	epoch, isNew := m.epoch, !m.isCurrent(sent)
	m.mu.RUnlock()
	if isNew {
		epoch++
	}
	if err := m.write(ctx, epoch, sent); err != nil {
		return fmt.Errorf("renew Lease %q: %w", leasePrefix+m.o.ID, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !isNew && !m.isCurrent(m.o.Clock.Now()) {
		return fmt.Errorf("renew Lease %q: %w", leasePrefix+m.o.ID, errLate)
	}
	m.renewed, m.epoch = sent, epoch
	return nil
}

// write makes or updates our Lease.
func (m *Members) write(ctx context.Context, epoch int64, now time.Time) error {
	for try := 0; ; try++ {
		lease := m.lease
		m.lease = nil
		if lease == nil {
			found, err := m.o.Leases.Get(ctx, leasePrefix+m.o.ID, metav1.GetOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return err //nolint:wrapcheck // the caller names the Lease
			}
			lease = found
			if err != nil {
				lease = nil
			}
		}
		spec := m.spec(epoch, now)
		var err error
		if lease == nil {
			m.lease, err = m.o.Leases.Create(ctx, &coordination.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: leasePrefix + m.o.ID, Labels: map[string]string{Label: "true"}}, Spec: spec,
			}, metav1.CreateOptions{})
		} else {
			lease.Spec = spec
			m.lease, err = m.o.Leases.Update(ctx, lease, metav1.UpdateOptions{})
		}
		if err == nil {
			return nil
		}
		m.lease = nil
		isRace := apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err)
		if !isRace || try > 0 {
			return err //nolint:wrapcheck // the caller names the Lease
		}
	}
}

func (m *Members) spec(epoch int64, now time.Time) coordination.LeaseSpec {
	seconds, transitions, at := int32(m.o.Duration/time.Second), int32(min(epoch, 1<<30)), metav1.NewMicroTime(now)
	return coordination.LeaseSpec{HolderIdentity: &m.o.ID, LeaseDurationSeconds: &seconds, LeaseTransitions: &transitions, RenewTime: &at}
}

// look reads the Leases of all replicas. Of those left over it deletes the ones that
// are still as they were.
func (m *Members) look(ctx context.Context) error {
	list, err := m.o.Leases.List(ctx, metav1.ListOptions{LabelSelector: Label})
	if err != nil {
		return fmt.Errorf("read the Leases of the replicas: %w", err)
	}
	records := make([]record, 0, len(list.Items))
	uids := map[string]*coordination.Lease{}
	for i := range list.Items {
		l := &list.Items[i]
		id, isOurs := strings.CutPrefix(l.Name, leasePrefix)
		if !isOurs || id == m.o.ID {
			continue
		}
		r := record{id: id, version: l.ResourceVersion, isReleased: l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == ""}
		if l.Spec.LeaseTransitions != nil {
			r.epoch = int64(*l.Spec.LeaseTransitions)
		}
		records = append(records, r)
		uids[id] = l
	}
	m.mu.Lock()
	m.others.listed(m.o.Clock.Now(), records)
	m.live = append(m.others.live(), m.o.ID)
	slices.Sort(m.live)
	over := m.others.leftOver()
	m.mu.Unlock()
	for _, r := range over {
		if m.keepsLeases {
			break
		}
		l := uids[r.id]
		err := m.o.Leases.Delete(ctx, l.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &l.UID, ResourceVersion: &l.ResourceVersion}})
		m.keepsLeases = apierrors.IsForbidden(err) // an older installation; they do no harm
	}
	return nil
}

// tell calls who wants to know, when something is not as it was told last.
func (m *Members) tell() {
	self, ok := m.Self()
	m.mu.RLock()
	var now strings.Builder
	fmt.Fprint(&now, self.Epoch, ok, m.others.hasWaited(), m.live)
	ids := make([]string, 0, len(m.others.seen))
	for id, s := range m.others.seen {
		ids = append(ids, fmt.Sprint(id, s.epoch, m.others.isOver(s)))
	}
	slices.Sort(ids)
	fmt.Fprint(&now, ids)
	changed, live := slices.Clone(m.changed), m.live
	m.mu.RUnlock()
	if now.String() == m.told {
		return
	}
	m.told = now.String()
	m.o.Logger.Info("replicas", "self", self.Replica, "epoch", self.Epoch, "current", ok, "live", live)
	for _, f := range changed {
		f()
	}
}

// log says once that the Lease cannot be kept.
func (m *Members) log(ctx context.Context, err error) {
	if err != nil && !m.isTroubled && ctx.Err() == nil {
		m.o.Logger.Warn("this replica cannot keep its Lease; it stops working on Applications until it can", "error", err)
	}
	m.isTroubled = err != nil
}

// Leave tells the others that this replica has ended all its work, so that they need
// not wait for the end of its Lease. Run has returned.
func (m *Members) Leave(ctx context.Context) {
	if m.lease == nil {
		return // it runs out
	}
	m.lease.Spec.HolderIdentity = nil
	_, _ = m.o.Leases.Update(ctx, m.lease, metav1.UpdateOptions{})
}
