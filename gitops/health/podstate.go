package health

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// PodState is what this package needs to know of a pod. It holds no environment, no volumes and no log text, so that
// a watch can keep it for every pod of a workload that is not healthy.
type PodState struct {
	Name  string
	UID   types.UID
	Owner types.UID // of the controller; empty for a pod made by hand
	// RevisionHash and TemplateGeneration are the labels controller-revision-hash and pod-template-generation.
	RevisionHash, TemplateGeneration string
	Created                          time.Time
	Deleting                         bool
	Phase                            corev1.PodPhase
	Reason, Message                  string // of the pod itself: Evicted, NodeLost
	RestartPolicy                    corev1.RestartPolicy
	Ready                            bool
	// Unschedulable is why no node takes the pod; Gated is set when something holds it back on purpose.
	Unschedulable string
	Gated         bool
	Containers    []ContainerState // init containers first
}

// ContainerState is one container of a pod. At most one of Waiting, Running and Terminated is set.
type ContainerState struct {
	Name       string
	Init       bool
	Ready      bool
	Restarts   int32
	Waiting    *corev1.ContainerStateWaiting
	Running    *corev1.ContainerStateRunning
	Terminated *corev1.ContainerStateTerminated
	Last       *corev1.ContainerStateTerminated // how the run before ended
}

// Labels by which controllers tell the revisions of their pods apart.
const (
	labelRevisionHash       = "controller-revision-hash"
	labelTemplateGeneration = "pod-template-generation"
)

// PodStateOf reads a pod.
func PodStateOf(pod *corev1.Pod) PodState {
	state := PodState{
		Name: pod.Name, UID: pod.UID, Owner: controllerOf(pod.OwnerReferences),
		RevisionHash:       pod.Labels[labelRevisionHash],
		TemplateGeneration: pod.Labels[labelTemplateGeneration],
		Created:            pod.CreationTimestamp.Time,
		Deleting:           pod.DeletionTimestamp != nil,
		Phase:              pod.Status.Phase,
		Reason:             pod.Status.Reason,
		Message:            pod.Status.Message,
		RestartPolicy:      pod.Spec.RestartPolicy,
	}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			state.Ready = c.Status == corev1.ConditionTrue
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			state.Gated = c.Reason == corev1.PodReasonSchedulingGated
			if c.Reason == corev1.PodReasonUnschedulable {
				state.Unschedulable = or(c.Message, "no node fits")
			}
		}
	}
	add := func(statuses []corev1.ContainerStatus, init bool) {
		for _, s := range statuses {
			state.Containers = append(state.Containers, ContainerState{
				Name: s.Name, Init: init, Ready: s.Ready, Restarts: s.RestartCount,
				Waiting: s.State.Waiting, Running: s.State.Running, Terminated: s.State.Terminated, Last: s.LastTerminationState.Terminated,
			})
		}
	}
	add(pod.Status.InitContainerStatuses, true)
	add(pod.Status.ContainerStatuses, false)
	return state
}

// PodStateFrom reads a pod that was decoded without its type.
func PodStateFrom(obj *unstructured.Unstructured) (PodState, error) {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &pod); err != nil {
		return PodState{}, fmt.Errorf("read pod %q: %w", obj.GetName(), err)
	}
	return PodStateOf(&pod), nil
}
