package importer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// stage is a Stage of Kargo in the making.
type stage struct {
	of  *object
	out v1alpha1.Stage
	// steps are those of its template.
	steps []*step
	// updates name the Applications of Argo CD that argoCDAppUpdates names.
	updates []reference
	vars    map[string]string
	// apps are the Applications of Argo CD that it deploys.
	apps []*Application
	// from are all objects that it is made of.
	from []*object
}

// reference names an Application of Argo CD.
type reference struct {
	field
	namespace, name string
}

func (i *importing) readStage(o *object) {
	o.done = true
	s := &stage{of: o, from: []*object{o}, vars: map[string]string{}}
	i.kargo.stages = append(i.kargo.stages, s)
	s.out.Name, s.out.Namespace = o.report.Name, i.home(o)
	s.out.Labels, s.out.Annotations = readMeta(o, nil)
	spec := o.at("spec")
	spec.at("shard").approximate("replicas share the work by themselves")
	spec.at("targets").drop("destinations are spec.deploy, with forEach for many")
	s.out.Spec.Vars = readVars(spec.at("vars"), s.vars)
	s.readRequests(spec)
	p := i.automatic(s.out.Namespace, s.out.Name, s.out.Labels)
	s.out.Spec.AutoPromotion.Enabled = p.enabled
	if p.onPromotion {
		s.out.Spec.Rollback.OnUnhealthy = "Revert"
	}
	if p.onVerification {
		s.out.Spec.Rollback.OnFailedVerification = "Revert"
	}
	s.readMechanisms(spec.at("promotionMechanisms"))
	template := spec.at("promotionTemplate", "spec")
	if template.has() {
		spec.at("promotionTemplate").at("metadata").mark(ignored)
		s.out.Spec.PromotionTemplate = &v1alpha1.PromotionTemplate{}
		s.out.Spec.PromotionTemplate.Spec.Vars = readVars(template.at("vars"), s.vars)
		s.steps = readSteps(template.at("steps"))
	}
	s.out.Spec.Verification = i.readVerification(spec.at("verification"), s)
}

func readVars(f field, values map[string]string) []v1alpha1.Variable {
	var out []v1alpha1.Variable
	for _, v := range f.items() {
		variable := v1alpha1.Variable{Name: v.at("name").text(), Value: translateText(v.at("value"), v.at("value").text())}
		values[variable.Name] = variable.Value
		out = append(out, variable)
	}
	return out
}

// readRequests reads requestedFreight, or subscriptions as they were before it.
func (s *stage) readRequests(spec field) {
	old := spec.at("subscriptions")
	if old.has() && !spec.at("requestedFreight").has() {
		s.readSubscriptions(old)
		return
	}
	old.approximate("requestedFreight is there: subscriptions are not read then")
	for _, r := range spec.at("requestedFreight").items() {
		var request v1alpha1.FreightRequest
		losses := map[string]loss{"sources.autoPromotionOptions": {outcome: Mapped}}
		if !r.into(&request, losses, lost("there is no such field of a request here")) {
			continue
		}
		request.Origin.Kind = cmp.Or(request.Origin.Kind, "Warehouse")
		if request.Sources.AvailabilityStrategy == "" && r.at("sources", "availabilityStrategy").there() {
			r.at("sources", "availabilityStrategy").mapped()
		}
		options := r.at("sources", "autoPromotionOptions")
		for _, e := range options.entries() {
			if e.name != "selectionPolicy" {
				e.drop("there is no such option here")
			}
		}
		if policy := options.at("selectionPolicy").text(); policy != "" && policy != string(v1alpha1.SelectNewest) {
			s.selectUpstream(options.at("selectionPolicy"), policy, request)
		}
		s.out.Spec.RequestedFreight = append(s.out.Spec.RequestedFreight, request)
	}
	if p := s.out.Spec.AutoPromotion.SelectionPolicy; p == v1alpha1.SelectUpstream && slices.ContainsFunc(s.out.Spec.RequestedFreight, func(r v1alpha1.FreightRequest) bool {
		return r.Sources.Direct || len(r.Sources.Stages) != 1
	}) {
		s.out.Spec.AutoPromotion.SelectionPolicy = ""
		s.of.add(Dropped, "spec.requestedFreight", "MatchUpstream is for the whole Stage here, and each request of it needs exactly one upstream Stage", false)
	}
}

