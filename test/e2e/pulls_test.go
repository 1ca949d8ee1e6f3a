package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/test/provider"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// asksByPull makes a Stage ask for its image by a pull request that somebody has
// to merge. It looks at that every five minutes: what is faster was woken.
func (w *world) asksByPull(s *v1alpha1.Stage) {
	type m = map[string]any
	s.Spec.PromotionMechanisms = nil
	pull := func(more m) m {
		more["repoURL"], more["provider"] = w.gitURL, "gitea"
		return more
	}
	s.Spec.PromotionTemplate = &v1alpha1.PromotionTemplate{Spec: v1alpha1.PromotionTemplateSpec{Steps: []v1alpha1.PromotionStep{
		{Uses: "git-clone", Config: config(w.t, m{"repoURL": w.gitURL, "checkout": []m{{"branch": "stage/test", "path": "./out"}}})},
		{Uses: "kustomize-set-image", Config: config(w.t, m{"path": "./out/stages/test", "images": []m{{"image": w.registry.Name("guestbook")}}})},
		{Uses: "git-commit", Config: config(w.t, m{"path": "./out", "message": "test: guestbook ${{ imageFrom('" + w.registry.Name("guestbook") + "').Tag }}"})},
		{Uses: "git-push", As: "push", Config: config(w.t, m{"path": "./out", "generateTargetBranch": true})},
		{Uses: "git-open-pr", As: "open", Config: config(w.t, pull(m{"sourceBranch": "${{ outputs.push.branch }}", "targetBranch": "stage/test"}))},
		{Uses: "git-wait-for-pr", Config: config(w.t, pull(m{"prNumber": "${{ outputs.open.pr.id }}", "pollInterval": "5m"}))},
	}}}
}

// wakes tells a Promotion what a webhook would.
func (w *world) wakes(p *v1alpha1.Promotion) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"metadata": {"annotations": {%q: %q}}}`, v1alpha1.AnnotationRequestedAt, p.ResourceVersion)
	if err := w.client.Patch(w.t.Context(), p.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		w.t.Fatal(err)
	}
}

// TestPullRequest: a promotion by pull request opens one, though waybilld is
// killed behind the opening and again while it waits, and ends when it is merged.
func TestPullRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "pulls")
	w.guestbook()
	hub := provider.Start(t, w.git)
	w.gitURL = strings.Replace(w.gitURL, "/guestbook.git", "/"+provider.Owner+"/guestbook.git", 1)
	w.git.SetBranch("guestbook", "stage/test", w.git.Branch("guestbook", "main"))
	w.startServer(failpoint.Env + "=" + engine.FailAfterEffect + "=kill@2") // the first is the push
	w.cluster.Apply(t, w.projectYAML(), w.credentialsYAML(gittest.Password, registrytest.Password), w.warehouseYAML())
	s := w.stage("test", "", true)
	w.asksByPull(s)
	if err := w.client.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.push("1.26.0")
	w.eventually("waybilld kills itself behind the opening", w.server.wasKilled)
	p := w.promotionOf("test", "1.26.0")
	w.startServer()
	waits := func() error {
		w.get(p.Name, p)
		if next := promotion.Advance(p.Status.Steps, p.CreationTimestamp.Time); len(p.Status.Steps) == 0 || next.Done || p.Status.Steps[next.Index].State != v1alpha1.StepWaiting {
			return fmt.Errorf("it is %s: %s", p.Status.Phase, p.Status.Message)
		}
		return nil
	}
	w.eventually("it waits for the pull request", waits)
	w.server.stop()
	w.startServer()
	hub.Merge(1)
	w.eventually("it is taken up again", waits)
	w.eventually("it is woken", func() error {
		w.get(p.Name, p)
		if p.Status.Phase == v1alpha1.PhaseRunning {
			w.wakes(p)
			return fmt.Errorf("it is %s: %s", p.Status.Phase, p.Status.Message)
		}
		return nil
	})
	w.ends(p, v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.0")
	pulls := hub.Pulls()
	if len(pulls) != 1 {
		t.Fatalf("%d pull requests", len(pulls))
	}
	for _, want := range []string{"What this changes", "Deployment/", "1.26.0", "Waybill-Promotion-UID: " + string(p.UID)} {
		if !strings.Contains(pulls[0].Body, want) {
			t.Errorf("the text does not have %q:\n%s", want, pulls[0].Body)
		}
	}
	if c := p.Status.Commit; c == nil || c.Commit != pulls[0].MergeCommit {
		t.Errorf("commit %+v, merged as %s", c, pulls[0].MergeCommit)
	}
}
