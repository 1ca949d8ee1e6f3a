package rest

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse"
)

// The functions of this file turn objects into what pages show. They decide
// nothing.

func gateModel(v v1alpha1.GateVerdict) model.GateVerdict {
	out := model.GateVerdict{
		Gate: model.GateName(v.Gate), Group: model.GateVerdictGroup(v.Group), Open: v.Open, Bypassed: v.Bypassed,
		Reason: v.Reason, OpensBy: v.OpensBy, Have: int(v.Have), Need: int(v.Need), From: v.From,
	}
	setTime(&out.OpensAt, v.OpensAt)
	setTime(&out.ClosesAt, v.ClosesAt)
	return out
}

// closedGates returns the closed ones, entry gates first.
func closedGates(vs []v1alpha1.GateVerdict) []model.GateVerdict {
	out := []model.GateVerdict{}
	for _, group := range []string{promotion.GroupEntry, promotion.GroupStart} {
		for _, v := range vs {
			if !v.Open && v.Group == group {
				out = append(out, gateModel(v))
			}
		}
	}
	return out
}

func gateModels(vs []v1alpha1.GateVerdict) []model.GateVerdict {
	out := make([]model.GateVerdict, 0, len(vs))
	for _, v := range vs {
		out = append(out, gateModel(v))
	}
	return out
}

func setTime(into *model.Time, t *metav1.Time) {
	if t != nil {
		*into = t.UTC()
	}
}

func setMicroTime(into *model.Time, t *metav1.MicroTime) {
	if t != nil {
		*into = t.UTC()
	}
}

func imageModel(img v1alpha1.Image) model.Image {
	return model.Image{RepoURL: img.RepoURL, Tag: img.Tag, Digest: img.Digest}
}

func imageModels(images []v1alpha1.Image) []model.Image {
	out := make([]model.Image, 0, len(images))
	for _, img := range images {
		out = append(out, imageModel(img))
	}
	return out
}

func commitModels(commits []v1alpha1.Commit) []model.GitCommit {
	var out []model.GitCommit
	for _, c := range commits {
		m := model.GitCommit{RepoURL: c.RepoURL, ID: c.ID, Branch: c.Branch, Tag: c.Tag, Message: c.Message, Author: c.Author}
		setTime(&m.Date, c.Date)
		out = append(out, m)
	}
	return out
}

func chartModels(charts []v1alpha1.Chart) []model.Chart {
	var out []model.Chart
	for _, c := range charts {
		out = append(out, model.Chart{RepoURL: c.RepoURL, Name: c.Name, Version: c.Version, Digest: c.Digest})
	}
	return out
}

func statusModel(s promotion.Summary) model.Status {
	return model.Status{Word: model.StatusWord(s.Status), Sentence: s.Sentence, NextAction: nextAction(s.Next)}
}

// nextAction takes the line to type apart, so that a page can offer it as a
// button: "waybill rollback guestbook/prod" is verb rollback.
func nextAction(line string) model.NextAction {
	if line == "" {
		return model.NextAction{}
	}
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "waybill" {
		return model.NextAction{Verb: "open", Label: line}
	}
	out := model.NextAction{Verb: words[1], Command: line, Label: strings.ToUpper(words[1][:1]) + words[1][1:]}
	switch words[1] {
	case "rollback":
		out.Label = "Roll back…"
	case "promote":
		out.Label = "Promote…"
	case "diff":
		out.Verb, out.Label = "open", "Review…"
	case "get", "describe", "history", "why":
		out.Verb, out.Label = "open", "Open"
	case "status":
		out.Verb, out.Label = "watch", "Watch"
	}
	return out
}

func conditionModels(cs []metav1.Condition) []model.Condition {
	out := make([]model.Condition, 0, len(cs))
	for _, c := range cs {
		out = append(out, model.Condition{
			Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message, LastTransitionTime: c.LastTransitionTime.UTC(),
		})
	}
	return out
}

