package promotion

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// defaultExpireAfter is how long an approval counts, for Stages stored before
// the field had a default.
const defaultExpireAfter = 720 * time.Hour

// ReasonRejected is why a Promotion ends that somebody rejected.
const ReasonRejected = "Rejected"

// ApprovalPolicy returns what the Stage asks for before a Promotion of kind
// starts, or nil when nobody has to agree.
func ApprovalPolicy(s *v1alpha1.Stage, kind v1alpha1.PromotionKind) *v1alpha1.ApprovalPolicy {
	if kind == v1alpha1.KindRollback {
		return s.Spec.Rollback.Approval
	}
	return s.Spec.Approval
}

// NeedsApproval reports whether somebody has to approve the plan of p before it
// starts.
func NeedsApproval(s *v1alpha1.Stage, p *v1alpha1.Promotion) bool {
	return ApprovalPolicy(s, p.Spec.Kind) != nil && !slices.Contains(p.Spec.Bypass, v1alpha1.GateApproval)
}

// Asked is an approval that a Promotion waits for.
type Asked struct {
	// Policy says how many approvals, and whose.
	Policy *v1alpha1.ApprovalPolicy
	// Step that waits, of the template; empty: the start does.
	Step string
}

// AskedOf returns the approval that p waits for now: before it starts, that of
// its Stage; while it runs, that of its step. It is nil when it waits for none.
func AskedOf(s *v1alpha1.Stage, p *v1alpha1.Promotion) *Asked {
	if !IsPending(p) {
		return AskedByStep(p)
	}
	if policy := ApprovalPolicy(s, p.Spec.Kind); policy != nil {
		return &Asked{Policy: policy}
	}
	return nil
}

// Standing says whether an Approval counts, and if not, why.
type Standing int

// The standings, in the order they are looked at.
const (
	// StandingElsewhere: it names another Promotion, one of that name that is
	// gone, or another of its steps. Nobody is shown these.
	StandingElsewhere Standing = iota
	// StandingOtherPlan: the plan has changed since.
	StandingOtherPlan
	// StandingExpired: its time is over.
	StandingExpired
	// StandingNotAsked: its actor is not among those the Stage asks.
	StandingNotAsked
	// StandingSelf: its actor requested the Promotion, or nobody knows who did.
	StandingSelf
	// StandingCounts: it counts.
	StandingCounts
)

// JudgeApproval returns the standing of a for what the Promotion p asks, and until
// when it counts (zero: it does not).
//
// Admission proves that actor and groups are the author's, and that the author
// may approve for the Stage that a names. It cannot know whose Promotion that
// is, so an Approval that names another Stage than its Promotion's is nothing.
func JudgeApproval(asked Asked, p *v1alpha1.Promotion, a *v1alpha1.Approval, now time.Time) (Standing, time.Time) {
	policy := asked.Policy
	if a.Spec.Step != asked.Step || a.Spec.Promotion != p.Name || a.Namespace != p.Namespace || a.Spec.Stage != p.Spec.Stage || a.CreationTimestamp.Before(&p.CreationTimestamp) {
		return StandingElsewhere, time.Time{}
	}
	if p.Status.Plan == nil || p.Status.Plan.Hash == "" || a.Spec.PlanHash != p.Status.Plan.Hash {
		return StandingOtherPlan, time.Time{}
	}
	until := a.CreationTimestamp.Add(durationOr(policy.ExpireAfter, defaultExpireAfter))
	if a.Spec.Until != nil && a.Spec.Until.Time.Before(until) {
		until = a.Spec.Until.Time
	}
	if !now.Before(until) {
		return StandingExpired, time.Time{}
	}
	if !IsAsked(policy, a.Spec.Actor, a.Spec.Groups) {
		return StandingNotAsked, time.Time{}
	}
	if a.Spec.Decision != v1alpha1.DecisionReject && !policy.AllowSelfApproval && (p.Spec.RequestedBy == "" || p.Spec.RequestedBy == a.Spec.Actor) {
		return StandingSelf, time.Time{}
	}
	return StandingCounts, until
}

