// Package jsonparse is the step json-parse: it reads values out of a JSON file.
// Output: what outputs names.
package jsonparse

import (
	"context"
	"encoding/json"

	"github.com/waybill-dev/waybill/promotion/steps/document"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Step is json-parse.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(document.Reading) }

// Run reads the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	return document.Read(in, json.Unmarshal)
}
