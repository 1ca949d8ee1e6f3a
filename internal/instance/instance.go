// Package instance lets two waybilld that know nothing of each other notice it.
//
// Replicas elect a leader (--leader-elect). A waybilld without election takes the
// Lease waybill-instance instead. It is not renewed, so that a server at rest sends
// nothing: whoever starts later and finds a holder asks it, by an annotation, and the
// holder, which watches that one object, answers. No answer within a few seconds means
// that it is gone. A holder whose Lease was taken (it was paused, or cut off) ends.
//
// The holder is named by an id in the data folder, which only one process can have
// open: one that was killed and is started again on its folder goes on at once.
package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
)

const (
	// LeaseName is the Lease of a waybilld without election.
	LeaseName = "waybill-instance"
	// ElectionLease is what replicas elect their leader with.
	ElectionLease = "waybill.dev"
	// The question of one that starts, and the holder's answer: the same text.
	annotationAsked    = "waybill.dev/asked-by"
	annotationAnswered = "waybill.dev/answered"

	// answerTime is how long a holder has to answer; it takes milliseconds.
	answerTime = 5 * time.Second
	askEvery   = 200 * time.Millisecond
	// releaseTime bounds giving the Lease back, watchPause the pause before a watch
	// that failed is begun again.
	releaseTime = 2 * time.Second
	watchPause  = time.Second
)

// Options are what a claim needs. All fields are required but Elects.
type Options struct {
	Leases client.LeaseInterface
	// ID of this process, see ReadID.
	ID string
	// ElectionLease is that of replicas.
	ElectionLease string
	// Elects: this process is a replica itself.
	Elects bool
	Clock  clock.Clock
}

// OtherError says that another waybilld works on the cluster.
type OtherError struct {
	// Holder is its id.
	Holder string
	// IsReplica: it elects a leader, and this one does not, or the other way round.
	IsReplica bool
}

// Error says who, and what to do.
func (e *OtherError) Error() string {
	how := "it runs without --leader-elect"
	if e.IsReplica {
		how = "it runs with --leader-elect"
	}
	return fmt.Sprintf("another waybilld works on this cluster already (%s; %s): two that are no replicas of each other undo each other's work; stop it, start both with --leader-elect, or start this one with --allow-other", e.Holder, how)
}

// ErrTaken is returned by Run when another waybilld has taken the Lease.
var ErrTaken = errors.New("another waybilld has taken over this cluster; this one ends")

// ReadID returns the id in a data folder, and makes it.
func ReadID(dir string) (string, error) {
	file := filepath.Join(dir, "instance")
	raw, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(raw)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the id of this instance: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "waybilld"
	}
	id := host + "_" + rand.Text()
	if err := os.WriteFile(file, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the id of this instance: %w", err)
	}
	return id, nil
}

// Claim makes sure that no other waybilld works on the cluster, and takes the Lease
// unless this one is a replica. An *OtherError says that there is one.
func Claim(ctx context.Context, o Options) error {
	if !o.Elects {
		if err := o.noReplicas(ctx); err != nil {
			return err
		}
	}
	for {
		lease, err := o.read(ctx)
		if err != nil {
			return err
		}
		holder := holderOf(lease)
		if holder != "" && holder != o.ID {
			silent, err := o.ask(ctx, lease)
			if err != nil {
				return err
			}
			if silent == nil {
				continue // something changed meanwhile
			}
			lease = silent
		}
		if o.Elects {
			return nil
		}
		switch err := o.take(ctx, lease); {
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
			continue
		case err != nil:
			return fmt.Errorf("take Lease %q: %w", LeaseName, err)
		}
		return nil
	}
}

// noReplicas refuses while replicas have a leader.
func (o Options) noReplicas(ctx context.Context) error {
	lease, err := o.Leases.Get(ctx, o.ElectionLease, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Lease %q: %w", o.ElectionLease, err)
	}
	s := lease.Spec
	if holderOf(lease) == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return nil
	}
	// Its leader renews it every few seconds: what counts is whether it changes, not
	// what its clock says.
	deadline := o.Clock.Now().Add(time.Duration(*s.LeaseDurationSeconds) * time.Second)
	if o.Clock.Since(s.RenewTime.Time) > 2*time.Minute {
		return nil // nobody has renewed it for long, whoever's clock is off
	}
	for o.Clock.Now().Before(deadline) {
		if err := o.pause(ctx, askEvery); err != nil {
			return err
		}
		now, err := o.Leases.Get(ctx, o.ElectionLease, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && holderOf(now) == "":
			return nil
		case err != nil:
			return fmt.Errorf("read Lease %q: %w", o.ElectionLease, err)
		case now.ResourceVersion != lease.ResourceVersion:
			return &OtherError{Holder: holderOf(now), IsReplica: true}
		}
	}
	return nil
}

