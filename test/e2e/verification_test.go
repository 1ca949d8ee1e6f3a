package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// site is a server that checks ask: what it answers can be changed at any time.
type site struct {
	*httptest.Server
	status atomic.Int32
	// rate is what the query of an error rate returns.
	rate atomic.Value
	// hang holds every request until the test ends.
	hang atomic.Bool
}

func newSite(t *testing.T) *site {
	s := &site{}
	s.status.Store(http.StatusOK)
	s.rate.Store("0.001")
	ended := make(chan struct{})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.hang.Load() {
			select {
			case <-ended:
			case <-r.Context().Done():
			}
			return
		}
		if strings.HasSuffix(r.URL.Path, "/api/v1/query") {
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{
				"resultType": "vector",
				"result":     []any{map[string]any{"metric": map[string]any{}, "value": []any{1, s.rate.Load()}}},
			}})
			return
		}
		w.WriteHeader(int(s.status.Load()))
	}))
	t.Cleanup(s.Server.Close)
	t.Cleanup(func() { close(ended) })
	return s
}

// clusterAdmin is who the client of the tests is to the API server.
const clusterAdmin = "waybill-local-admin"

func seconds(n float64) *apimeta.Duration {
	return &apimeta.Duration{Duration: time.Duration(n * float64(time.Second))}
}

func ping(url string, count, failureLimit int32) v1alpha1.Check {
	return v1alpha1.Check{Name: "ping", HTTP: &v1alpha1.HTTPCheck{
		Measuring: v1alpha1.Measuring{Interval: seconds(0.2), Count: count, FailureLimit: failureLimit},
		URL:       url + "/${{ ctx.stage }}",
	}}
}

func errorRate(url string) v1alpha1.Check {
	return v1alpha1.Check{Name: "errors", Prometheus: &v1alpha1.PrometheusCheck{
		Measuring: v1alpha1.Measuring{Interval: seconds(0.2), Count: 2, SuccessCondition: "result < 0.01", FailureCondition: "result > 0.05"},
		Address:   url, Query: `sum(rate(http_errors_total{version="${{ args.version }}"}[1m]))`,
	}}
}

// smoke is a Job whose only container runs the image it verifies.
func (w *world) smoke(annotation string) v1alpha1.Check {
	template := map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{
			"name": "smoke", "image": "${{ imageFrom('" + w.registry.Name("guestbook") + "').RepoURL }}:smoke", "command": []any{"true"},
		}}},
	}
	if annotation != "" {
		template["metadata"] = map[string]any{"annotations": map[string]any{"demo.waybill.dev/run": annotation}}
	}
	raw, err := json.Marshal(template)
	if err != nil {
		w.t.Fatal(err)
	}
	return v1alpha1.Check{Name: "smoke", Job: &v1alpha1.JobCheck{Template: runtime.RawExtension{Raw: raw}}}
}

// verified gives a Stage checks.
func (w *world) verified(stage string, edit func(*v1alpha1.Verification)) func(*v1alpha1.Stage) {
	return func(s *v1alpha1.Stage) {
		if s.Name != stage {
			return
		}
		s.Spec.Verification = &v1alpha1.Verification{Args: []v1alpha1.CheckArgument{{
			Name: "version", Value: "${{ imageFrom('" + w.registry.Name("guestbook") + "').Tag }}",
		}}}
		edit(s.Spec.Verification)
		s.Spec.Rollback.OnFailedVerification = "Revert"
	}
}

// isVerified reports whether Freight is verified in a Stage.
func (w *world) isVerified(tag, stage string) bool {
	w.t.Helper()
	return w.freight(tag).Status.Stages[stage].VerifiedAt != nil
}

