// Package yamlupdate is the step yaml-update: it sets values in a YAML file and
// leaves every other byte alone, comments and order included. Output:
// commitMessage.
package yamlupdate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of yaml-update.
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
	// Value to set: text, a number, true or false. A text that reads as a number
	// keeps its quotes.
	Value any `json:"value"`
}

// Step is yaml-update.
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
		value, err := scalar(u)
		if err != nil {
			return step.Result{}, err
		}
		if doc, err = yamledit.Set(doc, at, value); err != nil {
			return step.Result{}, step.Reasoned("FileInvalid", fmt.Errorf("set %q in %q: %w", u.Key, c.Path, err))
		}
		set = append(set, fmt.Sprintf("%s: %v", u.Key, u.Value))
	}
	message := "updated " + c.Path + ": " + strings.Join(set, ", ")
	return step.Result{Message: message, Output: map[string]any{"commitMessage": message}}, in.WriteFile(c.Path, doc)
}

// scalar returns the value as the editor takes it.
func scalar(u Update) (any, error) {
	switch v := u.Value.(type) {
	case nil, string, bool, int64:
		return v, nil
	case float64:
		if v == float64(int64(v)) {
			return int64(v), nil
		}
		return v, nil
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		return v.Float64() //nolint:wrapcheck // a number that was read
	default:
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("the value of %q is %T; set text, a number, true or false", u.Key, u.Value))
	}
}
