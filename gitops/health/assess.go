package health

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Assess returns the health of obj at now as its own status tells it. obj is not changed.
//
// The zero Result means that the kind says nothing about its health (ConfigMap, RBAC, a resource without
// conditions). Missing is never returned: whether an object exists is the caller's knowledge, as is Unknown for an
// unreachable cluster. For workloads AssessWorkload also looks at the pods.
func Assess(obj *unstructured.Unstructured, now time.Time) Result {
	if obj.GetDeletionTimestamp() != nil {
		return terminating(obj)
	}
	gvk := obj.GroupVersionKind()
	if judge := ruleFor(gvk.Group, gvk.Kind); judge != nil {
		return judge(obj, now)
	}
	return byConditions(obj, now)
}

// terminating is the verdict on an object that is being deleted. What holds it is named, because a finalizer that
// nobody removes is the usual reason why it stays.
func terminating(obj *unstructured.Unstructured) Result {
	if finalizers := obj.GetFinalizers(); len(finalizers) > 0 {
		return progressing("Terminating", "is being deleted and waits for "+quote(strings.Join(finalizers, ", ")))
	}
	return progressing("Terminating", "is being deleted")
}
