// Package yamlparse is the step yaml-parse: it reads values out of a YAML file.
// Output: what outputs names.
package yamlparse

import (
	"context"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of yaml-parse.
type Config struct {
	// Path of the file.
	Path string `json:"path"`
	// Outputs to read.
	Outputs []Output `json:"outputs"`
}

// Output is one value to read.
type Output struct {
	// Name under which later steps find it.
	Name string `json:"name"`
	// FromExpression says where it is, with the fields of the file as variables:
	// image.tag. It is written without brackets.
	FromExpression string `json:"fromExpression"`
}

// Step is yaml-parse.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run reads the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	raw, err := in.ReadFile(c.Path)
	if err != nil {
		return step.Result{}, err
	}
	var document map[string]any
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return step.Result{}, step.Reasoned("FileInvalid", fmt.Errorf("file %q: %w", c.Path, err))
	}
	wanted := make([]step.Extract, len(c.Outputs))
	for i, o := range c.Outputs {
		wanted[i] = step.Extract(o)
	}
	out, err := step.ExtractFrom(in, document, wanted)
	return step.Result{Output: out}, err
}
