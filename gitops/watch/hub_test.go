package watch

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
)

// tape writes down what a Hub tells.
type tape struct{ lines []string }

func (p *tape) ObjectChanged(_ string, key gitops.Key, live gitops.Live, _ *unstructured.Unstructured, _ bool) {
	p.lines = append(p.lines, fmt.Sprintf("changed %s %d", key.Name, live.Version))
}

func (p *tape) ObjectGone(_ string, key gitops.Key, live gitops.Live) {
	p.lines = append(p.lines, fmt.Sprintf("gone %s %d", key.Name, live.Version))
}

func (p *tape) KindChanged(_ string, kind schema.GroupKind) {
	p.lines = append(p.lines, "kind "+kind.Kind)
}

func (p *tape) take() []string {
	out := p.lines
	p.lines = nil
	return out
}

func deployment(name, uid string, version int) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"}}
	obj.SetName(name)
	obj.SetNamespace("ns")
	obj.SetUID(types.UID(uid))
	obj.SetResourceVersion(fmt.Sprint(version))
	obj.SetLabels(map[string]string{v1alpha1.LabelManagedBy: "aaaaaaaa"})
	return obj
}

// newTestHub returns a hub that watches Deployments, fed by the test instead of
// a reflector.
func newTestHub(t *testing.T) (*Hub, *kindWatch, *tape, *clocktesting.FakeClock) {
	t.Helper()
	p, clk := &tape{}, clocktesting.NewFakeClock(time.Unix(1000, 0))
	h, err := NewHub(Options{
		Cluster: &cluster.Cluster{Name: "c"}, Sink: p, Clock: clk,
		Assess: func(obj *unstructured.Unstructured, now time.Time) gitops.Verdict {
			late := time.Unix(2000, 0)
			if now.Before(late) {
				return gitops.Verdict{Health: v1alpha1.Health{Status: v1alpha1.HealthProgressing}, Recheck: late}
			}
			return gitops.Verdict{Health: v1alpha1.Health{Status: v1alpha1.HealthDegraded}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	k := newKindWatch(h, gvk, cluster.Kind{Namespaced: true})
	h.kinds[gvk.GroupKind()] = k
	return h, k, p, clk
}

// TestRecordsMoveForward: answers to own writes and watch events reach us in
// any order.
func TestRecordsMoveForward(t *testing.T) {
	h, k, p, _ := newTestHub(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		why  string
		do   func()
		want []string
	}{
		{"the first list", func() { do(k.Replace([]any{deployment("a", "1", 5)}, "7")) }, []string{"changed a 5", "kind Deployment"}},
		{"a change by somebody", func() { do(k.Update(deployment("a", "1", 8))) }, []string{"changed a 8"}},
		{"our answer, before its event", func() { h.Observe(deployment("a", "1", 10)) }, nil},
		{"an event our answer overtook", func() { do(k.Update(deployment("a", "1", 9))) }, nil},
		{"the echo of our write", func() { do(k.Update(deployment("a", "1", 10))) }, nil},
		{"deleted", func() { do(k.Delete(deployment("a", "1", 11))) }, []string{"gone a 10"}},
		{"an answer from before the deletion", func() { h.Observe(deployment("a", "1", 10)) }, nil},
		{"made again by us", func() { h.Observe(deployment("a", "2", 13)) }, nil},
		{"a deletion from before that", func() { do(k.Delete(deployment("a", "1", 12))) }, nil},
		{"a relist that has lost one and found one", func() { do(k.Replace([]any{deployment("b", "3", 14)}, "20")) }, []string{"changed b 14", "gone a 13"}},
		{"our write after the list was made", func() { h.Observe(deployment("c", "4", 25)) }, nil},
		{"a relist from before it", func() { do(k.Replace([]any{deployment("b", "3", 14)}, "22")) }, nil},
	} {
		step.do()
		if diff := cmp.Diff(step.want, p.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.why, diff)
		}
	}
	if _, there := h.Get(gitops.Key{Group: "apps", Kind: "Deployment", Namespace: "ns", Name: "c"}); !there || h.Count() != 2 {
		t.Errorf("%d records", h.Count())
	}
}

func TestVerdictIsMadeAgainWhenItsTimeComes(t *testing.T) {
	h, k, _, clk := newTestHub(t)
	if err := k.Replace([]any{deployment("a", "1", 5)}, "7"); err != nil {
		t.Fatal(err)
	}
	key := gitops.Key{Group: "apps", Kind: "Deployment", Namespace: "ns", Name: "a"}
	v, _ := h.Verdict(key)
	if v.Health.Status != v1alpha1.HealthProgressing || !v.Recheck.Equal(time.Unix(2000, 0)) {
		t.Errorf("%+v", v)
	}
	clk.SetTime(time.Unix(2000, 0))
	if v, _ = h.Verdict(key); v.Health.Status != v1alpha1.HealthDegraded || !v.Recheck.IsZero() {
		t.Errorf("%+v", v)
	}
}

func TestOwnedLeavesCopiesOut(t *testing.T) {
	h, k, _, _ := newTestHub(t)
	// Label and annotation came along with somebody's copy; our apply did not.
	if err := k.Replace([]any{deployment("copy", "1", 5)}, "7"); err != nil {
		t.Fatal(err)
	}
	if got := h.Owned("aaaaaaaa"); len(got) != 0 {
		t.Errorf("owned: %v", got)
	}
}
