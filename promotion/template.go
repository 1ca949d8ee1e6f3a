package promotion

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/stepschema"
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
		problems = append(problems, checkConfig(s, func(at, text string) { check(at, text, false, s.vars, outputs, own) })...)
		before = append(before, s.As)
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

// Write is a branch that a Stage's promotions write.
type Write struct {
	RepoURL, Branch string
	// Path of the working tree in the workspace; empty for the short form and
	// for pull requests.
	Path string
	// IsCleared says that the branch's content is replaced as a whole.
	IsCleared bool
	// ByPullRequest: the branch is changed by merging a pull request.
	ByPullRequest bool
}

// cloneConfig and the others are what the planner needs to know of the steps
// that say where a template writes.
type cloneConfig struct {
	RepoURL  string           `json:"repoURL"`
	Checkout []checkoutConfig `json:"checkout"`
}

type checkoutConfig struct {
	Branch string `json:"branch"`
	Path   string `json:"path"`
}

// Writes returns the branches that a Stage's promotions write, as far as its
// definition alone says so, in the order in which they are written.
func Writes(stage *v1alpha1.Stage) []Write {
	if m := stage.Spec.PromotionMechanisms; m != nil {
		out := make([]Write, 0, len(m.GitRepoUpdates))
		for _, u := range m.GitRepoUpdates {
			out = append(out, Write{RepoURL: u.RepoURL, Branch: u.WriteBranch})
		}
		return out
	}
	if stage.Spec.PromotionTemplate == nil {
		return nil
	}
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Spec.Stage = stage.Namespace, stage.Name
	p.Status.Plan = &v1alpha1.PromotionPlan{Vars: templateVars(stage)}
	for _, s := range stage.Spec.PromotionTemplate.Spec.Steps {
		p.Status.Plan.Steps = append(p.Status.Plan.Steps, v1alpha1.PlanStep{Uses: s.Uses, As: s.As, Vars: s.Vars, Config: s.Config})
	}
	return PlannedWrites(p)
}

// Home returns the branch that a Stage runs from unless its deploy entries say
// otherwise: the first of the short form, the last of a template, which may push
// a branch before it merges that. writes is not empty.
func Home(writes []Write) Write {
	if writes[0].Path == "" && !writes[0].ByPullRequest {
		return writes[0]
	}
	return writes[len(writes)-1]
}

// PlannedWrites is Writes for a Promotion with a plan.
func PlannedWrites(p *v1alpha1.Promotion) []Write {
	var out []Write
	trees := map[string]Write{} // by cleaned path
	cleared := map[string]bool{}
	for i := range p.Status.Plan.Steps {
		s := &p.Status.Plan.Steps[i]
		switch s.Uses {
		case "git-clone":
			var c cloneConfig
			if !Static(p, i, &c, "repoURL", "checkout") {
				continue
			}
			for _, co := range c.Checkout {
				trees[path.Clean(co.Path)] = Write{RepoURL: c.RepoURL, Branch: co.Branch, Path: path.Clean(co.Path)}
			}
		case "git-clear":
			var c struct {
				Path string `json:"path"`
			}
			if Static(p, i, &c, "path") {
				cleared[path.Clean(c.Path)] = true
			}
		case "git-push":
			var c struct {
				Path                 string `json:"path"`
				TargetBranch         string `json:"targetBranch"`
				GenerateTargetBranch bool   `json:"generateTargetBranch"`
			}
			if !Static(p, i, &c, "path", "targetBranch", "generateTargetBranch") || c.GenerateTargetBranch {
				continue
			}
			w, known := trees[path.Clean(c.Path)]
			if !known {
				continue
			}
			if c.TargetBranch != "" {
				w.Branch = c.TargetBranch
			}
			w.IsCleared = cleared[w.Path]
			if w.Branch != "" {
				out = append(out, w)
			}
		case "git-open-pr":
			var c struct {
				RepoURL      string `json:"repoURL"`
				TargetBranch string `json:"targetBranch"`
			}
			if Static(p, i, &c, "repoURL", "targetBranch") {
				out = append(out, Write{RepoURL: c.RepoURL, Branch: c.TargetBranch, ByPullRequest: true})
			}
		}
	}
	return out
}

// StaticConfig returns the configuration of step i with its expressions
// evaluated before any step has run. It is false when that cannot be known yet.
func StaticConfig(p *v1alpha1.Promotion, i int) (map[string]any, bool) {
	config, err := configOf(&p.Status.Plan.Steps[i])
	if err != nil {
		return nil, false
	}
	all, _ := config.(map[string]any)
	return staticValue(p, i, all)
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
