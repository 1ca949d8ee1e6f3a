package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/faultproxy"
)

// TestForEachCluster deploys one entry of a Stage to every Cluster with a label:
// none at first, then one, then two, then one again. The Clusters are the same
// API server under other names, so each has a Namespace of its own.
func TestForEachCluster(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "edges")
	w.guestbook()
	eu, us := w.project+"-eu", w.project+"-us"
	files := map[string]string{}
	for _, site := range []string{eu, us} {
		files["sites/"+site+"/kustomization.yaml"] = "namespace: " + site + "\nresources: [../../stages/test]\n"
	}
	w.git.Commit("guestbook", "main", "a folder for each site", files)
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) {
		s.Spec.Deploy[0].Name = "web"
		s.Spec.Deploy[0].ForEach = &v1alpha1.ForEach{Clusters: &apimeta.LabelSelector{MatchLabels: map[string]string{"tier": w.project}}}
		s.Spec.Deploy[0].Source.Path = "sites/{name}"
	})
	w.cluster.Apply(t, w.projectYAML()+`
spec:
  destinations:
  - {cluster: `+eu+`, namespace: `+eu+`}
  - {cluster: `+us+`, namespace: `+us+`}
  - {cluster: "*", namespace: `+w.project+`-test}
`)
	stage := &v1alpha1.Stage{}
	w.eventually("the Stage misses a Cluster", func() error {
		w.get("test", stage)
		return reasonIs(stage, "NoCluster")
	})

	w.registerCluster(eu)
	w.push("1.26.0")
	w.eventually("1.26.0 in the first", func() error { return w.sitesRun(stage, "1.26.0", eu) })

	w.registerCluster(us)
	w.eventually("1.26.0 in both", func() error { return w.sitesRun(stage, "1.26.0", eu, us) })
	w.push("1.27.0")
	w.eventually("1.27.0 in both", func() error { return w.sitesRun(stage, "1.27.0", eu, us) })

	var cluster v1alpha1.Cluster
	if err := w.client.Get(t.Context(), client.ObjectKey{Name: us}, &cluster); err != nil {
		t.Fatal(err)
	}
	before := cluster.DeepCopy()
	cluster.Labels = nil
	if err := w.client.Patch(t.Context(), &cluster, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.push("1.28.0")
	w.eventually("1.28.0 in the one that is left", func() error { return w.sitesRun(stage, "1.28.0", eu) })
	if err := w.siteRuns(us, "1.27.0"); err != nil {
		t.Errorf("what was deployed stays: %v", err)
	}
}

func reasonIs(s *v1alpha1.Stage, want string) error {
	if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Reason != want {
		return fmt.Errorf("conditions are %+v", s.Status.Conditions)
	}
	return nil
}

// registerCluster makes a Cluster, labelled for the Project, of the API server of
// the tests under another address: Waybill connects to its own for nobody else.
func (w *world) registerCluster(name string) {
	w.t.Helper()
	kubeconfig, err := os.ReadFile(w.cluster.Kubeconfig)
	if err != nil {
		w.t.Fatal(err)
	}
	address := strings.TrimPrefix(w.cluster.Config.Host, "https://")
	proxy, err := faultproxy.Start(address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = proxy.Close() })
	labelled := apimeta.ObjectMeta{Name: name, Namespace: systemNamespace, Labels: map[string]string{"waybill.dev/cred-type": "cluster"}}
	secret := &corev1.Secret{ObjectMeta: labelled, StringData: map[string]string{"kubeconfig": strings.ReplaceAll(string(kubeconfig), address, proxy.Addr())}}
	cluster := &v1alpha1.Cluster{
		ObjectMeta: apimeta.ObjectMeta{Name: name, Labels: map[string]string{"tier": w.project}},
		Spec:       v1alpha1.ClusterSpec{SecretRef: v1alpha1.ClusterSecret{Name: name}},
	}
	for _, o := range []client.Object{secret, cluster} {
		if err := w.client.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { w.discard(context.Background(), o) })
	}
}

// sitesRun says whether the Stage is settled with a version in these Clusters and
// has an Application for each, and no other.
func (w *world) sitesRun(s *v1alpha1.Stage, tag string, sites ...string) error {
	w.get("test", s)
	if !s.Status.Synced || s.Status.Health == nil || s.Status.Health.Status != v1alpha1.HealthHealthy || len(s.Status.Current) == 0 || s.Status.Current[0].Images[0].Tag != tag {
		return fmt.Errorf("synced %v, health %+v, current %+v, conditions %+v", s.Status.Synced, s.Status.Health, s.Status.Current, s.Status.Conditions)
	}
	var apps v1alpha1.ApplicationList
	if err := w.client.List(w.t.Context(), &apps, client.InNamespace(w.project)); err != nil {
		return err
	}
	if len(apps.Items) != len(sites) {
		return fmt.Errorf("there are %d Applications", len(apps.Items))
	}
	for _, site := range sites {
		var app v1alpha1.Application
		if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project, Name: "test-web-" + site}, &app); err != nil {
			return err
		}
		if err := w.siteRuns(site, tag); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) siteRuns(site, tag string) error {
	var d appsv1.Deployment
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: site, Name: "guestbook"}, &d); err != nil {
		return err
	}
	if image := d.Spec.Template.Spec.Containers[0].Image; !strings.Contains(image, ":"+tag+"@") {
		return fmt.Errorf("%s runs %s", site, image)
	}
	return nil
}
