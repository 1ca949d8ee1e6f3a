package health

import (
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// verdict is a row of a table: an object, and what is said of it.
type verdict struct {
	name, why string
	obj       string
	want      v1alpha1.HealthStatus
	reason    string
}

func runVerdicts(t *testing.T, rows []verdict) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := Assess(object(t, row.obj), noon)
			if got.Status != row.want || row.reason != "" && got.Reason != row.reason {
				t.Errorf("= %+v, want %q %q (%s)", got, row.want, row.reason, row.why)
			}
			if got.Counts() && got.Reason == "" {
				t.Error("a status without a reason")
			}
		})
	}
}

const (
	good    = v1alpha1.HealthHealthy
	moving  = v1alpha1.HealthProgressing
	bad     = v1alpha1.HealthDegraded
	stopped = v1alpha1.HealthSuspended
	silence = v1alpha1.HealthStatus("")
	// anHourAgo is the time of a condition that is no longer fresh.
	anHourAgo = "lastTransitionTime: '2026-11-20T11:00:00Z'"
)

func TestAssessUnknownKinds(t *testing.T) {
	const version, kind = "example.com/v1", "Thing"
	thing := func(status string) string { return simple(version, kind, "status: {"+status+"}") }
	runVerdicts(t, []verdict{
		{name: "no status", obj: simple(version, kind, "spec: {}"), want: silence},
		{name: "ready", obj: thing("conditions: [{type: Ready, status: 'True'}]"), want: good},
		{name: "not ready yet", obj: thing("conditions: [{type: Ready, status: 'False', reason: WaitingForPeers}]"), want: moving},
		{name: "not ready by an error", why: "kstatus says in progress for ever", obj: thing("conditions: [{type: Ready, status: 'False', reason: ReconcileError, " + anHourAgo + "}]"), want: bad, reason: "ReconcileError"},
		{name: "not ready by an error of this moment", why: "the next try may do", obj: thing("conditions: [{type: Ready, status: 'False', reason: ReconcileError, lastTransitionTime: '2026-11-20T11:59:50Z'}]"), want: moving},
		{name: "an error it works on", obj: thing("conditions: [{type: Ready, status: 'False', reason: ReconcileError}, {type: Reconciling, status: 'True', reason: Retrying}]"), want: moving},
		{name: "stalled and reconciling", why: "kstatus believes the one that stands first", obj: thing("conditions: [{type: Reconciling, status: 'True'}, {type: Stalled, status: 'True', reason: SecretMissing}]"), want: bad, reason: "SecretMissing"},
		{name: "failed", obj: thing("conditions: [{type: Failed, status: 'True', reason: OutOfQuota}]"), want: bad, reason: "OutOfQuota"},
		{name: "available and degraded", obj: thing("conditions: [{type: Available, status: 'True'}, {type: Degraded, status: 'True', reason: OneLost}]"), want: bad},
		{name: "available and progressing", obj: thing("conditions: [{type: Available, status: 'True'}, {type: Progressing, status: 'True', reason: Reconciling}]"), want: moving},
		{name: "available and progressed", why: "a Deployment's condition stays True when it is done", obj: thing("conditions: [{type: Available, status: 'True'}, {type: Progressing, status: 'True', reason: NewReplicaSetAvailable}]"), want: good},
		{name: "available past its deadline", obj: thing("conditions: [{type: Available, status: 'True'}, {type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]"), want: bad},
		{name: "succeeded", obj: thing("conditions: [{type: Succeeded, status: 'True'}]"), want: good},
		{name: "did not succeed", obj: thing("conditions: [{type: Succeeded, status: 'False', reason: Timeout}]"), want: bad, reason: "Timeout"},
		{name: "still runs", obj: thing("conditions: [{type: Succeeded, status: Unknown, reason: Running}]"), want: moving},
		{name: "complete because it failed", obj: thing("conditions: [{type: Complete, status: 'True', reason: JobFailed}]"), want: bad},
		{name: "synced", obj: thing("conditions: [{type: Synced, status: 'True'}]"), want: good},
		{name: "synced of an older generation", obj: "{apiVersion: example.com/v1, kind: Thing, metadata: {name: x, generation: 3}, status: {conditions: [{type: Synced, status: 'True', observedGeneration: 2}]}}", want: moving, reason: "NotObserved"},
		{name: "a policy of the Gateway API", obj: thing("ancestors: [{ancestorRef: {name: g}, conditions: [{type: Accepted, status: 'False', reason: Conflicted}]}]"), want: bad, reason: "Conflicted"},
		{name: "a phase that is good", obj: thing("phase: Ready"), want: good, reason: "Ready"},
		{name: "a phase that is bad", obj: thing("phase: Failed, message: no such bucket"), want: bad, reason: "Failed"},
		{name: "a state that is work", obj: thing("state: in-progress"), want: moving, reason: "InProgress"},
		{name: "a phase that says both", why: "a database runs when it works, a job while it works", obj: thing("phase: Running"), want: silence},
		{name: "a phase nobody knows", obj: thing("phase: Thinking"), want: silence},
		{name: "a flag", obj: thing("ready: false"), want: moving},
		{name: "a flag that is bad", obj: thing("healthy: false"), want: bad},
		{name: "a phase that does not know", obj: thing("phase: Unknown"), want: v1alpha1.HealthUnknown, reason: "Unknown"},
		{name: "two conditions of a type", why: "operators made with Ansible write them", obj: thing("conditions: [{type: Failure, status: 'False'}, {type: Running, status: 'True', reason: Successful}, {type: Failure, status: 'True', reason: Failed}]"), want: bad},
		{name: "run by Ansible", obj: thing("conditions: [{type: Running, status: 'True', reason: Successful}]"), want: good},
		{name: "still run by Ansible", obj: thing("conditions: [{type: Running, status: 'True', reason: Running}]"), want: moving},
		{name: "conditions that say nothing", obj: thing("conditions: [{type: Scheduled, status: 'True'}]"), want: silence},
	})
}

