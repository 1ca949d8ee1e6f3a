package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
)

// maxGood is how many good versions a Stage remembers.
const maxGood = 20

// stageStatus computes the Stage's status from its Promotions and Applications.
func stageStatus(o *promotion.Observation, apps []v1alpha1.Application) {
	s := &o.Stage.Status
	s.ObservedGeneration = o.Stage.Generation
	s.LastHandledRequest = o.Stage.Annotations[v1alpha1.AnnotationRequestedAt]
	s.Current = currentFreight(o)
	s.Good = goodFreight(o)
	if s.Record != nil {
		s.LastSeq = max(s.LastSeq, s.Record.Seq)
	}
	s.LastSeq = promotion.HighestSeq(o.Stage, o.Promotions)
	s.ActivePromotion = ""
	if a := o.Active(); a != nil {
		s.ActivePromotion = a.Name
	}
	s.LastPromotion = lastFinished(o)
	s.Rollback = rehearsed(o)
	rollUp(o, apps)
}

// currentFreight is what the newest pushed Promotion wrote, per origin. What
// is known is kept when its Promotion is gone.
func currentFreight(o *promotion.Observation) []v1alpha1.StageFreight {
	current := append([]v1alpha1.StageFreight(nil), o.Stage.Status.Current...)
	p := newestPushed(o)
	if p == nil && len(current) == 0 && o.Stage.Status.Record != nil {
		for _, f := range o.Stage.Status.Record.Freight {
			f.Since = o.Stage.Status.Record.ReadAt
			current = append(current, f)
		}
	}
	if p == nil {
		return current
	}
	commit := ""
	if p.Status.Commit != nil {
		commit = p.Status.Commit.Commit
	}
	for _, c := range p.Status.Plan.Collection {
		known := slices.IndexFunc(current, func(f v1alpha1.StageFreight) bool { return f.Origin == c.Origin })
		next := v1alpha1.StageFreight{
			Origin: c.Origin, Freight: c.Freight, Order: c.Order, Images: c.Images, Commits: c.Commits, Charts: c.Charts,
			Promotion: p.Name, Commit: commit, Written: promotion.WrittenWith(o.Stage, lastWritten(o.Stage), p), Since: toSecond(p.Status.PushedAt),
		}
		switch {
		case known < 0:
			current = append(current, next)
		case promotion.Seq(current[known].Promotion) > promotion.Seq(p.Name):
			// an older Promotion read late says nothing new
		case current[known].Freight == c.Freight && c.Freight != p.Spec.Freight && p.Spec.Kind == v1alpha1.KindPromote:
			// carried along unchanged: it keeps the Promotion that brought it
		default:
			current[known] = next
		}
	}
	return current
}

// lastWritten returns what the Stage knows of its branches: what came last.
func lastWritten(s *v1alpha1.Stage) []v1alpha1.BranchCommit {
	var last *v1alpha1.StageFreight
	for i := range s.Status.Current {
		c := &s.Status.Current[i]
		if len(c.Written) > 0 && (last == nil || promotion.Seq(c.Promotion) > promotion.Seq(last.Promotion)) {
			last = c
		}
	}
	if last == nil {
		return nil
	}
	return last.Written
}

// newestPushed returns the Promotion with the highest number that wrote what it
// was to write.
func newestPushed(o *promotion.Observation) *v1alpha1.Promotion {
	var newest *v1alpha1.Promotion
	for i := range o.Promotions {
		p := &o.Promotions[i]
		if p.Status.Plan == nil || p.Status.PushedAt == nil {
			continue
		}
		if newest == nil || promotion.IsNewer(p, newest) {
			newest = p
		}
	}
	return newest
}

// goodFreight adds current Freight whose Promotion succeeded and drops what
// was rolled back.
func goodFreight(o *promotion.Observation) []v1alpha1.StageFreight {
	phase := map[string]v1alpha1.PromotionPhase{}
	for i := range o.Promotions {
		phase[o.Promotions[i].Name] = o.Promotions[i].Status.Phase
	}
	var good []v1alpha1.StageFreight
	for _, c := range o.Stage.Status.Current {
		if phase[c.Promotion] == v1alpha1.PhaseSucceeded {
			good = append(good, c)
		}
	}
	for _, g := range o.Stage.Status.Good {
		if phase[g.Promotion] == v1alpha1.PhaseRolledBack || contains(good, g) {
			continue
		}
		good = append(good, g)
	}
	return good[:min(len(good), maxGood)]
}

func contains(list []v1alpha1.StageFreight, f v1alpha1.StageFreight) bool {
	for _, x := range list {
		if x.Commit == f.Commit && x.Freight == f.Freight && slices.Equal(x.Written, f.Written) {
			return true
		}
	}
	return false
}

// rehearsed is what taking back what runs now would do.
func rehearsed(o *promotion.Observation) *v1alpha1.RollbackRehearsal {
	p := promotion.CurrentPromotion(o, "")
	switch {
	case p != nil:
		return p.Status.Rollback
	case len(o.Stage.Status.Current) > 0 && o.Stage.Status.Rollback != nil && o.Stage.Status.Rollback.Promotion == o.Stage.Status.Current[0].Promotion:
		return o.Stage.Status.Rollback // its Promotion is gone
	default:
		return nil
	}
}

