package watch

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
)

// TestPodsAreWatchedWhenTheyMaySaySomething: a workload that its controller has not
// looked at costs no watch, one that rolls out does, and the watch outlives the end.
func TestPodsAreWatchedWhenTheyMaySaySomething(t *testing.T) {
	nobody := &rest.Config{Host: "http://127.0.0.1:1"} // the watches find nobody, and are counted all the same
	dyn, err := dynamic.NewForConfig(nobody)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := metadata.NewForConfig(nobody)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPods(&cluster.Cluster{Name: "c", Dynamic: dyn, Metadata: meta}, clocktesting.NewFakeClock(time.Unix(1000, 0)), func(string, gitops.Key) {})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.ctx = ctx
	version := 0
	at := func(generation, observed, replicas, updated int64) *unstructured.Unstructured {
		version++
		obj := deployment("web", "1", version)
		obj.SetGeneration(generation)
		obj.Object["spec"] = map[string]any{"replicas": replicas, "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}}}
		obj.Object["status"] = map[string]any{"observedGeneration": observed, "replicas": updated, "updatedReplicas": updated, "availableReplicas": updated}
		return obj
	}
	for _, step := range []struct {
		why  string
		obj  *unstructured.Unstructured
		want int
	}{
		{"it was made just now", at(1, 0, 0, 0), 0},
		{"it wants no pods", at(1, 1, 0, 0), 0},
		{"it was scaled, and nobody has noticed", at(2, 1, 1, 0), 0},
		{"a pod is on its way", at(2, 2, 1, 0), 1},
		{"it runs, and may still crash", at(2, 2, 1, 1), 1},
		{"it changes again while it is watched", at(3, 2, 1, 1), 1},
	} {
		p.Observe(step.obj)
		if got := p.Count(); got != step.want {
			t.Errorf("%s: %d workloads are watched, want %d", step.why, got, step.want)
		}
	}
	cancel()
	p.wg.Wait()
}
