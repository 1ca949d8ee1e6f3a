package cli

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

const (
	// waitsForLong is how long a Promotion may wait before it is told of.
	waitsForLong = 24 * time.Hour
	// maxExamined bounds the Projects that are looked into, the worst first, and
	// examinedAtOnce those at one time.
	maxExamined, examinedAtOnce = 100, 8
)

// projectPages is what is looked at of one Project; the errors are those of its pages.
type projectPages struct {
	name                 string
	pipeline             *model.Pipeline
	pending              *model.PromotionList
	webhooks             *model.WebhookList
	noPipeline, noRights error
}

// examineProjects looks into the Projects one may see, or into that of -p.
func (a *App) examineProjects(ctx context.Context, e *examination, c *client.Client) {
	names := []string{a.flags.project}
	if a.flags.project == "" {
		page, err := c.Projects(ctx)
		if err != nil {
			e.addError("Projects", err)
			return
		}
		names = names[:0]
		for _, p := range page.Items {
			names = append(names, p.Name)
		}
	}
	left := max(len(names)-maxExamined, 0)
	pages := make([]projectPages, len(names)-left)
	var group errgroup.Group
	group.SetLimit(examinedAtOnce)
	for i := range pages {
		group.Go(func() error {
			pages[i] = readProject(ctx, c, names[i])
			return nil
		})
	}
	_ = group.Wait() // errors are in the pages
	before := len(e.Items)
	stages, warehouses, receivers := 0, 0, 0
	for i := range pages {
		p := &pages[i]
		a.examineProject(e, p)
		if p.pipeline != nil {
			stages, warehouses = stages+len(p.pipeline.Stages), warehouses+len(p.pipeline.Warehouses)
		}
		if p.webhooks != nil {
			receivers += len(p.webhooks.Items)
		}
	}
	if len(e.Items) == before {
		e.add("Projects", model.FindingOK, "", "%s with %s, %s and %s", counted(len(pages), "Project"),
			counted(stages, "Stage"), counted(warehouses, "Warehouse"), counted(receivers, "webhook receiver"))
	}
	if left > 0 {
		e.add("Projects", model.FindingUnknown, "waybill doctor -p PROJECT", "not looked into, because they are many: %s, those that stand best", counted(left, "Project"))
	}
}

func readProject(ctx context.Context, c *client.Client, name string) projectPages {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	p := projectPages{name: name}
	if p.pipeline, p.noPipeline = c.Pipeline(ctx, name); p.noPipeline != nil {
		p.pipeline = nil
		return p
	}
	var err error
	if p.pending, err = c.Promotions(ctx, name, "", model.PhasePending, client.Page{Limit: pageSize}); err != nil {
		p.pending, p.noRights = nil, err
	}
	if p.webhooks, err = c.Webhooks(ctx, name); err != nil {
		p.webhooks, p.noRights = nil, err
	}
	return p
}

func (a *App) examineProject(e *examination, p *projectPages) {
	if p.noPipeline != nil {
		if client.Code(p.noPipeline) == model.NotFound {
			e.add("Project "+p.name, model.FindingFail, "waybill get projects", "%v", p.noPipeline)
			return
		}
		e.addError("Project "+p.name, p.noPipeline)
		return
	}
	for i := range p.pipeline.Warehouses {
		a.examineWarehouse(e, &p.pipeline.Warehouses[i])
	}
	for i := range p.pipeline.Stages {
		examineStage(e, &p.pipeline.Stages[i])
	}
	if p.pending != nil {
		a.examinePending(e, p)
	}
	if p.webhooks != nil {
		for i := range p.webhooks.Items {
			examineReceiver(e, p.name, &p.webhooks.Items[i])
		}
	}
	if p.noRights != nil {
		e.addError("Project "+p.name, p.noRights)
	}
}

func (a *App) examineWarehouse(e *examination, w *model.Warehouse) {
	id := w.Project + "/" + w.Name
	next := "waybill describe warehouse " + id
	if !w.Ready {
		e.add("warehouse "+id, model.FindingFail, next, "%s", join(": ", w.Reason, firstOf(w.Message, "nothing is known of it yet")))
		return
	}
	for _, s := range w.Subscriptions {
		if s.Error != "" {
			e.add("warehouse "+id, model.FindingWarn, next, "%s: %s", s.RepoURL, s.Error)
		}
	}
}

// examineStage tells of a Stage that is not as it should be, in the server's words. One
// that waits or is frozen is as somebody wants it.
func examineStage(e *examination, s *model.Stage) {
	id := s.Project + "/" + s.Name
	next := firstOf(s.Status.NextAction.Command, "waybill describe stage "+id)
	switch s.Status.Word {
	case model.StatusWordFailed:
		e.add("stage "+id, model.FindingFail, next, "%s", s.Status.Sentence)
	case model.StatusWordUnknown, model.StatusWordDrifted:
		e.add("stage "+id, model.FindingWarn, next, "%s", join(": ", string(s.Status.Word), s.Status.Sentence))
	}
}

func (a *App) examinePending(e *examination, p *projectPages) {
	for i := range p.pending.Items {
		r := &p.pending.Items[i]
		if a.Now().Sub(r.CreatedAt) < waitsForLong {
			continue
		}
		why := r.Message
		for _, g := range r.Gates {
			if !g.Open && g.Reason != "" {
				why = g.Reason
				break
			}
		}
		e.add("promotion "+p.name+"/"+r.Name, model.FindingWarn, fmt.Sprintf("waybill describe promotion %s/%s", p.name, r.Name),
			"%s into %s has waited for %s: %s", freightName(r.Freight), r.Stage, a.age(r.CreatedAt), firstOf(why, "nothing says why"))
	}
	if p.pending.NextPage != "" {
		e.add("Project "+p.name, model.FindingWarn, "waybill status "+p.name, "more than %d Promotions wait", len(p.pending.Items))
	}
}

func examineReceiver(e *examination, project string, w *model.Webhook) {
	name := "webhook " + project + "/" + w.Name
	next := fmt.Sprintf("waybill get webhook %s -p %s", w.Name, project)
	switch {
	case !w.Ready:
		e.add(name, model.FindingFail, next, "%s", firstOf(w.Message, "it does not listen"))
	case len(w.Deliveries) > 0 && (w.Deliveries[0].Result == model.Refused || w.Deliveries[0].Result == model.Malformed):
		e.add(name, model.FindingWarn, next, "the last message was not taken: %s", join(": ", string(w.Deliveries[0].Result), w.Deliveries[0].Detail))
	}
}
