package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
)

// maxJobTemplate bounds the template of a Job, in bytes.
const maxJobTemplate = 64 << 10

// CheckConditionReferences returns what a condition of a check refers to, or
// what is wrong with it.
func CheckConditionReferences(c *v1alpha1.Check, condition string) ([]expression.Reference, error) {
	examples := map[string]any{varCtx: map[string]any{}, varArgs: map[string]any{}}
	if c.HTTP != nil {
		examples["response"] = map[string]any{}
	} else {
		examples["result"], examples["results"] = 0.5, []any{}
	}
	return expression.CheckConditionWith(condition, examples, CheckFunctions()) //nolint:wrapcheck // says what is wrong
}

// varArgs is the variable that holds the arguments of the checks.
const varArgs = "args"

// CheckScope returns what the expressions of a Stage's checks see for a
// Promotion: ctx, args, and the functions about its Freight.
func CheckScope(v *v1alpha1.Verification, p *v1alpha1.Promotion) (expression.Scope, error) {
	s := expression.Scope{Functions: expression.Standard(), Variables: map[string]any{}}
	if p.Status.PushedAt != nil {
		s.Now = p.Status.PushedAt.UTC()
	}
	var collection []v1alpha1.StageFreight
	if p.Status.Plan != nil {
		collection = p.Status.Plan.Collection
	}
	maps.Copy(s.Functions, freightFunctions(p, collection))
	s.Variables[varCtx] = context(p, "")
	args := map[string]any{}
	for _, a := range v.Args {
		value, err := evaluate(a.Value, s)
		if err != nil {
			return s, fmt.Errorf("argument %q: %w", a.Name, err)
		}
		args[a.Name] = value
	}
	s.Variables[varArgs] = args
	return s, nil
}

// evaluate returns what a text becomes.
func evaluate(text string, s expression.Scope) (string, error) {
	t, err := expression.Parse(text)
	if err != nil {
		return "", err //nolint:wrapcheck // says what is wrong with which text
	}
	value, err := t.Eval(s)
	if err != nil {
		return "", err //nolint:wrapcheck // as above
	}
	return value.Text(), nil
}

// ResolveCheck returns a check with its expressions evaluated. Conditions are
// left: they see what is measured.
func ResolveCheck(c *v1alpha1.Check, s expression.Scope) (*v1alpha1.Check, error) {
	out := c.DeepCopy()
	type text struct {
		field string
		value *string
	}
	var texts []text
	switch {
	case out.HTTP != nil:
		texts = []text{{"url", &out.HTTP.URL}, {"body", &out.HTTP.Body}}
		for i := range out.HTTP.Headers {
			texts = append(texts, text{fmt.Sprintf("headers[%d].value", i), &out.HTTP.Headers[i].Value})
		}
	case out.Prometheus != nil:
		texts = []text{{"address", &out.Prometheus.Address}, {"query", &out.Prometheus.Query}}
	case out.Job != nil:
		raw, err := resolveTemplate(out.Job.Template.Raw, s)
		if err != nil {
			return nil, fmt.Errorf("job.template: %w", err)
		}
		out.Job.Template = runtime.RawExtension{Raw: raw}
	}
	for _, t := range texts {
		value, err := evaluate(*t.value, s)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", c.Kind(), t.field, err)
		}
		*t.value = value
	}
	return out, nil
}

// resolveTemplate evaluates every text of a JSON document.
func resolveTemplate(raw []byte, s expression.Scope) ([]byte, error) {
	if len(raw) > maxJobTemplate {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(raw), maxJobTemplate)
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	doc, err := resolveTexts(doc, s)
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out, nil
}

