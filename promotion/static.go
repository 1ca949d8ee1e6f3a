package promotion

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/stepschema"
)

// configOf decodes the configuration of a step; none is an empty object.
func configOf(s *v1alpha1.PlanStep) (any, error) {
	if s.Config == nil || len(s.Config.Raw) == 0 {
		return map[string]any{}, nil
	}
	var config any
	if err := json.Unmarshal(s.Config.Raw, &config); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return config, nil
}

// Resolve returns the configuration of step i of a Promotion with its
// expressions evaluated in s, checked against the step's schema.
func Resolve(step *v1alpha1.PlanStep, s expression.Scope) (*runtime.RawExtension, error) {
	config, err := configOf(step)
	if err != nil {
		return nil, err
	}
	schema := stepschema.Of(step.Uses)
	resolved, err := evaluated(schema, config, s)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(resolved)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	if schema != nil {
		var again any
		if err := json.Unmarshal(raw, &again); err != nil {
			return nil, fmt.Errorf("encode config: %w", err)
		}
		if problems := schema.Check(again, false); len(problems) > 0 {
			return nil, fmt.Errorf("%s: %s", orConfig(problems[0].Path), problems[0].Message)
		}
	}
	return &runtime.RawExtension{Raw: raw}, nil
}

func orConfig(path string) string {
	if path == "" {
		return "config"
	}
	return path
}

// IsStatic reports whether the expressions of a text can be evaluated before any
// step has run, without a secret or another look outside.
func IsStatic(text string, vars ...v1alpha1.Variable) bool {
	if !expression.Has(text) {
		return true
	}
	refs, err := expression.Check(text, []string{varCtx, varVars, varOutputs, varTask}, ExpressionFunctions())
	if err != nil {
		return false
	}
	for _, r := range refs {
		switch r.Variable {
		case varOutputs, varTask, "success", "failure", "status":
			return false
		case varVars:
			for _, v := range vars {
				if (r.Member == "" || v.Name == r.Member) && !IsStatic(v.Value, before(vars, v.Name)...) {
					return false
				}
			}
		}
		if slices.Contains(LookupFunctions(), r.Variable) {
			return false
		}
	}
	return true
}

// before returns the variables in front of the last one named name.
func before(vars []v1alpha1.Variable, name string) []v1alpha1.Variable {
	for i := len(vars) - 1; i >= 0; i-- {
		if vars[i].Name == name {
			return vars[:i]
		}
	}
	return nil
}

// StaticConfig returns the configuration of step i with the expressions of each
// field evaluated, as far as that can be known before any step has run; other
// fields stay as they are written. It is false when one of those needed is not
// known yet.
func StaticConfig(p *v1alpha1.Promotion, i int, needed ...string) (map[string]any, bool) {
	config, err := configOf(&p.Status.Plan.Steps[i])
	if err != nil {
		return nil, false
	}
	all, _ := config.(map[string]any)
	out := maps.Clone(all)
	for name, v := range all {
		resolved, ok := staticValue(p, i, map[string]any{name: v})
		switch {
		case ok:
			out[name] = resolved[name]
		case slices.Contains(needed, name):
			return nil, false
		}
	}
	return out, true
}

// Static decodes the named fields of the configuration of step i as they are
// before any step has run. It is false when that cannot be known yet.
func Static(p *v1alpha1.Promotion, i int, out any, fields ...string) bool {
	config, err := configOf(&p.Status.Plan.Steps[i])
	if err != nil {
		return false
	}
	all, _ := config.(map[string]any)
	want := map[string]any{}
	for _, name := range fields {
		if v, there := all[name]; there {
			want[name] = v
		}
	}
	resolved, ok := staticValue(p, i, want)
	if !ok {
		return false
	}
	raw, err := json.Marshal(resolved)
	return err == nil && json.Unmarshal(raw, out) == nil
}

// staticValue evaluates configuration of step i with nothing but ctx, vars and
// the Freight.
func staticValue(p *v1alpha1.Promotion, i int, config map[string]any) (map[string]any, bool) {
	step := &p.Status.Plan.Steps[i]
	vars := append(slices.Clone(p.Status.Plan.Vars), step.Vars...)
	isStatic := true
	stepschema.Texts(config, func(_, text string) { isStatic = isStatic && IsStatic(text, vars...) })
	if !isStatic {
		return nil, false
	}
	s := expression.Scope{Functions: expression.Standard(), Variables: map[string]any{varCtx: context(p, step.As)}}
	maps.Copy(s.Functions, freightFunctions(p, p.Status.Plan.Collection))
	if evaluateStatic(&s, vars) != nil {
		return nil, false
	}
	resolved, err := evaluated(stepschema.Of(step.Uses), config, s)
	if err != nil {
		return nil, false
	}
	m, ok := resolved.(map[string]any)
	return m, ok
}

// evaluated returns a configuration with its expressions evaluated.
func evaluated(schema *stepschema.Schema, config any, s expression.Scope) (any, error) {
	return schema.Resolve(config, func(text string) (expression.Value, error) { //nolint:wrapcheck // names the field already
		t, err := expression.Parse(text)
		if err != nil {
			return expression.Value{}, err //nolint:wrapcheck // names the expression already
		}
		return t.Eval(s) //nolint:wrapcheck // names the expression already
	})
}

// evaluateStatic is evaluateVars for those that can be known already.
func evaluateStatic(s *expression.Scope, vars []v1alpha1.Variable) error {
	var known []v1alpha1.Variable
	for i, v := range vars {
		if IsStatic(v.Value, vars[:i]...) {
			known = append(known, v)
		}
	}
	return evaluateVars(s, known)
}
