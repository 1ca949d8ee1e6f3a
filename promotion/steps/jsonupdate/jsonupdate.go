// Package jsonupdate is the step json-update: it sets values in a JSON file and
// leaves every other byte alone. Output: commitMessage.
package jsonupdate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/internal/jsonedit"
	"github.com/waybill-dev/waybill/internal/yamledit"
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
	doc, err := in.ReadFile(c.Path)
	if err != nil {
		return step.Result{}, err
	}
	var set []string
	for _, u := range c.Updates {
		at, err := yamledit.ParsePath(u.Key)
		if err != nil {
			return step.Result{}, step.Terminal("InvalidConfig", err)
		}
		value, err := json.Marshal(u.Value)
		if err != nil {
			return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("value of %q: %w", u.Key, err))
		}
		if doc, err = jsonedit.Set(doc, at, value); err != nil {
			return step.Result{}, step.Reasoned("FileInvalid", fmt.Errorf("set %q in %q: %w", u.Key, c.Path, err))
		}
		set = append(set, fmt.Sprintf("%s: %s", u.Key, value))
	}
	message := "updated " + c.Path + ": " + strings.Join(set, ", ")
	return step.Result{Message: message, Output: map[string]any{"commitMessage": message}}, in.WriteFile(c.Path, doc)
}
