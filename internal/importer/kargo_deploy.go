package importer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
)

// call is a step that speaks to Argo CD, as one Stage runs it.
type call struct {
	stage *stage
	vars  map[string]string
}

// deployStages makes deploy entries of the Applications that Stages promote to, and
// takes the steps away that did so.
func (i *importing) deployStages() {
	i.fillOrigins()
	for _, s := range i.kargo.stages {
		for _, r := range s.updates {
			if a := i.app(r.namespace, r.name, s); a != nil {
				i.deploy(s, a)
				r.approximate("spec.deploy of the Stage: what its branch says is synced at once")
				continue
			}
			r.drop("Application %s/%s is not among what is imported, or cannot be a deploy entry: import it along, or write spec.deploy", r.namespace, r.name)
		}
	}
	calls, order := i.argoSteps()
	for _, uses := range []string{"argocd-update", "argocd-wait"} {
		for _, step := range order {
			if step.out.Uses == uses {
				i.replace(step, calls[step])
			}
		}
	}
	for _, s := range i.kargo.stages {
		nameEntries(s)
	}
}

// argoSteps are the steps that speak to Argo CD, and the Stages that run each.
func (i *importing) argoSteps() (map[*step][]call, []*step) {
	calls := map[*step][]call{}
	var order []*step
	visit := func(steps []*step, c call) {
		for _, s := range steps {
			if strings.HasPrefix(s.out.Uses, "argocd-") {
				if calls[s] == nil {
					order = append(order, s)
				}
				calls[s] = append(calls[s], c)
			}
		}
	}
	for _, s := range i.kargo.stages {
		visit(s.steps, call{s, s.vars})
		for _, step := range s.steps {
			t := i.taskOf(s.out.Namespace, step)
			if t == nil {
				continue
			}
			vars := map[string]string{}
			for _, from := range []map[string]string{t.vars, s.vars} {
				for name, value := range from {
					vars[name] = value
				}
			}
			for _, v := range step.out.Vars {
				vars[v.Name] = v.Value
			}
			visit(t.steps, call{s, vars})
		}
	}
	for _, key := range sortedKeys(i.kargo.tasks) { // tasks that nobody calls
		for _, s := range i.kargo.tasks[key].steps {
			if strings.HasPrefix(s.out.Uses, "argocd-") && calls[s] == nil {
				order = append(order, s)
			}
		}
	}
	return calls, order
}

// replace takes a step away when every Application it speaks to, for every Stage
// that runs it, is or becomes a deploy entry of that Stage.
func (i *importing) replace(s *step, calls []call) {
	found := map[*stage][]*Application{}
	for _, c := range calls {
		apps := i.appsOf(s, c)
		if len(apps) == 0 {
			calls = nil
			break
		}
		found[c.stage] = append(found[c.stage], apps...)
	}
	if len(calls) == 0 {
		s.approximate("it stays: it speaks to Argo CD, which has to stay as well, and to Applications with the annotation waybill.dev/authorized-stage (server.argoCD of the chart); import the Applications along to deploy from here")
		return
	}
	for _, c := range calls {
		for _, a := range found[c.stage] {
			i.deploy(c.stage, a)
		}
	}
	s.removed = true
	s.approximate("spec.deploy of the Stage does it: what its branch says is synced at once, and the promotion waits for it to be Healthy")
}

// appsOf are the Applications a step speaks to for a Stage; none when one of them
// is not there, or is changed itself.
func (i *importing) appsOf(s *step, c call) []*Application {
	var out []*Application
	for _, entry := range anyList(s.config["apps"]) {
		m, _ := entry.(map[string]any)
		for _, source := range anyList(m["sources"]) {
			if one, _ := source.(map[string]any); one["kustomize"] != nil || one["helm"] != nil {
				return nil
			}
		}
		namespace, _ := m["namespace"].(string)
		name, _ := m["name"].(string)
		name, isPlain := resolve(name, c)
		var a *Application
		if isPlain && name != "" {
			a = i.app(cmp.Or(namespace, "argocd"), name, c.stage)
		}
		if a == nil {
			return nil
		}
		out = append(out, a)
	}
	return out
}

// app returns an Application that can be a deploy entry of a Stage, or nil.
func (i *importing) app(namespace, name string, s *stage) *Application {
	for _, a := range i.apps {
		if a.namespace == namespace && a.name == name || a.namespace == "" && a.name == name {
			if (a.stage != nil && a.stage != s) || len(a.Parts) != 1 || a.Parts[0].Spec.Suspend || a.Parts[0].Spec.Source.Chart != "" || a.of.changes() {
				return nil
			}
			return a
		}
	}
	return nil
}

// deploy makes an Application a deploy entry of a Stage, once.
func (i *importing) deploy(s *stage, a *Application) {
	if a.stage == s {
		return
	}
	a.taken, a.stage = true, s
	s.apps = append(s.apps, a)
	part := &a.Parts[0]
	i.allow(i.project(s.out.Namespace), part.Spec.Destination)
	entry := deployment(part)
	entry.Name = nameOf(a.name)
	if entry.Source.TargetRevision == "" {
		a.of.add(Approximated, "spec.source.targetRevision", "it follows the branch of this repository that the Stage writes, else the default branch", false)
	}
	if entry.SyncPolicy.Automated == nil {
		a.of.add(Approximated, "spec.syncPolicy.automated", "a Stage's Application is always synced by itself: the promotion is the decision", false)
	}
	s.out.Spec.Deploy = append(s.out.Spec.Deploy, entry)
	if !slices.Contains(s.from, a.of) {
		s.from = append(s.from, a.of)
	}
}

// nameEntries leaves the name out where there is one entry only.
func nameEntries(s *stage) {
	slices.SortStableFunc(s.out.Spec.Deploy, func(a, b v1alpha1.Deployment) int { return cmp.Compare(a.Name, b.Name) })
	if len(s.out.Spec.Deploy) == 1 {
		s.out.Spec.Deploy[0].Name = ""
	}
}

// allow lets a Project deploy to a destination.
func (i *importing) allow(p *project, d v1alpha1.Destination) {
	to := v1alpha1.ProjectDestination(d)
	isNatural := d.Namespace == p.name || strings.HasPrefix(d.Namespace, p.name+"-")
	if !isNatural && !slices.Contains(p.spec.Destinations, to) {
		p.spec.Destinations = append(p.spec.Destinations, to)
	}
}

// resolve fills in what is known before a promotion runs: ctx.stage, ctx.project and
// variables. It is not plain when the text asks for anything else.
func resolve(text string, c call) (string, bool) {
	names := map[string]any{"stage": c.stage.out.Name, "project": c.stage.out.Namespace}
	scope := expression.Scope{Variables: map[string]any{"ctx": names, "vars": map[string]any{}}, Functions: expression.Standard()}
	for range 4 { // a variable may use others
		vars := map[string]any{}
		for _, name := range sortedKeys(c.vars) {
			if value, ok := evaluate(c.vars[name], scope); ok {
				vars[name] = value
			}
		}
		scope.Variables["vars"] = vars
	}
	return evaluate(text, scope)
}

func evaluate(text string, scope expression.Scope) (string, bool) {
	template, err := expression.Parse(text)
	if err != nil {
		return "", false
	}
	value, err := template.Eval(scope)
	if err != nil {
		return "", false
	}
	return value.Text(), true
}
