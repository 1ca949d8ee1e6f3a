package health

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// rolling is a Deployment in the middle of a rollout: three old pods available, one new pod not. Revision 2 is the
// ReplicaSet new; this is what its controller reports for ten minutes, whatever the new pod does.
const rolling = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: guestbook, uid: d, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}
spec: {replicas: 3, selector: {matchLabels: {app: guestbook}}}
status:
  observedGeneration: 2
  replicas: 4
  updatedReplicas: 1
  readyReplicas: 3
  availableReplicas: 3
  conditions:
  - {type: Available, status: "True", reason: MinimumReplicasAvailable}
  - {type: Progressing, status: "True", reason: ReplicaSetUpdated}
`

func replicaSets() []ReplicaSetState {
	return []ReplicaSetState{{UID: "old", Owner: "d", Revision: "1"}, {UID: "new", Owner: "d", Revision: "2"}, {UID: "other", Owner: "x", Revision: "2"}}
}

// running is a pod of owner whose only container is in the given state.
func running(name, owner string, c ContainerState) PodState {
	if c.Name == "" {
		c.Name = "web"
	}
	return PodState{Name: name, Owner: types.UID(owner), Created: noon.Add(-time.Minute), Phase: corev1.PodRunning, RestartPolicy: corev1.RestartPolicyAlways, Containers: []ContainerState{c}}
}

func waiting(reason, message string, restarts int32) ContainerState {
	return ContainerState{Restarts: restarts, Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func crashing(restarts int32) ContainerState {
	c := waiting("CrashLoopBackOff", "back-off 10s restarting failed container", restarts)
	c.Last = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	return c
}

func TestNewRevisionThatCrashesIsDegradedWhileOldPodsServe(t *testing.T) {
	pods := []PodState{
		running("old-1", "old", ContainerState{Ready: true, Running: &corev1.ContainerStateRunning{}}),
		running("new-1", "new", crashing(2)),
	}
	got := AssessWorkload(object(t, rolling), replicaSets(), pods, noon)
	want := Result{Status: v1alpha1.HealthDegraded, Reason: "CrashLoopBackOff", Message: `pod "new-1": container "web" crashes again and again with exit code 1`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAssessWorkload(t *testing.T) {
	sound := ContainerState{Ready: true, Running: &corev1.ContainerStateRunning{}}
	ran := func(length time.Duration, ready bool) ContainerState {
		return ContainerState{
			Ready: ready, Restarts: 3, Last: &corev1.ContainerStateTerminated{ExitCode: 1},
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon.Add(-length))},
		}
	}
	deleting := running("new-1", "new", crashing(5))
	deleting.Deleting = true
	failed := running("new-1", "new", crashing(5))
	failed.Phase, failed.Reason = corev1.PodFailed, "Evicted"
	stuck := PodState{Name: "new-1", Owner: "new", Phase: corev1.PodPending, Unschedulable: "0/3 nodes are available: insufficient cpu"}
	migration := crashing(2)
	migration.Init, migration.Name = true, "migrate"

	tests := []struct {
		name, why string
		workload  string // rolling when empty
		pods      []PodState
		want      v1alpha1.HealthStatus
		reason    string
		message   string // part of it
		recheck   time.Time
	}{
		{name: "nothing known of the pods", want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{name: "one restart", why: "a race at start-up heals with the first restart", pods: []PodState{running("new-1", "new", crashing(1))}, want: v1alpha1.HealthProgressing, reason: "Restarting"},
		{name: "second restart", pods: []PodState{running("new-1", "new", crashing(2))}, want: v1alpha1.HealthDegraded, reason: "CrashLoopBackOff"},
		{name: "old pods crash", why: "they are on their way out, and perhaps the reason for the new version", pods: []PodState{running("old-1", "old", crashing(9))}, want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{name: "pods of another Deployment crash", pods: []PodState{running("x-1", "other", crashing(9))}, want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{
			name: "change not observed yet", why: "revision 2 is then the revision before; its crash must not condemn the one that fixes it",
			workload: strings.Replace(rolling, "generation: 2,", "generation: 3,", 1), pods: []PodState{running("new-1", "new", crashing(9))}, want: v1alpha1.HealthProgressing, reason: "NotObserved",
		},
		{name: "pod being deleted", pods: []PodState{deleting}, want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{name: "pod evicted", why: "the controller replaces it", pods: []PodState{failed}, want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{
			name: "between two crashes", why: "the container runs for a moment; a verdict that flaps would never stand 30 s",
			pods: []PodState{running("new-1", "new", ran(3*time.Second, true))}, want: v1alpha1.HealthDegraded, reason: "CrashLoopBackOff", recheck: noon.Add(7 * time.Second),
		},
		{name: "recovered", pods: []PodState{running("new-1", "new", ran(11*time.Second, true))}, want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{name: "runs again, not ready", pods: []PodState{running("new-1", "new", ran(11*time.Second, false))}, want: v1alpha1.HealthProgressing, reason: "NotReady"},
		{
			name: "out of memory twice", pods: []PodState{running("new-1", "new", ContainerState{
				Restarts: 1, Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}, Last: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"},
			})}, want: v1alpha1.HealthDegraded, reason: "OOMKilled", message: "memory limit",
		},
		{
			name: "out of memory once", pods: []PodState{running("new-1", "new", ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}})},
			want: v1alpha1.HealthProgressing, reason: "RollingOut",
		},
		{name: "ends with exit code 0", pods: []PodState{running("new-1", "new", ContainerState{
			Restarts: 2, Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}, Last: &corev1.ContainerStateTerminated{Reason: "Completed"},
		})}, want: v1alpha1.HealthDegraded, reason: "CrashLoopBackOff", message: "exit code 0"},
		{
			name: "image not found", why: "Argo CD's Deployment turns Degraded after ten minutes, its StatefulSet never",
			pods: []PodState{running("new-1", "new", waiting("ImagePullBackOff", `Back-off pulling image "r/g:1.27": ErrImagePull: rpc error: r/g:1.27: not found`, 0))}, want: v1alpha1.HealthDegraded, reason: "ImagePullBackOff", message: "not found",
		},
		{name: "image manifest unknown", pods: []PodState{running("new-1", "new", waiting("ErrImagePull", "manifest unknown: manifest unknown", 0))}, want: v1alpha1.HealthDegraded},
		{name: "image access denied", pods: []PodState{running("new-1", "new", waiting("ErrImagePull", "pull access denied, repository does not exist or may require authorization", 0))}, want: v1alpha1.HealthDegraded},
		{name: "image 401", pods: []PodState{running("new-1", "new", waiting("ErrImagePull", "unexpected status from HEAD request: 401 Unauthorized", 0))}, want: v1alpha1.HealthDegraded},
		{
			name: "registry down", why: "may pass; a rollback would not help either", pods: []PodState{running("new-1", "new", waiting("ErrImagePull", "dial tcp 192.0.2.1:443: i/o timeout", 0))},
			want: v1alpha1.HealthProgressing, reason: "ImagePullBackOff", message: "i/o timeout", recheck: noon.Add(4 * time.Minute),
		},
		{name: "registry rate limit", pods: []PodState{running("new-1", "new", waiting("ErrImagePull", "toomanyrequests: You have reached your pull rate limit", 0))}, want: v1alpha1.HealthProgressing, recheck: noon.Add(4 * time.Minute)},
		{name: "invalid image name", pods: []PodState{running("new-1", "new", waiting("InvalidImageName", "couldn't parse image", 0))}, want: v1alpha1.HealthDegraded, reason: "InvalidImageName"},
		{name: "config map missing", pods: []PodState{running("new-1", "new", waiting("CreateContainerConfigError", `configmap "c" not found`, 0))}, want: v1alpha1.HealthDegraded, reason: "CreateContainerConfigError"},
		{name: "starting", pods: []PodState{running("new-1", "new", waiting("ContainerCreating", "", 0))}, want: v1alpha1.HealthProgressing, reason: "RollingOut"},
		{name: "init container fails", why: "Argo CD does not look at init containers", pods: []PodState{running("new-1", "new", migration)}, want: v1alpha1.HealthDegraded, message: `init container "migrate"`},
		{name: "unschedulable", why: "a node may come; and no version is at fault", pods: []PodState{stuck}, want: v1alpha1.HealthProgressing, reason: "Unschedulable", message: "insufficient cpu"},
		{name: "the worst pod speaks", pods: []PodState{stuck, running("new-2", "new", crashing(2)), running("new-3", "new", sound)}, want: v1alpha1.HealthDegraded, message: `pod "new-2"`},
		{
			name: "the deadline and its cause", why: "the pod says why, the Deployment only that time is up",
			workload: strings.Replace(rolling, "status: \"True\", reason: ReplicaSetUpdated", "status: \"False\", reason: ProgressDeadlineExceeded", 1),
			pods:     []PodState{running("new-1", "new", crashing(9))}, want: v1alpha1.HealthDegraded, reason: "CrashLoopBackOff",
		},
		{
			name: "rollback to an old ReplicaSet", why: "it is used again under the new number",
			workload: strings.Replace(rolling, `revision: "2"`, `revision: "1"`, 1), pods: []PodState{running("new-1", "new", crashing(9)), running("old-1", "old", sound)}, want: v1alpha1.HealthProgressing, reason: "RollingOut",
		},
		{
			name: "stateful set, new revision", why: "Argo CD never calls a StatefulSet Degraded",
			workload: "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, uid: s, generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, readyReplicas: 2, updatedReplicas: 1, updateRevision: b}}",
			pods:     []PodState{{Name: "s-0", Owner: "s", RevisionHash: "a", Containers: []ContainerState{sound}}, {Name: "s-2", Owner: "s", RevisionHash: "b", Containers: []ContainerState{crashing(2)}}},
			want:     v1alpha1.HealthDegraded, message: `pod "s-2"`,
		},
		{
			name:     "stateful set, old revision",
			workload: "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, uid: s, generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, readyReplicas: 2, updateRevision: b}}",
			pods:     []PodState{{Name: "s-0", Owner: "s", RevisionHash: "a", Containers: []ContainerState{crashing(2)}}},
			want:     v1alpha1.HealthProgressing, reason: "RollingOut",
		},
		{
			name:     "daemon set, new template generation",
			workload: "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: s, uid: s, generation: 2, annotations: {deprecated.daemonset.template.generation: '2'}}, status: {observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 1}}",
			pods: []PodState{
				{Name: "s-a", Owner: "s", RevisionHash: "a", TemplateGeneration: "1", Containers: []ContainerState{crashing(9)}},
				{Name: "s-b", Owner: "s", RevisionHash: "b", TemplateGeneration: "2", Containers: []ContainerState{waiting("ErrImagePull", "not found", 0)}},
			},
			want: v1alpha1.HealthDegraded, reason: "ImagePullBackOff", message: `pod "s-b"`,
		},
		{
			name: "job pod crashes", why: "the Job counts its failures itself, up to its backoffLimit",
			workload: "{apiVersion: batch/v1, kind: Job, metadata: {name: j, uid: j, generation: 1}, status: {active: 1}}",
			pods:     []PodState{running("j-1", "j", crashing(3))}, want: v1alpha1.HealthProgressing, reason: "CrashLoopBackOff",
		},
		{
			name: "job image not found", why: "Argo CD hides it to protect hooks; a Job that can never start has no other end than its deadline",
			workload: "{apiVersion: batch/v1, kind: Job, metadata: {name: j, uid: j}, status: {active: 1}}",
			pods:     []PodState{running("j-1", "j", waiting("ErrImagePull", "not found", 0))}, want: v1alpha1.HealthDegraded,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			workload := rolling
			if tt.workload != "" {
				workload = tt.workload
			}
			got := AssessWorkload(object(t, workload), replicaSets(), tt.pods, noon)
			if got.Status != tt.want || tt.reason != "" && got.Reason != tt.reason || !strings.Contains(got.Message, tt.message) {
				t.Errorf("= %+v, want %q %q %q (%s)", got, tt.want, tt.reason, tt.message, tt.why)
			}
			if !got.Recheck.Equal(tt.recheck) {
				t.Errorf("recheck %v, want %v", got.Recheck, tt.recheck)
			}
		})
	}
}

// TestMessagesHoldNoOutput: what a program prints when it ends may hold secrets, and restart counts change with every
// run; neither is in a message.
func TestMessagesHoldNoOutput(t *testing.T) {
	for _, restarts := range []int32{2, 7} {
		c := crashing(restarts)
		c.Last.Message = "password hunter2 rejected"
		got := AssessWorkload(object(t, rolling), replicaSets(), []PodState{running("new-1", "new", c)}, noon)
		if want := `pod "new-1": container "web" crashes again and again with exit code 1`; got.Message != want {
			t.Errorf("message %q, want %q", got.Message, want)
		}
	}
}

func TestPodStateFrom(t *testing.T) {
	got, err := PodStateFrom(object(t, `
