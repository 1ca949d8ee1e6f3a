// Package helmupdatechart is the step helm-update-chart: it sets the versions of
// dependencies in a Chart.yaml, leaving every other byte of it alone, and then does
// what helm dependency update does.
//
// The archives of all dependencies come into the folder charts, from HTTP and OCI
// repositories, with the Project's credentials of type chart, and from file://
// folders of the same repository; archives that nothing depends on any more go.
// Chart.lock says which versions they are. A dependency with a range gets the newest
// version in it; one that the Freight carries has to have the digest that the Freight
// says. When the step is repeated after an interruption it takes the same versions
// again. Outputs: commitMessage, and dependencies with name, version and digest.
package helmupdatechart

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of helm-update-chart.
type Config struct {
	// Path of the folder with Chart.yaml.
	Path string `json:"path"`
	// Charts to set; none: only the dependencies are fetched.
	Charts []Chart `json:"charts,omitempty"`
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
type Step struct {
	// Archives downloads charts; nil: what would have to be downloaded is refused.
	Archives Charts
}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run edits the file and brings the dependencies.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
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
	found, err := s.update(ctx, in, c.Path, doc)
	if err != nil {
		return step.Result{}, err
	}
	message := "set " + strings.Join(set, ", ")
	if len(set) == 0 {
		message = fmt.Sprintf("fetched %d dependencies", len(found))
	}
	output := map[string]any{"commitMessage": message}
	if len(found) > 0 {
		output["dependencies"] = found
	}
	return step.Result{Message: message, Output: output}, nil
}

// version is what to set: what the configuration says, or what the promotion
// carries.
func version(in step.Input, want Chart) (string, error) {
	if want.Version != "" {
		return want.Version, nil
	}
	if c, ok := promotion.Chart(in.Promotion.Status.Plan.Collection, want.Repository, want.Name); ok {
		return c.Version, nil
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
