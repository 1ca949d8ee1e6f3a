// Package document is what the steps that read and set values in files share:
// yaml-parse, json-parse and toml-parse, yaml-update, json-update and
// toml-update differ in the format alone.
package document

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Reading is the configuration of the steps that read values.
type Reading struct {
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

// Read takes the values that in asks for out of a file that decode understands.
func Read(in step.Input, decode func([]byte, any) error) (step.Result, error) {
	var c Reading
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	raw, err := in.ReadFile(c.Path)
	if err != nil {
		return step.Result{}, err
	}
	var document map[string]any
	if err := decode(raw, &document); err != nil {
		return step.Result{}, invalid(fmt.Errorf("file %q: %w", c.Path, err))
	}
	wanted := make([]step.Extract, len(c.Outputs))
	for i, o := range c.Outputs {
		wanted[i] = step.Extract(o)
	}
	out, err := step.ExtractFrom(in, document, wanted)
	return step.Result{Output: out}, err
}

// Writing is the configuration of the steps that set values.
type Writing struct {
	// Path of the file.
	Path string `json:"path"`
	// Updates to make, in order.
	Updates []Update `json:"updates"`
}

// Update is one value to set.
type Update struct {
	// Key of the value, with dots between the parts: image.tag. A part of a list
	// is its index, counted from 0. A backslash takes a dot literally. A key that
	// is missing is added.
	Key string `json:"key"`
	// Value to set: text, a number, true or false; in JSON anything. A text that
	// reads as a number stays text.
	Value any `json:"value"`
}

// Set sets the values that in asks for, in order, with what set does to one of
// them.
func Set(in step.Input, set func(doc []byte, at yamledit.Path, value any) ([]byte, error)) (step.Result, error) {
	var c Writing
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	doc, err := in.ReadFile(c.Path)
	if err != nil {
		return step.Result{}, err
	}
	var done []string
	for _, u := range c.Updates {
		at, err := yamledit.ParsePath(u.Key)
		if err != nil {
			return step.Result{}, step.Terminal("InvalidConfig", err)
		}
		if doc, err = set(doc, at, u.Value); err != nil {
			return step.Result{}, invalid(fmt.Errorf("set %q in %q: %w", u.Key, c.Path, err))
		}
		done = append(done, u.Key+": "+shown(u.Value))
	}
	message := "updated " + c.Path + ": " + strings.Join(done, ", ")
	return step.Result{Message: message, Output: map[string]any{"commitMessage": message}}, in.WriteFile(c.Path, doc)
}

// shown is a value as people read it: text without quotes.
func shown(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(raw)
}

// invalid is the error of a file that cannot be read or edited. It may be right
// in the next commit, so it is tried again; what the step was asked for is not.
func invalid(err error) error {
	if step.IsTerminal(err) {
		return err
	}
	return step.Reasoned("FileInvalid", err)
}

// Scalar returns a value of a configuration as the editors of YAML and TOML take
// it: text, an int64, a float64, true or false; nil where there is none.
func Scalar(value any) (any, error) {
	switch v := value.(type) {
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
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("the value is %T; set text, a number, true or false", value))
	}
}
