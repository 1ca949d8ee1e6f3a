package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
)

// Variables of expressions.
const (
	varCtx     = "ctx"
	varVars    = "vars"
	varOutputs = "outputs"
	varTask    = "task"
)

// taskSeparator stands between the name of a task and that of its step.
const taskSeparator = "::"

// LookupFunctions are functions of expressions that read something outside of
// the Promotion: the caller of Scope provides them. What secret and sharedSecret
// return never enters a plan or a status.
func LookupFunctions() []string {
	return []string{"configMap", "freightMetadata", "freightStatus", "secret", "sharedConfigMap", "sharedSecret", "stageMetadata"}
}

// ExpressionFunctions returns the names of all functions of expressions besides
// those of the language, sorted.
func ExpressionFunctions() []string {
	names := append(LookupFunctions(), "always", "failure", "status", "success", "artifactFrom", "chartFrom", "commitFrom", "imageFrom", "warehouse")
	for name := range expression.Standard() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Scope returns what the expressions of step i of a Promotion see: ctx, vars,
// outputs of the steps before it, and in a task its own outputs as task.outputs.
// lookups are the functions that LookupFunctions names; a missing one is an
// error when it is called.
func Scope(p *v1alpha1.Promotion, i int, lookups map[string]expression.Function) (expression.Scope, error) {
	s := expression.Scope{Functions: expression.Standard()}
	if p.Status.StartedAt != nil {
		s.Now = p.Status.StartedAt.UTC()
	}
	for _, name := range LookupFunctions() {
		s.Functions[name] = func(...any) (any, error) { return nil, fmt.Errorf("%s cannot be used here", name) }
	}
	maps.Copy(s.Functions, lookups)
	plan := p.Status.Plan
	maps.Copy(s.Functions, freightFunctions(p, plan.Collection))
	maps.Copy(s.Functions, progressFunctions(p, i))
	outputs, own := outputsBefore(p, i)
	s.Variables = map[string]any{
		varCtx: context(p, plan.Steps[i].As), varOutputs: outputs, varTask: map[string]any{varOutputs: own},
	}
	return s, evaluateVars(&s, plan.Vars, plan.Steps[i].Vars)
}

// evaluateVars adds vars to the scope, each evaluated with those before it.
func evaluateVars(s *expression.Scope, lists ...[]v1alpha1.Variable) error {
	vars := map[string]any{}
	s.Variables[varVars] = vars
	for _, list := range lists {
		for _, v := range list {
			t, err := expression.Parse(v.Value)
			if err != nil {
				return fmt.Errorf("variable %q: %w", v.Name, err)
			}
			value, err := t.Eval(*s)
			if err != nil {
				return fmt.Errorf("variable %q: %w", v.Name, err)
			}
			vars[v.Name] = value.JSON()
			if !expression.Has(v.Value) {
				vars[v.Name] = v.Value
			}
		}
	}
	return nil
}

// context is the variable ctx.
func context(p *v1alpha1.Promotion, as string) map[string]any {
	target := map[string]any{"name": p.Spec.Freight, "alias": "", "origin": map[string]any{"name": "", "kind": "Warehouse"}}
	if p.Status.Plan != nil {
		target["alias"] = p.Status.Plan.FreightAlias
		for _, f := range p.Status.Plan.Collection {
			if f.Freight == p.Spec.Freight {
				target["origin"] = map[string]any{"name": f.Origin, "kind": "Warehouse"}
			}
		}
	}
	return map[string]any{
		"project": p.Namespace, "stage": p.Spec.Stage, "promotion": p.Name, "uiBaseUrl": "",
		"targetFreight": target,
		"meta": map[string]any{
			"promotion": map[string]any{"actor": p.Spec.RequestedBy, "rollback": p.Spec.Kind == v1alpha1.KindRollback},
			"step":      map[string]any{"alias": as},
		},
	}
}

// outputsBefore returns what the steps before i found out, by name, and for a
// step of a task those of the same task under their short names.
func outputsBefore(p *v1alpha1.Promotion, i int) (outputs, own map[string]any) {
	outputs, own = map[string]any{}, map[string]any{}
	task, _, inTask := strings.Cut(p.Status.Plan.Steps[i].As, taskSeparator)
	for j := range min(i, len(p.Status.Steps)) {
		st := &p.Status.Steps[j]
		if st.Output == nil {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal(st.Output.Raw, &v); err != nil {
			continue // written by the engine, so it reads; what does not is not there
		}
		outputs[st.As] = v
		if of, name, ok := strings.Cut(st.As, taskSeparator); ok && inTask && of == task {
			own[name] = v
		}
	}
	return outputs, own
}

// progressFunctions are always, success, failure and status.
func progressFunctions(p *v1alpha1.Promotion, i int) map[string]expression.Function {
	failed := func() bool { return FirstFailure(p, i) >= 0 }
	return map[string]expression.Function{
		"always":  func(...any) (any, error) { return true, nil },
		"success": func(...any) (any, error) { return !failed(), nil },
		"failure": func(...any) (any, error) { return failed(), nil },
		"status": func(args ...any) (any, error) {
			if len(args) != 1 {
				return nil, errors.New("status takes the name of a step")
			}
			task, _, inTask := strings.Cut(p.Status.Plan.Steps[i].As, taskSeparator)
			for j := range p.Status.Steps {
				as := p.Status.Steps[j].As
				if as == args[0] || inTask && as == fmt.Sprint(task, taskSeparator, args[0]) {
					return string(p.Status.Steps[j].State), nil
				}
			}
			return nil, fmt.Errorf("there is no step named %q", args[0])
		},
	}
}

// FirstFailure returns the index of the first step before i whose failure fails
// the Promotion, or -1.
func FirstFailure(p *v1alpha1.Promotion, i int) int {
	for j := range min(i, len(p.Status.Steps)) {
		if p.Status.Steps[j].State == v1alpha1.StepFailed && !p.Status.Plan.Steps[j].ContinueOnError {
			return j
		}
	}
	return -1
}
