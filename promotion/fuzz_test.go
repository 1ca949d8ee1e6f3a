package promotion_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// FuzzPromotionTemplate: whatever a template and a task say, it is refused with
// the field that is wrong, or compiles to a bounded plan whose steps can be
// evaluated; and neither takes long.
func FuzzPromotionTemplate(f *testing.F) {
	for _, seed := range []string{
		"steps:\n- {uses: git-clone, config: {repoURL: https://git.example.com/a, checkout: [{path: ./a}]}}\n",
		"vars: [{name: a, value: \"${{ vars.a }}\"}]\nsteps: [{uses: nothing}]",
		"steps: [{task: {name: t}, as: x, vars: [{name: in, value: 1}]}, {uses: compose-output, as: x, config: {a: \"${{ outputs.x.a }}\"}}]",
		"steps: [{uses: compose-output, if: \"${{ status('x') == 'Failed' }}\", config: {a: \"${{ outputs['step-0'].a }}\"}}]",
		"steps: [{uses: http, config: {url: 1, headers: {}}}, {uses: git-push, config: {path: ./a, targetBranch: b, generateTargetBranch: true}}]",
		"steps: [{uses: git-wait-for-pr, config: {repoURL: x, prNumber: \"${{ outputs.x.pr.id }}\"}}]",
		"steps:\n" + strings.Repeat("- {uses: fail}\n", 300), "steps: [{}]", "steps: [{uses: fail, task: {name: t}}]", "{", "steps: [{uses: fail, config: [1]}]",
		"steps: [{uses: compose-output, config: {a: \"${{ ((((((((1)))))))) }}\", b: \"${{\", c: \"${{ [0..1000000] }}\"}}]",
	} {
		f.Add(seed, "vars: [{name: in}]\nsteps: [{uses: compose-output, config: {a: \"${{ vars.in }}\"}}, {task: {name: t}}]")
	}
	f.Fuzz(func(t *testing.T, template, task string) {
		if len(template)+len(task) > 1<<14 {
			return
		}
		stage := &v1alpha1.Stage{}
		stage.Namespace, stage.Name = "p", "test"
		stage.Spec.PromotionTemplate = &v1alpha1.PromotionTemplate{}
		shared := v1alpha1.PromotionTask{}
		shared.Name = "t"
		if yaml.Unmarshal([]byte(template), &stage.Spec.PromotionTemplate.Spec) != nil || yaml.Unmarshal([]byte(task), &shared.Spec) != nil {
			return
		}
		begin := time.Now()
		problems := promotion.CheckTemplate(stage, []v1alpha1.PromotionTask{shared})
		for _, p := range problems {
			if p.Reason == "" || !strings.HasPrefix(p.Message, "spec.") {
				t.Fatalf("a problem without a field: %+v", p)
			}
		}
		steps, vars, err := promotion.CompileTemplate(stage, []v1alpha1.PromotionTask{shared})
		if err != nil && len(problems) == 0 {
			t.Fatalf("it does not compile, and nobody says so: %v", err)
		}
		if len(steps) > 256 {
			t.Fatalf("%d steps", len(steps))
		}
		promotion.Writes(stage)
		p := &v1alpha1.Promotion{}
		p.Namespace, p.Name, p.Spec.Stage = "p", "test.1.f", "test"
		p.Status.StartedAt = &metav1.MicroTime{Time: time.Unix(1_800_000_000, 0)}
		p.Status.Plan = &v1alpha1.PromotionPlan{Steps: steps, Vars: vars}
		for i := range min(len(steps), 8) {
			p.Status.Steps = append(p.Status.Steps, v1alpha1.StepStatus{As: steps[i].As, Uses: steps[i].Uses})
			if s, err := promotion.Scope(p, i, nil); err == nil {
				_, _ = promotion.Resolve(&steps[i], s) // an error is an answer
			}
		}
		if took := time.Since(begin); took > time.Minute {
			t.Fatalf("it took %v", took)
		}
	})
}
