// Package setfreightalias is the step set-freight-alias: it gives a Freight
// another name for people. Output: alias.
package setfreightalias

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/waybill-dev/waybill/promotion/objects"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/warehouse"
)

// Config of set-freight-alias.
type Config struct {
	// Name of the Freight; default: that of the promotion.
	Name string `json:"name,omitempty"`
	// Alias to give it: lower-case letters, digits and dashes. No other Freight of
	// the Project may have it.
	Alias string `json:"alias"`
}

// Aliases renames Freight of a Project.
type Aliases interface {
	// SetAlias gives the Freight the alias.
	SetAlias(ctx context.Context, project, freight, alias string) error
}

// Step is set-freight-alias.
type Step struct {
	// Aliases of the Project's Freight.
	Aliases Aliases
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run sets the alias. Doing so again changes nothing.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	name := cmp.Or(c.Name, in.Promotion.Spec.Freight)
	err := s.Aliases.SetAlias(ctx, in.Promotion.Namespace, name, c.Alias)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return step.Result{}, step.Terminal("ObjectNotFound", err)
	case errors.Is(err, warehouse.ErrAliasTaken):
		return step.Result{}, step.Terminal("AliasTaken", err)
	case errors.Is(err, objects.ErrRefused), errors.Is(err, warehouse.ErrAliasInvalid):
		return step.Result{}, step.Terminal("InvalidConfig", err)
	case err != nil:
		return step.Result{}, err //nolint:wrapcheck // names the Freight already
	}
	return step.Result{Message: fmt.Sprintf("Freight %q is called %q", name, c.Alias), Output: map[string]any{"alias": c.Alias}}, nil
}
