package health

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// wordRule judges a kind by one word of its status: what the operator calls its state.
type wordRule struct {
	// at is the path of the word below status.
	at string
	// healthy, degraded and suspended are the words that mean so, separated by spaces and without regard to case and
	// underscores. A word that is in none of them is read as phases reads it, and any other is work.
	healthy, degraded, suspended string
	// silent are words that say nothing.
	silent string
	// message is the path below status of the text that explains the word.
	message string
}

// operatorWords are the rules of kinds by their group and kind, or by their group alone.
var operatorWords = map[string]wordRule{
	"acid.zalan.do/postgresql":                              {at: "PostgresClusterStatus", healthy: "Running", degraded: "CreateFailed UpdateFailed SyncFailed AddFailed Invalid"},
	"clickhouse.altinity.com/ClickHouseInstallation":        {at: "status", degraded: "Aborted", message: "error"},
	"clickhouse-keeper.altinity.com":                        {at: "status", degraded: "Aborted", message: "error"},
	"cdi.kubevirt.io/DataVolume":                            {at: "phase", silent: "WaitForFirstConsumer PendingPopulation"},
	"flagger.app/Canary":                                    {at: "phase", healthy: "Initialized Succeeded"},
	"flink.apache.org/FlinkSessionJob":                      {at: "jobStatus.state", healthy: "RUNNING FINISHED", degraded: "FAILED FAILING CANCELED", suspended: "SUSPENDED", message: "error"},
	"kafka.banzaicloud.io/KafkaCluster":                     {at: "state", healthy: "ClusterRunning"},
	"lifecycle.keptn.sh/KeptnTask":                          {at: "status"},
	"lifecycle.keptn.sh/KeptnEvaluation":                    {at: "overallStatus"},
	"lifecycle.keptn.sh/KeptnAppVersion":                    {at: "status"},
	"lifecycle.keptn.sh/KeptnWorkloadVersion":               {at: "status"},
	"lifecycle.keptn.sh/KeptnWorkloadInstance":              {at: "status"},
	"minio.min.io/Tenant":                                   {at: "currentState", healthy: "Initialized", degraded: "StatefulsetNotControlledByOperator AnotherMinIOTenantAlreadyExistsInTheNamespace TenantCredentialsAreNotSetProperly DifferentVersionsAcrossMinIOPools PoolDecommissioningNotAllowed"},
	"networking.gke.io/ManagedCertificate":                  {at: "certificateStatus", degraded: "ProvisioningFailed ProvisioningFailedPermanently RenewalFailed FailedNotVisible"},
	"objectbucket.io":                                       {at: "phase"},
	"operator.victoriametrics.com":                          {at: "updateStatus", healthy: "operational ignored", message: "reason"},
	"operators.coreos.com/ClusterServiceVersion":            {at: "phase", message: "message"},
	"operators.coreos.com/InstallPlan":                      {at: "phase", suspended: "RequiresApproval"},
	"operators.coreos.com/CatalogSource":                    {at: "connectionState.lastObservedState"},
	"sparkoperator.k8s.io/SparkApplication":                 {at: "applicationState.state", healthy: "RUNNING", degraded: "SUBMISSION_FAILED FAILING", message: "applicationState.errorMessage"},
	"sparkoperator.k8s.io/ScheduledSparkApplication":        {at: "scheduleState", healthy: "Scheduled", degraded: "FailedValidation"},
	"tower.ansible.com/AnsibleJob":                          {at: "ansibleJobResult.status", healthy: "successful", degraded: "canceled"},
	"trident.netapp.io/TridentOrchestrator":                 {at: "status"},
	"trident.netapp.io/TridentBackendConfig":                {at: "lastOperationStatus"},
	"velero.io/Backup":                                      {at: "phase", degraded: "FailedValidation WaitingForPluginOperationsPartiallyFailed FinalizingPartiallyFailed", message: "failureReason"},
	"velero.io/Restore":                                     {at: "phase", degraded: "FailedValidation WaitingForPluginOperationsPartiallyFailed FinalizingPartiallyFailed", message: "failureReason"},
	"velero.io/Schedule":                                    {at: "phase", healthy: "Enabled", degraded: "FailedValidation"},
	"velero.io/BackupStorageLocation":                       {at: "phase", degraded: "Unavailable", message: "message"},
	"psmdb.percona.com/PerconaServerMongoDB":                {at: "state", message: "message"},
	"pxc.percona.com/PerconaXtraDBCluster":                  {at: "state", message: "message"},
	"ps.percona.com/PerconaServerMySQL":                     {at: "state", message: "message"},
	"pgv2.percona.com/PerconaPGCluster":                     {at: "state", message: "message"},
	"ceph.rook.io/CephObjectStore":                          {at: "phase", degraded: "Failure"},
	"ceph.rook.io/CephBlockPool":                            {at: "phase", degraded: "Failure"},
	"ceph.rook.io/CephFilesystem":                           {at: "phase", degraded: "Failure"},
	"policy.open-cluster-management.io/ConfigurationPolicy": {at: "compliant", healthy: "Compliant", degraded: "NonCompliant"},
	"policy.open-cluster-management.io/CertificatePolicy":   {at: "compliant", healthy: "Compliant", degraded: "NonCompliant"},
	"policy.open-cluster-management.io/OperatorPolicy":      {at: "compliant", healthy: "Compliant", degraded: "NonCompliant"},
	"apps.kruise.io/BroadcastJob":                           {at: "phase", degraded: "failed"},
	"platform.confluent.io":                                 {at: "phase", healthy: "RUNNING"},
	"core.humio.com":                                        {at: "state", healthy: "Exists Running", degraded: "ConfigError NotFound", message: "message"},
	"iammanager.keikoproj.io/Iamrole":                       {at: "state", degraded: "PolicyNotAllowed RolesMaxLimitReached RoleNameNotAvailable", message: "errorDescription"},
	"jaegertracing.io/Jaeger":                               {at: "phase", healthy: "Running"},
}

