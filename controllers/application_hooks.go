package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
)

// A sync of a source with hooks is an operation: PreSync hooks, then the objects
// and Sync hooks wave by wave, then, when everything is well, PostSync hooks. It
// is written down before its first hook is made, and every hook's object carries
// the operation's id, so that a pass can tell from the status and the watches
// alone what ran: nothing waits in a worker, and after a crash nothing runs twice.
// Without hooks there is no operation; waves are told from what is applied and
// well.

// beginOperation finds the operation that this pass works on, or begins one when
// the revision changes something. It reports whether the status has to name it
// before anything is done.
func (s *appState) beginOperation(o *observation) (begins bool) {
	if !slices.ContainsFunc(o.hooks, isSyncHook) {
		return false
	}
	s.mu.Lock()
	last := s.app.Status.Operation
	s.mu.Unlock()
	request := o.requestID()
	isAskedAgain := request != "" && last != nil && last.ID != operationID(o.revision, request)
	if last != nil && last.Revision == o.revision && !(last.Phase == v1alpha1.OperationFailed && isAskedAgain) {
		if last.Phase != v1alpha1.OperationSucceeded {
			o.operation = last.DeepCopy()
		}
		return false
	}
	isNew := o.app.Status.Sync.Tree != o.tree || len(o.plan.Prune) > 0 || o.plan.Guard != nil ||
		slices.ContainsFunc(o.plan.Waves, func(w gitops.Wave) bool {
			return slices.ContainsFunc(w, func(a gitops.Action) bool { return a.Kind != gitops.ActionHeal })
		})
	if !isNew {
		return false
	}
	o.operation = &v1alpha1.Operation{
		ID: operationID(o.revision, request), Revision: o.revision, Phase: v1alpha1.OperationRunning, StartedAt: microTime(o.now),
	}
	return true
}

func isSyncHook(d gitops.Desired) bool {
	return d.Options.Is(gitops.HookPreSync) || d.Options.Is(gitops.HookSync) || d.Options.Is(gitops.HookPostSync) || d.Options.Is(gitops.HookSyncFail)
}

// operationID tells the sync of a revision from another one of the same revision
// that a person asked for.
func operationID(revision, request string) string {
	sum := sha256.Sum256([]byte(revision + "\x00" + request))
	return hex.EncodeToString(sum[:8])
}

