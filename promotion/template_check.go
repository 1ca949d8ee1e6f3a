package promotion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/stepschema"
)

// CheckTemplate returns what would fail when the Stage's promotionTemplate runs,
// as far as that shows without running it: unknown steps, tasks, fields and
// names, and expressions that cannot be read. Messages begin with the field.
func CheckTemplate(stage *v1alpha1.Stage, tasks []v1alpha1.PromotionTask) []Problem {
	if stage.Spec.PromotionTemplate == nil {
		return nil
	}
	steps, problems := inflate(stage, tasks)
	check := func(at, text string, isCondition bool, vars, outputs, own []string) {
		if err := checkExpressions(text, isCondition, vars, outputs, own); err != nil {
			problems = append(problems, Problem{ReasonInvalidExpression, fmt.Sprintf("%s: %v", at, err)})
		}
	}
	var known []string
	for _, v := range templateVars(stage) {
		check(fmt.Sprintf("%s.vars[%s]", templateField, v.Name), v.Value, false, known, nil, nil)
		known = append(known, v.Name)
	}
	var before []string
	for _, s := range steps {
		if slices.Contains(before, s.As) {
			problems = append(problems, Problem{ReasonDuplicateStep, fmt.Sprintf("%s.as: another step is named %q already", s.at, s.As)})
		}
		outputs, own := before, ownNames(before, s.As)
		vars := slices.Clone(known)
		for _, v := range s.Vars {
			check(fmt.Sprintf("%s.vars[%s]", s.at, v.Name), v.Value, false, vars, outputs, own)
			vars = append(vars, v.Name)
		}
		if s.If != "" {
			check(s.at+".if", s.If, true, s.vars, outputs, own)
		}
		faults := checkConfig(s, func(at, text string) { check(at, text, false, s.vars, outputs, own) })
		if len(faults) == 0 {
			faults = checkMeaning(stage, s)
		}
		problems = append(problems, faults...)
		before = append(before, s.As)
	}
	if n := pushes(steps); n > MaxWritten {
		problems = append(problems, Problem{ReasonInvalidConfig, fmt.Sprintf("%s.steps: %d steps push branches, at most %d; split the Stage", templateField, n, MaxWritten)})
	}
	if len(problems) == 0 && len(Writes(stage)) == 0 {
		for i := range stage.Spec.Deploy {
			if stage.Spec.Deploy[i].Source.RepoURL == "" {
				problems = append(problems, Problem{ReasonInvalidConfig, fmt.Sprintf("spec.deploy[%d].source.repoURL: the steps do not say which branch the Stage runs from before they run; set repoURL and targetRevision", i)})
			}
		}
	}
	return problems
}

// pushes counts the steps that push a branch.
func pushes(steps []placed) int {
	n := 0
	for _, s := range steps {
		config, err := configOf(&s.PlanStep)
		fields, _ := config.(map[string]any)
		if _, isTag := fields["tag"]; err == nil && s.Uses == "git-push" && !isTag {
			n++
		}
	}
	return n
}

// checkConfig compares the configuration of a step with its schema and shows
// every text of it to check.
func checkConfig(s placed, check func(at, text string)) []Problem {
	schema := stepschema.Of(s.Uses)
	if schema == nil {
		return []Problem{{ReasonUnknownStep, fmt.Sprintf("%s.uses: there is no step %q; there are %s", s.at, s.Uses, strings.Join(stepschema.Steps(), ", "))}}
	}
	config, err := configOf(&s.PlanStep)
	if err != nil {
		return []Problem{{ReasonInvalidConfig, fmt.Sprintf("%s.config: %v", s.at, err)}}
	}
	var out []Problem
	for _, p := range schema.Check(config, true) {
		out = append(out, Problem{ReasonInvalidConfig, strings.TrimSuffix(s.at+".config."+p.Path, ".") + ": " + p.Message})
	}
	stepschema.Texts(config, func(at, text string) {
		if expression.Has(text) {
			check(s.at+".config."+at, text)
		}
	})
	return out
}

// checkMeaning returns what a schema cannot know of a configuration that fits it.
func checkMeaning(stage *v1alpha1.Stage, s placed) []Problem {
	config, err := configOf(&s.PlanStep)
	if err != nil {
		return nil // reported already
	}
	fields, _ := config.(map[string]any)
	var faults []string
	switch s.Uses {
	case "run-job":
		faults = checkRunJob(stage, fields)
	case "send-message":
		faults = checkSendMessage(fields)
	case StepWaitForApproval:
		faults = checkWaitForApproval(fields)
	}
	out := make([]Problem, 0, len(faults))
	for _, f := range faults {
		out = append(out, Problem{ReasonInvalidConfig, s.at + ".config: " + f})
	}
	return out
}

// ownNames returns the short names of the steps of the same task.
func ownNames(before []string, as string) []string {
	task, _, inTask := strings.Cut(as, taskSeparator)
	if !inTask {
		return nil
	}
	out := []string{}
	for _, name := range before {
		if of, short, ok := strings.Cut(name, taskSeparator); ok && of == task {
			out = append(out, short)
		}
	}
	return out
}

// checkExpressions reads the expressions of a text and looks up the names they
// use. vars and outputs are the names that are there; own is nil outside of a
// task.
func checkExpressions(text string, isCondition bool, vars, outputs, own []string) error {
	variables := []string{varCtx, varVars, varOutputs}
	if own != nil {
		variables = append(variables, varTask)
	}
	read := expression.Check
	if isCondition {
		read = expression.CheckCondition
	}
	refs, err := read(text, variables, ExpressionFunctions())
	if err != nil {
		return err //nolint:wrapcheck // names the expression already
	}
	for _, r := range refs {
		switch {
		case r.Member == "":
		case r.Variable == varVars && !slices.Contains(vars, r.Member):
			return fmt.Errorf("there is no variable %q; there are %s", r.Member, orNone(vars))
		case r.Variable == varOutputs && !slices.Contains(outputs, r.Member):
			return fmt.Errorf("no step before it is named %q; there are %s", r.Member, orNone(outputs))
		case r.Variable == varCtx && !slices.Contains([]string{"project", "stage", "promotion", "targetFreight", "meta", "uiBaseUrl"}, r.Member):
			return fmt.Errorf("ctx has no %q", r.Member)
		}
	}
	return nil
}
