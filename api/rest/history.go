package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/chain"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion"
)

// HistoryReader is what the API reads from the history's store.
type HistoryReader interface {
	GetPromotion(ctx context.Context, project, name string) (history.Promotion, error)
	ListPromotions(ctx context.Context, f history.Filter, page history.Page) ([]history.Promotion, string, error)
	ListEntries(ctx context.Context, f history.Filter, page history.Page) ([]history.Entry, string, error)
	Links(ctx context.Context, after int64, limit int) ([]chain.Link, error)
	FirstSince(ctx context.Context, at time.Time) (int64, error)
	Verify(ctx context.Context, part history.Part) (history.Verdict, error)
}

// HistoryWriter keeps what only the API knows: who did it.
type HistoryWriter interface {
	Add(ctx context.Context, e history.Entry) error
}

// historyTime is how long a page waits for the store before it shows what the
// cluster has.
const historyTime = 5 * time.Second

// noStoreWarning says why something may be missing.
const noStoreWarning = "the history store does not answer: only what the cluster still has is shown"

// viaAPI marks what came through this API.
const viaAPI = "api"

// note keeps an entry. Losing one is no reason to take back what it is about.
func (s *Server) note(ctx context.Context, e history.Entry) {
	if s.opts.Notes == nil {
		return
	}
	e.Via = viaAPI
	if err := s.opts.Notes.Add(ctx, e); err != nil {
		s.log.Error("an entry of the history is lost", "requestId", requestID(ctx), "key", e.Key, "action", e.Action, "error", err)
	}
}

// History returns what happened, newest first: what the cluster has and what the
// store has as one list. Of a Promotion that is in both, the object counts.
func (s *Server) History(ctx context.Context, request HistoryRequestObject) (HistoryResponseObject, error) {
	q := request.Params
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	f := history.Filter{Project: request.Project, Stage: q.Stage, Who: q.Who, From: q.From, Until: q.Until}
	if q.Kind != "" {
		f.Kinds = []string{string(q.Kind)}
	}
	if q.Freight != "" {
		f.Freight = v.freightNamed(q.Freight)
	}
	page := history.Page{After: q.Page, Limit: q.Limit}
	live, err := v.livePage(f, page)
	if err != nil {
		return nil, err
	}
	out := model.PromotionList{Items: []model.Promotion{}}
	var stored []history.Promotion
	more := ""
	if s.opts.History != nil {
		limited, cancel := context.WithTimeout(ctx, historyTime)
		defer cancel()
		stored, more, err = s.opts.History.ListPromotions(limited, f, page)
		switch {
		case errors.Is(err, history.ErrCursor):
			return nil, refuse(model.InvalidRequest, "page is not one this API gave")
		case err != nil && ctx.Err() == nil:
			s.log.Warn("the history store does not answer", "requestId", requestID(ctx), "error", err)
			out.Warning = noStoreWarning
		case err != nil:
			return nil, err
		}
	}
	if _, err := v.stage(q.Stage); q.Stage != "" && err != nil && len(v.promotionsOf[q.Stage]) == 0 && len(stored) == 0 {
		return nil, err
	}
	merged := merge(live, stored, v)
	if len(merged) > page.Size() || more != "" {
		merged = merged[:min(len(merged), page.Size())]
		out.NextPage = merged[len(merged)-1].at.String()
	}
	for _, m := range merged {
		out.Items = append(out.Items, m.show())
	}
	return History200JSONResponse(out), nil
}

// happening is one line of the history.
type happening struct {
	at   history.Cursor
	show func() model.Promotion
}

// merge orders objects and records as one list, newest first, each once.
func merge(live []*v1alpha1.Promotion, stored []history.Promotion, v *projectView) []happening {
	var out []happening
	isLive := map[string]bool{}
	for i := range v.promotions {
		isLive[string(v.promotions[i].UID)] = true
	}
	for _, p := range live {
		out = append(out, happening{cursorOf(p), func() model.Promotion { return v.shortPromotion(p) }})
	}
	for i := range stored {
		if r := &stored[i]; !isLive[r.UID] {
			out = append(out, happening{r.Cursor(), func() model.Promotion { return recordModel(r) }})
		}
	}
	slices.SortFunc(out, func(a, b happening) int { return b.at.Compare(a.at) })
	return out
}