// TestChecks: what enters a Stage is proven by every kind of check before
// anything downstream gets it.
func TestChecks(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "checks")
	w.guestbook()
	site, stuck := newSite(t), newSite(t)
	site.status.Store(http.StatusServiceUnavailable)
	stuck.hang.Store(true)
	w.pipeline([]string{"test", "uat"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Parallel = true
		v.Checks = []v1alpha1.Check{
			w.smoke(""), ping(site.URL, 1000, 999), errorRate(site.URL),
			{Name: "calm", Wait: &v1alpha1.WaitCheck{For: *seconds(0.5)}},
		}
		v.Checks[1].HTTP.Count, v.Checks[1].HTTP.SuccessCondition = 1, "response.status == 200"
	}))
	// A Stage beside it whose server answers nothing delays nobody.
	other := w.stage("prod", "", true)
	w.verified("prod", func(v *v1alpha1.Verification) {
		v.Checks = []v1alpha1.Check{{Name: "stuck", HTTP: &v1alpha1.HTTPCheck{URL: stuck.URL, Timeout: seconds(60)}}}
	})(other)
	if err := w.client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	// 503 does not count against the limit: it is measured on and on.
	w.editStage("test", func(s *v1alpha1.StageSpec) {
		s.Verification.Checks[1].HTTP.Measuring = v1alpha1.Measuring{Interval: seconds(0.2), Count: 1000, FailureLimit: 1000}
	})
	w.push("1.26.0")
	p := w.promotionOf("test", "1.26.0")
	w.eventually("the other checks are done", func() error {
		w.get(p.Name, p)
		if p.Status.Phase != v1alpha1.PhaseVerifying {
			return fmt.Errorf("it is %s (%s): %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		for _, c := range p.Status.Verification.Checks {
			if want := v1alpha1.CheckSucceeded; c.Name != "ping" && c.Phase != want || c.Name == "ping" && c.Failed < 2 {
				return fmt.Errorf("check %+v", c)
			}
		}
		return nil
	})
	if w.isVerified("1.26.0", "test") {
		t.Error("the Freight is verified before its checks are done")
	}
	if n := len(w.promotions("uat")); n != 0 {
		t.Errorf("%d Promotions into uat before test has verified anything", n)
	}
	s := w.cli("", "why", "1.26.0", w.project+"/uat")
	if !strings.Contains(s.text(), "upstream") {
		t.Errorf("why does not name the gate:\n%s", s.text())
	}
	// Other rules begin other checks.
	w.editStage("test", func(s *v1alpha1.StageSpec) { s.Verification.Checks[1].HTTP.Count = 1 })
	site.status.Store(http.StatusOK)
	p = w.ends(p, v1alpha1.PhaseSucceeded)
	v := p.Status.Verification
	if p.Status.Reason != promotion.ReasonVerified || v.Phase != v1alpha1.CheckSucceeded || v.Run != 2 || len(v.Checks) != 4 {
		t.Errorf("%s: %+v", p.Status.Reason, v)
	}
	w.runs("uat", "1.26.0")
	for _, c := range v.Checks {
		if c.Phase != v1alpha1.CheckSucceeded || c.StartedAt == nil || c.FinishedAt == nil || c.Message == "" {
			t.Errorf("check %+v", c)
		}
		if c.Name == "smoke" && (c.Job == nil || c.Job.Namespace != w.project+"-test" || c.Value != "exit code 0") {
			t.Errorf("the Job: %+v", c)
		}
		if c.Name == "errors" && (c.Value != "0.001" || c.Succeeded != 2) {
			t.Errorf("the query: %+v", c)
		}
	}
	q := w.promotionOf("prod", "1.26.0")
	w.get(q.Name, q)
	if q.Status.Phase != v1alpha1.PhaseVerifying {
		t.Errorf("the Stage with the stuck check is %s: %s", q.Status.Phase, q.Status.Message)
	}
	if s := w.cli("", "abort", w.project+"/"+q.Name); s.code != 0 {
		t.Errorf("abort ended with %d:\n%s", s.code, s.text())
	}
	w.ends(q, v1alpha1.PhaseAborted)
}

