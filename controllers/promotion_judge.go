package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
)

// judge concludes from health, and reverts by policy.
func (r *PromotionReconciler) judge(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	if p.Status.Phase == v1alpha1.PhaseSucceeded && !isCurrentPromotion(o, p) {
		return ctrl.Result{}, nil
	}
	reach, err := r.reach(ctx, o, p)
	if err != nil {
		return ctrl.Result{}, err
	}
	after := p.DeepCopy()
	var look time.Time
	if p.Status.Phase == v1alpha1.PhaseVerifying {
		if look, err = r.verify(ctx, o, p, after, reach); err != nil {
			return ctrl.Result{}, err
		}
	}
	v := promotion.JudgeHealth(o, after, reach)
	if v.Revert {
		if err := r.createRollback(ctx, o, p, v.Cause); err != nil {
			return ctrl.Result{}, err
		}
	}
	unrehearsed := r.rehearseRollback(ctx, o, after, v) // tried again, and keeps no verdict back
	after.Status.UnhealthySince = nil
	if !v.UnhealthySince.IsZero() {
		after.Status.UnhealthySince = &metav1.MicroTime{Time: v.UnhealthySince}
	}
	if v.Phase == v1alpha1.PhaseVerifying && p.Status.Phase != v.Phase {
		return r.beginVerifying(ctx, o, p, after, v)
	}
	if v.Phase.IsFinished() && !p.Status.Phase.IsFinished() || v.Phase != p.Status.Phase {
		r.stopRunning(ctx, after)
		result, err := r.end(ctx, p, after, v.Phase, v.Reason, v.Message)
		return result, errors.Join(err, unrehearsed)
	}
	r.phase(after, v.Phase, v.Reason, v.Message)
	onlyWords := p.Status.Reason == after.Status.Reason && (p.Status.Rollback == nil) == (after.Status.Rollback == nil) && p.Status.UnhealthySince.Equal(after.Status.UnhealthySince) &&
		!hasProgressed(p.Status.Verification, after.Status.Verification)
	due, err := r.writes.patch(ctx, r.Client, p, after, onlyWords, o.Now)
	return lookAgain(o.Now, sooner(sooner(v.Recheck, look), due)), errors.Join(err, unrehearsed)
}

// isCurrentPromotion reports whether the Stage runs what p brought.
func isCurrentPromotion(o *promotion.Observation, p *v1alpha1.Promotion) bool {
	for _, c := range o.Stage.Status.Current {
		if c.Promotion == p.Name {
			return true
		}
	}
	return false
}

// ancestorDepth is how far back a branch is searched for a Promotion's commit.
const ancestorDepth = 500

// reach says how far the Stage's Applications are with the Promotion's commit.
func (r *PromotionReconciler) reach(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (promotion.Reach, error) {
	if len(o.Stage.Spec.Deploy) == 0 || p.Status.Commit == nil {
		return promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthHealthy}}, nil
	}
	var apps v1alpha1.ApplicationList
	err := r.Client.List(ctx, &apps, client.InNamespace(p.Namespace), client.MatchingLabels{v1alpha1.LabelStage: p.Spec.Stage})
	if err != nil {
		return promotion.Reach{}, fmt.Errorf("list Applications of Stage %q: %w", p.Spec.Stage, err)
	}
	// An Application that a person labelled as the Stage's says nothing about it.
	apps.Items = slices.DeleteFunc(apps.Items, func(a v1alpha1.Application) bool { return !metav1.IsControlledBy(&a, o.Stage) })
	out := promotion.Reach{Reached: true, Health: v1alpha1.Health{Status: v1alpha1.HealthHealthy}}
	if len(apps.Items) < len(o.Stage.Spec.Deploy) {
		return promotion.Reach{Message: "not every deploy entry has an Application yet"}, nil
	}
	for i := range apps.Items {
		app := &apps.Items[i]
		commit := promotion.CommitFor(p.Status.Written(), app.Spec.Source)
		if reached, why := gitops.Reached(app, commit.Commit, r.acceptedTrees(ctx, p.Namespace, commit, app)...); !reached {
			out.Reached = false
			if out.Failed == "" {
				out.Failed = gitops.Failed(app, commit.Commit)
			}
			if out.Message == "" {
				out.Message = why
			}
			continue
		}
		if gitops.Severity(app.Status.Health.Status) > gitops.Severity(out.Health.Status) {
			out.Health = *app.Status.Health
		}
	}
	return out, nil
}

// acceptedTrees returns the trees of the Application's path that count as the
// commit's: what it has there, and what a descendant has that the
// Application runs already. Nothing is fetched; what the mirror does not know
// is not accepted.
func (r *PromotionReconciler) acceptedTrees(ctx context.Context, project string, c v1alpha1.PromotionCommit, app *v1alpha1.Application) []string {
	mirror, err := r.Repositories.Open(ctx, project, c.RepoURL)
	if err != nil {
		return nil
	}
	commit, err := git.ParseHash(c.Commit)
	if err != nil {
		return nil
	}
	path := app.Spec.Source.Path
	if path == "." {
		path = ""
	}
	var out []string
	if tree, err := mirror.TreeHash(commit, path); err == nil {
		out = append(out, tree.String())
	}
	if revision, err := git.ParseHash(app.Status.Sync.Revision); err == nil && revision != commit && mirror.Has(revision) {
		if isAncestor(mirror, commit, revision) {
			out = append(out, app.Status.Sync.Tree)
		}
	}
	return out
}

// isAncestor reports whether commit is reached from head along first parents.
func isAncestor(m *git.Mirror, commit, head git.Hash) bool {
	for c, err := range m.FirstParents(head, git.Hash{}, ancestorDepth) {
		if err != nil {
			return false
		}
		if c.Hash == commit {
			return true
		}
	}
	return false
}
