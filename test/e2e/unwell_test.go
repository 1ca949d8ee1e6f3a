package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// told waits until the history tells the end of a Promotion in one line that
// has all of want, and fails when it tells it twice.
func (w *world) told(p *v1alpha1.Promotion, want ...string) {
	w.t.Helper()
	w.eventually("the history tells of "+p.Name, func() error {
		s := w.cli("", "history", w.project+"/"+p.Spec.Stage, "-o", "wide", "--limit", "200")
		var lines []string
		for line := range strings.Lines(s.out) {
			if strings.HasSuffix(strings.TrimSpace(line), p.Name) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if len(lines) != 1 {
			return fmt.Errorf("it has %d lines of it:\n%s", len(lines), s.text())
		}
		for _, text := range want {
			if !strings.Contains(lines[0], text) {
				return fmt.Errorf("it lacks %q: %s", text, lines[0])
			}
		}
		return nil
	})
}

// seen waits until a Promotion that has not ended says something.
func (w *world) seen(p *v1alpha1.Promotion, phase v1alpha1.PromotionPhase, text string) {
	w.t.Helper()
	w.eventually(p.Name+" says "+text, func() error {
		w.get(p.Name, p)
		if p.Status.Phase != phase || !strings.Contains(p.Status.Message, text) {
			return fmt.Errorf("it is %s (%s): %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
		}
		return nil
	})
}

// isWatched fails when a Promotion does not stay in Syncing for longer than the
// Stage's rollback.after, which is a second, or anything takes it back.
func (w *world) isWatched(p *v1alpha1.Promotion) {
	w.t.Helper()
	before := len(w.promotions(p.Spec.Stage))
	w.always(2*time.Second, p.Name+" is left alone", func() error {
		w.get(p.Name, p)
		if n := len(w.promotions(p.Spec.Stage)); p.Status.Phase != v1alpha1.PhaseSyncing || n != before {
			return fmt.Errorf("it is %s (%s): %s; %d Promotions, were %d", p.Status.Phase, p.Status.Reason, p.Status.Message, n, before)
		}
		return nil
	})
}

// TestSlowStart: a container that crashes once while it starts, and runs then,
// is not taken back; one that crashes again is.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "slow-start")
	w.guestbook()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")

	node := w.playPods("test", "1.26.1")
	w.push("1.26.1")
	p := w.promotionOf("test", "1.26.1")
	node.say(crashed(1))
	w.seen(p, v1alpha1.PhaseSyncing, "ended and is started again")
	w.isWatched(p)
	node.release()
	node.say(runsAfter(1))
	p = w.ends(p, v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.1")
	w.told(p, "promote", "1.26.1", "Succeeded")
	if n := len(w.promotions("test")); n != 2 {
		t.Errorf("%d Promotions, want the two of the flow", n)
	}

	node = w.playPods("test", "1.26.2")
	w.push("1.26.2")
	bad := w.promotionOf("test", "1.26.2")
	node.say(crashed(1))
	w.seen(bad, v1alpha1.PhaseSyncing, "ended and is started again")
	node.say(crashed(2))
	bad = w.ends(bad, v1alpha1.PhaseRolledBack)
	w.runs("test", "1.26.1")
	w.told(bad, "1.26.2", "RolledBack", "crashes again and again with exit code 1")
	w.settled()
	w.oneCommitEach()
}

// TestImagePull: what a container runtime says about an image decides whether
// waiting helps. The messages are those of containerd and the kubelet.
func TestImagePull(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "pull")
	w.guestbook()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	for i, c := range []struct {
		why, reason, message, says string
		passes                     bool
	}{
		{"the tag is not there", "ErrImagePull", `failed to pull and unpack image "r.example/guestbook:1.26.1": failed to resolve reference: r.example/guestbook:1.26.1: not found`, "cannot pull its image", false},
		{"the digest is not there", "ImagePullBackOff", `Back-off pulling image "r.example/guestbook:1.26.2": ErrImagePull: manifest unknown`, "cannot pull its image", false},
		{"nobody may pull it", "ErrImagePull", `failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized`, "cannot pull its image", false},
		{"this account may not", "ImagePullBackOff", `pull access denied, repository does not exist or may require authorization: server message: insufficient_scope`, "cannot pull its image", false},
		{"the name is none", "InvalidImageName", `couldn't parse image name "R.example/guestbook": invalid reference format: repository name must be lowercase`, "cannot use its image", false},
		{"the registry is down", "ErrImagePull", `failed to do request: Head "https://r.example/v2/guestbook/manifests/1.26.6": dial tcp 10.0.0.7:443: i/o timeout`, "cannot pull its image", true},
	} {
		tag := fmt.Sprintf("1.26.%d", i+1)
		node := w.playPods("test", tag)
		w.push(tag)
		p := w.promotionOf("test", tag)
		node.say(waitsFor(c.reason, c.message))
		if !c.passes {
			p = w.ends(p, v1alpha1.PhaseRolledBack)
			w.runs("test", "1.26.0")
			w.told(p, tag, "RolledBack", c.says)
			continue
		}
		w.seen(p, v1alpha1.PhaseSyncing, c.says)
		w.isWatched(p)
		node.release()
		node.say(runsAfter(0)) // it is up again
		p = w.ends(p, v1alpha1.PhaseSucceeded)
		w.runs("test", tag)
		w.told(p, tag, "Succeeded")
	}
	w.settled()
	w.oneCommitEach()
}

// TestSickBefore: what is promoted onto a Stage that is sick already is not
// taken back, since it may not be the cause: a person is called.
func TestSickBefore(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "sick-before")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) { s.Spec.Rollback.WatchFor = seconds(0) })
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	(&kubelet{w: w, stage: "test", tag: "1.26.0"}).say(crashed(5)) // the cluster's fault, long after the promotion
	w.eventually("the Stage is sick", func() error {
		s := &v1alpha1.Stage{}
		w.get("test", s)
		if s.Status.Health == nil || s.Status.Health.Status != v1alpha1.HealthDegraded {
			return fmt.Errorf("health %+v", s.Status.Health)
		}
		return nil
	})
	w.breakImage("1.26.1")
	w.push("1.26.1")
	p := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseFailed)
	const called = "the Stage was not Healthy before it either, so a person is needed; to take it back: waybill rollback sick-before/test"
	if p.Status.Reason != promotion.ReasonUnhealthy || !strings.Contains(p.Status.Message, called) {
		t.Errorf("it ended with %s: %s", p.Status.Reason, p.Status.Message)
	}
	w.told(p, "1.26.1", "Failed", called)
	w.calls("test", "a person is needed")
	if n := len(w.promotions("test")); n != 2 {
		t.Errorf("%d Promotions, want the two of the flow", n)
	}
	if head := w.git.Branch("guestbook", "stage/test"); head != p.Status.Commit.Commit {
		t.Errorf("the branch is at %s, want %s", head, p.Status.Commit.Commit)
	}
	// The person is heard, and the mended version flows.
	w.push("1.26.2")
	w.runs("test", "1.26.2")
}

