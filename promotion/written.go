package promotion

import (
	"cmp"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// MaxWritten is how many branches a promotion can write.
const MaxWritten = 16

// RecordCommit adds what the Promotion has pushed to its status. A second commit
// on the same branch stands for both, from the parent of the first; finding the
// branch as the promotion left it says nothing new. It is false, and nothing is
// recorded, when there is no room for one more branch.
func RecordCommit(s *v1alpha1.PromotionStatus, c v1alpha1.PromotionCommit) bool {
	all := slices.Clone(s.Written())
	if i := slices.IndexFunc(all, func(w v1alpha1.PromotionCommit) bool { return isSameBranch(w, c.RepoURL, c.Branch) }); i >= 0 {
		was := all[i]
		switch {
		case c.Commit == was.Commit && c.Unchanged:
			c = was
		case c.Parent == was.Commit && !was.Unchanged:
			c.Parent = was.Parent
		}
		c.RepoURL = was.RepoURL // one branch is listed under one name
		all = slices.Delete(all, i, i+1)
	}
	if len(all) >= MaxWritten {
		return false
	}
	all = append(all, c)
	s.Commit, s.Commits = &c, nil
	if len(all) > 1 {
		s.Commits = all
	}
	return true
}

func isSameBranch(c v1alpha1.PromotionCommit, repoURL, branch string) bool {
	return c.Branch == branch && IsSameRepository(c.RepoURL, repoURL)
}

// CommitFor returns the commit that an Application of the Promotion has to reach:
// that on the branch it reads, else the last one of that repository, else the
// last one of all. written is not empty.
func CommitFor(written []v1alpha1.PromotionCommit, source v1alpha1.ApplicationSource) v1alpha1.PromotionCommit {
	out := written[len(written)-1]
	for _, c := range written {
		switch {
		case !IsSameRepository(c.RepoURL, source.RepoURL):
		case c.Branch == source.TargetRevision:
			return c
		default:
			out = c
		}
	}
	return out
}

// HasChangedGit reports whether the Promotion has pushed anything that was not
// there before.
func HasChangedGit(p *v1alpha1.Promotion) bool {
	return slices.ContainsFunc(p.Status.Written(), func(c v1alpha1.PromotionCommit) bool { return !c.Unchanged })
}

// HasPushedAll reports whether every push of the Promotion is done.
func HasPushedAll(p *v1alpha1.Promotion) bool {
	return !slices.ContainsFunc(p.Status.Steps, func(st v1alpha1.StepStatus) bool {
		return st.Uses == "git-push" && st.State != v1alpha1.StepSucceeded && st.State != v1alpha1.StepSkipped
	})
}

// WrittenWith returns the commits on all branches of a Stage after a Promotion:
// its own, and for branches that it has not written what was known of them, as
// long as the Stage writes them at all. It is nil for a Stage of one branch.
func WrittenWith(s *v1alpha1.Stage, known []v1alpha1.BranchCommit, p *v1alpha1.Promotion) []v1alpha1.BranchCommit {
	var out []v1alpha1.BranchCommit
	written := p.Status.Written()
	for _, k := range known {
		isNew := slices.ContainsFunc(written, func(c v1alpha1.PromotionCommit) bool { return isSameBranch(c, k.RepoURL, k.Branch) })
		if !isNew && slices.ContainsFunc(Writes(s), func(w Write) bool { return w.Branch == k.Branch && IsSameRepository(w.RepoURL, k.RepoURL) }) {
			out = append(out, k)
		}
	}
	for _, c := range written {
		out = append(out, v1alpha1.BranchCommit{RepoURL: c.RepoURL, Branch: c.Branch, Commit: c.Commit})
	}
	return Branches(out)
}

// Branches is what a Stage remembers of what it has written: in byte order, and
// nil for one branch.
func Branches(written []v1alpha1.BranchCommit) []v1alpha1.BranchCommit {
	if len(written) < 2 {
		return nil
	}
	out := slices.Clone(written)
	slices.SortFunc(out, func(a, b v1alpha1.BranchCommit) int {
		return cmp.Or(cmp.Compare(a.RepoURL, b.RepoURL), cmp.Compare(a.Branch, b.Branch))
	})
	return out[:min(len(out), MaxWritten)]
}

// writtenOn returns the commit that f has on a branch; a Stage of one branch does
// not say which that is.
func writtenOn(f *v1alpha1.StageFreight, repoURL, branch string) string {
	for _, w := range f.Written {
		if w.Branch == branch && IsSameRepository(w.RepoURL, repoURL) {
			return w.Commit
		}
	}
	if len(f.Written) > 0 {
		return ""
	}
	return f.Commit
}
