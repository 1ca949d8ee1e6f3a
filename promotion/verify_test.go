package promotion_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func query(name string, edit ...func(*v1alpha1.Measuring)) v1alpha1.Check {
	c := v1alpha1.Check{Name: name, Prometheus: &v1alpha1.PrometheusCheck{Address: "https://prometheus.example", Query: "up"}}
	c.Prometheus.Interval = duration(10 * time.Second)
	for _, e := range edit {
		e(&c.Prometheus.Measuring)
	}
	return c
}

// TestMeasurements: when a check has ended, and how.
func TestMeasurements(t *testing.T) {
	const s, f, i, e = promotion.OutcomeSuccess, promotion.OutcomeFailure, promotion.OutcomeInconclusive, promotion.OutcomeError
	for _, c := range []struct {
		name, why string
		check     v1alpha1.Check
		outcomes  []promotion.Outcome
		want      v1alpha1.CheckPhase
	}{
		{"one is enough", "count is 1", query("a"), []promotion.Outcome{s}, v1alpha1.CheckSucceeded},
		{"two of three", "the third is missing", query("a", func(m *v1alpha1.Measuring) { m.Count = 3 }), []promotion.Outcome{s, s}, v1alpha1.CheckRunning},
		{"all three", "", query("a", func(m *v1alpha1.Measuring) { m.Count = 3 }), []promotion.Outcome{s, s, s}, v1alpha1.CheckSucceeded},
		{"the first failure ends it", "failureLimit is 0", query("a", func(m *v1alpha1.Measuring) { m.Count = 3 }), []promotion.Outcome{s, f}, v1alpha1.CheckFailed},
		{"a failure within the limit counts as a measurement", "", query("a", func(m *v1alpha1.Measuring) { m.Count, m.FailureLimit = 3, 1 }), []promotion.Outcome{s, f, s}, v1alpha1.CheckSucceeded},
		{"neither", "inconclusiveLimit is 0", query("a"), []promotion.Outcome{i}, v1alpha1.CheckInconclusive},
		{"neither, within the limit", "", query("a", func(m *v1alpha1.Measuring) { m.Count, m.InconclusiveLimit = 2, 1 }), []promotion.Outcome{i, s}, v1alpha1.CheckSucceeded},
		{"a few errors are waited out", "the limit is 4 in a row", query("a"), []promotion.Outcome{e, e, e, e, s}, v1alpha1.CheckSucceeded},
		{"too many errors", "nobody knows", query("a"), []promotion.Outcome{e, e, e, e, e}, v1alpha1.CheckInconclusive},
		{"errors with an answer between", "in a row means in a row", query("a", func(m *v1alpha1.Measuring) { m.Count = 9 }), []promotion.Outcome{e, e, e, s, e, e, e}, v1alpha1.CheckRunning},
		{"a Job succeeds", "", v1alpha1.Check{Name: "a", Job: &v1alpha1.JobCheck{}}, []promotion.Outcome{promotion.OutcomeRunning, s}, v1alpha1.CheckSucceeded},
		{"a Job fails", "", v1alpha1.Check{Name: "a", Job: &v1alpha1.JobCheck{}}, []promotion.Outcome{f}, v1alpha1.CheckFailed},
		{"the second Job succeeds", "failureLimit is 1", v1alpha1.Check{Name: "a", Job: &v1alpha1.JobCheck{FailureLimit: 1}}, []promotion.Outcome{f, s}, v1alpha1.CheckSucceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			status := v1alpha1.CheckStatus{Name: "a", Phase: v1alpha1.CheckPending}
			now := noon
			promotion.StartCheck(&c.check, &status, now)
			for _, o := range c.outcomes {
				if status.Phase.IsFinished() {
					t.Fatalf("it ended early: %+v", status)
				}
				promotion.RecordMeasurement(&c.check, &status, promotion.Measurement{Outcome: o, Value: "v", Message: "m"}, now)
				now = now.Add(10 * time.Second)
			}
			if status.Phase != c.want || status.Phase.IsFinished() != (status.FinishedAt != nil) || status.Phase.IsFinished() != (status.NextAt == nil) {
				t.Errorf("it is %+v, want %s: %s", status, c.want, c.why)
			}
		})
	}
}

