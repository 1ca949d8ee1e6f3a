package controllers

import (
	"context"
	"fmt"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// A sync that somebody asks for (Application.operation) makes the same pass do
// more: take back drift that would be left alone, try again at once what failed,
// delete what left the source. Each of these may be done twice, so nothing is
// written down before; status.lastSync says how far it is, and when it has ended
// the request means nothing any more.

// requestedSync returns the sync that was asked for and has not ended; nil when
// there is none.
func requestedSync(app *v1alpha1.Application) *v1alpha1.SyncRequest {
	q, last := app.Operation, app.Status.LastSync
	if q == nil || last != nil && last.ID == q.ID && last.Phase != v1alpha1.OperationRunning {
		return nil
	}
	return q
}

// requestID is what tells this sync from others of the same revision: the id of
// the request for all objects, or the value of waybill.dev/requested-at.
func (o *observation) requestID() string {
	if o.request != nil && len(o.request.Resources) == 0 {
		return o.request.ID
	}
	return o.handled
}

// isHeadAsked asks the branch once where it is for a requested sync of all
// objects. waits says that the answer is on its way.
func (r *ApplicationReconciler) isHeadAsked(s *appState, o *observation, answered bool) (isAsked, waits bool) {
	q := o.request
	if q == nil || len(q.Resources) > 0 || !answered {
		return false, false
	}
	s.mu.Lock()
	isKnown := s.headOf == q.ID
	s.mu.Unlock()
	if isKnown {
		return false, false // s.manual holds what was found
	}
	if s.askedFor(q.ID) {
		r.lookups(o.app).ask(s.name)
	}
	if !r.lookups(o.app).isFresh(s.name) {
		return false, true
	}
	s.mu.Lock()
	s.headOf = q.ID
	s.mu.Unlock()
	return true, false
}

// tryAgain makes what failed due now, once for each request.
func (s *appState) tryAgain(q *v1alpha1.SyncRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q == nil || s.begun == q.ID {
		return
	}
	s.begun = q.ID
	selection := gitops.SelectionOf(q)
	for key, t := range s.trouble {
		if selection.Has(key) {
			t.attempts, t.gaveUp, t.hash = 0, false, ""
			s.trouble[key] = t
		}
	}
}

// takeBack heals the drift of what a request is about, whatever the policy says,
// additions by hand included.
func (r *ApplicationReconciler) takeBack(ctx context.Context, s *appState, o *observation) {
	if o.request == nil {
		return
	}
	selection := gitops.SelectionOf(o.request)
	for _, key := range o.plan.Drifted {
		if selection.Has(key) && ctx.Err() == nil {
			r.takeBackOne(ctx, s, key)
		}
	}
}

func (r *ApplicationReconciler) takeBackOne(ctx context.Context, s *appState, key gitops.Key) {
	unlock := s.locks.lock(key)
	defer unlock()
	h, drifted := r.judge(s, key)
	if !drifted || h.drift == gitops.DriftTaken {
		return
	}
	if isIgnored, err := r.isIgnored(ctx, s, &h); isIgnored || err != nil {
		if err != nil {
			r.healFailed(s, h, err)
		}
		return
	}
	if err := r.repair(ctx, s, h); err != nil {
		r.healFailed(s, h, err)
		return
	}
	s.healed(h, r.opts.Clock.Now())
}

// fillRequest says how far the requested sync is. s.mu is held.
func (s *appState) fillRequest(o *observation, st *v1alpha1.ApplicationStatus) {
	q := o.request
	if q == nil {
		return
	}
	result := &v1alpha1.SyncResult{ID: q.ID, By: q.By, StartedAt: microTime(o.now)}
	if last := st.LastSync; last != nil && last.ID == q.ID {
		result = last.DeepCopy()
	}
	result.Revision = o.revision
	var message string
	result.Phase, message = s.requestPhase(o, q)
	result.Message = shortText(message, maxConditionMessage)
	if result.Phase != v1alpha1.OperationRunning {
		at := microTime(o.now)
		result.FinishedAt = &at
	}
	st.LastSync = result
}

// requestPhase judges the requested sync by what the pass found and did.
func (s *appState) requestPhase(o *observation, q *v1alpha1.SyncRequest) (phase v1alpha1.OperationPhase, message string) {
	selection := gitops.SelectionOf(q)
	switch {
	case o.problem != nil:
		return v1alpha1.OperationFailed, o.problem.message
	case o.plan == nil:
		return v1alpha1.OperationRunning, ""
	}
	keys := slices.Clone(o.plan.Kept)
	for _, d := range o.desired {
		keys = append(keys, d.Key)
	}
	for key := range s.entries {
		keys = append(keys, key)
	}
	for _, wave := range o.plan.Prune { // gone by now
		for _, d := range wave {
			keys = append(keys, d.Key)
		}
	}
	if unknown := selection.Unknown(keys); unknown != "" {
		return v1alpha1.OperationFailed, unknown + " is not part of the Application"
	}
	var failed *gitops.ObjectError
	for key, t := range s.trouble {
		if selection.Has(key) && t.err.Reason != reasonTerminating && (failed == nil || key.Compare(failed.Key) < 0) {
			failed = t.err
		}
	}
	if failed != nil {
		return v1alpha1.OperationFailed, failed.Error()
	}
	for _, wave := range o.plan.Prune {
		for _, d := range wave {
			if _, isLeft := s.entries[d.Key]; isLeft && selection.Has(d.Key) {
				return v1alpha1.OperationRunning, d.Key.String() + " is being deleted"
			}
		}
	}
	if selection.IsAll() {
		switch {
		case o.heldReason == reasonHookFailed || o.heldReason == reasonWaveFailed:
			return v1alpha1.OperationFailed, o.held
		case o.plan.Guard != nil:
			return v1alpha1.OperationFailed, o.plan.Guard.Message
		case o.held != "" || !o.applied:
			return v1alpha1.OperationRunning, o.held
		}
	}
	if kept := slices.DeleteFunc(slices.Clone(o.plan.Kept), func(k gitops.Key) bool { return !selection.Has(k) }); len(kept) > 0 && !q.Prune {
		return v1alpha1.OperationSucceeded, fmt.Sprintf("%s left the source and is kept; a sync with prune deletes it", several(kept))
	}
	return v1alpha1.OperationSucceeded, ""
}
