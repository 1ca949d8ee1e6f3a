package shadow

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// The kinds of Argo CD that are read.
var (
	argoApplications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
	argoProjects     = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "appprojects"}
)

// What Argo CD calls the cluster it runs in.
const (
	argoOwnServer = "https://kubernetes.default.svc"
	argoManager   = "argocd-controller"
)

// translated is an Application of Argo CD as one of Waybill.
type translated struct {
	app *v1alpha1.Application
	// project is the AppProject.
	project string
	// automated, prune: as syncPolicy.automated says, with its enabled.
	automated bool
	// lastSynced is the revision Argo CD synced last.
	lastSynced string
	// resources that Argo CD counts among it, with its verdict on each.
	resources []argoResource
	says      ArgoSays
	// unsupported keeps it from being observed; notes do not.
	unsupported, notes []string
}

// argoResource is one entry of status.resources.
type argoResource struct {
	Group, Version, Kind, Namespace, Name string
	Health                                struct{ Status string }
	Hook                                  bool
}

func (r argoResource) key() gitops.Key {
	return gitops.Key{Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

// argoApplication is what is read of one.
type argoApplication struct {
	Spec struct {
		Project           string
		Source            map[string]any
		Sources           []map[string]any
		SourceHydrator    map[string]any
		Destination       struct{ Server, Name, Namespace string }
		SyncPolicy        map[string]any
		IgnoreDifferences []map[string]any
	}
	Status struct {
		Sync struct {
			Status, Revision string
		}
		Health         struct{ Status string }
		OperationState struct {
			Phase      string
			SyncResult struct{ Revision string }
		}
		History   []struct{ Revision string }
		Resources []argoResource
	}
}

// harmless are fields of a source that change nothing that is rendered.
var harmless = []string{"source.name", "source.helm.version", "source.helm.passCredentials", "source.kustomize.version"}

// translate reads an Application of Argo CD as Waybill would run it, and lists what
// has no equivalent.
func translate(obj *unstructured.Unstructured) (*translated, error) {
	var a argoApplication
	if err := convert(obj.Object, &a); err != nil {
		return nil, fmt.Errorf("read Application %s/%s: %w", obj.GetNamespace(), obj.GetName(), err)
	}
	t := &translated{
		app: &v1alpha1.Application{}, project: a.Spec.Project, lastSynced: lastSynced(&a), resources: a.Status.Resources,
		says: ArgoSays{Sync: a.Status.Sync.Status, Health: a.Status.Health.Status},
	}
	t.app.Namespace, t.app.Name, t.app.UID = obj.GetNamespace(), obj.GetName(), obj.GetUID()
	source := a.Spec.Source
	switch {
	case len(a.Spec.SourceHydrator) > 0:
		t.unsupported = append(t.unsupported, "sourceHydrator: a Stage commits what it renders to its own branch instead")
	case len(a.Spec.Sources) > 1:
		t.unsupported = append(t.unsupported, fmt.Sprintf("%d sources: an Application has one; put the parts into one repository, or make an Application of each", len(a.Spec.Sources)))
	case len(a.Spec.Sources) == 1:
		source = a.Spec.Sources[0]
	}
	t.readSource(source)
	t.app.Spec.Destination.Namespace = a.Spec.Destination.Namespace
	if a.Spec.Destination.Namespace == "" {
		t.app.Spec.Destination.Namespace = "default"
		t.notes = append(t.notes, "the destination names no namespace; Waybill asks for one, \"default\" is taken here")
	}
	if err := t.readPolicy(a.Spec.SyncPolicy); err != nil {
		return nil, err
	}
	for i, raw := range a.Spec.IgnoreDifferences {
		var d v1alpha1.IgnoreDifference
		lost, err := convertAll(raw, &d, fmt.Sprintf("ignoreDifferences[%d]", i))
		if err != nil {
			return nil, err
		}
		t.note(lost)
		if len(d.JSONPointers)+len(d.Paths)+len(d.ManagedFieldsManagers) > 0 {
			t.app.Spec.IgnoreDifferences = append(t.app.Spec.IgnoreDifferences, d)
		}
	}
	return t, nil
}

// lastSynced is the revision of the last sync that succeeded.
func lastSynced(a *argoApplication) string {
	op := a.Status.OperationState
	switch {
	case op.Phase == "Succeeded" && op.SyncResult.Revision != "":
		return op.SyncResult.Revision
	case len(a.Status.History) > 0:
		return a.Status.History[len(a.Status.History)-1].Revision
	case a.Status.Sync.Status == "Synced":
		return a.Status.Sync.Revision
	default:
		return ""
	}
}

// readSource takes in what Waybill renders, and says what it does not.
func (t *translated) readSource(source map[string]any) {
	if plugin, has := source["plugin"].(map[string]any); has {
		name, _ := plugin["name"].(string)
		t.unsupported = append(t.unsupported, fmt.Sprintf("config management plugin %q: Waybill runs no programs to render; commit what it prints, or use kustomize or Helm", name))
	}
	if directory, ok := source["directory"].(map[string]any); ok {
		if jsonnet, has := directory["jsonnet"].(map[string]any); has && len(jsonnet) > 0 {
			t.unsupported = append(t.unsupported, "Jsonnet: commit what it renders, or use kustomize or Helm")
		}
	}
	lost, err := convertAll(source, &t.app.Spec.Source, "source")
	if err != nil {
		t.unsupported = append(t.unsupported, "source: "+err.Error())
		return
	}
	for _, field := range lost {
		switch {
		case strings.HasPrefix(field, "source.plugin"), strings.HasPrefix(field, "source.directory.jsonnet"):
		case slices.Contains(harmless, field):
			t.notes = append(t.notes, field+" has no meaning for Waybill")
		default:
			t.unsupported = append(t.unsupported, field)
		}
	}
	s := &t.app.Spec.Source
	if s.Chart != "" && s.RepoURL != "" && !strings.Contains(s.RepoURL, "://") {
		s.RepoURL = "oci://" + s.RepoURL // Argo CD names OCI registries without a scheme
	}
	if s.Path == "" {
		s.Path = "."
	}
	if s.TargetRevision == "HEAD" {
		s.TargetRevision = ""
	}
}

// readPolicy takes in syncPolicy.
func (t *translated) readPolicy(raw map[string]any) error {
	lost, err := convertAll(raw, &t.app.Spec.SyncPolicy, "syncPolicy")
	if err != nil {
		return err
	}
	automated, has := raw["automated"].(map[string]any)
	t.automated = has && automated["enabled"] != false
	t.note(slices.DeleteFunc(lost, func(f string) bool { return f == "syncPolicy.automated.enabled" }))
	return nil
}

// note says that fields have no equivalent and do not keep it from running.
func (t *translated) note(fields []string) {
	for _, f := range fields {
		t.notes = append(t.notes, f+" has no equivalent")
	}
}

// heals says that changes in the cluster would be taken back.
func (t *translated) heals() bool {
	a := t.app.Spec.SyncPolicy.Automated
	return a != nil && a.SelfHeal
}

// convertAll reads raw into out and lists the fields that out has no place for,
// with in before them.
func convertAll(raw map[string]any, out any, in string) ([]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if err := convert(raw, out); err != nil {
		return nil, fmt.Errorf("read %s: %w", in, err)
	}
	var back map[string]any
	if err := convert(out, &back); err != nil {
		return nil, fmt.Errorf("read %s: %w", in, err)
	}
	var lost []string
	lostFields(raw, back, in, &lost)
	sort.Strings(lost)
	return slices.Compact(lost), nil
}

func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the object
	}
	return json.Unmarshal(text, to) //nolint:wrapcheck // the caller names the object
}

