package controllers

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/health"
)

// observeInventory watches what was applied before, so that health is known
// although nothing can be synced.
func (r *ApplicationReconciler) observeInventory(ctx context.Context, s *appState, o *observation) {
	o.kinds = kindsOf(nil, s.inventory())
	r.watch(ctx, s, o)
}

// watch makes sure that all kinds are watched and listed once.
func (r *ApplicationReconciler) watch(ctx context.Context, s *appState, o *observation) {
	s.mu.Lock()
	same := s.asked == o.t.hub && slices.Equal(s.kinds, o.kinds)
	s.mu.Unlock()
	if !same {
		unserved, err := o.t.hub.Use(ctx, s.name.String(), o.kinds)
		if err != nil {
			if ctx.Err() != nil {
				o.superseded = ctx.Err()
				return
			}
			o.problem = &problem{reason: reasonClusterUnreachable, unknown: true, retry: o.now.Add(r.pause(o)), message: err.Error()}
			return
		}
		// A kind of the inventory that is not served any more: its objects went
		// with its definition.
		o.kinds = slices.DeleteFunc(o.kinds, func(gvk schema.GroupVersionKind) bool { return slices.Contains(unserved, gvk) })
		s.mu.Lock()
		s.kinds, s.asked = o.kinds, o.t.hub
		s.mu.Unlock()
	}
	if out := o.t.hub.Down(o.kinds); out != nil {
		o.problem = outage(s.cluster, out)
	} else if !o.t.hub.IsReady(o.kinds) {
		o.waiting = true
	}
}

// observeObjects checks what was rendered against the cluster's kinds and the
// Project's limits, and plans.
func (r *ApplicationReconciler) observeObjects(ctx context.Context, s *appState, limits gitops.Limits, objects []*unstructured.Unstructured, o *observation) {
	app := o.app
	policy := s.policyNow()
	all, refused, unreachable := r.prepare(ctx, s, o, objects)
	desired := make([]gitops.Desired, 0, len(all))
	for _, d := range all {
		if d.Options.IsHook() {
			o.hooks = append(o.hooks, d)
		} else {
			desired = append(desired, d)
		}
	}
	o.defines = gitops.Definitions(objects)
	if unreachable != nil {
		o.problem = &problem{reason: reasonClusterUnreachable, unknown: true, retry: o.now.Add(r.pause(o)), message: unreachable.Error()}
		return
	}
	forbidden := gitops.CheckLimits(limits, s.cluster, all)
	if len(forbidden) > 0 {
		// Nothing of such a revision is applied: half of what was approved is
		// not what was approved.
		o.problem = &problem{reason: reasonForbidden, message: firstError(forbidden)}
		o.refused = forbidden
	}
	// Nor of one with a hook that cannot run, or that says how an object is treated in
	// words we cannot follow: a migration that is left out, or a misspelt Prune=false,
	// does harm that nobody sees.
	unclear := unfollowed(refused, objects)
	if len(unclear) > 0 && len(forbidden) == 0 {
		o.problem = &problem{reason: unclear[0].Reason, message: firstError(unclear)}
		if unclear[0].Reason == "KindUnknown" {
			o.problem.retry = o.now.Add(r.pause(o)) // it may come to be served
		}
	}
	o.desired, o.refused = desired, append(o.refused, refused...)
	entries := s.inventory()
	o.kinds = kindsOf(all, entries)
	had := o.problem
	r.watch(ctx, s, o)
	if o.waiting || o.superseded != nil || o.problem != had {
		return
	}
	if len(forbidden)+len(unclear) > 0 {
		return
	}
	r.judgeAnew(ctx, s, policy, o)
	s.setDesired(desired, o.hooks, o.revision)
	keys := make(map[gitops.Key]bool, len(all))
	for _, d := range all {
		keys[d.Key] = true
	}
	for _, e := range entries {
		keys[gitops.EntryKey(e)] = true
	}
	r.claim(s, keys)
	if app.Spec.Suspend {
		o.problem = &problem{reason: reasonSuspended, calm: true, message: "syncing and healing are suspended; set spec.suspend to false to go on"}
	}
	plan := r.makePlan(ctx, s, o, entries)
	if len(plan.Inventory) > maxInventory {
		o.problem = &problem{reason: reasonTooManyObjects, message: fmt.Sprintf("the revision has %d objects and the limit of an Application is %d; split it", len(plan.Inventory), maxInventory)}
		return
	}
	o.plan = &plan
}

// unfollowed returns the refused objects without which nothing else is applied:
// hooks, and those with an annotation that cannot be followed. objects is what was
// rendered.
func unfollowed(refused []*gitops.ObjectError, objects []*unstructured.Unstructured) []*gitops.ObjectError {
	var out []*gitops.ObjectError
	for _, e := range refused {
		if e.Reason == gitops.ReasonInvalidOption || slices.ContainsFunc(objects, func(obj *unstructured.Unstructured) bool {
			key := gitops.KeyOf(obj)
			return key.Group == e.Key.Group && key.Kind == e.Key.Kind && key.Name == e.Key.Name && gitops.OptionsOf(obj.GetAnnotations(), nil).IsHook()
		}) {
			out = append(out, e)
		}
	}
	return out
}

