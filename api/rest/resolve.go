package rest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse"
)

// resolved is the Freight somebody meant.
type resolved struct {
	freight *v1alpha1.Freight
	// newer, for latest: a newer Freight that is shut out, and its closed gates.
	newer       *v1alpha1.Freight
	newerClosed []v1alpha1.GateVerdict
}

// resolveFor finds the Freight that text means for a Stage: latest, prev,
// @STAGE, or what find accepts.
func (v *projectView) resolveFor(st *v1alpha1.Stage, text string) (resolved, error) {
	switch {
	case text == "latest":
		return v.latest(st)
	case text == "prev":
		return v.previous(st)
	case strings.HasPrefix(text, "@"):
		return v.runsIn(st, text[1:])
	}
	f, err := v.find(text, originsOf(st))
	return resolved{freight: f}, err
}

// latest is the newest Freight whose entry gates are open for the Stage
// (design 10).
func (v *projectView) latest(st *v1alpha1.Stage) (resolved, error) {
	o := unfinished(v.observe(st))
	var out resolved
	origins := originsOf(st)
	for i := range v.freight {
		f := &v.freight[i]
		if !slices.Contains(origins, f.Origin.Name) {
			continue
		}
		gates := promotion.Gates(o, f, promotion.Ask{Kind: v1alpha1.KindPromote})
		blocking := promotion.Blocking(gates, promotion.GroupEntry)
		if len(blocking) == 0 {
			out.freight = f
			return out, nil
		}
		if out.newer == nil {
			out.newer, out.newerClosed = f, blocking
		}
	}
	if out.newer == nil {
		return out, refuse(model.NotFound, "there is no Freight for %q yet", st.Name).
			withHint("waybill get warehouses -p %s shows what the Warehouses found", st.Namespace)
	}
	r := v.gateClosed(st, out.newer, out.newerClosed)
	r.detail = "no Freight may enter " + quote(st.Name) + " now; the newest, " + describeFreight(out.newer) + ": " + joinReasons(out.newerClosed)
	return out, r
}

// previous is what last ran well before what runs now.
func (v *projectView) previous(st *v1alpha1.Stage) (resolved, error) {
	for _, good := range st.Status.Good {
		isCurrent := slices.ContainsFunc(st.Status.Current, func(c v1alpha1.StageFreight) bool { return c.Freight == good.Freight })
		if isCurrent {
			continue
		}
		if f := v.freightByName[good.Freight]; f != nil {
			return resolved{freight: f}, nil
		}
	}
	return resolved{}, refuse(model.NotFound, "no earlier Freight ran Healthy in %q", st.Name)
}

