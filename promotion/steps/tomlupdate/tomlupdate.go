// Package tomlupdate is the step toml-update: it sets values in a TOML file and
// leaves every other byte alone, comments and order included. Output:
// commitMessage.
package tomlupdate

import (
	"context"

	"github.com/waybill-dev/waybill/internal/tomledit"
	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion/steps/document"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Step is toml-update.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(document.Writing) }

// Run edits the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	return document.Set(in, func(doc []byte, at yamledit.Path, value any) ([]byte, error) {
		v, err := document.Scalar(value)
		if err != nil {
			return nil, err
		}
		return tomledit.Set(doc, at, v) //nolint:wrapcheck // says what is wrong with the file
	})
}
