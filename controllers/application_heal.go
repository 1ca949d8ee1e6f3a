package controllers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
)

// healItem is an object that may have drifted.
type healItem struct {
	app types.NamespacedName
	key gitops.Key
}

// maxDriftFields is how many fields of one drift are recorded by themselves.
const maxDriftFields = 5

// ObjectChanged is part of watch.Sink: it sends drift to the heal queue and
// news about health to the Application.
func (r *ApplicationReconciler) ObjectChanged(cluster string, key gitops.Key, live gitops.Live, obj *unstructured.Unstructured, hasValues bool) {
	claimants := r.claimants(cluster, key)
	if len(claimants) == 0 {
		return
	}
	isNews := live.Terminating
	if key.Kind == "CustomResourceDefinition" && live.Verdict.Health.Status == v1alpha1.HealthHealthy {
		if t := r.existingTarget(cluster); t != nil {
			t.cluster.ForgetKinds()
		}
	}
	if t := r.existingTarget(cluster); t != nil && hasValues {
		isNews = t.pods.Observe(obj) || isNews
	}
	for _, s := range claimants {
		hasDrifted, hasNews := s.changed(r.opts.Clock.Now(), key, live, seenObject{obj, hasValues})
		if hasDrifted {
			r.heals.Add(healItem{s.name, key})
		}
		if isNews || hasNews {
			r.enqueue(urgent, s.name)
		}
	}
}

// changed takes in a new record of an object.
func (s *appState) changed(now time.Time, key gitops.Key, live gitops.Live, seen seenObject) (hasDrifted, isNews bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live = s.desired[key].Ignored.Filter(live)
	base, known := s.baseline(key)
	if !known {
		// Not ours yet: whose it is may have changed. Or the object of a hook.
		isNews = s.trouble[key].err != nil
		if _, isHook := s.hooks[key]; isHook {
			isNews = isNews || s.health[key] != live.Verdict.Health
			s.health[key] = live.Verdict.Health
		}
		return false, isNews
	}
	if gitops.Judge(base, live, true, s.owner, s.policy.additions) == gitops.NoDrift {
		s.breaker.Healed(key)
	} else {
		hasDrifted = true
		s.seen[key] = seen
		if s.desired[key].Ignored.IsEmpty() { // else it is not known yet whether it is one
			s.drifted(now, key)
		}
	}
	isNews = s.health[key] != live.Verdict.Health
	s.health[key] = live.Verdict.Health
	return hasDrifted, isNews
}

// ObjectGone is part of watch.Sink.
func (r *ApplicationReconciler) ObjectGone(cluster string, key gitops.Key, _ gitops.Live) {
	if t := r.existingTarget(cluster); t != nil {
		t.pods.Forget(key)
	}
	for _, s := range r.claimants(cluster, key) {
		if s.lost(r.opts.Clock.Now(), key) {
			r.heals.Add(healItem{s.name, key})
		} else {
			r.enqueue(urgent, s.name) // the end of a deletion, or of a conflict
		}
	}
}

// lost takes in that an object is gone, and reports whether that is drift.
func (s *appState) lost(now time.Time, key gitops.Key) (hasDrifted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.health, key)
	_, wanted := s.desired[key]
	_, known := s.baseline(key)
	if !wanted || !known || s.app != nil && s.app.DeletionTimestamp != nil {
		return false
	}
	s.drifted(now, key)
	return true
}

// drifted counts a drift; too many at once make the next sync heal them all in
// order, after a pause. s.mu is held.
func (s *appState) drifted(now time.Time, key gitops.Key) {
	if s.policy.drift == v1alpha1.DriftHeal && !s.isPausedLocked(now) && s.breaker.Drifted(now, key, len(s.entries)) {
		s.ordered = true
	}
}

// KindChanged is part of watch.Sink.
func (r *ApplicationReconciler) KindChanged(cluster string, kind schema.GroupKind) {
	var names []types.NamespacedName
	for _, s := range r.allStates() {
		if s.cluster == cluster && s.usesKind(kind) {
			names = append(names, s.name)
		}
	}
	r.enqueue(routine, names...)
}

func (s *appState) usesKind(kind schema.GroupKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.kinds, func(gvk schema.GroupVersionKind) bool { return gvk.GroupKind() == kind })
}

// healWorker heals objects until ctx ends.
func (r *ApplicationReconciler) healWorker(ctx context.Context) {
	for {
		item, shutdown := r.heals.Get()
		if shutdown {
			return
		}
		r.healSafely(ctx, item)
		r.heals.Done(item)
	}
}

