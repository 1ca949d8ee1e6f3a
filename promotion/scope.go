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

// origin is what warehouse() returns.
type origin struct{ Kind, Name string }

// image is what imageFrom returns, with the names that Kargo's templates use.
type image struct{ RepoURL, Tag, Digest string }

// commit and chart are what commitFrom and chartFrom return.
type (
	commit struct{ RepoURL, ID, Branch, Tag, Message, Author string }
	chart  struct{ RepoURL, Name, Version, Digest string }
)

// freightFunctions are warehouse, imageFrom and those like it.
func freightFunctions(p *v1alpha1.Promotion, collection []v1alpha1.StageFreight) map[string]expression.Function {
	return map[string]expression.Function{
		"warehouse": func(args ...any) (any, error) {
			if name, ok := oneText(args); ok {
				return origin{"Warehouse", name}, nil
			}
			return nil, errors.New("warehouse takes the name of a Warehouse")
		},
		"imageFrom": func(args ...any) (any, error) {
			repoURL, from, err := wanted("imageFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, img := range f.Images {
					if (from == "" || f.Origin == from) && IsSameRepository(img.RepoURL, repoURL) {
						return image{img.RepoURL, img.Tag, img.Digest}, nil
					}
				}
			}
			return nil, &ImageMissingError{Image: repoURL, Have: imageNames(collection)}
		},
		"commitFrom": func(args ...any) (any, error) {
			repoURL, from, err := wanted("commitFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, c := range f.Commits {
					if (from == "" || f.Origin == from) && IsSameRepository(c.RepoURL, repoURL) {
						return commit{c.RepoURL, c.ID, c.Branch, c.Tag, c.Message, c.Author}, nil
					}
				}
			}
			return nil, notCarried(repoURL, "Git commit")
		},
		"chartFrom": func(args ...any) (any, error) {
			name := ""
			if len(args) > 1 { // (repoURL, name) or (repoURL, name, warehouse(...))
				if text, ok := args[1].(string); ok {
					name, args = text, append([]any{args[0]}, args[2:]...)
				}
			}
			repoURL, from, err := wanted("chartFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, c := range f.Charts {
					if (from == "" || f.Origin == from) && IsSameRepository(c.RepoURL, repoURL) && (name == "" || c.Name == name) {
						return chart{c.RepoURL, c.Name, c.Version, c.Digest}, nil
					}
				}
			}
			return nil, notCarried(repoURL, "chart")
		},
		"artifactFrom": missing("artifactFrom", "artifact"),
	}
}

func missing(name, what string) expression.Function {
	return func(args ...any) (any, error) {
		repoURL, _, err := wanted(name, args)
		if err != nil {
			return nil, err
		}
		return nil, notCarried(repoURL, what)
	}
}

func notCarried(repoURL, what string) error {
	return fmt.Errorf("no Freight of this Stage carries a %s of %q", what, repoURL)
}

func oneText(args []any) (string, bool) {
	if len(args) != 1 {
		return "", false
	}
	s, ok := args[0].(string)
	return s, ok && s != ""
}

// wanted reads (repoURL) or (repoURL, warehouse(name)).
func wanted(name string, args []any) (repoURL, from string, err error) {
	if len(args) == 2 {
		o, ok := args[1].(origin)
		if !ok {
			return "", "", fmt.Errorf("the second argument of %s is warehouse(NAME)", name)
		}
		from, args = o.Name, args[:1]
	}
	repoURL, ok := oneText(args)
	if !ok {
		return "", "", fmt.Errorf("%s takes the address of a repository", name)
	}
	return repoURL, from, nil
}
