package importer

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// The groups of what is read.
const (
	argoGroup    = "argoproj.io"
	updaterGroup = "argocd-image-updater.argoproj.io"
	kargoGroup   = "kargo.akuity.io"
)

// Options of Import.
type Options struct {
	// Kargo also takes in objects of Kargo; otherwise they are dropped.
	Kargo bool
	// Project is the home of what belongs to Argo CD's AppProject "default", whose
	// name no Project can have.
	Project string
	// SystemNamespace is Waybill's own, for credentials that are shared and those of
	// clusters.
	SystemNamespace string
}

// Manifest is one object to apply.
type Manifest struct {
	Kind, Namespace, Name string
	// Object holds plain JSON values.
	Object map[string]any
	// Comments say where it comes from, and what is not simply the same.
	Comments []string

	from []*object
}

// Result is what Import returns.
type Result struct {
	// Manifests in the order to apply them.
	Manifests []Manifest
	Report    Report
}

// importing is one run of Import.
type importing struct {
	Options
	objects  []*object
	clusters clusterNames
	known    []argoCluster
	projects map[string]*project
	apps     []*Application
	kargo    kargo
	out      []Manifest
	taken    map[string]bool
}

// project is a Project in the making.
type project struct {
	name string
	spec v1alpha1.ProjectSpec
	meta v1alpha1.Project
	from []*object
	// isLimited says that an AppProject was read: its limits are all there are. moved
	// says that they went to the Project of a Stage that deploys its Applications.
	isLimited, moved bool
}

// Import translates the objects of files. The result depends on nothing else.
func Import(files []manifest.Foreign, options Options) *Result {
	i := begin(files, options)
	i.readArgo()
	if i.Kargo {
		i.readKargo()
		i.writeKargo()
	}
	i.writeApplications()
	i.each("", i.readCredential, "Secret")
	i.writeProjects()
	for _, o := range i.objects {
		i.others(o)
	}
	return i.result()
}

func begin(files []manifest.Foreign, options Options) *importing {
	i := &importing{Options: options, clusters: clusterNames{}, projects: map[string]*project{}, taken: map[string]bool{}}
	i.Project = cmp.Or(nameOf(i.Project), "imported")
	i.SystemNamespace = cmp.Or(i.SystemNamespace, "waybill-system")
	for _, f := range files {
		i.objects = append(i.objects, newObject(f))
	}
	return i
}

// readArgo reads everything of Argo CD but credentials of repositories.
func (i *importing) readArgo() {
	i.each("", i.readClusterSecret, "Secret")
	i.each(argoGroup, i.readAppProject, "AppProject")
	i.each(argoGroup, i.readApplication, "Application")
	i.each(argoGroup, i.readApplicationSet, "ApplicationSet")
	i.each(updaterGroup, i.readUpdater, "ImageUpdater")
}

// each visits the objects of a kind.
func (i *importing) each(group string, visit func(*object), kinds ...string) {
	for _, o := range slices.Clone(i.objects) {
		if o.group() == group && slices.Contains(kinds, o.report.Kind) {
			visit(o)
		}
	}
}

// others says of what nobody wanted why.
func (i *importing) others(o *object) {
	if o.done {
		return
	}
	why, outcome := "it is neither of Argo CD nor of Kargo: apply it as it is", Dropped
	switch {
	case o.group() == kargoGroup && !i.Kargo:
		why = "it is of Kargo: waybill import kargo brings it along"
	case o.group() == kargoGroup && (o.report.Kind == "Freight" || o.report.Kind == "Promotion"):
		why, outcome = "Warehouses make Freight again; what a Stage runs is read from its branch", Approximated
	case o.group() == kargoGroup || o.group() == argoGroup || strings.HasSuffix(o.group(), "."+kargoGroup) || strings.HasSuffix(o.group(), ".kargo.akuity.io"):
		why = "no kind here is like " + o.report.Kind + instead(o.report.Kind)
	case o.report.Kind == "Namespace" && o.group() == "":
		why, outcome = "a Project comes with its Namespace", Approximated
	case o.report.Kind == "Secret" && o.group() == "":
		why = "it carries no label of a credential of Argo CD or Kargo"
	}
	o.at("metadata").mark(ignored)
	o.ignoreAll()
	o.add(outcome, "", why, false)
}

// instead names the nearest thing, with a colon before it.
func instead(kind string) string {
	switch kind {
	case "ClusterConfig":
		return ": webhooks are spec.webhookReceivers of each Project"
	case "EventRouter", "MessageChannel", "ClusterMessageChannel":
		return ": see docs/guides/messages.md"
	case "CustomPromotionStep":
		return ": use the step run-job"
	case "AnalysisTemplate", "ClusterAnalysisTemplate":
		return ": no Stage that is imported names it; it would be spec.verification.checks of the Stage"
	case "AnalysisRun":
		return ": verifications are run again"
	case "Rollout":
		return ": it is deployed as it is by an Application"
	default:
		return ""
	}
}

// projectName is the Project of an AppProject.
func (i *importing) projectName(appProject string) string {
	name := nameOf(appProject)
	switch {
	case name == "", name == "default":
		return i.Project
	case strings.HasPrefix(name, "kube-"):
		return "project-" + name
	default:
		return name
	}
}

// project returns the Project of that name, which is made when it is not there.
func (i *importing) project(name string) *project {
	p := i.projects[name]
	if p == nil {
		p = &project{name: name}
		i.projects[name] = p
	}
	return p
}

func (i *importing) readAppProject(o *object) {
	o.done = true
	name := i.projectName(o.report.Name)
	p := i.project(name)
	p.isLimited = true
	p.from = append(p.from, o)
	p.spec = readProject(o, i.clusters)
	p.meta.Labels, p.meta.Annotations = readMeta(o, nil)
	o.at("metadata", "finalizers").mark(ignored)
}

