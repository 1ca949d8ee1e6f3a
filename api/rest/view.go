package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// projectView is one Project as the cache has it at one instant. The objects
// are the cache's own: they are read, never changed.
type projectView struct {
	now        time.Time
	project    *v1alpha1.Project
	warehouses []v1alpha1.Warehouse
	signatures []promotion.WantedSignature
	// stages, upstream first.
	stages []v1alpha1.Stage
	ranks  map[string]int
	// freight, newest first.
	freight    []v1alpha1.Freight
	freezes    []v1alpha1.Freeze // those in force
	approvals  []v1alpha1.Approval
	windows    []promotion.Window
	promotions []v1alpha1.Promotion
	apps       []v1alpha1.Application

	stageByName   map[string]*v1alpha1.Stage
	freightByName map[string]*v1alpha1.Freight
	// runningIn lists the Stages in which a Freight is current.
	runningIn map[string][]string
	// rejections by Freight.
	rejections map[string][]*v1alpha1.Freeze
	// promotionsOf a Stage, newest first.
	promotionsOf map[string][]*v1alpha1.Promotion
	// retries are the newest Promotions that try another one again, by its name.
	retries      map[string]*v1alpha1.Promotion
	observations map[string]*promotion.Observation
	// freightOf the origins of a Stage, by their names joined.
	freightOf map[string][]v1alpha1.Freight
}

// loadProject reads a Project from the cache. A Project that is not there is
// the refusal noProject.
func (s *Server) loadProject(ctx context.Context, name string) (*projectView, error) {
	v := &projectView{now: s.opts.Clock.Now(), project: &v1alpha1.Project{}}
	if err := s.opts.Cache.Get(ctx, client.ObjectKey{Name: name}, v.project); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, noProject(name)
		}
		return nil, fmt.Errorf("read Project %q: %w", name, err)
	}
	var warehouses v1alpha1.WarehouseList
	var stages v1alpha1.StageList
	var freight v1alpha1.FreightList
	var freezes v1alpha1.FreezeList
	var approvals v1alpha1.ApprovalList
	var promotions v1alpha1.PromotionList
	var apps v1alpha1.ApplicationList
	list := func(l client.ObjectList) error {
		// Nothing here changes the objects, so they need not be copied.
		return s.opts.Cache.List(ctx, l, client.InNamespace(name), client.UnsafeDisableDeepCopy)
	}
	if err := errors.Join(list(&warehouses), list(&stages), list(&freight), list(&freezes), list(&approvals), list(&promotions), list(&apps)); err != nil {
		return nil, fmt.Errorf("read Project %q: %w", name, err)
	}
	v.warehouses, v.stages, v.freight, v.promotions, v.apps = warehouses.Items, stages.Items, freight.Items, promotions.Items, apps.Items
	v.approvals, v.windows = approvals.Items, promotion.Windows(v.project.Spec.Windows, v.now)
	for _, z := range freezes.Items {
		if z.Spec.Until == nil || v.now.Before(z.Spec.Until.Time) {
			v.freezes = append(v.freezes, z)
		}
	}
	v.index()
	return v, nil
}

func (v *projectView) index() {
	sort.Slice(v.warehouses, func(i, j int) bool { return v.warehouses[i].Name < v.warehouses[j].Name })
	v.signatures = nil
	for i := range v.warehouses {
		v.signatures = append(v.signatures, promotion.WantedSignatures(&v.warehouses[i])...)
	}
	sort.Slice(v.apps, func(i, j int) bool { return v.apps[i].Name < v.apps[j].Name })
	sort.Slice(v.freezes, func(i, j int) bool { return v.freezes[i].Name < v.freezes[j].Name })
	v.ranks = ranksOf(v.stages)
	sort.Slice(v.stages, func(i, j int) bool {
		if a, b := v.ranks[v.stages[i].Name], v.ranks[v.stages[j].Name]; a != b {
			return a < b
		}
		return v.stages[i].Name < v.stages[j].Name
	})
	sort.Slice(v.freight, func(i, j int) bool { return isNewer(&v.freight[i], &v.freight[j]) })
	sort.Slice(v.promotions, func(i, j int) bool { return isLater(&v.promotions[i], &v.promotions[j]) })

	v.stageByName = map[string]*v1alpha1.Stage{}
	v.runningIn = map[string][]string{}
	for i := range v.stages {
		st := &v.stages[i]
		v.stageByName[st.Name] = st
		for _, c := range st.Status.Current {
			v.runningIn[c.Freight] = append(v.runningIn[c.Freight], st.Name)
		}
	}
	v.freightByName = map[string]*v1alpha1.Freight{}
	for i := range v.freight {
		v.freightByName[v.freight[i].Name] = &v.freight[i]
	}
	v.rejections = map[string][]*v1alpha1.Freeze{}
	for i := range v.freezes {
		for _, name := range v.freezes[i].Spec.Freight {
			v.rejections[name] = append(v.rejections[name], &v.freezes[i])
		}
	}
	v.promotionsOf, v.retries = map[string][]*v1alpha1.Promotion{}, map[string]*v1alpha1.Promotion{}
	for i := range v.promotions {
		stage := v.promotions[i].Spec.Stage
		v.promotionsOf[stage] = append(v.promotionsOf[stage], &v.promotions[i])
		if of := v.promotions[i].Spec.RetryOf; of != "" && v.retries[of] == nil {
			v.retries[of] = &v.promotions[i]
		}
	}
	v.observations = map[string]*promotion.Observation{}
	v.freightOf = map[string][]v1alpha1.Freight{}
}

