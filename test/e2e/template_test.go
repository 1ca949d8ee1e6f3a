package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

func config(t *testing.T, v any) *runtime.RawExtension {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return &runtime.RawExtension{Raw: raw}
}

// renders makes a Stage render its folder with a template: what most templates
// of Kargo do.
func (w *world) renders(s *v1alpha1.Stage) {
	image := w.registry.Name("guestbook")
	type m = map[string]any
	s.Spec.PromotionMechanisms = nil
	s.Spec.Vars = []v1alpha1.Variable{{Name: "repo", Value: w.gitURL}}
	s.Spec.Deploy[0].Source.Path = "."
	s.Spec.PromotionTemplate = &v1alpha1.PromotionTemplate{Spec: v1alpha1.PromotionTemplateSpec{
		Vars: []v1alpha1.Variable{{Name: "image", Value: image}},
		Steps: []v1alpha1.PromotionStep{
			{Uses: "git-clone", Config: config(w.t, m{"repoURL": "${{ vars.repo }}", "checkout": []m{
				{"branch": "main", "path": "./src"}, {"branch": "stage/${{ ctx.stage }}", "create": true, "path": "./out"},
			}})},
			{Uses: "git-clear", Config: config(w.t, m{"path": "./out"})},
			{Task: &v1alpha1.PromotionTaskReference{Name: "render"}, As: "render", Vars: []v1alpha1.Variable{{Name: "folder", Value: "./src/stages/${{ ctx.stage }}"}}},
			{Uses: "git-commit", As: "commit", Config: config(w.t, m{"path": "./out", "message": "${{ ctx.stage }}: ${{ outputs['render::image'].commitMessage }}"})},
			{Uses: "git-push", Config: config(w.t, m{"path": "./out"})},
			{Uses: "compose-output", Config: config(w.t, m{"commit": "${{ outputs.commit.commit }}"})},
		},
	}}
}

const renderTask = `
apiVersion: waybill.dev/v1alpha1
kind: PromotionTask
metadata: {name: render, namespace: %s}
spec:
  vars: [{name: folder}]
  steps:
  - {uses: kustomize-set-image, as: image, config: {path: "${{ vars.folder }}", images: [{image: "${{ vars.image }}"}]}}
  - {uses: kustomize-build, config: {path: "${{ vars.folder }}", outPath: ./out}}
`

// TestTemplate: a Stage with a promotionTemplate and a task promotes, deploys
// and rolls back like any other; a definition that cannot run says what is wrong
// and recovers by itself.
func TestTemplate(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "template")
	w.guestbook()
	w.cluster.Apply(t, w.projectYAML(), w.credentialsYAML(gittest.Password, registrytest.Password), w.warehouseYAML())
	s := w.stage("test", "", true)
	w.renders(s)
	if err := w.client.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.push("1.26.0")
	w.condition(&v1alpha1.Stage{}, "test", promotion.ReasonUnknownTask)
	w.cluster.Apply(t, fmt.Sprintf(renderTask, w.project))
	w.runs("test", "1.26.0")
	p := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	for _, st := range p.Status.Steps {
		if st.State != v1alpha1.StepSucceeded || st.StartedAt == nil || st.FinishedAt == nil {
			t.Errorf("step %s: %+v", st.As, st)
		}
	}
	last := p.Status.Steps[len(p.Status.Steps)-1]
	if last.Output == nil || !strings.Contains(string(last.Output.Raw), p.Status.Commit.Commit) {
		t.Errorf("the output of the last step is %v, the commit %s", last.Output, p.Status.Commit.Commit)
	}
	if got := w.git.Git("guestbook", "log", "-1", "--format=%s", "stage/test"); !strings.HasPrefix(got, "test: set ") {
		t.Errorf("the message of the commit is %q", got)
	}
	w.push("1.26.1")
	w.runs("test", "1.26.1")
	w.ends(w.rollback("test"), v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.0")
	w.oneCommitEach()
}

// TestCrashInATemplate kills waybilld at every point of a promotion by template:
// afterwards it goes on where it was, with one commit, and what ran once is not
// run again.
func TestCrashInATemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "tcrash")
	w.guestbook()
	w.startServer()
	w.cluster.Apply(t, w.projectYAML(), w.credentialsYAML(gittest.Password, registrytest.Password), w.warehouseYAML(), fmt.Sprintf(renderTask, w.project))
	s := w.stage("test", "", true)
	w.renders(s)
	if err := w.client.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	for i, tt := range []struct {
		point   string
		commits int
	}{
		{engine.FailBeforeIntent, 0}, {engine.FailAfterIntent, 0}, {git.FailAfterPush, 1}, {engine.FailAfterEffect, 1}, {controllers.FailAfterResult, 1},
	} {
		t.Run(tt.point, func(t *testing.T) {
			w := w.in(t)
			tag := fmt.Sprintf("1.27.%d", i)
			w.server.stop()
			w.startServer(failpoint.Env + "=" + tt.point + "=kill")
			w.push(tag)
			w.eventually("waybilld kills itself", w.server.wasKilled)
			p := w.promotionOf("test", tag)
			if n := w.commits("test")[string(p.UID)]; n != tt.commits {
				t.Errorf("%d commits at the crash, want %d", n, tt.commits)
			}
			w.startServer()
			w.ends(p, v1alpha1.PhaseSucceeded)
			w.runs("test", tag)
			w.oneCommitEach()
		})
	}
}
