package planner_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/planner"
)

// TestWhatRidesAlong: commits of the base since the Freight was verified upstream
// are named when the Stage renders what they change, and only then.
func TestWhatRidesAlong(t *testing.T) {
	config := func(colour string) map[string]string {
		return map[string]string{
			"stages/test/kustomization.yaml": "resources: [config.yaml]\nimages:\n- name: " + image + "\n  newTag: 1.25.0\n",
			"stages/test/config.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: " + colour + "}\n",
		}
	}
	for _, c := range []struct {
		why string
		// after happens on main after uat has verified the Freight.
		after func(b *bench)
		edit  func(s *v1alpha1.Stage, f *v1alpha1.Freight, base string)
		want  []string // subjects
		// unknown is part of why nobody can tell.
		unknown string
	}{
		{why: "the same base", after: func(*bench) {}},
		{why: "what is not rendered", after: func(b *bench) {
			b.server.Commit("guestbook", "main", "docs", map[string]string{"README.md": "x\n"})
		}},
		{why: "what is rendered", after: func(b *bench) {
			b.server.Commit("guestbook", "main", "blue", config("blue"))
			b.server.Commit("guestbook", "main", "docs", map[string]string{"README.md": "x\n"})
			b.server.Commit("guestbook", "main", "green", config("green"))
		}, want: []string{"green", "blue"}},
		{why: "and was taken back", after: func(b *bench) {
			b.server.Commit("guestbook", "main", "blue", config("blue"))
			b.server.Commit("guestbook", "main", "red again", config("red"))
		}},
		{why: "a history that was rewritten", after: func(b *bench) {
			tree := b.server.Git("guestbook", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit-tree", "main^{tree}", "-m", "new start")
			b.server.SetBranch("guestbook", "main", strings.TrimSpace(tree))
			b.server.Commit("guestbook", "main", "blue", config("blue"))
		}, unknown: "is not in the history of main"},
		{why: "no record of the base", after: func(*bench) {}, edit: func(_ *v1alpha1.Stage, f *v1alpha1.Freight, _ string) {
			rec := f.Status.Stages["uat"]
			rec.Bases = nil
			f.Status.Stages["uat"] = rec
		}, unknown: "it is not known with which commit"},
		{why: "taken straight from the Warehouse", after: func(b *bench) {
			b.server.Commit("guestbook", "main", "blue", config("blue"))
		}, edit: func(s *v1alpha1.Stage, _ *v1alpha1.Freight, _ string) {
			s.Spec.RequestedFreight[0].Sources = v1alpha1.FreightSources{Direct: true}
		}},
		{why: "the commit is the Freight's own", after: func(b *bench) {
			b.server.Commit("guestbook", "main", "blue", config("blue"))
		}, edit: func(_ *v1alpha1.Stage, f *v1alpha1.Freight, base string) {
			f.Commits = []v1alpha1.Commit{{RepoURL: f.Status.Stages["uat"].Bases[0].RepoURL, ID: base, Branch: "main"}}
		}},
		{why: "manifests that cannot be rendered do not say what they read", after: func(b *bench) {
			b.server.Commit("guestbook", "main", "docs", map[string]string{"README.md": "x\n"})
			b.server.Commit("guestbook", "main", "broken", map[string]string{"stages/test/config.yaml": "a: [\n"})
		}, want: []string{"broken", "docs"}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{})
			base := b.server.Commit("guestbook", "main", "red", config("red"))
			b.server.SetBranch("guestbook", "stage/test", base)
			o, p, f := b.observation()
			o.Stage.Spec.RequestedFreight[0].Sources = v1alpha1.FreightSources{Stages: []string{"uat"}}
			o.Stage.Spec.Deploy = []v1alpha1.Deployment{{Source: v1alpha1.DeploymentSource{Path: "stages/test"}}}
			now := metav1.Now()
			f.Status.Stages = map[string]v1alpha1.FreightInStage{"uat": {VerifiedAt: &now, Bases: []v1alpha1.PlanBase{{RepoURL: b.url, Branch: "main", Commit: base}}}}
			if _, err := b.planner.Plan(t.Context(), o, p, f); err != nil { // the mirror has seen the base, as it has when uat was promoted
				t.Fatal(err)
			}
			c.after(b)
			if c.edit != nil {
				c.edit(o.Stage, f, base)
			}
			r, err := b.planner.Rehearse(t.Context(), o, p, f)
			if err != nil {
				t.Fatal(err)
			}
			checkRiding(t, r, c.want, c.unknown)
		})
	}
}

func checkRiding(t *testing.T, r *planner.Rehearsal, want []string, unknown string) {
	t.Helper()
	got := r.Plan.RidingAlong
	if got == nil {
		got = &v1alpha1.RidingAlong{}
	} else if got.Stage != "uat" || len(got.Verified) != 1 {
		t.Errorf("%+v", got)
	}
	var subjects []string
	for _, c := range got.Commits {
		subjects = append(subjects, c.Subject)
	}
	if strings.Join(subjects, ", ") != strings.Join(want, ", ") {
		t.Errorf("%v ride along, want %v", subjects, want)
	}
	if unknown == "" && got.Unknown != "" || !strings.Contains(got.Unknown, unknown) {
		t.Errorf("unknown: %q, want %q", got.Unknown, unknown)
	}
}

// TestRehearsalAsksGitOnce: a plan with its hash costs Git what a plan costs.
func TestRehearsalAsksGitOnce(t *testing.T) {
	b := newBench(t, map[string]string{})
	o, p, f := b.observation()
	if _, err := b.planner.Plan(t.Context(), o, p, f); err != nil {
		t.Fatal(err)
	}
	before := b.server.Requests()
	r, err := b.planner.Rehearse(t.Context(), o, p, f)
	if err != nil || r.Plan.Hash == "" {
		t.Fatalf("%v, %+v", err, r)
	}
	if n := b.server.Requests().Total() - before.Total(); n != 1 {
		t.Errorf("%d requests for a rehearsal, want the one of its plan", n)
	}
}
