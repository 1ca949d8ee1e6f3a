package health

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// gatewayKind returns the rules of the Gateway API (GEP-1364, status and conditions).
func gatewayKind(kind string) rule {
	switch kind {
	case "GatewayClass":
		return conditionRule{ready: "Accepted"}.assess
	case "Gateway", "ListenerSet", "XListenerSet":
		return gateway
	case "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute":
		return route
	case "BackendTLSPolicy", "BackendLBPolicy":
		return policyOfRoutes
	default:
		return silent
	}
}

// gateway is Degraded when it, or one of its listeners, is refused, and Healthy once it is programmed.
func gateway(obj *unstructured.Unstructured, now time.Time) Result {
	for _, item := range list(obj, "status", "listeners") {
		listener, ok := item.(map[string]any)
		if !ok {
			continue
		}
		u := &unstructured.Unstructured{Object: listener}
		for _, c := range conditionsIn(list(u, "conditions")) {
			if isStale(c, obj) {
				return notObserved()
			}
			if c.is("False") && (c.Type == "ResolvedRefs" || c.Type == "Accepted") {
				return degraded(or(c.Reason, "Not"+c.Type), fmt.Sprintf("listener %q: %s", text(u, "name"), quote(c.Message)))
			}
		}
	}
	// Pending is what a Gateway is created with: its controller has not looked at it.
	return conditionRule{ready: "Programmed", alsoBad: acceptedIn(conditionsOf(obj)), moving: []string{"Pending", "AddressNotAssigned", "NoResources"}}.assess(obj, now)
}

// acceptedIn leaves out Accepted=False of a Gateway that nobody has looked at.
func acceptedIn(conditions []condition) []string {
	if find(conditions, "Accepted").Reason == "Pending" {
		return []string{"ResolvedRefs"}
	}
	return []string{"Accepted", "ResolvedRefs"}
}

// route is as well as the worst of its parents.
func route(obj *unstructured.Unstructured, _ time.Time) Result {
	return attached(obj, "parents", "parentRef")
}

func policyOfRoutes(obj *unstructured.Unstructured, _ time.Time) Result {
	return attached(obj, "ancestors", "ancestorRef")
}

func attached(obj *unstructured.Unstructured, field, reference string) Result {
	parents := list(obj, "status", field)
	if len(parents) == 0 {
		return unreported()
	}
	verdict := healthy("Accepted", "")
	for _, item := range parents {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		u := &unstructured.Unstructured{Object: fields}
		name := text(u, reference, "name")
		conditions := conditionsIn(list(u, "conditions"))
		if find(conditions, "Accepted").Type == "" {
			verdict = unreported()
		}
		for _, c := range conditions {
			switch {
			case isStale(c, obj):
				verdict = notObserved()
			case c.is("False") && (c.Type == "Accepted" || c.Type == "ResolvedRefs"):
				return degraded(or(c.Reason, "Not"+c.Type), fmt.Sprintf("%s: %s", name, quote(c.Message)))
			case c.is("False") && c.Type == "Programmed", c.is("Unknown"):
				verdict = progressing(or(c.Reason, "Not"+c.Type), fmt.Sprintf("%s: %s", name, quote(c.Message)))
			}
		}
	}
	return verdict
}
