package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// settleTime is how long nothing may change before what a chain cost is
// counted: longer than the pause after which lazy details are written.
const settleTime = 1500 * time.Millisecond

// legs are the instants of one version's way through the Stages.
type legs struct {
	pushed  time.Time
	freight time.Time
	stages  []leg
	live    time.Time // rolled out and Healthy in the last Stage
}

type leg struct {
	commit  time.Time // the Git server moved the branch
	applied time.Time // the Deployment has the new image
	healthy time.Time // the Application says so, at that commit
}

// chain measures versions on their way from the registry to the last Stage, one
// after the other, and what each cost.
func (b *bench) chain(ctx context.Context, n int) error {
	if b.opts.profile != "" {
		stop := b.profileCPU(ctx, "chain-cpu.pprof")
		defer stop()
	}
	for i := range n {
		if err := b.quiet(ctx, settleTime); err != nil {
			return err
		}
		before, err := b.usage(ctx)
		if err != nil {
			return err
		}
		l, err := b.flow(ctx, fmt.Sprintf("1.26.%d", i+1))
		if err != nil {
			return err
		}
		if err := b.quiet(ctx, settleTime); err != nil {
			return err
		}
		after, err := b.usage(ctx)
		if err != nil {
			return err
		}
		b.addChain(l, after.minus(before))
		if b.opts.timeline {
			b.printTimeline(l)
		}
	}
	return nil
}

// addChain puts one way and its cost into the report.
func (b *bench) addChain(l legs, cost usage) {
	r := b.report
	r.add(pushToFreight, seconds(l.freight.Sub(l.pushed)))
	r.add(freightToCommit, seconds(l.stages[0].commit.Sub(l.freight)))
	for i, s := range l.stages {
		r.add(commitToApplied, seconds(s.applied.Sub(s.commit)))
		r.add(commitToHealthy, seconds(s.healthy.Sub(s.commit)))
		if i > 0 {
			r.add(healthyToCommit, seconds(s.commit.Sub(l.stages[i-1].healthy)))
		}
	}
	r.add(wholeChain, seconds(l.live.Sub(l.pushed)))
	r.add(chainCPU, cost.CPU)
	r.add(chainRegistry, float64(cost.Registry))
	r.add(chainGit, float64(cost.Git))
	r.add(chainAPI, cost.API[schemaRequests])
	r.chainCosts = append(r.chainCosts, cost)
}

// flow publishes a version and follows it until it is live in the last Stage
// and every Promotion has ended.
func (b *bench) flow(ctx context.Context, tag string) (legs, error) {
	var l legs
	b.seen.forget()
	var err error
	if l.pushed, err = b.publish(ctx, tag); err != nil {
		return l, err
	}
	freight, err := b.seen.await(ctx, "Freight "+tag, func(e event) bool {
		f, ok := e.Object.(*v1alpha1.Freight)
		return ok && e.Type == watch.Added && len(f.Images) > 0 && f.Images[0].Tag == tag
	})
	if err != nil {
		return l, err
	}
	l.freight = freight.At
	for _, stage := range stages() {
		leg, err := b.follow(ctx, stage, tag)
		if err != nil {
			return l, err
		}
		l.stages = append(l.stages, leg)
	}
	last := stages()[len(stages())-1]
	out, err := b.seen.await(ctx, tag+" to be rolled out in "+last, func(e event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && d.Namespace == project+"-"+last && hasTag(d, tag) && isRolledOut(d)
	})
	if err != nil {
		return l, err
	}
	l.live = later(out.At, l.stages[len(l.stages)-1].healthy)
	for _, stage := range stages() {
		_, err := b.seen.await(ctx, "the Promotion of "+tag+" to "+stage+" to end", func(e event) bool {
			p, ok := e.Object.(*v1alpha1.Promotion)
			return ok && p.Spec.Stage == stage && p.Spec.Freight == freight.Object.GetName() && p.Status.Phase == v1alpha1.PhaseSucceeded
		})
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// follow waits for a version in one Stage.
func (b *bench) follow(ctx context.Context, stage, tag string) (leg, error) {
	var l leg
	pushed, err := b.awaitPush(ctx, "stage/"+stage, "")
	if err != nil {
		return l, err
	}
	applied, err := b.seen.await(ctx, tag+" in the Deployment of "+stage, func(e event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && d.Namespace == project+"-"+stage && hasTag(d, tag)
	})
	if err != nil {
		return l, err
	}
	healthy, err := b.awaitHealth(ctx, stage, pushed.Push.Commit, v1alpha1.HealthHealthy)
	if err != nil {
		return l, err
	}
	l.commit, l.applied, l.healthy = pushed.At, applied.At, healthy.At
	return l, nil
}

// awaitPush returns the first push to branch of another commit than not.
func (b *bench) awaitPush(ctx context.Context, branch, not string) (event, error) {
	return b.seen.await(ctx, "a push to "+branch, func(e event) bool {
		return e.Push != nil && e.Push.Branch == branch && e.Push.Commit != not
	})
}

// awaitHealth waits until a Stage's Application has the health at a commit.
func (b *bench) awaitHealth(ctx context.Context, stage, commit string, want v1alpha1.HealthStatus) (event, error) {
	return b.seen.await(ctx, stage+" to be "+string(want), func(e event) bool {
		a, ok := e.Object.(*v1alpha1.Application)
		return ok && a.Namespace == project && a.Name == stage && a.Status.Sync.Revision == commit &&
			a.Status.Health != nil && a.Status.Health.Status == want
	})
}

func hasTag(d *appsv1.Deployment, tag string) bool {
	return strings.Contains(d.Spec.Template.Spec.Containers[0].Image, ":"+tag+"@")
}

// isRolledOut reports whether exactly the Pods asked for run, all of the newest
// revision.
func isRolledOut(d *appsv1.Deployment) bool {
	want := *d.Spec.Replicas
	s := d.Status
	return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == want && s.AvailableReplicas == want && s.Replicas == want
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// profileCPU profiles the child until the returned function is called.
func (b *bench) profileCPU(ctx context.Context, name string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A profile has to say in advance how long it takes.
		for part := 0; ctx.Err() == nil; part++ {
			file := filepath.Join(b.opts.profile, fmt.Sprintf("%d-%s", part, name))
			if err := b.child.profile(ctx, "profile?seconds=10", file); err != nil {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
