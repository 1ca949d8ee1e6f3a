// Package runjob is the step run-job: it runs any container as a Kubernetes Job
// in the Stage's cluster and namespace, waits until it has ended, and keeps the
// end of its log.
//
// There is exactly one Job per step and promotion, whatever is killed in
// between: its place and name are recorded before it is created, it is created
// suspended, and it is released when its UID is recorded. A Job that was
// deleted fails the step and is not created again. To abort the promotion, or
// the timeout of the step, deletes it; one that ended stays for an hour. It is
// watched, not polled.
//
// The container gets no token of a service account unless template names the
// account, and without a template no privileges. What a secret() expression puts
// into env can be read in the Job by who may read Jobs there; valueFrom with a
// secretKeyRef of the Stage's own namespace cannot.
//
// Output: exitCode; message, what the container wrote to its termination message
// (/dev/termination-log, at most 4096 bytes), and result, the same read as JSON
// when it is JSON; job, where the Job is. A failed Job has them too, for steps
// with if: ${{ failure() }}.
package runjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/jobs"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

const (
	// at once: what was recorded is looked at in the next pass.
	atOnce = time.Millisecond
	// poll is how often a Job is looked at that cannot be watched.
	poll = 15 * time.Second
)

// Config of run-job.
type Config struct {
	// Image of the container. It may be left out when template has it.
	Image string `json:"image,omitempty"`
	// Command of the container; default: the image's.
	Command []string `json:"command,omitempty"`
	// Args of the command; default: the image's.
	Args []string `json:"args,omitempty"`
	// Env are variables of the environment.
	Env []Variable `json:"env,omitempty"`
	// Template of the Pod, as in a Job: metadata and spec. image, command, args and
	// env are laid over its first container. restartPolicy is Never.
	Template map[string]any `json:"template,omitempty"`
	// Deploy names the deploy entry of the Stage whose cluster and namespace the
	// Job runs in; default: the first.
	Deploy string `json:"deploy,omitempty"`
	// Deadline after which the Job is stopped and has failed; default 10m, at most
	// 24h.
	Deadline string `json:"deadline,omitempty"`
	// BackoffLimit is how many more pods are tried after one that failed; default
	// 0, at most 10.
	BackoffLimit int64 `json:"backoffLimit,omitempty"`
}

// Variable is one of the environment.
type Variable struct {
	// Name of the variable.
	Name string `json:"name"`
	// Value of it.
	Value string `json:"value,omitempty"`
	// ValueFrom says where the value is, as in a Pod: secretKeyRef, configMapKeyRef,
	// fieldRef.
	ValueFrom map[string]any `json:"valueFrom,omitempty"`
}

// Jobs run in the clusters of Stages.
type Jobs interface {
	// Place returns where the Job of a step of p runs.
	Place(ctx context.Context, p *v1alpha1.Promotion, step, deploy string) (v1alpha1.CheckJobReference, error)
	// Look takes a Job one step further.
	Look(ctx context.Context, j jobs.Job) (jobs.Sight, error)
	// Stop deletes a Job.
	Stop(ctx context.Context, ref v1alpha1.CheckJobReference) error
}

// Step is run-job.
type Step struct {
	// Jobs of the clusters.
	Jobs Jobs
}

var (
	_ step.Once    = Step{}
	_ step.Stopper = Step{}
)

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run takes the Job one step further.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	job, deploy, err := read(in)
	if err != nil {
		return step.Result{}, err
	}
	ref, isRecorded := recorded(in.Recorded)
	if !isRecorded {
		ref, err = s.Jobs.Place(ctx, in.Promotion, in.As, deploy)
		if err != nil {
			return step.Result{}, placeError(err)
		}
		return waiting(ref, "the Job is about to be created", atOnce), nil
	}
	job.Ref = ref
	sight, err := s.Jobs.Look(ctx, job)
	if err != nil {
		return step.Result{}, placeError(err)
	}
	switch sight.State {
	case jobs.Created:
		ref.UID = sight.UID
		return waiting(ref, sight.Message, atOnce), nil
	case jobs.Running:
		return waiting(ref, sight.Message, poll), nil
	case jobs.Succeeded:
		return step.Result{Message: fmt.Sprintf("Job %q completed", jobs.Path(ref)), Output: output(ref, sight), Log: sight.Log}, nil
	case jobs.Failed:
		return step.Result{Output: output(ref, sight), Log: sight.Log},
			step.Terminal("JobFailed", fmt.Errorf("Job %q: %s", jobs.Path(ref), sight.Message))
	case jobs.Lost:
		return step.Result{}, step.Terminal("JobLost", errors.New(sight.Message))
	case jobs.Refused:
		return step.Result{}, step.Terminal("JobRefused", errors.New(sight.Message))
	default:
		return step.Result{}, errors.New(sight.Message)
	}
}