// operatorConditions are the rules of kinds whose conditions have names of their own, by group and kind or by group.
var operatorConditions = map[string]conditionRule{
	"addons.cluster.x-k8s.io/ClusterResourceSet": {ready: "ResourcesApplied", grace: startGrace},
	"coralogix.com":                      {ready: "RemoteSynced", grace: startGrace},
	"onepassword.com/OnePasswordItem":    {ready: "Ready", grace: startGrace},
	"projectcontour.io/HTTPProxy":        {ready: "Valid"},
	"projectcontour.io/ExtensionService": {ready: "Valid"},
	"db.atlasgo.io":                      {ready: "Ready", moving: []string{"Reconciling", "GettingDevDB"}, grace: startGrace},
	"rabbitmq.com/RabbitmqCluster":       {ready: "AllReplicasReady", alsoBad: []string{"ReconcileSuccess"}, stopped: []string{"ScaledToZero"}, grace: operatorGrace},
	"tekton.dev/PipelineRun":             {ready: "Succeeded"},
	"tekton.dev/TaskRun":                 {ready: "Succeeded"},
	"tekton.dev/CustomRun":               {ready: "Succeeded"},
	"trust.cert-manager.io/Bundle":       {ready: "Synced", grace: startGrace},
	"kyverno.io/ClusterPolicy":           {ready: "Ready", grace: startGrace},
	"kyverno.io/Policy":                  {ready: "Ready", grace: startGrace},
	"certmanager.k8s.io":                 {ready: "Ready", busy: []string{"Issuing"}, grace: startGrace},
	"karpenter.sh/NodePool":              {ready: "Ready", grace: startGrace},
	"karpenter.k8s.aws":                  {ready: "Ready", grace: startGrace},
	"karpenter.azure.com":                {ready: "Ready", grace: startGrace},
	"camel.apache.org":                   {ready: "Ready", grace: startGrace},
	"capsule.clastix.io":                 {ready: "Ready", paused: []string{"Cordoned"}, grace: startGrace},
	"promoter.argoproj.io":               {ready: "Ready", grace: startGrace},
}