// isNewer orders Freight, newest first. Orders of different Warehouses cannot
// be compared, so there the time of creation decides.
func isNewer(a, b *v1alpha1.Freight) bool {
	if a.Origin.Name == b.Origin.Name {
		if a.Order != b.Order {
			return a.Order > b.Order
		}
		return a.Name < b.Name
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.After(b.CreationTimestamp.Time)
	}
	return a.Name < b.Name
}

// isLater orders Promotions, newest first.
func isLater(a, b *v1alpha1.Promotion) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.After(b.CreationTimestamp.Time)
	}
	if a.Spec.Stage == b.Spec.Stage && promotion.Seq(a.Name) != promotion.Seq(b.Name) {
		return promotion.Seq(a.Name) > promotion.Seq(b.Name)
	}
	return a.Name < b.Name
}

// ranksOf returns the distance of each Stage from its Warehouses: 0 for one
// that takes Freight from nowhere else, else one more than the farthest
// upstream Stage. A cycle ends where it closes.
func ranksOf(stages []v1alpha1.Stage) map[string]int {
	byName := map[string]*v1alpha1.Stage{}
	for i := range stages {
		byName[stages[i].Name] = &stages[i]
	}
	ranks := map[string]int{}
	var rank func(name string, path map[string]bool) int
	rank = func(name string, path map[string]bool) int {
		if r, ok := ranks[name]; ok {
			return r
		}
		if path[name] {
			return 0
		}
		path[name] = true
		defer delete(path, name)
		highest := 0
		for _, up := range promotion.UpstreamOf(byName[name]) {
			if byName[up] != nil && !path[up] {
				highest = max(highest, 1+rank(up, path))
			}
		}
		ranks[name] = highest
		return highest
	}
	for i := range stages {
		rank(stages[i].Name, map[string]bool{})
	}
	return ranks
}

// observe returns what package promotion may see of a Stage.
func (v *projectView) observe(st *v1alpha1.Stage) *promotion.Observation {
	if o := v.observations[st.Name]; o != nil {
		return o
	}
	o := &promotion.Observation{Now: v.now, Stage: st, Stages: v.stages, Freezes: v.freezes, Windows: v.windows, Signatures: v.signatures}
	o.Freight = v.freightFor(st)
	for _, p := range v.promotionsOf[st.Name] {
		o.Promotions = append(o.Promotions, *p)
	}
	for _, a := range v.approvals {
		if a.Spec.Stage == st.Name {
			o.Approvals = append(o.Approvals, a)
		}
	}
	v.observations[st.Name] = o
	return o
}

// freightFor returns the Freight of the origins a Stage requests. Stages that
// request the same share one slice: nobody changes it.
func (v *projectView) freightFor(st *v1alpha1.Stage) []v1alpha1.Freight {
	origins := originsOf(st)
	key := strings.Join(origins, ",")
	out, ok := v.freightOf[key]
	if !ok {
		for i := range v.freight {
			if slices.Contains(origins, v.freight[i].Origin.Name) {
				out = append(out, v.freight[i])
			}
		}
		v.freightOf[key] = out
	}
	return out
}

// originsOf returns the Warehouses a Stage requests Freight of.
func originsOf(st *v1alpha1.Stage) []string {
	var out []string
	for _, r := range st.Spec.RequestedFreight {
		out = append(out, r.Origin.Name)
	}
	return out
}

