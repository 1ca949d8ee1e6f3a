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

// Groups of gates: entry gates say whether a Promotion may exist, start gates
// whether it may leave Pending.
const (
	GroupEntry = "Entry"
	GroupStart = "Start"
)

// Ask says for what kind of move the gates are asked.
type Ask struct {
	// Automatic: by the automatic flow, which hold stops.
	Automatic bool
	// Kind: Promote or Rollback.
	Kind v1alpha1.PromotionKind
	// Bypass lists gates the person passes; only those that may be bypassed
	// have an effect.
	Bypass []v1alpha1.Gate
	// Promotion is the name of the Promotion that asks, if there is one: it
	// does not stand in its own way.
	Promotion string
	// Plan of what is asked about; nil while there is none.
	Plan *v1alpha1.PromotionPlan
	// asks is the Promotion itself, with the plan that is to be approved; nil
	// when there is none yet.
	asks *v1alpha1.Promotion
}

// AskOf returns the question a Promotion asks.
func AskOf(p *v1alpha1.Promotion) Ask {
	return Ask{Automatic: p.Spec.Automatic, Kind: p.Spec.Kind, Bypass: p.Spec.Bypass, Promotion: p.Name, Plan: p.Status.Plan, asks: p}
}

// Gates evaluates every gate for moving freight into the observed Stage: none
// is skipped because another is closed. The order is fixed, reasons are equal
// while the facts are equal, and name an instant, never a countdown.
func Gates(o *Observation, freight *v1alpha1.Freight, ask Ask) []v1alpha1.GateVerdict {
	verdicts := []v1alpha1.GateVerdict{originGate(o, freight)}
	if ask.Kind == v1alpha1.KindRollback {
		// A rollback passes upstream, soak, rejected, hold, busy and health (02).
		return append(verdicts, freezeGate(o, ask), approvalGate(o, ask))
	}
	verdicts = append(verdicts, upstreamGate(o, freight), soakGate(o, freight))
	if NeedsSameBase(o.Stage, freight) {
		verdicts = append(verdicts, baseGate(o, freight, ask))
	}
	if wantsSignature(o, freight) {
		verdicts = append(verdicts, signatureGate(o, freight))
	}
	verdicts = append(verdicts, rejectedGate(o, freight, ask))
	if ask.Automatic {
		verdicts = append(verdicts, holdGate(o, freight, ask))
	}
	verdicts = append(verdicts, freezeGate(o, ask), approvalGate(o, ask), busyGate(o, ask), healthGate(ask))
	for i := range verdicts {
		v := &verdicts[i]
		if !v.Open && slices.Contains(ask.Bypass, v.Gate) && mayBypass(v.Gate) {
			v.Bypassed = true
		}
	}
	return verdicts
}

// mayBypass reports whether a person with the verb bypass may pass the gate.
func mayBypass(g v1alpha1.Gate) bool {
	switch g {
	case v1alpha1.GateUpstream, v1alpha1.GateSoak, v1alpha1.GateRejected, v1alpha1.GateFreeze, v1alpha1.GateApproval:
		return true
	default:
		return false
	}
}

// Blocking returns the verdicts that block: closed and not bypassed. With a
// group, only those of the group.
func Blocking(verdicts []v1alpha1.GateVerdict, group string) []v1alpha1.GateVerdict {
	var out []v1alpha1.GateVerdict
	for _, v := range verdicts {
		if !v.Open && !v.Bypassed && (group == "" || v.Group == group) {
			out = append(out, v)
		}
	}
	return out
}

// EarliestOpening returns the earliest instant at which one of the verdicts
// opens by itself, or the zero time.
func EarliestOpening(verdicts []v1alpha1.GateVerdict) time.Time {
	var at time.Time
	for _, v := range verdicts {
		if !v.Open && v.OpensAt != nil {
			at = earlier(at, v.OpensAt.Time)
		}
	}
	return at
}

// EarliestChange returns the earliest instant at which time alone changes one of
// the verdicts, or the zero time. Whoever keeps them looks again then: what is
// shown of a gate is true to the second, whether it opens or closes.
func EarliestChange(verdicts []v1alpha1.GateVerdict) time.Time {
	at := EarliestOpening(verdicts)
	for _, v := range verdicts {
		if v.ClosesAt != nil {
			at = earlier(at, v.ClosesAt.Time)
		}
	}
	return at
}

func open(g v1alpha1.Gate, group, reason string) v1alpha1.GateVerdict {
	return v1alpha1.GateVerdict{Gate: g, Group: group, Open: true, Reason: reason}
}

func closed(g v1alpha1.Gate, group, reason, opensBy string) v1alpha1.GateVerdict {
	return v1alpha1.GateVerdict{Gate: g, Group: group, Reason: reason, OpensBy: opensBy}
}

