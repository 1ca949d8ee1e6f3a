package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/localkube"
)

// broken measures versions whose containers crash: until the first Stage is
// Degraded, until the revert is on its branch, until the version before runs
// again. rollback.after is 5 s, as in the demo.
func (b *bench) broken(ctx context.Context, n int) error {
	for i := range n {
		tag := fmt.Sprintf("1.27.%d", i)
		if err := localkube.MarkImage(ctx, b.env.DataDir, b.image()+":"+tag, localkube.CrashLoopBackOff); err != nil {
			return err
		}
		if err := b.quiet(ctx, settleTime); err != nil {
			return err
		}
		if err := b.oneBroken(ctx, tag); err != nil {
			return fmt.Errorf("broken version %s: %w", tag, err)
		}
	}
	return nil
}

func (b *bench) oneBroken(ctx context.Context, tag string) error {
	stage := stages()[0]
	b.seen.forget()
	pushed, err := b.publish(ctx, tag)
	if err != nil {
		return err
	}
	bad, err := b.awaitPush(ctx, "stage/"+stage, "")
	if err != nil {
		return err
	}
	degraded, err := b.awaitHealth(ctx, stage, bad.Push.Commit, v1alpha1.HealthDegraded)
	if err != nil {
		return err
	}
	revert, err := b.awaitPush(ctx, "stage/"+stage, bad.Push.Commit)
	if err != nil {
		return err
	}
	restored, err := b.awaitHealth(ctx, stage, revert.Push.Commit, v1alpha1.HealthHealthy)
	if err != nil {
		return err
	}
	back, err := b.seen.await(ctx, "the version before to run again", func(e event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && d.Namespace == project+"-"+stage && e.At.After(revert.At) && !hasTag(d, tag) && isRolledOut(d)
	})
	if err != nil {
		return err
	}
	b.report.add(badToDegraded, seconds(degraded.At.Sub(pushed)))
	b.report.add(badToRevert, seconds(revert.At.Sub(pushed)))
	b.report.add(badToRestored, seconds(later(restored.At, back.At).Sub(pushed)))
	return b.awaitRolledBack(ctx, stage, bad.At)
}

// awaitRolledBack waits until the record of the bad version says that it was
// taken back.
func (b *bench) awaitRolledBack(ctx context.Context, stage string, since time.Time) error {
	_, err := b.seen.await(ctx, "the Promotion to be rolled back", func(e event) bool {
		p, ok := e.Object.(*v1alpha1.Promotion)
		return ok && p.Spec.Stage == stage && p.Spec.Kind == v1alpha1.KindPromote && p.Status.Phase == v1alpha1.PhaseRolledBack && e.At.After(since)
	})
	return err
}
