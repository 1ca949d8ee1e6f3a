package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordination "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/instance"
)

// keptPolicies are policies of which some are not in force.
type keptPolicies []string

func (p keptPolicies) Missing() ([]string, bool) { return p, true }

type full int

func (n full) Waiting() int { return int(n) }

// silentStore is a history's store that does not answer.
type silentStore struct{ *sqlite.Store }

func (silentStore) Ping(context.Context) error {
	return errors.New("history store does not answer: no such host")
}

// TestDoctorOfTheServer asks a server for its parts while they are well and while
// they are not.
func TestDoctorOfTheServer(t *testing.T) {
	serverReadsSecrets(t)
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	vitals := &Vitals{Policies: keptPolicies(nil), Elects: true, Store: store, StoreKind: "SQLite", Outbox: full(0)}
	w := &world{env: shared.env, admin: shared.admin, log: &lockedBuffer{}}
	stop, err := w.serve(context.Background(), Options{Vitals: vitals, Waker: &wakeLog{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	examine := func() map[string]string {
		t.Helper()
		var out model.Doctor
		w.as(t, "admin").get(t, "/api/v1/doctor", &out)
		found := map[string]string{}
		for _, f := range out.Items {
			found[f.Name] = string(f.State)
		}
		return found
	}
	leads(t, time.Now())
	well := map[string]string{"caches": "ok", "leader": "ok", "CRDs": "ok", "policies": "ok", "history": "ok", "audit outbox": "ok", "notifications": "ok"}
	if diff := cmp.Diff(well, examine()); diff != "" {
		t.Errorf("a server that is well (-want +got):\n%s", diff)
	}

	leads(t, time.Now().Add(-time.Hour))
	old := history.Notice{ID: "n1", Project: "p", Notification: "team", At: time.Now().Add(-time.Hour)}
	if err := store.AddNotices(t.Context(), []history.Notice{old}); err != nil {
		t.Fatal(err)
	}
	token := clusterThatEnds(t, "doctor-west", time.Now().Add(24*time.Hour))
	ill := map[string]string{"caches": "ok", "leader": "fail", "CRDs": "ok", "policies": "ok", "history": "ok", "audit outbox": "ok", "notifications": "warn", "kubeconfig of doctor-west": "warn"}
	eventually(t, func() error { // the cache is a moment behind
		if diff := cmp.Diff(ill, examine()); diff != "" {
			return fmt.Errorf("a server that is ill (-want +got):\n%s", diff)
		}
		return nil
	})
	if a := w.as(t, "admin").do(t, "GET", "/api/v1/doctor", nil); strings.Contains(string(a.body), token) {
		t.Error("the token is in the answer")
	}

	vitals.Store, vitals.Outbox = silentStore{store}, full(3)
	vitals.Policies = keptPolicies{"ValidatingAdmissionPolicy/promotions.waybill.dev"}
	found := examine()
	want := map[string]string{"history": "fail", "audit outbox": "warn", "notifications": "unknown", "policies": "fail"}
	for name, state := range want {
		if found[name] != state {
			t.Errorf("%s: %s, want %s", name, found[name], state)
		}
	}
}

// leads makes a replica lead that renewed its Lease at that time.
func leads(t *testing.T, renewed time.Time) {
	t.Helper()
	kube, err := kubernetes.NewForConfig(shared.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	leases, holder, at := kube.CoordinationV1().Leases(systemNamespace), "waybill-7d", metav1.NewMicroTime(renewed)
	_ = leases.Delete(t.Context(), instance.ElectionLease, metav1.DeleteOptions{}) // the one before, if any
	lease := &coordination.Lease{ObjectMeta: metaOf(instance.ElectionLease), Spec: coordination.LeaseSpec{HolderIdentity: &holder, RenewTime: &at}}
	if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = leases.Delete(context.Background(), instance.ElectionLease, metav1.DeleteOptions{}) })
}

// clusterThatEnds registers a cluster whose token ends then, and returns the token.
func clusterThatEnds(t *testing.T, name string, until time.Time) string {
	t.Helper()
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, until.Unix()))
	token := "e30." + claims + ".c2ln"
	kubeconfig := fmt.Sprintf(`{"current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],
"clusters":[{"name":"x","cluster":{"server":"https://west.example.com"}}],"users":[{"name":"x","user":{"token":%q}}]}`, token)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "cluster-" + name, Labels: map[string]string{v1alpha1.LabelCredentialType: clusterCredential}},
		StringData: map[string]string{kubeconfigKey: kubeconfig}}
	made := &v1alpha1.Cluster{ObjectMeta: metaOf(name), Spec: v1alpha1.ClusterSpec{SecretRef: v1alpha1.ClusterSecret{Name: secret.Name}}}
	if err := errors.Join(shared.admin.Create(t.Context(), secret), shared.admin.Create(t.Context(), made)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = errors.Join(shared.admin.Delete(context.Background(), made), shared.admin.Delete(context.Background(), secret))
	})
	return token
}