// healSafely keeps a panic over one object from ending the process: the object
// shows the error, the others are healed.
func (r *ApplicationReconciler) healSafely(ctx context.Context, item healItem) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		logf.FromContext(ctx).Error(fmt.Errorf("panic: %v", cause), "heal", "application", item.app.String(), "object", item.key.String(), "stack", string(debug.Stack()))
		if s := r.stateOf(item.app); s != nil {
			s.failed(r.opts.Clock.Now(), item.key, "", &gitops.ObjectError{Key: item.key, Reason: "InternalError", Message: "healing it failed inside Waybill; see the log"}, false)
			r.enqueue(urgent, item.app)
		}
	}()
	r.heal(ctx, item)
}

// heal looks once more whether an object drifted, with nobody else writing to
// it, and takes the change back: one PATCH, or two when a person added fields.
func (r *ApplicationReconciler) heal(ctx context.Context, item healItem) {
	s := r.stateOf(item.app)
	if s == nil || ctx.Err() != nil {
		return
	}
	ctx, leave, ok := s.claim.enter(ctx)
	if !ok {
		return
	}
	defer leave()
	unlock := s.locks.lock(item.key)
	defer unlock()
	h, ok := r.judge(s, item.key)
	if !ok {
		return
	}
	now := r.opts.Clock.Now()
	if isIgnored, err := r.isIgnored(ctx, s, &h); err != nil {
		r.healFailed(s, h, err)
		return
	} else if isIgnored {
		r.enqueue(routine, s.name)
		return
	}
	switch {
	case h.drift == gitops.DriftTaken:
		r.enqueue(urgent, s.name) // the plan says whose it is
		return
	case h.policy.drift == v1alpha1.DriftOff:
		return
	case h.policy.drift != v1alpha1.DriftHeal,
		h.drift == gitops.DriftAdded && h.policy.additions == "report":
		r.report(s, h, now)
		return
	}
	if r.isPaused(ctx, s, h, now) || !r.mayHeal(s, h, now) || !r.isGraceOver(s, h, now) {
		return
	}
	if err := r.repair(ctx, s, h); err != nil {
		r.healFailed(s, h, err)
		return
	}
	s.healed(h, now)
	r.enqueue(routine, s.name)
}

// healing is one object that drifted.
type healing struct {
	key     gitops.Key
	t       *target
	drift   gitops.DriftKind
	live    gitops.Live
	present bool
	desired gitops.Desired
	policy  driftPolicy
	seen    seenObject
	uid     string // of what was applied
	changes []gitops.FieldChange
}

