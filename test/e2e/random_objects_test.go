package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/freeaddr"
	"github.com/waybill-dev/waybill/test/env"
)

// TestRandomObjects: whatever the API server takes for one of our kinds, waybilld
// says of it how it is, ends by none and spins over none, and another Project goes
// on as ever. WAYBILL_SEED repeats a run, WAYBILL_TEST_OBJECTS_FOR=5m prolongs it.
func TestRandomObjects(t *testing.T) {
	t.Parallel()
	metrics := freeaddr.For(t)
	w := newWorld(t, "unhurt", "--metrics-listen", metrics)
	w.guestbook()
	w.startServer()
	w.pipeline([]string{"test"})
	w.push("1.26.0")
	w.runs("test", "1.26.0")

	m := newMonkey(w)
	accepted, refused := m.goOn(randomTime(t))
	t.Logf("%d objects and changes were taken, %d refused: %v", accepted, refused, m.taken)
	t.Logf("the last refusals: %v", m.refused)
	for _, kind := range m.kinds {
		if m.taken[kind] == 0 {
			t.Errorf("no %s was taken: %s", kind, m.refused[kind])
		}
	}
	m.everyOneReports()
	m.restWithin(metrics)

	w.push("1.26.1")
	w.runs("test", "1.26.1")
	if err := w.server.isReady(); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(w.server.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if _, after, found := strings.Cut(string(log), "panic"); found {
		t.Errorf("a panic%.3000s", after)
	}
}

func randomTime(t *testing.T) time.Duration {
	t.Helper()
	d := 30 * time.Second
	if s := os.Getenv("WAYBILL_TEST_OBJECTS_FOR"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// monkey makes objects of our kinds in a Project of its own.
type monkey struct {
	*world
	*rand.Rand
	kinds   []string
	schemas map[string]map[string]any
	taken   map[string]int
	refused map[string]string // a reason each, for a person
}

// reporting are the kinds whose status says how the object is.
func reporting() []string { return []string{"Warehouse", "Stage", "Application", "Promotion"} }

func newMonkey(w *world) *monkey {
	w.t.Helper()
	cage := *w
	cage.project = w.project + "-cage"
	w.t.Cleanup(cage.remove)
	w.cluster.Apply(w.t, cage.projectYAML(), cage.credentialsYAML("x", "y"))
	m := &monkey{
		world: &cage, Rand: rand.New(rand.NewPCG(seed(w.t), 2)), kinds: append([]string{"PromotionTask", "Freeze", "Approval", "Freight"}, reporting()...),
		schemas: map[string]map[string]any{}, taken: map[string]int{}, refused: map[string]string{},
	}
	root, err := env.Repository()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kind := range m.kinds {
		raw, err := os.ReadFile(filepath.Join(root, "charts", "waybill", "crds", "waybill.dev_"+strings.ToLower(kind)+"s.yaml"))
		if err != nil {
			w.t.Fatal(err)
		}
		var crd map[string]any
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			w.t.Fatal(err)
		}
		versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
		if err != nil {
			w.t.Fatal(err)
		}
		schema, found, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
		if err != nil || !found {
			w.t.Fatalf("%s has no schema: %v", kind, err)
		}
		m.schemas[kind] = schema
	}
	return m
}

// goOn creates, changes and deletes objects for a while.
func (m *monkey) goOn(d time.Duration) (accepted, refused int) {
	m.t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); {
		kind := m.kinds[m.IntN(len(m.kinds))]
		o := m.object(kind)
		var err error
		switch at := m.IntN(6); at {
		case 0:
			err = m.client.Delete(m.t.Context(), o)
		case 1, 2:
			before := &unstructured.Unstructured{}
			before.SetGroupVersionKind(o.GroupVersionKind())
			if err = m.client.Get(m.t.Context(), client.ObjectKeyFromObject(o), before); err == nil {
				o.SetResourceVersion(before.GetResourceVersion())
				err = m.client.Update(m.t.Context(), o)
			}
		default:
			err = m.client.Create(m.t.Context(), o)
		}
		if err != nil {
			refused++
			if apierrors.IsInvalid(err) {
				m.refused[kind] = err.Error()
			}
			continue
		}
		accepted++
		m.taken[kind]++
	}
	return accepted, refused
}

// object makes one up; its name is one of few, so that they refer to each other.
func (m *monkey) object(kind string) *unstructured.Unstructured {
	made, _ := m.value("", m.schemas[kind], 0).(map[string]any)
	delete(made, "status")
	delete(made, "metadata")
	o := &unstructured.Unstructured{Object: made}
	o.SetAPIVersion(v1alpha1.GroupVersion().String())
	o.SetKind(kind)
	o.SetNamespace(m.project)
	o.SetName([]string{"a", "b", "c", "d"}[m.IntN(4)])
	spec, _ := made["spec"].(map[string]any)
	into, _, _ := unstructured.NestedString(made, "spec", "stage") // "" when it is no text
	named := fmt.Sprintf("%s.%d.a", into, 1+m.IntN(9))
	switch {
	case kind == "Promotion":
		o.SetName(named)
		if spec["kind"] != "Rollback" {
			spec["freight"] = m.text("")
			delete(spec, "to")
		}
	case kind == "Approval":
		spec["promotion"] = named
	}
	for field := range spec {
		if field == "by" || field == "requestedBy" || kind == "Approval" && field == "actor" {
			spec[field] = clusterAdmin
		}
	}
	return o
}

// value makes one up that a schema allows, as far as the schema alone says.
func (m *monkey) value(name string, schema map[string]any, depth int) any {
	if values, ok := schema["enum"].([]any); ok {
		return values[m.IntN(len(values))]
	}
	switch schema["type"] {
	case "boolean":
		return m.IntN(2) == 0
	case "integer", "number":
		n := []int64{0, 1, 2, 100, -1, 1 << 31}[m.IntN(6)]
		if most := int64(number(schema["maximum"])); most != 0 {
			n = min(n, most)
		}
		return max(n, int64(number(schema["minimum"])))
	case "array":
		items, _ := schema["items"].(map[string]any)
		out := []any{}
		for range m.IntN(3) + min(1, int(number(schema["minItems"]))) {
			out = append(out, m.value(name, items, depth+1))
		}
		return out
	case "object":
		if name == "sources" { // one of the two, which the schema does not say
			return []map[string]any{{"direct": true}, {"stages": []any{m.text("")}}, {"stages": []any{"a", "b"}}}[m.IntN(3)]
		}
		return m.fields(schema, depth)
	case "string":
		switch schema["format"] {
		case "duration":
			return []string{"1h", "30s", "0s", "-5s", "1ns", "99999h"}[m.IntN(6)]
		case "date-time":
			return []string{"2036-01-02T03:04:05Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-02T03:04:05.123456Z"}[m.IntN(4)]
		}
		return m.text(name)
	}
	return []any{m.text(name), map[string]any{"a": m.text("")}, int64(1), true}[m.IntN(4)]
}

func (m *monkey) fields(schema map[string]any, depth int) map[string]any {
	out := map[string]any{}
	if each, ok := schema["additionalProperties"].(map[string]any); ok && m.IntN(2) == 0 {
		out["a"] = m.value("", each, depth+1)
	}
	required, _ := schema["required"].([]any)
	isRequired := map[string]bool{"spec": true}
	for _, r := range required {
		isRequired[fmt.Sprint(r)] = true
	}
	properties, _ := schema["properties"].(map[string]any)
	for field, s := range properties {
		if isRequired[field] || depth < 8 && m.IntN(depth+2) == 0 {
			out[field] = m.value(field, s.(map[string]any), depth+1)
		}
	}
	return out
}

// text is one for a field: often right, sometimes hostile.
func (m *monkey) text(field string) string {
	digest := "sha256:" + strings.Repeat("ab", 32)
	known := map[string][]string{
		"repoURL": {m.gitURL, m.registry.Name("guestbook"), "https://git.invalid/a", "git@git.invalid:a/b.git", "oci://registry.invalid/charts/a", "http://169.254.169.254/x"},
		"kind":    {"Warehouse", "ServiceAccount", "Deployment"}, "path": {"stages/test", ".", "../..", "./a", "charts/x"}, "uses": {"git-clone", "git-push", "fail", "http", "no-such-step", "wait-for-approval", "kustomize-set-image"},
		"schedule": {"* * * * *", "0 9 * * 1-5", "61 * * * *", "@daily a b c d"}, "timeZone": {"Europe/Berlin", "No/Where"}, "interval": {"1m", "1ms", "-1h", "9999999h"}, "constraint": {"^1.26.0", ">= 0", "(((", "*"},
		"digest": {digest}, "planHash": {digest}, "id": {strings.Repeat("ab", 20)}, "tag": {"1.26.0", "latest"}, "platform": {"linux/amd64"},
		"if": {"${{ true }}", "${{ 1 + }}", "${{ failure() }}"}, "jsonPointers": {"/spec/replicas", "/"}, "branch": {"main", "stage/test", "a..b", "-x"}, "readBranch": {"main", "gone"}, "writeBranch": {"stage/test", "main", "HEAD"}, "targetRevision": {"main", "stage/test", "HEAD"},
	}
	if words := known[field]; len(words) > 0 && m.IntN(10) > 0 {
		return words[m.IntN(len(words))]
	}
	return []string{"a", "b", "c", "d", "a", "b", "test", "1h", "30s", "2026-01-02T03:04:05Z", "1.26.0", "${{ ctx.stage }}", "${{ vars.a }", "*", "\u202e", "unhurt", "unhurt-test", "kube-system", "a/b", strings.Repeat("a", 63)}[m.IntN(20)]
}

func number(v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	return 0
}

// everyOneReports waits until the status of each object is about what it is now.
func (m *monkey) everyOneReports() {
	m.t.Helper()
	for _, kind := range reporting() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(kind + "List"))
		m.eventually("every "+kind+" says how it is", func() error {
			if err := m.client.List(m.t.Context(), list, client.InNamespace(m.project)); err != nil {
				return err
			}
			for i := range list.Items {
				if err := reports(&list.Items[i]); err != nil {
					return err
				}
			}
			return nil
		})
		m.t.Logf("%d %ss are left", len(list.Items), kind)
	}
}

