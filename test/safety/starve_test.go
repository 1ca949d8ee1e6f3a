package safety

import (
	"fmt"
	"net"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// hole accepts connections and never answers.
func hole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return l.Addr().String()
}

// TestSilentServersHoldNobodyUp: a Project whose servers accept everything and
// answer nothing waits by itself.
func TestSilentServersHoldNobodyUp(t *testing.T) {
	const crowd = 40 // Stages and Warehouses of the Project that waits
	w := newWorld(t)
	silent := hole(t)
	project := func(name string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %[1]s, labels: {waybill.dev/project: \"true\"}}\n---\napiVersion: waybill.dev/v1alpha1\nkind: Project\nmetadata: {name: %[1]s}\n", name)
	}
	warehouse := func(project, name, image string) string {
		return fmt.Sprintf("---\napiVersion: waybill.dev/v1alpha1\nkind: Warehouse\nmetadata: {name: %s, namespace: %s}\nspec: {interval: 5s, subscriptions: [{image: {repoURL: \"%s\", constraint: \"^1.0.0\"}}]}\n", name, project, image)
	}
	stage := func(project, name, repoURL, image string) string {
		return fmt.Sprintf(`---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: app}, sources: {direct: true}}]
  autoPromotion: {enabled: true}
  promotionMechanisms:
    gitRepoUpdates:
    - {repoURL: "%[3]s", readBranch: main, writeBranch: stage/%[2]s, kustomize: {images: [{image: "%[4]s", path: app}]}}
`, project, name, repoURL, image)
	}
	image := w.registry.Name("app")
	credentials := func(project, gitURL string) string {
		return fmt.Sprintf(`---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: %[1]s, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: "%[2]s", username: %[3]s, password: %[4]s}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: %[1]s, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: "%[5]s", username: %[6]s, password: "%[7]s"}
`, project, w.registry.Host(), registrytest.Username, registrytest.Password, gitURL, gittest.Username, gittest.Password)
	}
	w.registry.Push("app", "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	w.cluster.Apply(t, project("bad")+credentials("bad", "http://"+silent)+warehouse("bad", "app", image))
	eventually(t, "the crowd has Freight", func() error {
		var all v1alpha1.FreightList
		if err := w.admin.List(t.Context(), &all, client.InNamespace("bad")); err != nil {
			return err
		}
		return yes(len(all.Items) == 1, len(all.Items))
	})
	bad := ""
	for i := range crowd {
		bad += warehouse("bad", fmt.Sprintf("silent-%d", i), fmt.Sprintf("%s/app-%d", silent, i))
		bad += stage("bad", fmt.Sprintf("s%d", i), fmt.Sprintf("http://%s/r%d.git", silent, i), image)
	}
	w.cluster.Apply(t, bad)
	// Half of the Stages wait for what their branches say about the past, the
	// others know, and wait for their promotions.
	for i := range crowd / 2 {
		st := &v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Namespace: "bad", Name: fmt.Sprintf("s%d", 2*i)}}
		read := fmt.Sprintf(`{"status":{"record":{"readAt":%q}}}`, time.Now().UTC().Format(time.RFC3339))
		if err := w.admin.Status().Patch(t.Context(), st, client.RawPatch(types.MergePatchType, []byte(read))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the crowd is waiting", func() error {
		var all v1alpha1.PromotionList
		if err := w.admin.List(t.Context(), &all, client.InNamespace("bad")); err != nil {
			return err
		}
		return yes(len(all.Items) >= crowd/2, len(all.Items))
	})

	url := w.git.CreateRepo("app", map[string]string{"app/kustomization.yaml": "images:\n- name: " + image + "\n  newTag: 0.1.0\n"})
	start := time.Now()
	w.cluster.Apply(t, project("good")+credentials("good", url)+warehouse("good", "app", image)+stage("good", "test", url, image))
	for w.git.Branch("app", "stage/test") == "" {
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("a Project beside the crowd waits for %s already", took.Round(time.Second))
		}
		time.Sleep(20 * time.Millisecond) // a poll with a deadline
	}
	t.Logf("from apply to commit in %s", time.Since(start).Round(time.Millisecond))

	// What hangs can be aborted: nobody waits for the server's silence to end.
	var busy v1alpha1.Promotion
	eventually(t, "one of the crowd asks its server", func() error {
		var all v1alpha1.PromotionList
		if err := w.admin.List(t.Context(), &all, client.InNamespace("bad")); err != nil {
			return err
		}
		for _, p := range all.Items {
			if p.Status.PlanAttempts == 0 && !p.Status.Phase.IsFinished() {
				busy = p
				return nil
			}
		}
		return yes(false, "none")
	})
	start = time.Now()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"abort":{"by":"waybill:policy"}}}`))
	if err := w.admin.Patch(t.Context(), &busy, patch); err != nil {
		t.Fatal(err)
	}
	w.has(&busy, "bad", busy.Name, func() error { return yes(busy.Status.Phase == v1alpha1.PhaseAborted, busy.Status) })
	if took := time.Since(start); took > 25*time.Second { // the limit is what is tested: Git's own is 30 s
		t.Errorf("an abort takes %s", took.Round(time.Second))
	}
}
