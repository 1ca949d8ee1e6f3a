package rest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// The rail shows the newest Freight; fewer when there are many Stages, since
// every Stage has a verdict for each.
const (
	railFreight = 20
	railFewest  = 3
	maxVerdicts = 2000
)

// GetPipeline returns the pipeline page.
func (s *Server) GetPipeline(ctx context.Context, request GetPipelineRequestObject) (GetPipelineResponseObject, error) {
	page, err := s.hub.current(ctx, topicPipeline(request.Project))
	if err != nil {
		return nil, err
	}
	return rawPage(page.data), nil
}

// buildPipeline returns the page and when it changes by itself.
func (s *Server) buildPipeline(ctx context.Context, project string) (model.Pipeline, time.Time, error) {
	v, err := s.loadProject(ctx, project)
	if err != nil {
		return model.Pipeline{}, time.Time{}, err
	}
	m, change := v.pipeline()
	return m, change, nil
}

// pipeline returns the page and when it changes by itself.
func (v *projectView) pipeline() (model.Pipeline, time.Time) {
	out := model.Pipeline{
		Project: v.project.Name, Warehouses: []model.Warehouse{}, Stages: []model.Stage{}, Edges: []model.Edge{},
		Freight: []model.Freight{}, Verdicts: []model.Verdict{}, Activity: []model.Activity{},
	}
	for i := range v.warehouses {
		out.Warehouses = append(out.Warehouses, v.warehouseModel(&v.warehouses[i]))
	}
	for i := range v.stages {
		out.Stages = append(out.Stages, v.stageModel(&v.stages[i]))
	}
	out.Status = v.status(out.Stages)
	rail := v.rail()
	var change time.Time
	for _, f := range rail {
		out.Freight = append(out.Freight, v.freightModel(f))
	}
	for i := range v.stages {
		st := &v.stages[i]
		short := unfinished(v.observe(st))
		origins := originsOf(st)
		for _, f := range rail {
			if !slices.Contains(origins, f.Origin.Name) {
				continue
			}
			j := judge(short, f)
			change = earlierOf(change, promotion.EarliestChange(j.all))
			out.Verdicts = append(out.Verdicts, v.verdict(st, f, j))
		}
		out.Edges = append(out.Edges, v.edges(st)...)
	}
	for i := range v.promotions[:min(latestPromotions, len(v.promotions))] {
		out.Activity = append(out.Activity, v.activityModel(&v.promotions[i]))
	}
	for i := range v.freezes {
		out.Freezes = append(out.Freezes, v.freezeModel(&v.freezes[i]))
		if u := v.freezes[i].Spec.Until; u != nil {
			change = earlierOf(change, u.Time)
		}
	}
	return out, change
}

func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// rail returns the newest Freight and whatever runs anywhere, newest first.
func (v *projectView) rail() []*v1alpha1.Freight {
	limit := railFreight
	if n := len(v.stages); n > 0 {
		limit = max(railFewest, min(railFreight, maxVerdicts/n))
	}
	var out []*v1alpha1.Freight
	for i := range v.freight {
		f := &v.freight[i]
		if i < limit || len(v.runningIn[f.Name]) > 0 {
			out = append(out, f)
		}
	}
	return out
}

func (v *projectView) verdict(st *v1alpha1.Stage, f *v1alpha1.Freight, j verdicts) model.Verdict {
	out := model.Verdict{Stage: st.Name, Freight: f.Name, State: v.stateOf(st, f, j.mayPromote), Closed: closedGates(j.all)}
	if rec, ok := f.Status.Stages[st.Name]; ok && rec.EnteredAt != nil && out.State != model.VerdictStateCurrent {
		out.WasThere = true
	}
	for _, p := range v.promotionsOf[st.Name] {
		if p.Spec.Freight != f.Name || kindOf(p) != v1alpha1.KindPromote || !phaseOf(p).IsFinished() {
			continue
		}
		out.FailedThere = phaseOf(p) == v1alpha1.PhaseFailed || phaseOf(p) == v1alpha1.PhaseRolledBack
		break // newest first
	}
	return out
}

