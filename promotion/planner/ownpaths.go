package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// maxOwnPaths bounds the files that a rollback names.
const maxOwnPaths = 2000

// ownPaths returns the files that the Stage's promotions changed between the
// commit that a rollback restores and the one that it takes back; none when the
// whole branch is the Stage's own. On a branch that others commit to as well,
// their files between the two stay as they are.
func (l *Planner) ownPaths(ctx context.Context, o *promotion.Observation, t promotion.Revert) ([]string, error) {
	if promotion.OwnsBranch(o.Stage, t.Undo.RepoURL, t.Undo.Branch, o.Stages) {
		return nil, nil
	}
	mirror, err := l.Repositories.Open(ctx, o.Stage.Namespace, t.Undo.RepoURL)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the repository already
	}
	if _, err := mirror.Fetch(ctx, t.Undo.Branch); err != nil {
		return nil, err //nolint:wrapcheck // names the repository already
	}
	undo, undoErr := git.ParseHash(t.Undo.Commit)
	to, toErr := git.ParseHash(t.To)
	if err := errors.Join(undoErr, toErr); err != nil {
		return nil, step.Terminal("NothingToRestore", err)
	}
	own := map[string]bool{}
	for c, err := range mirror.FirstParents(undo, to, historyDepth) {
		switch {
		case errors.Is(err, git.ErrNotAncestor) || errors.Is(err, git.ErrTooLarge):
			return nil, step.Terminal("RevertConflict", fmt.Errorf("the history of branch %q does not lead from %s back to %s; restore it by hand", t.Undo.Branch, undo.Short(), to.Short()))
		case err != nil:
			return nil, fmt.Errorf("look for the commits of Stage %q: %w", o.Stage.Name, err)
		case c.Hash != undo && !isOfStage(c, o.Stage.Namespace, o.Stage.Name):
			continue
		}
		parent := git.Hash{}
		if len(c.Parents) > 0 {
			parent = c.Parents[0]
		}
		changes, err := mirror.ChangedPaths(parent, c.Hash)
		if err != nil {
			return nil, fmt.Errorf("look for the files of Stage %q: %w", o.Stage.Name, err)
		}
		for _, ch := range changes {
			own[ch.Path] = true
		}
	}
	if len(own) > maxOwnPaths {
		return nil, step.Terminal("RevertConflict", fmt.Errorf("the rollback of Stage %q touches %d files of a branch that is not its own, more than %d; restore them by hand", o.Stage.Name, len(own), maxOwnPaths))
	}
	out := make([]string, 0, len(own))
	for p := range own {
		out = append(out, p)
	}
	slices.Sort(out)
	return out, nil
}

// isOfStage reports whether a promotion of the Stage made the commit.
func isOfStage(c git.Commit, project, stage string) bool {
	return strings.HasPrefix(c.Trailers.Get(promotion.TrailerPromotion), project+"/") && c.Trailers.Get(promotion.TrailerStage) == stage
}