func readyCondition(cs []metav1.Condition) *metav1.Condition {
	for i := range cs {
		if cs[i].Type == v1alpha1.ConditionReady {
			return &cs[i]
		}
	}
	return nil
}

// freightRef names a Freight as well as it is known.
func (v *projectView) freightRef(name string) model.FreightRef {
	if name == "" {
		return model.FreightRef{}
	}
	ref := model.FreightRef{Name: name}
	if f := v.freightByName[name]; f != nil {
		ref.Alias, ref.Version, ref.Origin = f.Alias, f.Artifacts().Version(), f.Origin.Name
	}
	return ref
}

func (v *projectView) stageFreightModel(f v1alpha1.StageFreight) model.StageFreight {
	out := model.StageFreight{
		Name: f.Freight, Origin: f.Origin, Promotion: f.Promotion, Commit: f.Commit,
	}
	if known := v.freightByName[f.Freight]; known != nil {
		out.Alias = known.Alias
	}
	held := v.artifactsOf(f)
	out.Version, out.Images = held.Version(), imageModels(held.Images)
	out.Commits, out.Charts = commitModels(held.Commits), chartModels(held.Charts)
	setTime(&out.Since, f.Since)
	return out
}

func (v *projectView) stageFreightModels(fs []v1alpha1.StageFreight) []model.StageFreight {
	out := make([]model.StageFreight, 0, len(fs))
	for _, f := range fs {
		out = append(out, v.stageFreightModel(f))
	}
	return out
}

func (v *projectView) freightModel(f *v1alpha1.Freight) model.Freight {
	out := model.Freight{
		Name: f.Name, Alias: f.Alias, Version: f.Artifacts().Version(), Origin: f.Origin.Name, Order: f.Order,
		Images: imageModels(f.Images), Commits: commitModels(f.Commits), Charts: chartModels(f.Charts), CreatedAt: f.CreationTimestamp.UTC(), Stages: []model.FreightInStage{}, Rejections: []model.Freeze{},
	}
	current := map[string]bool{}
	for _, name := range v.runningIn[f.Name] {
		current[name] = true
	}
	for _, st := range v.stages {
		rec, ok := f.Status.Stages[st.Name]
		if !ok && !current[st.Name] {
			continue
		}
		in := model.FreightInStage{Stage: st.Name, Current: current[st.Name]}
		setTime(&in.EnteredAt, rec.EnteredAt)
		setTime(&in.LeftAt, rec.LeftAt)
		setTime(&in.VerifiedAt, rec.VerifiedAt)
		setTime(&in.SoakingSince, rec.Soak.RunningSince)
		in.SoakedSeconds, in.LongestSoakSeconds = int(rec.Soak.Accumulated.Seconds()), int(rec.Soak.Longest.Seconds())
		if p := v.lastChecked(st.Name, f.Name); p != nil {
			checks := p.Status.Verification
			in.Checks = model.CheckPhase(checks.Phase)
			if checks.Phase.IsFinished() && checks.Phase != v1alpha1.CheckSucceeded {
				in.ChecksMessage = checks.Message
			}
		}
		out.Stages = append(out.Stages, in)
	}
	for _, z := range v.rejections[f.Name] {
		out.Rejections = append(out.Rejections, v.freezeModel(z))
	}
	for _, s := range promotion.Signatures(v.signatures, f) {
		one := model.FreightSignature{RepoURL: s.RepoURL, Reason: s.Reason, Message: s.Message}
		setTime(&one.VerifiedAt, s.VerifiedAt)
		out.Signatures = append(out.Signatures, one)
	}
	return out
}