// Stop deletes the Job.
func (s Step) Stop(ctx context.Context, in step.Input) error {
	ref, isRecorded := recorded(in.Recorded)
	if !isRecorded || s.Jobs == nil {
		return nil
	}
	return s.Jobs.Stop(ctx, ref) //nolint:wrapcheck // names the Job
}

// read returns the Job that the configuration describes, and its deploy entry.
func read(in step.Input) (jobs.Job, string, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return jobs.Job{}, "", err
	}
	j := jobs.Job{Promotion: in.Promotion, Kind: "step", Name: in.As}
	env := make([]any, 0, len(c.Env))
	for _, v := range c.Env {
		env = append(env, v)
	}
	var err error
	if j.Deadline, err = promotion.JobDeadline(c.Deadline); err != nil {
		return j, "", step.Terminal(promotion.ReasonInvalidConfig, err)
	}
	if j.BackoffLimit, err = promotion.JobRetries(c.BackoffLimit); err != nil {
		return j, "", step.Terminal(promotion.ReasonInvalidConfig, err)
	}
	j.Template, err = promotion.JobTemplate(c.Template, promotion.JobContainer{Image: c.Image, Command: c.Command, Args: c.Args, Env: env})
	if err != nil {
		return j, "", step.Terminal(promotion.ReasonInvalidConfig, err)
	}
	return j, c.Deploy, nil
}

// outputs is what the step leaves for others, and for itself after a restart.
type outputs struct {
	Job      v1alpha1.CheckJobReference `json:"job"`
	ExitCode *int32                     `json:"exitCode,omitempty"`
	Message  string                     `json:"message,omitempty"`
	Result   any                        `json:"result,omitempty"`
}

// recorded returns the Job that an earlier pass recorded.
func recorded(raw *runtime.RawExtension) (v1alpha1.CheckJobReference, bool) {
	var o outputs
	if raw == nil || json.Unmarshal(raw.Raw, &o) != nil || o.Job.Name == "" {
		return v1alpha1.CheckJobReference{}, false
	}
	return o.Job, true
}

func waiting(ref v1alpha1.CheckJobReference, message string, wait time.Duration) step.Result {
	return step.Result{Wait: wait, Message: fmt.Sprintf("Job %q: %s", jobs.Path(ref), message), Output: asMap(outputs{Job: ref})}
}

// output reads the termination message as JSON when it is a document; a bare
// word or number stays text.
func output(ref v1alpha1.CheckJobReference, s jobs.Sight) map[string]any {
	o := outputs{Job: ref, ExitCode: s.ExitCode, Message: strings.TrimSpace(s.Termination)}
	if strings.HasPrefix(o.Message, "{") || strings.HasPrefix(o.Message, "[") {
		if json.Unmarshal([]byte(o.Message), &o.Result) != nil {
			o.Result = nil
		}
	}
	return asMap(o)
}

func asMap(o outputs) map[string]any {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil // plain data always encodes
	}
	var m map[string]any
	_ = json.Unmarshal(raw, &m) // what was just encoded
	return m
}

// placeError tells what only another definition mends.
func placeError(err error) error {
	if errors.Is(err, promotion.ErrJobPlace) {
		return step.Terminal("JobRefused", err)
	}
	return err
}
