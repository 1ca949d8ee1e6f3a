package health

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// crossplaneKind judges managed and composite resources. Ready is False for as long as the cloud works; Synced says
// whether Crossplane could ask for it at all.
func crossplaneKind(kind string) rule {
	switch kind {
	case "ProviderConfig", "ProviderConfigUsage", "ClusterProviderConfig", "ClusterProviderConfigUsage", "StoreConfig", "EnvironmentConfig", "Usage", "ClusterUsage":
		return silent
	default:
		return crossplaneResource
	}
}

// crossplaneResource judges a managed or composite resource.
func crossplaneResource(obj *unstructured.Unstructured, now time.Time) Result {
	if c := find(conditionsOf(obj), "Synced"); c.is("False") && c.Reason == "ReconcilePaused" || obj.GetAnnotations()["crossplane.io/paused"] == "true" {
		return suspended("ReconcilePaused", "is paused: Crossplane leaves it alone")
	}
	return conditionRule{
		ready: "Ready", alsoBad: []string{"Synced", "LastAsyncOperation"}, grace: startGrace,
		moving: []string{"Creating", "Unavailable", "Waiting"},
	}.assess(obj, now)
}

// crossplanePackage judges providers, functions and configurations, and their revisions, whose condition is called
// otherwise since Crossplane 2. What only configures them has no health.
func crossplanePackage(kind string) rule {
	switch kind {
	case "Provider", "Function", "Configuration":
		return conditionRule{ready: "Healthy", alsoBad: []string{"Installed"}, grace: startGrace}.assess
	case "ProviderRevision", "FunctionRevision", "ConfigurationRevision":
		return func(obj *unstructured.Unstructured, now time.Time) Result {
			ready := "Healthy"
			if find(conditionsOf(obj), "RevisionHealthy").Type != "" {
				ready = "RevisionHealthy"
			}
			return conditionRule{ready: ready, grace: startGrace}.assess(obj, now)
		}
	default:
		return silent
	}
}

// crossplaneDefinition judges the definitions of kinds. One that nobody activated has no health.
func crossplaneDefinition(kind string) rule {
	if kind != "CompositeResourceDefinition" && kind != "ManagedResourceDefinition" {
		return silent
	}
	return func(obj *unstructured.Unstructured, now time.Time) Result {
		if find(conditionsOf(obj), "Established").Reason == "InactiveManagedResource" {
			return Result{}
		}
		return conditionRule{ready: "Established"}.assess(obj, now)
	}
}
