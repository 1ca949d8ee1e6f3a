package gitops_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/gitops"
)

// entry is one entry of managedFields.
func entry(manager string, op metav1.ManagedFieldsOperationType, subresource, fields string, at int64) metav1.ManagedFieldsEntry {
	when := metav1.NewTime(time.Unix(at, 0))
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: op, Subresource: subresource, APIVersion: "apps/v1", Time: &when,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

const (
	applied = metav1.ManagedFieldsOperationApply
	updated = metav1.ManagedFieldsOperationUpdate
	ours    = `{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{}}}}}}}`
	spy     = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"spy\"}":{".":{},"f:name":{},"f:image":{}}}}}}}`
	restart = `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`
)

func TestFingerprint(t *testing.T) {
	base := []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kcm", updated, "status", `{"f:status":{}}`, 2)}
	fp := gitops.Fingerprint(base)
	if fp == "" {
		t.Fatal("empty")
	}
	for _, c := range []struct {
		why   string
		list  []metav1.ManagedFieldsEntry
		moves bool
	}{
		{"the same", base, false},
		{"status written", []metav1.ManagedFieldsEntry{base[0], entry("kcm", updated, "status", `{"f:status":{"f:x":{}}}`, 9)}, false},
		{"a field taken from us", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", `{"f:spec":{"f:replicas":{}}}`, 1), base[1]}, true},
		{"applied by somebody under our name", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 5), base[1]}, true},
		{"an update under our name is not an apply", []metav1.ManagedFieldsEntry{base[0], base[1], entry("waybill", updated, "", ours, 5)}, false},
		{"wiped", nil, true},
	} {
		if got := gitops.Fingerprint(c.list); (got != fp) != c.moves {
			t.Errorf("%s: moved %t, want %t", c.why, got != fp, c.moves)
		}
	}
}

func TestAdditions(t *testing.T) {
	tools := gitops.DefaultHumanTools()
	for _, c := range []struct {
		why  string
		list []metav1.ManagedFieldsEntry
		want []gitops.Addition
	}{
		{"nothing", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1)}, nil},
		{"a sidecar", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kubectl-edit", updated, "", spy, 2)},
			[]gitops.Addition{{Manager: "kubectl-edit", Fields: []string{
				"spec.template.spec.containers[name=spy].image", "spec.template.spec.containers[name=spy].name"}}}},
		{"a label with a dot", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kubectl-label", updated, "", `{"f:metadata":{"f:labels":{"f:a.b/c":{}}}}`, 2)},
			[]gitops.Addition{{Manager: "kubectl-label", Fields: []string{`metadata.labels["a.b/c"]`}}}},
		{"what we own too is no addition", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kubectl-set", updated, "", `{"f:spec":{"f:replicas":{}}}`, 2)}, nil},
		{"a restart is allowed", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kubectl-rollout", updated, "", restart, 2)}, nil},
		{"a subresource", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kubectl", updated, "scale", `{"f:spec":{"f:other":{}}}`, 2)}, nil},
		{"a controller", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("cainjector", updated, "", spy, 2)}, nil},
		{"an apply", []metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1), entry("kubectl", applied, "", spy, 2)}, nil},
	} {
		if diff := cmp.Diff(c.want, gitops.Additions(c.list, tools)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, diff)
		}
	}
}

// patchManaged carries a JSON patch on managedFields out.
func patchManaged(t *testing.T, list []metav1.ManagedFieldsEntry, patch []gitops.PatchOperation) []metav1.ManagedFieldsEntry {
	t.Helper()
	list = slices.Clone(list)
	for _, op := range patch {
		var i int
		field := ""
		for at, e := range list {
			for _, f := range []string{"", "/manager", "/fieldsV1"} {
				if op.Path == "/metadata/managedFields/"+string(rune('0'+at))+f {
					i, field = at, f
					_ = e
				}
			}
		}
		switch op.Op + field {
		case "test/manager":
			var want string
			if err := json.Unmarshal(op.Value, &want); err != nil || want != list[i].Manager {
				t.Fatalf("test of %s failed: %s", op.Path, op.Value)
			}
		case "test/fieldsV1":
			if string(op.Value) != string(list[i].FieldsV1.GetRawBytes()) {
				t.Fatalf("test of %s failed: %s", op.Path, op.Value)
			}
		case "replace/fieldsV1":
			list[i].FieldsV1 = metav1.NewFieldsV1(string(op.Value))
		case "remove":
			list = slices.Delete(list, i, i+1)
		default:
			t.Fatalf("unexpected operation %+v", op)
		}
	}
	return list
}

func TestTakeAdditions(t *testing.T) {
	tools := gitops.DefaultHumanTools()
	list := []metav1.ManagedFieldsEntry{
		entry("kubectl-edit", updated, "", spy, 2),
		entry("waybill", applied, "", ours, 1),
		entry("kcm", updated, "status", `{"f:status":{}}`, 2),
		entry("kubectl-rollout", updated, "", `{"f:spec":{"f:paused":{},"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`, 3),
	}
	patch, err := gitops.TakeAdditions(list, tools, gitops.Ignored{})
	if err != nil {
		t.Fatal(err)
	}
	after := patchManaged(t, list, patch)
	if left := gitops.Additions(after, tools); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	var managers []string
	for _, e := range after {
		managers = append(managers, e.Manager)
	}
	if want := []string{"waybill", "kcm", "kubectl-rollout"}; !slices.Equal(managers, want) {
		t.Errorf("managers %v, want %v: what was taken whole goes, the restart stays", managers, want)
	}
	if got := string(after[2].FieldsV1.GetRawBytes()); got != restart {
		t.Errorf("kubectl-rollout keeps %s, want %s", got, restart)
	}

	for why, none := range map[string][]metav1.ManagedFieldsEntry{
		"nothing added":  {entry("waybill", applied, "", ours, 1)},
		"nothing of us":  {entry("kubectl-edit", updated, "", spy, 2)},
		"only a restart": {entry("waybill", applied, "", ours, 1), entry("kubectl-rollout", updated, "", restart, 2)},
	} {
		if patch, err := gitops.TakeAdditions(none, tools, gitops.Ignored{}); err != nil || patch != nil {
			t.Errorf("%s: %v, %v", why, patch, err)
		}
	}
}