// enactWaves brings the sync as far as it comes now: o.held says what it waits
// for. The error is for a context that ended.
func (r *ApplicationReconciler) enactWaves(ctx context.Context, s *appState, o *observation, waves []gitops.Wave) error {
	op := o.operation
	if op != nil && op.Phase == v1alpha1.OperationFailed {
		o.hold(reasonHookFailed, op.Message)
		r.runHooks(ctx, s, o, gitops.HookSyncFail, nil)
		return ctx.Err()
	}
	if op != nil && !r.runHooks(ctx, s, o, gitops.HookPreSync, nil) {
		return ctx.Err()
	}
	numbers := waveNumbers(o)
	for i, n := range numbers {
		for _, wave := range waves {
			if wave.Number() != n {
				continue
			}
			ready := r.servedNow(ctx, s, o, wave)
			r.applyWave(ctx, s, o, ready)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if op != nil && !r.runHooks(ctx, s, o, gitops.HookSync, &n) {
			return ctx.Err()
		}
		isLast := i == len(numbers)-1
		if o.held == "" && (isLast && waitsForHealth(o) || !isLast && hasMore(o, n)) {
			r.holdWave(s, o, n, isLast)
		}
		if o.held == "" && isLast {
			r.holdFailure(s, o)
		}
		if o.held != "" {
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// waitsForHealth says that something runs once all objects are well.
func waitsForHealth(o *observation) bool {
	return o.plan.PrunesLast() || o.operation != nil && slices.ContainsFunc(o.hooks, func(d gitops.Desired) bool { return d.Options.Is(gitops.HookPostSync) })
}

// hasMore says that the sync has something to do in a wave after n. At rest no
// wave holds anything, however its objects are.
func hasMore(o *observation, n int) bool {
	return o.operation != nil || slices.ContainsFunc(o.plan.Waves, func(w gitops.Wave) bool {
		return w.Number() > n && slices.ContainsFunc(w, func(a gitops.Action) bool { return a.Kind != gitops.ActionHeal })
	})
}

// hold says what the sync waits for; the first reason stays.
func (o *observation) hold(reason, message string) {
	if o.held == "" {
		o.heldReason, o.held = reason, shortText(message, maxConditionMessage)
	}
}

// waveNumbers are the sync waves of a revision, in order.
func waveNumbers(o *observation) []int {
	var out []int
	for _, d := range o.desired {
		out = append(out, d.Options.Wave)
	}
	for _, d := range o.hooks {
		if d.Options.Is(gitops.HookSync) {
			out = append(out, d.Options.Wave)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// servedNow leaves out objects whose kind a definition of this revision makes and
// the cluster does not serve yet: the definition's own event brings the next pass.
func (r *ApplicationReconciler) servedNow(ctx context.Context, s *appState, o *observation, wave gitops.Wave) gitops.Wave {
	if len(o.defines) == 0 {
		return wave
	}
	return slices.DeleteFunc(slices.Clone(wave), func(a gitops.Action) bool {
		if _, isDefined := o.defines[a.Desired.Key.GroupKind()]; !isDefined {
			return false
		}
		_, served, err := o.t.clusterKind(ctx, a.Desired.GVK())
		isWatched := o.t.hub.IsReady(kindsOf([]gitops.Desired{a.Desired}, nil))
		if err == nil && served && isWatched {
			return false
		}
		o.hold(reasonWaiting, fmt.Sprintf("waits until the cluster serves kind %q", a.Desired.Key.Kind))
		// Discovery follows the definition's own status within a moment, which no
		// event tells.
		o.t.cluster.ForgetKinds()
		o.look(o.now.Add(servedPause))
		return true
	})
}

// servedPause is how long after a definition is established the cluster is asked
// again for the kinds it serves.
const servedPause = 250 * time.Millisecond

// holdWave holds the sync until every object of the waves up to n is applied and
// well. An object that failed holds it for good: a new revision, or its recovery,
// lets it go on.
func (r *ApplicationReconciler) holdWave(s *appState, o *observation, n int, isLast bool) {
	for _, d := range o.desired {
		if d.Options.Wave > n {
			continue
		}
		s.mu.Lock()
		e, listed := s.entries[d.Key]
		trouble, hasFailed := s.trouble[d.Key]
		s.mu.Unlock()
		what := fmt.Sprintf("wave %d", d.Options.Wave)
		if !isLast {
			what = fmt.Sprintf("wave %d before the next", d.Options.Wave)
		}
		switch {
		case hasFailed:
			o.hold(reasonWaveFailed, trouble.err.Error())
			o.lost = trouble.isLost()
		case !listed || e.Hash != d.Hash || e.UID == "":
			o.hold(reasonWaiting, fmt.Sprintf("waits for %s: %s is not applied yet", what, d.Key))
		default:
			verdict, seen := r.verdictOf(o.t, d.Key)
			o.look(verdict.Recheck)
			h := verdict.Health
			switch {
			case !seen:
				o.hold(reasonWaiting, fmt.Sprintf("waits for %s: %s is missing", what, d.Key))
			case h.Status == v1alpha1.HealthHealthy, d.Options.IgnoreHealth:
			case h.Status == v1alpha1.HealthDegraded:
				o.hold(reasonWaveFailed, fmt.Sprintf("%s of %s is Degraded: %s", d.Key, what, h.Message))
				o.lost = true
			default:
				o.hold(reasonWaiting, fmt.Sprintf("waits for %s: %s is %s", what, d.Key, h.Status))
			}
		}
		if o.held != "" {
			return
		}
	}
}

// holdFailure ends an operation with SyncFail hooks when an object cannot be
// applied, also where nothing waits for its health.
func (r *ApplicationReconciler) holdFailure(s *appState, o *observation) {
	if !hasFailHooks(o) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range o.desired {
		if trouble, hasFailed := s.trouble[d.Key]; hasFailed && trouble.hash == d.Hash && trouble.isLost() {
			o.hold(reasonWaveFailed, trouble.err.Error())
			o.lost = true
			return
		}
	}
	if len(o.refused) > 0 {
		o.hold(reasonWaveFailed, o.refused[0].Error())
		o.lost = o.refused[0].Reason != "KindUnknown" // which may come to be served
	}
}

// hasFailHooks says that something runs when the operation fails.
func hasFailHooks(o *observation) bool {
	return o.operation != nil && slices.ContainsFunc(o.hooks, func(d gitops.Desired) bool { return d.Options.Is(gitops.HookSyncFail) })
}

// verdictOf is the health of an object, with its pods.
func (r *ApplicationReconciler) verdictOf(t *target, key gitops.Key) (gitops.Verdict, bool) {
	v, seen := t.hub.Verdict(key)
	if withPods, watched := t.pods.Verdict(key); seen && watched {
		v = withPods
	}
	return v, seen
}

// runHooks brings the hooks of a phase forward, wave by wave, those of one wave
// only when wave is given. It reports whether all of them have succeeded; if not,
// o.held says why, and a failed one has made the operation fail.
func (r *ApplicationReconciler) runHooks(ctx context.Context, s *appState, o *observation, phase gitops.HookPhase, wave *int) (done bool) {
	var hooks []gitops.Desired
	for _, d := range o.hooks {
		if d.Options.Is(phase) && (wave == nil || d.Options.Wave == *wave) {
			hooks = append(hooks, d)
		}
	}
	slices.SortFunc(hooks, func(a, b gitops.Desired) int {
		if d := a.Options.Wave - b.Options.Wave; d != 0 {
			return d
		}
		return a.Key.Compare(b.Key)
	})
	for at := 0; at < len(hooks); {
		end := at
		for end < len(hooks) && hooks[end].Options.Wave == hooks[at].Options.Wave {
			end++
		}
		isDone := true
		for _, d := range hooks[at:end] {
			state := r.runHook(ctx, s, o, phase, d)
			switch {
			case ctx.Err() != nil:
				return false
			case state.Phase == v1alpha1.OperationFailed:
				isDone = false
				if phase != gitops.HookSyncFail {
					r.failOperation(o, fmt.Sprintf("%s hook %s failed: %s", phase, d.Key, state.Message))
				}
			case state.Phase == v1alpha1.OperationRunning:
				isDone = false
				o.hold(reasonHooksRunning, fmt.Sprintf("%s hook %s is running", phase, d.Key))
			}
		}
		if !isDone {
			if o.operation.Phase == v1alpha1.OperationFailed && phase != gitops.HookSyncFail {
				r.runHooks(ctx, s, o, gitops.HookSyncFail, nil)
			}
			return false
		}
		at = end
	}
	return true
}

// failOperation ends the operation.
func (r *ApplicationReconciler) failOperation(o *observation, message string) {
	op := o.operation
	if op.Phase == v1alpha1.OperationFailed {
		return
	}
	at := microTime(o.now)
	op.Phase, op.Message, op.FinishedAt = v1alpha1.OperationFailed, shortText(message, maxConditionMessage), &at
	o.held = ""
	o.hold(reasonHookFailed, op.Message)
}

// runHook looks how far a hook is, and makes its object when it was not made yet.
func (r *ApplicationReconciler) runHook(ctx context.Context, s *appState, o *observation, phase gitops.HookPhase, d gitops.Desired) v1alpha1.HookStatus {
	op := o.operation
	at := slices.IndexFunc(op.Hooks, func(h v1alpha1.HookStatus) bool { return hookKey(h) == d.Key && h.Hook == string(phase) })
	if at < 0 {
		if len(op.Hooks) >= maxHooks {
			return v1alpha1.HookStatus{Phase: v1alpha1.OperationFailed, Message: fmt.Sprintf("the source has more than %d hooks", maxHooks)}
		}
		op.Hooks = append(op.Hooks, v1alpha1.HookStatus{
			Group: d.Key.Group, Kind: d.Key.Kind, Namespace: d.Key.Namespace, Name: d.Key.Name, Hook: string(phase), Phase: v1alpha1.OperationRunning,
		})
		at = len(op.Hooks) - 1
	}
	state := &op.Hooks[at]
	if state.Phase != v1alpha1.OperationRunning {
		return *state
	}
	run := op.ID + "." + string(phase)
	live, seen := o.t.hub.Get(d.Key)
	switch {
	case seen && live.HookRun == run && (state.UID == "" || state.UID == live.UID):
		state.UID = live.UID
		verdict, _ := r.verdictOf(o.t, d.Key)
		o.look(verdict.Recheck)
		switch {
		case live.Terminating:
			state.Phase, state.Message = v1alpha1.OperationFailed, "its object is being deleted"
		case verdict.Health.Status == v1alpha1.HealthHealthy:
			state.Phase, state.Message = v1alpha1.OperationSucceeded, ""
		case verdict.Health.Status == v1alpha1.HealthDegraded:
			state.Phase, state.Message = v1alpha1.OperationFailed, shortText(verdict.Health.Message, maxHookMessage)
		default:
			state.Message = shortText(verdict.Health.Message, maxHookMessage)
		}
	case state.UID != "":
		state.Phase, state.Message = v1alpha1.OperationFailed, "its object was deleted before its result was seen"
	case seen && live.Terminating:
		state.Message = "waits until the object of its last run is gone"
	case seen:
		r.deleteHook(ctx, s, o, gitops.Deletion{Key: d.Key, Version: d.Version, UID: live.UID})
		state.Message = "waits until the object of its last run is gone"
	default:
		r.createHook(ctx, s, o, state, d, run)
	}
	return *state
}

const (
	// maxHooks and maxHookMessage are the limits of the API.
	maxHooks       = 100
	maxHookMessage = 512
)

func hookKey(h v1alpha1.HookStatus) gitops.Key {
	return gitops.Key{Group: h.Group, Kind: h.Kind, Namespace: h.Namespace, Name: h.Name}
}

// createHook makes the object of a hook. One of the same name that is not in our
// sight is deleted first: nobody else's object is a run of ours.
func (r *ApplicationReconciler) createHook(ctx context.Context, s *appState, o *observation, state *v1alpha1.HookStatus, d gitops.Desired, run string) {
	marked := d
	marked.Object, marked.Body = d.Object.DeepCopy(), nil
	annotations := marked.Object.GetAnnotations()
	annotations[v1alpha1.AnnotationHookRun] = run
	marked.Object.SetAnnotations(annotations)
	if err := r.ensureNamespace(ctx, s, o.t, gitops.Action{Kind: gitops.ActionCreate, Desired: marked}); err != nil {
		state.Message = shortText(err.Error(), maxHookMessage)
		o.look(o.now.Add(hookRetry))
		return
	}
	answer, err := o.t.applier.Create(ctx, marked)
	if err == nil {
		_ = r.opts.Failpoints.Hit(ctx, FailAfterHook) // an injected error has no meaning here
		live := o.t.hub.Observe(answer)
		o.t.pods.Observe(answer)
		state.UID = live.UID
		verdict, _ := r.verdictOf(o.t, d.Key)
		if verdict.Health.Status == v1alpha1.HealthHealthy {
			state.Phase = v1alpha1.OperationSucceeded
		}
		return
	}
	if ctx.Err() != nil {
		return
	}
	var failed *apply.Error
	switch {
	case errors.As(err, &failed) && failed.Reason == apply.Changed:
		found, readErr := o.t.applier.ReadWhole(ctx, d.Key, d.Version)
		switch {
		case readErr != nil || found == nil:
			o.look(o.now.Add(hookRetry))
		case found.GetAnnotations()[v1alpha1.AnnotationHookRun] == run:
			o.t.hub.Observe(found) // made before a crash, and not in our sight yet
			o.look(o.now.Add(hookRetry))
		case found.GetAnnotations()[v1alpha1.AnnotationOwner] != "" && found.GetAnnotations()[v1alpha1.AnnotationOwner] != s.owner.Annotation():
			state.Phase, state.Message = v1alpha1.OperationFailed, fmt.Sprintf("an object of its name belongs to Application %q", found.GetAnnotations()[v1alpha1.AnnotationOwner])
		default:
			r.deleteHook(ctx, s, o, gitops.Deletion{Key: d.Key, Version: d.Version, UID: string(found.GetUID())})
			o.look(o.now.Add(hookRetry)) // its end is not told to us
		}
	case errors.As(err, &failed) && !failed.NeedsGit() && failed.Reason != apply.Forbidden && failed.Reason != apply.KindUnknown:
		state.Message = shortText(failed.Message, maxHookMessage)
		o.look(o.now.Add(hookRetry))
	default:
		state.Phase, state.Message = v1alpha1.OperationFailed, shortText(err.Error(), maxHookMessage)
	}
}

// hookRetry is the pause before something about a hook is tried again of which no
// event tells.
const hookRetry = 2 * time.Second

func (r *ApplicationReconciler) deleteHook(ctx context.Context, _ *appState, o *observation, d gitops.Deletion) {
	if _, _, err := o.t.applier.Delete(ctx, d, true, metav1.DeletePropagationBackground); err != nil && ctx.Err() == nil {
		o.look(o.now.Add(hookRetry))
	}
	o.t.pods.Forget(d.Key)
}

// finishOperation runs the last phase once everything is applied, pruned and
// well, and says that the operation succeeded.
func (r *ApplicationReconciler) finishOperation(ctx context.Context, s *appState, o *observation) {
	op := o.operation
	switch {
	case op == nil:
		if o.held != "" {
			o.applied = false
		}
		return
	case op.Phase == v1alpha1.OperationRunning && o.held == "" && o.applied && ctx.Err() == nil:
		if r.runHooks(ctx, s, o, gitops.HookPostSync, nil) {
			at := microTime(o.now)
			op.Phase, op.FinishedAt, op.Message = v1alpha1.OperationSucceeded, &at, ""
			return
		}
	case op.Phase == v1alpha1.OperationRunning && o.heldReason == reasonWaveFailed && o.lost && hasFailHooks(o):
		r.failOperation(o, o.held)
		r.runHooks(ctx, s, o, gitops.HookSyncFail, nil)
	}
	o.applied = false
}

// cleanHooks deletes the objects of hooks whose policy says so, once the status
// knows how they ended, and of hooks that are not in the source any more.
func (r *ApplicationReconciler) cleanHooks(ctx context.Context, s *appState, o *observation) {
	s.mu.Lock()
	known := s.app.Status.Operation
	s.mu.Unlock()
	for _, d := range o.t.hub.Hooks(s.owner.Label()) {
		hook, inSource := s.hook(d.Key)
		isOver := !inSource
		if known != nil && inSource {
			for _, h := range known.Hooks {
				isOver = isOver || hookKey(h) == d.Key && h.UID == d.UID &&
					(h.Phase == v1alpha1.OperationSucceeded && hook.Options.Deletes(gitops.DeleteSucceeded) ||
						h.Phase == v1alpha1.OperationFailed && hook.Options.Deletes(gitops.DeleteFailed))
			}
		}
		if isOver && ctx.Err() == nil {
			r.deleteHook(ctx, s, o, d)
		}
	}
}

func (s *appState) hook(key gitops.Key) (gitops.Desired, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.hooks[key]
	return d, ok
}
