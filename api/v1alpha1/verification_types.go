package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Verification proves what a promotion brought, once the Stage is Healthy with
// it. Freight counts as verified in the Stage when every check has succeeded.
type Verification struct {
	// parallel begins all checks at once. Otherwise they run in order, and the
	// first that does not succeed ends the verification.
	// +optional
	Parallel bool `json:"parallel,omitempty"`
	// args are named values for the checks: ${{ args.NAME }}. A value may hold
	// expressions over ctx and the Freight.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Args []CheckArgument `json:"args,omitempty"`
	// checks to run.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Checks []Check `json:"checks"`
}

// CheckArgument is a named value.
type CheckArgument struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	Name string `json:"name"`
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
}

// CheckKind names what a check does.
// +kubebuilder:validation:Enum=wait;http;job;prometheus
type CheckKind string

// The kinds of checks.
const (
	CheckWait       CheckKind = "wait"
	CheckHTTP       CheckKind = "http"
	CheckJob        CheckKind = "job"
	CheckPrometheus CheckKind = "prometheus"
)

// Check is one proof.
// +kubebuilder:validation:XValidation:rule="(has(self.wait) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.job) ? 1 : 0) + (has(self.prometheus) ? 1 : 0) == 1",message="set exactly one of wait, http, job and prometheus"
type Check struct {
	// name of the check, one per Stage.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// wait succeeds when the Stage stayed Healthy for a time.
	// +optional
	Wait *WaitCheck `json:"wait,omitempty"`
	// http asks a server.
	// +optional
	HTTP *HTTPCheck `json:"http,omitempty"`
	// job runs a container in the Stage's cluster and namespace.
	// +optional
	Job *JobCheck `json:"job,omitempty"`
	// prometheus asks a Prometheus server.
	// +optional
	Prometheus *PrometheusCheck `json:"prometheus,omitempty"`
}

// Kind returns which of the kinds the check is.
func (c *Check) Kind() CheckKind {
	switch {
	case c.Wait != nil:
		return CheckWait
	case c.HTTP != nil:
		return CheckHTTP
	case c.Job != nil:
		return CheckJob
	default:
		return CheckPrometheus
	}
}

