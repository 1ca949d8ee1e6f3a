package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

func (r *run) started(i int) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	if st.StartedAt == nil {
		st.StartedAt = &now
	}
	st.State, st.RetryAt = v1alpha1.StepRunning, nil
}

func (r *run) skipped(i int) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	st.State, st.FinishedAt = v1alpha1.StepSkipped, &now
}

func (r *run) succeeded(i int, result step.Result) {
	st := &r.promotion.Status.Steps[i]
	now := metav1.MicroTime{Time: r.Clock.Now()}
	st.State, st.FinishedAt, st.RetryAt, st.Message, st.Reason = v1alpha1.StepSucceeded, &now, nil, r.fit(result.Message), ""
	if result.Skipped {
		st.State = v1alpha1.StepSkipped
	}
	st.Attempts++
	if st.StartedAt == nil {
		st.StartedAt = &now
	}
	r.record(st, result)
	if result.Commit != nil {
		promotion.RecordCommit(&r.promotion.Status, *result.Commit)
	}
}

// record keeps what a step found out, without what it knows of secrets.
func (r *run) record(st *v1alpha1.StepStatus, result step.Result) {
	if result.Log != "" {
		st.Log = promotion.Tail(r.masked(result.Log), promotion.MaxLog)
	}
	if result.Output == nil {
		return
	}
	raw, err := json.Marshal(result.Output)
	if err != nil {
		return
	}
	if len(raw) > maxOutput {
		raw, _ = json.Marshal(map[string]any{"truncated": fmt.Sprintf("the output has %d bytes, more than %d", len(raw), maxOutput)})
	}
	st.Output = &runtime.RawExtension{Raw: []byte(r.masked(string(raw)))}
}

// waiting leaves the step until it is time to look again.
func (r *run) waiting(i int, result step.Result) *Outcome {
	st := &r.promotion.Status.Steps[i]
	at := r.Clock.Now().Add(result.Wait)
	if end := deadline(r.promotion, i); !end.IsZero() && end.Before(at) {
		at = end
	}
	st.State, st.RetryAt, st.Attempts = v1alpha1.StepWaiting, &metav1.MicroTime{Time: at}, 0
	st.Message, st.Reason = r.fit(result.Message), ""
	r.record(st, result)
	return &Outcome{RetryAt: at, Waiting: cmp.Or(st.Message, "waiting")}
}

// deadline is when a step has to be done; zero: it has no timeout.
func deadline(p *v1alpha1.Promotion, i int) time.Time {
	retry, st := p.Status.Plan.Steps[i].Retry, &p.Status.Steps[i]
	if retry == nil || retry.Timeout == nil || retry.Timeout.Duration <= 0 || st.StartedAt == nil {
		return time.Time{}
	}
	return st.StartedAt.Add(retry.Timeout.Duration)
}

// expire fails a step whose time is over, and reports whether it was.
func (r *run) expire(ctx context.Context, i int) bool {
	end, st := deadline(r.promotion, i), &r.promotion.Status.Steps[i]
	if end.IsZero() || r.Clock.Now().Before(end) || st.Intent != nil {
		return false
	}
	err := fmt.Errorf("not done %s after it began", r.promotion.Status.Plan.Steps[i].Retry.Timeout.Duration)
	if st.Message != "" {
		err = fmt.Errorf("%w: %s", err, st.Message)
	}
	if stopErr := r.stop(ctx, i); stopErr != nil {
		err = fmt.Errorf("%w; and what it began may still run: %w", err, stopErr)
	}
	return r.failed(i, step.Terminal("StepTimeout", err)) == nil
}

// stop ends what step i left running while it waits.
func (r *run) stop(ctx context.Context, i int) error {
	st := &r.promotion.Status.Steps[i]
	s, ok := r.Steps[st.Uses].(step.Stopper)
	if !ok || !st.Once || promotion.HasEnded(st.State) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	return s.Stop(ctx, r.bareInput(i)) //nolint:wrapcheck // names what it is about already
}

// failed records an error: terminal ones end the step and return nil, others set
// when to try again.
func (r *run) failed(i int, err error) *Outcome {
	st := &r.promotion.Status.Steps[i]
	now := r.Clock.Now()
	st.Attempts++
	st.Message = r.fit(err.Error())
	if st.StartedAt == nil {
		st.StartedAt = &metav1.MicroTime{Time: now}
	}
	if errors.Is(err, step.ErrRetryNow) {
		return &Outcome{Err: err}
	}
	if errors.Is(err, step.ErrStale) {
		return &Outcome{Stale: err}
	}
	var terminal *step.TerminalError
	retry := r.promotion.Status.Plan.Steps[i].Retry
	if !errors.As(err, &terminal) && retry != nil && retry.ErrorThreshold > 0 && st.Attempts >= retry.ErrorThreshold {
		terminal = &step.TerminalError{Reason: "ErrorThreshold", Err: err}
	}
	if terminal != nil {
		st.State, st.FinishedAt, st.RetryAt, st.Reason = v1alpha1.StepFailed, &metav1.MicroTime{Time: now}, nil, terminal.Reason
		return nil
	}
	at := now.Add(promotion.RetryDelay(st.Attempts))
	if end := deadline(r.promotion, i); !end.IsZero() && end.Before(at) {
		at = end
	}
	st.State, st.RetryAt = v1alpha1.StepWaiting, &metav1.MicroTime{Time: at}
	return &Outcome{RetryAt: at, Err: err}
}

const (
	// progressEvery is how old the recorded progress may be when a step begins.
	progressEvery = time.Second
	// maxOutput bounds what one step may leave for others, in bytes: it is part
	// of the object.
	maxOutput = 32 << 10
	// stopTime bounds the stop of what a step left running.
	stopTime = 5 * time.Second
)

// maxMessage is what the CRD takes for the message of a step. One that is
// refused would leave the Promotion as it was, for ever.
const maxMessage = 2048

func (r *run) fit(message string) string {
	return promotion.Shorten(strings.ToValidUTF8(r.masked(message), "?"), maxMessage)
}

// masked returns text without the secrets that this run has seen.
func (r *run) masked(text string) string {
	if len(r.secrets) == 0 {
		return text
	}
	return secret.Redact(text, r.secrets...)
}