// IsAsked reports whether the policy asks this user, by name or as a member of
// these groups.
func IsAsked(policy *v1alpha1.ApprovalPolicy, user string, groups []string) bool {
	if len(policy.Groups) == 0 && len(policy.Users) == 0 {
		return true
	}
	if slices.ContainsFunc(policy.Users, func(name string) bool { return v1alpha1.Principal(name) == user }) {
		return true
	}
	return slices.ContainsFunc(policy.Groups, func(name string) bool { return slices.Contains(groups, v1alpha1.Principal(name)) })
}

// approvals is what the Approvals of a Promotion come to.
type approvals struct {
	policy *v1alpha1.ApprovalPolicy
	// counted are those that count, one per actor, oldest first.
	counted []counted
	// rejected is the oldest rejection that counts, or nil.
	rejected *v1alpha1.Approval
	// aside says of each that does not count why, by actor.
	aside []string
}

type counted struct {
	approval *v1alpha1.Approval
	until    time.Time
}

// countApprovals judges every Approval of p for what it asks.
func countApprovals(o *Observation, p *v1alpha1.Promotion, asked Asked) approvals {
	out := approvals{policy: asked.Policy}
	if p == nil {
		return out
	}
	given := make([]*v1alpha1.Approval, 0, len(o.Approvals))
	for i := range o.Approvals {
		given = append(given, &o.Approvals[i])
	}
	sort.Slice(given, func(i, j int) bool {
		a, b := given[i], given[j]
		if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
			return a.CreationTimestamp.Before(&b.CreationTimestamp)
		}
		return a.Name < b.Name
	})
	best := map[string]int{} // by actor
	aside := map[string]string{}
	for _, a := range given {
		standing, until := JudgeApproval(asked, p, a, o.Now)
		switch {
		case standing == StandingElsewhere:
		case standing != StandingCounts:
			aside[a.Spec.Actor] = asideText(standing, a, p)
		case a.Spec.Decision == v1alpha1.DecisionReject:
			if out.rejected == nil {
				out.rejected = a
			}
		default:
			if at, twice := best[a.Spec.Actor]; !twice {
				best[a.Spec.Actor] = len(out.counted)
				out.counted = append(out.counted, counted{a, until})
			} else if until.After(out.counted[at].until) {
				out.counted[at].until = until // one person, one voice: the one that counts longest
			}
		}
	}
	for _, who := range sortedKeys(aside) {
		if _, counts := best[who]; !counts {
			out.aside = append(out.aside, aside[who])
		}
	}
	return out
}

func asideText(s Standing, a *v1alpha1.Approval, p *v1alpha1.Promotion) string {
	who, did := Person(a.Spec.Actor), "approved"
	if a.Spec.Decision == v1alpha1.DecisionReject {
		did = "rejected"
	}
	switch s {
	case StandingOtherPlan:
		return fmt.Sprintf("%s %s another plan", who, did)
	case StandingExpired:
		return fmt.Sprintf("what %s %s has expired", who, did)
	case StandingNotAsked:
		return fmt.Sprintf("%s %s and is not asked", who, did)
	default:
		if p.Spec.RequestedBy == "" {
			return fmt.Sprintf("%s approved, and nobody knows who requested it (spec.requestedBy is absent)", who)
		}
		return fmt.Sprintf("%s requested it, and may not approve it too", who)
	}
}

// isEnough reports whether as many as are asked for have approved.
func (a *approvals) isEnough() bool { return int32(len(a.counted)) >= a.need() } //nolint:gosec // at most a few

func (a *approvals) need() int32 { return max(a.policy.Required, 1) }

// lapses returns when so many of those that count have expired that they are
// not enough any more; when they are not enough now, when the next one expires.
// Zero when none counts.
func (a *approvals) lapses() time.Time {
	if len(a.counted) == 0 {
		return time.Time{}
	}
	ends := make([]time.Time, 0, len(a.counted))
	for _, c := range a.counted {
		ends = append(ends, c.until)
	}
	sort.Slice(ends, func(i, j int) bool { return ends[i].Before(ends[j]) })
	if spare := len(ends) - int(a.need()); spare > 0 {
		return ends[spare]
	}
	return ends[0]
}

