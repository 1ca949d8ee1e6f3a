package e2e

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubelet plays the node for the Pods of one version: they do what the test
// says, while kwok plays all others. It is for what kwok's stages cannot say:
// one crash and no more, and the words of container runtimes about images.
type kubelet struct {
	w *world
	// stage whose Pods it plays, and the version.
	stage, tag string
}

// playPods takes the Pods of a version over that are created from now on.
func (w *world) playPods(stage, tag string) *kubelet {
	w.t.Helper()
	k := &kubelet{w: w, stage: stage, tag: tag}
	k.mark(w.registry.Name("guestbook") + ":" + tag)
	return k
}

// release leaves new Pods of the version to kwok again.
func (k *kubelet) release() { k.mark("") }

// mark lists an image under a key of its own among those of local mode's
// policy. kwok leaves Pods alone that are marked with a word it does not know.
func (k *kubelet) mark(image string) {
	k.w.t.Helper()
	marks := &corev1.ConfigMap{}
	marks.Namespace, marks.Name = "default", "demo-images"
	if err := k.w.client.Create(k.w.t.Context(), marks); err != nil && !apierrors.IsAlreadyExists(err) {
		k.w.t.Fatal(err)
	}
	patch := fmt.Appendf(nil, `{"data":{"played-in-%s-%s":%q}}`, k.w.project, k.tag, image)
	if err := k.w.client.Patch(k.w.t.Context(), marks, client.RawPatch(types.MergePatchType, patch)); err != nil {
		k.w.t.Fatal(err)
	}
}

// say waits until the version has a Pod on a node, and gives the container of
// all its Pods a status.
func (k *kubelet) say(status corev1.ContainerStatus) {
	k.w.t.Helper()
	k.w.eventually("a Pod of "+k.tag+" is played", func() error {
		var pods corev1.PodList
		if err := k.w.client.List(k.w.t.Context(), &pods, client.InNamespace(k.w.project+"-"+k.stage)); err != nil {
			return err
		}
		played := 0
		for i := range pods.Items {
			p := &pods.Items[i]
			if c := p.Spec.Containers[0]; p.Spec.NodeName == "" || p.DeletionTimestamp != nil || !strings.Contains(c.Image, ":"+k.tag+"@") {
				continue
			}
			before := p.DeepCopy()
			setStatus(p, status)
			if err := k.w.client.Status().Patch(k.w.t.Context(), p, client.MergeFrom(before)); err != nil {
				return err
			}
			played++
		}
		if played == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}

func setStatus(p *corev1.Pod, status corev1.ContainerStatus) {
	now := apimeta.Now()
	status.Name, status.Image = p.Spec.Containers[0].Name, p.Spec.Containers[0].Image
	p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	if p.Status.StartTime == nil {
		p.Status.StartTime = &now
	}
	p.Status.Phase = corev1.PodPending
	if status.State.Running != nil || status.RestartCount > 0 {
		p.Status.Phase = corev1.PodRunning
	}
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		want := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: now}
		if status.Ready {
			want.Status = corev1.ConditionTrue
		}
		kept := p.Status.Conditions[:0:0]
		for _, c := range p.Status.Conditions {
			if c.Type != kind {
				kept = append(kept, c)
			}
		}
		p.Status.Conditions = append(kept, want)
	}
}

// waitsFor is a container that does not run.
func waitsFor(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

// crashed is a container that has crashed this often and is started again.
func crashed(times int32) corev1.ContainerStatus {
	s := waitsFor("CrashLoopBackOff", "back-off restarting failed container")
	s.RestartCount = times
	s.LastTerminationState.Terminated = exited()
	return s
}

// runsAfter is a container that runs, and is Ready, after it crashed this often.
func runsAfter(crashes int32) corev1.ContainerStatus {
	s := corev1.ContainerStatus{
		Ready: true, RestartCount: crashes,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: apimeta.Now()}},
	}
	if crashes > 0 {
		s.LastTerminationState.Terminated = exited()
	}
	return s
}

func exited() *corev1.ContainerStateTerminated {
	now := apimeta.Now()
	return &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", StartedAt: now, FinishedAt: now}
}