func originGate(o *Observation, f *v1alpha1.Freight) v1alpha1.GateVerdict {
	if Request(o.Stage, f.Origin.Name) != nil {
		return open(v1alpha1.GateOrigin, GroupEntry, fmt.Sprintf("%q requests Freight of Warehouse %q", o.Stage.Name, f.Origin.Name))
	}
	var wanted []string
	for _, r := range o.Stage.Spec.RequestedFreight {
		wanted = append(wanted, fmt.Sprintf("%q", r.Origin.Name))
	}
	sort.Strings(wanted)
	return closed(v1alpha1.GateOrigin, GroupEntry,
		fmt.Sprintf("Freight of Warehouse %q is not requested by %q, which requests %s", f.Origin.Name, o.Stage.Name, strings.Join(wanted, ", ")),
		fmt.Sprintf("add Warehouse %q to spec.requestedFreight of the Stage", f.Origin.Name))
}

func upstreamGate(o *Observation, f *v1alpha1.Freight) v1alpha1.GateVerdict {
	r := Request(o.Stage, f.Origin.Name)
	if r == nil {
		return closed(v1alpha1.GateUpstream, GroupEntry, "no upstream is named for this Warehouse", "request the Warehouse first")
	}
	if r.Sources.Direct {
		return open(v1alpha1.GateUpstream, GroupEntry, "taken straight from the Warehouse")
	}
	u := lookUpstream(&r.Sources, f, o.Now)
	verified, missing := splitVerified(f, r.Sources.Stages)
	if u.isAvailable() {
		return open(v1alpha1.GateUpstream, GroupEntry, "verified in "+quoteList(verified))
	}
	joint := " or "
	if u.all {
		joint = " and "
	}
	return closed(v1alpha1.GateUpstream, GroupEntry,
		"not verified in "+quoteJoin(missing, joint),
		"verification in "+quoteJoin(missing, joint))
}

// splitVerified divides the named Stages into those that verified the Freight
// and those that did not. Only upstream Stages that were asked for count.
func splitVerified(f *v1alpha1.Freight, stages []string) (verified, missing []string) {
	for _, name := range stages {
		if rec, ok := f.Status.Stages[name]; ok && rec.VerifiedAt != nil {
			verified = append(verified, name)
		} else {
			missing = append(missing, name)
		}
	}
	sort.Strings(verified)
	sort.Strings(missing)
	return verified, missing
}

func soakGate(o *Observation, f *v1alpha1.Freight) v1alpha1.GateVerdict {
	r := Request(o.Stage, f.Origin.Name)
	if r == nil || soakNeeded(&r.Sources) == 0 {
		return open(v1alpha1.GateSoak, GroupEntry, "no soak time is asked for")
	}
	u := lookUpstream(&r.Sources, f, o.Now)
	var ready, idle []string
	instants := map[string]time.Time{}
	for _, name := range r.Sources.Stages {
		state := soakIdle
		var at time.Time
		if rec := f.Status.Stages[name]; rec.VerifiedAt != nil {
			state, at = soakIn(&rec, u.need, o.Now)
		}
		switch state {
		case soakReady:
			ready = append(ready, name)
		case soakRunning:
			instants[name] = at
		default:
			idle = append(idle, name)
		}
	}
	if u.isSoaked() {
		return open(v1alpha1.GateSoak, GroupEntry, fmt.Sprintf("soaked %s in %s", shortDuration(u.need), quoteList(sorted(ready))))
	}
	at := u.soakedAt()
	if at.IsZero() {
		return closed(v1alpha1.GateSoak, GroupEntry,
			fmt.Sprintf("has to run healthy for %s in %s; the clock is not running there", shortDuration(u.need), quoteList(sorted(idle))),
			"a healthy, verified run in "+quoteList(sorted(idle)))
	}
	v := closed(v1alpha1.GateSoak, GroupEntry,
		fmt.Sprintf("soaking in %q until %s", whereAt(instants, at), stamp(at)), stamp(at))
	v.OpensAt = &metav1.Time{Time: at}
	return v
}

// whereAt returns the Stage whose clock decides: the first, by name, that is
// ready at the instant.
func whereAt(instants map[string]time.Time, at time.Time) string {
	for _, name := range sortedKeys(instants) {
		if instants[name].Equal(at) {
			return name
		}
	}
	return ""
}