// prepare makes what was rendered ready to be applied. unreachable is the error of
// a cluster that did not say which kinds it serves.
func (r *ApplicationReconciler) prepare(ctx context.Context, s *appState, o *observation, objects []*unstructured.Unstructured) (all []gitops.Desired, refused []*gitops.ObjectError, unreachable error) {
	all, refused = gitops.Prepare(objects, gitops.Preparation{
		Owner: s.owner, Namespace: o.app.Spec.Destination.Namespace,
		SyncOptions: o.app.Spec.SyncPolicy.SyncOptions, Ignore: s.policyNow().ignore,
		Scope: func(gvk schema.GroupVersionKind) (bool, bool) {
			kind, served, err := o.t.clusterKind(ctx, gvk)
			if err != nil {
				unreachable = err
			}
			return kind, served
		},
	})
	return all, refused, unreachable
}

// maxInventory is the number of objects an Application may have (10-contracts).
const maxInventory = 1000

// clusterKind tells whether a kind is namespaced in the cluster.
func (t *target) clusterKind(ctx context.Context, gvk schema.GroupVersionKind) (namespaced, served bool, err error) {
	kind, served, err := t.cluster.Kind(ctx, gvk)
	return kind.Namespaced, served, err
}

// makePlan compares the revision with the inventory and the watches.
func (r *ApplicationReconciler) makePlan(ctx context.Context, s *appState, o *observation, entries []v1alpha1.InventoryEntry) gitops.Plan {
	app := o.app
	refused := make([]gitops.Key, 0, len(o.refused))
	for _, e := range o.refused {
		refused = append(refused, e.Key)
	}
	in := gitops.PlanInput{
		Owner: s.owner, Desired: o.desired, Inventory: entries, Refused: refused,
		Live: o.t.hub.Get, Owned: o.t.hub.Owned(s.owner.Label()),
		IsOwnerGone:    func(annotation string) bool { return r.isOwnerGone(ctx, annotation) },
		PruneConfirmed: app.Annotations[v1alpha1.AnnotationConfirmPrune] == o.revision,
		Additions:      s.policy.additions,
		Options:        s.policy.options,
		Values: func(k gitops.Key) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.values[k]
		},
	}
	if a := app.Spec.SyncPolicy.Automated; a != nil {
		in.Prune, in.AllowEmpty = a.Prune, a.AllowEmpty
	}
	if q := o.request; q != nil && q.Prune {
		in.Prune, in.PruneConfirmed = true, true
	}
	s.mu.Lock()
	// Single drifts are the business of the heal queue, which keeps their
	// pauses; only after a pause of everything is it done here, in order.
	in.Heal = s.ordered && !s.breaker.IsOpen(o.now) && s.policy.drift == v1alpha1.DriftHeal && !s.isPausedLocked(o.now)
	s.mu.Unlock()
	plan := gitops.MakePlan(in)
	if q := o.request; q != nil && q.Prune {
		plan.PruneOnly(gitops.SelectionOf(q))
	}
	return plan
}

// isOwnerGone reports whether the Application of an owner annotation does not
// exist. When that cannot be told, it does.
func (r *ApplicationReconciler) isOwnerGone(ctx context.Context, annotation string) bool {
	owner, ok := gitops.ParseOwner(annotation)
	if !ok {
		return false
	}
	var app v1alpha1.Application
	err := r.opts.Client.Get(ctx, types.NamespacedName{Namespace: owner.Namespace, Name: owner.Application}, &app)
	return client.IgnoreNotFound(err) == nil && err != nil
}

// setDesired replaces what the cluster is held to. What has not changed stays where
// it is: it lives long, and what lives long should not lie scattered.
func (s *appState) setDesired(desired, hooks []gitops.Desired, commit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = make(map[gitops.Key]gitops.Desired, len(hooks))
	for _, d := range hooks {
		s.hooks[d.Key] = d
	}
	before := s.desired
	s.desired = make(map[gitops.Key]gitops.Desired, len(desired))
	for _, d := range desired {
		d = d.Compact()
		if known := before[d.Key]; known.Body != nil && bytes.Equal(known.Body, d.Body) {
			d.Body = known.Body
		}
		s.desired[d.Key] = d
	}
	s.commit = commit
}

// judgeAnew looks again at the objects of the kinds that have a health check, or
// had one, when the spec changed: the watches keep verdicts, not objects.
func (r *ApplicationReconciler) judgeAnew(ctx context.Context, s *appState, policy driftPolicy, o *observation) {
	s.mu.Lock()
	was := s.judged
	before := s.judgedBy
	s.judged, s.judgedBy = policy.generation, policy.checks
	s.mu.Unlock()
	if was == 0 || was == policy.generation {
		return
	}
	for _, e := range s.inventory() {
		if !before.Has(e.Group, e.Kind) && !policy.checks.Has(e.Group, e.Kind) {
			continue
		}
		if obj, err := o.t.applier.ReadWhole(ctx, gitops.EntryKey(e), e.Version); err == nil && obj != nil {
			o.t.hub.Observe(obj)
		}
	}
}

// assess is the health of one object by itself, for the watches: as the health
// check of an Application that applies it says, or as its kind says.
func (r *ApplicationReconciler) assess(cluster string, obj *unstructured.Unstructured, now time.Time) gitops.Verdict {
	for _, s := range r.claimants(cluster, gitops.KeyOf(obj)) {
		if res, ok := s.policyNow().checks.Assess(obj); ok {
			return gitops.Verdict{Health: res.Health(), Recheck: res.Recheck}
		}
	}
	res := health.Assess(obj, now)
	return gitops.Verdict{Health: res.Health(), Recheck: res.Recheck}
}

// podsChanged is told when the pods of a workload changed the verdict on it.
func (r *ApplicationReconciler) podsChanged(cluster string, key gitops.Key) {
	for _, s := range r.claimants(cluster, key) {
		r.enqueue(urgent, s.name)
	}
}