func (v *projectView) freezeModel(z *v1alpha1.Freeze) model.Freeze {
	out := model.Freeze{
		Name: z.Name, Project: z.Namespace, Stage: z.Spec.Stage, ShownAs: shownAs(z), Scope: model.FreezeScope(scopeOf(z)),
		Reason: z.Spec.Reason, By: z.Spec.By, CreatedAt: z.CreationTimestamp.UTC(),
	}
	for _, name := range z.Spec.Freight {
		out.Freight = append(out.Freight, v.freightRef(name))
	}
	setTime(&out.Until, z.Spec.Until)
	return out
}

func scopeOf(z *v1alpha1.Freeze) v1alpha1.FreezeScope {
	if z.Spec.Scope == "" {
		return v1alpha1.FreezeAll
	}
	return z.Spec.Scope
}

// shownAs returns the word people know a Freeze by (design 00, objects).
func shownAs(z *v1alpha1.Freeze) model.FreezeShownAs {
	switch {
	case len(z.Spec.Freight) > 0:
		return model.FreezeShownAsRejected
	case scopeOf(z) == v1alpha1.FreezeAutomatic:
		return model.FreezeShownAsHold
	case scopeOf(z) == v1alpha1.FreezeHealing:
		return model.FreezeShownAsHealingPause
	default:
		return model.FreezeShownAsFreeze
	}
}

func phaseOf(p *v1alpha1.Promotion) v1alpha1.PromotionPhase {
	if p.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return p.Status.Phase
}

func kindOf(p *v1alpha1.Promotion) v1alpha1.PromotionKind {
	if p.Spec.Kind == "" {
		return v1alpha1.KindPromote
	}
	return p.Spec.Kind
}

func (v *projectView) promotionModel(p *v1alpha1.Promotion) model.Promotion {
	from, to := p.Exchange()
	out := model.Promotion{
		Name: p.Name, UID: string(p.UID), Project: p.Namespace, Stage: p.Spec.Stage, Kind: model.PromotionKind(kindOf(p)),
		Freight: v.freightRef(from), To: v.freightRef(to),
		Phase: phaseWord(phaseOf(p), p.Status.Reason), Finished: phaseOf(p).IsFinished(), Reason: p.Status.Reason, Message: p.Status.Message,
		RequestedBy: p.Spec.RequestedBy, RequestReason: p.Spec.Reason, Automatic: p.Spec.Automatic,
		RetryOf: p.Spec.RetryOf, RolledBackBy: p.Status.RolledBackBy, SupersededBy: p.Status.SupersededBy, CreatedAt: p.CreationTimestamp.UTC(),
		Steps: []model.Step{},
	}
	if again := v.retries[p.Name]; again != nil {
		out.RetriedBy = again.Name
	}
	out.MayRetry = v.refusesRetry(p) == nil
	for _, g := range p.Spec.Bypass {
		out.Bypass = append(out.Bypass, model.GateName(g))
	}
	for _, g := range p.Status.Gates {
		if !g.Open {
			out.Gates = append(out.Gates, gateModel(g))
		}
	}
	if p.Status.Plan != nil && p.Status.Plan.Before != nil {
		out.From = v.stageFreightModels(p.Status.Plan.Before.Current)
	}
	for _, st := range p.Status.Steps {
		step := model.Step{Name: st.As, Uses: st.Uses, State: model.StepState(st.State), Message: st.Message, Log: st.Log, Attempts: int(st.Attempts)}
		setMicroTime(&step.StartedAt, st.StartedAt)
		setMicroTime(&step.FinishedAt, st.FinishedAt)
		out.Steps = append(out.Steps, step)
	}
	if p.Status.Verification != nil {
		out.Verification = verificationModel(p.Status.Verification)
		out.Verification.Stage, out.Verification.Promotion, out.Verification.Version = p.Spec.Stage, p.Name, v.freightRef(p.Spec.Freight).Version
	}
	out.Commit, out.Commits = commitsOf(p)
	v.addApprovals(&out, p)
	if a := p.Spec.Abort; a != nil {
		out.Abort = model.Abort{By: a.By, Reason: a.Reason}
	}
	setMicroTime(&out.StartedAt, p.Status.StartedAt)
	setMicroTime(&out.PushedAt, p.Status.PushedAt)
	setMicroTime(&out.FinishedAt, p.Status.FinishedAt)
	if st := v.stageByName[p.Spec.Stage]; st != nil {
		out.StageStatus = statusModel(promotion.Summarize(v.observe(st)))
		out.StageHealth = model.Health(healthOf(st).Status)
		out.Verified = p.Status.Phase == v1alpha1.PhaseSucceeded && v.isVerified(st, p)
	}
	return out
}

