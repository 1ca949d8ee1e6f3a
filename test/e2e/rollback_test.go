package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestRollbackByAPerson takes a version back by one command: in Git, in the
// cluster, and for the automatic flow until a person lets it go on.
func TestRollbackByAPerson(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "rollback")
	w.guestbook()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	good := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.push("1.26.1")
	bad := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.1")

	s := w.cli("", "rollback", w.project+"/test", "--reason", "it eats cookies", "--wait", "--timeout", "60s")
	if s.code != 0 {
		t.Fatalf("rollback ended with %d:\n%s", s.code, s.text())
	}
	w.runs("test", "1.26.0")

	// Git: a new commit whose tree is that of the good one, and that says so.
	head := w.git.Branch("guestbook", "stage/test")
	parent := strings.TrimSpace(w.git.Git("guestbook", "rev-parse", head+"^"))
	if parent != bad.Status.Commit.Commit {
		t.Errorf("the revert's parent is %s, want the bad commit %s", parent, bad.Status.Commit.Commit)
	}
	if diff := w.git.Git("guestbook", "diff", "--stat", good.Status.Commit.Commit, head); diff != "" {
		t.Errorf("the tree differs from the good one:\n%s", diff)
	}
	message := w.git.Git("guestbook", "log", "-1", "--format=%B", head)
	for _, line := range []string{
		"test: roll back to 1.26.0",
		promotion.TrailerReverts + ": " + bad.Status.Commit.Commit,
		promotion.TrailerFreight + ": guestbook=" + good.Spec.Freight,
	} {
		if !strings.Contains(message, line) {
			t.Errorf("the commit message lacks %q:\n%s", line, message)
		}
	}

	// The record: taken back, rejected, held, and by whom.
	bad = w.ends(bad, v1alpha1.PhaseRolledBack)
	if bad.Status.RolledBackBy == "" {
		t.Error("the promotion does not say what took it back")
	}
	w.freezes(map[string]v1alpha1.FreezeScope{
		"rejected.test." + bad.Spec.Freight: v1alpha1.FreezeAll,
		"hold.test":                         v1alpha1.FreezeAutomatic,
	}, "rolled back by ada: it eats cookies")

	// The automatic flow stays away, from what was taken back and from what is
	// new, until a person lets it go on.
	w.push("1.26.2")
	w.freight("1.26.2")
	before := len(w.promotions("test"))
	w.always(2*time.Second, "the flow is held", func() error {
		if n := len(w.promotions("test")); n != before {
			return fmt.Errorf("%d Promotions, were %d", n, before)
		}
		return w.isRunning("test", "1.26.0")
	})
	s = w.cli("", "why", "1.26.2", w.project+"/test")
	if s.code != 0 || !strings.Contains(s.out, "a person may promote it") || !strings.Contains(s.out, "the automatic flow is held by ") || !strings.Contains(s.out, "waybill resume "+w.project+"/test") {
		t.Errorf("why ended with %d:\n%s", s.code, s.text())
	}
	s = w.cli("", "promote", "1.26.1", w.project+"/test")
	if s.code != 7 || !strings.Contains(s.text(), "it eats cookies") {
		t.Errorf("promotion of what was rejected ended with %d:\n%s", s.code, s.text())
	}
	if s := w.cli("", "resume", w.project+"/test"); s.code != 0 {
		t.Fatalf("resume ended with %d:\n%s", s.code, s.text())
	}
	w.runs("test", "1.26.2")
	w.settled()
	w.oneCommitEach()
}

// freezes waits until the Project has just these Freezes, with a reason.
func (w *world) freezes(want map[string]v1alpha1.FreezeScope, reason string) {
	w.t.Helper()
	w.eventually("the Freezes are there", func() error {
		var all v1alpha1.FreezeList
		if err := w.client.List(w.t.Context(), &all, client.InNamespace(w.project)); err != nil {
			return err
		}
		if len(all.Items) != len(want) {
			return fmt.Errorf("%d Freezes, want %d", len(all.Items), len(want))
		}
		for _, z := range all.Items {
			if scope, known := want[z.Name]; !known || scope != z.Spec.Scope || z.Spec.Reason != reason {
				return fmt.Errorf("Freeze %q of scope %s: %q", z.Name, z.Spec.Scope, z.Spec.Reason)
			}
		}
		return nil
	})
}

