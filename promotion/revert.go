package promotion

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// RollbackTarget is the version a Stage goes back to.
type RollbackTarget struct {
	// Collection that runs afterwards.
	Collection []v1alpha1.StageFreight
	// Commit whose tree is restored.
	Commit string
	// Undo is the commit that is taken back: what Collection changed to.
	Undo v1alpha1.PromotionCommit
	// Promotion that made Undo; empty when the Stage was adopted.
	Promotion string
}

// FindRollbackTarget returns where a rollback of the observed Stage leads.
//
// byPolicy of a Promotion restores the tree of its commit's first parent, so
// that a hotfix made before it stays. A rollback by a person goes to the last
// good version whose Freight differs from the current one, or to the one named
// by to (a Freight name). It returns ErrNothingToRestore, wrapped with what was
// looked for, when there is none.
func FindRollbackTarget(o *Observation, bad *v1alpha1.Promotion, to string) (RollbackTarget, error) {
	t, err := undone(o, bad)
	if err != nil {
		return RollbackTarget{}, err
	}
	if to == "" && bad != nil && bad.Status.Commit != nil && bad.Status.Plan != nil && bad.Status.Plan.Before != nil && bad.Status.Plan.Before.Healthy && len(bad.Status.Plan.Before.Current) > 0 &&
		!bad.Status.Commit.Unchanged && bad.Status.Commit.Parent != "" && bad.Spec.Kind != v1alpha1.KindRollback {
		t.Collection, t.Commit = bad.Status.Plan.Before.Current, bad.Status.Commit.Parent
		return t, nil
	}
	for _, good := range o.Stage.Status.Good {
		if good.Commit == "" || good.Commit == t.Undo.Commit {
			continue
		}
		if (to == "" && !isCurrent(o.Stage, good.Freight)) || (to != "" && good.Freight == to) {
			t.Commit, t.Collection = good.Commit, collectionWith(o.Stage, good)
			return t, nil
		}
	}
	if to != "" {
		return RollbackTarget{}, fmt.Errorf("%w: Freight %q never ran Healthy in %q", ErrNothingToRestore, to, o.Stage.Name)
	}
	return RollbackTarget{}, fmt.Errorf("%w: no earlier version ran Healthy in %q", ErrNothingToRestore, o.Stage.Name)
}

// undone names the commit a rollback takes back: the Promotion's, or what the
// Stage's record says when the Promotion is gone.
func undone(o *Observation, bad *v1alpha1.Promotion) (RollbackTarget, error) {
	if bad != nil && bad.Status.Commit != nil {
		return RollbackTarget{Undo: *bad.Status.Commit, Promotion: bad.Name}, nil
	}
	writes := Writes(o.Stage)
	for _, cur := range o.Stage.Status.Current {
		if cur.Commit != "" && len(writes) > 0 {
			w := Home(writes)
			return RollbackTarget{Undo: v1alpha1.PromotionCommit{RepoURL: w.RepoURL, Branch: w.Branch, Commit: cur.Commit}}, nil
		}
	}
	return RollbackTarget{}, fmt.Errorf("%w: nothing was promoted into %q yet", ErrNothingToRestore, o.Stage.Name)
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

// CompileRollback turns a target into steps: restore the tree, commit, push.
// within limits the change to these folders and files; empty: everywhere.
func CompileRollback(stage *v1alpha1.Stage, t RollbackTarget, within []string) ([]v1alpha1.PlanStep, error) {
	const out = "out-0"
	configs := []struct {
		uses   string
		config map[string]any
	}{
		{"git-clone", map[string]any{"repoURL": t.Undo.RepoURL, "checkout": []any{map[string]any{"branch": t.Undo.Branch, "path": out}}}},
		{"git-revert", map[string]any{"path": out, "undo": t.Undo.Commit, "to": t.Commit, "paths": within}},
		{"git-commit", map[string]any{"path": out, "message": rollbackSubject(stage.Name, t), "reverts": t.Undo.Commit}},
		{"git-push", map[string]any{"path": out, "targetBranch": t.Undo.Branch}},
	}
	steps := make([]v1alpha1.PlanStep, 0, len(configs))
	for i, c := range configs {
		raw, err := json.Marshal(c.config)
		if err != nil {
			return nil, fmt.Errorf("encode config of step %q: %w", c.uses, err)
		}
		steps = append(steps, v1alpha1.PlanStep{Uses: c.uses, As: fmt.Sprintf("%s-%d", c.uses, i+1), Config: &runtime.RawExtension{Raw: raw}})
	}
	return steps, nil
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
