// Package controllers moves the world towards what the pure packages decide.
//
// Every controller reads the same way: observe (every read), decide (a pure
// function), enact (idempotent writes under deterministic names), and one
// status patch. Only result.go turns outcomes into conditions and ctrl.Result.
// Nothing is polled: a controller runs when a watched object changed or at the
// instant the decision named.
package controllers
