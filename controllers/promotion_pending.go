package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/observe"
)

// pending starts the Promotion when every gate is open.
func (r *PromotionReconciler) pending(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	after := p.DeepCopy()
	if at := p.Status.PlanRetryAt; at != nil && r.Clock.Now().Before(at.Time) && !r.nudges.take(client.ObjectKeyFromObject(p)) {
		return lookAgain(r.Clock.Now(), at.Time), nil
	}
	if len(o.PoliciesMissing) > 0 {
		return r.wait(ctx, p, after, time.Time{}, promotion.ReasonPolicyMissing,
			fmt.Sprintf("admission policy %q is missing or changed; nothing starts before it is back", o.PoliciesMissing[0]))
	}
	freight, err := r.freightOf(ctx, r.Client, o, p)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	// The cache may keep the Promotion waiting, since what changes it wakes us.
	// To start or to end it, the API server is asked: a Freeze that was answered
	// for holds from that moment on.
	isPlanDue := err == nil && r.isPlanDue(o, p, freight)
	if err == nil && len(closedEntry(o, freight, p)) == 0 && promotion.RejectedBy(o, p) == nil && !isPlanDue {
		if start := closedStart(o, freight, p); len(start) > 0 {
			return r.gateClosed(ctx, o, p, after, freight, start)
		}
	}
	if err := observe.Live(ctx, r.Live, o); apierrors.IsNotFound(err) || err == nil && o.Stage.DeletionTimestamp != nil {
		return r.finish(ctx, p, v1alpha1.PhaseFailed, "StageNotFound", fmt.Sprintf("Stage %q of Project %q is gone", p.Spec.Stage, p.Namespace))
	} else if err != nil {
		return ctrl.Result{}, err
	}
	// Nobody else starts Promotions: a cache that shows what this process wrote shows
	// every start. One that lags behind could let two run at once.
	if !r.own.areIn(o.Promotions, client.ObjectKeyFromObject(o.Stage), r.Clock.Now()) {
		if err := observe.LivePromotions(ctx, r.Live, o); err != nil {
			return ctrl.Result{}, err
		}
	}
	o.Stage.Status.Current = currentFreight(o)
	if err != nil || len(closedEntry(o, freight, p)) > 0 {
		freight, err = r.freightOf(ctx, r.Live, o, p)
	}
	if apierrors.IsNotFound(err) {
		return r.finish(ctx, p, v1alpha1.PhaseFailed, "FreightNotFound", fmt.Sprintf("there is no Freight %q in Project %q", p.Spec.Freight, p.Namespace))
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if entry := closedEntry(o, freight, p); len(entry) > 0 {
		return r.notLetIn(ctx, p, after, entry)
	}
	if by := promotion.RejectedBy(o, p); by != nil {
		return r.end(ctx, p, after, v1alpha1.PhaseFailed, promotion.ReasonRejected, fmt.Sprintf("rejected by %s: %s", promotion.Person(by.Spec.Actor), by.Spec.Reason))
	}
	if isPlanDue {
		return r.present(ctx, o, p, after, freight)
	}
	if start := closedStart(o, freight, p); len(start) > 0 {
		return r.gateClosed(ctx, o, p, after, freight, start)
	}
	if check := outdated(o, p); check.Reason != "" {
		phase := v1alpha1.PhaseFailed
		if p.Spec.Automatic && check.By != "" {
			phase, after.Status.SupersededBy = v1alpha1.PhaseSuperseded, check.By
		}
		return r.end(ctx, p, after, phase, check.Reason, check.Message)
	}
	ready, err := r.clearTheWay(ctx, o, p)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !ready {
		return r.wait(ctx, p, after, time.Time{}, "Aborting", "the Promotions in the way of this rollback are being aborted")
	}
	plan, err := r.plan(ctx, o, p, freight)
	if err != nil {
		return r.planFailed(ctx, o, p, after, err)
	}
	after.Status.Plan, after.Status.PlanAttempts, after.Status.PlanRetryAt = plan, 0, nil
	if entry := closedEntry(o, freight, after); len(entry) > 0 {
		return r.notLetIn(ctx, p, after, entry) // what would ride along shows in the plan only
	}
	if hasChanged(o, p, plan) {
		return r.planChanged(ctx, o, p, after, freight)
	}
	if blocked := promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(after)), promotion.GroupStart); len(blocked) > 0 {
		after.Status.Gates = blocked
		at := nextLook(o, freight, after)
		if at.IsZero() && len(plan.Overwrites) > 0 {
			at = o.Now.Add(branchRecheck) // nobody tells us when the commits are gone
		}
		return r.wait(ctx, p, after, at, promotion.ReasonGateClosed, gateText(blocked))
	}
	now := metav1.MicroTime{Time: r.Clock.Now()}
	after.Status.Gates, after.Status.StartedAt = nil, &now
	after.Status.Approvals = promotion.CountedApprovals(o, after)
	setPlan(after, plan)
	r.phase(after, v1alpha1.PhaseRunning, "Running", "running its steps")
	// Nothing has happened before the first intent is written, so the start is
	// written together with it; until then a crash leaves the Promotion Pending.
	return r.runSteps(ctx, o, p, after)
}

