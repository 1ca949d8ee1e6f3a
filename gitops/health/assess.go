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
	switch gvk.Group {
	case "apps":
		switch gvk.Kind {
		case "Deployment":
			return deployment(obj, now)
		case "ReplicaSet":
			return replicaSet(obj)
		case "StatefulSet":
			return statefulSet(obj)
		case "DaemonSet":
			return daemonSet(obj)
		}
	case "batch":
		switch gvk.Kind {
		case "Job":
			return job(obj)
		case "CronJob":
			return cronJob(obj)
		}
	case "":
		switch gvk.Kind {
		case "Pod":
			return pod(obj, now)
		case "Service":
			return service(obj)
		case "PersistentVolumeClaim":
			return claim(obj)
		case "Namespace":
			return namespace(obj)
		case "ReplicationController":
			return replicaSet(obj)
		default: // the rest of the core group has no health; its status, if any, is bookkeeping
			return Result{}
		}
	case "networking.k8s.io":
		if gvk.Kind == "Ingress" {
			return ingress(obj)
		}
		return Result{}
	case "autoscaling":
		if gvk.Kind == "HorizontalPodAutoscaler" {
			return autoscaler(obj, now)
		}
	case "policy":
		if gvk.Kind == "PodDisruptionBudget" {
			return disruptionBudget(obj)
		}
	case "apiextensions.k8s.io":
		if gvk.Kind == "CustomResourceDefinition" {
			return customResourceDefinition(obj)
		}
	case "apiregistration.k8s.io":
		if gvk.Kind == "APIService" {
			return apiService(obj, now)
		}
	case "rbac.authorization.k8s.io", "admissionregistration.k8s.io", "storage.k8s.io", "scheduling.k8s.io", "coordination.k8s.io":
		return Result{}
	}
	return byConditions(obj)
}

// terminating is the verdict on an object that is being deleted. What holds it is named, because a finalizer that
// nobody removes is the usual reason why it stays.
func terminating(obj *unstructured.Unstructured) Result {
	if finalizers := obj.GetFinalizers(); len(finalizers) > 0 {
		return progressing("Terminating", "is being deleted and waits for "+quote(strings.Join(finalizers, ", ")))
	}
	return progressing("Terminating", "is being deleted")
}
