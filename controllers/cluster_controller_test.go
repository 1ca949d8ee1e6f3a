package controllers_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// register makes a Cluster with a kubeconfig, and removes both with the test.
func (f *appFixture) register(name, kubeconfig string) {
	f.t.Helper()
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "waybill-system"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "waybill-system", Name: name, Labels: map[string]string{v1alpha1.LabelCredentialType: "cluster"}},
			StringData: map[string]string{"kubeconfig": kubeconfig}},
		&v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterSpec{SecretRef: v1alpha1.ClusterSecret{Name: name}}},
	} {
		if err := f.client.Create(f.t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			f.t.Fatal(err)
		}
	}
}

func (f *appFixture) unregister(name string) {
	for _, o := range []client.Object{
		&v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "waybill-system", Name: name}},
	} {
		if err := f.client.Delete(f.t.Context(), o); err != nil {
			f.t.Error(err)
		}
	}
}

// waitCluster waits until the Cluster is ready for a reason.
func (f *appFixture) waitCluster(name, reason string) v1alpha1.Cluster {
	f.t.Helper()
	var c v1alpha1.Cluster
	if !eventually(func() bool {
		ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return f.client.Get(f.t.Context(), key("", name), &c) == nil && ready != nil && ready.Reason == reason
	}) {
		f.t.Fatalf("waited for %s: %+v", reason, c.Status)
	}
	return c
}

func TestTwoClustersOneCutOff(t *testing.T) {
	f := newAppFixture(t)
	kubeconfig, err := os.ReadFile(f.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	west := f.project + "-west"
	f.application("away", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.Destination.Cluster = west })
	f.application("test", "stage/test", "app")
	first := f.commit("stage/test", web("registry.example.com/web:1.0.0", 1))
	f.waitSynced("test", first)
	if _, message := f.waitReady("away", "ClusterUnknown"); !strings.Contains(message, west) {
		t.Errorf("message %q", message)
	}
	f.register(west, string(kubeconfig))
	if c := f.waitCluster(west, "Reachable"); !strings.HasPrefix(c.Status.Version, "v1.") || !strings.HasPrefix(c.Status.Server, "https://") {
		t.Errorf("%+v", c.Status)
	}
	f.waitSynced("away", first)

	f.west.cut()
	app := f.waitFor("away", "Unknown", func(a *v1alpha1.Application) bool {
		return a.Status.Health != nil && a.Status.Health.Status == v1alpha1.HealthUnknown && a.Status.Sync.Status == v1alpha1.SyncUnknown
	})
	if !strings.Contains(app.Status.Health.Message, "does not answer since") {
		t.Errorf("health %+v", app.Status.Health)
	}
	second := f.commit("stage/test", web("registry.example.com/web:1.1.0", 1))
	f.waitSynced("test", second) // the other cluster is unaffected
	f.waitFor("away", "still Unknown", func(a *v1alpha1.Application) bool {
		return a.Status.Sync.Target == second && a.Status.Health.Status == v1alpha1.HealthUnknown && a.Status.Sync.Revision == first
	})
	f.west.mend()
	f.waitSynced("away", second)

	// Other credentials, again and again while the cluster changes: the watches
	// begin anew each time, in the middle of whatever pass runs, and see the drift.
	for n := range 8 {
		var before v1alpha1.Application
		if err := f.client.Get(t.Context(), key(f.project, "away"), &before); err != nil {
			t.Fatal(err)
		}
		rotated := make(chan error, 1)
		go func() {
			kubeconfig := quoted(string(kubeconfig) + "# rotated " + strconv.Itoa(n) + "\n")
			rotated <- f.client.Patch(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "waybill-system", Name: west}},
				client.RawPatch("application/merge-patch+json", []byte(`{"stringData":{"kubeconfig":`+kubeconfig+`}}`)))
		}()
		f.kubectl("-n", f.project+"-away", "label", "deployment/web", "round-"+strconv.Itoa(n)+"=by-hand")
		if err := <-rotated; err != nil {
			t.Fatal(err)
		}
		f.waitFor("away", "the heal", func(a *v1alpha1.Application) bool {
			return len(a.Status.Drifts) > 0 && !slices.Equal(a.Status.Drifts, before.Status.Drifts)
		})
	}
	f.waitSynced("away", second)

	f.unregister(west)
	f.waitReady("away", "ClusterUnknown")
}

func TestRefusedKubeconfig(t *testing.T) {
	f := newAppFixture(t)
	name := f.project + "-bad"
	f.register(name, "apiVersion: v1\nkind: Config\ncontexts: [{name: c, context: {cluster: a, user: b}}]\nclusters: [{name: a, cluster: {server: 'https://west.example.com'}}]\nusers: [{name: b, user: {exec: {command: sh}}}]\n")
	c := f.waitCluster(name, "KubeconfigRefused")
	if m := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady).Message; !strings.Contains(m, `"exec"`) {
		t.Errorf("message %q", m)
	}
	f.unregister(name)
}

func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}
