package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
)

// enact does what the plan says: grows the stored inventory, applies rank by
// rank, deletes. Failures of single objects are kept in s.trouble; the error is
// for failures of the pass.
func (r *ApplicationReconciler) enact(ctx context.Context, s *appState, app *v1alpha1.Application, o *observation) error {
	s.mu.Lock()
	s.failures = 0
	s.mu.Unlock()
	for _, e := range o.refused {
		s.failed(o.now, e.Key, "", e, e.Reason == "KindUnknown")
	}
	for _, e := range o.plan.Conflicts {
		s.failed(o.now, e.Key, "", e, false)
	}
	s.tryAgain(o.request)
	s.keepTrouble(o)
	if app.Spec.Suspend {
		o.applied = app.Status.Sync.Revision == o.revision
		return nil
	}
	r.keepNamespace(ctx, s, o)
	waves := r.dueWaves(s, o)
	begins := s.beginOperation(o)
	if len(waves) > 0 || o.plan.Grows || begins {
		if err := r.writeAhead(ctx, s, o, begins); err != nil {
			return err
		}
	}
	o.lane = s.takeLane()
	syncCtx, done := s.begin(ctx, o.revision)
	defer done()
	if len(waves) > 0 {
		if err := r.opts.Failpoints.Hit(syncCtx, FailBeforeApply); err != nil {
			return err
		}
	}
	if err := r.enactWaves(syncCtx, s, o, waves); err != nil {
		return err
	}
	if len(waves) > 0 {
		if err := r.opts.Failpoints.Hit(syncCtx, FailAfterApply); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.ordered = s.ordered && s.breaker.IsOpen(o.now)
	s.mu.Unlock()
	r.takeBack(syncCtx, s, o)
	o.applied = s.allApplied(o)
	if o.applied && len(o.plan.Prune) > 0 {
		r.prune(syncCtx, s, o)
	}
	r.finishOperation(syncCtx, s, o)
	r.cleanHooks(syncCtx, s, o)
	s.keepReported(o.plan.Drifted)
	// Drift that the plan found and nobody was woken for, for instance after a
	// restart.
	for _, key := range o.plan.Drifted {
		r.heals.Add(healItem{app: s.name, key: key})
	}
	return syncCtx.Err()
}

// dueWaves leaves out what failed and is not to be tried again yet.
func (r *ApplicationReconciler) dueWaves(s *appState, o *observation) []gitops.Wave {
	var out []gitops.Wave
	for _, wave := range o.plan.Waves {
		due := slices.DeleteFunc(slices.Clone(wave), func(a gitops.Action) bool {
			return !s.mayTry(o.now, a.Desired)
		})
		if len(due) > 0 {
			out = append(out, due)
		}
	}
	return out
}

// writeAhead stores the grown inventory before the first object is created.
func (r *ApplicationReconciler) writeAhead(ctx context.Context, s *appState, o *observation, begins bool) error {
	if !o.plan.Grows && !begins {
		return nil
	}
	s.mu.Lock()
	for _, e := range o.plan.Inventory {
		if _, known := s.entries[gitops.EntryKey(e)]; !known {
			s.entries[gitops.EntryKey(e)] = e
		}
	}
	before := s.app
	s.mu.Unlock()
	after := before.DeepCopy()
	after.Status.Inventory = s.inventory()
	after.Status.Sync.Status = v1alpha1.SyncSyncing
	after.Status.Sync.Target = o.head
	if o.operation != nil {
		after.Status.Operation = o.operation.DeepCopy()
	}
	return r.patchApplication(ctx, s, before, after)
}

// applyWave applies the objects of one wave side by side.
func (r *ApplicationReconciler) applyWave(ctx context.Context, s *appState, o *observation, wave gitops.Wave) {
	var wg sync.WaitGroup
	next := make(chan gitops.Action)
	for range min(len(wave), r.opts.ApplyConcurrency) {
		wg.Go(func() {
			for a := range next {
				r.applyOne(ctx, s, o, a)
			}
		})
	}
	for _, a := range wave {
		select {
		case next <- a:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
}

// applyOne sends one object and records the answer or the error.
func (r *ApplicationReconciler) applyOne(ctx context.Context, s *appState, o *observation, a gitops.Action) {
	if ctx.Err() != nil {
		return
	}
	unlock := s.locks.lock(a.Desired.Key)
	defer unlock()
	err := r.ensureNamespace(ctx, s, o.t, a)
	var answer *unstructured.Unstructured
	if err == nil {
		answer, err = o.t.applier.Apply(ctx, o.lane, a.Desired)
		if namespaceMissing(err) && s.forgetNamespace(a.Desired.Key.Namespace) {
			if err = r.ensureNamespace(ctx, s, o.t, a); err == nil {
				answer, err = o.t.applier.Apply(ctx, o.lane, a.Desired)
			}
		}
	}
	if ctx.Err() != nil && err != nil {
		return
	}
	if err != nil {
		if a.Desired.Options.Force && r.recreate(ctx, s, o.t, a.Desired, err) {
			return
		}
		r.applyFailed(s, a.Desired, err)
		return
	}
	if live := r.answered(s, o.t, a.Desired, answer); len(live.Additions) > 0 {
		// A person made or changed it before it was ours, and no event will tell.
		r.heals.Add(healItem{app: s.name, key: a.Desired.Key})
	}
	if a.Kind == gitops.ActionHeal {
		s.record(driftRecords(healing{key: a.Desired.Key, changes: []gitops.FieldChange{{}}}, v1alpha1.DriftHealed, r.opts.Clock.Now())...)
	}
	_ = r.opts.Failpoints.Hit(ctx, FailDuringApply) // an injected error has no meaning here
}

// answered takes in the server's answer to an apply, and returns what there is now.
func (r *ApplicationReconciler) answered(s *appState, t *target, d gitops.Desired, answer *unstructured.Unstructured) gitops.Live {
	live := t.hub.Observe(answer)
	t.pods.Observe(answer)
	s.applied(d, live)
	changed := gitops.NonConvergent(d, answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(changed) > 0 {
		s.nonConvergent[d.Key] = changed
	} else {
		delete(s.nonConvergent, d.Key)
	}
	return live
}

// recreate deletes an object one of whose fields cannot be changed, when that is
// the error and the object's options ask for it; the end of the deletion wakes
// us, and the object is made anew. What holds data is never deleted for that, and
// what the API server would not accept as a new object is not either.
func (r *ApplicationReconciler) recreate(ctx context.Context, s *appState, t *target, d gitops.Desired, err error) bool {
	var failed *apply.Error
	if !errors.As(err, &failed) || failed.Reason != apply.Immutable || gitops.HoldsData(d.Key) {
		return false
	}
	live, seen := t.hub.Get(d.Key)
	if !seen || live.UID == "" || live.Terminating {
		return false
	}
	if err := t.applier.CheckNew(ctx, d); err != nil {
		r.applyFailed(s, d, err)
		return true
	}
	how := metav1.DeletePropagationForeground
	if d.Key.Kind == "StatefulSet" {
		how = metav1.DeletePropagationOrphan // its pods go on
	}
	if _, _, err := t.applier.Delete(ctx, gitops.Deletion{Key: d.Key, Version: d.Version, UID: live.UID}, true, how); err != nil {
		r.applyFailed(s, d, err)
	}
	return true
}

// applyFailed records why d could not be applied, and when it is tried again.
func (r *ApplicationReconciler) applyFailed(s *appState, d gitops.Desired, err error) {
	now := r.opts.Clock.Now()
	var failed *apply.Error
	if !errors.As(err, &failed) {
		s.failed(now, d.Key, d.Hash, &gitops.ObjectError{Key: d.Key, Reason: reasonApplyFailed, Message: err.Error()}, true)
		return
	}
	s.failed(now, d.Key, d.Hash, &gitops.ObjectError{Key: d.Key, Reason: string(failed.Reason), Message: failed.Message}, true)
}

// ensureNamespace makes the destination namespace once, before the first object
// goes into it, when the Application asks for that.
func (r *ApplicationReconciler) ensureNamespace(ctx context.Context, s *appState, t *target, a gitops.Action) error {
	ns := a.Desired.Key.Namespace
	s.mu.Lock()
	_, inSource := s.desired[gitops.Key{Kind: "Namespace", Name: ns}]
	needed := a.Kind != gitops.ActionPatch && s.policy.createNamespace && ns != "" && !inSource && !s.namespaces[ns]
	s.mu.Unlock()
	if !needed {
		return nil
	}
	unlock := s.locks.lock(gitops.Key{Kind: "Namespace", Name: ns})
	defer unlock()
	s.mu.Lock()
	done := s.namespaces[ns]
	var metadata *v1alpha1.NamespaceMetadata
	if s.app != nil {
		metadata = s.app.Spec.SyncPolicy.ManagedNamespaceMetadata
	}
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := t.applier.CreateNamespace(ctx, ns, s.owner, metadata); err != nil {
		return err
	}
	s.mu.Lock()
	s.namespaces[ns] = true
	s.mu.Unlock()
	return nil
}

// keepNamespace sets managedNamespaceMetadata on a namespace that is there already,
// once after a start and whenever it changes: no object may need an apply then.
func (r *ApplicationReconciler) keepNamespace(ctx context.Context, s *appState, o *observation) {
	ns, metadata := o.app.Spec.Destination.Namespace, o.app.Spec.SyncPolicy.ManagedNamespaceMetadata
	s.mu.Lock()
	_, inSource := s.desired[gitops.Key{Kind: "Namespace", Name: ns}]
	wanted := ""
	if metadata != nil {
		wanted = fmt.Sprint(metadata.Labels, metadata.Annotations) // in the order of their keys
	}
	before := s.namespaceMetadata
	needed := s.policy.createNamespace && ns != "" && metadata != nil && !inSource && before != wanted
	s.mu.Unlock()
	if !needed {
		return
	}
	if err := o.t.applier.KeepNamespace(ctx, ns, s.owner, metadata, before != ""); err != nil {
		var failed *apply.Error
		if o.problem == nil && errors.As(err, &failed) && ctx.Err() == nil {
			o.problem = &problem{reason: string(failed.Reason), message: failed.Error(), retry: o.now.Add(r.pause(o))}
		}
		return
	}
	s.mu.Lock()
	s.namespaceMetadata = wanted
	s.mu.Unlock()
}

func namespaceMissing(err error) bool {
	var failed *apply.Error
	return errors.As(err, &failed) && failed.Reason == apply.NamespaceMissing
}

// forgetNamespace lets a namespace that vanished be created again. It reports
// whether the Application creates namespaces.
func (s *appState) forgetNamespace(ns string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.namespaces, ns)
	return s.policy.createNamespace
}

// allApplied reports whether every object of the revision is applied with its
// content, none was refused, and the deletions do not wait for a person.
func (s *appState) allApplied(o *observation) bool {
	if len(o.refused) > 0 || len(o.plan.Conflicts) > 0 || o.plan.Guard != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range o.desired {
		if e, ok := s.entries[d.Key]; !ok || e.Hash != d.Hash || e.UID == "" {
			return false
		}
	}
	return true
}
