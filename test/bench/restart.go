package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// restart ends waybilld while it manages 10,000 objects, and starts it again. First
// nothing has changed: what it writes is counted. Then something has: that is to be
// healed as soon as it is in sync.
func (b *bench) restart(ctx context.Context) error {
	var all v1alpha1.ApplicationList
	if err := b.client.List(ctx, &all); err != nil {
		return err
	}
	b.child.stop()
	before, err := b.writes(ctx)
	if err != nil {
		return err
	}
	if err := b.child.again(); err != nil {
		return err
	}
	if err := b.awaitPasses(ctx, len(all.Items)); err != nil {
		return err
	}
	after, err := b.writes(ctx)
	if err != nil {
		return err
	}
	made := after.minus(before)
	b.report.add(restartWrites, made[toManaged])
	b.report.add(restartOwn, made[toOwn])

	b.child.stop()
	const name = "app-0500"
	namespace := scaleProject(stormSize)
	_, err = b.kube.AppsV1().Deployments(namespace).Patch(ctx, name, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"version":"drifted"}}}`), metav1.PatchOptions{FieldManager: "kubectl-label"})
	if err != nil {
		return err
	}
	b.seen.forget()
	begun := time.Now()
	if err := b.child.again(); err != nil {
		return err
	}
	healed, err := b.seen.await(ctx, "what changed meanwhile to be healed", func(e event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && d.Namespace == namespace && d.Name == name && d.Labels["version"] != "drifted"
	})
	if err != nil {
		return err
	}
	b.report.add(restartHealed, seconds(healed.At.Sub(begun)))
	return nil
}

// What writes are counted as.
const (
	toManaged = "managed objects"
	toOwn     = "Waybill's objects"
)

// writes returns how often anybody has written objects of the kinds that the
// Applications here have, and those of Waybill. Nobody else writes them while
// waybilld starts: the control plane writes their status.
func (b *bench) writes(ctx context.Context) (counts, error) {
	raw, err := b.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return countWrites(string(raw)), nil
}

func countWrites(metrics string) counts {
	out := counts{}
	for labels, n := range series(metrics, "apiserver_request_total") {
		switch labelOf(labels, "verb") {
		case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
		default:
			continue
		}
		switch labelOf(labels, "resource") {
		case "serviceaccounts", "services", "deployments", "ingresses", "configmaps", "namespaces":
			if labelOf(labels, "subresource") == "" {
				out[toManaged] += n
			}
		default:
			if labelOf(labels, "group") == v1alpha1.Group {
				out[toOwn] += n
			}
		}
	}
	return out
}

// awaitPasses waits until a waybilld that was just started has looked at n
// Applications, and has been at rest for a while.
func (b *bench) awaitPasses(ctx context.Context, n int) error {
	for {
		_, passes, err := b.child.clientRequests(ctx)
		if err == nil && passes["application"] >= float64(n) {
			return b.quiet(ctx, restPause)
		}
		if err := errors.Join(pause(ctx, 100*time.Millisecond), b.child.isRunning()); err != nil {
			return fmt.Errorf("wait for %d Applications to be looked at: %w (%v were)", n, err, passes["application"])
		}
	}
}
