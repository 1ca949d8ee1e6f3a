package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// maxReadyMessage bounds a condition's message, in bytes. The API takes
// 32,768 characters, and a status that is refused says nothing at all.
const maxReadyMessage = 8 << 10

// setReady writes the Ready condition and, for what only a person can mend,
// Stalled. The transition time moves only when the status changes.
func setReady(conditions *[]metav1.Condition, generation int64, ready bool, reason, message string) {
	status := metav1.ConditionFalse
	if ready {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: status, ObservedGeneration: generation,
		Reason: reason, Message: truncate(message, maxReadyMessage),
	})
}

// setStalled says whether nothing is tried again before the spec changes.
func setStalled(conditions *[]metav1.Condition, generation int64, reason, message string) {
	if reason == "" {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionStalled)
		return
	}
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, ObservedGeneration: generation,
		Reason: reason, Message: truncate(message, maxReadyMessage),
	})
}

// lookAgain returns the Result for a decision that time changes at instant at;
// zero means that only an event can.
func lookAgain(now, at time.Time) ctrl.Result {
	if at.IsZero() {
		return ctrl.Result{}
	}
	// One millisecond past the instant, so that the instant has passed when we look.
	return ctrl.Result{RequeueAfter: max(at.Sub(now), 0) + time.Millisecond}
}

// sooner returns the earlier of two instants; the zero time is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// patchStatus writes the difference between before and after with before's
// resourceVersion, so that a status computed from an old object is refused and
// computed again. Nothing is sent when nothing changed.
func patchStatus(ctx context.Context, c client.Client, before, after client.Object) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	data, err := client.MergeFrom(before).Data(after)
	if err != nil {
		return fmt.Errorf("compute status patch of %q: %w", after.GetName(), err)
	}
	if string(data) == "{}" {
		return nil
	}
	if err := c.Status().Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("patch status of %q: %w", after.GetName(), err)
	}
	return nil
}

// settle turns the error of a reconcile into a Result: conflicts and objects
// that are gone are not failures, another pass sees the new state.
func settle(result ctrl.Result, err error) (ctrl.Result, error) {
	switch {
	case err == nil:
		return result, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	default:
		return ctrl.Result{}, err
	}
}
