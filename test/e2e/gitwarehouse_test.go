package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
)

// TestGitWarehouse: a Warehouse watches the folder base of a repository and an
// image. Its Freight carries the commit, and a Stage's branch is built on that
// commit, whatever main holds by then.
func TestGitWarehouse(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "gitwarehouse")
	w.guestbook()
	w.registry.Push("guestbook", "1.26.0", demoregistry.ImageOptions{Salt: "1.26.0"})
	w.pipeline([]string{"test", "prod"})
	w.editWarehouse(func(spec *v1alpha1.WarehouseSpec) {
		spec.FreightCreationPolicy = v1alpha1.FreightEvery
		spec.Subscriptions = append(spec.Subscriptions, v1alpha1.Subscription{
			Git: &v1alpha1.GitSubscription{RepoURL: w.gitURL, Branch: "main", IncludePaths: []string{"base"}},
		})
	})
	first := w.git.Branch("guestbook", "main")
	w.eventually("Freight carries the commit", func() error { return w.carries(first) })
	w.runs("test", "1.26.0")

	// A commit elsewhere makes no Freight; one in base does, and what was
	// committed after it does not ride along.
	w.git.Commit("guestbook", "main", "docs", map[string]string{"docs/a.md": "a\n"})
	wanted := w.git.Commit("guestbook", "main", "two replicas", map[string]string{
		"base/deployment.yaml": strings.Replace(w.git.Show("guestbook", "main:base/deployment.yaml"), "replicas: 3", "replicas: 2", 1),
	})
	w.git.Commit("guestbook", "main", "docs again", map[string]string{"docs/later.md": "later\n"})
	w.refresh()
	w.eventually("Freight carries the new commit", func() error { return w.carries(wanted) })
	w.eventually("test is built on it", func() error {
		files := w.git.Files("guestbook", "stage/test")
		has := func(name string) bool {
			return slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, " "+name) })
		}
		if !has("docs/a.md") || has("docs/later.md") {
			return fmt.Errorf("stage/test holds %v", files)
		}
		if body := w.git.Show("guestbook", "stage/test:base/deployment.yaml"); !strings.Contains(body, "replicas: 2") {
			return fmt.Errorf("stage/test has %s", body)
		}
		return nil
	})
	message := w.git.Git("guestbook", "log", "-1", "--format=%B", "stage/test")
	if !strings.Contains(message, "Waybill-Artifact: commit "+w.gitURL+"@"+wanted) {
		t.Errorf("the commit message does not name the commit:\n%s", message)
	}
	w.eventually("test runs two replicas", func() error {
		d, err := w.deployment("test")
		if err != nil {
			return err
		}
		if *d.Spec.Replicas != 2 {
			return fmt.Errorf("it has %d", *d.Spec.Replicas)
		}
		return w.isRunning("test", "1.26.0")
	})
}

// TestFreightIsKeptWhileItIsNeeded: with one Freight kept, what a Stage runs
// stays however many follow, and what nobody took goes.
func TestFreightIsKeptWhileItIsNeeded(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "retention")
	w.guestbook()
	w.pipeline([]string{"test", "prod"}, func(s *v1alpha1.Stage) { s.Spec.AutoPromotion.Enabled = false })
	w.editWarehouse(func(spec *v1alpha1.WarehouseSpec) { spec.FreightRetention.Keep = 1 })
	w.push("1.26.0")
	w.promote("test", "1.26.0")
	w.runs("test", "1.26.0")
	for _, tag := range []string{"1.26.1", "1.26.2", "1.26.3"} {
		w.push(tag)
		w.freight(tag)
	}
	w.promote("test", "1.26.3")
	w.runs("test", "1.26.3")
	w.push("1.26.4")
	w.freight("1.26.4")
	versions := func() string {
		var list v1alpha1.FreightList
		if err := w.client.List(t.Context(), &list, client.InNamespace(w.project)); err != nil {
			t.Fatal(err)
		}
		var out []string
		for i := range list.Items {
			out = append(out, list.Items[i].Artifacts().Version())
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	// test runs 1.26.3 and would go back to 1.26.0; 1.26.4 is the newest.
	w.eventually("what nobody needs is gone", func() error {
		w.refresh()
		if got := versions(); got != "1.26.0 1.26.3 1.26.4" {
			return fmt.Errorf("there is %s", got)
		}
		return nil
	})
	w.rollback("test")
	w.runs("test", "1.26.0")
	w.refresh()
	if got := versions(); !strings.HasPrefix(got, "1.26.0 ") {
		t.Errorf("what runs is gone; there is %s", got)
	}
}

// carries reports whether the newest Freight holds the commit.
func (w *world) carries(commit string) error {
	var wh v1alpha1.Warehouse
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project, Name: "guestbook"}, &wh); err != nil {
		return err
	}
	var f v1alpha1.Freight
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project, Name: wh.Status.LatestFreight}, &f); err != nil {
		return fmt.Errorf("%w: %+v", err, wh.Status)
	}
	if len(f.Commits) != 1 || f.Commits[0].ID != commit {
		return fmt.Errorf("it holds %+v; the Warehouse says %+v", f.Commits, wh.Status.Subscriptions)
	}
	return nil
}

// editWarehouse changes the Warehouse's spec as `kubectl edit` does.
func (w *world) editWarehouse(edit func(*v1alpha1.WarehouseSpec)) {
	w.t.Helper()
	wh := &v1alpha1.Warehouse{}
	w.get("guestbook", wh)
	before := wh.DeepCopy()
	edit(&wh.Spec)
	if err := w.client.Patch(w.t.Context(), wh, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}
