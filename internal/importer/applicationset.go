package importer

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/internal/manifest"
)

// fromGenerated is what to do about an ApplicationSet that cannot be read.
const fromGenerated = "; import the Applications it made instead: kubectl get applications.argoproj.io -A -o yaml | waybill import argocd -f -"

// readApplicationSet makes the Applications that its list and cluster generators
// would make.
func (i *importing) readApplicationSet(o *object) {
	o.done = true
	readMeta(o, nil)
	spec := o.at("spec")
	readSetPolicy(spec)
	if spec.at("templatePatch").has() {
		spec.at("templatePatch").block("a patch of the template is not evaluated%s", fromGenerated)
		spec.mapped()
		return
	}
	var all []map[string]any
	for _, g := range spec.at("generators").items() {
		if i.writeForEach(o, g, spec.at("template")) {
			continue
		}
		sets, ok := i.parameters(g)
		if !ok {
			spec.at("template").mark(ignored)
			continue
		}
		all = append(all, sets...)
	}
	template := spec.at("template")
	isGo := spec.at("goTemplate").is()
	spec.at("goTemplateOptions").mapped()
	for _, parameters := range all {
		rendered, err := fill(template.value, parameters, isGo)
		if err != nil {
			template.block("%v%s", err, fromGenerated)
			return
		}
		i.generated(o, template, rendered)
	}
	if len(all) > 0 {
		template.mapped()
	}
}

// readSetPolicy reads how the set treats what it makes.
func readSetPolicy(spec field) {
	spec.at("preservedFields").approximate("Applications are written once, by this import")
	spec.at("ignoreApplicationDifferences").approximate("Applications are written once, by this import")
	policy := spec.at("syncPolicy")
	policy.at("applicationsSync").approximate("Applications are written once, by this import")
	policy.at("preserveResourcesOnDeletion").approximate("see deletionPolicy of each Application")
	strategy := spec.at("strategy")
	if strategy.at("type").peek() == "AllAtOnce" {
		strategy.mapped()
	}
	if strategy.has() && strategy.of.marks[strategy.path] == "" {
		strategy.drop("an order of Applications: give them dependsOn, or make them deploy entries of Stages that follow each other")
	}
}

// generated reads one Application that the set would make.
func (i *importing) generated(set *object, template field, rendered any) {
	raw, _ := rendered.(map[string]any)
	object := map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": raw["metadata"], "spec": raw["spec"]}
	if meta, isMap := raw["metadata"].(map[string]any); isMap && meta["namespace"] == nil && set.report.Namespace != "" {
		meta["namespace"] = set.report.Namespace
	}
	made := newObject(manifest.Foreign{File: set.report.File, Index: set.report.Document, Object: object})
	if made.report.Name == "" {
		template.block("the template names no Application")
		return
	}
	a := readApplication(made, i.clusters)
	done := made.finish()
	for _, l := range done.Lines {
		set.add(l.Outcome, template.path+"."+l.Field, l.Why, l.Changes)
	}
	for _, known := range i.apps {
		if known.of.report.Name == made.report.Name && known.of.report.Namespace == made.report.Namespace {
			known.of.add(Approximated, "", "ApplicationSet "+set.report.Name+" makes it, too; it is imported once", false)
			set.became("Application", i.projectName(known.Project), made.report.Name)
			return
		}
	}
	a.of, a.name, a.namespace = set, made.report.Name, made.report.Namespace
	i.apps = append(i.apps, a)
}

// parameters returns what a generator fills the template with.
func (i *importing) parameters(g field) ([]map[string]any, bool) {
	for _, e := range g.entries() {
		switch e.name {
		case "list", "clusters":
		case "selector":
			e.block("which elements are taken is not evaluated: leave out of the list what is not%s", fromGenerated)
			return nil, false
		default:
			e.block("generator %s asks something outside%s", e.name, fromGenerated)
			return nil, false
		}
	}
	if g.at("list").there() {
		return listParameters(g.at("list"))
	}
	return i.clusterParameters(g.at("clusters"))
}

func listParameters(list field) ([]map[string]any, bool) {
	for _, name := range []string{"elementsYaml", "template"} {
		if f := list.at(name); f.has() {
			f.block("%s is not evaluated%s", name, fromGenerated)
			return nil, false
		}
	}
	var out []map[string]any
	for _, e := range list.at("elements").items() {
		if m, isMap := e.mapped().value.(map[string]any); isMap {
			out = append(out, m)
		}
	}
	return out, true
}

