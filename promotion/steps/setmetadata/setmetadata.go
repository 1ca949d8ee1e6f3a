// Package setmetadata is the step set-metadata: it records names and values with
// Stages and Freight of the Project, where stageMetadata and freightMetadata of
// later steps and promotions read them.
package setmetadata

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/promotion/objects"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of set-metadata.
type Config struct {
	// Updates to make, in order.
	Updates []Update `json:"updates"`
}

// Update is what is recorded with one object.
type Update struct {
	// Kind of the object.
	Kind string `json:"kind" enum:"Stage,Freight"`
	// Name of the object; default: the Stage, or the Freight, of the promotion.
	Name string `json:"name,omitempty"`
	// Values by name. null takes a name away; names that are not mentioned stay.
	Values map[string]any `json:"values"`
}

// Metadata records values with objects of a Project.
type Metadata interface {
	// SetMetadata merges values into those of a Stage or Freight.
	SetMetadata(ctx context.Context, project, kind, name string, values map[string]any) error
}

// Step is set-metadata.
type Step struct {
	// Metadata of the Project's objects.
	Metadata Metadata
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run records the values. Doing so again changes nothing.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	var set []string
	for _, u := range c.Updates {
		name := u.Name
		switch {
		case name == "" && u.Kind == "Stage":
			name = in.Promotion.Spec.Stage
		case name == "":
			name = in.Promotion.Spec.Freight
		}
		err := s.Metadata.SetMetadata(ctx, in.Promotion.Namespace, u.Kind, name, u.Values)
		switch {
		case errors.Is(err, objects.ErrNotFound):
			return step.Result{}, step.Terminal("ObjectNotFound", err)
		case errors.Is(err, objects.ErrTooLarge), errors.Is(err, objects.ErrRefused):
			return step.Result{}, step.Terminal("MetadataRefused", err)
		case err != nil:
			return step.Result{}, err //nolint:wrapcheck // names the object already
		}
		set = append(set, fmt.Sprintf("%s %q", u.Kind, name))
	}
	return step.Result{Message: "recorded with " + strings.Join(set, ", ")}, nil
}
