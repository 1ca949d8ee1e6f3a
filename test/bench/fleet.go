package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const fleetProject = "fleet"

// fleet measures how long it takes to bring up n Applications of ten objects
// each, every one in a namespace of its own. They stay, so that what is measured
// at rest afterwards is at rest with them.
func (b *bench) fleet(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("apps/%03d/all.yaml", i)] = tenObjects()
	}
	url, err := b.newRepository(ctx, fleetProject, files)
	if err != nil {
		return err
	}
	if _, err := b.env.ApplyContext(ctx, projectManifest(fleetProject, url)); err != nil {
		return err
	}
	if err := b.quiet(ctx, settleTime); err != nil {
		return err
	}
	if b.opts.profile != "" {
		stop := b.profileCPU(ctx, "fleet-cpu.pprof")
		defer stop()
	}
	b.seen.forget()
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	for i := range n {
		name := fmt.Sprintf("app-%03d", i)
		manifest := applicationManifest(fleetProject, name, fleetProject+"-"+name, url, fmt.Sprintf("apps/%03d", i))
		if _, err := b.env.ApplyContext(ctx, manifest); err != nil {
			return err
		}
	}
	synced, err := b.awaitFleet(ctx, n)
	if err != nil {
		return err
	}
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	cost := after.minus(before)
	b.report.fleetCost = &cost
	b.report.add(fleetSynced, seconds(synced.Sub(start)))
	b.report.add(fleetCPU, cost.CPU)
	b.report.add(fleetAPI, cost.API[schemaRequests])
	if err := b.addMemory(fleetRSS, fleetAnon); err != nil {
		return err
	}
	if b.opts.profile != "" {
		return b.child.profile(ctx, "heap", filepath.Join(b.opts.profile, "fleet-heap.pprof"))
	}
	return nil
}

// awaitFleet returns when the last of n Applications was Synced: all its objects
// applied.
func (b *bench) awaitFleet(ctx context.Context, n int) (time.Time, error) {
	synced := map[string]bool{}
	last, err := b.seen.await(ctx, fmt.Sprintf("%d Applications to be synced", n), func(e event) bool {
		a, ok := e.Object.(*v1alpha1.Application)
		if ok && a.Namespace == fleetProject && a.Status.Sync.Status == v1alpha1.SyncSynced {
			synced[a.Name] = true
		}
		return len(synced) == n
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%w (%d are)", err, len(synced))
	}
	return last.At, nil
}

// tenObjects is a small application: a Deployment, what serves it, and
// configuration.
func tenObjects() string {
	text := fmt.Sprintf(deployment, "web", driftImage) + "---\n" + fmt.Sprintf(service, "web") +
		"---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"
	for i := range 7 {
		text += fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%d}\ndata: {color: blue, number: %q}\n", i, fmt.Sprint(i))
	}
	return text
}
