package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/observe"
)

// createRollback creates the Rollback by policy of a bad Promotion, once: one
// that exists for the same Promotion is the same decision, made before. A
// verdict on a copy that has changed since is a conflict: it could not be
// recorded afterwards, and the Rollback would abort the Promotion before its
// record says what failed.
func (r *PromotionReconciler) createRollback(ctx context.Context, o *promotion.Observation, bad *v1alpha1.Promotion, why string) error {
	if err := observe.LivePromotions(ctx, r.Live, o); err != nil {
		return err
	}
	for i := range o.Promotions {
		q := &o.Promotions[i]
		if q.Name == bad.Name && q.ResourceVersion != bad.ResourceVersion {
			return apierrors.NewConflict(v1alpha1.GroupVersion().WithResource("promotions").GroupResource(), bad.Name, errors.New("it changed after it was judged"))
		}
		if q.Spec.Kind == v1alpha1.KindRollback && q.Spec.Automatic && q.Spec.Freight == bad.Spec.Freight && promotion.Seq(q.Name) > promotion.Seq(bad.Name) {
			return nil
		}
	}
	rollback := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{
		Stage: bad.Spec.Stage, Kind: v1alpha1.KindRollback, Freight: bad.Spec.Freight, Automatic: true,
		RequestedBy: v1alpha1.PolicyUser, Reason: truncate(why, 1024),
	}}
	rollback.Namespace = bad.Namespace
	rollback.Name = promotion.Name(bad.Spec.Stage, promotion.NextSeq(o.Stage, o.Promotions), bad.Spec.Freight)
	rollback.Labels = map[string]string{v1alpha1.LabelStage: bad.Spec.Stage}
	if err := r.Client.Create(ctx, rollback); err != nil {
		return fmt.Errorf("create Rollback %q: %w", rollback.Name, err)
	}
	return nil
}

// rolledBackBy returns the Rollback that pushed a commit taking p's back,
// or nil.
func rolledBackBy(o *promotion.Observation, p *v1alpha1.Promotion) *v1alpha1.Promotion {
	if p.Status.Commit == nil || p.Spec.Kind == v1alpha1.KindRollback {
		return nil
	}
	for i := range o.Promotions {
		q := &o.Promotions[i]
		if q.Spec.Kind != v1alpha1.KindRollback || q.Status.PushedAt == nil || promotion.Seq(q.Name) < promotion.Seq(p.Name) {
			continue
		}
		if q.Status.Plan != nil && q.Status.Plan.Undoes == p.Name && promotion.HasPushedAll(q) {
			return q
		}
	}
	return nil
}

// takenBackText says what took a Promotion back, and why: the record of a bad
// version is read without that of its rollback.
func takenBackText(rollback *v1alpha1.Promotion) string {
	text := fmt.Sprintf("taken back by %q", rollback.Name)
	if rollback.Spec.Reason != "" {
		text += ": " + rollback.Spec.Reason
	}
	return text
}

