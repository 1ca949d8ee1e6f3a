package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// failing measures versions that run Healthy and whose check fails in the first
// Stage: how long after the push the check has failed, and how long after that
// the revert is on the branch.
func (b *bench) failing(ctx context.Context, n int) (err error) {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer down.Close()
	if err := b.setChecks(ctx, &v1alpha1.Verification{Checks: []v1alpha1.Check{{Name: "ping", HTTP: &v1alpha1.HTTPCheck{URL: down.URL}}}}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.setChecks(context.WithoutCancel(ctx), nil)) }()
	for i := range n {
		if err := b.quiet(ctx, settleTime); err != nil {
			return err
		}
		tag := fmt.Sprintf("1.28.%d", i)
		limited, cancel := context.WithTimeout(ctx, failingPatience)
		err := b.oneFailing(limited, tag)
		cancel()
		if err != nil {
			b.printState(context.WithoutCancel(ctx), stages()[0])
			return fmt.Errorf("version %s, whose check fails: %w", tag, err)
		}
	}
	return nil
}

// failingPatience is how long one version may take to be taken back. It takes
// seconds; what takes longer hangs, and is shown while it does.
const failingPatience = 45 * time.Second

// printState writes what is known of a Stage while something of it hangs: the
// status of its Promotions, of itself and of its Application, its Deployment, and
// what was seen since the measurement began.
func (b *bench) printState(ctx context.Context, stage string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	show := func(what string, o any, err error) {
		text, encodeErr := json.Marshal(o)
		fmt.Fprintf(b.opts.out, "\n%s: %s", what, text)
		if err := errors.Join(err, encodeErr); err != nil {
			fmt.Fprintf(b.opts.out, " (%v)", err)
		}
	}
	var promotions v1alpha1.PromotionList
	err := b.client.List(ctx, &promotions, client.InNamespace(project))
	for _, p := range promotions.Items {
		if p.Spec.Stage == stage && !p.Status.Phase.IsFinished() || p.Spec.Stage == stage && p.CreationTimestamp.After(time.Now().Add(-2*failingPatience)) {
			show("Promotion "+p.Name, p.Status, err)
		}
	}
	var s v1alpha1.Stage
	err = b.client.Get(ctx, client.ObjectKey{Namespace: project, Name: stage}, &s)
	show("Stage "+stage, s.Status, err)
	var a v1alpha1.Application
	err = b.client.Get(ctx, client.ObjectKey{Namespace: project, Name: stage}, &a)
	show("Application "+stage, a.Status, err)
	var d appsv1.Deployment
	err = b.client.Get(ctx, client.ObjectKey{Namespace: project + "-" + stage, Name: "guestbook"}, &d)
	show("Deployment", d, err)
	for _, e := range b.seen.since() {
		fmt.Fprintf(b.opts.out, "\n%s %s", e.At.Format("15:04:05.000"), describe(e))
	}
	fmt.Fprintln(b.opts.out)
}

// setChecks gives the first Stage checks that take back what fails, or none.
func (b *bench) setChecks(ctx context.Context, v *v1alpha1.Verification) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{
		"verification": v, "rollback": map[string]any{"onFailedVerification": "Revert"},
	}})
	if err != nil {
		return err
	}
	s := &v1alpha1.Stage{}
	s.Namespace, s.Name = project, stages()[0]
	if err := b.client.Patch(ctx, s, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("set the checks of Stage %q: %w", s.Name, err)
	}
	return nil
}

func (b *bench) oneFailing(ctx context.Context, tag string) error {
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
	failed, err := b.seen.await(ctx, "its check to fail", func(e event) bool {
		p, ok := e.Object.(*v1alpha1.Promotion)
		return ok && p.Spec.Stage == stage && p.Spec.Kind == v1alpha1.KindPromote && e.At.After(bad.At) &&
			p.Status.Verification != nil && p.Status.Verification.Phase == v1alpha1.CheckFailed
	})
	if err != nil {
		return err
	}
	revert, err := b.awaitPush(ctx, "stage/"+stage, bad.Push.Commit)
	if err != nil {
		return err
	}
	if _, err := b.awaitHealth(ctx, stage, revert.Push.Commit, v1alpha1.HealthHealthy); err != nil {
		return err
	}
	b.report.add(pushToFailed, seconds(failed.At.Sub(pushed)))
	b.report.add(failedToRevert, seconds(revert.At.Sub(failed.At)))
	return b.awaitRolledBack(ctx, stage, bad.At)
}
