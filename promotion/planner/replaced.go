package planner

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/accept"
	"github.com/waybill-dev/waybill/promotion"
)

// maxAcceptedFields is how many fields of one acceptance a plan names.
const maxAcceptedFields = 10

// replacedCommits lists the commits of a branch that would be replaced by the
// content of base and that are not of this Project's promotions, newest first:
// those by others, and those by which somebody accepted drift through Waybill. The
// search ends at the last promotion, and where the branch began in base's own
// history. What cannot be followed to either counts as foreign.
func replacedCommits(m *git.Mirror, project string, head, base git.Hash) (foreign []v1alpha1.ForeignCommit, accepted []v1alpha1.AcceptedCommit, err error) {
	var known map[git.Hash]bool // base's history, read when it is needed
	for c, err := range m.FirstParents(head, git.Hash{}, foreignDepth) {
		switch {
		case errors.Is(err, git.ErrTooLarge):
			return foreign, accepted, nil
		case err != nil:
			return nil, nil, fmt.Errorf("look for commits by others: %w", err)
		case isOwn(c, project):
			return foreign, accepted, nil
		}
		if known == nil {
			if known, err = history(m, base); err != nil {
				return nil, nil, err
			}
		}
		if known[c.Hash] {
			return foreign, accepted, nil
		}
		if record, ok := accept.RecordOf(c, project); ok {
			if len(accepted) < maxForeign {
				accepted = append(accepted, acceptedCommit(c, record))
			}
			continue
		}
		if len(foreign) < maxForeign {
			subject, _, _ := strings.Cut(c.Message, "\n")
			foreign = append(foreign, v1alpha1.ForeignCommit{Commit: c.Hash.String(), Author: promotion.OneLine(c.Author.Name, maxSubject), Subject: promotion.OneLine(subject, maxSubject)})
		}
	}
	return foreign, accepted, nil
}

// appendUpTo adds as many as a plan lists.
func appendUpTo[T any](list, more []T) []T {
	return append(list, more[:min(len(more), max(0, maxForeign-len(list)))]...)
}

func acceptedCommit(c git.Commit, r accept.Record) v1alpha1.AcceptedCommit {
	out := v1alpha1.AcceptedCommit{Commit: c.Hash.String(), By: promotion.OneLine(r.By, maxSubject)}
	for _, f := range r.Fields[:min(len(r.Fields), maxAcceptedFields)] {
		out.Fields = append(out.Fields, promotion.OneLine(f, maxSubject))
	}
	return out
}

// isOwn reports whether a promotion of the Project made the commit. Somebody
// who picks or amends one copies its trailers and becomes its committer.
func isOwn(c git.Commit, project string) bool {
	return strings.HasPrefix(c.Trailers.Get(promotion.TrailerPromotion), project+"/") && c.Author == c.Committer
}
