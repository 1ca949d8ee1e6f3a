package promotion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Reasons of templates that cannot run.
const (
	ReasonUnknownStep       = "UnknownStep"
	ReasonUnknownTask       = "UnknownTask"
	ReasonInvalidConfig     = "InvalidConfig"
	ReasonInvalidExpression = "InvalidExpression"
	ReasonDuplicateStep     = "DuplicateStep"
	ReasonMissingInput      = "MissingInput"
)

// maxSteps bounds the steps of a plan, those of tasks included.
const maxSteps = 256

// templateField is where a Stage's steps stand.
const templateField = "spec.promotionTemplate.spec"

// placed is a step with where it was written.
type placed struct {
	v1alpha1.PlanStep
	// at is the field in the document of the Stage.
	at string
	// vars are the names its expressions may use.
	vars []string
}

// CompileTemplate returns the steps of a Stage's promotionTemplate with those of
// its tasks in place, and the variables that all of them see.
func CompileTemplate(stage *v1alpha1.Stage, tasks []v1alpha1.PromotionTask) ([]v1alpha1.PlanStep, []v1alpha1.Variable, error) {
	steps, problems := inflate(stage, tasks)
	if len(problems) > 0 {
		return nil, nil, fmt.Errorf("%s", problems[0].Message)
	}
	out := make([]v1alpha1.PlanStep, len(steps))
	for i := range steps {
		out[i] = steps[i].PlanStep
	}
	return out, templateVars(stage), nil
}

func templateVars(stage *v1alpha1.Stage) []v1alpha1.Variable {
	return append(slices.Clone(stage.Spec.Vars), stage.Spec.PromotionTemplate.Spec.Vars...)
}

// inflate puts the steps of tasks in the place of their calls and gives every
// step its name.
func inflate(stage *v1alpha1.Stage, tasks []v1alpha1.PromotionTask) ([]placed, []Problem) {
	var out []placed
	var problems []Problem
	common := names(templateVars(stage))
	for i := range stage.Spec.PromotionTemplate.Spec.Steps {
		s := &stage.Spec.PromotionTemplate.Spec.Steps[i]
		at := fmt.Sprintf("%s.steps[%d]", templateField, i)
		if s.Task == nil {
			out = append(out, placedStep(s, nameOr(s.As, "step", i), at, common, nil))
			continue
		}
		k := slices.IndexFunc(tasks, func(t v1alpha1.PromotionTask) bool { return t.Name == s.Task.Name })
		if k < 0 {
			problems = append(problems, Problem{ReasonUnknownTask, fmt.Sprintf("%s.task.name: no PromotionTask %q in Project %q; create it or correct the name", at, s.Task.Name, stage.Namespace)})
			continue
		}
		called, faults := inflateTask(s, &tasks[k], nameOr(s.As, "task", i), at, common)
		out, problems = append(out, called...), append(problems, faults...)
	}
	if len(out) > maxSteps {
		problems = append(problems, Problem{ReasonInvalidConfig, fmt.Sprintf("%s.steps: %d steps with those of tasks, at most %d", templateField, len(out), maxSteps)})
		out = nil
	}
	return out, problems
}

// inflateTask returns the steps of one call.
func inflateTask(call *v1alpha1.PromotionStep, task *v1alpha1.PromotionTask, as, at string, common []string) ([]placed, []Problem) {
	var problems []Problem
	inputs := slices.Clone(call.Vars)
	known := names(inputs)
	declared := names(task.Spec.Vars)
	for _, v := range call.Vars {
		if !slices.Contains(declared, v.Name) {
			problems = append(problems, Problem{ReasonMissingInput, fmt.Sprintf("%s.vars: PromotionTask %q has no input %q; it has %s", at, task.Name, v.Name, orNone(declared))})
		}
	}
	for _, v := range task.Spec.Vars {
		switch {
		case slices.Contains(known, v.Name):
		case v.Value == "":
			problems = append(problems, Problem{ReasonMissingInput, fmt.Sprintf("%s.vars: PromotionTask %q needs input %q", at, task.Name, v.Name)})
		default:
			inputs = append(inputs, v)
		}
	}
	scope := append(slices.Clone(common), declared...)
	out := make([]placed, 0, len(task.Spec.Steps))
	for j := range task.Spec.Steps {
		s := task.Spec.Steps[j]
		if s.Task != nil {
			continue // the schema refuses it
		}
		s.If = both(call.If, s.If)
		out = append(out, placedStep(&s, as+taskSeparator+nameOr(s.As, "step", j), fmt.Sprintf("%s (step %d of task %q)", at, j, task.Name), scope, inputs))
	}
	return out, problems
}

func placedStep(s *v1alpha1.PromotionStep, as, at string, vars []string, inputs []v1alpha1.Variable) placed {
	p := placed{at: at, vars: append(slices.Clone(vars), names(s.Vars)...)}
	p.PlanStep = v1alpha1.PlanStep{
		Uses: s.Uses, As: as, If: s.If, ContinueOnError: s.ContinueOnError != nil && *s.ContinueOnError,
		Retry: s.Retry, Vars: append(slices.Clone(inputs), s.Vars...), Config: s.Config,
	}
	return p
}

func names(vars []v1alpha1.Variable) []string {
	out := make([]string, len(vars))
	for i := range vars {
		out[i] = vars[i].Name
	}
	return out
}

func nameOr(as, kind string, i int) string {
	if as != "" {
		return as
	}
	return fmt.Sprintf("%s-%d", kind, i)
}

// both joins the condition of a task's call with that of its step.
func both(call, own string) string {
	if call == "" {
		return own
	}
	if own == "" {
		own = "success()"
	}
	return fmt.Sprintf("${{ (%s) && (%s) }}", bare(call), bare(own))
}

// bare takes the brackets off a condition.
func bare(condition string) string {
	c := strings.TrimSpace(condition)
	for _, b := range [][2]string{{"${{", "}}"}, {"${%", "%}"}} {
		if strings.HasPrefix(c, b[0]) && strings.HasSuffix(c, b[1]) {
			return strings.TrimSpace(c[3 : len(c)-2])
		}
	}
	return c
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// CallsTask reports whether the Stage's template calls the task.
func CallsTask(stage *v1alpha1.Stage, task string) bool {
	t := stage.Spec.PromotionTemplate
	return t != nil && slices.ContainsFunc(t.Spec.Steps, func(s v1alpha1.PromotionStep) bool { return s.Task != nil && s.Task.Name == task })
}
