package e2e

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

//go:embed testdata/kargo-quickstart.yaml
var kargoQuickstart string

var argoCDAppUpdates = regexp.MustCompile(`(?m)^    argoCDAppUpdates:\n    - appName: kargo-demo-(\w+)\n      appNamespace: argocd\n`)

// TestKargoQuickstart brings the manifests of a Kargo v0.8 quickstart along:
// what has another name here is refused with that name, and once that is
// changed the Stages run.
func TestKargoQuickstart(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "quickstart")
	w.guestbook()
	for i := range 7 {
		tag := fmt.Sprintf("1.26.%d", i)
		w.registry.Push("guestbook", tag, demoregistry.ImageOptions{Salt: tag})
	}
	theirs := strings.NewReplacer("PROJECT", w.project, "GIT", w.gitURL, "IMAGE", w.registry.Name("guestbook")).Replace(kargoQuickstart)

	// As it is, with nothing but the word "kargo" in it: what is it called here?
	w.refused(theirs, `Error: 5 mistakes in the manifests; nothing was changed
  standard input: document 1, line 3: apiVersion: kargo.akuity.io/v1alpha1 is now waybill.dev/v1alpha1
  standard input: document 2, line 12: apiVersion: kargo.akuity.io/v1alpha1 is now waybill.dev/v1alpha1
  standard input: document 3, line 24: apiVersion: kargo.akuity.io/v1alpha1 is now waybill.dev/v1alpha1
  standard input: document 4, line 49: apiVersion: kargo.akuity.io/v1alpha1 is now waybill.dev/v1alpha1
  standard input: document 5, line 75: apiVersion: kargo.akuity.io/v1alpha1 is now waybill.dev/v1alpha1
`)
	ours := strings.ReplaceAll(theirs, "kargo.akuity.io/v1alpha1", "waybill.dev/v1alpha1")
	const deploy = "argoCDAppUpdates is now deploy (spec.deploy of the Stage: destination, source and syncPolicy, as in an Argo CD Application)"
	w.refused(ours, `Error: 5 mistakes in the manifests; nothing was changed
  standard input: document 1, line 8: spec.promotionPolicies: promotionPolicies is now autoPromotion (spec.autoPromotion: {enabled: true} of the Stage)
  standard input: document 2, line 21: spec.subscriptions[0].image.semverConstraint: semverConstraint is now constraint
  standard input: document 3, line 45: spec.promotionMechanisms.argoCDAppUpdates: `+deploy+`
  standard input: document 4, line 71: spec.promotionMechanisms.argoCDAppUpdates: `+deploy+`
  standard input: document 5, line 97: spec.promotionMechanisms.argoCDAppUpdates: `+deploy+`
`)

	ours = strings.Replace(ours, "spec:\n  promotionPolicies:\n  - stage: test\n    autoPromotionEnabled: true\n", "", 1)
	ours = strings.Replace(ours, "semverConstraint:", "constraint:", 1)
	ours = argoCDAppUpdates.ReplaceAllString(ours, `  deploy:
  - destination: {namespace: `+w.project+`-$1}
    source: {path: stages/$1}
    syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
`)
	ours = strings.Replace(ours, "      direct: true\n", "      direct: true\n  autoPromotion: {enabled: true}\n", 1)
	ours += w.secrets()
	s := w.cli(ours, "apply", "-f", "-", "--wait")
	if s.code != 0 {
		t.Fatalf("apply ended with %d:\n%s", s.code, s.text())
	}
	// Warehouse: ^1.26.0, the newest five.
	wh := &v1alpha1.Warehouse{}
	w.eventually("the Warehouse has polled", func() error {
		w.get("kargo-demo", wh)
		if len(wh.Status.Subscriptions) != 1 || len(wh.Status.Subscriptions[0].Candidates) != 5 {
			return fmt.Errorf("subscriptions are %+v", wh.Status.Subscriptions)
		}
		return nil
	})
	w.runs("test", "1.26.6")
	for _, stage := range []string{"uat", "prod"} {
		s := w.cli("", "promote", "1.26.6", w.project+"/"+stage, "--wait", "--timeout", "90s")
		if s.code != 0 {
			t.Fatalf("promote into %s ended with %d:\n%s", stage, s.code, s.text())
		}
		if err := w.isRunning(stage, "1.26.6"); err != nil {
			t.Errorf("promote --wait returned, and %s does not run it: %v", stage, err)
		}
	}
	w.settled()
	w.oneCommitEach()
}

// refused applies a manifest that has mistakes, and nothing else happens.
func (w *world) refused(manifest, want string) {
	w.t.Helper()
	s := w.cli(manifest, "apply", "-f", "-")
	if s.code != 2 || s.out != "" || s.err != want {
		w.t.Errorf("apply ended with %d, want 2, and printed %q and\n%s\nwant\n%s", s.code, s.out, s.err, want)
	}
	err := w.client.Get(w.t.Context(), client.ObjectKey{Name: w.project}, &corev1.Namespace{})
	if !apierrors.IsNotFound(err) {
		w.t.Errorf("the Namespace after a refused apply: %v, want none", err)
	}
}

// secrets are the credentials as manifests people write.
func (w *world) secrets() string {
	return `---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: ` + w.project + `, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: "` + w.gitURL + `", username: ` + gittest.Username + `, password: ` + gittest.Password + `}
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: ` + w.project + `, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: "` + w.registry.Name("guestbook") + `", username: ` + registrytest.Username + `, password: ` + registrytest.Password + `}
`
}