func (i *importing) readApplication(o *object) {
	o.done = true
	i.apps = append(i.apps, readApplication(o, i.clusters))
}

// writeApplications writes what no Stage has taken over.
func (i *importing) writeApplications() {
	for _, a := range i.apps {
		if a.taken {
			continue
		}
		name := i.projectName(a.Project)
		p := i.project(name)
		i.reach(p, a)
		if i.writeUpdates(a, p) {
			continue
		}
		for at := range a.Parts {
			part := &a.Parts[at]
			part.Namespace = name
			i.write("Application", part.Namespace, part.Name, part, a.of)
		}
	}
}

// reach lets a Project that no AppProject limits deploy where its Applications do.
func (i *importing) reach(p *project, a *Application) {
	if p.isLimited {
		return
	}
	if a.Project != "default" && a.Project != "" {
		a.of.add(Approximated, "spec.project", "the AppProject is not among what is imported: its Project may deploy where the imported Applications do, and only namespaced kinds", false)
	} else {
		a.of.add(Approximated, "spec.project", "default becomes Project "+p.name+" (-p says another), which may deploy where the imported Applications do, and only namespaced kinds", false)
	}
	for _, part := range a.Parts {
		i.allow(p, part.Spec.Destination)
	}
}

// writeProjects writes every Project that something was put into, and its Namespace.
func (i *importing) writeProjects() {
	used := map[string]bool{}
	for _, m := range i.out {
		if m.Namespace != "" && m.Namespace != i.SystemNamespace {
			i.project(m.Namespace)
			used[m.Namespace] = true
		}
	}
	for _, name := range sortedKeys(i.projects) {
		p := i.projects[name]
		if p.moved && !used[name] {
			continue
		}
		for _, o := range p.from {
			if o.report.Kind == "AppProject" && i.projectName(o.report.Name) == name && o.report.Name != name {
				o.add(Approximated, "metadata.name", "the Project is called "+name, false)
			}
		}
		namespace := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
			"name": name, "labels": map[string]any{v1alpha1.LabelProject: "true"},
		}}
		i.write("Namespace", "", name, namespace)
		out := v1alpha1.Project{Spec: p.spec}
		out.Name, out.Labels, out.Annotations = name, p.meta.Labels, p.meta.Annotations
		i.write("Project", "", name, &out, p.from...)
	}
}

// write adds an object, unless there is one of its kind and name.
func (i *importing) write(kind, namespace, name string, of any, from ...*object) {
	key := kind + "/" + namespace + "/" + name
	if i.taken[key] {
		for _, o := range from {
			o.add(Dropped, "metadata.name", "something else became "+named(kind, namespace, name)+" already: rename one of the two", false)
		}
		return
	}
	i.taken[key] = true
	m := Manifest{Kind: kind, Namespace: namespace, Name: name, Object: plain(kind, of), from: from}
	for _, o := range from {
		o.became(kind, namespace, name)
	}
	i.out = append(i.out, m)
}

// plain is an object as JSON values, without what says nothing.
func plain(kind string, of any) map[string]any {
	var out map[string]any
	if err := convert(of, &out); err != nil {
		return map[string]any{} // of our own types, which are JSON
	}
	if kind != "Namespace" && kind != "Secret" {
		out["apiVersion"], out["kind"] = v1alpha1.GroupVersion().String(), kind
	}
	delete(out, "status")
	if meta, has := out["metadata"].(map[string]any); has {
		delete(meta, "creationTimestamp")
	}
	spec, _ := out["spec"].(map[string]any)
	dropEmpty(spec, "syncPolicy", "rollback", "autoPromotion", "freightRetention")
	deploy, _ := spec["deploy"].([]any)
	for _, d := range deploy {
		if entry, isMap := d.(map[string]any); isMap {
			dropEmpty(entry, "syncPolicy")
		}
	}
	if kind == "Project" && len(spec) == 0 {
		delete(out, "spec")
	}
	return out
}

func dropEmpty(m map[string]any, names ...string) {
	for _, name := range names {
		if inner, isMap := m[name].(map[string]any); isMap && len(inner) == 0 {
			delete(m, name)
		}
	}
}

// order is how kinds are applied.
func order() []string {
	return []string{"Namespace", "Project", "Secret", "Cluster", "Warehouse", "PromotionTask", "Stage", "Application"}
}

func (i *importing) result() *Result {
	r := &Result{}
	for _, o := range i.objects {
		done := o.finish()
		r.Report.Objects = append(r.Report.Objects, done)
		r.Report.Mapped += done.Mapped
		r.Report.Approximated += done.Approximated
		r.Report.Dropped += done.Dropped
	}
	slices.SortStableFunc(i.out, func(a, b Manifest) int {
		return cmp.Or(cmp.Compare(slices.Index(order(), a.Kind), slices.Index(order(), b.Kind)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for at := range i.out {
		i.out[at].comment()
	}
	r.Manifests = i.out
	return r
}

// comment says where an object comes from, and what of it is not the same.
func (m *Manifest) comment() {
	for _, o := range m.from {
		m.Comments = append(m.Comments, "From "+o.report.String()+" ("+o.report.APIVersion+").")
		for _, l := range o.report.Lines {
			m.Comments = append(m.Comments, string(l.Outcome)+": "+l.String())
		}
	}
	if spec, _ := m.Object["spec"].(map[string]any); m.Kind == "Application" && spec["suspend"] == true {
		m.Comments = append(m.Comments, "It is suspended: nothing is synced before you have looked at it and removed spec.suspend.")
	}
}

// defaultInterval is that of a Warehouse, as the API server would set it.
func defaultInterval() metav1.Duration { return metav1.Duration{Duration: 5 * time.Minute} }
