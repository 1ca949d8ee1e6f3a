// Package jsonupdate is the step json-update: it sets values in a JSON file and
// leaves every other byte alone. Output: commitMessage.
package jsonupdate

import (
	"context"
	"encoding/json"

	"github.com/waybill-dev/waybill/internal/jsonedit"
	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion/steps/document"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Step is json-update.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(document.Writing) }

// Run edits the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	return document.Set(in, func(doc []byte, at yamledit.Path, value any) ([]byte, error) {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, step.Terminal("InvalidConfig", err)
		}
		return jsonedit.Set(doc, at, raw) //nolint:wrapcheck // says what is wrong with the file
	})
}
