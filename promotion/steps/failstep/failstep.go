// Package failstep is the step fail: it fails the promotion on purpose, with a
// message. With if it stops what must not go on.
package failstep

import (
	"cmp"
	"context"
	"errors"

	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of fail.
type Config struct {
	// Message that people read.
	Message string `json:"message,omitempty"`
}

// Step is fail.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run fails.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	return step.Result{}, step.Terminal("FailedOnPurpose", errors.New(cmp.Or(c.Message, "a fail step ran")))
}
