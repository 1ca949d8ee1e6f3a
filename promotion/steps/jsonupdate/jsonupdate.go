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

// Config of json-update.
type Config struct {
	// Path of the file.
	Path string `json:"path"`
	// Updates to make, in order.
	Updates []Update `json:"updates"`
}

// Update is one value to set.
type Update struct {
	// Key of the value, with dots between the parts: image.tag. A part of a list
	// is its index, counted from 0. A backslash takes a dot literally.
	Key string `json:"key"`
	// Value to set: anything that JSON has.
	Value any `json:"value"`
}

// Step is json-update.
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
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, step.Terminal("InvalidConfig", err)
		}
		return jsonedit.Set(doc, at, raw) //nolint:wrapcheck // says what is wrong with the file
	})
}