// WaitCheck waits.
type WaitCheck struct {
	// for this long the Stage has to stay Healthy without a break.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="for has to be at most 168h (a week)"
	For metav1.Duration `json:"for"`
	// timeout after which the check has failed; default: for and 5 minutes.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Measuring says how often something is measured, and how many bad answers are
// too many. The names and their meaning are those of Argo Rollouts' analysis.
type Measuring struct {
	// initialDelay before the first measurement.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="initialDelay has to be at most 24h"
	InitialDelay *metav1.Duration `json:"initialDelay,omitempty"`
	// interval between two measurements.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('24h')",message="interval has to be between 100ms and 24h"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// count of measurements.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Count int32 `json:"count,omitempty"`
	// failureLimit is how many measurements may fail.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	FailureLimit int32 `json:"failureLimit,omitempty"`
	// inconclusiveLimit is how many measurements may be neither a success nor a
	// failure.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	InconclusiveLimit int32 `json:"inconclusiveLimit,omitempty"`
	// consecutiveErrorLimit is how many measurements in a row may not come about:
	// the server cannot be reached, or has no data yet. They do not count as
	// measurements.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	ConsecutiveErrorLimit *int32 `json:"consecutiveErrorLimit,omitempty"`
	// successCondition is an expression that is true when a measurement is good:
	// "result < 0.01". With failureCondition beside it, a measurement for which
	// neither is true is inconclusive.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	SuccessCondition string `json:"successCondition,omitempty"`
	// failureCondition is an expression that is true when it is bad.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	FailureCondition string `json:"failureCondition,omitempty"`
}

// HTTPCheck asks a server. Conditions see response.status, response.headers (by
// their canonical names) and response.body (decoded when it is JSON). Without a
// condition a status of 200 to 299 is a success.
type HTTPCheck struct {
	Measuring `json:",inline"`
	// url, https or http. Addresses that are private need the host in the
	// Project's spec.allowedHosts, and so does http.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
	// method of the request. After a crash a request may be sent again.
	// +optional
	// +kubebuilder:validation:Enum=GET;HEAD;POST
	// +kubebuilder:default=GET
	Method string `json:"method,omitempty"`
	// headers to send. They are no place for secrets: who may read the Stage may
	// read them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Headers []CheckHeader `json:"headers,omitempty"`
	// body to send.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Body string `json:"body,omitempty"`
	// timeout of one request.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('60s')",message="timeout has to be between 0s and 60s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// CheckHeader is a header of a request.
type CheckHeader struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	Name string `json:"name"`
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
}

// PrometheusCheck evaluates a query. Conditions see result, the number that the
// query returned, and results, a list of {labels, value}.
// +kubebuilder:validation:XValidation:rule="has(self.successCondition) && size(self.successCondition) > 0 || has(self.failureCondition) && size(self.failureCondition) > 0",message="set successCondition or failureCondition: result < 0.01"
type PrometheusCheck struct {
	Measuring `json:",inline"`
	// address of the server: https://prometheus.example.com. Addresses that are
	// private need the host in the Project's spec.allowedHosts, and so does http.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Address string `json:"address"`
	// query in PromQL.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query"`
	// timeout of one query.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('60s')",message="timeout has to be between 0s and 60s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// JobCheck runs a Job in the cluster and namespace of a deploy entry. It
// succeeds when the Job completes.
type JobCheck struct {
	// deploy names the deploy entry whose cluster and namespace the Job runs in;
	// default: the first.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Deploy string `json:"deploy,omitempty"`
	// template of the Pod, as in a Job. restartPolicy is Never.
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Template runtime.RawExtension `json:"template"`
	// deadline after which the Job is stopped and the attempt has failed.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="deadline has to be between 1s and 24h"
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// failureLimit is how many Jobs may fail before the check has failed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	FailureLimit int32 `json:"failureLimit,omitempty"`
}

// CheckPhase is where a check is, or a whole verification.
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed;Inconclusive;Aborted;Skipped
type CheckPhase string

// The phases. Inconclusive says that nobody knows: a person decides. Skipped
// checks did not run because one before them did not succeed.
const (
	CheckPending      CheckPhase = "Pending"
	CheckRunning      CheckPhase = "Running"
	CheckSucceeded    CheckPhase = "Succeeded"
	CheckFailed       CheckPhase = "Failed"
	CheckInconclusive CheckPhase = "Inconclusive"
	CheckAborted      CheckPhase = "Aborted"
	CheckSkipped      CheckPhase = "Skipped"
)

// IsFinished reports whether the phase is an end.
func (p CheckPhase) IsFinished() bool { return p != "" && p != CheckPending && p != CheckRunning }

// VerificationStatus is one run of a Stage's checks.
type VerificationStatus struct {
	// run counts the runs of this Promotion; a re-run is the next.
	Run int32 `json:"run"`
	// digest of the checks that this run began with. Other checks begin another.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`
	// phase of the whole.
	Phase CheckPhase `json:"phase"`
	// message in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// requestedBy is who asked for a re-run; empty for what came by itself.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RequestedBy string `json:"requestedBy,omitempty"`
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// interruptedSince is when the Stage began to apply something else; the checks
	// wait then, for rollback.healthTimeout.
	// +optional
	InterruptedSince *metav1.MicroTime `json:"interruptedSince,omitempty"`
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
	// checks in the order of the Stage.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Checks []CheckStatus `json:"checks,omitempty"`
}

// CheckStatus is the progress of one check.
type CheckStatus struct {
	// name of the check.
	Name string `json:"name"`
	// kind of the check.
	Kind CheckKind `json:"kind"`
	// phase of the check.
	Phase CheckPhase `json:"phase"`
	// attempts is how many measurements or Jobs were begun.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// succeeded, failed and inconclusive count the measurements.
	// +optional
	Succeeded int32 `json:"succeeded,omitempty"`
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// +optional
	Inconclusive int32 `json:"inconclusive,omitempty"`
	// errors counts the measurements in a row that did not come about.
	// +optional
	Errors int32 `json:"errors,omitempty"`
	// value measured last, as text.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
	// message in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
	// nextAt is when the check is looked at again.
	// +optional
	NextAt *metav1.MicroTime `json:"nextAt,omitempty"`
	// healthySince is the start of the unbroken Healthy that a wait counts.
	// +optional
	HealthySince *metav1.MicroTime `json:"healthySince,omitempty"`
	// job that this attempt runs; written before it is created.
	// +optional
	Job *CheckJobReference `json:"job,omitempty"`
	// log is the end of what the Job's last attempt wrote, as far as the node
	// gave it.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Log string `json:"log,omitempty"`
}

// CheckJobReference says where a Job is.
type CheckJobReference struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// uid of the Job, once it was created.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
}

// VerifyAction is what a person asks of a verification.
// +kubebuilder:validation:Enum=Run;Abort
type VerifyAction string

// The actions.
const (
	VerifyRun   VerifyAction = "Run"
	VerifyAbort VerifyAction = "Abort"
)

// VerifyRequest asks for another run of the checks, or stops one. It may be
// replaced: runs are counted, and the number never goes down.
type VerifyRequest struct {
	// action: Run begins the run with this number, Abort stops it.
	// +required
	Action VerifyAction `json:"action"`
	// run that is asked for or stopped.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Run int32 `json:"run"`
	// by is the user who asks.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by"`
	// reason for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}
