package shadow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/importer"
	"github.com/waybill-dev/waybill/promotion"
)

// kargoProject is what is read of one Project of Kargo, in our words.
type kargoProject struct {
	stages     []v1alpha1.Stage
	freight    []v1alpha1.Freight
	promotions []v1alpha1.Promotion
	notes      map[string][]string // by Stage
	alias      map[string]string   // of Freight
}

// kargoKinds are read if they are served.
func kargoKind(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "kargo.akuity.io", Version: "v1alpha1", Resource: resource}
}

// stages decides for every Stage of Kargo what would be promoted.
func (v *Observer) stages(ctx context.Context, r *Report) error {
	found := map[string][]unstructured.Unstructured{}
	for _, resource := range []string{"stages", "freights", "promotions", "projectconfigs", "projects"} {
		list, err := v.o.Cluster.Dynamic.Resource(kargoKind(resource)).List(ctx, metav1.ListOptions{})
		switch {
		case apierrors.IsNotFound(err) && resource == "stages":
			return nil // Kargo is not installed
		case apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			r.Notes = append(r.Notes, fmt.Sprintf("Kargo's %s may not be read", resource))
			continue
		case err != nil:
			return fmt.Errorf("list Kargo's %s: %w", resource, err)
		}
		found[resource] = list.Items
	}
	projects := map[string]*kargoProject{}
	of := func(namespace string) *kargoProject {
		if projects[namespace] == nil {
			projects[namespace] = &kargoProject{notes: map[string][]string{}, alias: map[string]string{}}
		}
		return projects[namespace]
	}
	for i := range found["freights"] {
		of(found["freights"][i].GetNamespace()).addFreight(&found["freights"][i])
	}
	for _, p := range projects {
		p.number()
	}
	for i := range found["promotions"] {
		of(found["promotions"][i].GetNamespace()).addPromotion(&found["promotions"][i])
	}
	read := v.readStages(found)
	for i := range found["stages"] {
		s := &found["stages"][i]
		if err := of(s.GetNamespace()).addStage(s, read[s.GetNamespace()+"/"+s.GetName()]); err != nil {
			r.Stages = append(r.Stages, Stage{Project: s.GetNamespace(), Name: s.GetName(), Verdict: Unsupported, Reason: err.Error()})
		}
	}
	for name, p := range projects {
		for i := range p.stages {
			r.Stages = append(r.Stages, p.decide(name, &p.stages[i], v.o.Clock.Now()))
		}
	}
	slices.SortFunc(r.Stages, func(a, b Stage) int { return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name)) })
	return nil
}

// readStages says what Stages become here, with what Projects, ProjectConfigs and
// Applications say of them. That is package importer's to know.
func (v *Observer) readStages(found map[string][]unstructured.Unstructured) map[string]importer.Stage {
	var objects []map[string]any
	for _, resource := range []string{"projects", "projectconfigs", "stages"} {
		for i := range found[resource] {
			objects = append(objects, found[resource][i].Object)
		}
	}
	for i := range v.applications {
		objects = append(objects, v.applications[i].Object)
	}
	out := map[string]importer.Stage{}
	for _, s := range importer.ReadStages(objects) {
		out[s.Stage.Namespace+"/"+s.Stage.Name] = s
	}
	return out
}

// addFreight takes in one Freight with what each Stage says of it.
func (p *kargoProject) addFreight(obj *unstructured.Unstructured) {
	var f struct {
		Alias  string
		Origin v1alpha1.Origin
		Status struct {
			CurrentlyIn map[string]struct{ Since *metav1.Time }
			VerifiedIn  map[string]struct {
				VerifiedAt  *metav1.Time
				LongestSoak *metav1.Duration
			}
			ApprovedFor map[string]any
		}
	}
	if convert(obj.Object, &f) != nil {
		return
	}
	out := v1alpha1.Freight{Alias: f.Alias, Origin: f.Origin}
	out.Name, out.Namespace, out.CreationTimestamp = obj.GetName(), obj.GetNamespace(), obj.GetCreationTimestamp()
	out.Status.Stages = map[string]v1alpha1.FreightInStage{}
	for stage, in := range f.Status.CurrentlyIn {
		out.Status.Stages[stage] = v1alpha1.FreightInStage{EnteredAt: in.Since}
	}
	for stage, verified := range f.Status.VerifiedIn {
		rec, isCurrent := out.Status.Stages[stage]
		rec.VerifiedAt = verified.VerifiedAt
		if verified.VerifiedAt == nil { // old versions of Kargo did not say when
			at := obj.GetCreationTimestamp()
			rec.VerifiedAt = &at
		}
		if verified.LongestSoak != nil {
			rec.Soak.Longest = *verified.LongestSoak
		}
		if isCurrent {
			rec.Soak.RunningSince = rec.VerifiedAt
		}
		out.Status.Stages[stage] = rec
	}
	for stage := range f.Status.ApprovedFor {
		p.notes[stage] = append(p.notes[stage], fmt.Sprintf("Freight %s is approved by hand in Kargo, which lets it pass its upstream; in Waybill that is a Promotion with --bypass", cmp.Or(f.Alias, out.Name)))
	}
	p.alias[out.Name] = cmp.Or(f.Alias, out.Name)
	p.freight = append(p.freight, out)
}

