// Package yamlupdate is the step yaml-update: it sets values in a YAML file and
// leaves every other byte alone, comments and order included. Output:
// commitMessage.
package yamlupdate

import (
	"context"

	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion/steps/document"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Step is yaml-update.
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
		return yamledit.Set(doc, at, v) //nolint:wrapcheck // names the path already
	})
}
