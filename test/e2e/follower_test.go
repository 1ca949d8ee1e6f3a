package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestFollowerLooksIntoRegisteredClusters: the API of a replica that does not lead
// answers for Applications of clusters that were registered, as the leader's does.
func TestFollowerLooksIntoRegisteredClusters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "follower", "--leader-elect")
	w.guestbook()
	w.startServer()
	w.eventually("the first waybilld leads", func() error { return w.leader("") })
	const west = "follower-west"
	w.registerCluster(west)
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) { s.Spec.Deploy[0].Destination.Cluster = west })

	follower := *w
	follower.server = w.anotherServer("b", "--leader-elect")
	w.push("1.26.0")
	w.runs("test", "1.26.0")
	follower.eventually("the follower looks into the cluster", func() error {
		s := follower.cli("", "tree", w.project+"/test", "-o", "json")
		var tree model.ResourceTree
		if err := json.Unmarshal([]byte(s.out), &tree); s.code != 0 || err != nil {
			return fmt.Errorf("%s", s.text())
		}
		if len(tree.Items) == 0 {
			return errors.New("the tree is empty")
		}
		return nil
	})
}

// anotherServer starts one more waybilld; it ends with the test.
func (w *world) anotherServer(name string, flags ...string) *server {
	w.t.Helper()
	s, err := w.newServer(w.t.Name()+"-"+name, w.t.TempDir(), flags...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		s.stop()
		_ = s.log.Close()
	})
	if err := s.start(); err != nil {
		w.t.Fatal(err)
	}
	return s
}
