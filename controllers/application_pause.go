package controllers

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// A person may pause the healing of a Stage until an instant (a Freeze of scope
// Healing). Drift that is found meanwhile is recorded and waits in the heal queue
// for that instant; a Freeze that is deleted before wakes the Applications, whose
// plan names what drifted. Revisions are synced, and a sync that somebody asks for
// takes drift back all the same.

// observePause finds out whether healing is paused at now, and until when: zero when
// it is not. It reads the cache.
func (r *ApplicationReconciler) observePause(ctx context.Context, s *appState, now time.Time) (end time.Time, err error) {
	s.mu.Lock()
	stage := ""
	if s.app != nil {
		stage = s.app.Labels[v1alpha1.LabelStage]
	}
	s.mu.Unlock()
	var freezes v1alpha1.FreezeList
	if err := r.opts.Client.List(ctx, &freezes, client.InNamespace(s.name.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return end, fmt.Errorf("list Freezes of %q: %w", s.name.Namespace, err)
	}
	paused := promotion.HealingPause(freezes.Items, stage, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused = paused; paused != nil {
		end = paused.Spec.Until.Time
	}
	return end, nil
}

// isPausedLocked reports whether healing is paused at now. s.mu is held.
func (s *appState) isPausedLocked(now time.Time) bool {
	return s.paused != nil && now.Before(s.paused.Spec.Until.Time)
}

// isPaused records the drift of an object whose healing is paused, once, and has it
// looked at again at the end.
func (r *ApplicationReconciler) isPaused(ctx context.Context, s *appState, h healing, now time.Time) bool {
	end, err := r.observePause(ctx, s, now)
	if err != nil {
		r.healFailed(s, h, err)
		return true
	}
	if end.IsZero() {
		return false
	}
	r.heals.AddAfter(healItem{s.name, h.key}, end.Sub(now))
	r.announce(s, h, v1alpha1.DriftPaused, now)
	return true
}

// applicationsOfPause lists the Applications whose healing a Freeze pauses.
func (r *ApplicationReconciler) applicationsOfPause(_ context.Context, o client.Object) []reconcile.Request {
	z, ok := o.(*v1alpha1.Freeze)
	if !ok || z.Spec.Scope != v1alpha1.FreezeHealing {
		return nil
	}
	var out []reconcile.Request
	for _, s := range r.allStates() {
		s.mu.Lock()
		isOf := s.app != nil && s.name.Namespace == z.Namespace && (z.Spec.Stage == "*" || s.app.Labels[v1alpha1.LabelStage] == z.Spec.Stage)
		s.mu.Unlock()
		if isOf {
			out = append(out, reconcile.Request{NamespacedName: s.name})
		}
	}
	return out
}