// TestFailedVerification: an error rate that is too high takes the version back,
// once, and the mended version flows.
func TestFailedVerification(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "errors")
	w.guestbook()
	site := newSite(t)
	w.pipeline([]string{"test", "uat"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Checks = []v1alpha1.Check{errorRate(site.URL), ping(site.URL, 1, 0)}
	}))
	w.push("1.26.0")
	good := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.runs("uat", "1.26.0")

	site.rate.Store("0.4")
	w.push("1.26.1")
	bad := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseRolledBack)
	v := bad.Status.Verification
	if v.Phase != v1alpha1.CheckFailed || v.Checks[0].Phase != v1alpha1.CheckFailed || v.Checks[0].Value != "0.4" || v.Checks[1].Phase != v1alpha1.CheckSkipped {
		t.Errorf("verification %+v", v)
	}
	w.runs("test", "1.26.0")
	if diff := w.git.Git("guestbook", "diff", "--stat", good.Status.Commit.Commit, w.git.Branch("guestbook", "stage/test")); diff != "" {
		t.Errorf("the tree differs from the good one:\n%s", diff)
	}
	const cause = `check "errors" failed: 0.4: failureCondition "result > 0.05" is true`
	w.freezes(map[string]v1alpha1.FreezeScope{"rejected.test." + bad.Spec.Freight: v1alpha1.FreezeAll}, "rolled back by policy: "+cause)
	if w.isVerified("1.26.1", "test") {
		t.Error("the bad Freight is verified")
	}
	for _, p := range w.promotions("uat") {
		if p.Spec.Freight == bad.Spec.Freight {
			t.Errorf("the bad Freight went on to uat: %s", p.Name)
		}
	}
	s := w.cli("", "history", w.project+"/test")
	if !strings.Contains(s.out, "errors") {
		t.Errorf("history does not name the check:\n%s", s.out)
	}

	site.rate.Store("0.002")
	w.push("1.26.2")
	w.ends(w.promotionOf("test", "1.26.2"), v1alpha1.PhaseSucceeded)
	w.runs("uat", "1.26.2")
	w.settled()
	w.oneCommitEach()
}