func cursorOf(p *v1alpha1.Promotion) history.Cursor {
	return history.Cursor{At: p.CreationTimestamp.UTC(), Seq: promotion.Seq(p.Name), Name: p.Name, ID: string(p.UID)}
}

// livePage returns the newest Promotions after the cursor that the filter lets
// through, one more than the page holds.
func (v *projectView) livePage(f history.Filter, page history.Page) ([]*v1alpha1.Promotion, error) {
	var after *history.Cursor
	if page.After != "" {
		c, err := history.ParseCursor(page.After)
		if err != nil {
			return nil, refuse(model.InvalidRequest, "page is not one this API gave")
		}
		after = &c
	}
	var out []*v1alpha1.Promotion
	for i := range v.promotions {
		p := &v.promotions[i]
		if matches(f, p) && (after == nil || cursorOf(p).Compare(*after) < 0) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *v1alpha1.Promotion) int { return cursorOf(b).Compare(cursorOf(a)) })
	return out[:min(len(out), page.Size()+1)], nil
}

// matches is the filter of the store, for an object.
func matches(f history.Filter, p *v1alpha1.Promotion) bool {
	at := p.CreationTimestamp.UTC()
	return (f.Stage == "" || p.Spec.Stage == f.Stage) &&
		(f.Freight == "" || p.Spec.Freight == f.Freight) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, string(kindOf(p)))) &&
		(f.Who == "" || p.Spec.RequestedBy == f.Who || p.Spec.RequestedBy == identity.Prefix+f.Who) &&
		(f.From.IsZero() || !at.Before(f.From)) && (f.Until.IsZero() || at.Before(f.Until))
}

// freightNamed returns the name of the Freight that text stands for; a text that
// no Freight of the cluster has may be the name of one that is gone.
func (v *projectView) freightNamed(text string) string {
	if f, err := v.find(text, nil); err == nil {
		return f.Name
	}
	return text
}

// recorded returns the Promotion of that name from the store.
func (s *Server) recorded(ctx context.Context, project, name string) (model.Promotion, error) {
	if s.opts.History == nil {
		return model.Promotion{}, noPromotion(project, name)
	}
	limited, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	r, err := s.opts.History.GetPromotion(limited, project, name)
	switch {
	case errors.Is(err, history.ErrNotFound):
		return model.Promotion{}, noPromotion(project, name)
	case err != nil && ctx.Err() == nil:
		return model.Promotion{}, noStore(err)
	case err != nil:
		return model.Promotion{}, err
	}
	return recordModel(&r), nil
}

func noStore(cause error) *refusal {
	r := refuse(model.Unavailable, "the history store does not answer").withHint("what runs is not affected; try again in a moment")
	r.cause = cause
	return r
}

// recordModel shows a record as its Promotion was shown.
func recordModel(r *history.Promotion) model.Promotion {
	out := model.Promotion{
		Name: r.Name, UID: r.UID, Project: r.Project, Stage: r.Stage, Kind: model.PromotionKind(r.Kind),
		Freight: recordedFreight(r.Freight), To: recordedFreight(r.To),
		Phase: phaseWord(v1alpha1.PromotionPhase(r.Phase), r.PhaseReason), Finished: true, Reason: r.PhaseReason, Message: r.Message,
		RequestedBy: r.RequestedBy, RequestReason: r.Reason, Automatic: r.Automatic,
		RetryOf: r.RetryOf, RolledBackBy: r.RolledBackBy, SupersededBy: r.SupersededBy, CreatedAt: r.CreatedAt,
		StartedAt: r.StartedAt, PushedAt: r.PushedAt, FinishedAt: r.FinishedAt,
		Commit:   recordedCommit(r.Commit),
		PlanHash: r.PlanHash,
		Abort:    model.Abort{By: r.AbortedBy, Reason: r.AbortReason},
		Steps:    []model.Step{},
	}
	for _, c := range r.Written {
		out.Commits = append(out.Commits, recordedCommit(c))
	}
	for _, a := range r.Approvals {
		out.Approvals = append(out.Approvals, model.Approval{
			Promotion: r.Name, Stage: r.Stage, Actor: a.Actor, Decision: model.Approve, PlanHash: r.PlanHash, Reason: a.Reason,
			Standing: model.Counts, CreatedAt: a.At,
		})
	}
	if r.Verification != nil {
		out.Verification = verificationModel(r.Verification)
	}
	for _, g := range r.Bypassed {
		out.Bypass = append(out.Bypass, model.GateName(g))
	}
	for _, f := range r.From {
		held := f.Artifacts()
		from := model.StageFreight{
			Name: f.Name, Alias: f.Alias, Version: held.Version(), Origin: f.Origin,
			Images: imageModels(held.Images), Commits: commitModels(held.Commits), Charts: chartModels(held.Charts),
		}
		out.From = append(out.From, from)
	}
	for _, st := range r.Steps {
		out.Steps = append(out.Steps, model.Step{
			Name: st.Name, Uses: st.Uses, State: model.StepState(st.State), Message: st.Message, Attempts: st.Attempt,
			StartedAt: st.StartedAt, FinishedAt: st.FinishedAt,
		})
	}
	return out
}

