// Package kustomizebuild is the step kustomize-build: it renders a kustomization
// and writes what comes out. Nothing is fetched and no plugin runs: a
// kustomization that names something outside of its repository is refused.
package kustomizebuild

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/promotion/steps/manifests"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of kustomize-build.
type Config struct {
	// Path of the folder with the kustomization file.
	Path string `json:"path"`
	// OutPath is where the manifests go: one file if its name ends in .yaml or
	// .yml, else a folder with a file for each object.
	OutPath string `json:"outPath"`
	// OutputFormat of a folder: kargo names files kind-name.yaml, kustomize names
	// them group_version_kind_name.yaml as kustomize does.
	OutputFormat string `json:"outputFormat,omitempty" enum:"kargo,kustomize"`
}

// Step is kustomize-build.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run renders the folder.
func (Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, dir, err := in.Workspace.Locate(c.Path)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	files, err := tree.FS()
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the tree already
	}
	objects, err := render.Render(ctx, render.Source{FS: files, Path: path.Join(".", dir)}, render.Limits{})
	switch {
	case errors.Is(err, context.Canceled):
		return step.Result{}, err //nolint:wrapcheck // the context's own
	case err != nil:
		return step.Result{}, step.Reasoned("RenderFailed", fmt.Errorf("render %q: %w", c.Path, err))
	}
	return manifests.Write(in, c.OutPath, c.OutputFormat, objects)
}