// TestRollbackAndHotfixes: commits by people on the Stage's branch, before and
// after what is taken back.
func TestRollbackAndHotfixes(t *testing.T) {
	t.Parallel()
	const file = "stages/prod/kustomization.yaml"
	start := func(t *testing.T, project string) *world {
		w := newCommonWorld(t, project)
		w.guestbook()
		w.pipeline([]string{"prod"})
		w.push("1.26.0")
		w.ends(w.promote("prod", "1.26.0"), v1alpha1.PhaseSucceeded)
		w.push("1.26.1")
		return w
	}
	t.Run("before stays", func(t *testing.T) {
		t.Parallel()
		w := start(t, "hotfix-before")
		replicas := strings.Replace(w.git.Show("guestbook", "stage/prod:base/deployment.yaml"), "replicas: 3", "replicas: 4", 1)
		w.hasApplied(w.git.Commit("guestbook", "stage/prod", "more replicas", map[string]string{"base/deployment.yaml": replicas}), "1.26.0")
		w.hasReplicas(4)
		w.ends(w.promote("prod", "1.26.1"), v1alpha1.PhaseSucceeded) // replaces the hotfix, as the plan says
		w.hasReplicas(3)
		p := w.ends(w.rollback("prod"), v1alpha1.PhaseSucceeded)
		w.runs("prod", "1.26.0")
		w.hasReplicas(4)
		w.told(p, "roll back", "1.26.0", "Succeeded", "the test says so")
		w.oneCommitEach()
	})
	t.Run("after, on another path, stays", func(t *testing.T) {
		t.Parallel()
		w := start(t, "hotfix-after")
		w.ends(w.promote("prod", "1.26.1"), v1alpha1.PhaseSucceeded)
		replicas := strings.Replace(w.git.Show("guestbook", "stage/prod:base/deployment.yaml"), "replicas: 3", "replicas: 4", 1)
		hotfix := w.git.Commit("guestbook", "stage/prod", "more replicas", map[string]string{"base/deployment.yaml": replicas})
		w.hasApplied(hotfix, "1.26.1")
		w.hasReplicas(4)
		s := w.cli("", "rollback", w.project+"/prod", "--dry-run")
		if !strings.Contains(s.out, "Deployment guestbook, changed in prod") || !strings.Contains(s.out, ":1.26.0@") || strings.Contains(s.out, "replicas: 3") {
			t.Errorf("the preview ended with %d:\n%s", s.code, s.text())
		}
		p := w.ends(w.rollback("prod"), v1alpha1.PhaseSucceeded)
		w.runs("prod", "1.26.0")
		w.hasReplicas(4)
		if p.Status.Commit.Parent != hotfix {
			t.Errorf("the revert's parent is %s, want the hotfix %s", p.Status.Commit.Parent, hotfix)
		}
		w.told(p, "roll back", "1.26.0", "Succeeded", "the test says so")
		w.oneCommitEach()
	})
	t.Run("after, on the same path, is a conflict", func(t *testing.T) {
		t.Parallel()
		w := start(t, "hotfix-conflict")
		w.ends(w.promote("prod", "1.26.1"), v1alpha1.PhaseSucceeded)
		w.runs("prod", "1.26.1")
		edited := w.git.Show("guestbook", "stage/prod:"+file) + "# by hand\n"
		hotfix := w.git.Commit("guestbook", "stage/prod", "a note", map[string]string{file: edited})
		w.hasApplied(hotfix, "1.26.1")
		deployed := w.deployed("prod")
		s := w.cli("", "rollback", w.project+"/prod", "--dry-run")
		if !strings.Contains(s.err, file) {
			t.Errorf("the preview does not name the conflict:\n%s", s.text())
		}
		p := w.ends(w.rollback("prod"), v1alpha1.PhaseFailed)
		if p.Status.Reason != "RevertConflict" || !strings.Contains(p.Status.Message, file) {
			t.Errorf("it ended with %s: %s", p.Status.Reason, p.Status.Message)
		}
		if head := w.git.Branch("guestbook", "stage/prod"); head != hotfix {
			t.Errorf("the branch is at %s, want the hotfix %s", head, hotfix)
		}
		deployed.untouched()
		w.told(p, "roll back", "Failed", file)
	})
}

// hasApplied waits until prod runs a commit made by hand, and is Healthy on it:
// only then does a rollback go back to it, and a preview know it.
func (w *world) hasApplied(hotfix, tag string) {
	w.t.Helper()
	w.eventually("the hotfix is applied", func() error {
		app := &v1alpha1.Application{}
		w.get("prod", app)
		if app.Status.Sync.Revision != hotfix || app.Status.Health.Status != v1alpha1.HealthHealthy {
			return fmt.Errorf("revision is %s, %s", app.Status.Sync.Revision, app.Status.Health.Status)
		}
		return w.isRunning("prod", tag)
	})
}

func (w *world) hasReplicas(n int32) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("prod has %d replicas", n), func() error {
		d, err := w.deployment("prod")
		if err != nil {
			return err
		}
		if *d.Spec.Replicas != n || d.Status.ReadyReplicas != n {
			return fmt.Errorf("it has %d, %d ready", *d.Spec.Replicas, d.Status.ReadyReplicas)
		}
		return nil
	})
}

