// Package jobcheck runs the job check of a verification: a Job in the cluster
// and namespace of the Stage, found again by its name after a crash.
package jobcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	defaultDeadline = 10 * time.Minute
	// keepFor is how long a Job that ended can be looked at in the cluster.
	keepFor = time.Hour
	// maxPods bounds the pods of one Job that are read.
	maxPods = 20
	// logLines and logBytes bound what is read of a log.
	logLines, logBytes = 200, 64 << 10
	// labelUID holds the UID of the Promotion a Job verifies.
	labelUID = v1alpha1.Group + "/promotion-uid"
)

func jobs() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
}

func pods() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "pods"}
}

// Look creates the Job of an attempt when it is not there, and says how far it
// is. ref names the Job; when it has a UID the Job was created before, and one
// that is gone is not created again. c's expressions are evaluated.
func Look(ctx context.Context, to *cluster.Cluster, p *v1alpha1.Promotion, c *v1alpha1.Check, ref v1alpha1.CheckJobReference) promotion.Measurement {
	job, err := find(ctx, to, ref)
	switch {
	case apierrors.IsNotFound(err) && ref.UID != "":
		return final(fmt.Sprintf("Job %q was deleted before it ended", ref.Namespace+"/"+ref.Name))
	case apierrors.IsNotFound(err):
		job, err = create(ctx, to, p, c, ref)
	}
	switch {
	case err != nil && isRefusal(err):
		return final(fmt.Sprintf("Job %q cannot be created: %v", ref.Namespace+"/"+ref.Name, err))
	case err != nil:
		return promotion.Measurement{Outcome: promotion.OutcomeError, Message: fmt.Sprintf("Job %q: %v", ref.Namespace+"/"+ref.Name, err)}
	case job.Labels[labelUID] != string(p.UID) || ref.UID != "" && ref.UID != string(job.UID):
		return final(fmt.Sprintf("Job %q is another's", ref.Namespace+"/"+ref.Name))
	}
	m := judge(ctx, to, job)
	m.JobUID = string(job.UID)
	return m
}

// Stop deletes a Job and its pods, if it was created.
func Stop(ctx context.Context, to *cluster.Cluster, ref v1alpha1.CheckJobReference) error {
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	err := to.Dynamic.Resource(jobs()).Namespace(ref.Namespace).Delete(ctx, ref.Name, options)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Job %q: %w", ref.Namespace+"/"+ref.Name, err)
	}
	return nil
}

// isRefusal reports whether trying again cannot help.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err)
}

func find(ctx context.Context, to *cluster.Cluster, ref v1alpha1.CheckJobReference) (*batchv1.Job, error) {
	u, err := to.Dynamic.Resource(jobs()).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the Job
	}
	return typed(u)
}

func create(ctx context.Context, to *cluster.Cluster, p *v1alpha1.Promotion, c *v1alpha1.Check, ref v1alpha1.CheckJobReference) (*batchv1.Job, error) {
	job, err := manifest(p, c, ref)
	if err != nil {
		return nil, err
	}
	u, err := to.Dynamic.Resource(jobs()).Namespace(ref.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: "waybill"})
	if apierrors.IsAlreadyExists(err) {
		return find(ctx, to, ref)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the Job
	}
	return typed(u)
}

// manifest is the Job of a check. The template is the author's; that it runs
// once, and not for ever, is ours.
func manifest(p *v1alpha1.Promotion, c *v1alpha1.Check, ref v1alpha1.CheckJobReference) (*unstructured.Unstructured, error) {
	var template map[string]any
	if err := json.Unmarshal(c.Job.Template.Raw, &template); err != nil {
		return nil, apierrors.NewBadRequest("job.template: " + err.Error())
	}
	spec, _ := template["spec"].(map[string]any)
	if spec == nil {
		return nil, apierrors.NewBadRequest("job.template has no spec")
	}
	spec["restartPolicy"] = string(corev1.RestartPolicyNever)
	deadline := defaultDeadline
	if c.Job.Deadline != nil {
		deadline = c.Job.Deadline.Duration
	}
	labels := map[string]any{labelUID: string(p.UID), v1alpha1.LabelStage: p.Spec.Stage}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{
			"name": ref.Name, "namespace": ref.Namespace, "labels": labels,
			"annotations": map[string]any{
				v1alpha1.Group + "/promotion": p.Namespace + "/" + p.Name,
				v1alpha1.Group + "/check":     c.Name,
			},
		},
		"spec": map[string]any{
			"backoffLimit":            int64(0),
			"activeDeadlineSeconds":   int64(max(deadline.Seconds(), 1)),
			"ttlSecondsAfterFinished": int64(keepFor.Seconds()),
			"template":                template,
		},
	}}, nil
}

func typed(u *unstructured.Unstructured) (*batchv1.Job, error) {
	var job batchv1.Job
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &job); err != nil {
		return nil, fmt.Errorf("read the Job: %w", err)
	}
	return &job, nil
}

// judge says how far a Job is.
func judge(ctx context.Context, to *cluster.Cluster, job *batchv1.Job) promotion.Measurement {
	var ended *batchv1.JobCondition
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			ended = c
		}
	}
	pod, container := lastPod(ctx, to, job)
	if ended == nil {
		return promotion.Measurement{Outcome: promotion.OutcomeRunning, Message: runningText(pod)}
	}
	m := promotion.Measurement{Outcome: promotion.OutcomeSuccess, Value: "exit code 0", Message: "the Job completed"}
	if ended.Type == batchv1.JobFailed {
		m.Outcome, m.Value = promotion.OutcomeFailure, ended.Reason
		m.Message = failedText(ended, pod, container)
		if code, known := exitCode(pod, container); known && ended.Reason != batchv1.JobReasonDeadlineExceeded {
			m.Value = fmt.Sprintf("exit code %d", code)
		}
	}
	m.Log = logOf(ctx, to, pod, container)
	return m
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

func runningText(pod *corev1.Pod) string {
	if pod == nil {
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
	text := "the Job failed: " + c.Reason
	if c.Reason == batchv1.JobReasonDeadlineExceeded {
		text = "the Job did not end before its deadline"
		if pod != nil && pod.Status.Phase == corev1.PodPending {
			text += "; " + runningText(pod)
		}
		return text
	}
	if code, known := exitCode(pod, container); known {
		text = fmt.Sprintf("container %q ended with exit code %d", container, code)
	}
	return text
}

func exitCode(pod *corev1.Pod, container string) (int32, bool) {
	if pod == nil {
		return 0, false
	}
	for _, s := range allStatuses(pod) {
		if s.Name == container && s.State.Terminated != nil {
			return s.State.Terminated.ExitCode, true
		}
	}
	return 0, false
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

func final(message string) promotion.Measurement {
	return promotion.Measurement{Outcome: promotion.OutcomeError, IsFinal: true, Message: message}
}
