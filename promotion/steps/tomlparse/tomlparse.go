// Package tomlparse is the step toml-parse: it reads values out of a TOML file.
// Output: what outputs names.
package tomlparse

import (
	"context"

	"github.com/BurntSushi/toml"
	"github.com/waybill-dev/waybill/promotion/steps/document"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Step is toml-parse.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(document.Reading) }

// Run reads the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	return document.Read(in, toml.Unmarshal)
}
