// Package composeoutput is the step compose-output: it gives values names, for
// later steps and, in a PromotionTask, for whoever calls the task. Output: every
// field of its configuration.
package composeoutput

import (
	"context"

	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of compose-output: any names and values.
type Config map[string]any

// Step is compose-output.
type Step struct{}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run returns the configuration.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	return step.Result{Output: c}, nil
}
