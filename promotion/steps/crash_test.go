package steps_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/steps"
)

// maxStops bounds how often one example is stopped; each has far fewer
// boundaries.
const maxStops = 60

// TestCrashMatrix stops the example of every step at every boundary: before an
// intent is recorded, behind that, and behind the effect, at each step in turn.
// What survives is what was made durable, as after the death of the process. The
// rerun comes to the same end, with one commit, one pull request and one Job.
//
// What a step does in several passes, with something to wait for in between, is
// stopped in each of them. Every registered step is in it: a new one cannot be
// forgotten.
func TestCrashMatrix(t *testing.T) {
	for name, s := range steps.Builtin(steps.Dependencies{}) {
		raw, err := os.ReadFile(filepath.Join(path.Base(reflect.TypeOf(s).PkgPath()), "example.yaml"))
		if name == "git-revert" {
			raw, err = revertExample, nil
		}
		if err != nil {
			t.Errorf("step %q cannot be stopped: %v", name, err)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := crashWorld(t, name, raw)
			stops := 0
			for _, point := range engine.Failpoints() {
				for n := 1; ; n++ {
					if stops++; stops > maxStops {
						t.Fatalf("stopped %d times and more", maxStops)
					}
					if !b.stopAt(t, p.DeepCopy(), fmt.Sprintf("%s=error@%d", point, n), fmt.Sprintf("w%d", stops)) {
						break // there is no n-th boundary of this kind
					}
				}
			}
			if stops <= len(engine.Failpoints()) && (strings.Contains(string(raw), "git-push") || strings.Contains(string(raw), "run-job")) {
				t.Error("it was never stopped")
			}
		})
	}
}

// revertExample takes back what was pushed; only rollbacks use the step.
var revertExample = []byte(`
- uses: git-clone
  config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: stage/test, path: ./out}]}
- {uses: git-revert, config: {path: ./out, undo: UNDO, to: TO}}
- {uses: git-commit, config: {path: ./out, message: back, reverts: UNDO}}
- {uses: git-push, config: {path: ./out}}
`)

// crashWorld is the world of an example and its promotion, not begun.
func crashWorld(t *testing.T, step string, raw []byte) (*bench, *v1alpha1.Promotion) {
	t.Helper()
	b := newBench(t, exampleRepo(t))
	b.needsCluster(step)
	if text := string(raw); strings.Contains(text, "UNDO") {
		to := b.server.Branch("guestbook", "main")
		undo := b.server.Commit("guestbook", "main", "bad", map[string]string{"README.md": "bad"})
		b.server.SetBranch("guestbook", "main", to)
		b.server.SetBranch("guestbook", "stage/test", undo)
		raw = []byte(strings.NewReplacer("UNDO", undo, "TO", to).Replace(text))
		p := promote(t, stageWith(nil))
		for i, s := range readSteps(t, raw) {
			as := fmt.Sprintf("step-%d", i)
			p.Status.Plan.Steps = append(p.Status.Plan.Steps, v1alpha1.PlanStep{Uses: s.Uses, As: as, Config: s.Config})
			p.Status.Steps = append(p.Status.Steps, v1alpha1.StepStatus{As: as, Uses: s.Uses, State: v1alpha1.StepPending})
		}
		return b, p
	}
	if strings.Contains(string(raw), "git-open-pr") {
		b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main"))
	}
	return b, promote(t, stageWith(readSteps(t, raw)))
}