func (s *stage) selectUpstream(f field, policy string, _ v1alpha1.FreightRequest) {
	if policy != string(v1alpha1.SelectUpstream) {
		f.drop("there is no such policy here")
		return
	}
	s.out.Spec.AutoPromotion.SelectionPolicy = v1alpha1.SelectUpstream
	f.approximate("spec.autoPromotion.selectionPolicy holds for every request of the Stage")
}

// readSubscriptions reads what Stages had up to Kargo v0.8.
func (s *stage) readSubscriptions(f field) {
	if w := f.at("warehouse").text(); w != "" {
		s.out.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: w}, Sources: v1alpha1.FreightSources{Direct: true}}}
		return
	}
	var upstream []string
	for _, u := range f.at("upstreamStages").items() {
		upstream = append(upstream, u.at("name").text())
	}
	if len(upstream) > 0 {
		s.out.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse"}, Sources: v1alpha1.FreightSources{Stages: upstream}}}
	}
}

// fillOrigins finds the Warehouse of Stages that only name Stages before them.
func (i *importing) fillOrigins() {
	for range i.kargo.stages { // one more is settled in each round
		for _, s := range i.kargo.stages {
			for at := range s.out.Spec.RequestedFreight {
				r := &s.out.Spec.RequestedFreight[at]
				if r.Origin.Name != "" {
					continue
				}
				for _, other := range i.kargo.stages {
					if other.out.Namespace == s.out.Namespace && slices.Contains(r.Sources.Stages, other.out.Name) && len(other.out.Spec.RequestedFreight) > 0 {
						r.Origin.Name = other.out.Spec.RequestedFreight[0].Origin.Name
					}
				}
			}
		}
	}
}

// dropJobs takes the Jobs out of the checks of a Stage that deploys nowhere.
func (s *stage) dropJobs() {
	v := s.out.Spec.Verification
	if v == nil || len(s.out.Spec.Deploy) > 0 {
		return
	}
	checks := len(v.Checks)
	v.Checks = slices.DeleteFunc(v.Checks, func(c v1alpha1.Check) bool { return c.Job != nil })
	if len(v.Checks) < checks {
		s.of.add(Dropped, "spec.verification", "a Job runs in a cluster that the Stage deploys to, and it deploys to none: import its Applications along, or write spec.deploy", true)
	}
	if len(v.Checks) == 0 {
		s.out.Spec.Verification = nil
	}
}

// writeStage writes the Stage with its steps.
func (i *importing) writeStage(s *stage) {
	spec := &s.out.Spec
	requests := len(spec.RequestedFreight)
	spec.RequestedFreight = slices.DeleteFunc(spec.RequestedFreight, func(r v1alpha1.FreightRequest) bool { return r.Origin.Name == "" })
	if len(spec.RequestedFreight) < requests {
		s.of.add(Dropped, "spec.subscriptions", "the Stages before it are not among what is imported: name the Warehouse in requestedFreight", true)
	}
	if len(spec.RequestedFreight) == 0 {
		s.of.add(Dropped, "spec.requestedFreight", "it requests no Freight, which a Stage has to", false)
		return
	}
	s.dropJobs()
	if spec.PromotionTemplate != nil {
		spec.PromotionTemplate.Spec.Steps = writeSteps(s.steps, s.of)
		if len(spec.PromotionTemplate.Spec.Steps) == 0 {
			spec.PromotionTemplate = nil
			if len(s.steps) > 0 {
				s.of.add(Approximated, "spec.promotionTemplate", "nothing is left to do: Freight passes through the Stage, which runs what its deploy entries name", false)
			}
		}
	}
	if s.of.changes() && spec.PromotionTemplate == nil && spec.AutoPromotion.Enabled {
		spec.AutoPromotion.Enabled = false
		s.of.add(Approximated, "", "something is lost that a promotion did: spec.autoPromotion is off until you have looked at it", false)
	}
	if spec.PromotionMechanisms == nil && spec.PromotionTemplate == nil && strings.Contains(string(spec.AutoPromotion.SelectionPolicy), "Match") {
		spec.AutoPromotion.SelectionPolicy = ""
	}
	i.write("Stage", s.out.Namespace, s.out.Name, &s.out, s.from...)
}
