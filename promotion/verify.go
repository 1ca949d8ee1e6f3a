package promotion

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Defaults of checks, for Stages stored before the fields had them.
const (
	defaultInterval    = 10 * time.Second
	defaultErrorLimit  = 4
	defaultWaitTimeout = 5 * time.Minute
)

// Limits of what a check leaves in a status, in bytes.
const (
	maxCheckValue   = 256
	maxCheckMessage = 1024
	// MaxLog is how much of a Job's log is kept: its end.
	MaxLog = 4096
)

// Outcome is what one measurement, or one Job, says.
type Outcome int

// The outcomes.
const (
	// OutcomeRunning: the Job has not ended.
	OutcomeRunning Outcome = iota
	OutcomeSuccess
	OutcomeFailure
	// OutcomeInconclusive: neither condition was true.
	OutcomeInconclusive
	// OutcomeError: nothing was measured.
	OutcomeError
)

// Measurement is the result of looking once.
type Measurement struct {
	Outcome Outcome
	// Value measured, as text; Message in one sentence; Log of a Job.
	Value, Message, Log string
	// JobUID identifies the Job that was created or found.
	JobUID string
	// IsRecordedFirst says that looking again has to wait for nothing but the
	// record of this.
	IsRecordedFirst bool
	// IsFinal says that looking again cannot help, because the definition of the
	// check is wrong. It makes an error final.
	IsFinal bool
}

// HasChecks reports whether what enters the Stage has to be verified by checks.
func HasChecks(s *v1alpha1.Stage) bool {
	return s.Spec.Verification != nil && len(s.Spec.Verification.Checks) > 0
}

// ChecksDigest identifies the definition of a Stage's checks.
func ChecksDigest(v *v1alpha1.Verification) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // plain data always encodes
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// BeginVerification returns the first state of a run.
func BeginVerification(v *v1alpha1.Verification, run int32, requestedBy string, now time.Time) *v1alpha1.VerificationStatus {
	at := metav1.MicroTime{Time: now}
	out := &v1alpha1.VerificationStatus{
		Run: run, Digest: ChecksDigest(v), Phase: v1alpha1.CheckRunning, RequestedBy: requestedBy, StartedAt: &at,
	}
	for i := range v.Checks {
		c := &v.Checks[i]
		out.Checks = append(out.Checks, v1alpha1.CheckStatus{Name: c.Name, Kind: c.Kind(), Phase: v1alpha1.CheckPending})
	}
	return out
}

// DueChecks returns the checks to look at now, by index, and the earliest
// instant at which another one is due; zero when none is. Ordered checks run one
// at a time.
func DueChecks(v *v1alpha1.Verification, s *v1alpha1.VerificationStatus, now time.Time) (due []int, next time.Time) {
	for i := range s.Checks {
		c := &s.Checks[i]
		if c.Phase.IsFinished() {
			continue
		}
		if c.NextAt != nil && now.Before(c.NextAt.Time) {
			next = earlier(next, c.NextAt.Time)
		} else {
			due = append(due, i)
		}
		if !v.Parallel {
			break
		}
	}
	return due, next
}

// StartCheck marks a check as begun. What has an initialDelay is due after it.
func StartCheck(c *v1alpha1.Check, s *v1alpha1.CheckStatus, now time.Time) {
	if s.Phase != v1alpha1.CheckPending {
		return
	}
	at := metav1.MicroTime{Time: now}
	s.Phase, s.StartedAt = v1alpha1.CheckRunning, &at
	if m := measuring(c); m != nil && m.InitialDelay != nil && m.InitialDelay.Duration > 0 {
		s.NextAt = &metav1.MicroTime{Time: now.Add(m.InitialDelay.Duration)}
	}
}

