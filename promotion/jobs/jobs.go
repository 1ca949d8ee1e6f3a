package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
)

const (
	// DefaultDeadline is how long a Job may take that says nothing else.
	DefaultDeadline = 10 * time.Minute
	// keepFor is how long a Job that ended can be looked at in the cluster.
	keepFor = time.Hour
	// labelUID holds the UID of the Promotion a Job runs for.
	labelUID = v1alpha1.Group + "/promotion-uid"
	// annotationHeld marks a Job that is suspended until its UID is recorded.
	// Without it somebody else has suspended the Job, and may release it.
	annotationHeld = v1alpha1.Group + "/held"
)

// Job is what is to run.
type Job struct {
	// Ref says where, and under which name. Its UID is that of the Job that was
	// created before; empty while none is known to be.
	Ref v1alpha1.CheckJobReference
	// Promotion that it runs for.
	Promotion *v1alpha1.Promotion
	// Kind and Name of what asks for it, for people who look at the Job: check or
	// step.
	Kind, Name string
	// Template of its Pod, JSON.
	Template []byte
	// Deadline after which it is stopped and has failed; zero: DefaultDeadline.
	Deadline time.Duration
	// BackoffLimit is how many more pods are tried after one that failed.
	BackoffLimit int32
}

// State says how far a Job is.
type State int

// The states.
const (
	// Unknown: the cluster gave no answer; Sight.Err says why.
	Unknown State = iota
	// Created: it is there and does not run. Its UID has to be recorded next.
	Created
	Running
	Succeeded
	Failed
	// Lost: the Job that was created is gone, or another's has its name.
	Lost
	// Refused: the cluster takes no such Job.
	Refused
)

// Sight is what a look at a Job showed.
type Sight struct {
	State State
	// UID of the Job, when it is there.
	UID string
	// Reason why it failed, a word for programs; Message in one sentence.
	Reason, Message string
	// ExitCode of the container that decided, when it is known.
	ExitCode *int32
	// Termination is what that container left as its termination message.
	Termination string
	// Log is the end of what it wrote, once the Job has ended, or why there is
	// none.
	Log string
	// Err of a look that failed.
	Err error
}

// Look takes a Job one step further, and says how far it is.
func Look(ctx context.Context, to *cluster.Cluster, j Job) Sight {
	job, err := find(ctx, to, j.Ref)
	switch {
	case apierrors.IsNotFound(err) && j.Ref.UID != "":
		return Sight{State: Lost, Message: fmt.Sprintf("Job %q was deleted before it ended", Path(j.Ref))}
	case apierrors.IsNotFound(err):
		job, err = create(ctx, to, j)
	}
	switch {
	case err != nil && isRefusal(err):
		return Sight{State: Refused, Err: err, Message: fmt.Sprintf("Job %q cannot be created: %v", Path(j.Ref), err)}
	case err != nil:
		return Sight{Err: err, Message: fmt.Sprintf("Job %q: %v", Path(j.Ref), err)}
	case job.Labels[labelUID] != string(j.Promotion.UID) || j.Ref.UID != "" && j.Ref.UID != string(job.UID):
		return Sight{State: Lost, Message: fmt.Sprintf("Job %q is another's", Path(j.Ref))}
	case j.Ref.UID == "":
		return Sight{State: Created, UID: string(job.UID), Message: "the Job is created"}
	}
	if job.Annotations[annotationHeld] != "" {
		if err := release(ctx, to, job); err != nil {
			return Sight{UID: string(job.UID), Err: err, Message: fmt.Sprintf("Job %q cannot be released: %v", Path(j.Ref), err)}
		}
		return Sight{State: Running, UID: string(job.UID), Message: "the Job has no pod yet"}
	}
	s := judge(ctx, to, job)
	s.UID = string(job.UID)
	return s
}

// Stop deletes a Job and its pods, if it was created.
func Stop(ctx context.Context, to *cluster.Cluster, ref v1alpha1.CheckJobReference) error {
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	if ref.UID != "" {
		uid := types.UID(ref.UID)
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	err := to.Dynamic.Resource(jobs()).Namespace(ref.Namespace).Delete(ctx, ref.Name, options)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // another's stays
		return fmt.Errorf("delete Job %q: %w", Path(ref), err)
	}
	return nil
}

// Path names a Job for people.
func Path(ref v1alpha1.CheckJobReference) string { return ref.Namespace + "/" + ref.Name }

func jobs() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
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

func create(ctx context.Context, to *cluster.Cluster, j Job) (*batchv1.Job, error) {
	job, err := manifest(j)
	if err != nil {
		return nil, err
	}
	u, err := to.Dynamic.Resource(jobs()).Namespace(j.Ref.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: "waybill"})
	if apierrors.IsAlreadyExists(err) {
		return find(ctx, to, j.Ref)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the Job
	}
	return typed(u)
}

// release lets a Job run that was created suspended. The UID is a precondition:
// one that was created anew under the name is not released.
func release(ctx context.Context, to *cluster.Cluster, job *batchv1.Job) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": job.UID, "annotations": map[string]any{annotationHeld: nil}},
		"spec":     map[string]any{"suspend": false},
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = to.Dynamic.Resource(jobs()).Namespace(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "waybill"})
	return err //nolint:wrapcheck // the caller names the Job
}

// manifest is the Job. The template is the author's; that it runs once, not for
// ever, and without a right in the cluster that nobody asked for, is ours.
func manifest(j Job) (*unstructured.Unstructured, error) {
	var template map[string]any
	if err := json.Unmarshal(j.Template, &template); err != nil {
		return nil, apierrors.NewBadRequest("template: " + err.Error())
	}
	spec, _ := template["spec"].(map[string]any)
	if spec == nil {
		return nil, apierrors.NewBadRequest("template has no spec")
	}
	spec["restartPolicy"] = string(corev1.RestartPolicyNever)
	if spec["automountServiceAccountToken"] == nil && spec["serviceAccountName"] == nil && spec["serviceAccount"] == nil {
		spec["automountServiceAccountToken"] = false
	}
	deadline := j.Deadline
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	p := j.Promotion
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{
			"name": j.Ref.Name, "namespace": j.Ref.Namespace,
			"labels": map[string]any{labelUID: string(p.UID), v1alpha1.LabelStage: p.Spec.Stage},
			"annotations": map[string]any{
				v1alpha1.Group + "/promotion": p.Namespace + "/" + p.Name,
				v1alpha1.Group + "/" + j.Kind: j.Name,
				annotationHeld:                "true",
			},
		},
		"spec": map[string]any{
			"suspend":                 true,
			"backoffLimit":            int64(j.BackoffLimit),
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
