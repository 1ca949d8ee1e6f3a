package promotion

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Defaults of RollbackPolicy, for Stages stored before the field had one.
const (
	defaultRollbackAfter = 30 * time.Second
	defaultWatchFor      = 10 * time.Minute
	defaultHealthTimeout = 5 * time.Minute
)

// Reasons a Promotion ends with; stable words for programs.
const (
	ReasonHealthy       = "Healthy"
	ReasonPushed        = "Pushed"
	ReasonUnhealthy     = "Unhealthy"
	ReasonHealthTimeout = "HealthTimeout"
	ReasonHookFailed    = "HookFailed"
	ReasonGateClosed    = "GateClosed"
	ReasonAborted       = "Aborted"
	ReasonSuperseded    = "Superseded"
	ReasonRolledBack    = "RolledBack"

	ReasonVerified                 = "Verified"
	ReasonVerifying                = "Verifying"
	ReasonVerificationFailed       = "VerificationFailed"
	ReasonVerificationInconclusive = "VerificationInconclusive"
	ReasonVerificationAborted      = "VerificationAborted"
)

// Reach is what the reconciler says about a Promotion's commit.
type Reach struct {
	// Reached: every deploy entry applied the commit's tree (or a descendant's)
	// and computed health after that (10-contracts, Reached).
	Reached bool
	// Health of all deploy entries together.
	Health v1alpha1.Health
	// Message says what is missing while not Reached.
	Message string
	// Failed says why the commit will not be reached, though it was tried; empty
	// while it may be.
	Failed string
}

// HealthVerdict is what JudgeHealth concludes about a Promotion.
type HealthVerdict struct {
	// Phase the Promotion is in from now on.
	Phase v1alpha1.PromotionPhase
	// Reason is a word for programs, Message a sentence.
	Reason, Message string
	// UnhealthySince is the start of the unbroken Degraded, zero when none.
	UnhealthySince time.Time
	// Revert: a Rollback has to be created and the Freight rejected, for Cause.
	Revert bool
	Cause  string
	// Recheck is when time alone changes the verdict; zero: never.
	Recheck time.Time
}

// HealthTimeout is how long a Stage may take to become healthy with what was
// promoted: rollback.healthTimeout.
func HealthTimeout(s *v1alpha1.Stage) time.Duration {
	return durationOr(s.Spec.Rollback.HealthTimeout, defaultHealthTimeout)
}

// JudgeHealth concludes from health whether a pushed Promotion succeeded, has
// to wait, failed, or must be reverted by policy (02, Rollback by revert).
//
// p is Syncing, Verifying, or Succeeded and still current. The verdict for a Promotion in
// another phase is that phase.
func JudgeHealth(o *Observation, p *v1alpha1.Promotion, r Reach) HealthVerdict {
	v := HealthVerdict{Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message}
	policy := o.Stage.Spec.Rollback
	degraded := r.Reached && r.Health.Status == v1alpha1.HealthDegraded
	if degraded {
		v.UnhealthySince = o.Now
		if p.Status.UnhealthySince != nil {
			v.UnhealthySince = p.Status.UnhealthySince.Time
		}
	}
	switch p.Status.Phase {
	case v1alpha1.PhaseSyncing:
		return judgeSyncing(o, p, r, v)
	case v1alpha1.PhaseVerifying:
		return judgeVerifying(o, p, r, v)
	case v1alpha1.PhaseSucceeded:
		if policy.OnUnhealthy != "Revert" || p.Status.FinishedAt == nil || p.Spec.Kind == v1alpha1.KindRollback {
			return v
		}
		watchEnds := p.Status.FinishedAt.Add(durationOr(policy.WatchFor, defaultWatchFor))
		if !o.Now.Before(watchEnds) {
			v.UnhealthySince = time.Time{}
			return v
		}
		if !degraded {
			return v // the Applications' watch wakes us; time alone changes nothing
		}
		if due := v.UnhealthySince.Add(durationOr(policy.After, defaultRollbackAfter)); o.Now.Before(due) {
			v.Recheck = due
			return v
		}
		return concludeBad(o, p, v, onUnhealthy(o), ReasonUnhealthy, r.Health.Message)
	default:
		return v
	}
}