func deployment(image string, labels map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "labels": labels},
		"spec": map[string]any{"replicas": int64(1), "template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "web", "image": image},
		}}}},
	}}
}

func TestChangesNamesFieldValueAndManager(t *testing.T) {
	want := deployment("web:1", map[string]any{"app": "web"})
	live := deployment("web:2", map[string]any{})
	live.SetManagedFields([]metav1.ManagedFieldsEntry{
		entry("waybill", applied, "", `{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{}}}}}}}`, 1),
		entry("kubectl-set", updated, "", `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:image":{}}}}}}}`, 2),
	})
	got := gitops.Changes(gitops.Desired{Object: want}, live, true)
	expect := []gitops.FieldChange{
		{Field: "metadata.labels.app", Want: "web"},
		{Field: "spec.template.spec.containers[name=web].image", Want: "web:1", Got: "web:2", Manager: "kubectl-set"},
	}
	// apiVersion and the like are never owned and always equal.
	if diff := cmp.Diff(expect, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !gitops.NeedsTakeOver(gitops.Desired{Object: want}, append(live.GetManagedFields(), entry("kubectl-edit", updated, "", spy, 3)), gitops.DefaultHumanTools()) {
		t.Error("a sidecar needs two requests")
	}
	if gitops.NeedsTakeOver(gitops.Desired{Object: want}, live.GetManagedFields(), gitops.DefaultHumanTools()) {
		t.Error("a changed image needs one request")
	}
}

func TestChangesMasksSecrets(t *testing.T) {
	want := object("v1", "Secret", "s")
	want.Object["data"] = map[string]any{"password": "aHVudGVyMg=="}
	live := want.DeepCopy()
	live.Object["data"] = map[string]any{"password": "b3RoZXI="}
	live.SetManagedFields([]metav1.ManagedFieldsEntry{
		entry("waybill", applied, "", `{"f:metadata":{}}`, 1), entry("kubectl-edit", updated, "", `{"f:data":{"f:password":{}}}`, 2),
	})
	got := gitops.Changes(gitops.Desired{Object: want}, live, true)
	if diff := cmp.Diff([]gitops.FieldChange{{Field: "data.password", Want: "***", Got: "***", Manager: "kubectl-edit"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOwnedValuesFollowOnlyOurFields(t *testing.T) {
	obj := deployment("web:1", map[string]any{"app": "web", "other": "x"})
	obj.SetManagedFields([]metav1.ManagedFieldsEntry{entry("waybill", applied, "", ours, 1)})
	base := gitops.OwnedValues(obj)
	foreign := obj.DeepCopy()
	foreign.SetLabels(map[string]string{"app": "web", "other": "y"})
	if gitops.OwnedValues(foreign) != base {
		t.Error("a foreign label moved it")
	}
	rewritten := obj.DeepCopy()
	rewritten.Object["spec"].(map[string]any)["replicas"] = int64(2)
	if gitops.OwnedValues(rewritten) == base {
		t.Error("a value rewritten behind ownership did not move it")
	}
}

func TestJudge(t *testing.T) {
	base := gitops.Baseline{UID: "u", Fingerprint: "f", Values: "v"}
	good := gitops.Live{UID: "u", Fingerprint: "f", Values: "v", OwnerLabel: me.Label(), Owner: me.Annotation()}
	with := func(change func(*gitops.Live)) gitops.Live { l := good; change(&l); return l }
	for _, c := range []struct {
		why       string
		live      gitops.Live
		present   bool
		additions string
		want      gitops.DriftKind
	}{
		{"as applied", good, true, "", gitops.NoDrift},
		{"gone", gitops.Live{}, false, "", gitops.DriftDeleted},
		{"made anew", with(func(l *gitops.Live) { l.UID = "other" }), true, "", gitops.DriftReplaced},
		{"a field taken", with(func(l *gitops.Live) { l.Fingerprint = "g" }), true, "", gitops.DriftChanged},
		{"a value rewritten", with(func(l *gitops.Live) { l.Values = "w" }), true, "", gitops.DriftChanged},
		{"values not read", with(func(l *gitops.Live) { l.Values = "" }), true, "", gitops.NoDrift},
		{"our label overwritten", with(func(l *gitops.Live) { l.OwnerLabel = "x" }), true, "", gitops.DriftChanged},
		{"applied by another", with(func(l *gitops.Live) { l.OwnerLabel, l.Owner = other.Label(), other.Annotation() }), true, "", gitops.DriftTaken},
		{"being deleted", with(func(l *gitops.Live) { l.Terminating, l.Fingerprint = true, "g" }), true, "", gitops.NoDrift},
		{"added to", with(func(l *gitops.Live) { l.Additions = []gitops.Addition{{}} }), true, "heal", gitops.DriftAdded},
		{"added to and ignored", with(func(l *gitops.Live) { l.Additions = []gitops.Addition{{}} }), true, "ignore", gitops.NoDrift},
	} {
		if got := gitops.Judge(base, c.live, c.present, me, c.additions); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}