// TestWait: the Stage has to be Healthy without a break.
func TestWait(t *testing.T) {
	c := &v1alpha1.Check{Name: "calm", Wait: &v1alpha1.WaitCheck{For: *duration(time.Minute), Timeout: duration(3 * time.Minute)}}
	begun := func() *v1alpha1.CheckStatus {
		s := &v1alpha1.CheckStatus{Name: "calm", Phase: v1alpha1.CheckPending}
		promotion.StartCheck(c, s, noon)
		return s
	}
	look := func(s *v1alpha1.CheckStatus, health v1alpha1.HealthStatus, after time.Duration) {
		promotion.RecordWait(c.Wait, s, v1alpha1.Health{Status: health}, noon.Add(after))
	}
	s := begun()
	look(s, v1alpha1.HealthHealthy, 0)
	if d := cmp.Diff(micro(time.Minute), s.NextAt); d != "" {
		t.Error(d)
	}
	look(s, v1alpha1.HealthProgressing, 50*time.Second)
	look(s, v1alpha1.HealthHealthy, time.Minute)
	if s.Phase != v1alpha1.CheckRunning || !s.NextAt.Time.Equal(noon.Add(2*time.Minute)) {
		t.Errorf("a break begins it anew: %+v", s)
	}
	look(s, v1alpha1.HealthHealthy, 2*time.Minute)
	if s.Phase != v1alpha1.CheckSucceeded {
		t.Errorf("it is %+v", s)
	}
	s = begun()
	look(s, v1alpha1.HealthProgressing, 0)
	look(s, v1alpha1.HealthHealthy, 170*time.Second)
	if !s.NextAt.Time.Equal(noon.Add(3 * time.Minute)) {
		t.Errorf("it looks again at %s, want at the timeout", s.NextAt)
	}
	look(s, v1alpha1.HealthHealthy, 3*time.Minute)
	if s.Phase != v1alpha1.CheckFailed {
		t.Errorf("it is %+v, want Failed at the timeout", s)
	}
}

// TestConclusion: what a run of checks amounts to, ordered and in parallel.
func TestConclusion(t *testing.T) {
	const (
		ok, bad, unknown, run, wait = v1alpha1.CheckSucceeded, v1alpha1.CheckFailed, v1alpha1.CheckInconclusive, v1alpha1.CheckRunning, v1alpha1.CheckPending
		stopped, skipped            = v1alpha1.CheckAborted, v1alpha1.CheckSkipped
	)
	type phases = []v1alpha1.CheckPhase
	for _, c := range []struct {
		parallel bool
		checks   phases
		due      []int
		want     v1alpha1.CheckPhase
		after    phases
	}{
		{false, phases{wait, wait}, []int{0}, run, phases{wait, wait}},
		{true, phases{wait, wait}, []int{0, 1}, run, phases{wait, wait}},
		{false, phases{ok, wait}, []int{1}, run, phases{ok, wait}},
		{false, phases{ok, ok}, nil, ok, phases{ok, ok}},
		{false, phases{bad, wait}, []int{1}, bad, phases{bad, skipped}},
		{true, phases{bad, run}, []int{1}, bad, phases{bad, stopped}},
		{false, phases{unknown, wait}, []int{1}, unknown, phases{unknown, skipped}},
		{true, phases{unknown, run}, []int{1}, run, phases{unknown, run}},
		{true, phases{unknown, ok}, nil, unknown, phases{unknown, ok}},
		{true, phases{unknown, bad}, nil, bad, phases{unknown, bad}},
	} {
		v := &v1alpha1.Verification{Parallel: c.parallel, Checks: []v1alpha1.Check{query("a"), query("b")}}
		s := promotion.BeginVerification(v, 1, "", noon)
		for i := range c.checks {
			s.Checks[i].Phase = c.checks[i]
		}
		due, _ := promotion.DueChecks(v, s, noon)
		if d := cmp.Diff(c.due, due); d != "" {
			t.Errorf("parallel %v, %v: due differs: %s", c.parallel, c.checks, d)
		}
		promotion.ConcludeVerification(v, s, noon)
		got := phases{s.Checks[0].Phase, s.Checks[1].Phase}
		if s.Phase != c.want || cmp.Diff(c.after, got) != "" {
			t.Errorf("parallel %v, %v: it is %s with %v, want %s with %v", c.parallel, c.checks, s.Phase, got, c.want, c.after)
		}
		if again := s.DeepCopy(); true {
			promotion.ConcludeVerification(v, again, noon.Add(time.Hour))
			if d := cmp.Diff(s, again); d != "" {
				t.Errorf("a second look changes it: %s", d)
			}
		}
	}
}

