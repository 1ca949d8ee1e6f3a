package importer

import (
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// The parameters of a cluster generator that forEach has, and any others.
var (
	clusterName   = regexp.MustCompile(`\{\{\s*\.?(name|nameNormalized)\s*\}\}`)
	clusterServer = regexp.MustCompile(`\{\{\s*\.?server\s*\}\}`)
)

// writeForEach writes a cluster generator as a Stage whose one deploy entry goes to
// every Cluster with the labels, also to those that come later. It does so only if
// the template says nothing of a cluster but what forEach can say.
func (i *importing) writeForEach(set *object, generator, template field) bool {
	clusters := generator.at("clusters")
	m, _ := generator.value.(map[string]any)
	if len(m) != 1 || !clusters.has() || clusters.at("values").has() || clusters.at("template").has() || clusters.at("flatList").has() || !clusters.at("selector").has() {
		return false
	}
	raw, _ := template.value.(map[string]any)
	filled, ok := forEachTemplate(raw)
	if !ok {
		return false
	}
	var selector metav1.LabelSelector
	filled["apiVersion"], filled["kind"] = "argoproj.io/v1alpha1", "Application"
	made := newObject(manifest.Foreign{File: set.report.File, Index: set.report.Document, Object: filled})
	a := readApplication(made, i.clusters)
	if len(a.Parts) != 1 || made.changes() || a.Parts[0].Spec.Source.Chart != "" {
		return false
	}
	if !clusters.at("selector").into(&selector, nil, changes("there is no such field of a selector")) {
		return false
	}
	done := made.finish()
	for _, l := range done.Lines {
		set.add(l.Outcome, template.path+"."+l.Field, l.Why, l.Changes)
	}
	template.mapped()
	clusters.approximate("a Stage with one deploy entry for every Cluster with these labels (forEach), and a Warehouse of its repository; Freight passes through it")
	a.of, a.name, a.namespace = set, set.report.Name, set.report.Namespace
	i.writeEach(a, &selector)
	return true
}

// writeEach writes the Warehouse and the Stage.
func (i *importing) writeEach(a *Application, selector *metav1.LabelSelector) {
	set, part := a.of, a.Parts[0]
	name, home := nameOf(set.report.Name), i.projectName(a.Project)
	i.reach(i.project(home), &Application{of: set, Project: a.Project, Parts: []v1alpha1.Application{anyCluster(part)}})
	entry := deployment(&part)
	entry.Name, entry.ForEach, entry.Destination.Cluster = "each", &v1alpha1.ForEach{Clusters: selector}, ""
	warehouse := v1alpha1.Warehouse{Spec: v1alpha1.WarehouseSpec{Interval: defaultInterval(), Subscriptions: []v1alpha1.Subscription{{
		Git: &v1alpha1.GitSubscription{RepoURL: part.Spec.Source.RepoURL, Branch: part.Spec.Source.TargetRevision},
	}}}}
	warehouse.Name, warehouse.Namespace = name, home
	i.write("Warehouse", home, name, &warehouse, set)
	stage := v1alpha1.Stage{Spec: v1alpha1.StageSpec{
		RequestedFreight: []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: name}, Sources: v1alpha1.FreightSources{Direct: true}}},
		Deploy:           []v1alpha1.Deployment{entry},
	}}
	stage.Name, stage.Namespace, stage.Labels, stage.Annotations = name, home, part.Labels, part.Annotations
	i.write("Stage", home, name, &stage, set)
}

func anyCluster(part v1alpha1.Application) v1alpha1.Application {
	part.Spec.Destination.Cluster = "*"
	return part
}

// deployment is an Application as a deploy entry of a Stage.
func deployment(app *v1alpha1.Application) v1alpha1.Deployment {
	s := app.Spec.Source
	return v1alpha1.Deployment{
		Destination: app.Spec.Destination,
		Source: v1alpha1.DeploymentSource{
			RepoURL: s.RepoURL, TargetRevision: s.TargetRevision, Path: s.Path, Directory: s.Directory, Kustomize: s.Kustomize, Helm: s.Helm,
		},
		SyncPolicy: app.Spec.SyncPolicy, DriftPolicy: app.Spec.DriftPolicy, ReconcileOptions: app.Spec.ReconcileOptions, DeletionPolicy: app.Spec.DeletionPolicy,
	}
}

// forEachTemplate writes {name} for the cluster's name where forEach reads it; not
// when the template has parameters elsewhere.
func forEachTemplate(template map[string]any) (map[string]any, bool) {
	var out map[string]any
	if convert(template, &out) != nil || out == nil {
		return nil, false
	}
	meta, _ := out["metadata"].(map[string]any)
	if name, _ := meta["name"].(string); clusterName.MatchString(name) {
		meta["name"] = clusterName.ReplaceAllString(name, "each")
	}
	spec, _ := out["spec"].(map[string]any)
	destination, _ := spec["destination"].(map[string]any)
	for key, expression := range map[string]*regexp.Regexp{"name": clusterName, "server": clusterServer} {
		text, _ := destination[key].(string)
		if expression.FindString(text) == text && text != "" {
			delete(destination, key)
		}
	}
	source, _ := spec["source"].(map[string]any)
	if path, isText := source["path"].(string); isText {
		source["path"] = clusterName.ReplaceAllString(path, "{name}")
	}
	helm, _ := source["helm"].(map[string]any)
	files, _ := helm["valueFiles"].([]any)
	for at := range files {
		if file, isText := files[at].(string); isText {
			files[at] = clusterName.ReplaceAllString(file, "{name}")
		}
	}
	text, err := jsonText(out)
	return out, err == nil && !strings.Contains(text, "{{")
}
