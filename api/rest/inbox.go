package rest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	// maxInboxProjects are looked through for one inbox.
	maxInboxProjects = 200
	// maxInboxDone are listed of what one has decided.
	maxInboxDone = 50
	// failedFor is how long a failed Promotion stays in the inbox.
	failedFor = 7 * 24 * time.Hour
)

// Inbox returns what waits for the person who asks.
func (s *Server) Inbox(ctx context.Context, _ InboxRequestObject) (InboxResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	mark, err := s.hub.current(ctx, topicInbox)
	if err != nil {
		return nil, err
	}
	data, err := s.inboxFor(ctx, who.person, mark)
	if err != nil {
		return nil, err
	}
	return rawPage(data), nil
}

// inboxMark is the page of the topic inbox before it is narrowed: a digest of
// everything that may put something into anybody's inbox or take it out. What
// one person is shown is worked out when the mark changes.
type inboxMark struct {
	Digest string `json:"digest"`
}

// buildInboxMark returns the present mark.
func (s *Server) buildInboxMark(ctx context.Context) (inboxMark, error) {
	var stages v1alpha1.StageList
	var promotions v1alpha1.PromotionList
	var approvals v1alpha1.ApprovalList
	for _, l := range []client.ObjectList{&stages, &promotions, &approvals} {
		if err := s.opts.Cache.List(ctx, l, client.UnsafeDisableDeepCopy); err != nil {
			return inboxMark{}, fmt.Errorf("list what inboxes show: %w", err)
		}
	}
	return inboxMark{Digest: inboxDigest(stages.Items, promotions.Items, approvals.Items, s.opts.Clock.Now())}, nil
}

// inboxDigest hashes what inboxes are made of: Stages that ask for approval or
// drift, Promotions that wait for it, the newest ones when they failed, and
// decisions. Promotions that only pass through change nothing.
func inboxDigest(stages []v1alpha1.Stage, promotions []v1alpha1.Promotion, approvals []v1alpha1.Approval, now time.Time) string {
	var facts []string
	add := func(parts ...any) { facts = append(facts, fmt.Sprintln(parts...)) }
	for i := range stages {
		st := &stages[i]
		if st.Spec.Approval != nil || st.Spec.Rollback.Approval != nil {
			add("asks", st.UID, st.Generation)
		}
		if st.Status.Drifting {
			add("drifts", st.UID, st.ResourceVersion)
		}
	}
	newest := map[string]*v1alpha1.Promotion{}
	for i := range promotions {
		p := &promotions[i]
		if stage := p.Namespace + "/" + p.Spec.Stage; newest[stage] == nil || isLater(p, newest[stage]) {
			newest[stage] = p
		}
		if (promotion.IsPending(p) || promotion.AskedByStep(p) != nil) && p.Status.Plan != nil && p.Status.Plan.Hash != "" {
			add("waits", p.UID, p.Status.Plan.Hash, p.Status.Message)
		}
	}
	for _, p := range newest {
		if phaseWord(phaseOf(p), p.Status.Reason) == model.PhaseFailed && p.Status.FinishedAt != nil && now.Sub(p.Status.FinishedAt.Time) <= failedFor {
			add("failed", p.UID, p.Status.Message)
		}
	}
	for i := range approvals {
		add("decided", approvals[i].UID)
	}
	slices.Sort(facts)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(facts, ""))))
}

// inboxFor returns the inbox of a person, as it is now.
func (s *Server) inboxFor(ctx context.Context, person identity.Person, mark *page) ([]byte, error) {
	var projects v1alpha1.ProjectList
	if err := s.opts.Cache.List(ctx, &projects, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Projects: %w", err)
	}
	out := model.Inbox{
		Cursor: mark.id, Approvals: []model.InboxApproval{}, Failed: []model.InboxPromotion{}, Drifted: []model.InboxDrift{}, Done: []model.InboxApproval{},
	}
	looked := 0
	for i := range projects.Items {
		name := projects.Items[i].Name
		mayList, err := s.may(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "promotions", Namespace: name})
		if err != nil {
			return nil, err
		}
		if !mayList {
			continue
		}
		if looked++; looked > maxInboxProjects {
			out.Missing = append(out.Missing, name)
			continue
		}
		v, err := s.loadProject(ctx, name)
		var refused *refusal
		if errors.As(err, &refused) {
			continue // deleted meanwhile
		}
		if err == nil {
			err = s.addToInbox(ctx, &out, v, person)
		}
		if err != nil {
			return nil, err
		}
	}
	sort.SliceStable(out.Approvals, func(i, j int) bool {
		return out.Approvals[i].Promotion.CreatedAt.Before(out.Approvals[j].Promotion.CreatedAt)
	})
	sort.SliceStable(out.Failed, func(i, j int) bool {
		return out.Failed[i].Promotion.FinishedAt.After(out.Failed[j].Promotion.FinishedAt)
	})
	sort.SliceStable(out.Done, func(i, j int) bool {
		return out.Done[i].Decision.CreatedAt.After(out.Done[j].Decision.CreatedAt)
	})
	out.Done = out.Done[:min(len(out.Done), maxInboxDone)]
	return json.Marshal(out)
}

