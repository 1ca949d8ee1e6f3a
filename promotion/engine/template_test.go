package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// counts is a step without effect that counts its runs.
type counts struct{ n *int }

func (c counts) Run(context.Context, step.Input) (step.Result, error) {
	*c.n++
	return step.Result{}, nil
}

// once is a step that is not run again when it is done.
type once func(in step.Input) (step.Result, error)

func (o once) Run(_ context.Context, in step.Input) (step.Result, error) { return o(in) }
func (once) NeedsWorkspace() bool                                        { return false }

func states(p *v1alpha1.Promotion) string {
	var out []string
	for _, st := range p.Status.Steps {
		out = append(out, string(st.State))
	}
	return strings.Join(out, " ")
}

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// TestIfAndFailure: after a failure only what asks for it runs, a failure that
// is to be passed over fails nothing, and the run ends with the first that counts.
func TestIfAndFailure(t *testing.T) {
	boom := does(func() (step.Result, error) { return step.Result{}, step.Terminal("Boom", errors.New("boom")) })
	fine := does(func() (step.Result, error) { return step.Result{}, nil })
	e := &engine.Engine{Steps: map[string]step.Step{"boom": boom, "fine": fine}, Clock: clocktesting.NewFakePassiveClock(start)}
	for name, c := range map[string]struct {
		uses  string
		ifs   map[int]string
		goOn  int
		want  string
		fails string
	}{
		"all well":           {"fine fine", nil, -1, "Succeeded Succeeded", ""},
		"the rest is left":   {"boom fine", nil, -1, "Failed Skipped", "Boom"},
		"cleaning up":        {"boom fine fine", map[int]string{1: "${{ failure() }}", 2: "always()"}, -1, "Failed Succeeded Succeeded", "Boom"},
		"not after success":  {"fine fine", map[int]string{1: "failure()"}, -1, "Succeeded Skipped", ""},
		"passed over":        {"boom fine", nil, 0, "Failed Succeeded", ""},
		"by state":           {"boom fine", map[int]string{1: "status('boom-1') == 'Failed'"}, 0, "Failed Succeeded", ""},
		"a bad condition":    {"fine", map[int]string{0: "ctx.stage"}, -1, "Failed", "InvalidExpression"},
		"skipped goes on":    {"fine fine", map[int]string{0: "false"}, -1, "Skipped Succeeded", ""},
		"two failures, once": {"boom boom", map[int]string{1: "always()"}, -1, "Failed Failed", "Boom"},
	} {
		t.Run(name, func(t *testing.T) {
			p := running(strings.Fields(c.uses)...)
			for i, s := range c.ifs {
				p.Status.Plan.Steps[i].If = s
			}
			if c.goOn >= 0 {
				p.Status.Plan.Steps[c.goOn].ContinueOnError = true
			}
			out := e.Run(t.Context(), p, func(context.Context) error { return nil })
			if got := states(p); got != c.want {
				t.Errorf("states %s, want %s", got, c.want)
			}
			if c.fails == "" != out.Done || c.fails != "" && (out.Failed == nil || out.Failed.Reason != c.fails) {
				t.Errorf("outcome %+v", out)
			}
		})
	}
}

// TestWaitingCostsNothing: what waits does not repeat the steps before it, writes
// nothing between, and goes on when it is done.
func TestWaitingCostsNothing(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(start)
	prepared, asked, saved := 0, 0, 0
	e := &engine.Engine{Clock: clock, Steps: map[string]step.Step{
		"prepare": counts{&prepared},
		"wait": once(func(step.Input) (step.Result, error) {
			if asked++; asked < 4 {
				return step.Result{Wait: 30 * time.Second, Message: "not merged yet"}, nil
			}
			return step.Result{Output: map[string]any{"commit": "abc"}}, nil
		}),
		"after": counts{&prepared},
	}}
	p := running("prepare", "wait", "after")
	save := func(context.Context) error { saved++; return nil }
	out := e.Run(t.Context(), p, save)
	for range 3 {
		if out.Waiting != "not merged yet" || !out.RetryAt.Equal(clock.Now().Add(30*time.Second)) {
			t.Fatalf("while it waits: %+v", out)
		}
		clock.SetTime(clock.Now().Add(10 * time.Second))
		if again := e.Run(t.Context(), p, save); again.Waiting != "" || !again.RetryAt.Equal(out.RetryAt) {
			t.Fatalf("too early: %+v", again)
		}
		clock.SetTime(out.RetryAt)
		out = e.Run(t.Context(), p, save)
	}
	// Once before the wait, and again for the step that needs the files after it.
	if !out.Done || asked != 4 || prepared != 3 || saved != 1 {
		t.Errorf("outcome %+v, asked %d times, prepared %d times, saved %d times", out, asked, prepared, saved)
	}
}

