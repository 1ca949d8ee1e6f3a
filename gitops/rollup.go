package gitops

import (
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ObjectHealth is the health of one object of an Application.
type ObjectHealth struct {
	Key    Key
	Health v1alpha1.Health
}

// Verdict is the health of one object and when time alone may change it (zero:
// only an event can).
type Verdict struct {
	Health  v1alpha1.Health
	Recheck time.Time
}

// Severity orders health from good to bad: Healthy, Suspended, Progressing,
// Missing, Unknown, Degraded. What was seen to be bad goes before what could
// not be seen, so that one unreadable object does not hide a version that has
// to be taken back; what could not be seen goes before all that is well.
func Severity(h v1alpha1.HealthStatus) int {
	switch h {
	case v1alpha1.HealthHealthy:
		return 0
	case v1alpha1.HealthSuspended:
		return 1
	case v1alpha1.HealthProgressing:
		return 2
	case v1alpha1.HealthMissing:
		return 3
	case v1alpha1.HealthDegraded:
		return 5
	default: // Unknown
		return 4
	}
}

// WorstFirst sorts objects by severity, then by key.
func WorstFirst(objects []ObjectHealth) {
	slices.SortFunc(objects, func(a, b ObjectHealth) int {
		if d := Severity(b.Health.Status) - Severity(a.Health.Status); d != 0 {
			return d
		}
		return a.Key.Compare(b.Key)
	})
}

// RollUp returns the health of all objects together: that of the worst one,
// with its reason and a message that names it and how many others share its
// state. It is nil when there are no objects: nothing was observed, and Healthy
// is not said of nothing.
//
// since of the result is nil; the caller knows what was shown before.
func RollUp(objects []ObjectHealth) *v1alpha1.Health {
	if len(objects) == 0 {
		return nil
	}
	sorted := slices.Clone(objects)
	WorstFirst(sorted)
	worst := sorted[0]
	out := v1alpha1.Health{Status: worst.Health.Status, Reason: worst.Health.Reason}
	if out.Status == v1alpha1.HealthHealthy {
		out.Reason = "Healthy"
		return &out
	}
	same := 0
	for _, o := range sorted[1:] {
		if o.Health.Status == worst.Health.Status {
			same++
		}
	}
	out.Message = worst.Key.String()
	if worst.Health.Message != "" {
		out.Message += ": " + worst.Health.Message
	}
	if same > 0 {
		out.Message = fmt.Sprintf("%s (and %d more %s)", out.Message, same, worst.Health.Status)
	}
	out.Message = showValue(out.Message, maxHealthMessage)
	return &out
}

// maxHealthMessage is the limit of Health.message in the API.
const maxHealthMessage = 1024

// Reached reports whether app runs commit: it was synced to that commit, or to
// another one whose content is the same, every object of it was applied and
// health was computed after that. Then status.health speaks of this commit.
// Otherwise why says in one sentence what is in the way.
//
// trees are the tree hashes the commit has at the Application's path and at the
// root (empty ones are ignored). status.sync.tree is the hash of the path's
// tree when the render read nothing outside it, and else that of the root, so
// that comparing with both never takes one content for another.
func Reached(app *v1alpha1.Application, commit string, trees ...string) (reached bool, why string) {
	s := app.Status.Sync
	switch {
	case app.Status.ObservedGeneration != app.Generation:
		return false, fmt.Sprintf("Application %q has not seen its latest spec yet", app.Name)
	case s.Revision == "":
		return false, fmt.Sprintf("Application %q has not been synced yet%s", app.Name, because(s.Message))
	case s.Revision != commit && (s.Tree == "" || !slices.Contains(trees, s.Tree)):
		return false, fmt.Sprintf("Application %q runs %.7s, not %.7s%s", app.Name, s.Revision, commit, because(s.Message))
	case s.Status == v1alpha1.SyncUnknown:
		return false, fmt.Sprintf("what Application %q runs is unknown%s", app.Name, because(s.Message))
	case s.Status == v1alpha1.SyncSyncing:
		return false, fmt.Sprintf("Application %q is syncing", app.Name)
	case app.Status.Health == nil:
		return false, fmt.Sprintf("the health of Application %q is not known yet", app.Name)
	default:
		return true, ""
	}
}

// Failed says why app will not run commit by itself: a hook of its sync failed.
// It is empty while that may still be.
func Failed(app *v1alpha1.Application, commit string) string {
	op := app.Status.Operation
	if op == nil || op.Phase != v1alpha1.OperationFailed || op.Revision != commit {
		return ""
	}
	return fmt.Sprintf("the sync of Application %q failed: %s", app.Name, op.Message)
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}
