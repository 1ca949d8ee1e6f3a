package promotion

import (
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Status is the one word shown for a Stage (10-contracts, Words).
type Status string

// The seven words.
const (
	StatusHealthy     Status = "Healthy"
	StatusProgressing Status = "Progressing"
	StatusWaiting     Status = "Waiting"
	StatusFrozen      Status = "Frozen"
	StatusDrifted     Status = "Drifted"
	StatusFailed      Status = "Failed"
	StatusUnknown     Status = "Unknown"
)

// Summary is a Stage in one word, one sentence and one next action.
type Summary struct {
	Status   Status
	Sentence string
	// Next is a CLI line or a short advice; empty when nothing is to do.
	Next string
}

// Summarize returns the first status that is true, in the order of
// 10-contracts: Unknown, Failed, Drifted, Progressing, Frozen, Waiting, Healthy.
func Summarize(o *Observation) Summary {
	s := o.Stage
	name := s.Namespace + "/" + s.Name
	promoted := len(s.Status.Current) > 0
	deploys := len(s.Spec.Deploy) > 0
	active := o.Active()
	health := v1alpha1.Health{Status: v1alpha1.HealthUnknown}
	if s.Status.Health != nil {
		health = *s.Status.Health
	}
	last := s.Status.LastPromotion
	lastFailed := last != nil && last.Phase == v1alpha1.PhaseFailed && !isRefusal(last.Reason) && active == nil && !runsWell(s, last.Name)
	problem := definitionProblem(s)
	switch {
	case promoted && deploys && health.Status == v1alpha1.HealthUnknown && active == nil:
		return Summary{StatusUnknown, orText(health.Message, "nothing has been observed yet"), "waybill describe stage " + name}
	case promoted && deploys && (health.Status == v1alpha1.HealthDegraded || health.Status == v1alpha1.HealthMissing):
		return unwell(o, health)
	case problem != "":
		return Summary{StatusFailed, problem, "correct the definition and apply it again"}
	case s.Status.SyncMessage != "" && promoted:
		return Summary{StatusFailed, s.Status.SyncMessage, "waybill get applications -p " + s.Namespace}
	case lastFailed:
		return Summary{StatusFailed, fmt.Sprintf("Promotion %q failed: %s", last.Name, last.Message), "waybill history " + name}
	case s.Status.Drifting:
		sentence := "the cluster differs from Git and is not being healed"
		if z := HealingPause(o.Freezes, s.Name, o.Now); z != nil {
			sentence = "the cluster differs from Git; " + PauseText(z)
		}
		return Summary{StatusDrifted, sentence, "waybill drift " + name}
	case active != nil:
		return Summary{StatusProgressing, progressText(active), "waybill status -w -p " + s.Namespace}
	case promoted && deploys && (!s.Status.Synced || health.Status == v1alpha1.HealthProgressing):
		return Summary{StatusProgressing, orText(health.Message, "syncing"), ""}
	}
	for _, z := range liveFreezes(o) {
		if len(z.Spec.Freight) == 0 && z.Spec.Scope != v1alpha1.FreezeAutomatic {
			return Summary{StatusFrozen, fmt.Sprintf("frozen by %s%s: %s", Person(z.Spec.By), untilText(z), z.Spec.Reason), thawLine(s.Namespace, z.Spec.Stage)}
		}
	}
	for _, p := range bySeq(o.Promotions) {
		if p.Spec.Stage == s.Name && IsPending(p) {
			next := fmt.Sprintf("waybill why %s %s", p.Spec.Freight, name)
			if waitsForApproval(p) {
				next = fmt.Sprintf("waybill diff %s/%s", p.Namespace, p.Name)
			}
			return Summary{StatusWaiting, pendingText(p), next}
		}
	}
	switch {
	case IsControlFlow(s):
		return Summary{StatusHealthy, "Freight passes through", ""}
	case !promoted:
		return Summary{StatusWaiting, "nothing was promoted yet", "waybill promote latest " + name}
	case health.Status == v1alpha1.HealthSuspended:
		return Summary{StatusWaiting, orText(health.Message, "suspended"), ""}
	default:
		return Summary{StatusHealthy, "runs " + versions(s.Status.Current), ""}
	}
}

// unwell is the summary of a Stage that is Degraded or Missing: with what is
// wrong, why it is not taken back by itself, or whom that waits for.
func unwell(o *Observation, health v1alpha1.Health) Summary {
	s := o.Stage
	out := Summary{StatusFailed, orText(health.Message, string(health.Status)), fmt.Sprintf("waybill rollback %s/%s", s.Namespace, s.Name)}
	for _, p := range bySeq(o.Promotions) {
		if p.Spec.Stage == s.Name && p.Spec.Kind == v1alpha1.KindRollback && IsPending(p) {
			out.Sentence += "; the rollback waits: " + pendingText(p)
			if waitsForApproval(p) {
				out.Next = fmt.Sprintf("waybill diff %s/%s", p.Namespace, p.Name)
			}
			return out
		}
	}
	if last := s.Status.LastPromotion; last != nil && o.Active() == nil {
		if why := whyKept(o, last.Name); why != "" {
			out.Sentence += "; " + why
		}
	}
	return out
}

// SummaryChanges returns when time alone may change the summary; zero: never.
func SummaryChanges(o *Observation) time.Time {
	var at time.Time
	for _, z := range liveFreezes(o) {
		if len(z.Spec.Freight) == 0 && z.Spec.Scope != v1alpha1.FreezeAutomatic {
			at = earlier(at, until(z))
		}
	}
	if z := HealingPause(o.Freezes, o.Stage.Name, o.Now); z != nil {
		at = earlier(at, until(z))
	}
	return at
}

// runsWell reports whether the Stage has come to run Healthy what the Promotion
// brought, after it was given up.
func runsWell(s *v1alpha1.Stage, promotion string) bool {
	for _, c := range s.Status.Current {
		if c.Promotion == promotion {
			return len(s.Spec.Deploy) > 0 && Settled(s)
		}
	}
	return false
}

// definitionProblem returns what the Stage's Ready condition says is wrong with
// its definition, or "".
func definitionProblem(s *v1alpha1.Stage) string {
	for _, c := range s.Status.Conditions {
		if c.Type != v1alpha1.ConditionReady {
			continue
		}
		switch c.Reason {
		case ReasonStageCycle, ReasonUnknownWarehouse, ReasonUnknownStage, ReasonSharedPath, ReasonPolicyMissing:
			return c.Message
		}
	}
	return ""
}

// waitsForApproval reports whether people are what the Promotion waits for.
func waitsForApproval(p *v1alpha1.Promotion) bool {
	return len(p.Status.Gates) == 1 && p.Status.Gates[0].Gate == v1alpha1.GateApproval
}

func progressText(p *v1alpha1.Promotion) string {
	verb := "promoting"
	if p.Spec.Kind == v1alpha1.KindRollback {
		verb = "rolling back"
	}
	text := fmt.Sprintf("%s (%s)", verb, strings.ToLower(string(p.Status.Phase)))
	if p.Status.Plan != nil {
		text = fmt.Sprintf("%s %s (%s)", verb, versions(p.Status.Plan.Collection), strings.ToLower(string(p.Status.Phase)))
	}
	if p.Status.Message != "" {
		text += ": " + p.Status.Message
	}
	return text
}

func pendingText(p *v1alpha1.Promotion) string {
	if p.Status.Message != "" {
		return p.Status.Message
	}
	return fmt.Sprintf("Promotion %q waits", p.Name)
}

func versions(fs []v1alpha1.StageFreight) string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Artifacts().Versions()...)
	}
	return strings.Join(out, ", ")
}

func orText(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
