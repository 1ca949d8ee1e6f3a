// Package yamlparse is the step yaml-parse: it reads values out of a YAML file.
// Output: what outputs names.
package yamlparse

import (
	"context"

	"github.com/waybill-dev/waybill/promotion/steps/document"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"go.yaml.in/yaml/v3"
)

// Step is yaml-parse.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(document.Reading) }

// Run reads the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	return document.Read(in, yaml.Unmarshal)
}