// isVerified reports whether what p brought counts as verified in the Stage, or
// has been replaced there: what p leads to is then known to everybody.
func (v *projectView) isVerified(st *v1alpha1.Stage, p *v1alpha1.Promotion) bool {
	f := v.freightByName[p.Spec.Freight]
	if f == nil || f.Status.Stages[st.Name].VerifiedAt != nil {
		return true
	}
	return slices.ContainsFunc(v.promotionsOf[st.Name], func(q *v1alpha1.Promotion) bool {
		return q.Status.PushedAt != nil && promotion.Seq(q.Name) > promotion.Seq(p.Name)
	})
}

// commitsOf returns what a Promotion wrote: the last commit, and all of them when
// they are several.
func commitsOf(p *v1alpha1.Promotion) (last model.Commit, all []model.Commit) {
	if c := p.Status.Commit; c != nil {
		last = commitModel(*c)
	}
	for _, c := range p.Status.Commits {
		all = append(all, commitModel(c))
	}
	return last, all
}

func commitModel(c v1alpha1.PromotionCommit) model.Commit {
	return model.Commit{RepoURL: c.RepoURL, Branch: c.Branch, Commit: c.Commit, Parent: c.Parent, Unchanged: c.Unchanged}
}

func healthOf(s *v1alpha1.Stage) v1alpha1.Health {
	if s.Status.Health != nil {
		return *s.Status.Health
	}
	return v1alpha1.Health{Status: v1alpha1.HealthUnknown}
}

// phaseWord is what people call a phase: somebody's decision is no failure.
func phaseWord(phase v1alpha1.PromotionPhase, reason string) model.Phase {
	if phase == v1alpha1.PhaseFailed && reason == promotion.ReasonRejected {
		return model.PhaseRejected
	}
	return model.Phase(phase)
}

// activityModel is a Promotion in one sentence.
func (v *projectView) activityModel(p *v1alpha1.Promotion) model.Activity {
	from, to := p.Exchange()
	out := model.Activity{
		Promotion: p.Name, Stage: p.Spec.Stage, Kind: model.ActivityKind(kindOf(p)), Freight: from,
		Phase: phaseWord(phaseOf(p), p.Status.Reason), By: p.Spec.RequestedBy, Automatic: p.Spec.Automatic, At: lastChange(p),
	}
	what := v.freightRef(from).Version
	if what == "" {
		what = from
	}
	out.Version = what
	verb := "promotion of " + what + " to " + p.Spec.Stage
	if kindOf(p) == v1alpha1.KindRollback {
		verb = "rollback of " + p.Spec.Stage
		if version := v.freightRef(to).Version; version != "" {
			verb += " to " + version
		}
	}
	words := map[v1alpha1.PromotionPhase]string{
		v1alpha1.PhasePending: "waits", v1alpha1.PhaseRunning: "runs", v1alpha1.PhaseSyncing: "is rolling out",
		v1alpha1.PhaseVerifying: "is being verified",
		v1alpha1.PhaseSucceeded: "succeeded", v1alpha1.PhaseFailed: "failed", v1alpha1.PhaseAborted: "was aborted",
		v1alpha1.PhaseSuperseded: "was superseded", v1alpha1.PhaseRolledBack: "was rolled back",
	}
	out.Sentence = verb + " " + words[phaseOf(p)]
	if out.Phase == model.PhaseRejected {
		out.Sentence = verb + " was " + p.Status.Message
	} else if out.Phase == model.PhaseFailed && p.Status.Message != "" {
		out.Sentence += ": " + p.Status.Message
	}
	return out
}