// lostFields lists the fields with a meaning that got does not have.
func lostFields(want, got any, path string, lost *[]string) {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for name, value := range w {
			if isEmpty(value) {
				continue
			}
			if other, has := g[name]; has {
				lostFields(value, other, path+"."+name, lost)
			} else {
				*lost = append(*lost, path+"."+name)
			}
		}
	case []any:
		g, _ := got.([]any)
		for i := range min(len(w), len(g)) {
			lostFields(w[i], g[i], path+"[]", lost)
		}
	}
}

// isEmpty says that a value means the same as its absence.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// limitsOf reads an AppProject as the limits that a Project of Waybill would have.
// Without one, everything that Waybill can allow is allowed.
func limitsOf(name string, project *unstructured.Unstructured) (gitops.Limits, []string) {
	l := gitops.Limits{Project: name, SystemNamespace: "waybill-system"}
	var notes []string
	if project == nil {
		l.Destinations = []v1alpha1.ProjectDestination{{Cluster: "*", Namespace: "*"}}
		l.Kinds = []v1alpha1.ProjectKind{{Group: "*", Kind: "*"}}
		return l, []string{fmt.Sprintf("AppProject %q could not be read: nothing is taken to be forbidden by it", name)}
	}
	var spec struct {
		Destinations             []struct{ Namespace string }
		ClusterResourceWhitelist []metav1.GroupKind
		SyncWindows              []any
	}
	if raw, ok := project.Object["spec"].(map[string]any); ok {
		if err := convert(raw, &spec); err != nil {
			notes = append(notes, fmt.Sprintf("AppProject %q cannot be read: %v", name, err))
		}
	}
	for _, d := range spec.Destinations {
		if strings.HasPrefix(d.Namespace, "!") {
			notes = append(notes, fmt.Sprintf("AppProject %q forbids namespace %q by negation, which spec.destinations of a Project has not", name, d.Namespace))
			continue
		}
		l.Destinations = append(l.Destinations, v1alpha1.ProjectDestination{Cluster: "*", Namespace: d.Namespace})
	}
	for _, k := range spec.ClusterResourceWhitelist {
		l.Kinds = append(l.Kinds, v1alpha1.ProjectKind{Group: k.Group, Kind: k.Kind})
	}
	if len(spec.SyncWindows) > 0 {
		notes = append(notes, fmt.Sprintf("AppProject %q has sync windows, which are windows of the Project in Waybill; they are not looked at here", name))
	}
	return l, notes
}
