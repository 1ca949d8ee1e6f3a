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

// Config of toml-update.
type Config struct {
	// Path of the file.
	Path string `json:"path"`
	// Updates to make, in order.
	Updates []Update `json:"updates"`
}

// Update is one value to set.
type Update struct {
	// Key of the value, with dots between the parts: image.tag. A part of a list
	// is its index, counted from 0. A backslash takes a dot literally. A key that
	// is missing is added to its table.
	Key string `json:"key"`
	// Value to set: text, a number, true or false.
	Value any `json:"value"`
}

// Step is toml-update.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run edits the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	updates := make([]document.Update, len(c.Updates))
	for i, u := range c.Updates {
		updates[i] = document.Update(u)
	}
	return document.Set(in, c.Path, updates, func(doc []byte, at yamledit.Path, value any) ([]byte, error) {
		v, err := document.Scalar(value)
		if err != nil {
			return nil, err
		}
		return tomledit.Set(doc, at, v) //nolint:wrapcheck // says what is wrong with the file
	})
}
