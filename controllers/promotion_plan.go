package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// ancestorDepth is how far back a branch is searched for a Promotion's commit.
const ancestorDepth = 500

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
		if reached, why := gitops.Reached(app, p.Status.Commit.Commit, r.acceptedTrees(ctx, p, app)...); !reached {
			out.Reached = false
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
// Promotion's: what its commit has there, and what a descendant has that the
// Application runs already. Nothing is fetched; what the mirror does not know
// is not accepted.
func (r *PromotionReconciler) acceptedTrees(ctx context.Context, p *v1alpha1.Promotion, app *v1alpha1.Application) []string {
	mirror, err := r.Repositories.Open(ctx, p.Namespace, p.Status.Commit.RepoURL)
	if err != nil {
		return nil
	}
	commit, err := git.ParseHash(p.Status.Commit.Commit)
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