// calls waits until the status of a Stage is Failed and says why, with what to
// do next.
func (w *world) calls(stage, why string) {
	w.t.Helper()
	w.eventually("a person is called to "+stage, func() error {
		s := w.cli("", "describe", "stage", w.project+"/"+stage)
		if !strings.Contains(s.out, "Failed: ") || !strings.Contains(s.out, why) || !strings.Contains(s.out, "Next:") {
			return fmt.Errorf("describe:\n%s", s.text())
		}
		return nil
	})
}

// TestUnhealthyRevert: a revert that is unhealthy itself is the last one.
func TestUnhealthyRevert(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "sick-revert")
	w.guestbook()
	// All Pods are replaced at once, so that the version before has none left.
	deployment := strings.Replace(w.git.Show("guestbook", "main:base/deployment.yaml"), "  replicas: 3\n", "  replicas: 3\n  strategy: {type: Recreate}\n", 1)
	w.git.Commit("guestbook", "main", "replace all at once", map[string]string{"base/deployment.yaml": deployment})
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	w.breakImage("1.26.0") // from now on
	w.breakImage("1.26.1")
	w.push("1.26.1")
	bad := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseRolledBack)
	var revert *v1alpha1.Promotion
	w.eventually("the revert failed", func() error {
		all := w.promotions("test")
		revert = &all[len(all)-1]
		if revert.Spec.Kind != v1alpha1.KindRollback || revert.Status.Phase != v1alpha1.PhaseFailed {
			return fmt.Errorf("%s is %s (%s): %s", revert.Name, revert.Status.Phase, revert.Status.Reason, revert.Status.Message)
		}
		return nil
	})
	const called = "this was already a rollback, so a person is needed"
	if revert.Status.Reason != promotion.ReasonUnhealthy || !strings.Contains(revert.Status.Message, called) {
		t.Errorf("it ended with %s: %s", revert.Status.Reason, revert.Status.Message)
	}
	w.told(bad, "1.26.1", "RolledBack", "crashes again and again")
	w.told(revert, "roll back", "Failed", "crashes again and again")
	w.calls("test", called)
	w.settled()
	if head := w.git.Branch("guestbook", "stage/test"); head != revert.Status.Commit.Commit || len(w.promotions("test")) != 3 {
		t.Errorf("the branch is at %s, want the revert %s; %d Promotions", head, revert.Status.Commit.Commit, len(w.promotions("test")))
	}
	w.push("1.26.2")
	w.runs("test", "1.26.2")
	w.oneCommitEach()
}

