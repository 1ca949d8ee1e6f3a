package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// infra is a second repository of the tests.
func (w *world) infra() (url string) {
	return strings.Replace(w.git.CreateRepo("infra", map[string]string{
		"stages/test/settings.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: green}\n",
		"stages/test/kustomization.yaml": "resources: [settings.yaml]\nimages: [{name: " + w.registry.Name("guestbook") + ", newTag: 1.25.0}]\n",
	}), w.git.Addr(), w.proxy.Addr(), 1)
}

// writesBoth makes a Stage write two repositories and run from both.
func (w *world) writesBoth(infra string) func(*v1alpha1.Stage) {
	return func(s *v1alpha1.Stage) {
		second := *s.Spec.PromotionMechanisms.GitRepoUpdates[0].DeepCopy()
		second.RepoURL = infra
		s.Spec.PromotionMechanisms.GitRepoUpdates = append(s.Spec.PromotionMechanisms.GitRepoUpdates, second)
		more := *s.Spec.Deploy[0].DeepCopy()
		s.Spec.Deploy[0].Name, more.Name, more.Source.RepoURL = "app", "infra", infra
		s.Spec.Deploy = append(s.Spec.Deploy, more)
	}
}

// TestSeveralRepositories: one promotion writes two repositories, and the Stage
// runs it when the Applications of both do; one rollback takes both back; and
// from Git alone both are known again.
func TestSeveralRepositories(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "several")
	w.guestbook()
	infra := w.infra()
	w.startServer()
	apply := func() {
		git, _, _ := strings.Cut(w.credentialsYAML(gittest.Password, registrytest.Password), "---")
		w.cluster.Apply(t, w.projectYAML(), strings.NewReplacer(w.gitURL, infra, "name: git,", "name: infra,").Replace(git))
		w.pipeline([]string{"test"}, w.writesBoth(infra))
	}
	apply()
	w.push("1.26.0")
	good := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.push("1.26.1")
	bad := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseSucceeded)
	for _, p := range []*v1alpha1.Promotion{good, bad} {
		if len(p.Status.Commits) != 2 || p.Status.Commits[0].RepoURL != infra || *p.Status.Commit != p.Status.Commits[1] || p.Status.Commit.RepoURL != w.gitURL {
			t.Fatalf("%s has written %+v, %+v", p.Name, p.Status.Commit, p.Status.Commits)
		}
	}
	w.bothRun("test", bad.Status.Commits)

	back := w.ends(w.rollback("test"), v1alpha1.PhaseSucceeded)
	w.ends(bad, v1alpha1.PhaseRolledBack)
	w.bothRun("test", back.Status.Commits)
	for i, repo := range []string{"infra", "guestbook"} {
		if diff := w.git.Git(repo, "diff", "--stat", good.Status.Commits[i].Commit, "stage/test"); diff != "" {
			t.Errorf("%s is not taken back:\n%s", repo, diff)
		}
		if message := w.git.Git(repo, "log", "-1", "--format=%B", "stage/test"); !strings.Contains(message, promotion.TrailerReverts+": "+bad.Status.Commits[i].Commit) {
			t.Errorf("the commit in %s does not say what it takes back:\n%s", repo, message)
		}
	}

	// Git alone restores the record of both.
	w.settled()
	var before, after v1alpha1.Stage
	w.get("test", &before)
	refs := w.git.Git("guestbook", "for-each-ref") + w.git.Git("infra", "for-each-ref")
	w.server.stop()
	w.wipe()
	w.startServer()
	apply()
	w.eventually("the Stage knows both branches again", func() error {
		w.get("test", &after)
		if len(after.Status.Current) != 1 {
			return fmt.Errorf("current is %+v", after.Status.Current)
		}
		was, is := before.Status.Current[0], after.Status.Current[0]
		if d := cmp.Diff(was.Written, is.Written); d != "" || was.Freight != is.Freight || was.Commit != is.Commit {
			return fmt.Errorf("%s at %s, was %s at %s\n%s", is.Freight, is.Commit, was.Freight, was.Commit, d)
		}
		return nil
	})
	w.bothRun("test", back.Status.Commits)
	if now := w.git.Git("guestbook", "for-each-ref") + w.git.Git("infra", "for-each-ref"); now != refs {
		t.Errorf("the branches moved:\n%s", cmp.Diff(refs, now))
	}
}

// bothRun waits until the Stage is Healthy with each Application at its commit.
func (w *world) bothRun(stage string, commits []v1alpha1.PromotionCommit) {
	w.t.Helper()
	w.eventually(stage+" runs both", func() error {
		for i, name := range []string{"infra", "app"} {
			var app v1alpha1.Application
			w.get(stage+"-"+name, &app)
			if app.Status.Sync.Status != v1alpha1.SyncSynced || app.Status.Sync.Revision != commits[i].Commit {
				return fmt.Errorf("application %s is %s at %s, want %s: %s", name, app.Status.Sync.Status, app.Status.Sync.Revision, commits[i].Commit, app.Status.Sync.Message)
			}
		}
		var s v1alpha1.Stage
		w.get(stage, &s)
		if !s.Status.Synced || s.Status.Health == nil || s.Status.Health.Status != v1alpha1.HealthHealthy {
			return fmt.Errorf("synced %v, health %+v", s.Status.Synced, s.Status.Health)
		}
		return nil
	})
}
