package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	// lazyInterval is how often details (drift records, messages, counts of a
	// rollout) are written at most. What somebody waits for is written at once.
	lazyInterval = time.Second
	// maxObjects is how many objects status.objects names.
	maxObjects = 50
	// maxConditionMessage keeps messages readable; the API allows 32 KiB.
	maxConditionMessage = 1024
)

// Condition types beside Ready and Stalled.
const (
	// ConditionContested: somebody changes an object again and again.
	ConditionContested = "Contested"
)

// writeStatus turns what a pass found and did into the status, and writes it
// when it changed.
func (r *ApplicationReconciler) writeStatus(ctx context.Context, s *appState, o *observation) (ctrl.Result, error) {
	now := r.opts.Clock.Now()
	result := func() ctrl.Result { return lookAgain(now, o.recheck) }
	if o.problem != nil {
		o.look(o.problem.retry)
	}
	if o.waiting {
		return result(), nil
	}
	s.mu.Lock()
	before := s.app
	s.mu.Unlock()
	after := before.DeepCopy()
	objects := r.objectHealth(s, o, now)
	r.fillStatus(s, o, after, objects, now)
	if apiequality.Semantic.DeepEqual(before.Status, after.Status) {
		return result(), nil
	}
	if due := s.statusDue(&before.Status, &after.Status, now); now.Before(due) {
		o.look(due)
		return result(), nil
	}
	if err := r.patchApplication(ctx, s, before, after); err != nil {
		return ctrl.Result{}, err
	}
	return result(), nil
}

// patchApplication writes a status and remembers the answer as the newest.
func (r *ApplicationReconciler) patchApplication(ctx context.Context, s *appState, before, after *v1alpha1.Application) error {
	if err := patchStatus(ctx, r.opts.Client, before, after); err != nil {
		return err
	}
	s.mu.Lock()
	s.app, s.wroteAt, s.settling = after, r.opts.Clock.Now(), time.Time{}
	s.mu.Unlock()
	r.tell(before, after)
	return nil
}

// statusDue returns when a changed status has to be written: at once what others wait
// for; details a while after the last write; and that a revision is applied a while
// after it was, because the health that everybody waits for often follows within
// that, and goes along. What is applied is known until then, and after a crash it is
// applied again, which changes nothing.
func (s *appState) statusDue(before, after *v1alpha1.ApplicationStatus, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !isUrgent(before, after):
		return s.wroteAt.Add(lazyInterval)
	case !isSettling(before, after):
		return now
	}
	if s.settling.IsZero() {
		s.settling = now
	}
	return s.settling.Add(lazyInterval)
}

// isSettling reports whether a status says no more than that a revision was applied
// and is on its way to be Healthy.
func isSettling(before, after *v1alpha1.ApplicationStatus) bool {
	if after.Sync.Status != v1alpha1.SyncSynced || after.Sync.Revision == before.Sync.Revision || after.Health == nil ||
		after.Health.Status != v1alpha1.HealthProgressing || len(after.Inventory) < len(before.Inventory) {
		return false
	}
	others := func(s *v1alpha1.ApplicationStatus) *v1alpha1.ApplicationStatus {
		c := s.DeepCopy()
		c.Sync, c.Health, c.Conditions, c.Objects, c.Inventory = v1alpha1.SyncStatus{}, nil, nil, nil, nil
		if before.ObservedGeneration == 0 { // nothing was said about this Application yet
			c.ObservedGeneration = 0
		}
		return c
	}
	return apiequality.Semantic.DeepEqual(others(before), others(after))
}

