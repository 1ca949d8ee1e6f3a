package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestLookAndSync asks the real server, with the rights it is installed with, what
// a Stage has in its cluster, and has it synced.
func TestLookAndSync(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "looksync")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) { s.Spec.Deploy[0].SyncPolicy.Automated.SelfHeal = false })
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	stage := w.project + "/test"
	says := func(want int, args ...string) string {
		t.Helper()
		s := w.cli("", args...)
		if s.code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s", args, s.code, want, s.text())
		}
		return s.out
	}
	var tree model.ResourceTree
	if err := json.Unmarshal([]byte(says(0, "tree", stage, "-o", "json")), &tree); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, n := range tree.Items {
		kinds[n.Kind]++
	}
	if kinds["Deployment"] != 1 || kinds["ReplicaSet"] != 1 || kinds["Pod"] == 0 || tree.Cut {
		t.Errorf("%v, cut %v", kinds, tree.Cut)
	}
	if out := says(0, "diff", "--live", stage); !strings.Contains(out, "Nothing differs") {
		t.Errorf("at rest: %s", out)
	}
	w.eventually("the events of the Application and of its objects", func() error {
		out := says(0, "events", stage)
		if !strings.Contains(out, "Application/test") || !strings.Contains(out, "Synced") || !strings.Contains(out, "ScalingReplicaSet") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if s := w.cli("", "logs", "--pods", stage); s.code != 0 || !strings.Contains(s.text(), "its node does not answer: ") {
		t.Errorf("the pods run nothing here, and nothing says so: %d\n%s", s.code, s.text())
	}

	d, err := w.deployment("test")
	if err != nil {
		t.Fatal(err)
	}
	want := *d.Spec.Replicas
	scaled := d.DeepCopy()
	*scaled.Spec.Replicas = want + 2
	if err := w.client.Patch(t.Context(), scaled, client.MergeFrom(d)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the drift is known", func() error {
		if s := w.cli("", "drift", stage); s.code != 1 || !strings.Contains(s.out, "spec.replicas") {
			return fmt.Errorf("%s", s.text())
		}
		return nil
	})
	if out := says(1, "diff", "--live", stage); !strings.Contains(out, fmt.Sprintf("+  replicas: %d", want)) {
		t.Errorf("%s", out)
	}
	says(0, "sync", stage, "--dry-run")
	if d, err = w.deployment("test"); err != nil || *d.Spec.Replicas != want+2 {
		t.Fatalf("%v: a dry run synced", err)
	}
	says(0, "sync", stage, "--wait")
	if d, err = w.deployment("test"); err != nil || *d.Spec.Replicas != want {
		t.Errorf("%v: %d replicas after the sync, want %d", err, *d.Spec.Replicas, want)
	}
	says(0, "drift", stage)
	says(0, "cluster", "list")
}
