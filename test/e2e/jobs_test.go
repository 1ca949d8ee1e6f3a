package e2e

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion/engine"
)

// migrates adds a Job to the steps of a Stage.
func (w *world) migrates(s *v1alpha1.StageSpec, at int, more map[string]any) {
	c := map[string]any{
		"image":   "${{ imageFrom('" + w.registry.Name("guestbook") + "').RepoURL }}:migrate",
		"command": []string{"true"}, "env": []any{map[string]any{"name": "STAGE", "value": "${{ ctx.stage }}"}},
	}
	for k, v := range more {
		c[k] = v
	}
	steps := s.PromotionTemplate.Spec.Steps
	job := v1alpha1.PromotionStep{Uses: "run-job", As: "migrate", Config: config(w.t, c)}
	s.PromotionTemplate.Spec.Steps = append(steps[:at:at], append([]v1alpha1.PromotionStep{job}, steps[at:]...)...)
}

// jobsOf returns the Jobs of a Promotion, and how many of them were released.
func (w *world) jobsOf(p *v1alpha1.Promotion) (all []batchv1.Job, released int) {
	w.t.Helper()
	var list batchv1.JobList
	if err := w.client.List(w.t.Context(), &list, client.MatchingLabels{"waybill.dev/promotion-uid": string(p.UID)}); err != nil {
		w.t.Fatal(err)
	}
	for i := range list.Items {
		if !*list.Items[i].Spec.Suspend {
			released++
		}
	}
	return list.Items, released
}

func (w *world) oneJob(p *v1alpha1.Promotion) {
	w.t.Helper()
	if all, released := w.jobsOf(p); len(all) != 1 || released != 1 {
		w.t.Errorf("%s: %d Jobs, of which %d ran; want one", p.Name, len(all), released)
	}
}

// TestCrashInAJob kills waybilld at every point of the step run-job: one Job
// runs, and the promotion goes on. Aborted, it leaves none.
func TestCrashInAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "jobs")
	w.guestbook()
	w.startServer()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0") // its namespace is there
	w.cluster.Apply(t, fmt.Sprintf(renderTask, w.project))
	w.editStage("test", func(s *v1alpha1.StageSpec) {
		stage := &v1alpha1.Stage{Spec: *s}
		w.renders(stage)
		*s = stage.Spec
		w.migrates(s, 5, nil)
	})
	for i, tt := range []struct {
		point     string
		all, runs int
	}{
		// The first hit of each point is the push.
		{engine.FailBeforeIntent + "=kill@2", 0, 0},
		{engine.FailAfterIntent + "=kill@2", 0, 0}, // before its place is known
		{engine.FailAfterEffect + "=kill@2", 0, 0},
		{engine.FailAfterIntent + "=kill@3", 0, 0}, // before it is created
		{engine.FailAfterEffect + "=kill@3", 1, 0},
		{engine.FailAfterIntent + "=kill@4", 1, 0}, // before it is released
		{engine.FailAfterEffect + "=kill@4", 1, 1},
		{engine.FailAfterIntent + "=kill@5", 1, 1}, // while it runs
	} {
		t.Run(tt.point, func(t *testing.T) {
			w := w.in(t)
			tag := fmt.Sprintf("1.27.%d", i)
			w.server.stop()
			w.startServer(failpoint.Env + "=" + tt.point)
			w.push(tag)
			w.eventually("waybilld kills itself", w.server.wasKilled)
			p := w.promotionOf("test", tag)
			all, released := w.jobsOf(p)
			// A pass on an old copy of the Promotion asks once more what the one before
			// did, and counts: then the crash is one place earlier, never later.
			isEarlier := strings.HasPrefix(tt.point, engine.FailAfterIntent) && len(all) <= tt.all && released <= tt.runs
			if !isEarlier && (len(all) != tt.all || released != tt.runs) {
				t.Errorf("at the crash: %d Jobs, of which %d ran; want %d and %d", len(all), released, tt.all, tt.runs)
			}
			w.startServer()
			w.ends(p, v1alpha1.PhaseSucceeded)
			w.runs("test", tag)
			w.oneJob(p)
			w.oneCommitEach()
		})
	}
	t.Run("abort", func(t *testing.T) { w.in(t).abortsAJob() })
}

// abortsAJob: who aborts a promotion ends its Job.
func (w *world) abortsAJob() {
	w.editStage("test", func(s *v1alpha1.StageSpec) {
		s.PromotionTemplate.Spec.Steps = append(s.PromotionTemplate.Spec.Steps[:5:5], s.PromotionTemplate.Spec.Steps[6:]...)
		w.migrates(s, 0, map[string]any{"template": map[string]any{"spec": map[string]any{"nodeSelector": map[string]any{"no": "such-node"}}}})
	})
	w.push("1.28.0")
	p := w.promotionOf("test", "1.28.0")
	w.eventually("its Job runs", func() error {
		if _, released := w.jobsOf(p); released != 1 {
			return fmt.Errorf("%d Jobs run", released)
		}
		return nil
	})
	w.eventually("it says what it waits for", func() error {
		if w.get(p.Name, p); !strings.Contains(p.Status.Message, `Job "`+w.project+"-test/promote-test-migrate-") {
			return fmt.Errorf("the message is %q", p.Status.Message)
		}
		return nil
	})
	if s := w.cli("", "abort", w.project+"/"+p.Name); s.code != 0 {
		w.t.Errorf("abort ended with %d:\n%s", s.code, s.text())
	}
	w.ends(p, v1alpha1.PhaseAborted)
	w.eventually("its Job is gone", func() error {
		if all, _ := w.jobsOf(p); len(all) != 0 {
			return fmt.Errorf("there is %s", all[0].Name)
		}
		return nil
	})
}