// RecordWait judges a wait check: the Stage has to be Healthy without a break.
func RecordWait(c *v1alpha1.WaitCheck, s *v1alpha1.CheckStatus, health v1alpha1.Health, now time.Time) {
	timeout := c.For.Duration + defaultWaitTimeout
	if c.Timeout != nil {
		timeout = c.Timeout.Duration
	}
	ends := s.StartedAt.Add(timeout)
	if health.Status != v1alpha1.HealthHealthy {
		s.HealthySince = nil
		s.Message = fmt.Sprintf("the Stage is %s", health.Status)
		s.NextAt = &metav1.MicroTime{Time: ends}
		if !now.Before(ends) {
			endCheck(s, v1alpha1.CheckFailed, now, fmt.Sprintf("not Healthy for %s within %s: it is %s", shortDuration(c.For.Duration), shortDuration(timeout), health.Status))
		}
		return
	}
	if s.HealthySince == nil {
		at := metav1.MicroTime{Time: now}
		s.HealthySince = &at
	}
	due := s.HealthySince.Add(c.For.Duration)
	switch {
	case !now.Before(due):
		endCheck(s, v1alpha1.CheckSucceeded, now, "Healthy for "+shortDuration(c.For.Duration))
	case !now.Before(ends):
		endCheck(s, v1alpha1.CheckFailed, now, fmt.Sprintf("not Healthy for %s without a break within %s", shortDuration(c.For.Duration), shortDuration(timeout)))
	default:
		s.Message = "Healthy since " + s.HealthySince.UTC().Format(time.RFC3339)
		s.NextAt = &metav1.MicroTime{Time: due}
		if ends.Before(due) {
			s.NextAt = &metav1.MicroTime{Time: ends}
		}
	}
}

// RecordMeasurement adds what looking once said to a check that runs, and ends
// it when its count or one of its limits is reached.
func RecordMeasurement(c *v1alpha1.Check, s *v1alpha1.CheckStatus, m Measurement, now time.Time) {
	if s.Job != nil && m.JobUID != "" {
		s.Job.UID = m.JobUID
	}
	if m.Outcome == OutcomeRunning {
		s.Message = cut(m.Message, maxCheckMessage)
		return
	}
	s.Value, s.Message = cut(m.Value, maxCheckValue), cut(m.Message, maxCheckMessage)
	if m.Log != "" {
		s.Log = Tail(m.Log, MaxLog)
	}
	rules := measuring(c)
	count, failureLimit, inconclusiveLimit, errorLimit := int32(1), int32(0), int32(0), int32(defaultErrorLimit)
	interval := defaultInterval
	if rules != nil {
		count, failureLimit, inconclusiveLimit = max(rules.Count, 1), rules.FailureLimit, rules.InconclusiveLimit
		if rules.ConsecutiveErrorLimit != nil {
			errorLimit = *rules.ConsecutiveErrorLimit
		}
		if rules.Interval != nil {
			interval = rules.Interval.Duration
		}
	} else if c.Job != nil {
		failureLimit, interval = c.Job.FailureLimit, time.Second
	}
	s.Errors++
	if m.Outcome != OutcomeError {
		s.Errors = 0
	}
	switch m.Outcome {
	case OutcomeSuccess:
		s.Succeeded++
	case OutcomeFailure:
		s.Failed++
	case OutcomeInconclusive:
		s.Inconclusive++
	}
	measured := s.Succeeded + s.Failed + s.Inconclusive
	switch {
	case m.Outcome == OutcomeError && (m.IsFinal || s.Errors > errorLimit):
		// Unknown is Unknown: that nothing could be asked is no proof of anything.
		endCheck(s, v1alpha1.CheckInconclusive, now, m.Message)
	case s.Failed > failureLimit:
		endCheck(s, v1alpha1.CheckFailed, now, m.Message)
	case s.Inconclusive > inconclusiveLimit:
		endCheck(s, v1alpha1.CheckInconclusive, now, m.Message)
	case m.Outcome != OutcomeError && (measured >= count && rules != nil || m.Outcome == OutcomeSuccess && rules == nil):
		endCheck(s, v1alpha1.CheckSucceeded, now, m.Message)
	default:
		s.NextAt = &metav1.MicroTime{Time: now.Add(interval)}
		if m.Outcome == OutcomeFailure {
			s.Job = nil // the next attempt is another Job
		}
	}
}

func endCheck(s *v1alpha1.CheckStatus, phase v1alpha1.CheckPhase, now time.Time, message string) {
	at := metav1.MicroTime{Time: now}
	s.Phase, s.FinishedAt, s.NextAt, s.Message = phase, &at, nil, cut(message, maxCheckMessage)
}