// TestVerdictOfChecks: how a Promotion ends by its checks.
func TestVerdictOfChecks(t *testing.T) {
	old, f := freight(1, "1.26.0"), freight(2, "1.27.0")
	healthy := promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthHealthy}}
	degraded := promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthDegraded, Message: "CrashLoopBackOff"}}
	for _, c := range []struct {
		name   string
		phase  v1alpha1.CheckPhase
		policy string
		reach  promotion.Reach
		want   v1alpha1.PromotionPhase
		reason string
		revert bool
		says   string
	}{
		{"they run", v1alpha1.CheckRunning, "Revert", healthy, v1alpha1.PhaseVerifying, promotion.ReasonVerifying, false, "0 of 1 checks done"},
		{"they succeeded", v1alpha1.CheckSucceeded, "Revert", healthy, v1alpha1.PhaseSucceeded, promotion.ReasonVerified, false, "m"},
		{"one failed", v1alpha1.CheckFailed, "Revert", healthy, v1alpha1.PhaseFailed, promotion.ReasonVerificationFailed, true, "reverted by policy"},
		{"one failed and nothing is reverted", v1alpha1.CheckFailed, "None", healthy, v1alpha1.PhaseFailed, promotion.ReasonVerificationFailed, false, "rollback.onFailedVerification is None"},
		{"nobody knows", v1alpha1.CheckInconclusive, "Revert", healthy, v1alpha1.PhaseFailed, promotion.ReasonVerificationInconclusive, false, "waybill verify guestbook/prod"},
		{"a person stopped them", v1alpha1.CheckAborted, "Revert", healthy, v1alpha1.PhaseFailed, promotion.ReasonVerificationAborted, false, "waybill verify guestbook/prod"},
		{"it turned bad meanwhile", v1alpha1.CheckRunning, "Revert", degraded, v1alpha1.PhaseFailed, promotion.ReasonUnhealthy, true, "CrashLoopBackOff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stage("prod").reverts(5 * time.Second)
			s.Spec.Rollback.OnFailedVerification = c.policy
			s.Spec.Verification = &v1alpha1.Verification{Checks: []v1alpha1.Check{query("a")}}
			p := pushed(2, f, old, v1alpha1.PhaseVerifying)
			p.Status.UnhealthySince = micro(-time.Minute)
			p.Status.Verification = promotion.BeginVerification(s.Spec.Verification, 1, "", noon)
			p.Status.Verification.Phase, p.Status.Verification.Message = c.phase, "m"
			o := observe(s, old, f)
			o.Promotions = []v1alpha1.Promotion{*p}
			got := promotion.JudgeHealth(o, p, c.reach)
			if got.Phase != c.want || got.Reason != c.reason || got.Revert != c.revert || !strings.Contains(got.Message, c.says) {
				t.Errorf("verdict %+v", got)
			}
		})
	}
}

// TestOnlyCheckedFreightIsVerified: a Stage with checks does not verify by
// health.
func TestOnlyCheckedFreightIsVerified(t *testing.T) {
	f := freight(1, "1.26.0")
	s := stage("prod")
	s.Spec.Verification = &v1alpha1.Verification{Checks: []v1alpha1.Check{query("a")}}
	p := pushed(1, f, nil, v1alpha1.PhaseSucceeded)
	s.running(f, p.Name)
	for phase, want := range map[v1alpha1.CheckPhase]bool{"": false, v1alpha1.CheckRunning: false, v1alpha1.CheckSucceeded: true, v1alpha1.CheckFailed: false, v1alpha1.CheckInconclusive: false} {
		o := observe(s, f)
		q := p.DeepCopy()
		if phase != "" {
			q.Status.Verification = &v1alpha1.VerificationStatus{Phase: phase}
		}
		o.Promotions = []v1alpha1.Promotion{*q}
		if got := promotion.HasPassed(o, f); got != want {
			t.Errorf("%q: HasPassed is %v", phase, got)
		}
		if got := promotion.HasFailedChecks(o, f); got != (phase == v1alpha1.CheckFailed) {
			t.Errorf("%q: HasFailedChecks is %v", phase, got)
		}
	}
}

