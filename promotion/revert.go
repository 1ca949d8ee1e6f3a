package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// RollbackTarget is the version a Stage goes back to.
type RollbackTarget struct {
	// Collection that runs afterwards.
	Collection []v1alpha1.StageFreight
	// Reverts of all branches that the Stage writes, in the order of the pushes;
	// never empty.
	Reverts []Revert
	// Promotion that is taken back; empty when the Stage was adopted.
	Promotion string
}

// Revert takes back what was written on one branch.
type Revert struct {
	// Undo is the commit that is taken back: what Collection changed to.
	Undo v1alpha1.PromotionCommit
	// To is the commit whose tree is restored.
	To string
	// Paths limits the change to these folders and files; empty: everywhere.
	Paths []string
}

// FindRollbackTarget returns where a rollback of the observed Stage leads.
//
// byPolicy of a Promotion restores the trees of its commits' first parents, so
// that a hotfix made before it stays. A rollback by a person goes to the last
// good version whose Freight differs from the current one, or to the one named
// by to (a Freight name). All branches go back or none: it returns
// ErrNothingToRestore, wrapped with what was looked for, when one cannot.
func FindRollbackTarget(o *Observation, bad *v1alpha1.Promotion, to string) (RollbackTarget, error) {
	undo, err := undone(o, bad)
	if err != nil {
		return RollbackTarget{}, err
	}
	var t RollbackTarget
	if bad != nil && bad.Status.Commit != nil {
		t.Promotion = bad.Name
	}
	if t.Reverts = toParents(bad); to == "" && len(t.Reverts) > 0 {
		t.Collection = bad.Status.Plan.Before.Current
		return t, nil
	}
	missing := ""
	for _, good := range o.Stage.Status.Good {
		if to == "" && isCurrent(o.Stage, good.Freight) || to != "" && good.Freight != to {
			continue
		}
		reverts, lacks := toGood(undo, &good)
		if missing == "" {
			missing = lacks
		}
		if lacks == "" && len(reverts) > 0 {
			t.Reverts, t.Collection = reverts, collectionWith(o.Stage, good)
			return t, nil
		}
	}
	switch {
	case missing != "":
		return RollbackTarget{}, fmt.Errorf("%w: no earlier version of %q has %s; restore it by hand", ErrNothingToRestore, o.Stage.Name, missing)
	case to != "":
		return RollbackTarget{}, fmt.Errorf("%w: Freight %q never ran Healthy in %q", ErrNothingToRestore, to, o.Stage.Name)
	}
	return RollbackTarget{}, fmt.Errorf("%w: no earlier version ran Healthy in %q", ErrNothingToRestore, o.Stage.Name)
}

// toParents restores what each branch held before a Promotion, if that ran
// Healthy; nil when it cannot be done for all of them.
func toParents(bad *v1alpha1.Promotion) []Revert {
	if bad == nil || bad.Spec.Kind == v1alpha1.KindRollback || bad.Status.Plan == nil || bad.Status.Plan.Before == nil ||
		!bad.Status.Plan.Before.Healthy || len(bad.Status.Plan.Before.Current) == 0 {
		return nil
	}
	var out []Revert
	for _, c := range bad.Status.Written() {
		switch {
		case c.Unchanged:
		case c.Parent == "":
			return nil
		default:
			out = append(out, Revert{Undo: c, To: c.Parent})
		}
	}
	return out
}

// toGood restores what a good version had on every branch. lacks names a branch
// that it does not know; there are no reverts when it is what is there.
func toGood(undo []v1alpha1.PromotionCommit, good *v1alpha1.StageFreight) (reverts []Revert, lacks string) {
	differs := false
	for _, c := range undo {
		to := writtenOn(good, c.RepoURL, c.Branch)
		isNamed := len(undo) == 1 || len(good.Written) > 0
		switch {
		case good.Commit == "":
			return nil, ""
		case to == "" || !isNamed:
			return nil, fmt.Sprintf("branch %q of %s", c.Branch, c.RepoURL)
		}
		differs = differs || to != c.Commit
		reverts = append(reverts, Revert{Undo: c, To: to})
	}
	if !differs {
		return nil, ""
	}
	return reverts, ""
}

