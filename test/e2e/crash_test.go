package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/faultproxy"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
)

// pushRequest begins the request that carries a pack to the Git server.
const pushRequest = "POST /guestbook.git/git-receive-pack"

// TestCrashAtFailpoints kills waybilld at every named point of a promotion and
// of a sync, starts it again, and counts commits on the server.
func TestCrashAtFailpoints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		point string
		// commits on the branch for the promotion at the moment of the crash.
		commits int
	}{
		{engine.FailBeforeIntent, 0},
		{engine.FailAfterIntent, 0},
		{git.FailBeforePush, 0},
		{git.FailAfterPush, 1},
		{engine.FailAfterEffect, 1},
		{controllers.FailAfterResult, 1},
		{controllers.FailBeforeApply, 1},
		{controllers.FailDuringApply, 1},
		{controllers.FailAfterApply, 1},
	}
	known := slices.Concat(engine.Failpoints(), git.Failpoints(), controllers.ApplicationFailpoints(), []string{controllers.FailAfterResult})
	for _, name := range known {
		if !slices.ContainsFunc(tests, func(tt struct {
			point   string
			commits int
		}) bool {
			return tt.point == name
		}) {
			t.Errorf("no row kills at failpoint %q", name)
		}
	}

	w := newWorld(t, "crash")
	w.guestbook()
	w.startServer()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	for i, tt := range tests {
		t.Run(tt.point, func(t *testing.T) {
			w := w.in(t)
			tag := fmt.Sprintf("1.27.%d", i)
			w.server.stop()
			w.startServer(failpoint.Env + "=" + tt.point + "=kill")
			w.push(tag)
			w.eventually("waybilld kills itself", w.server.wasKilled)
			p := w.promotionOf("test", tag)
			if n := w.commits("test")[string(p.UID)]; n != tt.commits {
				t.Errorf("%d commits of %s at the crash, want %d", n, p.Name, tt.commits)
			}
			w.startServer()
			w.ends(p, v1alpha1.PhaseSucceeded)
			w.runs("test", tag)
			if err := w.hasCommits(p, 1); err != nil {
				t.Error(err)
			}
			w.oneCommitEach()
		})
	}
}

// TestCrashDuringARollback kills waybilld while it takes a version back.
func TestCrashDuringARollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "undo")
	w.guestbook()
	w.startServer()
	w.pipeline([]string{"prod"})
	w.push("1.26.0")
	w.ends(w.promote("prod", "1.26.0"), v1alpha1.PhaseSucceeded)
	for i, tt := range []struct {
		point   string
		commits int
	}{
		{engine.FailAfterIntent, 0},
		{git.FailAfterPush, 1},
		{controllers.FailAfterResult, 1},
	} {
		t.Run(tt.point, func(t *testing.T) {
			w := w.in(t)
			tag := fmt.Sprintf("1.27.%d", i)
			w.push(tag)
			bad := w.ends(w.promote("prod", tag), v1alpha1.PhaseSucceeded)
			w.runs("prod", tag)
			w.server.stop()
			w.startServer(failpoint.Env + "=" + tt.point + "=kill")
			p := w.rollback("prod")
			w.eventually("waybilld kills itself", w.server.wasKilled)
			if err := w.hasCommits(p, tt.commits); err != nil {
				t.Errorf("at the crash: %v", err)
			}
			w.startServer()
			w.ends(p, v1alpha1.PhaseSucceeded)
			w.ends(bad, v1alpha1.PhaseRolledBack)
			w.runs("prod", "1.26.0")
			if err := w.hasCommits(p, 1); err != nil {
				t.Error(err)
			}
			w.oneCommitEach()
		})
	}
}

// in is the same world in a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

// TestCrashInsideThePush kills waybilld while the Git server works on its push,
// or takes away the answer only.
func TestCrashInsideThePush(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "push")
	w.guestbook()
	w.startServer()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")

	t.Run("the server has moved the branch, the answer is held back", func(t *testing.T) {
		w := w.in(t)
		w.proxy.Set(faultproxy.Fault{After: []byte(pushRequest), Delay: time.Hour})
		w.push("1.26.1")
		p := w.promotionOf("test", "1.26.1")
		w.eventually("the commit is on the branch", func() error { return w.hasCommits(p, 1) })
		w.server.kill()
		w.proxy.Set(faultproxy.Fault{})
		w.startServer()
		w.ends(p, v1alpha1.PhaseSucceeded)
		w.runs("test", "1.26.1")
		w.oneCommitEach()
	})
	t.Run("the push never arrives", func(t *testing.T) {
		w := w.in(t)
		w.proxy.Set(faultproxy.Fault{After: []byte(pushRequest), Blackhole: true})
		w.push("1.26.2")
		p := w.promotionOf("test", "1.26.2")
		w.eventually("the push is under way", func() error {
			if w.proxy.Acted() == 0 {
				return errors.New("no push yet")
			}
			return nil
		})
		w.server.kill()
		w.proxy.Set(faultproxy.Fault{})
		if err := w.hasCommits(p, 0); err != nil {
			t.Error(err)
		}
		w.startServer()
		w.ends(p, v1alpha1.PhaseSucceeded)
		w.runs("test", "1.26.2")
		w.oneCommitEach()
	})
	for i, cut := range []int{0, 20} {
		t.Run(fmt.Sprintf("the answer is cut after %d bytes, nobody is killed", cut), func(t *testing.T) {
			w := w.in(t)
			tag := fmt.Sprintf("1.26.%d", 3+i)
			w.proxy.Set(faultproxy.Fault{After: []byte(pushRequest), Cut: true, CutAfter: cut, Times: 1})
			w.push(tag)
			p := w.ends(w.promotionOf("test", tag), v1alpha1.PhaseSucceeded)
			if w.proxy.Acted() != 1 {
				t.Fatalf("the answer was cut %d times, want once", w.proxy.Acted())
			}
			w.proxy.Set(faultproxy.Fault{})
			if err := w.hasCommits(p, 1); err != nil {
				t.Error(err)
			}
			w.runs("test", tag)
			w.oneCommitEach()
		})
	}
}