func TestAssessOperators(t *testing.T) {
	runVerdicts(t, []verdict{
		{name: "zalando", obj: simple("acid.zalan.do/v1", "postgresql", "status: {PostgresClusterStatus: Running}"), want: good},
		{name: "zalando failed", obj: simple("acid.zalan.do/v1", "postgresql", "status: {PostgresClusterStatus: SyncFailed}"), want: bad},
		{name: "zalando before its operator", obj: simple("acid.zalan.do/v1", "postgresql", "spec: {}"), want: moving, reason: "NotObserved"},
		{name: "clickhouse", obj: simple("clickhouse.altinity.com/v1", "ClickHouseInstallation", "status: {status: Completed}"), want: good},
		{name: "ceph warns", why: "Argo CD says Degraded; it serves", obj: simple("ceph.rook.io/v1", "CephCluster", "status: {ceph: {health: HEALTH_WARN}, phase: Ready}"), want: good, reason: "HealthWarning"},
		{name: "ceph fails", obj: simple("ceph.rook.io/v1", "CephCluster", "status: {ceph: {health: HEALTH_ERR}}"), want: bad},
		{name: "volume waits for its pod", obj: simple("cdi.kubevirt.io/v1beta1", "DataVolume", "status: {phase: WaitForFirstConsumer}"), want: silence},
		{name: "virtual machine", obj: simple("kubevirt.io/v1", "VirtualMachine", "spec: {runStrategy: Always}, status: {printableStatus: Running}"), want: good},
		{name: "virtual machine that is to stand still", obj: simple("kubevirt.io/v1", "VirtualMachine", "spec: {running: false}"), want: stopped},
		{name: "virtual machine without a place", obj: simple("kubevirt.io/v1", "VirtualMachine", "status: {printableStatus: ErrorUnschedulable}"), want: bad},
		{name: "canary promoting", obj: simple("flagger.app/v1beta1", "Canary", "status: {phase: Promoting}"), want: moving},
		{name: "canary failed", obj: simple("flagger.app/v1beta1", "Canary", "status: {phase: Failed}"), want: bad},
		{name: "canary initialized", obj: simple("flagger.app/v1beta1", "Canary", "status: {phase: Initialized}"), want: good},
		{name: "flink", obj: simple("flink.apache.org/v1beta1", "FlinkDeployment", "status: {jobManagerDeploymentStatus: READY, jobStatus: {state: RUNNING}}"), want: good},
		{name: "flink job fails", why: "Argo CD looks at the job manager only", obj: simple("flink.apache.org/v1beta1", "FlinkDeployment", "status: {jobManagerDeploymentStatus: READY, jobStatus: {state: FAILED}}"), want: bad},
		{name: "flink suspended", obj: simple("flink.apache.org/v1beta1", "FlinkDeployment", "spec: {job: {state: suspended}}, status: {jobManagerDeploymentStatus: MISSING}"), want: stopped},
		{name: "gloo refuses", obj: simple("gateway.solo.io/v1", "VirtualService", "status: {statuses: {gloo-system: {state: Rejected, reason: no upstream}}}"), want: bad},
		{name: "gloo of a number", obj: simple("gloo.solo.io/v1", "Upstream", "status: {state: 1}"), want: good},
		{name: "grafana dashboard", obj: simple("grafana.integreatly.org/v1beta1", "GrafanaDashboard", "status: {conditions: [{type: DashboardSynchronized, status: 'False', reason: ApplyFailed, "+anHourAgo+"}]}"), want: bad},
		{name: "grafana", obj: simple("grafana.integreatly.org/v1beta1", "Grafana", "status: {stage: complete, stageStatus: success}"), want: good},
		{name: "minio", obj: simple("minio.min.io/v2", "Tenant", "status: {currentState: Initialized}"), want: good},
		{name: "minio waits", obj: simple("minio.min.io/v2", "Tenant", "status: {currentState: Waiting for pods to be ready}"), want: moving},
		{name: "operator subscription", obj: simple("operators.coreos.com/v1alpha1", "Subscription", "status: {state: AtLatestKnown}"), want: good},
		{name: "operator subscription unresolved", obj: simple("operators.coreos.com/v1alpha1", "Subscription", "status: {conditions: [{type: ResolutionFailed, status: 'True', reason: ConstraintsNotSatisfiable}]}"), want: bad},
		{name: "operator subscription for a person", obj: simple("operators.coreos.com/v1alpha1", "Subscription", "status: {state: UpgradePending, conditions: [{type: InstallPlanPending, status: 'True', reason: RequiresApproval}]}"), want: stopped},
		{name: "openshift route", obj: simple("route.openshift.io/v1", "Route", "status: {ingress: [{routerName: default, conditions: [{type: Admitted, status: 'False', reason: HostAlreadyClaimed}]}]}"), want: bad, reason: "HostAlreadyClaimed"},
		{name: "deployment config", obj: simple("apps.openshift.io/v1", "DeploymentConfig", "spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2, availableReplicas: 1}"), want: moving},
		{name: "deployment config failed", obj: simple("apps.openshift.io/v1", "DeploymentConfig", "spec: {replicas: 2}, status: {conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}"), want: bad},
		{name: "clone set of a partition", obj: simple("apps.kruise.io/v1alpha1", "CloneSet", "spec: {replicas: 4, updateStrategy: {partition: 3}}, status: {replicas: 4, updatedReplicas: 1, availableReplicas: 4}"), want: good, reason: "Partitioned"},
		{name: "clone set paused", obj: simple("apps.kruise.io/v1alpha1", "CloneSet", "spec: {updateStrategy: {paused: true}}"), want: stopped},
		{name: "mongodb", obj: simple("psmdb.percona.com/v1", "PerconaServerMongoDB", "status: {state: ready}"), want: good},
		{name: "mysql paused", obj: simple("pxc.percona.com/v1", "PerconaXtraDBCluster", "status: {state: paused}"), want: stopped},
		{name: "rabbitmq starting", obj: simple("rabbitmq.com/v1beta1", "RabbitmqCluster", "status: {conditions: [{type: AllReplicasReady, status: 'False', reason: NotAllPodsReady, lastTransitionTime: '2026-11-20T11:55:00Z'}]}"), want: moving},
		{name: "spark", obj: simple("sparkoperator.k8s.io/v1beta2", "SparkApplication", "status: {applicationState: {state: SUBMISSION_FAILED, errorMessage: no image}}"), want: bad, reason: "SubmissionFailed"},
		{name: "task run", obj: simple("tekton.dev/v1", "TaskRun", "status: {conditions: [{type: Succeeded, status: 'False', reason: Failed}]}"), want: bad},
		{name: "backup", obj: simple("velero.io/v1", "Backup", "status: {phase: PartiallyFailed}"), want: bad},
		{name: "schedule paused", obj: simple("velero.io/v1", "Schedule", "spec: {paused: true}, status: {phase: Enabled}"), want: stopped},
		{name: "kyverno policy", obj: simple("policies.kyverno.io/v1", "ValidatingPolicy", "status: {conditionStatus: {ready: false, conditions: [{type: RBACPermissionsGranted, status: 'False', reason: Failed}]}}"), want: bad},
		{name: "numaflow", obj: simple("numaflow.numaproj.io/v1alpha1", "Pipeline", "status: {phase: Running, conditions: [{type: VerticesHealthy, status: 'False', reason: PodsCrashed}]}"), want: bad, reason: "PodsCrashed"},
		{name: "collector", obj: simple("opentelemetry.io/v1beta1", "OpenTelemetryCollector", "status: {scale: {statusReplicas: 1/3}, version: v}"), want: moving},
		{name: "collector of a sidecar", obj: simple("opentelemetry.io/v1beta1", "OpenTelemetryCollector", "status: {version: v}"), want: silence},
		{name: "rabbitmq at rest", why: "somebody scaled it to zero", obj: simple("rabbitmq.com/v1beta1", "RabbitmqCluster", "status: {conditions: [{type: AllReplicasReady, status: 'False', reason: ScaledToZero, "+anHourAgo+"}]}"), want: stopped},
		{name: "connector with a failed task", why: "it goes on running", obj: simple("platform.confluent.io/v1beta1", "Connector", "status: {connectorState: RUNNING, failedTasksCount: 1}"), want: bad},
		{name: "connector", obj: simple("platform.confluent.io/v1beta1", "Connector", "status: {connectorState: RUNNING}"), want: good},
		{name: "binding of an unhealthy deployment", why: "it was applied all the same", obj: simple("work.karmada.io/v1alpha2", "ResourceBinding", "status: {conditions: [{type: FullyApplied, status: 'True'}], aggregatedStatus: [{clusterName: a, health: Healthy}, {clusterName: b, health: Unhealthy}]}"), want: bad},
		{name: "binding", obj: simple("work.karmada.io/v1alpha2", "ResourceBinding", "status: {conditions: [{type: FullyApplied, status: 'True'}], aggregatedStatus: [{health: Healthy}]}"), want: good},
		{name: "step for a person", obj: simple("rollouts.kruise.io/v1beta1", "Rollout", "status: {phase: Progressing, canaryStatus: {currentStepState: StepPaused}}"), want: stopped},
		{name: "switched off half-way", obj: simple("rollouts.kruise.io/v1beta1", "Rollout", "status: {phase: Disabled, canaryStatus: {currentStepState: StepPaused}}"), want: bad},
		{name: "switched off", obj: simple("rollouts.kruise.io/v1beta1", "Rollout", "status: {phase: Disabled}"), want: good},
		{name: "policy that is broken", obj: simple("policy.open-cluster-management.io/v1", "Policy", "status: {compliant: NonCompliant}"), want: bad},
		{name: "policy for no cluster", why: "nothing will ever report", obj: simple("policy.open-cluster-management.io/v1", "Policy", "status: {placement: [{placement: p}]}"), want: good},
		{name: "policy switched off", obj: simple("policy.open-cluster-management.io/v1", "Policy", "spec: {disabled: true}"), want: stopped},
		{name: "migration", obj: simple("db.atlasgo.io/v1alpha1", "AtlasMigration", "status: {conditions: [{type: Ready, status: 'False', reason: Migrating, "+anHourAgo+"}]}"), want: bad},
		{name: "migration at work", obj: simple("db.atlasgo.io/v1alpha1", "AtlasMigration", "status: {conditions: [{type: Ready, status: 'False', reason: Reconciling, "+anHourAgo+"}]}"), want: moving},
		{name: "a condition whose status is no text", obj: simple("promoter.argoproj.io/v1alpha1", "PullRequest", "status: {conditions: [{type: Ready, status: true}]}"), want: good},
		{name: "log repository", obj: simple("core.humio.com/v1alpha1", "HumioRepository", "status: {state: ConfigError}"), want: bad},
		{name: "source for no instance", obj: simple("grafana.integreatly.org/v1beta1", "GrafanaDatasource", "status: {hash: x, NoMatchingInstances: true}"), want: bad},
		{name: "search without a node", obj: simple("elasticsearch.k8s.elastic.co/v1", "Elasticsearch", "spec: {nodeSets: [{count: 2}, {count: 1}]}, status: {health: green, phase: Ready, availableNodes: 2}"), want: moving},
		{name: "search", obj: simple("elasticsearch.k8s.elastic.co/v1", "Elasticsearch", "spec: {nodeSets: [{count: 2}, {count: 1}]}, status: {health: green, phase: Ready, availableNodes: 3}"), want: good},
		{name: "inference of the model before", why: "the new one does not load", obj: simple("serving.kserve.io/v1beta1", "InferenceService", "status: {conditions: [{type: Ready, status: 'True'}], modelStatus: {transitionStatus: BlockedByFailedLoad, lastFailureInfo: {message: no such file}}}"), want: bad, reason: "BlockedByFailedLoad"},
		{name: "inference stopped by its reason", obj: simple("serving.kserve.io/v1beta1", "LLMInferenceService", "status: {conditions: [{type: Ready, status: 'False', reason: Stopped, "+anHourAgo+"}]}"), want: stopped},
		{name: "inference stopped", obj: simple("serving.kserve.io/v1beta1", "InferenceService", "status: {conditions: [{type: Ready, status: 'False'}, {type: Stopped, status: 'True'}]}"), want: stopped},
	})
}