// ask puts a question to the holder and waits for the answer. It returns the Lease
// as it is when there was none, and nil when something else happened to it.
func (o Options) ask(ctx context.Context, lease *coordination.Lease) (silent *coordination.Lease, err error) {
	question := o.ID + " " + rand.Text()
	asked := lease.DeepCopy()
	metav1.SetMetaDataAnnotation(&asked.ObjectMeta, annotationAsked, question)
	if _, err := o.Leases.Update(ctx, asked, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("ask the holder of Lease %q: %w", LeaseName, err)
	}
	for deadline := o.Clock.Now().Add(answerTime); o.Clock.Now().Before(deadline); {
		if err := o.pause(ctx, askEvery); err != nil {
			return nil, err
		}
		now, err := o.read(ctx)
		if err != nil {
			return nil, err
		}
		if holderOf(now) != holderOf(lease) || now.Annotations[annotationAsked] != question {
			return nil, nil
		}
		if now.Annotations[annotationAnswered] == question {
			return nil, &OtherError{Holder: holderOf(lease)}
		}
		silent = now
	}
	return silent, nil
}

// take makes this process the holder; lease is nil when there is none.
func (o Options) take(ctx context.Context, lease *coordination.Lease) error {
	now := metav1.NewMicroTime(o.Clock.Now())
	spec := coordination.LeaseSpec{HolderIdentity: &o.ID, AcquireTime: &now}
	if lease == nil {
		_, err := o.Leases.Create(ctx, &coordination.Lease{ObjectMeta: metav1.ObjectMeta{Name: LeaseName}, Spec: spec}, metav1.CreateOptions{})
		return err //nolint:wrapcheck // the caller looks at its reason
	}
	mine := lease.DeepCopy()
	mine.Annotations, mine.Spec = nil, spec
	_, err := o.Leases.Update(ctx, mine, metav1.UpdateOptions{})
	return err //nolint:wrapcheck // the caller looks at its reason
}

// Run answers those who ask until ctx ends, and gives the Lease back then. It returns
// ErrTaken when another process has it.
func Run(ctx context.Context, o Options) error {
	if o.Elects {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := o.follow(ctx); err != nil {
			return err
		}
		_ = o.pause(ctx, watchPause)
	}
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	lease, err := o.read(release)
	if err != nil || lease == nil || holderOf(lease) != o.ID {
		return nil // whoever comes next asks, and gets no answer
	}
	lease.Spec.HolderIdentity = nil
	_, _ = o.Leases.Update(release, lease, metav1.UpdateOptions{})
	return nil
}

// follow watches the Lease until the watch ends.
func (o Options) follow(ctx context.Context) error {
	w, err := o.Leases.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + LeaseName})
	if err != nil {
		return nil // the API server is away; it is tried again
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		lease, isLease := e.Object.(*coordination.Lease)
		if !isLease {
			return nil
		}
		asked := lease.Annotations[annotationAsked]
		switch {
		case e.Type == watch.Deleted: // by a person, who means it to be taken anew
			if err := o.take(ctx, nil); err != nil && !apierrors.IsAlreadyExists(err) {
				return nil
			}
		case holderOf(lease) != o.ID:
			return fmt.Errorf("%w (it is %s)", ErrTaken, holderOf(lease))
		case asked != "" && asked != lease.Annotations[annotationAnswered]:
			answer := lease.DeepCopy()
			answer.Annotations[annotationAnswered] = asked
			_, _ = o.Leases.Update(ctx, answer, metav1.UpdateOptions{}) // a conflict brings the next event
		}
	}
	return nil
}

func (o Options) read(ctx context.Context) (*coordination.Lease, error) {
	lease, err := o.Leases.Get(ctx, LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Lease %q: %w", LeaseName, err)
	}
	return lease, nil
}

func (o Options) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-o.Clock.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
}

func holderOf(lease *coordination.Lease) string {
	if lease == nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}
