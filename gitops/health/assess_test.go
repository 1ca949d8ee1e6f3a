package health

import (
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// noon is the instant the tests call now.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	encoded, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(encoded, &obj.Object); err != nil {
		t.Fatal(err)
	}
	return obj
}

// deploy is a Deployment of three replicas in generation 2, with more fields of status.
func deploy(status string) string {
	return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, " + status + "}}"
}

func set(spec, status string) string {
	return "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, generation: 2}, spec: {replicas: 3, " + spec + "}, status: {observedGeneration: 2, " + status + "}}"
}

func daemons(spec, status string) string {
	return "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: s, generation: 2}, spec: {" + spec + "}, status: {observedGeneration: 2, " + status + "}}"
}

func simple(version, kind, rest string) string {
	return "{apiVersion: " + version + ", kind: " + kind + ", metadata: {name: x}, " + rest + "}"
}

func TestAssess(t *testing.T) {
	const (
		none        = v1alpha1.HealthStatus("")
		isHealthy   = v1alpha1.HealthHealthy
		isMoving    = v1alpha1.HealthProgressing
		isDegraded  = v1alpha1.HealthDegraded
		isSuspended = v1alpha1.HealthSuspended
	)
	tests := []struct {
		name, why string
		obj       string
		want      v1alpha1.HealthStatus
		reason    string
		recheck   time.Time
		kstatus   status.Status // what kstatus says of the same object, where that is the point
	}{
		{name: "deployment rolled out", obj: deploy("replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3"), want: isHealthy, reason: "RolledOut"},
		{name: "deployment without a generation", why: "nothing to catch up with", obj: simple("apps/v1", "Deployment", "spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}"), want: isHealthy},
		{
			name: "deployment of a newer generation", why: "Healthy here would end a promotion before the controller has begun",
			obj:  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, generation: 3}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}",
			want: isMoving, reason: "NotObserved",
		},
		{
			name: "deployment just created", obj: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, generation: 1}, spec: {replicas: 1}}", want: isMoving, reason: "NotObserved",
			why: "kstatus has nothing to compare with and goes by the counts", kstatus: status.InProgressStatus,
		},
		{
			name: "deployment paused", why: "kstatus does not know pausing: it calls a paused, half-done rollout in progress for ever",
			obj:  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, generation: 2}, spec: {replicas: 3, paused: true}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 1, availableReplicas: 3}}",
			want: isSuspended, reason: "Paused", kstatus: status.InProgressStatus,
		},
		{name: "deployment updating", obj: deploy("replicas: 4, updatedReplicas: 1, availableReplicas: 3"), want: isMoving, reason: "RollingOut"},
		{name: "deployment with old pods", obj: deploy("replicas: 4, updatedReplicas: 3, availableReplicas: 4"), want: isMoving, reason: "RollingOut"},
		{name: "deployment deadline", obj: deploy("replicas: 4, updatedReplicas: 1, availableReplicas: 3, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]"), want: isDegraded, reason: "ProgressDeadlineExceeded"},
		{
			name: "deployment cannot create pods", why: "Argo CD waits ten minutes for the deadline; the quota that forbids the pod is known at once",
			obj:  deploy("replicas: 3, availableReplicas: 3, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: 'exceeded quota'}]"),
			want: isDegraded, reason: "FailedCreate",
		},
		{
			name: "deployment lost its pods after the rollout", why: "Argo CD shows Progressing for ever (its own health package, 0 of 3 available); the deadline of the rollout is over",
			obj:  deploy("replicas: 3, updatedReplicas: 3, conditions: [{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}, {type: Available, status: 'False', lastTransitionTime: '2026-11-20T11:00:00Z'}]"),
			want: isDegraded, reason: "Unavailable",
		},
		{
			name: "deployment lost its pods a minute ago", why: "a node that drains is no reason to roll back",
			obj:  deploy("replicas: 3, updatedReplicas: 3, conditions: [{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}, {type: Available, status: 'False', lastTransitionTime: '2026-11-20T11:59:00Z'}]"),
			want: isMoving, reason: "Unavailable", recheck: noon.Add(9 * time.Minute),
		},
		{
			name: "deployment lacks one pod and serves", obj: deploy("replicas: 3, updatedReplicas: 3, availableReplicas: 2, conditions: [{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}, {type: Available, status: 'True'}]"),
			want: isMoving, reason: "Unavailable",
		},
		{name: "deployment scaled to zero", obj: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, generation: 2}, spec: {replicas: 0}, status: {observedGeneration: 2}}", want: isHealthy, reason: "ScaledToZero"},
		{name: "deployment being deleted", obj: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, deletionTimestamp: '2026-11-20T11:00:00Z', finalizers: [foregroundDeletion]}}", want: isMoving, reason: "Terminating"},
		{name: "deployment with a status of the wrong shape", why: "judging must not fail", obj: simple("apps/v1", "Deployment", "spec: text, status: [1]"), want: isMoving},

		{name: "replica set", obj: simple("apps/v1", "ReplicaSet", "spec: {replicas: 2}, status: {availableReplicas: 2}"), want: isHealthy},
		{name: "replica set short", obj: simple("apps/v1", "ReplicaSet", "spec: {replicas: 2}, status: {availableReplicas: 1}"), want: isMoving},
		{name: "replica set failing", obj: simple("apps/v1", "ReplicaSet", "status: {conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate}]}"), want: isDegraded},

		{name: "stateful set rolled out", obj: set("", "replicas: 3, readyReplicas: 3, updatedReplicas: 3, currentReplicas: 3"), want: isHealthy},
		{name: "stateful set not ready", obj: set("", "replicas: 3, readyReplicas: 2, updatedReplicas: 1"), want: isMoving},
		{name: "stateful set updating", obj: set("", "replicas: 3, readyReplicas: 3, updatedReplicas: 1"), want: isMoving},
		{
			name: "stateful set with no rollingUpdate block", why: "Argo CD compares counts only when that block is written, and revisions otherwise",
			obj: set("updateStrategy: {type: RollingUpdate}", "replicas: 3, readyReplicas: 3, updatedReplicas: 2, currentRevision: a, updateRevision: a"), want: isMoving,
		},
		{name: "stateful set partition reached", obj: set("updateStrategy: {rollingUpdate: {partition: 2}}", "replicas: 3, readyReplicas: 3, updatedReplicas: 1"), want: isHealthy, reason: "Partitioned"},
		{name: "stateful set partition not reached", obj: set("updateStrategy: {rollingUpdate: {partition: 1}}", "replicas: 3, readyReplicas: 3, updatedReplicas: 1"), want: isMoving},
		{name: "stateful set partition above replicas", obj: set("updateStrategy: {rollingUpdate: {partition: 9}}", "replicas: 3, readyReplicas: 3, updatedReplicas: 0"), want: isHealthy},
		{
			name: "stateful set OnDelete, old pods", why: "Argo CD and kstatus say Healthy and Current although no pod runs the new version",
			obj: set("updateStrategy: {type: OnDelete}", "replicas: 3, readyReplicas: 3, updatedReplicas: 0"), want: isSuspended, reason: "OnDelete", kstatus: status.CurrentStatus,
		},
		{name: "stateful set OnDelete, replaced", obj: set("updateStrategy: {type: OnDelete}", "replicas: 3, readyReplicas: 3, updatedReplicas: 3"), want: isHealthy},
		{
			name: "stateful set within minReadySeconds", why: "Argo CD counts ready pods only",
			obj: set("minReadySeconds: 30", "replicas: 3, readyReplicas: 3, updatedReplicas: 3, availableReplicas: 2"), want: isMoving,
		},

		{name: "daemon set", obj: daemons("", "desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2"), want: isHealthy},
		{name: "daemon set updating", obj: daemons("", "desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 2"), want: isMoving},
		{name: "daemon set unavailable", obj: daemons("", "desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1"), want: isMoving},
		{
			name: "daemon set OnDelete, old pods", why: "Argo CD says Healthy although the nodes run the old version",
			obj: daemons("updateStrategy: {type: OnDelete}", "desiredNumberScheduled: 2, updatedNumberScheduled: 0, numberAvailable: 2"), want: isSuspended,
		},
		{name: "daemon set without nodes", obj: daemons("", "desiredNumberScheduled: 0"), want: isHealthy, reason: "NoNodes"},

		{name: "job running", obj: simple("batch/v1", "Job", "status: {active: 1}"), want: isMoving},
		{name: "job complete", obj: simple("batch/v1", "Job", "status: {conditions: [{type: Complete, status: 'True'}]}"), want: isHealthy},
		{name: "job failed", obj: simple("batch/v1", "Job", "status: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded}]}"), want: isDegraded, reason: "BackoffLimitExceeded"},
		{
			name: "job resumed", why: "Argo CD does not read the status of the condition and says Healthy of a job that runs again",
			obj: simple("batch/v1", "Job", "status: {active: 1, conditions: [{type: Suspended, status: 'False', reason: JobResumed}]}"), want: isMoving,
		},
		{name: "job with a condition that is False", obj: simple("batch/v1", "Job", "status: {conditions: [{type: Failed, status: 'False'}, {type: Complete, status: 'False'}]}"), want: isMoving},
		{name: "job suspended", obj: simple("batch/v1", "Job", "spec: {suspend: true}, status: {conditions: [{type: Suspended, status: 'True'}]}"), want: isSuspended},

		{name: "cron job suspended", why: "a schedule switched off in Git is as wanted; Suspended would hold a promotion for ever", obj: simple("batch/v1", "CronJob", "spec: {suspend: true}"), want: isHealthy},
		{name: "cron job never due", obj: simple("batch/v1", "CronJob", "spec: {}"), want: isHealthy},
		{name: "cron job running", obj: simple("batch/v1", "CronJob", "status: {lastScheduleTime: '2026-11-20T11:00:00Z', active: [{name: j}]}"), want: isHealthy},
		{name: "cron job succeeded", obj: simple("batch/v1", "CronJob", "status: {lastScheduleTime: '2026-11-20T11:00:00Z', lastSuccessfulTime: '2026-11-20T11:00:09Z'}"), want: isHealthy},
		{
			name: "cron job failed", why: "kstatus calls every CronJob current",
			obj: simple("batch/v1", "CronJob", "status: {lastScheduleTime: '2026-11-20T11:00:00Z', lastSuccessfulTime: '2026-11-20T10:00:09Z'}"), want: isDegraded, kstatus: status.CurrentStatus,
		},
		{name: "cron job failed the first time", why: "Argo CD says Healthy until the first success", obj: simple("batch/v1", "CronJob", "status: {lastScheduleTime: '2026-11-20T11:00:00Z'}"), want: isDegraded},
		{name: "cron job whose jobs vanish at once", why: "their success is never recorded", obj: simple("batch/v1", "CronJob", "spec: {jobTemplate: {spec: {ttlSecondsAfterFinished: 0}}}, status: {lastScheduleTime: '2026-11-20T11:00:00Z'}"), want: isHealthy},

		{name: "service", obj: simple("v1", "Service", "spec: {type: ClusterIP}"), want: isHealthy},
		{name: "service waits for an address", obj: simple("v1", "Service", "spec: {type: LoadBalancer}"), want: isMoving},
		{name: "service with an address", obj: simple("v1", "Service", "spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}"), want: isHealthy},
		{name: "ingress without an address", why: "many controllers never write one; Argo CD stays Progressing for ever", obj: simple("networking.k8s.io/v1", "Ingress", "spec: {}"), want: none},
		{name: "ingress with an address", obj: simple("networking.k8s.io/v1", "Ingress", "status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}"), want: isHealthy},
		{name: "claim bound", obj: simple("v1", "PersistentVolumeClaim", "status: {phase: Bound}"), want: isHealthy},
		{name: "claim lost", obj: simple("v1", "PersistentVolumeClaim", "status: {phase: Lost}"), want: isDegraded},
		{
			name: "claim waits for its first pod", why: "WaitForFirstConsumer: Argo CD and kstatus wait in a wave for a pod that comes in the next",
			obj: simple("v1", "PersistentVolumeClaim", "status: {phase: Pending}"), want: none, kstatus: status.InProgressStatus,
		},
		{name: "claim being provisioned", obj: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, annotations: {volume.kubernetes.io/storage-provisioner: x}}, status: {phase: Pending}}", want: isMoving},
		{name: "namespace", obj: simple("v1", "Namespace", "status: {phase: Active}"), want: isHealthy},
		{name: "namespace terminating", obj: simple("v1", "Namespace", "status: {phase: Terminating}"), want: isMoving},
		{name: "config map", obj: simple("v1", "ConfigMap", "data: {status: x}"), want: none},
		{name: "role", obj: simple("rbac.authorization.k8s.io/v1", "Role", "rules: []"), want: none},
		{name: "network policy", obj: simple("networking.k8s.io/v1", "NetworkPolicy", "spec: {}"), want: none},

		{name: "autoscaler", obj: simple("autoscaling/v2", "HorizontalPodAutoscaler", "status: {conditions: [{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'True'}]}"), want: isHealthy},
		{name: "autoscaler without target", obj: simple("autoscaling/v2", "HorizontalPodAutoscaler", "status: {conditions: [{type: AbleToScale, status: 'False', reason: FailedGetScale}]}"), want: isDegraded},
		{
			name: "autoscaler without metrics for a minute", why: "Argo CD says Degraded at once, and every rollout of pods without metrics yet would be rolled back",
			obj:  simple("autoscaling/v2", "HorizontalPodAutoscaler", "status: {conditions: [{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, lastTransitionTime: '2026-11-20T11:59:00Z'}]}"),
			want: isMoving, recheck: noon.Add(4 * time.Minute),
		},
		{name: "autoscaler without metrics for an hour", obj: simple("autoscaling/v2", "HorizontalPodAutoscaler", "status: {conditions: [{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, lastTransitionTime: '2026-11-20T11:00:00Z'}]}"), want: isDegraded, reason: "FailedGetResourceMetric"},
		{name: "autoscaler v1", obj: `{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h, annotations: {autoscaling.alpha.kubernetes.io/conditions: '[{"type":"AbleToScale","status":"True"}]'}}}`, want: isHealthy},
		{name: "autoscaler not looked at", obj: simple("autoscaling/v2", "HorizontalPodAutoscaler", "spec: {}"), want: isMoving},
		{name: "disruption budget at its limit", why: "InsufficientPods is a budget at work", obj: simple("policy/v1", "PodDisruptionBudget", "status: {conditions: [{type: DisruptionAllowed, status: 'False', reason: InsufficientPods}]}"), want: isHealthy},
		{name: "disruption budget failing", obj: simple("policy/v1", "PodDisruptionBudget", "status: {conditions: [{type: DisruptionAllowed, status: 'False', reason: SyncFailed}]}"), want: isDegraded},
		{name: "crd established", obj: simple("apiextensions.k8s.io/v1", "CustomResourceDefinition", "status: {conditions: [{type: NamesAccepted, status: 'True'}, {type: Established, status: 'True'}]}"), want: isHealthy},
		{name: "crd just created", obj: simple("apiextensions.k8s.io/v1", "CustomResourceDefinition", "spec: {}"), want: isMoving},
		{name: "crd with a taken name", obj: simple("apiextensions.k8s.io/v1", "CustomResourceDefinition", "status: {conditions: [{type: NamesAccepted, status: 'False', reason: PluralConflict}]}"), want: isDegraded},
		{name: "api service down a minute", obj: simple("apiregistration.k8s.io/v1", "APIService", "status: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints, lastTransitionTime: '2026-11-20T11:59:00Z'}]}"), want: isMoving, recheck: noon.Add(9 * time.Minute)},
		{name: "api service down an hour", why: "Argo CD says Progressing for ever", obj: simple("apiregistration.k8s.io/v1", "APIService", "status: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints, lastTransitionTime: '2026-11-20T11:00:00Z'}]}"), want: isDegraded},

		{
			name: "custom resource without status", why: "kstatus says current before its controller has looked; Healthy is only said of what was observed",
			obj: simple("example.com/v1", "Thing", "spec: {}"), want: none, kstatus: status.CurrentStatus,
		},
		{name: "custom resource ready", obj: simple("example.com/v1", "Thing", "status: {conditions: [{type: Ready, status: 'True'}]}"), want: isHealthy},
		{name: "custom resource not ready", obj: simple("example.com/v1", "Thing", "status: {conditions: [{type: Ready, status: 'False', reason: Waiting}]}"), want: isMoving, reason: "Waiting"},
		{name: "custom resource stalled", obj: simple("example.com/v1", "Thing", "status: {conditions: [{type: Stalled, status: 'True', reason: BadSpec}, {type: Ready, status: 'True'}]}"), want: isDegraded, reason: "BadSpec"},
		{name: "custom resource reconciling", obj: simple("example.com/v1", "Thing", "status: {conditions: [{type: Reconciling, status: 'True'}, {type: Ready, status: 'True'}]}"), want: isMoving},
		{name: "custom resource behind", obj: "{apiVersion: example.com/v1, kind: Thing, metadata: {name: x, generation: 2}, status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True'}]}}", want: isMoving, reason: "NotObserved"},
		{
			name: "custom resource whose condition is behind", why: "kstatus reads the generation of the status only; the condition is of the spec before",
			obj:  "{apiVersion: example.com/v1, kind: Thing, metadata: {name: x, generation: 2}, status: {conditions: [{type: Ready, status: 'True', observedGeneration: 1}]}}",
			want: isMoving, reason: "NotObserved", kstatus: status.CurrentStatus,
		},
		{
			name: "custom resource that is not available", why: "kstatus looks for Ready only and says current",
			obj: simple("example.com/v1", "Thing", "status: {conditions: [{type: Available, status: 'False', reason: Down}]}"), want: isMoving, reason: "Down", kstatus: status.CurrentStatus,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			obj := object(t, tt.obj)
			before := obj.DeepCopy()
			got := Assess(obj, noon)
			if got.Status != tt.want || tt.reason != "" && got.Reason != tt.reason {
				t.Errorf("= %+v, want %q %q (%s)", got, tt.want, tt.reason, tt.why)
			}
			if !got.Recheck.Equal(tt.recheck) {
				t.Errorf("recheck %v, want %v", got.Recheck, tt.recheck)
			}
			if got.Counts() && got.Reason == "" {
				t.Error("a status without a reason")
			}
			if diff := cmp.Diff(before.Object, obj.Object); diff != "" {
				t.Errorf("object was changed:\n%s", diff)
			}
			if tt.kstatus != "" {
				other, err := status.Compute(before)
				if err != nil || other.Status != tt.kstatus {
					t.Errorf("kstatus says %+v, %v; the case claims %v", other, err, tt.kstatus)
				}
			}
		})
	}
}