// number gives Freight its order: by age within each Warehouse.
func (p *kargoProject) number() {
	slices.SortFunc(p.freight, func(a, b v1alpha1.Freight) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	next := map[string]int64{}
	for i := range p.freight {
		next[p.freight[i].Origin.Name]++
		p.freight[i].Order = next[p.freight[i].Origin.Name]
	}
}

// addPromotion takes in a Promotion that has not ended: its Stage is busy.
func (p *kargoProject) addPromotion(obj *unstructured.Unstructured) {
	var k struct {
		Spec   struct{ Stage, Freight string }
		Status struct{ Phase string }
	}
	if convert(obj.Object, &k) != nil {
		return
	}
	phase := v1alpha1.PhasePending
	switch k.Status.Phase {
	case "", "Pending":
	case "Running":
		phase = v1alpha1.PhaseRunning
	default:
		return
	}
	out := v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: k.Spec.Stage, Freight: k.Spec.Freight, Kind: v1alpha1.KindPromote}}
	// Kargo's names are not ours; the number says which is newer.
	out.Namespace, out.Name, out.UID = obj.GetNamespace(), promotion.Name(k.Spec.Stage, int64(len(p.promotions)+1), k.Spec.Freight), obj.GetUID()
	out.CreationTimestamp, out.Status.Phase = obj.GetCreationTimestamp(), phase
	p.promotions = append(p.promotions, out)
}

// addStage takes in one Stage with what it becomes.
func (p *kargoProject) addStage(obj *unstructured.Unstructured, read importer.Stage) error {
	var k struct {
		Status struct {
			FreightHistory []struct {
				Items map[string]struct {
					Name   string
					Origin v1alpha1.Origin
				}
			}
			CurrentFreight *struct{ Name string } // v0.8
		}
	}
	if err := convert(obj.Object, &k); err != nil {
		return fmt.Errorf("its status cannot be read: %w", err)
	}
	if len(read.Stage.Spec.RequestedFreight) == 0 {
		return errors.New("it requests no Freight")
	}
	// What Kargo has verified and deployed counts; the gates are what is asked here.
	spec := read.Stage.Spec
	s := v1alpha1.Stage{Spec: v1alpha1.StageSpec{
		RequestedFreight: spec.RequestedFreight, AutoPromotion: spec.AutoPromotion, PromotionMechanisms: spec.PromotionMechanisms, PromotionTemplate: spec.PromotionTemplate,
	}}
	s.Name, s.Namespace = obj.GetName(), obj.GetNamespace()
	for _, line := range read.Lines {
		p.notes[s.Name] = append(p.notes[s.Name], line.String())
	}
	if len(k.Status.FreightHistory) > 0 {
		for _, item := range k.Status.FreightHistory[0].Items {
			s.Status.Current = append(s.Status.Current, p.current(item.Name, item.Origin.Name))
		}
	}
	p.stages = append(p.stages, s)
	return nil
}

// current is Freight in a Stage.
func (p *kargoProject) current(name, origin string) v1alpha1.StageFreight {
	c := v1alpha1.StageFreight{Origin: origin, Freight: name}
	for _, f := range p.freight {
		if f.Name == name {
			c.Origin, c.Order = f.Origin.Name, f.Order
		}
	}
	return c
}

// decide asks the gates.
func (p *kargoProject) decide(project string, s *v1alpha1.Stage, now time.Time) Stage {
	out := Stage{Project: project, Name: s.Name, Verdict: InSync, Notes: p.notes[s.Name]}
	for _, c := range s.Status.Current {
		out.Current = append(out.Current, cmp.Or(p.alias[c.Freight], c.Freight))
	}
	slices.Sort(out.Current)
	o := &promotion.Observation{Now: now, Stage: s, Stages: p.stages, Freight: p.freight}
	for _, asked := range p.promotions {
		if asked.Spec.Stage == s.Name {
			o.Promotions = append(o.Promotions, asked)
		}
	}
	if promotion.IsControlFlow(s) {
		out.Reason = "Freight only passes through it"
		return out
	}
	if d := promotion.Decide(o); d.Create != nil {
		out.Verdict, out.Freight = Promotes, p.alias[d.Create.Freight]
		out.Reason = fmt.Sprintf("every gate is open for Freight %s", out.Freight)
		return out
	}
	newest := newestWanted(o)
	if newest == nil {
		return out
	}
	out.Freight = cmp.Or(p.alias[newest.Name], newest.Name)
	for _, g := range promotion.Blocking(promotion.Gates(o, newest, promotion.Ask{Automatic: true, Kind: v1alpha1.KindPromote}), "") {
		out.Closed = append(out.Closed, Gate{Gate: string(g.Gate), Reason: g.Reason, OpensBy: g.OpensBy})
	}
	out.Verdict = Waits
	switch {
	case len(out.Closed) > 0:
		out.Reason = fmt.Sprintf("Freight %s is kept out: %s", out.Freight, out.Closed[0].Reason)
	case !s.Spec.AutoPromotion.Enabled:
		out.Reason = fmt.Sprintf("Freight %s may enter, and a person promotes here", out.Freight)
	default:
		out.Verdict, out.Reason = InSync, ""
	}
	return out
}

// newestWanted is the newest Freight the Stage requests that it does not run.
func newestWanted(o *promotion.Observation) *v1alpha1.Freight {
	var newest *v1alpha1.Freight
	for i := range o.Freight {
		f := &o.Freight[i]
		if promotion.Request(o.Stage, f.Origin.Name) == nil {
			continue
		}
		if c := promotion.Current(o.Stage, f.Origin.Name); c != nil && c.Order >= f.Order {
			continue
		}
		if newest == nil || f.CreationTimestamp.After(newest.CreationTimestamp.Time) {
			newest = f
		}
	}
	return newest
}
