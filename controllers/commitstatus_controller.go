package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps/pulls"
)

const (
	// reportTimeout bounds one report.
	reportTimeout = 30 * time.Second
	// maxReportAttempts bounds how often a report is tried: the last are a minute
	// or more apart.
	maxReportAttempts = 20

	reasonReportFailed = "CommitStatusFailed"
)

// CommitStatusOptions are what a CommitStatusReconciler needs.
type CommitStatusOptions struct {
	// Client reads from the cache, Live from the API server.
	Client client.Client
	Live   client.Reader
	// Providers speak with GitHub, GitLab and the others.
	Providers pulls.Clients
	// Events takes what could not be reported; nil: it is only logged.
	Events EventRecorder
	// PublicURL is where people reach Waybill; empty: reports link nowhere.
	PublicURL string
	// Clock tells the time; never nil.
	Clock clock.PassiveClock
}

// CommitStatusReconciler shows beside the commits of Freight, at the provider of
// their repository, what becomes of them in the Stages that ask for that
// (spec.commitStatus).
//
// It writes nothing into the cluster, so that no promotion ever waits for it: what
// has been said is kept in memory and said again after a restart. What is to be
// said is worked out from the Promotion each time, read afresh just before, so
// that the last state is what stays.
type CommitStatusReconciler struct {
	CommitStatusOptions

	mu sync.Mutex
	// said is what was reported last, by Promotion and commit.
	said map[types.NamespacedName]map[commitKey]promotion.CommitReport
	// failed are attempts in a row, by Promotion.
	failed map[types.NamespacedName]failedReports
}

// failedReports counts attempts to report one phase of a Promotion.
type failedReports struct {
	phase v1alpha1.PromotionPhase
	n     int32
}

// commitKey names a commit.
type commitKey struct{ repoURL, commit string }

// NewCommitStatusReconciler returns a reporter of commit statuses.
func NewCommitStatusReconciler(o CommitStatusOptions) *CommitStatusReconciler {
	return &CommitStatusReconciler{CommitStatusOptions: o, said: map[types.NamespacedName]map[commitKey]promotion.CommitReport{}, failed: map[types.NamespacedName]failedReports{}}
}

// SetupWithManager registers the controller: a Promotion that gets on wakes it,
// and a Stage whose definition changed its Promotions.
func (r *CommitStatusReconciler) SetupWithManager(mgr ctrl.Manager) error {
	gotOn := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, isOld := e.ObjectOld.(*v1alpha1.Promotion)
		is, isNew := e.ObjectNew.(*v1alpha1.Promotion)
		return isOld && isNew && (was.Status.Phase != is.Status.Phase || !slices.Equal(was.Status.Written(), is.Status.Written()))
	}}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("commitstatus").
		For(&v1alpha1.Promotion{}, builder.WithPredicates(gotOn)).
		Watches(&v1alpha1.Stage{}, handler.EnqueueRequestsFromMapFunc(r.promotionsOf), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: networkWorkers}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of commit statuses: %w", err)
	}
	return nil
}

// promotionsOf lists the Promotions of a Stage that wants them reported.
func (r *CommitStatusReconciler) promotionsOf(ctx context.Context, o client.Object) []ctrl.Request {
	s, isStage := o.(*v1alpha1.Stage)
	if !isStage || s.Spec.CommitStatus == nil {
		return nil
	}
	all, err := r.list(ctx, s.Namespace, s.Name)
	if err != nil {
		return nil // the cache is not started yet; its first sync wakes them anyway
	}
	out := make([]ctrl.Request, 0, len(all))
	for i := range all {
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all[i])})
	}
	return out
}

func (r *CommitStatusReconciler) list(ctx context.Context, project, stage string) ([]v1alpha1.Promotion, error) {
	var list v1alpha1.PromotionList
	if err := r.Client.List(ctx, &list, client.InNamespace(project)); err != nil {
		return nil, fmt.Errorf("list Promotions of %q: %w", project, err)
	}
	return slices.DeleteFunc(list.Items, func(p v1alpha1.Promotion) bool { return p.Spec.Stage != stage }), nil
}

// Reconcile reports one Promotion, as far as that has not been done.
func (r *CommitStatusReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.Promotion
	if err := r.Client.Get(ctx, req.NamespacedName, &p); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return settle(ctrl.Result{}, err)
	}
	var s v1alpha1.Stage
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: p.Spec.Stage}, &s); err != nil {
		return settle(ctrl.Result{}, err)
	}
	if s.Spec.CommitStatus == nil || len(r.due(&s, &p, nil)) == 0 {
		return ctrl.Result{}, nil
	}
	all, err := r.list(ctx, p.Namespace, p.Spec.Stage)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.Live.Get(ctx, req.NamespacedName, &p); err != nil {
		return settle(ctrl.Result{}, err)
	}
	var failed error
	for _, report := range r.due(&s, &p, all) {
		if err := r.report(ctx, &s, &p, report); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	return r.tryAgain(ctx, &p, failed), nil
}

// due returns what has not been said of a Promotion.
func (r *CommitStatusReconciler) due(s *v1alpha1.Stage, p *v1alpha1.Promotion, all []v1alpha1.Promotion) []promotion.CommitReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := r.said[client.ObjectKeyFromObject(p)]
	return slices.DeleteFunc(promotion.CommitReports(s, p, all, r.Clock.Now()), func(c promotion.CommitReport) bool {
		return said[commitKey{c.RepoURL, c.Commit}] == c
	})
}

// report tells the provider of one commit.
func (r *CommitStatusReconciler) report(ctx context.Context, s *v1alpha1.Stage, p *v1alpha1.Promotion, c promotion.CommitReport) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	provider, err := r.Providers.Client(ctx, p.Namespace, c.RepoURL, pullrequest.Provider(s.Spec.CommitStatus.Provider))
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	link := ""
	if r.PublicURL != "" {
		link = fmt.Sprintf("%s/projects/%s/promotions/%s", strings.TrimRight(r.PublicURL, "/"), p.Namespace, p.Name)
	}
	err = provider.SetStatus(ctx, pullrequest.CommitStatus{
		Commit: c.Commit, State: string(c.State), Description: c.Description, URL: link,
		Context: fmt.Sprintf("waybill/%s/%s", p.Namespace, p.Spec.Stage),
	})
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(p)
	if r.said[key] == nil {
		r.said[key] = map[commitKey]promotion.CommitReport{}
	}
	r.said[key][commitKey{c.RepoURL, c.Commit}] = c
	return nil
}

// tryAgain says when a report that failed is tried again, and tells people once.
func (r *CommitStatusReconciler) tryAgain(ctx context.Context, p *v1alpha1.Promotion, failed error) ctrl.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(p)
	if failed == nil {
		delete(r.failed, key)
		return ctrl.Result{}
	}
	n := int32(1)
	if f := r.failed[key]; f.phase == p.Status.Phase {
		n = f.n + 1
	}
	r.failed[key] = failedReports{p.Status.Phase, n}
	logf.FromContext(ctx).V(1).Info("commit status not set", "promotion", p.Name, "attempt", n, "error", failed.Error())
	if n == 1 && r.Events != nil {
		r.Events.Eventf(p, nil, corev1.EventTypeWarning, reasonReportFailed, "Report", "%s", truncate(failed.Error(), maxEventNote))
	}
	if n >= maxReportAttempts {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: promotion.RetryDelay(n)}
}

func (r *CommitStatusReconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.said, key)
	delete(r.failed, key)
}
