package importer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// Application is what an Application of Argo CD becomes.
type Application struct {
	// Parts are one Application for each source that renders; usually one.
	Parts []v1alpha1.Application
	// Project is the AppProject.
	Project string
	// Automated says that Argo CD syncs it by itself.
	Automated bool
	// Lines say what is not simply the same.
	Lines []Line

	of *object
	// name and namespace in Argo CD.
	name, namespace string
	// server and clusterName of its destination, as Argo CD spells them.
	server, clusterName string
	updates             *imageUpdates
	// stage deploys it; taken says so.
	stage *stage
	taken bool
}

// ReadApplication translates an Application of Argo CD. It is what observe and
// import have in common.
func ReadApplication(object map[string]any) *Application {
	a := readApplication(newObject(manifest.Foreign{Object: object}), nil)
	a.Lines = a.of.finish().Lines
	return a
}

// argoOwnServer is what Argo CD calls the cluster it runs in.
const argoOwnServer = "https://kubernetes.default.svc"

// clusterNames are the names of clusters by their servers.
type clusterNames map[string]string

// name returns what a destination's cluster is called here.
func (c clusterNames) name(server, name field) string {
	s := strings.TrimSuffix(server.peek(), "/")
	switch {
	case name.has():
		name.mapped()
		server.mapped()
		called := nameOf(name.peek())
		if called != name.peek() {
			name.approximate("the Cluster is called %q here", called)
		}
		return cmp.Or(called, v1alpha1.InCluster)
	case s == argoOwnServer, !server.has():
		server.mapped()
		return v1alpha1.InCluster
	case c[s] != "":
		server.mapped()
		return c[s]
	default:
		host := s[strings.LastIndex(s, "//")+1:]
		called := cmp.Or(nameOf(strings.TrimPrefix(host, "/")), "cluster")
		server.approximate("the Cluster with this server is called %q here: register it under this name, or import the Secret that Argo CD has for it along", called)
		return called
	}
}

func readApplication(o *object, clusters clusterNames) *Application {
	a := &Application{of: o, name: o.report.Name, namespace: o.report.Namespace}
	spec := o.at("spec")
	a.Project = spec.at("project").text()
	app := v1alpha1.Application{}
	app.Name, app.Namespace = o.report.Name, o.report.Namespace
	a.updates = readUpdaterAnnotations(o)
	app.Labels, app.Annotations = readMeta(o, &app.Spec.Suspend)
	readDestination(a, spec.at("destination"), clusters, &app)
	app.Spec.SyncPolicy = readPolicy(spec.at("syncPolicy"))
	a.Automated = app.Spec.SyncPolicy.Automated != nil
	app.Spec.IgnoreDifferences = readIgnored(spec.at("ignoreDifferences"))
	app.Spec.DeletionPolicy = readFinalizers(o)
	spec.at("revisionHistoryLimit").approximate("Git keeps the history")
	spec.at("info").drop("there is no place for notes; annotations are kept")
	o.at("operation").drop("it asks for one sync and is no definition")
	sources, suffixes := readSources(spec)
	if len(sources) == 0 {
		o.add(Dropped, "spec.source", "there is no source that renders anything", true)
	}
	for i, s := range sources {
		part := *app.DeepCopy()
		part.Spec.Source = s
		if suffixes[i] != "" {
			part.Name += "-" + suffixes[i]
			keepReleaseName(&part, app.Name)
		}
		a.Parts = append(a.Parts, part)
	}
	if o.changes() {
		for i := range a.Parts {
			a.Parts[i].Spec.Suspend = true
		}
	}
	return a
}

// keepReleaseName keeps the name that a chart was rendered with when its
// Application is called otherwise now.
func keepReleaseName(part *v1alpha1.Application, name string) {
	if part.Spec.Source.Chart != "" && part.Spec.Source.Helm == nil {
		part.Spec.Source.Helm = &v1alpha1.HelmOptions{}
	}
	if h := part.Spec.Source.Helm; h != nil && h.ReleaseName == "" {
		h.ReleaseName = name
	}
}