func judgeSyncing(o *Observation, p *v1alpha1.Promotion, r Reach, v HealthVerdict) HealthVerdict {
	isThere := len(o.Stage.Spec.Deploy) == 0 || r.Reached && r.Health.Status == v1alpha1.HealthHealthy
	if isThere && WantsVerification(o.Stage, p) {
		v.Phase, v.Reason, v.Message = v1alpha1.PhaseVerifying, ReasonVerifying, "Healthy; its checks run"
		return v
	}
	if len(o.Stage.Spec.Deploy) == 0 {
		v.Phase, v.Reason, v.Message = v1alpha1.PhaseSucceeded, ReasonPushed, "pushed; the Stage deploys nothing"
		return v
	}
	if r.Reached && r.Health.Status == v1alpha1.HealthHealthy {
		v.Phase, v.Reason, v.Message = v1alpha1.PhaseSucceeded, ReasonHealthy, "synced and Healthy"
		return v
	}
	if r.Failed != "" {
		return concludeBad(o, p, v, onUnhealthy(o), ReasonHookFailed, r.Failed)
	}
	v.Reason, v.Message = "WaitingForHealth", waitingText(r)
	if !v.UnhealthySince.IsZero() {
		due := v.UnhealthySince.Add(durationOr(o.Stage.Spec.Rollback.After, defaultRollbackAfter))
		if !o.Now.Before(due) {
			return concludeBad(o, p, v, onUnhealthy(o), ReasonUnhealthy, r.Health.Message)
		}
		v.Recheck = due
	}
	if p.Status.PushedAt != nil {
		timeout := HealthTimeout(o.Stage)
		due := p.Status.PushedAt.Add(timeout)
		if !o.Now.Before(due) {
			return concludeBad(o, p, v, onUnhealthy(o), ReasonHealthTimeout,
				fmt.Sprintf("not Healthy %s after the push: %s", shortDuration(timeout), waitingText(r)))
		}
		v.Recheck = earlier(v.Recheck, due)
	}
	return v
}

// judgeVerifying concludes from the checks. While they run the Stage's health is
// watched as before: what turns bad is not verified any further.
func judgeVerifying(o *Observation, p *v1alpha1.Promotion, r Reach, v HealthVerdict) HealthVerdict {
	if !v.UnhealthySince.IsZero() && len(o.Stage.Spec.Deploy) > 0 {
		due := v.UnhealthySince.Add(durationOr(o.Stage.Spec.Rollback.After, defaultRollbackAfter))
		if !o.Now.Before(due) {
			return concludeBad(o, p, v, onUnhealthy(o), ReasonUnhealthy, r.Health.Message)
		}
		v.Recheck = due
	}
	s := p.Status.Verification
	if s == nil {
		v.Reason = ReasonVerifying
		return v
	}
	undone := "; it is not verified: waybill verify " + p.Namespace + "/" + p.Spec.Stage + " runs its checks again"
	switch s.Phase {
	case v1alpha1.CheckSucceeded:
		v.Phase, v.Reason, v.Message = v1alpha1.PhaseSucceeded, ReasonVerified, "Healthy, and "+s.Message
	case v1alpha1.CheckFailed:
		policy := revertPolicy{field: "rollback.onFailedVerification", isRevert: o.Stage.Spec.Rollback.OnFailedVerification == "Revert"}
		return concludeBad(o, p, v, policy, ReasonVerificationFailed, s.Message)
	case v1alpha1.CheckInconclusive:
		v.Phase, v.Reason, v.Message = v1alpha1.PhaseFailed, ReasonVerificationInconclusive, s.Message+undone
	case v1alpha1.CheckAborted:
		v.Phase, v.Reason, v.Message = v1alpha1.PhaseFailed, ReasonVerificationAborted, s.Message+undone
	default:
		v.Reason, v.Message = ReasonVerifying, verifyingText(s)
		if !r.Reached {
			v.Message = "its checks wait: " + waitingText(r)
		}
	}
	if v.Phase.IsFinished() {
		v.Recheck, v.UnhealthySince = time.Time{}, time.Time{}
	}
	return v
}

// verifyingText names the checks that run.
func verifyingText(s *v1alpha1.VerificationStatus) string {
	done := 0
	var running []string
	for i := range s.Checks {
		switch c := &s.Checks[i]; {
		case c.Phase.IsFinished():
			done++
		case c.Phase == v1alpha1.CheckRunning:
			running = append(running, c.Name)
		}
	}
	text := fmt.Sprintf("Healthy; %d of %d checks done", done, len(s.Checks))
	if len(running) > 0 {
		text += ", running: " + strings.Join(running, ", ")
	}
	return text
}