// clearTheWay makes everything ready for a Rollback: what is under way in the
// Stage is aborted, what is taken back is rejected, and the automatic flow is
// held where the policy or a person's rollback says so. It reports whether the
// way is clear. A promotion needs no such thing.
func (r *PromotionReconciler) clearTheWay(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (bool, error) {
	if p.Spec.Kind != v1alpha1.KindRollback {
		return true, nil
	}
	if err := r.stopTheFlow(ctx, o, p); err != nil {
		return false, err
	}
	clear := true
	for i := range o.Promotions {
		q := &o.Promotions[i]
		isOver := q.Status.Phase.IsFinished() && !(q.Status.Phase == v1alpha1.PhaseAborted && promotion.IsInDoubt(q))
		if q.Name == p.Name || isOver {
			continue
		}
		clear = false
		if q.Spec.Abort != nil {
			continue
		}
		aborted := q.DeepCopy()
		aborted.Spec.Abort = &v1alpha1.Abort{By: v1alpha1.PolicyUser, Reason: fmt.Sprintf("rollback %q", p.Name)}
		if err := r.Client.Patch(ctx, aborted, client.MergeFrom(q)); err != nil {
			return false, fmt.Errorf("abort Promotion %q: %w", q.Name, err)
		}
	}
	return clear, nil
}

// stopTheFlow writes the Freezes of a Rollback under deterministic names.
func (r *PromotionReconciler) stopTheFlow(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) error {
	target, err := promotion.FindRollbackTarget(o, promotion.CurrentPromotion(o, p.Spec.Freight), p.Spec.To)
	if err != nil {
		return nil //nolint:nilerr // the plan reports it; nothing is stopped for a rollback that cannot be
	}
	for _, c := range o.Stage.Status.Current {
		if keeps(target.Collection, c) {
			continue
		}
		if err := r.freeze(ctx, o, p, "rejected."+p.Spec.Stage+"."+c.Freight, []string{c.Freight}, v1alpha1.FreezeAll); err != nil {
			return err
		}
	}
	if p.Spec.Automatic && !o.Stage.Spec.Rollback.Hold {
		return nil
	}
	return r.freeze(ctx, o, p, "hold."+p.Spec.Stage, nil, v1alpha1.FreezeAutomatic)
}

func keeps(collection []v1alpha1.StageFreight, c v1alpha1.StageFreight) bool {
	for _, t := range collection {
		if t.Origin == c.Origin {
			return t.Freight == c.Freight
		}
	}
	return false
}

func (r *PromotionReconciler) freeze(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, name string, freight []string, scope v1alpha1.FreezeScope) error {
	reason := "rolled back by " + strings.TrimPrefix(p.Spec.RequestedBy, "waybill:")
	if p.Spec.Reason != "" {
		reason += ": " + p.Spec.Reason
	}
	z := &v1alpha1.Freeze{Spec: v1alpha1.FreezeSpec{
		Stage: p.Spec.Stage, Freight: freight, Scope: scope, By: v1alpha1.PolicyUser, Reason: truncate(reason, 1024),
	}}
	if slices.ContainsFunc(o.Freezes, func(there v1alpha1.Freeze) bool { return stopsAsMuch(&there.Spec, &z.Spec) }) {
		return nil
	}
	z.Namespace, z.Name = p.Namespace, name
	err := r.Client.Create(ctx, z)
	if apierrors.IsAlreadyExists(err) {
		// The name is taken by one that has run out, or that a person gave
		// another meaning.
		z.Name, z.GenerateName = "", name+"-"
		err = r.Client.Create(ctx, z)
	}
	if err != nil {
		return fmt.Errorf("create Freeze %q: %w", name, err)
	}
	return nil
}

// stopsAsMuch reports whether the Freeze there stops all that want stops, for as
// long.
func stopsAsMuch(there, want *v1alpha1.FreezeSpec) bool {
	for _, f := range want.Freight {
		if !slices.Contains(there.Freight, f) {
			return false
		}
	}
	return there.Until == nil && (there.Stage == want.Stage || there.Stage == "*") && len(there.Freight) > 0 == (len(want.Freight) > 0) &&
		(there.Scope == want.Scope || len(want.Freight) > 0 && there.Scope != v1alpha1.FreezeAutomatic)
}

// rehearseRollback works out, once and when a Promotion succeeds, what taking it
// back would do. What it compares was rendered before, for the Applications.
func (r *PromotionReconciler) rehearseRollback(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, v promotion.HealthVerdict) error {
	if v.Phase != v1alpha1.PhaseSucceeded || p.Status.Rollback != nil || p.Spec.Kind == v1alpha1.KindRollback || p.Status.Commit == nil {
		return nil
	}
	rehearsal, err := r.Planner.RehearseRollback(ctx, o, p)
	if err != nil {
		return fmt.Errorf("rehearse the rollback of %q: %w", p.Name, err)
	}
	p.Status.Rollback = rehearsal
	return nil
}
