package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func kubeconfigWith(user string) string {
	return "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: a, user: b}}]\n" +
		"clusters: [{name: a, cluster: {server: 'https://west.example.com:6443'}}]\nusers: [{name: b, user: {" + user + "}}]\n"
}

// TestClusters registers, tests, rotates and removes a cluster as an
// administrator. What connects is tested with the controller.
func TestClusters(t *testing.T) {
	f := newProject(t)
	admin := shared.as(t, "admin")
	name := "west-" + strings.ToLower(t.Name())
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: systemNamespace, Name: "cluster-" + name}

	for kubeconfig, want := range map[string]string{
		kubeconfigWith("exec: {command: canary-1}"):           `"exec"`,
		kubeconfigWith("token: canary-2, password: canary-3"): `"password"`,
		"canary-4":               "kubeconfig",
		strings.Repeat("x", 300): "kubeconfig",
	} {
		a := admin.do(t, "POST", "/api/v1/clusters", model.AddClusterRequest{Name: name, Kubeconfig: kubeconfig})
		if p := a.problem(t); p.Code != model.InvalidRequest || !strings.Contains(p.Detail, want) || strings.Contains(string(a.body), "canary") {
			t.Errorf("%s: %s", want, a.body)
		}
	}
	if a := admin.do(t, "POST", "/api/v1/clusters", model.AddClusterRequest{Name: "in-cluster", Kubeconfig: kubeconfigWith("token: T")}); a.status != http.StatusBadRequest {
		t.Errorf("in-cluster: %d %s", a.status, a.body)
	}
	if err := shared.admin.Get(t.Context(), key, secret); err == nil {
		t.Fatal("what was refused is kept")
	}

	var made model.Cluster
	admin.do(t, "POST", "/api/v1/clusters", model.AddClusterRequest{Name: name, Kubeconfig: kubeconfigWith("token: canary-5"), Labels: map[string]string{"region": "eu"}}).into(t, &made)
	if made.Name != name || made.Ready || made.Labels["region"] != "eu" {
		t.Errorf("%+v", made)
	}
	if err := shared.admin.Get(t.Context(), key, secret); err != nil || secret.Labels[v1alpha1.LabelCredentialType] != "cluster" || !strings.Contains(string(secret.Data["kubeconfig"]), "canary-5") {
		t.Fatalf("%v %v", err, secret.Labels)
	}
	if by := secret.ManagedFields; len(by) == 0 {
		t.Error("nobody wrote it")
	}
	if a := admin.do(t, "POST", "/api/v1/clusters", model.AddClusterRequest{Name: name, Kubeconfig: kubeconfigWith("token: other")}); a.status != http.StatusConflict {
		t.Errorf("the same name: %d %s", a.status, a.body)
	}
	path := "/api/v1/clusters/" + name
	eventually(t, func() error {
		if a := admin.do(t, "GET", path, nil); a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		} else if strings.Contains(string(a.body), "canary") {
			t.Fatal("the token is shown")
		}
		return nil
	})
	var list model.ClusterList
	admin.get(t, "/api/v1/clusters", &list)
	if len(list.Items) < 2 || list.Items[0].Name != "in-cluster" || !list.Items[0].BuiltIn {
		t.Errorf("%+v", list.Items)
	}

	var asked model.RefreshResult
	admin.do(t, "POST", path+"/test", nil).into(t, &asked)
	var c v1alpha1.Cluster
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Name: name}, &c); err != nil || asked.Request == "" || c.Annotations[v1alpha1.AnnotationRequestedAt] != asked.Request {
		t.Errorf("%v: %q, %v", err, asked.Request, c.Annotations)
	}
	if a := admin.do(t, "POST", path+"/rotate", model.RotateClusterRequest{Kubeconfig: kubeconfigWith("exec: {command: sh}")}); a.status != http.StatusBadRequest {
		t.Errorf("%d %s", a.status, a.body)
	}
	admin.do(t, "POST", path+"/rotate", model.RotateClusterRequest{Kubeconfig: kubeconfigWith("token: canary-6")}).into(t, &asked)
	if err := shared.admin.Get(t.Context(), key, secret); err != nil || !strings.Contains(string(secret.Data["kubeconfig"]), "canary-6") {
		t.Errorf("%v: the token is the old one", err)
	}

	create(t, &v1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "away"},
		Spec: v1alpha1.ApplicationSpec{
			Source:      v1alpha1.ApplicationSource{RepoURL: "https://git.example.com/app.git", Path: "."},
			Destination: v1alpha1.Destination{Cluster: name, Namespace: f.name},
		},
	})
	eventually(t, func() error {
		admin.get(t, path, &made)
		if made.Applications != 1 {
			return fmt.Errorf("%+v", made)
		}
		return nil
	})
	if a := admin.do(t, "DELETE", path, nil); a.status != http.StatusConflict || !strings.Contains(string(a.body), f.name+"/away") {
		t.Errorf("in use: %d %s", a.status, a.body)
	}
	if a := admin.do(t, "DELETE", path+"?force=true", nil); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := shared.admin.Get(t.Context(), key, secret); err == nil {
		t.Error("the kubeconfig is left behind")
	}
	for path, want := range map[string]int{"/api/v1/clusters/in-cluster": http.StatusConflict, "/api/v1/clusters/nowhere": http.StatusNotFound} {
		if a := admin.do(t, "DELETE", path, nil); a.status != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if log := shared.log.String(); strings.Contains(log, "canary-5") || strings.Contains(log, "canary-6") {
		t.Error("a token is in the log")
	}
}
