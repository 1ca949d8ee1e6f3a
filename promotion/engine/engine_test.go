package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// does is a step without effect that does what a test says.
type does func() (step.Result, error)

func (d does) Run(context.Context, step.Input) (step.Result, error) { return d() }

func running(uses ...string) *v1alpha1.Promotion {
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Name = "guestbook", "test.1.f1"
	p.Status.Plan = &v1alpha1.PromotionPlan{}
	p.Status.StartedAt = &metav1.MicroTime{Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	for i, u := range uses {
		as := fmt.Sprintf("%s-%d", u, i+1)
		p.Status.Plan.Steps = append(p.Status.Plan.Steps, v1alpha1.PlanStep{Uses: u, As: as})
		p.Status.Steps = append(p.Status.Steps, v1alpha1.StepStatus{Uses: u, As: as, State: v1alpha1.StepPending})
	}
	return p
}

// maxMessage is what the CRD takes for the message of a step, in characters.
const maxMessage = 2048

// TestMessagesFitTheStatus: a message that the API server refuses would leave
// the Promotion running for ever, with its Stage.
func TestMessagesFitTheStatus(t *testing.T) {
	long := strings.Repeat("stages/prod/very-long-name.yaml, ", 1000)
	for why, run := range map[string]does{
		"a revert in conflict with a thousand files": func() (step.Result, error) {
			return step.Result{}, step.Terminal("RevertConflict", errors.New(long))
		},
		"an error to try again after": func() (step.Result, error) { return step.Result{}, errors.New(long) },
		"sixty-four images set":       func() (step.Result, error) { return step.Result{Message: long}, nil },
		"text that is not UTF-8":      func() (step.Result, error) { return step.Result{}, errors.New("\xff\xfe" + long) },
	} {
		e := &engine.Engine{Steps: map[string]step.Step{"x": run}, Clock: clocktesting.NewFakePassiveClock(time.Now())}
		p := running("x")
		e.Run(t.Context(), p, func(context.Context) error { return nil })
		if n := len([]rune(p.Status.Steps[0].Message)); n > maxMessage || n == 0 {
			t.Errorf("%s: a message of %d characters", why, n)
		}
	}
}

// TestPanicFailsTheStep: one object must not stop the others, and must not
// panic again for ever.
func TestPanicFailsTheStep(t *testing.T) {
	e := &engine.Engine{
		Steps: map[string]step.Step{"x": does(func() (step.Result, error) { panic("secret-in-a-panic") })},
		Clock: clocktesting.NewFakePassiveClock(time.Now()),
	}
	p := running("x")
	out := e.Run(t.Context(), p, func(context.Context) error { return nil })
	if out.Failed == nil || out.Failed.Reason != "InternalError" {
		t.Fatalf("after a panic: %+v", out)
	}
	if p.Status.Steps[0].State != v1alpha1.StepFailed || strings.Contains(p.Status.Steps[0].Message, "secret-in-a-panic") {
		t.Errorf("the step shows %+v", p.Status.Steps[0])
	}
}

// pushes is a step with effect that counts what reaches the world.
type pushes struct {
	intent *v1alpha1.CommitIntent
	pushed *int
}

func (p pushes) Prepare(context.Context, step.Input) (*v1alpha1.CommitIntent, error) {
	return p.intent, nil
}

func (p pushes) Probe(context.Context, step.Input) (step.Result, bool, error) {
	return step.Result{}, false, nil
}

func (p pushes) Run(context.Context, step.Input) (step.Result, error) {
	*p.pushed++
	return step.Result{}, nil
}

// TestNothingIsPushedForAPromotionThatChanged: a run that goes on with the
// intent it recorded before still has to learn that the Promotion has ended
// since, which a cache that lags behind does not say.
func TestNothingIsPushedForAPromotionThatChanged(t *testing.T) {
	pushed := 0
	intent := v1alpha1.CommitIntent{Branch: "stage/test", Commit: "c1"}
	e := &engine.Engine{
		Steps: map[string]step.Step{"push": pushes{intent: &intent, pushed: &pushed}},
		Clock: clocktesting.NewFakePassiveClock(time.Now()),
	}
	p := running("push")
	recorded := intent
	p.Status.Steps[0].State, p.Status.Steps[0].Intent = v1alpha1.StepRunning, &recorded
	changed := errors.New("it was changed")
	out := e.Run(t.Context(), p, func(context.Context) error { return changed })
	if !errors.Is(out.StopErr, changed) || pushed != 0 {
		t.Errorf("outcome %+v, pushed %d times", out, pushed)
	}
}

// TestStalePlanStopsTheRun: what the plan was made from is gone, so nothing
// is done and nothing is tried again.
func TestStalePlanStopsTheRun(t *testing.T) {
	pushed := 0
	e := &engine.Engine{
		Steps: map[string]step.Step{
			"clone": does(func() (step.Result, error) { return step.Result{}, fmt.Errorf("%w: moved", step.ErrStale) }),
			"push":  pushes{intent: &v1alpha1.CommitIntent{Commit: "c1"}, pushed: &pushed},
		},
		Clock: clocktesting.NewFakePassiveClock(time.Now()),
	}
	out := e.Run(t.Context(), running("clone", "push"), func(context.Context) error { return nil })
	if !errors.Is(out.Stale, step.ErrStale) || out.Done || pushed != 0 {
		t.Errorf("outcome %+v, pushed %d times", out, pushed)
	}
}

// arrived is a push whose answer was lost.
type arrived struct{ pushes }

func (arrived) Probe(context.Context, step.Input) (step.Result, bool, error) {
	return step.Result{Commit: &v1alpha1.PromotionCommit{Commit: "c1"}}, true, nil
}

// TestPushThatArrivedIsNotPlannedAnew: after a crash behind the push the branch
// is where that push left it, which is no reason for a new plan.
func TestPushThatArrivedIsNotPlannedAnew(t *testing.T) {
	pushed := 0
	intent := v1alpha1.CommitIntent{Branch: "stage/test", Commit: "c1"}
	e := &engine.Engine{
		Steps: map[string]step.Step{
			"clone": does(func() (step.Result, error) { return step.Result{}, fmt.Errorf("%w: moved", step.ErrStale) }),
			"push":  arrived{pushes{intent: &intent, pushed: &pushed}},
		},
		Clock: clocktesting.NewFakePassiveClock(time.Now()),
	}
	p := running("clone", "push")
	p.Status.Steps[0].State = v1alpha1.StepSucceeded
	p.Status.Steps[1].State, p.Status.Steps[1].Intent = v1alpha1.StepRunning, &intent
	out := e.Run(t.Context(), p, func(context.Context) error { return nil })
	if !out.Done || out.Stale != nil || pushed != 0 {
		t.Errorf("outcome %+v, pushed %d times", out, pushed)
	}
	if c := p.Status.Commit; c == nil || c.Commit != "c1" || c.Unchanged {
		t.Errorf("commit %+v", c)
	}
}
