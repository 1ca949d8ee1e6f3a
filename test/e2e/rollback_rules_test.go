package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestRevertsOnce: what was taken back and let in again by a person is not taken
// back a second time; a person goes back to any version that ran well.
func TestRevertsOnce(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "once")
	w.guestbook()
	w.pipeline([]string{"test"})
	for _, tag := range []string{"1.26.0", "1.26.1"} {
		w.push(tag)
		w.runs("test", tag)
	}
	w.breakImage("1.26.2")
	w.push("1.26.2")
	w.ends(w.promotionOf("test", "1.26.2"), v1alpha1.PhaseRolledBack)
	w.runs("test", "1.26.1")
	if s := w.cli("", "unreject", "1.26.2", w.project+"/test"); s.code != 0 {
		t.Fatalf("unreject ended with %d:\n%s", s.code, s.text())
	}
	// The automatic flow leaves it alone; a person tries it again.
	again := w.ends(w.promote("test", "1.26.2"), v1alpha1.PhaseFailed)
	if !strings.Contains(again.Status.Message, "this Freight was already reverted here by") {
		t.Errorf("it ended with %s: %s", again.Status.Reason, again.Status.Message)
	}
	w.calls("test", "this Freight was already reverted here by")

	if s := w.cli("", "rollback", w.project+"/test", "--to", "1.26.0", "--reason", "further back", "--wait", "--timeout", "90s"); s.code != 0 {
		t.Fatalf("rollback ended with %d:\n%s", s.code, s.text())
	}
	w.runs("test", "1.26.0")
	w.settled()
	w.oneCommitEach()
}

// TestRevertOnASharedBranch: of a branch that another Stage writes too, only the
// paths of the Stage go back.
func TestRevertOnASharedBranch(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "shared-revert")
	w.guestbook()
	w.pipeline([]string{"test", "uat"}, func(s *v1alpha1.Stage) {
		s.Spec.PromotionMechanisms.GitRepoUpdates[0].WriteBranch = "main"
	})
	for _, tag := range []string{"1.26.0", "1.26.1"} {
		w.push(tag)
		w.runs("test", tag)
		w.runs("uat", tag)
	}
	p := w.ends(w.rollback("test"), v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.0")
	if err := w.isRunning("uat", "1.26.1"); err != nil {
		t.Errorf("the other Stage was touched: %v", err)
	}
	changed := strings.Fields(w.git.Git("guestbook", "diff", "--name-only", p.Status.Commit.Parent, p.Status.Commit.Commit))
	if len(changed) != 1 || changed[0] != "stages/test/kustomization.yaml" {
		t.Errorf("the revert changes %v", changed)
	}
	w.settled()
	w.oneCommitEach()
}

// nodeLogs makes the nodes give logs: an HTTPS server in place of the kubelet,
// which the API server asks as it asks any.
func (w *world) nodeLogs(text string) {
	w.t.Helper()
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(a http.ResponseWriter, q *http.Request) {
		if !strings.HasPrefix(q.URL.Path, "/containerLogs/"+w.project+"-") {
			http.NotFound(a, q)
			return
		}
		fmt.Fprint(a, text)
	}))
	w.t.Cleanup(kubelet.Close)
	at, err := url.Parse(kubelet.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.ParseInt(at.Port(), 10, 32)
	if err != nil {
		w.t.Fatal(err)
	}
	var nodes corev1.NodeList
	if err := w.client.List(w.t.Context(), &nodes); err != nil {
		w.t.Fatal(err)
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		before := n.DeepCopy()
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: at.Hostname()}}
		n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
		if err := w.client.Status().Patch(w.t.Context(), n, client.MergeFrom(before)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestJobLogs: what a Job wrote is kept with its check, and shown.
func TestJobLogs(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "joblogs")
	w.guestbook()
	w.nodeLogs("3 passed\n1 failed: cart keeps its items\n")
	w.pipeline([]string{"test"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Checks = []v1alpha1.Check{w.smoke("CrashLoopBackOff")}
	}))
	w.push("1.26.0")
	p := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseFailed)
	if c := p.Status.Verification.Checks[0]; p.Status.Reason != promotion.ReasonVerificationFailed || c.Value != "exit code 1" || !strings.Contains(c.Log, "1 failed: cart keeps its items") {
		t.Errorf("it ended with %s: %+v", p.Status.Reason, c)
	}
	if s := w.cli("", "logs", w.project+"/test", "smoke"); s.code != 0 || !strings.Contains(s.out, "3 passed\n1 failed: cart keeps its items") {
		t.Errorf("logs ended with %d:\n%s", s.code, s.text())
	}
}