func (s *Server) addToInbox(ctx context.Context, out *model.Inbox, v *projectView, person identity.Person) error {
	may := map[string]bool{}
	for i := range v.stages {
		st := &v.stages[i]
		asksInStep := func(p *v1alpha1.Promotion) bool { return !promotion.IsPending(p) && promotion.AskedOf(st, p) != nil }
		if st.Spec.Approval == nil && st.Spec.Rollback.Approval == nil && !slices.ContainsFunc(v.promotionsOf[st.Name], asksInStep) {
			continue
		}
		allowed, err := s.may(ctx, identity.Action{Verb: "approve", Group: v1alpha1.Group, Resource: "stages", Namespace: st.Namespace, Name: st.Name})
		if err != nil {
			return err
		}
		may[st.Name] = allowed
	}
	for i := range v.promotions {
		p := &v.promotions[i]
		if st := v.stageByName[p.Spec.Stage]; st != nil {
			v.addApproval(out, st, p, person, may[st.Name])
		}
		if p.Spec.RequestedBy == person.User && v.isOpenFailure(p) {
			out.Failed = append(out.Failed, model.InboxPromotion{Project: p.Namespace, Promotion: v.shortPromotion(p)})
		}
	}
	return s.addDrift(ctx, out, v)
}

// addApproval adds p where the person is asked about it, or was.
func (v *projectView) addApproval(out *model.Inbox, st *v1alpha1.Stage, p *v1alpha1.Promotion, person identity.Person, mayApprove bool) {
	wanted := promotion.AskedOf(st, p)
	isAsked := wanted != nil
	if !isAsked { // it may have been
		wanted = &promotion.Asked{Policy: promotion.ApprovalPolicy(st, kindOf(p))}
	}
	if wanted.Policy == nil {
		return
	}
	item := model.InboxApproval{Project: p.Namespace}
	for _, a := range v.approvalModels(p, *wanted) {
		if a.Actor == person.User && (item.Decision.Name == "" || a.Standing == model.Counts) {
			item.Decision = a
		}
	}
	waits := isAsked && p.Status.Plan != nil && p.Status.Plan.Hash != ""
	switch {
	case item.Decision.Name != "" && (!waits || item.Decision.Standing == model.Counts):
		item.Promotion, item.MayNot = v.shortPromotion(p), "you have decided"
		out.Done = append(out.Done, item)
	case waits && mayApprove && promotion.IsAsked(wanted.Policy, person.User, person.Groups):
		item.Promotion, item.MayNot = v.shortPromotion(p), mayNotDecide(wanted.Policy, p, person)
		item.MayDecide = item.MayNot == ""
		out.Approvals = append(out.Approvals, item)
	}
}

// isOpenFailure reports whether p failed lately and nothing has come after it.
func (v *projectView) isOpenFailure(p *v1alpha1.Promotion) bool {
	if phaseWord(phaseOf(p), p.Status.Reason) != model.PhaseFailed || p.Status.FinishedAt == nil || v.now.Sub(p.Status.FinishedAt.Time) > failedFor {
		return false
	}
	return v.promotionsOf[p.Spec.Stage][0].Name == p.Name
}

// addDrift adds the Stages that the person may promote into and that differ from
// Git.
func (s *Server) addDrift(ctx context.Context, out *model.Inbox, v *projectView) error {
	for i := range v.stages {
		st := &v.stages[i]
		if !st.Status.Drifting {
			continue
		}
		allowed, err := s.may(ctx, identity.Action{Verb: "promote", Group: v1alpha1.Group, Resource: "stages", Namespace: st.Namespace, Name: st.Name})
		if err != nil {
			return err
		}
		if !allowed {
			continue
		}
		item := model.InboxDrift{Project: st.Namespace, Stage: st.Name, Sentence: promotion.Summarize(v.observe(st)).Sentence, Drifts: []model.Drift{}}
		for _, a := range v.applicationsOf(st) {
			item.Drifts = slices.Concat(item.Drifts, a.Drifts)
		}
		out.Drifted = append(out.Drifted, item)
	}
	return nil
}
