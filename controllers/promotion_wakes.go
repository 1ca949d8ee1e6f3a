package controllers

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/observe"
)

// siblings wakes the other Promotions of a Stage that have not come to rest:
// one of them may be next, superseded, or rolled back.
func (r *PromotionReconciler) siblings(ctx context.Context, o client.Object) []ctrl.Request {
	p := o.(*v1alpha1.Promotion)
	out := r.unsettled(ctx, p.Namespace, p.Spec.Stage, p.Name)
	if p.Status.Plan != nil && p.Status.Plan.Undoes != "" && p.Status.PushedAt != nil {
		out = append(out, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Status.Plan.Undoes}})
	}
	return out
}

func (r *PromotionReconciler) ofApplication(ctx context.Context, o client.Object) []ctrl.Request {
	stage := o.GetLabels()[v1alpha1.LabelStage]
	if stage == "" {
		return nil
	}
	return r.unsettled(ctx, o.GetNamespace(), stage, "")
}

// ofStage wakes what waits for a change of the Stage's definition.
func (r *PromotionReconciler) ofStage(ctx context.Context, o client.Object) []ctrl.Request {
	return r.nudged(r.unsettled(ctx, o.GetNamespace(), o.GetName(), ""))
}

func (r *PromotionReconciler) ofFreeze(ctx context.Context, o client.Object) []ctrl.Request {
	stage := o.(*v1alpha1.Freeze).Spec.Stage
	if stage == "*" {
		stage = ""
	}
	return r.unsettled(ctx, o.GetNamespace(), stage, "")
}

// ofApproval wakes the Promotion that was decided about, and the others of its
// Stage: newer ones may have to wait behind it. A step that waits for it looks
// at once.
func (r *PromotionReconciler) ofApproval(ctx context.Context, o client.Object) []ctrl.Request {
	a := o.(*v1alpha1.Approval)
	if a.Spec.Step != "" {
		r.nudges.put(types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.Promotion})
	}
	return r.unsettled(ctx, o.GetNamespace(), a.Spec.Stage, "")
}

// ofProject wakes what may have waited for a window.
func (r *PromotionReconciler) ofProject(ctx context.Context, o client.Object) []ctrl.Request {
	return r.unsettled(ctx, o.GetName(), "", "")
}

// ofTask wakes what waits for a definition that can run.
func (r *PromotionReconciler) ofTask(ctx context.Context, o client.Object) []ctrl.Request {
	return r.nudged(r.unsettled(ctx, o.GetNamespace(), "", ""))
}

// everyUnsettled wakes all Promotions that have not come to rest.
func (r *PromotionReconciler) everyUnsettled(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.unsettled(ctx, metav1.NamespaceAll, "", "")
}

func (r *PromotionReconciler) unsettled(ctx context.Context, namespace, stage, except string) []ctrl.Request {
	opts := []client.ListOption{client.InNamespace(namespace)}
	if stage != "" {
		opts = append(opts, client.MatchingFields{observe.PromotionByStage: stage})
	}
	var list v1alpha1.PromotionList
	if err := r.Client.List(ctx, &list, opts...); err != nil {
		return nil // the cache is not started yet; its first sync wakes them anyway
	}
	newest := newestFinished(list.Items)
	var out []ctrl.Request
	for i := range list.Items {
		q := &list.Items[i]
		// Of those that ended, only the newest of a Stage can still change: it
		// may turn bad, or be rolled back.
		if q.Name == except || isSettled(q) || (q.Status.Phase.IsFinished() && newest[q.Spec.Stage] != q.Name) {
			continue
		}
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(q)})
	}
	return out
}

// newestFinished returns, by Stage, the ended promotion with a commit that has
// the highest number.
func newestFinished(all []v1alpha1.Promotion) map[string]string {
	newest := map[string]string{}
	for i := range all {
		p := &all[i]
		if !p.Status.Phase.IsFinished() || p.Status.Commit == nil || p.Spec.Kind == v1alpha1.KindRollback {
			continue
		}
		if best, ok := newest[p.Spec.Stage]; !ok || promotion.Seq(p.Name) > promotion.Seq(best) {
			newest[p.Spec.Stage] = p.Name
		}
	}
	return newest
}

// ofSecret wakes, after a change of a credential Secret, the Promotions that
// wait after an error: what they lacked may be there now.
func (r *PromotionReconciler) ofSecret(ctx context.Context, o client.Object) []ctrl.Request {
	return r.nudged(r.unsettled(ctx, concernedBy(o, r.SystemNamespace), "", ""))
}

// stopAborted ends what is under way for a Promotion that was just aborted, so
// that a server that does not answer holds nobody up.
func (r *PromotionReconciler) stopAborted(_ context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	was, isOld := e.ObjectOld.(*v1alpha1.Promotion)
	is, isNew := e.ObjectNew.(*v1alpha1.Promotion)
	if isOld && isNew && was.Spec.Abort == nil && is.Spec.Abort != nil {
		r.inFlight.stop(client.ObjectKeyFromObject(is))
	}
}

// wakeRequested lets a step that waits look again now, because a webhook said
// that something happened.
func (r *PromotionReconciler) wakeRequested(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	if e.ObjectOld.GetAnnotations()[v1alpha1.AnnotationRequestedAt] == e.ObjectNew.GetAnnotations()[v1alpha1.AnnotationRequestedAt] {
		return
	}
	key := client.ObjectKeyFromObject(e.ObjectNew)
	r.nudges.put(key)
	q.Add(reconcile.Request{NamespacedName: key})
}

// jobEnded lets the step look at once whose Job has ended.
func (r *PromotionReconciler) jobEnded(key types.NamespacedName) {
	r.nudges.put(key)
	r.Checks.tell(key)
}

// nudged makes requests be tried now, whenever they are due.
func (r *PromotionReconciler) nudged(all []ctrl.Request) []ctrl.Request {
	for _, req := range all {
		r.nudges.put(req.NamespacedName)
	}
	return all
}

// nudges remembers objects that are to be tried now although their time to
// retry has not come.
type nudges struct {
	mu   sync.Mutex
	keys map[types.NamespacedName]bool
}

func (n *nudges) put(key types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keys == nil {
		n.keys = map[types.NamespacedName]bool{}
	}
	n.keys[key] = true
}

// take reports whether key was put since it was last taken.
func (n *nudges) take(key types.NamespacedName) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.keys[key]
	delete(n.keys, key)
	return was
}
