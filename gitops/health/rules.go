package health

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rule judges the objects of one kind.
type rule func(obj *unstructured.Unstructured, now time.Time) Result

// timeless is a rule that does not look at the clock.
func timeless(judge func(*unstructured.Unstructured) Result) rule {
	return func(obj *unstructured.Unstructured, _ time.Time) Result { return judge(obj) }
}

// silent is the rule of kinds that say nothing about their health although they may have a status.
func silent(*unstructured.Unstructured, time.Time) Result { return Result{} }

// ruleFor returns the rule of a kind; nil when it has none, and its conditions are read by convention.
func ruleFor(group, kind string) rule {
	if r, ok := builtIn(group, kind); ok {
		return r
	}
	return ofOthers(group, kind)
}

// builtIn returns the rule of a kind of Kubernetes itself. ok is false for the groups of others. The kinds of the
// groups named here that have no rule of their own have no health: a status of theirs is bookkeeping.
func builtIn(group, kind string) (r rule, ok bool) {
	switch group {
	case "apps":
		switch kind {
		case "Deployment":
			return deployment, true
		case "ReplicaSet":
			return timeless(replicaSet), true
		case "StatefulSet":
			return timeless(statefulSet), true
		case "DaemonSet":
			return timeless(daemonSet), true
		}
	case "batch":
		switch kind {
		case "Job":
			return timeless(job), true
		case "CronJob":
			return timeless(cronJob), true
		}
	case "":
		switch kind {
		case "Pod":
			return pod, true
		case "Service":
			return timeless(service), true
		case "PersistentVolumeClaim":
			return timeless(claim), true
		case "PersistentVolume":
			return timeless(volume), true
		case "Namespace":
			return timeless(namespace), true
		case "ReplicationController":
			return timeless(replicaSet), true
		}
	case "networking.k8s.io", "extensions":
		if kind == "Ingress" {
			return timeless(ingress), true
		}
	case "autoscaling":
		if kind == "HorizontalPodAutoscaler" {
			return autoscaler, true
		}
	case "policy":
		if kind == "PodDisruptionBudget" {
			return timeless(disruptionBudget), true
		}
	case "apiextensions.k8s.io":
		if kind == "CustomResourceDefinition" {
			return timeless(customResourceDefinition), true
		}
	case "apiregistration.k8s.io":
		if kind == "APIService" {
			return apiService, true
		}
	case "certificates.k8s.io":
		if kind == "CertificateSigningRequest" {
			return timeless(signingRequest), true
		}
	case "flowcontrol.apiserver.k8s.io":
		if kind == "FlowSchema" {
			return conditionRule{bad: []string{"Dangling"}, fine: true}.assess, true
		}
	case "rbac.authorization.k8s.io", "admissionregistration.k8s.io", "storage.k8s.io", "scheduling.k8s.io",
		"coordination.k8s.io", "discovery.k8s.io", "node.k8s.io", "events.k8s.io":
	default:
		return nil, false
	}
	return silent, true
}

// ofOthers returns the rule of a kind that is not Kubernetes' own, or nil.
func ofOthers(group, kind string) rule {
	switch group {
	case "waybill.dev":
		return waybillKind(kind)
	case "argoproj.io":
		return argoKind(kind)
	case "cert-manager.io", "acme.cert-manager.io":
		return certificateKind(kind)
	case "serving.knative.dev", "eventing.knative.dev", "messaging.knative.dev", "sources.knative.dev", "flows.knative.dev":
		return conditionRule{ready: "Ready", grace: startGrace}.assess
	case "operator.knative.dev": // says False while the pods it installs start
		return conditionRule{ready: "Ready", grace: operatorGrace}.assess
	case "gateway.networking.k8s.io":
		return gatewayKind(kind)
	case "external-secrets.io", "generators.external-secrets.io":
		return externalSecret
	case "bitnami.com":
		return conditionRule{ready: "Synced", grace: startGrace}.assess
	case "keda.sh":
		if kind == "TriggerAuthentication" || kind == "ClusterTriggerAuthentication" {
			return silent
		}
		// Fallback: a trigger cannot be read, and a fixed number of replicas runs instead.
		return conditionRule{ready: "Ready", bad: []string{"Fallback"}, paused: []string{"Paused"}, grace: startGrace}.assess
	case "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "source.toolkit.fluxcd.io", "image.toolkit.fluxcd.io", "notification.toolkit.fluxcd.io":
		return fluxKind
	case "monitoring.coreos.com":
		if kind == "Prometheus" || kind == "PrometheusAgent" || kind == "Alertmanager" || kind == "ThanosRuler" {
			// False while the first pods start; a write-ahead log takes minutes to read.
			return conditionRule{ready: "Available", alsoBad: []string{"Reconciled"}, grace: operatorGrace}.assess
		}
		return silent
	case "snapshot.storage.k8s.io":
		if kind == "VolumeSnapshot" || kind == "VolumeSnapshotContent" {
			return timeless(snapshot)
		}
		return silent
	case "postgresql.cnpg.io":
		return databaseCluster
	case "kafka.strimzi.io", "core.strimzi.io":
		return strimziKind
	case "jobset.x-k8s.io":
		return conditionRule{ready: "Completed", bad: []string{"Failed"}, paused: []string{"Suspended"}}.assess
	case "cluster.x-k8s.io", "bootstrap.cluster.x-k8s.io", "infrastructure.cluster.x-k8s.io", "controlplane.cluster.x-k8s.io":
		return machineKind
	case "pkg.crossplane.io":
		return crossplanePackage(kind)
	case "apiextensions.crossplane.io":
		return crossplaneDefinition(kind)
	}
	switch {
	case strings.HasSuffix(group, ".crossplane.io"), strings.HasSuffix(group, ".upbound.io"):
		return crossplaneKind(kind)
	case strings.HasSuffix(group, ".k8s.elastic.co"):
		return timeless(elasticKind)
	case strings.HasSuffix(group, ".istio.io"):
		return conditionRule{alsoBad: []string{"Reconciled"}, fine: true, quiet: true}.assess
	}
	return operatorKind(group, kind)
}

