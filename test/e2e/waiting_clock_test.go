package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/freeaddr"
)

// TestInstants runs by the real clock: a soak ends, a window opens, an approval
// expires, each at its instant, and nobody looks in between.
func TestInstants(t *testing.T) {
	t.Parallel()
	metrics := freeaddr.For(t)
	w := newWorld(t, "instants", "--metrics-listen", metrics)
	w.startServer()
	w.guestbook()
	w.pipeline(nil, func(s *v1alpha1.Stage) {
		switch s.Name {
		case "uat":
			s.Spec.RequestedFreight[0].Sources.RequiredSoakTime = &apimeta.Duration{Duration: 12 * time.Second}
		case "prod":
			s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 2, AllowSelfApproval: true, ExpireAfter: &apimeta.Duration{Duration: 12 * time.Second}}
		}
	})

	// A soak ends.
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	var soaked time.Time
	w.eventually("the soak runs", func() error {
		soak := w.freight("1.26.0").Status.Stages["test"].Soak
		if soak.RunningSince == nil {
			return fmt.Errorf("%+v", soak)
		}
		soaked = soak.RunningSince.Add(12 * time.Second)
		return nil
	})
	w.nobodyLooksBefore(metrics, soaked)
	if p := w.promotionOf("uat", "1.26.0"); p.CreationTimestamp.Time.Before(soaked) {
		t.Errorf("it came at %s, before its soak ended at %s", p.CreationTimestamp, soaked)
	}
	w.runs("uat", "1.26.0")

	// An approval expires: one of two, so that nothing starts.
	waiting := w.promote("prod", "1.26.0")
	w.eventually("there is a plan", func() error {
		if w.get(waiting.Name, waiting); waiting.Status.Plan == nil || waiting.Status.Plan.Hash == "" {
			return fmt.Errorf("%s: %s", waiting.Status.Reason, waiting.Status.Message)
		}
		return nil
	})
	if s := w.cli("", "approve", w.project+"/"+waiting.Name, "--plan", waiting.Status.Plan.Hash); s.code != 0 {
		t.Fatal(s.text())
	}
	gate := func() v1alpha1.GateVerdict {
		if w.get(waiting.Name, waiting); len(waiting.Status.Gates) == 1 {
			return waiting.Status.Gates[0]
		}
		return v1alpha1.GateVerdict{}
	}
	w.eventually("the approval counts", func() error {
		if g := gate(); g.Have != 1 || g.ClosesAt == nil {
			return fmt.Errorf("%+v", g)
		}
		return nil
	})
	lapses := gate().ClosesAt.Time
	w.nobodyLooksBefore(metrics, lapses)
	w.eventually("it has expired", func() error {
		if g := gate(); g.Have != 0 || !strings.Contains(g.Reason, "has expired") {
			return fmt.Errorf("%+v", g)
		}
		if time.Now().Before(lapses) {
			t.Errorf("it expired before %s", lapses)
		}
		return nil
	})

	// A window opens, for one minute of this hour, and closes.
	opens := time.Now().Add(25 * time.Second).Truncate(time.Minute).Add(time.Minute).UTC()
	project := &v1alpha1.Project{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Name: w.project}, project); err != nil {
		t.Fatal(err)
	}
	before := project.DeepCopy()
	project.Spec.Windows = []v1alpha1.PromotionWindow{{
		Name: "now", Kind: v1alpha1.WindowAllow, Schedule: fmt.Sprintf("%d * * * *", opens.Minute()), Duration: apimeta.Duration{Duration: time.Minute}, Stages: []string{"test"},
	}}
	if err := w.client.Patch(t.Context(), project, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.push("1.27.0")
	shut := w.waits(w.promotionOf("test", "1.27.0"), "GateClosed")
	if g := shut.Status.Gates[0]; g.Gate != v1alpha1.GateFreeze || g.OpensAt == nil || !g.OpensAt.Time.Equal(opens) {
		t.Fatalf("opens at %s: %+v", opens, g)
	}
	w.nobodyLooksBefore(metrics, opens)
	w.runs("test", "1.27.0")
	if started := w.promotionOf("test", "1.27.0").Status.StartedAt; started.Time.Before(opens) {
		t.Errorf("it started at %s, before the window opened at %s", started, opens)
	}
	closes := opens.Add(time.Minute)
	w.eventually("the window closes", func() error {
		if time.Now().Before(closes) {
			return fmt.Errorf("it closes at %s", closes)
		}
		return nil
	})
	w.push("1.28.0")
	late := w.waits(w.promotionOf("test", "1.28.0"), "GateClosed")
	if g := late.Status.Gates[0]; g.Gate != v1alpha1.GateFreeze || g.OpensAt == nil || !g.OpensAt.Time.Equal(opens.Add(time.Hour)) {
		t.Errorf("after the window: %+v", g)
	}
}

// nobodyLooksBefore watches, once everything has come to rest, that neither a
// Stage nor a Promotion is reconciled before an instant. Where the machine is too
// busy to come to rest in time there is nothing to see.
func (w *world) nobodyLooksBefore(metrics string, instant time.Time) {
	w.t.Helper()
	const rest, margin = 2 * time.Second, 300 * time.Millisecond
	last, since := w.reconciled(metrics), time.Now()
	for time.Since(since) < rest {
		time.Sleep(100 * time.Millisecond) // a poll, bounded by the instant
		if time.Now().After(instant.Add(-margin)) {
			w.t.Log("no rest before the instant")
			return
		}
		if n := w.reconciled(metrics); n != last {
			last, since = n, time.Now()
		}
	}
	watched := time.Until(instant) - margin
	timer := time.NewTimer(watched)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.t.Context().Done():
	}
	// One may be late, on a busy machine; who looks again and again is seen more often.
	if n := w.reconciled(metrics); n > last+1 && time.Now().Before(instant) {
		w.t.Errorf("%d reconciles in %s in which nothing happened", n-last, watched)
	}
	w.t.Logf("nobody looked for %s", watched.Round(100*time.Millisecond))
}

var reconciledLine = regexp.MustCompile(`(?m)^controller_runtime_reconcile_total\{controller="(?:stage|promotion)",[^}]*\} (\d+)$`)

// reconciled returns how often Stages and Promotions were reconciled so far.
func (w *world) reconciled(metrics string) int {
	w.t.Helper()
	total := 0
	w.eventually("metrics are served", func() error {
		resp, err := http.Get("http://" + metrics + "/metrics") //nolint:noctx // on loopback, of the test's own server
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		total = 0
		for _, m := range reconciledLine.FindAllSubmatch(body, -1) {
			n, err := strconv.Atoi(string(m[1]))
			if err != nil {
				return err
			}
			total += n
		}
		if total == 0 {
			return fmt.Errorf("no reconciles among %d bytes", len(body))
		}
		return nil
	})
	return total
}
