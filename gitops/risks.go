package gitops

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// RiskFlag is a word for what somebody should look at before agreeing.
type RiskFlag string

// The flags.
const (
	// RiskDeletion: an object goes, and what it holds.
	RiskDeletion RiskFlag = "deletion"
	// RiskImmutable: a field changes that Kubernetes refuses to change.
	RiskImmutable RiskFlag = "immutable-field"
	// RiskRBAC: somebody may do more than before.
	RiskRBAC RiskFlag = "rbac-widened"
	// RiskCRD: a definition of a kind changes, and with it all objects of it.
	RiskCRD RiskFlag = "crd"
	// RiskStorage: a claim for storage changes.
	RiskStorage RiskFlag = "storage"
	// RiskJob: a Job runs, such as a migration.
	RiskJob RiskFlag = "job"
	// RiskToZero: nothing is left running.
	RiskToZero RiskFlag = "replicas-to-zero"
	// RiskUser: containers run as another user, or with more rights.
	RiskUser RiskFlag = "user-changed"
	// RiskResources: memory or processor limits change by half or more.
	RiskResources RiskFlag = "resources"
)

// Risk is a flag with one sentence.
type Risk struct {
	Flag     RiskFlag
	Sentence string
}

// risksOf returns what is risky about the change of one object.
func risksOf(key Key, before, after *unstructured.Unstructured) []Risk {
	var out []Risk
	add := func(flag RiskFlag, format string, args ...any) {
		out = append(out, Risk{flag, key.Kind + " " + key.Name + ": " + fmt.Sprintf(format, args...)})
	}
	if after == nil {
		what := "is deleted"
		switch key.Kind {
		case "PersistentVolumeClaim", "StatefulSet":
			what = "is deleted, and its data may go with it"
		case "Namespace":
			what = "is deleted, with everything in it"
		case "CustomResourceDefinition":
			what = "is deleted, and all objects of its kind with it"
		}
		add(RiskDeletion, "%s", what)
	}
	switch key.Kind {
	case "CustomResourceDefinition":
		if after != nil {
			add(RiskCRD, "the definition of a kind %s", verb(before))
		}
	case "PersistentVolumeClaim":
		if before != nil && after != nil {
			add(RiskStorage, "a claim for storage changes")
		}
	case "Job":
		if after != nil {
			add(RiskJob, "a Job runs")
		}
	}
	if before != nil && after != nil {
		for _, field := range immutableChanges(key, before, after) {
			add(RiskImmutable, "%s changes, which Kubernetes refuses", field)
		}
		if to, ok := number(after, "spec", "replicas"); ok && to == 0 {
			if from, known := number(before, "spec", "replicas"); !known || from != 0 {
				add(RiskToZero, "replicas go to zero")
			}
		}
	}
	for _, s := range rbacWidened(key, before, after) {
		add(RiskRBAC, "%s", s)
	}
	for _, s := range securityChanges(before, after) {
		add(RiskUser, "%s", s)
	}
	for _, s := range resourceChanges(before, after) {
		add(RiskResources, "%s", s)
	}
	return out
}

func verb(before *unstructured.Unstructured) string {
	if before == nil {
		return "is new"
	}
	return "changes"
}

// immutableChanges names the fields that change although the API server refuses
// that, as far as they are known of the built-in kinds.
func immutableChanges(key Key, before, after *unstructured.Unstructured) []string {
	var paths [][]string
	switch key.Group + "/" + key.Kind {
	case "apps/StatefulSet":
		return statefulSetChanges(before, after)
	case "apps/Deployment", "apps/DaemonSet", "apps/ReplicaSet":
		paths = [][]string{{"spec", "selector"}}
	case "batch/Job":
		paths = [][]string{{"spec", "selector"}, {"spec", "template"}, {"spec", "completions"}}
	case "/Service":
		paths = [][]string{{"spec", "clusterIP"}}
	case "/PersistentVolumeClaim":
		paths = [][]string{{"spec", "storageClassName"}, {"spec", "accessModes"}, {"spec", "volumeName"}, {"spec", "selector"}, {"spec", "volumeMode"}}
	case "rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding":
		paths = [][]string{{"roleRef"}}
	case "/ConfigMap", "/Secret":
		if frozen, _, _ := unstructured.NestedBool(before.Object, "immutable"); frozen {
			paths = [][]string{{"data"}, {"stringData"}, {"binaryData"}, {"immutable"}}
		}
		if key.Kind == "Secret" {
			paths = append(paths, []string{"type"})
		}
	case "storage.k8s.io/StorageClass":
		paths = [][]string{{"provisioner"}, {"parameters"}, {"reclaimPolicy"}, {"volumeBindingMode"}}
	}
	var out []string
	for _, p := range paths {
		if differsAt(before, after, p...) {
			out = append(out, strings.Join(p, "."))
		}
	}
	return out
}

