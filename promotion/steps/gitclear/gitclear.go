// Package gitclear is the step git-clear: it empties a working tree, or one
// folder of it.
package gitclear

import (
	"context"

	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of git-clear.
type Config struct {
	// Path of the working tree or folder.
	Path string `json:"path"`
}

// Step is git-clear.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run empties the path.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, rel, err := in.Workspace.Locate(c.Path)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	return step.Result{}, tree.Clear(rel)
}