// runsIn is what runs in another Stage, of an origin that st requests.
func (v *projectView) runsIn(st *v1alpha1.Stage, other string) (resolved, error) {
	from := v.stageByName[other]
	if from == nil {
		return resolved{}, v.noStage(other)
	}
	var found []*v1alpha1.Freight
	for _, c := range from.Status.Current {
		if f := v.freightByName[c.Freight]; f != nil && slices.Contains(originsOf(st), c.Origin) {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return resolved{}, refuse(model.NotFound, "nothing that %q takes runs in %q", st.Name, other)
	case 1:
		return resolved{freight: found[0]}, nil
	default:
		return resolved{}, ambiguous("@"+other, found)
	}
}

// find returns the Freight of that name, alias, version or start of the name.
// Several Freight of one version (a tag that was pushed again) mean the newest;
// preferred origins win over others.
func (v *projectView) find(text string, preferred []string) (*v1alpha1.Freight, error) {
	if f := v.freightByName[text]; f != nil {
		return f, nil
	}
	byRule := func(matches func(f *v1alpha1.Freight) bool) []*v1alpha1.Freight {
		var of, others []*v1alpha1.Freight
		for i := range v.freight {
			f := &v.freight[i]
			switch {
			case !matches(f):
			case len(preferred) == 0 || slices.Contains(preferred, f.Origin.Name):
				of = append(of, f)
			default:
				others = append(others, f)
			}
		}
		if len(of) > 0 {
			return of
		}
		return others
	}
	if fs := byRule(func(f *v1alpha1.Freight) bool { return f.Alias == text }); len(fs) == 1 {
		return fs[0], nil
	} else if len(fs) > 1 {
		return nil, ambiguous(text, fs)
	}
	fs := byRule(func(f *v1alpha1.Freight) bool {
		return warehouse.IsVersionOf(f.Artifacts(), text)
	})
	if len(fs) > 0 {
		for _, f := range fs[1:] {
			if f.Origin.Name != fs[0].Origin.Name {
				return nil, ambiguous(text, fs)
			}
		}
		return fs[0], nil
	}
	if len(text) >= warehouse.MinNamePrefix {
		fs = byRule(func(f *v1alpha1.Freight) bool { return strings.HasPrefix(f.Name, text) })
		if len(fs) == 1 {
			return fs[0], nil
		} else if len(fs) > 1 {
			return nil, ambiguous(text, fs)
		}
	}
	r := refuse(model.NotFound, "no Freight %q in Project %q", text, v.project.Name)
	if known := v.knownVersions(); known != "" {
		return nil, r.withHint("the newest are %s", known)
	}
	return nil, r.withHint("there is no Freight yet; waybill get warehouses -p %s shows what the Warehouses found", v.project.Name)
}

func ambiguous(text string, fs []*v1alpha1.Freight) *refusal {
	var names []string
	for _, f := range fs[:min(5, len(fs))] {
		names = append(names, fmt.Sprintf("%s (%s of %s)", f.Name[:min(12, len(f.Name))], f.Artifacts().Version(), f.Origin.Name))
	}
	return refuse(model.InvalidRequest, "%q means more than one Freight: %s", text, strings.Join(names, ", ")).withHint("give the start of its name")
}

func (v *projectView) knownVersions() string {
	var out []string
	for i := range v.freight {
		if len(out) == 5 {
			break
		}
		out = append(out, v.freight[i].Artifacts().Version())
	}
	return strings.Join(out, ", ")
}

// stage returns the Stage of that name or says which there are.
func (v *projectView) stage(name string) (*v1alpha1.Stage, error) {
	if st := v.stageByName[name]; st != nil {
		return st, nil
	}
	return nil, v.noStage(name)
}

func (v *projectView) noStage(name string) *refusal {
	var names []string
	for i := range v.stages[:min(10, len(v.stages))] {
		names = append(names, v.stages[i].Name)
	}
	r := refuse(model.NotFound, "no Stage %q in Project %q", name, v.project.Name)
	if len(names) == 0 {
		return r.withHint("it has no Stages yet")
	}
	return r.withHint("its Stages are %s", strings.Join(names, ", "))
}

// gateClosed refuses Freight that may not enter a Stage.
func (v *projectView) gateClosed(st *v1alpha1.Stage, f *v1alpha1.Freight, blocking []v1alpha1.GateVerdict) *refusal {
	r := refuse(model.GateClosed, "%s may not enter %q now: %s", describeFreight(f), st.Name, joinReasons(blocking))
	r.blockedBy = blocking
	return r.withHint("waybill why %s %s/%s", versionOrName(f), st.Namespace, st.Name)
}

func joinReasons(vs []v1alpha1.GateVerdict) string {
	var out []string
	for _, g := range vs {
		out = append(out, g.Reason)
	}
	return strings.Join(out, "; ")
}

// describeFreight names a Freight for people.
func describeFreight(f *v1alpha1.Freight) string {
	if f.Alias != "" {
		return fmt.Sprintf("%q (%s)", versionOrName(f), f.Alias)
	}
	return quote(versionOrName(f))
}

func versionOrName(f *v1alpha1.Freight) string {
	if version := f.Artifacts().Version(); version != "" {
		return version
	}
	return f.Name
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