// TestCrashAtRandomTimes kills waybilld ten times while versions travel through
// three automatic Stages. WAYBILL_SEED repeats a run.
func TestCrashAtRandomTimes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(seed(t), 0))

	w := newWorld(t, "random")
	w.guestbook()
	w.startServer()
	w.pipeline(nil, func(s *v1alpha1.Stage) { s.Spec.AutoPromotion.Enabled = true })
	w.push("1.26.0")
	w.runs("prod", "1.26.0")
	const kills, versions = 10, 5
	killed := 0
	for v := range versions {
		tag := fmt.Sprintf("1.27.%d", v)
		w.push(tag)
		for range kills / versions {
			// The start takes about a second, the way to prod two or three.
			life := time.Duration(random.Int64N(int64(3 * time.Second)))
			select {
			case <-w.server.done:
				t.Fatalf("waybilld ended by itself: %s", w.server.cmd.ProcessState)
			case <-time.After(life):
			}
			w.server.kill()
			killed++
			t.Logf("%s: killed after %s: %s", tag, life, w.progress())
			w.startServer()
		}
		for _, stage := range []string{"test", "uat", "prod"} {
			w.runs(stage, tag)
		}
	}
	w.settled()
	w.oneCommitEach()
	t.Logf("killed %d times, %d promotions", killed, len(w.promotions("")))
}

// seed is what random tests begin with: WAYBILL_SEED, or the time.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("WAYBILL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("WAYBILL_SEED=%d", seed)
	return seed
}

// progress says in few words how far the Promotions are.
func (w *world) progress() string {
	var out []string
	for _, p := range w.promotions("") {
		if !p.Status.Phase.IsFinished() {
			out = append(out, fmt.Sprintf("%s %s", p.Name, p.Status.Phase))
		}
	}
	return strings.Join(out, ", ")
}

// settled waits until every Promotion has ended.
func (w *world) settled() {
	w.t.Helper()
	w.eventually("all Promotions have ended", func() error {
		if open := w.progress(); open != "" {
			return errors.New(open)
		}
		return nil
	})
}

// commits asks the Git server how many commits of a Stage's branch name each
// Promotion, by UID.
func (w *world) commits(stage string) map[string]int {
	w.t.Helper()
	branch := "refs/heads/stage/" + stage
	if strings.TrimSpace(w.git.Git("guestbook", "for-each-ref", branch)) == "" {
		return nil
	}
	return w.commitsOn(branch)
}

func (w *world) commitsOn(ref string) map[string]int {
	w.t.Helper()
	count := map[string]int{}
	out := w.git.Git("guestbook", "log", "--format=%(trailers:key="+promotion.TrailerPromotionUID+",valueonly)", ref)
	for uid := range strings.FieldsSeq(out) {
		count[uid]++
	}
	return count
}

func (w *world) hasCommits(p *v1alpha1.Promotion, want int) error {
	if n := w.commits(p.Spec.Stage)[string(p.UID)]; n != want {
		return fmt.Errorf("%d commits of %s, want %d", n, p.Name, want)
	}
	return nil
}

// oneCommitEach compares the Promotions with the commits on the server: one
// each, never two; none for one that never pushed; and no commit of a Promotion
// that nobody knows. Every version differs, so that no Promotion may find its
// content on the branch already: that would be a second push by other means.
func (w *world) oneCommitEach() {
	w.t.Helper()
	all := w.commitsOn("--branches")
	for _, p := range w.promotions("") {
		want := 0
		if p.Status.Commit != nil {
			want = 1
		}
		if p.Status.Phase == v1alpha1.PhaseSucceeded && (p.Status.Commit == nil || p.Status.Commit.Unchanged) {
			w.t.Errorf("%s succeeded without a commit of its own: %+v", p.Name, p.Status.Commit)
		}
		if n := all[string(p.UID)]; n != want {
			w.t.Errorf("%s (%s): %d commits on the server, want %d", p.Name, p.Status.Phase, n, want)
		}
		delete(all, string(p.UID))
	}
	for uid, n := range all {
		w.t.Errorf("%d commits of a Promotion with UID %s, which does not exist", n, uid)
	}
}