// isUrgent tells what others wait for from details.
func isUrgent(before, after *v1alpha1.ApplicationStatus) bool {
	details := func(s *v1alpha1.ApplicationStatus) *v1alpha1.ApplicationStatus {
		c := s.DeepCopy()
		c.Objects, c.Drifts = nil, nil
		c.Sync.Message = ""
		if c.Health != nil {
			c.Health.Message = ""
			if c.Health.Status == v1alpha1.HealthProgressing {
				c.Health.Reason = "" // how far a rollout is
			}
		}
		for i := range c.Conditions {
			c.Conditions[i].Message = ""
		}
		for i := range c.Inventory {
			c.Inventory[i].Fingerprint, c.Inventory[i].UID = "", ""
		}
		return c
	}
	return !apiequality.Semantic.DeepEqual(details(before), details(after))
}

// objectHealth returns the health of every object of the Application, worst
// first, and notes when time alone changes one.
func (r *ApplicationReconciler) objectHealth(s *appState, o *observation, _ time.Time) []gitops.ObjectHealth {
	if o.t == nil {
		return nil
	}
	ignored := map[gitops.Key]bool{}
	s.mu.Lock()
	for key, d := range s.desired {
		if d.Options.IgnoreHealth {
			ignored[key] = true
		}
	}
	wanted := make(map[gitops.Key]bool, len(s.entries)) // and whether it was applied
	for key, e := range s.entries {
		wanted[key] = e.UID != ""
	}
	if o.plan != nil { // what is on its way out does not count
		for _, wave := range o.plan.Prune {
			for _, d := range wave {
				delete(wanted, d.Key)
			}
		}
		for _, key := range o.plan.Kept {
			delete(wanted, key)
		}
	}
	s.mu.Unlock()
	out := make([]gitops.ObjectHealth, 0, len(wanted))
	for key, isApplied := range wanted {
		v, seen := o.t.hub.Verdict(key)
		if !seen && !isApplied && o.held != "" {
			out = append(out, gitops.ObjectHealth{Key: key, Health: v1alpha1.Health{
				Status: v1alpha1.HealthProgressing, Reason: "NotApplied", Message: "is not applied yet: the sync waits for something else"}})
			continue
		}
		if !seen {
			out = append(out, gitops.ObjectHealth{Key: key, Health: v1alpha1.Health{
				Status: v1alpha1.HealthMissing, Reason: "Missing", Message: "it does not exist in the cluster"}})
			continue
		}
		if withPods, watched := o.t.pods.Verdict(key); watched {
			v = withPods
		}
		o.look(v.Recheck)
		if ignored[key] {
			continue
		}
		out = append(out, gitops.ObjectHealth{Key: key, Health: v.Health})
	}
	gitops.WorstFirst(out)
	return out
}