// startGrace is how long a controller may say "not ready" of an object it has only begun with, before that counts as
// failed.
const startGrace = time.Minute

// conditionRule judges a kind by its status.conditions.
type conditionRule struct {
	// ready is the condition that says whether the object works. True is Healthy, False is Degraded, anything else
	// Progressing. Empty: no condition says so.
	ready string
	// moving are reasons of a False ready condition that mean work, not failure.
	moving []string
	// stopped are reasons of a False ready condition that mean a stop on purpose.
	stopped []string
	// bad are conditions that mean failure when they are True, alsoBad those that do when they are False.
	bad, alsoBad []string
	// busy are conditions that mean work when they are True, paused those that mean a stop on purpose.
	busy, paused []string
	// grace is how long a condition may say failure before it is believed. Objects without times have none.
	grace time.Duration
	// fine says that an object without a condition of these is Healthy; quiet that it has no health when it has no
	// conditions at all.
	fine, quiet bool
}

// assess is the rule.
func (r conditionRule) assess(obj *unstructured.Unstructured, now time.Time) Result {
	if isBehind(obj) {
		return notObserved()
	}
	conditions := conditionsOf(obj)
	if r.quiet && len(conditions) == 0 {
		return Result{}
	}
	for _, kind := range r.paused {
		if c := find(conditions, kind); c.is("True") {
			return suspended(or(c.Reason, kind), or(quote(c.Message), "is paused"))
		}
	}
	for _, kind := range r.busy {
		if c := find(conditions, kind); c.is("True") {
			return progressing(or(c.Reason, kind), quote(c.Message))
		}
	}
	for _, kind := range r.bad {
		if c := find(conditions, kind); c.is("True") {
			return r.failed(c, now)
		}
	}
	for _, kind := range r.alsoBad {
		if c := find(conditions, kind); c.is("False") {
			return r.failed(c, now)
		}
	}
	if r.ready == "" {
		if r.fine || len(conditions) > 0 {
			return healthy("Ready", "")
		}
		return unreported()
	}
	c := find(conditions, r.ready)
	switch {
	case c.Type == "" && r.fine:
		return healthy("Ready", "")
	case c.Type == "":
		return unreported()
	case isStale(c, obj):
		return notObserved()
	case c.is("True"):
		return healthy(or(c.Reason, c.Type), quote(c.Message))
	case !c.is("False") && !namesFailure(c.Reason):
		return progressing(or(c.Reason, "Not"+c.Type), quote(c.Message))
	}
	switch {
	case slices.Contains(r.moving, c.Reason):
		return progressing(c.Reason, quote(c.Message))
	case slices.Contains(r.stopped, c.Reason):
		return suspended(c.Reason, or(quote(c.Message), "is stopped"))
	}
	return r.failed(c, now)
}

// failed is the verdict on a condition that says failure.
func (r conditionRule) failed(c condition, now time.Time) Result {
	reason := c.Reason
	if reason == "" {
		if reason = c.Type; c.is("False") {
			reason = "Not" + c.Type
		}
	}
	if r.grace > 0 && !c.Since.IsZero() {
		return progressing(reason, quote(c.Message)).degradedFrom(c.Since.Add(r.grace), now, reason)
	}
	return degraded(reason, quote(c.Message))
}

// unreported is the verdict on an object whose controller has written nothing yet.
func unreported() Result {
	return progressing(reasonNotObserved, "its controller has not reported yet")
}

// isBehind says that the object's controller counts generations and has not seen the latest one.
func isBehind(obj *unstructured.Unstructured) bool {
	seen := number(obj, -1, "status", "observedGeneration")
	return seen >= 0 && seen < obj.GetGeneration()
}

// isStale says that a condition is about a generation before the latest one.
func isStale(c condition, obj *unstructured.Unstructured) bool {
	return c.ObservedGeneration > 0 && c.ObservedGeneration < obj.GetGeneration()
}