// judge finds out whether key drifted. ok is false when it did not, or is not
// ours to heal.
func (r *ApplicationReconciler) judge(s *appState, key gitops.Key) (h healing, ok bool) {
	r.mu.Lock()
	h.t = r.targets[s.cluster]
	r.mu.Unlock()
	if h.t == nil || !r.healsAs(s, &h) || !h.t.hub.IsReady([]schema.GroupVersionKind{{Group: key.Group, Kind: key.Kind}}) {
		return h, false
	}
	h.key = key
	h.live, h.present = h.t.hub.Get(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app != nil && s.app.DeletionTimestamp != nil {
		return h, false
	}
	var wanted, known bool
	if h.desired, wanted = s.desired[key]; !wanted {
		return h, false
	}
	h.live = h.desired.Ignored.Filter(h.live)
	base, known := s.baseline(key)
	if !known {
		return h, false // never applied: the sync's business
	}
	h.drift = gitops.Judge(base, h.live, h.present, s.owner, s.policy.additions)
	h.policy, h.uid = s.policy, base.UID
	h.seen = s.seen[key]
	if h.drift == gitops.NoDrift {
		s.breaker.Healed(key)
		s.forgetSeen(key, h.live.Version)
		if _, was := s.reported[key]; was {
			delete(s.reported, key)
			r.enqueueLocked(s)
		}
		return h, false
	}
	var err error
	if h.desired, err = h.desired.Whole(); err != nil {
		return h, false // what was encoded here can be decoded
	}
	h.changes = changesOf(h)
	return h, true
}

// enqueueLocked wakes s while s.mu is held.
func (r *ApplicationReconciler) enqueueLocked(s *appState) { r.enqueue(routine, s.name) }

// changesOf names what is different, for the record and for telling one fight
// from another.
func changesOf(h healing) []gitops.FieldChange {
	if h.drift == gitops.DriftDeleted || h.drift == gitops.DriftReplaced {
		return []gitops.FieldChange{{}}
	}
	var out []gitops.FieldChange
	if h.seen.obj != nil && versionMatches(h.seen.obj, h.live) {
		out = gitops.Changes(h.desired, h.seen.obj, h.seen.hasValues)
	}
	for _, a := range h.live.Additions {
		if h.policy.additions != "heal" && h.drift != gitops.DriftAdded {
			break // they stay
		}
		for _, field := range a.Fields {
			if !slices.ContainsFunc(out, func(c gitops.FieldChange) bool { return c.Field == field }) {
				out = append(out, gitops.FieldChange{Field: field, Manager: a.Manager, Got: "added"})
			}
		}
	}
	if len(out) == 0 && h.seen.obj != nil && string(h.seen.obj.GetUID()) == h.live.UID {
		// The object moved on since: what was seen a moment ago names the fields.
		out = gitops.Changes(h.desired, h.seen.obj, h.seen.hasValues)
	}
	if len(out) == 0 {
		out = []gitops.FieldChange{{Field: "metadata.managedFields", Want: "owned by " + gitops.FieldManager}}
	}
	return out
}

func versionMatches(obj *unstructured.Unstructured, live gitops.Live) bool {
	return string(obj.GetUID()) == live.UID && gitops.FingerprintOf(obj) == live.Fingerprint
}

// isIgnored says that only fields changed that belong to others, or of which Git says
// nothing where nobody knows who owns them, and takes the object as it is for the new
// baseline.
func (r *ApplicationReconciler) isIgnored(ctx context.Context, s *appState, h *healing) (bool, error) {
	if h.drift != gitops.DriftChanged || h.desired.Ignored.IsEmpty() && !gitops.IsOfContent(h.live.Fingerprint) {
		return false, nil
	}
	if h.seen.obj == nil || !h.seen.hasValues || !versionMatches(h.seen.obj, h.live) {
		obj, err := h.t.applier.ReadWhole(ctx, h.key, h.desired.Version)
		if err != nil || obj == nil {
			return false, err
		}
		h.seen = seenObject{obj, true}
		if !versionMatches(obj, h.live) {
			h.live = h.desired.Ignored.Filter(h.t.hub.Observe(obj))
		}
		h.changes = changesOf(*h)
	}
	if len(gitops.Changes(h.desired, h.seen.obj, true)) > 0 || len(h.live.Additions) > 0 && h.policy.additions != "ignore" {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.entries[h.key]
	if !known || e.UID != h.live.UID {
		return false, nil
	}
	e.Fingerprint = h.live.Fingerprint
	s.entries[h.key] = e
	s.values[h.key] = h.live.Values
	s.forgetSeen(h.key, h.live.Version)
	delete(s.reported, h.key)
	s.breaker.Healed(h.key)
	return true, nil
}

// isGraceOver holds back the healing of what a person changed until humanGrace
// has passed. The change is recorded at once.
func (r *ApplicationReconciler) isGraceOver(s *appState, h healing, now time.Time) bool {
	tools := gitops.DefaultHumanTools()
	if h.policy.humanGrace <= 0 || slices.ContainsFunc(h.changes, func(c gitops.FieldChange) bool { return !tools.IsHuman(c.Manager) }) {
		return true
	}
	s.mu.Lock()
	since, known := s.announced[h.key]
	if !known {
		since = now
		// Announced before a restart, or during a pause: the record says when.
		for _, d := range s.drifts {
			if (d.Action == v1alpha1.DriftAnnounced || d.Action == v1alpha1.DriftPaused) && d.Kind == h.key.Kind && d.Group == h.key.Group && d.Namespace == h.key.Namespace && d.Name == h.key.Name && d.Field == h.changes[0].Field {
				since = d.At.Time
				break
			}
		}
		s.announced[h.key] = since
	}
	s.mu.Unlock()
	end := since.Add(h.policy.humanGrace)
	if !now.Before(end) {
		return true
	}
	r.heals.AddAfter(healItem{s.name, h.key}, end.Sub(now))
	r.announce(s, h, v1alpha1.DriftAnnounced, now)
	return false
}

// report records a drift that is left alone, once.
func (r *ApplicationReconciler) report(s *appState, h healing, now time.Time) {
	r.announce(s, h, v1alpha1.DriftReported, now)
}

// announce records a drift that is not healed now, once.
func (r *ApplicationReconciler) announce(s *appState, h healing, action string, now time.Time) {
	mark := string(h.drift) + " " + fieldsOf(h.changes)
	s.mu.Lock()
	known := s.reported[h.key] == mark
	s.reported[h.key] = mark
	s.mu.Unlock()
	if known {
		return
	}
	s.record(driftRecords(h, action, now)...)
	r.enqueue(routine, s.name)
}

// mayHeal applies the pauses: of a contested object and of a storm.
func (r *ApplicationReconciler) mayHeal(s *appState, h healing, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breaker.IsOpen(now) {
		r.enqueueLocked(s) // the ordered sync afterwards does it
		return false
	}
	log := s.heals[h.key]
	if log != nil {
		if next := log.Next(now, fieldsOf(h.changes)); next.After(now) {
			r.heals.AddAfter(healItem{s.name, h.key}, next.Sub(now))
			r.enqueueLocked(s)
			return false
		}
	}
	if t, failed := s.trouble[h.key]; failed && t.next.After(now) {
		r.heals.AddAfter(healItem{s.name, h.key}, t.next.Sub(now))
		return false
	}
	return true
}

// repair makes the object equal to Git again.
func (r *ApplicationReconciler) repair(ctx context.Context, s *appState, h healing) error {
	if len(h.live.Additions) > 0 && h.present && h.policy.additions == "heal" {
		if err := r.takeOver(ctx, h); err != nil {
			return err
		}
	}
	answer, err := h.t.applier.ApplyNow(ctx, h.desired)
	if namespaceMissing(err) && s.forgetNamespace(h.key.Namespace) {
		if err = r.ensureNamespace(ctx, s, h.t, gitops.Action{Kind: gitops.ActionCreate, Desired: h.desired}); err == nil {
			answer, err = h.t.applier.ApplyNow(ctx, h.desired)
		}
	}
	if err != nil {
		return err
	}
	r.answered(s, h.t, h.desired, answer)
	return nil
}

// takeOver makes additions ours, so that the apply that follows removes them.
// It costs no request when the apply alone does.
func (r *ApplicationReconciler) takeOver(ctx context.Context, h healing) error {
	managed, err := r.managedFields(ctx, h)
	if err != nil || !gitops.NeedsTakeOver(h.desired, managed, gitops.DefaultHumanTools()) {
		return err
	}
	patch, err := gitops.TakeAdditions(managed, gitops.DefaultHumanTools(), h.desired.Ignored)
	if err != nil || len(patch) == 0 {
		return err
	}
	return h.t.applier.TakeOver(ctx, h.key, h.desired.Version, patch)
}

// managedFields returns those of the object: from the event that brought us
// here, or read anew.
func (r *ApplicationReconciler) managedFields(ctx context.Context, h healing) ([]metav1.ManagedFieldsEntry, error) {
	if h.seen.obj != nil && versionMatches(h.seen.obj, h.live) {
		return h.seen.obj.GetManagedFields(), nil
	}
	found, err := h.t.applier.Read(ctx, h.key, h.desired.Version)
	if err != nil || found == nil {
		return nil, err
	}
	return found.ManagedFields, nil
}

// healFailed keeps the error and tries again: at once when the object only
// moved on meanwhile, else after a growing pause.
func (r *ApplicationReconciler) healFailed(s *appState, h healing, err error) {
	item := healItem{s.name, h.key}
	var failed *apply.Error
	if errors.As(err, &failed) && failed.Reason == apply.Changed {
		r.heals.AddAfter(item, 20*time.Millisecond)
		return
	}
	r.applyFailed(s, h.desired, err)
	s.mu.Lock()
	next := s.trouble[h.key].next
	s.mu.Unlock()
	r.heals.AddAfter(item, next.Sub(r.opts.Clock.Now()))
	r.enqueue(urgent, s.name)
}

// healed records that a drift was taken back.
func (s *appState) healed(h healing, now time.Time) {
	s.mu.Lock()
	log := s.heals[h.key]
	if log == nil {
		log = &gitops.HealLog{}
		s.heals[h.key] = log
	}
	rival := rivalOf(h.changes)
	log.Healed(now, fieldsOf(h.changes), rival)
	_, _, contested := log.Contest(now)
	if h.drift == gitops.DriftDeleted && s.entries[h.key].UID == h.uid {
		// The same object answered: it was never gone, only out of our sight.
		h.changes = []gitops.FieldChange{{Field: gitops.PathOfLabel(v1alpha1.LabelManagedBy), Want: s.owner.Label()}}
	}
	s.mu.Unlock()
	action := v1alpha1.DriftHealed
	if contested {
		action = v1alpha1.DriftContested
	}
	s.record(driftRecords(h, action, now)...)
}

func rivalOf(changes []gitops.FieldChange) string {
	for _, c := range changes {
		if c.Manager != "" {
			return c.Manager
		}
	}
	return ""
}

// fieldsOf identifies a set of fields.
func fieldsOf(changes []gitops.FieldChange) string {
	names := make([]string, 0, len(changes))
	for _, c := range changes {
		names = append(names, c.Field)
	}
	return strings.Join(names, " ")
}

// driftRecords are the entries of status.drifts for one drift.
func driftRecords(h healing, action string, now time.Time) []v1alpha1.Drift {
	out := make([]v1alpha1.Drift, 0, min(len(h.changes), maxDriftFields))
	for _, c := range h.changes {
		if len(out) == maxDriftFields {
			break
		}
		out = append(out, v1alpha1.Drift{
			Group: h.key.Group, Kind: h.key.Kind, Namespace: h.key.Namespace, Name: h.key.Name,
			Field: c.Field, Want: c.Want, Got: c.Got, Manager: c.Manager, Action: action, At: microTime(now),
		})
	}
	return out
}
