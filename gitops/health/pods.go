package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const (
	// crashRestarts is how often a container must have been started again before its crashes count: one restart heals
	// many a race at start-up.
	crashRestarts = 2
	// outOfMemoryRestarts is the same for the memory limit, which does not heal by itself.
	outOfMemoryRestarts = 1
	// stableFor is how long a container that crashed must run before it is believed. Without it a container between
	// two crashes would look well, and the verdict would flap.
	stableFor = 10 * time.Second
	// pullGrace is how long an image may fail to pull for a reason that can pass: a registry that is down or slow.
	pullGrace = 5 * time.Minute
)

// AssessWorkload returns the health of a workload at now from its own status and the pods of its new revision. For other
// kinds it is Assess. pods and replicaSets may hold more than the workload's own.
//
// A failing new revision is Degraded whatever the workload's status says: a Deployment with three available old
// replicas and a crashing new one is reported as progressing by its controller for ten minutes.
func AssessWorkload(workload *unstructured.Unstructured, replicaSets []ReplicaSetState, pods []PodState, now time.Time) Result {
	own := Assess(workload, now)
	if workload.GetDeletionTimestamp() != nil {
		return own
	}
	seen := AssessPods(workload, NewRevisionPods(workload, replicaSets, pods), now)
	recheck := earliest(own.Recheck, seen.Recheck)
	switch {
	case seen.Status == v1alpha1.HealthDegraded,
		seen.Status == v1alpha1.HealthProgressing && own.Status == v1alpha1.HealthProgressing:
		own = seen
	}
	own.Recheck = recheck
	return own
}

// AssessPods returns what the given pods of workload, usually NewRevisionPods, say about it at now: Degraded when one
// cannot run, Progressing with a reason when one is held up, and the zero Result when they say nothing. The worst
// pod speaks; of equally bad ones the first by name.
func AssessPods(workload *unstructured.Unstructured, pods []PodState, now time.Time) Result {
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, func(a, b PodState) int { return strings.Compare(a.Name, b.Name) })
	isJob := workload.GetKind() == "Job"
	var worst Result
	var recheck time.Time
	for _, p := range sorted {
		r := p.assess(now)
		recheck = earliest(recheck, r.Recheck)
		if isJob && crashed(r) {
			// A Job counts its own failures and tries again; it says itself when it has given up.
			r = progressing(r.Reason, r.Message)
		}
		if !r.Counts() || worst.Status == v1alpha1.HealthDegraded || worst.Status == r.Status {
			continue
		}
		r.Message = fmt.Sprintf("pod %q: %s", p.Name, r.Message)
		worst = r
	}
	worst.Recheck = recheck
	return worst
}

// crashed says whether a verdict is about runs that ended, as opposed to runs that could not begin.
func crashed(r Result) bool { return r.Reason == "CrashLoopBackOff" || r.Reason == "OOMKilled" }

// assess returns what a pod of a workload says; the zero Result is nothing.
func (p PodState) assess(now time.Time) Result {
	switch {
	case p.Deleting, p.Phase == corev1.PodSucceeded:
		return Result{}
	case p.Phase == corev1.PodFailed:
		return Result{} // evicted, or lost with its node: the controller replaces it
	case p.Unschedulable != "":
		return progressing("Unschedulable", "no node takes it: "+quote(p.Unschedulable))
	case p.Gated:
		return progressing("SchedulingGated", "is held back from scheduling by a gate")
	}
	var worst Result
	var recheck time.Time
	for _, c := range p.Containers {
		r := c.assess(p, now)
		recheck = earliest(recheck, r.Recheck)
		if r.Counts() && worst.Status != v1alpha1.HealthDegraded && worst.Status != r.Status {
			worst = r
		}
	}
	worst.Recheck = recheck
	return worst
}

// assess returns what one container says; the zero Result is nothing.
func (c ContainerState) assess(p PodState, now time.Time) Result {
	what := fmt.Sprintf("container %q", c.Name)
	if c.Init {
		what = "init " + what
	}
	switch {
	case c.Waiting != nil:
		return c.assessWaiting(p, what, now)
	case c.Terminated != nil:
		if isFailure(c.Terminated) && c.Restarts >= threshold(c.Terminated) {
			return c.crash(what, c.Terminated)
		}
	case c.Running != nil:
		// An init container that is done, or a container that never failed, has no Last that matters.
		if !isFailure(c.Last) || c.Restarts < crashRestarts {
			return Result{}
		}
		if stable := c.Running.StartedAt.Add(stableFor); now.Before(stable) {
			r := c.crash(what, c.Last)
			r.Recheck = stable
			return r
		}
		if !c.Ready && !c.Init {
			return progressing("NotReady", what+" runs again after a crash and is not ready yet")
		}
	}
	return Result{}
}