// lastChange is when a Promotion last moved.
func lastChange(p *v1alpha1.Promotion) model.Time {
	for _, t := range []*metav1.MicroTime{p.Status.FinishedAt, p.Status.PushedAt, p.Status.StartedAt} {
		if t != nil {
			return t.UTC()
		}
	}
	return p.CreationTimestamp.UTC()
}

func (v *projectView) warehouseModel(w *v1alpha1.Warehouse) model.Warehouse {
	out := model.Warehouse{
		Name: w.Name, Project: w.Namespace, Interval: w.Spec.Interval.Duration.String(),
		FreightCreationPolicy: string(cmp.Or(w.Spec.FreightCreationPolicy, v1alpha1.FreightAutomatic)),
		LatestFreight:         v.freightRef(w.Status.LatestFreight),
		LastHandledRequest:    w.Status.LastHandledRequest, Subscriptions: []model.Subscription{},
	}
	if c := readyCondition(w.Status.Conditions); c != nil {
		out.Ready, out.Reason, out.Message = c.Status == metav1.ConditionTrue, c.Reason, c.Message
	}
	for _, sub := range w.Spec.Subscriptions {
		out.Subscriptions = append(out.Subscriptions, subscriptionModel(w, sub))
	}
	return out
}

func subscriptionModel(w *v1alpha1.Warehouse, sub v1alpha1.Subscription) model.Subscription {
	var m model.Subscription
	switch {
	case sub.Image != nil:
		m = model.Subscription{
			Type: warehouse.TypeImage, RepoURL: sub.Image.RepoURL, Constraint: sub.Image.Constraint, Strategy: string(sub.Image.ImageSelectionStrategy),
		}
	case sub.Git != nil:
		m = model.Subscription{
			Type: warehouse.TypeGit, RepoURL: sub.Git.RepoURL, Constraint: sub.Git.Constraint, Branch: sub.Git.Branch, Strategy: string(sub.Git.CommitSelectionStrategy),
		}
	case sub.Chart != nil:
		m = model.Subscription{Type: warehouse.TypeChart, RepoURL: sub.Chart.RepoURL, Chart: sub.Chart.Name, Constraint: sub.Chart.Constraint}
	}
	// The status may be of an older spec.
	st := warehouse.Identity{Type: string(m.Type), RepoURL: m.RepoURL, Chart: m.Chart}.Find(w.Status.Subscriptions)
	m.Tags, m.Requests, m.Error, m.Reason = int(st.Tags), int(st.Requests), st.Error, st.Reason
	if sub.Image != nil {
		m.Signature = signerOf(sub.Image.Signature)
	}
	for _, r := range st.Refused {
		m.Refused = append(m.Refused, model.RefusedCandidate{Tag: r.Tag, Digest: r.Digest, Reason: r.Reason, Message: r.Message})
	}
	m.Candidates, m.Commits, m.Charts = imageModels(st.Candidates), commitModels(st.Commits), chartModels(st.Charts)
	setTime(&m.LastPoll, st.LastPoll)
	setTime(&m.NextPoll, st.NextPoll)
	setTime(&m.LastSuccess, st.LastSuccess)
	return m
}

// signerOf says in a few words who must have signed an image.
func signerOf(s *v1alpha1.ImageSignature) string {
	switch {
	case s == nil:
		return ""
	case s.Keyless != nil:
		return cmp.Or(s.Keyless.Subject, s.Keyless.SubjectRegex) + " of " + s.Keyless.Issuer
	default:
		return "key"
	}
}

