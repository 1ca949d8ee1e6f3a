// Package health says how well one object in a cluster is, from the object itself and, for workloads, from the
// pods of its new revision.
//
//	object ──► Assess ─────────────────────────────┐
//	                                               ├─► AssessWorkload ──► Result
//	ReplicaSets, pods ──► NewRevisionPods ──► AssessPods
//
// Rules for the kinds of Kubernetes and for widely used kinds of others (Argo, cert-manager, Knative, Gateway API,
// Flux, Crossplane, ...) are written here; the rest fall back to their conditions as kstatus reads them. A kind that says nothing about its health gets the zero Result, which counts neither as Healthy nor
// against it.
//
// Three rules differ from what other tools do, because they decide about rollbacks:
//
//   - A new revision whose pods crash is Degraded within seconds, even while the old replicas are all available.
//   - Only pods of the new revision count. Before the controller has seen a change there is no new revision, so the
//     pods of the old one never condemn a version that has not started.
//   - A verdict that time alone changes carries the instant at which it may (Result.Recheck), so that the caller
//     looks again exactly then.
//
// The package is pure: no I/O, no clock (now is a parameter), no logger.
package health
