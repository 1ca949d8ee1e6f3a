package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestFlow is the main job: a pushed tag reaches test and uat by itself and
// prod by a person; a broken version is reverted by policy and does not come
// back; a fixed one flows.
func TestFlow(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "guestbook")
	w.guestbook()
	w.pipeline(nil)

	w.push("1.26.0")
	w.runs("test", "1.26.0")
	w.runs("uat", "1.26.0")
	w.promote("prod", "1.26.0")
	w.runs("prod", "1.26.0")
	w.exactDiff("test")

	w.push("1.27.0")
	w.runs("test", "1.27.0")
	w.runs("uat", "1.27.0")
	if err := w.isRunning("prod", "1.26.0"); err != nil {
		t.Fatalf("prod moved without a person: %v", err)
	}

	w.breakImage("1.28.0")
	w.push("1.28.0")
	bad := w.freight("1.28.0")
	w.eventually("1.28.0 is taken back from test", func() error { return w.isRolledBack("test", bad.Name) })
	w.runs("test", "1.27.0")
	if f := w.freight("1.28.0"); f.Status.Stages["uat"].EnteredAt != nil {
		t.Fatal("the broken version reached uat")
	}

	w.push("1.28.1")
	w.runs("test", "1.28.1")
	w.runs("uat", "1.28.1")
}

// exactDiff shows that a Stage's branch differs from main by the changed
// scalars only, and that its commit has the trailers.
func (w *world) exactDiff(stage string) {
	w.t.Helper()
	name := w.registry.Name("guestbook")
	file := "stages/" + stage + "/kustomization.yaml"
	before, after := w.git.Show("guestbook", "main:"+file), w.git.Show("guestbook", "stage/"+stage+":"+file)
	f := w.freight("1.26.0")
	want := strings.Replace(before, "  newTag: 1.25.0 # replaced by promotions\n",
		"  newTag: 1.26.0 # replaced by promotions\n  digest: "+f.Images[0].Digest+"\n", 1)
	if after != want {
		w.t.Errorf("%s after the promotion:\n%s\nwant:\n%s", file, after, want)
	}
	message := w.git.Git("guestbook", "log", "-1", "--format=%B", "stage/"+stage)
	for _, line := range []string{
		"test: guestbook 1.26.0",
		"Waybill-Promotion: " + w.project + "/" + stage + ".1." + f.Name[:8],
		"Waybill-Promotion-UID: ",
		"Waybill-Stage: " + stage,
		"Waybill-Freight: guestbook=" + f.Name,
		"Waybill-Artifact: image " + name + ":1.26.0@" + f.Images[0].Digest,
	} {
		if !strings.Contains(message, line) {
			w.t.Errorf("the commit message lacks %q:\n%s", line, message)
		}
	}
}

// isRolledBack reports whether the Freight's promotion was reverted by policy.
func (w *world) isRolledBack(stage, freight string) error {
	var all v1alpha1.PromotionList
	if err := w.client.List(w.t.Context(), &all, client.InNamespace(w.project)); err != nil {
		return err
	}
	rolledBack, rollback := false, false
	for _, p := range all.Items {
		if p.Spec.Stage != stage || p.Spec.Freight != freight {
			continue
		}
		rolledBack = rolledBack || p.Spec.Kind == v1alpha1.KindPromote && p.Status.Phase == v1alpha1.PhaseRolledBack
		rollback = rollback || p.Spec.Kind == v1alpha1.KindRollback && p.Status.Phase == v1alpha1.PhaseSucceeded
	}
	if !rolledBack || !rollback {
		return fmt.Errorf("promotion rolled back: %v, rollback succeeded: %v", rolledBack, rollback)
	}
	return nil
}