// reports returns nil when the condition Ready is about the object as it is.
func reports(o *unstructured.Unstructured) error {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, c := range conditions {
		c, _ := c.(map[string]any)
		if c["type"] != v1alpha1.ConditionReady {
			continue
		}
		if at := int64(number(c["observedGeneration"])); at != o.GetGeneration() {
			return fmt.Errorf("%s %s is of generation %d, its condition of %d: %v", o.GetKind(), o.GetName(), o.GetGeneration(), at, c["message"])
		}
		if c["reason"] == "" || c["message"] == "" {
			return fmt.Errorf("%s %s does not say why: %v", o.GetKind(), o.GetName(), c)
		}
		return nil
	}
	return fmt.Errorf("%s %s has no condition Ready; spec %v", o.GetKind(), o.GetName(), o.Object["spec"])
}

// restWithin waits until five seconds pass in which few things are looked at.
func (m *monkey) restWithin(metrics string) {
	m.t.Helper()
	const most = 200
	before := m.reconciled(metrics)
	err := wait.PollUntilContextTimeout(m.t.Context(), 5*time.Second, patience, false, func(context.Context) (bool, error) {
		now := m.reconciled(metrics)
		spent := now - before
		before = now
		return spent < most, nil
	})
	if err != nil {
		m.t.Errorf("Stages and Promotions are looked at more than %d times in five seconds, for %s", most, patience)
	}
}
