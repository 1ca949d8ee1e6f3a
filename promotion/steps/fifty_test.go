package steps_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
)

// TestFiftyStagesAndAnOutsider: 50 Stages of one repository are promoted at once,
// half of them to branches of their own and half to one that they share, while
// somebody else pushes to the same branches. Nobody fails, no commit is lost, and
// nothing is forced.
func TestFiftyStagesAndAnOutsider(t *testing.T) {
	const stages, outside = 50, 40
	b := newBench(t, map[string]string{"README.md": "one"})
	b.server.Git("guestbook", "config", "receive.denyNonFastForwards", "true")
	branchOf := func(i int) string {
		if i%2 == 0 {
			return "apps"
		}
		return fmt.Sprintf("stage/s%d", i)
	}
	for i := range stages {
		b.server.SetBranch("guestbook", branchOf(i), b.server.Branch("guestbook", "main"))
	}
	promotions := make([]*v1alpha1.Promotion, stages)
	for i := range promotions {
		promotions[i] = promote(t, stageWith(readSteps(t, fmt.Appendf(nil, `
- {uses: git-clone, config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: %[2]s, path: ./out}]}}
- {uses: file-write, config: {path: ./out/apps/s%[1]d/version, contents: "1.27.0"}}
- {uses: git-commit, config: {path: ./out, message: "s%[1]d: 1.27.0"}}
- {uses: git-push, config: {path: ./out}}
`, i, branchOf(i)))))
		promotions[i].UID, promotions[i].Spec.Stage = types.UID(fmt.Sprintf("uid-%d", i)), fmt.Sprintf("s%d", i)
	}
	var all sync.WaitGroup
	for i, p := range promotions {
		all.Go(func() {
			deadline := time.Now().Add(2 * time.Minute)
			for time.Now().Before(deadline) && t.Context().Err() == nil {
				out := b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
				switch {
				case out.Done:
					return
				case out.Failed != nil || out.StopErr != nil:
					t.Errorf("Stage s%d: %+v", i, out)
					return
				}
				p.Status.Steps[promotion.Advance(p.Status.Steps, time.Now()).Index].RetryAt = nil // its time has come
			}
			t.Errorf("Stage s%d is not done: %s", i, states(p))
		})
	}
	theirs := make([]string, outside)
	all.Go(func() {
		for i := range theirs {
			var err error
			if theirs[i], err = b.pushAsOutsider(t.Context(), branchOf(i), fmt.Sprintf("notes/%d", i)); err != nil {
				t.Errorf("the outsider: %v", err)
				return
			}
		}
	})
	all.Wait()
	if t.Failed() {
		return
	}
	for i, commit := range theirs {
		b.server.Git("guestbook", "merge-base", "--is-ancestor", commit, branchOf(i)) // fails the test when it is lost
	}
	for i, p := range promotions {
		log := b.server.Git("guestbook", "log", "--format=%B", branchOf(i))
		if n := strings.Count(log, fmt.Sprintf("Waybill-Promotion-UID: uid-%d\n", i)); n != 1 {
			t.Errorf("Stage s%d has %d commits", i, n)
		}
		if got := b.server.Git("guestbook", "show", fmt.Sprintf("%s:apps/s%d/version", branchOf(i), i)); got != "1.27.0" {
			t.Errorf("Stage s%d runs %q", i, got)
		}
		b.server.Git("guestbook", "merge-base", "--is-ancestor", p.Status.Commit.Commit, branchOf(i))
	}
}

// pushAsOutsider commits a file to a branch as any Git client does, with another
// look after a lost race, and returns the commit.
func (b *bench) pushAsOutsider(ctx context.Context, branch, file string) (string, error) {
	m, err := b.Open(ctx, "outsider", b.repoURL)
	if err != nil {
		return "", err
	}
	who := git.Identity{Name: "Olga", Email: "olga@example.com"}
	for {
		refs, err := m.Fetch(ctx, branch)
		if err != nil {
			return "", err
		}
		head := refs.Branches[branch]
		tree, err := m.WriteTree(head, []git.Edit{git.SetFile(file, []byte("note"))})
		if err != nil {
			return "", err
		}
		commit, err := m.WriteCommit(git.CommitSpec{Tree: tree, Parents: []git.Hash{head}, Author: who, Committer: who, When: time.Unix(1_800_000_000, 0), Message: "note " + file})
		if err != nil {
			return "", err
		}
		err = m.Push(ctx, git.Update{Branch: branch, Old: head, New: commit, Bases: []git.Hash{head}})
		if err == nil {
			return commit.String(), nil
		}
		if !errors.Is(err, git.ErrMoved) || ctx.Err() != nil {
			return "", err
		}
	}
}
