// Package checks judges objects by the CEL expressions of spec.healthChecks.
//
// Expressions come from people who may write Applications: their cost is
// limited, they see the object alone, and a panic or an endless one says
// Unknown of the object and nothing else.
package checks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/health"
)

// maxCost bounds the evaluation of one expression, in CEL's units: about ten
// times what a list of 100 conditions needs.
const maxCost = 100_000

// Checks are the healthChecks of one Application, compiled. The zero value
// judges nothing. They are safe for concurrent use.
type Checks struct {
	checks []check
}

type check struct {
	group, kind                            string
	failed, inProgress, suspended, current cel.Program
}

// topFields are the fields of an object that expressions can name directly.
func topFields() []string { return []string{"metadata", "spec", "status", "data"} }

// Compile reads checks. The error names the entry, the field and the mistake.
func Compile(list []v1alpha1.HealthCheck) (Checks, error) {
	if len(list) == 0 {
		return Checks{}, nil
	}
	options := []cel.EnvOption{cel.Variable("self", cel.DynType), ext.Strings(), cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true)}
	for _, f := range topFields() {
		options = append(options, cel.Variable(f, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return Checks{}, fmt.Errorf("healthChecks: %w", err)
	}
	var out Checks
	for i, h := range list {
		c := check{group: h.Group, kind: h.Kind}
		for _, e := range []struct {
			field, text string
			to          *cel.Program
		}{
			{"failed", h.Failed, &c.failed}, {"inProgress", h.InProgress, &c.inProgress},
			{"suspended", h.Suspended, &c.suspended}, {"current", h.Current, &c.current},
		} {
			if e.text == "" {
				continue
			}
			program, err := compile(env, e.text)
			if err != nil {
				return Checks{}, fmt.Errorf("healthChecks[%d].%s: %w", i, e.field, err)
			}
			*e.to = program
		}
		out.checks = append(out.checks, c)
	}
	return out, nil
}

func compile(env *cel.Env, text string) (cel.Program, error) {
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "ERROR: "), "\n")
		return nil, errors.New(first)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("says %s and has to say true or false", t)
	}
	return env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100))
}

// Has says whether there is a check for a kind.
func (c Checks) Has(group, kind string) bool {
	for i := range c.checks {
		if c.checks[i].group == group && c.checks[i].kind == kind {
			return true
		}
	}
	return false
}

// Assess judges obj. ok is false when there is no check for its kind.
func (c Checks) Assess(obj *unstructured.Unstructured) (result health.Result, ok bool) {
	gvk := obj.GroupVersionKind()
	for i := range c.checks {
		if c.checks[i].group == gvk.Group && c.checks[i].kind == gvk.Kind {
			return c.checks[i].assess(obj), true
		}
	}
	return health.Result{}, false
}

func (c *check) assess(obj *unstructured.Unstructured) (result health.Result) {
	defer func() {
		if r := recover(); r != nil {
			result = health.Result{Status: v1alpha1.HealthUnknown, Reason: "HealthCheckFailed", Message: "its health check cannot be evaluated"}
		}
	}()
	if obj.GetDeletionTimestamp() != nil {
		return health.Result{Status: v1alpha1.HealthProgressing, Reason: "Terminating", Message: "is being deleted"}
	}
	if seen, found, err := unstructured.NestedInt64(obj.Object, "status", "observedGeneration"); found && err == nil && seen < obj.GetGeneration() {
		return health.Result{Status: v1alpha1.HealthProgressing, Reason: "NotObserved", Message: "its controller has not seen the latest change yet"}
	}
	vars := map[string]any{"self": obj.Object}
	for _, f := range topFields() {
		vars[f] = map[string]any{}
		if v, there := obj.Object[f]; there {
			vars[f] = v
		}
	}
	for _, rule := range []struct {
		program cel.Program
		result  health.Result
	}{
		{c.failed, health.Result{Status: v1alpha1.HealthDegraded, Reason: "HealthCheck", Message: "the expression failed of its health check is true"}},
		{c.inProgress, health.Result{Status: v1alpha1.HealthProgressing, Reason: "HealthCheck", Message: "the expression inProgress of its health check is true"}},
		{c.suspended, health.Result{Status: v1alpha1.HealthSuspended, Reason: "HealthCheck", Message: "the expression suspended of its health check is true"}},
		{c.current, health.Result{Status: v1alpha1.HealthHealthy, Reason: "HealthCheck"}},
	} {
		if rule.program == nil {
			continue
		}
		value, _, err := rule.program.Eval(vars)
		switch {
		case err != nil && isMissing(err):
			// A field that is not there yet: this expression says nothing.
		case err != nil:
			return health.Result{Status: v1alpha1.HealthUnknown, Reason: "HealthCheckFailed", Message: "its health check cannot be evaluated: " + short(err.Error())}
		default:
			if is, isBool := value.Value().(bool); isBool && is {
				return rule.result
			}
		}
	}
	return health.Result{Status: v1alpha1.HealthProgressing, Reason: "HealthCheck", Message: "the expression current of its health check is not true yet"}
}

// isMissing tells a field that does not exist from other failures. cel-go has no
// type for it; this is the one place that reads its text.
func isMissing(err error) bool {
	return strings.Contains(err.Error(), "no such key") || strings.Contains(err.Error(), "index out of bounds")
}

func short(text string) string {
	const limit = 200
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