func lastFinished(o *promotion.Observation) *v1alpha1.PromotionReference {
	var last *v1alpha1.Promotion
	for i := range o.Promotions {
		p := &o.Promotions[i]
		if !p.Status.Phase.IsFinished() || p.Status.Phase == v1alpha1.PhaseSuperseded {
			continue
		}
		if last == nil || promotion.Seq(p.Name) > promotion.Seq(last.Name) {
			last = p
		}
	}
	if last == nil {
		return o.Stage.Status.LastPromotion
	}
	return &v1alpha1.PromotionReference{
		Name: last.Name, Freight: last.Spec.Freight, Phase: last.Status.Phase,
		Reason: last.Status.Reason, Message: last.Status.Message, FinishedAt: last.Status.FinishedAt,
	}
}

// rollUp joins the Applications of a Stage: the worst health with its cause,
// synced only if all are.
func rollUp(o *promotion.Observation, apps []v1alpha1.Application) {
	s := &o.Stage.Status
	if len(o.Stage.Spec.Deploy) == 0 {
		s.Health, s.Synced, s.Drifting, s.SyncMessage = nil, true, false, ""
		return
	}
	worst := v1alpha1.Health{Status: v1alpha1.HealthHealthy}
	s.Synced, s.Drifting, s.SyncMessage = len(apps) == len(o.Stage.Spec.Deploy), false, ""
	if !s.Synced {
		worst = v1alpha1.Health{Status: v1alpha1.HealthUnknown, Message: "not every deploy entry has an Application yet"}
	}
	for i := range apps {
		a := &apps[i]
		h := v1alpha1.Health{Status: v1alpha1.HealthUnknown, Message: "nothing has been observed yet"}
		if a.Status.Health != nil {
			h = *a.Status.Health
		}
		if gitops.Severity(h.Status) > gitops.Severity(worst.Status) || i == 0 && s.Synced {
			worst = h
		}
		s.Synced = s.Synced && a.Status.Sync.Status == v1alpha1.SyncSynced
		s.Drifting = s.Drifting || a.Status.Drifting
		if s.SyncMessage == "" && len(s.Current) > 0 && a.Status.Sync.Status != v1alpha1.SyncSyncing {
			s.SyncMessage = truncate(a.Status.Sync.Message, 1024)
		}
	}
	// What the cluster says may still be about the version before: until the
	// Promotion is judged, the Stage is not called Healthy, and whoever reads
	// Healthy can rely on its Freight being verified.
	if a := o.Active(); a != nil && (a.Status.Phase == v1alpha1.PhaseSyncing || a.Status.Phase == v1alpha1.PhaseVerifying) && worst.Status == v1alpha1.HealthHealthy {
		worst = v1alpha1.Health{Status: v1alpha1.HealthProgressing, Reason: "Promoting", Message: fmt.Sprintf("Promotion %q is on its way", a.Name)}
	}
	worst.Message = truncate(worst.Message, 1024)
	if s.Health != nil && s.Health.Status == worst.Status && s.Health.Since != nil {
		worst.Since = s.Health.Since
	} else {
		worst.Since = &metav1.MicroTime{Time: o.Now}
	}
	s.Health = &worst
}

// stageConditions writes Ready: whether the definition can run.
func stageConditions(o *promotion.Observation, problems []promotion.Problem) {
	s, g := &o.Stage.Status, o.Stage.Generation
	switch {
	case len(problems) > 0:
		messages := make([]string, len(problems))
		for i, p := range problems {
			messages[i] = p.Message
		}
		setReady(&s.Conditions, g, false, problems[0].Reason, strings.Join(messages, "; "))
	case len(o.PoliciesMissing) > 0:
		setReady(&s.Conditions, g, false, promotion.ReasonPolicyMissing,
			"admission policies are missing or changed, so nothing is promoted: "+strings.Join(o.PoliciesMissing, ", "))
	default:
		// What was wrong with the definition before is not: the summary must not
		// repeat the old condition.
		seen, stage := *o, *o.Stage
		stage.Status.Conditions, seen.Stage = nil, &stage
		sum := promotion.Summarize(&seen)
		setReady(&s.Conditions, g, sum.Status != promotion.StatusFailed && sum.Status != promotion.StatusUnknown,
			string(sum.Status), sum.Sentence)
	}
	setStalled(&s.Conditions, g, "", "")
}

// onlyWordsOfStage reports whether two statuses differ in nothing that anybody
// acts on: sentences, the words that name their reason, the number of the last
// Promotion, and that one is under way, which the Promotion itself says too.
func onlyWordsOfStage(before, after *v1alpha1.StageStatus) bool {
	bare := func(s *v1alpha1.StageStatus) *v1alpha1.StageStatus {
		c := s.DeepCopy()
		c.LastSeq = 0
		if after.ActivePromotion != "" {
			c.ActivePromotion = ""
		}
		if c.Health != nil {
			c.Health.Reason, c.Health.Message = "", ""
		}
		for i := range c.Conditions {
			c.Conditions[i].Reason, c.Conditions[i].Message = "", ""
		}
		return c
	}
	return apiequality.Semantic.DeepEqual(bare(before), bare(after))
}

