package controllers

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// freightOf returns the Freight a Promotion is about: what is promoted, or what
// a Rollback takes back, as reader has it. A Rollback does not need the object
// any more.
func (r *PromotionReconciler) freightOf(ctx context.Context, reader client.Reader, o *promotion.Observation, p *v1alpha1.Promotion) (*v1alpha1.Freight, error) {
	name := p.Spec.Freight
	if p.Spec.Kind == v1alpha1.KindRollback {
		for _, c := range o.Stage.Status.Current {
			if name == "" || c.Freight == name {
				f := &v1alpha1.Freight{Origin: v1alpha1.Origin{Name: c.Origin}, Images: c.Images, Commits: c.Commits, Charts: c.Charts}
				f.Namespace, f.Name = p.Namespace, c.Freight
				return f, nil
			}
		}
	}
	if f := o.FreightByName(name); f != nil && reader == r.Client {
		return f, nil
	}
	var f v1alpha1.Freight
	if err := reader.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, &f); err != nil {
		return nil, err //nolint:wrapcheck // callers test for not found
	}
	return &f, nil
}

// reasonOf turns an error of an adapter into a word for programs.
func reasonOf(err error) string {
	var named *step.ReasonedError
	if errors.As(err, &named) {
		return named.Reason
	}
	for _, k := range []struct {
		kind   error
		reason string
	}{
		{git.ErrAuthentication, "AuthenticationFailed"},
		{git.ErrHostKey, "HostKeyNotTrusted"},
		{git.ErrNotFound, "RepositoryNotFound"},
		{git.ErrBranchNotFound, "BranchNotFound"},
		{git.ErrUnreachable, "GitUnreachable"},
		{git.ErrInvalidRemote, "InvalidRepository"},
		{git.ErrRedirected, "Redirected"},
		{git.ErrNotGit, "NotGit"},
		{git.ErrTooLarge, "TooLarge"},
		{git.ErrUnknownOutcome, "PushOutcomeUnknown"},
		{git.ErrMoved, "BranchMoved"},
		{git.ErrRejected, "PushRejected"},
	} {
		if errors.Is(err, k.kind) {
			return k.reason
		}
	}
	return "StepFailed"
}

// setPlan freezes a plan and resets the progress.
func setPlan(p *v1alpha1.Promotion, plan *v1alpha1.PromotionPlan) {
	p.Status.Plan = plan
	steps := make([]v1alpha1.StepStatus, len(plan.Steps))
	for i, s := range plan.Steps {
		steps[i] = v1alpha1.StepStatus{As: s.As, Uses: s.Uses, State: v1alpha1.StepPending}
	}
	p.Status.Steps = steps
}

// planFailed tells errors that a person must mend (terminal) from those that
// go away by themselves; both say what was wrong.
func (r *PromotionReconciler) planFailed(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, err error) (ctrl.Result, error) {
	var terminal *step.TerminalError
	if errors.As(err, &terminal) {
		return r.planImpossible(ctx, p, after, terminal)
	}
	// The instant is recorded: the patch that says why wakes us at once, and
	// must not be taken for news.
	after.Status.PlanAttempts++
	at := r.Clock.Now().Add(promotion.RetryDelay(after.Status.PlanAttempts))
	after.Status.PlanRetryAt = &metav1.MicroTime{Time: at}
	return r.wait(ctx, p, after, at, reasonOf(err), err.Error())
}

// planImpossible ends a Promotion that the Stage's definition makes impossible,
// unless it came by itself: nobody would start that one again, so it waits for
// another definition.
func (r *PromotionReconciler) planImpossible(ctx context.Context, before, after *v1alpha1.Promotion, cause *step.TerminalError) (ctrl.Result, error) {
	if !after.Spec.Automatic || after.Spec.Kind == v1alpha1.KindRollback {
		return r.end(ctx, before, after, v1alpha1.PhaseFailed, cause.Reason, cause.Error())
	}
	after.Status.Plan, after.Status.Steps, after.Status.StartedAt, after.Status.PlanRetryAt = nil, nil, nil, nil
	r.phase(after, v1alpha1.PhasePending, cause.Reason, cause.Error())
	setStalled(&after.Status.Conditions, after.Generation, cause.Reason, after.Status.Message)
	return ctrl.Result{}, patchStatus(ctx, r.Client, before, after)
}