// clusterParameters are those of the clusters whose Secrets are imported along.
func (i *importing) clusterParameters(f field) ([]map[string]any, bool) {
	if f.at("template").has() || f.at("flatList").is() {
		f.block("a template or a list of its own is not evaluated%s", fromGenerated)
		return nil, false
	}
	selector := f.at("selector")
	matches, ok := readSelector(selector)
	if !ok {
		selector.block("the selector cannot be read%s", fromGenerated)
		return nil, false
	}
	values := f.at("values").textMap()
	known := i.known
	if !selector.has() { // the cluster Argo CD runs in needs no Secret
		own := argoCluster{name: "in-cluster", server: argoOwnServer}
		isKnown := false
		for _, k := range known {
			isKnown = isKnown || k.server == argoOwnServer
		}
		if !isKnown {
			known = append([]argoCluster{own}, known...)
		}
	}
	var out []map[string]any
	for _, k := range known {
		if !matches(k.labels) {
			continue
		}
		inner := map[string]any{}
		for name, value := range values {
			inner[name] = value
		}
		out = append(out, map[string]any{
			"name": k.name, "nameNormalized": nameOf(k.name), "server": k.server, "project": k.project, "values": inner,
			"metadata": map[string]any{"labels": anyMap(k.labels), "annotations": anyMap(k.annotations)},
		})
	}
	if len(i.known) == 0 {
		f.block("no Secrets of clusters are imported along: kubectl get secrets -n argocd -l argocd.argoproj.io/secret-type=cluster -o yaml%s", fromGenerated)
		return nil, false
	}
	f.approximate("for the %d clusters that are imported along; one that comes later is not deployed to", len(out))
	return out, true
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// readSelector returns what a label selector matches.
func readSelector(f field) (func(map[string]string) bool, bool) {
	want := f.at("matchLabels").textMap()
	type expression struct {
		key, operator string
		values        []string
	}
	var expressions []expression
	for _, e := range f.at("matchExpressions").items() {
		x := expression{e.at("key").text(), e.at("operator").text(), e.at("values").texts()}
		switch x.operator {
		case "In", "NotIn", "Exists", "DoesNotExist":
		default:
			return nil, false
		}
		expressions = append(expressions, x)
	}
	return func(labels map[string]string) bool {
		for name, value := range want {
			if labels[name] != value {
				return false
			}
		}
		for _, x := range expressions {
			value, has := labels[x.key]
			in := has && strings.Contains("\x00"+strings.Join(x.values, "\x00")+"\x00", "\x00"+value+"\x00")
			if x.operator == "In" && !in || x.operator == "NotIn" && in || x.operator == "Exists" && !has || x.operator == "DoesNotExist" && has {
				return false
			}
		}
		return true
	}, true
}

var (
	placeholder = regexp.MustCompile(`\{\{-?\s*([^{}]*?)\s*-?\}\}`)
	goField     = regexp.MustCompile(`^(\.[A-Za-z_][A-Za-z0-9_]*)+$`)
	goIndex     = regexp.MustCompile(`^index ((?:\.[A-Za-z_][A-Za-z0-9_]*)+) "([^"]+)"$`)
	oldField    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)
)

// maxFilled bounds a text that is filled, in bytes.
const maxFilled = 1 << 20

// fill replaces the parameters of a template. Only plain ones are known: a template
// with functions or conditions is an error.
func fill(template any, parameters map[string]any, isGo bool) (any, error) {
	switch v := template.(type) {
	case string:
		return fillText(v, parameters, isGo)
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range sortedKeys(v) {
			name, err := fillText(key, parameters, isGo)
			if err != nil {
				return nil, err
			}
			if out[name], err = fill(v[key], parameters, isGo); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for at := range v {
			var err error
			if out[at], err = fill(v[at], parameters, isGo); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return template, nil
	}
}

func fillText(text string, parameters map[string]any, isGo bool) (string, error) {
	var fault error
	out := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		inside := placeholder.FindStringSubmatch(found)[1]
		value, known := parameter(inside, parameters, isGo)
		if !known && fault == nil {
			fault = fmt.Errorf("{{%s}} is no parameter that is known, or a function of templates", inside)
		}
		return value
	})
	switch {
	case fault != nil:
		return "", fault
	case len(out) > maxFilled:
		return "", fmt.Errorf("a text of the template is longer than %d bytes", maxFilled)
	case strings.Contains(placeholder.ReplaceAllString(text, ""), "{{"):
		return "", fmt.Errorf("a function of templates is not evaluated")
	}
	return out, nil
}

// parameter returns the value of one.
func parameter(inside string, parameters map[string]any, isGo bool) (string, bool) {
	var path []string
	switch {
	case !isGo && oldField.MatchString(inside):
		if value, has := parameters[inside]; has {
			return fmt.Sprint(value), true
		}
		path = oldPath(inside)
	case isGo && goField.MatchString(inside):
		path = strings.Split(inside[1:], ".")
	case isGo && goIndex.MatchString(inside):
		m := goIndex.FindStringSubmatch(inside)
		path = append(strings.Split(m[1][1:], "."), m[2])
	default:
		return "", false
	}
	var at any = parameters
	for _, name := range path {
		m, _ := at.(map[string]any)
		next, has := m[name]
		if !has {
			return "", false
		}
		at = next
	}
	switch at.(type) {
	case map[string]any, []any, nil:
		return "", false
	}
	return fmt.Sprint(at), true
}

// oldPath takes metadata.labels.a.b/c apart: a label's name has dots.
func oldPath(inside string) []string {
	for _, prefix := range []string{"metadata.labels.", "metadata.annotations."} {
		if rest, found := strings.CutPrefix(inside, prefix); found {
			return append(strings.Split(strings.TrimSuffix(prefix, "."), "."), rest)
		}
	}
	return strings.Split(inside, ".")
}
