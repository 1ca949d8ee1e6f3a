package checks_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/health/checks"
)

func thing(generation int64, status map[string]any) *unstructured.Unstructured {
	obj := map[string]any{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": map[string]any{"name": "x", "generation": generation}}
	if status != nil {
		obj["status"] = status
	}
	return &unstructured.Unstructured{Object: obj}
}

func TestAssess(t *testing.T) {
	c, err := checks.Compile([]v1alpha1.HealthCheck{{
		Group: "example.com", Kind: "Thing",
		Current:   `status.conditions.exists(c, c.type == "Up" && c.status == "True") && status.replicas >= 2`,
		Failed:    `has(status.error) && status.error != ""`,
		Suspended: `status.phase == "Stopped"`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	up := []any{map[string]any{"type": "Up", "status": "True"}}
	for _, tt := range []struct {
		why    string
		obj    *unstructured.Unstructured
		want   v1alpha1.HealthStatus
		reason string
	}{
		{"nothing reported yet", thing(1, nil), v1alpha1.HealthProgressing, "HealthCheck"},
		{"as wanted", thing(1, map[string]any{"conditions": up, "replicas": int64(2)}), v1alpha1.HealthHealthy, "HealthCheck"},
		{"not yet", thing(1, map[string]any{"conditions": up, "replicas": int64(1)}), v1alpha1.HealthProgressing, "HealthCheck"},
		{"failed goes first", thing(1, map[string]any{"conditions": up, "replicas": int64(2), "error": "disk full"}), v1alpha1.HealthDegraded, "HealthCheck"},
		{"suspended", thing(1, map[string]any{"phase": "Stopped"}), v1alpha1.HealthSuspended, "HealthCheck"},
		{"of the generation before", thing(2, map[string]any{"observedGeneration": int64(1), "conditions": up, "replicas": int64(2)}), v1alpha1.HealthProgressing, "NotObserved"},
		{"of another type", thing(1, map[string]any{"conditions": "no", "replicas": int64(2)}), v1alpha1.HealthUnknown, "HealthCheckFailed"},
	} {
		got, ok := c.Assess(tt.obj)
		if !ok || got.Status != tt.want || got.Reason != tt.reason {
			t.Errorf("%s: %+v", tt.why, got)
		}
	}
	if _, ok := c.Assess(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Thing"}}); ok {
		t.Error("another group is judged")
	}
}

func TestCompileNamesTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		"status.":        "healthChecks[0].current",
		"1 + 1":          "true or false",
		"unknown == 'x'": "undeclared reference",
	} {
		_, err := checks.Compile([]v1alpha1.HealthCheck{{Kind: "Thing", Current: text}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func TestCostIsLimited(t *testing.T) {
	c, err := checks.Compile([]v1alpha1.HealthCheck{{Kind: "Thing", Group: "example.com",
		Current: `status.l.all(a, status.l.all(b, status.l.all(c, a + b + c >= 0)))`}})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 300)
	for i := range list {
		list[i] = int64(i)
	}
	if got, _ := c.Assess(thing(1, map[string]any{"l": list})); got.Status != v1alpha1.HealthUnknown {
		t.Errorf("%+v", got)
	}
}