// applicationModel is an Application as the API shows it. Whether its healing is
// paused, the Freezes say.
func (v *projectView) applicationModel(a *v1alpha1.Application) model.Application {
	out := model.Application{
		Name: a.Name, Project: a.Namespace, Stage: a.Labels[v1alpha1.LabelStage],
		Cluster: a.Spec.Destination.Cluster, Namespace: a.Spec.Destination.Namespace,
		RepoURL: a.Spec.Source.RepoURL, Branch: a.Spec.Source.TargetRevision, Path: a.Spec.Source.Path, Chart: a.Spec.Source.Chart,
		Sync: model.ApplicationSync(a.Status.Sync.Status), SyncMessage: a.Status.Sync.Message,
		Revision: a.Status.Sync.Revision, Target: a.Status.Sync.Target,
		Health: model.HealthUnknown, Suspended: a.Spec.Suspend, Drifting: a.Status.Drifting, Resources: len(a.Status.Inventory),
		DriftPolicy: model.ApplicationDriftPolicy(gitops.DriftPolicyOf(&a.Spec)),
	}
	if g := a.Spec.HumanGrace; g != nil && g.Duration > 0 {
		out.HumanGrace = g.Duration.String()
	}
	if z := promotion.HealingPause(v.freezes, out.Stage, v.now); z != nil {
		out.HealingPaused = v.freezeModel(z)
	}
	if out.Cluster == "" {
		out.Cluster = v1alpha1.InCluster
	}
	if out.Sync == "" {
		out.Sync = model.ApplicationSyncUnknown
	}
	if h := a.Status.Health; h != nil {
		out.Health, out.HealthReason, out.HealthMessage = model.Health(h.Status), h.Reason, h.Message
	}
	setMicroTime(&out.SyncedAt, a.Status.Sync.SyncedAt)
	if a.Status.LastSync != nil {
		out.LastSync = syncResultModel(a.Status.LastSync)
	}
	for _, o := range a.Status.Objects {
		out.Objects = append(out.Objects, model.ObjectStatus{
			Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Health: model.Health(o.Health), Reason: o.Reason, Message: o.Message,
		})
	}
	for _, d := range a.Status.Drifts {
		out.Drifts = append(out.Drifts, model.Drift{
			Group: d.Group, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name, Field: d.Field, Want: d.Want, Got: d.Got,
			Manager: d.Manager, Action: d.Action, At: d.At.UTC(),
		})
	}
	return out
}

// imageChanges compares what runs with what would run, by repository.
func imageChanges(before, after []v1alpha1.Image) []model.ImageChange {
	byRepo := map[string]*model.ImageChange{}
	at := func(repo string) *model.ImageChange {
		if byRepo[repo] == nil {
			byRepo[repo] = &model.ImageChange{RepoURL: repo}
		}
		return byRepo[repo]
	}
	for _, img := range before {
		at(img.RepoURL).Before = imageModel(img)
	}
	for _, img := range after {
		at(img.RepoURL).After = imageModel(img)
	}
	out := make([]model.ImageChange, 0, len(byRepo))
	for _, c := range byRepo {
		none := model.Image{}
		switch {
		case c.Before == none:
			c.Change = model.ImageChangeChangeAdded
		case c.After == none:
			c.Change = model.ImageChangeChangeRemoved
		case c.Before.Tag == c.After.Tag && c.Before.Digest == c.After.Digest:
			c.Change = model.ImageChangeChangeUnchanged
		default:
			c.Change = model.ImageChangeChangeChanged
		}
		out = append(out, *c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].RepoURL < out[j].RepoURL })
	return out
}

// written returns what a mechanism writes for an image.
func written(img v1alpha1.Image, pin v1alpha1.PinMode) string {
	switch {
	case pin == v1alpha1.PinDigest:
		return img.Digest
	case pin == v1alpha1.PinTag || img.Digest == "":
		return img.Tag
	default:
		return fmt.Sprintf("%s@%s", img.Tag, img.Digest)
	}
}
