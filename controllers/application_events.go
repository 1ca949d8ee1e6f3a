package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// EventRecorder writes Kubernetes Events. It is the part of
// controller-runtime's recorder that is used.
type EventRecorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// occurrence is something about an Application that is worth an Event.
type occurrence struct {
	isWarning bool
	// isAnswer says that somebody asked for it, and so looks for its Event.
	isAnswer bool
	reason   string
	// action is what Waybill did or found.
	action, note string
}

// maxEventNote is the limit of the API.
const maxEventNote = 1024

// Events that tell of what goes well are so many at once, and then so many a second: where hundreds of Applications move
// at the same time, the API server has better things to do than to store a thousand times that all is well.
const (
	calmEventBurst    = 50
	calmEventsASecond = 2
)

// isTold says whether an occurrence gets an Event now. Warnings and answers always do.
func (r *ApplicationReconciler) isTold(o occurrence) bool {
	return o.isWarning || o.isAnswer || r.calmEvents.AllowN(r.opts.Clock.Now(), 1)
}

// occurrences compares two statuses of an Application. What did not change makes
// no Event, so that a pass at rest makes none.
func occurrences(before, after *v1alpha1.Application) []occurrence {
	var out []occurrence
	was, is := &before.Status, &after.Status
	if is.Sync.Revision != was.Sync.Revision {
		out = append(out, occurrence{reason: reasonSynced, action: "Sync",
			note: fmt.Sprintf("runs %s of %s; %d objects", shortRevision(is.Sync.Revision), after.Spec.Source.RepoURL, len(is.Inventory))})
	}
	if l := is.LastSync; l != nil && l.Phase != v1alpha1.OperationRunning && (was.LastSync == nil || was.LastSync.ID != l.ID || was.LastSync.Phase != l.Phase) {
		o := occurrence{isAnswer: true, reason: "SyncSucceeded", action: "Sync", note: "the sync that " + orSomebody(l.By) + " asked for succeeded"}
		if l.Phase == v1alpha1.OperationFailed {
			o = occurrence{isWarning: true, isAnswer: true, reason: "SyncFailed", action: "Sync", note: "the sync that " + orSomebody(l.By) + " asked for failed: " + l.Message}
		}
		out = append(out, o)
	}
	for _, d := range newDrifts(was.Drifts, is.Drifts) {
		what := d.Field
		if what == "" {
			what = "the object"
		}
		by := ""
		if d.Manager != "" {
			by = fmt.Sprintf(" by %q", d.Manager)
		}
		out = append(out, occurrence{isWarning: d.Action != v1alpha1.DriftHealed, reason: "Drift" + d.Action, action: "Heal",
			note: fmt.Sprintf("%s %s: %s was changed%s", d.Kind, d.Name, what, by)})
	}
	ready := meta.FindStatusCondition(is.Conditions, v1alpha1.ConditionReady)
	last := meta.FindStatusCondition(was.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status == metav1.ConditionFalse && !isPassing(ready.Reason) && (last == nil || last.Reason != ready.Reason) {
		out = append(out, occurrence{isWarning: true, reason: ready.Reason, action: "Reconcile", note: ready.Message})
	}
	return out
}

// isPassing are reasons that each sync goes through, and those that are wanted.
func isPassing(reason string) bool {
	switch reason {
	case string(v1alpha1.HealthProgressing), string(v1alpha1.HealthMissing), reasonWaiting, reasonHooksRunning, reasonOutOfSync, reasonNothingPromoted,
		reasonSuspended, reasonDeleting, reasonDependency, reasonDrifting, reasonHealingHeld:
		return true
	default:
		return false
	}
}

// newDrifts returns those in front of the list that were not there before, the
// oldest first.
func newDrifts(before, after []v1alpha1.Drift) []v1alpha1.Drift {
	var out []v1alpha1.Drift
	for _, d := range after {
		if len(before) > 0 && d == before[0] {
			break
		}
		out = append([]v1alpha1.Drift{d}, out...)
	}
	return out
}

func orSomebody(name string) string {
	if name == "" {
		return "somebody"
	}
	return name
}

// tell writes the Events of a change that was stored.
func (r *ApplicationReconciler) tell(before, after *v1alpha1.Application) {
	if r.opts.Events == nil {
		return
	}
	for _, o := range occurrences(before, after) {
		if !r.isTold(o) {
			continue
		}
		kind := corev1.EventTypeNormal
		if o.isWarning {
			kind = corev1.EventTypeWarning
		}
		r.opts.Events.Eventf(after, nil, kind, o.reason, o.action, "%s", shortText(o.note, maxEventNote))
	}
}