// TestTimeoutAndThreshold: a step that is tried again ends in time, and after as
// many errors as it may have.
func TestTimeoutAndThreshold(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(start)
	e := &engine.Engine{Clock: clock, Steps: map[string]step.Step{
		"flaky": does(func() (step.Result, error) { return step.Result{}, errors.New("unreachable") }),
		"waits": once(func(step.Input) (step.Result, error) { return step.Result{Wait: time.Hour, Message: "not yet"}, nil }),
	}}
	for name, c := range map[string]struct {
		uses, reason string
		retry        v1alpha1.StepRetry
		after        time.Duration
	}{
		"errors":  {"flaky", "ErrorThreshold", v1alpha1.StepRetry{ErrorThreshold: 3}, 3 * time.Second},
		"one":     {"flaky", "ErrorThreshold", v1alpha1.StepRetry{ErrorThreshold: 1}, 0},
		"time":    {"flaky", "StepTimeout", v1alpha1.StepRetry{Timeout: &metav1.Duration{Duration: 10 * time.Second}}, 10 * time.Second},
		"waiting": {"waits", "StepTimeout", v1alpha1.StepRetry{Timeout: &metav1.Duration{Duration: 10 * time.Second}}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			clock.SetTime(start)
			p := running(c.uses)
			p.Status.Plan.Steps[0].Retry = &c.retry
			var out engine.Outcome
			for range 20 {
				if out = e.Run(t.Context(), p, func(context.Context) error { return nil }); out.Failed != nil {
					break
				}
				clock.SetTime(out.RetryAt)
			}
			if out.Failed == nil || out.Failed.Reason != c.reason || clock.Now().Sub(start) != c.after {
				t.Errorf("after %s: %+v", clock.Now().Sub(start), out)
			}
		})
	}
}

// reveals is a lookup of one secret.
type reveals struct{}

func (reveals) Functions(_ context.Context, _ *v1alpha1.Promotion, reveal func(secret.Text)) map[string]expression.Function {
	return map[string]expression.Function{"secret": func(...any) (any, error) {
		reveal(secret.New("hunter2-hunter2"))
		return map[string]any{"token": "hunter2-hunter2"}, nil
	}}
}

// TestSecretsStayOut: what a step makes of a secret reaches its step, and no
// status.
func TestSecretsStayOut(t *testing.T) {
	var got string
	e := &engine.Engine{Lookups: reveals{}, Clock: clocktesting.NewFakePassiveClock(start), Steps: map[string]step.Step{
		"send": once(func(in step.Input) (step.Result, error) {
			got = string(in.Config)
			return step.Result{Message: "sent " + got, Output: map[string]any{"config": got}}, nil
		}),
	}}
	p := running("send")
	p.Status.Plan.Steps[0].Config = &runtime.RawExtension{Raw: []byte(`{"token": "${{ secret('x').token }}"}`)}
	e.Run(t.Context(), p, func(context.Context) error { return nil })
	if !strings.Contains(got, "hunter2-hunter2") {
		t.Errorf("the step got %q", got)
	}
	st := p.Status.Steps[0]
	if st.State != v1alpha1.StepSucceeded || strings.Contains(st.Message+string(st.Output.Raw), "hunter2") {
		t.Errorf("the status says %q %s", st.Message, st.Output.Raw)
	}
}

// TestOnceIsAnnounced: what is not begun twice is durable before it begins, and a
// status that is out of date keeps it from beginning.
func TestOnceIsAnnounced(t *testing.T) {
	began := 0
	e := &engine.Engine{Clock: clocktesting.NewFakePassiveClock(start), Steps: map[string]step.Step{
		"send": once(func(step.Input) (step.Result, error) { began++; return step.Result{}, nil }),
	}}
	p := running("send")
	conflict := errors.New("it was changed")
	if out := e.Run(t.Context(), p, func(context.Context) error { return conflict }); !errors.Is(out.StopErr, conflict) || began != 0 {
		t.Errorf("outcome %+v, began %d times", out, began)
	}
	p = running("send")
	out := e.Run(t.Context(), p, func(context.Context) error {
		if d := cmp.Diff(v1alpha1.StepRunning, p.Status.Steps[0].State); d != "" || !p.Status.Steps[0].Once || began != 0 {
			t.Errorf("when it is announced: %+v, began %d", p.Status.Steps[0], began)
		}
		return nil
	})
	if !out.Done || began != 1 {
		t.Errorf("outcome %+v, began %d times", out, began)
	}
	if out := e.Run(t.Context(), p, nil); !out.Done || began != 1 {
		t.Errorf("again: %+v, began %d times", out, began)
	}
}
