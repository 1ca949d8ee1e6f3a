package controllers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
	"github.com/waybill-dev/waybill/gitops/health/checks"
	"github.com/waybill-dev/waybill/gitops/watch"
)

// appState is what the process remembers of one Application. Everything in it
// can be made again from the Application's status, Git and the watches.
//
// Reconcile of an Application never runs twice at a time and is the only one to
// change the desired state; heals run beside it and change what they healed.
type appState struct {
	// name, owner and cluster never change: another UID or destination cluster
	// makes another state.
	name    types.NamespacedName
	owner   gitops.Owner
	cluster string
	// claim is the right to work on it; nil where nobody else could.
	claim *claim
	// claimed are the objects whose events come here; guarded by the
	// reconciler's mutex.
	claimed map[gitops.Key]bool

	mu sync.Mutex
	// app is the newest version of the object we know; nil after a conflict.
	app    *v1alpha1.Application
	policy driftPolicy
	// paused is the Freeze by which a person paused healing; nil: none.
	paused *v1alpha1.Freeze
	// account is the ServiceAccount that everything is written as; empty:
	// Waybill's own.
	account string
	// desired is what the cluster is held to, compact; commit is where it is from.
	desired map[gitops.Key]gitops.Desired
	commit  string
	// entries is the inventory as it is, newer than the one in the status.
	entries map[gitops.Key]v1alpha1.InventoryEntry
	// nonConvergent are fields that the API server changed as it took them.
	nonConvergent map[gitops.Key][]gitops.FieldChange
	// judged is the generation of the spec whose health checks the verdicts on the
	// objects come from; 0 before the first.
	judged   int64
	judgedBy checks.Checks
	// hooks are those of the revision, by key.
	hooks map[gitops.Key]gitops.Desired
	// announced is when changes by people were first seen, while humanGrace runs.
	announced map[gitops.Key]time.Time
	// values holds Baseline.Values of what was applied in this process.
	values map[gitops.Key]string
	kinds  []schema.GroupVersionKind
	// asked is the hub that was asked for kinds: other credentials bring another.
	asked *watch.Hub
	// trouble is what went wrong with single objects.
	trouble map[gitops.Key]objectTrouble
	// seen keeps the last event of objects that wait to be healed.
	seen   map[gitops.Key]seenObject
	heals  map[gitops.Key]*gitops.HealLog
	drifts []v1alpha1.Drift // newest first
	// reported are drifts that were recorded and are left alone.
	reported map[gitops.Key]string
	breaker  gitops.Breaker
	// namespaces that were made sure of.
	namespaces map[string]bool
	// namespaceMetadata is what managedNamespaceMetadata was when it was set last.
	namespaceMetadata string
	// health as last seen, to notice changes.
	health map[gitops.Key]v1alpha1.Health

	// cancel stops the sync that runs; target is what it syncs to.
	cancel context.CancelFunc
	target string
	// express says that the next sync is one that somebody waits for.
	express bool
	// request is the last value of waybill.dev/requested-at that was acted on.
	request string
	// headOf is the requested sync for which the branch was asked, begun the one
	// that what failed was tried again for.
	headOf, begun string
	// manual is the revision a person asked for, until it is reached.
	manual string
	// failures in a row of the same kind, for growing pauses.
	failures int
	// ordered asks the next sync to take back drift as well: healing was
	// paused.
	ordered bool
	// wroteAt is when the status was last written: details alone wait a while.
	wroteAt time.Time
	// settling is since when a revision is applied that the status does not show yet;
	// zero when there is none.
	settling time.Time

	locks keyLocks
}

// driftPolicy is how changes in the cluster are answered.
type driftPolicy struct {
	drift           v1alpha1.DriftPolicy
	additions       string
	createNamespace bool
	// propagation of deletions; "" is the default of each case.
	propagation metav1.DeletionPropagation
	// options that all objects have.
	options    gitops.ObjectOptions
	retry      *v1alpha1.RetryPolicy
	humanGrace time.Duration
	ignore     gitops.IgnoreRules
	checks     checks.Checks
	// generation of the spec this was read from.
	generation int64
	// invalid says which field of the spec cannot be read.
	invalid error
}

type objectTrouble struct {
	err *gitops.ObjectError
	// hash of what could not be applied; another content is tried at once.
	hash     string
	attempts int
	// next is when it is tried again; zero: only when something changes.
	next time.Time
	// gaveUp: it was tried as often as syncPolicy.retry allows.
	gaveUp bool
}

type seenObject struct {
	obj       *unstructured.Unstructured
	hasValues bool
}

// forgetSeen drops what was seen of an object, unless it came later than a version of it
// that was dealt with: the answer to an apply may be slower than the event of what a
// rival wrote after it, which names the next drift. s.mu is held.
func (s *appState) forgetSeen(key gitops.Key, dealtWith uint64) {
	if seen, ok := s.seen[key]; ok && (dealtWith == 0 || seen.obj == nil || versionNumber(seen.obj) <= dealtWith) {
		delete(s.seen, key)
	}
}

