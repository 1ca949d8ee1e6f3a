package shadow

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/internal/importer"
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

// argoStatus is what Argo CD says of an Application.
type argoStatus struct {
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

// translate reads an Application of Argo CD as Waybill would run it, and lists what
// has no equivalent. What it becomes is package importer's to say.
func translate(obj *unstructured.Unstructured) (*translated, error) {
	var a argoStatus
	if err := convert(obj.Object, &a); err != nil {
		return nil, fmt.Errorf("read Application %s/%s: %w", obj.GetNamespace(), obj.GetName(), err)
	}
	read := importer.ReadApplication(obj.Object)
	t := &translated{
		app: &v1alpha1.Application{}, project: read.Project, automated: read.Automated, lastSynced: lastSynced(&a), resources: a.Status.Resources,
		says: ArgoSays{Sync: a.Status.Sync.Status, Health: a.Status.Health.Status},
	}
	switch len(read.Parts) {
	case 0:
	case 1:
		t.app.Spec = read.Parts[0].Spec
	default:
		t.unsupported = append(t.unsupported, fmt.Sprintf("%d sources: an Application has one; waybill import makes an Application of each", len(read.Parts)))
	}
	t.app.Namespace, t.app.Name, t.app.UID = obj.GetNamespace(), obj.GetName(), obj.GetUID()
	for _, line := range read.Lines {
		if line.Changes {
			t.unsupported = append(t.unsupported, line.String())
		} else {
			t.notes = append(t.notes, line.String())
		}
	}
	return t, nil
}

// lastSynced is the revision of the last sync that succeeded.
func lastSynced(a *argoStatus) string {
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

// heals says that changes in the cluster would be taken back.
func (t *translated) heals() bool {
	a := t.app.Spec.SyncPolicy.Automated
	return a != nil && a.SelfHeal
}

func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the object
	}
	return json.Unmarshal(text, to) //nolint:wrapcheck // the caller names the object
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
	spec, lines := importer.ReadProject(project.Object)
	l.Destinations, l.Kinds = spec.Destinations, spec.Kinds
	for _, line := range lines {
		if line.Outcome == importer.Dropped && (strings.HasPrefix(line.Field, "spec.destinations") || strings.HasPrefix(line.Field, "spec.clusterResource")) {
			notes = append(notes, fmt.Sprintf("AppProject %q, %s", name, line))
		}
	}
	if windows, _, _ := unstructured.NestedSlice(project.Object, "spec", "syncWindows"); len(windows) > 0 {
		notes = append(notes, fmt.Sprintf("AppProject %q has sync windows, which are windows of the Project in Waybill; they are not looked at here", name))
	}
	return l, notes
}
