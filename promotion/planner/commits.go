package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	// commitDepth is how far back commits are looked for, and maxCommits how many
	// are listed of one repository.
	commitDepth = 200
	maxCommits  = 50
)

// commitsSince lists the commits of the bases that what runs now was not made
// from, as far as they touch what is rendered.
func (l *Planner) commitsSince(ctx context.Context, o *promotion.Observation, r *Rehearsal) ([]Commit, error) {
	cur := promotion.CurrentPromotion(o, "")
	if cur == nil || cur.Status.Plan == nil {
		return nil, nil
	}
	var out []Commit
	for _, base := range r.Plan.Bases {
		before, isKnown := baseIn(cur.Status.Plan.Bases, base)
		if !isKnown {
			continue
		}
		mirror, err := l.Repositories.Open(ctx, o.Stage.Namespace, base.RepoURL)
		if err != nil {
			return nil, err //nolint:wrapcheck // names the repository already
		}
		commits, err := between(mirror, base, before, r.reads(o.Stage, base))
		if errors.Is(err, git.ErrNotAncestor) {
			continue // history was rewritten: there is nothing to list
		}
		if err != nil {
			return nil, err
		}
		out = append(out, commits...)
	}
	return out, nil
}

// ridesAlong returns what of the plan no upstream Stage has run: commits of the
// bases since the Freight was verified there, in what the Stage renders.
func (l *Planner) ridesAlong(ctx context.Context, o *promotion.Observation, r *Rehearsal, freight *v1alpha1.Freight) (*v1alpha1.RidingAlong, error) {
	request := promotion.Request(o.Stage, freight.Origin.Name)
	if request == nil || request.Sources.Direct {
		return nil, nil //nolint:nilnil // there is no upstream
	}
	var each []promotion.Untested
	for _, name := range request.Sources.Stages {
		var bases []v1alpha1.PlanBase
		isVerified := false
		for _, b := range promotion.VerifiedBases(request, freight) {
			if b.Stage != name {
				continue
			}
			if isVerified = true; b.Commit != "" {
				bases = append(bases, b.PlanBase)
			}
		}
		if !isVerified {
			continue
		}
		u, err := l.untested(ctx, o.Stage, r, name, bases)
		if err != nil {
			return nil, err
		}
		each = append(each, u)
	}
	return promotion.RidesAlong(request, freight, each), nil
}

// untested compares the bases of the plan with those that an upstream Stage
// verified the Freight with.
func (l *Planner) untested(ctx context.Context, stage *v1alpha1.Stage, r *Rehearsal, upstream string, bases []v1alpha1.PlanBase) (promotion.Untested, error) {
	out := promotion.Untested{Stage: upstream}
	for _, base := range r.Plan.Bases {
		before, isKnown := baseIn(bases, base)
		if !isKnown {
			out.Unknown = fmt.Sprintf("it is not known with which commit of %s %q has verified it", base.RepoURL, upstream)
			continue
		}
		mirror, err := l.Repositories.Open(ctx, stage.Namespace, base.RepoURL)
		if err != nil {
			return out, err //nolint:wrapcheck // names the repository already
		}
		commits, err := between(mirror, base, before, r.reads(stage, base))
		switch {
		case errors.Is(err, git.ErrNotAncestor):
			out.Unknown = fmt.Sprintf("commit %s, with which %q has verified it, is not in the history of %s any more", before.Short(), upstream, base.Branch)
		case err != nil:
			return out, err
		}
		for _, c := range commits {
			at := metav1.NewTime(c.When)
			out.Commits = append(out.Commits, v1alpha1.RidingCommit{RepoURL: c.RepoURL, Commit: c.Commit, Author: c.Author, Subject: c.Subject, At: &at})
		}
	}
	return out, nil
}

// baseIn returns the commit of the same repository among bases: of the same
// branch, else of any.
func baseIn(bases []v1alpha1.PlanBase, like v1alpha1.PlanBase) (git.Hash, bool) {
	var found git.Hash
	for _, b := range bases {
		h, err := git.ParseHash(b.Commit)
		if err != nil || !promotion.IsSameRepository(b.RepoURL, like.RepoURL) {
			continue
		}
		if b.Branch == like.Branch {
			return h, true
		}
		found = h
	}
	return found, !found.IsZero()
}

// reads returns which files of a base are read for what the Stage renders. Nil
// means that any may be: a template reads what it likes, and manifests that
// cannot be rendered do not say what they are made from.
func (r *Rehearsal) reads(stage *v1alpha1.Stage, base v1alpha1.PlanBase) map[string]bool {
	if stage.Spec.PromotionTemplate != nil {
		return nil
	}
	files := map[string]bool{}
	for i := range r.Applications {
		app := &r.Applications[i]
		if !promotion.IsSameRepository(app.Source.RepoURL, base.RepoURL) {
			continue
		}
		if app.Broken != "" {
			return nil
		}
		for name := range app.Files {
			files[name] = true
		}
	}
	if len(files) == 0 {
		return nil // nothing is deployed: what is written is what counts
	}
	return files
}

// between lists the commits that lead to a base from another, newest first, as
// far as they touch files that differ between the two and are read (nil: any).
// A change that was taken back is no difference. It returns ErrNotAncestor when
// the one does not lead to the other.
func between(m *git.Mirror, base v1alpha1.PlanBase, from git.Hash, reads map[string]bool) ([]Commit, error) {
	to, err := git.ParseHash(base.Commit)
	if err != nil || to == from {
		return nil, err //nolint:wrapcheck // names the hash already
	}
	if !m.Has(from) {
		return nil, fmt.Errorf("%w: commit %s of %s", git.ErrNotAncestor, from.Short(), base.RepoURL)
	}
	differ, isWhole, err := changedFiles(m, from, to, reads)
	if err != nil || isWhole && len(differ) == 0 {
		return nil, err
	}
	var out []Commit
	for c, err := range m.FirstParents(to, from, commitDepth) {
		if errors.Is(err, git.ErrTooLarge) {
			return out, nil // too many to list; those that are listed stand for them
		}
		if err != nil {
			return nil, fmt.Errorf("look for commits of %s: %w", base.RepoURL, err)
		}
		parent := git.Hash{}
		if len(c.Parents) > 0 {
			parent = c.Parents[0]
		}
		touched, isAll, err := changedFiles(m, parent, c.Hash, reads)
		if err != nil {
			return nil, err
		}
		if isWhole && isAll && !slices.ContainsFunc(touched, func(name string) bool { return slices.Contains(differ, name) }) {
			continue
		}
		subject, _, _ := strings.Cut(c.Message, "\n")
		out = append(out, Commit{
			RepoURL: base.RepoURL, Commit: c.Hash.String(), Author: promotion.OneLine(c.Author.Name, maxSubject),
			Subject: promotion.OneLine(subject, maxSubject), When: c.When,
		})
		if len(out) == maxCommits {
			break
		}
	}
	return out, nil
}

// changedFiles returns the files that differ and are read, and whether those are
// all: more than can be compared may be any.
func changedFiles(m *git.Mirror, from, to git.Hash, reads map[string]bool) (names []string, isWhole bool, err error) {
	changes, err := m.ChangedPaths(from, to)
	if errors.Is(err, git.ErrTooLarge) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("compare %s with %s: %w", from.Short(), to.Short(), err)
	}
	for _, c := range changes {
		if reads == nil || reads[c.Path] {
			names = append(names, c.Path)
		}
	}
	return names, true, nil
}