func resolveTexts(v any, s expression.Scope) (any, error) {
	switch v := v.(type) {
	case string:
		return evaluate(v, s)
	case []any:
		for i := range v {
			r, err := resolveTexts(v[i], s)
			if err != nil {
				return nil, err
			}
			v[i] = r
		}
	case map[string]any:
		for k := range v {
			r, err := resolveTexts(v[k], s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			v[k] = r
		}
	}
	return v, nil
}

// MeasurementOf judges what was measured by the conditions of a check. vars are
// what was measured; isGood is the verdict where the check has no condition.
func MeasurementOf(m *v1alpha1.Measuring, s expression.Scope, vars map[string]any, isGood bool, value string) Measurement {
	scope := expression.Scope{Functions: s.Functions, Now: s.Now, Variables: map[string]any{}}
	for name, v := range s.Variables {
		scope.Variables[name] = v
	}
	for name, v := range vars {
		scope.Variables[name] = v
	}
	out := Measurement{Value: value}
	isTrue := func(condition string) bool {
		if condition == "" || out.IsFinal {
			return false
		}
		is, err := expression.Bool(condition, scope)
		if err != nil {
			out.IsFinal = true
			out.Outcome, out.Message = OutcomeError, cut(fmt.Sprintf("condition %q: %v", condition, err), maxCheckMessage)
		}
		return is
	}
	failed, good := isTrue(m.FailureCondition), isTrue(m.SuccessCondition)
	switch {
	case out.IsFinal:
	case m.FailureCondition == "" && m.SuccessCondition == "":
		out.Outcome, out.Message = OutcomeSuccess, value
		if !isGood {
			out.Outcome = OutcomeFailure
		}
	case failed:
		out.Outcome, out.Message = OutcomeFailure, fmt.Sprintf("%s: failureCondition %q is true", value, m.FailureCondition)
	case good || m.SuccessCondition == "":
		out.Outcome, out.Message = OutcomeSuccess, value
	case m.FailureCondition == "":
		out.Outcome, out.Message = OutcomeFailure, fmt.Sprintf("%s: successCondition %q is false", value, m.SuccessCondition)
	default:
		out.Outcome, out.Message = OutcomeInconclusive, value+": neither successCondition nor failureCondition is true"
	}
	return out
}

// ReasonInvalidCheck is the reason of a Stage whose checks cannot run.
const ReasonInvalidCheck = "InvalidCheck"

// CheckFunctions returns the names of the functions that a check's expressions
// may call.
func CheckFunctions() []string {
	names := []string{"artifactFrom", "chartFrom", "commitFrom", "imageFrom", "warehouse"}
	for name := range expression.Standard() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// checkProblems returns what is wrong with the expressions of a Stage's checks,
// and with what they name.
func checkProblems(s *v1alpha1.Stage) []Problem {
	if s.Spec.Verification == nil {
		return nil
	}
	var out []Problem
	report := func(field string, err error) {
		if err != nil {
			out = append(out, Problem{ReasonInvalidCheck, fmt.Sprintf("spec.verification.%s: %v", field, err)})
		}
	}
	functions := CheckFunctions()
	known := []string{varCtx, varArgs}
	text := func(field, value string, variables []string) {
		refs, err := expression.Check(value, variables, functions)
		report(field, err)
		report(field, unknownArgument(s.Spec.Verification, refs))
	}
	for _, a := range s.Spec.Verification.Args {
		text("args."+a.Name, a.Value, []string{varCtx})
	}
	for i := range s.Spec.Verification.Checks {
		c := &s.Spec.Verification.Checks[i]
		at := fmt.Sprintf("checks[%d] (%s).%s", i, c.Name, c.Kind())
		switch {
		case c.HTTP != nil:
			text(at+".url", c.HTTP.URL, known)
			text(at+".body", c.HTTP.Body, known)
			for j, h := range c.HTTP.Headers {
				text(fmt.Sprintf("%s.headers[%d]", at, j), h.Value, known)
			}
		case c.Prometheus != nil:
			text(at+".address", c.Prometheus.Address, known)
			text(at+".query", c.Prometheus.Query, known)
		case c.Job != nil:
			report(at+".template", checkTemplate(c.Job.Template.Raw, func(value string) { text(at+".template", value, known) }))
			if _, err := CheckDeployment(s, c.Job.Deploy); err != nil {
				report(at+".deploy", err)
			}
		}
		if m := measuring(c); m != nil {
			for _, condition := range []struct{ field, text string }{{"successCondition", m.SuccessCondition}, {"failureCondition", m.FailureCondition}} {
				if condition.text == "" {
					continue
				}
				refs, err := CheckConditionReferences(c, condition.text)
				report(at+"."+condition.field, err)
				report(at+"."+condition.field, unknownArgument(s.Spec.Verification, refs))
			}
		}
	}
	// A template is read in no order; a message that changed by itself would
	// rewrite the Stage for ever.
	slices.SortFunc(out, func(a, b Problem) int { return strings.Compare(a.Message, b.Message) })
	return slices.Compact(out)
}

func unknownArgument(v *v1alpha1.Verification, refs []expression.Reference) error {
	for _, r := range refs {
		if r.Variable != varArgs || r.Member == "" {
			continue
		}
		known := false
		for _, a := range v.Args {
			known = known || a.Name == r.Member
		}
		if !known {
			return fmt.Errorf("there is no argument %q; add it to spec.verification.args", r.Member)
		}
	}
	return nil
}

// checkTemplate reads the template of a Job and gives every text to see.
func checkTemplate(raw []byte, see func(string)) error {
	if len(raw) > maxJobTemplate {
		return fmt.Errorf("it has %d bytes, more than %d", len(raw), maxJobTemplate)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("not an object: %w", err)
	}
	spec, _ := doc["spec"].(map[string]any)
	if containers, _ := spec["containers"].([]any); len(containers) == 0 {
		return errors.New("spec.containers is empty; a Job needs a container")
	}
	walkTexts(doc, see)
	return nil
}

func walkTexts(v any, see func(string)) {
	switch v := v.(type) {
	case string:
		see(v)
	case []any:
		for _, x := range v {
			walkTexts(x, see)
		}
	case map[string]any:
		for _, x := range v {
			walkTexts(x, see)
		}
	}
}