func TestAssessOthersMore(t *testing.T) {
	runVerdicts(t, []verdict{
		{name: "flux oci repository", why: "Flux never writes a status of it: Progressing would hold a promotion for ever", obj: simple("source.toolkit.fluxcd.io/v1", "HelmRepository", "spec: {type: oci}"), want: silence},
		{name: "crossplane paused", obj: simple("s3.aws.upbound.io/v1beta1", "Bucket", "status: {conditions: [{type: Ready, status: 'True'}, {type: Synced, status: 'False', reason: ReconcilePaused}]}"), want: stopped},
		{name: "crossplane image config", obj: simple("pkg.crossplane.io/v1beta1", "ImageConfig", "spec: {}"), want: silence},
		{name: "crossplane revision", obj: simple("pkg.crossplane.io/v1", "ProviderRevision", "status: {conditions: [{type: RevisionHealthy, status: 'True'}]}"), want: good},
		{name: "application set rolling", obj: simple("argoproj.io/v1alpha1", "ApplicationSet", "status: {conditions: [{type: ResourcesUpToDate, status: 'True'}, {type: RolloutProgressing, status: 'True', reason: ApplicationSetModified}]}"), want: moving},
		{name: "scaled object on its fallback", obj: simple("keda.sh/v1alpha1", "ScaledObject", "status: {conditions: [{type: Ready, status: 'True'}, {type: Fallback, status: 'True', "+anHourAgo+"}]}"), want: bad},
		{name: "trigger authentication", obj: simple("keda.sh/v1alpha1", "TriggerAuthentication", "spec: {}"), want: silence},
		{name: "prometheus starting", why: "no pod is ready in its first minutes", obj: simple("monitoring.coreos.com/v1", "Prometheus", "status: {conditions: [{type: Available, status: 'False', reason: NoPodReady, lastTransitionTime: '2026-11-20T11:58:00Z'}]}"), want: moving},
		{name: "prometheus down", obj: simple("monitoring.coreos.com/v1", "Prometheus", "status: {conditions: [{type: Available, status: 'False', reason: NoPodReady, "+anHourAgo+"}]}"), want: bad},
		{name: "knative operator installing", obj: simple("operator.knative.dev/v1beta1", "KnativeServing", "status: {conditions: [{type: Ready, status: 'False', reason: NotReady, lastTransitionTime: '2026-11-20T11:58:00Z'}]}"), want: moving},
		{name: "database cluster left alone", obj: "{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: x, annotations: {cnpg.io/reconciliationLoop: disabled}}, status: {conditions: [{type: Ready, status: 'True'}]}}", want: stopped},
		{name: "database not made", obj: simple("postgresql.cnpg.io/v1", "Database", "status: {applied: false, message: no such role}"), want: bad},
		{name: "machines scaling", obj: simple("cluster.x-k8s.io/v1beta1", "MachineDeployment", "status: {phase: ScalingUp}"), want: moving},
		{name: "cluster with an error", obj: simple("cluster.x-k8s.io/v1beta1", "Cluster", "status: {phase: Provisioning, conditions: [{type: Ready, status: 'False', severity: Error, reason: QuotaExceeded, "+anHourAgo+"}]}"), want: bad, reason: "QuotaExceeded"},
		{name: "cluster waiting", obj: simple("cluster.x-k8s.io/v1beta1", "Cluster", "status: {phase: Provisioning, conditions: [{type: Ready, status: 'False', severity: Info, reason: WaitingForMachines, "+anHourAgo+"}]}"), want: moving},
		{name: "definition with a bad bundle", obj: simple("apiextensions.k8s.io/v1", "CustomResourceDefinition", "status: {conditions: [{type: NamesAccepted, status: 'True'}, {type: Established, status: 'False', reason: InvalidCABundle}]}"), want: bad},
		{name: "stateful set of one revision", why: "an API server that omits updatedReplicas has nothing to wait for", obj: set("updateStrategy: {type: OnDelete}", "replicas: 3, readyReplicas: 3, currentReplicas: 3, currentRevision: a, updateRevision: a"), want: good},
		{
			name: "route with a parent it left", why: "nobody takes that entry away",
			obj: simple("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {parentRefs: [{name: new}]}, status: {parents: [{parentRef: {name: old}, conditions: [{type: Accepted, status: 'False', reason: NoMatchingParent}]}, {parentRef: {name: new}, conditions: [{type: Accepted, status: 'True'}]}]}"), want: good,
		},
		{
			name: "route with an entry its controller did not write again",
			obj:  generation2("gateway.networking.k8s.io/v1", "GRPCRoute", "status: {parents: [{controllerName: c, parentRef: {name: a}, conditions: [{type: Accepted, status: 'False', reason: No, observedGeneration: 1}]}, {controllerName: c, parentRef: {name: b}, conditions: [{type: Accepted, status: 'True', observedGeneration: 2}]}]}"), want: good,
		},
		{name: "gateway being programmed", why: "a load balancer takes minutes", obj: simple("gateway.networking.k8s.io/v1", "Gateway", "status: {conditions: [{type: Accepted, status: 'True'}, {type: Programmed, status: 'False', reason: Invalid, lastTransitionTime: '2026-11-20T11:55:00Z'}]}"), want: moving},
	})
}
