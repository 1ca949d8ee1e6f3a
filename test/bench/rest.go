package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// restPause lets everything come to rest: the watches of Pods close 30 s after
// their workload has settled.
const restPause = 35 * time.Second

// rest measures one stretch of time in which nothing happens.
func (b *bench) rest(ctx context.Context, window time.Duration) error {
	if err := b.quiet(ctx, settleTime); err != nil {
		return err
	}
	if err := pause(ctx, min(restPause, 3*window)); err != nil {
		return err
	}
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	for time.Since(start) < window {
		if err := b.addMemory(restRSS, restAnon); err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	took := time.Since(start)
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	cost := after.minus(before)
	minutes := took.Minutes()
	r := b.report
	r.restCost = &cost
	r.add(restRequests, cost.API[schemaRequests]/minutes)
	r.add(restWatches, cost.API[schemaWatches]/minutes)
	r.add(restOthers, cost.others()/minutes)
	r.add(restGit, float64(cost.Git)/minutes)
	r.add(restRegistry, float64(cost.Registry)/minutes)
	r.add(restCPU, 100*cost.CPU/took.Seconds())
	if b.opts.profile != "" {
		return b.child.profile(ctx, "heap", filepath.Join(b.opts.profile, "rest-heap.pprof"))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}
