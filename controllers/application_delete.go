package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
)

// letGoAfter is how long a deleted Application waits for a cluster that does
// not answer before it leaves its objects behind.
const letGoAfter = 10 * time.Minute

// finalize ends an Application. With deletionPolicy Delete its objects are
// deleted first, dependents before them, in the reverse order of creation; with
// Orphan they stay as they are, our label included, so that another Application
// of the Project can take them over without a fight. Namespaces made by
// CreateNamespace stay in both cases. PreDelete and PostDelete hooks run around
// that (application_delete_hooks.go), and objects of hooks are deleted.
//
// A cluster that does not answer holds the Application for ten minutes, or
// until spec.deletionPolicy is set to Orphan.
func (r *ApplicationReconciler) finalize(ctx context.Context, s *appState, app *v1alpha1.Application) (ctrl.Result, error) {
	s.supersede(false)
	if !controllerutil.ContainsFinalizer(app, v1alpha1.FinalizerResources) {
		return ctrl.Result{}, nil
	}
	if app.Spec.DeletionPolicy == "Orphan" {
		return ctrl.Result{}, r.letGo(ctx, s, app)
	}
	o := observation{app: app, now: r.opts.Clock.Now()}
	var err error
	if o.t, err = r.target(s.cluster); err != nil {
		o.problem = &problem{reason: reasonClusterUnknown, message: err.Error(), unknown: true}
	} else if err := r.actAsForDeletion(ctx, s, &o); err != nil {
		return ctrl.Result{}, err
	} else if o.problem == nil && r.observeDeletion(ctx, s, &o) {
		return r.writeStatus(ctx, s, &o)
	}
	if o.superseded != nil {
		return ctrl.Result{}, o.superseded
	}
	if o.waiting {
		return ctrl.Result{}, nil
	}
	if o.problem != nil {
		deadline := app.DeletionTimestamp.Add(letGoAfter)
		if !o.now.Before(deadline) {
			logf.FromContext(ctx).Info("deleted without its objects: the cluster does not answer", "application", s.name.String(), "cluster", s.cluster, "objects", len(s.inventory()))
			return ctrl.Result{}, r.letGo(ctx, s, app)
		}
		o.problem.message += fmt.Sprintf("; its objects are left behind at %s, or at once when spec.deletionPolicy is Orphan", deadline.UTC().Format(time.RFC3339))
		o.look(deadline)
		return r.writeStatus(ctx, s, &o)
	}
	o.plan = &gitops.Plan{}
	if done, err := r.runDeleteHooks(ctx, s, &o, gitops.HookPreDelete); err != nil {
		return ctrl.Result{}, err
	} else if !done {
		return r.writeStatus(ctx, s, &o)
	}
	gone := r.deleteAll(ctx, s, &o)
	if err := ctx.Err(); err != nil {
		return ctrl.Result{}, err
	}
	if gone {
		if done, err := r.runDeleteHooks(ctx, s, &o, gitops.HookPostDelete); err != nil {
			return ctrl.Result{}, err
		} else if !done {
			return r.writeStatus(ctx, s, &o)
		}
		r.deleteHooks(ctx, s, &o)
		return ctrl.Result{}, r.letGo(ctx, s, app)
	}
	o.problem = &problem{reason: reasonDeleting, message: fmt.Sprintf("%d objects are being deleted", len(s.inventory()))}
	return r.writeStatus(ctx, s, &o)
}

// deleteAll deletes what the inventory lists, wave by wave: the next begins
// when the one before is gone. It reports whether nothing is left.
func (r *ApplicationReconciler) deleteAll(ctx context.Context, s *appState, o *observation) bool {
	how := metav1.DeletePropagationForeground
	if p := s.policyNow().propagation; p != "" {
		how = p
	}
	plan := gitops.MakePlan(gitops.PlanInput{
		Owner: s.owner, Inventory: s.inventory(), Live: o.t.hub.Get,
		Prune: true, AllowEmpty: true, Deleting: true, Options: s.policyNow().options,
	})
	for _, wave := range plan.Prune {
		isLeft := false
		for _, d := range wave {
			if !s.mayTry(o.now, gitops.Desired{Key: d.Key}) || !r.deleteOne(ctx, s, o.t, d, how) {
				isLeft = true
			}
		}
		if isLeft {
			return false
		}
	}
	return true
}

// letGo removes the finalizer.
func (r *ApplicationReconciler) letGo(ctx context.Context, s *appState, app *v1alpha1.Application) error {
	after := app.DeepCopy()
	controllerutil.RemoveFinalizer(after, v1alpha1.FinalizerResources)
	if err := r.patchFinalizers(ctx, s, after); err != nil {
		return err
	}
	r.forget(s.name)
	return nil
}

// prune deletes what left the source. An object that is still being finalised
// stays in the inventory; its end wakes us.
func (r *ApplicationReconciler) prune(ctx context.Context, s *appState, o *observation) {
	for _, wave := range o.plan.Prune {
		if wave[0].Last && o.held != "" {
			return
		}
		for _, d := range wave {
			if ctx.Err() != nil {
				return
			}
			if !s.mayTry(o.now, gitops.Desired{Key: d.Key}) {
				continue
			}
			how := metav1.DeletePropagationBackground
			if p := s.policyNow().propagation; p != "" {
				how = p
			}
			r.deleteOne(ctx, s, o.t, d, how)
		}
	}
}

// deleteOne deletes d unless it is not ours any more, and drops its entry when
// it is gone. It reports whether it is.
func (r *ApplicationReconciler) deleteOne(ctx context.Context, s *appState, t *target, d gitops.Deletion, how metav1.DeletionPropagation) bool {
	unlock := s.locks.lock(d.Key)
	defer unlock()
	live, seen := t.hub.Get(d.Key)
	if seen && live.OwnerLabel != s.owner.Label() {
		d.UID = "" // another Application took it over
	}
	if seen && live.Terminating && live.UID == d.UID {
		s.failed(r.opts.Clock.Now(), d.Key, "", terminating(d.Key, nil), false)
		return false
	}
	gone, finalizers, err := t.applier.Delete(ctx, d, seen, how)
	switch {
	case err != nil:
		var failed *apply.Error
		e := &gitops.ObjectError{Key: d.Key, Reason: string(apply.Failed), Message: err.Error()}
		if errors.As(err, &failed) {
			e.Reason, e.Message = string(failed.Reason), failed.Message
		}
		s.failed(r.opts.Clock.Now(), d.Key, "", e, true)
		return false
	case !gone:
		s.failed(r.opts.Clock.Now(), d.Key, "", terminating(d.Key, finalizers), false)
		return false
	}
	s.mu.Lock()
	delete(s.entries, d.Key)
	delete(s.trouble, d.Key)
	delete(s.values, d.Key)
	delete(s.health, d.Key)
	delete(s.nonConvergent, d.Key)
	s.mu.Unlock()
	t.pods.Forget(d.Key)
	r.disclaim(s, d.Key)
	return true
}

func terminating(key gitops.Key, finalizers []string) *gitops.ObjectError {
	message := "it is being deleted"
	if len(finalizers) > 0 {
		message = "it is being deleted and waits for its finalizers: " + strings.Join(finalizers, ", ")
	}
	return &gitops.ObjectError{Key: key, Reason: reasonTerminating, Message: message}
}
