package controllers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const sidecar = `{"spec":{"template":{"spec":{"containers":[{"name":"spy","image":"registry.example.com/spy:1"}]}}}}`

// TestDriftIsHealed changes a running Application in every way people do and
// expects it to be as Git says, at a known price, with a record of who did it.
func TestDriftIsHealed(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", commit)
	ns := f.project + "-test"
	before := f.workload(ns)

	cases := []struct {
		name     string
		change   []string
		requests int // PATCHes; the second one removes what was added
		field    string
		manager  string
	}{
		{"scale", []string{"scale", "deployment/web", "--replicas=3"}, 1, "spec.replicas", "kubectl"},
		{"set image", []string{"set", "image", "deployment/web", "web=registry.example.com/evil:2"}, 1, "spec.template.spec.containers[name=web].image", "kubectl-set"},
		{"our label changed", []string{"label", "deployment/web", "tier=back", "--overwrite"}, 1, "metadata.labels.tier", "kubectl-label"},
		{"our label removed", []string{"label", "deployment/web", "tier-"}, 1, "metadata.labels.tier", ""},
		{"a foreign label added", []string{"label", "deployment/web", "mine=1"}, 2, "metadata.labels.mine", "kubectl-label"},
		{"rollout pause", []string{"rollout", "pause", "deployment/web"}, 2, "spec.paused", "kubectl-rollout"},
		{"a sidecar added", []string{"patch", "deployment/web", "-p", sidecar}, 2, "spec.template.spec.containers[name=spy].image", "kubectl-patch"},
		{"an environment variable added", []string{"set", "env", "deployment/web", "SPY=1"}, 2, "spec.template.spec.containers[name=web].env[name=SPY].value", "kubectl-set"},
		{"the ownership label removed", []string{"label", "deployment/web", v1alpha1.LabelManagedBy + "-"}, 1, `metadata.labels["waybill.dev/managed-by"]`, ""},
		{"the ownership label changed", []string{"label", "deployment/web", v1alpha1.LabelManagedBy + "=00000000", "--overwrite"}, 1, `metadata.labels["waybill.dev/managed-by"]`, "kubectl-label"},
		{"a ConfigMap edited", []string{"patch", "configmap/web", "-p", `{"data":{"a":"c"}}`}, 1, "data.a", "kubectl-patch"},
		{"a key added to a ConfigMap", []string{"patch", "configmap/web", "-p", `{"data":{"z":"c"}}`}, 2, "data.z", "kubectl-patch"},
		{"the Service deleted", []string{"delete", "service/web"}, 1, "", ""},
		{"the Deployment deleted", []string{"delete", "deployment/web"}, 1, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			f.counter.take()
			start := time.Now()
			f.kubectl(append([]string{"-n", ns}, c.change...)...)
			app := f.waitFor("test", "a drift record", func(a *v1alpha1.Application) bool {
				return len(a.Status.Drifts) > 0 && a.Status.Drifts[0].At.After(start)
			})
			record := app.Status.Drifts[0]
			for _, d := range app.Status.Drifts {
				if d.At.Equal(&record.At) && d.Field == c.field {
					record = d
				}
			}
			if record.Field != c.field || record.Manager != c.manager || record.Action != "Healed" {
				t.Errorf("recorded %+v, want field %q by %q", record, c.field, c.manager)
			}
			if !eventually(func() bool { return f.workload(ns) == before }) {
				t.Errorf("not as before:\n%s\nwant\n%s", f.workload(ns), before)
			}
			f.waitSynced("test", commit)
			writes := 0
			for _, line := range f.counter.take() {
				if !strings.HasPrefix(line, "GET ") {
					writes++
				} else if !strings.HasSuffix(line, "/pods") && !strings.HasSuffix(line, "/replicasets") {
					t.Errorf("healing read: %s", line)
				}
			}
			// The first of two requests insists on the version it read; a
			// controller that writes in between costs one more.
			if writes < c.requests || writes > 2*c.requests-1 {
				t.Errorf("%d writes, want %d", writes, c.requests)
			}
		})
	}
}

// workload returns what Git decides of the objects of web, as text.
func (f *appFixture) workload(ns string) string {
	var d appsv1.Deployment
	var s corev1.Service
	var m corev1.ConfigMap
	key := types.NamespacedName{Namespace: ns, Name: "web"}
	for _, o := range []client.Object{&d, &s, &m} {
		if err := f.client.Get(f.t.Context(), key, o); err != nil {
			return err.Error()
		}
	}
	d.Spec.Template.CreationTimestamp.Reset()
	text, err := json.MarshalIndent(map[string]any{
		"deployment": d.Spec, "labels": d.Labels, "owner": d.Annotations[v1alpha1.AnnotationOwner],
		"service": s.Spec.Selector, "ports": s.Spec.Ports, "service labels": s.Labels, "data": m.Data,
	}, "", " ")
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text)
}

// TestAdditionsReported: additions may also be only reported, or ignored.
func TestAdditionsReported(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.Additions = "report" })
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", commit)
	f.kubectl("-n", f.project+"-test", "label", "service/web", "mine=1")
	app, _ := f.waitReady("test", "Drifting")
	if d := app.Status.Drifts[0]; d.Action != "Reported" || d.Field != "metadata.labels.mine" {
		t.Errorf("drift %+v", d)
	}
	// A change of what is in Git is healed all the same, and leaves the addition.
	f.kubectl("-n", f.project+"-test", "set", "selector", "service/web", "app=other")
	var s corev1.Service
	if !eventually(func() bool { f.get(&s, "web"); return s.Spec.Selector["app"] == "web" }) {
		t.Errorf("selector %v", s.Spec.Selector)
	}
	if s.Labels["mine"] != "1" {
		t.Error("the reported addition is gone")
	}
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.Additions = "ignore" })
	f.waitSynced("test", commit)
	if f.get(&s, "web"); s.Labels["mine"] != "1" {
		t.Error("the ignored addition is gone")
	}
	f.edit("test", func(a *v1alpha1.Application) { a.Spec.Additions = "heal" })
	if !eventually(func() bool { f.get(&s, "web"); return s.Labels["mine"] == "" }) {
		t.Error("the addition stays")
	}
	f.waitSynced("test", commit)
}