// TestRollbackIsApproved: a Stage may ask a person before a version is taken
// back, and hold the automatic flow afterwards.
func TestRollbackIsApproved(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "asked")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) {
		s.Spec.Rollback.Hold = true
		s.Spec.Rollback.Approval = &v1alpha1.ApprovalPolicy{Required: 1, ExpireAfter: &apimeta.Duration{Duration: time.Hour}}
	})
	w.push("1.26.0")
	w.runs("test", "1.26.0") // promotions ask nobody
	w.breakImage("1.26.1")
	w.push("1.26.1")
	bad := w.promotionOf("test", "1.26.1")
	var revert *v1alpha1.Promotion
	w.eventually("the revert waits for a person", func() error {
		all := w.promotions("test")
		revert = &all[len(all)-1]
		if revert.Spec.Kind != v1alpha1.KindRollback || revert.Status.Phase != v1alpha1.PhasePending || !strings.Contains(revert.Status.Message, "0 of 1 approval") {
			return fmt.Errorf("%s is %s (%s): %s", revert.Name, revert.Status.Phase, revert.Status.Reason, revert.Status.Message)
		}
		return nil
	})
	w.get(bad.Name, bad)
	if head := w.git.Branch("guestbook", "stage/test"); head != bad.Status.Commit.Commit {
		t.Errorf("the branch is at %s before anybody agreed, want %s", head, bad.Status.Commit.Commit)
	}
	if s := w.cli("", "inbox", "-p", w.project); !strings.Contains(s.out, w.project+"/test") {
		t.Errorf("the inbox does not ask:\n%s", s.text())
	}
	if s := w.cli("", "approve", w.project+"/"+revert.Name, "--reason", "yes, away with it"); s.code != 0 {
		t.Fatalf("approve ended with %d:\n%s", s.code, s.text())
	}
	w.ends(revert, v1alpha1.PhaseSucceeded)
	bad = w.ends(bad, v1alpha1.PhaseRolledBack)
	w.runs("test", "1.26.0")
	w.told(bad, "1.26.1", "RolledBack", "crashes again and again")

	// The policy holds: what is new waits until a person lets it go on.
	w.push("1.26.2")
	w.freight("1.26.2")
	w.eventually("the flow is held", func() error {
		s := w.cli("", "why", "1.26.2", w.project+"/test")
		if !strings.Contains(s.out, "the automatic flow is held by policy") || !strings.Contains(s.out, "waybill resume "+w.project+"/test") {
			return fmt.Errorf("why ended with %d:\n%s", s.code, s.text())
		}
		return nil
	})
	if n := len(w.promotions("test")); n != 3 {
		t.Errorf("%d Promotions while the flow is held", n)
	}
	if s := w.cli("", "resume", w.project+"/test"); s.code != 0 {
		t.Fatalf("resume ended with %d:\n%s", s.code, s.text())
	}
	w.runs("test", "1.26.2")
	w.settled()
	w.oneCommitEach()
}

// TestVerificationInterrupted: somebody moves the branch away from what is
// verified. The Promotion says what it waits for, and ends by itself.
func TestVerificationInterrupted(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "interrupted")
	w.guestbook()
	site := newSite(t)
	w.pipeline([]string{"test"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Checks = []v1alpha1.Check{ping(site.URL, 1, 0)}
	}))
	w.push("1.26.0")
	good := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.editStage("test", func(s *v1alpha1.StageSpec) { s.Verification.Checks[0].HTTP.Count = 1000 })
	w.push("1.26.1")
	p := w.promotionOf("test", "1.26.1")
	w.seen(p, v1alpha1.PhaseVerifying, "running: ping")
	w.git.Git("guestbook", "update-ref", "refs/heads/stage/test", good.Status.Commit.Commit)
	w.wake("test", &v1alpha1.Application{})
	w.seen(p, v1alpha1.PhaseVerifying, "its checks wait: ")
	w.editStage("test", func(s *v1alpha1.StageSpec) { s.Rollback.HealthTimeout = seconds(1) })
	p = w.ends(p, v1alpha1.PhaseFailed)
	if p.Status.Reason != promotion.ReasonVerificationInconclusive || p.Status.Verification.Checks[0].Phase != v1alpha1.CheckAborted {
		t.Errorf("it ended with %s: %+v", p.Status.Reason, p.Status.Verification)
	}
	w.told(p, "1.26.1", "Failed", "the Stage has applied something else for 1s: ")
	if w.isVerified("1.26.1", "test") {
		t.Error("the Freight is verified")
	}
	w.editStage("test", func(s *v1alpha1.StageSpec) {
		s.Rollback.HealthTimeout, s.Verification.Checks[0].HTTP.Count = nil, 1
	})
	w.push("1.26.2")
	w.runs("test", "1.26.2")
}