apiVersion: v1
kind: Pod
metadata:
  name: new-1
  uid: p
  creationTimestamp: "2026-11-20T11:59:00Z"
  labels: {controller-revision-hash: h, pod-template-generation: "4"}
  ownerReferences:
  - {apiVersion: v1, kind: Node, name: node-1, uid: x}
  - {apiVersion: apps/v1, kind: ReplicaSet, name: new, uid: new, controller: true}
spec: {restartPolicy: Always, containers: [{name: web, image: i}]}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: full}, {type: Ready, status: "False"}]
  initContainerStatuses: [{name: i, image: i, imageID: "", ready: true, restartCount: 0, state: {terminated: {exitCode: 0}}}]
  containerStatuses: [{name: web, image: i, imageID: "", ready: false, restartCount: 1, state: {waiting: {reason: PodInitializing}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := PodState{
		Name: "new-1", UID: "p", Owner: "new", RevisionHash: "h", TemplateGeneration: "4", Created: noon.Add(-time.Minute),
		Phase: corev1.PodPending, RestartPolicy: corev1.RestartPolicyAlways, Unschedulable: "full",
		Containers: []ContainerState{
			{Name: "i", Init: true, Ready: true, Terminated: &corev1.ContainerStateTerminated{}},
			{Name: "web", Restarts: 1, Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}},
		},
	}
	got.Created = got.Created.UTC()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := PodStateFrom(object(t, "{kind: Pod, metadata: {name: p}, status: text}")); err == nil {
		t.Error("status of the wrong type was read")
	}
}

func TestPodSelector(t *testing.T) {
	selector, ok, err := PodSelector(object(t, rolling))
	if err != nil || !ok || !selector.Matches(labels.Set{"app": "guestbook", "x": "y"}) || selector.Matches(labels.Set{"app": "other"}) {
		t.Errorf("= %v, %v, %v", selector, ok, err)
	}
	for _, without := range []string{
		"{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {a: b}}}",
		"{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {}}",
		"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: j}, spec: {selector: {}}}",
	} {
		if _, ok, err := PodSelector(object(t, without)); ok || err != nil {
			t.Errorf("%s: %v, %v", without, ok, err)
		}
	}
	if _, _, err := PodSelector(object(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchExpressions: [{key: a, operator: Near}]}}}")); err == nil {
		t.Error("unknown operator was accepted")
	}
}

func TestReplicaSetStateOf(t *testing.T) {
	isController := true
	got := ReplicaSetStateOf(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		UID: "new", Annotations: map[string]string{annotationRevision: "2"}, OwnerReferences: []metav1.OwnerReference{{UID: "d", Controller: &isController}},
	}})
	if want := (ReplicaSetState{UID: "new", Owner: "d", Revision: "2"}); got != want {
		t.Errorf("= %+v, want %+v", got, want)
	}
}
