// Package helmupdatechart is the step helm-update-chart: it sets the versions of
// dependencies in a Chart.yaml and leaves every other byte of it alone. A
// Chart.lock, which would not fit any more, is removed; dependencies are not
// downloaded. Output: commitMessage.
package helmupdatechart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of helm-update-chart.
type Config struct {
	// Path of the folder with Chart.yaml.
	Path string `json:"path"`
	// Charts to set.
	Charts []Chart `json:"charts"`
}

// Chart is one dependency.
type Chart struct {
	// Repository of the dependency, as Chart.yaml spells it.
	Repository string `json:"repository"`
	// Name of the dependency.
	Name string `json:"name"`
	// Version to set; default: that of the Freight.
	Version string `json:"version,omitempty"`
}

// Step is helm-update-chart.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run edits the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	file := path.Join(c.Path, "Chart.yaml")
	doc, err := in.ReadFile(file)
	if err != nil {
		return step.Result{}, err
	}
	var set []string
	for _, want := range c.Charts {
		version, err := version(in, want)
		if err != nil {
			return step.Result{}, err
		}
		if doc, err = setVersion(doc, file, want, version); err != nil {
			return step.Result{}, err
		}
		set = append(set, want.Name+" "+version)
	}
	if err := in.WriteFile(file, doc); err != nil {
		return step.Result{}, err
	}
	message := "set " + strings.Join(set, ", ")
	result := step.Result{Message: message, Output: map[string]any{"commitMessage": message}}
	lock := path.Join(c.Path, "Chart.lock")
	if _, err := in.ReadFile(lock); errors.Is(err, fs.ErrNotExist) {
		return result, nil
	}
	tree, rel, err := in.Workspace.Locate(lock)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	return result, step.FileError(tree.Edit(git.Remove(rel)))
}

// version is what to set: what the configuration says, or what the promotion
// carries.
func version(in step.Input, want Chart) (string, error) {
	if want.Version != "" {
		return want.Version, nil
	}
	if v, ok := promotion.ChartVersion(in.Promotion.Status.Plan.Collection, want.Repository, want.Name); ok {
		return v, nil
	}
	return "", step.Terminal("ChartMissing", fmt.Errorf("no Freight of this Stage carries chart %q of %q; set version, or subscribe to it", want.Name, want.Repository))
}

// setVersion sets the version of every dependency that is meant.
func setVersion(doc []byte, file string, want Chart, version string) ([]byte, error) {
	var chart struct {
		Dependencies []struct {
			Name       string `yaml:"name"`
			Repository string `yaml:"repository"`
		} `yaml:"dependencies"`
	}
	if err := yaml.Unmarshal(doc, &chart); err != nil {
		return nil, step.Reasoned("FileInvalid", fmt.Errorf("file %q: %w", file, err))
	}
	found := false
	for i, d := range chart.Dependencies {
		if d.Name != want.Name || strings.TrimSuffix(d.Repository, "/") != strings.TrimSuffix(want.Repository, "/") {
			continue
		}
		found = true
		var err error
		if doc, err = yamledit.Set(doc, yamledit.Path{"dependencies", strconv.Itoa(i), "version"}, version); err != nil {
			return nil, step.Reasoned("FileInvalid", fmt.Errorf("set the version of %q in %q: %w", want.Name, file, err))
		}
	}
	if !found {
		return nil, step.Reasoned("ChartMissing", fmt.Errorf("%q has no dependency %q of %q", file, want.Name, want.Repository))
	}
	return doc, nil
}
