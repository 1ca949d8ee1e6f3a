package jobs

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	// maxFollowed bounds the watches; Jobs beyond it are polled.
	maxFollowed = 256
	// followTime bounds one watch; it is begun anew while the Job runs.
	followTime = 10 * time.Minute
	// firstRest and lastRest are the rests after a watch that broke.
	firstRest, lastRest = time.Second, 30 * time.Second
)

// Runner runs the Jobs of the step run-job in the clusters of Stages, and tells
// when one of them has ended. It is safe for concurrent use.
type Runner struct {
	clusters *cluster.Registry
	stage    func(ctx context.Context, project, name string) (*v1alpha1.Stage, error)
	limits   func(ctx context.Context, project string) (gitops.Limits, error)

	mu       sync.Mutex
	ctx      context.Context //nolint:containedctx // Set by Start: the life of the watches.
	ended    func(promotion types.NamespacedName)
	followed map[string]context.CancelFunc // by UID of the Job
	watches  sync.WaitGroup
}

// Options are what a Runner needs.
type Options struct {
	// Clusters that are known.
	Clusters *cluster.Registry
	// Stage returns a Stage with its forEach expanded.
	Stage func(ctx context.Context, project, name string) (*v1alpha1.Stage, error)
	// Limits says how far a Project reaches.
	Limits func(ctx context.Context, project string) (gitops.Limits, error)
}

// NewRunner returns a Runner.
func NewRunner(o Options) *Runner {
	return &Runner{clusters: o.Clusters, stage: o.Stage, limits: o.Limits, followed: map[string]context.CancelFunc{}}
}

// OnEnd sets what is told the Promotion whose Job has ended or is gone. It is
// called before Start.
func (r *Runner) OnEnd(ended func(promotion types.NamespacedName)) { r.ended = ended }

// Start implements manager.Runnable: watches live until ctx ends.
func (r *Runner) Start(ctx context.Context) error {
	r.mu.Lock()
	r.ctx = ctx
	r.mu.Unlock()
	<-ctx.Done()
	r.watches.Wait()
	return nil
}

// Place returns where the Job of a step of p is to run: in the cluster and
// namespace of the Stage's deploy entry of that name, empty for the first. It
// is a promotion.ErrJobPlace when there is no such place.
func (r *Runner) Place(ctx context.Context, p *v1alpha1.Promotion, step, deploy string) (v1alpha1.CheckJobReference, error) {
	s, err := r.stage(ctx, p.Namespace, p.Spec.Stage)
	if err != nil {
		return v1alpha1.CheckJobReference{}, fmt.Errorf("read Stage %q: %w", p.Spec.Stage, err)
	}
	to, err := promotion.CheckDeployment(s, deploy)
	if err != nil {
		return v1alpha1.CheckJobReference{}, fmt.Errorf("%w: %w", promotion.ErrJobPlace, err)
	}
	if promotion.IsUnexpanded(to) {
		return v1alpha1.CheckJobReference{}, fmt.Errorf("deploy entry %q selects no cluster now", to.Name)
	}
	ref := v1alpha1.CheckJobReference{Cluster: to.Destination.Cluster, Namespace: to.Destination.Namespace, Name: promotion.StepJobName(p, step)}
	if ref.Cluster == "" {
		ref.Cluster = v1alpha1.InCluster
	}
	return ref, r.isAllowed(ctx, p, ref)
}

func (r *Runner) isAllowed(ctx context.Context, p *v1alpha1.Promotion, ref v1alpha1.CheckJobReference) error {
	limits, err := r.limits(ctx, p.Namespace)
	if err != nil {
		return err
	}
	if err := limits.Namespace(ref.Cluster, ref.Namespace); err != nil {
		return fmt.Errorf("%w: %w", promotion.ErrJobPlace, err)
	}
	return nil
}

// Look takes a Job one step further, and follows it when it runs: whoever
// called OnEnd is told when that is over.
func (r *Runner) Look(ctx context.Context, j Job) (Sight, error) {
	if err := r.isAllowed(ctx, j.Promotion, j.Ref); err != nil {
		return Sight{}, err
	}
	to, err := r.clusters.Get(j.Ref.Cluster)
	if err != nil {
		return Sight{}, err //nolint:wrapcheck // names the clusters there are
	}
	s := Look(ctx, to, j)
	if s.State == Running {
		r.follow(to, types.NamespacedName{Namespace: j.Promotion.Namespace, Name: j.Promotion.Name}, j.Ref)
	}
	return s, nil
}

// Stop deletes a Job, if it was created.
func (r *Runner) Stop(ctx context.Context, ref v1alpha1.CheckJobReference) error {
	r.mu.Lock()
	if cancel := r.followed[ref.UID]; cancel != nil {
		cancel()
	}
	r.mu.Unlock()
	to, err := r.clusters.Get(ref.Cluster)
	if err != nil {
		return err //nolint:wrapcheck // names the clusters there are
	}
	return Stop(ctx, to, ref)
}

// follow watches a Job until it has ended. What cannot be watched is polled.
func (r *Runner) follow(to *cluster.Cluster, key types.NamespacedName, ref v1alpha1.CheckJobReference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil || r.ended == nil || ref.UID == "" || r.followed[ref.UID] != nil || len(r.followed) >= maxFollowed {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.followed[ref.UID] = cancel
	r.watches.Go(func() {
		defer func() {
			cancel()
			r.mu.Lock()
			delete(r.followed, ref.UID)
			r.mu.Unlock()
		}()
		if awaitEnd(ctx, to, ref) {
			r.ended(key)
		}
	})
}

// awaitEnd returns true when the Job has ended or is gone, and false when ctx
// has.
func awaitEnd(ctx context.Context, to *cluster.Cluster, ref v1alpha1.CheckJobReference) bool {
	rest := firstRest
	for ctx.Err() == nil {
		isOver, err := watchOnce(ctx, to, ref)
		switch {
		case isOver:
			return true
		case apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err):
			return false // it is polled
		case err == nil:
			rest = firstRest
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
		rest = min(2*rest, lastRest)
	}
	return false
}

// watchOnce reports whether the Job has ended or is gone. A watch without a
// version begins with what is there; what was gone before is asked for.
func watchOnce(ctx context.Context, to *cluster.Cluster, ref v1alpha1.CheckJobReference) (bool, error) {
	seconds := int64(followTime.Seconds())
	w, err := to.Dynamic.Resource(jobs()).Namespace(ref.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", ref.Name).String(), TimeoutSeconds: &seconds,
	})
	if err != nil {
		return false, err //nolint:wrapcheck // told by its kind
	}
	defer w.Stop()
	if job, err := find(ctx, to, ref); apierrors.IsNotFound(err) || err == nil && string(job.UID) != ref.UID {
		return true, nil
	}
	for e := range w.ResultChan() {
		u, ok := e.Object.(*unstructured.Unstructured)
		if !ok || string(u.GetUID()) != ref.UID {
			continue
		}
		if e.Type == watch.Deleted {
			return true, nil
		}
		if job, err := typed(u); err == nil && endOf(job) != nil {
			return true, nil
		}
	}
	return false, nil
}