// measuring returns the measuring rules of a check, or nil.
func measuring(c *v1alpha1.Check) *v1alpha1.Measuring {
	switch {
	case c.HTTP != nil:
		return &c.HTTP.Measuring
	case c.Prometheus != nil:
		return &c.Prometheus.Measuring
	default:
		return nil
	}
}

// ConcludeVerification ends a run when its checks allow a verdict: one that
// failed ends it at once; inconclusive ones end it when nothing else runs; it
// has succeeded when all have.
func ConcludeVerification(v *v1alpha1.Verification, s *v1alpha1.VerificationStatus, now time.Time) {
	if s.Phase.IsFinished() {
		return
	}
	var failed, unknown *v1alpha1.CheckStatus
	open, succeeded := 0, 0
	for i := range s.Checks {
		switch c := &s.Checks[i]; c.Phase {
		case v1alpha1.CheckSucceeded:
			succeeded++
		case v1alpha1.CheckFailed:
			if failed == nil {
				failed = c
			}
		case v1alpha1.CheckPending, v1alpha1.CheckRunning:
			open++
		default:
			if unknown == nil {
				unknown = c
			}
		}
	}
	switch {
	case failed != nil:
		EndVerification(s, v1alpha1.CheckFailed, fmt.Sprintf("check %q failed: %s", failed.Name, failed.Message), now)
	case unknown != nil && (open == 0 || !v.Parallel):
		EndVerification(s, v1alpha1.CheckInconclusive, fmt.Sprintf("check %q is inconclusive: %s", unknown.Name, unknown.Message), now)
	case open == 0 && succeeded == len(v.Checks) && succeeded == len(s.Checks):
		EndVerification(s, v1alpha1.CheckSucceeded, checksPassed(succeeded), now)
	}
}

func checksPassed(n int) string {
	if n == 1 {
		return "the check succeeded"
	}
	return fmt.Sprintf("all %d checks succeeded", n)
}

// EndVerification ends a run. Checks that run are Aborted, those that wait are
// Skipped.
func EndVerification(s *v1alpha1.VerificationStatus, phase v1alpha1.CheckPhase, message string, now time.Time) {
	at := metav1.MicroTime{Time: now}
	s.Phase, s.Message, s.FinishedAt = phase, cut(message, maxCheckMessage), &at
	for i := range s.Checks {
		switch c := &s.Checks[i]; c.Phase {
		case v1alpha1.CheckPending, "":
			c.Phase = v1alpha1.CheckSkipped
		case v1alpha1.CheckRunning:
			endCheck(c, v1alpha1.CheckAborted, now, c.Message)
		}
	}
}

// Interrupt records that the Stage does not apply what is verified: nothing is
// measured meanwhile. A run that is interrupted for longer than patience ends
// inconclusive; until then it returns when that will be.
func Interrupt(s *v1alpha1.VerificationStatus, why string, patience time.Duration, now time.Time) time.Time {
	if s.InterruptedSince == nil {
		s.InterruptedSince = &metav1.MicroTime{Time: now}
	}
	due := s.InterruptedSince.Add(patience)
	if now.Before(due) {
		return due
	}
	EndVerification(s, v1alpha1.CheckInconclusive, fmt.Sprintf("the Stage has applied something else for %s: %s", shortDuration(patience), why), now)
	return time.Time{}
}

// IsVerified reports whether the run is over and all its checks have succeeded.
func IsVerified(s *v1alpha1.VerificationStatus) bool {
	return s != nil && s.Phase == v1alpha1.CheckSucceeded
}

// HasPassed reports whether the Promotion that brought f, which is in the
// observed Stage, ended with all checks succeeded.
func HasPassed(o *Observation, f *v1alpha1.Freight) bool {
	cur := Current(o.Stage, f.Origin.Name)
	if cur == nil || cur.Freight != f.Name {
		return false
	}
	p := CurrentPromotion(o, f.Name)
	return p != nil && p.Status.Phase == v1alpha1.PhaseSucceeded && IsVerified(p.Status.Verification)
}