// statefulSetChanges names the fields of a StatefulSet's spec that change and
// are not among the few that may.
func statefulSetChanges(before, after *unstructured.Unstructured) []string {
	may := []string{"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}
	b, _, _ := unstructured.NestedMap(before.Object, "spec")
	a, _, _ := unstructured.NestedMap(after.Object, "spec")
	var out []string
	for _, m := range []map[string]any{b, a} {
		for field := range m {
			name := "spec." + field
			if !slices.Contains(may, field) && !sameJSON(b[field], a[field]) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func differsAt(before, after *unstructured.Unstructured, path ...string) bool {
	b, wasThere, _ := unstructured.NestedFieldNoCopy(before.Object, path...)
	a, isThere, _ := unstructured.NestedFieldNoCopy(after.Object, path...)
	if !wasThere || !isThere {
		// One that is left out is defaulted or assigned, and mostly stays.
		return false
	}
	return !sameJSON(b, a)
}

func number(o *unstructured.Unstructured, path ...string) (float64, bool) {
	v, there, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
	if !there {
		return 0, false
	}
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	default:
		return 0, false
	}
}

// rbacWidened says who may do more: rules that are new in a role, and subjects
// that are new in a binding.
func rbacWidened(key Key, before, after *unstructured.Unstructured) []string {
	if key.Group != "rbac.authorization.k8s.io" || after == nil {
		return nil
	}
	field, what := "rules", "rules are added"
	if strings.HasSuffix(key.Kind, "Binding") {
		field, what = "subjects", "subjects are added"
	}
	var old []any
	if before != nil {
		old, _, _ = unstructured.NestedSlice(before.Object, field)
	}
	now, _, _ := unstructured.NestedSlice(after.Object, field)
	for _, n := range now {
		if !slices.ContainsFunc(old, func(o any) bool { return sameJSON(o, n) }) {
			return []string{what}
		}
	}
	return nil
}

// containersOf returns the containers of a Pod or of the template of a workload,
// by name, and the spec they are in.
func containersOf(o *unstructured.Unstructured) (containers map[string]map[string]any, spec map[string]any) {
	if o == nil {
		return nil, nil
	}
	for _, path := range [][]string{{"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"}, {"spec"}} {
		found, there, _ := unstructured.NestedMap(o.Object, path...)
		if !there || found["containers"] == nil {
			continue
		}
		containers = map[string]map[string]any{}
		for _, field := range []string{"initContainers", "containers"} {
			list, _ := found[field].([]any)
			for _, c := range list {
				if m, ok := c.(map[string]any); ok {
					containers[textOf(m["name"])] = m
				}
			}
		}
		return containers, found
	}
	return nil, nil
}

// securityChanges says which containers run as another user, or with more rights.
func securityChanges(before, after *unstructured.Unstructured) []string {
	old, oldSpec := containersOf(before)
	now, nowSpec := containersOf(after)
	if now == nil {
		return nil
	}
	var out []string
	if before != nil && !sameJSON(oldSpec["securityContext"], nowSpec["securityContext"]) {
		out = append(out, "the security context of its Pods changes")
	}
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if nowSpec[field] == true && oldSpec[field] != true {
			out = append(out, "its Pods use "+field)
		}
	}
	for _, name := range sortedNames(now) {
		c := now[name]
		sc, _ := c["securityContext"].(map[string]any)
		was, _ := old[name]["securityContext"].(map[string]any)
		switch {
		case sc["privileged"] == true && was["privileged"] != true:
			out = append(out, fmt.Sprintf("container %s is privileged", name))
		case before != nil && old[name] != nil && !sameJSON(sc, was):
			out = append(out, fmt.Sprintf("the security context of container %s changes", name))
		}
	}
	return out
}

// resourceChanges says which memory or processor limits change by half or more.
func resourceChanges(before, after *unstructured.Unstructured) []string {
	old, _ := containersOf(before)
	now, _ := containersOf(after)
	var out []string
	for _, name := range sortedNames(now) {
		was := old[name]
		if was == nil {
			continue
		}
		for _, kind := range []string{"memory", "cpu"} {
			from, okFrom := quantity(was, kind)
			to, okTo := quantity(now[name], kind)
			if !okFrom || !okTo || from == 0 {
				continue
			}
			if percent := (to - from) / from * 100; percent >= 50 || percent <= -50 {
				out = append(out, fmt.Sprintf("the %s limit of container %s goes %s by %d %%", kind, name, direction(percent), int(max(percent, -percent)+0.5)))
			}
		}
	}
	return out
}

func direction(percent float64) string {
	if percent < 0 {
		return "down"
	}
	return "up"
}

func sortedNames(m map[string]map[string]any) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// quantity returns the limit of a container.
func quantity(container map[string]any, name string) (float64, bool) {
	text, there, _ := unstructured.NestedFieldNoCopy(container, "resources", "limits", name)
	if !there {
		return 0, false
	}
	q, err := resource.ParseQuantity(fmt.Sprint(text))
	if err != nil {
		return 0, false
	}
	return q.AsApproximateFloat64(), true
}
