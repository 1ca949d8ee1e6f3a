package promotion

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ReportState is what a provider of Git repositories is told of a commit.
type ReportState string

// The states.
const (
	ReportPending ReportState = "pending"
	ReportSuccess ReportState = "success"
	ReportFailure ReportState = "failure"
)

// CommitReport is what is to be shown beside one commit.
type CommitReport struct {
	RepoURL, Commit string
	State           ReportState
	// Description in one sentence.
	Description string
}

const (
	// maxReport bounds a description, in characters: what GitHub takes.
	maxReport = 140
	// reportWindow is how long after its end a Promotion is still reported: after
	// a restart that is how far back is looked.
	reportWindow = time.Hour
)

// CommitReports returns what the Stage's commitStatus says of a Promotion now.
// all are the Promotions of the Stage; of a commit that a newer one has begun to
// promote, an older one says nothing.
func CommitReports(stage *v1alpha1.Stage, p *v1alpha1.Promotion, all []v1alpha1.Promotion, now time.Time) []CommitReport {
	policy := stage.Spec.CommitStatus
	state := reportState(p)
	if policy == nil || state == "" || p.Status.Plan == nil || state != ReportPending && now.Sub(endOf(p)) > reportWindow {
		return nil
	}
	var out []CommitReport
	add := func(repoURL, commit string) {
		out = append(out, CommitReport{RepoURL: repoURL, Commit: commit, State: state, Description: reportText(p, state)})
	}
	if slices.Contains(policy.Of, v1alpha1.CommitsOfFreight) && p.Spec.Kind != v1alpha1.KindRollback {
		for _, c := range promotedCommits(p) {
			if !slices.ContainsFunc(all, func(q v1alpha1.Promotion) bool { return isNewerOn(&q, p, c) }) {
				add(c.RepoURL, c.ID)
			}
		}
	}
	if slices.Contains(policy.Of, v1alpha1.CommitsWritten) {
		for _, c := range p.Status.Written() {
			if !c.Unchanged {
				add(c.RepoURL, c.Commit)
			}
		}
	}
	return out
}

// reportState is how far a Promotion is; "" when it has not begun.
func reportState(p *v1alpha1.Promotion) ReportState {
	switch {
	case p.Status.StartedAt == nil:
		return ""
	case p.Status.Phase == v1alpha1.PhaseSucceeded:
		return ReportSuccess
	case p.Status.Phase == v1alpha1.PhaseSuperseded:
		return ""
	case p.Status.Phase.IsFinished():
		return ReportFailure
	default:
		return ReportPending
	}
}

func reportText(p *v1alpha1.Promotion, state ReportState) string {
	text := "promoted into " + p.Spec.Stage
	switch {
	case p.Spec.Kind == v1alpha1.KindRollback:
		text = p.Spec.Stage + " rolled back"
	case state == ReportPending:
		text = "is promoted into " + p.Spec.Stage
	}
	if state == ReportFailure {
		text = p.Spec.Stage + ": " + orText(p.Status.Message, string(p.Status.Phase))
	}
	return OneLine(Shorten(text, maxReport-4), maxReport)
}

// endOf is when a Promotion came to the end that it has: a rollback may change
// that of one that had succeeded.
func endOf(p *v1alpha1.Promotion) time.Time {
	var at time.Time
	if p.Status.FinishedAt != nil {
		at = p.Status.FinishedAt.Time
	}
	if ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.LastTransitionTime.After(at) {
		at = ready.LastTransitionTime.Time
	}
	return at
}

// promotedCommits are the commits of the Freight that is promoted.
func promotedCommits(p *v1alpha1.Promotion) []v1alpha1.Commit {
	if p.Status.Plan == nil {
		return nil
	}
	for _, f := range p.Status.Plan.Collection {
		if f.Freight == p.Spec.Freight {
			return f.Commits
		}
	}
	return nil
}

// isNewerOn reports whether q has begun to promote the commit after p.
func isNewerOn(q, p *v1alpha1.Promotion, c v1alpha1.Commit) bool {
	return q.Spec.Stage == p.Spec.Stage && q.Spec.Kind != v1alpha1.KindRollback && q.Status.StartedAt != nil && Seq(q.Name) > Seq(p.Name) &&
		slices.ContainsFunc(promotedCommits(q), func(d v1alpha1.Commit) bool { return d.ID == c.ID && IsSameRepository(d.RepoURL, c.RepoURL) })
}
