package rest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
)

// Bounds of what one may ask about delivery.
const (
	defaultInsightsDays = 30
	maxInsightsDays     = 366
	// maxInsightsProjects are looked at for one answer, and maxFailures listed.
	maxInsightsProjects = 200
	maxFailures         = 50
)

// Insights returns how delivery went: of one Project, or of all the person may
// see.
func (s *Server) Insights(ctx context.Context, request InsightsRequestObject) (InsightsResponseObject, error) {
	q := request.Params
	now := s.opts.Clock.Now().UTC().Truncate(time.Second)
	span, err := spanOf(q.Range)
	if err != nil {
		return nil, err
	}
	w, err := s.deliveries(ctx, q.Project, q.Stage)
	if err != nil {
		return nil, err
	}
	from, before := now.Add(-span), now.Add(-2*span)
	missing, err := s.addRecords(ctx, w, history.Filter{Project: q.Project, From: before.Add(-lookBack), Until: now})
	if err != nil {
		return nil, err
	}
	total := w.measure("", from, now)
	out := model.InsightsReport{
		From: from, Until: now, Total: w.model("", total, from, now), Projects: []model.ProjectInsights{},
		Parts: []model.DeliveryPart{}, Days: []model.DeployDay{}, Failures: []model.FailedDeploy{},
		Warning: strings.Join(slices.DeleteFunc([]string{w.warning, missing}, func(s string) bool { return s == "" }), "; "),
	}
	if missing == "" {
		out.Before = w.model("", w.measure("", before, from), before, from)
	}
	for _, v := range w.views {
		name := v.project.Name
		out.Projects = append(out.Projects, model.ProjectInsights{Project: name, Insights: w.model(name, w.measure(name, from, now), from, now)})
	}
	for _, p := range total.Parts {
		out.Parts = append(out.Parts, model.DeliveryPart{Name: model.DeliveryPartName(p.Name), Took: durationsModel(p.Durations), Percent: toTenth(100 * p.Share)})
	}
	for _, d := range total.Days {
		out.Days = append(out.Days, model.DeployDay{At: d.At, Deploys: d.Deploys, Failed: d.Failed})
	}
	for _, f := range total.Failures[:min(maxFailures, len(total.Failures))] {
		out.Failures = append(out.Failures, failedModel(f))
	}
	return Insights200JSONResponse(out), nil
}

// spanOf reads a number of days; empty is the usual one.
func spanOf(text string) (time.Duration, error) {
	n := defaultInsightsDays
	if text != "" {
		var err error
		if n, err = strconv.Atoi(strings.TrimSuffix(text, "d")); err != nil || n < 1 || n > maxInsightsDays {
			return 0, refuse(model.InvalidRequest, "range %q: want 1d to %dd", text, maxInsightsDays)
		}
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// deliveries are the Projects that an answer is about, with the Stages of each
// that count.
type deliveries struct {
	views   []*projectView
	of      map[string]*projectView
	counted map[string]map[string]bool
	stages  []string
	records []history.Promotion
	warning string
}

// deliveries returns one Project, or those that the person may see, by name.
func (s *Server) deliveries(ctx context.Context, project string, stages []string) (*deliveries, error) {
	names := []string{project}
	if project == "" {
		if len(stages) > 0 {
			return nil, refuse(model.InvalidRequest, "stage without project: Stages of different Projects may have one name")
		}
		var projects v1alpha1.ProjectList
		if err := s.opts.Cache.List(ctx, &projects, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list Projects: %w", err)
		}
		names = nil
		for i := range projects.Items {
			names = append(names, projects.Items[i].Name)
		}
		slices.Sort(names)
	}
	w := &deliveries{of: map[string]*projectView{}, counted: map[string]map[string]bool{}}
	for _, name := range names {
		allowed, err := s.may(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "promotions", Namespace: name})
		switch {
		case err != nil:
			return nil, err
		case !allowed && project != "":
			return nil, noProject(name)
		case !allowed:
			continue
		case len(w.views) == maxInsightsProjects:
			w.warning = fmt.Sprintf("more than %d Projects: the first by name count", maxInsightsProjects)
			return w, nil
		}
		v, err := s.loadProject(ctx, name)
		if err != nil {
			if project == "" && refusalOf(err).code == model.NotFound {
				continue // deleted meanwhile
			}
			return nil, err
		}
		if err := w.add(v, stages); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *deliveries) add(v *projectView, names []string) error {
	counted := v.lastStages()
	if len(names) > 0 {
		var err error
		if counted, err = v.stagesNamed(names); err != nil {
			return err
		}
	}
	name := v.project.Name
	w.views, w.of[name], w.counted[name] = append(w.views, v), v, map[string]bool{}
	for _, st := range counted {
		w.counted[name][st.Name] = true
	}
	w.records = append(w.records, v.liveRecords()...)
	return nil
}

// addRecords adds what only the store has.
func (s *Server) addRecords(ctx context.Context, w *deliveries, f history.Filter) (string, error) {
	stored, missing, err := s.storedRecords(ctx, f, maxRecords)
	if err != nil {
		return "", err
	}
	w.records = withStored(w.records, slices.DeleteFunc(stored, func(r history.Promotion) bool { return w.of[r.Project] == nil }))
	return missing, nil
}

// measure measures one Project, or all of them together.
func (w *deliveries) measure(project string, from, until time.Time) history.Insights {
	return history.Measure(w.records, history.Question{
		Counts: func(p *history.Promotion) bool {
			return (project == "" || p.Project == project) && w.counted[p.Project][p.Stage]
		},
		From: from, Until: until,
		Made: func(p *history.Promotion) time.Time { return w.of[p.Project].madeAt(p.Freight.Name) },
	})
}

func (w *deliveries) model(project string, m history.Insights, from, until time.Time) model.Insights {
	var stages []string
	for _, v := range w.views {
		for i := range v.stages {
			name := v.stages[i].Name
			switch {
			case !w.counted[v.project.Name][name] || project != "" && project != v.project.Name:
			case project == "" && len(w.views) > 1:
				stages = append(stages, v.project.Name+"/"+name)
			default:
				stages = append(stages, name)
			}
		}
	}
	return insightsModel(m, stages, from, until)
}

func failedModel(f history.Failure) model.FailedDeploy {
	p := f.Deploy
	out := model.FailedDeploy{
		Project: p.Project, Stage: p.Stage, Freight: recordedFreight(p.Freight), Promotion: p.Name, At: p.PushedAt, Cause: p.Message,
	}
	if r := f.Restored; r != nil {
		out.RestoredBy, out.RestoredKind = r.Name, model.FailedDeployRestoredKind(r.Kind)
		out.RestoredSeconds = int(r.FinishedAt.Sub(p.PushedAt).Seconds())
	}
	return out
}