func rejectedGate(o *Observation, f *v1alpha1.Freight, ask Ask) v1alpha1.GateVerdict {
	for _, z := range liveFreezes(o) {
		if len(z.Spec.Freight) == 0 || !slices.Contains(z.Spec.Freight, f.Name) {
			continue
		}
		if z.Spec.Scope == v1alpha1.FreezeAutomatic && !ask.Automatic {
			continue
		}
		v := closed(v1alpha1.GateRejected, GroupEntry,
			fmt.Sprintf("rejected by %s%s: %s", Person(z.Spec.By), untilText(z), z.Spec.Reason),
			fmt.Sprintf("waybill unreject %s %s/%s", f.Name, o.Stage.Namespace, o.Stage.Name))
		v.OpensAt = z.Spec.Until
		return v
	}
	return open(v1alpha1.GateRejected, GroupEntry, "nobody rejected it")
}

// holdGate is closed while the automatic flow is held: by a person, after a
// rollback, or for this Freight because another is what the Stage takes now. The
// latter ends no Promotion that exists already.
func holdGate(o *Observation, f *v1alpha1.Freight, ask Ask) v1alpha1.GateVerdict {
	if z := heldBy(liveFreezes(o)); z != nil {
		v := closed(v1alpha1.GateHold, GroupEntry,
			fmt.Sprintf("the automatic flow is held by %s%s: %s", Person(z.Spec.By), untilText(z), z.Spec.Reason),
			fmt.Sprintf("waybill resume %s/%s", o.Stage.Namespace, o.Stage.Name))
		v.OpensAt = z.Spec.Until
		return v
	}
	r := Request(o.Stage, f.Origin.Name)
	if r == nil || ask.Promotion != "" {
		return open(v1alpha1.GateHold, GroupEntry, "the automatic flow is not held")
	}
	if match, isMatched := upstreamCurrent(o, r); isMatched && match != f.Name {
		return closed(v1alpha1.GateHold, GroupEntry, fmt.Sprintf("selectionPolicy MatchUpstream: only what %s runs is taken", quoteList(sorted(r.Sources.Stages))),
			fmt.Sprintf("its arrival in %s, or: waybill promote %s %s/%s", quoteList(sorted(r.Sources.Stages)), f.Name, o.Stage.Namespace, o.Stage.Name))
	}
	if k := keepsForSoak(o, f.Origin.Name); k != nil && k.freight != f.Name {
		v := closed(v1alpha1.GateHold, GroupEntry, "finishSoak: "+k.reason,
			fmt.Sprintf("the end of the soak, or: waybill promote %s %s/%s", f.Name, o.Stage.Namespace, o.Stage.Name))
		if !k.until.IsZero() {
			v.OpensAt = &metav1.Time{Time: k.until}
		}
		return v
	}
	return open(v1alpha1.GateHold, GroupEntry, "the automatic flow is not held")
}

// freezeGate is closed while a Freeze of scope All or a window of the Project
// stops the Stage. Of several it names the one that lasts longest: that is when
// the gate opens.
func freezeGate(o *Observation, ask Ask) v1alpha1.GateVerdict {
	var worst *stop
	add := func(s stop) {
		if s.outlasts(worst) {
			worst = &s
		}
	}
	for _, z := range liveFreezes(o) {
		if len(z.Spec.Freight) > 0 || z.Spec.Scope == v1alpha1.FreezeAutomatic {
			continue
		}
		add(stop{
			reason:  fmt.Sprintf("frozen by %s%s: %s", Person(z.Spec.By), untilText(z), z.Spec.Reason),
			opensBy: thawLine(o.Stage.Namespace, z.Spec.Stage), until: until(z),
		})
	}
	windows, closes := windowStops(o, ask)
	for _, w := range windows {
		add(w)
	}
	if worst == nil {
		v := open(v1alpha1.GateFreeze, GroupStart, "no freeze is in force, and no window stops it")
		if !closes.IsZero() {
			v.ClosesAt = &metav1.Time{Time: closes}
		}
		return v
	}
	v := closed(v1alpha1.GateFreeze, GroupStart, worst.reason, worst.opensBy)
	if !worst.until.IsZero() {
		v.OpensAt = &metav1.Time{Time: worst.until}
	}
	return v
}

// thawLine is what to type to lift a Freeze of one Stage, or of all (*).
func thawLine(project, stage string) string {
	if stage == "*" {
		return "waybill thaw " + project + " --all"
	}
	return "waybill thaw " + project + "/" + stage
}

func busyGate(o *Observation, ask Ask) v1alpha1.GateVerdict {
	for _, p := range bySeq(o.Promotions) {
		if p.Name == ask.Promotion || p.Spec.Stage != o.Stage.Name || p.Status.Phase.IsFinished() {
			continue
		}
		if IsUnderWay(p) || ask.Promotion != "" && isQueuedBefore(o, p, ask) {
			what := "is " + strings.ToLower(string(phaseOf(p)))
			switch {
			case IsPending(p) && HasApproval(o, p):
				what = "has been approved, and goes first"
			case AskedByStep(p) != nil:
				what = "waits for approval in one of its steps: " + p.Status.Message
			}
			return closed(v1alpha1.GateBusy, GroupStart,
				fmt.Sprintf("Promotion %q %s", p.Name, what),
				fmt.Sprintf("the end of Promotion %q, or: waybill abort %s/%s", p.Name, p.Namespace, p.Name))
		}
	}
	return open(v1alpha1.GateBusy, GroupStart, "no other Promotion is under way")
}

