// Package watch sees what lives in a cluster: one watch per kind in use, by
// label, reduced to a compact record per object.
//
// A Hub belongs to one cluster. Applications tell it which kinds they use; for
// each it runs one reflector (list, watch, relist after 410, reconnect with
// jitter) over everything that carries the label waybill.dev/managed-by.
// Secrets, ConfigMaps and RBAC are watched as metadata only, so that no secret
// value enters the process. Of each object a gitops.Live stays; the object
// itself is handed to the Sink with the event and forgotten.
//
// Records only move forward: the answer to an own PATCH (Observe) and watch
// events are ordered by resourceVersion, so that an event that was overtaken by
// an answer is dropped instead of being taken for drift.
package watch