func waitingText(r Reach) string {
	switch {
	case !r.Reached && r.Message != "":
		return r.Message
	case !r.Reached:
		return "the reconciler has not reached the commit yet"
	case r.Health.Message != "":
		return fmt.Sprintf("%s: %s", r.Health.Status, r.Health.Message)
	default:
		return string(r.Health.Status)
	}
}

// revertPolicy is one of the Stage's rules about what is taken back.
type revertPolicy struct {
	// field of the Stage that says so.
	field    string
	isRevert bool
}

func onUnhealthy(o *Observation) revertPolicy {
	return revertPolicy{field: "rollback.onUnhealthy", isRevert: o.Stage.Spec.Rollback.OnUnhealthy == "Revert"}
}

// concludeBad ends the Promotion and says whether policy reverts it, or which
// rule leaves it to a person.
func concludeBad(o *Observation, p *v1alpha1.Promotion, v HealthVerdict, policy revertPolicy, reason, cause string) HealthVerdict {
	v.Phase, v.Reason, v.Recheck = v1alpha1.PhaseFailed, reason, time.Time{}
	if why, undo := noRevert(o, p, policy); why != "" {
		v.Message = cause + "; " + why
		if undo != "" {
			v.Message += "; to take it back: " + undo
		}
		return v
	}
	v.Revert, v.Cause = true, cause
	v.Message = cause + "; the branch is reverted by policy"
	return v
}

// noRevert says why policy does not revert the Promotion, or "" when it does;
// and by which command a person takes it back, where that is possible.
func noRevert(o *Observation, p *v1alpha1.Promotion, policy revertPolicy) (why, undo string) {
	undo = fmt.Sprintf("waybill rollback %s/%s", p.Namespace, p.Spec.Stage)
	switch {
	case p.Spec.Kind == v1alpha1.KindRollback:
		return "this was already a rollback, so a person is needed", ""
	case !policy.isRevert:
		return policy.field + " is None", undo
	case !HasChangedGit(p):
		return "it changed nothing in Git, so there is nothing to revert", ""
	case isFirst(p):
		return "it was the first promotion into this Stage, so there is nothing to go back to", ""
	case madeBranch(p) != "":
		return "it made " + madeBranch(p) + ", so there is nothing to go back to there", ""
	case !p.Status.Plan.Before.Healthy:
		return "the Stage was not Healthy before it either, so a person is needed", undo
	}
	if other := revertedBefore(o, p); other != "" {
		return fmt.Sprintf("this Freight was already reverted here by %q", other), undo
	}
	return "", ""
}

// isFirst reports whether there was nothing in the Stage before the Promotion.
func isFirst(p *v1alpha1.Promotion) bool {
	return p.Status.Plan == nil || p.Status.Plan.Before == nil || len(p.Status.Plan.Before.Current) == 0 ||
		!slices.ContainsFunc(p.Status.Written(), func(c v1alpha1.PromotionCommit) bool { return c.Unchanged || c.Parent != "" })
}

// madeBranch names a branch that was not there before the Promotion, or is "".
func madeBranch(p *v1alpha1.Promotion) string {
	for _, c := range p.Status.Written() {
		if !c.Unchanged && c.Parent == "" {
			return fmt.Sprintf("branch %q of %s", c.Branch, c.RepoURL)
		}
	}
	return ""
}

// whyKept says why what a Promotion brought stays although the Stage is not
// well, or "": nothing of it is known, or it is being taken back.
func whyKept(o *Observation, name string) string {
	for i := range o.Promotions {
		p := &o.Promotions[i]
		if p.Name != name || p.Status.Phase != v1alpha1.PhaseFailed {
			continue
		}
		switch p.Status.Reason {
		case ReasonUnhealthy, ReasonHealthTimeout, ReasonHookFailed:
			why, _ := noRevert(o, p, onUnhealthy(o))
			return why
		}
	}
	return ""
}

// revertedBefore returns the Rollback by policy of the same Freight from the
// same Stage, or "". One made for p itself does not count.
func revertedBefore(o *Observation, p *v1alpha1.Promotion) string {
	for _, q := range bySeq(o.Promotions) {
		if q.Spec.Kind == v1alpha1.KindRollback && q.Spec.Automatic && q.Spec.Stage == p.Spec.Stage &&
			q.Spec.Freight == p.Spec.Freight && Seq(q.Name) < Seq(p.Name) {
			return q.Name
		}
	}
	return ""
}
