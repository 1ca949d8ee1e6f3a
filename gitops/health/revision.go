package health

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// annotationRevision numbers the revisions of a Deployment, on it and on its ReplicaSets. A ReplicaSet that is used
// again after a rollback gets the new number.
const annotationRevision = "deployment.kubernetes.io/revision"

// annotationTemplateGeneration counts the changes of a DaemonSet's pod template; its pods carry the number as a label.
const annotationTemplateGeneration = "deprecated.daemonset.template.generation"

// ReplicaSetState is what this package needs to know of a ReplicaSet.
type ReplicaSetState struct {
	UID, Owner types.UID
	Revision   string
}

// ReplicaSetStateOf reads a ReplicaSet; its metadata is enough.
func ReplicaSetStateOf(obj metav1.Object) ReplicaSetState {
	return ReplicaSetState{UID: obj.GetUID(), Owner: controllerOf(obj.GetOwnerReferences()), Revision: obj.GetAnnotations()[annotationRevision]}
}

// controllerOf returns the UID of the owner that controls the object, or "".
func controllerOf(owners []metav1.OwnerReference) types.UID {
	for _, owner := range owners {
		if owner.Controller != nil && *owner.Controller {
			return owner.UID
		}
	}
	return ""
}

// HasPods says whether obj is a workload whose pods AssessWorkload can use.
func HasPods(obj *unstructured.Unstructured) bool {
	switch gvk := obj.GroupVersionKind(); gvk.Group {
	case "apps":
		return gvk.Kind == "Deployment" || gvk.Kind == "StatefulSet" || gvk.Kind == "DaemonSet" || gvk.Kind == "ReplicaSet"
	case "batch":
		return gvk.Kind == "Job"
	default:
		return false
	}
}

// PodSelector returns what selects the pods of a workload, and the ReplicaSets of a Deployment, in its namespace.
// ok is false for objects without pods, and for a Job that has not been given its selector yet.
func PodSelector(workload *unstructured.Unstructured) (selector labels.Selector, ok bool, err error) {
	if !HasPods(workload) {
		return nil, false, nil
	}
	raw, found, err := unstructured.NestedMap(workload.Object, "spec", "selector")
	if err != nil || !found {
		return nil, false, err
	}
	var typed metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &typed); err != nil {
		return nil, false, fmt.Errorf("read spec.selector of %s %q: %w", workload.GetKind(), workload.GetName(), err)
	}
	selector, err = metav1.LabelSelectorAsSelector(&typed)
	if err != nil {
		return nil, false, fmt.Errorf("read spec.selector of %s %q: %w", workload.GetKind(), workload.GetName(), err)
	}
	if selector.Empty() {
		return nil, false, nil // would select every pod of the namespace
	}
	return selector, true, nil
}

// NewRevisionPods returns the pods that run the workload's latest template, pods being deleted left out.
//
// It is empty while the controller has not seen the latest change: what runs then belongs to the revision before,
// and must not speak for the new one. replicaSets matter for a Deployment only.
//
//   - Deployment: pods of the ReplicaSet that carries the Deployment's own deployment.kubernetes.io/revision.
//   - StatefulSet: pods whose controller-revision-hash is status.updateRevision.
//   - DaemonSet: its status names no revision; pods whose pod-template-generation is the DaemonSet's, and those that
//     share their controller-revision-hash.
//   - ReplicaSet, Job: all pods they own.
func NewRevisionPods(workload *unstructured.Unstructured, replicaSets []ReplicaSetState, pods []PodState) []PodState {
	kind := workload.GetKind()
	if !HasPods(workload) || kind != "Job" && !isObserved(workload) { // a Job reports no observedGeneration
		return nil
	}
	var isNew func(PodState) bool
	uid := workload.GetUID()
	switch kind {
	case "Deployment":
		revision := workload.GetAnnotations()[annotationRevision]
		var owner types.UID
		for _, rs := range replicaSets {
			if rs.Owner == uid && revision != "" && rs.Revision == revision {
				owner = rs.UID
			}
		}
		isNew = func(p PodState) bool { return owner != "" && p.Owner == owner }
	case "StatefulSet":
		hash := text(workload, "status", "updateRevision")
		isNew = func(p PodState) bool { return p.Owner == uid && hash != "" && p.RevisionHash == hash }
	case "DaemonSet":
		generation := workload.GetAnnotations()[annotationTemplateGeneration]
		hashes := map[string]bool{}
		for _, p := range pods {
			if p.Owner == uid && p.RevisionHash != "" && generation != "" && p.TemplateGeneration == generation {
				hashes[p.RevisionHash] = true
			}
		}
		isNew = func(p PodState) bool { return p.Owner == uid && hashes[p.RevisionHash] }
	default:
		isNew = func(p PodState) bool { return uid != "" && p.Owner == uid }
	}
	var out []PodState
	for _, p := range pods {
		if !p.Deleting && isNew(p) {
			out = append(out, p)
		}
	}
	return out
}