// stopAt runs a promotion that is stopped at a point, and goes on with what was
// durable then. It reports whether the point was reached.
func (b *bench) stopAt(t *testing.T, p *v1alpha1.Promotion, point, name string) bool {
	t.Helper()
	defer b.resetBranch(b.server.Branch("guestbook", "stage/test"))
	p.Name, p.UID = "test.1."+name, types.UID(name) // so that a pull request is its own
	before := b.server.Branch("guestbook", "stage/test")
	pulls := len(b.provider.Pulls())
	stop, err := failpoint.Parse(point, engine.Failpoints())
	if err != nil {
		t.Fatal(err)
	}
	syncs := 0
	if b.argo != nil {
		syncs = b.argo.syncs
	}
	p, out, wasStopped := b.runStopped(p, stop)
	if !out.Done && (out.Failed == nil || out.Failed.Reason != "FailedOnPurpose") {
		t.Fatalf("%s: it ended with %+v; steps %s", point, out, states(p))
	}
	if all, released := b.jobs.of(t, p); b.jobs != nil && (len(all) != 1 || released != 1) {
		t.Errorf("%s: %d Jobs, of which %d ran", point, len(all), released)
	}
	if b.argo != nil && strings.Contains(states(p), "argocd-update") && b.argo.syncs != syncs+1 {
		t.Errorf("%s: %d syncs by Argo CD", point, b.argo.syncs-syncs)
	}
	if n := len(b.provider.Pulls()) - pulls; n > 1 {
		t.Errorf("%s: %d pull requests", point, n)
	}
	if head := b.server.Branch("guestbook", "stage/test"); head != before {
		since := strings.Fields(b.server.Git("guestbook", append([]string{"rev-list", "--first-parent", head}, except(before)...)...))
		own := 0
		for _, c := range since {
			if strings.Contains(b.server.Git("guestbook", "cat-file", "-p", c), "Waybill-Promotion: ") {
				own++
			}
		}
		if len(b.provider.Pulls()) == pulls && own != 1 {
			t.Errorf("%s: %d commits of the promotion", point, own)
		}
		if p.Status.Commit == nil || p.Status.Commit.Commit != head {
			t.Errorf("%s: the branch is at %s, the promotion says %+v", point, head, p.Status.Commit)
		}
	}
	return wasStopped
}

// runStopped runs p to its end, doing what it waits for. When the point is
// reached it goes on with what was durable then: what was saved before an
// effect, or is saved at the end of every pass.
func (b *bench) runStopped(p *v1alpha1.Promotion, stop *failpoint.Set) (*v1alpha1.Promotion, engine.Outcome, bool) {
	b.t.Helper()
	defer func() { b.engine.Failpoints = nil }()
	b.engine.Failpoints = stop
	durable, wasStopped := p.DeepCopy(), false
	for range maxRounds {
		work := p
		out := b.engine.Run(b.t.Context(), work, func(context.Context) error {
			durable = work.DeepCopy()
			return nil
		})
		switch {
		case out.StopErr != nil:
			p, wasStopped, b.engine.Failpoints = reread(b.t, durable), true, nil
			lookNow(p)
			continue
		case out.Waiting == "":
			return work, out, wasStopped
		}
		durable = work.DeepCopy()
		p = reread(b.t, durable)
		b.others(p)
	}
	b.t.Fatalf("it still waits: %s", states(p))
	return nil, engine.Outcome{}, false
}

func except(commit string) []string {
	if commit == "" {
		return []string{"^main"}
	}
	return []string{"^" + commit}
}

// resetBranch puts the Stage's branch back for the next stop, and takes tags away.
func (b *bench) resetBranch(to string) {
	for _, tag := range strings.Fields(b.server.Git("guestbook", "tag", "--list")) {
		b.server.Git("guestbook", "tag", "--delete", tag)
	}
	if to == "" {
		b.server.Git("guestbook", "update-ref", "-d", "refs/heads/stage/test")
		return
	}
	b.server.SetBranch("guestbook", "stage/test", to)
}

// reread is p as the API server gives it back.
func reread(t *testing.T, p *v1alpha1.Promotion) *v1alpha1.Promotion {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	out := &v1alpha1.Promotion{}
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func states(p *v1alpha1.Promotion) string {
	var out []string
	for _, st := range p.Status.Steps {
		out = append(out, fmt.Sprintf("%s %s %q", st.Uses, st.State, st.Message))
	}
	return strings.Join(out, "; ")
}