func readDestination(a *Application, f field, clusters clusterNames, app *v1alpha1.Application) {
	a.server, a.clusterName = f.at("server").peek(), f.at("name").peek()
	app.Spec.Destination.Cluster = clusters.name(f.at("server"), f.at("name"))
	app.Spec.Destination.Namespace = f.at("namespace").text()
	if app.Spec.Destination.Namespace == "" {
		app.Spec.Destination.Namespace = "default"
		a.of.add(Approximated, "spec.destination.namespace", `it names no namespace; Waybill asks for one: "default" is taken`, false)
	}
}

// readFinalizers returns the deletionPolicy.
func readFinalizers(o *object) string {
	policy := "Orphan"
	for _, f := range o.at("metadata", "finalizers").items() {
		switch name := f.peek(); {
		case strings.HasPrefix(name, "resources-finalizer.argocd.argoproj.io"):
			f.mapped()
			policy = "Delete"
		case strings.HasSuffix(name, ".argocd.argoproj.io") || strings.Contains(name, "finalizer.argocd.argoproj.io"):
			f.approximate("hooks of deletion are kept by their annotations")
		default:
			f.drop("it is of another program")
		}
	}
	return policy
}

// readMeta returns labels and annotations to keep.
func readMeta(o *object, suspend *bool) (labels, annotations map[string]string) {
	meta := o.at("metadata")
	for _, owner := range meta.at("ownerReferences").items() {
		owner.approximate("it was made by %s %q: import that or this, not both", owner.at("kind").peek(), owner.at("name").peek())
	}
	for _, l := range meta.at("labels").entries() {
		if isForeign(l.name) {
			l.mark(ignored)
			continue
		}
		labels = put(labels, l.name, l.text())
	}
	for _, a := range meta.at("annotations").entries() {
		switch {
		case a.field.of.marks[a.path] != "":
		case a.name == argoPrefix+"skip-reconcile":
			if a.is() && suspend != nil {
				*suspend = true
			}
		case a.name == argoPrefix+"sync-wave":
			annotations = put(annotations, a.name, a.text())
		case a.name == argoPrefix+"manifest-generate-paths":
			a.approximate("only what changed is rendered again anyway")
		case a.name == argoPrefix+"compare-options":
			a.approximate("what the server would make of an object is compared always; objects keep their own compare-options")
		case a.name == argoPrefix+"refresh", a.name == argoPrefix+"hydrate", a.name == argoPrefix+"deletion-approved", a.name == argoPrefix+"tracking-id":
			a.mark(ignored)
		case slices.Contains([]string{"refresh", "abort", "reverify", "create-actor", "managed", "rollback", "auto-promotion-resume"}, strings.TrimPrefix(a.name, "kargo.akuity.io/")):
			a.mark(ignored)
		case a.name == "kargo.akuity.io/auto-promotion-hold":
			a.drop("waybill hold stops the automatic flow into the Stage")
		case a.name == "kargo.akuity.io/authorized-stage":
			a.approximate("a Stage owns what it deploys")
		case strings.HasPrefix(a.name, "notifications.argoproj.io/"):
			a.drop("notifications: see docs/guides/messages.md")
		case isForeign(a.name):
			a.drop("nothing here reads it")
		default:
			annotations = put(annotations, a.name, a.text())
		}
	}
	return labels, annotations
}

const argoPrefix = "argocd.argoproj.io/"

// isForeign reports whether a label or annotation is of Argo CD or Kargo.
func isForeign(name string) bool {
	domain, _, _ := strings.Cut(name, "/")
	for _, of := range []string{"argoproj.io", "kargo.akuity.io", "waybill.dev"} {
		if domain == of || strings.HasSuffix(domain, "."+of) {
			return true
		}
	}
	return false
}

func put(m map[string]string, name, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}
