package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestAcceptDrift commits what a person changed in the cluster to the Stage's
// branch: the cluster stays as it is, and Git says so.
func TestAcceptDrift(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "accepted")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) { s.Spec.Deploy[0].SyncPolicy.Automated.SelfHeal = false })
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	stage := w.project + "/test"

	d, err := w.deployment("test")
	if err != nil {
		t.Fatal(err)
	}
	want := *d.Spec.Replicas + 2
	scaled := d.DeepCopy()
	*scaled.Spec.Replicas = want
	if err := w.client.Patch(t.Context(), scaled, client.MergeFrom(d)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the drift is known", func() error {
		if s := w.cli("", "drift", stage); s.code != 1 || !strings.Contains(s.out, "spec.replicas") {
			return fmt.Errorf("%s", s.text())
		}
		return nil
	})
	if s := w.cli("", "drift", stage, "--accept", "spec.replicas", "--reason", "two more"); s.code != 0 || !strings.Contains(s.err, "says so since commit") {
		t.Fatal(s.text())
	}
	w.eventually("the branch says what runs", func() error {
		if s := w.cli("", "drift", stage); s.code != 0 {
			return fmt.Errorf("%s", s.text())
		}
		if s := w.cli("", "diff", "--live", stage); s.code != 0 {
			return fmt.Errorf("%s", s.text())
		}
		return nil
	})
	if d, err = w.deployment("test"); err != nil || *d.Spec.Replicas != want {
		t.Errorf("%v: %d replicas, want %d", err, *d.Spec.Replicas, want)
	}
	// A second time there is nothing left to commit.
	if s := w.cli("", "drift", stage, "--accept", "spec.replicas"); s.code != 0 || !strings.Contains(s.err, "says so already, since commit") {
		t.Error(s.text())
	}
	if s := w.cli("", "audit", "-p", w.project, "--action", "accept"); s.code != 0 || strings.Count(s.out, "two more") != 1 {
		t.Error(s.text())
	}
	// Who accepted has said so: the automatic flow does not wait, and its plan names
	// who accepted what is replaced.
	w.push("1.26.1")
	w.runs("test", "1.26.1")
	p := w.promotionOf("test", "1.26.1")
	plan := p.Status.Plan
	if plan == nil || len(plan.Overwrites) != 0 || len(plan.Accepted) != 1 || plan.Accepted[0].By == "" || !strings.HasSuffix(plan.Accepted[0].Fields[0], " spec.replicas") {
		t.Fatalf("the plan says %+v", plan)
	}
	if d, err = w.deployment("test"); err != nil || *d.Spec.Replicas != want-2 {
		t.Errorf("%v: %d replicas, want what the branch is written from: %d", err, *d.Spec.Replicas, want-2)
	}
	w.isAudited("apply", "create", "promote", "sync", "drift", "accept")
}

// isAudited waits until the Project's audit trail has these actions, and fails
// unless the whole trail of its server is as it was written.
func (w *world) isAudited(actions ...string) {
	w.t.Helper()
	w.eventually("the audit trail has it all", func() error {
		for _, action := range actions {
			if s := w.cli("", "audit", "-p", w.project, "--action", action, "-o", "json"); s.code != 0 || !strings.Contains(s.out, `"action": "`+action+`"`) {
				return fmt.Errorf("%s: %s", action, s.text())
			}
		}
		return nil
	})
	s := w.cli("", "audit", "verify")
	_, head, found := strings.Cut(strings.TrimSpace(s.out), "head: ")
	if s.code != 0 || !found {
		w.t.Fatal(s.text())
	}
	exported := w.cli("", "audit", "export")
	if s := w.cli(exported.out, "audit", "verify", "-f", "-", "--head", head); s.code != 0 {
		w.t.Error(s.text())
	}
}