// HasFailedChecks reports whether a check failed when f was last verified in the
// observed Stage. What was verified before is then not verified any more.
func HasFailedChecks(o *Observation, f *v1alpha1.Freight) bool {
	if !HasChecks(o.Stage) {
		return false
	}
	var last *v1alpha1.Promotion
	for i := range o.Promotions {
		p := &o.Promotions[i]
		if p.Spec.Stage != o.Stage.Name || p.Spec.Freight != f.Name || p.Spec.Kind == v1alpha1.KindRollback || p.Status.Verification == nil {
			continue
		}
		if last == nil || Seq(p.Name) > Seq(last.Name) {
			last = p
		}
	}
	return last != nil && last.Status.Verification.Phase == v1alpha1.CheckFailed
}

// Unverified takes back what a record says about verification and soak.
func Unverified(rec v1alpha1.FreightInStage, now time.Time) v1alpha1.FreightInStage {
	rec.VerifiedAt = nil
	rec.Soak = stopSoak(rec.Soak, now, true)
	rec.Soak.Longest.Duration = 0
	return rec
}

// WantsVerification reports whether the checks of the Stage are to run for the
// Promotion, once it is Healthy. A Rollback brings what was verified before.
func WantsVerification(s *v1alpha1.Stage, p *v1alpha1.Promotion) bool {
	return HasChecks(s) && (p.Spec.Kind != v1alpha1.KindRollback || isRerunDue(p))
}

// isRerunDue reports whether a person asked for a run that has not begun.
func isRerunDue(p *v1alpha1.Promotion) bool {
	r := p.Spec.Verify
	return r != nil && r.Action == v1alpha1.VerifyRun && r.Run > runOf(p)
}

func runOf(p *v1alpha1.Promotion) int32 {
	if p.Status.Verification == nil {
		return 0
	}
	return p.Status.Verification.Run
}

// NextRun is the number of the run that comes next.
func NextRun(p *v1alpha1.Promotion) int32 {
	n := runOf(p) + 1
	if p.Spec.Verify != nil && p.Spec.Verify.Run >= n {
		n = p.Spec.Verify.Run + 1
	}
	return n
}

// MayVerify says why the checks of the Stage cannot be run again for the
// Promotion, or "" when they can.
func MayVerify(o *Observation, p *v1alpha1.Promotion) string {
	switch {
	case !HasChecks(o.Stage):
		return fmt.Sprintf("Stage %q has no checks; add spec.verification.checks", o.Stage.Name)
	case p == nil:
		return fmt.Sprintf("no Promotion of what runs in %q is known; promote it again to verify it", o.Stage.Name)
	case !isCurrentIn(o.Stage, p):
		return fmt.Sprintf("%q brought nothing that %q runs now", p.Name, o.Stage.Name)
	}
	if a := o.Active(); a != nil && a.Name != p.Name {
		return fmt.Sprintf("Promotion %q is under way", a.Name)
	}
	switch p.Status.Phase {
	case v1alpha1.PhaseSucceeded, v1alpha1.PhaseFailed, v1alpha1.PhaseVerifying:
		return ""
	default:
		return fmt.Sprintf("Promotion %q is %s", p.Name, p.Status.Phase)
	}
}

// RerunDue reports whether a person asked for another run of the checks and it
// can begin.
func RerunDue(o *Observation, p *v1alpha1.Promotion) bool {
	return isRerunDue(p) && MayVerify(o, p) == ""
}

func isCurrentIn(s *v1alpha1.Stage, p *v1alpha1.Promotion) bool {
	for _, c := range s.Status.Current {
		if c.Promotion == p.Name {
			return true
		}
	}
	return false
}

func cut(s string, maxBytes int) string {
	if len(s) <= maxBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxBytes-3], "") + "..."
}

// Tail keeps the end of a log, from the beginning of a line where there is one.
func Tail(s string, maxBytes int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxBytes {
		return s
	}
	s = s[len(s)-maxBytes+4:]
	if _, rest, found := strings.Cut(s, "\n"); found && len(rest) > maxBytes/2 {
		s = rest
	}
	return "...\n" + strings.ToValidUTF8(s, "")
}