// isQueuedBefore reports whether the Promotion that asks has to wait for p:
// oldest first. It does not wait for one that is going to be superseded, nor
// for one that itself waits for something that does not stop the asking one.
func isQueuedBefore(o *Observation, p *v1alpha1.Promotion, ask Ask) bool {
	if !IsPending(p) || Seq(p.Name) >= Seq(ask.Promotion) {
		return false
	}
	if slices.ContainsFunc(superseded(o), func(s Superseded) bool { return s.Name == p.Name }) {
		return false
	}
	its := AskOf(p)
	if ask.Automatic && HasApproval(o, p) {
		return true // somebody has agreed to p: newer Freight that comes by itself waits behind it
	}
	for _, v := range []v1alpha1.GateVerdict{freezeGate(o, its), approvalGate(o, its), healthGate(its)} {
		if !v.Open && !slices.Contains(its.Bypass, v.Gate) {
			return false
		}
	}
	return true
}

func phaseOf(p *v1alpha1.Promotion) v1alpha1.PromotionPhase {
	if p.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return p.Status.Phase
}

// healthGate keeps an automatic Promotion from replacing commits that people
// made on the Stage's branch (02: "will be overwritten").
func healthGate(ask Ask) v1alpha1.GateVerdict {
	if !ask.Automatic || ask.Plan == nil || len(ask.Plan.Overwrites) == 0 {
		return open(v1alpha1.GateHealth, GroupStart, "nothing on the branch would be lost")
	}
	first := ask.Plan.Overwrites[0]
	return closed(v1alpha1.GateHealth, GroupStart,
		fmt.Sprintf("would overwrite commit %s by %s%s on the Stage's branch (ForeignCommits)", short(first.Commit), first.Author, andMore(len(ask.Plan.Overwrites)-1)),
		"a promotion by a person, or foreignCommits: Overwrite in the Stage")
}

// heldBy returns the first Freeze that holds the automatic flow, or nil.
func heldBy(live []*v1alpha1.Freeze) *v1alpha1.Freeze {
	for _, z := range live {
		if len(z.Spec.Freight) == 0 && z.Spec.Scope == v1alpha1.FreezeAutomatic {
			return z
		}
	}
	return nil
}

// liveFreezes returns the Freezes that stop promotions into the Stage, by name. Those of
// one Stage come before those of the whole Project.
func liveFreezes(o *Observation) []*v1alpha1.Freeze {
	var out []*v1alpha1.Freeze
	for i := range o.Freezes {
		z := &o.Freezes[i]
		if isInForce(z, o.Stage.Name, o.Now) {
			out = append(out, z)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if (a.Spec.Stage == "*") != (b.Spec.Stage == "*") {
			return b.Spec.Stage == "*"
		}
		return a.Name < b.Name
	})
	return out
}

// isInForce reports whether the Freeze stops promotions into the Stage at now.
func isInForce(z *v1alpha1.Freeze, stage string, now time.Time) bool {
	return z.Spec.Scope != v1alpha1.FreezeHealing && concerns(z, stage, now)
}

// concerns reports whether the Freeze is about the Stage and has not ended at now.
func concerns(z *v1alpha1.Freeze, stage string, now time.Time) bool {
	return (z.Spec.Stage == stage || z.Spec.Stage == "*") && (z.Spec.Until == nil || now.Before(z.Spec.Until.Time))
}

// Person is a user as people see it: those of Waybill, and its policy, without their
// prefix.
func Person(user string) string { return strings.TrimPrefix(user, "waybill:") }

func untilText(z *v1alpha1.Freeze) string {
	if z.Spec.Until == nil {
		return ""
	}
	return " until " + stamp(z.Spec.Until.Time)
}

func bySeq(ps []v1alpha1.Promotion) []*v1alpha1.Promotion {
	out := make([]*v1alpha1.Promotion, len(ps))
	for i := range ps {
		out[i] = &ps[i]
	}
	sortBySeq(out)
	return out
}

func sortBySeq(ps []*v1alpha1.Promotion) {
	sort.Slice(ps, func(i, j int) bool {
		if a, b := Seq(ps[i].Name), Seq(ps[j].Name); a != b {
			return a < b
		}
		return ps[i].Name < ps[j].Name
	})
}