// closedEntry returns the entry gates that shut the Promotion out.
func closedEntry(o *promotion.Observation, freight *v1alpha1.Freight, p *v1alpha1.Promotion) []v1alpha1.GateVerdict {
	return promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(p)), promotion.GroupEntry)
}

// notLetIn ends a Promotion that entry gates shut out.
func (r *PromotionReconciler) notLetIn(ctx context.Context, before, after *v1alpha1.Promotion, entry []v1alpha1.GateVerdict) (ctrl.Result, error) {
	after.Status.Gates = entry
	return r.end(ctx, before, after, v1alpha1.PhaseFailed, promotion.ReasonGateClosed, gateText(entry))
}

// closedStart returns the start gates that keep the Promotion waiting. Commits
// by others are those of the last plan: whether they are still in the way, only
// a new plan says, so they alone keep nothing waiting here.
func closedStart(o *promotion.Observation, freight *v1alpha1.Freight, p *v1alpha1.Promotion) []v1alpha1.GateVerdict {
	start := promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(p)), promotion.GroupStart)
	if slices.ContainsFunc(start, func(v v1alpha1.GateVerdict) bool { return v.Gate != v1alpha1.GateHealth }) {
		return start
	}
	return nil
}

// nextLook returns when time alone changes what the gates say of p.
func nextLook(o *promotion.Observation, freight *v1alpha1.Freight, p *v1alpha1.Promotion) time.Time {
	return promotion.EarliestChange(promotion.Gates(o, freight, promotion.AskOf(p)))
}

// gateClosed leaves the Promotion Pending until a gate opens.
func (r *PromotionReconciler) gateClosed(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, freight *v1alpha1.Freight, start []v1alpha1.GateVerdict) (ctrl.Result, error) {
	after.Status.Gates = start
	reason, message := promotion.ReasonGateClosed, gateText(start)
	if p.Status.Reason == reasonPlanChanged && slices.ContainsFunc(start, func(v v1alpha1.GateVerdict) bool { return v.Gate == v1alpha1.GateApproval }) {
		reason, message = reasonPlanChanged, planChangedText+"; "+message
	}
	return r.wait(ctx, p, after, nextLook(o, freight, after), reason, message)
}

// outdated says why the Promotion is not what is wanted any more: one with a
// higher number has started, or a Rollback names Freight that the Stage does
// not run.
func outdated(o *promotion.Observation, p *v1alpha1.Promotion) promotion.NumberCheck {
	if p.Spec.Kind == v1alpha1.KindRollback && p.Spec.Freight != "" && len(o.Stage.Status.Current) > 0 {
		current := o.Stage.Status.Current
		if !slices.ContainsFunc(current, func(c v1alpha1.StageFreight) bool { return c.Freight == p.Spec.Freight }) {
			return promotion.NumberCheck{
				Reason: "NotCurrent", By: current[0].Promotion,
				Message: fmt.Sprintf("Freight %q does not run in %q any more, Freight %q does; to take that back: waybill rollback %s/%s", p.Spec.Freight, p.Spec.Stage, current[0].Freight, p.Namespace, p.Spec.Stage),
			}
		}
	}
	return promotion.CheckNumber(o, p)
}

func gateText(closed []v1alpha1.GateVerdict) string {
	text := ""
	for i, v := range closed {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s: %s", v.Gate, v.Reason)
	}
	return text
}
