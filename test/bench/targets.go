package main

import (
	"fmt"
	"strings"
)

// metric is one line of the report.
type metric struct {
	Key  string
	Name string
	Unit string
	// Judge says which number the target is for: "median", "p99" or "max".
	Judge string
	// Below is the target's bound (pages 02 to 04 of the design, "Numbers to
	// reach"); Inclusive: reaching it is enough. HasTarget is false where the
	// design names none.
	HasTarget bool
	Below     float64
	Inclusive bool
	// Kargo and Flux are what others were measured to need for the same work:
	// Kargo 1.11 with Argo CD 3.5, and the controllers of Flux 2.9.
	Kargo, Flux string
}

// Keys of the metrics.
const (
	wholeChain      = "chain"
	pushToFreight   = "push-to-freight"
	freightToCommit = "freight-to-commit"
	commitToApplied = "commit-to-applied"
	commitToHealthy = "commit-to-healthy"
	healthyToCommit = "healthy-to-next-commit"
	chainCPU        = "chain-cpu"
	chainRegistry   = "chain-registry-requests"
	chainGit        = "chain-git-requests"
	chainAPI        = "chain-api-requests"
	driftToHealed   = "drift-to-healed"
	driftTail       = "drift-to-healed-p99"
	lateDrifts      = "drift-to-healed-last"
	badToDegraded   = "bad-image-to-degraded"
	badToRevert     = "bad-image-to-revert"
	badToRestored   = "bad-image-to-restored"
	pushToFailed    = "failing-check-to-failed"
	failedToRevert  = "failed-check-to-revert"
	fleetSynced     = "fleet-synced"
	fleetCPU        = "fleet-cpu"
	fleetAPI        = "fleet-api-requests"
	fleetRSS        = "fleet-rss"
	restRequests    = "rest-requests"
	restWatches     = "rest-watches"
	restOthers      = "rest-requests-of-others"
	restGit         = "rest-git-requests"
	restRegistry    = "rest-registry-requests"
	restCPU         = "rest-cpu"
	restRSS         = "rest-rss"
	fleetAnon       = "fleet-rss-own"
	restAnon        = "rest-rss-own"
)

// driftKind is the key of one kind of drift.
func driftKind(name string) string { return driftToHealed + ", " + name }

// fleetOfTargets is the number of Applications that the targets for a fleet and
// for the time at rest are about.
const fleetOfTargets = 200

// metrics returns all lines, in the order of the report. Targets for a fleet
// hold for fleetOfTargets Applications; with another number there are none.
func metrics(fleet int) []metric {
	m := []metric{
		{Key: pushToFreight, Name: "push + wake-up -> Freight", Unit: "s"},
		{Key: freightToCommit, Name: "Freight -> commit in the first Stage", Unit: "s"},
		{Key: commitToApplied, Name: "commit -> applied", Unit: "s", Judge: "median", HasTarget: true, Below: 0.3, Kargo: "0.66", Flux: "2.5"},
		{Key: commitToHealthy, Name: "commit -> rolled out and Healthy", Unit: "s"},
		{Key: healthyToCommit, Name: "Healthy -> commit in the next Stage", Unit: "s"},
		{Key: wholeChain, Name: "push + wake-up -> live in prod, 3 Stages", Unit: "s", Judge: "median", HasTarget: true, Below: 1.5, Kargo: "5.31"},
		{Key: chainCPU, Name: "  its CPU time", Unit: "s", Judge: "median", HasTarget: true, Below: 0.4, Inclusive: true, Kargo: "2.9"},
		{Key: chainRegistry, Name: "  its registry requests", Judge: "median", HasTarget: true, Below: 4, Inclusive: true, Kargo: "17"},
		{Key: chainGit, Name: "  its Git requests", Judge: "median", HasTarget: true, Below: 12, Inclusive: true, Kargo: "56"},
		{Key: chainAPI, Name: "  its Kubernetes requests, no watches", Judge: "median", HasTarget: true, Below: 45, Inclusive: true, Kargo: "190"},
		{Key: driftToHealed, Name: "drift -> healed", Unit: "s", Judge: "median", HasTarget: true, Below: 0.05, Kargo: "0.41", Flux: "24.7"},
		{Key: driftTail, Name: "  the slowest of a hundred", Unit: "s", Judge: "p99", HasTarget: true, Below: 0.5},
		{Key: lateDrifts, Name: "  the last 20 in the row", Unit: "s", Judge: "median", HasTarget: true, Below: 0.05, Kargo: "161"},
	}
	for _, c := range changes() {
		m = append(m, metric{Key: driftKind(c.name), Name: "  " + c.name, Unit: "s"})
	}
	applications := fmt.Sprintf("%d Applications x 10 objects", fleet)
	last := []metric{
		{Key: badToDegraded, Name: "push of a bad image -> Degraded", Unit: "s", Judge: "max", HasTarget: true, Below: 15},
		{Key: badToRevert, Name: "  -> revert commit (rollback.after 5 s)", Unit: "s", Judge: "max", HasTarget: true, Below: 20},
		{Key: badToRestored, Name: "  -> the version before is Healthy", Unit: "s"},
		{Key: pushToFailed, Name: "push of a version whose check fails -> failed", Unit: "s"},
		{Key: failedToRevert, Name: "  failed -> revert commit", Unit: "s"},
		{Key: fleetSynced, Name: applications + " synced", Unit: "s", Judge: "median", HasTarget: true, Below: 12, Kargo: "144", Flux: "250"},
		{Key: fleetCPU, Name: "  its CPU time", Unit: "s", Judge: "median", HasTarget: true, Below: 15, Kargo: "180", Flux: "375"},
		{Key: fleetAPI, Name: "  its Kubernetes requests, no watches", Judge: "median", HasTarget: true, Below: 3000, Kargo: "14700", Flux: "12000"},
		{Key: fleetRSS, Name: "  resident memory after it", Unit: "MiB", Judge: "max", HasTarget: true, Below: 150, Kargo: "554", Flux: "155"},
		{Key: fleetAnon, Name: "  of it: no pages of the program's file", Unit: "MiB"},
		{Key: restRequests, Name: "at rest with those: requests, no watches", Unit: "/min", Judge: "max", HasTarget: true, Below: 0, Inclusive: true, Kargo: "61", Flux: "5"},
		{Key: restWatches, Name: "  watches begun", Unit: "/min"},
		{Key: restGit, Name: "  Git requests (3 repositories, 30 s)", Unit: "/min"},
		{Key: restRegistry, Name: "  registry requests", Unit: "/min"},
		{Key: restOthers, Name: "  requests of the control plane itself", Unit: "/min"},
		{Key: restCPU, Name: "  CPU", Unit: "% of a core", Judge: "max", HasTarget: true, Below: 0.3, Kargo: "3.3", Flux: "0.1"},
		{Key: restRSS, Name: "  resident memory", Unit: "MiB", Judge: "max", HasTarget: true, Below: 150, Kargo: "879", Flux: "227"},
		{Key: restAnon, Name: "  of it: no pages of the program's file", Unit: "MiB"},
	}
	for i := range last {
		if fleet != fleetOfTargets && (strings.HasPrefix(last[i].Key, "fleet-") || strings.HasPrefix(last[i].Key, "rest-")) {
			last[i].HasTarget, last[i].Kargo, last[i].Flux = false, "", ""
		}
	}
	return append(append(m, last...), pollMetrics()...)
}