// edges returns what leads into a Stage: one edge per Warehouse it takes from
// directly and per upstream Stage.
func (v *projectView) edges(st *v1alpha1.Stage) []model.Edge {
	var out []model.Edge
	seen := map[string]bool{}
	add := func(kind model.EdgeFromKind, from string, r *v1alpha1.FreightRequest) {
		if key := string(kind) + "/" + from; !seen[key] {
			seen[key] = true
			e := model.Edge{From: from, FromKind: kind, To: st.Name}
			v.pill(&e, st, r)
			out = append(out, e)
		}
	}
	for i := range st.Spec.RequestedFreight {
		r := &st.Spec.RequestedFreight[i]
		if r.Sources.Direct {
			add(model.EdgeFromKindWarehouse, r.Origin.Name, r)
		}
		stages := slices.Clone(r.Sources.Stages)
		sort.Strings(stages)
		for _, up := range stages {
			add(model.EdgeFromKindStage, up, r)
		}
	}
	return out
}

// pill says what guards an edge: the first closed gate of the Freight of that
// origin that comes next, or how Freight moves when nothing is closed.
func (v *projectView) pill(e *model.Edge, st *v1alpha1.Stage, r *v1alpha1.FreightRequest) {
	e.Open, e.Label = true, "manual"
	if st.Spec.AutoPromotion.Enabled {
		e.Label = "auto"
	}
	if d := r.Sources.RequiredSoakTime; d != nil && d.Duration > 0 {
		e.Label += ", " + shortDuration(d.Duration) + " soak"
	}
	f, j := v.next(st, r.Origin.Name)
	if f == nil {
		return
	}
	e.Freight = f.Name
	gates := j.all
	if !st.Spec.AutoPromotion.Enabled {
		// Nobody waits for a hold on a Stage that people promote into.
		gates = slices.DeleteFunc(slices.Clone(gates), func(g v1alpha1.GateVerdict) bool { return g.Gate == v1alpha1.GateHold })
	}
	closed := closedGates(gates)
	if len(closed) == 0 {
		return
	}
	e.Open, e.Gate, e.Label = false, closed[0], pillText(closed[0])
}

// pillText is a gate in a few words; the verdict itself is beside it.
func pillText(g model.GateVerdict) string {
	until := ""
	if !g.OpensAt.IsZero() {
		until = " until " + g.OpensAt.UTC().Format("15:04Z")
	}
	switch g.Gate {
	case model.GateNameUpstream:
		return "not verified"
	case model.GateNameSoak:
		return "soak" + until
	case model.GateNameRejected:
		return "rejected"
	case model.GateNameApproval:
		if g.Need == 1 {
			return "0 of 1 approval"
		}
		return fmt.Sprintf("%d of %d approvals", g.Have, g.Need)
	case model.GateNameHold:
		return "held" + until
	case model.GateNameFreeze:
		return "frozen" + until
	case model.GateNameBusy:
		return "busy"
	default:
		return string(g.Gate)
	}
}

// shortDuration writes 1h0m0s as 1h.
func shortDuration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= unit.size && d%unit.size == 0 {
			return fmt.Sprintf("%d%s", d/unit.size, unit.name)
		}
	}
	return d.String()
}

// severity orders the words, the worst first.
func severity(w model.StatusWord) int {
	return slices.Index(statusWords(), w)
}

// statusWords returns every word, the worst first.
func statusWords() []model.StatusWord {
	return []model.StatusWord{
		model.StatusWordFailed, model.StatusWordWaiting, model.StatusWordDrifted, model.StatusWordUnknown,
		model.StatusWordProgressing, model.StatusWordFrozen, model.StatusWordHealthy,
	}
}

