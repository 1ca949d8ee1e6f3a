package controllers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/secret"
)

// inspector returns what the API asks about the fixture's clusters.
func (f *appFixture) inspector() *live.Inspector {
	f.t.Helper()
	home, err := cluster.Connect(v1alpha1.InCluster, f.Config, clock.RealClock{})
	if err != nil {
		f.t.Fatal(err)
	}
	mirrors, err := git.NewMirrors(git.Options{Dir: f.t.TempDir(), Transport: http.DefaultTransport, AllowPlainHTTP: true})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = mirrors.Close() })
	i, err := live.New(live.Options{
		Clusters: cluster.NewRegistry(home), Renders: render.NewCache(1<<20, nil), Clock: clock.RealClock{},
		Open: func(_ context.Context, _, repoURL string) (*git.Mirror, error) {
			return mirrors.Open(git.Remote{URL: repoURL, Username: gittest.Username, Password: secret.New(gittest.Password)})
		},
		Limits: func(ctx context.Context, project string) (gitops.Limits, error) {
			return controllers.ProjectLimits(ctx, f.client, project, "waybill-system")
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return i
}

// TestLookIntoTheCluster asks what the API asks: tree, events, logs and the
// difference to Git.
func TestLookIntoTheCluster(t *testing.T) {
	f := newAppFixture(t)
	i := f.inspector()
	app := f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.SyncPolicy.Automated.SelfHeal = false
		a.Spec.DriftPolicy = v1alpha1.DriftReport
	})
	files := web("registry.example.com/web:1.0.0", 2)
	files["app/secret.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2-canary}\n"
	if _, err := i.Diff(t.Context(), app); !errors.Is(err, live.ErrNoRevision) {
		t.Errorf("before the first look at the branch: %v", err)
	}
	commit := f.commit("stage/test", files)
	app = f.waitSynced("test", commit)
	ns := f.project + "-test"

	tree, err := i.Tree(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	byUID := map[string]live.Node{}
	for _, n := range tree.Nodes {
		kinds[n.Key.Kind]++
		byUID[n.UID] = n
		if n.UID == "" || n.Parent != "" && byUID[n.Parent].UID == "" {
			t.Errorf("%s: not there, or before its owner: %+v", n.Key, n)
		}
	}
	if kinds["Deployment"] != 1 || kinds["ReplicaSet"] != 1 || kinds["Pod"] != 2 || kinds["Secret"] != 1 || tree.IsCut {
		t.Errorf("%v, cut %v", kinds, tree.IsCut)
	}
	for _, n := range tree.Nodes {
		if n.Key.Kind == "Pod" && (n.Health.Status != v1alpha1.HealthHealthy || len(n.Containers) != 1 || byUID[n.Parent].Key.Kind != "ReplicaSet") {
			t.Errorf("%+v", n)
		}
	}

	if d, err := i.Diff(t.Context(), app); err != nil || d.Revision != commit || len(gitops.Compare(d.Before, d.After)) > 0 || len(d.Failed) > 0 || d.Broken != "" {
		t.Errorf("at rest: %v, %+v", err, gitops.Compare(d.Before, d.After))
	}
	f.kubectl("-n", ns, "scale", "deployment/web", "--replicas=5")
	f.kubectl("-n", ns, "patch", "secret", "s", "--type=merge", "-p", `{"stringData":{"password":"other-canary"}}`)
	f.kubectl("-n", ns, "delete", "service", "web")
	app = f.waitFor("test", "the drift", func(a *v1alpha1.Application) bool { return a.Status.Drifting })
	d, err := i.Diff(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]gitops.ObjectChangeKind{}
	for _, c := range gitops.Compare(d.Before, d.After) {
		seen[c.Key.Kind] = c.Kind
		if strings.Contains(c.Diff, "canary") {
			t.Errorf("a secret is shown: %s", c.Diff)
		}
		if c.Key.Kind == "Deployment" && !strings.Contains(c.Diff, "-  replicas: 5\n+  replicas: 2") {
			t.Errorf("diff %s", c.Diff)
		}
	}
	want := map[string]gitops.ObjectChangeKind{"Deployment": gitops.ObjectChanged, "Secret": gitops.ObjectChanged, "Service": gitops.ObjectCreated}
	for kind, change := range want {
		if seen[kind] != change {
			t.Errorf("%s: %q, want %q; all: %v", kind, seen[kind], change, seen)
		}
	}

	if !eventually(func() bool {
		events, err := i.Events(t.Context(), app)
		for _, e := range events {
			if e.Key.Kind == "Deployment" && e.Key.Name == "web" && e.Reason == "ScalingReplicaSet" && e.Count > 0 && !e.LastAt.IsZero() {
				return err == nil
			}
		}
		return false
	}) {
		t.Error("no event of the Deployment")
	}

	logs, _, err := i.Logs(t.Context(), app, live.LogQuery{Kind: "deployment", Name: "web", Container: "web"})
	if err != nil || len(logs) < 2 {
		t.Errorf("%v: %+v", err, logs)
	}
	for _, l := range logs { // kwok's nodes have no kubelet
		if l.Missing == "" && l.Text == "" || !strings.HasPrefix(l.Pod, ns+"/web-") {
			t.Errorf("%+v", l)
		}
	}
	for why, q := range map[string]live.LogQuery{
		"another object":  {Kind: "Pod", Name: "kube-apiserver"},
		"without pods":    {Kind: "Secret", Name: "s"},
		"no such thing":   {Kind: "Deployment", Name: "other"},
		"other container": {Container: "nothing"},
	} {
		if _, _, err := i.Logs(t.Context(), app, q); !errors.Is(err, live.ErrNotThere) {
			t.Errorf("%s: %v", why, err)
		}
	}

	// What the Project may not touch is not shown either.
	outside := app.DeepCopy()
	outside.Spec.Destination.Namespace = "kube-system"
	if _, err := i.Tree(t.Context(), outside); !errors.Is(err, live.ErrNotThere) {
		t.Errorf("kube-system: %v", err)
	}
	foreign := app.DeepCopy()
	foreign.UID = types.UID("another")
	tree, err = i.Tree(t.Context(), foreign)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range tree.Nodes {
		if n.UID != "" {
			t.Errorf("shown to another Application: %+v", n)
		}
	}
}