// operatorGrace is how long an operator may say that what it runs is not there: its pods pull images and read their
// logs of writes before they are ready.
const operatorGrace = 10 * time.Minute

// operatorKind returns the rule of a kind in the tables above, or of an operator that has a rule written out; nil when
// there is none.
func operatorKind(group, kind string) rule {
	switch {
	case group == "ceph.rook.io" && kind == "CephCluster":
		return timeless(cephCluster)
	case group == "flink.apache.org" && kind == "FlinkDeployment":
		return timeless(flinkDeployment)
	case group == "operators.coreos.com" && kind == "Subscription":
		return timeless(subscription)
	case group == "route.openshift.io" && kind == "Route":
		return timeless(openShiftRoute)
	case group == "apps.openshift.io" && kind == "DeploymentConfig", group == "apps.kruise.io" && (kind == "CloneSet" || kind == "StatefulSet"):
		return timeless(likeDeployment)
	case group == "apps.kruise.io" && kind == "DaemonSet":
		return timeless(kruiseDaemonSet)
	case group == "kubevirt.io" && (kind == "VirtualMachine" || kind == "VirtualMachineInstance"):
		return timeless(virtualMachine)
	case group == "solr.apache.org" && kind == "SolrCloud", group == "zookeeper.pravega.io", group == "opentelemetry.io" && kind == "OpenTelemetryCollector":
		return timeless(byReplicas)
	case group == "gateway.envoyproxy.io" && strings.HasSuffix(kind, "Policy"):
		return policyOfRoutes
	case group == "gateway.solo.io", group == "gloo.solo.io":
		return timeless(glooKind)
	case group == "grafana.integreatly.org":
		return grafanaKind
	case group == "policy.open-cluster-management.io" && kind == "Policy":
		return timeless(clusterPolicy)
	case group == "work.karmada.io" && strings.HasSuffix(kind, "Binding"):
		return karmadaBinding
	case group == "platform.confluent.io" && kind == "Connector":
		return timeless(confluentConnector)
	case group == "serving.kserve.io":
		return kserveKind
	case group == "rollouts.kruise.io" && kind == "Rollout":
		return timeless(kruiseRollout)
	case group == "policies.kyverno.io":
		return timeless(kyvernoPolicy)
	case group == "numaflow.numaproj.io", group == "numaplane.numaproj.io":
		return timeless(numaKind)
	}
	for _, name := range []string{group + "/" + kind, group} {
		if r, ok := operatorWords[name]; ok {
			return timeless(r.assess)
		}
		if r, ok := operatorConditions[name]; ok {
			return r.assess
		}
	}
	return nil
}

// assess is the rule.
func (r wordRule) assess(obj *unstructured.Unstructured) Result {
	if isBehind(obj) {
		return notObserved()
	}
	if flag(obj, "spec", "suspend") || flag(obj, "spec", "paused") {
		return suspended("Paused", "is paused: its operator leaves it alone")
	}
	path := append([]string{"status"}, strings.Split(r.at, ".")...)
	word := text(obj, path...)
	if word == "" {
		if problem := text(obj, "status", "error"); problem != "" {
			return degraded("Error", quote(problem))
		}
		return unreported()
	}
	var message string
	if r.message != "" {
		message = quote(text(obj, append([]string{"status"}, strings.Split(r.message, ".")...)...))
	}
	reason := or(camelCase(word), "Unnamed")
	switch {
	case oneOf(r.silent, word):
		return Result{}
	case oneOf(r.healthy, word):
		return healthy(reason, message)
	case oneOf(r.degraded, word):
		return degraded(reason, message)
	case oneOf(r.suspended, word):
		return suspended(reason, or(message, "is stopped"))
	}
	if verdict := readPhase(obj, path...); verdict.Counts() {
		verdict.Message = or(message, verdict.Message)
		return verdict
	}
	return progressing(reason, message)
}

// oneOf says whether word is among words, without regard to case and underscores.
func oneOf(words, word string) bool {
	return slices.ContainsFunc(strings.Fields(words), func(w string) bool { return plainWord(w) == plainWord(word) })
}