// approvalGate is open when as many people as the Stage asks for have approved
// the plan of the Promotion that asks. Asked without one, it says what is going
// to be needed.
func approvalGate(o *Observation, ask Ask) v1alpha1.GateVerdict {
	policy := ApprovalPolicy(o.Stage, ask.Kind)
	if policy == nil {
		return open(v1alpha1.GateApproval, GroupStart, "no approval is asked for")
	}
	return approvalVerdict(o, ask.asks, Asked{Policy: policy})
}

// approvalVerdict says what is missing of what p asks; p may be nil.
func approvalVerdict(o *Observation, p *v1alpha1.Promotion, asked Asked) v1alpha1.GateVerdict {
	policy, all := asked.Policy, countApprovals(o, p, asked)
	var v v1alpha1.GateVerdict
	var who []string
	for _, c := range all.counted {
		who = append(who, Person(c.approval.Spec.Actor))
	}
	have, need := int32(len(all.counted)), all.need() //nolint:gosec // at most a few
	switch {
	case all.rejected != nil:
		v = closed(v1alpha1.GateApproval, GroupStart,
			fmt.Sprintf("rejected by %s: %s", Person(all.rejected.Spec.Actor), all.rejected.Spec.Reason), "another promotion")
	case all.isEnough():
		v = open(v1alpha1.GateApproval, GroupStart, fmt.Sprintf("approved by %s", strings.Join(who, ", ")))
	default:
		text := fmt.Sprintf("%d of %s", have, plural(need, "approval"))
		if len(who) > 0 {
			text += ", by " + strings.Join(who, ", ")
		}
		v = closed(v1alpha1.GateApproval, GroupStart,
			strings.Join(append([]string{text}, all.aside...), "; "), approvalOpensBy(o, p, policy, need-have))
	}
	if at := all.lapses(); !at.IsZero() {
		v.ClosesAt = &metav1.Time{Time: at}
	}
	v.Have, v.Need, v.From = have, need, who
	return v
}

func approvalOpensBy(o *Observation, p *v1alpha1.Promotion, policy *v1alpha1.ApprovalPolicy, missing int32) string {
	line := fmt.Sprintf("waybill approve %s/%s", o.Stage.Namespace, o.Stage.Name)
	if p == nil {
		line += ", once it is promoted"
	}
	return fmt.Sprintf("%s: %s", askedText(policy, missing), line)
}

// askedText says who is to approve: "2 of group release-managers".
func askedText(policy *v1alpha1.ApprovalPolicy, missing int32) string {
	var from []string
	if len(policy.Groups) > 0 {
		word := "group "
		if len(policy.Groups) > 1 {
			word = "groups "
		}
		from = append(from, word+strings.Join(sorted(policy.Groups), ", "))
	}
	if len(policy.Users) > 0 {
		from = append(from, strings.Join(sorted(policy.Users), ", "))
	}
	if len(from) == 0 {
		return plural(missing, "approval")
	}
	return fmt.Sprintf("%d of %s", missing, strings.Join(from, " and "))
}

// RejectedBy returns the rejection that ends p, or nil.
func RejectedBy(o *Observation, p *v1alpha1.Promotion) *v1alpha1.Approval {
	policy := ApprovalPolicy(o.Stage, p.Spec.Kind)
	if policy == nil {
		return nil
	}
	all := countApprovals(o, p, Asked{Policy: policy})
	return all.rejected
}

// CountedApprovals returns the Approvals that let p start, oldest first.
func CountedApprovals(o *Observation, p *v1alpha1.Promotion) []v1alpha1.CountedApproval {
	policy := ApprovalPolicy(o.Stage, p.Spec.Kind)
	if policy == nil {
		return nil
	}
	var out []v1alpha1.CountedApproval
	all := countApprovals(o, p, Asked{Policy: policy})
	for _, c := range all.counted {
		out = append(out, v1alpha1.CountedApproval{Actor: c.approval.Spec.Actor, At: c.approval.CreationTimestamp, Reason: c.approval.Spec.Reason})
	}
	return out
}

// HasApproval reports whether anybody's approval of p counts.
func HasApproval(o *Observation, p *v1alpha1.Promotion) bool { return len(CountedApprovals(o, p)) > 0 }