func newAppState(app *v1alpha1.Application) *appState {
	owner := gitops.OwnerOf(app)
	s := &appState{
		owner: owner, cluster: owner.Cluster, claimed: map[gitops.Key]bool{},
		name:      types.NamespacedName{Namespace: app.Namespace, Name: app.Name},
		entries:   map[gitops.Key]v1alpha1.InventoryEntry{},
		values:    map[gitops.Key]string{},
		announced: map[gitops.Key]time.Time{},

		nonConvergent: map[gitops.Key][]gitops.FieldChange{},
		trouble:       map[gitops.Key]objectTrouble{},
		seen:          map[gitops.Key]seenObject{},
		heals:         map[gitops.Key]*gitops.HealLog{},
		reported:      map[gitops.Key]string{},
		namespaces:    map[string]bool{},
		health:        map[gitops.Key]v1alpha1.Health{},
		drifts:        slices.Clone(app.Status.Drifts),
	}
	for _, e := range app.Status.Inventory {
		s.entries[gitops.EntryKey(e)] = e
	}
	return s
}

// adopt takes app in unless a newer version is known, and returns the newest.
func (s *appState) adopt(app *v1alpha1.Application) *v1alpha1.Application {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app == nil || versionNumber(app) > versionNumber(s.app) {
		s.app = app
	}
	if s.policy.generation != s.app.Generation || s.app.Generation == 0 {
		s.policy = policyOf(s.app)
	}
	return s.app
}

// policyOf reads how the Application is treated from its spec.
func policyOf(app *v1alpha1.Application) driftPolicy {
	p := driftPolicy{
		drift: gitops.DriftPolicyOf(&app.Spec), additions: app.Spec.Additions, generation: app.Generation,
		options: gitops.OptionsOf(nil, app.Spec.SyncPolicy.SyncOptions), retry: app.Spec.SyncPolicy.Retry,
	}
	var errs [2]error
	p.ignore, errs[0] = gitops.ParseIgnores(app.Spec.IgnoreDifferences)
	p.checks, errs[1] = checks.Compile(app.Spec.HealthChecks)
	p.invalid = errors.Join(errs[:]...)
	if g := app.Spec.HumanGrace; g != nil {
		p.humanGrace = g.Duration
	}
	if p.additions == "" {
		p.additions = "heal"
	}
	for _, option := range app.Spec.SyncPolicy.SyncOptions {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "CreateNamespace":
			p.createNamespace = value == "true"
		case "PrunePropagationPolicy":
			p.propagation = map[string]metav1.DeletionPropagation{
				"foreground": metav1.DeletePropagationForeground, "background": metav1.DeletePropagationBackground, "orphan": metav1.DeletePropagationOrphan,
			}[value]
		}
	}
	return p
}

// inventory returns the entries in the order they are stored.
func (s *appState) inventory() []v1alpha1.InventoryEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inventoryLocked()
}

func (s *appState) inventoryLocked() []v1alpha1.InventoryEntry {
	out := make([]v1alpha1.InventoryEntry, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b v1alpha1.InventoryEntry) int { return gitops.EntryKey(a).Compare(gitops.EntryKey(b)) })
	return out
}

// applied records the server's answer to an apply of d.
func (s *appState) applied(d gitops.Desired, live gitops.Live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[d.Key] = v1alpha1.InventoryEntry{
		Group: d.Key.Group, Version: d.Version, Kind: d.Key.Kind, Namespace: d.Key.Namespace, Name: d.Key.Name,
		UID: live.UID, Hash: d.Hash, Fingerprint: live.Fingerprint,
	}
	s.values[d.Key] = live.Values
	delete(s.trouble, d.Key)
	s.forgetSeen(d.Key, live.Version)
	delete(s.reported, d.Key)
	delete(s.announced, d.Key)
	s.breaker.Healed(d.Key)
	s.health[d.Key] = live.Verdict.Health
}

// baseline returns what key is compared with. known is false for an object that
// was never applied successfully.
func (s *appState) baseline(key gitops.Key) (b gitops.Baseline, known bool) {
	e, ok := s.entries[key]
	return gitops.Baseline{UID: e.UID, Fingerprint: e.Fingerprint, Values: s.values[key]}, ok && e.UID != ""
}

// failed records that key could not be applied and when it is tried again.
func (s *appState) failed(now time.Time, key gitops.Key, hash string, err *gitops.ObjectError, retry bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trouble[key]
	if t.hash != hash {
		t = objectTrouble{hash: hash}
	}
	t.err = err
	t.attempts++
	t.next = time.Time{}
	if p := s.policy.retry; retry && p != nil {
		t.next = retryAt(now, p, t.attempts)
		t.gaveUp = t.next.IsZero()
	} else if retry {
		limit := maxApplyPause
		if err.Reason == string(apply.NamespaceTerminating) || err.Reason == string(apply.NamespaceMissing) {
			limit = maxNamespacePause
		}
		t.next = now.Add(min(retryPause(t.attempts), limit))
	}
	s.trouble[key] = t
}