// TestCheckExpressions: arguments, texts and conditions, and what is refused when
// the Stage is applied.
func TestCheckExpressions(t *testing.T) {
	f := freight(1, "1.26.0")
	p := promo("prod", 1, f, v1alpha1.PhaseVerifying)
	p.Status.Plan = &v1alpha1.PromotionPlan{Collection: []v1alpha1.StageFreight{{Origin: "guestbook", Freight: f.Name, Images: f.Images}}}
	v := &v1alpha1.Verification{Args: []v1alpha1.CheckArgument{{Name: "tag", Value: "${{ imageFrom('registry.example/guestbook').Tag }}"}}}
	scope, err := promotion.CheckScope(v, p)
	if err != nil {
		t.Fatal(err)
	}
	job := v1alpha1.Check{Name: "smoke", Job: &v1alpha1.JobCheck{}}
	job.Job.Template.Raw = []byte(`{"spec":{"containers":[{"name":"c","image":"tool:${{ args.tag }}","args":["${{ ctx.stage }}"]}]}}`)
	got, err := promotion.ResolveCheck(&job, scope)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"spec":{"containers":[{"args":["prod"],"image":"tool:1.26.0","name":"c"}]}}`; string(got.Job.Template.Raw) != want {
		t.Errorf("template %s", got.Job.Template.Raw)
	}
	for _, c := range []struct {
		success, failure string
		result           float64
		want             promotion.Outcome
	}{
		{"result < 0.01", "", 0.001, promotion.OutcomeSuccess},
		{"result < 0.01", "", 0.1, promotion.OutcomeFailure},
		{"", "result > 0.05", 0.1, promotion.OutcomeFailure},
		{"", "result > 0.05", 0.01, promotion.OutcomeSuccess},
		{"result < 0.01", "result > 0.05", 0.03, promotion.OutcomeInconclusive},
		{"result <", "", 0.03, promotion.OutcomeError},
	} {
		m := promotion.MeasurementOf(&v1alpha1.Measuring{SuccessCondition: c.success, FailureCondition: c.failure}, scope, map[string]any{"result": c.result}, false, "v")
		if m.Outcome != c.want || m.IsFinal != (c.want == promotion.OutcomeError) {
			t.Errorf("%+v: %+v", c, m)
		}
	}
	for text, says := range map[string]string{
		"https://x.example/${{ args.nope }}": `no argument "nope"`,
		"https://x.example/${{ what }}":      "unknown name what",
		"https://x.example/${{ ctx.stage":    "no \"}}\"",
	} {
		s := stage("prod")
		s.Spec.Verification = &v1alpha1.Verification{Checks: []v1alpha1.Check{{Name: "ping", HTTP: &v1alpha1.HTTPCheck{URL: text}}}}
		found := promotion.CheckStage(&s.Stage, nil, []string{"guestbook"}, nil)
		if len(found) != 1 || found[0].Reason != promotion.ReasonInvalidCheck || !strings.Contains(found[0].Message, says) {
			t.Errorf("%q: %+v", text, found)
		}
	}
}

// TestInterrupt: a run whose commit is not what the Stage applies waits for a
// while, and then ends by itself: nobody knows.
func TestInterrupt(t *testing.T) {
	v := &v1alpha1.Verification{Checks: []v1alpha1.Check{{Name: "ping", HTTP: &v1alpha1.HTTPCheck{}}, {Name: "later", HTTP: &v1alpha1.HTTPCheck{}}}}
	s := promotion.BeginVerification(v, 1, "", noon)
	promotion.StartCheck(&v.Checks[0], &s.Checks[0], noon)
	const why = "Application prod applies another tree"
	if due := promotion.Interrupt(s, why, 5*time.Minute, noon.Add(time.Minute)); !due.Equal(noon.Add(6*time.Minute)) || s.Phase.IsFinished() {
		t.Errorf("it is %s and looked at again at %s", s.Phase, due)
	}
	p := promo("prod", 2, freight(2, "1.27.0"), v1alpha1.PhaseVerifying)
	p.Status.Verification = s
	if got := promotion.JudgeHealth(observe(stage("prod")), p, promotion.Reach{Message: why}); got.Phase != v1alpha1.PhaseVerifying || got.Message != "its checks wait: "+why {
		t.Errorf("%+v", got)
	}
	if due := promotion.Interrupt(s, why, 5*time.Minute, noon.Add(6*time.Minute)); !due.IsZero() || s.Phase != v1alpha1.CheckInconclusive || s.Checks[0].Phase != v1alpha1.CheckAborted || s.Checks[1].Phase != v1alpha1.CheckSkipped {
		t.Errorf("%+v", s)
	}
	got := promotion.JudgeHealth(observe(stage("prod")), p, promotion.Reach{Message: why})
	if got.Phase != v1alpha1.PhaseFailed || got.Reason != promotion.ReasonVerificationInconclusive || !strings.HasPrefix(got.Message, "the Stage has applied something else for 5m: "+why) {
		t.Errorf("%+v", got)
	}
}
