package importer

import (
	"regexp"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// limitDeployed brings to the Projects of Kargo what the AppProjects of their
// Applications say: windows, for the Stages that deploy them, and kinds, when one
// AppProject is all there is.
func (i *importing) limitDeployed() {
	for _, home := range sortedKeys(i.projects) {
		byProject := map[string][]*stage{}
		for _, s := range i.kargo.stages {
			for _, a := range s.apps {
				if name := i.projectName(a.Project); s.out.Namespace == home && !slices.Contains(byProject[name], s) {
					byProject[name] = append(byProject[name], s)
				}
			}
		}
		for _, name := range sortedKeys(byProject) {
			source, to := i.projects[name], i.projects[home]
			if source == nil || !source.isLimited {
				continue
			}
			if source == to {
				i.renameWindows(to)
				continue
			}
			source.moved = true
			to.from = append(to.from, source.from...)
			if len(byProject) == 1 && len(to.spec.Kinds) == 0 {
				to.spec.Kinds = slices.Clone(source.spec.Kinds)
			}
			for _, w := range source.spec.Windows {
				if w.Stages = stagesOf(w, byProject[name]); len(w.Stages) > 0 {
					w.Name = free(to.spec.Windows, name, w.Name)
					to.spec.Windows = append(to.spec.Windows, w)
				} else if !i.isLeft(name) {
					source.from[0].add(Dropped, "spec.syncWindows", w.Name+" is for no Application that a Stage deploys", false)
				}
			}
		}
	}
}

// isLeft reports whether a Project has Applications that no Stage deploys.
func (i *importing) isLeft(name string) bool {
	return slices.ContainsFunc(i.apps, func(a *Application) bool { return !a.taken && i.projectName(a.Project) == name })
}

// renameWindows adds the Stages that deploy the Applications a window is for.
func (i *importing) renameWindows(p *project) {
	var stages []*stage
	for _, s := range i.kargo.stages {
		if s.out.Namespace == p.name {
			stages = append(stages, s)
		}
	}
	for n := range p.spec.Windows {
		w := &p.spec.Windows[n]
		if len(w.Stages) > 0 {
			w.Stages = slices.Compact(slices.Sorted(slices.Values(append(stagesOf(*w, stages), w.Stages...))))
		}
	}
}

// stagesOf are the Stages that deploy an Application a window is for.
func stagesOf(w v1alpha1.PromotionWindow, stages []*stage) []string {
	var out []string
	for _, s := range stages {
		if slices.ContainsFunc(s.apps, func(a *Application) bool {
			return len(w.Stages) == 0 || slices.ContainsFunc(w.Stages, func(pattern string) bool {
				matched, err := regexp.MatchString("^"+globRegex(pattern)+"$", a.name)
				return err == nil && matched
			})
		}) {
			out = append(out, s.out.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// free is a name that no window has.
func free(windows []v1alpha1.PromotionWindow, project, name string) string {
	if slices.ContainsFunc(windows, func(w v1alpha1.PromotionWindow) bool { return w.Name == name }) {
		return nameOf(project + "-" + name)
	}
	return name
}