// isLost says that trying again is of no use, or was of none as often as Argo CD
// tries: the operation has failed.
func (t objectTrouble) isLost() bool {
	needsGit := (&apply.Error{Reason: apply.Reason(t.err.Reason)}).NeedsGit()
	return needsGit || t.gaveUp || t.next.IsZero() || t.attempts > defaultRetries
}

// retryAt is when an object that failed n times is tried again, after a second
// at least; zero when the limit is reached.
func retryAt(now time.Time, p *v1alpha1.RetryPolicy, n int) time.Time {
	limit := int32(defaultRetries)
	if p.Limit != nil {
		limit = *p.Limit
	}
	if limit >= 0 && n > int(limit) {
		return time.Time{}
	}
	pause, longest, factor := 5*time.Second, maxApplyPause, time.Duration(2)
	if b := p.Backoff; b != nil {
		if b.Duration != nil {
			pause = b.Duration.Duration
		}
		if b.MaxDuration != nil {
			longest = b.MaxDuration.Duration
		}
		if b.Factor > 0 {
			factor = time.Duration(b.Factor)
		}
	}
	for range n - 1 {
		if factor <= 0 || pause >= longest/factor {
			pause = longest
			break
		}
		pause *= factor //nolint:durationcheck // factor is a number
	}
	return now.Add(max(min(pause, longest), time.Second))
}

// defaultRetries is syncPolicy.retry.limit of Argo CD.
const defaultRetries = 5

// maxApplyPause is the longest pause between two tries of one object
// (syncPolicy.retry.backoff.maxDuration of Argo CD).
const maxApplyPause = 3 * time.Minute

// maxNamespacePause is that pause while the namespace goes or is missing, whose
// return no watch tells us.
const maxNamespacePause = 5 * time.Second

// hasConflict reports whether an object belongs to somebody else.
func (s *appState) hasConflict() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.trouble {
		if t.err.Reason == gitops.ReasonOwnedByAnother {
			return true
		}
	}
	return false
}

// mayTry reports whether an object that failed before may be tried at now.
func (s *appState) mayTry(now time.Time, d gitops.Desired) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, hasFailed := s.trouble[d.Key]
	return !hasFailed || t.hash != d.Hash || !t.next.After(now) && !(t.gaveUp && t.next.IsZero())
}

// maxDrifts is the number of drift records kept in the status.
const maxDrifts = 20

// record puts drifts in front of the list.
func (s *appState) record(drifts ...v1alpha1.Drift) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drifts = append(slices.Clone(drifts), s.drifts...)
	if len(s.drifts) > maxDrifts {
		s.drifts = s.drifts[:maxDrifts]
	}
}

// begin makes a context for a sync to target that supersede can end.
func (s *appState) begin(ctx context.Context, target string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.cancel, s.target = cancel, target
	s.mu.Unlock()
	return ctx, func() {
		s.mu.Lock()
		s.cancel = nil
		s.mu.Unlock()
		cancel()
	}
}

// supersede ends a running sync: its target is not the newest any more. What it
// sent already stays; the next sync starts from there. express says that
// somebody waits for that one.
func (s *appState) supersede(express bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.express = express
	if s.cancel != nil {
		s.cancel()
	}
}

// takeLane returns the lane of the sync that begins.
func (s *appState) takeLane() apply.Lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	express := s.express
	s.express = false
	if express {
		return apply.Express
	}
	return apply.Bulk
}

// keyLocks keeps two writers off one object.
type keyLocks struct {
	mu    sync.Mutex
	locks map[gitops.Key]*keyLock
}

type keyLock struct {
	sync.Mutex
	waiting int
}

// lock waits until key is free and returns what frees it again.
func (l *keyLocks) lock(key gitops.Key) (unlock func()) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = map[gitops.Key]*keyLock{}
	}
	k := l.locks[key]
	if k == nil {
		k = &keyLock{}
		l.locks[key] = k
	}
	k.waiting++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.waiting--; k.waiting == 0 {
			delete(l.locks, key)
		}
	}
}

// keepTrouble drops the errors of objects that are not part of the revision any
// more, and conflicts that ended.
func (s *appState) keepTrouble(o *observation) {
	current := map[gitops.Key]bool{}
	for _, e := range o.refused {
		current[e.Key] = true
	}
	for _, e := range o.plan.Conflicts {
		current[e.Key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, t := range s.trouble {
		d, wanted := s.desired[key]
		if !current[key] && (!wanted || t.hash != d.Hash) {
			delete(s.trouble, key)
		}
	}
}

// keepReported drops the marks of drifts that are none any more.
func (s *appState) keepReported(drifted []gitops.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.reported, func(key gitops.Key, _ string) bool { return !slices.Contains(drifted, key) })
}

// policyNow returns how the Application is treated.
func (s *appState) policyNow() driftPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy
}
