package promotion_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func templated(t *testing.T, spec string) *v1alpha1.Stage {
	t.Helper()
	s := &v1alpha1.Stage{}
	s.Namespace, s.Name = "guestbook", "test"
	if err := yaml.UnmarshalStrict([]byte(spec), &s.Spec); err != nil {
		t.Fatal(err)
	}
	return s
}

func task(t *testing.T, name, spec string) v1alpha1.PromotionTask {
	t.Helper()
	out := v1alpha1.PromotionTask{}
	out.Name = name
	if err := yaml.UnmarshalStrict([]byte(spec), &out.Spec); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCheckTemplate: what would fail at run time is said when the Stage is
// applied, with the field.
func TestCheckTemplate(t *testing.T) {
	tasks := []v1alpha1.PromotionTask{task(t, "render", `
vars: [{name: image}, {name: out, value: ./out}]
steps:
- {uses: compose-output, as: names, config: {image: "${{ vars.image }}"}}
- {uses: compose-output, config: {again: "${{ task.outputs.names.image }}", out: "${{ vars.out }}"}}
`)}
	for name, c := range map[string]struct {
		steps string
		want  []string
	}{
		"all is well":  {`[{uses: compose-output, as: a, config: {x: "${{ ctx.stage }}"}}, {uses: fail, if: "outputs.a.x == 'prod'"}, {task: {name: render}, as: r, vars: [{name: image, value: "${{ outputs.a.x }}"}]}, {uses: compose-output, config: {y: "${{ outputs['r::names'].image }}"}}]`, nil},
		"unknown step": {`[{uses: git-clon}]`, []string{"UnknownStep steps[0].uses: there is no step \"git-clon\""}},
		"unknown field": {`[{uses: git-clear, config: {pth: ./out}}]`, []string{
			"InvalidConfig steps[0].config.pth: there is no such field; known are path", "InvalidConfig steps[0].config.path: is required"}},
		"wrong kind":          {`[{uses: git-clone, config: {repoURL: 5, checkout: [{path: ./x, create: "maybe"}]}}]`, []string{"InvalidConfig steps[0].config.checkout[0].create: expected true or false, found string", "InvalidConfig steps[0].config.repoURL: expected text, found integer"}},
		"an expression fits":  {`[{uses: git-clone, config: {repoURL: x, checkout: [{path: ./x, create: "${{ true }}"}]}}]`, nil},
		"two of one group":    {`[{uses: delete, config: {path: a, paths: [b]}}]`, []string{"InvalidConfig steps[0].config: set one of path, paths"}},
		"none of the group":   {`[{uses: delete, config: {strict: true}}]`, []string{"InvalidConfig steps[0].config: set one of path, paths"}},
		"not in the list":     {`[{uses: kustomize-build, config: {path: a, outPath: b, outputFormat: flat}}]`, []string{"InvalidConfig steps[0].config.outputFormat: \"flat\" is not one of kargo, kustomize"}},
		"bad expression":      {`[{uses: fail, config: {message: "${{ 1 + }}"}}]`, []string{"InvalidExpression steps[0].config.message: "}},
		"no such function":    {`[{uses: fail, config: {message: "${{ imageForm('x') }}"}}]`, []string{"InvalidExpression steps[0].config.message: "}},
		"no such variable":    {`[{uses: fail, config: {message: "${{ vars.nope }}"}}]`, []string{"InvalidExpression steps[0].config.message: there is no variable \"nope\""}},
		"output of later":     {`[{uses: fail, if: "outputs.b.x == 1"}, {uses: compose-output, as: b, config: {x: 1}}]`, []string{"InvalidExpression steps[0].if: no step before it is named \"b\""}},
		"no ctx":              {`[{uses: fail, config: {message: "${{ ctx.nope }}"}}]`, []string{"InvalidExpression steps[0].config.message: ctx has no \"nope\""}},
		"two names":           {`[{uses: compose-output, as: a}, {uses: compose-output, as: a}]`, []string{"DuplicateStep steps[1].as: another step is named \"a\" already"}},
		"no such task":        {`[{task: {name: nope}}]`, []string{"UnknownTask steps[0].task.name: no PromotionTask \"nope\""}},
		"input missing":       {`[{task: {name: render}}]`, []string{"MissingInput steps[0].vars: PromotionTask \"render\" needs input \"image\""}},
		"input too many":      {`[{task: {name: render}, vars: [{name: image, value: a}, {name: imgae, value: b}]}]`, []string{"MissingInput steps[0].vars: PromotionTask \"render\" has no input \"imgae\""}},
		"task outputs abroad": {`[{uses: compose-output, as: a}, {uses: fail, config: {message: "${{ task.outputs.a }}"}}]`, []string{"InvalidExpression steps[1].config.message: "}},
	} {
		t.Run(name, func(t *testing.T) {
			stage := templated(t, "requestedFreight: []\npromotionTemplate: {spec: {steps: "+c.steps+"}}")
			var got []string
			for i, p := range promotion.CheckTemplate(stage, tasks) {
				line := p.Reason + " " + strings.TrimPrefix(p.Message, "spec.promotionTemplate.spec.")
				if i < len(c.want) && strings.HasPrefix(line, c.want[i]) {
					line = c.want[i]
				}
				got = append(got, line)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("problems differ:\n%s", d)
			}
		})
	}
}

// TestWrites: where a template writes shows before it runs, if it says so
// without what steps find out.
func TestWrites(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want []promotion.Write
	}{
		"a branch by variables": {`
vars: [{name: repo, value: "https://git.example.com/${{ ctx.project }}.git"}]
promotionTemplate: {spec: {steps: [
  {uses: git-clone, config: {repoURL: "${{ vars.repo }}", checkout: [{branch: main, path: ./src}, {branch: "stage/${{ ctx.stage }}", create: true, path: ./out}]}},
  {uses: git-clear, config: {path: out}},
  {uses: git-push, config: {path: ./out/}}]}}`,
			[]promotion.Write{{RepoURL: "https://git.example.com/guestbook.git", Branch: "stage/test", Path: "out", IsCleared: true}}},
		"in place": {`
promotionTemplate: {spec: {steps: [
  {uses: git-clone, config: {repoURL: r, checkout: [{branch: main, path: ./src}]}},
  {uses: git-push, config: {path: ./src}}]}}`,
			[]promotion.Write{{RepoURL: "r", Branch: "main", Path: "src"}}},
		"a pull request": {`
promotionTemplate: {spec: {steps: [
  {uses: git-clone, config: {repoURL: r, checkout: [{branch: main, path: ./src}]}},
  {uses: git-push, config: {path: ./src, generateTargetBranch: true}}]}}`, nil},
		"only known later": {`
promotionTemplate: {spec: {steps: [
  {uses: compose-output, as: a, config: {b: x}},
  {uses: git-clone, config: {repoURL: r, checkout: [{branch: "${{ outputs.a.b }}", path: ./src}]}},
  {uses: git-push, config: {path: ./src}}]}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, promotion.Writes(templated(t, c.spec))); d != "" {
				t.Error(d)
			}
		})
	}
}
