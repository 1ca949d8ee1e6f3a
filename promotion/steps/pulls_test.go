package steps_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
)

// pullSteps is a promotion by a pull request, and what then happens with it.
func pullSteps(name, last string) string {
	return strings.ReplaceAll(`
- uses: git-clone
  config:
    repoURL: https://git.example.com/team/guestbook.git
    checkout: [{branch: stage/test, path: ./out}]
- {uses: file-write, config: {path: ./out/version, contents: "${{ imageFrom('registry.example.com/guestbook').Tag }}"}}
- {uses: git-commit, config: {path: ./out, message: "test: guestbook"}}
- {uses: git-push, as: push, config: {path: ./out, generateTargetBranch: true}}
- uses: git-open-pr
  as: open
  config: {repoURL: https://git.example.com/team/guestbook.git, provider: PROVIDER, sourceBranch: "${{ outputs.push.branch }}", targetBranch: stage/test, labels: [release]}
`+last, "PROVIDER", name)
}

const (
	waitStep  = "- {uses: git-wait-for-pr, as: last, config: {repoURL: https://git.example.com/team/guestbook.git, provider: PROVIDER, prNumber: \"${{ outputs.open.pr.id }}\", pollInterval: 10s}}\n"
	mergeStep = "- {uses: git-merge-pr, as: last, config: {repoURL: https://git.example.com/team/guestbook.git, provider: PROVIDER, prNumber: \"${{ outputs.open.pr.id }}\", wait: true}}\n"
)

// promoteByPull starts a promotion with these steps in a fresh world.
func promoteByPull(t *testing.T, steps string) (*bench, *v1alpha1.Promotion) {
	t.Helper()
	b := newBench(t, map[string]string{"version": "1.26.0"})
	b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main"))
	return b, promote(t, stageWith(readSteps(t, []byte(steps))))
}

// run goes on with a promotion, as if its time to look again had come.
func (b *bench) run(p *v1alpha1.Promotion) engine.Outcome {
	b.t.Helper()
	if next := promotion.Advance(p.Status.Steps, time.Now()); !next.Done {
		p.Status.Steps[next.Index].RetryAt = nil
	}
	return b.engine.Run(b.t.Context(), p, func(context.Context) error { return nil })
}

