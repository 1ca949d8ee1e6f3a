package planner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// template completes the plan of a Stage with a promotionTemplate: its steps,
// with every branch that is only read at the commit where it is now, and every
// branch whose content is going to be replaced where it has to be found.
func (l *Planner) template(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, plan *v1alpha1.PromotionPlan) error {
	if problems := promotion.CheckTemplate(o.Stage, o.Tasks); len(problems) > 0 {
		return step.Terminal(problems[0].Reason, fmt.Errorf("%s", problems[0].Message))
	}
	var err error
	if plan.Steps, plan.Vars, err = promotion.CompileTemplate(o.Stage, o.Tasks); err != nil {
		return step.Terminal(promotion.ReasonInvalidConfig, err)
	}
	work := p.DeepCopy()
	work.Status.Plan = plan
	writes := map[string]promotion.Write{} // by path of the working tree
	for _, w := range promotion.PlannedWrites(work) {
		if w.Path != "" {
			writes[w.Path] = w
		}
	}
	for i := range plan.Steps {
		if plan.Steps[i].Uses != "git-clone" {
			continue
		}
		if err := l.pin(ctx, work, i, writes, approvedPlan(o, p)); err != nil {
			return err
		}
	}
	return nil
}

// pin resolves the branches of one git-clone step, if its configuration is known
// before any step has run. kept is a plan that people may have approved: what it
// read is read again.
func (l *Planner) pin(ctx context.Context, p *v1alpha1.Promotion, i int, writes map[string]promotion.Write, kept *v1alpha1.PromotionPlan) error {
	plan := p.Status.Plan
	config, isKnown := promotion.StaticConfig(p, i, "repoURL", "checkout")
	if !isKnown {
		return nil
	}
	repoURL, _ := config["repoURL"].(string)
	mirror, err := l.Repositories.Open(ctx, p.Namespace, repoURL)
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	var checkouts []map[string]any
	var branches []string
	list, _ := config["checkout"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			checkouts = append(checkouts, m)
			branch, _ := m["branch"].(string)
			branches = append(branches, branch)
		}
	}
	refs, err := mirror.Fetch(ctx, branches...)
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	var replaced []map[string]any
	var base git.Hash
	for _, m := range checkouts {
		branch, _ := m["branch"].(string)
		at, _ := m["path"].(string)
		w, isWritten := writes[path.Clean(at)]
		commit, _ := m["commit"].(string)
		switch {
		case isWritten && w.Branch == branch && w.IsCleared:
			replaced = append(replaced, m)
		case isWritten && w.Branch == branch:
			// Edited in place, wherever the branch is by then.
		case commit != "":
			if h, err := git.ParseHash(commit); err == nil && base.IsZero() {
				base = h
			}
		default:
			head, err := refs.Head(branch)
			if h, ok := keptBase(kept, mirror, repoURL, cmp.Or(branch, refs.DefaultBranch)); ok {
				head, err = h, nil
			}
			if err != nil {
				if create, _ := m["create"].(bool); create {
					continue
				}
				return fmt.Errorf("step %q: %w", plan.Steps[i].As, err)
			}
			if base.IsZero() {
				base = head
			}
			delete(m, "branch")
			m["commit"] = head.String()
			addBase(plan, v1alpha1.PlanBase{RepoURL: repoURL, Branch: cmp.Or(branch, refs.DefaultBranch), Commit: head.String()})
		}
	}
	for _, m := range replaced {
		if err := lookForOthers(mirror, p, plan, m, refs, base); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("step %q: %w", plan.Steps[i].As, err)
	}
	plan.Steps[i].Config = &runtime.RawExtension{Raw: raw}
	return nil
}

// lookForOthers says where a branch that is replaced has to be found, and lists
// the commits by others on it.
func lookForOthers(mirror *git.Mirror, p *v1alpha1.Promotion, plan *v1alpha1.PromotionPlan, checkout map[string]any, refs git.Refs, base git.Hash) error {
	isAsked := checkout["foreignCommits"] != "Overwrite"
	branch, _ := checkout["branch"].(string)
	head, exists := refs.Branches[branch]
	if !exists {
		if isAsked {
			checkout["head"] = ""
		}
		return nil
	}
	foreign, accepted, err := replacedCommits(mirror, p.Namespace, head, base)
	if err != nil {
		return err
	}
	plan.Accepted = appendUpTo(plan.Accepted, accepted)
	if isAsked {
		checkout["head"] = head.String()
		plan.Overwrites = appendUpTo(plan.Overwrites, foreign)
	}
	return nil
}

// addBase adds what is read, unless the plan has a commit of that branch.
func addBase(plan *v1alpha1.PromotionPlan, base v1alpha1.PlanBase) {
	if _, known := baseOf(plan, base); !known {
		plan.Bases = append(plan.Bases, base)
	}
}

// baseOf returns the base of the plan on the same branch.
func baseOf(plan *v1alpha1.PromotionPlan, like v1alpha1.PlanBase) (v1alpha1.PlanBase, bool) {
	for _, b := range plan.Bases {
		if b.RepoURL == like.RepoURL && b.Branch == like.Branch {
			return b, true
		}
	}
	return like, false
}
