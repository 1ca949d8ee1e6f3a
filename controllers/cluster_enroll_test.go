package controllers_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/internal/enroll"
	"github.com/waybill-dev/waybill/internal/outbound"
)

// TestEnrolledAccountDeploys makes the account that waybill cluster add makes,
// deploys with its token, and replaces it.
func TestEnrolledAccountDeploys(t *testing.T) {
	f := newAppFixture(t)
	data, err := os.ReadFile(f.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := enroll.Read(enroll.Source{Data: data, ReadFile: os.ReadFile})
	if err != nil {
		t.Fatal(err)
	}
	account := enroll.Account{Namespace: "waybill-system", Name: f.project + "-deployer", ClusterRole: "admin"}
	t.Cleanup(func() {
		if err := mine.Withdraw(context.Background(), account); err != nil {
			t.Error(err)
		}
	})
	enrolled := func() (string, func(context.Context) error, *enroll.Access) {
		t.Helper()
		access, retire, err := mine.Enroll(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		kubeconfig, err := access.Kubeconfig()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(kubeconfig), "client-certificate") {
			t.Fatal("the person's own credentials are in what Waybill is given")
		}
		return string(kubeconfig), retire, access
	}
	kubeconfig, _, old := enrolled()
	west := f.project + "-west"
	f.register(west, kubeconfig)
	f.waitCluster(west, "Reachable")
	f.application("away", "stage/test", "app", func(a *v1alpha1.Application) { a.Spec.Destination.Cluster = west })
	f.waitSynced("away", f.commit("stage/test", web("registry.example.com/web:1.0.0", 1)))

	// It is no administrator.
	as, err := cluster.ReadKubeconfig([]byte(kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	limited, err := client.New(as, client.Options{Scheme: f.scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := limited.Create(t.Context(), &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: f.project + "-x"}}); err == nil {
		t.Error("the account may make what its role does not hold")
	}

	next, retire, _ := enrolled()
	if err := f.client.Patch(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "waybill-system", Name: west}},
		client.RawPatch(types.MergePatchType, []byte(`{"stringData":{"kubeconfig":`+quoted(next)+`}}`))); err != nil {
		t.Fatal(err)
	}
	f.waitCluster(west, "Reachable")
	if err := retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { // the API server keeps a verdict on a token for seconds
		_, _, err := old.Enroll(t.Context(), account)
		var answer *enroll.Error
		return errors.As(err, &answer) && answer.Status == 401
	}) {
		t.Error("the old token still works")
	}
	f.waitSynced("away", f.commit("stage/test", web("registry.example.com/web:1.1.0", 1)))
	f.unregister(west)
}

// TestClusterAddressesAreGuarded connects as waybilld does outside local mode.
func TestClusterAddressesAreGuarded(t *testing.T) {
	f := newAppFixture(t)
	kubeconfig, err := os.ReadFile(f.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := outbound.New(outbound.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	name := f.project + "-loop"
	f.register(name, string(kubeconfig))
	defer f.unregister(name)
	f.waitCluster(name, "Reachable") // by the fixture, whose dialer takes any address
	r, err := controllers.NewClusterReconciler(controllers.ClusterOptions{
		Client: f.client, Clusters: cluster.NewRegistry(), Clock: clock.RealClock{}, SystemNamespace: "waybill-system", Dial: guarded.DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}); err != nil {
		t.Fatal(err)
	}
	var c v1alpha1.Cluster
	if err := f.client.Get(t.Context(), key("", name), &c); err != nil {
		t.Fatal(err)
	}
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready.Reason != "ClusterUnreachable" || !strings.Contains(ready.Message, "loopback") {
		t.Errorf("%+v", ready)
	}
}
