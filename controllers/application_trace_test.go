package controllers_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/live"
)

// TestTraceAnObject goes from what runs in a real cluster to the Application and the
// file, over the owners that the controllers of Kubernetes set.
func TestTraceAnObject(t *testing.T) {
	f := newAppFixture(t)
	i := f.inspector()
	f.application("test", "stage/test", "app")
	commit := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	app := f.waitSynced("test", commit)
	ns := f.project + "-test"
	elsewhere := app.DeepCopy()
	elsewhere.Spec.Destination.Cluster = "west"
	elsewhere.UID = "west"
	trace := func(kind, namespace, name string, apps ...*v1alpha1.Application) live.Traced {
		t.Helper()
		got, err := i.Trace(t.Context(), apps, live.Asked{Kind: gitops.ParseKindName(kind), Namespace: namespace, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	way := func(got live.Traced) string {
		var out []string
		for _, trail := range got.Trails {
			var names []string
			for _, n := range trail.Nodes {
				names = append(names, n.Key.Kind)
			}
			out = append(out, gitops.OwnerOf(trail.App).Cluster+": "+strings.Join(names, " < "))
		}
		return strings.Join(out, "; ")
	}

	var pod, replicaSet string
	if !eventually(func() bool {
		tree, err := i.Tree(t.Context(), app)
		for _, n := range tree.Nodes {
			switch n.Key.Kind {
			case "Pod":
				pod = n.Key.Name
			case "ReplicaSet":
				replicaSet = n.Key.Name
			}
		}
		return err == nil && pod != ""
	}) {
		t.Fatal("no Pod")
	}
	for _, c := range []struct{ why, kind, namespace, name, want string }{
		{"applied, by its short name", "deploy", ns, "web", "in-cluster: Deployment"},
		{"in any namespace", "deployments.apps", "", "web", "in-cluster: Deployment"},
		{"owned by what is owned", "po", ns, pod, "in-cluster: Pod < ReplicaSet < Deployment"},
		{"owned, in any namespace", "replicasets.v1.apps", "", replicaSet, "in-cluster: ReplicaSet < Deployment"},
		{"of another group", "deployments.example.com", ns, "web", ""},
		{"in another namespace", "deploy", "default", "web", ""},
		{"owned, but in a namespace that is not the Application's", "po", "kube-system", pod, ""},
		{"nothing of the name", "deploy", ns, "other", ""},
		{"nobody's", "cm", ns, "kube-root-ca.crt", ""},
	} {
		if got := way(trace(c.kind, c.namespace, c.name, app)); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	if got := trace("deploi", ns, "web", app); got.IsKind || len(got.Trails) > 0 {
		t.Errorf("no such kind: %+v", got)
	}
	if got := way(trace("deploy", ns, "web")); got != "" {
		t.Errorf("for who may see no Application: %q", got)
	}

	// In a cluster that does not answer the inventory is all there is.
	both := trace("deployment", ns, "web", app, elsewhere)
	if got := way(both); got != "in-cluster: Deployment; west: Deployment" || strings.Join(both.Unreachable, ",") != "west" {
		t.Errorf("%q, unreachable %v", got, both.Unreachable)
	} else if h := both.Trails[1].Nodes[0].Health; h.Status != v1alpha1.HealthUnknown || both.Trails[0].Nodes[0].Health.Status == v1alpha1.HealthUnknown {
		t.Errorf("%+v and %+v", both.Trails[0].Nodes[0].Health, h)
	}
	// Two Applications may have an object in their inventory; it carries one mark.
	rival := app.DeepCopy()
	rival.Name, rival.UID = "unrivalled", types.UID("rival")
	if got := trace("deploy", ns, "web", app, rival); len(got.Trails) != 2 || got.Trails[0].Nodes[0].Health.Reason == live.ReasonNotOurs || got.Trails[1].Nodes[0].Health.Reason != live.ReasonNotOurs {
		t.Errorf("%+v", got.Trails)
	}
	outside := app.DeepCopy()
	outside.Spec.Destination.Namespace = "kube-system"
	if got := way(trace("deploy", ns, "web", outside)); got != "" {
		t.Errorf("an Application that may not be where it is: %q", got)
	}
}

// TestTraceToAFile finds the file that declares an object.
func TestTraceToAFile(t *testing.T) {
	f := newAppFixture(t)
	i := f.inspector()
	f.application("test", "stage/test", "overlays/test")
	commit := f.commit("stage/test", map[string]string{
		"base/kustomization.yaml": "resources: [all.yaml]\n",
		"base/all.yaml":           configMap("other") + "---\n" + configMap("web"),
		"overlays/test/kustomization.yaml": `resources: [../../base, own.yaml]
patches: [{path: a-patch.yaml}]
configMapGenerator: [{name: made, literals: [a=b], options: {disableNameSuffixHash: true}}]
`,
		"overlays/test/own.yaml":     configMap("own"),
		"overlays/test/a-patch.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {k: w}\n",
	})
	app := f.waitSynced("test", commit)
	for name, want := range map[string]string{
		"web": "base/all.yaml", "own": "overlays/test/own.yaml", "made": "overlays/test/kustomization.yaml", "left": "",
	} {
		got, err := i.Origin(t.Context(), app, gitops.Key{Kind: "ConfigMap", Namespace: f.project + "-test", Name: name})
		if err != nil || got.File != want || got.Commit.Hash.String() != commit || got.Commit.Message == "" {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, want)
		}
	}
	app.Status.Sync.Revision = ""
	if _, err := i.Origin(t.Context(), app, gitops.Key{Kind: "ConfigMap", Name: "web"}); err == nil {
		t.Error("a file of no revision")
	}
}
