package controllers

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// reasonPlanChanged is why a Promotion is Pending again whose plan is another
// than the one that people saw.
const reasonPlanChanged = "PlanChanged"

const planChangedText = "the plan is another than before, so it has to be approved again"

// isPlanDue reports whether people wait for a plan to approve: there is none yet,
// or it was made from another definition of the Stage, or for other Freight
// beside the one that is promoted.
func (r *PromotionReconciler) isPlanDue(o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight) bool {
	if !promotion.NeedsApproval(o.Stage, p) {
		return false
	}
	plan := p.Status.Plan
	if plan == nil || plan.Hash == "" || plan.StageGeneration != o.Stage.Generation {
		return true
	}
	if at := decidedOtherwise(o, p); plan.At == nil || at.After(plan.At.Time) {
		return true // somebody has seen a newer plan in Git than we
	}
	return p.Spec.Kind != v1alpha1.KindRollback && !slices.EqualFunc(plan.Collection, promotion.Collection(o.Stage, freight), sameFreight)
}

func sameFreight(a, b v1alpha1.StageFreight) bool {
	return a.Origin == b.Origin && a.Freight == b.Freight
}

// plan makes the plan of p and rehearses it, so that it has its hash and says what
// rides along. That nobody waits for, now or in a step, may lack both: a template's steps are not run
// twice for it, a rollback is not kept waiting, and what fails in the rehearsal
// fails in the run, where it is shown with its step.
func (r *PromotionReconciler) plan(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight) (*v1alpha1.PromotionPlan, error) {
	isAwaited := promotion.NeedsApproval(o.Stage, p) || p.Spec.Kind != v1alpha1.KindRollback && promotion.NeedsSameBase(o.Stage, freight)
	if !isAwaited && (p.Spec.Kind == v1alpha1.KindRollback || o.Stage.Spec.PromotionMechanisms == nil) {
		plan, err := r.Planner.Plan(ctx, o, p, freight)
		if isAwaited = err == nil && promotion.AsksInSteps(plan); !isAwaited {
			return plan, err //nolint:wrapcheck // terminal errors are told by their type
		}
	}
	rehearsal, err := r.Planner.Rehearse(ctx, o, p, freight)
	if err != nil && !isAwaited && rehearsal != nil && ctx.Err() == nil {
		return rehearsal.Plan, nil
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // terminal errors are told by their type
	}
	at := r.Clock.Now()
	if decided := decidedOtherwise(o, p); decided.After(at) {
		at = decided
	}
	rehearsal.Plan.At = &metav1.MicroTime{Time: at}
	return rehearsal.Plan, nil
}

// decidedOtherwise returns the instant after which nobody has decided about
// another plan of p than the recorded one; zero when nobody has. The API server
// cuts the time of creation to the second.
func decidedOtherwise(o *promotion.Observation, p *v1alpha1.Promotion) time.Time {
	var last time.Time
	for i := range o.Approvals {
		a := &o.Approvals[i]
		if a.Spec.Promotion != p.Name || p.Status.Plan == nil || a.Spec.PlanHash == p.Status.Plan.Hash {
			continue
		}
		if at := a.CreationTimestamp.Add(time.Second); at.After(last) {
			last = at
		}
	}
	return last
}

// present makes the plan that people are asked to approve and leaves the
// Promotion Pending with it.
func (r *PromotionReconciler) present(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, freight *v1alpha1.Freight) (ctrl.Result, error) {
	plan, err := r.plan(ctx, o, p, freight)
	if err != nil {
		return r.planFailed(ctx, o, p, after, err)
	}
	after.Status.Plan, after.Status.PlanAttempts, after.Status.PlanRetryAt = plan, 0, nil
	if entry := closedEntry(o, freight, after); len(entry) > 0 {
		return r.notLetIn(ctx, p, after, entry)
	}
	if hasChanged(o, p, plan) {
		return r.planChanged(ctx, o, p, after, freight)
	}
	start := promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(after)), promotion.GroupStart)
	if len(start) == 0 {
		r.phase(after, v1alpha1.PhasePending, promotion.ReasonGateClosed, "planned")
		return ctrl.Result{}, patchStatus(ctx, r.Client, p, after) // which wakes us
	}
	return r.gateClosed(ctx, o, p, after, freight, start)
}

// hasChanged reports whether the plan that people could approve is now another.
func hasChanged(o *promotion.Observation, p *v1alpha1.Promotion, now *v1alpha1.PromotionPlan) bool {
	before := p.Status.Plan
	return promotion.NeedsApproval(o.Stage, p) && before != nil && before.Hash != "" && before.Hash != now.Hash
}

// planChanged sends the Promotion back to Pending with the plan that it has now
// (02, Preview): what was approved is not what would be done.
func (r *PromotionReconciler) planChanged(ctx context.Context, o *promotion.Observation, before, after *v1alpha1.Promotion, freight *v1alpha1.Freight) (ctrl.Result, error) {
	start := promotion.Blocking(promotion.Gates(o, freight, promotion.AskOf(after)), promotion.GroupStart)
	after.Status.Gates = start
	message := planChangedText
	if len(start) > 0 {
		message += "; " + gateText(start)
	}
	return r.wait(ctx, before, after, nextLook(o, freight, after), reasonPlanChanged, message)
}
