package steps_test

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion/engine"
)

const tagSteps = `
- {uses: git-clone, config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: main, path: ./out}]}}
- {uses: file-write, config: {path: ./out/version, contents: "1.27.0"}}
- {uses: git-commit, config: {path: ./out, message: "1.27.0"}}
- {uses: git-tag, config: {path: ./out, tag: v1.27.0, message: release}}
- {uses: git-push, config: {path: ./out}}
- {uses: git-push, config: {path: ./out, tag: v1.27.0}}
`

// TestTag: the tag is annotated, leads to the promotion's commit, and is what it
// was after a stop behind its push.
func TestTag(t *testing.T) {
	for _, point := range []string{"", engine.FailAfterIntent + "=error@2", engine.FailAfterEffect + "=error@2"} {
		t.Run(point, func(t *testing.T) {
			b := newBench(t, map[string]string{"version": "1.26.0"})
			p := promote(t, stageWith(readSteps(t, []byte(tagSteps))))
			var err error
			if b.engine.Failpoints, err = failpoint.Parse(point, engine.Failpoints()); err != nil {
				t.Fatal(err)
			}
			out := b.run(p)
			b.engine.Failpoints = nil
			if point != "" {
				if out.StopErr == nil {
					t.Fatalf("outcome %+v", out)
				}
				out = b.run(p)
			}
			if !out.Done {
				t.Fatalf("outcome %+v; %s", out, states(p))
			}
			if kind := strings.TrimSpace(b.server.Git("guestbook", "cat-file", "-t", "v1.27.0")); kind != "tag" {
				t.Errorf("it is a %s", kind)
			}
			if at := strings.TrimSpace(b.server.Git("guestbook", "rev-parse", "v1.27.0^{commit}")); at != b.server.Branch("guestbook", "main") || at != p.Status.Commit.Commit {
				t.Errorf("it leads to %s, the promotion made %+v", at, p.Status.Commit)
			}
		})
	}
}

// TestTagIsNeverMoved: a tag that another commit has fails the promotion.
func TestTagIsNeverMoved(t *testing.T) {
	b := newBench(t, map[string]string{"version": "1.26.0"})
	b.server.Git("guestbook", "tag", "v1.27.0", "main")
	before := b.server.Git("guestbook", "rev-parse", "v1.27.0")
	p := promote(t, stageWith(readSteps(t, []byte(tagSteps))))
	if out := b.run(p); out.Failed == nil || out.Failed.Reason != "TagExists" {
		t.Errorf("outcome %+v; %s", out, states(p))
	}
	if after := b.server.Git("guestbook", "rev-parse", "v1.27.0"); after != before {
		t.Errorf("the tag moved from %s to %s", before, after)
	}
}