func TestAssessPodObject(t *testing.T) {
	tests := []struct {
		name, why, obj string
		want           v1alpha1.HealthStatus
		reason         string
	}{
		{name: "ready", obj: simple("v1", "Pod", "status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}"), want: v1alpha1.HealthHealthy},
		{name: "pending", obj: simple("v1", "Pod", "status: {phase: Pending}"), want: v1alpha1.HealthProgressing},
		{name: "succeeded", obj: simple("v1", "Pod", "status: {phase: Succeeded}"), want: v1alpha1.HealthHealthy},
		{name: "failed", obj: simple("v1", "Pod", "spec: {restartPolicy: Never}, status: {phase: Failed, containerStatuses: [{name: c, image: i, imageID: '', ready: false, restartCount: 0, state: {terminated: {exitCode: 3}}}]}"), want: v1alpha1.HealthDegraded},
		{name: "runs to its end", why: "a hook that is a Pod has not done its work when it is ready", obj: simple("v1", "Pod", "spec: {restartPolicy: Never}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}"), want: v1alpha1.HealthProgressing, reason: "Running"},
		{
			name: "crash loop in an init container", why: "Argo CD does not look at init containers and says Progressing",
			obj:  simple("v1", "Pod", "status: {phase: Pending, initContainerStatuses: [{name: migrate, image: i, imageID: '', ready: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}"),
			want: v1alpha1.HealthDegraded, reason: "CrashLoopBackOff",
		},
		{name: "status of the wrong shape", obj: simple("v1", "Pod", "status: {phase: [1]}"), want: v1alpha1.HealthUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Assess(object(t, tt.obj), noon)
			if got.Status != tt.want || tt.reason != "" && got.Reason != tt.reason {
				t.Errorf("= %+v, want %q %q (%s)", got, tt.want, tt.reason, tt.why)
			}
		})
	}
}

