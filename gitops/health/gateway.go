package health

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
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
	if refused := (conditionRule{alsoBad: acceptedIn(conditionsOf(obj)), fine: true}).assess(obj, now); refused.Status == v1alpha1.HealthDegraded {
		return refused
	}
	// Pending is what a Gateway is created with: its controller has not looked at it. A load balancer takes minutes.
	return conditionRule{ready: "Programmed", moving: []string{"Pending", "AddressNotAssigned", "NoResources"}, grace: operatorGrace}.assess(obj, now)
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
	verdict, seen := healthy("Accepted", ""), false
	current := controllersUpToDate(obj, parents)
	for _, item := range parents {
		fields, ok := item.(map[string]any)
		if !ok || isLeftOver(obj, fields, reference, current) {
			continue
		}
		seen = true
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
	if !seen {
		return unreported()
	}
	return verdict
}

// controllersUpToDate returns the controllers that wrote an entry about the latest generation.
func controllersUpToDate(obj *unstructured.Unstructured, entries []any) map[string]bool {
	out := map[string]bool{}
	for _, item := range entries {
		if fields, ok := item.(map[string]any); ok {
			u := &unstructured.Unstructured{Object: fields}
			for _, c := range conditionsIn(list(u, "conditions")) {
				if c.ObservedGeneration > 0 && !isStale(c, obj) {
					out[text(u, "controllerName")] = true
				}
			}
		}
	}
	return out
}

// isLeftOver says that an entry of the status is about a parent that the spec no longer names, or that its controller,
// which has written others about the latest generation, did not write again. Such an entry may never be taken away.
func isLeftOver(obj *unstructured.Unstructured, fields map[string]any, reference string, current map[string]bool) bool {
	u := &unstructured.Unstructured{Object: fields}
	if conditions := conditionsIn(list(u, "conditions")); current[text(u, "controllerName")] && len(conditions) > 0 {
		if !slices.ContainsFunc(conditions, func(c condition) bool { return !isStale(c, obj) }) {
			return true
		}
	}
	wanted := list(obj, "spec", reference+"s")
	return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(item any) bool {
		parent, ok := item.(map[string]any)
		return ok && sameParent(parent, fields[reference])
	})
}

// sameParent compares two references by their name, listener and port; what is defaulted is not looked at.
func sameParent(a map[string]any, other any) bool {
	b, ok := other.(map[string]any)
	if !ok || b["name"] == nil {
		return true // it does not say which
	}
	for _, field := range []string{"name", "sectionName", "port"} {
		if a[field] != b[field] {
			return false
		}
	}
	return true
}