// TestPullRequests: on every provider a pull request is opened once, waited for,
// and is what the Stage runs when it is merged; closed, it fails the promotion.
func TestPullRequests(t *testing.T) {
	for _, name := range []string{"github", "gitlab", "gitea", "bitbucket", "azure"} {
		t.Run(name, func(t *testing.T) {
			t.Run("merged by a person", func(t *testing.T) {
				b, p := promoteByPull(t, pullSteps(name, waitStep))
				out := b.run(p)
				if out.Waiting == "" || out.RetryAt.IsZero() || len(b.provider.Pulls()) != 1 {
					t.Fatalf("outcome %+v, pull requests %+v", out, b.provider.Pulls())
				}
				pull := b.provider.Pulls()[0]
				if !strings.Contains(pull.Body, "Waybill-Promotion-UID: uid-1") || pull.Title != "test: guestbook" || name != "bitbucket" && cmp.Diff([]string{"release"}, pull.Labels) != "" {
					t.Errorf("pull request %+v", pull)
				}
				if p.Status.Commit != nil {
					t.Errorf("a commit that is not merged is what the Stage runs: %+v", p.Status.Commit)
				}
				b.provider.Merge(1)
				if out := b.run(p); !out.Done {
					t.Fatalf("outcome %+v", out)
				}
				if c := p.Status.Commit; c == nil || c.Commit != b.server.Branch("guestbook", "stage/test") || c.Branch != "stage/test" || c.Parent != b.server.Branch("guestbook", "main") {
					t.Errorf("commit %+v", c)
				}
			})
			t.Run("closed without merge", func(t *testing.T) {
				b, p := promoteByPull(t, pullSteps(name, waitStep))
				b.run(p)
				b.provider.Close(1)
				if out := b.run(p); out.Failed == nil || out.Failed.Reason != "PullRequestClosed" {
					t.Errorf("outcome %+v", out)
				}
			})
			t.Run("merged by the promotion when it may be", func(t *testing.T) {
				b, p := promoteByPull(t, pullSteps(name, mergeStep))
				b.provider.Block("a check has not succeeded")
				if out := b.run(p); out.Waiting == "" || b.provider.Pulls()[0].IsMerged {
					t.Fatalf("outcome %+v", out)
				}
				b.provider.Block("")
				if out := b.run(p); !out.Done || p.Status.Commit == nil || p.Status.Commit.Commit != b.server.Branch("guestbook", "stage/test") {
					t.Fatalf("outcome %+v, commit %+v", out, p.Status.Commit)
				}
				if message := b.server.Git("guestbook", "cat-file", "-p", p.Status.Commit.Commit); !strings.Contains(message, "Waybill-Promotion-UID: uid-1") {
					t.Errorf("the merge is not found again by its trailers:\n%s", message)
				}
			})
			t.Run("the answer is lost", func(t *testing.T) {
				b, p := promoteByPull(t, pullSteps(name, waitStep))
				b.provider.LoseAnswers(1)
				if out := b.run(p); out.Err == nil || len(b.provider.Pulls()) != 1 {
					t.Fatalf("outcome %+v", out)
				}
				if out := b.run(p); out.Waiting == "" || len(b.provider.Pulls()) != 1 {
					t.Errorf("outcome %+v, %d pull requests", out, len(b.provider.Pulls()))
				}
			})
			t.Run("stopped behind the opening, merged meanwhile", func(t *testing.T) {
				b, p := promoteByPull(t, pullSteps(name, waitStep))
				stop, err := failpoint.Parse(engine.FailAfterEffect+"=error@2", engine.Failpoints()) // the first is the push
				if err != nil {
					t.Fatal(err)
				}
				b.engine.Failpoints = stop
				if out := b.run(p); out.StopErr == nil {
					t.Fatalf("outcome %+v", out)
				}
				b.provider.Merge(1)
				b.engine.Failpoints = nil
				if out := b.run(p); !out.Done || len(b.provider.Pulls()) != 1 {
					t.Errorf("outcome %+v, %d pull requests", out, len(b.provider.Pulls()))
				}
			})
			t.Run("down", func(t *testing.T) {
				b, p := promoteByPull(t, pullSteps(name, waitStep))
				b.provider.SetDown(true)
				if out := b.run(p); out.Err == nil || out.Failed != nil {
					t.Fatalf("outcome %+v", out)
				}
				b.provider.SetDown(false)
				if out := b.run(p); out.Waiting == "" {
					t.Errorf("outcome %+v", out)
				}
			})
			t.Run("nothing to change", func(t *testing.T) {
				b, p := promoteByPull(t, strings.Replace(pullSteps(name, waitStep), "${{ imageFrom('registry.example.com/guestbook').Tag }}", "1.26.0", 1))
				out := b.run(p)
				if !out.Done || len(b.provider.Pulls()) != 0 {
					t.Fatalf("outcome %+v", out)
				}
				if got := []v1alpha1.StepState{p.Status.Steps[4].State, p.Status.Steps[5].State}; cmp.Diff([]v1alpha1.StepState{"Skipped", "Skipped"}, got) != "" {
					t.Errorf("states %v", got)
				}
			})
		})
	}
}

// TestPullRequestsRefused: what no repetition mends fails with a reason.
func TestPullRequestsRefused(t *testing.T) {
	for why, c := range map[string]struct{ old, new, reason string }{
		"no provider by that host":   {"provider: gitea, sourceBranch", "sourceBranch", "InvalidConfig"},
		"no such target branch":      {"targetBranch: stage/test", "targetBranch: stage/none", "TargetBranchMissing"},
		"an address of no such form": {"repoURL: https://git.example.com/team/guestbook.git, provider: gitea, source", "repoURL: https://git.example.com/guestbook.git, provider: gitea, source", "InvalidConfig"},
	} {
		t.Run(why, func(t *testing.T) {
			b, p := promoteByPull(t, strings.Replace(pullSteps("gitea", ""), c.old, c.new, 1))
			if out := b.run(p); out.Failed == nil || out.Failed.Reason != c.reason {
				t.Errorf("outcome %+v", out)
			}
		})
	}
}
