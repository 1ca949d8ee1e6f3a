// Package jobs runs Kubernetes Jobs for Promotions: the job checks of a
// verification and the step run-job.
//
// A Job is created once and runs once, whoever is killed or paused in between.
// Its place and its name, which is made of the Promotion's UID, are recorded
// before it is created; it is created suspended; its UID is recorded; only then
// is it released, and only the Job with that UID.
//
//	recorded            | Look
//	--------------------+------------------------------------------------------
//	a place, no UID     | finds the Job or creates it, suspended: Created
//	a UID, suspended    | releases it: Running
//	a UID               | Running, Succeeded, Failed
//	a UID, no such Job  | Lost: it is never created again
//
// So a Job that was deleted, or whose time to live is over, is not mistaken for
// one that was never begun, and what a server does too late that was paused in
// the middle leaves a Job that never runs.
package jobs