// TestInconclusive: what nobody can know is left to a person, who runs the checks
// again, stops them, and takes what was verified back by another run.
func TestInconclusive(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "unknown")
	w.guestbook()
	site := newSite(t)
	site.rate.Store("0.03") // neither good nor bad
	w.pipeline([]string{"test", "uat"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Checks = []v1alpha1.Check{errorRate(site.URL)}
	}))
	w.push("1.26.0")
	p := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseFailed)
	if p.Status.Reason != promotion.ReasonVerificationInconclusive || !strings.Contains(p.Status.Message, "waybill verify unknown/test") {
		t.Errorf("it ended with %s: %s", p.Status.Reason, p.Status.Message)
	}
	if w.isVerified("1.26.0", "test") {
		t.Error("the Freight is verified")
	}
	again := func(action v1alpha1.VerifyAction, run int32) {
		before := p.DeepCopy()
		p.Spec.Verify = &v1alpha1.VerifyRequest{Action: action, Run: run, By: clusterAdmin}
		if err := w.client.Patch(t.Context(), p, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	site.rate.Store("0.001")
	site.hang.Store(true)
	again(v1alpha1.VerifyRun, 2)
	w.eventually("it verifies again", func() error {
		w.get(p.Name, p)
		if p.Status.Phase != v1alpha1.PhaseVerifying || p.Status.Verification.Run != 2 {
			return fmt.Errorf("it is %s, run %d", p.Status.Phase, p.Status.Verification.Run)
		}
		return nil
	})
	again(v1alpha1.VerifyAbort, 2)
	p = w.ends(p, v1alpha1.PhaseFailed)
	if p.Status.Reason != promotion.ReasonVerificationAborted || p.Status.Verification.Phase != v1alpha1.CheckAborted {
		t.Errorf("it ended with %s: %+v", p.Status.Reason, p.Status.Verification)
	}
	site.hang.Store(false)
	again(v1alpha1.VerifyRun, 3)
	w.eventually("it succeeded", func() error {
		w.get(p.Name, p)
		if p.Status.Phase != v1alpha1.PhaseSucceeded {
			return fmt.Errorf("it is %s (%s): %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		return nil
	})
	w.runs("uat", "1.26.0")
	site.rate.Store("0.5")
	again(v1alpha1.VerifyRun, 4)
	w.eventually("it failed", func() error {
		w.get(p.Name, p)
		if p.Status.Reason != promotion.ReasonVerificationFailed || w.isVerified("1.26.0", "test") {
			return fmt.Errorf("it is %s (%s): %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		return nil
	})
	if !strings.Contains(p.Status.Message, "first promotion into this Stage") {
		t.Errorf("it does not say why nothing was reverted: %s", p.Status.Message)
	}
}

// TestFailedJob: exit code, attempts, deadline, and the limits of destinations.
func TestFailedJob(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "jobs")
	w.guestbook()
	w.pipeline([]string{"test"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Parallel = true
		smoke := w.smoke("CrashLoopBackOff")
		smoke.Job.FailureLimit = 1
		v.Checks = []v1alpha1.Check{smoke}
	}))
	w.push("1.26.0")
	p := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseFailed)
	c := p.Status.Verification.Checks[0]
	if c.Phase != v1alpha1.CheckFailed || c.Attempts != 2 || c.Failed != 2 || c.Value != "exit code 1" || !strings.Contains(c.Message, `container "smoke" ended with exit code 1`) {
		t.Errorf("check %+v", c)
	}
	var jobs batchv1.JobList
	if err := w.client.List(t.Context(), &jobs, client.InNamespace(w.project+"-test")); err != nil {
		t.Fatal(err)
	}
	if len(jobs.Items) != 2 {
		t.Errorf("%d Jobs, want one for each attempt", len(jobs.Items))
	}
	w.editStage("test", func(s *v1alpha1.StageSpec) {
		late := w.smoke("ImagePullBackOff")
		late.Job.Deadline = seconds(1)
		s.Verification.Checks = []v1alpha1.Check{late}
	})
	before := p.DeepCopy()
	p.Spec.Verify = &v1alpha1.VerifyRequest{Action: v1alpha1.VerifyRun, Run: 2, By: clusterAdmin}
	if err := w.client.Patch(t.Context(), p, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the deadline ends it", func() error {
		w.get(p.Name, p)
		if v := p.Status.Verification; v.Run != 2 || v.Phase != v1alpha1.CheckFailed || !strings.Contains(v.Message, "deadline") {
			return fmt.Errorf("run %d is %s: %s", v.Run, v.Phase, v.Message)
		}
		return nil
	})
}

// TestVerificationSurvivesACrash: a restarted server goes on with the Job that
// runs, and with what was measured.
func TestVerificationSurvivesACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "verify-crash")
	w.guestbook()
	site := newSite(t)
	w.pipeline([]string{"test"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Parallel = true
		v.Checks = []v1alpha1.Check{w.smoke("ImagePullBackOff"), ping(site.URL, 1000, 0)}
	}))
	w.startServer()
	w.push("1.26.0")
	p := w.promotionOf("test", "1.26.0")
	var uid types.UID
	var measured int32
	running := func() error {
		w.get(p.Name, p)
		v := p.Status.Verification
		if v == nil || v.Checks[0].Job == nil || v.Checks[0].Job.UID == "" || v.Checks[1].Succeeded < measured+2 {
			return fmt.Errorf("it is %s: %+v", p.Status.Phase, v)
		}
		return nil
	}
	w.eventually("the checks run", running)
	uid, measured = types.UID(p.Status.Verification.Checks[0].Job.UID), p.Status.Verification.Checks[1].Succeeded
	w.server.kill()
	w.startServer()
	w.eventually("the checks go on", running)
	if got := types.UID(p.Status.Verification.Checks[0].Job.UID); got != uid || p.Status.Verification.Run != 1 {
		t.Errorf("the Job is %s, was %s; run %d", got, uid, p.Status.Verification.Run)
	}
	var jobs batchv1.JobList
	if err := w.client.List(t.Context(), &jobs, client.InNamespace(w.project+"-test")); err != nil {
		t.Fatal(err)
	}
	if len(jobs.Items) != 1 {
		t.Errorf("%d Jobs, want the one", len(jobs.Items))
	}
	// An abort deletes the Job that runs.
	if s := w.cli("", "abort", w.project+"/"+p.Name); s.code != 0 {
		t.Fatalf("abort ended with %d:\n%s", s.code, s.text())
	}
	p = w.ends(p, v1alpha1.PhaseAborted)
	if c := p.Status.Verification.Checks[0]; c.Phase != v1alpha1.CheckAborted {
		t.Errorf("check %+v", c)
	}
	w.eventually("the Job is gone", func() error {
		var jobs batchv1.JobList
		if err := w.client.List(t.Context(), &jobs, client.InNamespace(w.project+"-test")); err != nil {
			return err
		}
		if len(jobs.Items) > 0 {
			return fmt.Errorf("%d Jobs", len(jobs.Items))
		}
		return nil
	})
}
