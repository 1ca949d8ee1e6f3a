package jobs

import (
	"context"
	"fmt"
	"sort"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/gitops/cluster"
)

const (
	// maxPods bounds the pods of one Job that are read.
	maxPods = 20
	// logLines and logBytes bound what is read of a log.
	logLines, logBytes = 200, 64 << 10
)

func pods() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "pods"}
}

// endOf returns the condition that says that a Job has ended, or nil.
func endOf(job *batchv1.Job) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c
		}
	}
	return nil
}

// judge says how far a Job is that was released.
func judge(ctx context.Context, to *cluster.Cluster, job *batchv1.Job) Sight {
	ended := endOf(job)
	pod, container := lastPod(ctx, to, job)
	if ended == nil {
		return Sight{State: Running, Message: runningText(job, pod)}
	}
	s := Sight{State: Succeeded, Message: "the Job completed"}
	if t := terminated(pod, container); t != nil {
		s.ExitCode, s.Termination = &t.ExitCode, t.Message
	}
	if ended.Type == batchv1.JobFailed {
		s.State, s.Reason, s.Message = Failed, ended.Reason, failedText(ended, pod, container)
	} else if s.ExitCode == nil {
		s.ExitCode = new(int32) // it completes with nothing else
	}
	s.Log = logOf(ctx, to, pod, container)
	return s
}

// lastPod returns the Job's youngest pod and the container to look at: one that
// failed, or the first. Both are empty when there is no pod to see.
func lastPod(ctx context.Context, to *cluster.Cluster, job *batchv1.Job) (*corev1.Pod, string) {
	list, err := to.Dynamic.Resource(pods()).Namespace(job.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: batchv1.JobNameLabel + "=" + job.Name, Limit: maxPods,
	})
	if err != nil || len(list.Items) == 0 {
		return nil, ""
	}
	sort.Slice(list.Items, func(i, j int) bool {
		a, b := list.Items[i].GetCreationTimestamp(), list.Items[j].GetCreationTimestamp()
		return a.After(b.Time)
	})
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[0].Object, &pod); err != nil || len(pod.Spec.Containers) == 0 {
		return nil, ""
	}
	for _, s := range allStatuses(&pod) {
		if s.State.Terminated != nil && s.State.Terminated.ExitCode != 0 {
			return &pod, s.Name
		}
	}
	return &pod, pod.Spec.Containers[0].Name
}

func allStatuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return append(append([]corev1.ContainerStatus(nil), pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
}

func runningText(job *batchv1.Job, pod *corev1.Pod) string {
	switch {
	case job.Spec.Suspend != nil && *job.Spec.Suspend:
		return "somebody has suspended the Job"
	case pod == nil:
		return "the Job has no pod yet"
	}
	for _, s := range allStatuses(pod) {
		if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return strings.TrimSuffix(fmt.Sprintf("container %q waits: %s: %s", s.Name, w.Reason, w.Message), ": ")
		}
	}
	return fmt.Sprintf("pod %q is %s", pod.Name, pod.Status.Phase)
}

func failedText(c *batchv1.JobCondition, pod *corev1.Pod, container string) string {
	if c.Reason == batchv1.JobReasonDeadlineExceeded {
		text := "the Job did not end before its deadline"
		if pod != nil && pod.Status.Phase == corev1.PodPending {
			text += "; " + runningText(&batchv1.Job{}, pod)
		}
		return text
	}
	if t := terminated(pod, container); t != nil {
		return fmt.Sprintf("container %q ended with exit code %d", container, t.ExitCode)
	}
	return "the Job failed: " + c.Reason
}

// terminated returns how a container of a pod ended, or nil.
func terminated(pod *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	if pod == nil {
		return nil
	}
	for _, s := range allStatuses(pod) {
		if s.Name == container && s.State.Terminated != nil {
			return s.State.Terminated
		}
	}
	return nil
}

// logOf returns the end of the container's log, or why there is none.
func logOf(ctx context.Context, to *cluster.Cluster, pod *corev1.Pod, container string) string {
	if pod == nil {
		return "(no log: the pod is gone)"
	}
	log, err := to.Logs(ctx, pod.Namespace, pod.Name, container, logLines, logBytes)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	return log
}