// unfinished returns the observation with only the Promotions that gates look at,
// which are those that can be in the way or were refused for what rides along: gates look at no others, and sorting hundreds for each pair of
// Freight and Stage would be waste.
func unfinished(o *promotion.Observation) *promotion.Observation {
	short := *o
	short.Promotions = nil
	for i := range o.Promotions {
		if p := &o.Promotions[i]; !phaseOf(p).IsFinished() || promotion.WasRefusedForBase(p) {
			short.Promotions = append(short.Promotions, o.Promotions[i])
		}
	}
	return &short
}

// verdicts is what the gates say about one Freight and one Stage.
type verdicts struct {
	// all gates, hold among them.
	all []v1alpha1.GateVerdict
	// mayPromote: a person may; mayFlow: the automatic flow may.
	mayPromote, mayFlow bool
}

// judge asks every gate, for a person and for the automatic flow. While the
// Freight waits to enter, the gates are those of that Promotion, with the
// approvals it has.
func judge(o *promotion.Observation, f *v1alpha1.Freight) verdicts { return judgePlan(o, f, nil) }

// judgePlan is judge with a plan of what is asked about, which may be nil.
func judgePlan(o *promotion.Observation, f *v1alpha1.Freight, plan *v1alpha1.PromotionPlan) verdicts {
	ask := promotion.Ask{Kind: v1alpha1.KindPromote}
	for i := range o.Promotions {
		if p := &o.Promotions[i]; p.Spec.Freight == f.Name && kindOf(p) == v1alpha1.KindPromote && promotion.IsPending(p) {
			ask = promotion.AskOf(p)
		}
	}
	if plan != nil {
		ask.Plan = plan
	}
	ask.Automatic = false
	manual := promotion.Gates(o, f, ask)
	ask.Automatic = true
	automatic := promotion.Gates(o, f, ask)
	return verdicts{
		all:        automatic,
		mayPromote: len(promotion.Blocking(manual, promotion.GroupEntry)) == 0,
		mayFlow:    o.Stage.Spec.AutoPromotion.Enabled && len(promotion.Blocking(automatic, promotion.GroupEntry)) == 0,
	}
}

// stateOf says where a Freight stands with a Stage.
func (v *projectView) stateOf(st *v1alpha1.Stage, f *v1alpha1.Freight, mayPromote bool) model.VerdictState {
	if slices.Contains(v.runningIn[f.Name], st.Name) {
		return model.VerdictStateCurrent
	}
	for _, p := range v.promotionsOf[st.Name] {
		if p.Spec.Freight == f.Name && kindOf(p) == v1alpha1.KindPromote && !phaseOf(p).IsFinished() {
			return model.VerdictStateArriving
		}
	}
	if mayPromote {
		return model.VerdictStateOpen
	}
	return model.VerdictStateClosed
}

// newerThanCurrent returns the Freight of the Stage's origins that is newer
// than what runs there, newest first.
func (v *projectView) newerThanCurrent(st *v1alpha1.Stage) []*v1alpha1.Freight {
	floor := map[string]int64{}
	for _, origin := range originsOf(st) {
		floor[origin] = 0
		if cur := promotion.Current(st, origin); cur != nil {
			if f := v.freightByName[cur.Freight]; f != nil {
				floor[origin] = f.Order
			}
		}
	}
	var out []*v1alpha1.Freight
	for i := range v.freight {
		f := &v.freight[i]
		if order, requested := floor[f.Origin.Name]; requested && f.Order > order {
			out = append(out, f)
		}
	}
	return out
}

// maxLookedAt newer Freight are asked which comes next: as many as the rail
// shows.
const maxLookedAt = railFreight

// next returns the Freight that comes next into a Stage: the newest that may
// enter, or the newest when none may; nil when nothing newer exists. An origin
// narrows it to Freight of that Warehouse; empty means any.
func (v *projectView) next(st *v1alpha1.Stage, origin string) (*v1alpha1.Freight, verdicts) {
	o := unfinished(v.observe(st))
	var first *v1alpha1.Freight
	var firstVerdicts verdicts
	looked := 0
	for _, f := range v.newerThanCurrent(st) {
		if origin != "" && f.Origin.Name != origin {
			continue
		}
		if looked++; looked > maxLookedAt {
			break
		}
		j := judge(o, f)
		if j.mayPromote {
			return f, j
		}
		if first == nil {
			first, firstVerdicts = f, j
		}
	}
	return first, firstVerdicts
}