func FuzzAssess(f *testing.F) {
	for _, seed := range []string{
		deploy("replicas: 3"), set("", "replicas: 3"), simple("v1", "Pod", "status: {phase: Running}"), simple("batch/v1", "Job", "status: {conditions: 1}"),
		simple("example.com/v1", "Thing", "status: {conditions: [{type: 1}, 2, {type: Ready, status: 'True', observedGeneration: x}]}"),
		simple("autoscaling/v2", "HorizontalPodAutoscaler", "metadata: {annotations: {a: 1}}"),
	} {
		f.Add(seed)
	}
	words := map[v1alpha1.HealthStatus]bool{
		"": true, v1alpha1.HealthHealthy: true, v1alpha1.HealthProgressing: true, v1alpha1.HealthDegraded: true,
		v1alpha1.HealthSuspended: true, v1alpha1.HealthUnknown: true,
	}
	f.Fuzz(func(t *testing.T, text string) {
		encoded, err := yaml.YAMLToJSON([]byte(text))
		obj := &unstructured.Unstructured{}
		if err != nil || json.Unmarshal(encoded, &obj.Object) != nil || obj.Object == nil {
			return
		}
		got := AssessWorkload(obj, nil, nil, noon)
		if !words[got.Status] || got.Counts() && got.Reason == "" {
			t.Errorf("%+v", got)
		}
		if _, _, err := PodSelector(obj); err != nil {
			return
		}
	})
}