func recordedFreight(f history.Freight) model.FreightRef {
	return model.FreightRef{Name: f.Name, Alias: f.Alias, Origin: f.Origin, Version: f.Artifacts().Version()}
}

// ProjectAudit returns who decided what in a Project, newest first.
func (s *Server) ProjectAudit(ctx context.Context, request ProjectAuditRequestObject) (ProjectAuditResponseObject, error) {
	q := request.Params
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	f := history.Filter{Project: request.Project, Stage: q.Stage, Who: q.Who, From: q.From, Until: q.Until}
	if q.Freight != "" {
		f.Freight = v.freightNamed(q.Freight)
	}
	for _, a := range q.Action {
		f.Kinds = append(f.Kinds, string(a))
	}
	out, err := s.audit(ctx, f, history.Page{After: q.Page, Limit: q.Limit})
	return ProjectAudit200JSONResponse(out), err
}

// Audit returns who decided what anywhere, with who signed in.
func (s *Server) Audit(ctx context.Context, request AuditRequestObject) (AuditResponseObject, error) {
	if err := s.mayReadAll(ctx); err != nil {
		return nil, err
	}
	q := request.Params
	f := history.Filter{Who: q.Who, From: q.From, Until: q.Until}
	for _, a := range q.Action {
		f.Kinds = append(f.Kinds, string(a))
	}
	out, err := s.audit(ctx, f, history.Page{After: q.Page, Limit: q.Limit})
	return Audit200JSONResponse(out), err
}

// mayReadAll refuses who may not read what happened in every Project.
func (s *Server) mayReadAll(ctx context.Context) error {
	allowed, err := s.may(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "audits"})
	if err == nil && !allowed {
		return refuse(model.Forbidden, "you may not read what happened in every Project").
			withHint("waybill audit PROJECT shows one that you may see")
	}
	return err
}

func (s *Server) audit(ctx context.Context, f history.Filter, page history.Page) (model.AuditList, error) {
	out := model.AuditList{Items: []model.AuditEntry{}}
	if s.opts.History == nil {
		return out, nil
	}
	limited, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	entries, next, err := s.opts.History.ListEntries(limited, f, page)
	switch {
	case errors.Is(err, history.ErrCursor):
		return out, refuse(model.InvalidRequest, "page is not one this API gave")
	case err != nil && ctx.Err() == nil:
		return out, noStore(err)
	case err != nil:
		return out, fmt.Errorf("list entries: %w", err)
	}
	out.NextPage = next
	for _, e := range entries {
		out.Items = append(out.Items, model.AuditEntry{
			At: e.At, Action: model.AuditAction(e.Action), Actor: e.Actor, Project: e.Project, Stage: e.Stage, Freight: e.Freight,
			Kind: e.Object.Kind, Name: e.Object.Name, Reason: e.Reason, Promotion: e.Promotion, Phase: e.Phase, Until: e.Until, Via: e.Via,
		})
	}
	return out, nil
}

func recordedCommit(c history.Commit) model.Commit {
	return model.Commit{RepoURL: c.RepoURL, Branch: c.Branch, Commit: c.Commit, Parent: c.Parent, Unchanged: c.Unchanged}
}