// undone names the commits a rollback takes back: the Promotion's, and what the
// Stage's record says of branches that it has not written, or when it is gone.
func undone(o *Observation, bad *v1alpha1.Promotion) ([]v1alpha1.PromotionCommit, error) {
	var written []v1alpha1.PromotionCommit
	if bad != nil {
		written = bad.Status.Written()
	}
	writes := Writes(o.Stage)
	for _, cur := range o.Stage.Status.Current {
		if len(written) > 0 && cur.Promotion != bad.Name || cur.Commit == "" {
			continue
		}
		var out []v1alpha1.PromotionCommit
		for _, w := range cur.Written {
			if !slices.ContainsFunc(written, func(c v1alpha1.PromotionCommit) bool { return isSameBranch(c, w.RepoURL, w.Branch) }) {
				out = append(out, v1alpha1.PromotionCommit{RepoURL: w.RepoURL, Branch: w.Branch, Commit: w.Commit})
			}
		}
		if len(written) == 0 && len(cur.Written) == 0 && len(writes) > 0 {
			w := Home(writes)
			out = []v1alpha1.PromotionCommit{{RepoURL: w.RepoURL, Branch: w.Branch, Commit: cur.Commit}}
		}
		if written = append(out, written...); len(written) > 0 {
			return written, nil
		}
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("%w: nothing was promoted into %q yet", ErrNothingToRestore, o.Stage.Name)
	}
	return written, nil
}

func isCurrent(s *v1alpha1.Stage, freight string) bool {
	for _, c := range s.Status.Current {
		if c.Freight == freight {
			return true
		}
	}
	return false
}

// collectionWith is the Stage's current collection with good in place of its
// origin's Freight.
func collectionWith(s *v1alpha1.Stage, good v1alpha1.StageFreight) []v1alpha1.StageFreight {
	out := []v1alpha1.StageFreight{content(good)}
	for _, c := range s.Status.Current {
		if c.Origin != good.Origin {
			out = append(out, content(c))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Origin < out[j].Origin })
	return out
}

// CurrentPromotion returns the Promotion whose commit is what the Stage runs
// for the Freight (or for its only origin when freight is empty), or nil.
func CurrentPromotion(o *Observation, freight string) *v1alpha1.Promotion {
	for _, cur := range o.Stage.Status.Current {
		if freight != "" && cur.Freight != freight {
			continue
		}
		for i := range o.Promotions {
			if o.Promotions[i].Name == cur.Promotion {
				return &o.Promotions[i]
			}
		}
	}
	return nil
}

// CompileRollback turns a target into steps: restore the trees, commit, push.
// Every revert is worked out before the first is pushed, so that a conflict in
// one keeps all of them from being written.
func CompileRollback(stage *v1alpha1.Stage, t RollbackTarget) ([]v1alpha1.PlanStep, error) {
	var steps []v1alpha1.PlanStep
	add := func(uses string, config map[string]any) error {
		raw, err := json.Marshal(config)
		if err != nil {
			return fmt.Errorf("encode config of step %q: %w", uses, err)
		}
		steps = append(steps, v1alpha1.PlanStep{Uses: uses, As: fmt.Sprintf("%s-%d", uses, len(steps)+1), Config: &runtime.RawExtension{Raw: raw}})
		return nil
	}
	var errs []error
	for i, r := range t.Reverts {
		out := fmt.Sprintf("out-%d", i)
		errs = append(errs,
			add("git-clone", map[string]any{"repoURL": r.Undo.RepoURL, "checkout": []any{map[string]any{"branch": r.Undo.Branch, "path": out}}}),
			add("git-revert", map[string]any{"path": out, "undo": r.Undo.Commit, "to": r.To, "paths": r.Paths}),
			add("git-commit", map[string]any{"path": out, "message": rollbackSubject(stage.Name, t), "reverts": r.Undo.Commit}))
	}
	for i, r := range t.Reverts {
		errs = append(errs, add("git-push", map[string]any{"path": fmt.Sprintf("out-%d", i), "targetBranch": r.Undo.Branch}))
	}
	return steps, errors.Join(errs...)
}

func rollbackSubject(stage string, t RollbackTarget) string {
	var versions []string
	for _, f := range t.Collection {
		versions = append(versions, f.Artifacts().Versions()...)
	}
	sort.Strings(versions)
	return fmt.Sprintf("%s: roll back to %s", stage, strings.Join(versions, ", "))
}

// RevertPaths decides which paths a revert restores.
//
// undo are the paths that differ between the target and the commit that is
// taken back; after are those changed since by others. within limits the
// revert to these folders; empty means everywhere. A path that is in both undo
// and after is a conflict: then nothing may be written and a person is needed.
// Both results are sorted.
func RevertPaths(undo, after, within []string) (restore, conflicts []string) {
	touched := map[string]struct{}{}
	for _, p := range after {
		touched[p] = struct{}{}
	}
	for _, p := range undo {
		if !isWithin(p, within) {
			continue
		}
		if _, both := touched[p]; both {
			conflicts = append(conflicts, p)
			continue
		}
		restore = append(restore, p)
	}
	sort.Strings(restore)
	sort.Strings(conflicts)
	return restore, conflicts
}

func isWithin(p string, folders []string) bool {
	if len(folders) == 0 {
		return true
	}
	for _, f := range folders {
		if f == "." || p == f || strings.HasPrefix(p, f+"/") {
			return true
		}
	}
	return false
}