// status of a Project is that of its worst Stage.
func (v *projectView) status(stages []model.Stage) model.Status {
	if c := readyCondition(v.project.Status.Conditions); c != nil && c.Status == "False" && c.Message != "" {
		return model.Status{Word: model.StatusWordFailed, Sentence: c.Message}
	}
	if len(stages) == 0 {
		return model.Status{Word: model.StatusWordWaiting, Sentence: "it has no Stages yet", NextAction: nextAction("waybill apply -f stages.yaml")}
	}
	worst := stages[0]
	for _, st := range stages[1:] {
		if severity(st.Status.Word) < severity(worst.Status.Word) {
			worst = st
		}
	}
	out := worst.Status
	out.Sentence = worst.Name + ": " + out.Sentence
	if worst.Status.Word == model.StatusWordHealthy {
		out = model.Status{Word: model.StatusWordHealthy, Sentence: "every Stage is Healthy"}
		for _, st := range stages {
			if st.Behind > 0 {
				out.Sentence = fmt.Sprintf("%s is %d behind", st.Name, st.Behind)
			}
		}
	}
	return out
}

// ListProjects returns the Projects the person may see.
func (s *Server) ListProjects(ctx context.Context, _ ListProjectsRequestObject) (ListProjectsResponseObject, error) {
	page, err := s.hub.current(ctx, topicProjects)
	if err != nil {
		return nil, err
	}
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	data, err := s.projectsFor(ctx, who.person, page)
	if err != nil {
		return nil, err
	}
	return rawPage(data), nil
}

// buildProjects returns the page with every Project; projectsFor narrows it.
func (s *Server) buildProjects(ctx context.Context) (model.Projects, error) {
	var projects v1alpha1.ProjectList
	if err := s.opts.Cache.List(ctx, &projects, client.UnsafeDisableDeepCopy); err != nil {
		return model.Projects{}, fmt.Errorf("list Projects: %w", err)
	}
	out := model.Projects{Items: []model.ProjectSummary{}}
	for i := range projects.Items {
		v, err := s.loadProject(ctx, projects.Items[i].Name)
		if err != nil {
			if refusalOf(err).code == model.NotFound || apierrors.IsNotFound(err) {
				continue // deleted meanwhile
			}
			return model.Projects{}, err
		}
		out.Items = append(out.Items, v.summary())
	}
	sort.Slice(out.Items, func(i, j int) bool {
		a, b := out.Items[i], out.Items[j]
		if x, y := severity(a.Status.Word), severity(b.Status.Word); x != y {
			return x < y
		}
		return a.Name < b.Name
	})
	out.Counts = countWords(out.Items)
	return out, nil
}

func countWords(items []model.ProjectSummary) []model.StatusCount {
	n := map[model.StatusWord]int{}
	for _, p := range items {
		n[p.Status.Word]++
	}
	var out []model.StatusCount
	for _, w := range statusWords() {
		out = append(out, model.StatusCount{Word: w, Count: n[w]})
	}
	return out
}

func (v *projectView) summary() model.ProjectSummary {
	out := model.ProjectSummary{Name: v.project.Name, CreatedAt: v.project.CreationTimestamp.UTC(), Stages: []model.StageCell{}}
	stages := make([]model.Stage, 0, len(v.stages))
	for i := range v.stages {
		st := &v.stages[i]
		m := model.Stage{Name: st.Name, Status: statusModel(promotion.Summarize(v.observe(st))), Behind: len(v.newerThanCurrent(st))}
		stages = append(stages, m)
		cell := model.StageCell{Name: st.Name, Rank: v.ranks[st.Name], Status: m.Status.Word}
		if len(st.Status.Current) > 0 {
			cell.Version = v.artifactsOf(st.Status.Current[0]).Version()
		}
		out.Stages = append(out.Stages, cell)
	}
	out.Status = v.status(stages)
	if len(v.promotions) > 0 {
		out.LastPromotion = v.activityModel(&v.promotions[0])
	}
	return out
}