func isCurrent(s *v1alpha1.Stage, f *v1alpha1.Freight) bool {
	cur := promotion.Current(s, f.Origin.Name)
	return cur != nil && cur.Freight == f.Name
}

// isProven reports whether the Stage's health speaks of f. Between a push and
// the sync a Stage looks as well as what it ran before, which proves nothing
// about a Promotion that was aborted, or failed, meanwhile.
func isProven(o *promotion.Observation, apps []v1alpha1.Application, f *v1alpha1.Freight) bool {
	if promotion.HasChecks(o.Stage) && f.Status.Stages[o.Stage.Name].VerifiedAt == nil {
		return promotion.HasPassed(o, f)
	}
	if len(o.Stage.Spec.Deploy) == 0 || !isCurrent(o.Stage, f) {
		return true
	}
	cur := promotion.Current(o.Stage, f.Origin.Name)
	if cur.Promotion == "" {
		return true // adopted from the branch, by a Stage that has had nothing before
	}
	isKnown := false
	for i := range o.Promotions {
		if o.Promotions[i].Name == cur.Promotion {
			isKnown = true
			if o.Promotions[i].Status.Phase == v1alpha1.PhaseSucceeded {
				return true // it reached its commit, Healthy
			}
		}
	}
	if !isKnown && f.Status.Stages[o.Stage.Name].VerifiedAt != nil {
		return true // its Promotion is gone, its record stays
	}
	return !slices.ContainsFunc(apps, func(a v1alpha1.Application) bool { return a.Status.Sync.Revision != commitOf(cur, a.Spec.Source) })
}

// commitOf returns the commit that an Application runs when it runs f.
func commitOf(f *v1alpha1.StageFreight, source v1alpha1.ApplicationSource) string {
	if len(f.Written) == 0 {
		return f.Commit
	}
	written := make([]v1alpha1.PromotionCommit, 0, len(f.Written))
	for _, w := range f.Written {
		written = append(written, v1alpha1.PromotionCommit{RepoURL: w.RepoURL, Branch: w.Branch, Commit: w.Commit})
	}
	return promotion.CommitFor(written, source).Commit
}

// passThrough verifies Freight in a control-flow Stage as soon as its gates are
// open: a freeze stops what passes through, too.
func passThrough(o *promotion.Observation, f *v1alpha1.Freight, rec v1alpha1.FreightInStage) v1alpha1.FreightInStage {
	if rec.VerifiedAt != nil {
		return rec
	}
	if open, _ := promotion.MayPass(o, f); !open {
		return rec
	}
	at := metav1.Time{Time: o.Now}
	rec.EnteredAt, rec.VerifiedAt = &at, &at
	rec.Soak.RunningSince = &at
	if verified := promotion.VerifiedBases(promotion.Request(o.Stage, f.Origin.Name), f); len(verified) > 0 {
		rec.Bases = f.Status.Stages[verified[0].Stage].Bases
	}
	return rec
}

// provenBases returns what the Stage's content was made from that runs now and is
// good. What is known stays when the last Promotion has not read any, or is gone.
func provenBases(o *promotion.Observation, known []v1alpha1.PlanBase) []v1alpha1.PlanBase {
	p := newestPushed(o)
	if p == nil || p.Status.Phase != v1alpha1.PhaseSucceeded || len(p.Status.Plan.Bases) == 0 {
		return known
	}
	return p.Status.Plan.Bases
}

// entryDue returns when a record has to be written that says no more than that
// Freight has entered: a moment after the push, so that Freight which proves itself
// at once costs one write. The Stage and the Promotion say at once what runs; the
// record is what others wait for when it is verified. Zero: now.
func entryDue(o *promotion.Observation, rec, next v1alpha1.FreightInStage) time.Time {
	p := newestPushed(o)
	entersOnly := rec.EnteredAt == nil && rec.VerifiedAt == nil && next.EnteredAt != nil && next.VerifiedAt == nil && next.LeftAt == nil
	if p == nil || !entersOnly {
		return time.Time{}
	}
	return p.Status.PushedAt.Add(lazyInterval)
}

func sameRecord(a, b v1alpha1.FreightInStage) bool {
	return slices.Equal(a.Bases, b.Bases) && sameTime(a.EnteredAt, b.EnteredAt) && sameTime(a.LeftAt, b.LeftAt) && sameTime(a.VerifiedAt, b.VerifiedAt) &&
		sameTime(a.Soak.RunningSince, b.Soak.RunningSince) &&
		a.Soak.Accumulated == b.Soak.Accumulated && a.Soak.Longest == b.Soak.Longest
}

func sameTime(a, b *metav1.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

func toSecond(t *metav1.MicroTime) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)} // as the API stores it
}

// truncate shortens a message to what the schema takes.
func truncate(s string, maxBytes int) string {
	if len(s) <= maxBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxBytes-3], "") + "..."
}
