package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// PreDelete hooks run before the first object of a deleted Application goes,
// PostDelete hooks when all of them are gone. They are those of the revision that
// runs, so Git is asked once more; status.sync.deleteHooks says whether there are
// any, so that nobody else's deletion waits for a Git server. They are an
// operation of their own (application_hooks.go).

func isDeleteHook(d gitops.Desired) bool {
	return d.Options.Is(gitops.HookPreDelete) || d.Options.Is(gitops.HookPostDelete)
}

// observeDeletion watches what is about to be deleted, and finds the hooks of
// that. waits says that the status was told what it waits for.
func (r *ApplicationReconciler) observeDeletion(ctx context.Context, s *appState, o *observation) (waits bool) {
	app := o.app
	if !app.Status.Sync.DeleteHooks {
		r.observeInventory(ctx, s, o)
		return false
	}
	o.revision = app.Status.Sync.Revision
	objects := r.observeContent(ctx, o)
	if o.superseded != nil {
		return false
	}
	if objects == nil {
		deadline := app.DeletionTimestamp.Add(letGoAfter)
		if !o.now.Before(deadline) {
			o.problem = nil
			r.observeInventory(ctx, s, o)
			return false
		}
		o.problem.message += fmt.Sprintf("; its hooks are left out at %s", deadline.UTC().Format(time.RFC3339))
		o.look(deadline)
		return true
	}
	limits, _, err := projectLimits(ctx, r.opts.Client, app.Namespace, r.opts.SystemNamespace)
	if err != nil {
		o.superseded = err
		return false
	}
	all, _, unreachable := r.prepare(ctx, s, o, objects)
	if unreachable == nil {
		for _, d := range all {
			if isDeleteHook(d) && gitops.CheckLimits(limits, s.cluster, []gitops.Desired{d}) == nil {
				o.hooks = append(o.hooks, d)
			}
		}
	}
	// Events of the hooks' objects come here.
	keys := map[gitops.Key]bool{}
	s.mu.Lock()
	s.hooks = map[gitops.Key]gitops.Desired{}
	for _, d := range o.hooks {
		s.hooks[d.Key], keys[d.Key] = d, true
	}
	s.mu.Unlock()
	for _, e := range s.inventory() {
		keys[gitops.EntryKey(e)] = true
	}
	r.claim(s, keys)
	o.kinds = kindsOf(o.hooks, s.inventory())
	r.watch(ctx, s, o)
	return false
}

// runDeleteHooks brings the hooks of a phase forward, and reports whether all of
// them have succeeded. If not, o.problem says why.
func (r *ApplicationReconciler) runDeleteHooks(ctx context.Context, s *appState, o *observation, phase gitops.HookPhase) (done bool, err error) {
	if !slices.ContainsFunc(o.hooks, func(d gitops.Desired) bool { return d.Options.Is(phase) }) {
		return true, nil
	}
	// Asking again (waybill.dev/requested-at) makes another operation.
	o.handled = o.app.Annotations[v1alpha1.AnnotationRequestedAt]
	id := operationID("delete "+string(o.app.UID), o.handled)
	s.mu.Lock()
	last := s.app.Status.Operation
	s.mu.Unlock()
	if o.operation == nil && last != nil && last.ID == id {
		o.operation = last.DeepCopy()
	}
	if o.operation == nil {
		o.operation = &v1alpha1.Operation{ID: id, Revision: o.revision, Phase: v1alpha1.OperationRunning, StartedAt: microTime(o.now)}
		if err := r.writeAhead(ctx, s, o, true); err != nil {
			return false, err
		}
	}
	if o.operation.Phase != v1alpha1.OperationFailed && r.runHooks(ctx, s, o, phase, nil) {
		return true, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	o.problem = &problem{reason: reasonDeleting, message: o.held}
	if op := o.operation; op.Phase == v1alpha1.OperationFailed {
		o.problem = &problem{reason: reasonHookFailed, message: op.Message + fmt.Sprintf(
			"; set the annotation %s to run it again, or spec.deletionPolicy to Orphan to leave the objects behind", v1alpha1.AnnotationRequestedAt)}
	}
	return false, nil
}

// deleteHooks deletes the objects of all hooks: nobody looks at them any more.
func (r *ApplicationReconciler) deleteHooks(ctx context.Context, s *appState, o *observation) {
	for _, d := range o.t.hub.Hooks(s.owner.Label()) {
		r.deleteHook(ctx, s, o, d)
	}
}
