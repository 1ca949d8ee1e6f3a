package health

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func generation2(version, kind, rest string) string {
	return "{apiVersion: " + version + ", kind: " + kind + ", metadata: {name: x, generation: 2}, " + rest + "}"
}

func TestAssessOthers(t *testing.T) {
	const (
		none        = v1alpha1.HealthStatus("")
		isHealthy   = v1alpha1.HealthHealthy
		isMoving    = v1alpha1.HealthProgressing
		isDegraded  = v1alpha1.HealthDegraded
		isSuspended = v1alpha1.HealthSuspended
		isUnknown   = v1alpha1.HealthUnknown
		long        = "lastTransitionTime: '2026-11-20T11:00:00Z'"
		fresh       = "lastTransitionTime: '2026-11-20T11:59:30Z'"
	)
	tests := []struct {
		name, why string
		obj       string
		want      v1alpha1.HealthStatus
		reason    string
		recheck   time.Time
	}{
		{name: "certificate", obj: simple("cert-manager.io/v1", "Certificate", "status: {conditions: [{type: Ready, status: 'True'}]}"), want: isHealthy},
		{name: "certificate being issued", why: "Ready is False until the first one is there", obj: simple("cert-manager.io/v1", "Certificate", "status: {conditions: [{type: Ready, status: 'False', reason: DoesNotExist}, {type: Issuing, status: 'True', reason: DoesNotExist}]}"), want: isMoving},
		{name: "certificate expired", obj: simple("cert-manager.io/v1", "Certificate", "status: {conditions: [{type: Ready, status: 'False', reason: Expired, "+long+"}]}"), want: isDegraded, reason: "Expired"},
		{name: "certificate not issuing yet", why: "the controller writes Ready before Issuing", obj: simple("cert-manager.io/v1", "Certificate", "status: {conditions: [{type: Ready, status: 'False', reason: DoesNotExist, "+fresh+"}]}"), want: isMoving, recheck: noon.Add(30 * time.Second)},
		{name: "certificate without status", obj: simple("cert-manager.io/v1", "Certificate", "spec: {}"), want: isMoving},
		{name: "certificate of a newer generation", obj: generation2("cert-manager.io/v1", "Certificate", "status: {conditions: [{type: Ready, status: 'True', observedGeneration: 1}]}"), want: isMoving, reason: "NotObserved"},
		{name: "issuer", obj: simple("cert-manager.io/v1", "ClusterIssuer", "status: {conditions: [{type: Ready, status: 'True'}]}"), want: isHealthy},
		{name: "issuer failing", obj: simple("cert-manager.io/v1", "Issuer", "status: {conditions: [{type: Ready, status: 'False', reason: ErrRegisterACMEAccount}]}"), want: isDegraded},
		{name: "request pending", obj: simple("cert-manager.io/v1", "CertificateRequest", "status: {conditions: [{type: Ready, status: 'False', reason: Pending}]}"), want: isMoving},
		{name: "request denied", obj: simple("cert-manager.io/v1", "CertificateRequest", "status: {conditions: [{type: Denied, status: 'True', reason: Policy}]}"), want: isDegraded},
		{name: "acme order", obj: simple("acme.cert-manager.io/v1", "Order", "status: {state: valid}"), want: isHealthy},
		{name: "acme challenge failed", obj: simple("acme.cert-manager.io/v1", "Challenge", "status: {state: invalid, reason: no such host}"), want: isDegraded},

		{name: "rollout", obj: generation2("argoproj.io/v1alpha1", "Rollout", "status: {observedGeneration: '2', phase: Healthy}"), want: isHealthy},
		{name: "rollout behind", why: "its observedGeneration is text", obj: generation2("argoproj.io/v1alpha1", "Rollout", "status: {observedGeneration: '1', phase: Healthy}"), want: isMoving, reason: "NotObserved"},
		{name: "rollout behind its workload", obj: "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: x, annotations: {rollout.argoproj.io/workload-generation: '5'}}, status: {phase: Healthy, workloadObservedGeneration: '4'}}", want: isMoving},
		{name: "rollout paused", obj: simple("argoproj.io/v1alpha1", "Rollout", "status: {phase: Paused, message: CanaryPauseStep}"), want: isSuspended, reason: "Paused"},
		{name: "rollout aborted", obj: simple("argoproj.io/v1alpha1", "Rollout", "status: {phase: Degraded, abort: true, message: RolloutAborted}"), want: isDegraded, reason: "RolloutAborted"},
		{name: "rollout with an invalid spec", obj: simple("argoproj.io/v1alpha1", "Rollout", "status: {phase: Progressing, conditions: [{type: InvalidSpec, status: 'True', message: no}]}"), want: isDegraded, reason: "InvalidSpec"},
		{name: "rollout of before 1.0", obj: simple("argoproj.io/v1alpha1", "Rollout", "spec: {replicas: 2}, status: {observedGeneration: 6cd5, currentPodHash: b, stableRS: b, updatedReplicas: 2, availableReplicas: 2, conditions: [{type: Available, status: 'True'}]}"), want: isHealthy},
		{name: "rollout of before 1.0 at work", obj: simple("argoproj.io/v1alpha1", "Rollout", "spec: {replicas: 2}, status: {observedGeneration: 6cd5, currentPodHash: b, stableRS: a, updatedReplicas: 2, availableReplicas: 2, conditions: [{type: Available, status: 'True'}]}"), want: isMoving},
		{name: "rollout without a phase", obj: simple("argoproj.io/v1alpha1", "Rollout", "status: {conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}"), want: isDegraded},
		{name: "workflow", obj: simple("argoproj.io/v1alpha1", "Workflow", "status: {phase: Succeeded}"), want: isHealthy},
		{name: "workflow failed", obj: simple("argoproj.io/v1alpha1", "Workflow", "status: {phase: Error}"), want: isDegraded},
		{name: "analysis run", obj: simple("argoproj.io/v1alpha1", "AnalysisRun", "status: {phase: Inconclusive}"), want: isUnknown},
		{name: "argo application", obj: simple("argoproj.io/v1alpha1", "Application", "status: {health: {status: Degraded, message: m}}"), want: isDegraded},
		{name: "argo project", obj: simple("argoproj.io/v1alpha1", "AppProject", "spec: {}"), want: none},
		{name: "child application", obj: simple("waybill.dev/v1alpha1", "Application", "status: {health: {status: Progressing, reason: RollingOut}}"), want: isMoving, reason: "RollingOut"},
		{name: "child application nobody looked at", obj: simple("waybill.dev/v1alpha1", "Application", "spec: {}"), want: isMoving, reason: "NotObserved"},

		{name: "knative service", obj: simple("serving.knative.dev/v1", "Service", "status: {conditions: [{type: Ready, status: 'True'}]}"), want: isHealthy},
		{name: "knative service failed", why: "kstatus says in progress of Ready=False for ever", obj: simple("serving.knative.dev/v1", "Service", "status: {conditions: [{type: Ready, status: 'False', reason: RevisionFailed}]}"), want: isDegraded},
		{name: "knative service starting", obj: simple("serving.knative.dev/v1", "Service", "status: {conditions: [{type: Ready, status: Unknown}]}"), want: isMoving},
		{name: "knative service behind", obj: generation2("serving.knative.dev/v1", "Service", "status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True'}]}"), want: isMoving, reason: "NotObserved"},

		{name: "gateway class", obj: simple("gateway.networking.k8s.io/v1", "GatewayClass", "status: {conditions: [{type: Accepted, status: 'True'}]}"), want: isHealthy},
		{name: "gateway programmed", obj: simple("gateway.networking.k8s.io/v1", "Gateway", "status: {conditions: [{type: Accepted, status: 'True'}, {type: Programmed, status: 'True'}]}"), want: isHealthy},
		{name: "gateway just created", obj: simple("gateway.networking.k8s.io/v1", "Gateway", "status: {conditions: [{type: Accepted, status: Unknown, reason: Pending}, {type: Programmed, status: Unknown, reason: Pending}]}"), want: isMoving},
		{name: "gateway refused", obj: simple("gateway.networking.k8s.io/v1", "Gateway", "status: {conditions: [{type: Accepted, status: 'False', reason: Invalid}]}"), want: isDegraded, reason: "Invalid"},
		{name: "gateway with a bad listener", obj: simple("gateway.networking.k8s.io/v1", "Gateway", "status: {conditions: [{type: Programmed, status: 'True'}], listeners: [{name: https, conditions: [{type: ResolvedRefs, status: 'False', reason: InvalidCertificateRef}]}]}"), want: isDegraded, reason: "InvalidCertificateRef"},
		{name: "route", obj: simple("gateway.networking.k8s.io/v1", "HTTPRoute", "status: {parents: [{parentRef: {name: g}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}]}"), want: isHealthy},
		{name: "route without a parent", obj: simple("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {}"), want: isMoving},
		{name: "route one parent refuses", obj: simple("gateway.networking.k8s.io/v1", "GRPCRoute", "status: {parents: [{parentRef: {name: a}, conditions: [{type: Accepted, status: 'True'}]}, {parentRef: {name: b}, conditions: [{type: Accepted, status: 'False', reason: NotAllowedByListeners}]}]}"), want: isDegraded},
		{name: "route of a newer generation", obj: generation2("gateway.networking.k8s.io/v1", "HTTPRoute", "status: {parents: [{conditions: [{type: Accepted, status: 'True', observedGeneration: 1}]}]}"), want: isMoving, reason: "NotObserved"},

		{name: "external secret", obj: simple("external-secrets.io/v1", "ExternalSecret", "status: {conditions: [{type: Ready, status: 'True', reason: SecretSynced}]}"), want: isHealthy},
		{name: "external secret failing", obj: simple("external-secrets.io/v1", "ExternalSecret", "status: {conditions: [{type: Ready, status: 'False', reason: SecretSyncedError, "+long+"}]}"), want: isDegraded},
		{name: "sealed secret", obj: simple("bitnami.com/v1alpha1", "SealedSecret", "status: {conditions: [{type: Synced, status: 'False', message: no key}]}"), want: isDegraded, reason: "NotSynced"},
		{name: "scaled object paused", obj: simple("keda.sh/v1alpha1", "ScaledObject", "status: {conditions: [{type: Ready, status: 'True'}, {type: Paused, status: 'True'}]}"), want: isSuspended},
		{name: "flux kustomization suspended", obj: simple("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "spec: {suspend: true}"), want: isSuspended},
		{name: "flux kustomization failing", obj: simple("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "status: {conditions: [{type: Ready, status: 'False', reason: BuildFailed, "+long+"}]}"), want: isDegraded},
		{name: "flux release at work", obj: simple("helm.toolkit.fluxcd.io/v2", "HelmRelease", "status: {conditions: [{type: Ready, status: Unknown, reason: Progressing}]}"), want: isMoving},
		{name: "prometheus", obj: simple("monitoring.coreos.com/v1", "Prometheus", "status: {conditions: [{type: Available, status: 'True'}, {type: Reconciled, status: 'True'}]}"), want: isHealthy},
		{name: "prometheus degraded", why: "its condition has a third status", obj: simple("monitoring.coreos.com/v1", "Prometheus", "status: {conditions: [{type: Available, status: Degraded, reason: SomePodsNotReady}]}"), want: isMoving},
		{name: "service monitor", obj: simple("monitoring.coreos.com/v1", "ServiceMonitor", "spec: {}"), want: none},
		{name: "volume snapshot", obj: simple("snapshot.storage.k8s.io/v1", "VolumeSnapshot", "status: {readyToUse: true}"), want: isHealthy},
		{name: "database cluster", obj: simple("postgresql.cnpg.io/v1", "Cluster", "status: {conditions: [{type: Ready, status: 'True'}, {type: ContinuousArchiving, status: 'False', reason: ArchiveFailed}]}"), want: isDegraded},
		{name: "kafka creating", obj: simple("kafka.strimzi.io/v1beta2", "Kafka", "status: {conditions: [{type: NotReady, status: 'True', reason: Creating}]}"), want: isMoving},
		{name: "kafka", obj: simple("kafka.strimzi.io/v1beta2", "Kafka", "status: {conditions: [{type: Ready, status: 'True'}]}"), want: isHealthy},
		{name: "crossplane at work", obj: simple("s3.aws.upbound.io/v1beta1", "Bucket", "status: {conditions: [{type: Synced, status: 'True'}, {type: Ready, status: 'False', reason: Creating}]}"), want: isMoving},
		{name: "crossplane cannot ask", obj: simple("s3.aws.upbound.io/v1beta1", "Bucket", "status: {conditions: [{type: Synced, status: 'False', reason: ReconcileError}]}"), want: isDegraded},
		{name: "crossplane configuration", obj: simple("aws.upbound.io/v1beta1", "ProviderConfig", "status: {users: 3}"), want: none},
		{name: "crossplane provider", obj: simple("pkg.crossplane.io/v1", "Provider", "status: {conditions: [{type: Installed, status: 'True'}, {type: Healthy, status: 'True'}]}"), want: isHealthy},
		{name: "elastic", obj: simple("elasticsearch.k8s.elastic.co/v1", "Elasticsearch", "status: {health: red, phase: Ready}"), want: isDegraded},
		{name: "istio without status", obj: simple("networking.istio.io/v1", "VirtualService", "spec: {}"), want: none},
		{name: "job set", obj: simple("jobset.x-k8s.io/v1alpha2", "JobSet", "status: {conditions: [{type: Completed, status: 'True'}]}"), want: isHealthy},
		{name: "persistent volume", obj: simple("v1", "PersistentVolume", "status: {phase: Failed}"), want: isDegraded},
		{name: "signing request denied", obj: simple("certificates.k8s.io/v1", "CertificateSigningRequest", "status: {conditions: [{type: Denied, status: 'True'}]}"), want: isDegraded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Assess(object(t, tt.obj), noon)
			if got.Status != tt.want || tt.reason != "" && got.Reason != tt.reason {
				t.Errorf("= %+v, want %q %q (%s)", got, tt.want, tt.reason, tt.why)
			}
			if !got.Recheck.Equal(tt.recheck) {
				t.Errorf("recheck %v, want %v", got.Recheck, tt.recheck)
			}
			if got.Counts() && got.Reason == "" {
				t.Error("a status without a reason")
			}
		})
	}
}