// threshold is how many restarts make a verdict of runs that end like this.
func threshold(end *corev1.ContainerStateTerminated) int32 {
	if end != nil && end.Reason == outOfMemory {
		return outOfMemoryRestarts
	}
	return crashRestarts
}

const outOfMemory = "OOMKilled"

func isFailure(end *corev1.ContainerStateTerminated) bool {
	return end != nil && (end.ExitCode != 0 || end.Signal != 0 || end.Reason == outOfMemory)
}

// crash words a container that ends again and again. Neither the number of restarts nor the termination message is
// repeated: the one changes with every run, the other is the program's own text and may hold anything.
func (c ContainerState) crash(what string, end *corev1.ContainerStateTerminated) Result {
	switch {
	case end == nil:
		return degraded("CrashLoopBackOff", what+" crashes again and again")
	case end.Reason == outOfMemory:
		return degraded(outOfMemory, what+" is killed for exceeding its memory limit")
	case end.ExitCode == 0:
		return degraded("CrashLoopBackOff", what+" ends again and again with exit code 0, but is to keep running")
	default:
		return degraded("CrashLoopBackOff", fmt.Sprintf("%s crashes again and again with exit code %d", what, end.ExitCode))
	}
}

// assessWaiting judges the reasons of the kubelet (k8s.io/kubernetes, pkg/kubelet/images and kuberuntime).
func (c ContainerState) assessWaiting(p PodState, what string, now time.Time) Result {
	reason, message := c.Waiting.Reason, quote(c.Waiting.Message)
	switch reason {
	case "CrashLoopBackOff":
		if c.Restarts >= threshold(c.Last) {
			return c.crash(what, c.Last)
		}
		return progressing("Restarting", what+" ended and is started again")
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError":
		text := fmt.Sprintf("%s cannot pull its image: %s", what, or(message, "no cause given"))
		if isRefused(message) {
			return degraded("ImagePullBackOff", text)
		}
		r := progressing("ImagePullBackOff", text)
		if !p.Created.IsZero() {
			r = r.degradedFrom(p.Created.Add(pullGrace), now, "ImagePullBackOff")
		}
		return r
	case "InvalidImageName", "ErrImageNeverPull", "SignatureValidationFailed":
		return degraded(reason, fmt.Sprintf("%s cannot use its image: %s", what, or(message, reason)))
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError":
		return degraded(reason, fmt.Sprintf("%s cannot start: %s", what, or(message, reason)))
	default: // ContainerCreating, PodInitializing
		return Result{}
	}
}

// refusals are the words with which registries and container runtimes say that pulling again will not help: the
// reference does not exist, or the credentials do not allow it (OCI distribution error codes and HTTP reasons).
const refusals = `(?i)\b(not found|does not exist|manifest[ _]unknown|name[ _]unknown|denied|unauthorized|forbidden|no basic auth credentials|authentication required|invalid reference|no match for platform)\b`

func isRefused(message string) bool {
	return regexp.MustCompile(refusals).MatchString(message)
}

// pod is the health of a pod that is applied as an object of its own.
func pod(obj *unstructured.Unstructured, now time.Time) Result {
	p, err := PodStateFrom(obj)
	if err != nil {
		return Result{Status: v1alpha1.HealthUnknown, Reason: "StatusUnreadable", Message: "its status has an unexpected form"}
	}
	switch p.Phase {
	case corev1.PodSucceeded:
		return healthy("Succeeded", "has run to its end")
	case corev1.PodFailed:
		return degraded(or(p.Reason, "Failed"), p.failure())
	}
	if r := p.assess(now); r.Counts() {
		if crashed(r) && p.RestartPolicy == corev1.RestartPolicyNever {
			return progressing("Running", "has not ended yet")
		}
		return r
	}
	switch {
	case p.Phase == corev1.PodRunning && p.RestartPolicy != corev1.RestartPolicyAlways && p.RestartPolicy != "":
		return progressing("Running", "has not ended yet") // ready or not: a hook is done when it has ended
	case p.Phase == corev1.PodRunning && p.Ready:
		return healthy("Ready", "is ready")
	case p.Phase == corev1.PodRunning:
		return progressing("NotReady", "runs and is not ready yet")
	default:
		return progressing("Starting", "is starting")
	}
}

// failure says why a pod failed.
func (p PodState) failure() string {
	if p.Message != "" {
		return "failed: " + quote(p.Message)
	}
	for _, c := range p.Containers {
		if !isFailure(c.Terminated) {
			continue
		}
		if c.Terminated.Reason == outOfMemory {
			return fmt.Sprintf("container %q was killed for exceeding its memory limit", c.Name)
		}
		return fmt.Sprintf("container %q failed with exit code %d", c.Name, c.Terminated.ExitCode)
	}
	return "failed"
}
