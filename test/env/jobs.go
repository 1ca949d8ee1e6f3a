package env

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// EndJob ends a Job that was released, as its controller and a node would:
// there is a Pod whose only container ended with an exit code and a termination
// message. It is for an environment without Workloads.
func (e *Env) EndJob(ctx context.Context, namespace, name string, exitCode int32, message string) error {
	batch, err := batchclient.NewForConfig(e.Config)
	if err != nil {
		return fmt.Errorf("end Job %q: %w", name, err)
	}
	job, err := batch.Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("end Job %q: %w", name, err)
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		return fmt.Errorf("end Job %q: it is suspended", name)
	}
	if err := e.endPod(ctx, job, exitCode, message); err != nil {
		return fmt.Errorf("end Job %q: %w", name, err)
	}
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	job.Status.StartTime = &now
	condition := func(kind batchv1.JobConditionType, reason string) {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastProbeTime: now, LastTransitionTime: now,
		})
	}
	if exitCode == 0 {
		job.Status.CompletionTime, job.Status.Succeeded = &now, 1
		condition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached)
		condition(batchv1.JobComplete, batchv1.JobReasonCompletionsReached)
	} else {
		job.Status.Failed = 1
		condition(batchv1.JobFailureTarget, batchv1.JobReasonBackoffLimitExceeded)
		condition(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	}
	if _, err := batch.Jobs(namespace).UpdateStatus(ctx, job, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("end Job %q: %w", name, err)
	}
	return nil
}

// endPod makes the Pod of a Job that has ended.
func (e *Env) endPod(ctx context.Context, job *batchv1.Job, exitCode int32, message string) error {
	core, err := coreclient.NewForConfig(e.Config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := core.ServiceAccounts(job.Namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the service account: %w", err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: job.Name + "-", Namespace: job.Namespace, Labels: map[string]string{batchv1.JobNameLabel: job.Name},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: *job.Spec.Template.Spec.DeepCopy(),
	}
	if pod, err = core.Pods(job.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make the Pod: %w", err)
	}
	pod.Status.Phase = corev1.PodSucceeded
	if exitCode != 0 {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  pod.Spec.Containers[0].Name,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Message: message}},
	}}
	if _, err := core.Pods(job.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("end the Pod: %w", err)
	}
	return nil
}