// TestNothingToRollBack: the first promotion of a Stage, and one onto a Stage
// that was sick before, are left to a person, who is told why.
func TestNothingToRollBack(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "sick")
	w.guestbook()
	w.pipeline([]string{"prod"})

	s := w.cli("", "rollback", w.project+"/prod")
	if s.code == 0 || !strings.Contains(s.text(), `nothing was promoted into "prod" yet`) {
		t.Errorf("rollback of an empty Stage ended with %d:\n%s", s.code, s.text())
	}
	for i, want := range []string{
		"it was the first promotion into this Stage, so there is nothing to go back to",
		"the Stage was not Healthy before it either, so a person is needed",
	} {
		tag := fmt.Sprintf("1.26.%d", i)
		w.breakImage(tag)
		w.push(tag)
		p := w.ends(w.promote("prod", tag), v1alpha1.PhaseFailed)
		if p.Status.Reason != promotion.ReasonUnhealthy || !strings.Contains(p.Status.Message, want) {
			t.Errorf("%s ended with %s: %s\nwant: %s", tag, p.Status.Reason, p.Status.Message, want)
		}
		if head := w.git.Branch("guestbook", "stage/prod"); head != p.Status.Commit.Commit {
			t.Errorf("the branch is at %s, want %s", head, p.Status.Commit.Commit)
		}
		w.told(p, tag, "Failed", want)
	}
	p := w.ends(w.rollback("prod"), v1alpha1.PhaseFailed)
	if p.Status.Reason != "NothingToRestore" || !strings.Contains(p.Status.Message, `no earlier version ran Healthy in "prod"`) {
		t.Errorf("the rollback ended with %s: %s", p.Status.Reason, p.Status.Message)
	}
	if n := len(w.promotions("prod")); n != 3 {
		t.Errorf("%d Promotions, want the three of people", n)
	}
	w.push("1.26.2")
	w.ends(w.promote("prod", "1.26.2"), v1alpha1.PhaseSucceeded)
	w.runs("prod", "1.26.2")
}

// TestKubectlWithoutTheVerb: who may not is refused by the API server, whatever
// they write with.
func TestKubectlWithoutTheVerb(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "verbs")
	w.guestbook()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	w.push("1.26.1")
	w.runs("test", "1.26.1")
	w.cluster.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: `+w.project+`}
rules:
- {apiGroups: [waybill.dev], resources: [promotions, freezes], verbs: ["*"]}
- {apiGroups: [waybill.dev], resources: [stages], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writer, namespace: `+w.project+`}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]
`)
	if s := w.cli("", "hold", w.project+"/test", "--reason", "wait"); s.code != 0 {
		t.Fatalf("hold ended with %d:\n%s", s.code, s.text())
	}
	var holds v1alpha1.FreezeList
	if err := w.client.List(t.Context(), &holds, client.InNamespace(w.project)); err != nil || len(holds.Items) != 1 {
		t.Fatalf("%d Freezes, want the hold: %v", len(holds.Items), err)
	}
	promotion := func(spec string) string {
		return "apiVersion: waybill.dev/v1alpha1\nkind: Promotion\nmetadata: {name: test.9.x, namespace: " + w.project + "}\nspec: " + spec + "\n"
	}
	freight := w.freight("1.26.0").Name
	for _, tt := range []struct{ name, stdin, args, verb string }{
		{"promote", promotion("{stage: test, freight: " + freight + "}"), "create -f -", "promote"},
		{"roll back", promotion("{stage: test, kind: Rollback}"), "create -f -", "rollback"},
		{"resume", "", "delete freezes.waybill.dev " + holds.Items[0].Name, "promote"},
		{
			"freeze",
			"apiVersion: waybill.dev/v1alpha1\nkind: Freeze\nmetadata: {name: f, namespace: " + w.project + "}\nspec: {stage: test, scope: All, by: mallory, reason: because}\n",
			"create -f -", "freeze",
		},
	} {
		s := w.kubectl("mallory", tt.stdin, strings.Fields(tt.args)...)
		want := "mallory needs the verb " + tt.verb + " on stage " + w.project + "/test"
		if s.code == 0 || !strings.Contains(s.err, want) {
			t.Errorf("%s: kubectl ended with %d:\n%s\nwant: %s", tt.name, s.code, s.text(), want)
		}
	}
	if err := w.isRunning("test", "1.26.1"); err != nil {
		t.Error(err)
	}
	if n := len(w.promotions("test")); n != 2 {
		t.Errorf("%d Promotions, want the two of the automatic flow", n)
	}
}
