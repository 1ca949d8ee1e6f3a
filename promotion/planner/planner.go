// Package planner resolves what a Promotion is going to do. It reads Git and
// writes nothing. The controller freezes its answer, the API shows it: both ask
// here, so that what is shown is what is done.
package planner

import (
	"context"
	"errors"
	"fmt"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

const (
	// foreignDepth is how far back a branch is searched for Waybill's last
	// commit, and maxForeign how many commits by others a plan lists.
	foreignDepth = 500
	maxForeign   = 20
	// maxSubject bounds what is shown of a commit, in bytes.
	maxSubject = 200
	// historyDepth is how far back the branch that is read is searched for the
	// place where the Stage's branch began.
	historyDepth = 20_000
)

// Planner makes plans. It is safe for concurrent use.
type Planner struct {
	// Repositories of all Projects.
	Repositories step.Repositories
	// Engine runs the steps of a preview.
	Engine *engine.Engine
	// Renders keeps what was rendered; Limits bounds one rendering.
	Renders *render.Cache
	Limits  render.Limits
	// Users says what images run as; nil: nothing is said about that.
	Users ImageUsers
}

// New returns a Planner that reads repositories and previews with e.
// What it renders is kept in renders, which the reconciler has as well.
func New(repositories step.Repositories, e *engine.Engine, renders *render.Cache) *Planner {
	return &Planner{Repositories: repositories, Engine: e, Renders: renders}
}

// Plan returns the plan of p, a Promotion of freight into the observed Stage.
// Errors are terminal (step.TerminalError) when only a person can help.
func (l *Planner) Plan(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight) (*v1alpha1.PromotionPlan, error) {
	if promotion.IsControlFlow(o.Stage) {
		return nil, step.Terminal("ControlFlow", fmt.Errorf("stage %q has no promotionMechanisms and no promotionTemplate: Freight passes through it by itself", o.Stage.Name))
	}
	plan := &v1alpha1.PromotionPlan{
		StageGeneration: o.Stage.Generation,
		Before:          &v1alpha1.StageBefore{Current: o.Stage.Status.Current, Healthy: promotion.Settled(o.Stage)},
	}
	if p.Spec.Kind == v1alpha1.KindRollback {
		return l.rollback(ctx, o, p, plan)
	}
	plan.Collection, plan.FreightAlias = promotion.Collection(o.Stage, freight), freight.Alias
	if o.Stage.Spec.PromotionTemplate != nil {
		return plan, l.template(ctx, o, p, plan)
	}
	if problems := promotion.CheckUpdates(o.Stage); len(problems) > 0 {
		return nil, step.Terminal(problems[0].Reason, fmt.Errorf("%s", problems[0].Message))
	}
	var src promotion.Sources
	for _, u := range o.Stage.Spec.PromotionMechanisms.GitRepoUpdates {
		r, err := l.resolve(ctx, o, u, approvedPlan(o, p), plan.Collection)
		if err != nil {
			return nil, err
		}
		addBase(plan, r.base)
		r.base, _ = baseOf(plan, r.base) // one commit for all that read the same branch
		src.Base, src.Shared = append(src.Base, r.base), append(src.Shared, r.isShared)
		var head *string
		if !r.isShared {
			plan.Accepted = appendUpTo(plan.Accepted, r.accepted)
		}
		if u.ForeignCommits != "Overwrite" && !r.isShared && u.PullRequest == nil { // who merges sees what goes
			head = &r.head
			plan.Overwrites = appendUpTo(plan.Overwrites, r.foreign)
		}
		src.Heads = append(src.Heads, head)
	}
	steps, err := promotion.Compile(o.Stage, plan.Collection, src)
	var missing *promotion.ImageMissingError
	if errors.As(err, &missing) {
		return nil, step.Terminal("ImageMissing", err)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // names the mechanism already
	}
	plan.Steps = steps
	return plan, nil
}

// rollback completes the plan of a Rollback.
func (l *Planner) rollback(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, plan *v1alpha1.PromotionPlan) (*v1alpha1.PromotionPlan, error) {
	bad := promotion.CurrentPromotion(o, p.Spec.Freight)
	target, err := promotion.FindRollbackTarget(o, bad, p.Spec.To)
	if errors.Is(err, promotion.ErrNothingToRestore) {
		return nil, step.Terminal("NothingToRestore", err)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // names the Stage already
	}
	plan.Collection, plan.Undoes = target.Collection, target.Promotion
	for i := range target.Reverts {
		if err := l.limit(ctx, o, &target.Reverts[i], plan); err != nil {
			return nil, err
		}
	}
	plan.Steps, err = promotion.CompileRollback(o.Stage, target)
	return plan, err //nolint:wrapcheck // names the step already
}

// limit says which paths of its branch a revert may touch, and adds to the plan
// what the branch is made from.
func (l *Planner) limit(ctx context.Context, o *promotion.Observation, r *promotion.Revert, plan *v1alpha1.PromotionPlan) error {
	if o.Stage.Spec.PromotionTemplate != nil {
		var err error
		r.Paths, err = l.ownPaths(ctx, o, *r)
		return err
	}
	if o.Stage.Spec.PromotionMechanisms == nil {
		return nil
	}
	for _, u := range o.Stage.Spec.PromotionMechanisms.GitRepoUpdates {
		if u.WriteBranch != r.Undo.Branch || !promotion.IsSameRepository(u.RepoURL, r.Undo.RepoURL) {
			continue
		}
		found, err := l.resolve(ctx, o, u, nil, nil) // a rollback builds on nothing but the branch
		if err != nil {
			return err
		}
		addBase(plan, found.base)
		if found.isShared {
			r.Paths = promotion.StagePaths(o.Stage, r.Undo.RepoURL, r.Undo.Branch)
		}
	}
	return nil
}

// resolved is where the branches of one mechanism are.
type resolved struct {
	base v1alpha1.PlanBase
	// head of writeBranch in hex; empty when it does not exist.
	head string
	// isShared: only this Stage's paths of the branch may change.
	isShared bool
	// foreign are commits by others that a promotion would replace.
	foreign []v1alpha1.ForeignCommit
	// accepted are commits by Waybill that a promotion would replace as well.
	accepted []v1alpha1.AcceptedCommit
}

// approvedPlan returns the plan that people approve, or may have approved, as
// long as the Stage's definition is the one it was made from: what it was made
// from is read once (02, What a Promotion writes).
func approvedPlan(o *promotion.Observation, p *v1alpha1.Promotion) *v1alpha1.PromotionPlan {
	if plan := p.Status.Plan; promotion.NeedsApproval(o.Stage, p) && plan != nil && plan.Hash != "" && plan.StageGeneration == o.Stage.Generation {
		return plan
	}
	return nil
}

// keptBase returns the commit of the plan that is approved, when the repository
// still has it.
func keptBase(plan *v1alpha1.PromotionPlan, m *git.Mirror, repoURL, branch string) (git.Hash, bool) {
	if plan == nil {
		return git.Hash{}, false
	}
	for _, b := range plan.Bases {
		if b.RepoURL == repoURL && b.Branch == branch {
			if h, err := git.ParseHash(b.Commit); err == nil && m.Has(h) {
				return h, true
			}
		}
	}
	return git.Hash{}, false
}

// resolve finds the branches of one mechanism. kept is the plan whose base is
// kept, or nil.
func (l *Planner) resolve(ctx context.Context, o *promotion.Observation, u v1alpha1.GitRepoUpdate, kept *v1alpha1.PromotionPlan, collection []v1alpha1.StageFreight) (resolved, error) {
	mirror, err := l.Repositories.Open(ctx, o.Stage.Namespace, u.RepoURL)
	if err != nil {
		return resolved{}, err //nolint:wrapcheck // names the repository already
	}
	refs, err := mirror.Fetch(ctx, u.ReadBranch, u.WriteBranch)
	if err != nil {
		return resolved{}, err //nolint:wrapcheck // names the repository already
	}
	readBranch := u.ReadBranch
	if readBranch == "" {
		readBranch = refs.DefaultBranch
	}
	readHead, err := refs.Head(readBranch)
	if err != nil {
		return resolved{}, fmt.Errorf("readBranch of Stage %q: %w", o.Stage.Name, err)
	}
	base := readHead
	if c, ok := promotion.BaseCommit(collection, u.RepoURL); ok {
		if base, err = fetchCommit(ctx, mirror, c); err != nil {
			return resolved{}, err
		}
	} else if h, ok := keptBase(kept, mirror, u.RepoURL, readBranch); ok {
		base = h
	}
	r := resolved{
		base:     v1alpha1.PlanBase{RepoURL: u.RepoURL, Branch: readBranch, Commit: base.String()},
		isShared: promotion.IsSharedBranch(o.Stage, u, readBranch, o.Stages),
	}
	if head, exists := refs.Branches[u.WriteBranch]; exists {
		r.head = head.String()
		if r.foreign, r.accepted, err = replacedCommits(mirror, o.Stage.Namespace, head, readHead); err != nil {
			return resolved{}, err
		}
	}
	return r, nil
}

// fetchCommit brings the commit of a Freight into the mirror: with the branch it
// was found on, or by its hash when that branch has been rewritten or it was
// found by a tag.
func fetchCommit(ctx context.Context, m *git.Mirror, c v1alpha1.Commit) (git.Hash, error) {
	h, err := git.ParseHash(c.ID)
	if err != nil {
		return h, step.Terminal("CommitMissing", fmt.Errorf("commit of the Freight: %w", err))
	}
	if !m.Has(h) && c.Branch != "" {
		if _, err := m.Fetch(ctx, c.Branch); err != nil {
			return h, err //nolint:wrapcheck // names the repository already
		}
	}
	if m.Has(h) {
		return h, nil
	}
	switch _, err := m.FetchObjects(ctx, h); {
	case errors.Is(err, git.ErrRejected):
		return h, step.Terminal("CommitMissing", fmt.Errorf("%s does not have commit %s of the Freight any more", m.URL(), h.Short()))
	case err != nil:
		return h, err //nolint:wrapcheck // names the repository already
	}
	if !m.Has(h) {
		return h, step.Terminal("CommitMissing", fmt.Errorf("%s of the Freight is no commit of %s", h.Short(), m.URL()))
	}
	return h, nil
}

// history returns the commits that head leads to along first parents, as far
// as they can matter.
func history(m *git.Mirror, head git.Hash) (map[git.Hash]bool, error) {
	out := map[git.Hash]bool{}
	for c, err := range m.FirstParents(head, git.Hash{}, historyDepth) {
		switch {
		case errors.Is(err, git.ErrTooLarge):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("look for commits by others: %w", err)
		}
		out[c.Hash] = true
	}
	return out, nil
}