// fillStatus computes the status of after.
func (r *ApplicationReconciler) fillStatus(s *appState, o *observation, after *v1alpha1.Application, objects []gitops.ObjectHealth, now time.Time) {
	st := &after.Status
	st.ObservedGeneration = after.Generation
	if o.handled != "" {
		st.LastHandledRequest = o.handled
	}
	if r.opts.Shares == nil {
		st.Holder = nil // from a time when they were shared
	}
	st.Inventory = s.inventory()
	if len(st.Inventory) == 0 {
		st.Inventory = nil
	}
	if o.operation != nil {
		st.Operation = o.operation
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.NonConvergent = nonConvergentOf(s.nonConvergent)
	st.Drifts = slices.Clone(s.drifts)
	st.Drifting = len(s.reported) > 0
	fillSync(s, o, st, now)
	fillHealth(o, st, objects, now)
	fillObjects(s, st, objects)
	s.fillContest(o, st, after.Generation, now)
	for _, t := range s.trouble {
		if t.next.After(o.now) { // also when it came while this pass ran, which could not try it yet
			o.look(t.next)
		}
	}
	if s.breaker.IsOpen(now) {
		o.look(s.breaker.Resumes())
	}
	s.fillRequest(o, st)
	p := verdict(s, o, st, now)
	setReady(&st.Conditions, after.Generation, p == nil, readyReason(p), readyMessage(p, after, st))
}

// fillSync says which revision runs and how it compares.
func fillSync(s *appState, o *observation, st *v1alpha1.ApplicationStatus, now time.Time) {
	if o.head != "" {
		st.Sync.Target = o.head
	}
	if o.applied && o.revision != "" {
		if st.Sync.Revision != o.revision {
			at := microTime(now)
			st.Sync.SyncedAt = &at
		}
		st.Sync.Revision, st.Sync.Tree = o.revision, o.tree
		st.Sync.DeleteHooks = slices.ContainsFunc(o.hooks, isDeleteHook)
		if s.manual == o.revision {
			s.manual = ""
		}
	}
	st.Sync.Message = ""
	switch {
	case o.problem != nil && (o.problem.unknown || o.problem.reason == reasonNothingPromoted):
		st.Sync.Status, st.Sync.Message = v1alpha1.SyncUnknown, o.problem.message
	case o.problem != nil && o.problem.reason != reasonSuspended:
		st.Sync.Message = o.problem.message
		if o.plan == nil || !o.applied {
			st.Sync.Status = v1alpha1.SyncOutOfSync
		}
	case o.held != "" && o.heldReason != reasonHookFailed && o.heldReason != reasonWaveFailed:
		st.Sync.Status, st.Sync.Message = v1alpha1.SyncSyncing, o.held
	case o.held != "":
		st.Sync.Status, st.Sync.Message = v1alpha1.SyncOutOfSync, o.held
	case o.applied && st.Sync.Revision == st.Sync.Target && !st.Drifting:
		st.Sync.Status = v1alpha1.SyncSynced
	default:
		st.Sync.Status = v1alpha1.SyncOutOfSync
	}
	if st.Sync.Status == "" {
		st.Sync.Status = v1alpha1.SyncUnknown
	}
	if e := firstTrouble(s); e != nil && st.Sync.Message == "" {
		st.Sync.Message = e.Error()
	}
	if o.plan != nil && o.plan.Guard != nil && st.Sync.Message == "" {
		st.Sync.Message = o.plan.Guard.Message
	}
	if o.plan != nil && len(o.plan.Kept) > 0 && st.Sync.Message == "" {
		st.Sync.Message = fmt.Sprintf("%s left the source and is kept, because prune is off or its options say so", several(o.plan.Kept))
	}
	st.Sync.Message = shortText(st.Sync.Message, maxConditionMessage)
}

// maxNonConvergent is how many fields status.nonConvergent names.
const maxNonConvergent = 20

func nonConvergentOf(changed map[gitops.Key][]gitops.FieldChange) []v1alpha1.FieldDifference {
	var out []v1alpha1.FieldDifference
	for _, key := range slices.SortedFunc(maps.Keys(changed), gitops.Key.Compare) {
		for _, c := range changed[key] {
			if len(out) == maxNonConvergent {
				return out
			}
			out = append(out, v1alpha1.FieldDifference{
				Group: key.Group, Kind: key.Kind, Namespace: key.Namespace, Name: key.Name, Field: c.Field, Want: c.Want, Got: c.Got,
			})
		}
	}
	return out
}

func several(keys []gitops.Key) string {
	if len(keys) == 1 {
		return keys[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", keys[0], len(keys)-1)
}

// firstTrouble returns the first error by key.
func firstTrouble(s *appState) *gitops.ObjectError {
	var first *gitops.ObjectError
	for _, t := range s.trouble {
		if first == nil || t.err.Key.Compare(first.Key) < 0 {
			first = t.err
		}
	}
	return first
}

// fillHealth rolls the objects up; the instant moves only with the status.
func fillHealth(o *observation, st *v1alpha1.ApplicationStatus, objects []gitops.ObjectHealth, now time.Time) {
	h := gitops.RollUp(objects)
	if h == nil && o.applied {
		h = &v1alpha1.Health{Status: v1alpha1.HealthHealthy, Reason: "NoObjects"}
	}
	if o.problem != nil && o.problem.unknown && (h != nil || st.Health != nil) {
		h = &v1alpha1.Health{Status: v1alpha1.HealthUnknown, Reason: o.problem.reason, Message: shortText(o.problem.message, maxConditionMessage)}
	}
	if h != nil {
		at := microTime(now)
		h.Since = &at
		if st.Health != nil && st.Health.Status == h.Status {
			h.Since = st.Health.Since
		}
	}
	st.Health = h
}

// fillObjects names what is wrong with single objects, errors first.
func fillObjects(s *appState, st *v1alpha1.ApplicationStatus, objects []gitops.ObjectHealth) {
	byKey := map[gitops.Key]v1alpha1.Health{}
	for _, h := range objects {
		byKey[h.Key] = h.Health
	}
	out := make([]v1alpha1.ObjectStatus, 0, min(len(objects)+len(s.trouble), maxObjects))
	failed := make([]*gitops.ObjectError, 0, len(s.trouble))
	for _, t := range s.trouble {
		failed = append(failed, t.err)
	}
	slices.SortFunc(failed, func(a, b *gitops.ObjectError) int { return a.Key.Compare(b.Key) })
	for _, e := range failed {
		out = append(out, v1alpha1.ObjectStatus{
			Group: e.Key.Group, Kind: e.Key.Kind, Namespace: e.Key.Namespace, Name: e.Key.Name,
			Health: byKey[e.Key].Status, Reason: e.Reason, Message: shortText(e.Message, maxConditionMessage),
		})
	}
	for _, h := range objects {
		if _, isFailed := s.trouble[h.Key]; isFailed || h.Health.Status == v1alpha1.HealthHealthy {
			continue
		}
		out = append(out, v1alpha1.ObjectStatus{
			Group: h.Key.Group, Kind: h.Key.Kind, Namespace: h.Key.Namespace, Name: h.Key.Name,
			Health: h.Health.Status, Reason: h.Health.Reason, Message: shortText(h.Health.Message, maxConditionMessage),
		})
	}
	if len(out) > maxObjects {
		out = out[:maxObjects]
	}
	st.Objects = nil
	if len(out) > 0 {
		st.Objects = out
	}
}

// fillContest names who fights over which object. s.mu is held.
func (s *appState) fillContest(o *observation, st *v1alpha1.ApplicationStatus, generation int64, now time.Time) {
	var fights []string
	for key, log := range s.heals {
		if log.IsQuiet(now) {
			delete(s.heals, key)
			continue
		}
		rival, n, contested := log.Contest(now)
		if !contested {
			continue
		}
		o.look(log.QuietAt(now))
		if rival == "" {
			rival = "somebody unknown"
		} else {
			rival = strconv.Quote(rival)
		}
		fights = append(fights, fmt.Sprintf("%s is changed again and again by field manager %s (%d or more heals in ten minutes)", key, rival, min(n, gitops.ContestAfter)))
	}
	if len(fights) == 0 {
		meta.RemoveStatusCondition(&st.Conditions, ConditionContested)
		return
	}
	slices.Sort(fights)
	meta.SetStatusCondition(&st.Conditions, metav1.Condition{
		Type: ConditionContested, Status: metav1.ConditionTrue, ObservedGeneration: generation, Reason: reasonContested,
		Message: shortText(strings.Join(fights, "; ")+". Let go of the field in Git, or stop the other writer", maxConditionMessage),
	})
}

// verdict returns what keeps the Application from being Ready, worst first; nil
// when it runs what Git says and is well. s.mu is held.
func verdict(s *appState, o *observation, st *v1alpha1.ApplicationStatus, now time.Time) *problem {
	if o.problem != nil {
		return o.problem
	}
	if o.plan != nil && len(o.plan.Conflicts) > 0 {
		return &problem{reason: gitops.ReasonOwnedByAnother, message: firstError(o.plan.Conflicts)}
	}
	if e := firstTrouble(s); e != nil {
		return &problem{reason: e.Reason, message: e.Error()}
	}
	if o.held != "" {
		return &problem{reason: o.heldReason, message: o.held}
	}
	if o.plan != nil && o.plan.Guard != nil {
		message := o.plan.Guard.Message
		if !strings.Contains(message, "allowEmpty") {
			message += fmt.Sprintf("; to agree, set the annotation %s=%s on the Application", v1alpha1.AnnotationConfirmPrune, o.revision)
		}
		return &problem{reason: reasonPruneGuard, message: message}
	}
	if c := meta.FindStatusCondition(st.Conditions, ConditionContested); c != nil {
		return &problem{reason: reasonContested, message: c.Message}
	}
	if s.breaker.IsOpen(now) {
		return &problem{reason: reasonHealingPaused, message: fmt.Sprintf("most objects changed at once; healing goes on with an ordered sync at %s", s.breaker.Resumes().UTC().Format(time.RFC3339))}
	}
	if st.Drifting && s.isPausedLocked(now) {
		return &problem{reason: reasonHealingHeld, message: promotion.PauseText(s.paused) + ". Live objects differ from Git; see status.drifts"}
	}
	if st.Drifting {
		return &problem{reason: reasonDrifting, message: "live objects differ from Git and are left alone; see status.drifts"}
	}
	if st.Sync.Status != v1alpha1.SyncSynced {
		message := fmt.Sprintf("runs %s; the head of the branch is %s", shortRevision(st.Sync.Revision), shortRevision(st.Sync.Target))
		if o.app.Spec.Source.Chart != "" {
			message = fmt.Sprintf("runs %s; the newest version is %s", shortRevision(st.Sync.Revision), shortRevision(st.Sync.Target))
		}
		if !isAutomated(o.app) {
			message += fmt.Sprintf("; set the annotation %s to sync it", v1alpha1.AnnotationRequestedAt)
		}
		return &problem{reason: reasonOutOfSync, message: message}
	}
	if h := st.Health; h != nil && h.Status != v1alpha1.HealthHealthy {
		return &problem{reason: string(h.Status), message: h.Message}
	}
	return nil
}

// shortRevision is how people write a revision: a commit by its first 7 digits, the
// version of a chart as it is.
func shortRevision(revision string) string {
	if _, err := git.ParseHash(revision); err == nil {
		return revision[:7]
	}
	return cmp.Or(revision, "nothing")
}

func readyReason(p *problem) string {
	if p == nil {
		return reasonSynced
	}
	return p.reason
}

func readyMessage(p *problem, app *v1alpha1.Application, st *v1alpha1.ApplicationStatus) string {
	if p != nil {
		return shortText(p.message, maxConditionMessage)
	}
	of := cmp.Or(app.Spec.Source.TargetRevision, "the default branch")
	if chart := app.Spec.Source.Chart; chart != "" {
		of = "chart " + chart
	}
	return fmt.Sprintf("runs %s of %s; all objects are Healthy", shortRevision(st.Sync.Revision), of)
}

func shortText(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	const dots = "..."
	return strings.ToValidUTF8(text[:maxBytes-len(dots)], "") + dots
}

// microTime returns now as the API stores it: in microseconds.
func microTime(now time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(now.Truncate(time.Microsecond))
}

// versionNumber reads an object's resourceVersion; 0 when it is no number.
func versionNumber(o client.Object) uint64 {
	n, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// patchFinalizers writes the finalizers of app, an altered copy of the newest.
func (r *ApplicationReconciler) patchFinalizers(ctx context.Context, s *appState, app *v1alpha1.Application) error {
	s.mu.Lock()
	before := s.app
	s.mu.Unlock()
	if before == nil {
		return errors.New("the Application is not known")
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	after := app.DeepCopy()
	if err := r.opts.Client.Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("patch finalizers of %q: %w", app.Name, err)
	}
	s.mu.Lock()
	s.app, s.wroteAt = after, r.opts.Clock.Now()
	s.mu.Unlock()
	return nil
}
