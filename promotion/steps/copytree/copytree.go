// Package copytree is the step copy: it puts a file or folder of one working
// tree in the place of another.
package copytree

import (
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of copy.
type Config struct {
	// InPath is what is copied.
	InPath string `json:"inPath"`
	// OutPath is where it goes; what is there is replaced.
	OutPath string `json:"outPath"`
}

// Step is copy.
type Step struct{}

// Run grafts one tree into the other: no file is read.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	from, fromRel, err := in.Workspace.Locate(c.InPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	to, toRel, err := in.Workspace.Locate(c.OutPath)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	if from.Mirror != to.Mirror {
		return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("copy between two repositories (%s to %s) is not supported", from.RepoURL, to.RepoURL))
	}
	return step.Result{}, to.Edit(git.Graft(toRel, from.Root, fromRel))
}
